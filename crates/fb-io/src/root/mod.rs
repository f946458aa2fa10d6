//! ROOT files: containers of `TTree` and `RNTuple` tables.
//!
//! The format is described in ROOT's documentation of `TFile`, `TKey` and `TDirectory`; see the modules for their parts.

mod basket;
mod bytes;
mod column;
mod compression;
mod container;
mod file;
mod layout;
mod object;
mod rntuple;
mod tree;

use std::path::Path;
use std::sync::Arc;

pub use compression::Codec;
pub use rntuple::{RNTupleSink, sink};

use crate::Result;
use crate::table::Table;

/// All tables of a file, in the order of its keys.
///
/// # Errors
/// [`crate::Error::Corrupt`] if the file is damaged, or if none of its trees can be opened.
pub fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let file = Arc::new(file::File::open(path)?);
    let infos = object::Infos::read(&file).map_err(|reason| file.corrupt("streamer infos", reason))?;
    let mut tables: Vec<Box<dyn Table>> = Vec::new();
    for key in &file.keys {
        if matches!(key.class.as_str(), "TTree" | "TNtuple" | "TNtupleD") {
            tables.push(Box::new(tree::Tree::open(&file, &infos, key)?));
        } else if key.class == rntuple::CLASS {
            tables.push(Box::new(rntuple::open(Arc::clone(&file), key)?));
        }
    }
    // Tables of a format that came to nothing are no table, but say why.
    if let (true, Some(key)) = (tables.is_empty(), file.keys.iter().find(|key| key.class == rntuple::BEFORE_VERSION_1))
    {
        rntuple::open(Arc::clone(&file), key)?;
    }
    Ok(tables)
}
