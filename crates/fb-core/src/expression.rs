//! The one expression language, for cuts, variables and weights: its syntax tree and parser.
//!
//! Arithmetic (`+ - * / ^`), comparisons, `&& || !`, elementary functions, and reductions over the particles of an
//! event: `sum(part_pt)`, `count(part_pt > 10)`, `max(part_pt)`, and formulas of the field: `cos_cs`, of two leptons. There
//! is no access to anything but the columns.
//! Evaluation is in fb-physics; the exporters write the same tree into their graphs.

use std::fmt;

use crate::{Error, Result, closest};

/// An operation on two numbers. Comparisons and logic give 1 or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they say what they are")]
pub enum Binary {
    Or,
    And,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

impl Binary {
    const ALL: [(Self, &'static str, u8); 13] = [
        (Self::Or, "||", 1),
        (Self::And, "&&", 2),
        (Self::LessEqual, "<=", 3),
        (Self::GreaterEqual, ">=", 3),
        (Self::Equal, "==", 3),
        (Self::NotEqual, "!=", 3),
        (Self::Less, "<", 3),
        (Self::Greater, ">", 3),
        (Self::Add, "+", 4),
        (Self::Subtract, "-", 4),
        (Self::Multiply, "*", 5),
        (Self::Divide, "/", 5),
        (Self::Power, "^", 7),
    ];

    fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(op, ..)| *op == self).map_or("?", |(_, symbol, _)| symbol)
    }

    /// Its result on two numbers; comparisons with NaN are false.
    #[inline]
    pub fn apply(self, a: f64, b: f64) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            Self::Or => truth(is_true(a) || is_true(b)),
            Self::And => truth(is_true(a) && is_true(b)),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::Greater => truth(a > b),
            Self::GreaterEqual => truth(a >= b),
            Self::Equal => truth(a == b),
            Self::NotEqual => truth(a != b),
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Power => a.powf(b),
        }
    }
}

/// Whether a number counts as true: neither zero nor NaN.
pub fn is_true(x: f64) -> bool {
    x != 0.0 && !x.is_nan()
}

/// The smaller number; NaN if one is, so that a bound such as `max(x, 1e-3)` does not hide that x is broken.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

/// The larger number; NaN if one is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Functions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they say what they are")]
pub enum Function {
    Abs,
    Sqrt,
    Cbrt,
    Exp,
    Expm1,
    Log,
    Log10,
    Log1p,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Floor,
    Ceil,
}

impl Function {
    const ALL: [(Self, &'static str); 22] = [
        (Self::Abs, "abs"),
        (Self::Sqrt, "sqrt"),
        (Self::Cbrt, "cbrt"),
        (Self::Exp, "exp"),
        (Self::Expm1, "expm1"),
        (Self::Log, "log"),
        (Self::Log10, "log10"),
        (Self::Log1p, "log1p"),
        (Self::Sin, "sin"),
        (Self::Cos, "cos"),
        (Self::Tan, "tan"),
        (Self::Asin, "asin"),
        (Self::Acos, "acos"),
        (Self::Atan, "atan"),
        (Self::Sinh, "sinh"),
        (Self::Cosh, "cosh"),
        (Self::Tanh, "tanh"),
        (Self::Asinh, "asinh"),
        (Self::Acosh, "acosh"),
        (Self::Atanh, "atanh"),
        (Self::Floor, "floor"),
        (Self::Ceil, "ceil"),
    ];

    /// Its value.
    #[inline]
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Sqrt => x.sqrt(),
            Self::Cbrt => x.cbrt(),
            Self::Exp => x.exp(),
            Self::Expm1 => x.exp_m1(),
            Self::Log => x.ln(),
            Self::Log10 => x.log10(),
            Self::Log1p => x.ln_1p(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
            Self::Asin => x.asin(),
            Self::Acos => x.acos(),
            Self::Atan => x.atan(),
            Self::Sinh => x.sinh(),
            Self::Cosh => x.cosh(),
            Self::Tanh => x.tanh(),
            Self::Asinh => x.asinh(),
            Self::Acosh => x.acosh(),
            Self::Atanh => x.atanh(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
        }
    }
}

/// Functions of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they say what they are")]
pub enum Function2 {
    Min,
    Max,
    Hypot,
    Atan2,
}

impl Function2 {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Min, "min"), (Self::Max, "max"), (Self::Hypot, "hypot"), (Self::Atan2, "atan2")];

    /// Its value.
    #[inline]
    pub fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Min => smaller(a, b),
            Self::Max => larger(a, b),
            Self::Hypot => a.hypot(b),
            Self::Atan2 => a.atan2(b),
        }
    }
}

