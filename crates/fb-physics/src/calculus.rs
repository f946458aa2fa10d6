//! Formulas of a few variables with their exact first and second derivatives.
//!
//! An [`Expression`] is compiled into a list of operations, constants folded. Every operation carries its value, its
//! gradient and its Hessian forward by the chain rule (second-order forward differentiation), over only those variables
//! that it depends on.

use fb_core::expression::{Binary, Expression, Function, Function2, is_true};
use fb_core::{Error, Result, closest};

/// An expression compiled for evaluation with derivatives.
///
/// ```
/// # use fb_core::expression::Expression;
/// # use fb_physics::calculus::Formula;
/// let expression = Expression::parse("a * x^2 * y").unwrap();
/// let formula = Formula::new(&expression, &["x", "y"], &[("a".to_owned(), 3.0)]).unwrap();
/// let mut at = formula.evaluator();
/// assert_eq!(at.second(&[2.0, 5.0]), 60.0);
/// assert_eq!((at.gradient(), at.hessian()), (&[60.0, 12.0][..], &[30.0, 12.0, 12.0, 0.0][..]));
/// ```
#[derive(Debug, Clone)]
pub struct Formula {
    variables: usize,
    steps: Vec<Step>,
}

/// One operation, and the variables that its result depends on.
#[derive(Debug, Clone)]
struct Step {
    operation: Operation,
    active: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Number(f64),
    Variable(usize),
    Unary(Unary, usize),
    Both(Pair, usize, usize),
    If(usize, usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum Unary {
    /// x ↦ factor·x + shift
    Affine { factor: f64, shift: f64 },
    /// x ↦ xⁿ
    Integer(i32),
    /// x ↦ xᵖ
    Power(f64),
    /// x ↦ aˣ
    Exponential(f64),
    /// x ↦ a/x
    Inverse(f64),
    /// 1 where x is not true
    Not,
    /// One of the language.
    Function(Function),
}

#[derive(Debug, Clone, Copy)]
enum Pair {
    Operator(Binary),
    Function(Function2),
}

impl Formula {
    /// Compiles an expression of these variables; `constants` are the values of other names.
    ///
    /// # Errors
    /// [`Error::Evaluation`] for a name that is neither, and for what needs the particles of an event.
    pub fn new(expression: &Expression, variables: &[&str], constants: &[(String, f64)]) -> Result<Self> {
        let mut compiler = Compiler { variables, constants, steps: Vec::new() };
        compiler.compile(expression).map_err(|reason| Error::Evaluation { text: expression.to_string(), reason })?;
        Ok(Self { variables: variables.len(), steps: compiler.steps })
    }

    /// The number of variables.
    pub fn variables(&self) -> usize {
        self.variables
    }

    /// Room to evaluate in; one a thread.
    pub fn evaluator(&self) -> Evaluator<'_> {
        let (n, steps) = (self.variables, self.steps.len());
        Evaluator {
            formula: self,
            values: vec![0.0; steps],
            gradients: vec![0.0; steps * n],
            hessians: vec![0.0; steps * n * n],
        }
    }
}

struct Compiler<'a> {
    variables: &'a [&'a str],
    constants: &'a [(String, f64)],
    steps: Vec<Step>,
}

