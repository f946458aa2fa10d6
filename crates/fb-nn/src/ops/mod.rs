//! The operations: what each computes forward, and how the gradient runs back through it.

mod attention;
mod boost;
mod conv;
mod dense;
mod dual;
mod edge_conv;
mod edges;
mod equivariant;
mod grouped;
mod interaction;
mod lola;
mod lorentz;
mod lstm;
mod norm;
mod pool;
mod rowwise;
mod sets;
mod tree;

pub(crate) use edges::{list, list_near};

use crate::executor::{Lane, Mode, Norm};
use crate::graph::{Graph, Node, Op};
use crate::kernels::Real;

/// Added to a variance before its square root is taken.
pub(crate) const EPSILON: f64 = 1e-5;

/// What an operation sees: its node, the parameters, the sums over the batch, and the memory of its lane.
pub(crate) struct Cell<'a, T> {
    pub graph: &'a Graph,
    pub id: usize,
    pub parameters: &'a [T],
    pub norms: &'a [Norm<T>],
    pub needs_gradient: &'a [bool],
    pub mode: Mode,
    pub lane: &'a mut Lane<T>,
}

impl<'a, T: Real> Cell<'a, T> {
    fn node(&self) -> &'a Node {
        &self.graph.nodes[self.id]
    }

    /// The node that gives input `i`.
    fn source(&self, i: usize) -> usize {
        self.node().inputs[i]
    }

    /// Rows of this node's value.
    fn rows(&self) -> usize {
        self.lane.rows(self.node().rows)
    }

    /// The entries of parameter `i` of this node.
    fn parameter(&self, i: usize) -> &'a [T] {
        &self.parameters[self.graph.parameters[self.node().parameters[i]].range()]
    }

    /// Where the gradient of parameter `i` of this node is summed up.
    fn parameter_grad(&mut self, i: usize) -> &mut [T] {
        let range = self.graph.parameters[self.node().parameters[i]].range();
        &mut self.lane.gradient[range]
    }

    /// The buffer of this node's value, `rows × width` long, its entries unspecified.
    fn take_value(&mut self) -> Vec<T> {
        let len = self.rows() * self.node().width;
        let mut value = std::mem::take(&mut self.lane.values[self.id]);
        value.resize(len, T::ZERO);
        value
    }

    /// Buffer `i` of what this node keeps for its backward pass, its entries unspecified.
    fn take_keep(&mut self, i: usize, len: usize) -> Vec<T> {
        let kept = &mut self.lane.keep[self.id];
        if kept.len() <= i {
            kept.resize(i + 1, Vec::new());
        }
        let mut buffer = std::mem::take(&mut kept[i]);
        buffer.resize(len, T::ZERO);
        buffer
    }

    fn give_keep(&mut self, i: usize, buffer: Vec<T>) {
        self.lane.keep[self.id][i] = buffer;
    }
}

/// How many sums over the batch an operation waits for in training.
pub(crate) fn sums(op: &Op) -> usize {
    match op {
        Op::BatchNorm { .. } => 1,
        Op::EdgeConv { channels, .. } => channels.len(),
        _ => 0,
    }
}

/// One empty set of batch statistics per sum.
pub(crate) fn norms<T: Real>(op: &Op) -> Vec<Norm<T>> {
    vec![Norm::default(); sums(op)]
}

/// Numbers per row that an operation keeps beside its value.
pub(crate) fn memory(op: &Op) -> usize {
    match op {
        Op::EdgeConv { k, channels } => k * (channels[1] + channels[2]),
        Op::Lstm { hidden } => 6 * hidden,
        // Softmax and its gradient among some fifty particles.
        Op::Attention { heads, .. } => 100 * heads,
        Op::SetAttention => 50,
        _ => 0,
    }
}

