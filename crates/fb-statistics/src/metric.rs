//! Metrics of a binary classifier, by the names of the experiment file.

use fb_core::{Error, Result, closest};

use crate::bootstrap::quantile_edges;
use crate::roc::Ranking;

/// A number that says how good scores are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Area under the ROC curve.
    Auc,
    /// Weighted share of events with (score > ½) = signal.
    Accuracy,
    /// The mean of the two classes' accuracies.
    BalancedAccuracy,
    /// 1/ε_B at this signal efficiency.
    Rejection(f64),
    /// Largest approximate median significance, for so many events of signal and of background.
    Ams([f64; 2]),
    /// Largest Asimov significance, for so many events of signal and of background and this relative error of the latter.
    Asimov([f64; 3]),
    /// Largest ε_S/√ε_B with at least 100 effective background events.
    MaxSic,
    /// Expected calibration error: mean |share of signal − mean score| over 15 bins of equal population.
    CalibrationError,
    /// Mean −ln p of the true class.
    LogLoss,
    /// Effective efficiency of a flavour tagger, Σᵢ εᵢ (1 − 2wᵢ)², over bins of the dilution r = |2p − 1|.
    TaggingPower,
    /// How much the background that passes at this signal efficiency differs in a variable from the background that fails:
    /// Jensen and Shannon's divergence in bits over bins of equal population, less what it is by chance (see
    /// [`Evaluation::with_groups`]).
    Sculpting(f64),
    /// Share of the background classes that is taken where so much of the signal classes is.
    Mistag(Mistag),
}

/// Classes against classes: jets of the first are told from those of the second by D = p_S/(p_S + p_B), where p_S and p_B
/// are sums of the probabilities of the two groups; others are left out. P(b)/(P(b) + P(light)) is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistag {
    /// Share of the signal classes that is kept.
    pub efficiency: f64,
    /// Bit k: class k is signal.
    pub signal: u32,
    /// Bit k: class k is background.
    pub background: u32,
}

impl Mistag {
    /// From `0.7(0+1+2|4+5)`.
    fn parse(text: &str) -> Option<Self> {
        let (efficiency, groups) = text.strip_suffix(')')?.split_once('(')?;
        let efficiency: f64 = efficiency.parse().ok().filter(|e| *e > 0.0 && *e < 1.0)?;
        let (signal, background) = groups.split_once('|')?;
        let group = |text: &str| {
            text.split('+').try_fold(0u32, |all, class| {
                let bit = 1u32.checked_shl(class.trim().parse().ok()?)?;
                (all & bit == 0).then_some(all | bit)
            })
        };
        let (signal, background) = (group(signal)?, group(background)?);
        (signal & background == 0).then_some(Self { efficiency, signal, background })
    }

    fn name(self) -> String {
        let group = |bits: u32| {
            let classes: Vec<String> = (0..32).filter(|k| bits >> k & 1 == 1).map(|k| k.to_string()).collect();
            classes.join("+")
        };
        format!("mistag@{}({}|{})", self.efficiency, group(self.signal), group(self.background))
    }

    /// One more than the largest class that it names.
    pub fn classes(self) -> usize {
        (32 - (self.signal | self.background).leading_zeros()) as usize
    }
}

/// Edges of the bins of the dilution (arXiv:2110.00790).
const DILUTIONS: [f64; 6] = [0.1, 0.25, 0.5, 0.625, 0.75, 0.875];

