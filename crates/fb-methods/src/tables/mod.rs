//! Networks on a table of variables.

pub mod mlp;
