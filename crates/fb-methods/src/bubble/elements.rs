//! Radial fields as polynomials of order eight on elements, with collocation at the nodes of Gauss, Lobatto and Legendre.
//!
//! The equations are those that make the action with its integral replaced by the rule of Lobatto stationary:
//! Kφ + M V′(φ) = 0 with K from ∫ r^{d−1} φ′² and M = w r^{d−1}, diagonal. They are symmetric, the centre needs no
//! condition, and the error of the action is the square of that of the field.

use fb_statistics::matrix::dot;

/// Order of the polynomials.
const ORDER: usize = 8;
/// Nodes of an element.
const NODES: usize = ORDER + 1;

/// A potential seen from its false vacuum.
pub(super) trait Hill {
    /// V(φ)
    fn value(&mut self, phi: &[f64]) -> f64;
    /// V(φ), its gradient, and its Hessian row by row.
    fn second(&mut self, phi: &[f64], gradient: &mut [f64], hessian: &mut [f64]) -> f64;
}

/// Nodes, weights and derivatives on [−1, 1].
#[derive(Debug, Clone)]
struct Basis {
    nodes: [f64; NODES],
    weights: [f64; NODES],
    /// ℓⱼ′(xᵢ)
    derivative: [[f64; NODES]; NODES],
    /// From values at the nodes to the coefficients of the last two Legendre polynomials.
    last: [[f64; NODES]; 2],
}

/// P₀(x) … P_ORDER(x)
fn legendre(x: f64) -> [f64; NODES] {
    let mut p = [1.0; NODES];
    p[1] = x;
    for k in 1..ORDER {
        p[k + 1] = ((2 * k + 1) as f64 * x * p[k] - k as f64 * p[k - 1]) / (k + 1) as f64;
    }
    p
}

impl Basis {
    fn new() -> Self {
        let n = ORDER as f64;
        let mut nodes = [0.0; NODES];
        for (i, node) in nodes.iter_mut().enumerate() {
            // The nodes are the extrema of the last polynomial: zeros of (1 − x²) P′ ∝ P_{n−1} − x P_n.
            let mut x = -(std::f64::consts::PI * i as f64 / n).cos();
            for _ in 0..50 {
                let p = legendre(x);
                x -= (x * p[ORDER] - p[ORDER - 1]) / ((n + 1.0) * p[ORDER]);
            }
            *node = x;
        }
        let values = nodes.map(legendre);
        let weights = values.map(|p| 2.0 / (n * (n + 1.0) * p[ORDER] * p[ORDER]));
        let mut derivative = [[0.0; NODES]; NODES];
        for (i, row) in derivative.iter_mut().enumerate() {
            for j in (0..NODES).filter(|&j| j != i) {
                row[j] = values[i][ORDER] / values[j][ORDER] / (nodes[i] - nodes[j]);
            }
            row[i] = -row.iter().sum::<f64>();
        }
        let mut last = [[0.0; NODES]; 2];
        for j in 0..NODES {
            last[0][j] = (2.0 * n - 1.0) / 2.0 * weights[j] * values[j][ORDER - 1];
            last[1][j] = n / 2.0 * weights[j] * values[j][ORDER];
        }
        Self { nodes, weights, derivative, last }
    }

    /// ℓⱼ(x)
    fn interpolation(&self, x: f64) -> [f64; NODES] {
        let mut values = [0.0; NODES];
        if let Some(hit) = self.nodes.iter().position(|node| *node == x) {
            values[hit] = 1.0;
            return values;
        }
        for (j, value) in values.iter_mut().enumerate() {
            let others = (0..NODES).filter(|&k| k != j);
            *value = others.map(|k| (x - self.nodes[k]) / (self.nodes[j] - self.nodes[k])).product();
        }
        values
    }
}

/// Where the fields live: elements from the centre outwards.
#[derive(Debug, Clone)]
pub(super) struct Space {
    basis: Basis,
    pub edges: Vec<f64>,
    pub dimension: usize,
    pub fields: usize,
}

/// Derivatives of the action at given fields.
pub(super) struct Assembled {
    /// Derivatives of the action by the fields at the nodes.
    pub gradient: Vec<f64>,
    /// Second derivatives.
    pub matrix: Skyline,
}

