//! Interaction network over all pairs of particles, fused: the hidden layers of an edge are computed in a tile that
//! stays in the cache, and once more in the backward pass, so that no edge is ever stored.

use std::ops::Range;

use super::Cell;
use super::dense::{activate, deactivate};
use crate::graph::Activation;
use crate::kernels::{Matrix, Real, add_bias, product, sum_rows, vector};

/// Edges in a tile, about.
const TILE: usize = 192;

/// The nodes of receivers and senders, with their widths.
fn ends<T: Real>(cell: &Cell<'_, T>) -> [(usize, usize); 2] {
    let inputs = &cell.node().inputs;
    [inputs[0], inputs[inputs.len() - 1]].map(|source| (source, cell.graph.nodes[source].width))
}

/// The first layer acts on [x_i, y_j]: x_i·W_receiver + b and y_j·W_sender, per particle.
fn first_layer<T: Real>(cell: &mut Cell<'_, T>, out: usize) -> [Vec<T>; 2] {
    let (ends, mut start) = (ends(cell), 0);
    let mut both = [0, 1].map(|i| cell.take_keep(i, cell.lane.values[ends[i].0].len() / ends[i].1 * out));
    for (z, (source, width)) in both.iter_mut().zip(ends) {
        let x = (&cell.lane.values[source][..], Matrix::rows(width));
        let weight = (cell.parameter(0), Matrix::rows(out).at(start * out));
        product([z.len() / out, width, out], x, weight, (z, Matrix::rows(out)), T::ZERO);
        start += width;
    }
    add_bias(&mut both[0], cell.parameter(1));
    both
}

/// Receivers of one event whose edges fill a tile, and the senders of that event.
struct Tile {
    receivers: Range<usize>,
    senders: Range<usize>,
    /// Whether they are the same particles: none sends to itself.
    same: bool,
}

impl Tile {
    /// All tiles of a lane.
    fn all<T: Real>(cell: &Cell<'_, T>) -> Vec<Self> {
        let [to, from] = ends(cell).map(|(source, _)| cell.lane.offsets_of(cell.graph.nodes[source].collection));
        let same = cell.node().inputs.len() == 1;
        let mut tiles = Vec::new();
        for (to, from) in to.windows(2).zip(from.windows(2)) {
            let (mut event, senders) = (to[0]..to[1], from[0]..from[1]);
            let edges = senders.len().saturating_sub(usize::from(same));
            while edges > 0 && !event.is_empty() {
                let end = (event.start + TILE.div_ceil(edges)).min(event.end);
                tiles.push(Self { receivers: event.start..end, senders: senders.clone(), same });
                event.start = end;
            }
        }
        tiles
    }

    /// Edges of each receiver.
    fn each(&self) -> usize {
        self.senders.len() - usize::from(self.same)
    }

    /// Edges.
    fn rows(&self) -> usize {
        self.receivers.len() * self.each()
    }

    /// Receiver and sender of each edge, receiver by receiver.
    #[inline(always)]
    fn for_each_edge(&self, mut each: impl FnMut(usize, usize)) {
        for i in self.receivers.clone() {
            if self.same {
                (self.senders.start..i).for_each(|j| each(i, j));
                (i + 1..self.senders.end).for_each(|j| each(i, j));
            } else {
                self.senders.clone().for_each(|j| each(i, j));
            }
        }
    }

