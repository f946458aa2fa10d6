//! Receiver operating characteristic of a binary classifier under signed weights.

use fb_core::{Error, Result, Value};

use crate::significance::{asimov, asimov_with_error};

/// Events in order of falling score; events of equal score move together. Made once, swept for every set of weights.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Events by falling score.
    order: Vec<u32>,
    /// Positions in `order` at which a run of equal scores ends.
    ends: Vec<u32>,
    /// Whether the event at each position is signal.
    signal: Vec<bool>,
    scores: Vec<f64>,
}

/// Vertices of a ROC curve, from (0, 0) to (1, 1), one for every distinct score.
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    /// Signal efficiency at and above each threshold.
    pub signal: Vec<f64>,
    /// Background efficiency at and above each threshold.
    pub background: Vec<f64>,
    /// The thresholds; +∞ at (0, 0).
    pub thresholds: Vec<f64>,
    /// (Σw)²/Σw² of all background.
    pub effective_background: f64,
}

impl Ranking {
    /// Ranks events.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a score, [`Error::Empty`] for a class without events.
    pub fn new(scores: &[f64], signal: &[bool]) -> Result<Self> {
        if scores.len() != signal.len() {
            return Err(Error::Length { what: "labels".to_owned(), expected: scores.len(), found: signal.len() });
        }
        if let Some(event) = scores.iter().position(|s| !s.is_finite()) {
            return Err(Error::NotFinite { column: "score".to_owned(), event, found: scores[event] });
        }
        for (class, what) in [(true, "signal"), (false, "background")] {
            if !signal.contains(&class) {
                let hint = "no event of it is in the test part".to_owned();
                return Err(Error::Empty { what: what.to_owned(), hint });
            }
        }
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        let at = |i: usize| scores[order[i] as usize];
        let ends = (1..=order.len()).filter(|&i| i == order.len() || at(i) != at(i - 1)).map(|i| i as u32).collect();
        let sorted = order.iter().map(|&i| scores[i as usize]).collect();
        let signal = order.iter().map(|&i| signal[i as usize]).collect();
        Ok(Self { order, ends, signal, scores: sorted })
    }

    /// The events by falling score.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Calls `each` with (threshold, Σw of signal, Σw of background) at and above each distinct score, and returns the
    /// sums over all events.
    pub fn sweep(&self, weight: impl Fn(usize) -> f64, mut each: impl FnMut(f64, f64, f64)) -> [f64; 2] {
        let mut sums = [0.0; 2];
        let mut from = 0;
        for &end in &self.ends {
            for i in from..end as usize {
                sums[usize::from(!self.signal[i])] += weight(self.order[i] as usize);
            }
            each(self.scores[end as usize - 1], sums[0], sums[1]);
            from = end as usize;
        }
        sums
    }

    /// The curve for these weights.
    ///
    /// # Errors
    /// [`Error::Empty`] for a class whose weights sum up to zero or less.
    pub fn roc(&self, weights: &[f64]) -> Result<Roc> {
        let (mut signal, mut background, mut thresholds) = (vec![0.0], vec![0.0], vec![f64::INFINITY]);
        let sums = self.sweep(
            |i| weights[i],
            |threshold, s, b| {
                thresholds.push(threshold);
                signal.push(s);
                background.push(b);
            },
        );
        for (sum, what) in sums.into_iter().zip(["signal", "background"]) {
            if sum.is_nan() || sum <= 0.0 {
                return Err(Error::Empty { what: what.to_owned(), hint: format!("its weights sum up to {sum}") });
            }
        }
        for s in &mut signal {
            *s /= sums[0];
        }
        for b in &mut background {
            *b /= sums[1];
        }
        let squares = |class: bool| -> f64 {
            let of_class = self.order.iter().zip(&self.signal).filter(|(_, s)| **s == class);
            of_class.map(|(&i, _)| weights[i as usize].powi(2)).sum()
        };
        let effective_background = sums[1] * sums[1] / squares(false);
        Ok(Roc { signal, background, thresholds, effective_background })
    }
}

