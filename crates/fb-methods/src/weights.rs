//! What trainings do with the weights of events.

use fb_core::{Error, Result, Sample};
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
