//! The run folder: every file of it is whole or absent.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fb_core::{Error, Store};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};

/// A folder for a new run: `wanted`, or `runs/NAME`, `runs/NAME-2`, … the first that does not exist.
pub fn create(wanted: Option<&Path>, name: &str) -> Result<PathBuf> {
    let numbered = |n: usize| Path::new("runs").join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
    let free = || (1..usize::MAX).map(numbered).find(|folder| !folder.exists()).unwrap_or_else(|| numbered(1));
    let folder = wanted.map_or_else(free, Path::to_owned);
    if folder.join("experiment.toml").exists() {
        let folder = folder.display();
        let text = format!("{folder} holds a run already; go on with `fb resume {folder}` or name another `--out`");
        return Err(Failure::Usage(text));
    }
    std::fs::create_dir_all(&folder).map_err(|source| fb_io::Error::System {
        what: "create",
        path: folder.clone(),
        source,
    })?;
    Ok(folder)
}

/// Bytes of a file of the run.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |source| fb_io::Error::System { what: "read", path: path.to_owned(), source };
    Ok(std::fs::read(path).map_err(fail)?)
}

/// Two generations of checkpoints in a folder, each with its SHA-256 at the end. A new one takes the place of the
/// older of the two, so that there is a whole one at every instant.
pub struct Checkpoints<'a> {
    folder: PathBuf,
    generation: u64,
    last: Instant,
    interval: Duration,
    /// Told when a damaged checkpoint is passed over.
    warn: &'a mut dyn FnMut(String),
}

const DIGEST: usize = 32;

impl<'a> Checkpoints<'a> {
    /// Checkpoints in `folder`, no more often than every `interval` within an epoch.
    pub fn new(folder: &Path, interval: Duration, warn: &'a mut dyn FnMut(String)) -> Self {
        Self { folder: folder.to_owned(), generation: 0, last: Instant::now(), interval, warn }
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.folder.join(format!("checkpoint.{}", generation % 2))
    }

    /// Removes both.
    pub fn clear(&self) {
        // One that cannot be removed is harmless: it belongs to a training that is done.
        (0..2).for_each(|g| drop(std::fs::remove_file(self.path(g))));
    }

    /// Generation and content of a checkpoint, if it is whole.
    fn open(path: &Path) -> std::result::Result<(u64, Vec<u8>), String> {
        let mut bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let Some(end) = bytes.len().checked_sub(DIGEST + 8) else { return Err("it is too short".to_owned()) };
        let digest = bytes.split_off(end + 8);
        if Sha256::digest(&bytes)[..] != digest[..] {
            return Err("its checksum does not match".to_owned());
        }
        let generation = bytes.split_off(end);
        let generation = generation.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        Ok((generation, bytes))
    }
}

impl Store for Checkpoints<'_> {
    fn save(&mut self, checkpoint: &[u8]) -> fb_core::Result<()> {
        self.generation += 1;
        let mut bytes = checkpoint.to_vec();
        bytes.extend(self.generation.to_le_bytes());
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        let path = self.path(self.generation);
        fb_io::write_whole(&path, &bytes).map_err(|e| Error::Checkpoint { reason: e.to_string() })?;
        self.last = Instant::now();
        Ok(())
    }

    fn load(&mut self) -> fb_core::Result<Option<Vec<u8>>> {
        let mut best: Option<(u64, Vec<u8>)> = None;
        for generation in 0..2 {
            let path = self.path(generation);
            if !path.exists() {
                continue;
            }
            match Self::open(&path) {
                Ok(found) if best.as_ref().is_none_or(|b| found.0 > b.0) => best = Some(found),
                Ok(_) => {}
                Err(reason) => {
                    (self.warn)(format!("{} is damaged ({reason}); going on from the other one", path.display()));
                }
            }
        }
        let Some((generation, bytes)) = best else { return Ok(None) };
        self.generation = generation;
        Ok(Some(bytes))
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_checkpoint_falls_back_to_the_older() {
        let folder = tempfile::tempdir().unwrap();
        let mut ignore = |_| {};
        let mut store = Checkpoints::new(folder.path(), Duration::ZERO, &mut ignore);
        assert_eq!(store.load().unwrap(), None);
        store.save(b"first").unwrap();
        store.save(b"second").unwrap();
        let newest = store.path(store.generation);
        let whole = std::fs::read(&newest).unwrap();
        for flip in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[flip] ^= 4;
            std::fs::write(&newest, &bytes).unwrap();
            let mut told = Vec::new();
            let mut warn = |text| told.push(text);
            let found = Checkpoints::new(folder.path(), Duration::ZERO, &mut warn).load().unwrap();
            assert_eq!(found.as_deref(), Some(&b"first"[..]), "byte {flip}");
            assert!(told[0].contains("damaged"));
        }
        std::fs::write(&newest, &whole).unwrap();
        let mut ignore = |_| {};
        let mut store = Checkpoints::new(folder.path(), Duration::ZERO, &mut ignore);
        assert_eq!(store.load().unwrap().as_deref(), Some(&b"second"[..]));
        store.save(b"third").unwrap();
        assert_eq!(store.load().unwrap().as_deref(), Some(&b"third"[..]));
    }
}
