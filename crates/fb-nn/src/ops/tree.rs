//! Recursive networks on trees. Nodes of all events of a lane whose highest tree of descendants has the same height, and
//! that have the same layers, are worked out together, from the leaves up: one product for each layer of such a group.

use std::ops::Range;

use super::Cell;
use super::dense::{activate, deactivate};
use crate::graph::{Activation, TREE_LAYERS};
use crate::kernels::{Matrix, Real, add, add_bias, product, sum_rows};

/// Buffers that are kept, in the order of slots.
const MERGED: usize = 0;
const HIDDEN: usize = 1;
const BETWEEN: usize = 2;
const EMBEDDED: usize = 3;
const GRADIENT: usize = 4;

/// The order in which nodes are worked out: a slot for each.
#[derive(Default)]
struct Plan {
    /// The row of each slot.
    rows: Vec<usize>,
    /// The slots of the daughters of each slot; those of leaves mean nothing.
    daughters: Vec<[usize; 2]>,
    /// The slot of the first node of each event, where there is one.
    roots: Vec<Option<usize>>,
    groups: Vec<Group>,
}

/// Slots that are worked out together.
struct Group {
    slots: Range<usize>,
    is_leaf: bool,
    /// Their layers; none for the first node of an event.
    layers: Option<usize>,
}

impl Plan {
    /// From the places of daughters [particle, 2].
    fn new<T: Real>(links: &[T], offsets: &[usize]) -> Self {
        let count = links.len() / 2;
        let mut daughters = vec![None; count];
        // Height and layers of each row; those of the first node come last.
        let mut kinds = vec![(0, TREE_LAYERS); count];
        for event in offsets.windows(2) {
            let (start, n) = (event[0], event[1] - event[0]);
            for place in (0..n).rev() {
                // What does not lie behind its mother is no daughter.
                let [a, b] = [0, 1].map(|i| links[2 * (start + place) + i].f64());
                let is_behind = |x: f64| x > place as f64 && x < n as f64;
                let pair = (is_behind(a) && is_behind(b)).then_some([start + a as usize, start + b as usize]);
                daughters[start + place] = pair;
                let height = pair.map_or(0, |pair| 1 + pair.map(|row| kinds[row].0).into_iter().fold(0, usize::max));
                kinds[start + place] = (height, if pair.is_some() { 2 } else { 3 });
            }
            if n > 0 {
                kinds[start].1 = TREE_LAYERS;
                for (layers, row) in daughters[start].into_iter().flatten().enumerate() {
                    kinds[row].1 = layers;
                }
            }
        }
        let mut plan = Self { rows: (0..count).collect(), ..Self::default() };
        plan.rows.sort_unstable_by_key(|&row| (kinds[row], row));
        let mut slots = vec![0; count];
        plan.rows.iter().enumerate().for_each(|(slot, &row)| slots[row] = slot);
        plan.daughters = plan.rows.iter().map(|&row| daughters[row].unwrap_or_default().map(|d| slots[d])).collect();
        plan.roots = offsets.windows(2).map(|o| (o[1] > o[0]).then(|| slots[o[0]])).collect();
        let mut start = 0;
        for group in plan.rows.chunk_by(|&a, &b| kinds[a] == kinds[b]) {
            let (height, layers) = kinds[group[0]];
            let slots = start..start + group.len();
            start = slots.end;
            let layers = (layers < TREE_LAYERS).then_some(layers);
            plan.groups.push(Group { slots, is_leaf: height == 0, layers });
        }
        plan
    }
}

/// The stretch of a buffer that belongs to some slots.
fn stretch(slots: &Range<usize>, width: usize) -> Range<usize> {
    slots.start * width..slots.end * width
}

/// y = relu(x·W + b), both from parameter `at` on.
fn layer<T: Real>(cell: &Cell<'_, T>, at: usize, x: &[T], y: &mut [T]) {
    let width = cell.node().width;
    let weight = cell.parameter(at);
    let (rows, from) = (y.len() / width, weight.len() / width);
    product(
        [rows, from, width],
        (x, Matrix::rows(from)),
        (weight, Matrix::rows(width)),
        (y, Matrix::rows(width)),
        T::ZERO,
    );
    add_bias(y, cell.parameter(at + 1));
    activate(y, Activation::Relu);
}

