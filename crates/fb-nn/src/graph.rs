//! A network as plain data: nodes in order of evaluation, each with its operation, inputs and parameters.
//!
//! Any shapes can be put together, as they follow from options; [`Graph::check`] tells whether they fit. It is stored with the model and read by the executor and the exporters alike, so all
//! of them compute the same network.

mod check;
mod relations;

use fb_core::{Layout, List, Philox};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The inputs of a network that sees so many numbers per event and these lists: see [`fb_core::Input::Lists`].
pub fn of_lists(event: usize, lists: &[List]) -> Vec<(Rows, usize)> {
    let size = |list: &List| list.max.saturating_mul(list.variables.len());
    let sequences = lists.iter().filter(|list| list.layout == Layout::Sequence).map(size);
    let width = sequences.fold(event, usize::saturating_add);
    let clouds = lists.iter().filter(|list| list.layout == Layout::Cloud);
    let clouds = clouds.map(|list| (Rows::Particle, list.variables.len()));
    (width > 0).then_some((Rows::Event, width)).into_iter().chain(clouds).collect()
}

/// What the rows of a value stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// One row per event.
    Event,
    /// One row per particle of an event.
    Particle,
    /// One row per pair of particles of an event that the graph names: see [`Edges`].
    Edge,
    /// The first `k` edges of each receiver.
    Near {
        /// How many, at most.
        k: usize,
    },
    /// One row for the event, and then one per particle of it.
    Joint,
}

impl Rows {
    /// What a sum over rows gives: edges belong to their receiver, particles to their event.
    #[must_use]
    pub fn above(self) -> Self {
        if matches!(self, Self::Edge | Self::Near { .. }) { Self::Particle } else { Self::Event }
    }
}

/// The pairs (i, j) of particles of an event that have rows of their own: i receives, j sends. Rows are in order of i.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "pairs", rename_all = "snake_case")]
pub enum Edges {
    /// Each pair once and each particle with itself, j ≤ i: what is computed for it must be symmetric.
    Unordered,
    /// All pairs of different particles.
    Ordered,
    /// All pairs, also of each particle with itself.
    All,
    /// Each particle itself and then the nearest others in the first two columns of the input, `k` in all; fewer where the
    /// event has fewer particles.
    Nearest {
        /// Edges of a receiver.
        k: usize,
    },
    /// Columns `from..to` of the input hold the places of neighbours in the event, counted from zero, or −1 for none.
    Listed {
        /// First column.
        from: usize,
        /// One past the last.
        to: usize,
    },
}

/// Element-wise non-linearity. All of these give their derivative from their own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// x for x > 0, x/100 else.
    Leaky,
    /// λ·x for x > 0, λ·α·(eˣ − 1) else (arXiv:1706.02515).
    Selu,
    /// x for x > 0, eˣ − 1 else (arXiv:1511.07289).
    Elu,
}

