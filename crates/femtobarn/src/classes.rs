//! Problems with more than two classes: their scores, and what is told of each class.

use fb_core::{Error, Scores, Value};
use fb_statistics::Metric;
use fb_statistics::classes::{MOST_PAIRED, pairs};

use crate::experiment::Experiment;
use crate::failure::Result;
use crate::results::{ClassGroups, ClassResult, PairResult};

/// Scores of events: those of signal alone for two classes, else a list for each class.
pub type Columns = Vec<Vec<f64>>;

/// What is told of the classes of a problem with more than two; nothing for two.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ByClass {
    /// Each against the rest.
    pub classes: Vec<ClassResult>,
    /// Each against each other.
    pub pairs: Vec<PairResult>,
    /// Shares of each class that are taken for each class.
    pub confusion: Vec<Vec<f64>>,
    /// How well particles are grouped in events of each.
    pub groups: Vec<ClassGroups>,
}

impl ByClass {
    /// From the areas of [`fb_statistics::Classes::numbers`] and the confusion matrix of each training.
    pub fn new(classes: usize, areas: &[Value], confusions: &[Vec<Vec<f64>>]) -> Self {
        let of_class = areas.iter().take(classes).enumerate().map(|(class, &auc)| ClassResult { class, auc });
        let of_pair = pairs(classes).into_iter().zip(areas.iter().skip(classes));
        let mean = |row: usize, column: usize| {
            confusions.iter().map(|c| c[row][column]).sum::<f64>() / confusions.len() as f64
        };
        Self {
            classes: of_class.collect(),
            pairs: of_pair.map(|([a, b], &auc)| PairResult { a, b, auc }).collect(),
            confusion: (0..classes).map(|row| (0..classes).map(|column| mean(row, column)).collect()).collect(),
            groups: Vec::new(),
        }
    }
}

/// How many classes these labels are of: one more than the largest, and at least two.
pub fn count<'a>(labels: impl IntoIterator<Item = &'a u32>) -> usize {
    labels.into_iter().max().map_or(2, |&l| (l as usize + 1).max(2))
}

/// Refuses metrics that are for two classes where there are more: before anything is trained.
///
/// # Errors
/// [`Error::Config`] that names the metric.
pub fn check_metrics(experiment: &Experiment, classes: usize) -> Result<()> {
    let metrics = experiment.evaluate.metrics.iter().map(|name| Metric::parse(name));
    Ok(fb_statistics::classes::check(&metrics.collect::<fb_core::Result<Vec<_>>>()?, classes)?)
}

/// The scores of a model for a problem with so many classes or targets, a list for each.
///
/// # Errors
/// [`Error::Length`] for a model of another number.
pub fn columns(scores: &Scores, classes: usize) -> Result<Columns> {
    if scores.classes != classes {
        let what = "scores of the model".to_owned();
        return Err(Error::Length { what, expected: classes, found: scores.classes }.into());
    }
    let column = |k: usize| scores.values.iter().skip(k).step_by(classes).map(|&s| f64::from(s)).collect();
    Ok((0..classes).map(column).collect())
}

/// Scales the scores of each event to a sum of one: medians do not keep it.
pub fn normalise(scores: &mut Columns) {
    for i in 0..scores.first().map_or(0, Vec::len) {
        let sum: f64 = scores.iter().map(|column| column[i]).sum();
        if sum > 0.0 {
            for column in scores.iter_mut() {
                column[i] /= sum;
            }
        }
    }
}

/// What the user should know of very many classes.
pub fn not_paired(classes: usize) -> Option<String> {
    let text = || format!("pairs are not compared: {classes} classes, at most {MOST_PAIRED} are");
    (classes > MOST_PAIRED).then(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn scores_are_told_apart_by_class() {
        let scores = Scores { classes: 3, values: vec![0.5, 0.25, 0.25, 0.0, 0.5, 0.5] };
        assert_eq!(columns(&scores, 3).unwrap(), [[0.5, 0.0], [0.25, 0.5], [0.25, 0.5]]);
        assert!(columns(&scores, 4).unwrap_err().to_string().contains("expected 4 entries, found 3"));
        assert_eq!((count(&[]), count(&[0, 1]), count(&[0, 4])), (2, 2, 5));
    }

    #[test]
    fn medians_are_made_probabilities() {
        let mut scores = vec![vec![0.2, 0.0], vec![0.2, 0.0], vec![0.4, 0.0]];
        normalise(&mut scores);
        assert_eq!(scores, [[0.25, 0.0], [0.25, 0.0], [0.5, 0.0]]);
    }

    #[test]
    fn areas_are_dealt_out_and_confusions_averaged() {
        let areas: Vec<Value> = (0..6).map(|i| Value::symmetric(f64::from(i), 0.1)).collect();
        let one = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        let mut two = one.clone();
        two[0] = vec![0.5, 0.5, 0.0];
        let found = ByClass::new(3, &areas, &[one, two]);
        assert_eq!(found.classes[2], ClassResult { class: 2, auc: areas[2] });
        assert_eq!(found.pairs[1], PairResult { a: 0, b: 2, auc: areas[4] });
        assert_eq!(found.confusion[0], [0.75, 0.25, 0.0]);
    }
}
