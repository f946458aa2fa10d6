//! Kinematics of pairs of particles. All of it is computed in double precision: invariants are small differences of
//! large products.

use super::Cell;
use crate::kernels::Real;

/// Four numbers px, py, pz, E of a row, with what their rounding left over if it is there.
fn momentum<T: Real>(row: &[T]) -> [f64; 4] {
    [0, 1, 2, 3].map(|c| row[c].f64() + row.get(c + 4).map_or(0.0, |rest| rest.f64()))
}

fn momenta<T: Real>(x: &[T], width: usize) -> Vec<[f64; 4]> {
    x.chunks_exact(width).map(momentum).collect()
}

/// E·E′ − p·p′
fn dot(p: &[f64; 4], q: &[f64; 4]) -> f64 {
    p[3] * q[3] - p[0] * q[0] - p[1] * q[1] - p[2] * q[2]
}

const METRIC: [f64; 4] = [-1.0, -1.0, -1.0, 1.0];

fn minus(p: &[f64; 4], q: &[f64; 4]) -> [f64; 4] {
    [0, 1, 2, 3].map(|c| p[c] - q[c])
}

/// Lower bound of what a logarithm is taken of.
const LEAST: f64 = 1e-8;

pub(super) fn kinematics_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let p = momenta(&cell.lane.values[cell.source(0)], 4);
    let frame = |p: &[f64; 4]| {
        let rapidity = 0.5 * (1.0 + 2.0 * p[2] / (p[3] - p[2]).max(1e-20)).max(1e-20).ln();
        [(p[0] * p[0] + p[1] * p[1]).sqrt(), rapidity, p[1].atan2(p[0])]
    };
    let frames: Vec<[f64; 3]> = p.iter().map(frame).collect();
    let list = &cell.lane.edges;
    for (y, (&i, &j)) in y.chunks_exact_mut(4).zip(list.receivers.iter().zip(&list.senders)) {
        let (i, j) = (i as usize, j as usize);
        let (a, b) = (&frames[i], &frames[j]);
        let turn = (a[2] - b[2]).abs();
        let turn = turn.min(std::f64::consts::TAU - turn);
        let delta = ((a[1] - b[1]).powi(2) + turn * turn).sqrt();
        let softer = a[0].min(b[0]);
        let sum = [0, 1, 2, 3].map(|c| p[i][c] + p[j][c]);
        let values = [softer * delta, softer / (a[0] + b[0]).max(LEAST), delta, dot(&sum, &sum)];
        y.iter_mut().zip(values).for_each(|(y, x)| *y = T::of(x.max(LEAST).ln()));
    }
    cell.lane.values[cell.id] = y;
}

/// sgn(t)·ln(1 + |t|)
fn psi(t: f64) -> f64 {
    t.abs().ln_1p().copysign(t)
}

pub(super) fn minkowski_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let source = cell.source(0);
    let x = momenta(&cell.lane.values[source], cell.graph.nodes[source].width);
    let list = &cell.lane.edges;
    for (y, (&i, &j)) in y.chunks_exact_mut(2).zip(list.receivers.iter().zip(&list.senders)) {
        let (p, q) = (&x[i as usize], &x[j as usize]);
        let d = minus(p, q);
        y[0] = T::of(psi(dot(&d, &d)));
        y[1] = T::of(psi(dot(p, q)));
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn minkowski_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let source = cell.source(0);
    if !cell.needs_gradient[source] {
        return;
    }
    let width = cell.graph.nodes[source].width;
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let x = momenta(&cell.lane.values[source], width);
    let list = &cell.lane.edges;
    let pairs = list.receivers.iter().zip(&list.senders);
    for (g, (&i, &j)) in cell.lane.grads[cell.id].chunks_exact(2).zip(pairs) {
        let (i, j) = (i as usize, j as usize);
        let (p, q) = (&x[i], &x[j]);
        let d = minus(p, q);
        let norm = 2.0 * g[0].f64() / (1.0 + dot(&d, &d).abs());
        let product = g[1].f64() / (1.0 + dot(p, q).abs());
        for c in 0..4 {
            gx[i * width + c] += T::of(METRIC[c] * (norm * d[c] + product * q[c]));
            gx[j * width + c] += T::of(METRIC[c] * (product * p[c] - norm * d[c]));
        }
    }
    cell.lane.give_grad(source, gx);
}

