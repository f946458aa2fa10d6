//! Derivatives of expressions as expressions.

use fb_core::expression::{Binary, Expression, Function, Function2};

/// Replaces names.
pub(super) fn substitute(tree: Expression, by: &mut dyn FnMut(&str) -> Expression) -> Expression {
    use Expression as E;
    let mut boxed = |x: Box<E>| Box::new(substitute(*x, by));
    match tree {
        E::Name(name) => by(&name),
        E::Number(_) => tree,
        E::Negate(x) => E::Negate(boxed(x)),
        E::Not(x) => E::Not(boxed(x)),
        E::Call(f, x) => E::Call(f, boxed(x)),
        E::Reduce(r, x) => E::Reduce(r, boxed(x)),
        E::Index(x, i) => E::Index(boxed(x), i),
        E::Binary(op, a, b) => E::Binary(op, boxed(a), boxed(b)),
        E::Call2(f, a, b) => E::Call2(f, boxed(a), boxed(b)),
        E::If(c, a, b) => E::If(boxed(c), boxed(a), boxed(b)),
    }
}

/// The number of nodes.
pub(super) fn size(tree: &Expression) -> usize {
    use Expression as E;
    1 + match tree {
        E::Name(_) | E::Number(_) => 0,
        E::Negate(x) | E::Not(x) | E::Call(_, x) | E::Reduce(_, x) | E::Index(x, _) => size(x),
        E::Binary(_, a, b) | E::Call2(_, a, b) => size(a) + size(b),
        E::If(c, a, b) => size(c) + size(a) + size(b),
    }
}

fn number(x: f64) -> Expression {
    Expression::Number(x)
}

fn is(tree: &Expression, x: f64) -> bool {
    *tree == number(x)
}

/// a ∘ b, without what does nothing.
fn pair(op: Binary, a: Expression, b: Expression) -> Expression {
    match op {
        Binary::Add if is(&a, 0.0) => b,
        Binary::Add | Binary::Subtract if is(&b, 0.0) => a,
        Binary::Multiply if is(&a, 0.0) || is(&b, 0.0) => number(0.0),
        Binary::Multiply if is(&a, 1.0) => b,
        Binary::Multiply | Binary::Divide | Binary::Power if is(&b, 1.0) => a,
        Binary::Divide if is(&a, 0.0) => a,
        _ => Expression::Binary(op, Box::new(a), Box::new(b)),
    }
}

fn times(a: Expression, b: Expression) -> Expression {
    pair(Binary::Multiply, a, b)
}

fn over(a: Expression, b: Expression) -> Expression {
    pair(Binary::Divide, a, b)
}

fn less(a: Expression, b: Expression) -> Expression {
    pair(Binary::Subtract, a, b)
}

fn plus(a: Expression, b: Expression) -> Expression {
    pair(Binary::Add, a, b)
}

fn negative(x: Expression) -> Expression {
    if is(&x, 0.0) { x } else { Expression::Negate(Box::new(x)) }
}

fn call(f: Function, x: &Expression) -> Expression {
    Expression::Call(f, Box::new(x.clone()))
}

/// The sum of these.
pub(super) fn sum(terms: Vec<Expression>) -> Expression {
    terms.into_iter().reduce(plus).unwrap_or(number(0.0))
}

/// What a name becomes when it is differentiated; nothing where it does not change.
pub(super) type Leaf<'a> = dyn FnMut(&str) -> Result<Option<Expression>, String> + 'a;

