//! Batch normalisation (arXiv:1502.03167), with the rectifier that mostly follows it.

use super::Cell;
use super::dense::{activate, deactivate};
use crate::executor::{Mode, Norm};
use crate::graph::Activation;
use crate::kernels::{Real, vector};

/// Rows that are summed in the working precision before they go into a double.
const BLOCK: usize = 128;

/// γ·(x − μ)/√(σ² + ε) + β as x·scale + shift.
pub(super) fn scale_shift<T: Real>(norm: &Norm<T>, gamma: &[T], beta: &[T]) -> (Vec<T>, Vec<T>) {
    let scale: Vec<T> = gamma.iter().zip(&norm.inverse).map(|(&g, &i)| g * i).collect();
    let shift = beta.iter().zip(&scale).zip(&norm.mean).map(|((&b, &s), &m)| b - m * s).collect();
    (scale, shift)
}

/// Adds Σx and Σx² of rows of `channels` numbers to the partial sums [Σx, Σx², n].
pub(super) fn add_moments<T: Real>(partial: &mut [f64], x: &[T], channels: usize) {
    let mut sums = vec![T::ZERO; 2 * channels];
    for block in x.chunks(BLOCK * channels) {
        sums.fill(T::ZERO);
        let (sum, square) = sums.split_at_mut(channels);
        vector(
            #[inline(always)]
            || {
                for row in block.chunks_exact(channels) {
                    for ((&x, s), q) in row.iter().zip(&mut *sum).zip(&mut *square) {
                        *s += x;
                        *q += x * x;
                    }
                }
            },
        );
        partial.iter_mut().zip(&sums).for_each(|(p, s)| *p += s.f64());
    }
    partial[2 * channels] += (x.len() / channels) as f64;
}

/// Adds Σg and Σg·x̂ to the partial sums [Σg, Σg·x̂, n], with x̂ = (x − μ)/√(σ² + ε).
pub(super) fn add_gradient_moments<T: Real>(partial: &mut [f64], g: &[T], x: &[T], norm: &Norm<T>) {
    let channels = norm.mean.len();
    let mut sums = vec![T::ZERO; 2 * channels];
    for (g, x) in g.chunks(BLOCK * channels).zip(x.chunks(BLOCK * channels)) {
        sums.fill(T::ZERO);
        let (sum, dot) = sums.split_at_mut(channels);
        vector(
            #[inline(always)]
            || {
                for (g, x) in g.chunks_exact(channels).zip(x.chunks_exact(channels)) {
                    let statistics = norm.mean.iter().zip(&norm.inverse);
                    for ((((&g, &x), s), d), (&mean, &inverse)) in
                        g.iter().zip(x).zip(&mut *sum).zip(&mut *dot).zip(statistics)
                    {
                        *s += g;
                        *d += g * ((x - mean) * inverse);
                    }
                }
            },
        );
        partial.iter_mut().zip(&sums).for_each(|(p, s)| *p += s.f64());
    }
    partial[2 * channels] += (x.len() / channels) as f64;
}

/// g = γ/√(σ² + ε) · (h − mean(h) − x̂·mean(h·x̂)) of the gradient h above, which is g itself where it is not given.
pub(super) fn through<T: Real>(g: &mut [T], above: Option<&[T]>, x: &[T], norm: &Norm<T>, gamma: &[T]) {
    let channels = norm.mean.len();
    // With x̂ = (x − μ)·i the expression is a·g + b·x + c for each channel.
    let a: Vec<T> = gamma.iter().zip(&norm.inverse).map(|(&g, &i)| g * i).collect();
    let b: Vec<T> = a.iter().zip(&norm.inverse).zip(&norm.gradient_dot).map(|((&a, &i), &d)| -(a * i * d)).collect();
    let c: Vec<T> = a
        .iter()
        .zip(&norm.gradient)
        .zip(b.iter().zip(&norm.mean))
        .map(|((&a, &g), (&b, &m))| -(a * g) - b * m)
        .collect();
    vector(
        #[inline(always)]
        || {
            let Some(above) = above else {
                for (g, x) in g.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                    for ((g, &x), ((&a, &b), &c)) in g.iter_mut().zip(x).zip(a.iter().zip(&b).zip(&c)) {
                        *g = a * *g + b * x + c;
                    }
                }
                return;
            };
            for ((g, h), x) in
                g.chunks_exact_mut(channels).zip(above.chunks_exact(channels)).zip(x.chunks_exact(channels))
            {
                for (((g, &h), &x), ((&a, &b), &c)) in g.iter_mut().zip(h).zip(x).zip(a.iter().zip(&b).zip(&c)) {
                    *g = a * h + b * x + c;
                }
            }
        },
    );
}

/// Clears the partial sums for `channels` channels.
pub(super) fn clear_partial(partial: &mut Vec<f64>, channels: usize) {
    partial.clear();
    partial.resize(2 * channels + 1, 0.0);
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, phase: usize, channels: usize, activation: Activation) {
    let source = cell.source(0);
    if phase == 0 && cell.mode != Mode::Inference {
        clear_partial(&mut cell.lane.partial, channels);
        let x = std::mem::take(&mut cell.lane.values[source]);
        add_moments(&mut cell.lane.partial, &x, channels);
        cell.lane.values[source] = x;
        return;
    }
    let mut y = cell.take_value();
    let (scale, shift) = scale_shift(&cell.norms[0], cell.parameter(0), cell.parameter(1));
    let x = &cell.lane.values[source];
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                for ((y, &x), (&s, &t)) in y.iter_mut().zip(x).zip(scale.iter().zip(&shift)) {
                    *y = x * s + t;
                }
            }
        },
    );
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, phase: usize, channels: usize, activation: Activation) {
    let source = cell.source(0);
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    if phase == 0 {
        deactivate(&mut g, &cell.lane.values[cell.id], activation);
        clear_partial(&mut cell.lane.partial, channels);
        add_gradient_moments(&mut cell.lane.partial, &g, &cell.lane.values[source], &cell.norms[0]);
        add_norm_gradient(cell, 0, channels);
    } else if cell.needs_gradient[source] {
        through(&mut g, None, &cell.lane.values[source], &cell.norms[0], cell.parameter(0));
        g = super::dense::hand_on(cell, 0, g);
    }
    cell.lane.grads[cell.id] = g;
}

/// Adds this lane's Σg·x̂ and Σg to the gradients of γ (parameter `at`) and β (the next).
pub(super) fn add_norm_gradient<T: Real>(cell: &mut Cell<'_, T>, at: usize, channels: usize) {
    let partial = std::mem::take(&mut cell.lane.partial);
    let sums = [&partial[channels..2 * channels], &partial[..channels]];
    for (i, sums) in sums.into_iter().enumerate() {
        cell.parameter_grad(at + i).iter_mut().zip(sums).for_each(|(g, &s)| *g += T::of(s));
    }
    cell.lane.partial = partial;
}
