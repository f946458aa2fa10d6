//! The context of a run: all that a method may know of the world outside its data.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Artifact, Result};

/// Threads to work on. The results never depend on how many there are.
pub trait Workers: Sync {
    /// Calls `task(0)`, …, `task(n - 1)`, each once, in any order, on any thread, and returns when all are done.
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync));
    /// How many threads.
    fn count(&self) -> usize;
}

/// One thread: the caller's.
pub struct Alone;

impl Workers for Alone {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..n).for_each(task);
    }

    fn count(&self) -> usize {
        1
    }
}

/// What `task(0)`, …, `task(n - 1)` give, in this order.
pub fn gather<T: Send>(workers: &dyn Workers, n: usize, task: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let results: Vec<Mutex<Option<T>>> = (0..n).map(|_| Mutex::new(None)).collect();
    workers.for_each(n, &|i| *results[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(task(i)));
    results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Where a training keeps its checkpoint. The implementer writes atomically and keeps two generations.
pub trait Store {
    /// Stores a checkpoint in place of the last.
    fn save(&mut self, checkpoint: &[u8]) -> Result<()>;
    /// The newest checkpoint that is whole, if any.
    fn load(&mut self) -> Result<Option<Vec<u8>>>;
    /// Whether so much time has passed since the last one that it is worth to store another.
    fn is_due(&self) -> bool;
}

/// No checkpoints: for trainings that are over in a moment.
pub struct Nowhere;

impl Store for Nowhere {
    fn save(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn is_due(&self) -> bool {
        false
    }
}

/// What a training tells after each epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epoch, from one.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mean weighted training loss of the epoch.
    pub loss: f64,
    /// Mean weighted loss of the validation sample, if there is one.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation sample, if there is one and it has classes.
    pub validation_accuracy: Option<f64>,
    /// Learning rate at the end of the epoch.
    pub lr: f64,
    /// Training events seen so far in this training.
    pub events: usize,
}

/// The context of a training: seed, threads, where to report and where to keep checkpoints.
pub struct Run<'a> {
    /// Every random number follows from it.
    pub seed: u64,
    /// The threads to work on.
    pub workers: &'a dyn Workers,
    /// Called within an epoch with (epoch, fraction of the epoch done).
    pub tick: &'a mut dyn FnMut(usize, f64),
    /// Called after each epoch.
    pub report: &'a mut dyn FnMut(&Progress),
    /// True once a signal has asked to stop.
    pub stop: &'a dyn Fn() -> bool,
    /// Checkpoints.
    pub store: &'a mut dyn Store,
    /// A model of the same method that the training goes on from.
    pub start: Option<&'a Artifact>,
}