/// Reductions over the particles of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Zero without particles.
    Sum,
    /// NaN without particles.
    Mean,
    /// NaN without particles, or if one is.
    Min,
    /// NaN without particles, or if one is.
    Max,
    /// Whether one is true.
    Any,
    /// Whether all are true.
    All,
    /// How many are true.
    Count,
}

impl Reduce {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Sum, "sum"),
        (Self::Mean, "mean"),
        (Self::Min, "min"),
        (Self::Max, "max"),
        (Self::Any, "any"),
        (Self::All, "all"),
        (Self::Count, "count"),
    ];

    /// Its value over the entries of one event.
    pub fn apply(self, entries: &[f64]) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            Self::Sum => entries.iter().sum(),
            Self::Mean => entries.iter().sum::<f64>() / entries.len() as f64,
            Self::Min => entries.iter().copied().reduce(smaller).unwrap_or(f64::NAN),
            Self::Max => entries.iter().copied().reduce(larger).unwrap_or(f64::NAN),
            Self::Any => truth(entries.iter().any(|&x| is_true(x))),
            Self::All => truth(entries.iter().all(|&x| is_true(x))),
            Self::Count => entries.iter().filter(|&&x| is_true(x)).count() as f64,
        }
    }
}

/// A formula by name: the expression that a call of it stands for, with the arguments in place of its parameters.
struct Formula {
    name: &'static str,
    parameters: &'static [&'static str],
    text: &'static str,
}

impl Formula {
    const ALL: [Self; 1] = [
        // The polar angle of the negative lepton (1) in the frame of Collins and Soper (Phys. Rev. D 16 (1977) 2219), against
        // the axis on the side that the pair flies to; both leptons massless. With p± = E ± p_z it is
        // sgn(p_z) (p1⁺p2⁻ − p1⁻p2⁺)/(m √(m² + pT²)), where p1⁺p2⁻ − p1⁻p2⁺ = 2 pT1 pT2 sinh Δη,
        // m² = 4 pT1 pT2 (sinh² Δη/2 + sin² Δφ/2) and m² + pT² = pT1² + pT2² + 2 pT1 pT2 cosh Δη.
        Self {
            name: "cos_cs",
            parameters: &["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"],
            text: "if(pt1*sinh(eta1) + pt2*sinh(eta2) < 0, -1, 1) * sinh(eta1 - eta2) * sqrt(pt1*pt2 / \
                   ((sinh((eta1 - eta2)/2)^2 + sin((phi1 - phi2)/2)^2) * (pt1^2 + pt2^2 + 2*pt1*pt2*cosh(eta1 - eta2))))",
        },
    ];

    fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|formula| formula.name == name)
    }

    fn of(&self, arguments: &[Expression]) -> Result<Expression> {
        let place = |name: &String| self.parameters.iter().position(|p| p == name);
        Ok(Expression::parse(self.text)?
            .map_names(&|name| place(name).map_or_else(|| Expression::Name(name.clone()), |i| arguments[i].clone())))
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// A column, or a quantity of a particle.
    Name(String),
    /// −x.
    Negate(Box<Expression>),
    /// 1 where x is not true.
    Not(Box<Expression>),
    /// a ∘ b.
    Binary(Binary, Box<Expression>, Box<Expression>),
    /// f(x).
    Call(Function, Box<Expression>),
    /// f(a, b).
    Call2(Function2, Box<Expression>, Box<Expression>),
    /// Over the particles of an event.
    Reduce(Reduce, Box<Expression>),
    /// `if(c, a, b)`.
    If(Box<Expression>, Box<Expression>, Box<Expression>),
    /// Particle number i of each event, from zero; NaN where there are not so many.
    Index(Box<Expression>, usize),
}

/// Longest text of an expression, in bytes.
const LONGEST: usize = 10_000;
/// Deepest nesting.
const DEEPEST: usize = 100;
/// Most operations: a long sum is a deep tree, and whatever walks over a tree needs a stack as deep.
const MOST: usize = 500;
/// Binds tighter than products, looser than powers: −x^2 is −(x²).
const UNARY: u8 = 6;

