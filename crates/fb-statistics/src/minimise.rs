//! Minima of smooth functions in a box.
//!
//! Quasi-Newton steps: the model m(d) = g·d + ½ dᵀB d is minimised in the box and the step is shortened until the
//! function falls as it should (Armijo). Far from the minimum B is the curvature that the function offers; near it, B is
//! updated by BFGS, damped so that it stays positive definite (Nocedal and Wright, Numerical Optimization, 18.3).

use crate::matrix::{Matrix, dot};

/// What is minimised.
pub trait Objective {
    /// The function; infinite where it is not defined.
    fn value(&self, x: &[f64]) -> f64;
    /// Its exact gradient.
    fn gradient(&self, x: &[f64]) -> Vec<f64>;
    /// A positive semidefinite matrix near to its second derivatives.
    fn curvature(&self, x: &[f64]) -> Matrix;
}

/// How a minimisation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    /// The function is expected to fall by less than the tolerance.
    Converged,
    /// No step lowers the function though the gradient says that one should.
    Stuck,
    /// The number of steps that are allowed was used up.
    StepLimit,
}

/// Where a minimisation ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The place.
    pub x: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// By how much the function is expected to fall yet, from the gradient and B.
    pub distance: f64,
    /// How it ended.
    pub status: Status,
}

/// An expected fall below this ends a minimisation of −2 ln L: each parameter is then within 1e-5 of its error.
const TOLERANCE: f64 = 1e-10;
/// What rounding of the function may hide of a fall.
const ROUNDED: f64 = 1e-7;
const STEPS: usize = 500;

