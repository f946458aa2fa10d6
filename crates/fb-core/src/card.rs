//! Everything about a method but its code.

use serde::Serialize;

/// What a method is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Assign each event a probability per class.
    Classify,
    /// Predict numbers of each event.
    Regress,
    /// Put the particles of each event into groups.
    Partition,
}

/// How far along a method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Checked against its published numbers, another implementation or a known answer.
    Stable,
    /// Works and keeps the contract of all methods; its performance has not been compared yet.
    Experimental,
}

/// A property that the contract tests hold a method to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// The score does not change when the particles of an event are permuted; the groups of a partition hold the same
    /// particles.
    PermutationInvariant,
    /// The score does not change under collinear splitting and soft emission.
    InfraredCollinearSafe,
    /// The score does not change under Lorentz transformations of an event that leave the beam where it is.
    LorentzInvariant,
    /// The exported ONNX graph gives the same scores to 1e-5.
    OnnxParity,
    /// A training can go on from a model of its own: see [`crate::Run::start`].
    WarmStart,
}

/// Where a method comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Paper {
    /// Authors, short.
    pub authors: &'static str,
    /// arXiv identifier.
    pub arxiv: &'static str,
}

/// The card of a method: shown by `fb list` and `fb show`, and the source of its page in the docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Card {
    /// The paper's name in snake case; the same in Rust, TOML and on the command line.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it can be asked to do.
    pub tasks: &'static [Task],
    /// What it sees, in words: "particle cloud", "jet image".
    pub input: &'static str,
    /// What the contract tests hold it to.
    pub promises: &'static [Promise],
    /// The reference.
    pub paper: Paper,
    /// How far along it is.
    pub status: Status,
    /// Trainable parameters with the default configuration, as published.
    pub parameters: Option<usize>,
    /// Checks that must fail, each with its reason.
    pub known_failures: &'static [(&'static str, &'static str)],
}

impl Card {
    /// Whether the method makes this promise.
    pub fn promises(&self, promise: Promise) -> bool {
        self.promises.contains(&promise)
    }
}