/// ln |1 + p_i·p_j| of every edge; zero counts as the least number there is.
fn products<T: Real>(cell: &Cell<'_, T>) -> Vec<f64> {
    let p = momenta(&cell.lane.values[cell.source(0)], 4);
    let list = &cell.lane.edges;
    let pairs = list.receivers.iter().zip(&list.senders);
    pairs.map(|(&i, &j)| (1.0 + dot(&p[i as usize], &p[j as usize])).abs().max(f64::MIN_POSITIVE).ln()).collect()
}

/// a = α² + 10⁻⁶
fn power(alpha: f64) -> f64 {
    alpha * alpha + 1e-6
}

pub(super) fn invariants_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    let width = cell.node().width;
    let powers: Vec<f64> = cell.parameter(0).iter().map(|a| power(a.f64())).collect();
    for (y, log) in y.chunks_exact_mut(width).zip(products(cell)) {
        y.iter_mut().zip(&powers).for_each(|(y, a)| *y = T::of((a * log).exp_m1() / a));
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn invariants_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let width = cell.node().width;
    let alpha = cell.parameter(0);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    for (g, log) in g.chunks_exact(width).zip(products(cell)) {
        for ((sum, g), alpha) in cell.parameter_grad(0).iter_mut().zip(g).zip(alpha) {
            let alpha = alpha.f64();
            let a = power(alpha);
            // d/da (x^a − 1)/a
            let slope = (log * (a * log).exp() - (a * log).exp_m1() / a) / a;
            *sum += T::of(g.f64() * 2.0 * alpha * slope);
        }
    }
    cell.lane.grads[cell.id] = g;
}

pub(super) fn displace_forward<T: Real>(cell: &mut Cell<'_, T>, step: f64, limit: f64) {
    let mut y = cell.take_value();
    let source = cell.source(0);
    let x = momenta(&cell.lane.values[source], cell.graph.nodes[source].width);
    let s = &cell.lane.values[cell.source(1)];
    let list = &cell.lane.edges;
    for (i, (y, edges)) in y.chunks_exact_mut(8).zip(list.offsets.windows(2)).enumerate() {
        let mut sum = [0.0; 4];
        for at in edges[0]..edges[1] {
            let d = minus(&x[i], &x[list.senders[at] as usize]);
            for c in 0..4 {
                sum[c] += (s[at].f64() * d[c]).clamp(-limit, limit);
            }
        }
        let factor = step / (edges[1] - edges[0]).max(1) as f64;
        for c in 0..4 {
            let moved = x[i][c] + factor * sum[c];
            y[c] = T::of(moved);
            y[c + 4] = T::of(moved - y[c].f64());
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn displace_backward<T: Real>(cell: &mut Cell<'_, T>, step: f64, limit: f64) {
    let [source, factors] = [0, 1].map(|i| cell.source(i));
    let width = cell.graph.nodes[source].width;
    let x = momenta(&cell.lane.values[source], width);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let mut gs = cell.lane.take_grad_zeroed(factors, cell.lane.values[factors].len());
    let moves = cell.needs_gradient[source];
    let mut gx = if moves { cell.lane.take_grad_zeroed(source, x.len() * width) } else { Vec::new() };
    let s = &cell.lane.values[factors];
    let list = &cell.lane.edges;
    for (i, (g, edges)) in g.chunks_exact(8).zip(list.offsets.windows(2)).enumerate() {
        // What rounding left over is no quantity of its own: only the first four numbers carry a gradient.
        let factor = step / (edges[1] - edges[0]).max(1) as f64;
        let g = [0, 1, 2, 3].map(|c| g[c].f64());
        for at in edges[0]..edges[1] {
            let j = list.senders[at] as usize;
            let d = minus(&x[i], &x[j]);
            let s = s[at].f64();
            let mut sum = 0.0;
            for c in 0..4 {
                if (s * d[c]).abs() < limit {
                    sum += g[c] * d[c];
                    if moves {
                        let through = T::of(factor * g[c] * s);
                        gx[i * width + c] += through;
                        gx[j * width + c] += -through;
                    }
                }
            }
            gs[at] += T::of(factor * sum);
        }
        if moves {
            (0..4).for_each(|c| gx[i * width + c] += T::of(g[c]));
        }
    }
    cell.lane.give_grad(factors, gs);
    if moves {
        cell.lane.give_grad(source, gx);
    }
    cell.lane.grads[cell.id] = g;
}
