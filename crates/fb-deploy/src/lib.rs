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

/// To be replaced.
pub fn onnx(_: &fb_core::Artifact) -> Result<Vec<u8>, Error> {
    Err(Error::Unsupported { reason: "pending".to_owned() })
}

/// To be replaced.
pub struct Inputs;
impl Inputs {
    /// X.
    pub fn new(_: &fb_core::Input, _: &fb_core::Events) -> Result<Self, Error> { Ok(Self) }
}
/// X
pub fn input(_: &fb_core::Artifact) -> Result<fb_core::Input, Error> { Err(Error::Unsupported { reason: "pending".to_owned() }) }
/// X
pub struct Runtime;
impl Runtime {
    /// X.
    pub fn open(_: Option<&std::path::Path>, _: &[u8]) -> Result<Self, Error> { Ok(Self) }
    /// X.
    pub fn probabilities(&mut self, _: &Inputs) -> Result<Vec<f32>, Error> { Ok(vec![]) }
}
