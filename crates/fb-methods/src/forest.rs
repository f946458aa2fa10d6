//! What all tree methods share: the features of events in bins, weights, classes, and a trained forest.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use fb_core::{
    Artifact, Card, Error, Events, Explanation, Fitted, Input, Method, Result, Run, Sample, Scores, Workers,
};
use fb_physics::expression::sparse;
use fb_trees::{
    Asked, Binned, Columns, Explainer, Forest, Loss, Objective as _, Options, Residual, Scorer, Set, Targets,
    gain_shares,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::neural::{self, check_sample, shift};
use crate::weights::{self, NegativeWeights, Normalise};

/// An ensemble of trees of the catalogue.
pub trait Ensemble: Send + Sync + 'static {
    /// Its card.
    const CARD: Card;
    /// Its options; the default is the paper's.
    type Config: Serialize + DeserializeOwned + Default + JsonSchema;

    /// What it sees of an event.
    fn table(config: &Self::Config) -> &Table;
    /// Refuses options that cannot work.
    fn check(config: &Self::Config) -> Result<()>;
    /// Grows the forest; `events` are those of the training part, for what is no variable.
    fn grow(config: &Self::Config, prepared: &Prepared, events: &Sample, run: &mut Run<'_>) -> Result<Forest>;
}

/// The ensemble `E` as a method.
pub struct Trees<E>(PhantomData<fn() -> E>);

impl<E: Ensemble> Method for Trees<E> {
    const CARD: Card = E::CARD;
    type Config = E::Config;
    type Fitted = FittedForest;

    fn input(config: &E::Config) -> Result<Input> {
        Ok(E::table(config).input())
    }

    fn fit(config: &E::Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedForest> {
        E::check(config)?;
        let prepared = prepare(E::table(config), train, validation, run)?;
        let forest = E::grow(config, &prepared, train, run)?;
        FittedForest::new(E::CARD.name, config, prepared.input, forest)
    }

    fn load(artifact: &Artifact) -> Result<FittedForest> {
        FittedForest::load(artifact)
    }
}

/// What a tree method sees of events: the options that all of them have.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// What is seen of an event, in the expression language; where empty, all columns with one number per event but
    /// label, weight and identifiers.
    pub variables: Vec<String>,
    /// Values that stand for a missing one, besides NaN: −999.
    pub missing: Vec<f64>,
    /// Variables whose whole numbers are categories without order.
    pub categorical: Vec<String>,
    /// Bins of a variable, 2 to 255.
    pub bins: usize,
    /// What negative weights do in the training: `keep`, `drop` or `abs`.
    pub negative_weights: NegativeWeights,
    /// How weights are scaled: `none`, `events` (to a mean of one) or `classes` (each class to the same sum).
    pub normalise: Normalise,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            missing: Vec::new(),
            categorical: Vec::new(),
            bins: fb_trees::MOST_BINS,
            negative_weights: NegativeWeights::default(),
            normalise: Normalise::default(),
        }
    }
}

impl Table {
    /// With each class at the same sum of weights.
    pub(crate) fn balanced() -> Self {
        Self { normalise: Normalise::Classes, ..Self::default() }
    }

    /// What is seen of an event.
    pub fn input(&self) -> Input {
        Input::Columns { variables: self.variables.clone(), missing: self.missing.clone() }
    }
}

/// A sample that is ready for trees.
pub struct Prepared {
    /// What is seen, with all variables named.
    pub input: Input,
    /// Classes, or numbers.
    pub asked: Asked,
    /// What the training goes on from.
    start: Option<Forest>,
    train: Part,
    validation: Option<Part>,
}

struct Part {
    binned: Binned,
    targets: Vec<f32>,
    weights: Vec<f32>,
    identity: Vec<u64>,
    start: Vec<Vec<f32>>,
}

impl Part {
    fn set(&self) -> Set<'_> {
        let events = Targets { targets: &self.targets, weights: &self.weights };
        Set { binned: &self.binned, events, identity: &self.identity, start: &self.start }
    }
}

