//! The history of a jet: the particles and what they merge into with the kT algorithm, as recursive networks see it
//! (arXiv:1702.00748).

use super::lund::harder_first;
use super::{Jet, Result};
use crate::four_vector::FourVector;
use crate::jets::Algorithm;

/// A node of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Its momentum.
    pub momentum: FourVector,
    /// Places of the harder and the softer of the two that became it; none for a particle.
    pub daughters: Option<(usize, usize)>,
}

/// All nodes of the kT history of all particles, 2n − 1 for n of them: the jet first, the rest in the reverse order of
/// merging, so that mothers come before their daughters.
///
/// # Errors
/// Those of [`crate::jets::Clustering::new`].
pub fn kt(jet: &Jet) -> Result<Vec<Node>> {
    let Some((clustering, root)) = jet.tree(Algorithm::Kt)? else { return Ok(Vec::new()) };
    let node = |node: usize| Node {
        momentum: clustering.momentum(node),
        daughters: harder_first(&clustering, node).map(|(a, b)| (root - a, root - b)),
    };
    Ok((0..=root).rev().map(node).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn massless(pt: f64, y: f64, phi: f64) -> FourVector {
        FourVector { px: pt * phi.cos(), py: pt * phi.sin(), pz: pt * y.sinh(), e: pt * y.cosh() }
    }

    /// By hand: the two soft ones that are close merge first, with the nearer of the hard ones then.
    #[test]
    fn nodes_of_four_particles() {
        let particles =
            [massless(50.0, 0.0, 0.0), massless(2.0, 0.3, 0.0), massless(1.0, 0.35, 0.0), massless(60.0, 0.0, 0.6)];
        let nodes = kt(&Jet::new(&particles, None).unwrap()).unwrap();
        let links: Vec<_> = nodes.iter().map(|n| n.daughters).collect();
        assert_eq!(links, [Some((3, 1)), Some((6, 2)), Some((5, 4)), None, None, None, None][..7].to_vec());
        let mut sum = FourVector::default();
        for &p in &particles {
            sum += p;
        }
        assert!((nodes[0].momentum.e - sum.e).abs() < 1e-9 && (nodes[0].momentum.px - sum.px).abs() < 1e-9);
        for node in &nodes {
            if let Some((a, b)) = node.daughters {
                let [a, b] = [a, b].map(|i| nodes[i].momentum);
                assert!(a.pt() >= b.pt() && (a.e + b.e - node.momentum.e).abs() < 1e-9);
            }
        }
        assert!(kt(&Jet::new(&[], None).unwrap()).unwrap().is_empty());
        assert_eq!(kt(&Jet::new(&particles[..1], None).unwrap()).unwrap().len(), 1);
    }
}
