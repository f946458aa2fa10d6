//! The bounce of any number of fields as a boundary-value problem.
//!
//! A start is let down to the bounce by the descent of Coleman, Glaser and Martin (Commun. Math. Phys. 58, 211): among
//! fields scaled so that Derrick's relation holds, the bounce is the one of least action, no saddle. Newton's method ends
//! it, on elements that are halved until they resolve the fields.

use fb_core::{Error, Result};

use super::elements::{Hill, Space};
use super::potential::{Landscape, eigen, norm};

/// Part of the distance of the vacua to which elements resolve the fields.
const RESOLUTION: f64 = 1e-8;

/// A converged bounce.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    pub space: Space,
    /// Fields at the nodes, less the false vacuum.
    pub phi: Vec<f64>,
    /// ∫ r^{d−1} φ′²/2
    pub kinetic: f64,
    /// ∫ r^{d−1} (V − V(false))
    pub potential: f64,
    /// The change of the kinetic part by the last halving.
    pub change: f64,
}

/// A potential seen from its false vacuum. One field is mirrored there: what lies beyond does not matter, and some
/// potentials are no number there.
pub(super) struct Seen<'a, 'b> {
    pub landscape: &'a mut Landscape<'b>,
    pub origin: &'a [f64],
    pub base: f64,
    /// Of one field, the sign of the true vacuum as seen from the false one.
    pub side: Option<f64>,
    pub at: Vec<f64>,
}

impl<'a, 'b> Seen<'a, 'b> {
    pub fn new(landscape: &'a mut Landscape<'b>, origin: &'a [f64], end: &[f64]) -> Self {
        let base = landscape.value(origin);
        let side = (origin.len() == 1).then(|| (end[0] - origin[0]).signum());
        Self { landscape, origin, base, side, at: vec![0.0; origin.len()] }
    }

    /// Whether the place is a mirrored one.
    fn place(&mut self, phi: &[f64]) -> bool {
        let mirrored = self.side.is_some_and(|side| phi[0] * side < 0.0);
        let sign = if mirrored { -1.0 } else { 1.0 };
        self.at.iter_mut().zip(self.origin.iter().zip(phi)).for_each(|(at, (o, p))| *at = o + sign * p);
        mirrored
    }
}

impl Hill for Seen<'_, '_> {
    fn value(&mut self, phi: &[f64]) -> f64 {
        self.place(phi);
        self.landscape.value(&self.at) - self.base
    }

    fn second(&mut self, phi: &[f64], gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        let n = phi.len();
        let sign = if self.place(phi) { -1.0 } else { 1.0 };
        let value = self.landscape.second(&self.at) - self.base;
        for i in 0..n {
            gradient[i] = sign * self.landscape.slope(i);
            for j in 0..n {
                hessian[i * n + j] = self.landscape.curvature(i, j);
            }
        }
        value
    }
}

/// The matrix κ of φ′ = −κφ at radius r, of the solutions r^{−ν} K_ν(mr) in the harmonic potential of these curvatures.
/// A field without mass falls as r^{−power}.
pub(super) fn tail(curvatures: &[f64], n: usize, dimension: usize, r: f64, power: f64) -> Vec<f64> {
    let (masses, modes) = eigen(curvatures, n);
    let mut kappa = vec![0.0; n * n];
    for (square, mode) in masses.iter().zip(&modes) {
        let z = square.max(0.0).sqrt() * r;
        let rate = if z < 1e-2 { power / r } else { z / r * ratio_of_bessel_k(z, dimension) };
        for (k, entry) in kappa.iter_mut().enumerate() {
            *entry += rate * mode[k / n] * mode[k % n];
        }
    }
    kappa
}