impl Ranking {
    /// The area under the curve with its error by DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988) 837), for weighted
    /// events: with the share V_i of the other class that event i is ranked rightly against (ties by half),
    ///
    /// σ² = Σ_classes [Σ w_i² (V_i − AUC)² / (Σw)²] / (1 − Σw²/(Σw)²),
    ///
    /// which for equal weights is the sum of S²/n of the classes. NaN where a class has no more than one effective event.
    ///
    /// # Errors
    /// As [`Self::roc`].
    pub fn auc(&self, weights: &[f64]) -> Result<Value> {
        let roc = self.roc(weights)?;
        let (area, mut variance) = (roc.auc(), 0.0);
        let mut sums = [[0.0; 3]; 2];
        let mut from = 0;
        // The vertex before and after each run of equal scores.
        let steps = roc.signal.windows(2).zip(roc.background.windows(2));
        for (&end, (s, b)) in self.ends.iter().zip(steps) {
            let placed = [1.0 - f64::midpoint(b[0], b[1]), f64::midpoint(s[0], s[1])];
            for i in from..end as usize {
                let (class, w) = (usize::from(!self.signal[i]), weights[self.order[i] as usize]);
                let squares = w * w;
                let of_class = &mut sums[class];
                of_class[0] += w;
                of_class[1] += squares;
                of_class[2] += squares * (placed[class] - area).powi(2);
            }
            from = end as usize;
        }
        for [sum, squares, spread] in sums {
            let share = squares / (sum * sum);
            variance += spread / (sum * sum) / if share < 1.0 { 1.0 - share } else { f64::NAN };
        }
        Ok(Value::symmetric(area, variance.sqrt()))
    }
}

impl Roc {
    /// The curve of these events.
    pub fn new(scores: &[f64], signal: &[bool], weights: &[f64]) -> Result<Self> {
        Ranking::new(scores, signal)?.roc(weights)
    }

    /// Area under the curve, P(s_S > s_B) + ½·P(s_S = s_B), by trapezoids.
    pub fn auc(&self) -> f64 {
        let steps = self.signal.windows(2).zip(self.background.windows(2));
        steps.map(|(s, b)| (b[1] - b[0]) * (s[0] + s[1]) / 2.0).sum()
    }

    /// The first vertex with at least this signal efficiency: a step, which errs on the safe side.
    fn vertex(&self, signal: f64) -> usize {
        // Sums of weights round: 0.3 of 10 events is three of them.
        self.signal.iter().position(|&s| s >= signal - 1e-12).unwrap_or(self.signal.len() - 1)
    }

    /// Background efficiency at this signal efficiency.
    pub fn background_at(&self, signal: f64) -> f64 {
        self.background[self.vertex(signal)]
    }

    /// Score at this signal efficiency.
    pub fn threshold_at(&self, signal: f64) -> f64 {
        self.thresholds[self.vertex(signal)]
    }

    /// 1/ε_B at this signal efficiency; +∞ where no background is left.
    pub fn rejection(&self, signal: f64) -> f64 {
        1.0 / self.background_at(signal).max(0.0)
    }

    /// Largest significance improvement ε_S/√ε_B where at least 100 effective background events are left; zero if
    /// there are never so many.
    pub fn max_significance_improvement(&self) -> f64 {
        let enough = 100.0 / self.effective_background;
        let vertices = self.signal.iter().zip(&self.background);
        vertices.filter(|(_, b)| **b >= enough).map(|(s, b)| s / b.sqrt()).fold(0.0, f64::max)
    }

    /// Largest approximate median significance over all thresholds with at least 25 effective background events above
    /// them, for these numbers of signal and background events before the cut:
    ///
    /// AMS = √(2 [(s + b + b_r) ln(1 + s/(b + b_r)) − s]) with b_r = 10 (JMLR W&CP 42, 19).
    pub fn largest_ams(&self, [signal, background]: [f64; 2]) -> f64 {
        let enough = 25.0 / self.effective_background;
        let vertices = self.signal.iter().zip(&self.background).filter(|(_, b)| **b >= enough);
        vertices.map(|(s, b)| ams(s * signal, b * background)).fold(0.0, f64::max)
    }

    /// Largest significance by the Asimov data ([`asimov_with_error`]) over the same thresholds, for these numbers of signal
    /// and background events before the cut and a relative error of the background.
    pub fn largest_asimov(&self, [signal, background, error]: [f64; 3]) -> f64 {
        let enough = 25.0 / self.effective_background;
        let vertices = self.signal.iter().zip(&self.background).filter(|(_, b)| **b >= enough);
        let of = |(s, b): (&f64, &f64)| asimov_with_error(s * signal, b * background, error * b * background);
        vertices.map(of).fold(0.0, f64::max)
    }

