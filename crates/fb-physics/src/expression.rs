//! Evaluates expressions over the columns of a table, event by event or particle by particle.

use std::borrow::Cow;

use fb_core::expression::Expression;
use fb_core::{Error, Events, Result};

/// The result of an expression: one number per event, or per particle with events + 1 offsets.
#[derive(Debug, Clone, PartialEq)]
pub struct Values<'a> {
    /// The numbers.
    pub values: Vec<f64>,
    /// Where the events begin, for one number per particle.
    pub offsets: Option<&'a [usize]>,
}

/// Where names get their numbers from.
pub trait Source {
    /// Number of events.
    fn events(&self) -> usize;
    /// The numbers of a name.
    fn values(&self, name: &str) -> Result<Values<'_>>;
}

impl Source for Events {
    fn events(&self) -> usize {
        self.len()
    }

    fn values(&self, name: &str) -> Result<Values<'_>> {
        let column = self.column(name)?;
        let values = (0..column.data.len()).map(|i| column.data.number(i)).collect();
        Ok(Values { values, offsets: column.offsets.as_ref().map(|o| &o[..]) })
    }
}

/// Evaluates an expression.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::Evaluation`] where particles of two collections of different lengths meet, or
/// where a reduction finds one number per event.
pub fn evaluate<'a>(expression: &Expression, source: &'a impl Source) -> Result<Values<'a>> {
    let fail = |reason: &str| Error::Evaluation { text: expression.to_string(), reason: reason.to_owned() };
    match expression {
        Expression::Number(x) => Ok(Values { values: vec![*x; source.events()], offsets: None }),
        Expression::Name(name) => source.values(name),
        Expression::Negate(x) => Ok(map(evaluate(x, source)?, |x| -x)),
        Expression::Not(x) => Ok(map(evaluate(x, source)?, |x| f64::from(u8::from(!fb_core::expression::is_true(x))))),
        Expression::Call(function, x) => Ok(map(evaluate(x, source)?, |x| function.apply(x))),
        Expression::Binary(op, a, b) => {
            let mut both = align(vec![evaluate(a, source)?, evaluate(b, source)?], &fail)?;
            let (b, a) = (both.pop(), both.pop());
            a.zip(b).map(|(a, b)| zip(a, &b, |x, y| op.apply(x, y))).ok_or_else(|| fail("an operand is missing"))
        }
        Expression::Call2(function, a, b) => {
            let mut both = align(vec![evaluate(a, source)?, evaluate(b, source)?], &fail)?;
            let (b, a) = (both.pop(), both.pop());
            a.zip(b).map(|(a, b)| zip(a, &b, |x, y| function.apply(x, y))).ok_or_else(|| fail("an operand is missing"))
        }
        Expression::If(c, a, b) => {
            let all = align(vec![evaluate(c, source)?, evaluate(a, source)?, evaluate(b, source)?], &fail)?;
            let pick = |i: usize| {
                let from = if fb_core::expression::is_true(all[0].values[i]) { 1 } else { 2 };
                all[from].values[i]
            };
            Ok(Values { values: (0..all[0].values.len()).map(pick).collect(), offsets: all[0].offsets })
        }
        Expression::Reduce(reduce, x) => {
            let x = evaluate(x, source)?;
            let offsets = x.offsets.ok_or_else(|| fail("it has one number per event, expected one per particle"))?;
            let values = offsets.windows(2).map(|o| reduce.apply(&x.values[o[0]..o[1]])).collect();
            Ok(Values { values, offsets: None })
        }
        Expression::Index(x, i) => {
            let x = evaluate(x, source)?;
            let offsets = x.offsets.ok_or_else(|| fail("it has one number per event, expected one per particle"))?;
            let at = |o: &[usize]| if o[0] + i < o[1] { x.values[o[0] + i] } else { f64::NAN };
            Ok(Values { values: offsets.windows(2).map(at).collect(), offsets: None })
        }
    }
}

