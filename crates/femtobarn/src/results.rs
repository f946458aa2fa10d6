//! What a run found: `results.json`, the report and the table on the terminal are views of it.

use std::collections::BTreeMap;

use fb_core::Value;
use serde::Serialize;

use crate::analysis::Analysis;
use crate::asymmetry::Asymmetry;
use crate::read::Source;

/// Everything that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// Heading.
    pub title: String,
    /// Version of femtobarn.
    pub version: String,
    /// Seed of the experiment.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// The methods in the order of the experiment file.
    pub methods: Vec<MethodResult>,
    /// Differences of the area under the curve, or of the r.m.s. of residuals, between methods on the same test events.
    pub differences: Vec<Difference>,
    /// What the scores are worth to a measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// The forward-backward asymmetry of each region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asymmetry: Option<Asymmetry>,
    /// Events of each part.
    pub parts: Vec<Part>,
    /// The files.
    pub sources: Vec<Source>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What was found for a method.
#[derive(Debug, Clone, Serialize)]
pub struct MethodResult {
    /// Method.
    pub name: String,
    /// How it is called in the table.
    pub label: String,
    /// Trainable parameters.
    pub parameters: usize,
    /// Seconds of one training, the mean over the trainings.
    pub train_seconds: f64,
    /// Training events per second, all epochs counted.
    pub train_events_per_second: f64,
    /// Largest resident memory of the process during the training, data included; absent where the system does not
    /// tell.
    pub peak_rss_mb: Option<f64>,
    /// Mean over the trainings with the 68% bootstrap interval of the test sample.
    pub metrics: BTreeMap<String, Value>,
    /// Standard deviation over the trainings, where there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spread: BTreeMap<String, f64>,
    /// The same metrics of the mean score over the trainings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ensemble_mean: BTreeMap<String, Value>,
    /// The same metrics of the median score over the trainings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ensemble_median: BTreeMap<String, Value>,
    /// Area under the curve of each class against the rest, where there are more than two classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassResult>,
    /// Area under the curve of each class against each other, where there are more than two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairResult>,
    /// For each class, the shares of its weights whose most probable class is each class; mean over the trainings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<f64>>,
    /// How well particles are put into groups in the events of each class, where that is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ClassGroups>,
    /// Area under the curve against the number of training events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learning_curve: Vec<CurvePoint>,
    /// What each variable is worth to the first training, the most important first; for methods on tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub importance: Vec<Importance>,
    /// The model of the first training, relative to the run folder.
    pub artifact: String,
    /// Its SHA-256 over header and weights.
    pub digest: String,
    /// Its export, relative to the run folder.
    pub onnx: Option<String>,
}

/// A metric by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// As in the experiment file.
    pub name: &'static str,
    /// With its interval.
    pub value: Value,
}

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([(self.name, self.value)]).serialize(to)
    }
}

/// Whether less of this metric is better.
pub fn is_error(metric: &str) -> bool {
    let name = metric.split([':', '@']).next().unwrap_or_default();
    ["ece", "log_loss", "mistag", "sculpting", "rmse", "mae", "resolution", "relative_resolution", "pinball"]
        .contains(&name)
}

/// A training with fewer events.
#[derive(Debug, Clone, Serialize)]
pub struct CurvePoint {
    /// Training events.
    pub events: usize,
    /// The leading metric on all test events: `auc` or `rmse`.
    #[serde(flatten)]
    pub metric: Named,
}

/// A class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassResult {
    /// Its number.
    pub class: usize,
    /// Area under the curve of its probability.
    pub auc: Value,
}

/// How well particles are put into groups in the events of a class; means over the trainings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassGroups {
    /// Its number.
    pub class: usize,
    /// `ari`, `rand`, `f1`, `precision` and `recall` of pairs, as means over the events.
    #[serde(flatten)]
    pub metrics: BTreeMap<&'static str, Value>,
}

/// Two classes among themselves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairResult {
    /// The first.
    pub a: usize,
    /// The second.
    pub b: usize,
    /// Area under the curve of p_a/(p_a + p_b), between events of the two.
    pub auc: Value,
}

/// What a variable is worth to a method.
#[derive(Debug, Clone, Serialize)]
pub struct Importance {
    /// The variable, or a column that stands in variables that are expressions.
    pub variable: String,
    /// Its share in the gains of all splits, with the jackknife error over groups of trees; for trees.
    pub gain: Option<Value>,
    /// What the area under the curve loses on the test events when the values of this column are dealt out anew among
    /// them; for columns.
    pub permutation: Option<Value>,
    /// Mean size of its Shapley values on test events, in units of the output before it becomes a score; for trees.
    pub shap: Option<Value>,
}

/// A difference between two methods.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Label of the first.
    pub a: String,
    /// Label of the second.
    pub b: String,
    /// `auc` (or `rmse`) of a less that of b, with its paired bootstrap interval.
    #[serde(flatten)]
    pub metric: Named,
    /// Its size in standard deviations, the spread of the trainings included.
    pub sigmas: f64,
    /// The same of each metric that the experiment asks for.
    pub metrics: BTreeMap<String, Paired>,
}

