//! What a network sees of an event, as data: fb-physics computes it, fb-deploy writes it into the exported graph.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One number per event or per particle: `clip((expression − center) · scale)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// In the expression language, over columns or over the particle's px, py, pz, E, pt, eta, phi and its frame's u, v.
    pub expression: String,
    /// What is subtracted; where absent, the mean over the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center: Option<f64>,
    /// What is multiplied by then; where absent, one over the standard deviation over the training part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Lower and upper bound, after scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<[f64; 2]>,
}

impl Variable {
    /// The expression as it is, neither shifted nor scaled.
    pub fn plain(expression: impl Into<String>) -> Self {
        Self::affine(expression, 0.0, 1.0)
    }

    /// `(expression − center) · scale`.
    pub fn affine(expression: impl Into<String>, center: f64, scale: f64) -> Self {
        Self { expression: expression.into(), center: Some(center), scale: Some(scale), clip: None }
    }

    /// Shifted and scaled to mean zero and standard deviation one over the training part.
    pub fn standard(expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), center: None, scale: None, clip: None }
    }

    /// The same, bounded.
    #[must_use]
    pub fn clipped(mut self, low: f64, high: f64) -> Self {
        self.clip = Some([low, high]);
        self
    }
}

/// The frame of a jet in which a particle has the coordinates (u, v).
///
/// The jet's axis is the sum of the particles that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// u = (η − η_jet)·sgn(η_jet), v = φ − φ_jet in (−π, π].
    #[default]
    Jet,
    /// The hardest particle at the origin, the second below it (u = 0, v < 0), the third at u ≥ 0 (arXiv:1704.02124).
    Leading,
    /// pT centroid at the origin, principal axis along v, the quadrant u > 0, v > 0 holding the largest pT
    /// (arXiv:1803.00107).
    Principal,
}

/// How the particles of an event are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// As many rows as there are particles: the order carries no meaning.
    #[default]
    Cloud,
    /// Exactly `max` rows in order of falling pT, filled up with zeros.
    Sequence,
}

/// Objects of one kind that belong to an event: its tracks, neutral particles, vertices.
///
/// The columns of the list are those whose names start with its own and `_`: `trk_pt` for `trk`. A column of one number per
/// event among them is a list of one entry. Expressions give a number per entry; any column of the event may stand in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Prefix of its columns.
    pub name: String,
    /// Which entries are taken: those for which it holds; all where absent.
    pub select: Option<String>,
    /// By what they are ordered, the largest first; as they are in the file where absent.
    pub order: Option<String>,
    /// How many are kept, those that come first.
    pub max: usize,
    /// Cloud or sequence; a sequence becomes numbers of the event.
    pub layout: Layout,
    /// Whether those that are kept stand in the opposite order, so that a recurrent network reads the first of them last.
    pub reversed: bool,
    /// One number per entry each.
    pub variables: Vec<Variable>,
}

impl List {
    /// All its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &String> {
        self.select.iter().chain(&self.order).chain(self.variables.iter().map(|v| &v.expression))
    }

    /// Whether a column is one of the list.
    pub fn owns(&self, column: &str) -> bool {
        column.strip_prefix(&self.name).is_some_and(|rest| rest.starts_with('_'))
    }
}

/// What a network sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// One row per event.
    Table {
        /// One number each.
        variables: Vec<Variable>,
    },
    /// One row per event for trees: numbers in single precision as they are, some of which may be missing.
    Columns {
        /// In the expression language, over columns.
        variables: Vec<String>,
        /// Values of columns that stand for a missing one, besides NaN.
        missing: Vec<f64>,
    },
    /// The particles of a collection, ordered by falling pT and cut to the `max` hardest.
    Particles {
        /// Prefix of the columns: `part` for `part_px`, `part_py`, `part_pz`, `part_E`.
        collection: String,
        /// How many are kept.
        max: usize,
        /// Cloud or sequence.
        layout: Layout,
        /// What u and v mean.
        frame: Frame,
        /// One number per particle each.
        variables: Vec<Variable>,
    },
    /// One row per event: observables of the inside of a jet, (x − center)·scale, within ±8; one that is no number of this
    /// jet (a ratio without particles) counts as its centre.
    Observables {
        /// Prefix of the columns.
        collection: String,
        /// Their names, as `fb substructure` takes them; each is a number or several, none a list.
        set: String,
        /// What is subtracted from each number; where empty, the means over the training part.
        center: Vec<f64>,
        /// What is multiplied by then; where empty, one over the standard deviations.
        scale: Vec<f64>,
    },
    /// The declusterings of a jet, clustered with Cambridge/Aachen: one row for each of either branch, from the widest to
    /// the narrowest.
    Lund {
        /// Prefix of the columns.
        collection: String,
        /// One number each, in z = pT_b/(pT_a + pT_b), delta, kt = pT_b·delta in GeV, the mass m of a + b in GeV and
        /// psi = atan2(y_b − y_a, φ_b − φ_a); a is the harder part. After them come [`Input::LUND_LINKS`] columns with the
        /// places of neighbours in the tree, −1 for none.
        variables: Vec<Variable>,
    },
    /// The kT history of a jet: one row for each particle and for each pair that merged, mothers before their daughters, so
    /// that the jet itself is the first of 2n − 1 for n particles.
    History {
        /// Prefix of the columns.
        collection: String,
        /// One number each, in the node's p = |p|, px, py, pz, E, pt, eta, phi, the polar angle theta, its mass m, and the jet's
        /// jet_E and jet_pt. After them come [`Input::HISTORY_LINKS`] columns with the places of its harder and its softer
        /// daughter, −1 for a particle.
        variables: Vec<Variable>,
    },
    /// Numbers of an event and lists of objects in it. One row per event holds the numbers of the event and then its
    /// sequences; every cloud has rows of its own.
    Lists {
        /// One number per event each.
        event: Vec<Variable>,
        /// What else belongs to it.
        lists: Vec<List>,
    },
    /// A jet image [pixel in v, pixel in u] of pT, normalised to the sum one.
    Image {
        /// Prefix of the columns.
        collection: String,
        /// How many particles are kept.
        max: usize,
        /// What u and v mean.
        frame: Frame,
        /// Pixels along each side.
        pixels: usize,
        /// The image covers −half_width ≤ u, v < half_width.
        half_width: f64,
    },
}

impl Input {
    /// Neighbours of a declustering: that which made its mother branch, those of its harder and of its softer part.
    pub const LUND_LINKS: usize = 3;
    /// Daughters of a node of a history.
    pub const HISTORY_LINKS: usize = 2;
}

/// What a network sees of a sample: rows of numbers, one per event or several.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// Numbers per row.
    pub width: usize,
    /// Row after row.
    pub values: Vec<f32>,
    /// Events + 1 row offsets, where an event has several rows.
    pub offsets: Option<Vec<usize>>,
    /// The rows of further collections of the same events.
    pub others: Vec<Self>,
}

impl Features {
    /// The rows of collection `i`: this one, then the others.
    pub fn collection(&self, i: usize) -> &Self {
        if i == 0 { self } else { &self.others[i - 1] }
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.offsets.as_ref().map_or_else(|| self.values.len() / self.width.max(1), |offsets| offsets.len() - 1)
    }

    /// The rows of event `i`.
    pub fn rows(&self, i: usize) -> std::ops::Range<usize> {
        self.offsets.as_ref().map_or(i..i + 1, |offsets| offsets[i]..offsets[i + 1])
    }
}