/// K_{d/2}(z)/K_{d/2−1}(z)
fn ratio_of_bessel_k(z: f64, dimension: usize) -> f64 {
    if dimension == 3 {
        return 1.0 + 1.0 / z;
    }
    // K_ν(z) = ∫ e^{−z cosh t} cosh νt dt, for which equal steps converge exponentially.
    let (mut first, mut second) = (0.5, 0.5);
    for i in 1..400 {
        let t = f64::from(i) * 0.05;
        let weight = (-z * (t.cosh() - 1.0)).exp();
        first += weight * t.cosh();
        second += weight * (2.0 * t).cosh();
    }
    second / first
}

/// Newton's method: whether it arrives, and the number of unstable directions there.
fn newton(space: &Space, phi: &mut [f64], hill: &mut dyn Hill, tail: &[f64], scale: f64) -> Option<usize> {
    let mut before = f64::INFINITY;
    for _ in 0..40 {
        let assembled = space.assemble(phi, hill, tail, &|_| {});
        let (step, unstable) = assembled.matrix.solve(&assembled.gradient);
        let largest = step.iter().fold(0.0f64, |a, x| if x.is_nan() { f64::NAN } else { a.max(x.abs()) });
        if !largest.is_finite() {
            return None;
        }
        let factor = (0.3 * scale / largest).min(1.0);
        phi.iter_mut().zip(&step).for_each(|(p, s)| *p -= factor * s);
        // Thin walls move almost freely, which leaves more of the rounding.
        if largest < 1e-11 * scale || (largest < 1e-7 * scale && largest > 0.3 * before) {
            return Some(unstable);
        }
        before = largest;
    }
    None
}

/// Converges a start to the bounce on a space that resolves it.
///
/// # Errors
/// [`Error::NotConverged`]
pub(super) fn converge(
    mut space: Space,
    mut phi: Vec<f64>,
    hill: &mut dyn Hill,
    tail: &dyn Fn(f64) -> Vec<f64>,
    scale: f64,
) -> Result<Solution> {
    let mut kinetic = f64::NAN;
    for _ in 0..12 {
        let outer = tail(space.edges[space.edges.len() - 1]);
        let unstable = newton(&space, &mut phi, hill, &outer, scale);
        let n = space.fields;
        if unstable.is_none() || norm(&phi[..n]) < 1e-6 * scale || hill.value(&phi[..n]) >= 0.0 {
            return Err(failed("Newton's method left the neighbourhood of the bounce"));
        }
        let energies = space.energies(&phi, hill);
        let coarse = space.unresolved(&phi, RESOLUTION * scale);
        let change = (energies.0 - kinetic).abs();
        let settled = change < 1e-9 * energies.0;
        if (!coarse.contains(&true) && kinetic.is_finite()) || settled {
            if unstable != Some(1) {
                return Err(failed(
                    "a solution was found that is unstable in more than one way, and no bounce therefore",
                ));
            }
            return Ok(Solution { space, phi, kinetic: energies.0, potential: energies.1, change });
        }
        kinetic = energies.0;
        if space.edges.len() > 1000 {
            break;
        }
        // Where all is resolved, halving everything once shows the error.
        let which = if coarse.contains(&true) { coarse } else { vec![true; space.edges.len() - 1] };
        let finer = space.halved(&which);
        let mut values = vec![0.0; finer.nodes() * n];
        for (i, value) in values.chunks_mut(n).enumerate() {
            space.value(&phi, finer.radius(i), value);
        }
        (space, phi) = (finer, values);
    }
    Err(failed("the fields are not resolved by 1000 elements"))
}

pub(super) fn failed(reason: &str) -> Error {
    Error::NotConverged { what: "the bounce".to_owned(), reason: reason.to_owned() }
}

/// Scales radii so that Derrick's relation holds; the action then. Nothing if V is positive on the whole.
fn dilated(space: &mut Space, phi: &[f64], hill: &mut dyn Hill) -> Option<f64> {
    let d = space.dimension as f64;
    let (kinetic, potential) = space.energies(phi, hill);
    if !(potential < 0.0 && kinetic > 0.0 && kinetic.is_finite() && potential.is_finite()) {
        return None;
    }
    let sigma = ((d - 2.0) * kinetic / (d * -potential)).sqrt();
    space.edges.iter_mut().for_each(|edge| *edge *= sigma);
    Some(2.0 / d * sigma.powf(d - 2.0) * kinetic)
}

