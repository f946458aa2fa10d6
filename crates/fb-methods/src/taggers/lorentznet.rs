//! LorentzNet (arXiv:2201.08187, Gong et al.): messages between all pairs of constituents that see nothing of momenta but
//! Minkowski products.
//!
//! In block l, m_ij = φ_e(h_i, h_j, ψ(‖x_i − x_j‖²), ψ(⟨x_i, x_j⟩)) with ψ(t) = sgn(t)·ln(1 + |t|), gated by φ_m(m_ij);
//! x_i moves by c·mean_j φ_x(m_ij)·(x_i − x_j), each component bounded, and h_i by φ_h(h_i, Σ_j m_ij, s_i) (Eqs. 3.2 to
//! 3.5). The mean of h is classified. Sees px, py, pz, E of each constituent in GeV, and as its scalar s the logarithm
//! of its mass.
//!
//! Two fixed momenta along the beam, of mass 1 GeV, stand beside the constituents of every jet (`beams`). With them the
//! score is invariant under rotations about the beam only; without, under all Lorentz transformations as long as no
//! component reaches its bound, which is not invariant itself.

use fb_core::{Card, Input, Paper, Promise, Result, Status, Task, Variable};
use fb_nn::optimiser::Rule;
use fb_nn::{Activation, Edges, Graph, Init, Schedule, Train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DEEPEST, UNWEIGHTED_NORM, at_most, cloud, logits};
use crate::neural::Network;

/// Options of LorentzNet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Constituents that are kept, the hardest first; the cost grows with its square.
    pub max: usize,
    /// Width of messages and of all layers.
    pub hidden: usize,
    /// Blocks.
    pub depth: usize,
    /// How far momenta move: c.
    pub step: f64,
    /// Bound of each component of a single move, in GeV.
    pub limit: f64,
    /// Whether momenta along the beam stand beside the constituents.
    pub beams: bool,
    /// Share of the last layer that is dropped in training.
    pub dropout: f64,
    /// How it is trained.
    pub train: Train,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 200,
            hidden: 72,
            depth: 6,
            step: 5e-3,
            limit: 100.0,
            beams: true,
            dropout: 0.2,
            train: Train {
                epochs: 35,
                batch: 128,
                lr: 1e-3,
                optimiser: Rule::Adamw,
                weight_decay: 0.01,
                schedule: Schedule::OneCycle,
                ..Train::default()
            },
        }
    }
}

/// Columns of the input: the momentum, and a scalar for each of beam and constituent, zero on the other.
const MOMENTUM: usize = 4;
const SCALARS: usize = 2;
/// ψ of the mass of a constituent.
const MASS: &str = "log1p(sqrt(max(E^2 - px^2 - py^2 - pz^2, 0)))";

/// Linear, batch normalisation, rectifier, linear.
fn update(graph: &mut Graph, x: usize, hidden: usize) -> usize {
    let x = graph.linear(x, hidden, Activation::Identity);
    let x = graph.batch_norm(x, hidden, Activation::Relu);
    graph.linear(x, hidden, Activation::Identity)
}

/// LorentzNet.
pub struct LorentzNet;

impl Network for LorentzNet {
    const CARD: Card = Card {
        name: "lorentznet",
        title: "LorentzNet, messages of Minkowski products",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::LorentzInvariant, Promise::OnnxParity],
        paper: Paper { authors: "Gong et al.", arxiv: "2201.08187" },
        status: Status::Experimental,
        parameters: Some(224_072),
        known_failures: UNWEIGHTED_NORM,
    };
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {
        Ok(cloud(config.max, &["px", "py", "pz", "E", "0", MASS].map(Variable::plain)))
    }

    fn train(config: &Config) -> &Train {
        &config.train
    }

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {
        at_most("lorentznet", "depth", config.depth, DEEPEST)?;
        let hidden = config.hidden;
        graph.edges = Some(Edges::Ordered);
        if config.beams {
            let beam = |pz: f32| vec![0.0, 0.0, pz, std::f32::consts::SQRT_2, std::f32::consts::LN_2, 0.0];
            graph.fixed = vec![beam(1.0), beam(-1.0)];
        }
        let mut x = graph.columns(Graph::INPUT, 0, MOMENTUM);
        let scalars = graph.columns(Graph::INPUT, MOMENTUM, MOMENTUM + SCALARS);
        let mut h = graph.linear(scalars, hidden, Activation::Identity);
        for block in 0..config.depth {
            let products = graph.minkowski(x);
            // The first layer of φ_e on [h_i, h_j, products] is the sum of its parts on each.
            let products = graph.linear_no_bias(products, hidden);
            let [receiver, sender] = [0, 1].map(|_| graph.linear_no_bias(h, hidden));
            let m = graph.join(receiver, sender, &[products], Activation::Identity);
            let m = graph.batch_norm(m, hidden, Activation::Relu);
            let m = graph.linear(m, hidden, Activation::Relu);
            let gate = graph.linear(m, 1, Activation::Sigmoid);
            let m = graph.multiply(m, gate);
            let received = graph.sum(m);
            if block + 1 < config.depth {
                let s = graph.linear(m, hidden, Activation::Relu);
                let s = graph.linear_no_bias(s, 1);
                graph.start(s, Init::Uniform(1e-3 * (6.0 / (hidden as f64 + 1.0)).sqrt()));
                x = graph.displace(x, s, config.step, config.limit);
            }
            let all = graph.concat(&[h, received, scalars]);
            let moved = update(graph, all, hidden);
            h = graph.add(h, moved, Activation::Identity);
        }
        let x = graph.mean(h);
        let x = graph.linear(x, hidden, Activation::Relu);
        let x = graph.dropout(x, config.dropout);
        logits(graph, x, classes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fb_nn::Rows;

    use super::*;
    use crate::invariance::{self, Transformation};

    #[test]
    fn invariance() {
        let mass = |[x, y, z, e]: [f64; 4]| [0.0, (e * e - x * x - y * y - z * z).sqrt().ln_1p()];
        for beams in [false, true] {
            let config = Config { hidden: 16, depth: 3, limit: 1e4, beams, ..Config::default() };
            let mut graph = Graph::new(Rows::Particle, MOMENTUM + SCALARS);
            LorentzNet::build(&config, 2, &mut graph).unwrap_or_else(|e| panic!("{e}"));
            for (transformation, difference) in invariance::differences(&graph, mass) {
                // The beams single out one axis.
                let holds = !beams || transformation == Transformation::TurnAboutBeam;
                assert!((difference < 1e-10) == holds, "{transformation:?}, beams {beams}: {difference:e}");
            }
        }
    }
}
