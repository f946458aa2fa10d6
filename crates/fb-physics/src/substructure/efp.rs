//! Energy-flow polynomials (arXiv:1712.07124, eq. 7).
//!
//! EFP_G = Σ_{i₁…i_N} z_{i₁} ⋯ z_{i_N} ∏_{(k,l) ∈ G} θ_{i_k i_l} for a multigraph G of N vertices. All graphs of up to
//! seven edges are known, in the order of EnergyFlow 1.4 (`EFPSet("d<=7")`): connected ones by number of vertices, of
//! pairs that are joined and of edges, then those of several parts, which are products.

mod evaluate;
mod plan;

use fb_core::{Error, Result};

use super::Jet;
use crate::four_vector::FourVector;
use evaluate::Program;
use plan::Plan;

/// The most edges of a graph that is known.
pub const MOST_EDGES: usize = 7;

/// A graph a line, edges as pairs of letters; `-` is the one without edges. Written by references/substructure_reference.py.
const GRAPHS: &str = include_str!("efp/graphs.txt");

/// How energies and angles are measured: "hadr" of EnergyFlow, zᵢ = (pTᵢ / Σ pT)^κ and θᵢⱼ = (Δy² + Δφ²)^{β/2}.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The power of angles, β > 0.
    pub beta: f64,
    /// The power of energies; only 1 is safe against collinear splittings.
    pub kappa: f64,
    /// Whether transverse momenta are divided by their sum.
    pub normed: bool,
}

impl Default for Measure {
    fn default() -> Self {
        Self { beta: 2.0, kappa: 1.0, normed: true }
    }
}

/// The polynomials of all graphs of up to some number of edges.
#[derive(Debug)]
pub struct Polynomials {
    program: Program,
    /// The connected graphs of which each polynomial is the product.
    parts: Vec<Vec<usize>>,
}

impl Polynomials {
    /// Plans all polynomials of up to `degree` edges.
    ///
    /// # Errors
    /// [`Error::Config`] for a degree above [`MOST_EDGES`].
    pub fn new(degree: usize) -> Result<Self> {
        if degree > MOST_EDGES {
            let reason = format!("found graphs of up to {degree} edges, expected at most {MOST_EDGES}");
            return Err(Error::Config { place: "efp".to_owned(), reason });
        }
        let mut plan = Plan::default();
        let mut parts = Vec::new();
        for edges in graphs().filter(|edges| edges.len() <= degree) {
            let components = components(&edges);
            let sums: Option<Vec<usize>> = components.iter().map(|(v, e)| plan.connected(v, e)).collect();
            // A graph that three rules do not sum needs eight edges.
            parts.extend(sums);
        }
        Ok(Self { program: Program::new(plan), parts })
    }

    /// How many there are: 1, 2, 5, 13, 36, 102, 314, 1000 for up to 0, 1, …, 7 edges.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Never: the graph of one vertex is always there.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// All polynomials of a jet, in order. A jet without particles has zeros.
    pub fn values(&self, jet: &Jet, measure: Measure) -> Vec<f64> {
        let total: f64 = if measure.normed { jet.pt.iter().sum() } else { 1.0 };
        let z: Vec<f64> = jet.pt.iter().map(|pt| (pt / total).powf(measure.kappa)).collect();
        let y: Vec<f64> = (0..jet.len()).map(|i| rapidity(&jet.particles[i], jet.y[i])).collect();
        let totals = self.program.totals(&z, |i, j| {
            let squared = super::distance2(y[i], jet.phi[i], y[j], jet.phi[j]);
            super::power(squared, measure.beta)
        });
        self.parts.iter().map(|parts| parts.iter().map(|&part| totals[part]).product()).collect()
    }
}

/// Rapidity as EnergyFlow has it, artanh(pz / E): other than in [`FourVector::rapidity`], a particle with E² < p² (energies
/// are rounded in files) is not taken as massless.
fn rapidity(p: &FourVector, otherwise: f64) -> f64 {
    if p.pz.abs() < p.e { (p.pz / p.e).atanh() } else { otherwise }
}

/// The edges of each graph.
fn graphs() -> impl Iterator<Item = Vec<(u8, u8)>> {
    let edge = |text: &str| match text.as_bytes() {
        [a, b] => Some((*a, *b)),
        _ => None,
    };
    GRAPHS.lines().map(move |line| line.split(' ').filter_map(edge).collect())
}

/// Vertices and edges of a connected graph.
type Connected = (Vec<u8>, Vec<(u8, u8)>);

/// The connected parts of a graph. One without edges is one vertex.
fn components(edges: &[(u8, u8)]) -> Vec<Connected> {
    let mut parts: Vec<Connected> = Vec::new();
    for &(a, b) in edges {
        let (touched, mut others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|(vertices, _)| vertices.contains(&a) || vertices.contains(&b));
        let mut part = (vec![a, b], vec![(a, b)]);
        for (vertices, edges) in touched {
            part.0.extend(vertices);
            part.1.extend(edges);
        }
        part.0.sort_unstable();
        part.0.dedup();
        others.push(part);
        parts = others;
    }
    if parts.is_empty() { vec![(vec![b'a'], Vec::new())] } else { parts }
}
