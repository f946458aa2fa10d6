//! Scalar potentials and their minima.

use std::collections::BTreeMap;

use fb_core::expression::Expression;
use fb_core::{Error, Result};
use fb_physics::calculus::{Evaluator, Formula};

/// The name of the temperature in a potential that depends on it.
pub(super) const TEMPERATURE: &str = "T";
/// Most fields.
const MOST_FIELDS: usize = 20;

/// V(φ), or V(φ, T).
#[derive(Debug, Clone)]
pub struct Potential {
    formula: Formula,
    fields: usize,
}

impl Potential {
    /// Reads a potential of these fields; parameters are names with values. A thermal potential may use `T` also.
    ///
    /// # Errors
    /// [`Error::Expression`] and [`Error::Evaluation`] for a formula, [`Error::Config`] for names that are no names.
    pub fn new(text: &str, fields: &[String], parameters: &BTreeMap<String, f64>, thermal: bool) -> Result<Self> {
        let config = |place: &str, reason: String| Err(Error::Config { place: place.to_owned(), reason });
        if fields.is_empty() || fields.len() > MOST_FIELDS {
            return config("bubble.fields", format!("found {} fields, expected 1 to {MOST_FIELDS}", fields.len()));
        }
        let mut names: Vec<&str> = fields.iter().map(String::as_str).collect();
        if thermal {
            names.push(TEMPERATURE);
        }
        for (at, name) in names.iter().enumerate() {
            if !matches!(Expression::parse(name), Ok(Expression::Name(parsed)) if parsed == *name) {
                return config("bubble.fields", format!("found `{name}`, expected a name such as `phi`"));
            }
            if names[..at].contains(name) || parameters.contains_key(*name) {
                return config("bubble.fields", format!("`{name}` has two meanings"));
            }
        }
        if let Some((name, value)) = parameters.iter().find(|(_, value)| !value.is_finite()) {
            return config("bubble.parameters", format!("`{name}` is {value}, expected a finite number"));
        }
        let constants: Vec<(String, f64)> = parameters.iter().map(|(name, value)| (name.clone(), *value)).collect();
        let formula = Formula::new(&Expression::parse(text)?, &names, &constants)?;
        Ok(Self { formula, fields: fields.len() })
    }

    /// The number of fields.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// The potential at a temperature, which one without temperature does not see.
    pub fn at(&self, temperature: f64) -> Landscape<'_> {
        let mut point = vec![0.0; self.formula.variables()];
        if let Some(last) = point.get_mut(self.fields) {
            *last = temperature;
        }
        Landscape { evaluator: self.formula.evaluator(), fields: self.fields, point }
    }
}

/// A potential at one temperature, with room to evaluate it in.
#[derive(Debug, Clone)]
pub struct Landscape<'a> {
    evaluator: Evaluator<'a>,
    fields: usize,
    point: Vec<f64>,
}

