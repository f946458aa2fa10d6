//! Boosted decision trees: histograms, growers, losses, explanations.
//!
//! This crate sees columns of numbers; it knows no files, expressions or methods.

#![forbid(unsafe_code)]

pub mod forest;

pub use forest::{Forest, Link, Node, Test, Tree};
