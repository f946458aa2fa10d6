//! Least squares: the factorisation of a tall matrix, and the method of Levenberg and Marquardt.

use crate::kernels::{Matrix, dot, product};

/// Columns that are reflected at once; what is right of them follows by products of matrices.
const BLOCK: usize = 24;

/// The factor R of A = Q R by Householder's reflections, and Qᵀ b.
///
/// `a` is stored column by column with `rows` in each: those of A, at least as many rows as `columns`, then any number of
/// right sides b. R is left above the diagonal, Qᵀ b in the further columns.
pub fn triangularise(a: &mut [f64], rows: usize, columns: usize) {
    let total = a.len() / rows.max(1);
    let mut reflectors = vec![0.0; rows * BLOCK];
    for start in (0..columns).step_by(BLOCK) {
        let (count, height) = (BLOCK.min(columns - start), rows - start);
        let mut factor = vec![0.0; count * count];
        for k in 0..count {
            let (done, rest) = a.split_at_mut((start + k + 1) * rows);
            let column = &mut done[(start + k) * rows + start + k..][..rows - start - k];
            let tau = reflector(column);
            let v = &mut reflectors[k * height..][..height];
            v[..k].fill(0.0);
            v[k..].copy_from_slice(column);
            v[k] = 1.0;
            for other in rest.chunks_exact_mut(rows).take(count - k - 1) {
                let other = &mut other[start + k..];
                let share = tau * dot(&v[k..], other);
                other.iter_mut().zip(&v[k..]).for_each(|(x, v)| *x -= share * v);
            }
            // Column k of T in H₁ … H_k = 1 − V T Vᵀ.
            factor[k * count + k] = tau;
            let (before, v) = reflectors.split_at(k * height);
            let inner: Vec<f64> = (0..k).map(|j| dot(&before[j * height..][..height], &v[..height])).collect();
            for i in 0..k {
                factor[k * count + i] = -tau * (i..k).map(|j| factor[j * count + i] * inner[j]).sum::<f64>();
            }
        }
        let next = start + count;
        let width = total - next;
        let mut shadow = vec![0.0; count * width];
        let mut turned = vec![0.0; count * width];
        // C − V Tᵀ Vᵀ C, with every matrix stored by columns.
        let v = Matrix { start: 0, row: 1, column: height };
        let right = Matrix { start: next * rows + start, row: 1, column: rows };
        let small = Matrix { start: 0, row: 1, column: count };
        let transposed = |of: Matrix| Matrix { start: of.start, row: of.column, column: of.row };
        product([count, height, width], (&reflectors, transposed(v)), (a, right), (&mut shadow, small), 0.0);
        product([count, count, width], (&factor, transposed(small)), (&shadow, small), (&mut turned, small), 0.0);
        for x in &mut turned {
            *x = -*x;
        }
        product([height, count, width], (&reflectors, v), (&turned, small), (a, right), 1.0);
    }
}

/// Turns a column into the first of R, the rest of it becomes v (with v₀ = 1 left out): (1 − τ v vᵀ) x = r e₀.
fn reflector(x: &mut [f64]) -> f64 {
    let tail = dot(&x[1..], &x[1..]);
    if tail == 0.0 {
        return 0.0;
    }
    let norm = (x[0] * x[0] + tail).sqrt();
    let r = if x[0] > 0.0 { -norm } else { norm };
    let tau = (r - x[0]) / r;
    let scale = 1.0 / (x[0] - r);
    for x in &mut x[1..] {
        *x *= scale;
    }
    x[0] = r;
    tau
}

/// The solution of R x = c with c the right side of this number after [`triangularise`]; zero where a pivot is zero.
pub fn back_substitute(a: &[f64], rows: usize, columns: usize, side: usize) -> Vec<f64> {
    let mut x = a[(columns + side) * rows..][..columns].to_vec();
    for i in (0..columns).rev() {
        let column = &a[i * rows..][..=i];
        x[i] = if column[i] == 0.0 { 0.0 } else { x[i] / column[i] };
        let known = x[i];
        x[..i].iter_mut().zip(column).for_each(|(x, r)| *x -= r * known);
    }
    x
}

/// How near R is to a singular matrix: an estimate of its smallest singular value, columns scaled to one, by inverse
/// iteration with RᵀR. Zero where a pivot is zero.
pub fn smallest_singular(a: &[f64], rows: usize, columns: usize) -> f64 {
    let norms: Vec<f64> = (0..columns).map(|j| dot(&a[j * rows..][..=j], &a[j * rows..][..=j]).sqrt()).collect();
    if (0..columns).any(|j| a[j * rows + j] == 0.0) {
        return 0.0;
    }
    let entry = |i: usize, j: usize| a[j * rows + i] / norms[j];
    let mut x: Vec<f64> = (0..columns).map(|j| if j % 2 == 0 { 1.0 } else { -0.7 }).collect();
    let mut size = 0.0;
    for _ in 0..4 {
        let norm = dot(&x, &x).sqrt();
        for x in &mut x {
            *x /= norm;
        }
        for j in 0..columns {
            let sum: f64 = (0..j).map(|i| entry(i, j) * x[i]).sum();
            x[j] = (x[j] - sum) / entry(j, j);
        }
        for j in (0..columns).rev() {
            x[j] /= entry(j, j);
            let known = x[j];
            (0..j).for_each(|i| x[i] -= entry(i, j) * known);
        }
        size = dot(&x, &x).sqrt();
        if !size.is_finite() {
            return 0.0;
        }
    }
    1.0 / size.sqrt()
}

