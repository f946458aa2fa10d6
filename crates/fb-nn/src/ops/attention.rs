//! Attention, fused: scores of all heads of an event are one block, in which the bias of the pairs, the softmax and the
//! gradients are worked out in place.

use fb_core::{Philox, philox};

use super::Cell;
use super::dense::{drop_entries, hand_on};
use super::rowwise::fold;
use crate::Rows;
use crate::executor::Mode;
use crate::kernels::{Matrix, Real, product, vector};

/// Buffers kept from the forward pass, by their place in `Lane::keep`.
const SOFTMAX: usize = 0;
const SCALED: usize = 1;
const DROPPED: usize = 2;
const SLOPE: usize = 3;
const GRADS: usize = 4;

/// eˣ/Σeˣ.
#[inline(always)]
pub(super) fn softmax<T: Real>(x: &mut [T]) {
    let mut tops = [T::of(f64::from(f32::MIN)); 16];
    let (blocks, rest) = x.as_chunks::<16>();
    for block in blocks {
        tops.iter_mut().zip(block).for_each(|(t, &x)| *t = t.max(x));
    }
    tops.iter_mut().zip(rest).for_each(|(t, &x)| *t = t.max(x));
    let top = tops.into_iter().fold(tops[0], T::max);
    for x in x.iter_mut() {
        *x = (*x - top).exp();
    }
    let factor = T::ONE / fold(x, x, |x, _| x);
    for x in x.iter_mut() {
        *x = *x * factor;
    }
}

/// The random words that drop a share of the softmax of one event and head.
fn drop_words(mode: Mode, [node, identity, head]: [u64; 3], words: &mut [u32]) {
    let Mode::Training { seed, step } = mode else { return };
    let mut random = Philox::new(philox::hash(seed, node << 16 | head), step, identity);
    vector(
        #[inline(always)]
        || random.fill(words),
    );
}