impl Metric {
    const NAMES: [(&'static str, Self); 7] = [
        ("auc", Self::Auc),
        ("accuracy", Self::Accuracy),
        ("balanced_accuracy", Self::BalancedAccuracy),
        ("max_sic", Self::MaxSic),
        ("ece", Self::CalibrationError),
        ("log_loss", Self::LogLoss),
        ("tagging_power", Self::TaggingPower),
    ];

    /// From its name: `auc`, `accuracy`, `balanced_accuracy`, `rejection@0.3`, `ams@692,411000`,
    /// `asimov@692,411000,0.1`, `max_sic`, `ece`, `log_loss`, `tagging_power`, `sculpting@0.5`, `mistag@0.7(0+1+2|4)`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest name, [`Error::Config`] for a signal efficiency outside of (0, 1) and for
    /// numbers of events that are not positive.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some(expected) = name.strip_prefix("ams@") {
            let numbers = expected.split_once(',').map(|(s, b)| [s, b].map(|x| x.trim().parse().unwrap_or(f64::NAN)));
            return match numbers {
                Some(n) if n.iter().all(|x| *x > 0.0 && x.is_finite()) => Ok(Self::Ams(n)),
                _ => Err(Error::Config {
                    place: format!("metric `{name}`"),
                    reason: format!(
                        "found `{expected}`, expected numbers of signal and background events as in `ams@692,411000`"
                    ),
                }),
            };
        }
        if let Some(text) = name.strip_prefix("asimov@") {
            let numbers: Vec<f64> = text.split(',').map(|x| x.trim().parse().unwrap_or(f64::NAN)).collect();
            return match numbers[..] {
                [s, b, error] if [s, b, error + 1.0].iter().all(|x| *x > 0.0 && x.is_finite()) && error >= 0.0 => {
                    Ok(Self::Asimov([s, b, error]))
                }
                _ => Err(Error::Config {
                    place: format!("metric `{name}`"),
                    reason: format!(
                        "found `{text}`, expected numbers of signal and background events and a relative error as in \
                         `asimov@692,411000,0.1`"
                    ),
                }),
            };
        }
        if let Some(text) = name.strip_prefix("mistag@") {
            return Mistag::parse(text).map(Self::Mistag).ok_or_else(|| Error::Config {
                place: format!("metric `{name}`"),
                reason: format!(
                    "found `{text}`, expected a signal efficiency between 0 and 1 and two groups of classes as in \
                     `mistag@0.7(0+1+2|4)`"
                ),
            });
        }
        let at_efficiency = [("rejection@", Self::Rejection as fn(f64) -> Self), ("sculpting@", Self::Sculpting)];
        let found = at_efficiency.into_iter().find_map(|(prefix, metric)| Some((name.strip_prefix(prefix)?, metric)));
        if let Some((efficiency, metric)) = found {
            return match efficiency.parse() {
                Ok(e) if e > 0.0 && e < 1.0 => Ok(metric(e)),
                _ => Err(Error::Config {
                    place: format!("metric `{name}`"),
                    reason: format!("found the signal efficiency `{efficiency}`, expected a number between 0 and 1"),
                }),
            };
        }
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, metric)| *metric).ok_or_else(|| Error::UnknownName {
            what: "metric",
            name: name.to_owned(),
            closest: closest(
                name,
                Self::NAMES.iter().map(|(n, _)| *n).chain(["rejection@0.3", "ams@692,411000", "mistag@0.7(1|0)"]),
            ),
        })
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Rejection(e) => format!("rejection@{e}"),
            Self::Sculpting(e) => format!("sculpting@{e}"),
            Self::Mistag(mistag) => mistag.name(),
            Self::Ams([s, b]) => format!("ams@{s},{b}"),
            Self::Asimov([s, b, error]) => format!("asimov@{s},{b},{error}"),
            _ => Self::NAMES.iter().find(|(_, m)| *m == self).map_or_else(String::new, |(n, _)| (*n).to_owned()),
        }
    }
}

/// Scores of events, ranked once, to compute metrics for many sets of weights.
pub struct Evaluation<'a> {
    ranking: Ranking,
    scores: &'a [f64],
    signal: &'a [bool],
    /// Bin of the calibration error of each event.
    bins: Vec<u8>,
    /// Bin of each event in the variable whose sculpting is measured.
    groups: &'a [u8],
}

const BINS: usize = 15;

impl<'a> Evaluation<'a> {
    /// Ranks the events.
    ///
    /// # Errors
    /// As [`Ranking::new`].
    pub fn new(scores: &'a [f64], signal: &'a [bool]) -> Result<Self> {
        let ranking = Ranking::new(scores, signal)?;
        let edges = quantile_edges(scores, BINS);
        let bins = scores.iter().map(|s| edges[1..BINS].partition_point(|e| e <= s) as u8).collect();
        Ok(Self { ranking, scores, signal, bins, groups: &[] })
    }

    /// With the bin of each event in the variable whose sculpting is measured; without them it is NaN.
    #[must_use]
    pub fn with_groups(self, groups: &'a [u8]) -> Self {
        Self { groups, ..self }
    }

