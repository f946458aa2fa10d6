//! Boosted decision trees: histograms, growers, losses, explanations.
//!
//! This crate sees columns of numbers; it knows no files, expressions or methods.

#![forbid(unsafe_code)]

mod adaboost;
mod bagging;
mod bins;
mod boost;
mod flatness;
pub mod forest;
pub mod groups;
mod grow;
mod histogram;
mod importance;
mod loss;
mod ordered;
mod parallel;
mod score;
pub mod shap;
mod split;

pub use adaboost::{AdaBoost, Uniform, adaboost};
pub use bagging::{Asked, forest as random_forest};
pub use bins::{Binned, Columns, MOST_BINS, Scale};
pub use boost::{Options, Set, boost};
pub use flatness::Flatness;
pub use forest::{Forest, Link, Node, Test, Tree};
pub use grow::Shape;
pub use histogram::Pair;
pub use importance::gain_shares;
pub use loss::{Loss, Objective, Residual, Targets};
pub use score::Scorer;
pub use shap::Explainer;
