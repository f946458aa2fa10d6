//! Bubbles of first-order phase transitions: bounces of scalar potentials and their actions.
//!
//! A bounce solves φᵢ″ + (d−1)/r φᵢ′ = ∂V/∂φᵢ with φ′(0) = 0 and φ(∞) the false vacuum (Coleman, Phys. Rev. D 15, 2929). Its
//! action is S_d = Ω_d ∫ r^{d−1} [φ′²/2 + V − V(false)] dr, Ω_3 = 4π, Ω_4 = 2π². By Derrick's relation
//! (d−2) S_T + d S_V = 0 it is 2 S_T/d also, and how well that holds measures the solution.

mod potential;
mod shooting;

use fb_core::{Error, Result, Value};

pub use potential::{Landscape, Potential};
use potential::{eigen, norm};

/// Where to look for a bounce.
#[derive(Debug, Clone, PartialEq)]
pub struct Vacua {
    /// The minimum that decays; refined.
    pub false_vacuum: Vec<f64>,
    /// A place downhill of which the other one lies; refined. Where V has no ground there, a place beyond the barrier.
    pub true_vacuum: Vec<f64>,
}

/// A bounce.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounce {
    /// The minimum that decays.
    pub false_vacuum: Vec<f64>,
    /// The minimum beyond the barrier, if there is one.
    pub true_vacuum: Option<Vec<f64>>,
    /// S_d.
    pub action: Value,
    /// |(d−2) S_T + d S_V| / S_T
    pub derrick: f64,
    /// Radii, rising.
    pub r: Vec<f64>,
    /// The fields at these radii, one list a field.
    pub phi: Vec<Vec<f64>>,
}

/// Ω_d, the area of the unit sphere.
fn sphere(dimension: usize) -> f64 {
    let pi = std::f64::consts::PI;
    if dimension == 3 { 4.0 * pi } else { 2.0 * pi * pi }
}

/// The vacua that lie downhill of where they are looked for; whether the true one exists.
fn refined(landscape: &mut Landscape, vacua: &Vacua) -> Result<(Vec<f64>, Vec<f64>, bool)> {
    let n = landscape.fields();
    let model = |place: &str, reason: String| Error::Model { place: format!("bubble.{place}"), reason };
    for (place, vacuum) in [("false_vacuum", &vacua.false_vacuum), ("true_vacuum", &vacua.true_vacuum)] {
        if vacuum.len() != n || vacuum.iter().any(|x| !x.is_finite()) {
            let reason = format!("found {vacuum:?}, expected {n} finite numbers, one a field");
            return Err(Error::Config { place: format!("bubble.{place}"), reason });
        }
    }
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let scale = apart(&vacua.false_vacuum, &vacua.true_vacuum);
    if scale == 0.0 || !scale.is_finite() {
        return Err(model("true_vacuum", "is the false vacuum".to_owned()));
    }
    let mut start = vacua.false_vacuum.clone();
    landscape.second(&start);
    if !landscape.curvatures().iter().all(|x| x.is_finite()) {
        // φ² ln φ² and powers such as φ^(7/3) have a minimum at zero, but no curvature there.
        start.iter_mut().zip(&vacua.true_vacuum).for_each(|(x, to)| *x += 1e-8 * (to - *x));
        if !landscape.second(&start).is_finite() {
            let reason = "the potential is no number there".to_owned();
            return Err(model("false_vacuum", reason));
        }
    } else {
        start = landscape.minimum(&start, scale).ok_or_else(|| {
            model("false_vacuum", "the potential falls from there without end, expected a local minimum".to_owned())
        })?;
        landscape.second(&start);
    }
    let (masses, modes) = eigen(&landscape.curvatures(), n);
    let heaviest = masses.iter().fold(0.0f64, |a, m| a.max(m.abs()));
    if let Some((mass, mode)) = masses.iter().zip(&modes).find(|(mass, _)| **mass < -1e-9 * heaviest) {
        return Err(model(
            "false_vacuum",
            format!("{start:.6?} is no minimum: the curvature along {mode:.3?} is {mass:.6}; start from beside it"),
        ));
    }
    if apart(&start, &vacua.false_vacuum) > 0.5 * scale {
        return Err(model(
            "false_vacuum",
            format!("there is no minimum near {:?}: downhill of it lies {start:.6?}", vacua.false_vacuum),
        ));
    }
    let ground = landscape.minimum(&vacua.true_vacuum, scale);
    let bounded = ground.is_some();
    let end = ground.unwrap_or_else(|| vacua.true_vacuum.clone());
    if apart(&start, &end) < 1e-3 * scale {
        return Err(model(
            "true_vacuum",
            format!(
                "downhill of {:?} lies the false vacuum {start:.6?}; start from beyond the barrier",
                vacua.true_vacuum
            ),
        ));
    }
    let (high, low) = (landscape.value(&start), landscape.value(&end));
    if bounded && low >= high {
        return Err(model(
            "true_vacuum",
            format!("V = {low:.9} at {end:.6?} is not lower than V = {high:.9} at the false vacuum; exchange them?"),
        ));
    }
    Ok((start, end, bounded))
}

/// The bounce out of a false vacuum, in `dimension` 3 or 4.
///
/// # Errors
/// [`Error::Model`] for vacua that are none and without a barrier, [`Error::NotConverged`] without a solution.
pub fn bounce(landscape: &mut Landscape, vacua: &Vacua, dimension: usize) -> Result<Bounce> {
    let (start, end, bounded) = refined(landscape, vacua)?;
    let shot = straight(landscape, &start, &end, bounded, dimension)?;
    let (kinetic, potential) = (sphere(dimension) * shot.kinetic, sphere(dimension) * shot.potential);
    let d = dimension as f64;
    let (action, direct) = (2.0 * kinetic / d, kinetic + potential);
    let along: Vec<f64> = start.iter().zip(&end).map(|(a, b)| b - a).collect();
    let length = norm(&along);
    let (r, x): (Vec<f64>, Vec<f64>) = shot.points.iter().map(|point| (point[0], point[1] / length)).unzip();
    Ok(Bounce {
        phi: start.iter().zip(&along).map(|(a, b)| x.iter().map(|x| a + b * x).collect()).collect(),
        false_vacuum: start,
        true_vacuum: bounded.then_some(end),
        action: Value::symmetric(action, (action - direct).abs()),
        derrick: ((d - 2.0) * kinetic + d * potential).abs() / kinetic,
        r,
    })
}

/// The bounce of the one field along the straight line between the vacua.
fn straight(
    landscape: &mut Landscape,
    start: &[f64],
    end: &[f64],
    bounded: bool,
    dimension: usize,
) -> Result<shooting::Shot> {
    let along: Vec<f64> = start.iter().zip(end).map(|(a, b)| b - a).collect();
    let length = norm(&along);
    let unit: Vec<f64> = along.iter().map(|x| x / length).collect();
    let base = landscape.value(start);
    let n = start.len();
    let mut phi = vec![0.0; n];
    let mut line = |x: f64| {
        phi.iter_mut().zip(start.iter().zip(&unit)).for_each(|(p, (a, u))| *p = a + x * u);
        let value = landscape.second(&phi) - base;
        let slope = (0..n).map(|i| unit[i] * landscape.slope(i)).sum();
        let square = (0..n * n).map(|k| unit[k / n] * unit[k % n] * landscape.curvature(k / n, k % n)).sum();
        [value, slope, square]
    };
    shooting::shoot(&mut line, length, bounded, dimension)
}