/// r(x), whose sum of squares is to be least.
pub trait Residuals {
    /// How many.
    fn rows(&self) -> usize;
    /// The residuals at `x`.
    fn values(&self, x: &[f64], values: &mut [f64]);
    /// The residuals at `x`, and row by row their derivatives.
    fn jacobian(&self, x: &[f64], values: &mut [f64], jacobian: &mut [f64]);
}

/// When [`levenberg_marquardt`] ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most evaluations of the derivatives.
    pub steps: usize,
    /// The sum of squares that is good enough.
    pub target: f64,
    /// λ at first, relative to the squares of the columns.
    pub damping: f64,
    /// It ends when five steps together lower the sum of squares by less than this share.
    pub progress: f64,
}

/// Where a minimisation ended.
#[derive(Debug, Clone)]
pub struct Least {
    /// The place.
    pub x: Vec<f64>,
    /// The sum of squares there.
    pub cost: f64,
    /// The sum of squares at the start and after each step.
    pub history: Vec<f64>,
}

/// Minimises |r(x)|² from `x`: each step solves min |J δ + r|² + λ|D δ|² by orthogonal factorisation, D the largest norms of the
/// columns so far (Moré, Lecture Notes in Mathematics 630, 105); λ follows the ratio of the decrease to the one that
/// was expected. Steps to where r is no number are not taken.
pub fn levenberg_marquardt(problem: &dyn Residuals, mut x: Vec<f64>, limits: Limits) -> Least {
    let (m, n) = (problem.rows(), x.len());
    let height = m.max(n);
    let mut values = vec![0.0; m];
    let mut jacobian = vec![0.0; m * n];
    let mut a = vec![0.0; height * (n + 1)];
    let mut stacked = vec![0.0; 2 * n * (n + 1)];
    let (mut norms, mut lambda, mut raise) = (vec![0.0f64; n], limits.damping, 2.0);
    let mut history = Vec::new();
    let (mut trial, mut trial_values) = (x.clone(), values.clone());
    for step in 0..limits.steps {
        problem.jacobian(&x, &mut values, &mut jacobian);
        let cost = dot(&values, &values);
        history.push(cost);
        let stalled = step >= 5 && cost > (1.0 - limits.progress) * history[step - 5];
        if cost <= limits.target || stalled || !cost.is_finite() {
            return Least { x, cost, history };
        }
        a.fill(0.0);
        for (i, row) in jacobian.chunks_exact(n).enumerate() {
            row.iter().enumerate().for_each(|(j, d)| a[j * height + i] = *d);
        }
        a[n * height..][..m].copy_from_slice(&values);
        for (j, norm) in norms.iter_mut().enumerate() {
            let column = &a[j * height..][..m];
            *norm = norm.max(dot(column, column).sqrt());
        }
        if norms.iter().any(|norm| !norm.is_finite()) {
            return Least { x, cost, history };
        }
        triangularise(&mut a, height, n);
        let mut moved = false;
        for _ in 0..40 {
            stacked.fill(0.0);
            for j in 0..n {
                stacked[j * 2 * n..][..=j].copy_from_slice(&a[j * height..][..=j]);
                // A parameter that nothing depends on stays where it is.
                stacked[j * 2 * n + n + j] = if norms[j] > 0.0 { f64::sqrt(lambda) * norms[j] } else { 1.0 };
            }
            stacked[n * 2 * n..][..n].copy_from_slice(&a[n * height..][..n]);
            triangularise(&mut stacked, 2 * n, n);
            let delta = back_substitute(&stacked, 2 * n, n, 0);
            trial.iter_mut().zip(x.iter().zip(&delta)).for_each(|(t, (x, d))| *t = x - d);
            let expected: f64 = dot(&stacked[n * 2 * n..][..n], &stacked[n * 2 * n..][..n]);
            if expected <= 1e-10 * cost {
                // At the minimum, but for rounding.
                return Least { x, cost, history };
            }
            problem.values(&trial, &mut trial_values);
            let next = dot(&trial_values, &trial_values);
            let ratio = (cost - next) / expected.max(f64::MIN_POSITIVE);
            if next.is_finite() && next < cost {
                std::mem::swap(&mut x, &mut trial);
                lambda = f64::max(
                    lambda
                        * if ratio > 0.75 {
                            0.05
                        } else if ratio > 0.25 {
                            0.5
                        } else {
                            2.0
                        },
                    1e-30,
                );
                raise = 2.0;
                moved = true;
                break;
            }
            lambda *= raise;
            raise *= 2.0;
            if lambda > 1e30 {
                break;
            }
        }
        if !moved {
            return Least { x, cost, history };
        }
    }
    problem.values(&x, &mut values);
    let cost = dot(&values, &values);
    history.push(cost);
    Least { x, cost, history }
}