impl Prepared {
    /// The training part.
    pub fn train(&self) -> Set<'_> {
        self.train.set()
    }

    /// The validation part, if there is one.
    pub fn validation(&self) -> Option<Set<'_>> {
        self.validation.as_ref().map(Part::set)
    }

    /// Names of the variables.
    pub fn variables(&self) -> &[String] {
        match &self.input {
            Input::Columns { variables, .. } => variables,
            _ => &[],
        }
    }

    /// Two classes, which some methods need.
    ///
    /// # Errors
    /// [`Error::Config`] if there are more.
    pub fn two_classes(&self, method: &str) -> Result<()> {
        let found = match self.asked {
            Asked::Classes(2) => return Ok(()),
            Asked::Classes(classes) => format!("{classes}; `bdt` and `random_forest` take more"),
            Asked::Targets => "targets".to_owned(),
        };
        let reason = format!("it tells two classes apart, found {found}");
        Err(Error::Config { place: format!("method `{method}`"), reason })
    }

    /// One number for each variable from those that are named.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a name that is no variable.
    pub fn of_variables(&self, named: &BTreeMap<String, i8>) -> Result<Vec<i8>> {
        let mut all = vec![0; self.variables().len()];
        for (name, &value) in named {
            all[place(self.variables(), name)?] = value;
        }
        Ok(all)
    }
}

fn place(variables: &[String], name: &str) -> Result<usize> {
    variables.iter().position(|v| v == name).ok_or_else(|| Error::UnknownName {
        what: "variable",
        name: name.to_owned(),
        closest: fb_core::closest(name, variables.iter().map(String::as_str)),
    })
}

/// The columns of a sample, evaluated one at a time.
struct Features<'a> {
    events: &'a Events,
    variables: &'a [String],
    missing: &'a [f64],
}

impl Columns for Features<'_> {
    fn rows(&self) -> usize {
        self.events.len()
    }

    fn features(&self) -> usize {
        self.variables.len()
    }

    fn column(&self, feature: usize) -> Result<Vec<f32>> {
        let values = sparse(&self.variables[feature], self.events, self.missing)?;
        Ok(values.into_iter().map(|x| x as f32).collect())
    }
}

/// Names of all columns with one number per event.
pub fn all_variables(events: &Events) -> Vec<String> {
    let is_number = |c: &&fb_core::Column| c.offsets.is_none() && !matches!(c.data, fb_core::Data::Text(_));
    events.columns().iter().filter(is_number).map(|c| c.name.clone()).collect()
}

/// Brings a training and a validation part into bins.
///
/// # Errors
/// Columns that are missing or infinite, classes without events, weights that are not finite or sum up to nothing.
fn prepare(seen: &Table, train: &Sample, validation: &Sample, run: &Run<'_>) -> Result<Prepared> {
    let asked = asked(train, validation)?;
    let variables = if seen.variables.is_empty() { all_variables(&train.events) } else { seen.variables.clone() };
    if variables.is_empty() {
        let hint = "there is no column with one number per event; name some in `variables`".to_owned();
        return Err(Error::Empty { what: "the list of variables".to_owned(), hint });
    }
    if seen.bins < 2 || seen.bins > fb_trees::MOST_BINS {
        let reason = format!("found {}, expected 2 to {}", seen.bins, fb_trees::MOST_BINS);
        return Err(Error::Config { place: "`bins`".to_owned(), reason });
    }
    let mut categorical = vec![false; variables.len()];
    for name in &seen.categorical {
        categorical[place(&variables, name)?] = true;
    }
    let classes = if let Asked::Classes(classes) = asked { Some(classes) } else { None };
    let weights = weights::treated(seen.negative_weights, seen.normalise, train, classes)?;
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let features = |events| Features { events, variables: &variables, missing: &seen.missing };
    let columns = features(&train.events);
    let binned = Binned::fit(&columns, &weights, &train.identity, seen.bins, &categorical, run.workers)?;
    let watched = Binned::with(&features(&validation.events), binned.scales(), run.workers)?;
    let start = run.start.map(|artifact| started(artifact, &variables)).transpose()?;
    let outputs = |features: &Features<'_>| match &start {
        Some(scorer) => first_outputs(scorer, features, run),
        None => Ok(Vec::new()),
    };
    let starts = [outputs(&columns)?, outputs(&features(&validation.events))?];
    let part = |sample: &Sample, binned, weights, start| Part {
        binned,
        start,
        targets: match asked {
            Asked::Classes(_) => sample.labels.iter().map(|&l| l as f32).collect(),
            Asked::Targets => (0..train.width()).flat_map(|k| sample.target(k)).map(|y| y as f32).collect(),
        },
        weights,
        identity: sample.identity.clone(),
    };
    let signed = validation.weights.iter().map(|&w| w as f32).collect();
    let [first, second] = starts;
    let validation = (!validation.is_empty()).then(|| part(validation, watched, signed, second));
    let train = part(train, binned, weights, first);
    let start = start.map(|scorer| scorer.forest().clone());
    Ok(Prepared { input: Input::Columns { variables, missing: seen.missing.clone() }, asked, start, train, validation })
}

