//! Grooming: a jet without its soft and wide radiation.

use super::lund::harder_first;
use super::{Jet, Result, distance2, ratio};
use crate::four_vector::FourVector;
use crate::jets::{Algorithm, Clustering, Scheme};

/// What is left of a jet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groomed {
    /// The momentum that is left.
    pub momentum: FourVector,
    /// The particles of the jet that are left, rising.
    pub particles: Vec<usize>,
    /// How many branches or subjets were dropped.
    pub dropped: usize,
    /// Of the splitting at which soft drop stopped, min(pT) / (pT₁ + pT₂); 0 where there was none.
    pub z: f64,
    /// Of the splitting at which soft drop stopped, ΔR; 0 where there was none.
    pub r: f64,
}

/// Soft drop (arXiv:1402.2657): the Cambridge/Aachen history is followed along the harder branch, and the softer one
/// dropped, until min(pT₁, pT₂) / (pT₁ + pT₂) > z_cut (ΔR₁₂ / R₀)^β. With β = 0 this is the modified mass-drop tagger
/// (arXiv:1307.0007) without a mass drop. A jet without such a splitting becomes its last particle.
///
/// # Errors
/// Those of [`Clustering::new`].
pub fn soft_drop(jet: &Jet, z_cut: f64, beta: f64, radius: f64) -> Result<Groomed> {
    let Some((tree, mut node)) = jet.tree(Algorithm::CambridgeAachen)? else { return Ok(Groomed::default()) };
    let mut dropped = 0;
    let (mut z, mut r) = (0.0, 0.0);
    while let Some((a, b)) = harder_first(&tree, node) {
        let [a_p, b_p] = [a, b].map(|node| tree.momentum(node));
        let fraction = ratio(b_p.pt(), a_p.pt() + b_p.pt());
        let distance = distance2(a_p.rapidity(), a_p.phi(), b_p.rapidity(), b_p.phi()).sqrt();
        if fraction > z_cut * (distance / radius).powf(beta) {
            (z, r) = (fraction, distance);
            break;
        }
        node = a;
        dropped += 1;
    }
    Ok(Groomed { momentum: tree.momentum(node), particles: tree.constituents(node), dropped, z, r })
}

/// Trimming (arXiv:0912.1342): the kT subjets of radius `radius` with less than `fraction` of the jet's pT are dropped.
///
/// # Errors
/// Those of [`Clustering::new`].
pub fn trim(jet: &Jet, radius: f64, fraction: f64) -> Result<Groomed> {
    let clustering = jet.clustering(Algorithm::Kt, Scheme::E, radius)?;
    let least = fraction * jet.sum.pt();
    Ok(keep(&clustering, |_, p| p.pt() >= least))
}

/// Filtering (arXiv:0802.2470): only the `n` hardest Cambridge/Aachen subjets of radius `radius` are kept.
///
/// # Errors
/// Those of [`Clustering::new`].
pub fn filter(jet: &Jet, radius: f64, n: usize) -> Result<Groomed> {
    let clustering = jet.clustering(Algorithm::CambridgeAachen, Scheme::E, radius)?;
    Ok(keep(&clustering, |rank, _| rank < n))
}

/// The subjets for which `kept(rank in pT, momentum)`.
fn keep(clustering: &Clustering, kept: impl Fn(usize, FourVector) -> bool) -> Groomed {
    let mut groomed = Groomed::default();
    for (rank, node) in clustering.inclusive(0.0).into_iter().enumerate() {
        let p = clustering.momentum(node);
        if kept(rank, p) {
            groomed.momentum += p;
            groomed.particles.extend(clustering.constituents(node));
        } else {
            groomed.dropped += 1;
        }
    }
    groomed.particles.sort_unstable();
    groomed
}

/// Pruning (arXiv:0912.0033): the jet is clustered with Cambridge/Aachen again, and wherever two nodes would be joined
/// with min(pT₁, pT₂) < z_cut pT₁₊₂ and ΔR₁₂ > D_cut, the softer one is dropped instead. D_cut = 2 `factor` m / pT of the
/// jet.
pub fn prune(jet: &Jet, z_cut: f64, factor: f64) -> Groomed {
    let cut = ratio(2.0 * factor * jet.sum.m(), jet.sum.pt());
    let particle = |i: usize| Node { p: jet.particles[i], y: jet.y[i], phi: jet.phi[i], particles: vec![i] };
    let mut nodes: Vec<Node> = (0..jet.len()).map(particle).collect();
    let mut dropped = 0;
    while let Some((i, j, squared)) = nearest_pair(&nodes) {
        let (b, a) = (nodes.swap_remove(j), nodes.swap_remove(i));
        let (hard, soft) = if a.p.pt() >= b.p.pt() { (a, b) } else { (b, a) };
        let mut p = hard.p;
        p += soft.p;
        if squared > cut * cut && soft.p.pt() < z_cut * p.pt() {
            dropped += 1;
            nodes.push(hard);
        } else {
            let mut particles = hard.particles;
            particles.extend(soft.particles);
            nodes.push(Node { p, y: p.rapidity(), phi: p.phi(), particles });
        }
    }
    let Some(mut node) = nodes.pop() else { return Groomed::default() };
    node.particles.sort_unstable();
    Groomed { momentum: node.p, particles: node.particles, dropped, ..Groomed::default() }
}

/// A node of a clustering that drops.
struct Node {
    p: FourVector,
    y: f64,
    phi: f64,
    particles: Vec<usize>,
}

/// The two nearest nodes i < j, and ΔR² of them.
fn nearest_pair(nodes: &[Node]) -> Option<(usize, usize, f64)> {
    let mut best = None;
    for j in 1..nodes.len() {
        for i in 0..j {
            let distance = distance2(nodes[i].y, nodes[i].phi, nodes[j].y, nodes[j].phi);
            if best.is_none_or(|(_, _, least)| distance < least) {
                best = Some((i, j, distance));
            }
        }
    }
    best
}
