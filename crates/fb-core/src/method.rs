//! Methods and fitted models.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};

use crate::{
    Artifact, Card, Error, Events, Input, Partition, Promise, Result, Run, Sample, Task, Value, Workers, closest,
};

/// A method of the catalogue: one type, one file.
pub trait Method: Send + Sync + 'static {
    /// Its card.
    const CARD: Card;
    /// Its options; the default is the paper's.
    type Config: Serialize + DeserializeOwned + Default + JsonSchema;
    /// What training gives.
    type Fitted: Fitted + 'static;

    /// What it sees of an event.
    fn input(config: &Self::Config) -> Result<Input>;

    /// Trains on `train`, watching `validation`.
    fn fit(config: &Self::Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<Self::Fitted>;

    /// Reads a stored model back.
    fn load(artifact: &Artifact) -> Result<Self::Fitted>;
}

/// What a model says of events: [event, class] probabilities that sum to one, or [event, target] predictions of a
/// regression.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Number of classes, or of targets.
    pub classes: usize,
    /// Row after row.
    pub values: Vec<f32>,
}

impl Scores {
    /// Probability of class 1, the signal of a binary problem.
    pub fn signal(&self) -> Vec<f64> {
        self.values.chunks_exact(self.classes.max(1)).map(|row| f64::from(row[1.min(row.len() - 1)])).collect()
    }
}

/// What a model says of its own inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// What it sees, in its own order.
    pub variables: Vec<String>,
    /// Share of each variable in what the training gained, with its error.
    pub gain: Vec<Value>,
    /// [event, variable] what each value adds to the output of the signal before it becomes a score, row after row.
    pub shap: Vec<f64>,
    /// The output that is expected of an event of which nothing is known: with the row of an event, its output.
    pub expected: f64,
}

/// A trained model.
pub trait Fitted: Send + Sync {
    /// Scores of events. They do not depend on which other events are asked for, nor on the threads.
    ///
    /// # Errors
    /// Columns that are missing or not finite; [`Error::Config`] of a model that puts particles into groups, which has none.
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores>;
    /// The groups that the particles of each event fall into, for models that put them into some; none for those that score
    /// events.
    ///
    /// # Errors
    /// As [`Fitted::scores`].
    fn partition(&self, _events: &Events, _workers: &dyn Workers) -> Result<Option<Partition>> {
        Ok(None)
    }
    /// Standard deviations of predictions [event, target], for models of numbers that say them.
    ///
    /// # Errors
    /// As [`Fitted::scores`].
    fn errors(&self, _events: &Events, _workers: &dyn Workers) -> Result<Option<Scores>> {
        Ok(None)
    }
    /// What is stored of it: enough to predict and to export.
    fn artifact(&self) -> Result<Artifact>;
    /// Trainable parameters.
    fn parameters(&self) -> usize;

    /// Why these events have their scores; none for models that cannot say.
    ///
    /// # Errors
    /// As [`Fitted::scores`].
    fn explain(&self, _events: &Events, _workers: &dyn Workers) -> Result<Option<Explanation>> {
        Ok(None)
    }
}