impl Compiler<'_> {
    fn push(&mut self, operation: Operation) -> usize {
        let of = |i: usize| self.steps[i].active.clone();
        let mut active = match operation {
            Operation::Variable(i) => vec![i],
            Operation::Number(_)
            | Operation::Unary(Unary::Not | Unary::Function(Function::Floor | Function::Ceil), _) => Vec::new(),
            Operation::Unary(_, a) => of(a),
            Operation::Both(Pair::Operator(op), ..) if !is_smooth(op) => Vec::new(),
            Operation::Both(_, a, b) | Operation::If(_, a, b) => [of(a), of(b)].concat(),
        };
        active.sort_unstable();
        active.dedup();
        self.steps.push(Step { operation, active });
        self.steps.len() - 1
    }

    fn number(&self, at: usize) -> Option<f64> {
        if let Operation::Number(x) = self.steps[at].operation { Some(x) } else { None }
    }

    fn unary(&mut self, unary: Unary, x: usize) -> usize {
        match self.number(x) {
            Some(value) => self.push(Operation::Number(unary.chain(value).0)),
            None => self.push(Operation::Unary(unary, x)),
        }
    }

    fn binary(&mut self, op: Binary, a: usize, b: usize) -> usize {
        let unary = match (op, self.number(a), self.number(b)) {
            (_, Some(x), Some(y)) => return self.push(Operation::Number(op.apply(x, y))),
            (Binary::Add, Some(shift), None) => (Unary::Affine { factor: 1.0, shift }, b),
            (Binary::Add, None, Some(shift)) => (Unary::Affine { factor: 1.0, shift }, a),
            (Binary::Subtract, Some(shift), None) => (Unary::Affine { factor: -1.0, shift }, b),
            (Binary::Subtract, None, Some(y)) => (Unary::Affine { factor: 1.0, shift: -y }, a),
            (Binary::Multiply, Some(factor), None) => (Unary::Affine { factor, shift: 0.0 }, b),
            (Binary::Multiply, None, Some(factor)) => (Unary::Affine { factor, shift: 0.0 }, a),
            (Binary::Divide, None, Some(y)) => (Unary::Affine { factor: 1.0 / y, shift: 0.0 }, a),
            (Binary::Divide, Some(x), None) => (Unary::Inverse(x), b),
            (Binary::Power, None, Some(p)) if p.fract() == 0.0 && p.abs() < 64.0 => (Unary::Integer(p as i32), a),
            (Binary::Power, None, Some(p)) => (Unary::Power(p), a),
            (Binary::Power, Some(base), None) => (Unary::Exponential(base), b),
            _ => return self.push(Operation::Both(Pair::Operator(op), a, b)),
        };
        self.push(Operation::Unary(unary.0, unary.1))
    }

    fn compile(&mut self, expression: &Expression) -> std::result::Result<usize, String> {
        Ok(match expression {
            Expression::Number(x) => self.push(Operation::Number(*x)),
            Expression::Name(name) => {
                if let Some(at) = self.variables.iter().position(|variable| variable == name) {
                    self.push(Operation::Variable(at))
                } else if let Some((_, value)) = self.constants.iter().find(|(constant, _)| constant == name) {
                    self.push(Operation::Number(*value))
                } else {
                    let known = self.variables.iter().copied().chain(self.constants.iter().map(|(c, _)| c.as_str()));
                    let hint = closest(name, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    return Err(format!("no variable `{name}`{hint}"));
                }
            }
            Expression::Negate(x) => {
                let x = self.compile(x)?;
                self.unary(Unary::Affine { factor: -1.0, shift: 0.0 }, x)
            }
            Expression::Not(x) => {
                let x = self.compile(x)?;
                self.unary(Unary::Not, x)
            }
            Expression::Call(function, x) => {
                let x = self.compile(x)?;
                self.unary(Unary::Function(*function), x)
            }
            Expression::Binary(op, a, b) => {
                let (a, b) = (self.compile(a)?, self.compile(b)?);
                self.binary(*op, a, b)
            }
            Expression::Call2(function, a, b) => {
                let (a, b) = (self.compile(a)?, self.compile(b)?);
                self.push(Operation::Both(Pair::Function(*function), a, b))
            }
            Expression::If(c, a, b) => {
                let (c, a, b) = (self.compile(c)?, self.compile(a)?, self.compile(b)?);
                self.push(Operation::If(c, a, b))
            }
            Expression::Reduce(..) | Expression::Index(..) => {
                return Err("expected a formula of numbers, found one over the particles of an event".to_owned());
            }
        })
    }
}

/// Whether an operator has derivatives; comparisons and logic are constant wherever they have one.
fn is_smooth(op: Binary) -> bool {
    matches!(op, Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Power)
}

