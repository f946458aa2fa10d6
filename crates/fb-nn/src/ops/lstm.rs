//! Long short-term memory, fused. The events of a piece run side by side, the longest first, so that each step works
//! on the events that still have a particle and no padding is ever computed.

use super::Cell;
use crate::kernels::{Matrix, Real, add_bias, product, sigmoid, sum_rows, tanh, vector};

/// Kept for the backward pass, step by step: gates (i, f, g, o), cell states, hidden states before the step, inputs.
const GATES: usize = 0;
const CELL: usize = 1;
const BEFORE: usize = 2;
const INPUT: usize = 3;
const GRAD: usize = 4;

/// The events with particles by falling length, and for each step how many have a particle left.
struct Order {
    events: Vec<usize>,
    active: Vec<usize>,
}

fn order(offsets: &[usize]) -> Order {
    let length = |e: usize| offsets[e + 1] - offsets[e];
    let mut events: Vec<usize> = (0..offsets.len() - 1).filter(|&e| length(e) > 0).collect();
    events.sort_by_key(|&e| std::cmp::Reverse(length(e)));
    let steps = events.first().map_or(0, |&e| length(e));
    let active = (0..steps).map(|t| events.partition_point(|&e| length(e) > t)).collect();
    Order { events, active }
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, hidden: usize) {
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    let rows = cell.lane.rows(crate::Rows::Particle);
    let order = order(&cell.lane.offsets);
    let mut input = cell.take_keep(INPUT, rows * width);
    let mut gates = cell.take_keep(GATES, rows * 4 * hidden);
    let mut states = cell.take_keep(CELL, rows * hidden);
    let mut before = cell.take_keep(BEFORE, rows * hidden);
    let x = &cell.lane.values[source];
    let mut row = 0;
    for (t, &active) in order.active.iter().enumerate() {
        for &e in &order.events[..active] {
            let from = (cell.lane.offsets[e] + t) * width;
            input[row * width..][..width].copy_from_slice(&x[from..from + width]);
            row += 1;
        }
    }
    // The inputs' share of all gates of all steps in one product.
    let weight = cell.parameter(0);
    let view = Matrix::rows(4 * hidden);
    product([rows, width, 4 * hidden], (&input, Matrix::rows(width)), (weight, view), (&mut gates, view), T::ZERO);
    add_bias(&mut gates, cell.parameter(1));
    let mut h = vec![T::ZERO; order.events.len() * hidden];
    let mut c = vec![T::ZERO; order.events.len() * hidden];
    let mut start = 0;
    for &active in &order.active {
        let gates = &mut gates[start * 4 * hidden..(start + active) * 4 * hidden];
        if start > 0 {
            let weight = (weight, view.at(width * 4 * hidden));
            product([active, hidden, 4 * hidden], (&h, Matrix::rows(hidden)), weight, (gates, view), T::ONE);
        }
        before[start * hidden..(start + active) * hidden].copy_from_slice(&h[..active * hidden]);
        let states = &mut states[start * hidden..(start + active) * hidden];
        vector(
            #[inline(always)]
            || {
                let rows = gates.chunks_exact_mut(4 * hidden).zip(states.chunks_exact_mut(hidden));
                for ((gates, state), (h, c)) in rows.zip(h.chunks_exact_mut(hidden).zip(c.chunks_exact_mut(hidden))) {
                    let (sigmoids, tail) = gates.split_at_mut(2 * hidden);
                    let (g, o) = tail.split_at_mut(hidden);
                    sigmoids.iter_mut().chain(&mut *o).for_each(|x| *x = sigmoid(*x));
                    for x in g.iter_mut() {
                        *x = tanh(*x);
                    }
                    let (i, f) = sigmoids.split_at(hidden);
                    for (((c, s), (&i, &f)), &g) in c.iter_mut().zip(&mut *state).zip(i.iter().zip(f)).zip(&*g) {
                        *c = f * *c + i * g;
                        *s = *c;
                    }
                    h.iter_mut().zip(&*c).zip(&*o).for_each(|((h, &c), &o)| *h = o * tanh(c));
                }
            },
        );
        start += active;
    }
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    for (h, &e) in h.chunks_exact(hidden).zip(&order.events) {
        y[e * hidden..][..hidden].copy_from_slice(h);
    }
    cell.lane.values[cell.id] = y;
    for (at, buffer) in [(INPUT, input), (GATES, gates), (CELL, states), (BEFORE, before)] {
        cell.give_keep(at, buffer);
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, hidden: usize) {
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    let order = order(&cell.lane.offsets);
    let rows = cell.lane.rows(crate::Rows::Particle);
    let input = cell.take_keep(INPUT, rows * width);
    let mut gates = cell.take_keep(GATES, rows * 4 * hidden);
    let states = cell.take_keep(CELL, rows * hidden);
    let before = cell.take_keep(BEFORE, rows * hidden);
    let weight = cell.parameter(0);
    let view = Matrix::rows(4 * hidden);
    let mut gh = vec![T::ZERO; order.events.len() * hidden];
    let mut gc = vec![T::ZERO; order.events.len() * hidden];
    for (gh, &e) in gh.chunks_exact_mut(hidden).zip(&order.events) {
        gh.copy_from_slice(&cell.lane.grads[cell.id][e * hidden..][..hidden]);
    }
    let zeros = vec![T::ZERO; hidden];
    let mut end = rows;
    for (t, &active) in order.active.iter().enumerate().rev() {
        let start = end - active;
        let previous = start - if t > 0 { order.active[t - 1] } else { 0 };
        // The gates make room for the gradient before their non-linearity. An event that ends at this step brings the
        // gradient of the result in; the others carry theirs from the step after.
        vector(
            #[inline(always)]
            || {
                for r in 0..active {
                    let gates = &mut gates[(start + r) * 4 * hidden..][..4 * hidden];
                    let c = &states[(start + r) * hidden..][..hidden];
                    let c_before = if t > 0 { &states[(previous + r) * hidden..][..hidden] } else { &zeros[..] };
                    let gh = &gh[r * hidden..][..hidden];
                    let gc = &mut gc[r * hidden..][..hidden];
                    let (i, tail) = gates.split_at_mut(hidden);
                    let (f, tail) = tail.split_at_mut(hidden);
                    let (g, o) = tail.split_at_mut(hidden);
                    for n in 0..hidden {
                        let th = tanh(c[n]);
                        let (vi, vf, vg, vo) = (i[n], f[n], g[n], o[n]);
                        let dc = gc[n] + gh[n] * vo * (T::ONE - th * th);
                        i[n] = dc * vg * (vi * (T::ONE - vi));
                        f[n] = dc * c_before[n] * (vf * (T::ONE - vf));
                        g[n] = dc * vi * (T::ONE - vg * vg);
                        o[n] = gh[n] * th * (vo * (T::ONE - vo));
                        gc[n] = dc * vf;
                    }
                }
            },
        );
        if t > 0 {
            let g = (&gates[start * 4 * hidden..end * 4 * hidden], view);
            let weight = (weight, Matrix::transposed(4 * hidden).at(width * 4 * hidden));
            product([active, 4 * hidden, hidden], g, weight, (&mut gh, Matrix::rows(hidden)), T::ZERO);
        }
        end = start;
    }
    sum_rows(cell.parameter_grad(1), &gates);
    let gates_view = (&gates[..], view);
    let grad = cell.parameter_grad(0);
    product([width, rows, 4 * hidden], (&input, Matrix::transposed(width)), gates_view, (grad, view), T::ONE);
    let lower = (cell.parameter_grad(0), view.at(width * 4 * hidden));
    product([hidden, rows, 4 * hidden], (&before, Matrix::transposed(hidden)), gates_view, lower, T::ONE);
    if cell.needs_gradient[source] {
        let mut ordered = cell.take_keep(GRAD, rows * width);
        let weight = (weight, Matrix::transposed(4 * hidden));
        let to = (&mut ordered[..], Matrix::rows(width));
        product([rows, 4 * hidden, width], gates_view, weight, to, T::ZERO);
        let mut gx = cell.lane.take_grad_zeroed(source, rows * width);
        let mut row = 0;
        for (t, &active) in order.active.iter().enumerate() {
            for &e in &order.events[..active] {
                let to = &mut gx[(cell.lane.offsets[e] + t) * width..][..width];
                to.iter_mut().zip(&ordered[row * width..][..width]).for_each(|(gx, &g)| *gx += g);
                row += 1;
            }
        }
        cell.lane.give_grad(source, gx);
        cell.give_keep(GRAD, ordered);
    }
    for (at, buffer) in [(INPUT, input), (GATES, gates), (CELL, states), (BEFORE, before)] {
        cell.give_keep(at, buffer);
    }
}
