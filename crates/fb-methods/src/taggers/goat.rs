//! GoaT: a dense network on the scores of other taggers (arXiv:1902.09914, section 4), or their mean or median.
//!
//! Sees the log-odds ln p/(1 − p) of each class but the first by each member, within ±10. A network that is trained on
//! scores of jets that the members know by heart learns to believe them too much, so members are trained on all folds but
//! one at a time and score that one; new jets take the mean of the models of all folds. For mean and median each member is
//! trained once on all jets. Parameters: 22,362 + 100 for each member and class but the first (paper: 35k, its inputs are not told).

use fb_core::{
    Artifact, Card, Error, Events, Features, Fitted, Input, Method, Paper, Result, Run, Sample, Scores, Status, Task,
    Workers, philox,
};
use fb_nn::{Graph, Model, Rows, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{dense, logits};
use crate::forest::count;
use crate::neural::{check_sample, classes, in_whole, set};
use crate::stages::{Member, Stages};
use crate::weights::{self, NegativeWeights, Normalise};

/// What becomes of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// A dense network is trained on them.
    Network,
    /// Their mean.
    Mean,
    /// Their median, scaled to the sum one.
    Median,
}

/// Options of GoaT.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The taggers.
    pub members: Vec<Member>,
    /// What becomes of their scores.
    pub combine: Combine,
    /// Folds in which members are trained for the network, at least 2.
    pub folds: usize,
    /// Widths of the network's layers.
    pub layers: Vec<usize>,
    /// How the network is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        let member = |method: &str| Member { method: method.to_owned(), options: json!({}) };
        Self {
            members: ["efn", "particlenet_lite", "pfn", "topodnn"].map(member).to_vec(),
            combine: Combine::Network,
            folds: 2,
            layers: vec![100, 100, 100, 20],
            train: Train { epochs: 20, batch: 256, ..Train::default() },
        }
    }
}

impl Config {
    fn check(&self) -> Result<()> {
        count("members", self.members.len(), 1..=64)?;
        count("folds", self.folds, 2..=20)?;
        self.train.check()?;
        if self.members.iter().any(|member| member.method == Goat::CARD.name) {
            let reason = "found `goat` as a member of itself, expected other methods".to_owned();
            return Err(Error::Config { place: "method `goat`, `members`".to_owned(), reason });
        }
        self.members.iter().try_for_each(|member| crate::method(&member.method).map(|_| ()))
    }

    /// How often each member is trained.
    fn trainings(&self) -> usize {
        if self.combine == Combine::Network { self.folds } else { 1 }
    }

    /// The network on the scores of the members.
    fn graph(&self, classes: usize) -> Result<Graph> {
        let mut graph = Graph::new(Rows::Event, self.members.len() * (classes - 1));
        let x = dense(&mut graph, Graph::INPUT, &self.layers);
        logits(&mut graph, x, classes);
        graph
            .check()
            .map_err(|e| Error::Config { place: "method `goat`, `layers`".to_owned(), reason: e.to_string() })?;
        Ok(graph)
    }
}

/// A name for the model of a member that has not seen a fold.
fn part(member: usize, fold: usize) -> String {
    format!("member_{member}_{fold}")
}

/// Salt of the hash by which events are dealt out to folds: another one than that of the validation part.
const SALT: u64 = 11;
/// Log-odds beyond which a score counts as certain.
const CERTAIN: f64 = 10.0;

/// What the network sees: log-odds of each class but the first by each member.
fn features(members: &[Vec<f64>], classes: usize) -> Features {
    let events = members.first().map_or(0, |m| m.len() / classes);
    let odds = |p: f64| (p.max(1e-9) / (1.0 - p).max(1e-9)).ln().clamp(-CERTAIN, CERTAIN) as f32;
    let of_event = |i: usize| members.iter().flat_map(move |m| m[i * classes + 1..(i + 1) * classes].iter());
    let values = (0..events).flat_map(|i| of_event(i).map(|&p| odds(p))).collect();
    Features { width: members.len() * (classes - 1), values, offsets: None, others: Vec::new() }
}

