//! Pairs of particles: which there are, and values that go from particles to them.

use super::Cell;
use super::dense::{activate, deactivate, pass_on};
use super::edge_conv::nearest;
use crate::executor::EdgeList;
use crate::graph::{Activation, Edges, Rows};
use crate::kernels::{Real, add, sum_rows, vector};

/// The edges of the events of a lane, from its input [particle, width].
pub(crate) fn list<T: Real>(list: &mut EdgeList, edges: Edges, input: &[T], width: usize, offsets: &[usize]) {
    let EdgeList { offsets: ends, senders, receivers, .. } = list;
    ends.clear();
    ends.push(0);
    senders.clear();
    receivers.clear();
    let mut nearby = Vec::new();
    if let Edges::Nearest { k } = edges {
        let place: Vec<T> = input.chunks_exact(width).flat_map(|row| [row[0], row[1]]).collect();
        nearest(&mut nearby, &place, 2, offsets, k - 1);
    }
    let mut taken = 0;
    for event in offsets.windows(2) {
        let n = event[1] - event[0];
        for i in event[0]..event[1] {
            let others = event[0] as u32..event[1] as u32;
            match edges {
                Edges::Unordered => senders.extend(others.start..=i as u32),
                Edges::Ordered => senders.extend(others.filter(|&j| j as usize != i)),
                Edges::All => senders.extend(others),
                Edges::Nearest { k } => {
                    let others = (k - 1).min(n - 1);
                    senders.push(i as u32);
                    senders.extend_from_slice(&nearby[taken..taken + others]);
                    taken += others;
                }
                Edges::Listed { from, to } => {
                    let named = input[i * width + from..i * width + to].iter().map(|x| x.f64());
                    senders.extend(named.filter(|&j| j >= 0.0 && j < n as f64).map(|j| event[0] as u32 + j as u32));
                }
            }
            receivers.resize(senders.len(), i as u32);
            ends.push(senders.len());
        }
    }
}

/// Where the first `k` edges of each receiver begin and end, if only these are counted.
pub(crate) fn list_near(list: &mut EdgeList, k: usize) {
    if !list.near.iter().any(|(at, _)| *at == k) {
        list.near.push((k, Vec::new()));
    }
    for (at, near) in list.near.iter_mut().filter(|(at, _)| *at == k) {
        near.clear();
        near.push(0);
        for edges in list.offsets.windows(2) {
            near.push(near[near.len() - 1] + (edges[1] - edges[0]).min(*at));
        }
    }
}

pub(super) fn senders_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let x = &cell.lane.values[cell.source(0)];
    for (y, &j) in y.chunks_exact_mut(width).zip(&cell.lane.edges.senders) {
        y.copy_from_slice(&x[j as usize * width..][..width]);
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn senders_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (source, width) = (cell.source(0), cell.node().width);
    if !cell.needs_gradient[source] {
        return;
    }
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let senders = &cell.lane.edges.senders;
    let g = &cell.lane.grads[cell.id];
    vector(
        #[inline(always)]
        || {
            for (g, &j) in g.chunks_exact(width).zip(senders) {
                gx[j as usize * width..][..width].iter_mut().zip(g).for_each(|(gx, &g)| *gx += g);
            }
        },
    );
    cell.lane.give_grad(source, gx);
}

/// The entries of each receiver among all edges, and among the first of them.
fn heads(cell: &Cell<'_, impl Real>) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>)> {
    let width = cell.node().width;
    let (all, some) = (&cell.lane.edges.offsets, cell.lane.segments(cell.node().rows));
    all.iter()
        .zip(some.windows(2))
        .map(move |(&from, near)| (from * width..(from + near[1] - near[0]) * width, near[0] * width..near[1] * width))
}

pub(super) fn head_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let x = &cell.lane.values[cell.source(0)];
    heads(cell).for_each(|(all, some)| y[some].copy_from_slice(&x[all]));
    cell.lane.values[cell.id] = y;
}

pub(super) fn head_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let source = cell.source(0);
    if !cell.needs_gradient[source] {
        return;
    }
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let g = &cell.lane.grads[cell.id];
    heads(cell).for_each(|(all, some)| add(&mut gx[all], &g[some]));
    cell.lane.give_grad(source, gx);
}

/// Which inputs of a join are e and d.
fn further(cell: &Cell<'_, impl Real>) -> [Option<usize>; 2] {
    [Rows::Edge, Rows::Particle]
        .map(|rows| (2..cell.node().inputs.len()).find(|&i| cell.graph.nodes[cell.source(i)].rows == rows))
}

