//! Equations that have solutions for some numbers only.
//!
//! With residuals A v − E B v, A and B taller than wide, v = (E − s) (A − sB)⁺ B v: eigenvalues of (A − sB)⁺B by the QR
//! algorithm are candidates, and those count whose vector leaves no residual.

use fb_core::{Error, Result, Workers};
use fb_nn::least_squares::{Residuals as _, back_substitute, triangularise};

use super::ansatz::Ansatz;
use super::chebyshev::Chebyshev;
use super::points::{chebyshev, tensor};
use super::problem::Problem;
use super::system::{System, Trial};

/// Polynomials of the start, by variable.
pub(super) fn degrees(problem: &Problem) -> usize {
    [60, 12, 6, 4][problem.domain.len() - 1]
}

/// A − E B and B, column by column, at the numbers of the system.
struct Pencil {
    rows: usize,
    columns: usize,
    left: Vec<f64>,
    right: Vec<f64>,
}

impl Pencil {
    fn new<T: Trial>(system: &System<'_, T>, eigenvalue: f64) -> Self {
        let (rows, columns) = (system.rows(), system.columns());
        let at = |eigenvalue: f64| {
            let mut base = system.base.clone();
            if let Some(last) = base.last_mut() {
                *last = eigenvalue;
            }
            let here = System { base, ..*system };
            let (mut values, mut jacobian) = (vec![0.0; rows], vec![0.0; rows * columns]);
            here.jacobian(&here.start(), &mut values, &mut jacobian);
            let mut by_column = vec![0.0; rows * columns];
            for (i, row) in jacobian.chunks_exact(columns).enumerate() {
                row.iter().enumerate().for_each(|(j, d)| by_column[j * rows + i] = *d);
            }
            by_column
        };
        let (left, mut right) = (at(eigenvalue), at(eigenvalue - 1.0));
        right.iter_mut().zip(&left).for_each(|(b, a)| *b -= a);
        Self { rows, columns, left, right }
    }

    /// One step v ← (A − E B)⁺ B v of inverse iteration, normalised; then |A v − E B v| / |B v| with E the best for v.
    fn step(&self, v: &mut [f64]) -> (f64, f64) {
        let (m, n) = (self.rows, self.columns);
        let times = |matrix: &[f64], v: &[f64]| {
            let mut product = vec![0.0; m];
            for (column, x) in matrix.chunks_exact(m).zip(v) {
                product.iter_mut().zip(column).for_each(|(p, a)| *p += a * x);
            }
            product
        };
        let mut a = self.left.clone();
        a.extend(times(&self.right, v));
        triangularise(&mut a, m, n);
        let solved = back_substitute(&a, m, n, 0);
        let largest = solved.iter().fold(0.0f64, |a, x| a.max(x.abs()));
        v.iter_mut().zip(&solved).for_each(|(v, s)| *v = s / largest);
        let (left, right) = (times(&self.left, v), times(&self.right, v));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let shift = dot(&left, &right) / dot(&right, &right);
        let rest: f64 = left.iter().zip(&right).map(|(a, b)| (a - shift * b).powi(2)).sum();
        (shift, (rest / dot(&right, &right)).sqrt())
    }
}

/// Numbers of a system without the row of the normalisation that solve it for an eigenvalue near this one.
pub(super) fn near<T: Trial>(system: &System<'_, T>, eigenvalue: f64) -> (Vec<f64>, f64, f64) {
    let pencil = Pencil::new(system, eigenvalue + 1e-5 * eigenvalue.abs().max(1e-3));
    let mut v: Vec<f64> = (0..pencil.columns).map(|j| 1.0 / (1.0 + (j * j % 17) as f64)).collect();
    let mut found = (0.0, f64::INFINITY);
    for _ in 0..4 {
        found = pencil.step(&mut v);
    }
    (v, eigenvalue + 1e-5 * eigenvalue.abs().max(1e-3) + found.0, found.1)
}

