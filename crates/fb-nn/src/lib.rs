//! Networks: a graph of operations as plain data, an executor that runs it forward and backward in fixed shards, and
//! the one training loop.
//!
//! A network is a [`Graph`]: it is built once per training, stored with the model, run by [`Executor`] and written out
//! by the exporters. Nothing here knows an event file, a method or a clock.

pub mod decorrelation;
pub mod executor;
pub mod graph;
mod kernels;
pub mod lbfgs;
pub mod least_squares;
pub mod loss;
mod ops;
pub mod optimiser;
pub mod regression;
pub mod schedule;
pub mod significance;
pub mod target;
pub mod taylor;
pub mod training;

pub use decorrelation::Decorrelate;
pub use executor::{Batch, Executor, Mode};
pub use graph::{Activation, Edges, Graph, Init, Node, Op, Parameter, Rows};
pub use kernels::Real;
pub use optimiser::Optimiser;
pub use regression::{Numbers, Regression};
pub use schedule::Schedule;
pub use significance::Significance;
pub use target::Target;
pub use training::{Model, Train, train};
