//! Over- and undershooting along a line: one field that rolls in the inverted potential (Coleman, Phys. Rev. D 15, 2929).
//!
//! φ″ + (d−1)/r φ′ = V′(φ) starts at rest beyond the barrier. A start too near to the true vacuum passes the false
//! vacuum, one too far from it turns back; the bounce lies between. The start is sought in λ = −ln(distance to the true
//! vacuum), and rolls off by the closed solution in the harmonic potential there, which is why a wall at any radius is no
//! difficulty: a thin wall at R means λ ≈ mR.

use fb_core::{Error, Result};

/// V − V(false), V′ and V″ along the line, at a distance from the false vacuum.
pub(super) type Line<'a> = dyn FnMut(f64) -> [f64; 3] + 'a;

/// A bounce along a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shot {
    /// 3 or 4.
    pub dimension: usize,
    /// r, distance to the false vacuum, and its derivative; r rises. Inside of the first r the field is at rest.
    pub points: Vec<[f64; 3]>,
    /// ∫ r^{d−1} φ′²/2 dr
    pub kinetic: f64,
}

/// Most steps of one trajectory.
const MOST_STEPS: usize = 20_000;
/// Relative error of a step.
const TOLERANCE: f64 = 1e-9;

/// Shoots in `dimension` 3 or 4. The true vacuum is at `length`, or nowhere and `length` a place beyond the barrier.
///
/// # Errors
/// [`Error::Model`] without a barrier, [`Error::NotConverged`] if no start overshoots.
pub(super) fn shoot(line: &mut Line, length: f64, bounded: bool, dimension: usize) -> Result<Shot> {
    let edge = edge(line, length)?;
    let mut shooter = Shooter { line, length, bounded, edge, dimension };
    let (mut under, mut over) = (0.0, 1.0);
    while shooter.roll(over, None) == Outcome::Under {
        under = over;
        over *= 2.0;
        if over > if bounded { 1e6 } else { 200.0 } {
            return Err(Error::NotConverged {
                what: "the bounce".to_owned(),
                reason:
                    "no start beyond the barrier reaches the false vacuum: the potential may have no bounce in this \
                         dimension, or vacua that are degenerate"
                        .to_owned(),
            });
        }
    }
    while over - under > 1e-15 * over {
        let middle = f64::midpoint(under, over);
        if middle <= under || middle >= over {
            break;
        }
        match shooter.roll(middle, None) {
            Outcome::Over => over = middle,
            Outcome::Under => under = middle,
        }
    }
    let mut shot = Shot { dimension, points: Vec::new(), kinetic: 0.0 };
    shooter.roll(over, Some(&mut shot));
    Ok(shot)
}

