//! Expressions as operations on doubles.

use std::collections::BTreeMap;

use fb_core::expression::{Expression, Reduce};

use super::builder::{Builder, Element, Value};
use crate::Error;

/// The value of an expression: [event, 1], or [event, particle], or without dimensions for a plain number.
#[derive(Clone)]
pub(super) struct Term {
    pub value: Value,
    /// Which particles there are [event, particle], where there is one number per particle.
    pub mask: Option<Value>,
}

/// What the names in an expression mean.
pub(super) struct Scope {
    pub names: BTreeMap<String, Term>,
}

impl Scope {
    /// Writes an expression into the graph.
    pub fn evaluate(&self, b: &mut Builder, expression: &Expression) -> Result<Term, Error> {
        let fail = |reason: &str| Error::Unsupported { reason: format!("`{expression}`: {reason}") };
        let mut each = |x: &Expression| self.evaluate(b, x);
        Ok(match expression {
            Expression::Number(x) => Term { value: b.f64(*x), mask: None },
            Expression::Name(name) => {
                self.names.get(name).cloned().ok_or_else(|| fail("the exported network does not see it"))?
            }
            Expression::Negate(x) => {
                let x = each(x)?;
                Term { value: b.op("Neg", &[&x.value]), ..x }
            }
            Expression::Not(x) => {
                let x = each(x)?;
                let truth = b.truth(&x.value);
                let not = b.op("Not", &[&truth]);
                Term { value: b.cast(&not, Element::F64), ..x }
            }
            Expression::Call(function, x) => {
                let x = each(x)?;
                Term { value: b.function(*function, &x.value), ..x }
            }
            Expression::Binary(op, x, y) => {
                let (x, y) = (each(x)?, each(y)?);
                let value = b.binary(*op, &x.value, &y.value);
                Term { value, mask: x.mask.or(y.mask) }
            }
            Expression::Call2(function, x, y) => {
                let (x, y) = (each(x)?, each(y)?);
                let value = b.function2(*function, &x.value, &y.value);
                Term { value, mask: x.mask.or(y.mask) }
            }
            Expression::If(condition, x, y) => {
                let (condition, x, y) = (each(condition)?, each(x)?, each(y)?);
                let truth = b.truth(&condition.value);
                Term { value: b.choose(&truth, &x.value, &y.value), mask: condition.mask.or(x.mask).or(y.mask) }
            }
            Expression::Reduce(reduce, x) => {
                let x = each(x)?;
                let mask = x
                    .mask
                    .as_ref()
                    .ok_or_else(|| fail("it reduces over a list, which the exported network does not see"))?;
                Term { value: self::reduce(b, *reduce, &x.value, mask), mask: None }
            }
            Expression::Index(x, i) => {
                let x = each(x)?;
                let mask = x
                    .mask
                    .as_ref()
                    .ok_or_else(|| fail("it takes from a list, which the exported network does not see"))?;
                let here = at(b, mask, *i);
                let value = b.or(&here, &x.value, 0.0);
                let value = b.sum_keep(&value, 1);
                let there = b.cast(&here, Element::F64);
                let there = b.sum_keep(&there, 1);
                let there = b.above(&there, 0.0);
                Term { value: b.or(&there, &value, f64::NAN), mask: None }
            }
        })
    }
}

/// Where the particle number `i` is, if there are so many [event, particle].
pub(super) fn at(b: &mut Builder, mask: &str, i: usize) -> Value {
    let count = b.count_up(mask, 1);
    let i = b.integer(i as i64);
    let here = b.op("Equal", &[&count, &i]);
    b.op("And", &[&here, mask])
}

/// Over the particles of each event [event, 1].
fn reduce(b: &mut Builder, reduce: Reduce, x: &str, mask: &str) -> Value {
    let truth = |b: &mut Builder| {
        let truth = b.truth(x);
        let truth = b.op("And", &[&truth, mask]);
        let truth = b.cast(&truth, Element::F64);
        b.sum_keep(&truth, 1)
    };
    let count = |b: &mut Builder| {
        let ones = b.cast(mask, Element::F64);
        b.sum_keep(&ones, 1)
    };
    let condition = match reduce {
        Reduce::Sum | Reduce::Mean => {
            let kept = b.or(mask, x, 0.0);
            let sum = b.sum_keep(&kept, 1);
            if reduce == Reduce::Sum {
                return sum;
            }
            let n = count(b);
            return b.div(&sum, &n);
        }
        Reduce::Min | Reduce::Max => {
            let (op, worst) =
                if reduce == Reduce::Min { ("ReduceMin", f64::INFINITY) } else { ("ReduceMax", f64::NEG_INFINITY) };
            let kept = b.or(mask, x, worst);
            return b.extreme(op, &kept, 1);
        }
        Reduce::Count => return truth(b),
        Reduce::Any => {
            let n = truth(b);
            b.above(&n, 0.0)
        }
        Reduce::All => {
            let (n, all) = (truth(b), count(b));
            b.op("Equal", &[&n, &all])
        }
    };
    b.cast(&condition, Element::F64)
}
