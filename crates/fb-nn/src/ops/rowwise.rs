//! What acts on each row, or on each entry of it: layer normalisation, gates, factors.

use super::dense::{activate, deactivate, hand_on};
use super::{Cell, EPSILON};
use crate::graph::Activation;
use crate::kernels::{Real, add, sum_rows, vector};

/// Sums of f(x, y) over each sixteenth entry, added up: the same order on any machine, and one that vector code takes.
#[inline(always)]
pub(super) fn fold<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::ZERO; 16];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<16>(), y.as_chunks::<16>());
    for (x, y) in x.iter().zip(y) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(s, (&x, &y))| *s += f(x, y));
    }
    sums.iter_mut().zip(x_rest.iter().zip(y_rest)).for_each(|(s, (&x, &y))| *s += f(x, y));
    sums.into_iter().fold(T::ZERO, |sum, s| sum + s)
}

pub(super) fn gelu_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * x.normal().0),
    );
    cell.lane.values[cell.id] = y;
}

pub(super) fn gelu_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || {
            for (g, &x) in g.iter_mut().zip(x) {
                let (below, density) = x.normal();
                *g = *g * (below + x * density);
            }
        },
    );
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}

/// Mean and 1/√(σ² + ε) of a row.
#[inline(always)]
fn moments<T: Real>(x: &[T]) -> (T, T) {
    let n = T::of(1.0 / x.len() as f64);
    let mean = fold(x, x, |x, _| x) * n;
    let variance = fold(x, x, |x, _| (x - mean) * (x - mean)) * n;
    (mean, T::ONE / (variance + T::of(EPSILON)).sqrt())
}

pub(super) fn layer_norm_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let (gamma, beta) = (cell.parameter(0), cell.parameter(1));
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let (mean, inverse) = moments(x);
                for ((y, &x), (&g, &b)) in y.iter_mut().zip(x).zip(gamma.iter().zip(beta)) {
                    *y = (x - mean) * inverse * g + b;
                }
            }
        },
    );
    cell.lane.values[cell.id] = y;
}

pub(super) fn layer_norm_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (width, source) = (cell.node().width, cell.source(0));
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let x = std::mem::take(&mut cell.lane.values[source]);
    let gamma = cell.parameter(0);
    let mut sums = vec![T::ZERO; 2 * width];
    let (d_gamma, d_beta) = sums.split_at_mut(width);
    let factor = T::of(1.0 / width as f64);
    vector(
        #[inline(always)]
        || {
            for (g, x) in g.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let (mean, inverse) = moments(x);
                for (((dg, db), &x), (g, &gamma)) in
                    d_gamma.iter_mut().zip(d_beta.iter_mut()).zip(x).zip(g.iter_mut().zip(gamma))
                {
                    *dg += *g * ((x - mean) * inverse);
                    *db += *g;
                    *g = *g * gamma;
                }
                let first = fold(g, g, |g, _| g) * factor;
                let second = fold(g, x, |g, x| g * ((x - mean) * inverse)) * factor;
                for (g, &x) in g.iter_mut().zip(x) {
                    *g = inverse * (*g - first - (x - mean) * inverse * second);
                }
            }
        },
    );
    cell.lane.values[source] = x;
    add(cell.parameter_grad(0), &sums[..width]);
    add(cell.parameter_grad(1), &sums[width..]);
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}

/// The factor of each column of a row.
fn column_factors<T: Real>(cell: &Cell<'_, T>, groups: usize) -> Vec<T> {
    let each = cell.node().width / groups;
    cell.parameter(0).iter().flat_map(|&gamma| std::iter::repeat_n(gamma, each)).collect()
}

pub(super) fn scale_forward<T: Real>(cell: &mut Cell<'_, T>, groups: usize) {
    let mut y = cell.take_value();
    let factors = column_factors(cell, groups);
    let x = &cell.lane.values[cell.source(0)];
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(factors.len()).zip(x.chunks_exact(factors.len())) {
                y.iter_mut().zip(x.iter().zip(&factors)).for_each(|(y, (&x, &f))| *y = f * x);
            }
        },
    );
    cell.lane.values[cell.id] = y;
}

pub(super) fn scale_backward<T: Real>(cell: &mut Cell<'_, T>, groups: usize) {
    let (width, source) = (cell.node().width, cell.source(0));
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let x = std::mem::take(&mut cell.lane.values[source]);
    let factors = column_factors(cell, groups);
    let mut sums = vec![T::ZERO; width];
    vector(
        #[inline(always)]
        || {
            for (g, x) in g.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                for ((g, &x), (sum, &f)) in g.iter_mut().zip(x).zip(sums.iter_mut().zip(&factors)) {
                    *sum += *g * x;
                    *g = *g * f;
                }
            }
        },
    );
    cell.lane.values[source] = x;
    for (gamma, sums) in cell.parameter_grad(0).iter_mut().zip(sums.chunks_exact(width / groups)) {
        *gamma += sums.iter().fold(T::ZERO, |all, &sum| all + sum);
    }
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}

/// Calls `each` with every stretch of x that shares entries of y, and these: columns of a row, or rows of an event.
fn for_each_factor<T: Real>(cell: &Cell<'_, T>, mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
    let [x, y] = [0, 1].map(|i| &cell.graph.nodes[cell.source(i)]);
    if x.rows == y.rows {
        let all = cell.rows() * x.width;
        return if x.width == y.width {
            each(0..all, 0..all);
        } else {
            let group = x.width / y.width;
            (0..all / group).for_each(|at| each(at * group..(at + 1) * group, at..at + 1));
        };
    }
    for event in 0..cell.lane.events {
        let factors = event * y.width..(event + 1) * y.width;
        cell.lane.rows_of(x.rows, event).for_each(|row| each(row * x.width..(row + 1) * x.width, factors.clone()));
    }
}