/// 1/√(columns of a head).
fn temperature<T: Real>(columns: usize) -> T {
    T::of(1.0 / (columns as f64).sqrt())
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, heads: usize, dropout: f64) {
    let width = cell.node().width;
    let columns = width / heads;
    let squares = cell.lane.offsets.windows(2).map(|o| (o[1] - o[0]).pow(2)).sum::<usize>() * heads;
    let [mut p, mut scaled] = [cell.take_keep(SOFTMAX, squares), cell.take_keep(SCALED, cell.rows() * width)];
    let mut dropped = cell.take_keep(DROPPED, 0);
    let mut y = cell.take_value();
    let factor = temperature::<T>(columns);
    let [q, k, v] = [0, 1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    vector(
        #[inline(always)]
        || scaled.iter_mut().zip(q).for_each(|(s, &q)| *s = q * factor),
    );
    let bias = cell.node().inputs.get(3).map(|&source| &cell.lane.values[source][..]);
    let drops = dropout > 0.0 && cell.mode != Mode::Inference;
    let mut words = Vec::new();
    let mut at = 0;
    for (event, o) in cell.lane.offsets.windows(2).enumerate() {
        let n = o[1] - o[0];
        if n == 0 {
            continue;
        }
        let block = &mut p[at..at + heads * n * n];
        at += block.len();
        let beta = if let Some(bias) = bias {
            let first = cell.lane.edges.offsets[o[0]];
            lay_bias(block, &bias[first * heads..], n, heads);
            T::ONE
        } else {
            T::ZERO
        };
        for (head, s) in block.chunks_exact_mut(n * n).enumerate() {
            let view = Matrix::rows(width).at(o[0] * width + head * columns);
            let turned = Matrix::transposed(width).at(view.start);
            product([n, columns, n], (&scaled, view), (k, turned), (s, Matrix::rows(n)), beta);
            vector(
                #[inline(always)]
                || {
                    // Not `for_each`, whose body would not be compiled for the vector unit.
                    for row in s.chunks_exact_mut(n) {
                        softmax(row);
                    }
                },
            );
            let s = if drops {
                dropped.clear();
                dropped.extend_from_slice(s);
                words.resize(n * n, 0);
                drop_words(cell.mode, [cell.id as u64, cell.lane.identity[event], head as u64], &mut words);
                drop_entries(&mut dropped, &words, dropout);
                &dropped
            } else {
                &*s
            };
            product([n, n, columns], (s, Matrix::rows(n)), (v, view), (&mut y, view), T::ZERO);
        }
    }
    cell.lane.values[cell.id] = y;
    for (i, buffer) in [(SOFTMAX, p), (SCALED, scaled), (DROPPED, dropped)] {
        cell.give_keep(i, buffer);
    }
}

/// Writes the bias of unordered pairs [pair, head] into scores [head, i, j].
fn lay_bias<T: Real>(scores: &mut [T], bias: &[T], n: usize, heads: usize) {
    let mut edge = 0;
    for i in 0..n {
        for j in 0..=i {
            for (head, &u) in bias[edge * heads..][..heads].iter().enumerate() {
                scores[(head * n + i) * n + j] = u;
                scores[(head * n + j) * n + i] = u;
            }
            edge += 1;
        }
    }
}

/// The other way round, for gradients: those of both directions are added.
fn collect_bias<T: Real>(bias: &mut [T], scores: &[T], n: usize, heads: usize) {
    let mut edge = 0;
    for i in 0..n {
        for j in 0..=i {
            for (head, u) in bias[edge * heads..][..heads].iter_mut().enumerate() {
                *u = scores[(head * n + i) * n + j];
                if i != j {
                    *u += scores[(head * n + j) * n + i];
                }
            }
            edge += 1;
        }
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, heads: usize, dropout: f64) {
    let width = cell.node().width;
    let (columns, rows) = (width / heads, cell.rows());
    let [p, scaled] = [SOFTMAX, SCALED].map(|i| std::mem::take(&mut cell.lane.keep[cell.id][i]));
    let mut dropped = cell.take_keep(DROPPED, 0);
    let mut slope = cell.take_keep(SLOPE, 0);
    let [mut gq, mut gk, mut gv] = [0, 1, 2].map(|i| cell.take_keep(GRADS + i, rows * width));
    let biased = cell.node().inputs.len() > 3;
    let mut gu = cell.take_keep(GRADS + 3, if biased { cell.lane.rows(Rows::Edge) * heads } else { 0 });
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let [k, v] = [1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    let drops = dropout > 0.0 && cell.mode != Mode::Inference;
    let factor = temperature::<T>(columns);
    let mut words = Vec::new();
    let mut at = 0;
    for (event, o) in cell.lane.offsets.windows(2).enumerate() {
        let n = o[1] - o[0];
        if n == 0 {
            continue;
        }
        slope.resize(heads * n * n, T::ZERO);
        let block = &p[at..at + heads * n * n];
        at += block.len();
        for (head, (p, ds)) in block.chunks_exact(n * n).zip(slope.chunks_exact_mut(n * n)).enumerate() {
            let square = Matrix::rows(n);
            let view = Matrix::rows(width).at(o[0] * width + head * columns);
            let turned = Matrix::transposed(width).at(view.start);
            product([n, columns, n], (&g, view), (v, turned), (ds, square), T::ZERO);
            let place = [cell.id as u64, cell.lane.identity.get(event).copied().unwrap_or(0), head as u64];
            let weights = if drops {
                dropped.clear();
                dropped.extend_from_slice(p);
                words.resize(n * n, 0);
                drop_words(cell.mode, place, &mut words);
                drop_entries(&mut dropped, &words, dropout);
                drop_entries(ds, &words, dropout);
                &dropped
            } else {
                p
            };
            product([n, n, columns], (weights, Matrix::transposed(n)), (&g, view), (&mut gv, view), T::ZERO);
            vector(
                #[inline(always)]
                || {
                    for (ds, p) in ds.chunks_exact_mut(n).zip(p.chunks_exact(n)) {
                        let mean = fold(ds, p, |d, p| d * p);
                        ds.iter_mut().zip(p).for_each(|(d, &p)| *d = p * (*d - mean));
                    }
                },
            );
            product([n, n, columns], (ds, square), (k, view), (&mut gq, view), T::ZERO);
            product([n, n, columns], (ds, Matrix::transposed(n)), (&scaled, view), (&mut gk, view), T::ZERO);
        }
        if biased {
            collect_bias(&mut gu[cell.lane.edges.offsets[o[0]] * heads..], &slope, n, heads);
        }
    }
    vector(
        #[inline(always)]
        || gq.iter_mut().for_each(|g| *g = *g * factor),
    );
    cell.lane.grads[cell.id] = g;
    for (i, part) in [gq, gk, gv, gu].into_iter().enumerate().take(if biased { 4 } else { 3 }) {
        let spare = hand_on(cell, i, part);
        cell.give_keep(GRADS + i, spare);
    }
    for (i, buffer) in [(SOFTMAX, p), (SCALED, scaled), (DROPPED, dropped), (SLOPE, slope)] {
        cell.give_keep(i, buffer);
    }
}

pub(super) fn class_forward<T: Real>(cell: &mut Cell<'_, T>, heads: usize) {
    let width = cell.node().width;
    let columns = width / heads;
    let mut p = cell.take_keep(SOFTMAX, cell.lane.rows(Rows::Joint) * heads);
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let factor = temperature::<T>(columns);
    let [q, k, v] = [0, 1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    for (event, (q, y)) in q.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
        let rows = cell.lane.rows_of(Rows::Joint, event);
        let p = &mut p[rows.start * heads..rows.end * heads];
        let [k, v] = [k, v].map(|x| &x[rows.start * width..rows.end * width]);
        for (head, p) in p.chunks_exact_mut(rows.len()).enumerate() {
            let part = head * columns..(head + 1) * columns;
            let (q, y) = (&q[part.clone()], &mut y[part.clone()]);
            vector(
                #[inline(always)]
                || {
                    for (p, k) in p.iter_mut().zip(k.chunks_exact(width)) {
                        *p = fold(q, &k[part.clone()], |q, k| q * k) * factor;
                    }
                    softmax(p);
                    for (&p, v) in p.iter().zip(v.chunks_exact(width)) {
                        y.iter_mut().zip(&v[part.clone()]).for_each(|(y, &v)| *y += p * v);
                    }
                },
            );
        }
    }
    cell.lane.values[cell.id] = y;
    cell.give_keep(SOFTMAX, p);
}

pub(super) fn class_backward<T: Real>(cell: &mut Cell<'_, T>, heads: usize) {
    let (width, joint) = (cell.node().width, cell.lane.rows(Rows::Joint));
    let columns = width / heads;
    let p = std::mem::take(&mut cell.lane.keep[cell.id][SOFTMAX]);
    let mut gq = cell.take_keep(GRADS, cell.lane.events * width);
    let [mut gk, mut gv] = [1, 2].map(|i| cell.take_keep(GRADS + i, joint * width));
    gq.fill(T::ZERO);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let factor = temperature::<T>(columns);
    let [q, k, v] = [0, 1, 2].map(|i| &cell.lane.values[cell.source(i)][..]);
    let mut slope: Vec<T> = Vec::new();
    for event in 0..cell.lane.events {
        let rows = cell.lane.rows_of(Rows::Joint, event);
        let p = &p[rows.start * heads..rows.end * heads];
        let (own, rest) = (event * width..(event + 1) * width, rows.start * width..rows.end * width);
        let [k, v] = [k, v].map(|x| &x[rest.clone()]);
        let [gk, gv] = [&mut gk, &mut gv].map(|x| &mut x[rest.clone()]);
        for (head, p) in p.chunks_exact(rows.len()).enumerate() {
            let part = head * columns..(head + 1) * columns;
            let [q, g] = [q, &g].map(|x| &x[own.clone()][part.clone()]);
            let gq = &mut gq[own.clone()][part.clone()];
            slope.clear();
            slope.extend(v.chunks_exact(width).map(|v| fold(g, &v[part.clone()], |g, v| g * v)));
            let mean = fold(&slope, p, |d, p| d * p);
            slope.iter_mut().zip(p).for_each(|(d, &p)| *d = p * (*d - mean) * factor);
            let grads = gk.chunks_exact_mut(width).zip(gv.chunks_exact_mut(width));
            for (((&d, &p), k), (gk, gv)) in slope.iter().zip(p).zip(k.chunks_exact(width)).zip(grads) {
                gq.iter_mut().zip(&k[part.clone()]).for_each(|(gq, &k)| *gq += d * k);
                gk[part.clone()].iter_mut().zip(q).for_each(|(gk, &q)| *gk = d * q);
                gv[part.clone()].iter_mut().zip(g).for_each(|(gv, &g)| *gv = p * g);
            }
        }
    }
    cell.lane.grads[cell.id] = g;
    cell.give_keep(SOFTMAX, p);
    for (i, part) in [gq, gk, gv].into_iter().enumerate() {
        let spare = hand_on(cell, i, part);
        cell.give_keep(GRADS + i, spare);
    }
}

/// Softmax of each column over the rows of a segment.
pub(super) fn softmax_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let x = &cell.lane.values[cell.source(0)];
    let (mut tops, mut sums) = (Vec::new(), Vec::new());
    for rows in cell.lane.segments(cell.node().rows).windows(2) {
        let range = rows[0] * width..rows[1] * width;
        let (x, y) = (&x[range.clone()], &mut y[range]);
        tops.clear();
        tops.resize(width, T::of(f64::from(f32::MIN)));
        sums.clear();
        sums.resize(width, T::ZERO);
        vector(
            #[inline(always)]
            || {
                for x in x.chunks_exact(width) {
                    tops.iter_mut().zip(x).for_each(|(t, &x)| *t = t.max(x));
                }
                for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    for ((y, &x), (&top, sum)) in y.iter_mut().zip(x).zip(tops.iter().zip(sums.iter_mut())) {
                        *y = (x - top).exp();
                        *sum += *y;
                    }
                }
                for y in y.chunks_exact_mut(width) {
                    y.iter_mut().zip(&sums).for_each(|(y, &sum)| *y = *y / sum);
                }
            },
        );
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn softmax_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let width = cell.node().width;
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let y = &cell.lane.values[cell.id];
    let mut means = vec![T::ZERO; width];
    for rows in cell.lane.segments(cell.node().rows).windows(2) {
        let range = rows[0] * width..rows[1] * width;
        let (g, y) = (&mut g[range.clone()], &y[range]);
        means.fill(T::ZERO);
        for (g, y) in g.chunks_exact(width).zip(y.chunks_exact(width)) {
            means.iter_mut().zip(g.iter().zip(y)).for_each(|(m, (&g, &y))| *m += g * y);
        }
        for (g, y) in g.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
            g.iter_mut().zip(y.iter().zip(&means)).for_each(|(g, (&y, &m))| *g = y * (*g - m));
        }
    }
    cell.lane.grads[cell.id] = hand_on(cell, 0, g);
}
