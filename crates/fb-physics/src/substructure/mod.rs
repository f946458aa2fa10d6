//! Observables of the inside of a jet.
//!
//! All of them see a [`Jet`]: particles with transverse momentum pT, rapidity y and azimuth φ, and distances
//! ΔR² = Δy² + Δφ². What is not defined for few particles (a ratio whose denominator vanishes, an axis without
//! particles) is zero.

pub mod correlators;
pub mod efp;
pub mod emd;
pub mod shapes;

use crate::four_vector::{FourVector, delta_phi};

/// The particles of a jet.
#[derive(Debug, Clone, Default)]
pub struct Jet {
    /// Momenta in GeV.
    pub particles: Vec<FourVector>,
    /// Transverse momentum of each, in GeV.
    pub pt: Vec<f64>,
    /// Rapidity of each.
    pub y: Vec<f64>,
    /// Azimuth of each, in (−π, π].
    pub phi: Vec<f64>,
    /// The sum of all.
    pub sum: FourVector,
}

impl Jet {
    /// A jet of these particles, without those that have no transverse momentum.
    pub fn new(particles: &[FourVector]) -> Self {
        let mut jet = Self::default();
        for &p in particles.iter().filter(|p| p.pt() > 0.0) {
            jet.pt.push(p.pt());
            jet.y.push(p.rapidity());
            jet.phi.push(p.phi());
            jet.sum += p;
            jet.particles.push(p);
        }
        jet
    }

    /// Number of particles.
    pub fn len(&self) -> usize {
        self.particles.len()
    }

    /// Whether there is no particle.
    pub fn is_empty(&self) -> bool {
        self.particles.is_empty()
    }

    /// Rapidity and azimuth of the summed momentum; the origin where there is none.
    pub fn axis(&self) -> (f64, f64) {
        if self.sum.pt() > 0.0 { (self.sum.rapidity(), self.sum.phi()) } else { (0.0, 0.0) }
    }

    /// ΔR² of two particles.
    pub fn distance2(&self, i: usize, j: usize) -> f64 {
        distance2(self.y[i], self.phi[i], self.y[j], self.phi[j])
    }
}

/// Δy² + Δφ².
fn distance2(y1: f64, phi1: f64, y2: f64, phi2: f64) -> f64 {
    (y1 - y2).powi(2) + delta_phi(phi1, phi2).powi(2)
}

/// a / b, and zero where b is.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
