//! Points in boxes, and the quadrature of Gauss and Legendre.

use fb_core::Philox;

/// Nodes and weights on [−1, 1].
#[derive(Debug, Clone)]
pub(super) struct Gauss {
    nodes: Vec<(f64, f64)>,
}

impl Gauss {
    /// Exact for polynomials up to degree 2n − 1.
    pub fn new(n: usize) -> Self {
        let node = |i: usize| {
            let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (mut p, mut before) = (1.0, 0.0);
                for k in 0..n {
                    let k = k as f64;
                    (p, before) = (((2.0 * k + 1.0) * x * p - k * before) / (k + 1.0), p);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                let step = p / slope;
                x -= step;
                if step.abs() < 1e-16 {
                    break;
                }
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        };
        Self { nodes: (0..n).map(node).collect() }
    }

    /// Weights and nodes between two numbers, in either order.
    pub fn on(&self, low: f64, high: f64) -> Vec<(f64, f64)> {
        let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
        self.nodes.iter().map(|(x, w)| (half * w, centre + half * x)).collect()
    }
}

/// The roots of the Chebyshev polynomial of degree n, on an interval.
pub(super) fn chebyshev(n: usize, (low, high): (f64, f64)) -> Vec<f64> {
    let node = |i: usize| -(std::f64::consts::PI * (i as f64 + 0.5) / n as f64).cos();
    (0..n).map(|i| 0.5 * (low + high) + 0.5 * (high - low) * node(i)).collect()
}

/// n points of equal distance, both ends among them.
pub(super) fn uniform(n: usize, (low, high): (f64, f64)) -> Vec<f64> {
    let last = (n - 1).max(1) as f64;
    // The ends exactly.
    (0..n).map(|i| low * (1.0 - i as f64 / last) + high * (i as f64 / last)).collect()
}

/// The middles of n equal parts.
pub(super) fn middles(n: usize, (low, high): (f64, f64)) -> Vec<f64> {
    (0..n).map(|i| low + (high - low) * (i as f64 + 0.5) / n as f64).collect()
}

/// All combinations, the last coordinate fastest.
pub(super) fn tensor(axes: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut points = vec![Vec::new()];
    for axis in axes {
        let longer = |point: &Vec<f64>| -> Vec<Vec<f64>> {
            axis.iter().map(|x| point.iter().copied().chain([*x]).collect()).collect()
        };
        points = points.iter().flat_map(longer).collect();
    }
    points
}

/// One point in each of n slices of every coordinate (McKay, Beckman, Conover, Technometrics 21, 239).
pub(super) fn latin_hypercube(n: usize, domain: &[(f64, f64)], seed: u64) -> Vec<Vec<f64>> {
    let axes: Vec<Vec<f64>> = domain
        .iter()
        .enumerate()
        .map(|(i, (low, high))| {
            let mut random = Philox::new(seed, 0xb0, i as u64);
            let order = random.permutation(n);
            order.into_iter().map(|k| low + (high - low) * (k as f64 + random.uniform()) / n as f64).collect()
        })
        .collect();
    (0..n).map(|i| axes.iter().map(|axis| axis[i]).collect()).collect()
}

/// The sequence of Sobol' with the direction numbers of Joe and Kuo (SIAM J. Sci. Comput. 30, 2635), from its second point on.
pub(super) fn sobol(n: usize, domain: &[(f64, f64)]) -> Vec<Vec<f64>> {
    /// Degree and coefficients of the primitive polynomials, and the first direction numbers.
    const RULES: [(usize, u32, [u32; 3]); 3] = [(1, 0, [1, 0, 0]), (2, 1, [1, 3, 0]), (3, 1, [1, 3, 1])];
    let directions = |dimension: usize| -> Vec<u32> {
        let Some(&(degree, coefficients, start)) = dimension.checked_sub(1).and_then(|d| RULES.get(d)) else {
            return (0..32).map(|k| 1 << (31 - k)).collect();
        };
        let mut v: Vec<u32> = (0..degree).map(|k| start[k] << (31 - k)).collect();
        for k in degree..32 {
            let mut next = v[k - degree] ^ (v[k - degree] >> degree);
            for j in 1..degree {
                if coefficients >> (degree - 1 - j) & 1 == 1 {
                    next ^= v[k - j];
                }
            }
            v.push(next);
        }
        v
    };
    let tables: Vec<Vec<u32>> = (0..domain.len()).map(directions).collect();
    let mut state = vec![0u32; domain.len()];
    let mut points = Vec::with_capacity(n);
    for i in 0..n {
        let bit = (!(i as u32)).trailing_zeros() as usize;
        state.iter_mut().zip(&tables).for_each(|(x, table)| *x ^= table[bit.min(31)]);
        let place = |(x, (low, high)): (&u32, &(f64, f64))| low + (high - low) * f64::from(*x) / 4_294_967_296.0;
        points.push(state.iter().zip(domain).map(place).collect());
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_polynomials() {
        for n in [1, 2, 5, 24, 40] {
            let gauss = Gauss::new(n);
            for power in 0..2 * n {
                let sum: f64 = gauss.on(0.0, 1.0).iter().map(|(w, x)| w * x.powi(power as i32)).sum();
                assert!((sum - 1.0 / (power as f64 + 1.0)).abs() < 1e-14, "{n} {power}: {sum}");
            }
        }
    }

    #[test]
    fn sobol_points_are_the_known_ones() {
        let points = sobol(7, &[(0.0, 1.0); 4]);
        assert_eq!(points[0], [0.5; 4]);
        assert_eq!(points[1], [0.75, 0.25, 0.25, 0.25]);
        assert_eq!(points[2], [0.25, 0.75, 0.75, 0.75]);
        assert_eq!(points[3], [0.375, 0.375, 0.625, 0.875]);
        // Every coordinate has one point in each interval of sixteen.
        let points = sobol(15, &[(0.0, 1.0); 4]);
        for i in 0..4 {
            let mut cells: Vec<usize> = points.iter().map(|p| (p[i] * 16.0) as usize).collect();
            cells.sort_unstable();
            assert_eq!(cells, (1..16).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_latin_hypercube_has_one_point_a_slice() {
        let points = latin_hypercube(20, &[(0.0, 20.0), (-10.0, 10.0)], 3);
        for (i, low) in [(0, 0.0), (1, -10.0)] {
            let mut cells: Vec<usize> = points.iter().map(|p| (p[i] - low) as usize).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..20).collect::<Vec<_>>());
        }
    }
}
