//! Elementary functions in double precision, from the few that runtimes have in it.

use std::f64::consts::{FRAC_PI_2, LOG10_E, PI, TAU};

use fb_core::expression::{Binary, Function, Function2};

use super::builder::{Builder, Element, Value};

impl Builder {
    /// x + y.
    pub fn add(&mut self, x: &str, y: &str) -> Value {
        self.op("Add", &[x, y])
    }

    /// x − y.
    pub fn sub(&mut self, x: &str, y: &str) -> Value {
        self.op("Sub", &[x, y])
    }

    /// x·y.
    pub fn mul(&mut self, x: &str, y: &str) -> Value {
        self.op("Mul", &[x, y])
    }

    /// x / y.
    pub fn div(&mut self, x: &str, y: &str) -> Value {
        self.op("Div", &[x, y])
    }

    /// x + c.
    pub fn plus(&mut self, x: &str, c: f64) -> Value {
        let c = self.f64(c);
        self.add(x, &c)
    }

    /// c·x.
    pub fn times(&mut self, x: &str, c: f64) -> Value {
        let c = self.f64(c);
        self.mul(x, &c)
    }

    /// Whether x > c.
    pub fn above(&mut self, x: &str, c: f64) -> Value {
        let c = self.f64(c);
        self.op("Greater", &[x, &c])
    }

    /// Whether x < c.
    pub fn below(&mut self, x: &str, c: f64) -> Value {
        let c = self.f64(c);
        self.op("Less", &[x, &c])
    }

    /// `x` where `condition`, else c.
    pub fn or(&mut self, condition: &str, x: &str, c: f64) -> Value {
        let c = self.f64(c);
        self.choose(condition, x, &c)
    }

    /// √(x² + y²).
    pub fn hypot(&mut self, x: &str, y: &str) -> Value {
        let (x, y) = (self.mul(x, x), self.mul(y, y));
        let square = self.add(&x, &y);
        self.op("Sqrt", &[&square])
    }

    /// Sine and cosine.
    fn sin_cos(&mut self, x: &str) -> (Value, Value) {
        // Older runtimes have no cosine in double precision.
        let turned = self.plus(x, FRAC_PI_2);
        (self.op("Sin", &[x]), self.op("Sin", &[&turned]))
    }

    /// Angle of (x, y) in (−π, π].
    ///
    /// The arc tangent exists in single precision only; one Newton step makes it double.
    pub fn atan2(&mut self, y: &str, x: &str) -> Value {
        let r = self.hypot(x, y);
        let some = self.above(&r, 0.0);
        let r = self.or(&some, &r, 1.0);
        let [side, height] = [x, y].map(|x| self.op("Abs", &[x]));
        let sum = self.add(&r, &side);
        let half = self.div(&height, &sum);
        let half = self.cast(&half, Element::F32);
        let half = self.op("Atan", &[&half]);
        let half = self.cast(&half, Element::F64);
        let right = self.times(&half, 2.0);
        let left = self.times(&right, -1.0);
        let left = self.plus(&left, PI);
        let [behind, under] = [x, y].map(|x| self.below(x, 0.0));
        let up = self.choose(&behind, &left, &right);
        let down = self.op("Neg", &[&up]);
        let seed = self.choose(&under, &down, &up);
        let (sin, cos) = self.sin_cos(&seed);
        let (a, b) = (self.mul(y, &cos), self.mul(x, &sin));
        let error = self.sub(&a, &b);
        let error = self.div(&error, &r);
        self.add(&seed, &error)
    }

    /// φ₁ − φ₂ in (−π, π].
    pub fn delta_phi(&mut self, phi1: &str, phi2: &str) -> Value {
        let delta = self.sub(phi1, phi2);
        let high = self.above(&delta, PI);
        let lower = self.plus(&delta, -TAU);
        let delta = self.choose(&high, &lower, &delta);
        let bound = self.f64(-PI);
        let low = self.op("LessOrEqual", &[&delta, &bound]);
        let higher = self.plus(&delta, TAU);
        self.choose(&low, &higher, &delta)
    }

    /// ln(1 + x), exact for small x (W. Kahan): ln(u)·x/(u − 1) with u = 1 + x as rounded.
    fn log1p(&mut self, x: &str) -> Value {
        let u = self.plus(x, 1.0);
        let log = self.op("Log", &[&u]);
        let rounded = self.plus(&u, -1.0);
        let small = self.op("Abs", &[x]);
        let small = self.below(&small, 1.0);
        let zero = self.f64(0.0);
        let same = self.op("Equal", &[&rounded, &zero]);
        let divisor = self.f64(1.0);
        let divisor = self.choose(&same, &divisor, &rounded);
        let corrected = self.mul(&log, x);
        let corrected = self.div(&corrected, &divisor);
        let corrected = self.choose(&same, x, &corrected);
        self.choose(&small, &corrected, &log)
    }

    /// eˣ − 1, exact for small x (W. Kahan): (u − 1)·x/ln u with u = eˣ as rounded.
    fn expm1(&mut self, x: &str) -> Value {
        let u = self.op("Exp", &[x]);
        let difference = self.plus(&u, -1.0);
        let log = self.op("Log", &[&u]);
        let small = self.op("Abs", &[x]);
        let small = self.below(&small, 1.0);
        let zero = self.f64(0.0);
        let same = self.op("Equal", &[&log, &zero]);
        let divisor = self.f64(1.0);
        let divisor = self.choose(&same, &divisor, &log);
        let corrected = self.mul(&difference, x);
        let corrected = self.div(&corrected, &divisor);
        let corrected = self.choose(&same, x, &corrected);
        self.choose(&small, &corrected, &difference)
    }

