//! The linear maps from pairs to pairs that commute with permutations (arXiv:2211.00454, Eq. 3.3).
//!
//! Of the fifteen, two act on the pair itself and its mirror. All others are rows of particles or of the event that are
//! handed to the receiver, the sender or the diagonal, so their products run over particles instead of pairs.

use super::Cell;
use super::dense::{activate, deactivate};
use crate::graph::{Activation, Equivariant, Rows};
use crate::kernels::{Matrix, Real, add, product, sum_rows, vector};

/// Parameters, by their place.
const IN: usize = 0;
const OUT: usize = 1;
const FIRST: usize = 2;
const SECOND: usize = 3;
const ALPHA: usize = 4;
const BIAS: usize = 5;
const DIAGONAL: usize = 6;

/// Buffers kept from the forward pass.
const WEIGHTS: usize = 0;
const MIRROR: usize = 1;
const STACKS: usize = 2;

const BASIS: usize = Equivariant::BASIS;
/// What rows of particles are made of: x_ii, the means over senders and over receivers, of the diagonal and of all.
const KINDS: usize = 5;

/// Place of a stack's first map, and how many of the kinds it has.
const STACK: [(usize, usize); 3] = Equivariant::STACKS;

/// W_b = c₀₀·c₁₀ + c₀₁·c₁₁ of each map b [b, in, out].
fn weights<T: Real>(cell: &Cell<'_, T>, [width, out]: [usize; 2], w: &mut [T]) {
    let [of_in, of_out, first, second] = [IN, OUT, FIRST, SECOND].map(|i| cell.parameter(i));
    for (b, w) in w.chunks_exact_mut(width * out).enumerate() {
        for (d, w) in w.chunks_exact_mut(out).enumerate() {
            for (o, w) in w.iter_mut().enumerate() {
                *w = of_in[d * BASIS + b] * first[d * out + o] + of_out[o * BASIS + b] * second[d * out + o];
            }
        }
    }
}

/// Adds to the gradients of the factors, from those of the weights.
fn factors<T: Real>(cell: &mut Cell<'_, T>, [width, out]: [usize; 2], gw: &[T]) {
    let [of_in, of_out, first, second] = [IN, OUT, FIRST, SECOND].map(|i| cell.parameter(i));
    for (b, gw) in gw.chunks_exact(width * out).enumerate() {
        for (d, gw) in gw.chunks_exact(out).enumerate() {
            let mut sum = T::ZERO;
            for (o, &g) in gw.iter().enumerate() {
                sum += g * first[d * out + o];
                cell.parameter_grad(FIRST)[d * out + o] += g * of_in[d * BASIS + b];
                cell.parameter_grad(OUT)[o * BASIS + b] += g * second[d * out + o];
                cell.parameter_grad(SECOND)[d * out + o] += g * of_out[o * BASIS + b];
            }
            cell.parameter_grad(IN)[d * BASIS + b] += sum;
        }
    }
}

/// The rows of every kind for the particles of one event, [kind, particle, width], of pairs x.
fn kinds<T: Real>(x: &[T], n: usize, width: usize, rows: &mut Vec<T>) {
    rows.clear();
    rows.resize(KINDS * n * width, T::ZERO);
    let factor = T::of(1.0 / n as f64);
    let (own, rest) = rows.split_at_mut(n * width);
    let (senders, rest) = rest.split_at_mut(n * width);
    let (receivers, rest) = rest.split_at_mut(n * width);
    let (diagonal, all) = rest.split_at_mut(n * width);
    vector(
        #[inline(always)]
        || {
            for (i, x) in x.chunks_exact(n * width).enumerate() {
                own[i * width..(i + 1) * width].copy_from_slice(&x[i * width..(i + 1) * width]);
                let sum = &mut senders[i * width..(i + 1) * width];
                for (x, receivers) in x.chunks_exact(width).zip(receivers.chunks_exact_mut(width)) {
                    sum.iter_mut().zip(x).for_each(|(s, &x)| *s += x);
                    receivers.iter_mut().zip(x).for_each(|(s, &x)| *s += x);
                }
            }
            senders.iter_mut().chain(receivers).for_each(|x| *x = *x * factor);
        },
    );
    for (mean, of) in [(diagonal, &*own), (all, &*senders)] {
        let (first, others) = mean.split_at_mut(width);
        sum_rows(first, of);
        for x in first.iter_mut() {
            *x = *x * factor;
        }
        others.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(first));
    }
}

/// Which α belongs to a kind of a stack; x_ii has none.
fn alpha_of(stack: usize, kind: usize) -> Option<usize> {
    let before: usize = STACK[..stack].iter().map(|(_, kinds)| kinds - 1).sum();
    kind.checked_sub(1).map(|kind| before + kind)
}

/// (n/mean)^α of each column, for a kind of a stack.
fn multiples<T: Real>(alpha: &[T], which: Option<usize>, width: usize, excess: f64) -> Vec<T> {
    match which {
        None => vec![T::ONE; width],
        Some(at) => alpha[at * width..(at + 1) * width].iter().map(|a| T::of((a.f64() * excess).exp())).collect(),
    }
}

