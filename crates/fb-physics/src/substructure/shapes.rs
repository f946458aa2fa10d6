//! Sums over the constituents of a jet.

use super::{Jet, distance2, ratio};
use crate::four_vector::delta_phi;

/// Σ pT ΔR / Σ pT, distances from the axis of the summed momentum ("jet width").
pub fn width(jet: &Jet) -> f64 {
    angularity(jet, 1.0, 1.0, 1.0, jet.axis())
}

/// Σ pT ΔR / pT of the jet, distances from the axis of the summed momentum (arXiv:1011.1493).
pub fn girth(jet: &Jet) -> f64 {
    let (y, phi) = jet.axis();
    let sum: f64 = (0..jet.len()).map(|i| jet.pt[i] * distance2(jet.y[i], jet.phi[i], y, phi).sqrt()).sum();
    ratio(sum, jet.sum.pt())
}

/// √(Σ pT²) / Σ pT (arXiv:1211.7038): 1 for one particle, 1/√n for n equal ones.
pub fn dispersion(jet: &Jet) -> f64 {
    ratio(jet.pt.iter().map(|pt| pt * pt).sum::<f64>().sqrt(), jet.pt.iter().sum())
}

/// λ_β^κ = Σ zᵢ^κ (ΔRᵢ / R₀)^β, z = pT / Σ pT (arXiv:1408.3122, eq. 1.1). A particle on the axis counts 0, if β > 0.
pub fn angularity(jet: &Jet, kappa: f64, beta: f64, radius: f64, (y, phi): (f64, f64)) -> f64 {
    let total: f64 = jet.pt.iter().sum();
    let term = |i: usize| {
        let distance = distance2(jet.y[i], jet.phi[i], y, phi).sqrt();
        (jet.pt[i] / total).powf(kappa) * (distance / radius).powf(beta)
    };
    (0..jet.len()).map(term).sum()
}

/// Σ qᵢ pTᵢ^κ / pT^κ of the jet (arXiv:1209.2421, eq. 1), in units of the elementary charge.
pub fn charge(jet: &Jet, charges: &[f64], kappa: f64) -> f64 {
    let sum: f64 = jet.pt.iter().zip(charges).map(|(pt, charge)| charge * pt.powf(kappa)).sum();
    ratio(sum, jet.sum.pt().powf(kappa))
}

/// The pull vector Σ pTᵢ |rᵢ| rᵢ / pT of the jet, rᵢ = (Δy, Δφ) from its axis (arXiv:1001.5027, eq. 1).
pub fn pull(jet: &Jet) -> [f64; 2] {
    let (y, phi) = jet.axis();
    let mut pull = [0.0; 2];
    for i in 0..jet.len() {
        let r = [jet.y[i] - y, delta_phi(jet.phi[i], phi)];
        let weight = jet.pt[i] * r[0].hypot(r[1]);
        pull[0] += weight * r[0];
        pull[1] += weight * r[1];
    }
    pull.map(|sum| ratio(sum, jet.sum.pt()))
}