impl Expression {
    /// Reads an expression.
    ///
    /// ```
    /// # use fb_core::expression::Expression;
    /// let cut = Expression::parse("jet_pt > 550 && abs(jet_eta) < 2").unwrap();
    /// assert_eq!(cut.names(), ["jet_eta", "jet_pt"]);
    /// ```
    ///
    /// # Errors
    /// [`Error::Expression`] with the character and what was expected there.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0, depth: 0, operations: 0 };
        if text.len() > LONGEST {
            return Err(Error::Expression {
                text: text.chars().take(40).collect(),
                position: LONGEST,
                reason: format!("longer than {LONGEST} bytes"),
            });
        }
        let expression = parser.binary(0)?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.error("expected an operator or the end"));
        }
        Ok(expression)
    }

    /// The names it uses, sorted, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit(&mut |e| {
            if let Self::Name(name) = e {
                names.push(name.as_str());
            }
        });
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The same with other expressions in place of names.
    fn map_names(self, of: &impl Fn(&String) -> Self) -> Self {
        let inner = |x: Box<Self>| Box::new(x.map_names(of));
        match self {
            Self::Number(_) => self,
            Self::Name(name) => of(&name),
            Self::Negate(x) => Self::Negate(inner(x)),
            Self::Not(x) => Self::Not(inner(x)),
            Self::Binary(op, a, b) => Self::Binary(op, inner(a), inner(b)),
            Self::Call(function, x) => Self::Call(function, inner(x)),
            Self::Call2(function, a, b) => Self::Call2(function, inner(a), inner(b)),
            Self::Reduce(reduce, x) => Self::Reduce(reduce, inner(x)),
            Self::If(c, a, b) => Self::If(inner(c), inner(a), inner(b)),
            Self::Index(x, i) => Self::Index(inner(x), i),
        }
    }

    fn visit<'a>(&'a self, each: &mut impl FnMut(&'a Self)) {
        each(self);
        match self {
            Self::Number(_) | Self::Name(_) => {}
            Self::Negate(x) | Self::Not(x) | Self::Call(_, x) | Self::Reduce(_, x) | Self::Index(x, _) => x.visit(each),
            Self::Binary(_, a, b) | Self::Call2(_, a, b) => {
                a.visit(each);
                b.visit(each);
            }
            Self::If(c, a, b) => {
                c.visit(each);
                a.visit(each);
                b.visit(each);
            }
        }
    }
}

impl fmt::Display for Expression {
    /// With a bracket around every operation, so that it reads back as the same tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(x) => write!(f, "{x:?}"),
            Self::Name(name) => f.write_str(name),
            Self::Negate(x) => write!(f, "(-{x})"),
            Self::Not(x) => write!(f, "(!{x})"),
            Self::Binary(op, a, b) => write!(f, "({a} {} {b})", op.symbol()),
            Self::Call(function, x) => write!(f, "{}({x})", name_of(&Function::ALL, function)),
            Self::Call2(function, a, b) => write!(f, "{}({a}, {b})", name_of(&Function2::ALL, function)),
            Self::Reduce(reduce, x) => write!(f, "{}({x})", name_of(&Reduce::ALL, reduce)),
            Self::If(c, a, b) => write!(f, "if({c}, {a}, {b})"),
            Self::Index(x, i) => write!(f, "{x}[{i}]"),
        }
    }
}