/// Chebyshev coefficients and the eigenvalue of the state that is asked for, normalised.
pub(super) fn start(problem: &Problem, workers: &dyn Workers) -> Result<Vec<f64>> {
    let ansatz = Ansatz::free(problem.names.unknowns.len(), &problem.domain);
    let degrees = degrees(problem);
    let trial = Chebyshev::new(problem, degrees);
    let axes: Vec<Vec<f64>> =
        problem.domain.iter().map(|domain| chebyshev(degrees + degrees / 3 + 1, *domain)).collect();
    let bare = problem.rows(&ansatz, &problem.orders, &tensor(&axes), &axes, problem.nodes, &|group| {
        Some(group) != problem.normalisation()
    })?;
    let mut base = vec![0.0; trial.parameters() + 1];
    let system = System {
        rows: &bare,
        trial: &trial,
        workers,
        base: base.clone(),
        first: 0,
        free_eigenvalue: false,
        ridge: 0.0,
    };
    let length: f64 = problem.domain.iter().map(|(a, b)| (b - a).abs()).fold(0.0, f64::max);
    let shift = problem.eigenvalue.guess.unwrap_or(-0.3719 / (length * length));
    let pencil = Pencil::new(&system, shift);
    let (m, n) = (pencil.rows, pencil.columns);
    let mut a = pencil.left.clone();
    a.extend_from_slice(&pencil.right);
    if a.iter().any(|x| !x.is_finite()) {
        return Err(Error::Model {
            place: "solve.equations".to_owned(),
            reason: "an equation is no number in the domain".to_owned(),
        });
    }
    triangularise(&mut a, m, n);
    // Rows of the transpose, which has the same eigenvalues.
    let matrix = (0..n).map(|j| back_substitute(&a, m, n, j)).collect();
    let mut candidates: Vec<f64> = eigenvalues(matrix)
        .into_iter()
        .filter(|(re, im)| im.abs() <= 1e-6 * re.abs() && re.abs() > 1e-12)
        .map(|(re, _)| shift + 1.0 / re)
        .collect();
    match problem.eigenvalue.guess {
        Some(guess) => candidates.sort_by(|x, y| (x - guess).abs().total_cmp(&(y - guess).abs())),
        None => candidates.sort_by(f64::total_cmp),
    }
    let mut true_ones: Vec<(f64, Vec<f64>)> = Vec::new();
    for candidate in candidates.into_iter().take(120) {
        let (v, value, misfit) = near(&system, candidate);
        let scale = value.abs().max(1.0 / (length * length));
        if misfit < 1e-6 * scale && true_ones.iter().all(|(other, _)| (other - value).abs() > 1e-7 * scale) {
            true_ones.push((value, v));
            if true_ones.len() > problem.eigenvalue.state {
                break;
            }
        }
    }
    let wanted = if problem.eigenvalue.guess.is_some() { 0 } else { problem.eigenvalue.state };
    let Some((value, v)) = true_ones.into_iter().nth(wanted) else {
        return Err(Error::NotConverged {
            what: "the eigenvalue".to_owned(),
            reason: "no such state is found; give `eigenvalue.guess`, or a smaller domain".to_owned(),
        });
    };
    base[..n].copy_from_slice(&v);
    base[n] = value;
    normalise(problem, &ansatz, &trial, &mut base, 0, workers)?;
    Ok(base)
}

/// Scales the numbers from `first` on so that the normalisation holds.
pub(super) fn normalise<T: Trial>(
    problem: &Problem,
    ansatz: &Ansatz,
    trial: &T,
    base: &mut [f64],
    first: usize,
    workers: &dyn Workers,
) -> Result<()> {
    let rows = problem
        .rows(ansatz, trial.orders(), &[], &[], problem.nodes, &|group| Some(group) == problem.normalisation())?;
    let system =
        System { rows: &rows, trial, workers, base: base.to_vec(), first: 0, free_eigenvalue: false, ridge: 0.0 };
    let mut values = vec![0.0; 1];
    if rows.rows.len() == 1 {
        system.values(&system.start(), &mut values);
        let factor = 1.0 / (values[0] + 1.0).max(f64::MIN_POSITIVE).sqrt();
        for x in &mut base[first..trial.parameters()] {
            *x *= factor;
        }
    }
    Ok(())
}

/// All eigenvalues (real and imaginary parts) of a matrix: reflections to Hessenberg's form, then QR steps with the double shift of
/// Francis (Golub and Van Loan, Matrix Computations, 7.5).
fn eigenvalues(mut h: Vec<Vec<f64>>) -> Vec<(f64, f64)> {
    let n = h.len();
    hessenberg(&mut h);
    let mut found = Vec::with_capacity(n);
    let (mut high, mut rounds) = (n, 0);
    while high > 0 {
        let scale = |h: &[Vec<f64>], i: usize| h[i][i].abs() + h[i - 1][i - 1].abs();
        let small = |h: &[Vec<f64>], i: usize| h[i][i - 1].abs() <= f64::EPSILON * scale(h, i).max(f64::MIN_POSITIVE);
        let low = (1..high).rev().find(|&i| small(&h, i)).unwrap_or(0);
        if high - low == 1 {
            found.push((h[low][low], 0.0));
            (high, rounds) = (low, 0);
            continue;
        }
        let (a, b, c, d) = (h[high - 2][high - 2], h[high - 2][high - 1], h[high - 1][high - 2], h[high - 1][high - 1]);
        let (trace, determinant) = (a + d, a * d - b * c);
        if high - low == 2 {
            let square = 0.25 * trace * trace - determinant;
            let root = square.abs().sqrt();
            if square >= 0.0 {
                let one = 0.5 * trace + if trace >= 0.0 { root } else { -root };
                found.push((one, 0.0));
                found.push((if one == 0.0 { 0.0 } else { determinant / one }, 0.0));
            } else {
                found.extend([(0.5 * trace, root), (0.5 * trace, -root)]);
            }
            (high, rounds) = (low, 0);
            continue;
        }
        rounds += 1;
        if rounds > 60 {
            // What does not separate is left out.
            (high, rounds) = (low, 0);
            continue;
        }
        let (sum, product) = if rounds % 11 == 10 {
            let w = h[high - 1][high - 2].abs() + h[high - 2][high - 3].abs();
            (1.5 * w, w * w)
        } else {
            (trace, determinant)
        };
        let mut column = [
            h[low][low] * (h[low][low] - sum) + h[low][low + 1] * h[low + 1][low] + product,
            h[low + 1][low] * (h[low][low] + h[low + 1][low + 1] - sum),
            h[low + 1][low] * h[low + 2][low + 1],
        ];
        for k in low..high - 1 {
            let size = 3.min(high - k);
            reflect(&mut h, &column[..size], k, (low, high));
            if k + 2 < high {
                column = [h[k + 1][k], h[k + 2][k], if k + 3 < high { h[k + 3][k] } else { 0.0 }];
            }
        }
    }
    found
}