impl Unary {
    /// f(x), f′(x), f″(x)
    #[inline]
    fn chain(self, x: f64) -> (f64, f64, f64) {
        match self {
            Self::Affine { factor, shift } => (factor * x + shift, factor, 0.0),
            Self::Integer(0) => (1.0, 0.0, 0.0),
            Self::Integer(1) => (x, 1.0, 0.0),
            Self::Integer(2) => (x * x, 2.0 * x, 2.0),
            Self::Integer(n) => {
                let (p, last) = (f64::from(n), x.powi(n - 2));
                (last * x * x, p * last * x, p * (p - 1.0) * last)
            }
            Self::Power(p) => (x.powf(p), p * x.powf(p - 1.0), p * (p - 1.0) * x.powf(p - 2.0)),
            Self::Exponential(base) => {
                let (value, slope) = (base.powf(x), base.ln());
                (value, slope * value, slope * slope * value)
            }
            Self::Inverse(a) => (a / x, -a / (x * x), 2.0 * a / (x * x * x)),
            Self::Not => (f64::from(u8::from(!is_true(x))), 0.0, 0.0),
            Self::Function(function) => chain(function, x),
        }
    }
}

/// f(x), f′(x), f″(x)
fn chain(function: Function, x: f64) -> (f64, f64, f64) {
    let f = function.apply(x);
    let (first, second) = match function {
        Function::Abs => (if x == 0.0 { 0.0 } else { x.signum() }, 0.0),
        Function::Sqrt => (0.5 / f, -0.25 / (f * x)),
        Function::Cbrt => (f / (3.0 * x), -2.0 * f / (9.0 * x * x)),
        Function::Exp => (f, f),
        Function::Expm1 => (x.exp(), x.exp()),
        Function::Log => (1.0 / x, -1.0 / (x * x)),
        Function::Log10 => (std::f64::consts::LOG10_E / x, -std::f64::consts::LOG10_E / (x * x)),
        Function::Log1p => (1.0 / (1.0 + x), -1.0 / ((1.0 + x) * (1.0 + x))),
        Function::Sin => (x.cos(), -f),
        Function::Cos => (-x.sin(), -f),
        Function::Tan => (1.0 + f * f, 2.0 * f * (1.0 + f * f)),
        Function::Asin | Function::Acos => {
            let slope = if function == Function::Asin { 1.0 } else { -1.0 } / (1.0 - x * x).sqrt();
            (slope, slope * x / (1.0 - x * x))
        }
        Function::Atan => (1.0 / (1.0 + x * x), -2.0 * x / ((1.0 + x * x) * (1.0 + x * x))),
        Function::Sinh => (x.cosh(), f),
        Function::Cosh => (x.sinh(), f),
        Function::Tanh => (1.0 - f * f, -2.0 * f * (1.0 - f * f)),
        Function::Asinh => (1.0 / (x * x + 1.0).sqrt(), -x / ((x * x + 1.0) * (x * x + 1.0).sqrt())),
        Function::Acosh => (1.0 / (x * x - 1.0).sqrt(), -x / ((x * x - 1.0) * (x * x - 1.0).sqrt())),
        Function::Atanh => (1.0 / (1.0 - x * x), 2.0 * x / ((1.0 - x * x) * (1.0 - x * x))),
        Function::Floor | Function::Ceil => (0.0, 0.0),
    };
    (f, first, second)
}

/// A function of two numbers and its partial derivatives.
struct Partials {
    value: f64,
    a: f64,
    b: f64,
    aa: f64,
    ab: f64,
    bb: f64,
}