    /// The ranking.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// Each metric with these weights.
    ///
    /// # Errors
    /// As [`Ranking::roc`].
    pub fn metrics(&self, metrics: &[Metric], weights: &[f64]) -> Result<Vec<f64>> {
        let roc = self.ranking.roc(weights)?;
        let share = |ok: &dyn Fn(usize) -> bool, of: &dyn Fn(usize) -> bool| {
            let sum =
                |f: &dyn Fn(usize) -> bool| -> f64 { (0..weights.len()).filter(|&i| f(i)).map(|i| weights[i]).sum() };
            sum(&|i| ok(i) && of(i)) / sum(of)
        };
        let right = |i: usize| (self.scores[i] > 0.5) == self.signal[i];
        let value = |metric: &Metric| match *metric {
            Metric::Auc => roc.auc(),
            Metric::Accuracy => share(&right, &|_| true),
            Metric::BalancedAccuracy => {
                f64::midpoint(share(&right, &|i| self.signal[i]), share(&right, &|i| !self.signal[i]))
            }
            Metric::Rejection(e) => roc.rejection(e),
            Metric::Mistag(m) => roc.background_at(m.efficiency),
            Metric::Sculpting(e) => self.sculpting(roc.threshold_at(e), weights),
            Metric::Ams(expected) => roc.largest_ams(expected),
            Metric::Asimov(expected) => roc.largest_asimov(expected),
            Metric::MaxSic => roc.max_significance_improvement(),
            Metric::CalibrationError => self.calibration_error(weights),
            Metric::TaggingPower => self.tagging_power(weights),
            Metric::LogLoss => {
                let loss = |i: usize| {
                    let p = if self.signal[i] { self.scores[i] } else { 1.0 - self.scores[i] };
                    -weights[i] * p.max(1e-15).ln()
                };
                (0..weights.len()).map(loss).sum::<f64>() / weights.iter().sum::<f64>()
            }
        };
        Ok(metrics.iter().map(value).collect())
    }

    /// (Σw, Σw·score, Σw of signal) in each bin of equal population.
    pub fn reliability(&self, weights: &[f64]) -> Vec<[f64; 3]> {
        let mut sums = vec![[0.0; 3]; BINS];
        for (i, &w) in weights.iter().enumerate() {
            let bin = &mut sums[self.bins[i] as usize];
            let add = [w, w * self.scores[i], if self.signal[i] { w } else { 0.0 }];
            bin.iter_mut().zip(add).for_each(|(s, a)| *s += a);
        }
        sums
    }

    /// JSD(P, Q) = ½ KL(P‖M) + ½ KL(Q‖M), M = ½(P + Q), of the shares P of the background with a score from `threshold` on
    /// and Q of the rest in k groups, less its mean for P = Q, (k − 1)/(8 ln 2)·(1/n_P + 1/n_Q) with effective events n.
    fn sculpting(&self, threshold: f64, weights: &[f64]) -> f64 {
        let Some(&last) = self.groups.iter().max() else { return f64::NAN };
        let groups = usize::from(last) + 1;
        let (mut sums, mut squares) = (vec![[0.0; 2]; groups], [0.0; 2]);
        for (i, &group) in self.groups.iter().enumerate().filter(|(i, _)| !self.signal[*i]) {
            let side = usize::from(self.scores[i] < threshold);
            sums[usize::from(group)][side] += weights[i];
            squares[side] += weights[i] * weights[i];
        }
        let totals = [0, 1].map(|side| sums.iter().map(|s| s[side]).sum::<f64>());
        let part = |x: f64, m: f64| if x > 0.0 { 0.5 * x * (x / m).log2() } else { 0.0 };
        let divergence: f64 = sums
            .iter()
            .map(|s| {
                let [p, q] = [0, 1].map(|side| (s[side] / totals[side]).max(0.0));
                part(p, f64::midpoint(p, q)) + part(q, f64::midpoint(p, q))
            })
            .sum();
        let chance = [0, 1].map(|side| squares[side] / (totals[side] * totals[side]));
        divergence - (groups - 1) as f64 / (8.0 * std::f64::consts::LN_2) * (chance[0] + chance[1])
    }

