//! ROOT files: containers of `TTree` and `RNTuple` tables.
//!
//! The format is described in ROOT's documentation of `TFile`, `TKey` and `TDirectory`; see the modules for their parts.

mod basket;
mod builtin;
mod bytes;
mod column;
mod compression;
mod container;
mod file;
mod layout;
mod numbers;
mod object;
mod output;
mod rntuple;
mod tree;
mod tree_writer;

use std::path::Path;
use std::sync::Arc;

pub use compression::Codec;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;

use crate::table::{Branch, Sink, Table};
use crate::{Error, Result};

/// All trees of a file, in the order of its keys. One that cannot be opened is there with its damage.
///
/// # Errors
/// [`crate::Error::Corrupt`] if header, directories or streamer infos are damaged.
pub fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let file = Arc::new(file::File::open(path)?);
    let infos = object::Infos::read(&file).map_err(|reason| file.corrupt("streamer infos", reason))?;
    let mut tables: Vec<Box<dyn Table>> = Vec::new();
    for key in &file.keys {
        let (kind, opened): (_, Result<Box<dyn Table>>) = match key.class.as_str() {
            "TTree" | "TNtuple" | "TNtupleD" => {
                ("TTree", tree::Tree::open(&file, &infos, key).map(|t| Box::new(t) as _))
            }
            rntuple::CLASS | rntuple::BEFORE_VERSION_1 => {
                ("RNTuple", rntuple::open(Arc::clone(&file), key).map(|t| Box::new(t) as _))
            }
            _ => continue,
        };
        let damaged = |error| Box::new(Damaged { name: key.path.clone(), kind, error: Some(error) });
        tables.push(opened.unwrap_or_else(|error| damaged(error)));
    }
    Ok(tables)
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Flat and jagged columns, read by every version of ROOT.
    #[default]
    TTree,
    /// Columns of any kind, read by ROOT 6.34 and later.
    RNTuple,
}

/// A file with one table that is to be written.
///
/// # Errors
/// [`Error::Unsupported`] for columns that it has no place for; [`Error::System`].
pub fn sink(path: &Path, table: &str, schema: &SchemaRef, kind: Kind, codec: Codec) -> Result<Box<dyn Sink>> {
    Ok(match kind {
        Kind::TTree => Box::new(tree_writer::TreeSink::create(path, table, schema, codec)?),
        Kind::RNTuple => Box::new(rntuple::sink(path, schema, table, codec)?),
    })
}

/// A table that cannot be opened.
struct Damaged {
    name: String,
    kind: &'static str,
    error: Option<Error>,
}

impl Table for Damaged {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn entries(&self) -> u64 {
        0
    }

    fn branches(&self) -> &[Branch] {
        &[]
    }

    fn clusters(&self) -> Vec<std::ops::Range<u64>> {
        Vec::new()
    }

    fn read(&self, _: &[usize], _: std::ops::Range<u64>) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn damage(&mut self) -> Option<Error> {
        self.error.take()
    }
}