impl Space {
    /// Elements that resolve `fields` of r to a part `tolerance` of `scale`, by halving.
    pub fn resolving(
        (fields, dimension): (usize, usize),
        radius: f64,
        (tolerance, scale): (f64, f64),
        field: &mut dyn FnMut(f64, &mut [f64]),
    ) -> (Self, Vec<f64>) {
        let edges = (0..=4).map(|i| radius * f64::from(i) / 4.0).collect();
        let mut space = Self { basis: Basis::new(), edges, dimension, fields };
        for _ in 0..40 {
            let phi = space.sample(field);
            let coarse = space.unresolved(&phi, tolerance * scale);
            if !coarse.contains(&true) || space.edges.len() > 400 {
                return (space, phi);
            }
            space = space.halved(&coarse);
        }
        let phi = space.sample(field);
        (space, phi)
    }

    fn sample(&self, field: &mut dyn FnMut(f64, &mut [f64])) -> Vec<f64> {
        let mut phi = vec![0.0; self.nodes() * self.fields];
        for (i, phi) in phi.chunks_mut(self.fields).enumerate() {
            field(self.radius(i), phi);
        }
        phi
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        (self.edges.len() - 1) * ORDER + 1
    }

    /// The radius of a node.
    pub fn radius(&self, node: usize) -> f64 {
        let element = (node / ORDER).min(self.edges.len() - 2);
        let (a, b) = (self.edges[element], self.edges[element + 1]);
        f64::midpoint(a, b) + (b - a) / 2.0 * self.basis.nodes[node - element * ORDER]
    }

    /// The fields at a radius.
    pub fn value(&self, phi: &[f64], r: f64, out: &mut [f64]) {
        let element = self.edges.partition_point(|edge| *edge <= r).clamp(1, self.edges.len() - 1) - 1;
        let (a, b) = (self.edges[element], self.edges[element + 1]);
        let weights = self.basis.interpolation((2.0 * r - a - b) / (b - a));
        out.fill(0.0);
        for (j, weight) in weights.iter().enumerate() {
            let node = &phi[(element * ORDER + j) * self.fields..][..self.fields];
            out.iter_mut().zip(node).for_each(|(o, x)| *o += weight * x);
        }
    }

    /// Elements in which the last coefficients of a field are larger than `bound`.
    pub fn unresolved(&self, phi: &[f64], bound: f64) -> Vec<bool> {
        let element = |e: usize| {
            (0..self.fields).any(|f| {
                self.basis.last.iter().any(|row| {
                    let sum: f64 =
                        row.iter().enumerate().map(|(j, w)| w * phi[(e * ORDER + j) * self.fields + f]).sum();
                    sum.abs() > bound
                })
            })
        };
        (0..self.edges.len() - 1).map(element).collect()
    }

    /// The space with these elements halved.
    pub fn halved(&self, which: &[bool]) -> Self {
        let mut edges = vec![self.edges[0]];
        for (pair, halve) in self.edges.windows(2).zip(which) {
            if *halve {
                edges.push(f64::midpoint(pair[0], pair[1]));
            }
            edges.push(pair[1]);
        }
        Self { edges, ..self.clone() }
    }

    /// ∫ r^{d−1} φ′²/2 and ∫ r^{d−1} V
    pub fn energies(&self, phi: &[f64], hill: &mut dyn Hill) -> (f64, f64) {
        let (n, mut kinetic, mut potential) = (self.fields, 0.0, 0.0);
        for (e, pair) in self.edges.windows(2).enumerate() {
            let half = (pair[1] - pair[0]) / 2.0;
            let local = &phi[e * ORDER * n..][..NODES * n];
            for q in 0..NODES {
                let r = f64::midpoint(pair[0], pair[1]) + half * self.basis.nodes[q];
                let weight = self.basis.weights[q] * r.powi(self.dimension as i32 - 1);
                for f in 0..n {
                    let slope: f64 = (0..NODES).map(|j| self.basis.derivative[q][j] * local[j * n + f]).sum();
                    kinetic += weight / half * slope * slope / 2.0;
                }
                potential += weight * half * hill.value(&local[q * n..][..n]);
            }
        }
        (kinetic, potential)
    }

