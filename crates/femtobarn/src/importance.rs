//! Which variables a method looks at: permutation importance, Shapley values, gains, partial dependence.

use fb_core::expression::Expression;
use fb_core::{Column, Data, Events, Explanation, Fitted, Input, Philox, Sample, Value, Workers, philox};
use fb_statistics::bootstrap::{Evaluated, evaluate, evaluate_with, interval};
use fb_statistics::metric::{Evaluation, Metric};
use fb_statistics::{Accuracy, Bootstrap, Residuals};

use crate::failure::Result;
use crate::results::Importance;

/// Test events whose values are dealt out anew.
const EVENTS: usize = 20_000;
/// Columns whose values are dealt out anew.
const COLUMNS: usize = 40;
/// Times that a column is dealt out.
const PERMUTATIONS: usize = 5;
/// Bootstrap replicas of these events, at most: five times as many areas are computed for each column.
const REPLICAS: usize = 100;
/// Test events of partial dependence, and of Shapley values at most.
const FEW_EVENTS: usize = 2000;
/// Nodes times events of the Shapley values: forests of more than 15,000 nodes explain fewer events.
const NODES: usize = 30_000_000;
/// Variables whose partial dependence is shown.
const SHOWN: usize = 4;
/// Values of a variable at which it is computed.
const POINTS: usize = 20;
/// Events of a picture of Shapley values.
const DOTS: usize = 400;

/// What a method looks at.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// The most important variable first.
    pub importance: Vec<Importance>,
    /// Of the most important columns.
    pub dependence: Vec<Dependence>,
    /// Of the most important variables of trees.
    pub dots: Vec<Dots>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The mean score if all test events had the same value of a column.
#[derive(Debug, Clone)]
pub struct Dependence {
    /// The column.
    pub variable: String,
    /// (value, mean score with its standard error).
    pub points: Vec<(f64, Value)>,
}

/// Shapley values of a variable against the variable.
#[derive(Debug, Clone)]
pub struct Dots {
    /// The variable.
    pub variable: String,
    /// (value, Shapley value) of test events of background and signal.
    pub points: [Vec<(f64, f64)>; 2],
}

/// What is asked of a model.
struct Asked<'a> {
    model: &'a dyn Fitted,
    /// In the order of the hash of their identity, so that no sum depends on the order of the file.
    sample: Sample,
    seed: u64,
    replicas: usize,
    missing: Vec<f64>,
    workers: &'a dyn Workers,
}

/// Asks a model which variables it looks at. Says nothing of problems with more than two classes or targets, nor of methods
/// that see particles or images.
///
/// # Errors
/// As [`Fitted::scores`].
pub fn look(model: &dyn Fitted, test: &Sample, seed: u64, replicas: usize, workers: &dyn Workers) -> Result<Looks> {
    let input = serde_json::from_value::<Input>(model.artifact()?.header["input"].clone());
    let (variables, missing) = match input {
        Ok(Input::Columns { variables, missing }) => (variables, missing),
        Ok(Input::Table { variables }) => (variables.into_iter().map(|v| v.expression).collect(), Vec::new()),
        _ => return Ok(Looks::default()),
    };
    if test.is_empty() || test.labels.iter().any(|&l| l > 1) || test.width() > 1 {
        return Ok(Looks::default());
    }
    let names = names(&variables, &test.events);
    let asked = Asked { model, sample: some(test, &names, EVENTS)?, seed, replicas, missing, workers };
    let mut looks = Looks::default();
    let mut row =
        |variable: &String| Importance { variable: variable.clone(), gain: None, permutation: None, shap: None };
    let mut importance: Vec<Importance> = variables.iter().map(&mut row).collect();
    let few: Vec<usize> = (0..asked.sample.len().min(FEW_EVENTS)).collect();
    let few = asked.sample.take(&few);
    let explained = asked.explained(&few)?;
    if let Some((explanation, sample)) = &explained {
        let shap = mean_sizes(explanation, sample, &asked);
        for (i, row) in importance.iter_mut().enumerate() {
            row.gain = explanation.gain.get(i).copied();
            row.shap = shap.get(i).copied();
        }
        sort(&mut importance);
    }
    // The columns in the order in which the model needs them, as far as it says so.
    let mut columns: Vec<&String> = importance.iter().map(|i| &i.variable).filter(|v| names.contains(v)).collect();
    columns.extend(names.iter().filter(|n| !variables.contains(n)));
    columns.retain(|name| is_number(&asked.sample.events, name));
    if columns.len() > COLUMNS {
        let text = format!("permutation importance of {COLUMNS} of {} columns; the others are left out", columns.len());
        looks.warnings.push(text);
        columns.truncate(COLUMNS);
    }
    let columns: Vec<String> = columns.into_iter().cloned().collect();
    let areas = asked.areas();
    let before = asked.scores(&asked.sample.events).and_then(|scores| Ok(areas.of(&scores)?));
    for name in &columns {
        let Ok(before) = &before else { break };
        // With the value of another event, an expression may well be infinite.
        let loss = match asked.loss(name, before, &areas) {
            Ok(loss) => loss,
            Err(error) => {
                looks.warnings.push(format!("no permutation importance of `{name}`: {error}"));
                continue;
            }
        };
        match importance.iter_mut().find(|i| i.variable == *name) {
            Some(row) => row.permutation = Some(loss),
            None => importance.push(Importance { permutation: Some(loss), ..row(name) }),
        }
    }
    sort(&mut importance);
    for row in importance.iter().filter(|i| columns.contains(&i.variable)).take(SHOWN) {
        looks.dependence.extend(asked.dependence(&row.variable, &few).ok());
    }
    if let Some((explanation, sample)) = &explained {
        let first = importance.iter().filter(|i| i.shap.is_some()).take(SHOWN);
        looks.dots = first.filter_map(|row| dots(&row.variable, explanation, sample, &asked.missing)).collect();
    }
    looks.importance = importance;
    Ok(looks)
}