/// Steps of Gauss and Newton without damping, which may go up before they go down: the best place that is met. Ends where a step
/// changes nothing, or leads to where r is no number.
pub fn newton(problem: &dyn Residuals, mut x: Vec<f64>, steps: usize) -> Least {
    let (m, n) = (problem.rows(), x.len());
    let height = m.max(n);
    let (mut values, mut jacobian) = (vec![0.0; m], vec![0.0; m * n]);
    let mut best = Least { x: x.clone(), cost: f64::INFINITY, history: Vec::new() };
    for step in 0..=steps {
        problem.jacobian(&x, &mut values, &mut jacobian);
        let cost = dot(&values, &values);
        best.history.push(cost);
        if cost < best.cost {
            let gained = best.cost - cost;
            best.x.clone_from(&x);
            best.cost = cost;
            if gained < 1e-3 * cost {
                break;
            }
        } else if cost <= 1.01 * best.cost || !cost.is_finite() {
            break;
        }
        let mut a = vec![0.0; height * (n + 1)];
        for (i, row) in jacobian.chunks_exact(n).enumerate() {
            row.iter().enumerate().for_each(|(j, d)| a[j * height + i] = *d);
        }
        if step == steps || a.iter().any(|x| !x.is_finite()) {
            break;
        }
        a[n * height..][..m].copy_from_slice(&values);
        triangularise(&mut a, height, n);
        let delta = back_substitute(&a, height, n, 0);
        x.iter_mut().zip(&delta).for_each(|(x, d)| *x -= d);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use fb_core::Philox;

    #[test]
    fn factors_solve_the_normal_equations() {
        let mut random = Philox::new(4, 0, 0);
        for (m, n) in [(1, 1), (5, 3), (60, 30), (90, 71)] {
            let a: Vec<f64> = (0..m * (n + 1)).map(|_| random.normal()).collect();
            let mut r = a.clone();
            triangularise(&mut r, m, n);
            let x = back_substitute(&r, m, n, 0);
            let mut rest = a[n * m..].to_vec();
            for j in 0..n {
                rest.iter_mut().zip(&a[j * m..]).for_each(|(rest, a)| *rest -= a * x[j]);
            }
            // What is left stands at right angles to every column.
            for j in 0..n {
                assert!(dot(&rest, &a[j * m..][..m]).abs() < 1e-11, "{m} {n} {j}");
            }
        }
    }

    #[test]
    fn a_singular_matrix_is_seen() {
        let mut a = vec![1.0, 0.0, 0.0, 0.5, 1.0, 0.0, 0.2, 0.1, 0.7, 0.0, 0.0, 0.0];
        triangularise(&mut a, 3, 3);
        assert!(smallest_singular(&a, 3, 3) > 0.1);
        let mut a = vec![1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        triangularise(&mut a, 3, 3);
        assert!(smallest_singular(&a, 3, 3) < 1e-14);
    }

    /// Rosenbrock's valley as residuals 10(y − x²), 1 − x, and one parameter that nothing depends on.
    struct Valley;

    impl Residuals for Valley {
        fn rows(&self) -> usize {
            2
        }

        fn values(&self, x: &[f64], values: &mut [f64]) {
            values.copy_from_slice(&[10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]]);
        }

        fn jacobian(&self, x: &[f64], values: &mut [f64], jacobian: &mut [f64]) {
            self.values(x, values);
            jacobian.copy_from_slice(&[-20.0 * x[0], 10.0, 0.0, -1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn the_valley_of_rosenbrock_is_followed() {
        let limits = Limits { steps: 100, target: 1e-28, damping: 1e-4, progress: 0.0 };
        let least = levenberg_marquardt(&Valley, vec![-1.2, 1.0, 5.0], limits);
        assert!((least.x[0] - 1.0).abs() < 1e-12 && (least.x[1] - 1.0).abs() < 1e-12 && least.x[2] == 5.0, "{least:?}");
        assert!(least.history.len() < 60);
        // From any place the bare steps go up the wall first, and are there with the second.
        let least = newton(&Valley, vec![-1.2, 1.0, 5.0], 10);
        assert!((least.x[0] - 1.0).abs() < 1e-12 && (least.x[1] - 1.0).abs() < 1e-12, "{least:?}");
        assert!(least.history[1] > least.history[0] && least.history[2] < 1e-20, "{least:?}");
    }
}
