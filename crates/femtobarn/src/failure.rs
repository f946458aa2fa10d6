//! What ends a command, and its exit code.

use fb_core::{Error, Kind};

/// An error of any crate.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Of events, options or a training.
    #[error(transparent)]
    Core(#[from] Error),
    /// Of a file.
    #[error(transparent)]
    File(#[from] fb_io::Error),
    /// Of an export.
    #[error(transparent)]
    Deploy(#[from] fb_deploy::Error),
    /// Of an event file, found while it was used.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong in it.
        source: Error,
    },
    /// A command or an experiment file that cannot be carried out.
    #[error("{0}")]
    Usage(String),
    /// Data that cannot be used.
    #[error("{0}")]
    Data(String),
}

impl Failure {
    /// 2 for a command or experiment file, 3 for data, 4 for a training that diverged or a fit that did not converge, 85
    /// for a training that was stopped and left a checkpoint.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Core(e) | Self::In { source: e, .. } => match e.kind() {
                Kind::Usage => 2,
                Kind::Data => 3,
                Kind::Diverged => 4,
                Kind::Stopped => 85,
            },
            Self::File(fb_io::Error::NoMatch { .. }) | Self::Usage(_) => 2,
            Self::File(_) | Self::Deploy(_) | Self::Data(_) => 3,
        }
    }
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Failure>;
