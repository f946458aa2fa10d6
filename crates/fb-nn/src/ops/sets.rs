//! The layers of DeepSets with attention (arXiv:2002.08772): rows of unit length, and attention whose queries are narrower
//! than its values.

use super::Cell;
use super::attention::softmax;
use super::dense::{activate, deactivate, hand_on};
use super::rowwise::fold;
use crate::graph::Activation;
use crate::kernels::{Matrix, Real, product, vector};

/// Added to the square of a row's length before its root is taken.
pub(crate) const LEAST_SQUARE: f64 = 1e-12;

/// Buffers kept from the forward pass, by their place in `Lane::keep`.
const SOFTMAX: usize = 0;
const GRADS: usize = 1;

/// 1/√(Σx² + least).
#[inline(always)]
fn inverse_length<T: Real>(x: &[T]) -> T {
    T::ONE / (fold(x, x, |a, b| a * b) + T::of(LEAST_SQUARE)).sqrt()
}

pub(super) fn unit_forward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let inverse = inverse_length(x);
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * inverse);
            }
        },
    );
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

/// ∂L/∂x = (g − u·⟨g, u⟩)/length with u of length one.
pub(super) fn unit_backward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let width = cell.node().width;
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || {
            for (g, x) in g.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let inverse = inverse_length(x);
                let along = fold(g, x, |g, x| g * x) * inverse * inverse;
                g.iter_mut().zip(x).for_each(|(g, &x)| *g = inverse * (*g - x * along));
            }
        },
    );
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}

/// The widths of queries and of values, and 1/√(width of queries).
fn shape<T: Real>(cell: &Cell<'_, T>) -> (usize, usize, T) {
    let narrow = cell.graph.nodes[cell.source(0)].width;
    (narrow, cell.node().width, T::of(1.0 / (narrow as f64).sqrt()))
}

pub(super) fn attention_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let (narrow, width, factor) = shape(cell);
    let squares = cell.lane.offsets.windows(2).map(|o| (o[1] - o[0]).pow(2)).sum();
    let mut p = cell.take_keep(SOFTMAX, squares);
    let mut y = cell.take_value();
    let [q, k, v] = [0, 1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    let mut rest = &mut p[..];
    for o in cell.lane.offsets.windows(2) {
        let n = o[1] - o[0];
        let (s, others) = rest.split_at_mut(n * n);
        rest = others;
        let (thin, turned) = (Matrix::rows(narrow).at(o[0] * narrow), Matrix::transposed(narrow).at(o[0] * narrow));
        product([n, narrow, n], (q, thin), (k, turned), (s, Matrix::rows(n)), T::ZERO);
        vector(
            #[inline(always)]
            || {
                for row in s.chunks_exact_mut(n.max(1)) {
                    for x in row.iter_mut() {
                        *x = *x * factor;
                    }
                    softmax(row);
                }
            },
        );
        let wide = Matrix::rows(width).at(o[0] * width);
        product([n, n, width], (s, Matrix::rows(n)), (v, wide), (&mut y, wide), T::ZERO);
    }
    cell.lane.values[cell.id] = y;
    cell.give_keep(SOFTMAX, p);
}

pub(super) fn attention_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (narrow, width, factor) = shape(cell);
    let rows = cell.rows();
    let p = std::mem::take(&mut cell.lane.keep[cell.id][SOFTMAX]);
    let [mut gq, mut gk] = [0, 1].map(|i| cell.take_keep(GRADS + i, rows * narrow));
    let mut gv = cell.take_keep(GRADS + 2, rows * width);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let [q, k, v] = [0, 1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    let mut slope = Vec::new();
    let mut rest = &p[..];
    for o in cell.lane.offsets.windows(2) {
        let n = o[1] - o[0];
        let (p, others) = rest.split_at(n * n);
        rest = others;
        slope.resize(n * n, T::ZERO);
        let (square, mirrored) = (Matrix::rows(n), Matrix::transposed(n));
        let (wide, turned) = (Matrix::rows(width).at(o[0] * width), Matrix::transposed(width).at(o[0] * width));
        product([n, width, n], (&g, wide), (v, turned), (&mut slope, square), T::ZERO);
        product([n, n, width], (p, mirrored), (&g, wide), (&mut gv, wide), T::ZERO);
        vector(
            #[inline(always)]
            || {
                for (d, p) in slope.chunks_exact_mut(n.max(1)).zip(p.chunks_exact(n.max(1))) {
                    let mean = fold(d, p, |d, p| d * p);
                    d.iter_mut().zip(p).for_each(|(d, &p)| *d = factor * p * (*d - mean));
                }
            },
        );
        let thin = Matrix::rows(narrow).at(o[0] * narrow);
        product([n, n, narrow], (&slope, square), (k, thin), (&mut gq, thin), T::ZERO);
        product([n, n, narrow], (&slope, mirrored), (q, thin), (&mut gk, thin), T::ZERO);
    }
    cell.lane.grads[cell.id] = g;
    cell.give_keep(SOFTMAX, p);
    for (i, part) in [gq, gk, gv].into_iter().enumerate() {
        let spare = hand_on(cell, i, part);
        cell.give_keep(GRADS + i, spare);
    }
}