/// The forest that a training goes on from.
fn started(artifact: &Artifact, variables: &[String]) -> Result<Scorer> {
    let FittedForest { input, scorer, .. } = FittedForest::load(artifact)?;
    match input {
        Input::Columns { variables: seen, .. } if seen == variables => Ok(scorer),
        _ => {
            let reason = format!("its model sees other variables, expected {}", variables.join(", "));
            Err(Error::Config { place: "`start`".to_owned(), reason })
        }
    }
}

/// Its outputs, a column for each.
fn first_outputs(scorer: &Scorer, features: &Features<'_>, run: &Run<'_>) -> Result<Vec<Vec<f32>>> {
    let columns = (0..features.features()).map(|f| features.column(f)).collect::<Result<Vec<_>>>()?;
    let columns = doubles(&columns);
    let all = scorer.outputs(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>(), run.workers);
    let width = scorer.forest().outputs();
    Ok((0..width).map(|k| all.iter().skip(k).step_by(width).map(|&x| x as f32).collect()).collect())
}

/// Columns as a [`Scorer`] takes them.
pub(crate) fn doubles(columns: &[Vec<f32>]) -> Vec<Vec<f64>> {
    columns.iter().map(|column| column.iter().map(|&x| f64::from(x)).collect()).collect()
}

/// What is asked of the events, which must allow an answer.
fn asked(train: &Sample, validation: &Sample) -> Result<Asked> {
    if train.targets.is_empty() && !train.is_empty() {
        let classes = neural::classes(train);
        check_sample(train, validation, classes)?;
        return Ok(Asked::Classes(classes));
    }
    neural::check_targets(train, validation)?;
    Ok(Asked::Targets)
}

/// A trained forest with what it sees.
pub struct FittedForest {
    method: String,
    config: Json,
    input: Input,
    scorer: Scorer,
}

impl FittedForest {
    /// A forest of this method, trained with these options.
    pub fn new(method: &str, config: &impl Serialize, input: Input, forest: Forest) -> Result<Self> {
        let config = serde_json::to_value(config)
            .map_err(|e| Error::Config { place: format!("method `{method}`"), reason: e.to_string() })?;
        Ok(Self { method: method.to_owned(), config, input, scorer: Scorer::new(forest) })
    }

    /// Reads a stored forest back.
    pub fn load(artifact: &Artifact) -> Result<Self> {
        let unreadable = |reason: String| Error::Artifact { reason };
        let input: Input = serde_json::from_value(artifact.header["input"].clone())
            .map_err(|e| unreadable(format!("`input` in the header: {e}")))?;
        let forest = Forest::from_artifact(artifact)?;
        match &input {
            Input::Columns { variables, .. } if variables.len() == forest.features => {}
            _ => return Err(unreadable("the forest does not fit what it is said to see".to_owned())),
        }
        let config = artifact.header["config"].clone();
        Ok(Self { method: artifact.method()?.to_owned(), config, input, scorer: Scorer::new(forest) })
    }
}

/// Events whose columns are evaluated at a time.
const BLOCK: usize = 1 << 16;