    /// The three layers of all edges.
    fn forward<T: Real>(
        &self,
        cell: &Cell<'_, T>,
        [a, b]: [&[T]; 2],
        layers: &mut [Vec<T>; 3],
        (channels, activation): ([usize; 3], Activation),
    ) {
        let rows = self.rows();
        layers.iter_mut().zip(channels).for_each(|(layer, width)| layer.resize(rows * width, T::ZERO));
        let (width, first) = (channels[0], &mut layers[0]);
        let mut row = 0;
        vector(
            #[inline(always)]
            || {
                self.for_each_edge(|i, j| {
                    let (a, b) = (&a[i * width..][..width], &b[j * width..][..width]);
                    let z = &mut first[row * width..][..width];
                    z.iter_mut().zip(a.iter().zip(b)).for_each(|(z, (&a, &b))| *z = a + b);
                    row += 1;
                });
            },
        );
        activate(first, activation);
        for l in 1..3 {
            let (below, above) = layers.split_at_mut(l);
            let (x, z) = (&below[l - 1], &mut above[0]);
            let weight = (cell.parameter(2 * l), Matrix::rows(channels[l]));
            let shape = [rows, channels[l - 1], channels[l]];
            product(shape, (x, Matrix::rows(channels[l - 1])), weight, (z, Matrix::rows(channels[l])), T::ZERO);
            add_bias(z, cell.parameter(2 * l + 1));
            activate(z, activation);
        }
    }
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, channels: [usize; 3], activation: Activation) {
    let [a, b] = first_layer(cell, channels[0]);
    let mut layers = [2, 3, 4].map(|i| cell.take_keep(i, 0));
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let out = channels[2];
    for tile in Tile::all(cell) {
        tile.forward(cell, [&a, &b], &mut layers, (channels, activation));
        let edges = tile.each() * out;
        for (y, z) in y[tile.receivers.start * out..].chunks_exact_mut(out).zip(layers[2].chunks_exact(edges)) {
            sum_rows(y, z);
        }
    }
    cell.lane.values[cell.id] = y;
    for (i, buffer) in [a, b].into_iter().chain(layers).enumerate() {
        cell.give_keep(i, buffer);
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, channels: [usize; 3], activation: Activation) {
    let ends = ends(cell);
    let [a, b] = first_layer(cell, channels[0]);
    let mut layers = [2, 3, 4].map(|i| cell.take_keep(i, 0));
    let mut below = cell.take_keep(5, 0);
    let mut grads = [(6, a.len()), (7, b.len())].map(|(i, len)| cell.take_keep(i, len));
    for g in &mut grads {
        g.fill(T::ZERO);
    }
    let grad = std::mem::take(&mut cell.lane.grads[cell.id]);
    for tile in Tile::all(cell) {
        tile.forward(cell, [&a, &b], &mut layers, (channels, activation));
        let (rows, out) = (tile.rows(), channels[2]);
        // Every edge of a receiver has its gradient.
        below.resize(rows * out, T::ZERO);
        let receivers = below.chunks_exact_mut(tile.each() * out);
        for (z, g) in receivers.zip(grad[tile.receivers.start * out..].chunks_exact(out)) {
            z.chunks_exact_mut(out).for_each(|z| z.copy_from_slice(g));
        }
        deactivate(&mut below, &layers[2], activation);
        std::mem::swap(&mut below, &mut layers[2]);
        for l in [2, 1] {
            let [x, g] = [l - 1, l].map(|i| &layers[i][..rows * channels[i]]);
            sum_rows(cell.parameter_grad(2 * l + 1), g);
            let (x_view, g_view) = (Matrix::transposed(channels[l - 1]), Matrix::rows(channels[l]));
            let weight_grad = (cell.parameter_grad(2 * l), Matrix::rows(channels[l]));
            product([channels[l - 1], rows, channels[l]], (x, x_view), (g, g_view), weight_grad, T::ONE);
            below.resize(rows * channels[l - 1], T::ZERO);
            let weight = (cell.parameter(2 * l), Matrix::transposed(channels[l]));
            let gx = (&mut below[..], Matrix::rows(channels[l - 1]));
            product([rows, channels[l], channels[l - 1]], (g, g_view), weight, gx, T::ZERO);
            deactivate(&mut below, x, activation);
            std::mem::swap(&mut below, &mut layers[l - 1]);
        }
        let [grad_a, grad_b] = &mut grads;
        let (width, mut row) = (channels[0], 0);
        vector(
            #[inline(always)]
            || {
                tile.for_each_edge(|i, j| {
                    let g = &layers[0][row * width..][..width];
                    grad_a[i * width..][..width].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                    grad_b[j * width..][..width].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                    row += 1;
                });
            },
        );
    }
    let (out, mut start) = (channels[0], 0);
    sum_rows(cell.parameter_grad(1), &grads[0]);
    for ((source, width), g) in ends.into_iter().zip(&grads) {
        let (rows, at) = (g.len() / out, start * out);
        let x = std::mem::take(&mut cell.lane.values[source]);
        let weight_grad = (cell.parameter_grad(0), Matrix::rows(out).at(at));
        product([width, rows, out], (&x, Matrix::transposed(width)), (g, Matrix::rows(out)), weight_grad, T::ONE);
        cell.lane.values[source] = x;
        if cell.needs_gradient[source] {
            let (mut gx, touched) = cell.lane.take_grad(source, rows * width);
            let beta = if touched { T::ONE } else { T::ZERO };
            let weight = (cell.parameter(0), Matrix::transposed(out).at(at));
            product([rows, out, width], (g, Matrix::rows(out)), weight, (&mut gx, Matrix::rows(width)), beta);
            cell.lane.give_grad(source, gx);
        }
        start += width;
    }
    cell.lane.grads[cell.id] = grad;
    for (i, buffer) in [a, b].into_iter().chain(layers).chain([below]).chain(grads).enumerate() {
        cell.give_keep(i, buffer);
    }
}