impl Pair {
    fn partials(self, a: f64, b: f64) -> Partials {
        let of = |value, (fa, fb), (aa, ab, bb)| Partials { value, a: fa, b: fb, aa, ab, bb };
        match self {
            Self::Operator(op) => {
                let value = op.apply(a, b);
                match op {
                    Binary::Add => of(value, (1.0, 1.0), (0.0, 0.0, 0.0)),
                    Binary::Subtract => of(value, (1.0, -1.0), (0.0, 0.0, 0.0)),
                    Binary::Multiply => of(value, (b, a), (0.0, 1.0, 0.0)),
                    Binary::Divide => {
                        let inverse = 1.0 / b;
                        let square = inverse * inverse;
                        of(value, (inverse, -a * square), (0.0, -square, 2.0 * a * square * inverse))
                    }
                    Binary::Power => {
                        let (log, less) = (a.ln(), a.powf(b - 1.0));
                        let mixed = less * (1.0 + b * log);
                        of(value, (b * less, value * log), (b * (b - 1.0) * a.powf(b - 2.0), mixed, value * log * log))
                    }
                    _ => of(value, (0.0, 0.0), (0.0, 0.0, 0.0)),
                }
            }
            Self::Function(function) => {
                let value = function.apply(a, b);
                match function {
                    Function2::Min | Function2::Max => {
                        let left = f64::from(u8::from(value == a));
                        of(value, (left, 1.0 - left), (0.0, 0.0, 0.0))
                    }
                    Function2::Hypot => {
                        let (x, y) = (a / value, b / value);
                        of(value, (x, y), (y * y / value, -x * y / value, x * x / value))
                    }
                    Function2::Atan2 => {
                        let square = a * a + b * b;
                        let (mixed, twice) = ((a * a - b * b) / (square * square), 2.0 * a * b / (square * square));
                        of(value, (b / square, -a / square), (-twice, mixed, twice))
                    }
                }
            }
        }
    }
}

/// Values, gradient and Hessian of a [`Formula`] at a point.
#[derive(Debug, Clone)]
pub struct Evaluator<'a> {
    formula: &'a Formula,
    values: Vec<f64>,
    gradients: Vec<f64>,
    hessians: Vec<f64>,
}

