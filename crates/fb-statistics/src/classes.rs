//! More than two classes: means over the classes, each against the rest; pairs of classes; the confusion matrix.

use fb_core::{Error, Result};

use crate::metric::{Evaluation, Metric, Mistag};
use crate::roc::{Ranking, Roc};

/// Probabilities of several classes, ranked once for each class and each pair, to compute metrics for many sets of
/// weights.
pub struct Classes<'a> {
    labels: &'a [u32],
    scores: &'a [Vec<f64>],
    /// Each class against all others.
    each: Vec<Evaluation<'a>>,
    pairs: Vec<Pair>,
    /// For metrics of classes against classes, the events of both and their ranking.
    groups: Vec<(Mistag, Pair)>,
    /// The most probable class of each event; the first of several.
    best: Vec<u32>,
}

/// Two classes among themselves, told apart by p_a/(p_a + p_b); or two groups of classes.
struct Pair {
    /// The events of the two.
    events: Vec<u32>,
    ranking: Ranking,
}

/// More classes than this are not paired: their pairs would be thousands.
pub const MOST_PAIRED: usize = 30;

/// For each class, whether an event is of it.
pub fn each_against_rest(labels: &[u32], classes: usize) -> Vec<Vec<bool>> {
    (0..classes).map(|k| labels.iter().map(|&l| l as usize == k).collect()).collect()
}

/// The pairs of classes in the order in which [`Classes::numbers`] gives them.
pub fn pairs(classes: usize) -> Vec<[usize; 2]> {
    if classes > MOST_PAIRED {
        return Vec::new();
    }
    (0..classes).flat_map(|a| (a + 1..classes).map(move |b| [a, b])).collect()
}

/// Refuses metrics that are of signal against background only.
///
/// # Errors
/// [`Error::Config`] that names the metric, for more than two classes.
pub fn check(metrics: &[Metric], classes: usize) -> Result<()> {
    // A mean over classes that are expected in different numbers would be of nothing.
    for metric in metrics {
        let reason = match metric {
            Metric::Ams(_) | Metric::Asimov(_) | Metric::Sculpting(_) if classes > 2 => {
                format!("it is for signal and background, found {classes} classes")
            }
            Metric::Mistag(m) if m.classes() > classes => {
                format!("it names class {}, found {classes} classes", m.classes() - 1)
            }
            // Of two classes one probability is kept: that of class 1.
            Metric::Mistag(m) if classes == 2 && m.signal != 2 => "expected class 1 as the signal of two".to_owned(),
            _ => continue,
        };
        return Err(Error::Config { place: format!("metric `{}`", metric.name()), reason });
    }
    Ok(())
}

impl<'a> Classes<'a> {
    /// Ranks events for these metrics. `scores` has a list for each class, `is` is [`each_against_rest`] of the labels.
    ///
    /// # Errors
    /// [`Error::Length`] for lists that do not fit, [`Error::Empty`] for a class without events, [`Error::NotFinite`]
    /// for a score.
    pub fn new(scores: &'a [Vec<f64>], is: &'a [Vec<bool>], labels: &'a [u32], metrics: &[Metric]) -> Result<Self> {
        check(metrics, scores.len())?;
        let length = |what: &str, expected, found| {
            if expected == found { Ok(()) } else { Err(Error::Length { what: what.to_owned(), expected, found }) }
        };
        length("scores, classes", is.len(), scores.len())?;
        let most = labels.iter().max().map_or(0, |&l| l as usize + 1);
        length("scores, classes of the labels", scores.len().max(most), scores.len())?;
        for (class, (scores, is)) in scores.iter().zip(is).enumerate() {
            length("scores", labels.len(), scores.len())?;
            length("labels", labels.len(), is.len())?;
            if !is.contains(&true) {
                let hint = "no event of it is in the test part".to_owned();
                return Err(Error::Empty { what: format!("class {class}"), hint });
            }
        }
        let each = scores.iter().zip(is).map(|(scores, is)| Evaluation::new(scores, is)).collect::<Result<_>>()?;
        let best =
            |i: usize| (1..scores.len()).fold(0, |best, k| if scores[k][i] > scores[best][i] { k } else { best });
        let pairs = pairs(scores.len())
            .into_iter()
            .map(|[a, b]| Pair::new([1 << a, 1 << b], scores, labels))
            .collect::<Result<_>>()?;
        let group = |m: &Metric| match m {
            Metric::Mistag(m) => Some(Pair::new([m.signal, m.background], scores, labels).map(|pair| (*m, pair))),
            _ => None,
        };
        let groups = metrics.iter().filter_map(group).collect::<Result<_>>()?;
        let best = (0..labels.len()).map(|i| best(i) as u32).collect();
        Ok(Self { labels, scores, each, pairs, groups, best })
    }