    /// The approximate median significance at these signal efficiencies, as [`Self::largest_ams`] takes it; NaN where too
    /// few background events are left.
    pub fn ams_at(&self, efficiencies: &[f64], [signal, background]: [f64; 2]) -> Vec<f64> {
        let enough = 25.0 / self.effective_background;
        let at = |&e: &f64| {
            let i = self.vertex(e);
            let b = self.background[i];
            if b >= enough { ams(self.signal[i] * signal, b * background) } else { f64::NAN }
        };
        efficiencies.iter().map(at).collect()
    }

    /// The curve without its steps back, which negative weights make: each efficiency is replaced by the mean over the
    /// run that breaks the order (isotonic regression), the class sums stay as they are.
    #[must_use]
    pub fn clipped(&self) -> Self {
        Self { signal: isotonic(&self.signal), background: isotonic(&self.background), ..self.clone() }
    }
}

/// Approximate median significance of s signal events over b background events, with b_r = 10 (JMLR W&CP 42, 19).
pub fn ams(s: f64, b: f64) -> f64 {
    asimov(s, b.max(0.0) + 10.0)
}

/// The nearest non-falling sequence in [0, 1], by pooling neighbours that break the order.
fn isotonic(x: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in x {
        let mut block = (value, 1);
        while let Some(&(mean, n)) = blocks.last().filter(|last| last.0 > block.0) {
            block = ((mean * n as f64 + block.0 * block.1 as f64) / (n + block.1) as f64, n + block.1);
            blocks.pop();
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean.clamp(0.0, 1.0), n)).collect()
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    fn toy(n: usize, distance: f64) -> (Vec<f64>, Vec<bool>, Vec<f64>) {
        let mut random = Philox::new(3, 0, n as u64);
        let signal: Vec<bool> = (0..n).map(|i| i % 3 == 0).collect();
        let scores = signal.iter().map(|&s| random.normal() + if s { distance } else { 0.0 }).collect();
        let weights = (0..n).map(|_| 0.5 + random.uniform()).collect();
        (scores, signal, weights)
    }

    #[test]
    fn significance_is_that_of_the_challenge() {
        // s ≪ b: s/√(b + 10).
        assert!((ams(1.0, 1e6) - 1.0 / (1e6f64 + 10.0).sqrt()).abs() < 1e-9);
        assert!((ams(10.0, 90.0) - 0.983_99).abs() < 1e-5, "b + b_r = 100");
        assert_eq!(ams(0.0, 5.0), 0.0);
        let scores: Vec<f64> = (0..200).map(f64::from).collect();
        let signal: Vec<bool> = (0..200).map(|i| i >= 100).collect();
        let roc = Roc::new(&scores, &signal, &vec![1.0; 200]).unwrap();
        // All signal and the quarter of the background that is asked for.
        assert!((roc.largest_ams([50.0, 400.0]) - ams(50.0, 100.0)).abs() < 1e-12);
        let z = asimov_with_error(50.0, 100.0, 20.0);
        assert!((roc.largest_asimov([50.0, 400.0, 0.2]) - z).abs() < 1e-12 && z < 0.7 * ams(50.0, 100.0));
        assert!(roc.ams_at(&[0.5, 1.0], [50.0, 400.0]).iter().all(|x| x.is_nan()), "no background event is left");
        let roc = Roc::new(&scores, &signal.iter().map(|s| !s).collect::<Vec<_>>(), &vec![1.0; 200]).unwrap();
        assert!((roc.ams_at(&[0.25], [50.0, 400.0])[0] - ams(12.5, 400.0)).abs() < 1e-12);
    }

    #[test]
    fn area_equals_mann_whitney_with_ties() {
        let (mut scores, signal, weights) = toy(300, 0.7);
        for s in &mut scores {
            *s = (*s * 4.0).round();
        }
        let (mut above, mut all) = (0.0, 0.0);
        for i in (0..300).filter(|&i| signal[i]) {
            for j in (0..300).filter(|&j| !signal[j]) {
                let w = weights[i] * weights[j];
                all += w;
                above += w
                    * (f64::from(u8::from(scores[i] > scores[j])) + 0.5 * f64::from(u8::from(scores[i] == scores[j])));
            }
        }
        let auc = Roc::new(&scores, &signal, &weights).unwrap().auc();
        assert!((auc - above / all).abs() < 1e-12);
        let negated: Vec<f64> = scores.iter().map(|s| -s).collect();
        assert!((Roc::new(&negated, &signal, &weights).unwrap().auc() + auc - 1.0).abs() < 1e-12);
        let mapped: Vec<f64> = scores.iter().map(|s| (s / 3.0).exp()).collect();
        assert_eq!(Roc::new(&mapped, &signal, &weights).unwrap().auc(), auc);
    }

    #[test]
    fn the_error_is_that_of_the_placements() {
        let (scores, signal) = ([3.0, 1.0, 2.0, 0.0, 1.0], [true, true, false, false, false]);
        let ranking = Ranking::new(&scores, &signal).unwrap();
        let found = ranking.auc(&[1.0; 5]).unwrap();
        // V_S = (1, ½), V_B = (½, 1, ¾), AUC = ¾: S² = ⅛ of two, 1/16 of three.
        assert!((found.central - 0.75).abs() < 1e-15);
        assert!((found.error() - (0.125 / 2.0 + 0.0625 / 3.0_f64).sqrt()).abs() < 1e-15, "{found:?}");
        let scaled = ranking.auc(&[3.0; 5]).unwrap();
        assert!((scaled.error() - found.error()).abs() < 1e-15);
        // One of a class says nothing of its spread.
        assert!(Ranking::new(&scores[..3], &signal[..3]).unwrap().auc(&[1.0; 3]).unwrap().error().is_nan());
    }

    #[test]
    fn gaussians_have_their_known_area() {
        // Φ(1/√2) for unit Gaussians one apart
        let (scores, signal, weights) = toy(60_000, 1.0);
        let auc = Roc::new(&scores, &signal, &weights).unwrap().auc();
        assert!((auc - 0.760_250).abs() < 0.006, "{auc}");
    }

    #[test]
    fn weight_two_is_the_event_twice_and_zero_is_none() {
        let (scores, signal, mut weights) = toy(90, 1.0);
        (weights[3], weights[4], weights[5]) = (2.0, 0.0, -0.5);
        let one = Roc::new(&scores, &signal, &weights).unwrap();
        let keep: Vec<usize> = (0..90).filter(|&i| i != 4).chain([3]).collect();
        let pick = |x: &[f64]| keep.iter().map(|&i| x[i]).collect::<Vec<_>>();
        let mut split = pick(&weights);
        (split[3], split[89]) = (1.0, 1.0);
        let two = Roc::new(&pick(&scores), &keep.iter().map(|&i| signal[i]).collect::<Vec<_>>(), &split).unwrap();
        assert!((one.auc() - two.auc()).abs() < 1e-12);
        assert!((one.background_at(0.5) - two.background_at(0.5)).abs() < 1e-12);
    }

    #[test]
    fn working_points_of_a_small_sample() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
        let signal = [true, true, false, true, false, false];
        let roc = Roc::new(&scores, &signal, &[1.0; 6]).unwrap();
        assert_eq!(roc.rejection(0.6), f64::INFINITY);
        assert_eq!((roc.rejection(0.9), roc.threshold_at(0.9)), (3.0, 0.6));
        assert_eq!(roc.max_significance_improvement(), 0.0, "never 100 events");
    }

    #[test]
    fn negative_weights_are_kept_and_clipped_apart() {
        let scores = [0.9, 0.8, 0.7, 0.6];
        let roc = Roc::new(&scores, &[true, false, true, false], &[2.0, -0.5, -0.5, 2.0]).unwrap();
        assert!(roc.signal.windows(2).any(|s| s[1] < s[0]), "the raw curve steps back");
        let clipped = roc.clipped();
        assert!(clipped.signal.windows(2).all(|s| s[1] >= s[0]) && clipped.background.windows(2).all(|b| b[1] >= b[0]));
        assert!(Roc::new(&scores, &[true, false, true, false], &[1.0, 1.0, 1.0, -2.0]).is_err());
    }
}