impl Activation {
    const fn relu() -> Self {
        Self::Relu
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_relu(&self) -> bool {
        *self == Self::Relu
    }
}

/// An operation. Widths are numbers per row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// What the network sees: see `fb_core::Input`.
    Input,
    /// Columns `from..to` of the input.
    Columns {
        /// First column.
        from: usize,
        /// One past the last.
        to: usize,
    },
    /// `activation(x·W + b)`; parameters W [in, out] and, if `bias`, b `[out]`.
    Linear {
        /// Whether there is b.
        bias: bool,
        /// What follows.
        activation: Activation,
    },
    /// `activation(γ·(x − μ)/√(σ² + ε) + β)` per channel, μ and σ² over all rows of the batch in training and running
    /// averages afterwards; parameters γ, β `[channels]`, buffers μ, σ² `[channels]`. Rows hold `width / channels`
    /// positions.
    BatchNorm {
        /// Numbers that share no statistics.
        channels: usize,
        /// What follows.
        activation: Activation,
    },
    /// Sets a random share `rate` of the entries to zero in training and scales the others by 1/(1 − rate).
    Dropout {
        /// Share of entries that are dropped.
        rate: f64,
    },
    /// `activation(x + y)`.
    Add {
        /// What follows.
        activation: Activation,
    },
    /// Sum of the particle rows of each event, or of the edge rows of each receiver.
    Sum,
    /// Their mean; zero for an event without particles and a particle without edges.
    Mean,
    /// Σ z·x over the particles of each event (the edges of each particle); inputs x [particle, width] and z
    /// [particle, heads], the columns of x shared out among the heads.
    WeightedSum,
    /// EdgeConv (arXiv:1801.07829, as used in arXiv:1902.08570): for each particle i and its `k` nearest neighbours j
    /// of the same event, the mean over j of a shared network of [x_i, x_j − x_i] whose layers are
    /// relu(batchnorm(·W)). Inputs: coordinates [particle, d], features [particle, c]. Parameters of layer l: W, γ, β;
    /// buffers: μ, σ².
    EdgeConv {
        /// Neighbours; fewer where the event has fewer particles.
        k: usize,
        /// Width of each layer.
        channels: [usize; 3],
    },
    /// Interaction network (arXiv:1612.00222; arXiv:1908.05318): for each particle i the sum over all other particles
    /// j of the event of a shared network of [x_i, x_j] whose layers are activation(·W + b). Parameters of layer l: W, b.
    /// With a second input, j runs over all particles of another collection: [x_i, y_j].
    Interaction {
        /// Width of each layer.
        channels: [usize; 3],
        /// What follows each layer.
        #[serde(default = "Activation::relu", skip_serializing_if = "Activation::is_relu")]
        activation: Activation,
    },
    /// Recursive network on the nodes of a tree, mothers before daughters (arXiv:1702.00748, with the layers between nodes of
    /// arXiv:1902.09914, section 3.2.3). Inputs u of nodes that have daughters and u′ of those that have none [particle,
    /// width], and the places of two daughters in the event, −1 for none [particle, 2]. h = u′ without daughters,
    /// relu([e_1, e_2, u]·W + b) with; e = relu(relu(h·A + a)·B + b) with layers of their own for the first and the second
    /// daughter of the first node, for others that have daughters, and for others that have none. The result is h of the
    /// first node; zero for an event without nodes. Parameters W [3·width, width], b; then A, a, B, b four times.
    Tree,
    /// The rows of particles as an image [cells, cells, width] of square cells around the origin: that of the first particle
    /// in each cell, zeros where there is none. Inputs: places (x, y) [particle, 2], which have no gradient, and rows
    /// [particle, width]; a cell is the half-open square of this `size` with row ⌊y/size + cells/2⌋.
    Grid {
        /// Cells along each side.
        cells: usize,
        /// Side of a cell.
        size: f64,
    },
    /// The rows of the first `max` particles of an event side by side, zeros where there are fewer.
    Flatten {
        /// How many.
        max: usize,
    },
    /// Long short-term memory over the particles of an event in their order; gives the last hidden state (zero for an
    /// event without particles). Parameters W [in + hidden, 4·hidden], b [4·hidden], gates in the order i, f, g, o.
    Lstm {
        /// Width of the hidden state.
        hidden: usize,
    },
    /// Convolution over an image [height, width, in], channels last; parameters W [kernel, kernel, in/groups, out] (one
    /// row of taps where height is 1) and, if `bias`, b `[out]`. Inputs and outputs are cut into `groups` of neighbouring
    /// channels; an output sees those of its own group.
    Conv {
        /// Height, width and channels of the input.
        shape: [usize; 3],
        /// Channels of the output.
        out: usize,
        /// Taps along each side.
        kernel: usize,
        /// Distance between the windows.
        stride: usize,
        /// Zeros added on each side.
        padding: usize,
        /// Groups of channels.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        groups: usize,
        /// Whether there is b.
        bias: bool,
        /// What follows.
        activation: Activation,
    },
    /// Largest pixel of each window of an image [height, width, channels]; rows and columns that fill no window are left
    /// out, and nothing is there beyond the edge.
    MaxPool {
        /// Height, width and channels of the input.
        shape: [usize; 3],
        /// What is looked at.
        #[serde(default, skip_serializing_if = "Window::is_two")]
        window: Window,
    },
    /// Mean over the positions of a row [positions, channels].
    MeanPositions {
        /// Channels.
        channels: usize,
    },
    /// Gaussian error unit x·Φ(x) with the normal distribution Φ (arXiv:1606.08415).
    Gelu,
    /// γ·(x − μ)/√(σ² + ε) + β with μ and σ² over each row (arXiv:1607.06450); parameters γ, β `[width]`.
    LayerNorm,
    /// γ·x; parameter γ `[groups]`, each entry for width / groups neighbouring columns.
    Scale {
        /// Factors.
        groups: usize,
    },
    /// x·y, entry by entry; y may have a column for several neighbouring ones of x, or one row per event.
    Multiply,
    /// The row of the sender of each edge.
    Senders,
    /// The rows of the first `k` edges of each receiver.
    Head {
        /// How many, at most.
        k: usize,
    },
    /// All inputs side by side.
    Concat,
    /// A row of parameters, the same for every event; its input only says that there are events.
    Token,
    /// Every particle gets the row of its event, every edge that of its receiver.
    Spread,
    /// eˣ/Σeˣ for each column over the particles of each event, or the edges of each receiver.
    Softmax,
    /// `activation(a_i + b_j + e_ij + δ_ij·d_i)`; inputs a, b [particle, width] and,
    /// in any case of the two, e [edge, width] and d [particle, width].
    Join {
        /// What follows.
        activation: Activation,
    },
    /// ln kT, ln z, ln Δ and ln m² of two particles (arXiv:2202.03772, Eq. 3), with Δ² = Δy² + Δφ², kT = min(pT)·Δ,
    /// z = min(pT)/(pT + pT′), each bounded by 10⁻⁸ from below; input px, py, pz, E [particle, 4] in GeV. No gradient.
    PairKinematics,
    /// ψ(‖x_i − x_j‖²) and ψ(⟨x_i, x_j⟩) with ψ(t) = sgn(t)·ln(1 + |t|) (arXiv:2201.08187, Eq. 3.2) and the metric
    /// (−, −, −, +) of px, py, pz, E. Input x as of `Displace`, or px, py, pz, E [particle, 4] in GeV.
    Minkowski,
    /// x_i + c·mean_j clamp(s_ij·(x_i − x_j), ±limit) (arXiv:2201.08187, Eq. 3.3). Inputs x [particle, 4 or 8], s
    /// [edge, 1]; the result [particle, 8] holds four numbers and then what their rounding left over.
    Displace {
        /// c.
        step: f64,
        /// Bound of each component of what is averaged.
        limit: f64,
    },
    /// Σ_j softmax_j(q_i·k_j/√(width/heads) + u_ij)·v_j for each head; inputs q, k, v [particle, width] and, if there is
    /// a fourth, u on unordered edges [edge, heads]. A share `dropout` of the softmax is set to zero in training.
    Attention {
        /// Heads, which share out the columns.
        heads: usize,
        /// Share that is dropped.
        dropout: f64,
    },
    /// `activation(x/√(Σx² + 10⁻¹²))` of each row.
    Unit {
        /// What follows.
        activation: Activation,
    },
    /// Σ_j softmax_j(q_i·k_j/√c)·v_j (arXiv:2002.08772); inputs q, k [particle, c] and v [particle, width].
    SetAttention,
    /// The row of each event and the rows of its particles, one after the other; inputs [event, width] and
    /// [particle, width].
    Stack,
    /// The same for one query of each event; inputs q [event, width], and k, v [joint, width].
    ClassAttention {
        /// Heads.
        heads: usize,
    },
    /// Lorentz boost network (arXiv:1812.09722): momenta P_m = Σ_i |w_im|·p_i, each boosted into the rest frame of
    /// R_m = Σ_i |v_im|·p_i, with E, pT, η, φ, m of each and the cosine of each pair. Input: px, py, pz, E of particles
    /// side by side; parameters w, v [particles, combinations].
    Boost {
        /// Momenta P, and rest frames R.
        combinations: usize,
    },
    /// Lorentz layer (arXiv:1707.08966, Eqs. 8 to 12): combinations k of momenta (the sum of all, each, and Σ_i c_im·p_i),
    /// and of each k_j: k_j², pT, Σ_m e_jm·E_m, two sums and two minima over others of w_jm·(k_j − k_m)². Input: px, py, pz,
    /// E of particles side by side; parameters c [particles, combinations], e [n, n], w for sums and for minima
    /// [2, n, n] with n = 1 + particles + combinations and, if `learned`, the diagonal of the metric `[4]`.
    Lola {
        /// Trainable ones.
        combinations: usize,
        /// Whether the metric is a parameter, or (−, −, −, +).
        learned: bool,
    },
    /// x_ii of each particle; edges are all pairs.
    Diagonal,
    /// `activation(x·(n/mean)^α)` for n particles; parameter α `[width]`.
    Multiplicity {
        /// What n is measured in.
        mean: f64,
        /// What follows.
        activation: Activation,
    },
    /// ((|1 + p_i·p_j|)^a − 1)/a with a = α² + 10⁻⁶ of every edge (arXiv:2211.00454); input px, py, pz, E [particle, 4] in
    /// GeV; parameter α `[width]`.
    Invariants,
    /// Leaky rectifier of the general linear map from pairs to pairs that commutes with permutations (arXiv:2211.00454,
    /// section 3.2), Σ_b B_b(x)·W_b and a bias on all and on the diagonal; edges are all pairs. The maps that take means do
    /// so in units of (n/mean)^α. Of the weights W_b = c₀₀·c₁₀ + c₀₁·c₁₁ the parameters are c₀₀ [in, 15], c₀₁ [out, 15],
    /// c₁₀ and c₁₁ [in, out]; then α [10, in] and the biases `[out]`.
    Equivariant {
        /// What n is measured in.
        mean: f64,
    },
}

