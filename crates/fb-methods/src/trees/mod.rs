//! Ensembles of decision trees on tables.

pub mod bdt;
