//! Linear layers and what goes along with them row by row.

use fb_core::Philox;

use super::Cell;
use crate::executor::Mode;
use crate::graph::Activation;
use crate::kernels::{Matrix, Real, add, add_bias, product, sigmoid, sum_rows, tanh, vector};

const LEAKY_SLOPE: f64 = 0.01;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// y = activation(y).
pub(super) fn activate<T: Real>(y: &mut [T], activation: Activation) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => vector(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = y.max(T::ZERO)),
        ),
        Activation::Sigmoid => vector(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = sigmoid(*y)),
        ),
        Activation::Tanh => vector(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = tanh(*y)),
        ),
        Activation::Leaky => {
            let slope = T::of(LEAKY_SLOPE);
            vector(
                #[inline(always)]
                || y.iter_mut().for_each(|y| *y = y.max(slope * *y)),
            );
        }
        Activation::Selu => {
            let (scale, alpha) = (T::of(SELU_SCALE), T::of(SELU_SCALE * SELU_ALPHA));
            vector(
                #[inline(always)]
                || {
                    for y in y.iter_mut() {
                        *y = if *y > T::ZERO { scale * *y } else { alpha * (y.min(T::ZERO).exp() - T::ONE) };
                    }
                },
            );
        }
        Activation::Elu => vector(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y = if *y > T::ZERO { *y } else { y.min(T::ZERO).exp() - T::ONE }),
        ),
    }
}

/// g ·= activation′, from the activation's own output y.
pub(super) fn deactivate<T: Real>(g: &mut [T], y: &[T], activation: Activation) {
    let pairs = g.iter_mut().zip(y);
    match activation {
        Activation::Identity => {}
        Activation::Relu => {
            // Adding a zero that the compiler cannot see through keeps it from a masked store, which is slow.
            let zero = std::hint::black_box(T::ZERO);
            vector(
                #[inline(always)]
                move || pairs.for_each(|(g, &y)| *g = if y > T::ZERO { *g + zero } else { T::ZERO }),
            );
        }
        Activation::Sigmoid => vector(
            #[inline(always)]
            || pairs.for_each(|(g, &y)| *g = *g * (y * (T::ONE - y))),
        ),
        Activation::Tanh => vector(
            #[inline(always)]
            || pairs.for_each(|(g, &y)| *g = *g * (T::ONE - y * y)),
        ),
        Activation::Leaky => {
            let slope = T::of(LEAKY_SLOPE);
            vector(
                #[inline(always)]
                || pairs.for_each(|(g, &y)| *g = *g * if y > T::ZERO { T::ONE } else { slope }),
            );
        }
        Activation::Selu => {
            let (scale, alpha) = (T::of(SELU_SCALE), T::of(SELU_SCALE * SELU_ALPHA));
            vector(
                #[inline(always)]
                || pairs.for_each(|(g, &y)| *g = *g * if y > T::ZERO { scale } else { y + alpha }),
            );
        }
        Activation::Elu => vector(
            #[inline(always)]
            || pairs.for_each(|(g, &y)| *g = *g * if y > T::ZERO { T::ONE } else { y + T::ONE }),
        ),
    }
}

