//! The Lund plane of a jet (arXiv:1807.04758).
//!
//! The jet is clustered with Cambridge/Aachen, and its history is followed backwards, from wide to narrow angles. Each
//! splitting into a harder branch a and a softer branch b is a point of the plane.

use super::{Jet, Result, ratio};
use crate::four_vector::delta_phi;
use crate::jets::{Algorithm, Clustering};

/// A splitting a + b of a jet, pT of a ≥ pT of b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Splitting {
    /// Δ = √(Δy² + Δφ²) of a and b.
    pub delta: f64,
    /// kT = pT_b Δ in GeV.
    pub kt: f64,
    /// z = pT_b / (pT_a + pT_b).
    pub z: f64,
    /// Mass of a + b in GeV.
    pub mass: f64,
    /// Azimuth of b around a, atan2(y_b − y_a, φ_b − φ_a).
    pub psi: f64,
    /// Index of the splitting that made a + b; none for the first.
    pub mother: Option<usize>,
    /// Whether a + b is the harder part of that splitting.
    pub harder: bool,
}

impl Splitting {
    fn new(clustering: &Clustering, node: usize, (a, b): (usize, usize), mother: Option<(usize, bool)>) -> Self {
        let [sum, a, b] = [node, a, b].map(|node| clustering.momentum(node));
        let (dy, dphi) = (b.rapidity() - a.rapidity(), delta_phi(b.phi(), a.phi()));
        let delta = dy.hypot(dphi);
        Self {
            delta,
            kt: b.pt() * delta,
            z: ratio(b.pt(), a.pt() + b.pt()),
            mass: sum.m(),
            psi: dy.atan2(dphi),
            mother: mother.map(|(splitting, _)| splitting),
            harder: mother.is_some_and(|(_, harder)| harder),
        }
    }
}

/// The splittings of the primary plane: those of the harder branch, always.
///
/// # Errors
/// Those of [`Clustering::new`].
pub fn primary(jet: &Jet) -> Result<Vec<Splitting>> {
    let Some((clustering, mut node)) = jet.tree(Algorithm::CambridgeAachen)? else { return Ok(Vec::new()) };
    let mut splittings = Vec::new();
    while let Some((a, b)) = harder_first(&clustering, node) {
        splittings.push(Splitting::new(
            &clustering,
            node,
            (a, b),
            splittings.len().checked_sub(1).map(|mother| (mother, true)),
        ));
        node = a;
    }
    Ok(splittings)
}

/// The splittings of both branches, in the reverse order of clustering: n − 1 for n particles, from the widest to the
/// narrowest.
///
/// # Errors
/// Those of [`Clustering::new`].
pub fn full(jet: &Jet) -> Result<Vec<Splitting>> {
    let Some((clustering, root)) = jet.tree(Algorithm::CambridgeAachen)? else { return Ok(Vec::new()) };
    let mut splittings = Vec::new();
    // The splitting that made each node, and whether as its harder part; mothers come before their daughters.
    let mut mothers = vec![None; root + 1];
    for node in (0..=root).rev() {
        if let Some((a, b)) = harder_first(&clustering, node) {
            (mothers[a], mothers[b]) = (Some((splittings.len(), true)), Some((splittings.len(), false)));
            splittings.push(Splitting::new(&clustering, node, (a, b), mothers[node]));
        }
    }
    Ok(splittings)
}

/// The two parts of a node.
pub(super) fn harder_first(clustering: &Clustering, node: usize) -> Option<(usize, usize)> {
    let (a, b) = clustering.parents(node)?;
    let pt = |node: usize| clustering.momentum(node).pt();
    Some(if pt(a) >= pt(b) { (a, b) } else { (b, a) })
}