/// The most important first: by what the area loses, else by the Shapley values.
fn sort(importance: &mut [Importance]) {
    let size = |value: &Option<Value>| value.map_or(f64::NEG_INFINITY, |v| v.central);
    let key = |i: &Importance| [size(&i.permutation), size(&i.shap), size(&i.gain)];
    importance.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        b[0].total_cmp(&a[0]).then(b[1].total_cmp(&a[1])).then(b[2].total_cmp(&a[2]))
    });
}

/// The columns that variables are made of.
fn names(variables: &[String], events: &Events) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for variable in variables {
        let expression = Expression::parse(variable);
        let names = expression.iter().flat_map(Expression::names);
        for name in names.filter(|n| events.column(n).is_ok()) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
    }
    all
}

fn is_number(events: &Events, name: &str) -> bool {
    events.column(name).is_ok_and(|c| c.offsets.is_none() && !matches!(c.data, Data::Text(_)))
}

/// The `most` events with the smallest hashes of their identity, in that order, with these columns.
fn some(test: &Sample, names: &[String], most: usize) -> Result<Sample> {
    let mut order: Vec<usize> = (0..test.len()).collect();
    order.sort_by_cached_key(|&i| (philox::hash(test.identity[i], 2), i));
    order.truncate(most);
    let columns = names.iter().map(|n| test.events.column(n)).collect::<fb_core::Result<Vec<_>>>()?;
    // Jagged columns of one collection share their offsets, which a cut of all of them keeps.
    let events = if columns.iter().any(|c| c.offsets.is_some()) {
        test.events.take(&order)
    } else {
        Events::new(columns.iter().map(|c| Column::flat(c.name.clone(), c.data.take(&order))).collect())?
    };
    Ok(Sample {
        events,
        labels: order.iter().map(|&i| test.labels[i]).collect(),
        targets: if test.width() == 1 { order.iter().map(|&i| test.targets[i]).collect() } else { Vec::new() },
        partition: None,
        weights: order.iter().map(|&i| test.weights[i]).collect(),
        identity: order.iter().map(|&i| test.identity[i]).collect(),
    })
}

/// Mean |φ| of each variable with signed weights, and its bootstrap interval; none if the weights sum up to nothing.
fn mean_sizes(explanation: &Explanation, sample: &Sample, asked: &Asked<'_>) -> Vec<Value> {
    let width = explanation.variables.len();
    let mean = |weights: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0; width];
        for (phi, w) in explanation.shap.chunks_exact(width.max(1)).zip(weights) {
            sums.iter_mut().zip(phi).for_each(|(s, phi)| *s += w * phi.abs());
        }
        let all: f64 = weights.iter().sum();
        sums.into_iter().map(|s| s / all).collect()
    };
    if sample.weights.iter().sum::<f64>() <= 0.0 {
        return Vec::new();
    }
    let central = mean(&sample.weights);
    let bootstrap = Bootstrap::new(asked.seed, asked.replicas, &sample.identity);
    let replicas = bootstrap.replicate(&sample.weights, asked.workers, &|w| Ok(mean(w)));
    central.iter().enumerate().map(|(i, &c)| interval(c, replicas.iter().map(|r| r[i]))).collect()
}

