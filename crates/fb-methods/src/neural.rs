//! A network becomes a method: what it sees is prepared, it is trained, stored and asked for scores here, once for all.

use std::marker::PhantomData;

use fb_core::{
    Artifact, Card, Error, Events, Features, Fitted, Input, Layout, List, Method, Partition, Result, Run, Sample,
    Scores, Task, Workers,
};
use fb_nn::training::Set;
use fb_nn::{Edges, Graph, Model, Numbers, Regression, Rows, Target, Train};
use fb_physics::lists;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};

use crate::weights::{self, NegativeWeights, Normalise, Reweight};

/// A network of the catalogue.
pub trait Network: Send + Sync + 'static {
    /// Its card.
    const CARD: Card;
    /// Its options; the default is the paper's.
    type Config: Serialize + DeserializeOwned + Default + JsonSchema;

    /// What it sees.
    fn input(config: &Self::Config) -> Result<Input>;
    /// How it is trained.
    fn train(config: &Self::Config) -> &Train;
    /// How the weights of a training are scaled.
    fn normalise(_config: &Self::Config) -> Normalise {
        Normalise::None
    }
    /// How the spectra of classes are made alike in a training.
    fn reweight(_config: &Self::Config) -> Option<&Reweight> {
        None
    }
    /// What a prediction of numbers is to be; none for networks that do not predict any.
    fn regression(_config: &Self::Config) -> Option<Regression> {
        None
    }
    /// Its operations after the input nodes of `graph`, up to the logits of so many classes or of pairs of particles, or
    /// so many predictions.
    fn build(config: &Self::Config, classes: usize, graph: &mut Graph) -> Result<()>;
}

/// The network `N` as a method.
pub struct Neural<N>(PhantomData<fn() -> N>);

/// The network that `build` makes of what is seen.
fn graph(name: &str, input: &Input, build: impl FnOnce(&mut Graph) -> Result<()>) -> Result<Graph> {
    let inputs = shapes(input)?;
    let Some((&(rows, width), others)) = inputs.split_first() else {
        let reason = "it sees nothing: there are no variables".to_owned();
        return Err(Error::Config { place: format!("method `{name}`"), reason });
    };
    let mut graph = Graph::new(rows, width);
    for &(rows, width) in others {
        graph.input(rows, width);
    }
    build(&mut graph)?;
    graph.check().map_err(|e| match e {
        // It was built here and now, so it is the options that are wrong and not a stored model.
        Error::Artifact { reason } => Error::Config { place: format!("method `{name}`"), reason },
        other => other,
    })?;
    Ok(graph)
}

/// Rows and their width of all collections that a network sees.
fn shapes(input: &Input) -> Result<Vec<(Rows, usize)>> {
    Ok(vec![match input {
        Input::Table { variables } => (Rows::Event, variables.len()),
        Input::Columns { variables, .. } => (Rows::Event, variables.len()),
        Input::Particles { layout: Layout::Cloud, variables, .. } => (Rows::Particle, variables.len()),
        Input::Particles { layout: Layout::Sequence, variables, max, .. } => {
            (Rows::Event, max.saturating_mul(variables.len()))
        }
        Input::Observables { set, .. } => (Rows::Event, fb_physics::features::numbers_of(set)?),
        Input::Lund { variables, .. } => (Rows::Particle, variables.len() + Input::LUND_LINKS),
        Input::History { variables, .. } => (Rows::Particle, variables.len() + Input::HISTORY_LINKS),
        Input::Image { pixels, .. } => (Rows::Event, pixels.saturating_mul(*pixels)),
        Input::Lists { event, lists } => return Ok(fb_nn::graph::of_lists(event.len(), lists)),
    }])
}

impl<N: Network> Method for Neural<N> {
    const CARD: Card = N::CARD;
    type Config = N::Config;
    type Fitted = FittedNetwork;

    fn input(config: &N::Config) -> Result<Input> {
        N::input(config)
    }

