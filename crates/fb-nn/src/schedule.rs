//! Learning rate against training step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate moves; `lr` is its largest value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Always `lr`.
    #[default]
    Constant,
    /// lr·(1 + cos(π·t))/2 with t from 0 to 1 over the training.
    Cosine,
    /// From lr/25 up to lr over the first 30% of the steps, down to lr/250,000 over the rest, along cosines
    /// (arXiv:1708.07120).
    OneCycle,
    /// lr·0.01ᵗ with t from 0 to 1 over the training.
    Exponential,
    /// lr, a tenth of it after half of the epochs, a hundredth after three quarters.
    Step,
    /// Half of it each time the validation loss has not fallen for three epochs.
    Plateau,
}

impl Schedule {
    /// Learning rate of step `step` of `steps`, in units of `lr`. `halvings` counts the plateaus so far.
    pub fn factor(self, step: usize, steps: usize, halvings: i32) -> f64 {
        let cosine = |from: f64, to: f64, t: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * t).cos()) / 2.0;
        let total = steps.max(2) as f64;
        let s = step as f64;
        match self {
            Self::Constant => 1.0,
            Self::Cosine => cosine(1.0, 0.0, s / total),
            Self::Exponential => 0.01f64.powf(s / total),
            Self::OneCycle => {
                let top = (0.3 * total - 1.0).max(1e-9);
                let first = 1.0 / 25.0;
                if s <= top {
                    cosine(first, 1.0, s / top)
                } else {
                    cosine(1.0, first * 1e-4, ((s - top) / (total - 1.0 - top).max(1e-9)).min(1.0))
                }
            }
            Self::Step => [1.0, 0.1, 0.01][usize::from(s >= total * 0.5) + usize::from(s >= total * 0.75)],
            Self::Plateau => 0.5f64.powi(halvings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cycle_starts_peaks_and_ends_as_published() {
        let at = |s| Schedule::OneCycle.factor(s, 100, 0);
        assert!((at(0) - 0.04).abs() < 1e-12 && (at(29) - 1.0).abs() < 1e-12 && (at(99) - 4e-6).abs() < 1e-12);
        assert!((0..29).all(|s| at(s) < at(s + 1)) && (29..99).all(|s| at(s) > at(s + 1)));
    }

    #[test]
    fn cosine_and_step_fall() {
        assert!((Schedule::Cosine.factor(50, 100, 0) - 0.5).abs() < 1e-12);
        assert_eq!([0, 50, 75].map(|s| Schedule::Step.factor(s, 100, 0)), [1.0, 0.1, 0.01]);
        assert!((Schedule::Exponential.factor(50, 100, 0) - 0.1).abs() < 1e-12);
        assert_eq!(Schedule::Plateau.factor(7, 100, 2), 0.25);
    }
}
