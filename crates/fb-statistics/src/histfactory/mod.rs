//! HistFactory: likelihoods of binned counts with systematic errors, in the JSON workspaces of pyhf; their fits, and
//! limits on a parameter of interest.
//!
//! p(n, a | θ) = Π_b Pois(n_b | λ_b(θ)) · Π_j c(a_j | θ_j), λ_b = Σ_s (Π κ) (ν_sb + Σ Δ): in each bin b of the channels,
//! samples s add up their nominal yields ν, shifted by Δ and scaled by κ.
//! Source: CERN-OPEN-2012-016; pyhf, DOI 10.21105/joss.02823; arXiv:1007.1727 for limits.

mod discovery;
mod fit;
mod goodness;
mod hs3;
mod impacts;
mod interpolate;
mod interval;
mod json;
mod likelihood;
mod limit;
mod model;
mod patch;
mod toys;
mod workspace;

pub use discovery::{Discovery, discovery};
pub use fit::{Fit, Fitted, best_fit, conditional_fit, profile_interval};
pub use goodness::goodness;
pub use hs3::{from_hs3, is_hs3};
pub use impacts::{Impact, impacts, profile_scan};
pub use interval::{Construction, feldman_cousins};
pub use likelihood::Likelihood;
pub use limit::{Hypothesis, Limits, Scan};
pub use model::{Constraint, Data, Model, Parameter};
pub use patch::patched;
pub use toys::{ToyTest, test_with_toys};
pub use workspace::{Channel, Measurement, Modifier, ModifierKind, ParameterConfig, Sample, Workspace};