/// Calls `each` with every event that has particles: its particles, its edges, ln(n/mean).
fn for_each_event<T: Real>(
    cell: &Cell<'_, T>,
    mean: f64,
    mut each: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>, f64),
) {
    for (event, o) in cell.lane.offsets.windows(2).enumerate() {
        if o[1] > o[0] {
            each(o[0]..o[1], cell.lane.rows_of(Rows::Edge, event), ((o[1] - o[0]) as f64 / mean).ln());
        }
    }
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, mean: f64) {
    let (out, source) = (cell.node().width, cell.source(0));
    let width = cell.graph.nodes[source].width;
    let (edges, particles) = (cell.rows(), cell.lane.rows(Rows::Particle));
    let mut w = cell.take_keep(WEIGHTS, BASIS * width * out);
    weights(cell, [width, out], &mut w);
    let mut mirror = cell.take_keep(MIRROR, edges * width);
    let mut stacks = [0, 1, 2].map(|s| cell.take_keep(STACKS + s, particles * STACK[s].1 * width));
    let mut y = cell.take_value();
    let x = &cell.lane.values[source];
    let mut rows = Vec::new();
    for_each_event(cell, mean, |of, edges, excess| {
        let n = of.len();
        let (x, mirror) = (&x[edges.start * width..edges.end * width], &mut mirror[edges.start * width..]);
        for i in 0..n {
            for j in 0..n {
                mirror[(i * n + j) * width..][..width].copy_from_slice(&x[(j * n + i) * width..][..width]);
            }
        }
        kinds(x, n, width, &mut rows);
        for (s, stack) in stacks.iter_mut().enumerate() {
            let columns = STACK[s].1 * width;
            for kind in 0..STACK[s].1 {
                let factors = multiples(cell.parameter(ALPHA), alpha_of(s, kind), width, excess);
                let from = rows[kind * n * width..(kind + 1) * n * width].chunks_exact(width);
                for (to, from) in stack[of.start * columns..of.end * columns].chunks_exact_mut(columns).zip(from) {
                    let to = &mut to[kind * width..(kind + 1) * width];
                    to.iter_mut().zip(from.iter().zip(&factors)).for_each(|(t, (&x, &f))| *t = x * f);
                }
            }
        }
    });
    let (view, result) = (Matrix::rows(width), Matrix::rows(out));
    product([edges, width, out], (x, view), (&w, result), (&mut y, result), T::ZERO);
    product([edges, width, out], (&mirror, view), (&w, result.at(width * out)), (&mut y, result), T::ONE);
    let parts = [0, 1, 2].map(|s| {
        let (first, kinds) = STACK[s];
        let mut part = vec![T::ZERO; particles * out];
        let (x, w) = ((&stacks[s][..], Matrix::rows(kinds * width)), (&w[..], result.at(first * width * out)));
        product([particles, kinds * width, out], x, w, (&mut part, result), T::ZERO);
        part
    });
    let (bias, diagonal) = (cell.parameter(BIAS), cell.parameter(DIAGONAL));
    let list = &cell.lane.edges;
    vector(
        #[inline(always)]
        || {
            for (y, (&i, &j)) in y.chunks_exact_mut(out).zip(list.receivers.iter().zip(&list.senders)) {
                let (i, j) = (i as usize, j as usize);
                let (a, b) = (&parts[0][i * out..][..out], &parts[1][j * out..][..out]);
                y.iter_mut().zip(a.iter().zip(b)).zip(bias).for_each(|((y, (&a, &b)), &c)| *y += a + b + c);
                if i == j {
                    let d = &parts[2][i * out..][..out];
                    y.iter_mut().zip(d.iter().zip(diagonal)).for_each(|(y, (&d, &c))| *y += d + c);
                }
            }
        },
    );
    activate(&mut y, Activation::Leaky);
    cell.lane.values[cell.id] = y;
    let kept = [w, mirror].into_iter().chain(stacks).enumerate();
    kept.for_each(|(i, buffer)| cell.give_keep(i, buffer));
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, mean: f64) {
    let (out, source) = (cell.node().width, cell.source(0));
    let width = cell.graph.nodes[source].width;
    let (edges, particles) = (cell.rows(), cell.lane.rows(Rows::Particle));
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], Activation::Leaky);
    let w = std::mem::take(&mut cell.lane.keep[cell.id][WEIGHTS]);
    let mirror = std::mem::take(&mut cell.lane.keep[cell.id][MIRROR]);
    let stacks = [0, 1, 2].map(|s| std::mem::take(&mut cell.lane.keep[cell.id][STACKS + s]));
    let x = std::mem::take(&mut cell.lane.values[source]);
    let mut gw = vec![T::ZERO; w.len()];
    let (turned, result) = (Matrix::transposed(width), Matrix::rows(out));
    product([width, edges, out], (&x, turned), (&g, result), (&mut gw, result), T::ONE);
    product([width, edges, out], (&mirror, turned), (&g, result), (&mut gw, result.at(width * out)), T::ONE);
    // What receivers, senders and the diagonal got.
    let mut parts = [(); 3].map(|()| vec![T::ZERO; particles * out]);
    let list = &cell.lane.edges;
    for (g, (&i, &j)) in g.chunks_exact(out).zip(list.receivers.iter().zip(&list.senders)) {
        add(&mut parts[0][i as usize * out..][..out], g);
        add(&mut parts[1][j as usize * out..][..out], g);
        if i == j {
            add(&mut parts[2][i as usize * out..][..out], g);
        }
    }
    sum_rows(cell.parameter_grad(BIAS), &parts[0]);
    sum_rows(cell.parameter_grad(DIAGONAL), &parts[2]);
    let g_stacks = [0, 1, 2].map(|s| {
        let (first, kinds) = STACK[s];
        let columns = kinds * width;
        let at = result.at(first * width * out);
        let (x, part) = ((&stacks[s][..], Matrix::transposed(columns)), (&parts[s][..], result));
        product([columns, particles, out], x, part, (&mut gw, at), T::ONE);
        let mut gx = vec![T::ZERO; particles * columns];
        let w = (&w[..], Matrix::transposed(out).at(first * width * out));
        product([particles, out, columns], part, w, (&mut gx, Matrix::rows(columns)), T::ZERO);
        gx
    });
    factors(cell, [width, out], &gw);
    let (mut gx, touched) = cell.lane.take_grad(source, edges * width);
    let beta = if touched { T::ONE } else { T::ZERO };
    let (view, back) = (Matrix::rows(width), Matrix::transposed(out));
    product([edges, out, width], (&g, result), (&w, back), (&mut gx, view), beta);
    let mut gx_mirror = vec![T::ZERO; edges * width];
    product([edges, out, width], (&g, result), (&w, back.at(width * out)), (&mut gx_mirror, view), T::ZERO);
    let mut d_alpha = vec![T::ZERO; Equivariant::ALPHAS * width];
    let mut rows = Vec::new();
    for_each_event(cell, mean, |of, edges, excess| {
        let n = of.len();
        rows.clear();
        rows.resize(KINDS * n * width, T::ZERO);
        for s in 0..STACK.len() {
            let columns = STACK[s].1 * width;
            for kind in 0..STACK[s].1 {
                let which = alpha_of(s, kind);
                let factors = multiples(cell.parameter(ALPHA), which, width, excess);
                for (place, i) in of.clone().enumerate() {
                    let at = i * columns + kind * width;
                    let (g, value) = (&g_stacks[s][at..at + width], &stacks[s][at..at + width]);
                    let row = &mut rows[(kind * n + place) * width..][..width];
                    row.iter_mut().zip(g.iter().zip(&factors)).for_each(|(r, (&g, &f))| *r += g * f);
                    if let Some(at) = which {
                        let d_alpha = &mut d_alpha[at * width..(at + 1) * width];
                        let excess = T::of(excess);
                        d_alpha.iter_mut().zip(g.iter().zip(value)).for_each(|(d, (&g, &v))| *d += g * v * excess);
                    }
                }
            }
        }
        let factor = T::of(1.0 / n as f64);
        // The means over the event first, into the rows they were made of.
        let (own, rest) = rows.split_at_mut(n * width);
        let (senders, rest) = rest.split_at_mut(n * width);
        let (receivers, rest) = rest.split_at_mut(n * width);
        let (diagonal, all) = rest.split_at_mut(n * width);
        for (mean, to) in [(diagonal, &mut *own), (all, &mut *senders)] {
            let mut sum = vec![T::ZERO; width];
            sum_rows(&mut sum, mean);
            for to in to.chunks_exact_mut(width) {
                to.iter_mut().zip(&sum).for_each(|(t, &s)| *t += s * factor);
            }
        }
        let gx = &mut gx[edges.start * width..edges.end * width];
        let mirror = &gx_mirror[edges.start * width..edges.end * width];
        for i in 0..n {
            for j in 0..n {
                let gx = &mut gx[(i * n + j) * width..][..width];
                let mirror = &mirror[(j * n + i) * width..][..width];
                let (s, r) = (&senders[i * width..][..width], &receivers[j * width..][..width]);
                for ((gx, &m), (&s, &r)) in gx.iter_mut().zip(mirror).zip(s.iter().zip(r)) {
                    *gx += m + (s + r) * factor;
                }
                if i == j {
                    add(gx, &own[i * width..][..width]);
                }
            }
        }
    });
    add(cell.parameter_grad(ALPHA), &d_alpha);
    cell.lane.give_grad(source, gx);
    cell.lane.values[source] = x;
    cell.lane.grads[cell.id] = g;
    let kept = [w, mirror].into_iter().chain(stacks).enumerate();
    kept.for_each(|(i, buffer)| cell.give_keep(i, buffer));
}