    fn fit(config: &N::Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedNetwork> {
        let input = N::input(config)?;
        let plan = Plan { method: N::CARD.name, config, input: &input, train: N::train(config) };
        if N::CARD.tasks == [Task::Partition] {
            let graph = plan.graph(|graph| N::build(config, 1, graph))?;
            [train, validation].into_iter().try_for_each(check_weights)?;
            return plan.fit(graph, train, &train.weights, validation, run);
        }
        if let Some(loss) = N::regression(config) {
            if train.width() > 0 {
                if N::reweight(config).is_some() {
                    let reason = "it makes classes alike, found numbers to be predicted".to_owned();
                    return Err(Error::Config { place: format!("method `{}`, `reweight`", N::CARD.name), reason });
                }
                return plan.predict(loss, N::normalise(config), train, validation, run, |outputs, graph| {
                    N::build(config, outputs, graph)
                });
            }
            if loss != Regression::default() {
                let reason = "found a loss of numbers, but classes to be told apart".to_owned();
                return Err(Error::Config { place: format!("method `{}`, `loss`", N::CARD.name), reason });
            }
        }
        let classes = classes(train);
        let graph = plan.graph(|graph| N::build(config, classes, graph))?;
        check_sample(train, validation, classes)?;
        let mut weights = weights::treated(NegativeWeights::Keep, N::normalise(config), train, Some(classes))?;
        if let Some(reweight) = N::reweight(config) {
            weights = reweight.apply(train, &weights)?;
        }
        plan.fit(graph, train, &weights, validation, run)
    }

    fn load(artifact: &Artifact) -> Result<FittedNetwork> {
        FittedNetwork::load(artifact)
    }
}

/// A network that is to be trained.
pub(crate) struct Plan<'a, C> {
    pub method: &'static str,
    pub config: &'a C,
    /// What it sees.
    pub input: &'a Input,
    pub train: &'a Train,
}

impl<C: Serialize> Plan<'_, C> {
    /// The operations of `build` on what is seen.
    pub fn graph(&self, build: impl FnOnce(&mut Graph) -> Result<()>) -> Result<Graph> {
        graph(self.method, self.input, build)
    }

    /// Trains a network of numbers; they are standardised over the training part, by the sizes of its weights.
    fn predict(
        &self,
        loss: Regression,
        normalise: Normalise,
        train: &Sample,
        validation: &Sample,
        run: &mut Run<'_>,
        build: impl FnOnce(usize, &mut Graph) -> Result<()>,
    ) -> Result<FittedNetwork> {
        loss.check()?;
        check_targets(train, validation)?;
        let weights = weights::treated(NegativeWeights::Keep, normalise, train, None)?;
        let targets = train.width();
        let graph = self.graph(|graph| {
            graph.numbers = Some(targets);
            build(loss.outputs(targets), graph)
        })?;
        let (means, sigma): (Vec<f64>, Vec<f64>) =
            (0..targets).map(|k| fb_physics::features::moments(&train.target(k), &train.weights)).unzip();
        if let Some(k) = sigma.iter().position(|s| !(*s > 0.0 && s.is_finite())) {
            let what = format!("the spread of target {k} of the training part");
            return Err(Error::Empty { what, hint: format!("its standard deviation is {}", sigma[k]) });
        }
        let standard = |part: &Sample| -> Vec<f64> {
            let each = part.targets.iter().enumerate();
            each.map(|(i, t)| (t - means[i % targets]) / sigma[i % targets]).collect()
        };
        let parts = [standard(train), standard(validation)];
        let numbers = parts.each_ref().map(|standard| Target::Numbers(Numbers { standard, sigma: &sigma, loss }));
        let mut fitted = self.fit_to(Some(numbers), graph, (train, &weights), validation, run)?;
        fitted.model.in_units(&means, &sigma)?;
        Ok(fitted)
    }

    /// Prepares what is seen of both parts and trains the network with these weights of the training part.
    pub fn fit(
        &self,
        graph: Graph,
        train: &Sample,
        weights: &[f64],
        validation: &Sample,
        run: &mut Run<'_>,
    ) -> Result<FittedNetwork> {
        self.fit_to(None, graph, (train, weights), validation, run)
    }

    /// The same, to these targets of both parts where they are neither classes nor groups.
    fn fit_to(
        &self,
        targets: Option<[Target<'_>; 2]>,
        graph: Graph,
        (train, weights): (&Sample, &[f64]),
        validation: &Sample,
        run: &mut Run<'_>,
    ) -> Result<FittedNetwork> {
        let input = fb_physics::features::fit(self.input, &train.events, &train.weights)?;
        let features = [train, validation].map(|part| fb_physics::features::prepare(&input, &part.events));
        let [train_features, validation_features] = features;
        let (train_features, validation_features) = (train_features?, validation_features?);
        let groups = [train, validation].map(|part| groups(&input, part));
        let [train_groups, validation_groups] = groups;
        let (train_groups, validation_groups) = (train_groups?, validation_groups?);
        let variable = match &self.train.decorrelate {
            Some(decorrelate) => Some(fb_physics::expression::flat(&decorrelate.against, &train.events)?),
            None => None,
        };
        let mut train =
            Set { variable: variable.as_deref(), ..set(train, train_groups.as_ref(), weights, &train_features) };
        let mut validation = set(validation, validation_groups.as_ref(), &validation.weights, &validation_features);
        if let Some(targets) = targets {
            [train.target, validation.target] = targets;
        }
        let model = fb_nn::train(graph, self.train, train, validation, run)?;
        let config = serde_json::to_value(self.config)
            .map_err(|e| Error::Config { place: format!("method `{}`", self.method), reason: e.to_string() })?;
        Ok(FittedNetwork { method: self.method.to_owned(), config, input, model })
    }
}