/// Lets fields down to the bounce: descent of the action among dilated fields, and Newton's method as soon as it arrives.
///
/// # Errors
/// [`Error::NotConverged`]
pub(super) fn descend(
    mut space: Space,
    mut phi: Vec<f64>,
    hill: &mut dyn Hill,
    tail: &dyn Fn(f64) -> Vec<f64>,
    scale: f64,
) -> Result<Solution> {
    let n = space.fields;
    let positive = move |hessian: &mut [f64]| {
        let (masses, modes) = eigen(hessian, n);
        let heaviest = masses.iter().fold(0.0f64, |a, m| a.max(m.abs()));
        hessian.fill(0.0);
        for (mass, mode) in masses.iter().zip(&modes) {
            for (k, entry) in hessian.iter_mut().enumerate() {
                *entry += mass.abs().max(1e-6 * heaviest) * mode[k / n] * mode[k % n];
            }
        }
    };
    let mut action = dilated(&mut space, &phi, hill)
        .ok_or_else(|| failed("the bounce along the straight line does not start the descent"))?;
    let mut tried = f64::INFINITY;
    for step in 0..400 {
        let outer = tail(space.edges[space.edges.len() - 1]);
        let assembled = space.assemble(&phi, hill, &outer, &positive);
        let (direction, _) = assembled.matrix.solve(&assembled.gradient);
        let mut factor = 1.0;
        let (next_space, next, lower) = loop {
            let next: Vec<f64> = phi.iter().zip(&direction).map(|(p, s)| p - factor * s).collect();
            let mut moved = space.clone();
            match dilated(&mut moved, &next, hill) {
                Some(lower) if lower < action => break (moved, next, lower),
                _ if factor < 1e-4 => break (space.clone(), phi.clone(), action),
                _ => factor /= 2.0,
            }
        };
        let gain = 1.0 - lower / action;
        (space, phi, action) = (next_space, next, lower);
        if gain < 1e-2 && action < 0.97 * tried || gain < 1e-7 || step % 40 == 39 {
            tried = action;
            let (start, values) = resolved(&space, &phi, scale, 1e-4);
            match converge(start, values, hill, tail, scale) {
                // Newton's method may find another bounce, which is none the worse if its action is lower.
                Ok(solution) if 2.0 / space.dimension as f64 * solution.kinetic < 1.001 * action => {
                    return Ok(solution);
                }
                Err(error) if gain < 1e-7 => return Err(error),
                _ => {}
            }
        }
        if step % 10 == 9 {
            (space, phi) = resolved(&space, &phi, scale, 1e-3);
        }
    }
    Err(failed("the descent from the bounce along the straight line does not come to rest"))
}

/// The same fields on elements made for them.
fn resolved(space: &Space, phi: &[f64], scale: f64, tolerance: f64) -> (Space, Vec<f64>) {
    let radius = space.edges[space.edges.len() - 1];
    let mut field = |r: f64, out: &mut [f64]| space.value(phi, r, out);
    Space::resolving((space.fields, space.dimension), radius, (tolerance, scale), &mut field)
}

#[cfg(test)]
mod tests {
    use super::ratio_of_bessel_k;

    #[test]
    fn bessel_functions_have_their_tabulated_ratio() {
        // K₁(1) = 0.6019072302, K₂(1) = 1.6248388986; K₁(10)= 1.8648773454e-5, K₂(10) = 2.1509817007e-5.
        for (z, ratio) in [(1.0, 1.6248388986 / 0.6019072302), (10.0, 2.1509817007 / 1.8648773454)] {
            assert!((ratio_of_bessel_k(z, 4) / ratio - 1.0).abs() < 1e-9);
        }
    }
}