fn map(mut x: Values<'_>, f: impl Fn(f64) -> f64) -> Values<'_> {
    x.values.iter_mut().for_each(|x| *x = f(*x));
    x
}

fn zip<'a>(mut a: Values<'a>, b: &Values<'_>, f: impl Fn(f64, f64) -> f64) -> Values<'a> {
    a.values.iter_mut().zip(&b.values).for_each(|(a, &b)| *a = f(*a, b));
    a
}

/// Repeats numbers per event for each particle, where any operand has one per particle.
fn align<'a>(mut all: Vec<Values<'a>>, fail: &impl Fn(&str) -> Error) -> Result<Vec<Values<'a>>> {
    let Some(offsets) = all.iter().find_map(|x| x.offsets) else { return Ok(all) };
    for x in &mut all {
        match x.offsets {
            Some(other) if other == offsets => {}
            Some(_) => return Err(fail("it joins particles of two collections of different lengths")),
            None => {
                let repeat = |(o, &v): (&[usize], &f64)| std::iter::repeat_n(v, o[1] - o[0]);
                x.values = offsets.windows(2).zip(&x.values).flat_map(repeat).collect();
                x.offsets = Some(offsets);
            }
        }
    }
    Ok(all)
}

/// One number per event.
fn per_event(text: &str, source: &impl Source) -> Result<Vec<f64>> {
    let x = evaluate(&Expression::parse(text)?, source)?;
    if x.offsets.is_some() {
        let reason = "it has one number per particle, expected one per event; try `sum`, `max` or `[0]`".to_owned();
        return Err(Error::Evaluation { text: text.to_owned(), reason });
    }
    Ok(x.values)
}

/// A table in which some values stand for a missing one.
struct Sparse<'a> {
    events: &'a Events,
    missing: &'a [f64],
}

impl Source for Sparse<'_> {
    fn events(&self) -> usize {
        self.events.len()
    }

    fn values(&self, name: &str) -> Result<Values<'_>> {
        let is_missing = |x: f64| if self.missing.contains(&x) { f64::NAN } else { x };
        Ok(map(self.events.values(name)?, is_missing))
    }
}

/// One number per event, which is NaN where it is missing: where a column that it is made of is NaN or one of `missing`.
///
/// # Errors
/// [`Error::NotFinite`] for infinite numbers, [`Error::Evaluation`] for a number per particle, and those of [`evaluate`].
pub fn sparse(text: &str, events: &Events, missing: &[f64]) -> Result<Vec<f64>> {
    let values = per_event(text, &Sparse { events, missing })?;
    match values.iter().position(|x| x.is_infinite()) {
        None => Ok(values),
        Some(event) => Err(Error::NotFinite { column: text.to_owned(), event, found: values[event] }),
    }
}

/// One finite number per event.
///
/// # Errors
/// [`Error::NotFinite`] with the event, [`Error::Evaluation`] for a number per particle, and those of [`evaluate`].
pub fn flat(text: &str, source: &impl Source) -> Result<Vec<f64>> {
    let values = per_event(text, source)?;
    finite(text, &values, |i| i)?;
    Ok(values)
}

/// Refuses names in an expression whose numbers are not all finite: comparisons with NaN do not hold, so a condition would
/// be false without a word.
///
/// # Errors
/// [`Error::NotFinite`] with the name and the event, [`Error::MissingColumn`], [`Error::Expression`].
pub fn finite_names(text: &str, source: &impl Source) -> Result<()> {
    for name in Expression::parse(text)?.names() {
        let x = source.values(name)?;
        let event = |i: usize| x.offsets.map_or(i, |offsets| offsets.partition_point(|&o| o <= i) - 1);
        finite(name, &x.values, event)?;
    }
    Ok(())
}

/// The events for which a condition holds.
pub fn select(text: &str, source: &impl Source) -> Result<Vec<usize>> {
    let x = evaluate(&Expression::parse(text)?, source)?;
    if x.offsets.is_some() {
        let reason = "a cut has one value per event, found one per particle; try `any` or `all`".to_owned();
        return Err(Error::Evaluation { text: text.to_owned(), reason });
    }
    Ok((0..x.values.len()).filter(|&i| fb_core::expression::is_true(x.values[i])).collect())
}

