//! A training of several models, one after the other: what is done is kept with the checkpoint of what is under way.

use fb_core::{Artifact, Error, Result, Run, Sample, Store, philox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A method whose scores another one sees.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name in the catalogue.
    pub method: String,
    /// Its options; those left out take their defaults.
    pub options: Json,
}

/// The models that are trained so far.
pub(crate) struct Stages {
    /// Behind what tells this training from others, the models that are done.
    done: Vec<Vec<u8>>,
    /// The same of an earlier run, and the checkpoint of the next model.
    known: Vec<Vec<u8>>,
}

impl Stages {
    /// From the checkpoint of a run that was stopped, if there is one: that of a training with these options on this
    /// sample.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for bytes that are none, and for those of another training.
    pub(crate) fn new(config: &impl Serialize, train: &Sample, run: &mut Run<'_>) -> Result<Self> {
        let unreadable = |e: serde_json::Error| Error::Checkpoint { reason: e.to_string() };
        let numbers = train.targets.iter().chain(&train.weights).map(|x| x.to_bits());
        let events = train.identity.iter().copied().chain(train.labels.iter().map(|&l| u64::from(l))).chain(numbers);
        let events = events.fold(0, philox::hash);
        let own = format!("{events:016x} {} {}", run.seed, serde_json::to_string(config).map_err(unreadable)?);
        let known = run.store.load()?.map_or_else(|| Ok(Vec::new()), |bytes| unpack(&bytes))?;
        if known.first().is_some_and(|first| *first != own.as_bytes()) {
            let reason = "it belongs to another training (other options, seed or events)".to_owned();
            return Err(Error::Checkpoint { reason });
        }
        Ok(Self { done: vec![own.into_bytes()], known })
    }

    /// The next model: trained, or as it was when it was done in an earlier run.
    ///
    /// # Errors
    /// Those of the training.
    pub(crate) fn next(
        &mut self,
        run: &mut Run<'_>,
        train: impl FnOnce(&mut Run<'_>) -> Result<Artifact>,
    ) -> Result<Artifact> {
        let stage = self.done.len();
        // The last of the known blocks is of a model that was under way.
        if stage + 1 < self.known.len() {
            self.done.push(self.known[stage].clone());
            return Artifact::from_bytes(&self.known[stage]);
        }
        let own = self.known.get(stage).filter(|bytes| !bytes.is_empty()).cloned();
        let mut store = Stage { all: &mut *run.store, done: &self.done, own };
        let mut inner = Run {
            seed: run.seed,
            workers: run.workers,
            tick: &mut *run.tick,
            report: &mut *run.report,
            stop: run.stop,
            store: &mut store,
            start: None,
        };
        let artifact = train(&mut inner)?;
        self.done.push(artifact.to_bytes()?);
        Ok(artifact)
    }
}

/// Checkpoints of one model among those of all.
struct Stage<'a> {
    all: &'a mut dyn Store,
    done: &'a [Vec<u8>],
    own: Option<Vec<u8>>,
}

impl Store for Stage<'_> {
    fn save(&mut self, checkpoint: &[u8]) -> Result<()> {
        self.all.save(&pack(self.done, checkpoint))
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.own.take())
    }

    fn is_due(&self) -> bool {
        self.all.is_due()
    }
}

/// Blocks, each behind its length in eight bytes.
fn pack(done: &[Vec<u8>], own: &[u8]) -> Vec<u8> {
    let blocks = done.iter().map(Vec::as_slice).chain([own]);
    blocks.flat_map(|block| (block.len() as u64).to_le_bytes().into_iter().chain(block.iter().copied())).collect()
}

fn unpack(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let broken = || Error::Checkpoint { reason: "its blocks are not whole".to_owned() };
    let mut blocks = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
        let (block, rest) = rest.split_at_checked(length).ok_or_else(broken)?;
        blocks.push(block.to_vec());
        bytes = rest;
    }
    if bytes.is_empty() { Ok(blocks) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use fb_core::run::Alone;
    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Memory(Option<Vec<u8>>);

    impl Store for Memory {
        fn save(&mut self, checkpoint: &[u8]) -> Result<()> {
            self.0 = Some(checkpoint.to_vec());
            Ok(())
        }

        fn load(&mut self) -> Result<Option<Vec<u8>>> {
            Ok(self.0.clone())
        }

        fn is_due(&self) -> bool {
            false
        }
    }

    /// Two stages, the second of which is stopped once; counts what is trained.
    fn train(seed: u64, store: &mut Memory, stops: bool, trained: &Cell<usize>) -> Result<[Artifact; 2]> {
        let model = |name: &str| Artifact { header: json!({"name": name}), tensors: Vec::new(), doubles: Vec::new() };
        let mut run = Run {
            seed,
            workers: &Alone,
            tick: &mut |_, _| {},
            report: &mut |_| {},
            stop: &|| stops,
            store,
            start: None,
        };
        let mut stages = Stages::new(&json!({"trees": 3}), &Sample::default(), &mut run)?;
        let first = stages.next(&mut run, |run| {
            trained.set(trained.get() + 1);
            assert_eq!(run.store.load()?, None);
            Ok(model("first"))
        })?;
        let second = stages.next(&mut run, |run| {
            if (run.stop)() {
                run.store.save(b"half")?;
                return Err(Error::Stopped { epoch: 1 });
            }
            assert_eq!(run.store.load()?.as_deref(), Some(&b"half"[..]), "it goes on with its own checkpoint");
            Ok(model("second"))
        })?;
        Ok([first, second])
    }

    #[test]
    fn a_stage_that_is_done_is_not_trained_again() {
        let (mut store, trained) = (Memory::default(), Cell::new(0));
        assert!(matches!(train(1, &mut store, true, &trained), Err(Error::Stopped { .. })));
        assert!(matches!(train(2, &mut store, false, &trained), Err(Error::Checkpoint { .. })), "another seed");
        let [first, second] = train(1, &mut store, false, &trained).unwrap();
        assert_eq!((&first.header["name"], &second.header["name"]), (&json!("first"), &json!("second")));
        assert_eq!(trained.get(), 1);
    }

    #[test]
    fn blocks_come_back_and_broken_ones_are_refused() {
        let bytes = pack(&[vec![1, 2, 3], Vec::new()], &[7]);
        assert_eq!(unpack(&bytes).unwrap(), [vec![1, 2, 3], vec![], vec![7]]);
        for length in [1, 8, bytes.len() - 1] {
            assert!(unpack(&bytes[..length]).is_err(), "{length}");
        }
    }
}