    /// With these weights: the metrics, then the area under the curve of each class against the rest, then that of each
    /// of the [`pairs`].
    ///
    /// Accuracies and log loss are those of all classes at once; other metrics are means over the classes, each against
    /// the rest.
    ///
    /// # Errors
    /// As [`Ranking::roc`] and [`check`].
    pub fn numbers(&self, metrics: &[Metric], weights: &[f64]) -> Result<Vec<f64>> {
        check(metrics, self.scores.len())?;
        let at_once =
            |m: &Metric| matches!(m, Metric::Accuracy | Metric::BalancedAccuracy | Metric::LogLoss | Metric::Mistag(_));
        let mut binary = vec![Metric::Auc];
        for metric in metrics {
            if !at_once(metric) && !binary.contains(metric) {
                binary.push(*metric);
            }
        }
        let of_each = self.each.iter().map(|e| e.metrics(&binary, weights)).collect::<Result<Vec<Vec<f64>>>>()?;
        let mean = |metric: &Metric| {
            let at = binary.iter().position(|m| m == metric).unwrap_or(0);
            of_each.iter().map(|values| values[at]).sum::<f64>() / of_each.len() as f64
        };
        let value = |metric: &Metric| {
            Ok(match metric {
                Metric::Accuracy => {
                    let right = |i: &usize| self.best[*i] == self.labels[*i];
                    let sum: f64 = (0..weights.len()).filter(right).map(|i| weights[i]).sum();
                    sum / weights.iter().sum::<f64>()
                }
                Metric::BalancedAccuracy => {
                    let confusion = self.confusion(weights);
                    confusion.iter().enumerate().map(|(k, row)| row[k]).sum::<f64>() / confusion.len() as f64
                }
                Metric::Mistag(m) => {
                    let pair = self.groups.iter().find(|(own, _)| own == m).map(|(_, pair)| pair);
                    let pair = pair.ok_or_else(|| Error::Config {
                        place: format!("metric `{}`", metric.name()),
                        reason: "the events have not been ranked for it".to_owned(),
                    })?;
                    pair.roc(weights)?.background_at(m.efficiency)
                }
                Metric::LogLoss => {
                    let loss = |i: usize| -weights[i] * self.scores[self.labels[i] as usize][i].max(1e-15).ln();
                    (0..weights.len()).map(loss).sum::<f64>() / weights.iter().sum::<f64>()
                }
                other => mean(other),
            })
        };
        let mut numbers: Vec<f64> = metrics.iter().map(value).collect::<Result<_>>()?;
        numbers.extend(of_each.iter().map(|values| values[0]));
        for pair in &self.pairs {
            numbers.push(pair.roc(weights)?.auc());
        }
        Ok(numbers)
    }

    /// For each class, the shares of its weights that are taken for each class: the most probable one.
    pub fn confusion(&self, weights: &[f64]) -> Vec<Vec<f64>> {
        let mut rows = vec![vec![0.0; self.scores.len()]; self.scores.len()];
        for ((&label, &best), &w) in self.labels.iter().zip(&self.best).zip(weights) {
            rows[label as usize][best as usize] += w;
        }
        for row in &mut rows {
            let sum: f64 = row.iter().sum();
            for x in row {
                *x /= sum;
            }
        }
        rows
    }
}

impl Pair {
    /// Two groups of classes, by the bits of their classes.
    fn new([a, b]: [u32; 2], scores: &[Vec<f64>], labels: &[u32]) -> Result<Self> {
        let has = |group: u32, class: usize| class < 32 && group >> class & 1 == 1;
        let is_of_them = |i: &u32| has(a | b, labels[*i as usize] as usize);
        let events: Vec<u32> = (0..labels.len() as u32).filter(is_of_them).collect();
        let ratio = |&i: &u32| {
            let sum = |group| {
                let own = scores.iter().enumerate().filter(|(class, _)| has(group, *class));
                own.map(|(_, column)| column[i as usize]).sum::<f64>()
            };
            let (p, q) = (sum(a), sum(b));
            // Both vanish where a third class is certain: nothing is said of the two.
            if p + q > 0.0 { p / (p + q) } else { 0.5 }
        };
        let ratios: Vec<f64> = events.iter().map(ratio).collect();
        let first: Vec<bool> = events.iter().map(|&i| has(a, labels[i as usize] as usize)).collect();
        let ranking = Ranking::new(&ratios, &first)?;
        Ok(Self { events, ranking })
    }