/// Square windows of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Pixels along each side.
    pub size: usize,
    /// Distance between the windows.
    pub stride: usize,
    /// Pixels by which they reach over the edge.
    pub padding: usize,
}

impl Default for Window {
    /// 2 × 2 pixels, side by side.
    fn default() -> Self {
        Self { size: 2, stride: 2, padding: 0 }
    }
}

impl Window {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_two(&self) -> bool {
        *self == Self::default()
    }
}

const fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(groups: &usize) -> bool {
    *groups == 1
}

/// The order of the maps in [`Op::Equivariant`]: x_ij and x_ji; then those that give something to the receiver, to the
/// sender and to the diagonal.
pub struct Equivariant;

impl Equivariant {
    /// Maps.
    pub const BASIS: usize = 15;
    /// First map of receiver, sender and diagonal, and how many there are, of: x_ii, the mean over senders, over receivers,
    /// of the diagonal, of all.
    pub const STACKS: [(usize, usize); 3] = [(2, 5), (7, 3), (10, 5)];
    /// Maps with a power of their own: those that take means.
    pub const ALPHAS: usize = 10;
}

/// Kinds of nodes in [`Op::Tree`] that have two layers of their own.
pub const TREE_LAYERS: usize = 4;
/// Added to squares in [`Op::Boost`] before their root is taken, and the least energy of a rest frame.
pub const BOOST_LEAST: f64 = 1e-10;
/// Lower bound of 1 − β² of a rest frame in [`Op::Boost`].
pub const BOOST_SLOWEST: f64 = 1e-6;

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Every entry this number.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// From one number to another in equal steps.
    Even([f64; 2]),
}