/// The same backwards: from the gradient `g` with respect to y, which is used up, to that with respect to x.
fn layer_back<T: Real>(cell: &mut Cell<'_, T>, at: usize, (x, y): (&[T], &[T]), g: &mut [T], gx: &mut Vec<T>) {
    let width = cell.node().width;
    let weight = cell.parameter(at);
    let (rows, from) = (y.len() / width, weight.len() / width);
    deactivate(g, y, Activation::Relu);
    sum_rows(cell.parameter_grad(at + 1), g);
    let view = Matrix::rows(width);
    let grad = (cell.parameter_grad(at), view);
    product([from, rows, width], (x, Matrix::transposed(from)), (g, view), grad, T::ONE);
    gx.resize(rows * from, T::ZERO);
    let weight = (weight, Matrix::transposed(width));
    product([rows, width, from], (g, view), weight, (gx, Matrix::rows(from)), T::ZERO);
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>) {
    let (width, [with, without, links]) = (cell.node().width, [0, 1, 2].map(|i| cell.source(i)));
    let plan = Plan::new(&cell.lane.values[links], &cell.lane.offsets);
    let slots = plan.rows.len();
    let mut merged = cell.take_keep(MERGED, slots * 3 * width);
    let [mut hidden, mut between, mut embedded] = [HIDDEN, BETWEEN, EMBEDDED].map(|i| cell.take_keep(i, slots * width));
    let [with, without] = [with, without].map(|source| &cell.lane.values[source]);
    for Group { slots, is_leaf, layers } in &plan.groups {
        let own = stretch(slots, width);
        if *is_leaf {
            for (h, &row) in hidden[own.clone()].chunks_exact_mut(width).zip(&plan.rows[slots.clone()]) {
                h.copy_from_slice(&without[row * width..][..width]);
            }
        } else {
            let merged = &mut merged[stretch(slots, 3 * width)];
            for (z, slot) in merged.chunks_exact_mut(3 * width).zip(slots.clone()) {
                for (z, daughter) in z.chunks_exact_mut(width).zip(plan.daughters[slot]) {
                    z.copy_from_slice(&embedded[daughter * width..][..width]);
                }
                z[2 * width..].copy_from_slice(&with[plan.rows[slot] * width..][..width]);
            }
            layer(cell, 0, merged, &mut hidden[own.clone()]);
        }
        match layers {
            Some(kind) => {
                layer(cell, 2 + 4 * kind, &hidden[own.clone()], &mut between[own.clone()]);
                layer(cell, 4 + 4 * kind, &between[own.clone()], &mut embedded[own]);
            }
            None => embedded[own.clone()].copy_from_slice(&hidden[own]),
        }
    }
    let mut y = cell.take_value();
    for (y, root) in y.chunks_exact_mut(width).zip(&plan.roots) {
        match root {
            Some(slot) => y.copy_from_slice(&embedded[slot * width..][..width]),
            None => y.fill(T::ZERO),
        }
    }
    cell.lane.values[cell.id] = y;
    for (i, buffer) in [(MERGED, merged), (HIDDEN, hidden), (BETWEEN, between), (EMBEDDED, embedded)] {
        cell.give_keep(i, buffer);
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (width, [with, without, links]) = (cell.node().width, [0, 1, 2].map(|i| cell.source(i)));
    let plan = Plan::new(&cell.lane.values[links], &cell.lane.offsets);
    let slots = plan.rows.len();
    let merged = cell.take_keep(MERGED, slots * 3 * width);
    let [hidden, between, embedded, mut gradient] =
        [HIDDEN, BETWEEN, EMBEDDED, GRADIENT].map(|i| cell.take_keep(i, slots * width));
    gradient.fill(T::ZERO);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    for (g, root) in g.chunks_exact(width).zip(&plan.roots) {
        if let Some(slot) = root {
            gradient[slot * width..][..width].copy_from_slice(g);
        }
    }
    let mut of_inputs = [with, without]
        .map(|source| cell.needs_gradient[source].then(|| cell.lane.take_grad_zeroed(source, slots * width)));
    let (mut below, mut spare) = (Vec::new(), Vec::new());
    for Group { slots, is_leaf, layers } in plan.groups.iter().rev() {
        let own = stretch(slots, width);
        if let Some(kind) = layers {
            let (x, y) = (&between[own.clone()], &embedded[own.clone()]);
            layer_back(cell, 4 + 4 * kind, (x, y), &mut gradient[own.clone()], &mut below);
            layer_back(cell, 2 + 4 * kind, (&hidden[own.clone()], x), &mut below, &mut spare);
            gradient[own.clone()].copy_from_slice(&spare);
        }
        let [of_with, of_without] = &mut of_inputs;
        if *is_leaf {
            if let Some(gu) = of_without {
                for (g, &row) in gradient[own].chunks_exact(width).zip(&plan.rows[slots.clone()]) {
                    add(&mut gu[row * width..][..width], g);
                }
            }
            continue;
        }
        let x = &merged[stretch(slots, 3 * width)];
        layer_back(cell, 0, (x, &hidden[own.clone()]), &mut gradient[own], &mut below);
        for (g, slot) in below.chunks_exact(3 * width).zip(slots.clone()) {
            for (g, daughter) in g.chunks_exact(width).zip(plan.daughters[slot]) {
                add(&mut gradient[daughter * width..][..width], g);
            }
            if let Some(gu) = of_with {
                add(&mut gu[plan.rows[slot] * width..][..width], &g[2 * width..]);
            }
        }
    }
    for (source, grad) in [with, without].into_iter().zip(of_inputs) {
        if let Some(grad) = grad {
            cell.lane.give_grad(source, grad);
        }
    }
    cell.lane.grads[cell.id] = g;
    for (i, buffer) in
        [(MERGED, merged), (HIDDEN, hidden), (BETWEEN, between), (EMBEDDED, embedded), (GRADIENT, gradient)]
    {
        cell.give_keep(i, buffer);
    }
}