impl Fitted for FittedForest {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        let Input::Columns { variables, missing } = &self.input else { return Ok(Scores::default()) };
        let forest = self.scorer.forest();
        let classes = forest.link.classes(forest.outputs());
        let mut values = Vec::with_capacity(events.len() * classes);
        for start in (0..events.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(events.len());
            let taken;
            let block = if start == 0 && end == events.len() {
                events
            } else {
                taken = events.take(&(start..end).collect::<Vec<_>>());
                &taken
            };
            let columns = variables.iter().map(|v| sparse(v, block, missing)).collect::<Result<Vec<_>>>();
            let columns = columns.map_err(|e| shift(e, start))?;
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            values.extend(self.scorer.scores(&columns, workers).into_iter().map(|s| s as f32));
        }
        Ok(Scores { classes, values })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": self.method, "config": self.config, "input": self.input});
        Ok(self.scorer.forest().artifact(header))
    }

    /// Leaves and cuts.
    fn parameters(&self) -> usize {
        self.scorer.forest().trees.iter().map(|t| t.nodes.len()).sum()
    }

    /// Shapley values of the output of class 1, or of the only one.
    fn explain(&self, events: &Events, workers: &dyn Workers) -> Result<Option<Explanation>> {
        let Input::Columns { variables, missing } = &self.input else { return Ok(None) };
        let forest = self.scorer.forest();
        let output = 1.min(forest.outputs().saturating_sub(1));
        let columns = variables.iter().map(|v| sparse(v, events, missing)).collect::<Result<Vec<_>>>()?;
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let explainer = Explainer::new(forest);
        Ok(Some(Explanation {
            variables: variables.clone(),
            gain: gain_shares(forest),
            shap: explainer.of_columns(&columns, output, workers),
            expected: explainer.expected().get(output).copied().unwrap_or_default(),
        }))
    }
}

/// What boosted trees minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// ln(1 + e^−yF) for two classes, −ln softmax(F) for more.
    Logistic,
    /// The logistic loss of each class against the rest.
    OneVsRest,
    /// e^−yF: as AdaBoost, for two classes.
    Exponential,
    /// ½ (F − y)²: means.
    Squared,
    /// ½ r² for |r| < δ, else δ (|r| − ½ δ): means that outliers do not move.
    Huber,
    /// max(α r, (α − 1) r), r = y − F: quantiles.
    Quantile,
    /// e^F − y F: rates and counts.
    Poisson,
    /// Variance ∝ mean^p, 1 < p < 2: amounts that may be zero.
    Tweedie,
}

/// What boosted trees minimise, with its parameters.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Objectives {
    /// What is minimised. Of classes: `logistic` (the default; softmax for several), `one_vs_rest`, `exponential`. Of
    /// numbers: `squared` (the default), `huber`, `quantile`, `poisson`, `tweedie`.
    pub loss: Option<Objective>,
    /// δ of `huber`, in units of the target.
    pub delta: f64,
    /// α of `quantile`: 0.5 for medians.
    pub alpha: f64,
    /// p of `tweedie`.
    pub power: f64,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { loss: None, delta: 1.0, alpha: 0.5, power: 1.5 }
    }
}