/// Probabilities [event, class] by a model, of a number of classes that is known.
fn probabilities(model: &dyn Fitted, events: &Events, classes: usize, workers: &dyn Workers) -> Result<Vec<f64>> {
    let scores = model.scores(events, workers)?;
    if scores.classes != classes {
        let what = "classes of a member".to_owned();
        return Err(Error::Length { what, expected: classes, found: scores.classes });
    }
    Ok(scores.values.into_iter().map(f64::from).collect())
}

/// An error about an event of a part of the sample, told about the event of the whole training or validation sample.
fn explained(error: Error, member: &Member, parts: [&Sample; 2]) -> Error {
    let Error::NotFinite { .. } = error else { return error };
    let again = || -> Result<()> {
        let input = crate::method(&member.method)?.input(&member.options)?;
        let input = fb_physics::features::fit(&input, &parts[0].events, &parts[0].weights)?;
        parts.iter().try_for_each(|part| fb_physics::features::prepare(&input, &part.events).map(|_| ()))
    };
    again().err().unwrap_or(error)
}

/// GoaT.
pub struct Goat;

impl Method for Goat {
    const CARD: Card = Card {
        name: "goat",
        title: "GoaT, a network on the scores of other taggers, or their mean or median",
        tasks: &[Task::Classify],
        input: "what its members see",
        // What it keeps to follows from its members.
        promises: &[],
        paper: Paper { authors: "Kasieczka, Plehn et al.", arxiv: "1902.09914" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = FittedGoat;

    /// What its first member sees.
    fn input(config: &Config) -> Result<Input> {
        config.check()?;
        let first = &config.members[0];
        crate::method(&first.method)?.input(&first.options)
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedGoat> {
        config.check()?;
        let classes = classes(train);
        let graph = config.graph(classes)?;
        check_sample(train, validation, classes)?;
        weights::treated(NegativeWeights::Keep, Normalise::None, train, Some(classes))?;
        let fold = |i: usize| (philox::hash(train.identity[i], SALT) % config.folds as u64) as usize;
        let mut stages = Stages::new(config, train, run)?;
        let (mut models, mut unseen) = (Vec::new(), Vec::new());
        for member in &config.members {
            let method = crate::method(&member.method)?;
            let (mut own, mut scores) = (Vec::new(), vec![0.0; train.len() * classes]);
            for left_out in 0..config.trainings() {
                let mut rows: Vec<usize> = (0..train.len()).collect();
                if config.combine == Combine::Network {
                    rows.retain(|&i| fold(i) != left_out);
                    let sum = |class: u32| {
                        let of_class = rows.iter().filter(|&&i| train.labels[i] == class);
                        of_class.map(|&i| train.weights[i]).sum::<f64>()
                    };
                    if (0..classes as u32).any(|class| sum(class) <= 0.0) {
                        // Too few events to part.
                        rows = (0..train.len()).collect();
                    }
                }
                let part = train.take(&rows);
                let artifact = stages.next(run, |run| {
                    let fitted = method.fit(&member.options, &part, validation, run);
                    fitted.map_err(|e| explained(e, member, [train, validation]))?.artifact()
                })?;
                let model = method.load(&artifact)?;
                if config.combine == Combine::Network {
                    let rest: Vec<usize> = (0..train.len()).filter(|&i| fold(i) == left_out).collect();
                    let found = probabilities(&*model, &train.events.take(&rest), classes, run.workers)
                        .map_err(|e| in_whole(e, &rest))?;
                    for (&i, row) in rest.iter().zip(found.chunks_exact(classes)) {
                        scores[i * classes..][..classes].copy_from_slice(row);
                    }
                }
                own.push(model);
            }
            models.push(own);
            unseen.push(scores);
        }
        let mut fitted = FittedGoat { config: config.clone(), classes, models, network: None };
        if config.combine == Combine::Network {
            let seen = features(&unseen, classes);
            let others = features(&fitted.members(&validation.events, run.workers)?, classes);
            let artifact = stages.next(run, |run| {
                let [train, validation] =
                    [(train, &seen), (validation, &others)].map(|(part, seen)| set(part, None, &part.weights, seen));
                let model = fb_nn::train(graph, &config.train, train, validation, run)?;
                Ok(Artifact { header: json!({"graph": model.graph}), tensors: model.tensors(), doubles: Vec::new() })
            })?;
            fitted.network = Some(network(&artifact)?);
        }
        Ok(fitted)
    }

    fn load(artifact: &Artifact) -> Result<FittedGoat> {
        let broken = |reason: String| Error::Artifact { reason };
        let config: Config = serde_json::from_value(artifact.header["config"].clone())
            .map_err(|e| broken(format!("`config` in the header: {e}")))?;
        config.check().map_err(|e| broken(e.to_string()))?;
        let Some(classes @ 2..=0xfffff) = artifact.header["classes"].as_u64().map(|n| n as usize) else {
            return Err(broken("`classes` in the header is not a number of classes".to_owned()));
        };
        let model = |i: usize, member: &Member, fold: usize| {
            let inner = artifact.part(&part(i, fold))?;
            if inner.method()? != member.method {
                return Err(broken(format!("member {i} is no `{}`", member.method)));
            }
            crate::method(&member.method)?.load(&inner)
        };
        let members = config.members.iter().enumerate();
        let models = members.map(|(i, m)| (0..config.trainings()).map(|fold| model(i, m, fold)).collect());
        let models = models.collect::<Result<Vec<Vec<Box<dyn Fitted>>>>>()?;
        let network = match config.combine {
            Combine::Network => {
                let model = network(&artifact.part("network")?)?;
                if model.graph != config.graph(classes).map_err(|e| broken(e.to_string()))? {
                    return Err(broken("the network does not fit the members".to_owned()));
                }
                Some(model)
            }
            Combine::Mean | Combine::Median => None,
        };
        Ok(FittedGoat { config, classes, models, network })
    }
}

fn network(artifact: &Artifact) -> Result<Model> {
    let graph = serde_json::from_value(artifact.header["graph"].clone());
    Model::from_tensors(graph.map_err(|e| Error::Artifact { reason: format!("`graph` in the header: {e}") })?, artifact)
}

/// A trained tagger of taggers.
pub struct FittedGoat {
    config: Config,
    classes: usize,
    /// Of each member, the models of its folds.
    models: Vec<Vec<Box<dyn Fitted>>>,
    network: Option<Model>,
}

impl FittedGoat {
    /// Of each member [event, class] probabilities, the mean over its folds.
    fn members(&self, events: &Events, workers: &dyn Workers) -> Result<Vec<Vec<f64>>> {
        let member = |models: &Vec<Box<dyn Fitted>>| {
            let mut sum = vec![0.0; events.len() * self.classes];
            for model in models {
                let own = probabilities(&**model, events, self.classes, workers)?;
                sum.iter_mut().zip(own).for_each(|(sum, p)| *sum += p / models.len() as f64);
            }
            Ok(sum)
        };
        self.models.iter().map(member).collect()
    }
}

impl Fitted for FittedGoat {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        let members = self.members(events, workers)?;
        let classes = self.classes;
        if let Some(network) = &self.network {
            let values = network.probabilities(&features(&members, classes), workers);
            return Ok(Scores { classes, values });
        }
        let middle = |at: usize| {
            let mut all: Vec<f64> = members.iter().map(|m| m[at]).collect();
            if self.config.combine == Combine::Mean {
                return all.iter().sum::<f64>() / all.len() as f64;
            }
            all.sort_by(f64::total_cmp);
            f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])
        };
        let mut values: Vec<f32> = (0..events.len() * classes).map(|at| middle(at) as f32).collect();
        for row in values.chunks_exact_mut(classes) {
            let sum: f32 = row.iter().sum();
            for p in row {
                *p = if sum > 0.0 { *p / sum } else { 1.0 / classes as f32 };
            }
        }
        Ok(Scores { classes, values })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": Goat::CARD.name, "config": self.config, "classes": self.classes});
        let mut whole = Artifact { header, tensors: Vec::new(), doubles: Vec::new() };
        for (i, models) in self.models.iter().enumerate() {
            for (fold, model) in models.iter().enumerate() {
                whole.add_part(&part(i, fold), model.artifact()?);
            }
        }
        if let Some(model) = &self.network {
            let header = json!({"graph": model.graph});
            whole.add_part("network", Artifact { header, tensors: model.tensors(), doubles: Vec::new() });
        }
        Ok(whole)
    }