impl Evaluator<'_> {
    /// The value at `x`.
    pub fn value(&mut self, x: &[f64]) -> f64 {
        for (at, step) in self.formula.steps.iter().enumerate() {
            self.values[at] = match step.operation {
                Operation::Number(value) => value,
                Operation::Variable(i) => x[i],
                Operation::Unary(unary, a) => unary.chain(self.values[a]).0,
                Operation::Both(Pair::Operator(op), a, b) => op.apply(self.values[a], self.values[b]),
                Operation::Both(Pair::Function(function), a, b) => function.apply(self.values[a], self.values[b]),
                Operation::If(c, a, b) => self.values[if is_true(self.values[c]) { a } else { b }],
            };
        }
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// The value at `x`; [`Self::gradient`] is that of this point then.
    pub fn first(&mut self, x: &[f64]) -> f64 {
        let n = self.formula.variables;
        for (at, step) in self.formula.steps.iter().enumerate() {
            let (before, gradient) = self.gradients.split_at_mut(at * n);
            let first = |k: usize| &before[k * n..][..n];
            self.values[at] = match step.operation {
                Operation::Number(value) => value,
                Operation::Variable(i) => {
                    gradient[i] = 1.0;
                    x[i]
                }
                Operation::Unary(unary, a) => {
                    let (value, slope, _) = unary.chain(self.values[a]);
                    step.active.iter().for_each(|&i| gradient[i] = slope * first(a)[i]);
                    value
                }
                Operation::Both(pair, a, b) => {
                    let f = pair.partials(self.values[a], self.values[b]);
                    step.active.iter().for_each(|&i| gradient[i] = f.a * first(a)[i] + f.b * first(b)[i]);
                    f.value
                }
                Operation::If(c, a, b) => {
                    let taken = if is_true(self.values[c]) { a } else { b };
                    gradient[..n].copy_from_slice(first(taken));
                    self.values[taken]
                }
            };
        }
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// The value at `x`; [`Self::gradient`] and [`Self::hessian`] are those of this point then.
    pub fn second(&mut self, x: &[f64]) -> f64 {
        let n = self.formula.variables;
        for (at, step) in self.formula.steps.iter().enumerate() {
            let (before, gradient) = self.gradients.split_at_mut(at * n);
            let (earlier, hessian) = self.hessians.split_at_mut(at * n * n);
            let (first, second) = (|k: usize| &before[k * n..][..n], |k: usize| &earlier[k * n * n..][..n * n]);
            self.values[at] = match step.operation {
                Operation::Number(value) => value,
                Operation::Variable(i) => {
                    gradient[i] = 1.0;
                    x[i]
                }
                Operation::Unary(unary, a) => {
                    let (value, slope, curvature) = unary.chain(self.values[a]);
                    let (ga, ha) = (first(a), second(a));
                    for &i in &step.active {
                        gradient[i] = slope * ga[i];
                        for &j in &step.active {
                            hessian[i * n + j] = slope * ha[i * n + j] + curvature * ga[i] * ga[j];
                        }
                    }
                    value
                }
                Operation::Both(pair, a, b) => {
                    let f = pair.partials(self.values[a], self.values[b]);
                    let (ga, gb, ha, hb) = (first(a), first(b), second(a), second(b));
                    for &i in &step.active {
                        gradient[i] = f.a * ga[i] + f.b * gb[i];
                        let (left, right) = (f.aa * ga[i] + f.ab * gb[i], f.ab * ga[i] + f.bb * gb[i]);
                        for &j in &step.active {
                            let k = i * n + j;
                            hessian[k] = f.a * ha[k] + f.b * hb[k] + left * ga[j] + right * gb[j];
                        }
                    }
                    f.value
                }
                Operation::If(c, a, b) => {
                    let taken = if is_true(self.values[c]) { a } else { b };
                    gradient[..n].copy_from_slice(first(taken));
                    hessian[..n * n].copy_from_slice(second(taken));
                    self.values[taken]
                }
            };
        }
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// ∂f/∂xᵢ where [`Self::first`] or [`Self::second`] was asked last.
    pub fn gradient(&self) -> &[f64] {
        &self.gradients[self.gradients.len() - self.formula.variables..]
    }

    /// ∂²f/∂xᵢ∂xⱼ, row by row, where [`Self::second`] was asked last.
    pub fn hessian(&self) -> &[f64] {
        &self.hessians[self.hessians.len() - self.formula.variables.pow(2)..]
    }
}

#[cfg(test)]
mod tests {
    use super::Formula;
    use fb_core::expression::Expression;

    fn formula(text: &str) -> Formula {
        Formula::new(&Expression::parse(text).unwrap(), &["x", "y"], &[("c".to_owned(), 0.7)]).unwrap()
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let unary = "abs sqrt cbrt exp expm1 log log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh atanh";
        let mut texts: Vec<String> = unary.split(' ').map(|f| format!("{f}(0.3 * x + c * y * y)")).collect();
        let more = [
            "acosh(3 + x * y)",
            "x^3 * y - 2 / x + y / (x + 2)",
            "x^y + 2^(x * y) + x^2.5 + y^-3 + (y - x)^c",
            "min(x, y) * max(x, 2) * hypot(x, y) + atan2(x * y, y + 1)",
            "if(x < y, x^2 * y, y^3) + floor(x) + (x > y)",
        ];
        texts.extend(more.map(str::to_owned));
        for text in texts {
            let formula = formula(&text);
            let (mut at, point, h) = (formula.evaluator(), [0.31, 0.67], 1e-4);
            let value = at.second(&point);
            assert_eq!(value, at.clone().value(&point), "{text}");
            let (gradient, hessian) = (at.gradient().to_vec(), at.hessian().to_vec());
            assert_eq!((formula.evaluator().first(&point), at.gradient()), (value, &gradient[..]), "{text}");
            for i in 0..2 {
                let mut shifted = |by: f64| {
                    let mut x = point;
                    x[i] += by;
                    (at.second(&x), at.gradient().to_vec())
                };
                let (up, down) = (shifted(h), shifted(-h));
                let slope = (up.0 - down.0) / (2.0 * h);
                assert!((slope - gradient[i]).abs() < 1e-6 * (1.0 + slope.abs()), "{text}: {slope} {}", gradient[i]);
                for j in 0..2 {
                    let (curve, found) = ((up.1[j] - down.1[j]) / (2.0 * h), hessian[2 * i + j]);
                    assert!((curve - found).abs() < 2e-6 * (1.0 + curve.abs()), "{text}: {curve} {found}");
                }
            }
        }
    }

    #[test]
    fn unknown_names_and_particles_are_refused() {
        let error =
            |text: &str| Formula::new(&Expression::parse(text).unwrap(), &["phi"], &[]).unwrap_err().to_string();
        assert_eq!(error("ph^2"), "cannot evaluate `(ph ^ 2.0)`: no variable `ph`; did you mean `phi`?");
        assert!(error("sum(phi)").contains("over the particles of an event"));
    }
}
