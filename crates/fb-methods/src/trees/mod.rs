//! Ensembles of decision trees on tables.

pub mod adaboost;
pub mod bdt;
pub mod category_tagger;
pub mod oblivious_bdt;
pub mod random_forest;
pub mod uboost;
pub mod ugrad_bdt;