/// A block of trainable numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, `node.letter`.
    pub name: String,
    /// Its shape, the last dimension contiguous.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Place of its first entry among all parameters (or all buffers).
    pub start: usize,
}

impl Parameter {
    /// Number of entries.
    pub fn len(&self) -> usize {
        size(&self.shape)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place among all parameters.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len()
    }
}

/// One step of the evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it does.
    #[serde(flatten)]
    pub op: Op,
    /// The nodes it takes its inputs from.
    pub inputs: Vec<usize>,
    /// Its parameters.
    pub parameters: Vec<usize>,
    /// Its buffers (running averages).
    pub buffers: Vec<usize>,
    /// What its rows stand for.
    pub rows: Rows,
    /// Of which collection the particles are that it takes or gives: the place of their input among the inputs.
    #[serde(default, skip_serializing_if = "is_first")]
    pub collection: usize,
    /// Numbers per row.
    pub width: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(collection: &usize) -> bool {
    *collection == 0
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The pairs of particles that have rows, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<Edges>,
    /// Rows of the input that stand before the particles of every event (reference momenta of the beam).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<Vec<f32>>,
    /// For a network that predicts numbers, how many; further outputs are logarithms of their variances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<usize>,
    /// In order of evaluation; the last is the output, a row of logits per event or a logit per unordered pair.
    pub nodes: Vec<Node>,
    /// Trainable.
    pub parameters: Vec<Parameter>,
    /// Running averages: not trained, but stored.
    pub buffers: Vec<Parameter>,
}