/// A difference on the same bootstrap replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// With its interval.
    #[serde(flatten)]
    pub value: Value,
    /// Its size in standard deviations.
    pub sigmas: f64,
}

/// Events of a part.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// training, validation or test.
    pub name: String,
    /// Events of each class.
    pub events: Vec<usize>,
    /// Their sums of weights.
    pub weights: Vec<f64>,
    /// Share of the negative weights in the sum of their sizes.
    pub negative_share: f64,
    /// (Σw)² / Σw²: so many events of weight one would tell as much.
    pub effective_events: f64,
}

/// `central ± error`, or its bounds where they are not finite or far from even.
pub fn show(value: &Value) -> String {
    if !value.central.is_finite() {
        return if value.low.is_finite() { format!("> {:.0}", value.low) } else { "∞".to_owned() };
    }
    if !value.high.is_finite() {
        return format!("{:.0} (> {:.0})", value.central, value.low);
    }
    value.to_string()
}

/// How a metric is written in a table.
pub fn heading(metric: &str) -> String {
    match metric {
        "auc" => "AUC".to_owned(),
        "accuracy" => "accuracy".to_owned(),
        "balanced_accuracy" => "balanced accuracy".to_owned(),
        "max_sic" => "max ε_S/√ε_B".to_owned(),
        "ece" => "calibration error".to_owned(),
        "log_loss" => "log loss".to_owned(),
        "tagging_power" => "Σ ε(1−2w)²".to_owned(),
        "rmse" => "RMSE".to_owned(),
        "r2" => "R²".to_owned(),
        "ari" => "ARI".to_owned(),
        "rand" => "Rand index".to_owned(),
        "f1" => "F₁ of pairs".to_owned(),
        "precision" => "precision of pairs".to_owned(),
        "recall" => "recall of pairs".to_owned(),
        "relative_resolution" => "relative resolution".to_owned(),
        other if other.contains(':') => {
            let (metric, target) = other.split_once(':').unwrap_or_default();
            format!("{} of {target}", heading(metric))
        }
        other if other.ends_with(')') && fb_statistics::Clustering::parse(other).is_ok() => {
            let (metric, classes) = other.trim_end_matches(')').split_once('(').unwrap_or_default();
            format!("{}, class {classes}", heading(metric))
        }
        other if other.starts_with("ams@") => "AMS".to_owned(),
        other if other.starts_with("asimov@") => {
            let error = other.rsplit(',').next().unwrap_or_default();
            format!("Z, σ_b = {error} b")
        }
        other => other.strip_prefix("rejection@").map_or(other.to_owned(), |e| format!("1/ε_B at ε_S = {e}")),
    }
}

impl Results {
    /// The table of the terminal.
    pub fn table(&self, metrics: &[String]) -> String {
        let mut rows: Vec<Vec<String>> = vec![
            ["method", "parameters"]
                .map(str::to_owned)
                .into_iter()
                .chain(metrics.iter().map(|m| heading(m)))
                .chain(["training".to_owned()])
                .collect(),
        ];
        for method in self.by_first_metric(metrics) {
            let mut row = vec![method.label.clone(), thousands(method.parameters)];
            row.extend(metrics.iter().map(|m| method.metrics.get(m).map_or_else(String::new, show)));
            row.push(seconds(method.train_seconds));
            rows.push(row);
        }
        let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        let mut text = String::new();
        for (i, row) in rows.iter().enumerate() {
            for (c, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[c] - cell.chars().count());
                text += &if c == 0 { [cell, space.as_str()].concat() } else { ["  ", &space, cell].concat() };
            }
            text.push('\n');
            if i == 0 {
                text += &"─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
                text.push('\n');
            }
        }
        text
    }

    /// The methods, the best by the first metric first.
    pub fn by_first_metric(&self, metrics: &[String]) -> Vec<&MethodResult> {
        let mut order: Vec<&MethodResult> = self.methods.iter().collect();
        let Some(first) = metrics.first() else { return order };
        let sign = if is_error(first) { -1.0 } else { 1.0 };
        let value = |m: &MethodResult| m.metrics.get(first).map_or(f64::NEG_INFINITY, |v| sign * v.central);
        order.sort_by(|a, b| value(b).total_cmp(&value(a)));
        order
    }
}

/// `12,345`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// `8.3 s`, `12 min`, `3.4 h`.
pub fn seconds(s: f64) -> String {
    match s {
        s if s < 99.5 => format!("{s:.1} s"),
        s if s < 5940.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_a_paper() {
        assert_eq!(["999", "1,000", "82,458", "1,234,567"], [999, 1000, 82_458, 1_234_567].map(thousands)[..]);
        assert_eq!(show(&Value::symmetric(0.98421, 0.00113)), "0.9842 ± 0.0011");
        assert_eq!(show(&Value::new(f64::INFINITY, 812.0, f64::INFINITY)), "> 812");
        assert_eq!(seconds(750.0), "12.5 min");
    }
}
