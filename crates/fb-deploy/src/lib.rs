//! Trained models to formats that experiments run, and forests from the files of other programs.

#![forbid(unsafe_code)]

mod inputs;
pub mod onnx;
mod pairs;
mod runtime;
pub mod trees;

pub use inputs::Inputs;
pub use onnx::onnx;
pub use pairs::pairs;
pub use runtime::Runtime;

/// What is wrong with an export or an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model sees something, or does something, that the format has no way to say.
    #[error("cannot export: {reason}")]
    Unsupported {
        /// What.
        reason: String,
    },
    /// A model file of another program that is not well formed, or holds what a forest has no way to say.
    #[error("cannot read the {format} model: {place}: {reason}")]
    Import {
        /// Whose file it is said to be.
        format: &'static str,
        /// Where in it.
        place: String,
        /// Found against expected, with a hint.
        reason: String,
    },
    /// The stored model is not well formed.
    #[error(transparent)]
    Model(#[from] fb_core::Error),
    /// The runtime that exported models are verified under is missing or refuses.
    #[error("onnxruntime: {reason}")]
    Runtime {
        /// What it says, with a hint.
        reason: String,
    },
}
