//! Observables of the inside of a jet.
//!
//! All of them see a [`Jet`]: particles with transverse momentum pT, rapidity y and azimuth φ, and distances
//! ΔR² = Δy² + Δφ². What is not defined for few particles (a ratio whose denominator vanishes, an axis without
//! particles) is zero.

pub mod correlators;
pub mod efp;
pub mod emd;
pub mod grooming;
pub mod history;
pub mod lund;
pub mod nsubjettiness;
pub mod observable;
pub mod shapes;

use std::cell::RefCell;
use std::rc::Rc;

use crate::four_vector::{FourVector, delta_phi};
use crate::jets::{Algorithm, Clustering, Definition, JetError, Scheme};

/// The result of an observable that clusters.
pub type Result<T> = std::result::Result<T, JetError>;

/// A radius at which all particles of a jet meet.
const ALL: f64 = 1000.0;

/// The particles of a jet.
#[derive(Debug, Default)]
pub struct Jet {
    /// Momenta in GeV.
    pub particles: Vec<FourVector>,
    /// Transverse momentum of each, in GeV.
    pub pt: Vec<f64>,
    /// Rapidity of each.
    pub y: Vec<f64>,
    /// Azimuth of each, in (−π, π].
    pub phi: Vec<f64>,
    /// The charge of each, where it is known.
    pub charge: Option<Vec<f64>>,
    /// The sum of all.
    pub sum: FourVector,
    /// Clusterings that were asked for.
    clusterings: RefCell<Vec<(Key, Rc<Clustering>)>>,
}

/// What a clustering depends on.
type Key = (Algorithm, Scheme, f64);

impl Jet {
    /// A jet of these particles, without those that have no transverse momentum or energy: they are padding. `charge`
    /// holds the charge of each particle, where it is known.
    ///
    /// # Errors
    /// [`JetError::NotFinite`] with the particle, also for a charge that is missing; [`JetError::TooLarge`].
    pub fn new(particles: &[FourVector], charge: Option<&[f64]>) -> Result<Self> {
        let mut jet = Self { charge: charge.map(|_| Vec::new()), ..Self::default() };
        for (particle, &p) in particles.iter().enumerate() {
            let charge = charge.map(|charge| charge.get(particle).copied().unwrap_or(f64::NAN));
            let numbers = [("px", p.px), ("py", p.py), ("pz", p.pz), ("E", p.e), ("charge", charge.unwrap_or(0.0))];
            JetError::check(particle, numbers)?;
            if p.pt() <= 0.0 || p.e <= 0.0 {
                continue;
            }
            jet.charge.iter_mut().for_each(|all| all.extend(charge));
            jet.pt.push(p.pt());
            jet.y.push(p.rapidity());
            jet.phi.push(p.phi());
            jet.sum += p;
            jet.particles.push(p);
        }
        Ok(jet)
    }

    /// The particles in this clustering, which is made once.
    fn clustering(&self, algorithm: Algorithm, scheme: Scheme, radius: f64) -> Result<Rc<Clustering>> {
        let key = (algorithm, scheme, radius);
        if let Some((_, known)) = self.clusterings.borrow().iter().find(|(other, _)| *other == key) {
            return Ok(Rc::clone(known));
        }
        let definition = Definition { scheme, ..Definition::new(algorithm, radius) };
        let clustering = Rc::new(Clustering::new(&self.particles, &definition)?);
        self.clusterings.borrow_mut().push((key, Rc::clone(&clustering)));
        Ok(clustering)
    }

    /// The history of all particles, and its last node; nothing without particles.
    fn tree(&self, algorithm: Algorithm) -> Result<Option<(Rc<Clustering>, usize)>> {
        let clustering = self.clustering(algorithm, Scheme::E, ALL)?;
        let root = clustering.exclusive(1).first().copied();
        Ok(root.map(|root| (clustering, root)))
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

/// (ΔR²)^{β/2}.
fn power(squared: f64, beta: f64) -> f64 {
    if beta == 1.0 {
        squared.sqrt()
    } else if beta == 2.0 {
        squared
    } else {
        squared.powf(beta / 2.0)
    }
}

/// a / b, and zero where b is.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