fn name_of<T: PartialEq>(all: &[(T, &'static str)], wanted: &T) -> &'static str {
    all.iter().find(|(item, _)| item == wanted).map_or("?", |(_, name)| name)
}

fn of_name<T: Copy>(all: &[(T, &'static str)], wanted: &str) -> Option<T> {
    all.iter().find(|(_, name)| *name == wanted).map(|(item, _)| *item)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    operations: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        let position = self.text[..self.at].chars().count() + 1;
        Error::Expression { text: self.text.to_owned(), position, reason: reason.into() }
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn operation(&mut self) -> Result<()> {
        self.operations += 1;
        if self.operations > MOST { Err(self.error(format!("more than {MOST} operations"))) } else { Ok(()) }
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(format!("expected `{symbol}`"))) }
    }

    /// Operators that bind at least as tightly as `least`, by precedence climbing.
    fn binary(&mut self, least: u8) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("nested more than {DEEPEST} deep")));
        }
        let mut left = self.unary()?;
        loop {
            self.space();
            let found = Binary::ALL.iter().find(|(_, symbol, _)| self.rest().starts_with(symbol));
            let Some(&(op, symbol, binding)) = found.filter(|(.., binding)| *binding >= least) else { break };
            self.operation()?;
            self.at += symbol.len();
            // The power binds to the right, all others to the left.
            let right = self.binary(if op == Binary::Power { UNARY } else { binding + 1 })?;
            left = Expression::Binary(op, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression> {
        self.space();
        if self.rest().starts_with('-') {
            self.at += 1;
            return Ok(Expression::Negate(Box::new(self.binary(UNARY)?)));
        }
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.at += 1;
            return Ok(Expression::Not(Box::new(self.binary(UNARY)?)));
        }
        let mut value = self.primary()?;
        while self.take("[") {
            self.operation()?;
            self.space();
            let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            let Ok(index) = self.rest()[..digits].parse() else {
                return Err(self.error("expected a number of a particle, from zero"));
            };
            self.at += digits;
            self.expect("]")?;
            value = Expression::Index(Box::new(value), index);
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expression> {
        if self.take("(") {
            let inner = self.binary(0)?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.rest().chars().next() {
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.name(),
            Some(_) => Err(self.error("expected a number, a name or `(`")),
            None => Err(self.error("expected a number, a name or `(`, found the end")),
        }
    }

    fn number(&mut self) -> Result<Expression> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') {
            end += 1 + digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let Ok(value) = self.rest()[..end].parse::<f64>() else { return Err(self.error("expected a number")) };
        if value.is_infinite() {
            return Err(self.error(format!("expected a number of at most {:?}", f64::MAX)));
        }
        self.at += end;
        Ok(Expression::Number(value))
    }

    fn name(&mut self) -> Result<Expression> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let start = self.at;
        let name = &self.rest()[..end];
        self.at += end;
        if !self.take("(") {
            return Ok(match name {
                "true" => Expression::Number(1.0),
                "false" => Expression::Number(0.0),
                "pi" => Expression::Number(std::f64::consts::PI),
                _ => Expression::Name(name.to_owned()),
            });
        }
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(self.binary(0)?);
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        let end = std::mem::replace(&mut self.at, start);
        let call = self.call(name, arguments)?;
        self.at = end;
        Ok(call)
    }

    /// A formula with these arguments, each of which may stand in it several times.
    fn formula(&mut self, formula: &Formula, arguments: &[Expression]) -> Result<Expression> {
        let (name, expected, found) = (formula.name, formula.parameters.len(), arguments.len());
        if found != expected {
            let parameters = formula.parameters.join(", ");
            return Err(self.error(format!("`{name}` takes {expected} arguments ({parameters}), found {found}")));
        }
        let whole = formula.of(arguments)?;
        whole.visit(&mut |e| self.operations += usize::from(!matches!(e, Expression::Number(_) | Expression::Name(_))));
        if self.operations > MOST { Err(self.error(format!("more than {MOST} operations"))) } else { Ok(whole) }
    }

    fn call(&mut self, name: &str, arguments: Vec<Expression>) -> Result<Expression> {
        if let Some(formula) = Formula::named(name) {
            return self.formula(formula, &arguments);
        }
        let count = arguments.len();
        let mut boxed = arguments.into_iter().map(Box::new);
        let wrong = |expected: &str| Err(self.error(format!("`{name}` takes {expected}, found {count}")));
        match (name, boxed.next(), boxed.next(), boxed.next()) {
            ("if", Some(c), Some(a), Some(b)) if count == 3 => Ok(Expression::If(c, a, b)),
            ("if", ..) => wrong("three arguments"),
            // Of a particle with respect to its jet.
            ("deta" | "dphi" | "dr", Some(x), None, _) if *x == Expression::Name("jet".to_owned()) => {
                Ok(Expression::Name(name.to_owned()))
            }
            ("deta" | "dphi" | "dr", ..) => Err(self.error(format!("expected `{name}(jet)`"))),
            (_, Some(a), Some(b), None) if of_name(&Function2::ALL, name).is_some() => {
                let function = of_name(&Function2::ALL, name).unwrap_or(Function2::Min);
                Ok(Expression::Call2(function, a, b))
            }
            (_, Some(x), None, _) => match (of_name(&Function::ALL, name), of_name(&Reduce::ALL, name)) {
                (Some(function), _) => Ok(Expression::Call(function, x)),
                (None, Some(reduce)) => Ok(Expression::Reduce(reduce, x)),
                (None, None) if of_name(&Function2::ALL, name).is_some() => wrong("two arguments"),
                (None, None) => Err(self.unknown(name)),
            },
            _ if of_name(&Function::ALL, name).is_some() || of_name(&Reduce::ALL, name).is_some() => {
                wrong("one argument")
            }
            _ if of_name(&Function2::ALL, name).is_some() => wrong("two arguments"),
            _ => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let functions = Function::ALL.iter().map(|f| f.1);
        let all = functions.chain(Function2::ALL.iter().map(|f| f.1)).chain(Reduce::ALL.iter().map(|f| f.1));
        let all = all.chain(Formula::ALL.iter().map(|f| f.name));
        let hint = closest(name, all.chain(["if", "deta", "dphi", "dr"]));
        self.error(format!(
            "no function `{name}`{}",
            hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Expression::parse(text).unwrap().to_string()
    }

    #[test]
    fn precedence_is_that_of_mathematics() {
        assert_eq!(shown("1 + 2 * 3 ^ 2 ^ 2"), "(1.0 + (2.0 * (3.0 ^ (2.0 ^ 2.0))))");
        assert_eq!(shown("-x^2 - -y"), "((-(x ^ 2.0)) - (-y))");
        assert_eq!(shown("a < b && !c || d >= 2e-3"), "(((a < b) && (!c)) || (d >= 0.002))");
        assert_eq!(shown("8 / 4 / 2"), "((8.0 / 4.0) / 2.0)");
        assert_eq!(shown("2 ^ -1"), "(2.0 ^ (-1.0))");
        assert_eq!(shown("max(part_pt) > max(a, 3)"), "(max(part_pt) > max(a, 3.0))");
        assert_eq!(shown("Muon_pt[0] > 20"), "(Muon_pt[0] > 20.0)");
        assert_eq!(shown("log(pt / jet_pt) + deta(jet)"), "(log((pt / jet_pt)) + deta)");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["if(a > 1, sqrt(b), -c)", "sum(x * (y - 2)) / count(x > 0)", "atan2(y, x)[3]", "!(a == b) != c"] {
            let once = Expression::parse(text).unwrap();
            assert_eq!(Expression::parse(&once.to_string()).unwrap(), once);
        }
    }

    #[test]
    fn bounds_do_not_hide_what_is_broken() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(Function2::Min.apply(a, b).is_nan() && Function2::Max.apply(a, b).is_nan());
            assert!(Reduce::Min.apply(&[2.0, a, b]).is_nan() && Reduce::Max.apply(&[a, b, 2.0]).is_nan());
        }
        assert_eq!((Function2::Min.apply(1.0, 2.0), Function2::Max.apply(1.0, 2.0)), (1.0, 2.0));
        assert_eq!((Reduce::Min.apply(&[3.0, 1.0, 2.0]), Reduce::Max.apply(&[1.0, 3.0, 2.0])), (1.0, 3.0));
    }

    #[test]
    fn errors_say_where_and_what() {
        let message = |text: &str| Expression::parse(text).unwrap_err().to_string();
        assert_eq!(
            message("1 + "),
            "cannot read the expression `1 + ` at character 5: expected a number, a name or `(`, found the end"
        );
        assert!(message("sqr(x)").contains("no function `sqr`; did you mean `sqrt`?"));
        assert!(message("(a").contains("expected `)`"));
        assert!(message("atan2(x)").contains("takes two arguments, found 1"));
        assert!(message("cos_cs(a, b)").contains("takes 6 arguments (pt1, eta1, phi1, pt2, eta2, phi2), found 2"));
        assert!(message("cos_ts(a)").contains("did you mean `cos_cs`?"));
        // Formulas in formulas grow in no time.
        let nested = (0..8).fold("a".to_owned(), |inner, _| format!("cos_cs({inner}, b, c, {inner}, e, f)"));
        assert!(message(&nested).contains("more than 500 operations"));
        assert!(message("a b").contains("expected an operator or the end"));
        assert!(message(&"(".repeat(5000)).contains("nested more than"));
        assert!(message(&"-".repeat(9000)).contains("nested more than"));
        assert!(message(&"a+".repeat(9000)).contains("longer than"));
    }
}
