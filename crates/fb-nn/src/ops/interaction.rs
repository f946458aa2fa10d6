//! Interaction network over all pairs of particles, fused: the hidden layers of an edge are computed in a tile that
//! stays in the cache, and once more in the backward pass, so that no edge is ever stored.

use super::Cell;
use super::dense::{activate, deactivate};
use crate::graph::Activation;
use crate::kernels::{Matrix, Real, add_bias, product, sum_rows, vector};

/// Edges in a tile, about.
const TILE: usize = 192;

/// The first layer acts on [x_i, x_j]: x_i·W_receiver + b and x_j·W_sender, per particle.
fn first_layer<T: Real>(cell: &mut Cell<'_, T>, out: usize) -> [Vec<T>; 2] {
    let (source, rows) = (cell.source(0), cell.rows());
    let width = cell.graph.nodes[source].width;
    let mut both = [0, 1].map(|i| cell.take_keep(i, rows * out));
    for (i, z) in both.iter_mut().enumerate() {
        let x = (&cell.lane.values[source][..], Matrix::rows(width));
        let weight = (cell.parameter(0), Matrix::rows(out).at(i * width * out));
        product([rows, width, out], x, weight, (z, Matrix::rows(out)), T::ZERO);
    }
    add_bias(&mut both[0], cell.parameter(1));
    both
}

/// Receivers of one event whose edges fill a tile: (receivers, the event's particles).
fn tiles(offsets: &[usize]) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>)> + '_ {
    offsets.windows(2).filter(|event| event[1] - event[0] > 1).flat_map(|event| {
        let event = event[0]..event[1];
        let step = TILE.div_ceil(event.len() - 1);
        event.clone().step_by(step).map(move |start| (start..(start + step).min(event.end), event.clone()))
    })
}

/// The edges of a tile, receiver by receiver: (receiver, sender), without those from a particle to itself.
fn for_each_edge(
    receivers: std::ops::Range<usize>,
    event: &std::ops::Range<usize>,
    mut each: impl FnMut(usize, usize),
) {
    for i in receivers {
        (event.start..i).for_each(|j| each(i, j));
        (i + 1..event.end).for_each(|j| each(i, j));
    }
}

/// The three layers of all edges of a tile.
fn tile_forward<T: Real>(
    cell: &Cell<'_, T>,
    [a, b]: [&[T]; 2],
    (receivers, event): (std::ops::Range<usize>, &std::ops::Range<usize>),
    layers: &mut [Vec<T>; 3],
    channels: [usize; 3],
) -> usize {
    let rows = receivers.len() * (event.len() - 1);
    layers.iter_mut().zip(channels).for_each(|(layer, width)| layer.resize(rows * width, T::ZERO));
    let width = channels[0];
    let mut row = 0;
    vector(
        #[inline(always)]
        || {
            for_each_edge(receivers, event, |i, j| {
                let (a, b) = (&a[i * width..][..width], &b[j * width..][..width]);
                let z = &mut layers[0][row * width..][..width];
                z.iter_mut().zip(a.iter().zip(b)).for_each(|(z, (&a, &b))| *z = (a + b).max(T::ZERO));
                row += 1;
            });
        },
    );
    for l in 1..3 {
        let (below, above) = layers.split_at_mut(l);
        let (x, z) = (&below[l - 1], &mut above[0]);
        let weight = (cell.parameter(2 * l), Matrix::rows(channels[l]));
        let shape = [rows, channels[l - 1], channels[l]];
        product(shape, (x, Matrix::rows(channels[l - 1])), weight, (z, Matrix::rows(channels[l])), T::ZERO);
        add_bias(z, cell.parameter(2 * l + 1));
        activate(z, Activation::Relu);
    }
    rows
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, channels: [usize; 3]) {
    let [a, b] = first_layer(cell, channels[0]);
    let mut layers = [2, 3, 4].map(|i| cell.take_keep(i, 0));
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let offsets = std::mem::take(&mut cell.lane.offsets);
    let out = channels[2];
    for (receivers, event) in tiles(&offsets) {
        tile_forward(cell, [&a, &b], (receivers.clone(), &event), &mut layers, channels);
        let senders = (event.len() - 1) * out;
        for (y, z) in y[receivers.start * out..].chunks_exact_mut(out).zip(layers[2].chunks_exact(senders)) {
            sum_rows(y, z);
        }
    }
    cell.lane.offsets = offsets;
    cell.lane.values[cell.id] = y;
    for (i, buffer) in [a, b].into_iter().chain(layers).enumerate() {
        cell.give_keep(i, buffer);
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, channels: [usize; 3]) {
    let (source, rows) = (cell.source(0), cell.rows());
    let width = cell.graph.nodes[source].width;
    let [a, b] = first_layer(cell, channels[0]);
    let mut layers = [2, 3, 4].map(|i| cell.take_keep(i, 0));
    let mut below = cell.take_keep(5, 0);
    let mut grads = [6, 7].map(|i| cell.take_keep(i, rows * channels[0]));
    for g in &mut grads {
        g.fill(T::ZERO);
    }
    let offsets = std::mem::take(&mut cell.lane.offsets);
    let grad = std::mem::take(&mut cell.lane.grads[cell.id]);
    for (receivers, event) in tiles(&offsets) {
        let rows = tile_forward(cell, [&a, &b], (receivers.clone(), &event), &mut layers, channels);
        let (out, senders) = (channels[2], event.len() - 1);
        // The last layer's value makes room for its gradient once the rectifier has been seen.
        for (z, g) in layers[2].chunks_exact_mut(senders * out).zip(grad[receivers.start * out..].chunks_exact(out)) {
            for z in z.chunks_exact_mut(out) {
                z.iter_mut().zip(g).for_each(|(z, &g)| *z = if *z > T::ZERO { g } else { T::ZERO });
            }
        }
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
            deactivate(&mut below, x, Activation::Relu);
            std::mem::swap(&mut below, &mut layers[l - 1]);
        }
        let [grad_a, grad_b] = &mut grads;
        let (width, mut row) = (channels[0], 0);
        vector(
            #[inline(always)]
            || {
                for_each_edge(receivers, &event, |i, j| {
                    let g = &layers[0][row * width..][..width];
                    grad_a[i * width..][..width].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                    grad_b[j * width..][..width].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                    row += 1;
                });
            },
        );
    }
    let out = channels[0];
    sum_rows(cell.parameter_grad(1), &grads[0]);
    let x = std::mem::take(&mut cell.lane.values[source]);
    for (i, g) in grads.iter().enumerate() {
        let weight_grad = (cell.parameter_grad(0), Matrix::rows(out).at(i * width * out));
        product([width, rows, out], (&x, Matrix::transposed(width)), (g, Matrix::rows(out)), weight_grad, T::ONE);
    }
    cell.lane.values[source] = x;
    if cell.needs_gradient[source] {
        let (mut gx, touched) = cell.lane.take_grad(source, rows * width);
        for (i, g) in grads.iter().enumerate() {
            let beta = if touched || i > 0 { T::ONE } else { T::ZERO };
            let weight = (cell.parameter(0), Matrix::transposed(out).at(i * width * out));
            product([rows, out, width], (g, Matrix::rows(out)), weight, (&mut gx, Matrix::rows(width)), beta);
        }
        cell.lane.give_grad(source, gx);
    }
    cell.lane.offsets = offsets;
    cell.lane.grads[cell.id] = grad;
    for (i, buffer) in [a, b].into_iter().chain(layers).chain([below]).chain(grads).enumerate() {
        cell.give_keep(i, buffer);
    }
}
