//! Networks of pairs: operations on edges, attention, and what goes along with them.

use super::{Activation, Edges, Equivariant, Graph, Init, NodeId, Op, Rows};

impl Graph {
    /// Gaussian error unit.
    pub fn gelu(&mut self, x: NodeId) -> NodeId {
        self.same(Op::Gelu, vec![x])
    }

    /// Layer normalisation.
    pub fn layer_norm(&mut self, x: NodeId) -> NodeId {
        let node = self.same(Op::LayerNorm, vec![x]);
        let width = self.nodes[x].width;
        self.parameter(node, "gamma", &[width], Init::Constant(1.0));
        self.parameter(node, "beta", &[width], Init::Constant(0.0));
        node
    }

    /// Rows of unit length.
    pub fn unit(&mut self, x: NodeId, activation: Activation) -> NodeId {
        self.same(Op::Unit { activation }, vec![x])
    }

    /// Means of `v` over the particles of each event, with the weights of attention.
    pub fn set_attention(&mut self, [q, k, v]: [NodeId; 3]) -> NodeId {
        self.node(Op::SetAttention, vec![q, k, v], Rows::Particle, self.nodes[v].width)
    }

    /// γ·x, every entry of γ starting at one.
    pub fn scale(&mut self, x: NodeId, groups: usize) -> NodeId {
        let node = self.same(Op::Scale { groups }, vec![x]);
        self.parameter(node, "gamma", &[groups], Init::Constant(1.0));
        node
    }

    /// x·y, entry by entry; y may have fewer columns, or one row per event.
    pub fn multiply(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.same(Op::Multiply, vec![x, y])
    }

    /// All of these side by side.
    pub fn concat(&mut self, parts: &[NodeId]) -> NodeId {
        let width = parts.iter().fold(0, |sum: usize, &x| sum.saturating_add(self.nodes[x].width));
        let rows = parts.first().map_or(Rows::Event, |&x| self.nodes[x].rows);
        self.node(Op::Concat, parts.to_vec(), rows, width)
    }

    /// A row of `width` parameters for every event.
    pub fn token(&mut self, width: usize) -> NodeId {
        let node = self.node(Op::Token, vec![Self::INPUT], Rows::Event, width);
        self.parameter(node, "bias", &[width], Init::Normal(0.02));
        node
    }

    /// Rows of events for their particles, or rows of particles for the edges they receive.
    pub fn spread(&mut self, x: NodeId) -> NodeId {
        let rows = if self.nodes[x].rows == Rows::Event { Rows::Particle } else { Rows::Edge };
        self.node(Op::Spread, vec![x], rows, self.nodes[x].width)
    }