/// The events of a part, with the groups of its particles where these are asked for.
pub(crate) fn set<'a>(
    sample: &'a Sample,
    groups: Option<&'a Partition>,
    weights: &'a [f64],
    features: &'a Features,
) -> Set<'a> {
    let target = groups.map_or(Target::Classes(&sample.labels), Target::Partition);
    Set { features, target, weights, identity: &sample.identity, variable: None }
}

/// The list whose entries are put into groups.
fn grouped(input: &Input) -> Result<&List> {
    match input {
        Input::Lists { event, lists } if event.is_empty() && lists.len() == 1 => Ok(&lists[0]),
        _ => Err(Error::Artifact { reason: "a network that puts particles into groups sees one list".to_owned() }),
    }
}

/// The true groups of the particles that a network sees, in its order; none where particles are not grouped.
fn groups(input: &Input, sample: &Sample) -> Result<Option<Partition>> {
    let Some(all) = &sample.partition else { return Ok(None) };
    let list = grouped(input)?;
    let kept = lists::kept(list, &sample.events)?;
    if let Some(event) = (0..all.events()).find(|&i| all.offsets()[i + 1] != kept.all[i + 1]) {
        return Err(Error::Length {
            what: format!("groups of list `{}` in event {event}", list.name),
            expected: kept.all[event + 1] - kept.all[event],
            found: all.of(event).len(),
        });
    }
    let mut seen = Partition::default();
    for o in kept.offsets.windows(2) {
        seen.push(kept.entries[o[0]..o[1]].iter().map(|&entry| all.groups()[entry]));
    }
    Ok(Some(seen))
}

/// What a model that puts particles into groups says when it is asked for scores of events.
pub(crate) fn no_scores(method: &str) -> Error {
    let reason = "it puts particles into groups and has no score of an event".to_owned();
    Error::Config { place: format!("method `{method}`"), reason }
}

/// Classes of a training part: one more than the largest label, and at least two.
pub(crate) fn classes(train: &Sample) -> usize {
    train.labels.iter().max().map_or(2, |&l| (l as usize + 1).max(2))
}

/// Refuses classes that are not asked for or not there, and weights that are not finite.
pub(crate) fn check_sample(train: &Sample, validation: &Sample, classes: usize) -> Result<()> {
    for sample in [train, validation] {
        check_labels(sample, classes)?;
        check_weights(sample)?;
    }
    for class in 0..classes as u32 {
        if !train.labels.contains(&class) {
            let what = format!("class {class} of the training part");
            return Err(Error::Empty { what, hint: "check `label`, `select` and the folds".to_owned() });
        }
    }
    Ok(())
}

/// Refuses numbers to be predicted and weights that are not finite, and a training part without events.
pub(crate) fn check_targets(train: &Sample, validation: &Sample) -> Result<()> {
    if train.is_empty() {
        let hint = "check `select` and the folds".to_owned();
        return Err(Error::Empty { what: "the training part".to_owned(), hint });
    }
    for sample in [train, validation] {
        check_weights(sample)?;
        if let Some(at) = sample.targets.iter().position(|y| !(*y as f32).is_finite()) {
            let event = at / train.width();
            return Err(Error::NotFinite { column: "target".to_owned(), event, found: sample.targets[at] });
        }
    }
    Ok(())
}

fn check_labels(sample: &Sample, classes: usize) -> Result<()> {
    match sample.labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(event) => Err(Error::Config {
            place: "label".to_owned(),
            reason: format!("event {event} has the class {}, expected 0 to {}", sample.labels[event], classes - 1),
        }),
    }
}

pub(crate) fn check_weights(sample: &Sample) -> Result<()> {
    match sample.weights.iter().position(|w| !w.is_finite()) {
        None => Ok(()),
        Some(event) => Err(Error::NotFinite { column: "weight".to_owned(), event, found: sample.weights[event] }),
    }
}

/// A trained network with what it sees.
pub struct FittedNetwork {
    method: String,
    config: Json,
    input: Input,
    model: Model,
}

impl FittedNetwork {
    /// Classes that it tells apart.
    pub(crate) fn classes(&self) -> usize {
        self.model.graph.classes()
    }

