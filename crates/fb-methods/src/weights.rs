//! What trainings do with the weights of events.

use fb_core::{Error, Result, Sample};
use fb_physics::expression::flat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a training does with negative weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NegativeWeights {
    /// They enter all sums with their sign; a node whose hessians do not sum up to more than `min_child_weight` is not
    /// made.
    #[default]
    Keep,
    /// Events with a negative weight are left out of the training (never of the evaluation).
    Drop,
    /// Their size counts. This is biased, and here for comparison.
    Abs,
}

/// How weights are scaled before a training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// As they are.
    #[default]
    None,
    /// To a sum that is the number of events.
    Events,
    /// Each class to the same sum, all of them to the number of events.
    Classes,
}

/// Weights of a training; `classes` is none in a regression.
///
/// # Errors
/// [`Error::Empty`] for a class whose weights do not sum up to more than zero, [`Error::Config`] for a balance of classes
/// where there are none.
pub(crate) fn treated(
    negative: NegativeWeights,
    normalise: Normalise,
    train: &Sample,
    classes: Option<usize>,
) -> Result<Vec<f64>> {
    if classes.is_none() && normalise == Normalise::Classes {
        let reason = "`classes` needs classes, found targets; expected `none` or `events`".to_owned();
        return Err(Error::Config { place: "`normalise`".to_owned(), reason });
    }
    let treated = |&w: &f64| match negative {
        NegativeWeights::Keep => w,
        NegativeWeights::Drop => w.max(0.0),
        NegativeWeights::Abs => w.abs(),
    };
    let treated: Vec<f64> = train.weights.iter().map(treated).collect();
    let mut sums = vec![0.0; classes.unwrap_or(1)];
    train.labels.iter().zip(&treated).for_each(|(&l, w)| sums[l as usize] += w);
    if let Some(class) = sums.iter().position(|&s| s <= 0.0) {
        let of_class = if classes.is_some() { format!("class {class} of ") } else { String::new() };
        let what = format!("{of_class}the training part");
        return Err(Error::Empty { what, hint: format!("its sum of weights is {}", sums[class]) });
    }
    let (all, n) = (sums.iter().sum::<f64>(), train.len() as f64);
    let factor = |class: usize| match normalise {
        Normalise::None => 1.0,
        Normalise::Events => n / all,
        Normalise::Classes => n / (sums.len() as f64 * sums[class]),
    };
    Ok(train.labels.iter().zip(treated).map(|(&l, w)| w * factor(l as usize)).collect())
}

/// A variable in whose bins classes are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// One number per event.
    pub expression: String,
    /// Edges of the bins, rising; what lies outside counts to the first or the last bin.
    pub edges: Vec<f64>,
}

/// Weights of a training that give every class the spectrum of one of them, so that the spectrum tells nothing.
///
/// An event of class k in bin b gets the factor W_k · (h_r(b)/W_r) / h_k(b), where h are sums of weights of the training
/// part, W those over all bins and r is the reference: each class keeps its own sum. No factor is above `most`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reweight {
    /// The variables, whose bins are combined.
    pub axes: Vec<Axis>,
    /// The class whose spectrum the others get.
    pub reference: u32,
    /// Largest factor, so that single events of sparse bins do not weigh as much as all others.
    pub most: f64,
}

impl Reweight {
    /// Transverse momentum and |η| of the jet in bins of the training of DeepJet (arXiv:2008.10519), as class 0, b.
    pub(crate) fn jets() -> Self {
        let pt = [10, 25, 30, 35, 40, 45, 50, 60, 75, 100, 125, 150, 175, 200, 250, 300, 400, 500, 600, 2000];
        let eta = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
        let axis = |expression: &str, edges: Vec<f64>| Axis { expression: expression.to_owned(), edges };
        let axes = vec![axis("jet_pt", pt.map(f64::from).to_vec()), axis("abs(jet_eta)", eta.to_vec())];
        Self { axes, reference: 0, most: 10.0 }
    }

    /// The bin of each event among all of them, and how many there are.
    fn bins(&self, sample: &Sample) -> Result<(Vec<usize>, usize)> {
        let (mut bins, mut count) = (vec![0; sample.len()], 1);
        for axis in &self.axes {
            let bad = |reason: &str| {
                Err(Error::Config { place: format!("`reweight`, `{}`", axis.expression), reason: reason.to_owned() })
            };
            if axis.edges.len() < 2 || axis.edges.windows(2).any(|e| e[0].is_nan() || e[1].is_nan() || e[0] >= e[1]) {
                return bad("expected at least two edges, each above the one before");
            }
            let own = axis.edges.len() - 1;
            if count * own > 1 << 20 {
                return bad("expected at most 2^20 bins in all");
            }
            let inner = &axis.edges[1..own];
            for (bin, x) in bins.iter_mut().zip(flat(&axis.expression, &sample.events)?) {
                *bin = *bin * own + inner.partition_point(|&edge| edge <= x);
            }
            count *= own;
        }
        Ok((bins, count))
    }

