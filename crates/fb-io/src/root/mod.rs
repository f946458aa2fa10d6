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
mod friends;
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
    tables_of(path, None)
}

/// The same, where only the tree of a name is opened; the others are there by their names alone.
pub(crate) fn tables_of(path: &Path, wanted: Option<&str>) -> Result<Vec<Box<dyn Table>>> {
    let file = Arc::new(file::File::open(path)?);
    let infos = object::Infos::read(&file).map_err(|reason| file.corrupt("streamer infos", reason))?;
    let is_wanted = |key: &file::Key| wanted.is_none_or(|name| name.trim_matches('/') == key.path.trim_matches('/'));
    let mut tables: Vec<Box<dyn Table>> = Vec::new();
    for key in &file.keys {
        let kind = match key.class.as_str() {
            class if tree::CLASSES.contains(&class) => "TTree",
            rntuple::CLASS | rntuple::BEFORE_VERSION_1 => "RNTuple",
            _ => continue,
        };
        let closed = |error| Box::new(Closed { name: key.path.clone(), kind, error });
        let opened: Result<Box<dyn Table>> = match kind {
            _ if !is_wanted(key) => Ok(closed(None)),
            "TTree" => tree::Tree::open(&file, &infos, key).map(|tree| friends::join(tree, &file, &infos)),
            _ => rntuple::open(Arc::clone(&file), key).map(|table| Box::new(table) as _),
        };
        tables.push(opened.unwrap_or_else(|error| closed(Some(error))));
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

/// A table that is not opened, or cannot be.
struct Closed {
    name: String,
    kind: &'static str,
    error: Option<Error>,
}

impl Table for Closed {
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