/// A method behind `dyn`: all that the program and the contract tests see.
pub trait AnyMethod: Sync {
    /// Its card.
    fn card(&self) -> &'static Card;
    /// Its default options.
    fn defaults(&self) -> Json;
    /// The JSON schema of its options.
    fn schema(&self) -> Json;
    /// `config` with every default filled in.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] with the nearest key, [`Error::Config`] for a value of the wrong type.
    fn resolve(&self, config: &Json) -> Result<Json>;
    /// What it sees of an event with these options.
    fn input(&self, config: &Json) -> Result<Input>;
    /// Trains with these options; those left out take their defaults.
    fn fit(&self, config: &Json, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<Box<dyn Fitted>>;
    /// Reads a stored model back.
    fn load(&self, artifact: &Artifact) -> Result<Box<dyn Fitted>>;
}

/// The catalogue's entry of the method `M`.
pub struct Entry<M>(PhantomData<fn() -> M>);

/// The catalogue's entry of the method `M`.
pub const fn entry<M: Method>() -> Entry<M> {
    Entry(PhantomData)
}

impl<M: Method> Entry<M> {
    fn config(&self, config: &Json) -> Result<M::Config> {
        let mut whole = self.defaults();
        merge(&mut whole, config, &format!("method `{}`", M::CARD.name))?;
        serde_json::from_value(whole).map_err(|e| {
            let fails = |alone: Json| {
                let mut whole = self.defaults();
                merge(&mut whole, &alone, "").is_err() || serde_json::from_value::<M::Config>(whole).is_err()
            };
            let place = std::iter::once(format!("method `{}`", M::CARD.name))
                .chain(wrong_key(config, &fails).into_iter().map(|key| format!("`{key}`")));
            Error::Config { place: place.collect::<Vec<_>>().join(", "), reason: e.to_string() }
        })
    }
}

/// The path to the first option that does not even work alone.
fn wrong_key(config: &Json, fails: &dyn Fn(Json) -> bool) -> Vec<String> {
    for (key, value) in config.as_object().into_iter().flatten() {
        let alone = |value: Json| Json::Object(Map::from_iter([(key.clone(), value)]));
        if fails(alone(value.clone())) {
            let deeper = wrong_key(value, &|inner| fails(alone(inner)));
            return std::iter::once(key.clone()).chain(deeper).collect();
        }
    }
    Vec::new()
}

impl<M: Method> AnyMethod for Entry<M> {
    fn card(&self) -> &'static Card {
        const { &M::CARD }
    }

    fn defaults(&self) -> Json {
        json(&M::Config::default())
    }

    fn schema(&self) -> Json {
        json(&schemars::schema_for!(M::Config))
    }

    fn resolve(&self, config: &Json) -> Result<Json> {
        self.config(config).map(|config| json(&config))
    }

    fn input(&self, config: &Json) -> Result<Input> {
        M::input(&self.config(config)?)
    }

    fn fit(&self, config: &Json, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<Box<dyn Fitted>> {
        let tasks = M::CARD.tasks;
        let refuse = |reason: &str| {
            Err(Error::Config { place: format!("method `{}`", M::CARD.name), reason: reason.to_owned() })
        };
        if train.partition.is_some() != tasks.contains(&Task::Partition) {
            return refuse(if train.partition.is_some() {
                "it says something of events as a whole, found particles to be put into groups"
            } else {
                "it puts particles into groups, found none to learn from"
            });
        }
        if train.width() > 0 && !tasks.contains(&Task::Regress) {
            return refuse("it tells classes apart, found numbers to be predicted");
        }
        if let Some(start) = run.start {
            let (name, found) = (M::CARD.name, start.method()?);
            let refuse = |reason| Err(Error::Config { place: format!("method `{name}`, `start`"), reason });
            if !M::CARD.promises(Promise::WarmStart) {
                return refuse("it cannot go on from a model".to_owned());
            }
            if found != name {
                return refuse(format!("found a model of `{found}`, expected one of `{name}`"));
            }
        }
        let fitted = M::fit(&self.config(config)?, train, validation, run)?;
        Ok(Box::new(fitted))
    }

    fn load(&self, artifact: &Artifact) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(M::load(artifact)?))
    }
}

/// Our own types turn into JSON without fail: their keys are texts and nothing in them refuses.
fn json(value: &impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

/// Lays `over` on `base`. Tables merge key by key; a key that `base` does not have is an error with a hint.
/// Null stands for an option that is absent, so any value may take its place; so may one that is tagged by `kind`.
pub fn merge(base: &mut Json, over: &Json, place: &str) -> Result<()> {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) if !over.contains_key("kind") => {
            for (key, value) in over {
                let Some(slot) = base.get_mut(key) else {
                    return Err(Error::UnknownKey {
                        key: key.clone(),
                        place: place.to_owned(),
                        closest: closest(key, base.keys().map(String::as_str)),
                    });
                };
                merge(slot, value, &format!("{place}, `{key}`"))?;
            }
            Ok(())
        }
        (base, over) => {
            *base = over.clone();
            Ok(())
        }
    }
}