pub(super) fn multiply_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut z = cell.take_value();
    let [x, y] = [0, 1].map(|i| &cell.lane.values[cell.source(i)]);
    vector(
        #[inline(always)]
        || {
            for_each_factor(cell, |of_x, of_y| {
                let (z, x, y) = (&mut z[of_x.clone()], &x[of_x], &y[of_y]);
                if let [y] = *y {
                    z.iter_mut().zip(x).for_each(|(z, &x)| *z = x * y);
                } else {
                    z.iter_mut().zip(x.iter().zip(y)).for_each(|(z, (&x, &y))| *z = x * y);
                }
            });
        },
    );
    cell.lane.values[cell.id] = z;
}

pub(super) fn multiply_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let sizes = [0, 1].map(|i| cell.lane.values[cell.source(i)].len());
    let [mut gx, mut gy] = [0, 1].map(|i| cell.take_keep(i, sizes[i]));
    gy.fill(T::ZERO);
    let [x, y] = [0, 1].map(|i| &cell.lane.values[cell.source(i)]);
    vector(
        #[inline(always)]
        || {
            for_each_factor(cell, |of_x, of_y| {
                let (g, x, gx) = (&g[of_x.clone()], &x[of_x.clone()], &mut gx[of_x]);
                let (y, gy) = (&y[of_y.clone()], &mut gy[of_y]);
                if let ([y], [gy]) = (y, &mut *gy) {
                    gx.iter_mut().zip(g).for_each(|(gx, &g)| *gx = g * *y);
                    *gy += fold(g, x, |g, x| g * x);
                } else {
                    gx.iter_mut().zip(g.iter().zip(y)).for_each(|(gx, (&g, &y))| *gx = g * y);
                    gy.iter_mut().zip(g.iter().zip(x)).for_each(|(gy, (&g, &x))| *gy += g * x);
                }
            });
        },
    );
    cell.lane.grads[cell.id] = g;
    for (i, part) in [gx, gy].into_iter().enumerate() {
        let spare = hand_on(cell, i, part);
        cell.give_keep(i, spare);
    }
}

pub(super) fn concat_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let mut from = 0;
    for &source in &cell.node().inputs {
        let part = cell.graph.nodes[source].width;
        for (y, x) in y.chunks_exact_mut(width).zip(cell.lane.values[source].chunks_exact(part)) {
            y[from..from + part].copy_from_slice(x);
        }
        from += part;
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn concat_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (width, rows) = (cell.node().width, cell.rows());
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let mut from = 0;
    for &source in &cell.node().inputs {
        let part = cell.graph.nodes[source].width;
        if cell.needs_gradient[source] {
            let mut gx = cell.lane.take_grad_zeroed(source, rows * part);
            for (gx, g) in gx.chunks_exact_mut(part).zip(g.chunks_exact(width)) {
                add(gx, &g[from..from + part]);
            }
            cell.lane.give_grad(source, gx);
        }
        from += part;
    }
    cell.lane.grads[cell.id] = g;
}

pub(super) fn token_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let token = cell.parameter(0);
    y.chunks_exact_mut(token.len()).for_each(|y| y.copy_from_slice(token));
    cell.lane.values[cell.id] = y;
}

pub(super) fn token_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    sum_rows(cell.parameter_grad(0), &g);
    cell.lane.grads[cell.id] = g;
}

/// ln(n/mean) of an event, which counts as one of a particle if it has none.
fn excess(particles: usize, mean: f64) -> f64 {
    (particles.max(1) as f64 / mean).ln()
}

pub(super) fn multiplicity_forward<T: Real>(cell: &mut Cell<'_, T>, mean: f64, activation: Activation) {
    let mut y = cell.take_value();
    let (width, alpha) = (cell.node().width, cell.parameter(0));
    let x = &cell.lane.values[cell.source(0)];
    for (event, o) in cell.lane.offsets.windows(2).enumerate() {
        let excess = excess(o[1] - o[0], mean);
        let factors: Vec<T> = alpha.iter().map(|a| T::of((a.f64() * excess).exp())).collect();
        let rows = cell.lane.rows_of(cell.node().rows, event);
        let rows = rows.start * width..rows.end * width;
        for (y, x) in y[rows.clone()].chunks_exact_mut(width).zip(x[rows].chunks_exact(width)) {
            y.iter_mut().zip(x.iter().zip(&factors)).for_each(|(y, (&x, &f))| *y = x * f);
        }
    }
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

pub(super) fn multiplicity_backward<T: Real>(cell: &mut Cell<'_, T>, mean: f64, activation: Activation) {
    let (width, alpha) = (cell.node().width, cell.parameter(0));
    let source = cell.source(0);
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    let x = std::mem::take(&mut cell.lane.values[source]);
    for event in 0..cell.lane.events {
        let excess = excess(cell.lane.offsets[event + 1] - cell.lane.offsets[event], mean);
        let factors: Vec<T> = alpha.iter().map(|a| T::of((a.f64() * excess).exp())).collect();
        let rows = cell.lane.rows_of(cell.node().rows, event);
        let excess = T::of(excess);
        for row in rows {
            let (g, x) = (&mut g[row * width..][..width], &x[row * width..][..width]);
            let d_alpha = cell.parameter_grad(0);
            for (((g, &x), d), &f) in g.iter_mut().zip(x).zip(d_alpha).zip(&factors) {
                *g = *g * f;
                *d += *g * x * excess;
            }
        }
    }
    cell.lane.values[source] = x;
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}
