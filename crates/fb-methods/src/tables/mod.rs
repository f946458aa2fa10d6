//! Methods on a table of variables.

pub mod ddt;
pub mod mlp;
