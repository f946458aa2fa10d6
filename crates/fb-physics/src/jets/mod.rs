//! Sequential jet clustering: the algorithms of FastJet (arXiv:1111.6097) with the same distances, recombinations and
//! conventions.
//!
//! Hadron colliders: d_ij = min(pT_i^2p, pT_j^2p) ΔR²_ij/R² and d_iB = pT_i^2p with ΔR² = Δy² + Δφ² (rapidity and
//! azimuth), p = 1 for [`Algorithm::Kt`], 0 for [`Algorithm::CambridgeAachen`], −1 for [`Algorithm::AntiKt`]. The
//! smallest distance of all is taken; a pair is recombined, a particle that is closest to the beam is a jet.
//!
//! ```
//! use fb_physics::four_vector::FourVector;
//! use fb_physics::jets::{Algorithm, Clustering, Definition};
//!
//! let particles = [(50.0, 0.1), (30.0, 0.2), (40.0, 3.0)].map(|(pt, phi)| FourVector::from_pt_eta_phi_m(pt, 0.0, phi, 0.0));
//! let clustering = Clustering::new(&particles, &Definition::new(Algorithm::AntiKt, 0.4))?;
//! let jets = clustering.inclusive(5.0);
//! assert_eq!(clustering.constituents(jets[0]), [0, 1]);
//! # Ok::<(), fb_physics::jets::JetError>(())
//! ```

mod background;
mod clustering;
mod engine;
mod kinematics;
mod minimum;
pub mod pileup;
#[cfg(test)]
mod tests;
mod tiles;

pub use background::{Areas, Ghosts, Grid};
pub use clustering::{Clustering, Step};

/// What is clustered with what first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Algorithm {
    /// p = 1 (hep-ph/9305266).
    Kt,
    /// p = 0 (hep-ph/9707323, hep-ph/9907280).
    CambridgeAachen,
    /// p = −1 (arXiv:0802.1189).
    AntiKt,
    /// Any power p of the transverse momentum.
    GeneralisedKt(f64),
    /// kt for e⁺e⁻ (Durham): d_ij = 2 min(E_i², E_j²)(1 − cos θ_ij), in GeV², no beam and no radius: everything ends in
    /// one jet, and exclusive jets are what is asked for.
    EeKt,
    /// For e⁺e⁻: d_ij = min(E_i^2p, E_j^2p)(1 − cos θ_ij)/(1 − cos R), d_iB = E_i^2p; for R > π the denominator is
    /// 3 + cos R, so that all particles end in one jet.
    EeGeneralisedKt(f64),
}

impl Algorithm {
    /// Whether distances are angles on the sphere.
    fn is_spherical(self) -> bool {
        matches!(self, Self::EeKt | Self::EeGeneralisedKt(_))
    }
}

/// How two momenta become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// The sum of the four-vectors.
    #[default]
    E,
    /// pT is the sum, y and φ are means weighted with pT; massless (inputs keep their three-momentum).
    Pt,
    /// As [`Scheme::Pt`], weighted with pT².
    Pt2,
    /// Winner takes all: y, φ and mass of the harder, pT is the sum (arXiv:1310.7584).
    WtaPt,
}

/// How nearest neighbours are found. The result is the same, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Chosen by the number of particles.
    #[default]
    Best,
    /// Every particle against all others: N².
    Plain,
    /// Tiles of size R in y and φ, a particle against nine of them: N²R² for fixed R, N for a fixed density.
    Tiled,
    /// Tiles of size R/2, a particle against 25 of them, or fewer where its neighbour is near: the scaling of
    /// [`Strategy::Tiled`] with two thirds of its candidates. In spite of its name it is not N ln N: at a fixed R the
    /// candidates grow with the density.
    NLnN,
}

/// A jet definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// The measure of distance.
    pub algorithm: Algorithm,
    /// The jet radius R; an angle for [`Algorithm::EeGeneralisedKt`], without meaning for [`Algorithm::EeKt`].
    pub radius: f64,
    /// The recombination.
    pub scheme: Scheme,
    /// The search.
    pub strategy: Strategy,
}

impl Definition {
    /// With the E scheme and the best strategy.
    pub fn new(algorithm: Algorithm, radius: f64) -> Self {
        Self { algorithm, radius, scheme: Scheme::E, strategy: Strategy::Best }
    }
}

/// What cannot be clustered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JetError {
    /// A momentum that is not a number.
    #[error("particle {particle}: {component} is {value}, expected a finite number")]
    NotFinite {
        /// Which particle.
        particle: usize,
        /// Which component.
        component: &'static str,
        /// Its value.
        value: f64,
    },
    /// A momentum whose powers overflow.
    #[error("particle {particle}: {component} is {value:e} GeV, expected below 1e100; are the units right?")]
    TooLarge {
        /// Which particle.
        particle: usize,
        /// Which component.
        component: &'static str,
        /// Its value.
        value: f64,
    },
    /// A radius that is none.
    #[error("jet radius {0}, expected above 0 and at most 1000")]
    Radius(f64),
    /// A power that is not a number.
    #[error("power {0} of the generalised kt algorithm, expected a finite number")]
    Power(f64),
    /// Cells that are none, or too many.
    #[error("cells of side {side} in |y| < {rapidity}, expected both above 0 and at most 10000000 cells")]
    Grid {
        /// The largest rapidity.
        rapidity: f64,
        /// The side of a cell.
        side: f64,
    },
    /// More particles than there are indices.
    #[error("{0} particles in one event, expected at most 2147483647")]
    TooMany(usize),
}

impl JetError {
    /// Refuses components of a particle that are no numbers, or whose squares might overflow.
    pub(crate) fn check(particle: usize, numbers: impl IntoIterator<Item = (&'static str, f64)>) -> Result<(), Self> {
        for (component, value) in numbers {
            if !value.is_finite() {
                return Err(Self::NotFinite { particle, component, value });
            }
            if value.abs() >= 1e100 {
                return Err(Self::TooLarge { particle, component, value });
            }
        }
        Ok(())
    }
}