/// The minimum from `start`, which must be inside of the bounds; parameters whose bounds coincide stay where they are.
pub fn minimise(objective: &impl Objective, start: &[f64], bounds: &[(f64, f64)]) -> Minimum {
    let mut x = start.to_vec();
    let mut value = objective.value(&x);
    let mut gradient = objective.gradient(&x);
    let mut hessian = objective.curvature(&x);
    let (mut fresh, mut distance) = (true, f64::INFINITY);
    for _ in 0..STEPS {
        let step = step(&hessian, &gradient, &x, bounds);
        let curved = dot(&step, &hessian.times(&step));
        let slope = dot(&gradient, &step);
        distance = -(slope + 0.5 * curved);
        if distance < TOLERANCE {
            return Minimum { x, value, distance, status: Status::Converged };
        }
        let Some((next, next_value)) = descend(objective, &x, value, &step, slope, bounds) else {
            if distance < ROUNDED {
                return Minimum { x, value, distance, status: Status::Converged };
            }
            if fresh {
                return Minimum { x, value, distance, status: Status::Stuck };
            }
            hessian = objective.curvature(&x);
            fresh = true;
            continue;
        };
        if next_value >= value && distance < ROUNDED {
            // Rounding hides the fall, and would for ever.
            return Minimum { x, value, distance, status: Status::Converged };
        }
        let next_gradient = objective.gradient(&next);
        fresh = distance > 1.0;
        if fresh {
            hessian = objective.curvature(&next);
        } else {
            let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
            let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            update(&mut hessian, &s, &y);
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    Minimum { x, value, distance, status: Status::StepLimit }
}

/// The step to the minimum of the model in the box, by pinning what would leave it.
fn step(hessian: &Matrix, gradient: &[f64], x: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    let size = x.len();
    let outward = |i: usize| {
        let (low, high) = bounds[i];
        low == high || (x[i] <= low && gradient[i] > 0.0) || (x[i] >= high && gradient[i] < 0.0)
    };
    let mut step = vec![0.0; size];
    let mut free: Vec<usize> = (0..size).filter(|&i| !outward(i)).collect();
    loop {
        // The pinned parameters move the minimum of the others.
        let moved = hessian.times(&step);
        let target: Vec<f64> = free.iter().map(|&i| -gradient[i] - moved[i]).collect();
        let solution = solve(hessian.part(&free), &target);
        let beyond: Vec<bool> =
            free.iter().zip(&solution).map(|(&i, d)| x[i] + d < bounds[i].0 || x[i] + d > bounds[i].1).collect();
        if !beyond.contains(&true) {
            for (&i, d) in free.iter().zip(solution) {
                step[i] = d;
            }
            break;
        }
        for ((&i, d), _) in free.iter().zip(solution).zip(&beyond).filter(|(_, beyond)| **beyond) {
            step[i] = if d < 0.0 { bounds[i].0 - x[i] } else { bounds[i].1 - x[i] };
        }
        let mut beyond = beyond.into_iter();
        free.retain(|_| !beyond.next().unwrap_or(false));
    }
    if dot(&step, gradient) < 0.0 {
        return step;
    }
    // Pinning in turns can give a step that does not descend; one along the scaled gradient does.
    (0..size)
        .map(|i| {
            if outward(i) {
                return 0.0;
            }
            let d = -gradient[i] / hessian.row(i)[i].max(f64::MIN_POSITIVE);
            (x[i] + d).clamp(bounds[i].0, bounds[i].1) - x[i]
        })
        .collect()
}

/// The solution of H d = b, with as much added to the diagonal as makes H positive definite.
fn solve(mut hessian: Matrix, b: &[f64]) -> Vec<f64> {
    let size = hessian.size();
    let largest = (0..size).map(|i| hessian.row(i)[i].abs()).fold(0.0, f64::max);
    let mut ridge = 1e-10;
    loop {
        if let Some(factor) = hessian.cholesky() {
            return factor.solve(b);
        }
        for i in 0..size {
            let diagonal = &mut hessian.row_mut(i)[i];
            *diagonal += ridge * if *diagonal > 0.0 { *diagonal } else { largest.max(1.0) };
        }
        ridge *= 10.0;
        if ridge > 1e12 {
            return vec![0.0; size];
        }
    }
}

/// The first point along the step where the function has fallen enough.
fn descend(
    objective: &impl Objective,
    x: &[f64],
    value: f64,
    step: &[f64],
    slope: f64,
    bounds: &[(f64, f64)],
) -> Option<(Vec<f64>, f64)> {
    let mut part = 1.0;
    for _ in 0..50 {
        let next: Vec<f64> = (0..x.len()).map(|i| (x[i] + part * step[i]).clamp(bounds[i].0, bounds[i].1)).collect();
        let next_value = objective.value(&next);
        if next_value <= value + 1e-4 * part * slope {
            return Some((next, next_value));
        }
        // The parabola through value, slope and what was found; the step at most by ten.
        let excess = next_value - value - part * slope;
        let best = if excess.is_finite() { -0.5 * slope * part * part / excess } else { 0.0 };
        part = best.clamp(0.1 * part, 0.5 * part);
    }
    None
}

/// Damped BFGS update of B for the step s in which the gradient changed by y.
fn update(hessian: &mut Matrix, s: &[f64], y: &[f64]) {
    let bs = hessian.times(s);
    let (sbs, sy) = (dot(s, &bs), dot(s, y));
    if sbs.is_nan() || sbs <= 0.0 || !sy.is_finite() {
        return;
    }
    let mix = if sy < 0.2 * sbs { 0.8 * sbs / (sbs - sy) } else { 1.0 };
    let r: Vec<f64> = y.iter().zip(&bs).map(|(y, bs)| mix * y + (1.0 - mix) * bs).collect();
    let sr = dot(s, &r);
    for i in 0..s.len() {
        for (j, h) in hessian.row_mut(i).iter_mut().enumerate() {
            *h += r[i] * r[j] / sr - bs[i] * bs[j] / sbs;
        }
    }
}

/// Second derivatives by differences of exact gradients of the parameters in `free`, of steps of a thousandth of
/// √(2/Bᵢᵢ); on one side of the bounds, to second order, where a parameter is at one.
pub fn hessian(objective: &impl Objective, x: &[f64], bounds: &[(f64, f64)], free: &[usize]) -> Matrix {
    let curvature = objective.curvature(x);
    let mut rows = Matrix::zeros(free.len());
    let at = |i: usize, h: f64| {
        let mut moved = x.to_vec();
        moved[i] += h;
        objective.gradient(&moved)
    };
    for (row, &i) in free.iter().enumerate() {
        let scale = curvature.row(i)[i];
        let h = 1e-3 * if scale > 0.0 { (2.0 / scale).sqrt() } else { 1.0 };
        let h = h.min(0.25 * (bounds[i].1 - bounds[i].0));
        let derivative: Vec<f64> = if x[i] - h >= bounds[i].0 && x[i] + h <= bounds[i].1 {
            at(i, h).iter().zip(at(i, -h)).map(|(up, down)| (up - down) / (2.0 * h)).collect()
        } else {
            let h = if x[i] + 2.0 * h <= bounds[i].1 { h } else { -h };
            let (one, two) = (at(i, h), at(i, 2.0 * h));
            let here = objective.gradient(x);
            (0..x.len()).map(|j| (4.0 * one[j] - two[j] - 3.0 * here[j]) / (2.0 * h)).collect()
        };
        for (cell, &j) in rows.row_mut(row).iter_mut().zip(free) {
            *cell = derivative[j];
        }
    }
    let mut symmetric = Matrix::zeros(free.len());
    for i in 0..free.len() {
        for j in 0..free.len() {
            symmetric.row_mut(i)[j] = 0.5 * (rows.row(i)[j] + rows.row(j)[i]);
        }
    }
    symmetric
}

/// Twice the inverse of second derivatives of −2 ln L in the parameters `free`, over all `size` parameters; nothing if it is
/// not positive definite.
pub fn covariance(second: &Matrix, free: &[usize], size: usize) -> Option<Matrix> {
    let inverse = second.cholesky()?.inverse();
    let mut covariance = Matrix::zeros(size);
    for (row, &i) in free.iter().enumerate() {
        for (column, &j) in free.iter().enumerate() {
            covariance.row_mut(i)[j] = 2.0 * inverse.row(row)[column];
        }
    }
    Some(covariance)
}

/// √V_ii of the parameters `free`, NaN without a covariance; 0 of all others.
pub fn errors(covariance: Option<&Matrix>, free: &[usize], size: usize) -> Vec<f64> {
    let mut errors = vec![0.0; size];
    for &i in free {
        errors[i] = covariance.map_or(f64::NAN, |v| v.row(i)[i].sqrt());
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::{Matrix, Objective, Status, hessian, minimise};

    /// Rosenbrock's valley, (1 − x)² + 100 (y − x²)².
    struct Valley;

    impl Objective for Valley {
        fn value(&self, x: &[f64]) -> f64 {
            (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2)
        }

        fn gradient(&self, x: &[f64]) -> Vec<f64> {
            let bent = x[1] - x[0] * x[0];
            vec![-2.0 * (1.0 - x[0]) - 400.0 * x[0] * bent, 200.0 * bent]
        }

        fn curvature(&self, x: &[f64]) -> Matrix {
            let mut matrix = Matrix::zeros(2);
            matrix.row_mut(0).copy_from_slice(&[2.0 + 800.0 * x[0] * x[0], -400.0 * x[0]]);
            matrix.row_mut(1).copy_from_slice(&[-400.0 * x[0], 200.0]);
            matrix
        }
    }

    #[test]
    fn the_floor_of_the_valley_is_found() {
        let minimum = minimise(&Valley, &[-1.2, 1.0], &[(-5.0, 5.0); 2]);
        assert_eq!(minimum.status, Status::Converged);
        assert!(minimum.x.iter().all(|x| (x - 1.0).abs() < 1e-4), "{minimum:?}");
    }

    #[test]
    fn a_bound_holds_and_the_rest_goes_to_its_minimum_there() {
        // On x = ½ the minimum is at y = ¼, of (1 − ½)².
        let minimum = minimise(&Valley, &[-1.2, 1.0], &[(-5.0, 0.5), (-5.0, 5.0)]);
        assert_eq!(minimum.status, Status::Converged);
        assert!(minimum.x[0] == 0.5 && (minimum.x[1] - 0.25).abs() < 1e-5 && (minimum.value - 0.25).abs() < 1e-9);
    }

    #[test]
    fn second_derivatives_are_right_inside_and_at_a_bound() {
        let exact = |x: f64, y: f64| [[2.0 - 400.0 * y + 1200.0 * x * x, -400.0 * x], [-400.0 * x, 200.0]];
        for x in [[0.3, 0.4], [0.5, 0.4]] {
            let found = hessian(&Valley, &x, &[(-5.0, 0.5), (-5.0, 5.0)], &[0, 1]);
            for (i, row) in exact(x[0], x[1]).iter().enumerate() {
                assert!((0..2).all(|j| (found.row(i)[j] - row[j]).abs() < 1e-3), "{found:?}");
            }
        }
    }
}