    /// The weights of a training part whose own are `weights`.
    ///
    /// # Errors
    /// [`Error::Config`] for edges that do not rise and a reference that is no class.
    pub(crate) fn apply(&self, train: &Sample, weights: &[f64]) -> Result<Vec<f64>> {
        let bad = |reason: String| Err(Error::Config { place: "`reweight`".to_owned(), reason });
        if !(self.most >= 1.0 && self.most.is_finite()) {
            return bad(format!("found the largest factor {}, expected at least 1", self.most));
        }
        let classes = train.labels.iter().max().map_or(0, |&l| l as usize + 1);
        if self.reference as usize >= classes {
            return bad(format!("found the reference {}, expected a class below {classes}", self.reference));
        }
        let (bins, count) = self.bins(train)?;
        let mut sums = vec![vec![0.0; count]; classes];
        for ((&bin, &label), &weight) in bins.iter().zip(&train.labels).zip(weights) {
            sums[label as usize][bin] += weight;
        }
        let totals: Vec<f64> = sums.iter().map(|bins| bins.iter().sum()).collect();
        let reference = self.reference as usize;
        let factor = |bin: usize, class: usize| {
            let share = sums[reference][bin] / totals[reference];
            let own = sums[class][bin] / totals[class];
            if share > 0.0 && own > 0.0 { (share / own).min(self.most) } else { 0.0 }
        };
        let factors = bins.iter().zip(&train.labels).map(|(&bin, &label)| factor(bin, label as usize));
        Ok(factors.zip(weights).map(|(factor, weight)| factor * weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use fb_core::{Column, Data, Events};

    use super::*;

    /// Class 0 falls in x, class 1 rises.
    fn sample() -> Sample {
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for (class, counts) in [[8, 4, 4], [2, 4, 6]].into_iter().enumerate() {
            for (bin, n) in counts.into_iter().enumerate() {
                x.extend(std::iter::repeat_n(bin as f64 + 0.5, n));
                labels.extend(std::iter::repeat_n(class as u32, n));
            }
        }
        Sample {
            weights: vec![1.0; x.len()],
            identity: (0..x.len() as u64).collect(),
            events: Events::new(vec![Column::flat("x", Data::F64(x))]).unwrap(),
            targets: Vec::new(),
            partition: None,
            labels,
        }
    }

    fn reweight(edges: &[f64], reference: u32, most: f64) -> Reweight {
        Reweight { axes: vec![Axis { expression: "x".to_owned(), edges: edges.to_vec() }], reference, most }
    }

    #[test]
    fn classes_get_the_spectrum_of_the_reference_and_keep_their_sums() {
        let sample = sample();
        let weights = reweight(&[0.0, 1.0, 2.0, 3.0], 0, 10.0).apply(&sample, &sample.weights).unwrap();
        let mut sums = [[0.0; 3]; 2];
        let bins = sample.events.column("x").unwrap();
        for (i, (&w, &l)) in weights.iter().zip(&sample.labels).enumerate() {
            sums[l as usize][bins.data.number(i) as usize] += w;
        }
        for (found, expected) in sums.iter().flatten().zip([8.0, 4.0, 4.0, 6.0, 3.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12, "{sums:?}");
        }
        let capped = reweight(&[0.0, 1.0, 2.0, 3.0], 0, 2.0).apply(&sample, &sample.weights).unwrap();
        assert_eq!(capped[16], 2.0, "the factor 3 is cut");
    }

    #[test]
    fn senseless_bins_are_refused() {
        let sample = sample();
        let message = |r: Reweight| r.apply(&sample, &sample.weights).unwrap_err().to_string();
        assert!(message(reweight(&[1.0], 0, 10.0)).contains("at least two edges"));
        assert!(message(reweight(&[1.0, 1.0], 0, 10.0)).contains("each above the one before"));
        assert!(message(reweight(&[0.0, 1.0], 2, 10.0)).contains("expected a class below 2"));
        assert!(message(reweight(&[0.0, 1.0], 0, f64::NAN)).contains("largest factor"));
    }
}
