//! The nouns of femtobarn: events, what a network sees of them, methods and their cards, fitted models and their
//! artifacts, values with their errors, and the context of a run.
//!
//! This crate knows no file format, no network and no clock. Everything else speaks in its types.

pub mod artifact;
pub mod card;
pub mod error;
pub mod events;
pub mod expression;
pub mod input;
pub mod method;
pub mod partition;
pub mod philox;
pub mod run;
pub mod suggest;
pub mod unit;
pub mod value;

pub use artifact::{Artifact, Tensor};
pub use card::{Card, Paper, Promise, Status, Task};
pub use error::{Error, Kind, Result};
pub use events::{Column, Data, Events, Sample};
pub use input::{Features, Frame, Input, Layout, List, Variable};
pub use method::{AnyMethod, Explanation, Fitted, Method, Scores, entry};
pub use partition::Partition;
pub use philox::Philox;
pub use run::{Progress, Run, Store, Workers};
pub use suggest::closest;
pub use unit::Unit;
pub use value::Value;