    /// Reads a stored network back.
    pub fn load(artifact: &Artifact) -> Result<Self> {
        let read = |key: &str| Error::Artifact { reason: format!("`{key}` in the header is not readable") };
        let input: Input = serde_json::from_value(artifact.header["input"].clone()).map_err(|_| read("input"))?;
        let graph: Graph = serde_json::from_value(artifact.header["graph"].clone()).map_err(|_| read("graph"))?;
        let model = Model::from_tensors(graph, artifact)?;
        if model.graph.is_of_pairs() {
            grouped(&input)?;
        }
        if shapes(&input)? != model.graph.inputs() {
            return Err(Error::Artifact { reason: "the network does not fit what it is said to see".to_owned() });
        }
        Ok(Self { method: artifact.method()?.to_owned(), config: artifact.header["config"].clone(), input, model })
    }
}

/// Events that are prepared at a time, so that memory does not grow with the file.
pub(crate) const BLOCK: usize = 8192;

impl FittedNetwork {
    /// What `of` makes of the features of all events, block by block.
    fn in_blocks(&self, events: &Events, mut of: impl FnMut(&Features)) -> Result<()> {
        for start in (0..events.len()).step_by(BLOCK) {
            let block: Vec<usize> = (start..(start + BLOCK).min(events.len())).collect();
            let features = if block.len() == events.len() {
                fb_physics::features::prepare(&self.input, events)?
            } else {
                fb_physics::features::prepare(&self.input, &events.take(&block)).map_err(|e| shift(e, start))?
            };
            of(&features);
        }
        Ok(())
    }
}

impl Fitted for FittedNetwork {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        if self.model.graph.is_of_pairs() {
            return Err(no_scores(&self.method));
        }
        let mut values = Vec::with_capacity(events.len() * self.model.graph.classes());
        self.in_blocks(events, |features| match self.model.graph.numbers {
            Some(_) => values.extend(self.model.predictions(features, workers).0),
            None => values.extend(self.model.probabilities(features, workers)),
        })?;
        Ok(Scores { classes: self.model.graph.classes(), values })
    }

    fn errors(&self, events: &Events, workers: &dyn Workers) -> Result<Option<Scores>> {
        let (classes, mut values) = (self.model.graph.classes(), Vec::new());
        if self.model.graph.numbers.is_none() || self.model.graph.nodes[self.model.graph.output()].width == classes {
            return Ok(None);
        }
        self.in_blocks(events, |features| {
            values.extend(self.model.predictions(features, workers).1.into_iter().flatten());
        })?;
        Ok(Some(Scores { classes, values }))
    }

    /// Particles are together where a chain of pairs with a logit above zero leads from one to the other; one that the
    /// network does not see is alone.
    fn partition(&self, events: &Events, workers: &dyn Workers) -> Result<Option<Partition>> {
        if !self.model.graph.is_of_pairs() {
            return Ok(None);
        }
        let list = grouped(&self.input)?;
        let mut all = Partition::default();
        for start in (0..events.len()).step_by(BLOCK) {
            let block = events.take(&(start..(start + BLOCK).min(events.len())).collect::<Vec<_>>());
            let prepared = fb_physics::features::prepare(&self.input, &block).map_err(|e| shift(e, start))?;
            let logits = self.model.outputs(&prepared, workers);
            let kept = lists::kept(list, &block)?;
            let mut first = 0;
            for (all_of, kept_of) in kept.all.windows(2).zip(kept.offsets.windows(2)) {
                let seen = &kept.entries[kept_of[0]..kept_of[1]];
                let mut place = vec![None; all_of[1] - all_of[0]];
                seen.iter().enumerate().for_each(|(at, &entry)| place[entry - all_of[0]] = Some(at));
                let together = |i: usize, j: usize| match (place[i], place[j]) {
                    (Some(i), Some(j)) => logits[first + Edges::place(i.max(j), i.min(j))] > 0.0,
                    _ => false,
                };
                all.push_connected(place.len(), together);
                first += Edges::Unordered.count(seen.len());
            }
        }
        Ok(Some(all))
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({
            "method": self.method,
            "config": self.config,
            "input": self.input,
            "graph": self.model.graph,
        });
        Ok(Artifact { header, tensors: self.model.tensors(), doubles: Vec::new() })
    }

    fn parameters(&self) -> usize {
        self.model.parameters.len()
    }
}

/// An error about event `i` of a block, told about the event of the whole sample.
pub(crate) fn shift(error: Error, start: usize) -> Error {
    match error {
        Error::NotFinite { column, event, found } => Error::NotFinite { column, event: event + start, found },
        other => other,
    }
}

/// An error about an event of a part, told about the event of the whole sample: those of the part are `own`.
pub(crate) fn in_whole(error: Error, own: &[usize]) -> Error {
    match error {
        Error::NotFinite { column, event, found } if event < own.len() => {
            Error::NotFinite { column, event: own[event], found }
        }
        other => other,
    }
}