/// Refuses NaN and infinity, naming the event that `event` gives for an entry.
pub(crate) fn finite(name: &str, values: &[f64], event: impl Fn(usize) -> usize) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => {
            Err(Error::NotFinite { column: Cow::Borrowed(name).into_owned(), event: event(i), found: values[i] })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fb_core::{Column, Data};

    use super::*;

    fn events() -> Events {
        let offsets = Arc::new(vec![0, 2, 2, 5]);
        let pt = Data::F32(vec![30.0, 10.0, 5.0, 25.0, 1.0]);
        let eta = Data::F64(vec![0.5, -1.5, 2.5, 0.0, 1.0]);
        let met = Data::I64(vec![7, 8, 9]);
        let other = Column::jagged("jet_pt", Data::F32(vec![1.0; 3]), Arc::new(vec![0, 1, 2, 3]));
        Events::new(vec![
            Column::jagged("pt", pt, Arc::clone(&offsets)),
            Column::jagged("eta", eta, offsets),
            Column::flat("met", met),
            other,
        ])
        .unwrap()
    }

    #[test]
    fn reductions_and_broadcast() {
        let events = events();
        assert_eq!(flat("sum(pt) + met", &events).unwrap(), [47.0, 8.0, 40.0]);
        assert_eq!(flat("count(pt > met)", &events).unwrap(), [2.0, 0.0, 1.0]);
        assert_eq!(select("any(pt > 20 && abs(eta) < 0.1)", &events).unwrap(), [2]);
        assert_eq!(select("all(pt > 4) && met < 9", &events).unwrap(), [0, 1]);
        assert_eq!(select("pt[1] > 20", &events).unwrap(), [2]);
        assert_eq!(flat("if(met == 8, -1, max(met, 8.5))", &events).unwrap(), [8.5, -1.0, 9.0]);
        assert_eq!(evaluate(&Expression::parse("pt / sum(pt)").unwrap(), &events).unwrap().values[0], 0.75);
    }

    #[test]
    fn the_longest_sum_fits_into_a_small_stack() {
        let sum = "met".to_owned() + &" + met".repeat(500);
        let evaluated = move || assert_eq!(flat(&sum, &events()).unwrap()[0], 501.0 * 7.0);
        std::thread::Builder::new().stack_size(1 << 20).spawn(evaluated).unwrap().join().unwrap();
    }

    /// cos θ* from the momenta themselves: closed cases, and the definition for leptons of any directions.
    #[test]
    fn angles_of_collins_and_soper() {
        let columns = |rows: &[[f64; 6]]| {
            let column = |k: usize| Column::flat(format!("x{k}"), Data::F64(rows.iter().map(|r| r[k]).collect()));
            Events::new((0..6).map(column).collect()).unwrap()
        };
        let of = |rows: &[[f64; 6]]| flat("cos_cs(x0, x1, x2, x3, x4, x5)", &columns(rows)).unwrap();
        // Back to back in the transverse plane: tanh of half the difference of pseudorapidities, towards the pair.
        let pi = std::f64::consts::PI;
        let found = of(&[[40.0, 1.5, 0.2, 40.0, 0.5, 0.2 + pi], [40.0, -1.5, 0.2, 40.0, -0.5, 0.2 + pi]]);
        assert!(found.iter().all(|c| (c - 0.5_f64.tanh()).abs() < 1e-14), "{found:?}");
        let rows: Vec<[f64; 6]> = (0..40)
            .map(|i| {
                let mut random = fb_core::Philox::new(4, 1, i);
                let mut lepton = || [5.0 + 80.0 * random.uniform(), 2.0 * random.normal(), 6.0 * random.uniform()];
                let (a, b) = (lepton(), lepton());
                [a[0], a[1], a[2], b[0], b[1], b[2]]
            })
            .collect();
        for (row, found) in rows.iter().zip(of(&rows)) {
            let momentum =
                |[pt, eta, phi]: [f64; 3]| [pt * f64::cos(phi), pt * f64::sin(phi), pt * eta.sinh(), pt * eta.cosh()];
            let (a, b) = (momentum([row[0], row[1], row[2]]), momentum([row[3], row[4], row[5]]));
            let pair: [f64; 4] = std::array::from_fn(|k| a[k] + b[k]);
            let pt2 = pair[0].powi(2) + pair[1].powi(2);
            let m2 = pair[3].powi(2) - pt2 - pair[2].powi(2);
            let expected = 2.0 * (a[2] * b[3] - a[3] * b[2]) / (m2 * (m2 + pt2)).sqrt() * pair[2].signum();
            assert!((found - expected).abs() < 1e-9 && found.abs() <= 1.0, "{row:?}: {found} {expected}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_says_why() {
        let events = events();
        let message = |text: &str| flat(text, &events).unwrap_err().to_string();
        assert!(message("pt + jet_pt").contains("two collections of different lengths"));
        assert!(message("sum(met)").contains("one number per event"));
        assert!(message("pt").contains("one number per particle"));
        assert_eq!(message("mett"), "no column `mett`; did you mean `met`?");
        assert_eq!(message("log(met - 8)"), "`log(met - 8)` is not finite in event 0 (found NaN)");
        assert_eq!(message("max(pt)"), "`max(pt)` is not finite in event 1 (found NaN)");
    }
}