/// y_ij = activation(a_i + b_j + e_ij + δ_ij·d_i)
pub(super) fn join_forward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let value = |i: usize| &cell.lane.values[cell.source(i)][..];
    let list = &cell.lane.edges;
    let (a, b) = (value(0), value(1));
    let [e, d] = further(cell).map(|at| at.map_or(&[][..], &value));
    vector(
        #[inline(always)]
        || {
            for (at, y) in y.chunks_exact_mut(width).enumerate() {
                let (i, j) = (list.receivers[at] as usize, list.senders[at] as usize);
                let (a, b) = (&a[i * width..][..width], &b[j * width..][..width]);
                if e.is_empty() {
                    y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = a + b);
                } else {
                    let e = &e[at * width..][..width];
                    y.iter_mut().zip(a.iter().zip(b)).zip(e).for_each(|((y, (&a, &b)), &e)| *y = a + b + e);
                }
                if i == j && !d.is_empty() {
                    y.iter_mut().zip(&d[i * width..][..width]).for_each(|(y, &d)| *y += d);
                }
            }
        },
    );
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
}

pub(super) fn join_backward<T: Real>(cell: &mut Cell<'_, T>, activation: Activation) {
    let width = cell.node().width;
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    let particles = cell.lane.rows(Rows::Particle);
    let [e, d] = further(cell);
    for part in [Some(0), Some(1), d].into_iter().flatten() {
        if !cell.needs_gradient[cell.source(part)] {
            continue;
        }
        let source = cell.source(part);
        let mut gx = cell.lane.take_grad_zeroed(source, particles * width);
        let list = &cell.lane.edges;
        if part == 0 {
            for (gx, edges) in gx.chunks_exact_mut(width).zip(list.offsets.windows(2)) {
                sum_rows(gx, &g[edges[0] * width..edges[1] * width]);
            }
        } else {
            let places = if part == 1 { &list.senders } else { &list.receivers };
            vector(
                #[inline(always)]
                || {
                    for (at, g) in g.chunks_exact(width).enumerate() {
                        if part == 1 || list.senders[at] == list.receivers[at] {
                            let gx = &mut gx[places[at] as usize * width..][..width];
                            gx.iter_mut().zip(g).for_each(|(gx, &g)| *gx += g);
                        }
                    }
                },
            );
        }
        cell.lane.give_grad(source, gx);
    }
    if let Some(e) = e {
        pass_on(cell, e, &g);
    }
    cell.lane.grads[cell.id] = g;
}

pub(super) fn spread_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let x = &cell.lane.values[cell.source(0)];
    for (x, rows) in x.chunks_exact(width).zip(cell.lane.segments(cell.node().rows).windows(2)) {
        y[rows[0] * width..rows[1] * width].chunks_exact_mut(width).for_each(|y| y.copy_from_slice(x));
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn spread_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (source, width, rows) = (cell.source(0), cell.node().width, cell.node().rows);
    if !cell.needs_gradient[source] {
        return;
    }
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let g = &cell.lane.grads[cell.id];
    for (gx, rows) in gx.chunks_exact_mut(width).zip(cell.lane.segments(rows).windows(2)) {
        sum_rows(gx, &g[rows[0] * width..rows[1] * width]);
    }
    cell.lane.give_grad(source, gx);
}

pub(super) fn stack_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let [event, particles] = [0, 1].map(|i| &cell.lane.values[cell.source(i)][..]);
    for (i, (own, o)) in event.chunks_exact(width).zip(cell.lane.offsets.windows(2)).enumerate() {
        let rows = cell.lane.rows_of(Rows::Joint, i);
        let (first, rest) = y[rows.start * width..rows.end * width].split_at_mut(width);
        first.copy_from_slice(own);
        rest.copy_from_slice(&particles[o[0] * width..o[1] * width]);
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn stack_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let width = cell.node().width;
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    for part in [0, 1] {
        let source = cell.source(part);
        if !cell.needs_gradient[source] {
            continue;
        }
        let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
        for (i, o) in cell.lane.offsets.windows(2).enumerate() {
            let rows = cell.lane.rows_of(Rows::Joint, i);
            let (first, rest) = g[rows.start * width..rows.end * width].split_at(width);
            if part == 0 {
                add(&mut gx[i * width..][..width], first);
            } else {
                add(&mut gx[o[0] * width..o[1] * width], rest);
            }
        }
        cell.lane.give_grad(source, gx);
    }
    cell.lane.grads[cell.id] = g;
}

/// Calls `each` with every particle and its edge with itself, where edges are all pairs.
fn for_each_own(offsets: &[usize], ends: &[usize], mut each: impl FnMut(usize, usize)) {
    for event in offsets.windows(2) {
        for (place, i) in (event[0]..event[1]).enumerate() {
            each(i, ends[i] + place);
        }
    }
}

pub(super) fn diagonal_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let x = &cell.lane.values[cell.source(0)];
    for_each_own(&cell.lane.offsets, &cell.lane.edges.offsets, |i, edge| {
        y[i * width..][..width].copy_from_slice(&x[edge * width..][..width]);
    });
    cell.lane.values[cell.id] = y;
}

pub(super) fn diagonal_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (source, width) = (cell.source(0), cell.node().width);
    if !cell.needs_gradient[source] {
        return;
    }
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let g = &cell.lane.grads[cell.id];
    for_each_own(&cell.lane.offsets, &cell.lane.edges.offsets, |i, edge| {
        add(&mut gx[edge * width..][..width], &g[i * width..][..width]);
    });
    cell.lane.give_grad(source, gx);
}