/// Where the potential falls below that of the false vacuum, beyond the barrier.
fn edge(line: &mut Line, length: f64) -> Result<f64> {
    let error = |reason: &str| Error::Model { place: "bubble.potential".to_owned(), reason: reason.to_owned() };
    // Barriers may be much nearer to one vacuum than to the other.
    let near = (0..60).map(|i| 1e-6 * 10f64.powf(f64::from(i) / 10.0));
    let places = near.filter(|x| *x < 1e-2).chain((4..=400).map(|i| f64::from(i) / 400.0));
    let mut before = 0.0;
    let mut barrier = false;
    for x in places.map(|x| x * length) {
        let [value, ..] = line(x);
        if value.is_nan() {
            return Err(error("is no number between the vacua"));
        }
        if value > 0.0 {
            barrier = true;
        } else if barrier && value < 0.0 {
            let (mut low, mut high) = (before, x);
            for _ in 0..60 {
                let middle = f64::midpoint(low, high);
                if line(middle)[0] > 0.0 { low = middle } else { high = middle }
            }
            return Ok(high);
        } else if value < 0.0 && x > 1e-5 * length {
            return Err(error(
                "there is no barrier: it falls from the false vacuum on the way to the true one, so the field rolls",
            ));
        }
        before = x;
    }
    Err(error("the true vacuum is not lower than the false one; exchange them or change the parameters"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Over,
    Under,
}

struct Shooter<'a, 'b> {
    line: &'a mut Line<'b>,
    length: f64,
    bounded: bool,
    edge: f64,
    dimension: usize,
}

/// φ, φ′, ∫ r^{d−1} φ′²/2
type State = [f64; 3];

impl Shooter<'_, '_> {
    /// The start of a trajectory at rest: r and the state there.
    fn start(&mut self, lambda: f64) -> (f64, State) {
        let d = self.dimension as f64;
        let room = self.length - self.edge;
        if self.bounded && lambda > 9.0 {
            let [_, _, square] = (self.line)(self.length);
            if square > 0.0 {
                let (mass, log) = (square.sqrt(), room.ln() - lambda);
                let reached = (1.5 * log.exp()).max(1e-5 * room);
                let z = growth_to(reached.ln() - log, self.dimension);
                let r = z / mass;
                return (r, [self.length - reached, -reached * mass * slope(z, self.dimension), 0.0]);
            }
        }
        let start = if self.bounded { self.length - room * (-lambda).exp() } else { self.edge * lambda.exp() };
        let [_, push, square] = (self.line)(start);
        let moved = 1e-4 * if self.bounded { room * (-lambda).exp() } else { start };
        let r2 = 2.0 * d * (moved / push.abs().max(1e-300)).min(1e-4 / square.abs().max(1e-300));
        let r = r2.sqrt();
        let (phi, speed) = (
            start + push * r2 / (2.0 * d) * (1.0 + square * r2 / (4.0 * (d + 2.0))),
            push * r / d * (1.0 + square * r2 / (2.0 * (d + 2.0))),
        );
        let kinetic = push * push * r.powf(d + 2.0) / (2.0 * d * d * (d + 2.0));
        (r, [phi, speed, kinetic])
    }

    /// Derivatives of the state; the potential is mirrored at the false vacuum, beyond which it does not matter.
    fn derivative(&mut self, r: f64, state: &State) -> State {
        let [_, push, _] = (self.line)(state[0].abs());
        let (friction, weight) = ((self.dimension - 1) as f64 / r, r.powi(self.dimension as i32 - 1));
        let push = if state[0] < 0.0 { -push } else { push };
        [state[1], push - friction * state[1], weight * state[1] * state[1] / 2.0]
    }

    /// Whether the trajectory passes the false vacuum. What it passes is stored in `shot`.
    fn roll(&mut self, lambda: f64, mut shot: Option<&mut Shot>) -> Outcome {
        let (mut r, mut state) = self.start(lambda);
        let [_, _, square] = (self.line)(state[0].abs());
        let mut step = (0.1 / square.abs().sqrt().max(1e-300)).min(r.max(1e-3 * self.length));
        let mut slope = self.derivative(r, &state);
        for _ in 0..MOST_STEPS {
            if let Some(shot) = shot.as_deref_mut() {
                shot.points.push([r, state[0], state[1]]);
                shot.kinetic = state[2];
            }
            let (next, slope_next, error) = self.dormand_prince(r, &state, &slope, step);
            if error.is_nan() || error > 1.0 {
                step *= if error.is_nan() { 0.25 } else { (0.9 * error.powf(-0.2)).max(0.2) };
                if step < 1e-14 * r {
                    return Outcome::Over;
                }
                continue;
            }
            (r, state, slope) = (r + step, next, slope_next);
            step *= (0.9 * error.powf(-0.2)).clamp(0.2, 4.0);
            if state[0] <= 0.0 {
                return Outcome::Over;
            }
            let [value, ..] = (self.line)(state[0]);
            // Friction only takes energy: what has too little of it never gets there.
            if state[1] >= 0.0 || state[1] * state[1] / 2.0 < value {
                return Outcome::Under;
            }
        }
        Outcome::Under
    }

    /// A step of Dormand and Prince (J. Comput. Appl. Math. 6, 19) of order five: state, slope there, error in tolerances.
    fn dormand_prince(&mut self, r: f64, state: &State, slope: &State, h: f64) -> (State, State, f64) {
        const NODES: [f64; 5] = [0.2, 0.3, 0.8, 8.0 / 9.0, 1.0];
        const STAGES: [[f64; 5]; 5] = [
            [0.2, 0.0, 0.0, 0.0, 0.0],
            [3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0],
            [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0],
            [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0, 0.0],
            [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
        ];
        const FIFTH: [f64; 6] = [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0];
        const ERROR: [f64; 7] =
            [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339200.0, 22.0 / 525.0, -1.0 / 40.0];
        let mut slopes = [[0.0; 3]; 7];
        slopes[0] = *slope;
        let combined = |slopes: &[State; 7], weights: &[f64]| {
            let mut sum = *state;
            for (k, weight) in slopes.iter().zip(weights) {
                sum.iter_mut().zip(k).for_each(|(s, k)| *s += h * weight * k);
            }
            sum
        };
        for (i, (node, weights)) in NODES.iter().zip(&STAGES).enumerate() {
            slopes[i + 1] = self.derivative(r + node * h, &combined(&slopes, weights));
        }
        let next = combined(&slopes, &FIFTH);
        slopes[6] = self.derivative(r + h, &next);
        let speed = state[1].abs().max(next[1].abs());
        let scales = [1e-3 * self.length + state[0].abs(), speed + 1e-300];
        let error = (0..2).map(|i| {
            let difference: f64 = slopes.iter().zip(ERROR).map(|(k, e)| h * e * k[i]).sum();
            difference.abs() / (TOLERANCE * scales[i])
        });
        (next, slopes[6], error.fold(0.0, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }))
    }
}

/// ln A(z) of the regular solution A of A″ + (d−1)/z A′ = A, A(0) = 1: sinh z/z for d = 3, 2 I₁(z)/z for d = 4.
fn log_growth(z: f64, dimension: usize) -> f64 {
    if dimension == 3 {
        return if z < 1e-3 { (z * z / 6.0).ln_1p() } else { z + (-(-2.0 * z).exp_m1() / (2.0 * z)).ln() };
    }
    if z < 30.0 {
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..200 {
            term *= z * z / 4.0 / (f64::from(k) * f64::from(k + 1));
            sum += term;
        }
        return sum.ln();
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..12 {
        let odd = f64::from(2 * k - 1);
        term *= -(4.0 - odd * odd) / (f64::from(k) * 8.0 * z);
        sum += term;
    }
    z - 0.5 * (2.0 * std::f64::consts::PI * z).ln() + sum.ln() + (2.0 / z).ln()
}

/// A′(z)/A(z), by the continued fraction of I_{ν+1}/I_ν at ν = d/2 − 1.
fn slope(z: f64, dimension: usize) -> f64 {
    if z > 1e4 {
        return 1.0 - (dimension - 1) as f64 / (2.0 * z);
    }
    let nu = dimension as f64 / 2.0 - 1.0;
    let depth = 40 + z as usize * 2;
    (1..=depth).rev().fold(0.0, |below, k| 1.0 / (2.0 * (nu + k as f64) / z + below))
}

/// The z where ln A(z) = `log`.
fn growth_to(log: f64, dimension: usize) -> f64 {
    let (mut low, mut high) = (0.0, 2.0 * log + 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if log_growth(middle, dimension) < log { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_at_rest_grows_as_its_equation_says() {
        for dimension in [3, 4] {
            for z in [0.5f64, 3.0, 29.9, 30.1, 500.0] {
                let h = 1e-4 * z;
                let first = (log_growth(z + h, dimension) - log_growth(z - h, dimension)) / (2.0 * h);
                assert!((first - slope(z, dimension)).abs() < 1e-6, "{dimension} {z}: {first}");
                // A″/A = s′ + s² = 1 − (d−1)/z s
                let s = slope(z, dimension);
                let bend = (slope(z + h, dimension) - slope(z - h, dimension)) / (2.0 * h);
                assert!((bend + s * s - 1.0 + (dimension - 1) as f64 / z * s).abs() < 1e-6, "{dimension} {z}");
                assert!((growth_to(log_growth(z, dimension), dimension) - z).abs() < 1e-9 * z.max(1.0));
            }
        }
    }

    #[test]
    fn trajectories_give_the_reference_actions() {
        // phi^4/4 - 0.4 phi^3 + 0.1 phi^2 in three and four dimensions.
        for (dimension, expected) in [(3, 6.62981963), (4, 138.654404)] {
            let mut line = |x: f64| {
                [
                    x.powi(4) / 4.0 - 0.4 * x.powi(3) + 0.1 * x * x,
                    x.powi(3) - 1.2 * x * x + 0.2 * x,
                    3.0 * x * x - 2.4 * x + 0.2,
                ]
            };
            let shot = shoot(&mut line, 1.0, true, dimension).unwrap();
            let sphere = if dimension == 3 { 4.0 } else { 2.0 * std::f64::consts::PI } * std::f64::consts::PI;
            let action = sphere * 2.0 / dimension as f64 * shot.kinetic;
            assert!((action / expected - 1.0).abs() < 1e-6, "{dimension}: {action}");
        }
    }
}
