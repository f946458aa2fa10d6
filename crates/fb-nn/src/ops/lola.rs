//! The Lorentz layer (arXiv:1707.08966): combinations of momenta, and what they are to each other by a metric. In double
//! precision.

use super::Cell;
use crate::kernels::Real;

/// Parameters, by their place.
const COMBINATIONS: usize = 0;
const ENERGIES: usize = 1;
const SUMS: usize = 2;
const MINIMA: usize = 3;
const METRIC: usize = 4;

/// Numbers of each combination: m², pT, a sum of energies, two sums and two minima of distances.
const NUMBERS: usize = 7;

/// px, py, pz, E of all combinations: the sum of all momenta, each of them, trainable ones.
fn combined<T: Real>(x: &[T], weights: &[T], combinations: usize) -> Vec<[f64; 4]> {
    let momenta: Vec<[f64; 4]> = x.chunks_exact(4).map(|p| [0, 1, 2, 3].map(|c| p[c].f64())).collect();
    let mut all = vec![[0.0; 4]];
    all.extend(&momenta);
    let first = all.len();
    all.resize(first + combinations, [0.0; 4]);
    for (p, weights) in momenta.iter().zip(weights.chunks_exact(combinations)) {
        (0..4).for_each(|c| all[0][c] += p[c]);
        for (sum, w) in all[first..].iter_mut().zip(weights) {
            (0..4).for_each(|c| sum[c] += w.f64() * p[c]);
        }
    }
    all
}

fn metric<T: Real>(cell: &Cell<'_, T>) -> [f64; 4] {
    if cell.node().parameters.len() > METRIC {
        let g = cell.parameter(METRIC);
        [0, 1, 2, 3].map(|c| g[c].f64())
    } else {
        [-1.0, -1.0, -1.0, 1.0]
    }
}

/// p² with the metric g.
fn square(p: &[f64; 4], g: &[f64; 4]) -> f64 {
    (0..4).map(|c| g[c] * p[c] * p[c]).sum()
}

fn minus(p: &[f64; 4], q: &[f64; 4]) -> [f64; 4] {
    [0, 1, 2, 3].map(|c| p[c] - q[c])
}

/// The smallest of w_m·d_m over all others, and where it is.
fn smallest<T: Real>(weights: &[T], distances: &[f64], own: usize) -> (f64, usize) {
    let all = weights.iter().zip(distances).enumerate().filter(|(m, _)| *m != own);
    all.map(|(m, (w, d))| (w.f64() * d, m)).fold((f64::INFINITY, own), |a, b| if b.0 < a.0 { b } else { a })
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, combinations: usize) {
    let mut y = cell.take_value();
    let (width, source) = (cell.node().width, cell.source(0));
    let (n, g) = (width / NUMBERS, metric(cell));
    let [energies, sums, minima] = [ENERGIES, SUMS, MINIMA].map(|i| cell.parameter(i));
    let mut distances = vec![0.0; n];
    let rows = cell.lane.values[source].chunks_exact(cell.graph.nodes[source].width);
    for (y, x) in y.chunks_exact_mut(width).zip(rows) {
        let k = combined(x, cell.parameter(COMBINATIONS), combinations);
        for (j, p) in k.iter().enumerate() {
            for (d, q) in distances.iter_mut().zip(&k) {
                *d = square(&minus(p, q), &g);
            }
            let row = |copy: usize| (copy * n + j) * n..(copy * n + j + 1) * n;
            let sum = |copy: usize| -> f64 { sums[row(copy)].iter().zip(&distances).map(|(w, d)| w.f64() * d).sum() };
            let energy: f64 = energies[row(0)].iter().zip(&k).map(|(w, q)| w.f64() * q[3]).sum();
            let least = |copy: usize| smallest(&minima[row(copy)], &distances, j).0;
            let values = [square(p, &g), p[0].hypot(p[1]), energy, sum(0), sum(1), least(0), least(1)];
            values.iter().enumerate().for_each(|(i, &value)| y[i * n + j] = T::of(value));
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, combinations: usize) {
    let (width, source) = (cell.node().width, cell.source(0));
    let (n, metric, input) = (width / NUMBERS, metric(cell), cell.graph.nodes[source].width);
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let all = std::mem::take(&mut cell.lane.values[source]);
    let [energies, sums, minima] = [ENERGIES, SUMS, MINIMA].map(|i| cell.parameter(i));
    let mut distances = vec![0.0; n];
    let mut d_metric = [0.0; 4];
    for (g, x) in g.chunks_exact(width).zip(all.chunks_exact(input)) {
        let k = combined(x, cell.parameter(COMBINATIONS), combinations);
        let mut gk = vec![[0.0; 4]; n];
        for (j, p) in k.iter().enumerate() {
            let of = |i: usize| g[i * n + j].f64();
            let pt = p[0].hypot(p[1]);
            if pt > 0.0 {
                (0..2).for_each(|c| gk[j][c] += of(1) * p[c] / pt);
            }
            for c in 0..4 {
                gk[j][c] += 2.0 * of(0) * metric[c] * p[c];
                d_metric[c] += of(0) * p[c] * p[c];
            }
            for (d, q) in distances.iter_mut().zip(&k) {
                *d = square(&minus(p, q), &metric);
            }
            let row = |copy: usize| (copy * n + j) * n..(copy * n + j + 1) * n;
            let least = [0, 1].map(|copy| smallest(&minima[row(copy)], &distances, j).1);
            for m in 0..n {
                let at = j * n + m;
                gk[m][3] += of(2) * energies[at].f64();
                cell.parameter_grad(ENERGIES)[at] += T::of(of(2) * k[m][3]);
                // The slope of the distance.
                let mut slope = 0.0;
                for (copy, &least) in least.iter().enumerate() {
                    let at = copy * n * n + at;
                    slope += of(3 + copy) * sums[at].f64();
                    cell.parameter_grad(SUMS)[at] += T::of(of(3 + copy) * distances[m]);
                    if least == m {
                        slope += of(5 + copy) * minima[at].f64();
                        cell.parameter_grad(MINIMA)[at] += T::of(of(5 + copy) * distances[m]);
                    }
                }
                let d = minus(p, &k[m]);
                for c in 0..4 {
                    let along = 2.0 * slope * metric[c] * d[c];
                    gk[j][c] += along;
                    gk[m][c] -= along;
                    d_metric[c] += slope * d[c] * d[c];
                }
            }
        }
        let first = 1 + input / 4;
        let weights = cell.parameter_grad(COMBINATIONS);
        for (p, weights) in x.chunks_exact(4).zip(weights.chunks_exact_mut(combinations)) {
            for (w, gk) in weights.iter_mut().zip(&gk[first..]) {
                *w += T::of((0..4).map(|c| p[c].f64() * gk[c]).sum());
            }
        }
    }
    if cell.node().parameters.len() > METRIC {
        cell.parameter_grad(METRIC).iter_mut().zip(d_metric).for_each(|(g, d)| *g += T::of(d));
    }
    cell.lane.values[source] = all;
    cell.lane.grads[cell.id] = g;
}