/// The derivative, where `leaf` says that of each name.
pub(super) fn differentiate(tree: &Expression, leaf: &mut Leaf) -> Result<Expression, String> {
    use Expression as E;
    Ok(match tree {
        E::Number(_) | E::Not(_) => number(0.0),
        E::Name(name) => leaf(name)?.unwrap_or(number(0.0)),
        E::Negate(x) => negative(differentiate(x, leaf)?),
        E::Call(f, x) => {
            let inner = differentiate(x, leaf)?;
            if is(&inner, 0.0) { inner } else { times(outer(*f, x)?, inner) }
        }
        E::If(c, a, b) => {
            let (left, right) = (differentiate(a, leaf)?, differentiate(b, leaf)?);
            E::If(c.clone(), Box::new(left), Box::new(right))
        }
        E::Binary(op, a, b) => {
            let (da, db) = (differentiate(a, leaf)?, differentiate(b, leaf)?);
            let (a, b) = ((**a).clone(), (**b).clone());
            match op {
                Binary::Add => plus(da, db),
                Binary::Subtract => less(da, db),
                Binary::Multiply => plus(times(da, b), times(a, db)),
                Binary::Divide => less(over(da, b.clone()), over(times(a, db), pair(Binary::Power, b, number(2.0)))),
                Binary::Power if is(&db, 0.0) => {
                    let lower = pair(Binary::Power, a, less(b.clone(), number(1.0)));
                    times(times(b, lower), da)
                }
                Binary::Power => {
                    let log = call(Function::Log, &a);
                    let rate = plus(times(db, log), over(times(b, da), a));
                    times(tree.clone(), rate)
                }
                _ => number(0.0),
            }
        }
        E::Call2(f, a, b) => {
            let (da, db) = (differentiate(a, leaf)?, differentiate(b, leaf)?);
            let (x, y) = ((**a).clone(), (**b).clone());
            match f {
                Function2::Hypot => over(plus(times(x, da), times(y, db)), tree.clone()),
                Function2::Atan2 => {
                    let square = |z: &Expression| times(z.clone(), z.clone());
                    let length = plus(square(&x), square(&y));
                    over(less(times(y, da), times(x, db)), length)
                }
                Function2::Min | Function2::Max => {
                    let op = if *f == Function2::Min { Binary::Less } else { Binary::Greater };
                    E::If(Box::new(E::Binary(op, Box::new(x), Box::new(y))), Box::new(da), Box::new(db))
                }
            }
        }
        E::Reduce(..) | E::Index(..) => return Err("expected a formula of numbers".to_owned()),
    })
}

/// f′(x)
fn outer(f: Function, x: &Expression) -> Result<Expression, String> {
    let square = times(x.clone(), x.clone());
    let root = |inside: Expression| Expression::Call(Function::Sqrt, Box::new(inside));
    let itself = |f: Function| call(f, x);
    Ok(match f {
        Function::Abs => over(x.clone(), itself(Function::Abs)),
        Function::Sqrt => over(number(0.5), itself(Function::Sqrt)),
        Function::Cbrt => over(itself(Function::Cbrt), times(number(3.0), x.clone())),
        Function::Exp | Function::Expm1 => itself(Function::Exp),
        Function::Log => over(number(1.0), x.clone()),
        Function::Log10 => over(number(std::f64::consts::LOG10_E), x.clone()),
        Function::Log1p => over(number(1.0), plus(number(1.0), x.clone())),
        Function::Sin => itself(Function::Cos),
        Function::Cos => negative(itself(Function::Sin)),
        Function::Tan => plus(number(1.0), times(itself(Function::Tan), itself(Function::Tan))),
        Function::Asin => over(number(1.0), root(less(number(1.0), square))),
        Function::Acos => over(number(-1.0), root(less(number(1.0), square))),
        Function::Atan => over(number(1.0), plus(number(1.0), square)),
        Function::Sinh => itself(Function::Cosh),
        Function::Cosh => itself(Function::Sinh),
        Function::Tanh => less(number(1.0), times(itself(Function::Tanh), itself(Function::Tanh))),
        Function::Asinh => over(number(1.0), root(plus(square, number(1.0)))),
        Function::Acosh => over(number(1.0), root(less(square, number(1.0)))),
        Function::Atanh => over(number(1.0), less(number(1.0), square)),
        Function::Floor | Function::Ceil => return Err("`floor` and `ceil` have no derivative".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use fb_physics::calculus::Formula;

    use super::*;

    #[test]
    fn derivatives_agree_with_those_of_numbers() {
        let unary = "abs sqrt cbrt exp expm1 log log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh atanh";
        let mut texts: Vec<String> = unary.split(' ').map(|f| format!("x*{f}(0.3 * x + y * y)")).collect();
        texts.extend(
            [
                "acosh(3 + x*y)",
                "x^3/y - x^y + 2^x",
                "hypot(x, y)*atan2(y, x)",
                "min(x, y) + max(x, 0.1)",
                "-if(x < y, x^2, y)",
            ]
            .map(str::to_owned),
        );
        for text in texts {
            let tree = Expression::parse(&text).unwrap();
            let mut by_x = |name: &str| Ok((name == "x").then_some(number(1.0)));
            let derived = differentiate(&tree, &mut by_x).unwrap();
            let formula = Formula::new(&tree, &["x", "y"], &[]).unwrap();
            let mut at = formula.evaluator();
            at.second(&[0.31, 0.67]);
            let found = Formula::new(&derived, &["x", "y"], &[]).unwrap().evaluator().value(&[0.31, 0.67]);
            assert!((found - at.gradient()[0]).abs() < 1e-13 * (1.0 + found.abs()), "{text}: {derived}");
        }
    }
}
