//! Forward-backward asymmetries of a polar angle, counted and fitted, and how far estimates of several regions are from
//! the true ones.

use fb_core::{Error, Result, Value};

/// Asymmetry from counts, A = (F − B)/(F + B), of events with cosines above and below zero; those at zero do not enter.
///
/// With signed weights w the error is σ² = Σw²(±1 − A)²/(Σw)², which is (1 − A²)/N for weights of one.
///
/// # Errors
/// [`Error::Empty`], if the weights do not sum up to more than zero.
pub fn counted(cosines: &[f64], weights: &[f64]) -> Result<Value> {
    let sides = || cosines.iter().zip(weights).filter(|(c, _)| **c != 0.0).map(|(c, w)| (c.signum(), *w));
    let total = sum_of(sides().map(|(_, w)| w))?;
    let asymmetry = sides().map(|(side, w)| side * w).sum::<f64>() / total;
    let variance = sides().map(|(side, w)| (w * (side - asymmetry)).powi(2)).sum::<f64>();
    Ok(Value::symmetric(asymmetry, variance.sqrt() / total))
}

/// The largest size of an asymmetry for which 1 + c² + (8/3)Ac is nowhere negative.
const LARGEST: f64 = 0.75;

/// Asymmetry from an unbinned fit of ⅜(1 + c² + (8/3)Ac) to the cosines c: the largest Σ w ln(1 + c² + (8/3)Ac) over
/// |A| ≤ ¾.
///
/// An acceptance that is the same for c and −c changes neither the best value nor its error: it is a factor of the
/// likelihood without A. With g = (8/3)c/(1 + c² + (8/3)Ac) the error is σ² = Σw²g²/(Σwg²)², which also holds for signed
/// weights and is 1/Σg² for weights of one.
///
/// # Errors
/// As [`counted`].
pub fn fitted(cosines: &[f64], weights: &[f64]) -> Result<Value> {
    sum_of(weights.iter().copied())?;
    let slope = |c: f64, a: f64| 8.0 / 3.0 * c / (1.0 + c * c + 8.0 / 3.0 * a * c);
    let sum = |a: f64, of: &dyn Fn(f64, f64) -> f64| -> f64 {
        cosines.iter().zip(weights).map(|(&c, &w)| of(slope(c, a), w)).sum()
    };
    let rises = |a: f64| sum(a, &|g, w| w * g) > 0.0;
    let (mut low, mut high) = (-LARGEST, LARGEST);
    while high - low > 1e-12 {
        let middle = 0.5 * (low + high);
        if rises(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let best = 0.5 * (low + high);
    let (variance, information) = (sum(best, &|g, w| (w * g).powi(2)), sum(best, &|g, w| w * g * g));
    Ok(Value::symmetric(best, variance.sqrt() / information.abs()))
}

fn sum_of(weights: impl Iterator<Item = f64>) -> Result<f64> {
    let sum: f64 = weights.sum();
    if sum > 0.0 {
        return Ok(sum);
    }
    let hint = format!("the weights of its events sum up to {sum}");
    Err(Error::Empty { what: "the sample of an asymmetry".to_owned(), hint })
}

/// Root mean square of the differences between the estimates of several regions and the true values.
pub fn distance(estimates: &[f64], truths: &[f64]) -> f64 {
    let squares: f64 = estimates.iter().zip(truths).map(|(e, t)| (e - t).powi(2)).sum();
    (squares / estimates.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// Cosines of 1 + c² + (8/3)Ac in |c| < `edge`, by rejection.
    fn events(seed: u64, n: usize, asymmetry: f64, edge: f64) -> Vec<f64> {
        let mut random = Philox::new(seed, 3, 0);
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            let c = edge * (2.0 * random.uniform() - 1.0);
            if 4.0 * random.uniform() < 1.0 + c * c + 8.0 / 3.0 * asymmetry * c {
                all.push(c);
            }
        }
        all
    }

    #[test]
    fn counts_have_the_binomial_error() {
        let cosines = [0.1, 0.5, 0.9, -0.3, 0.0];
        let found = counted(&cosines, &[1.0; 5]).unwrap();
        assert!((found.central - 0.5).abs() < 1e-15 && (found.error() - (0.75_f64 / 4.0).sqrt()).abs() < 1e-15);
        // F = 3, B = 2 − 1: A = ½, σ² = (4·¼ + 1·¼ + (4 + 1)·9/4)/16.
        let signed = counted(&[0.2, 0.4, -0.1, -0.2], &[2.0, 1.0, 2.0, -1.0]).unwrap();
        assert!((signed.central - 0.5).abs() < 1e-15 && (signed.error() - 12.5_f64.sqrt() / 4.0).abs() < 1e-15);
        assert!(counted(&[0.3], &[-1.0]).unwrap_err().to_string().contains("sum up to -1"));
    }

    #[test]
    fn fits_of_a_few_events_are_closed_forms() {
        // Two at c and one at −c: 2/(1 + c² + kA) = 1/(1 + c² − kA) with k = 8c/3, so kA = (1 + c²)/3.
        let found = fitted(&[0.8, 0.8, -0.8], &[1.0; 3]).unwrap();
        let (k, even) = (8.0 * 0.8 / 3.0, 1.64_f64);
        let best: f64 = even / (3.0 * k);
        let information: f64 = 2.0 * (k / (even + k * best)).powi(2) + (k / (even - k * best)).powi(2);
        assert!((found.central - best).abs() < 1e-10 && (found.error() - information.powf(-0.5)).abs() < 1e-10);
        // All forward: the edge of what can be.
        assert!((fitted(&[0.5, 0.2], &[1.0; 2]).unwrap().central - LARGEST).abs() < 1e-10);
    }

    /// Pulls of 400 samples have mean zero and width one (errors 0.05 and 0.035), the fit is the better of the two, and an
    /// even acceptance does not move it while it moves the count.
    #[test]
    fn pulls_are_normal_and_the_fit_needs_no_acceptance() {
        type Estimator = fn(&[f64], &[f64]) -> Result<Value>;
        let truth = 0.35;
        let pulls = |of: Estimator, edge: f64, truth: f64| {
            let found: Vec<Value> =
                (0..400).map(|seed| of(&events(seed, 300, 0.35, edge), &[1.0; 300]).unwrap()).collect();
            let pulls: Vec<f64> = found.iter().map(|v| (v.central - truth) / v.error()).collect();
            let mean = pulls.iter().sum::<f64>() / 400.0;
            let width = (pulls.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / 400.0).sqrt();
            (mean, width, found.iter().map(Value::error).sum::<f64>() / 400.0)
        };
        let (count, fit, cut) = (pulls(counted, 1.0, truth), pulls(fitted, 1.0, truth), pulls(fitted, 0.7, truth));
        for (mean, width, _) in [count, fit, cut] {
            assert!(mean.abs() < 0.2 && (width - 1.0).abs() < 0.12, "{mean} {width}");
        }
        assert!(fit.2 < 0.95 * count.2, "{} {}", fit.2, count.2);
        // ∫(8/3)Ac over half of the acceptance by that of 1 + c²: (4/3)A e/(1 + e²/3).
        let kept = 4.0 / 3.0 * truth * 0.7 / (1.0 + 0.49 / 3.0);
        let (mean, width, _) = pulls(counted, 0.7, kept);
        assert!(mean.abs() < 0.2 && (width - 1.0).abs() < 0.12, "{mean} {width}");
    }

    #[test]
    fn distances_are_root_mean_squares() {
        assert_eq!(distance(&[0.1, 0.5, 0.0, 1.0], &[0.1, 0.0, 0.5, 0.5]), (0.75_f64 / 4.0).sqrt());
    }
}
