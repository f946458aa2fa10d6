//! Fits of signal and background to spectra of a mass: sums of shapes in any number of categories, with shared
//! parameters, binned or event by event.

mod description;
pub mod dual;
mod model;
mod shape;

pub use description::Description;
pub use model::{Category, Component, Data, Estimate, Parameter, Slot, Spectra};
pub use shape::Shape;
