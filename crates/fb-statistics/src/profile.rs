//! Profile-likelihood intervals: where −2 ln L, lowest in all other parameters, has risen by a given amount.

use fb_core::run::gather;
use fb_core::{Error, Result, Workers};

/// An end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// Where −2 ln L has risen by what was asked for.
    Found(f64),
    /// The bound of the parameter: −2 ln L has risen by less there.
    Bound(f64),
}

impl End {
    /// The place.
    pub fn value(self) -> f64 {
        match self {
            Self::Found(x) | Self::Bound(x) => x,
        }
    }
}

/// (x, `rise`(x)) at `points` places within three errors of the best value and between the bounds; places without a rise
/// are left out.
pub(crate) fn scan(
    (best, error): (f64, f64),
    bounds: (f64, f64),
    points: usize,
    workers: &dyn Workers,
    rise: &(dyn Fn(f64) -> Option<f64> + Sync),
) -> Vec<(f64, f64)> {
    let (low, high) = ((best - 3.0 * error).max(bounds.0), (best + 3.0 * error).min(bounds.1));
    if low.is_nan() || high.is_nan() || low >= high {
        return Vec::new();
    }
    let one = |k: usize| {
        let x = low + (high - low) * k as f64 / (points - 1) as f64;
        Some((x, rise(x)?))
    };
    gather(workers, points, &one).into_iter().flatten().collect()
}

/// An end is found when −2 ln L is within this of what is sought.
const TOLERANCE: f64 = 1e-6;
const STEPS: usize = 40;
/// −2 ln L below that of the best fit by more than this shows a better one.
const BETTER: f64 = 1e-5;

/// The end of the interval of a parameter on one side of its best value, below it if `error`, its error, is negative.
/// `conditional` gives −2 ln L where the parameter is held, lowest in all others; at the best value it is `lowest`. It
/// rises by `rise`: 1 for 68.3%, 3.841 for 95% of one parameter. The parameter does not go beyond `bound`.
///
/// # Errors
/// [`Error::Fit`] if a conditional fit is better than the best fit, or if there is no end; those of `conditional`.
pub fn end(
    conditional: &mut dyn FnMut(f64) -> Result<f64>,
    (best, lowest): (f64, f64),
    bound: f64,
    error: f64,
    rise: f64,
) -> Result<End> {
    let fail = |reason: String| Error::Fit { reason };
    let side = error.signum();
    // √Δ is near to a straight line in the parameter, so secants of it find the end in a few steps.
    let goal = rise.sqrt();
    let mut root = |x: f64| -> Result<f64> {
        let risen = conditional(x)? - lowest;
        if risen < -BETTER {
            return Err(fail(format!("-2 ln L is lower by {:e} at {x} than at the best fit", -risen)));
        }
        Ok(risen.max(0.0).sqrt())
    };
    let (mut inside, mut outside) = ((best, 0.0), None::<(f64, f64)>);
    let mut step = error.abs() * goal;
    if !(step > 0.0 && step.is_finite()) {
        return Err(fail("there is no error to start its interval from".to_owned()));
    }
    for _ in 0..STEPS {
        let x = match outside {
            // Within the bracket, and away from its ends.
            Some(outside) => {
                let part = ((goal - inside.1) / (outside.1 - inside.1)).clamp(0.02, 0.98);
                inside.0 + part * (outside.0 - inside.0)
            }
            None => inside.0 + side * step,
        };
        let x = if side * (x - bound) >= 0.0 { bound } else { x };
        let risen = root(x)?;
        if (risen * risen - rise).abs() < TOLERANCE {
            return Ok(End::Found(x));
        }
        if risen > goal {
            outside = Some((x, risen));
        } else if x == bound {
            return Ok(End::Bound(x));
        } else {
            let slope = ((risen - inside.1) / (x - inside.0).abs()).max(0.05 * goal / step);
            step = ((goal - risen) / slope * 1.05).max(0.01 * error.abs());
            inside = (x, risen);
        }
        if let Some(outside) = outside
            && (outside.0 - inside.0).abs() < 1e-12 * (1.0 + inside.0.abs())
        {
            return Ok(End::Found(inside.0));
        }
    }
    Err(fail(format!("-2 ln L does not rise by {rise} within {STEPS} steps of its interval")))
}

#[cfg(test)]
mod tests {
    use super::{End, end};

    #[test]
    fn the_ends_are_where_the_likelihood_has_risen() {
        // Twelve events of a mean μb, with b known to ±1 about 10: 2(μb − 12 ln μb) + (b − 10)², whose maximum in b solves
        // 2μ − 24/b + 2(b − 10) = 0.
        let mut profile = |mu: f64| {
            let half = 0.5 * (10.0 - mu);
            let b = half + (half * half + 12.0).sqrt();
            Ok(2.0 * (mu * b - 12.0 * (mu * b).ln()) + (b - 10.0).powi(2))
        };
        let lowest = profile(1.2).unwrap();
        for (error, rise) in [(0.4, 1.0), (-0.4, 1.0), (3.0, 3.841), (-0.05, 3.841)] {
            let bound = if error > 0.0 { 10.0 } else { 0.0 };
            let End::Found(x) = end(&mut profile, (1.2, lowest), bound, error, rise).unwrap() else {
                panic!("a bound")
            };
            assert!((profile(x).unwrap() - lowest - rise).abs() < 3e-6 && (x > 1.2) == (error > 0.0), "{x}");
        }
        assert_eq!(end(&mut profile, (1.2, lowest), 1.3, 0.4, 1.0).unwrap(), End::Bound(1.3));
        let elsewhere = profile(2.0).unwrap();
        assert!(end(&mut profile, (2.0, elsewhere), 0.0, -0.4, 1.0).is_err());
    }
}