impl Landscape<'_> {
    /// The number of fields.
    pub fn fields(&self) -> usize {
        self.fields
    }

    /// V(φ)
    pub fn value(&mut self, phi: &[f64]) -> f64 {
        self.point[..self.fields].copy_from_slice(phi);
        self.evaluator.value(&self.point)
    }

    /// V(φ); [`Self::slope`], [`Self::curvature`] and [`Self::thermal_slope`] are those of this point then.
    pub fn second(&mut self, phi: &[f64]) -> f64 {
        self.point[..self.fields].copy_from_slice(phi);
        self.evaluator.second(&self.point)
    }

    /// ∂V/∂φᵢ
    pub fn slope(&self, i: usize) -> f64 {
        self.evaluator.gradient()[i]
    }

    /// ∂²V/∂φᵢ∂φⱼ
    pub fn curvature(&self, i: usize, j: usize) -> f64 {
        self.evaluator.hessian()[i * self.point.len() + j]
    }

    /// ∂V/∂T, zero without temperature.
    pub fn thermal_slope(&self) -> f64 {
        self.evaluator.gradient().get(self.fields).copied().unwrap_or(0.0)
    }

    /// ∂²V/∂φᵢ∂φⱼ where [`Self::second`] was asked last, row by row.
    pub fn curvatures(&self) -> Vec<f64> {
        let n = self.fields;
        (0..n * n).map(|k| self.curvature(k / n, k % n)).collect()
    }

    /// The minimum downhill of `start`, by Newton steps whose curvatures count as positive, cut at a tenth of `scale`.
    /// Nothing if the way leads further than 1000 `scale` from the start, or out of where V is a number.
    pub fn minimum(&mut self, start: &[f64], scale: f64) -> Option<Vec<f64>> {
        let mut phi = start.to_vec();
        for _ in 0..20_000 {
            let value = self.second(&phi);
            let slope: Vec<f64> = (0..self.fields).map(|i| self.slope(i)).collect();
            let curvatures = self.curvatures();
            if !(value.is_finite() && slope.iter().chain(&curvatures).all(|x| x.is_finite())) {
                return None;
            }
            let (masses, modes) = eigen(&curvatures, self.fields);
            let heaviest = masses.iter().fold(0.0f64, |a, m| a.max(m.abs()));
            let mut step = vec![0.0; self.fields];
            for (mass, mode) in masses.iter().zip(&modes) {
                let along: f64 = mode.iter().zip(&slope).map(|(a, b)| a * b).sum();
                let stiffness = mass.abs().max(1e-12 * heaviest);
                if along != 0.0 && stiffness > 0.0 {
                    step.iter_mut().zip(mode).for_each(|(s, m)| *s -= along / stiffness * m);
                }
            }
            let length = norm(&step);
            let mut factor = if length > 0.1 * scale { 0.1 * scale / length } else { 1.0 };
            let moved = |factor: f64| -> Vec<f64> { phi.iter().zip(&step).map(|(x, s)| x + factor * s).collect() };
            if length <= 1e-14 * scale {
                return Some(phi);
            }
            let mut next = moved(factor);
            while self.value(&next).is_nan() || self.value(&next) > value {
                factor /= 2.0;
                if factor * length <= 1e-9 * scale {
                    // Down to rounding, the value says nothing any more; the step of Newton is the better judge.
                    return Some(if length < 1e-6 * scale { moved(1.0) } else { phi.clone() });
                }
                next = moved(factor);
            }
            if distance(start, &next) > 1000.0 * scale {
                return None;
            }
            phi = next;
        }
        None
    }
}

/// √Σ xᵢ²
pub(super) fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// √Σ (aᵢ − bᵢ)²
pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Eigenvalues and unit eigenvectors of a small symmetric matrix, by the rotations of Jacobi.
pub(super) fn eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut a = matrix.to_vec();
    let mut modes: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _sweep in 0..50 {
        let beside: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let total: f64 = a.iter().map(|x| x * x).sum();
        if beside <= 1e-32 * total || !total.is_finite() {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let (c, s) = (1.0 / t.hypot(1.0), t / t.hypot(1.0));
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (modes[p][k], modes[q][k]);
                    (modes[p][k], modes[q][k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), modes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_rebuild_the_matrix() {
        let matrix = [4.0, 1.0, -0.5, 1.0, 3.0, 0.2, -0.5, 0.2, -2.0];
        let (values, modes) = eigen(&matrix, 3);
        for (k, entry) in matrix.iter().enumerate() {
            let again: f64 = values.iter().zip(&modes).map(|(v, m)| v * m[k / 3] * m[k % 3]).sum();
            assert!((again - entry).abs() < 1e-14, "{again} {entry}");
        }
    }

    #[test]
    fn minima_are_found_and_depths_without_ground_are_seen() {
        let potential =
            |text: &str| Potential::new(text, &["x".to_owned(), "y".to_owned()], &BTreeMap::new(), false).unwrap();
        let bowl = potential("(x^2 + 5*y^2)*(5*(x-1)^2 + (y-1)^2) + 2*(y^4/4 - y^3/3)");
        let minimum = bowl.at(0.0).minimum(&[1.1, 0.8], 1.0).unwrap();
        let mut at = bowl.at(0.0);
        at.second(&minimum);
        assert!(at.slope(0).abs() < 1e-12 && at.slope(1).abs() < 1e-12 && (minimum[0] - 1.0).abs() < 0.1);
        assert!(potential("x^2 - x^4 + y^2").at(0.0).minimum(&[1.0, 0.0], 1.0).is_none());
    }
}