/// Applies the reflection that turns `x` into a multiple of the first unit vector, at rows and columns from k on.
#[allow(clippy::needless_range_loop, reason = "a column is walked down")]
fn reflect(h: &mut [Vec<f64>], x: &[f64], k: usize, (low, high): (usize, usize)) {
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    if norm == 0.0 {
        return;
    }
    let mut v = x.to_vec();
    v[0] += if x[0] >= 0.0 { norm } else { -norm };
    let square: f64 = v.iter().map(|x| x * x).sum();
    for j in k.saturating_sub(1).max(low)..high {
        let share = 2.0 / square * v.iter().enumerate().map(|(i, v)| v * h[k + i][j]).sum::<f64>();
        v.iter().enumerate().for_each(|(i, v)| h[k + i][j] -= share * v);
    }
    for row in h.iter_mut().take((k + v.len() + 1).min(high)).skip(low) {
        let share = 2.0 / square * v.iter().enumerate().map(|(i, v)| v * row[k + i]).sum::<f64>();
        v.iter().enumerate().for_each(|(i, v)| row[k + i] -= share * v);
    }
}

/// To zeros below the first subdiagonal.
#[allow(clippy::needless_range_loop, reason = "a column is walked down")]
fn hessenberg(h: &mut [Vec<f64>]) {
    let n = h.len();
    for k in 1..n.saturating_sub(1) {
        let x: Vec<f64> = (k..n).map(|i| h[i][k - 1]).collect();
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        if x[1..].iter().all(|x| *x == 0.0) {
            continue;
        }
        let mut v = x;
        v[0] += if v[0] >= 0.0 { norm } else { -norm };
        let square: f64 = v.iter().map(|x| x * x).sum();
        for j in 0..n {
            let share = 2.0 / square * v.iter().enumerate().map(|(i, v)| v * h[k + i][j]).sum::<f64>();
            v.iter().enumerate().for_each(|(i, v)| h[k + i][j] -= share * v);
        }
        for row in h.iter_mut() {
            let share = 2.0 / square * v.iter().zip(&row[k..]).map(|(v, x)| v * x).sum::<f64>();
            v.iter().zip(&mut row[k..]).for_each(|(v, x)| *x -= share * v);
        }
        (k + 1..n).for_each(|i| h[i][k - 1] = 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::eigenvalues;

    #[test]
    fn eigenvalues_of_a_companion_matrix_are_roots() {
        // (x − 1)(x − 2)(x + 3)(x² − 2x + 5) = x⁵ − 2x⁴ − 2x³ + 20x² − 47x + 30
        let polynomial = [30.0, -47.0, 20.0, -2.0, -2.0];
        let mut matrix = vec![vec![0.0; 5]; 5];
        for i in 0..5 {
            matrix[i][4] = -polynomial[i];
            if i > 0 {
                matrix[i][i - 1] = 1.0;
            }
        }
        let mut found = eigenvalues(matrix);
        found.sort_by(|a, b| (a.1.round(), a.0).partial_cmp(&(b.1.round(), b.0)).unwrap());
        for ((re, im), (x, y)) in found.iter().zip([(1.0, -2.0), (-3.0, 0.0), (1.0, 0.0), (2.0, 0.0), (1.0, 2.0)]) {
            assert!(found.len() == 5 && (re - x).abs() < 1e-10 && (im - y).abs() < 1e-10, "{found:?}");
        }
    }

    #[test]
    fn eigenvalues_of_a_chain_are_cosines() {
        let n = 40;
        let entry = |i: usize, j: usize| if i.abs_diff(j) == 1 { 1.0 } else { 0.0 };
        let mut found = eigenvalues((0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect());
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (k, (re, im)) in found.iter().enumerate() {
            let exact = 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((re - exact).abs() < 1e-12 && *im == 0.0, "{k}: {re} {exact}");
        }
    }
}