    /// Gradient and Hessian of the action, in which that of V is what `curvature` makes of it; `tail` is the matrix κ
    /// of the outer condition φ′ = −κφ.
    pub fn assemble(
        &self,
        phi: &[f64],
        hill: &mut dyn Hill,
        tail: &[f64],
        curvature: &dyn Fn(&mut [f64]),
    ) -> Assembled {
        let n = self.fields;
        let size = self.nodes() * n;
        let first = |i: usize| (i / n).saturating_sub(1) / ORDER * ORDER * n;
        let mut matrix = Skyline::new((0..size).map(first).collect());
        let mut gradient = vec![0.0; size];
        let mut mass = vec![0.0; self.nodes()];
        for (e, pair) in self.edges.windows(2).enumerate() {
            let half = (pair[1] - pair[0]) / 2.0;
            let at = e * ORDER;
            let mut stiffness = [[0.0; NODES]; NODES];
            for q in 0..NODES {
                let r = f64::midpoint(pair[0], pair[1]) + half * self.basis.nodes[q];
                let weight = self.basis.weights[q] * r.powi(self.dimension as i32 - 1);
                mass[at + q] += weight * half;
                let slopes = &self.basis.derivative[q];
                for (i, row) in stiffness.iter_mut().enumerate() {
                    let factor = weight / half * slopes[i];
                    row.iter_mut().zip(slopes).for_each(|(s, d)| *s += factor * d);
                }
            }
            for (i, row) in stiffness.iter().enumerate() {
                for f in 0..n {
                    let sum: f64 = (0..NODES).map(|j| row[j] * phi[(at + j) * n + f]).sum();
                    gradient[(at + i) * n + f] += sum;
                    for (j, entry) in row[..=i].iter().enumerate() {
                        *matrix.entry((at + i) * n + f, (at + j) * n + f) += entry;
                    }
                }
            }
        }
        let (mut slope, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
        for (node, weight) in mass.iter().enumerate() {
            hill.second(&phi[node * n..][..n], &mut slope, &mut hessian);
            curvature(&mut hessian);
            for i in 0..n {
                gradient[node * n + i] += weight * slope[i];
                for j in 0..=i {
                    *matrix.entry(node * n + i, node * n + j) += weight * hessian[i * n + j];
                }
            }
        }
        let area = self.edges[self.edges.len() - 1].powi(self.dimension as i32 - 1);
        for i in 0..n {
            for j in 0..n {
                gradient[size - n + i] += area * tail[i * n + j] * phi[size - n + j];
                if j <= i {
                    *matrix.entry(size - n + i, size - n + j) += area * tail[i * n + j];
                }
            }
        }
        Assembled { gradient, matrix }
    }
}

/// A symmetric matrix, of each row the entries from the first that is not zero to the diagonal.
#[derive(Debug, Clone)]
pub(super) struct Skyline {
    first: Vec<usize>,
    /// Where each row begins.
    offset: Vec<usize>,
    values: Vec<f64>,
}

impl Skyline {
    fn new(first: Vec<usize>) -> Self {
        let mut length = 0;
        let mut offset = Vec::with_capacity(first.len());
        for (i, from) in first.iter().enumerate() {
            offset.push(length);
            length += i + 1 - from;
        }
        Self { first, offset, values: vec![0.0; length] }
    }

    fn entry(&mut self, i: usize, j: usize) -> &mut f64 {
        &mut self.values[self.offset[i] + j - self.first[i]]
    }

