//! Profile-likelihood intervals: where −2 ln L, lowest in all other parameters, has risen by a given amount.

use fb_core::{Error, Result};

use crate::minimise::{Objective, Status, minimise};

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

/// An end is found when −2 ln L is within this of what is sought.
const TOLERANCE: f64 = 1e-6;
const STEPS: usize = 40;
/// −2 ln L below that of the best fit by more than this shows a better one.
const BETTER: f64 = 1e-5;

/// The end of the interval of parameter `i` on one side of the best fit `best`, whose error is about `error`; negative
/// below it. −2 ln L rises by `rise`: 1 for 68.3%, 3.841 for 95% of one parameter.
///
/// # Errors
/// [`Error::Fit`] if a conditional fit fails, if one is better than the best fit, or if there is no end.
pub fn end(
    objective: &impl Objective,
    best: &[f64],
    bounds: &[(f64, f64)],
    i: usize,
    error: f64,
    rise: f64,
) -> Result<End> {
    let fail = |reason: String| Error::Fit { reason };
    let lowest = objective.value(best);
    let (side, bound) = if error < 0.0 { (-1.0, bounds[i].0) } else { (1.0, bounds[i].1) };
    // √Δ is near to a straight line in the parameter, so secants of it find the end in a few steps.
    let goal = rise.sqrt();
    let mut theta = best.to_vec();
    let mut conditional = |x: f64| -> Result<f64> {
        let mut held = bounds.to_vec();
        held[i] = (x, x);
        theta[i] = x;
        let minimum = minimise(objective, &theta, &held);
        if minimum.status != Status::Converged {
            return Err(fail(format!("a conditional fit of its interval failed at {x}")));
        }
        let risen = minimum.value - lowest;
        if risen < -BETTER {
            return Err(fail(format!("-2 ln L is lower by {:e} at {x} than at the best fit", -risen)));
        }
        theta = minimum.x;
        Ok(risen.max(0.0).sqrt())
    };
    let (mut inside, mut outside) = ((best[i], 0.0), None::<(f64, f64)>);
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
        let risen = conditional(x)?;
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
    use crate::matrix::Matrix;
    use crate::minimise::Objective;

    /// n events of a mean μ b, with b known to ±1 about 10: 2(μb − n ln μb) + (b − 10)².
    struct Counting(f64);

    impl Objective for Counting {
        fn value(&self, x: &[f64]) -> f64 {
            let mean = x[0] * x[1];
            2.0 * (mean - self.0 * mean.ln()) + (x[1] - 10.0).powi(2)
        }

        fn gradient(&self, x: &[f64]) -> Vec<f64> {
            let by_mean = 2.0 - 2.0 * self.0 / (x[0] * x[1]);
            vec![by_mean * x[1], by_mean * x[0] + 2.0 * (x[1] - 10.0)]
        }

        fn curvature(&self, x: &[f64]) -> Matrix {
            let weight = 2.0 / (x[0] * x[1]);
            let mut matrix = Matrix::zeros(2);
            matrix.row_mut(0).copy_from_slice(&[weight * x[1] * x[1], weight * x[0] * x[1]]);
            matrix.row_mut(1).copy_from_slice(&[weight * x[0] * x[1], weight * x[0] * x[0] + 2.0]);
            matrix
        }
    }

    #[test]
    fn the_ends_are_where_the_likelihood_has_risen() {
        let counting = Counting(12.0);
        let (best, bounds) = ([1.2, 10.0], [(0.0, 10.0), (1.0, 20.0)]);
        // The conditional maximum in b solves 2μ − 2n/b + 2(b − 10) = 0.
        let profile = |mu: f64| {
            let half = 0.5 * (10.0 - mu);
            let b = half + (half * half + 12.0).sqrt();
            counting.value(&[mu, b])
        };
        for (error, rise) in [(0.4, 1.0), (-0.4, 1.0), (3.0, 3.841), (-0.05, 3.841)] {
            let End::Found(x) = end(&counting, &best, &bounds, 0, error, rise).unwrap() else { panic!("a bound") };
            assert!((profile(x) - profile(1.2) - rise).abs() < 3e-6 && (x > 1.2) == (error > 0.0), "{x}");
        }
        let narrow = [(0.0, 1.3), (1.0, 20.0)];
        assert_eq!(end(&counting, &best, &narrow, 0, 0.4, 1.0).unwrap(), End::Bound(1.3));
        assert!(end(&counting, &[2.0, 10.0], &bounds, 0, -0.4, 1.0).is_err());
    }
}