    fn tagging_power(&self, weights: &[f64]) -> f64 {
        let mut sums = [[0.0; 2]; DILUTIONS.len() + 1];
        for ((&p, &is), &w) in self.scores.iter().zip(self.signal).zip(weights) {
            let bin = &mut sums[DILUTIONS.partition_point(|&edge| edge <= (2.0 * p - 1.0).abs())];
            bin[0] += w;
            bin[1] += if (p > 0.5) == is { w } else { -w };
        }
        let power = |[all, right]: &[f64; 2]| if *all > 0.0 { right * right / all } else { 0.0 };
        sums.iter().map(power).sum::<f64>() / weights.iter().sum::<f64>()
    }

    fn calibration_error(&self, weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        self.reliability(weights).iter().map(|[_, score, signal]| (signal - score).abs()).sum::<f64>() / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in ["auc", "accuracy", "balanced_accuracy", "rejection@0.3", "max_sic", "ece", "log_loss"] {
            assert_eq!(Metric::parse(name).unwrap().name(), name);
        }
        assert_eq!(Metric::parse("acuracy").unwrap_err().to_string(), "no metric `acuracy`; did you mean `accuracy`?");
        for name in ["ams@692,411000", "asimov@692,411000,0.1", "asimov@692,411000,0"] {
            assert_eq!(Metric::parse(name).unwrap().name(), name);
        }
        for name in ["rejection@1.5", "asimov@692,411000", "asimov@692,-1,0.1", "asimov@692,1,-0.1"] {
            assert!(Metric::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn values_of_a_small_sample() {
        let scores = [0.9, 0.6, 0.4, 0.2];
        let signal = [true, false, true, false];
        let evaluation = Evaluation::new(&scores, &signal).unwrap();
        let metrics = [Metric::Accuracy, Metric::BalancedAccuracy, Metric::Auc, Metric::LogLoss];
        let found = evaluation.metrics(&metrics, &[1.0, 1.0, 1.0, 3.0]).unwrap();
        let expected = [4.0 / 6.0, 0.625, 0.875];
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}");
        let loss = -(0.9f64.ln() + 0.4f64.ln() + 0.4f64.ln() + 3.0 * 0.8f64.ln()) / 6.0;
        assert!((found[3] - loss).abs() < 1e-12);
        // Dilutions 0.8 (right), 0.2 (wrong), 0.2 (wrong), 0.6 (right, three times).
        let power = evaluation.metrics(&[Metric::TaggingPower], &[1.0, 1.0, 1.0, 3.0]).unwrap()[0];
        assert!((power - (1.0 + 2.0 + 3.0) / 6.0).abs() < 1e-12, "{power}");
    }

    #[test]
    fn sculpting_is_zero_by_chance_and_known_for_a_cut() {
        let mut random = fb_core::Philox::new(4, 0, 0);
        let n = 40_000;
        let signal: Vec<bool> = (0..n).map(|i| i % 4 == 0).collect();
        let m: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
        let groups: Vec<u8> = m.iter().map(|m| (m * 20.0) as u8).collect();
        let of = |scores: &[f64]| {
            let evaluation = Evaluation::new(scores, &signal).unwrap().with_groups(&groups);
            evaluation.metrics(&[Metric::Sculpting(0.5)], &vec![1.0; n]).unwrap()[0]
        };
        let chance: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
        assert!(of(&chance).abs() < 1e-3, "{}", of(&chance));
        // Above the median of signal is the upper half of the variable alone: P and Q share at most the group of the
        // median, and differ by nearly one bit.
        assert!(of(&m) > 0.95 && of(&m) < 1.0, "{}", of(&m));
        assert!(
            Evaluation::new(&m, &signal).unwrap().metrics(&[Metric::Sculpting(0.5)], &vec![1.0; n]).unwrap()[0]
                .is_nan()
        );
    }

    #[test]
    fn scores_that_are_probabilities_have_no_calibration_error() {
        let mut random = fb_core::Philox::new(1, 0, 0);
        let scores: Vec<f64> = (0..40_000).map(|_| random.uniform()).collect();
        let signal: Vec<bool> = scores.iter().map(|&p| random.uniform() < p).collect();
        let weights = vec![1.0; scores.len()];
        let error = |scores: &[f64]| {
            Evaluation::new(scores, &signal).unwrap().metrics(&[Metric::CalibrationError], &weights).unwrap()[0]
        };
        assert!(error(&scores) < 0.012);
        let off: Vec<f64> = scores.iter().map(|s| s * 0.8).collect();
        assert!((error(&off) - 0.1).abs() < 0.01, "0.2 times the mean of one half");
    }
}
