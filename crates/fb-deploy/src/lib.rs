//! Trained models to formats that experiments run.

#![forbid(unsafe_code)]

mod inputs;
pub mod onnx;
mod runtime;

pub use inputs::Inputs;
pub use onnx::onnx;
pub use runtime::Runtime;

/// What is wrong with an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model sees something, or does something, that the format has no way to say.
    #[error("cannot export: {reason}")]
    Unsupported {
        /// What.
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
