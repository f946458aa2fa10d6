//! A training of several models, one after the other: what is done is kept with the checkpoint of what is under way.

use fb_core::{Artifact, Error, Result, Run, Store};

/// The models that are trained so far.
pub(crate) struct Stages {
    done: Vec<Vec<u8>>,
    /// Models of an earlier run that were done, and the checkpoint of the next one.
    known: Vec<Vec<u8>>,
}

impl Stages {
    /// From the checkpoint of a run that was stopped, if there is one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for bytes that are none.
    pub(crate) fn new(run: &mut Run<'_>) -> Result<Self> {
        let known = run.store.load()?.map_or_else(|| Ok(Vec::new()), |bytes| unpack(&bytes))?;
        Ok(Self { done: Vec::new(), known })
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
    use super::*;

    #[test]
    fn blocks_come_back_and_broken_ones_are_refused() {
        let bytes = pack(&[vec![1, 2, 3], Vec::new()], &[7]);
        assert_eq!(unpack(&bytes).unwrap(), [vec![1, 2, 3], vec![], vec![7]]);
        for length in [1, 8, bytes.len() - 1] {
            assert!(unpack(&bytes[..length]).is_err(), "{length}");
        }
    }
}