pub(super) fn linear_forward<T: Real>(cell: &mut Cell<'_, T>, bias: bool, activation: Activation) {
    let mut y = cell.take_value();
    let (rows, out, source) = (cell.rows(), cell.node().width, cell.source(0));
    let width = cell.graph.nodes[source].width;
    let x = &cell.lane.values[source];
    let weight = (cell.parameter(0), Matrix::rows(out));
    product([rows, width, out], (x, Matrix::rows(width)), weight, (&mut y, Matrix::rows(out)), T::ZERO);
    if bias {
        add_bias(&mut y, cell.parameter(1));
    }
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

pub(super) fn linear_backward<T: Real>(cell: &mut Cell<'_, T>, bias: bool, activation: Activation) {
    let (rows, out, source) = (cell.rows(), cell.node().width, cell.source(0));
    let width = cell.graph.nodes[source].width;
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    if bias {
        sum_rows(cell.parameter_grad(1), &g);
    }
    let x = std::mem::take(&mut cell.lane.values[source]);
    let grad = (cell.parameter_grad(0), Matrix::rows(out));
    product([width, rows, out], (&x, Matrix::transposed(width)), (&g, Matrix::rows(out)), grad, T::ONE);
    cell.lane.values[source] = x;
    if cell.needs_gradient[source] {
        let (mut gx, touched) = cell.lane.take_grad(source, rows * width);
        let beta = if touched { T::ONE } else { T::ZERO };
        let weight = (cell.parameter(0), Matrix::transposed(out));
        product([rows, out, width], (&g, Matrix::rows(out)), weight, (&mut gx, Matrix::rows(width)), beta);
        cell.lane.give_grad(source, gx);
    }
    cell.lane.grads[cell.id] = g;
}

pub(super) fn columns_forward<T: Real>(cell: &mut Cell<'_, T>, from: usize, to: usize) {
    let mut y = cell.take_value();
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    for (y, x) in y.chunks_exact_mut(to - from).zip(cell.lane.values[source].chunks_exact(width)) {
        y.copy_from_slice(&x[from..to]);
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn columns_backward<T: Real>(cell: &mut Cell<'_, T>, from: usize, to: usize) {
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    let mut gx = cell.lane.take_grad_zeroed(source, cell.rows() * width);
    for (gx, g) in gx.chunks_exact_mut(width).zip(cell.lane.grads[cell.id].chunks_exact(to - from)) {
        add(&mut gx[from..to], g);
    }
    cell.lane.give_grad(source, gx);
}

pub(super) fn add_forward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let mut y = cell.take_value();
    let [a, b] = [cell.source(0), cell.source(1)].map(|source| &cell.lane.values[source]);
    vector(
        #[inline(always)]
        || y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = a + b),
    );
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

pub(super) fn add_backward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    pass_on(cell, 0, &g);
    cell.lane.grads[cell.id] = hand_on(cell, 1, g);
}

/// Adds `g` to the gradient with respect to input `i`, which has the same shape.
pub(super) fn pass_on<T: Real>(cell: &mut Cell<'_, T>, i: usize, g: &[T]) {
    let source = cell.source(i);
    if cell.needs_gradient[source] {
        let (mut gx, touched) = cell.lane.take_grad(source, g.len());
        if touched {
            add(&mut gx, g);
        } else {
            gx.copy_from_slice(g);
        }
        cell.lane.give_grad(source, gx);
    }
}

/// As [`pass_on`], but where `g` is the first part of the gradient it changes places with its buffer instead of being
/// copied. Gives a buffer back, its entries unspecified.
pub(super) fn hand_on<T: Real>(cell: &mut Cell<'_, T>, i: usize, g: Vec<T>) -> Vec<T> {
    let source = cell.source(i);
    if !cell.needs_gradient[source] {
        return g;
    }
    let (mut gx, touched) = cell.lane.take_grad(source, g.len());
    if touched {
        add(&mut gx, &g);
        cell.lane.give_grad(source, gx);
        return g;
    }
    cell.lane.give_grad(source, g);
    gx
}

/// Calls `each` with every event's row range and its random numbers. The mask follows from (seed, node, step, event),
/// so it needs no memory and does not depend on the batch it falls in.
fn for_each_mask<T: Real>(cell: &Cell<'_, T>, mut each: impl FnMut(std::ops::Range<usize>, &mut Philox)) {
    let Mode::Training { seed, step } = cell.mode else { return };
    let seed = fb_core::philox::hash(seed, cell.id as u64);
    for event in 0..cell.lane.events {
        let rows = cell.lane.rows_of(cell.node().rows, event);
        let width = cell.node().width;
        each(rows.start * width..rows.end * width, &mut Philox::new(seed, step, cell.lane.identity[event]));
    }
}

/// Sets entries to zero where the random word is below the share `rate` of all words, and scales the others.
pub(super) fn drop_entries<T: Real>(x: &mut [T], words: &[u32], rate: f64) {
    let (limit, scale) = ((rate * 4_294_967_296.0).ceil() as u32, T::of(1.0 / (1.0 - rate)));
    vector(
        #[inline(always)]
        || x.iter_mut().zip(words).for_each(|(x, &word)| *x = *x * if word < limit { T::ZERO } else { scale }),
    );
}

/// Drops entries of every event.
fn drop<T: Real>(cell: &Cell<'_, T>, x: &mut [T], rate: f64) {
    let mut words = Vec::new();
    for_each_mask(cell, |range, random| {
        words.resize(range.len(), 0);
        vector(
            #[inline(always)]
            || random.fill(&mut words),
        );
        drop_entries(&mut x[range], &words, rate);
    });
}

pub(super) fn dropout_forward<T: Real>(cell: &mut Cell<'_, T>, rate: f64) {
    let mut y = cell.take_value();
    y.copy_from_slice(&cell.lane.values[cell.source(0)]);
    drop(cell, &mut y, rate);
    cell.lane.values[cell.id] = y;
}

pub(super) fn dropout_backward<T: Real>(cell: &mut Cell<'_, T>, rate: f64) {
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    drop(cell, &mut g, rate);
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}