/// A node of a graph under construction.
pub type NodeId = usize;

impl Graph {
    /// A network that sees `width` numbers per row.
    pub fn new(rows: Rows, width: usize) -> Self {
        let mut graph =
            Self { edges: None, fixed: vec![], numbers: None, nodes: vec![], parameters: vec![], buffers: vec![] };
        graph.input(rows, width);
        graph
    }

    /// A further input, for another collection of particles; all inputs come before any operation.
    pub fn input(&mut self, rows: Rows, width: usize) -> NodeId {
        let collection = self.nodes.len();
        let (inputs, parameters, buffers) = (vec![], vec![], vec![]);
        self.nodes.push(Node { op: Op::Input, inputs, parameters, buffers, rows, collection, width });
        collection
    }

    /// Rows and width of each input.
    pub fn inputs(&self) -> Vec<(Rows, usize)> {
        self.nodes.iter().take_while(|node| node.op == Op::Input).map(|node| (node.rows, node.width)).collect()
    }

    /// The input node, the first of several.
    pub const INPUT: NodeId = 0;

    /// Trainable numbers.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }

    /// Numbers in the running averages.
    pub fn buffer_count(&self) -> usize {
        self.buffers.iter().map(Parameter::len).sum()
    }

    /// The output node.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// Classes that the logits stand for, two for a single logit, or numbers that are predicted.
    pub fn classes(&self) -> usize {
        self.numbers.unwrap_or(self.nodes[self.output()].width.max(2))
    }

    /// Whether the output is a logit per unordered pair of particles.
    pub fn is_of_pairs(&self) -> bool {
        self.nodes[self.output()].rows == Rows::Edge
    }