impl Asked<'_> {
    fn scores(&self, events: &Events) -> Result<Vec<f64>> {
        Ok(self.model.scores(events, self.workers)?.signal())
    }

    /// What the model says of some of these events, and which.
    fn explained(&self, few: &Sample) -> Result<Option<(Explanation, Sample)>> {
        let most = (NODES / self.model.parameters().max(1)).clamp(50, FEW_EVENTS).min(few.len());
        let sample = few.take(&(0..most).collect::<Vec<_>>());
        let explanation = self.model.explain(&sample.events, self.workers)?;
        Ok(explanation.map(|explanation| (explanation, sample)))
    }

    /// Prepares the metric of these events.
    fn areas(&self) -> Areas<'_> {
        Areas {
            targets: &self.sample.targets,
            signal: self.sample.labels.iter().map(|&l| l == 1).collect(),
            weights: &self.sample.weights,
            bootstrap: Bootstrap::new(self.seed, self.replicas.min(REPLICAS), &self.sample.identity),
            workers: self.workers,
        }
    }

    /// What the area under the curve loses when the values of a column are dealt out anew among the events, with
    /// signed weights (Breiman, Machine Learning 45 (2001) 5; on test events): the mean over the permutations.
    ///
    /// The error joins the paired bootstrap of the test events and the spread of the permutations in squares.
    fn loss(&self, name: &str, before: &Evaluated, areas: &Areas<'_>) -> Result<Value> {
        let column = self.sample.events.column(name)?;
        let mut dealt = self.sample.events.clone();
        let mut after = Vec::new();
        for permutation in 0..PERMUTATIONS {
            let mut random = Philox::new(self.seed, philox::hash_text(name), permutation as u64);
            let order = random.permutation(self.sample.len());
            dealt.push(Column::flat(name, column.data.take(&order)))?;
            after.push(areas.of(&self.scores(&dealt)?)?);
        }
        Ok(loss(before, &after))
    }

    /// The mean score if all events had the same value of a column, at its quantiles (Friedman, Ann. Statist. 29 (2001)
    /// 1189).
    fn dependence(&self, name: &str, few: &Sample) -> Result<Dependence> {
        let data = &self.sample.events.column(name)?.data;
        let mut values: Vec<f64> = (0..data.len()).map(|i| data.number(i)).collect();
        values.retain(|x| x.is_finite() && !self.missing.contains(x));
        values.sort_by(f64::total_cmp);
        // Values that events have, not means of them: a column may be of categories.
        let place = |i: usize| values.get((2 * i + 1) * values.len() / (2 * POINTS)).copied();
        let mut grid: Vec<f64> = (0..POINTS).filter_map(place).collect();
        grid.dedup();
        let all: f64 = few.weights.iter().sum();
        let mut events = few.events.clone();
        let mut points = Vec::new();
        for x in grid {
            let data = match data {
                Data::I64(_) => Data::I64(vec![x as i64; few.len()]),
                _ => Data::F64(vec![x; few.len()]),
            };
            events.push(Column::flat(name, data))?;
            let scores = self.scores(&events)?;
            let mean = scores.iter().zip(&few.weights).map(|(s, w)| s * w).sum::<f64>() / all;
            let variance: f64 = scores.iter().zip(&few.weights).map(|(s, w)| (w * (s - mean)).powi(2)).sum();
            points.push((x, Value::symmetric(mean, variance.sqrt() / all.abs())));
        }
        Ok(Dependence { variable: name.to_owned(), points })
    }
}

/// Areas under curves, or r.m.s. of residuals with a minus, of the same events with the same replicas.
struct Areas<'a> {
    targets: &'a [f64],
    signal: Vec<bool>,
    weights: &'a [f64],
    bootstrap: Bootstrap,
    workers: &'a dyn Workers,
}

impl Areas<'_> {
    fn of(&self, scores: &[f64]) -> fb_core::Result<Evaluated> {
        if !self.targets.is_empty() {
            let residuals = Residuals::new(scores, self.targets)?;
            let error = |w: &[f64]| Ok(vec![-residuals.metrics(&[Accuracy::Rmse], w)[0]]);
            return evaluate_with(self.weights, &self.bootstrap, self.workers, &error);
        }
        let evaluation = Evaluation::new(scores, &self.signal)?;
        evaluate(&[Metric::Auc], &evaluation, self.weights, &self.bootstrap, self.workers)
    }
}

