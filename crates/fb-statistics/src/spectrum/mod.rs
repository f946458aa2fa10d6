//! Fits of signal and background to spectra of a mass: sums of shapes in any number of categories, with shared
//! parameters, binned or event by event.

mod description;
pub mod dual;
mod goodness;
mod model;
pub mod search;
mod shape;
mod splot;

pub use description::Description;
pub use model::{Category, Component, Data, Estimate, Parameter, Slot, Spectra};
pub use shape::Shape;
pub use splot::Splot;