/// Computes a node's value in its lane.
pub(crate) fn forward<T: Real>(cell: &mut Cell<'_, T>, phase: usize) {
    match cell.node().op {
        Op::Input => {}
        Op::Columns { from, to } => dense::columns_forward(cell, from, to),
        Op::Linear { bias, activation } => dense::linear_forward(cell, bias, activation),
        Op::Dropout { rate } => dense::dropout_forward(cell, rate),
        Op::Add { activation } => dense::add_forward(cell, activation),
        Op::BatchNorm { channels, activation } => norm::forward(cell, phase, channels, activation),
        Op::Sum => pool::sum_forward(cell, pool::Pool::Sum),
        Op::Mean => pool::sum_forward(cell, pool::Pool::Mean),
        Op::Flatten { .. } => pool::flatten_forward(cell),
        Op::Grid { cells, size } => pool::grid_forward(cell, cells, size),
        Op::Tree => tree::forward(cell),
        Op::WeightedSum => pool::weighted_sum_forward(cell),
        Op::MeanPositions { channels } => pool::positions_forward(cell, channels),
        Op::MaxPool { shape, window } => pool::max_forward(cell, shape, window),
        Op::EdgeConv { k, channels } => edge_conv::forward(cell, phase, k, channels),
        Op::Interaction { channels, activation } => interaction::forward(cell, channels, activation),
        Op::Lstm { hidden } => lstm::forward(cell, hidden),
        Op::Conv { .. } => conv::forward(cell),
        Op::Gelu => rowwise::gelu_forward(cell),
        Op::LayerNorm => rowwise::layer_norm_forward(cell),
        Op::Scale { groups } => rowwise::scale_forward(cell, groups),
        Op::Multiply => rowwise::multiply_forward(cell),
        Op::Concat => rowwise::concat_forward(cell),
        Op::Token => rowwise::token_forward(cell),
        Op::Multiplicity { mean, activation } => rowwise::multiplicity_forward(cell, mean, activation),
        Op::Invariants => lorentz::invariants_forward(cell),
        Op::Equivariant { mean } => equivariant::forward(cell, mean),
        Op::Softmax => attention::softmax_forward(cell),
        Op::Attention { heads, dropout } => attention::forward(cell, heads, dropout),
        Op::ClassAttention { heads } => attention::class_forward(cell, heads),
        Op::Spread => edges::spread_forward(cell),
        Op::Senders => edges::senders_forward(cell),
        Op::Head { .. } => edges::head_forward(cell),
        Op::Unit { activation } => sets::unit_forward(cell, activation),
        Op::SetAttention => sets::attention_forward(cell),
        Op::Stack => edges::stack_forward(cell),
        Op::Join { activation } => edges::join_forward(cell, activation),
        Op::Diagonal => edges::diagonal_forward(cell),
        Op::Minkowski => lorentz::minkowski_forward(cell),
        Op::Boost { combinations } => boost::forward(cell, combinations),
        Op::Lola { combinations, .. } => lola::forward(cell, combinations),
        Op::Displace { step, limit } => lorentz::displace_forward(cell, step, limit),
        Op::PairKinematics => lorentz::kinematics_forward(cell),
    }
}

/// Adds the gradient with respect to a node's inputs and parameters, from the one with respect to its value.
pub(crate) fn backward<T: Real>(cell: &mut Cell<'_, T>, phase: usize) {
    match cell.node().op {
        Op::Input | Op::PairKinematics => {}
        Op::Columns { from, to } => dense::columns_backward(cell, from, to),
        Op::Linear { bias, activation } => dense::linear_backward(cell, bias, activation),
        Op::Dropout { rate } => dense::dropout_backward(cell, rate),
        Op::Add { activation } => dense::add_backward(cell, activation),
        Op::BatchNorm { channels, activation } => norm::backward(cell, phase, channels, activation),
        Op::Sum => pool::sum_backward(cell, pool::Pool::Sum),
        Op::Mean => pool::sum_backward(cell, pool::Pool::Mean),
        Op::Flatten { .. } => pool::flatten_backward(cell),
        Op::Grid { cells, size } => pool::grid_backward(cell, cells, size),
        Op::Tree => tree::backward(cell),
        Op::WeightedSum => pool::weighted_sum_backward(cell),
        Op::MeanPositions { channels } => pool::positions_backward(cell, channels),
        Op::MaxPool { shape, window } => pool::max_backward(cell, shape, window),
        Op::EdgeConv { k, channels } => edge_conv::backward(cell, phase, k, channels),
        Op::Interaction { channels, activation } => interaction::backward(cell, channels, activation),
        Op::Lstm { hidden } => lstm::backward(cell, hidden),
        Op::Conv { .. } => conv::backward(cell),
        Op::Gelu => rowwise::gelu_backward(cell),
        Op::LayerNorm => rowwise::layer_norm_backward(cell),
        Op::Scale { groups } => rowwise::scale_backward(cell, groups),
        Op::Multiply => rowwise::multiply_backward(cell),
        Op::Concat => rowwise::concat_backward(cell),
        Op::Token => rowwise::token_backward(cell),
        Op::Multiplicity { mean, activation } => rowwise::multiplicity_backward(cell, mean, activation),
        Op::Invariants => lorentz::invariants_backward(cell),
        Op::Equivariant { mean } => equivariant::backward(cell, mean),
        Op::Softmax => attention::softmax_backward(cell),
        Op::Attention { heads, dropout } => attention::backward(cell, heads, dropout),
        Op::ClassAttention { heads } => attention::class_backward(cell, heads),
        Op::Spread => edges::spread_backward(cell),
        Op::Senders => edges::senders_backward(cell),
        Op::Head { .. } => edges::head_backward(cell),
        Op::Unit { activation } => sets::unit_backward(cell, activation),
        Op::SetAttention => sets::attention_backward(cell),
        Op::Stack => edges::stack_backward(cell),
        Op::Join { activation } => edges::join_backward(cell, activation),
        Op::Diagonal => edges::diagonal_backward(cell),
        Op::Minkowski => lorentz::minkowski_backward(cell),
        Op::Boost { combinations } => boost::backward(cell, combinations),
        Op::Lola { combinations, .. } => lola::backward(cell, combinations),
        Op::Displace { step, limit } => lorentz::displace_backward(cell, step, limit),
    }
}
