//! From events to what a network sees: expressions over columns, constituents of jets in their frames, jet images.

pub mod calculus;
pub mod expression;
pub mod features;
pub mod four_vector;
mod histories;
pub mod jets;
pub mod lists;
pub mod particles;
pub mod substructure;