    fn roc(&self, weights: &[f64]) -> Result<Roc> {
        let weights: Vec<f64> = self.events.iter().map(|&i| weights[i as usize]).collect();
        self.ranking.roc(&weights)
    }
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;
    use crate::Roc;

    const ALL: [Metric; 7] = [
        Metric::Auc,
        Metric::Accuracy,
        Metric::BalancedAccuracy,
        Metric::LogLoss,
        Metric::Rejection(0.5),
        Metric::MaxSic,
        Metric::CalibrationError,
    ];

    /// Labels in turn, weights around one, and probabilities that know the label by `distance`.
    fn toy(n: usize, classes: usize, distance: f64) -> (Vec<Vec<f64>>, Vec<u32>, Vec<f64>) {
        let mut random = Philox::new(7, n as u64, classes as u64);
        let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
        let mut scores = vec![vec![0.0; n]; classes];
        for (i, &label) in labels.iter().enumerate() {
            let p: Vec<f64> = (0..classes)
                .map(|k| (random.normal() + if k == label as usize { distance } else { 0.0 }).exp())
                .collect();
            let sum: f64 = p.iter().sum();
            scores.iter_mut().zip(p).for_each(|(column, p)| column[i] = p / sum);
        }
        let weights = (0..n).map(|_| random.uniform() + 0.5).collect();
        (scores, labels, weights)
    }

    fn numbers(scores: &[Vec<f64>], labels: &[u32], weights: &[f64]) -> Vec<f64> {
        let is = each_against_rest(labels, scores.len());
        Classes::new(scores, &is, labels, &ALL).unwrap().numbers(&ALL, weights).unwrap()
    }

