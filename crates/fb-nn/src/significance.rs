//! What a selection by the score is worth, as a loss of a training: the inverse of the expected significance of a counting
//! experiment with an uncertain background (arXiv:1806.00322, sections 2 and 3).

use fb_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A counting experiment whose significance is to be large. Signal is class 1, background class 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Significance {
    /// Expected events of signal before any selection.
    pub signal: f64,
    /// Expected events of background before any selection.
    pub background: f64,
    /// Relative systematic error of the selected background.
    #[serde(default)]
    pub systematic: f64,
    /// Share of the training before which it follows the cross entropy alone; the significance alone after it.
    #[serde(default = "quarter")]
    pub after: f64,
}

fn quarter() -> f64 {
    0.25
}

impl Significance {
    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let (key, found, expected) = match self {
            Self { signal, .. } if !positive(*signal) => ("signal", signal, "a positive number"),
            Self { background, .. } if !positive(*background) => ("background", background, "a positive number"),
            Self { systematic, .. } if !(0.0..=10.0).contains(systematic) => {
                ("systematic", systematic, "a number from 0 to 10")
            }
            Self { after, .. } if !(0.0..1.0).contains(after) => ("after", after, "a number from 0 to below 1"),
            _ => return Ok(()),
        };
        let place = format!("`train.significance.{key}`");
        Err(Error::Config { place, reason: format!("found {found}, expected {expected}") })
    }

    /// 1/Z of the sums of scores in a batch, and its gradient in the scores: s = S·Σwp/Σw over signal and b = B·Σwp/Σw over
    /// background, where a score p counts as the share of an event that is selected. A batch that lacks one of the two
    /// classes says nothing: zero.
    pub(crate) fn loss(&self, scores: &[f64], signal: &[bool], weights: &[f64]) -> (f64, Vec<f64>) {
        let mut sums = [[0.0; 2]; 2];
        for ((p, &signal), w) in scores.iter().zip(signal).zip(weights) {
            let [all, selected] = &mut sums[usize::from(signal)];
            *all += w;
            *selected += w * p;
        }
        if sums.iter().any(|[all, selected]| !(*all > 0.0 && *selected > 0.0)) {
            return (0.0, vec![0.0; scores.len()]);
        }
        let per_weight = [self.background / sums[0][0], self.signal / sums[1][0]];
        let (background, signal_sum) = (per_weight[0] * sums[0][1], per_weight[1] * sums[1][1]);
        let (z, slopes) = asimov(signal_sum, background, self.systematic);
        let by_class = [0, 1].map(|class| -slopes[class] * per_weight[class] / (z * z));
        let gradient = signal.iter().zip(weights).map(|(&signal, w)| w * by_class[usize::from(signal)]).collect();
        (1.0 / z, gradient)
    }
}

/// Z_A of s signal events on b ± σ background events, σ = `systematic`·b (arXiv:1806.00322, eq. 4), and its slopes [∂b, ∂s]:
/// Z² = 2((s + b) ln((s + b)(b + σ²)/(b² + (s + b)σ²)) − (b²/σ²) ln(1 + σ²s/(b(b + σ²)))).
///
/// With t = σ²/b it is 2b((1 + r) ln((1 + r)(1 + t)/(1 + (1 + r)t)) − ln(1 + tr/(1 + t))/t) of r = s/b, where no small
/// differences of large numbers are left but for small r, and t → 0 gives 2b((1 + r) ln(1 + r) − r).
fn asimov(s: f64, b: f64, systematic: f64) -> (f64, [f64; 2]) {
    let (r, t) = (s / b, systematic * systematic * b);
    // ln((1 + r)(1 + t)/(1 + (1 + r)t)) = ln(1 + r/(1 + (1 + r)t)).
    let first = (r / (1.0 + (1.0 + r) * t)).ln_1p();
    let u = r / (1.0 + t);
    let second = if t * u < 1e-8 { u } else { (t * u).ln_1p() / t };
    // Half of Z²/b: r²/2(1 + t) for small r.
    let half = if r < 1e-6 { 0.5 * r * u } else { (1.0 + r) * first - second };
    let z = (2.0 * b * half).sqrt();
    // ∂(bh)/∂s = ln(…) at fixed b: the other terms cancel.
    let by_signal = if r < 1e-6 { u } else { first };
    // ∂(bh)/∂b at fixed s, with t ∝ b: h − r·∂h/∂r + t·∂h/∂t, where t·∂h/∂t is
    // −(1 + r)rt/((1 + t)(1 + (1 + r)t)) + second − u/((1 + t)(1 + tu)).
    let by_time = second - u / ((1.0 + t) * (1.0 + t * u)) - (1.0 + r) * r * t / ((1.0 + t) * (1.0 + (1.0 + r) * t));
    let by_background = if r < 1e-6 { -0.5 * u * u * (1.0 + 2.0 * t) } else { half - r * first + by_time };
    (z, [by_background / z, by_signal / z])
}
