//! What can go wrong, with what, where, found against expected, and a hint.

/// The result of everything that can fail below the program.
pub type Result<T> = std::result::Result<T, Error>;

/// The family of an error; the program's exit code follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The experiment file or a command is wrong (exit code 2).
    Usage,
    /// The data cannot be used (exit code 3).
    Data,
    /// The training diverged, or a fit did not converge (exit code 4).
    Diverged,
    /// A signal asked to stop; a checkpoint was left (exit code 85).
    Stopped,
}

/// An error on data, configuration or training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column that an expression, a cut or a method needs is not there.
    #[error("no column `{name}`{}", hint(closest.as_deref()))]
    MissingColumn {
        /// The name asked for.
        name: String,
        /// The nearest name that exists.
        closest: Option<String>,
    },
    /// Two parts that must have the same length differ.
    #[error("{what}: expected {expected} entries, found {found}")]
    Length {
        /// Of what.
        what: String,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A number is NaN or infinite.
    #[error("`{column}` is not finite in event {event} (found {found})")]
    NotFinite {
        /// Column or expression.
        column: String,
        /// Index of the event, from zero.
        event: usize,
        /// The offending number.
        found: f64,
    },
    /// A class, or the whole selection, has no events (or no positive sum of weights).
    #[error("{what} is empty: {hint}")]
    Empty {
        /// Which class or sample.
        what: String,
        /// What to look at.
        hint: String,
    },
    /// An expression cannot be read.
    #[error("cannot read the expression `{text}` at character {position}: {reason}")]
    Expression {
        /// The whole expression.
        text: String,
        /// Character, from one.
        position: usize,
        /// What was expected.
        reason: String,
    },
    /// An expression is well formed but cannot be evaluated on these columns.
    #[error("cannot evaluate `{text}`: {reason}")]
    Evaluation {
        /// The expression.
        text: String,
        /// Why.
        reason: String,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}` in {place}{}", hint(closest.as_deref()))]
    UnknownKey {
        /// The key found.
        key: String,
        /// The table it stands in.
        place: String,
        /// The nearest key that exists.
        closest: Option<String>,
    },
    /// A method, metric or verb that does not exist.
    #[error("no {what} `{name}`{}", hint(closest.as_deref()))]
    UnknownName {
        /// Of what kind.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The nearest name that exists.
        closest: Option<String>,
    },
    /// A configuration value out of its range or of the wrong type.
    #[error("{place}: {reason}")]
    Config {
        /// Where.
        place: String,
        /// Found against expected.
        reason: String,
    },
    /// A stored model cannot be read.
    #[error("cannot read the model: {reason}")]
    Artifact {
        /// Found against expected.
        reason: String,
    },
    /// The loss is not finite.
    #[error(
        "training diverged in epoch {epoch}, step {step}: the loss is {loss}; try a smaller `train.lr` or `train.clip`"
    )]
    Diverged {
        /// Epoch, from one.
        epoch: usize,
        /// Step within the epoch.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// A statistical model that cannot be built or evaluated.
    #[error("{place}: {reason}")]
    Model {
        /// Where in the model.
        place: String,
        /// Found against expected.
        reason: String,
    },
    /// A fit ended without a minimum.
    #[error("the fit did not converge: {reason}")]
    Fit {
        /// How it ended.
        reason: String,
    },
    /// An iteration ended without the solution of an equation.
    #[error("{what} did not converge: {reason}")]
    NotConverged {
        /// Which solution.
        what: String,
        /// How it ended, and what may help.
        reason: String,
    },
    /// A signal asked the training to stop.
    #[error("stopped in epoch {epoch} with a checkpoint")]
    Stopped {
        /// Epoch, from one.
        epoch: usize,
    },
    /// A checkpoint could not be stored or read.
    #[error("checkpoint: {reason}")]
    Checkpoint {
        /// What happened.
        reason: String,
    },
}

impl Error {
    /// The family of this error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::UnknownKey { .. } | Self::UnknownName { .. } | Self::Config { .. } | Self::Expression { .. } => {
                Kind::Usage
            }
            Self::Diverged { .. } | Self::Fit { .. } | Self::NotConverged { .. } => Kind::Diverged,
            Self::Stopped { .. } => Kind::Stopped,
            _ => Kind::Data,
        }
    }
}

fn hint(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