    /// f(|x|)·sgn(x) of an odd function.
    fn odd(&mut self, x: &str, f: impl FnOnce(&mut Self, &str) -> Value) -> Value {
        let positive = self.op("Abs", &[x]);
        let sign = self.op("Sign", &[x]);
        let value = f(self, &positive);
        self.mul(&sign, &value)
    }

    /// asinh x = sgn(x)·ln(1 + |x| + x²/(1 + √(x² + 1))).
    pub fn asinh(&mut self, x: &str) -> Value {
        self.odd(x, |b, x| {
            let one = b.f64(1.0);
            let root = b.hypot(x, &one);
            let root = b.plus(&root, 1.0);
            let square = b.mul(x, x);
            let rest = b.div(&square, &root);
            let sum = b.add(x, &rest);
            b.log1p(&sum)
        })
    }

    /// √((1 − x)(1 + x)).
    fn complement(&mut self, x: &str) -> Value {
        let square = self.mul(x, x);
        let square = self.times(&square, -1.0);
        let square = self.plus(&square, 1.0);
        self.op("Sqrt", &[&square])
    }

    /// A function of the expression language.
    pub fn function(&mut self, function: Function, x: &str) -> Value {
        match function {
            Function::Abs => self.op("Abs", &[x]),
            Function::Sqrt => self.op("Sqrt", &[x]),
            Function::Exp => self.op("Exp", &[x]),
            Function::Log => self.op("Log", &[x]),
            Function::Floor => self.op("Floor", &[x]),
            Function::Ceil => self.op("Ceil", &[x]),
            Function::Tanh => self.op("Tanh", &[x]),
            Function::Expm1 => self.expm1(x),
            Function::Log1p => self.log1p(x),
            Function::Asinh => self.asinh(x),
            Function::Sin => self.sin_cos(x).0,
            Function::Cos => self.sin_cos(x).1,
            Function::Tan => {
                let (sin, cos) = self.sin_cos(x);
                self.div(&sin, &cos)
            }
            Function::Log10 => {
                let log = self.op("Log", &[x]);
                self.times(&log, LOG10_E)
            }
            Function::Cbrt => self.odd(x, |b, x| {
                let third = b.f64(1.0 / 3.0);
                b.op("Pow", &[x, &third])
            }),
            Function::Atan => {
                let one = self.f64(1.0);
                self.atan2(x, &one)
            }
            Function::Asin => {
                let other = self.complement(x);
                self.atan2(x, &other)
            }
            Function::Acos => {
                let other = self.complement(x);
                self.atan2(&other, x)
            }
            // With m = e^|x| − 1: sinh |x| = (m + m/(m + 1))/2.
            Function::Sinh => self.odd(x, |b, x| {
                let m = b.expm1(x);
                let more = b.plus(&m, 1.0);
                let ratio = b.div(&m, &more);
                let sum = b.add(&m, &ratio);
                b.times(&sum, 0.5)
            }),
            Function::Cosh => {
                let minus = self.op("Neg", &[x]);
                let [a, b] = [x, &minus].map(|x| self.op("Exp", &[x]));
                let sum = self.add(&a, &b);
                self.times(&sum, 0.5)
            }
            Function::Acosh => {
                let square = self.mul(x, x);
                let square = self.plus(&square, -1.0);
                let root = self.op("Sqrt", &[&square]);
                let sum = self.add(x, &root);
                self.op("Log", &[&sum])
            }
            // atanh |x| = ln(1 + 2|x|/(1 − |x|))/2.
            Function::Atanh => self.odd(x, |b, x| {
                let one = b.f64(1.0);
                let less = b.sub(&one, x);
                let twice = b.times(x, 2.0);
                let ratio = b.div(&twice, &less);
                let log = b.log1p(&ratio);
                b.times(&log, 0.5)
            }),
        }
    }

    /// A function of two numbers of the expression language.
    pub fn function2(&mut self, function: Function2, x: &str, y: &str) -> Value {
        match function {
            Function2::Min => self.op("Min", &[x, y]),
            Function2::Max => self.op("Max", &[x, y]),
            Function2::Hypot => self.hypot(x, y),
            Function2::Atan2 => self.atan2(x, y),
        }
    }

    /// Whether a number counts as true: neither zero nor NaN.
    pub fn truth(&mut self, x: &str) -> Value {
        let size = self.op("Abs", &[x]);
        self.above(&size, 0.0)
    }

    /// An operator of the expression language; comparisons and logic give 1 or 0.
    pub fn binary(&mut self, binary: Binary, x: &str, y: &str) -> Value {
        let condition = match binary {
            Binary::Add => return self.add(x, y),
            Binary::Subtract => return self.sub(x, y),
            Binary::Multiply => return self.mul(x, y),
            Binary::Divide => return self.div(x, y),
            Binary::Power => return self.op("Pow", &[x, y]),
            Binary::Or | Binary::And => {
                let [x, y] = [x, y].map(|x| self.truth(x));
                self.op(if binary == Binary::Or { "Or" } else { "And" }, &[&x, &y])
            }
            Binary::Less => self.op("Less", &[x, y]),
            Binary::LessEqual => self.op("LessOrEqual", &[x, y]),
            Binary::Greater => self.op("Greater", &[x, y]),
            Binary::GreaterEqual => self.op("GreaterOrEqual", &[x, y]),
            Binary::Equal => self.op("Equal", &[x, y]),
            Binary::NotEqual => {
                let equal = self.op("Equal", &[x, y]);
                self.op("Not", &[&equal])
            }
        };
        self.cast(&condition, Element::F64)
    }
}