impl Objectives {
    /// Refuses parameters that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        check("delta", self.delta, self.delta > 0.0 && self.delta.is_finite(), "a positive number")?;
        check("alpha", self.alpha, self.alpha > 0.0 && self.alpha < 1.0, "a number between 0 and 1")?;
        check("power", self.power, self.power > 1.0 && self.power < 2.0, "a number between 1 and 2")
    }

    /// The loss of a sample.
    ///
    /// # Errors
    /// [`Error::Config`] for a loss of numbers where there are classes, or the other way round, and for targets below
    /// zero where the loss is of rates.
    fn loss(&self, prepared: &Prepared) -> Result<Loss> {
        let refuse = |reason: String| Err(Error::Config { place: "`loss`".to_owned(), reason });
        let events = prepared.train().events;
        let default = if prepared.asked == Asked::Targets { Objective::Squared } else { Objective::Logistic };
        let residual = match (self.loss.unwrap_or(default), prepared.asked) {
            (Objective::Logistic | Objective::OneVsRest, Asked::Classes(2)) => return Ok(Loss::Logistic),
            (Objective::Logistic, Asked::Classes(classes)) => return Ok(Loss::Softmax(classes)),
            (Objective::OneVsRest, Asked::Classes(classes)) => return Ok(Loss::OneVsRest(classes)),
            (Objective::Exponential, Asked::Classes(2)) => return Ok(Loss::Exponential),
            (Objective::Exponential, Asked::Classes(classes)) => {
                return refuse(format!("`exponential` is for two classes, found {classes}"));
            }
            (Objective::Logistic | Objective::OneVsRest | Objective::Exponential, Asked::Targets) => {
                return refuse("found a loss of classes, expected one of numbers, as `squared`".to_owned());
            }
            (_, Asked::Classes(_)) => {
                return refuse("found a loss of numbers, expected one of classes, as `logistic`".to_owned());
            }
            (Objective::Squared, _) => Residual::Squared,
            (Objective::Huber, _) => Residual::Huber(self.delta),
            (Objective::Quantile, _) => Residual::Quantile(self.alpha),
            (Objective::Poisson, _) => Residual::Poisson,
            (Objective::Tweedie, _) => Residual::Tweedie(self.power),
        };
        let is_rate = matches!(residual, Residual::Poisson | Residual::Tweedie(_));
        if let Some(at) = events.targets.iter().position(|&y| is_rate && y < 0.0) {
            let event = at % events.len();
            return refuse(format!(
                "it is of rates, found {} in event {event}, expected no target below 0",
                events.targets[at]
            ));
        }
        Ok(Loss::Regression(residual, events.width()))
    }

    /// Boosts a forest.
    ///
    /// # Errors
    /// As [`fb_trees::boost`], and for a loss that does not fit the sample.
    pub(crate) fn boost(&self, options: &Options, prepared: &Prepared, run: &mut Run<'_>) -> Result<Forest> {
        let mut loss = self.loss(prepared)?;
        if let Some(start) = &prepared.start {
            let (found, expected) = ((start.link, start.outputs()), (loss.link(), loss.outputs()));
            if found != expected || loss == Loss::Exponential {
                let reason = format!(
                    "its model has the link and outputs {found:?}, expected {expected:?} of another loss than `exponential`"
                );
                return Err(Error::Config { place: "`start`".to_owned(), reason });
            }
        }
        let mut forest = fb_trees::boost(options, &mut loss, prepared.train(), prepared.validation(), run)?;
        if let Some(start) = &prepared.start {
            let more = std::mem::replace(&mut forest, start.clone());
            forest.trees.extend(more.trees);
        }
        if loss == Loss::Exponential {
            // Its outputs are half the logarithm of the odds.
            forest.scale(2.0);
        }
        Ok(forest)
    }
}

/// Rows of the events of a class.
type Members = Vec<u32>;

/// Values of features along which a score is to be flat, and the training events of some classes.
pub(crate) fn flat_features(
    along: &[String],
    classes: &[u32],
    missing: &[f64],
    train: &Sample,
) -> Result<(Vec<Vec<f32>>, Vec<Members>)> {
    if along.is_empty() {
        let reason = "found none, expected the variables along which the efficiency is to be flat".to_owned();
        return Err(Error::Config { place: "`flat`".to_owned(), reason });
    }
    let column = |text: &String| Ok(sparse(text, &train.events, missing)?.into_iter().map(|x| x as f32).collect());
    let columns = along.iter().map(column).collect::<Result<_>>()?;
    let members = |&class: &u32| {
        let all = 0..train.len() as u32;
        all.filter(|&i| train.labels[i as usize] == class && train.weights[i as usize] != 0.0).collect()
    };
    Ok((columns, classes.iter().map(members).collect()))
}

/// Refuses an option out of its range.
pub(crate) fn check(key: &str, found: f64, is_good: bool, expected: &str) -> Result<()> {
    if is_good {
        return Ok(());
    }
    Err(Error::Config { place: format!("`{key}`"), reason: format!("found {found}, expected {expected}") })
}

/// Refuses a number out of its range.
pub(crate) fn count(key: &str, found: usize, range: std::ops::RangeInclusive<usize>) -> Result<()> {
    let expected = format!("{} to {}", range.start(), range.end());
    check(key, found as f64, range.contains(&found), &expected)
}

/// Refuses what is not a positive number of reasonable size.
pub(crate) fn positive(key: &str, found: f64) -> Result<()> {
    check(key, found, found > 0.0 && found <= 1e3, "a positive number up to 1000")
}

/// Refuses what is negative or not finite.
pub(crate) fn not_negative(key: &str, found: f64) -> Result<()> {
    check(key, found, found >= 0.0 && found.is_finite(), "zero or a positive number")
}

/// Refuses what is no share of events or variables.
pub(crate) fn share(key: &str, found: f64) -> Result<()> {
    check(key, found, found > 0.0 && found <= 1.0, "a share above 0, up to 1")
}