    #[test]
    fn perfect_probabilities() {
        let (_, labels, weights) = toy(90, 3, 0.0);
        let scores: Vec<Vec<f64>> = each_against_rest(&labels, 3)
            .into_iter()
            .map(|is| is.into_iter().map(|x| f64::from(u8::from(x))).collect())
            .collect();
        let found = numbers(&scores, &labels, &weights);
        assert_eq!(found[..5], [1.0, 1.0, 1.0, 0.0, f64::INFINITY]);
        assert!(found[6].abs() < 1e-12, "calibration {}", found[6]);
        assert_eq!(found[7..], [1.0; 6], "three classes, three pairs");
        let is = each_against_rest(&labels, 3);
        let confusion = Classes::new(&scores, &is, &labels, &[]).unwrap().confusion(&weights);
        assert_eq!(confusion, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    }

    #[test]
    fn probabilities_that_say_nothing() {
        let (_, labels, weights) = toy(120, 4, 0.0);
        let found = numbers(&vec![vec![0.25; 120]; 4], &labels, &weights);
        assert!((found[0] - 0.5).abs() < 1e-12 && (found[3] - 4f64.ln()).abs() < 1e-12);
        assert!(found[7..].iter().all(|x| (x - 0.5).abs() < 1e-12), "of each class and pair: {found:?}");
        assert!((found[2] - 0.25).abs() < 1e-12, "all are taken for class 0");
        let of_first: f64 = (0..120).step_by(4).map(|i| weights[i]).sum();
        assert!((found[1] - of_first / weights.iter().sum::<f64>()).abs() < 1e-12);
        // Random ones do so within their errors, about 0.29 √(1/n₁ + 1/n₂).
        let (scores, labels, weights) = toy(20_000, 4, 0.0);
        let found = numbers(&scores, &labels, &weights);
        assert!((found[0] - 0.5).abs() < 0.01 && found[7..].iter().all(|x| (x - 0.5).abs() < 0.02), "{found:?}");
    }

    #[test]
    fn means_are_those_of_the_classes() {
        let (scores, labels, mut weights) = toy(600, 3, 1.0);
        weights[10] = -1.0;
        let found = numbers(&scores, &labels, &weights);
        let is = each_against_rest(&labels, 3);
        let each: Vec<Vec<f64>> =
            (0..3).map(|k| Evaluation::new(&scores[k], &is[k]).unwrap().metrics(&ALL, &weights).unwrap()).collect();
        for m in [0, 4, 5, 6] {
            let mean = each.iter().map(|e| e[m]).sum::<f64>() / 3.0;
            assert!((found[m] - mean).abs() < 1e-12, "{:?}: {} and {mean}", ALL[m], found[m]);
        }
        assert_eq!(found[7..10], [each[0][0], each[1][0], each[2][0]]);
        let loss: f64 = (0..600).map(|i| -weights[i] * scores[labels[i] as usize][i].ln()).sum();
        assert!((found[3] - loss / weights.iter().sum::<f64>()).abs() < 1e-12);
    }

    #[test]
    fn pairs_are_told_apart_among_themselves() {
        let (scores, labels, weights) = toy(600, 3, 0.8);
        let found = numbers(&scores, &labels, &weights);
        for (at, [a, b]) in pairs(3).into_iter().enumerate() {
            let of: Vec<usize> = (0..600).filter(|&i| [a, b].contains(&(labels[i] as usize))).collect();
            let ratio: Vec<f64> = of.iter().map(|&i| scores[a][i] / (scores[a][i] + scores[b][i])).collect();
            let first: Vec<bool> = of.iter().map(|&i| labels[i] as usize == a).collect();
            let w: Vec<f64> = of.iter().map(|&i| weights[i]).collect();
            assert_eq!(found[10 + at], Roc::new(&ratio, &first, &w).unwrap().auc());
        }
        // With two classes, the pair is the problem.
        let (scores, labels, weights) = toy(200, 2, 0.8);
        let two = numbers(&scores, &labels, &weights);
        assert!(two[7..].iter().all(|x| (x - two[0]).abs() < 1e-12), "{two:?}");
        assert_eq!(pairs(MOST_PAIRED + 1), Vec::<[usize; 2]>::new());
    }

    #[test]
    fn groups_of_classes_are_told_apart_by_their_sums() {
        let (scores, labels, mut weights) = toy(800, 4, 0.8);
        weights[3] = -0.5;
        let metric = Metric::parse("mistag@0.7(0+2|3)").unwrap();
        assert_eq!(metric.name(), "mistag@0.7(0+2|3)");
        let is = each_against_rest(&labels, 4);
        let found = Classes::new(&scores, &is, &labels, &[metric]).unwrap().numbers(&[metric], &weights).unwrap()[0];
        let of: Vec<usize> = (0..800).filter(|&i| labels[i] != 1).collect();
        let ratio = |&i: &usize| {
            let signal = scores[0][i] + scores[2][i];
            signal / (signal + scores[3][i])
        };
        let ratio: Vec<f64> = of.iter().map(ratio).collect();
        let signal: Vec<bool> = of.iter().map(|&i| labels[i] != 3).collect();
        let w: Vec<f64> = of.iter().map(|&i| weights[i]).collect();
        assert_eq!(found, Roc::new(&ratio, &signal, &w).unwrap().background_at(0.7));
        assert!(found > 0.05 && found < 0.6, "{found}");
        for bad in ["mistag@0.7", "mistag@1(0|1)", "mistag@0.7(0+1|1)", "mistag@0.7(0|33)", "mistag@0.7(0+0|1)"] {
            assert!(Metric::parse(bad).is_err(), "{bad}");
        }
        assert!(check(&[metric], 3).unwrap_err().to_string().contains("names class 3"));
    }

    #[test]
    fn confusion_and_accuracies_under_weights() {
        let labels = [0, 0, 1, 2];
        let scores = [vec![0.6, 0.3, 0.2, 0.1], vec![0.3, 0.4, 0.7, 0.5], vec![0.1, 0.3, 0.1, 0.4]];
        let is = each_against_rest(&labels, 3);
        let classes = Classes::new(&scores, &is, &labels, &[]).unwrap();
        let weights = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(classes.confusion(&weights), [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]);
        let found = classes.numbers(&[Metric::Accuracy, Metric::BalancedAccuracy], &weights).unwrap();
        assert_eq!(found[..2], [0.5, 1.75 / 3.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let scores = vec![vec![0.5; 3]; 3];
        let refused = |scores: &[Vec<f64>], labels: &[u32]| {
            Classes::new(scores, &each_against_rest(labels, scores.len()), labels, &[])
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        let ams = [Metric::Auc, Metric::Ams([10.0, 100.0])];
        assert!(check(&ams, 3).unwrap_err().to_string().contains("`ams@10,100`") && check(&ams, 2).is_ok());
        assert_eq!(refused(&scores, &[0, 1, 1]), "class 2 is empty: no event of it is in the test part");
        assert!(refused(&scores, &[0, 1, 3]).contains("expected 4 entries, found 3"));
        assert!(refused(&scores, &[0, 1]).contains("expected 2 entries, found 3"));
        assert!(refused(&[vec![f64::NAN; 3], vec![0.5; 3], vec![0.5; 3]], &[0, 1, 2]).contains("not finite"));
    }
}