    /// Solves A x = b by A = L D Lᵀ, without exchanges; the number of negative entries of D, which is that of negative
    /// eigenvalues of A.
    pub fn solve(mut self, b: &[f64]) -> (Vec<f64>, usize) {
        let (mut x, mut pivots) = (b.to_vec(), vec![0.0; b.len()]);
        for i in 0..x.len() {
            let (before, row) = self.values.split_at_mut(self.offset[i]);
            let first = self.first[i];
            for j in first..i {
                let from = first.max(self.first[j]);
                let other = &before[self.offset[j] + from - self.first[j]..][..j - from];
                row[j - first] -= dot(&row[from - first..j - first], other);
            }
            let mut pivot = row[i - first];
            for (entry, d) in row[..i - first].iter_mut().zip(&pivots[first..i]) {
                let scaled = *entry / d;
                pivot -= *entry * scaled;
                *entry = scaled;
            }
            pivots[i] = pivot;
            x[i] -= dot(&row[..i - first], &x[first..i]);
        }
        x.iter_mut().zip(&pivots).for_each(|(x, pivot)| *x /= pivot);
        for i in (0..x.len()).rev() {
            let (first, offset) = (self.first[i], self.offset[i]);
            let known = x[i];
            for (unknown, entry) in x[first..i].iter_mut().zip(&self.values[offset..]) {
                *unknown -= known * entry;
            }
        }
        (x, pivots.iter().filter(|pivot| **pivot < 0.0).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skyline_is_solved_and_its_negative_eigenvalues_counted() {
        // Rows from columns 0, 0, 1, 1, 3.
        let dense = [
            [2.0, -1.0, 0.0, 0.0, 0.0],
            [-1.0, -3.0, 0.5, 0.7, 0.0],
            [0.0, 0.5, 4.0, 1.0, 0.0],
            [0.0, 0.7, 1.0, 5.0, -2.0],
            [0.0, 0.0, 0.0, -2.0, -1.0],
        ];
        let mut matrix = Skyline::new(vec![0, 0, 1, 1, 3]);
        for (i, row) in dense.iter().enumerate() {
            for (j, value) in row[..=i].iter().enumerate().skip(matrix.first[i]) {
                *matrix.entry(i, j) = *value;
            }
        }
        let b = [1.0, 2.0, -1.0, 0.5, 3.0];
        let (x, negative) = matrix.solve(&b);
        for (row, b) in dense.iter().zip(b) {
            assert!((row.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>() - b).abs() < 1e-14);
        }
        assert_eq!(negative, 2);
    }

    #[test]
    fn derivatives_of_the_action_are_those_of_its_value() {
        struct Quartic;
        impl Hill for Quartic {
            fn value(&mut self, phi: &[f64]) -> f64 {
                phi[0] * phi[0] * phi[1] - phi[1].powi(4)
            }
            fn second(&mut self, phi: &[f64], gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
                let (x, y) = (phi[0], phi[1]);
                gradient.copy_from_slice(&[2.0 * x * y, x * x - 4.0 * y * y * y]);
                hessian.copy_from_slice(&[2.0 * y, 2.0 * x, 2.0 * x, -12.0 * y * y]);
                x * x * y - y.powi(4)
            }
        }
        let mut field = |r: f64, phi: &mut [f64]| phi.copy_from_slice(&[1.0 / (1.0 + r * r), (-r * r / 3.0).exp()]);
        let (space, phi) = Space::resolving((2, 3), 9.0, (1e-9, 1.0), &mut field);
        let (kinetic, _) = space.energies(&phi, &mut Quartic);
        let action = |phi: &[f64]| {
            let (kinetic, potential) = space.energies(phi, &mut Quartic);
            kinetic + potential
        };
        // ∫ r² (2r/3)² e^{−2r²/3}/2 = (3/16) √(3π/2) and ∫ r² 4r²/(1+r²)⁴/2 = π/16, less what lies outside.
        let exact = 3.0 / 16.0 * (1.5 * std::f64::consts::PI).sqrt() + std::f64::consts::PI / 16.0;
        assert!((kinetic - exact).abs() < 1e-3, "{kinetic} {exact}");
        let assembled = space.assemble(&phi, &mut Quartic, &[0.0; 4], &|_| {});
        let direction: Vec<f64> = (0..phi.len()).map(|i| (i as f64 * 0.37).sin()).collect();
        let along = |t: f64| -> Vec<f64> { phi.iter().zip(&direction).map(|(p, d)| p + t * d).collect() };
        let (up, down) = (action(&along(1e-4)), action(&along(-1e-4)));
        let slope = dot(&assembled.gradient, &direction);
        assert!(((up - down) / 2e-4 - slope).abs() < 1e-5 * slope.abs(), "{slope}");
        // Solving with the Hessian undoes a difference of gradients.
        let gradient = |t: f64| space.assemble(&along(t), &mut Quartic, &[0.0; 4], &|_| {}).gradient;
        let change: Vec<f64> = gradient(1e-5).iter().zip(gradient(-1e-5)).map(|(a, b)| (a - b) / 2e-5).collect();
        let (back, _) = assembled.matrix.solve(&change);
        assert!(back.iter().zip(&direction).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