    fn parameters(&self) -> usize {
        let members: usize = self.models.iter().flatten().map(|model| model.parameters()).sum();
        members + self.network.as_ref().map_or(0, |network| network.parameters.len())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::run::{Alone, Nowhere};
    use fb_core::{Column, Data, Philox};

    use super::*;

    /// Labels that have nothing to do with what is seen.
    fn noise(n: usize, seed: u64) -> Sample {
        let mut random = Philox::new(seed, 0, 0);
        let x = (0..n).map(|_| random.normal()).collect();
        Sample {
            events: Events::new(vec![Column::flat("x", Data::F64(x))]).unwrap(),
            labels: (0..n as u32).map(|i| i % 2).collect(),
            targets: Vec::new(),
            partition: None,
            weights: vec![1.0; n],
            identity: (0..n as u64).map(|i| seed << 32 | i).collect(),
        }
    }

    fn loss(config: &Config) -> f64 {
        let mut run = Run {
            seed: 1,
            workers: &Alone,
            tick: &mut |_, _| {},
            report: &mut |_| {},
            stop: &|| false,
            store: &mut Nowhere,
            start: None,
        };
        let fitted = Goat::fit(config, &noise(600, 1), &noise(100, 2), &mut run).unwrap();
        let fresh = noise(1000, 3);
        let scores = fitted.scores(&fresh.events, &Alone).unwrap();
        let of_event = |(row, &label): (&[f32], &u32)| -f64::from(row[label as usize]).max(1e-12).ln();
        scores.values.chunks_exact(2).zip(&fresh.labels).map(of_event).sum::<f64>() / fresh.len() as f64
    }

    /// A member that knows its own events by heart is worth nothing on others. The network, which sees it on events that
    /// it does not know, finds that out; on scores of events that it knows it would believe it.
    #[test]
    fn the_network_sees_members_on_events_that_they_do_not_know() {
        let options =
            json!({"variables": ["x"], "depth": 8, "trees": 60, "min_child_weight": 0.1, "learning_rate": 0.5});
        let member = Member { method: "bdt".to_owned(), options };
        let train = Train { epochs: 10, batch: 100, lr: 3e-3, ..Train::default() };
        let config = Config { members: vec![member], layers: vec![8], train, ..Config::default() };
        let alone = loss(&Config { combine: Combine::Mean, ..config.clone() });
        let stacked = loss(&config);
        assert!(alone > 0.85, "the member overfits: {alone}");
        assert!(stacked < 0.75, "ln 2 is all there is to learn: {stacked}");
    }

    #[test]
    fn a_tagger_of_itself_and_unknown_methods_are_refused() {
        let members = |method: &str| vec![Member { method: method.to_owned(), options: json!({}) }];
        let refused =
            |method| Config { members: members(method), ..Config::default() }.check().unwrap_err().to_string();
        assert!(refused("goat").contains("member of itself") && refused("pfm").contains("did you mean `pfn`"));
        assert_eq!(Config::default().graph(2).unwrap().parameter_count(), 22_362 + 4 * 100);
    }
}
