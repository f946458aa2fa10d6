//! TrackML: an event is four CSV files, `event000001000-hits.csv` and so on, and is a table each.
//!
//! Any of the four names the event, and so does their prefix, `event000001000`.
//! Source: the TrackML particle tracking challenge, arXiv 1904.06778.

use std::path::{Path, PathBuf};

use crate::table::Table;
use crate::{Result, csv};

/// The parts of an event, which are the names of its tables.
const PARTS: [&str; 4] = ["hits", "cells", "particles", "truth"];

/// An event of which at least one file is there.
pub(crate) struct Quartet {
    prefix: PathBuf,
    /// The part that the path named.
    pub(crate) named: Option<&'static str>,
}

impl Quartet {
    /// The event that a path belongs to: one of its files, or their prefix.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (event, named) = match name.split_once('-') {
            None => (name, None),
            Some((event, rest)) => {
                let part = rest.strip_suffix(".csv")?;
                (event, Some(*PARTS.iter().find(|p| **p == part)?))
            }
        };
        let number = event.strip_prefix("event")?;
        if number.len() != 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let quartet = Self { prefix: path.with_file_name(event), named };
        (named.is_some() || !quartet.files().is_empty()).then_some(quartet)
    }

    fn file(&self, part: &str) -> PathBuf {
        let mut name = self.prefix.clone().into_os_string();
        name.push(format!("-{part}.csv"));
        name.into()
    }

    /// Its files, of those that are there (a test event has no truth).
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        PARTS.iter().map(|part| self.file(part)).filter(|path| path.exists()).collect()
    }

    /// A table for each file. The part that the path named must be there.
    pub(crate) fn tables(&self) -> Result<Vec<Box<dyn Table>>> {
        let is_read = |part: &&str| self.named == Some(part) || self.file(part).exists();
        let table = |part: &'static str| csv::table(&self.file(part), part, "TrackML");
        PARTS.into_iter().filter(is_read).map(table).collect()
    }
}
