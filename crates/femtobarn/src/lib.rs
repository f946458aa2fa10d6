//! femtobarn: machine learning for particle physics, from event files to a number one can publish and a model one can
//! deploy.
//!
//! This crate joins the others: the experiment file, the pipeline from files to a run folder, the report.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod asymmetry;
pub mod classes;
pub mod console;
pub mod evaluate;
pub mod experiment;
pub mod failure;
pub mod folder;
pub mod importance;
pub mod inference;
pub mod pipeline;
pub mod public_sets;
pub mod read;
pub mod report;
pub mod results;
pub mod selection;
pub mod variables;
pub mod verbs;
pub mod workers;

pub use experiment::Experiment;
pub use failure::Failure;