    /// Whether any operation needs sums over the whole batch.
    pub fn is_synchronised(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n.op, Op::BatchNorm { .. } | Op::EdgeConv { .. }))
    }

    /// Fresh parameters and buffers: the same for the same seed.
    pub fn initial(&self, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let fill = |blocks: &[Parameter]| {
            let mut all = Vec::new();
            for (i, block) in blocks.iter().enumerate() {
                let mut random = Philox::new(seed, u64::from(u32::MAX), i as u64);
                all.extend((0..block.len()).map(|i| match block.init {
                    Init::Constant(c) => c,
                    Init::Uniform(bound) => (2.0 * random.uniform() - 1.0) * bound,
                    Init::Normal(sigma) => sigma * random.normal(),
                    Init::Even([from, to]) => from + (to - from) * i as f64 / (block.len() - 1).max(1) as f64,
                }));
            }
            all
        };
        (fill(&self.parameters), fill(&self.buffers))
    }

    /// Lets the first parameter of a node start in another way.
    pub fn start(&mut self, node: NodeId, init: Init) {
        if let Some(&at) = self.nodes[node].parameters.first() {
            self.parameters[at].init = init;
        }
    }

    fn block(blocks: &mut Vec<Parameter>, name: String, shape: Vec<usize>, init: Init) -> usize {
        let start = blocks.last().map_or(0, |p| p.start.saturating_add(p.len()));
        blocks.push(Parameter { name, shape, init, start });
        blocks.len() - 1
    }

    fn node(&mut self, op: Op, inputs: Vec<NodeId>, rows: Rows, width: usize) -> NodeId {
        let particles = inputs.iter().map(|&i| &self.nodes[i]).find(|node| node.rows != Rows::Event);
        let collection = particles.map_or(0, |node| node.collection);
        self.nodes.push(Node { op, inputs, parameters: vec![], buffers: vec![], rows, collection, width });
        self.nodes.len() - 1
    }

    fn parameter(&mut self, node: NodeId, letter: &str, shape: &[usize], init: Init) {
        let at = Self::block(&mut self.parameters, format!("{node}.{letter}"), shape.to_vec(), init);
        self.nodes[node].parameters.push(at);
    }

    fn norm_parameters(&mut self, node: NodeId, suffix: &str, channels: usize) {
        self.parameter(node, &format!("gamma{suffix}"), &[channels], Init::Constant(1.0));
        self.parameter(node, &format!("beta{suffix}"), &[channels], Init::Constant(0.0));
        for (letter, start) in [("mean", 0.0), ("variance", 1.0)] {
            let name = format!("{node}.{letter}{suffix}");
            let at = Self::block(&mut self.buffers, name, vec![channels], Init::Constant(start));
            self.nodes[node].buffers.push(at);
        }
    }

    /// Columns `from..to` of `x`.
    pub fn columns(&mut self, x: NodeId, from: usize, to: usize) -> NodeId {
        self.node(Op::Columns { from, to }, vec![x], self.nodes[x].rows, to.saturating_sub(from))
    }

    /// `activation(x·W + b)`, W uniform in ±√(6/in) before a rectifier (He) and ±√(3/in) else, b = 0.
    pub fn linear(&mut self, x: NodeId, out: usize, activation: Activation) -> NodeId {
        self.linear_with(x, out, true, activation)
    }

    /// `x·W`.
    pub fn linear_no_bias(&mut self, x: NodeId, out: usize) -> NodeId {
        self.linear_with(x, out, false, Activation::Identity)
    }

    /// `activation(x·W)`.
    pub fn linear_bare(&mut self, x: NodeId, out: usize, activation: Activation) -> NodeId {
        self.linear_with(x, out, false, activation)
    }

    fn linear_with(&mut self, x: NodeId, out: usize, bias: bool, activation: Activation) -> NodeId {
        let width = self.nodes[x].width;
        let node = self.node(Op::Linear { bias, activation }, vec![x], self.nodes[x].rows, out);
        self.parameter(node, "weight", &[width, out], weight_init(width, activation));
        if bias {
            self.parameter(node, "bias", &[out], Init::Constant(0.0));
        }
        node
    }

    /// Batch normalisation over `channels`.
    pub fn batch_norm(&mut self, x: NodeId, channels: usize, activation: Activation) -> NodeId {
        let node = self.node(Op::BatchNorm { channels, activation }, vec![x], self.nodes[x].rows, self.nodes[x].width);
        self.norm_parameters(node, "", channels);
        node
    }

    /// Dropout.
    pub fn dropout(&mut self, x: NodeId, rate: f64) -> NodeId {
        self.node(Op::Dropout { rate }, vec![x], self.nodes[x].rows, self.nodes[x].width)
    }

    /// `activation(x + y)`.
    pub fn add(&mut self, x: NodeId, y: NodeId, activation: Activation) -> NodeId {
        self.node(Op::Add { activation }, vec![x, y], self.nodes[x].rows, self.nodes[x].width)
    }

    /// Sum over the particles of each event, or the edges of each receiver.
    pub fn sum(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Sum, vec![x], self.nodes[x].rows.above(), self.nodes[x].width)
    }

    /// Mean over the particles of each event, or the edges of each receiver.
    pub fn mean(&mut self, x: NodeId) -> NodeId {
        self.node(Op::Mean, vec![x], self.nodes[x].rows.above(), self.nodes[x].width)
    }

    /// Σ z·x over the particles of each event, or the edges of each receiver.
    pub fn weighted_sum(&mut self, x: NodeId, z: NodeId) -> NodeId {
        self.node(Op::WeightedSum, vec![x, z], self.nodes[x].rows.above(), self.nodes[x].width)
    }

    /// EdgeConv with `k` neighbours in `coordinates`.
    pub fn edge_conv(&mut self, coordinates: NodeId, x: NodeId, k: usize, channels: [usize; 3]) -> NodeId {
        let node = self.node(Op::EdgeConv { k, channels }, vec![coordinates, x], Rows::Particle, channels[2]);
        let mut width = self.nodes[x].width.saturating_mul(2);
        for (l, &out) in channels.iter().enumerate() {
            self.parameter(node, &format!("weight{l}"), &[width, out], weight_init(width, Activation::Relu));
            self.norm_parameters(node, &l.to_string(), out);
            width = out;
        }
        node
    }

    /// Messages from all other particles, added up.
    pub fn interaction(&mut self, x: NodeId, channels: [usize; 3]) -> NodeId {
        self.interaction_with(x, x, channels, Activation::Relu)
    }

    /// Messages to `x` from all particles `y`, of another collection or all others of its own, added up.
    pub fn interaction_with(&mut self, x: NodeId, y: NodeId, channels: [usize; 3], activation: Activation) -> NodeId {
        let inputs = if x == y { vec![x] } else { vec![x, y] };
        let node = self.node(Op::Interaction { channels, activation }, inputs, Rows::Particle, channels[2]);
        let mut width = self.nodes[x].width.saturating_add(self.nodes[y].width);
        for (l, &out) in channels.iter().enumerate() {
            self.parameter(node, &format!("weight{l}"), &[width, out], weight_init(width, activation));
            self.parameter(node, &format!("bias{l}"), &[out], Init::Constant(0.0));
            width = out;
        }
        node
    }

    /// Particles in square cells around the origin.
    pub fn grid(&mut self, place: NodeId, x: NodeId, cells: usize, size: f64) -> (NodeId, [usize; 3]) {
        let shape = [cells, cells, self.nodes[x].width];
        let width = shape.iter().fold(1, |all: usize, &n| all.saturating_mul(n));
        (self.node(Op::Grid { cells, size }, vec![place, x], Rows::Event, width), shape)
    }

    /// The first `max` particles of each event side by side.
    pub fn flatten(&mut self, x: NodeId, max: usize) -> NodeId {
        self.node(Op::Flatten { max }, vec![x], Rows::Event, max.saturating_mul(self.nodes[x].width))
    }

    /// The first node of a tree from `u` of nodes with daughters, of those without, and the places of daughters.
    pub fn tree(&mut self, u: [NodeId; 2], links: NodeId) -> NodeId {
        let width = self.nodes[u[0]].width;
        let node = self.node(Op::Tree, vec![u[0], u[1], links], Rows::Event, width);
        let layer = |graph: &mut Self, name: &str, from: usize| {
            let start = weight_init(from, Activation::Relu);
            graph.parameter(node, &format!("weight{name}"), &[from, width], start);
            graph.parameter(node, &format!("bias{name}"), &[width], Init::Constant(0.0));
        };
        layer(self, "", width.saturating_mul(3));
        for i in 0..2 * TREE_LAYERS {
            layer(self, &i.to_string(), width);
        }
        node
    }

    /// The last hidden state of a long short-term memory, every weight uniform in ±1/√hidden.
    pub fn lstm(&mut self, x: NodeId, hidden: usize) -> NodeId {
        let width = self.nodes[x].width;
        let bound = Init::Uniform(1.0 / (hidden as f64).sqrt());
        let node = self.node(Op::Lstm { hidden }, vec![x], Rows::Event, hidden);
        self.parameter(node, "weight", &[width.saturating_add(hidden), hidden.saturating_mul(4)], bound);
        self.parameter(node, "bias", &[hidden.saturating_mul(4)], bound);
        node
    }

    /// Convolution over an image [height, width, channels] (a sequence where height is 1).
    pub fn conv(&mut self, x: NodeId, shape: [usize; 3], conv: Convolution) -> (NodeId, [usize; 3]) {
        let Convolution { out, kernel, stride, padding, groups, bias, activation } = conv;
        let op = Op::Conv { shape, out, kernel, stride, padding, groups, bias, activation };
        let shape_out = conv_shape(shape, out, kernel, stride, padding);
        let node = self.node(op, vec![x], self.nodes[x].rows, size(&shape_out));
        let (rows, seen) = (if shape[0] == 1 { 1 } else { kernel }, shape[2] / groups.max(1));
        self.parameter(
            node,
            "weight",
            &[rows, kernel, seen, out],
            weight_init(size(&[rows, kernel, seen]), Activation::Relu),
        );
        if bias {
            self.parameter(node, "bias", &[out], Init::Constant(0.0));
        }
        (node, shape_out)
    }

    /// Maximum over windows.
    pub fn max_pool(&mut self, x: NodeId, shape: [usize; 3], window: Window) -> (NodeId, [usize; 3]) {
        let [height, width] = [shape[0], shape[1]].map(|n| window_count(n, window.size, window.stride, window.padding));
        let out = [height, width, shape[2]];
        (self.node(Op::MaxPool { shape, window }, vec![x], self.nodes[x].rows, size(&out)), out)
    }

    /// Mean over positions.
    pub fn mean_positions(&mut self, x: NodeId, channels: usize) -> NodeId {
        self.node(Op::MeanPositions { channels }, vec![x], self.nodes[x].rows, channels)
    }
}

/// The options of a convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Channels of the output.
    pub out: usize,
    /// Taps along each side.
    pub kernel: usize,
    /// Distance between the windows.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// What follows.
    pub activation: Activation,
}

/// Height, width and channels after a convolution; a sequence (height 1) stays one.
pub fn conv_shape(shape: [usize; 3], out: usize, kernel: usize, stride: usize, padding: usize) -> [usize; 3] {
    let size = |n: usize| window_count(n, kernel, stride, padding);
    [if shape[0] == 1 { 1 } else { size(shape[0]) }, size(shape[1]), out]
}

/// Windows along a side of `n` pixels.
fn window_count(n: usize, size: usize, stride: usize, padding: usize) -> usize {
    n.saturating_add(padding.saturating_mul(2)).saturating_sub(size) / stride.max(1) + 1
}

/// Entries of a shape. One that is too large to be is left to [`Graph::check`].
fn size(shape: &[usize]) -> usize {
    shape.iter().fold(1, |size: usize, &n| size.saturating_mul(n))
}

fn weight_init(inputs: usize, activation: Activation) -> Init {
    let gain = if activation == Activation::Relu { 6.0 } else { 3.0 };
    Init::Uniform((gain / inputs as f64).sqrt())
}
