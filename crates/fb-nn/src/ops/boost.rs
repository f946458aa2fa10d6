//! The Lorentz boost network (arXiv:1812.09722): combinations of momenta, boosted into rest frames that are combinations
//! too. In double precision; the gradient of each boosted momentum is an 8 × 8 Jacobian.

use super::Cell;
use super::dual::Dual;
use crate::graph::{BOOST_LEAST, BOOST_SLOWEST};
use crate::kernels::Real;

/// Numbers of each boosted momentum: E, pT, η, φ, m.
const OWN: usize = 5;

/// E, pT, η, φ, m and the direction of a momentum P in the rest frame of R; both px, py, pz, E.
fn boosted<const N: usize>(p: [Dual<N>; 4], r: [Dual<N>; 4]) -> [Dual<N>; OWN + 3] {
    let (one, least) = (Dual::constant(1.0), Dual::constant(BOOST_LEAST));
    let energy = r[3].at_least(BOOST_LEAST);
    let beta = [0, 1, 2].map(|c| r[c] / energy);
    let dot = |a: [Dual<N>; 3], b: [Dual<N>; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let gamma = one / (one - dot(beta, beta)).at_least(BOOST_SLOWEST).sqrt();
    let space = [p[0], p[1], p[2]];
    let along = dot(beta, space);
    // (γ − 1)/β² = γ²/(1 + γ), without its 0/0.
    let shift = gamma * gamma / (one + gamma) * along - gamma * p[3];
    let q = [0, 1, 2].map(|c| space[c] + shift * beta[c]);
    let e = gamma * (p[3] - along);
    let plane = q[0] * q[0] + q[1] * q[1];
    let pt = (plane + least).sqrt();
    let square = dot(q, q);
    let mass = ((e * e - square).at_least(0.0) + least).sqrt();
    let size = (square + least).sqrt();
    // A momentum at rest has no azimuth, but rounding would give it one.
    let phi = Dual::atan2(q[1], q[0], BOOST_LEAST) * (plane / (plane + least));
    [e, pt, (q[2] / pt).asinh(), phi, mass, q[0] / size, q[1] / size, q[2] / size]
}

/// Σ_i |w_im|·p_i of one event.
fn combined<T: Real>(x: &[T], weights: &[T], combinations: usize) -> Vec<[f64; 4]> {
    let mut sums = vec![[0.0; 4]; combinations];
    for (p, weights) in x.chunks_exact(4).zip(weights.chunks_exact(combinations)) {
        for (sum, w) in sums.iter_mut().zip(weights) {
            let w = w.f64().abs();
            sum.iter_mut().zip(p).for_each(|(s, p)| *s += w * p.f64());
        }
    }
    sums
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, combinations: usize) {
    let mut y = cell.take_value();
    let (width, source) = (cell.node().width, cell.source(0));
    let rows = cell.lane.values[source].chunks_exact(cell.graph.nodes[source].width);
    for (y, x) in y.chunks_exact_mut(width).zip(rows) {
        let [p, r] = [0, 1].map(|i| combined(x, cell.parameter(i), combinations));
        let mut directions = Vec::with_capacity(combinations);
        for (m, (p, r)) in p.iter().zip(&r).enumerate() {
            let values = boosted::<0>(p.map(Dual::constant), r.map(Dual::constant)).map(|x| x.value);
            for (i, &value) in values[..OWN].iter().enumerate() {
                y[i * combinations + m] = T::of(value);
            }
            directions.push([values[OWN], values[OWN + 1], values[OWN + 2]]);
        }
        let mut at = OWN * combinations;
        for (m, u) in directions.iter().enumerate() {
            for v in &directions[m + 1..] {
                y[at] = T::of(u[0] * v[0] + u[1] * v[1] + u[2] * v[2]);
                at += 1;
            }
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, combinations: usize) {
    let (width, source) = (cell.node().width, cell.source(0));
    let input = cell.graph.nodes[source].width;
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    let all = std::mem::take(&mut cell.lane.values[source]);
    for (g, x) in g.chunks_exact(width).zip(all.chunks_exact(input)) {
        let [p, r] = [0, 1].map(|i| combined(x, cell.parameter(i), combinations));
        let duals: Vec<[Dual<8>; OWN + 3]> = p
            .iter()
            .zip(&r)
            .map(|(p, r)| {
                let p = [0, 1, 2, 3].map(|c| Dual::variable(p[c], c));
                boosted(p, [0, 1, 2, 3].map(|c| Dual::variable(r[c], c + 4)))
            })
            .collect();
        // The gradient with respect to the eight numbers of each boosted momentum.
        let mut slopes = vec![[0.0; OWN + 3]; combinations];
        for (m, slope) in slopes.iter_mut().enumerate() {
            (0..OWN).for_each(|i| slope[i] = g[i * combinations + m].f64());
        }
        let mut at = OWN * combinations;
        for m in 0..combinations {
            for n in m + 1..combinations {
                let g = g[at].f64();
                at += 1;
                for c in OWN..OWN + 3 {
                    slopes[m][c] += g * duals[n][c].value;
                    slopes[n][c] += g * duals[m][c].value;
                }
            }
        }
        for (which, from) in [(0, 0), (1, 4)] {
            let gradients: Vec<[f64; 4]> = slopes
                .iter()
                .zip(&duals)
                .map(|(slope, dual)| {
                    [0, 1, 2, 3].map(|c| slope.iter().zip(dual).map(|(s, d)| s * d.slope[from + c]).sum::<f64>())
                })
                .collect();
            let weights = cell.parameter(which);
            let sums = cell.parameter_grad(which).chunks_exact_mut(combinations);
            for ((p, weights), sums) in x.chunks_exact(4).zip(weights.chunks_exact(combinations)).zip(sums) {
                for ((sum, w), gradient) in sums.iter_mut().zip(weights).zip(&gradients) {
                    let dot: f64 = p.iter().zip(gradient).map(|(p, g)| p.f64() * g).sum();
                    *sum += T::of(if *w < T::ZERO { -dot } else { dot });
                }
            }
        }
    }
    cell.lane.values[source] = all;
    cell.lane.grads[cell.id] = g;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In its own rest frame a momentum has E = m and no direction; in another, invariants stay.
    #[test]
    fn rest_frames() {
        let constant = |p: [f64; 4]| p.map(Dual::<0>::constant);
        let (p, r) = ([0.3, -1.2, 2.0, 2.9], [1.1, 0.4, -0.7, 1.9]);
        let mass = |p: [f64; 4]| (p[3] * p[3] - p[0] * p[0] - p[1] * p[1] - p[2] * p[2]).sqrt();
        let own = boosted(constant(p), constant(p)).map(|x| x.value);
        assert!((own[0] - mass(p)).abs() < 1e-5 && own[1] < 2e-5 && (own[4] - mass(p)).abs() < 1e-5, "{own:?}");
        let other = boosted(constant(p), constant(r)).map(|x| x.value);
        // E in the rest frame of r is p·r/m.
        let product = p[3] * r[3] - p[0] * r[0] - p[1] * r[1] - p[2] * r[2];
        assert!((other[0] - product / mass(r)).abs() < 1e-9 && (other[4] - mass(p)).abs() < 1e-9, "{other:?}");
        // Light-like frames and nothing at all give numbers.
        for r in [[0.0, 0.0, 1.0, 1.0], [0.0; 4]] {
            assert!(boosted(constant(p), constant(r)).iter().all(|x| x.value.is_finite()));
        }
    }
}