/// The mean loss, its error from the replicas and from the spread over the permutations.
fn loss(before: &Evaluated, after: &[Evaluated]) -> Value {
    let n = after.len() as f64;
    let losses: Vec<f64> = after.iter().map(|a| before.values[0].central - a.values[0].central).collect();
    let mean = losses.iter().sum::<f64>() / n;
    let spread = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0) / n;
    let replicas = before.replicas.iter().enumerate().filter_map(|(r, base)| {
        let sum: Option<f64> = after.iter().map(|a| a.replicas.get(r).map(|x| x[0])).sum();
        Some(base[0] - sum? / n)
    });
    let sampling = interval(mean, replicas);
    let wider = |side: f64| (side * side + spread).sqrt();
    Value::new(mean, mean - wider(mean - sampling.low), mean + wider(sampling.high - mean))
}

fn dots(name: &str, explanation: &Explanation, sample: &Sample, missing: &[f64]) -> Option<Dots> {
    let column = sample.events.column(name).ok().filter(|c| c.offsets.is_none())?;
    let at = explanation.variables.iter().position(|v| v == name)?;
    let mut points = [Vec::new(), Vec::new()];
    for (i, phi) in explanation.shap.chunks_exact(explanation.variables.len()).enumerate().take(DOTS) {
        let x = column.data.number(i);
        if x.is_finite() && !missing.contains(&x) {
            points[usize::from(sample.labels[i] == 1)].push((x, phi[at]));
        }
    }
    Some(Dots { variable: name.to_owned(), points })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use fb_core::run::Alone;
    use fb_core::{Artifact, Scores};
    use serde_json::json;

    use super::*;

    /// A score that follows `x` and, half as much, `y`; `idle` is seen and not used.
    struct Follows;

    impl Fitted for Follows {
        fn scores(&self, events: &Events, _: &dyn Workers) -> fb_core::Result<Scores> {
            let (x, y) = (events.column("x")?, events.column("y")?);
            let score = |i: usize| (1.0 / (1.0 + (-x.data.number(i) - 0.5 * y.data.number(i)).exp())) as f32;
            let values = (0..events.len()).flat_map(|i| [1.0 - score(i), score(i)]).collect();
            Ok(Scores { classes: 2, values })
        }

        fn artifact(&self) -> fb_core::Result<Artifact> {
            let input =
                Input::Columns { variables: ["x + y", "x", "idle"].map(str::to_owned).to_vec(), missing: vec![] };
            Ok(Artifact { header: json!({"method": "test", "input": input}), tensors: vec![], doubles: vec![] })
        }

        fn parameters(&self) -> usize {
            2
        }
    }

    fn sample(n: usize) -> Sample {
        let mut random = Philox::new(3, 0, 0);
        let labels: Vec<u32> = (0..n).map(|i| i as u32 % 2).collect();
        let mut column = |name: &str, shift: f64| {
            let x = labels.iter().map(|&l| random.normal() + shift * f64::from(l)).collect();
            Column::flat(name, Data::F64(x))
        };
        let columns = vec![column("x", 1.0), column("y", 0.5), column("idle", 0.0), column("unseen", 2.0)];
        let weights = (0..n).map(|i| if i % 10 == 3 { -0.5 } else { 1.0 }).collect();
        Sample {
            events: Events::new(columns).unwrap(),
            labels,
            weights,
            identity: (0..n as u64).collect(),
            ..Sample::default()
        }
    }

    #[test]
    fn what_is_used_is_important_and_the_rest_is_not() {
        let sample = sample(3000);
        let looks = look(&Follows, &sample, 1, 40, &Alone).unwrap();
        let order: Vec<&str> = looks.importance.iter().map(|i| i.variable.as_str()).collect();
        assert_eq!(order, ["x", "y", "idle", "x + y"], "columns by their loss, expressions without one last");
        let loss = |i: usize| looks.importance[i].permutation.unwrap();
        assert!(loss(0).central > 0.1 && loss(0).low > 0.05, "{}", loss(0));
        assert!(loss(1).central > 3.0 * loss(1).error(), "{}", loss(1));
        assert!(loss(2).central.abs() < 1e-12, "{}", loss(2));
        let points = &looks.dependence[0].points;
        assert!(points.len() == POINTS && points.is_sorted_by(|a, b| a.1.central < b.1.central));
    }

    #[test]
    fn the_order_of_the_file_does_not_matter() {
        let sample = sample(500);
        let turned = sample.take(&(0..500).rev().collect::<Vec<_>>());
        let value = |s: &Sample| look(&Follows, s, 1, 20, &Alone).unwrap().importance[0].permutation.unwrap();
        // Bit by bit.
        assert_eq!(value(&sample), value(&turned));
    }

    #[test]
    fn several_classes_are_left_alone() {
        let mut sample = sample(50);
        sample.labels[3] = 2;
        assert!(look(&Follows, &sample, 1, 20, &Alone).unwrap().importance.is_empty());
    }
}