    /// The sender's row of each edge.
    pub fn senders(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Senders, vec![x], Rows::Edge, self.nodes[x].width)
    }

    /// The first `k` edges of each receiver.
    pub fn head(&mut self, x: NodeId, k: usize) -> NodeId {
        self.node(Op::Head { k }, vec![x], Rows::Near { k }, self.nodes[x].width)
    }

    /// Softmax over particles of an event or edges of a receiver.
    pub fn softmax(&mut self, x: NodeId) -> NodeId {
        self.same(Op::Softmax, vec![x])
    }

    /// `activation(a_i + b_j + e_ij + δ_ij·d_i)` on every edge; `more` may hold e, then d.
    pub fn join(&mut self, a: NodeId, b: NodeId, more: &[NodeId], activation: Activation) -> NodeId {
        let inputs = [a, b].iter().chain(more).copied().collect();
        self.node(Op::Join { activation }, inputs, Rows::Edge, self.nodes[a].width)
    }

    /// ln kT, ln z, ln Δ and ln m² of every edge from px, py, pz, E.
    pub fn pair_kinematics(&mut self, p: NodeId) -> NodeId {
        self.node(Op::PairKinematics, vec![p], Rows::Edge, 4)
    }

    /// ψ(‖x_i − x_j‖²) and ψ(⟨x_i, x_j⟩) of every edge.
    pub fn minkowski(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Minkowski, vec![x], Rows::Edge, 2)
    }

    /// x_i + step·mean_j clamp(s_ij·(x_i − x_j), ±limit).
    pub fn displace(&mut self, x: NodeId, s: NodeId, step: f64, limit: f64) -> NodeId {
        self.node(Op::Displace { step, limit }, vec![x, s], Rows::Particle, 8)
    }

    /// Attention among the particles of each event, with a bias on unordered edges.
    pub fn attention(&mut self, qkv: [NodeId; 3], bias: Option<NodeId>, heads: usize, dropout: f64) -> NodeId {
        let inputs = qkv.into_iter().chain(bias).collect();
        self.node(Op::Attention { heads, dropout }, inputs, Rows::Particle, self.nodes[qkv[2]].width)
    }

    /// The row of an event and those of its particles.
    pub fn stack(&mut self, event: NodeId, particles: NodeId) -> NodeId {
        self.node(Op::Stack, vec![event, particles], Rows::Joint, self.nodes[event].width)
    }

    /// Attention of one query per event to joint rows.
    pub fn class_attention(&mut self, qkv: [NodeId; 3], heads: usize) -> NodeId {
        self.node(Op::ClassAttention { heads }, qkv.to_vec(), Rows::Event, self.nodes[qkv[2]].width)
    }

    /// Boosted combinations of momenta.
    pub fn boost(&mut self, x: NodeId, combinations: usize) -> NodeId {
        let particles = self.nodes[x].width / 4;
        let pairs = combinations.saturating_mul(combinations.saturating_sub(1)) / 2;
        let width = combinations.saturating_mul(5).saturating_add(pairs);
        let node = self.node(Op::Boost { combinations }, vec![x], Rows::Event, width);
        for letter in ["weight", "frames"] {
            self.parameter(node, letter, &[particles, combinations], Init::Normal(1.0 / combinations as f64));
        }
        node
    }

    /// Combinations of momenta and what they are to each other.
    pub fn lola(&mut self, x: NodeId, combinations: usize, learned: bool) -> NodeId {
        let particles = self.nodes[x].width / 4;
        let n = particles.saturating_add(combinations).saturating_add(1);
        let node = self.node(Op::Lola { combinations, learned }, vec![x], Rows::Event, n.saturating_mul(7));
        self.parameter(node, "weight", &[particles, combinations], Init::Normal(1.0 / (particles as f64).sqrt()));
        let start = Init::Normal(1.0 / n as f64);
        self.parameter(node, "energies", &[n, n], start);
        self.parameter(node, "sums", &[2, n, n], start);
        self.parameter(node, "minima", &[2, n, n], start);
        if learned {
            self.parameter(node, "metric", &[4], Init::Normal(1.0));
        }
        node
    }

    /// The edge of each particle with itself.
    pub fn diagonal(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Diagonal, vec![x], Rows::Particle, self.nodes[x].width)
    }

    /// `activation(x·(n/mean)^α)`.
    pub fn multiplicity(&mut self, x: NodeId, mean: f64, activation: Activation) -> NodeId {
        let node = self.same(Op::Multiplicity { mean, activation }, vec![x]);
        let width = self.nodes[x].width;
        self.parameter(node, "alpha", &[width], Init::Constant(0.5));
        node
    }

    /// Powers of the invariants p_i·p_j of every edge.
    pub fn invariants(&mut self, p: NodeId, width: usize) -> NodeId {
        let node = self.node(Op::Invariants, vec![p], Rows::Edge, width);
        self.parameter(node, "alpha", &[width], Init::Even([0.05, 0.5]));
        node
    }

    /// The general linear map of pairs, with its rectifier.
    pub fn equivariant(&mut self, x: NodeId, out: usize, mean: f64) -> NodeId {
        let width = self.nodes[x].width;
        let node = self.node(Op::Equivariant { mean }, vec![x], Rows::Edge, out);
        let factor = Init::Normal((1.0 / Equivariant::BASIS as f64).sqrt());
        let mixing = Init::Normal((1.0 / width as f64).sqrt());
        self.parameter(node, "in", &[width, Equivariant::BASIS], factor);
        self.parameter(node, "out", &[out, Equivariant::BASIS], factor);
        self.parameter(node, "first", &[width, out], mixing);
        self.parameter(node, "second", &[width, out], mixing);
        self.parameter(node, "alpha", &[Equivariant::ALPHAS, width], Init::Even([0.0, 1.0]));
        self.parameter(node, "bias", &[out], Init::Constant(0.0));
        self.parameter(node, "diagonal", &[out], Init::Constant(0.0));
        node
    }

    /// A node with rows and width of its first input.
    fn same(&mut self, op: Op, inputs: Vec<NodeId>) -> NodeId {
        let (rows, width) = (self.nodes[inputs[0]].rows, self.nodes[inputs[0]].width);
        self.node(op, inputs, rows, width)
    }
}

impl Edges {
    /// The row of the pair (i, j) of an event among [`Self::Unordered`] ones; j ≤ i.
    pub fn place(i: usize, j: usize) -> usize {
        i * (i + 1) / 2 + j
    }

    /// How many edges an event of `n` particles has, at most.
    pub fn count(self, n: usize) -> usize {
        match self {
            Self::Unordered => n * (n + 1) / 2,
            Self::Ordered => n * n.saturating_sub(1),
            Self::All => n * n,
            Self::Nearest { k } => n * k.min(n),
            Self::Listed { from, to } => n * (to - from),
        }
    }
}
