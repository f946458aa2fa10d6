//! ROOT files: containers of `TTree` and `RNTuple` tables.
//!
//! The format is described in ROOT's documentation of `TFile`, `TKey` and `TDirectory`; see the modules for their parts.

mod bytes;
mod compression;
mod file;

pub use compression::Codec;
