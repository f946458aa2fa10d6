//! Phase transitions of a potential V(φ, T): S₃/T, the temperatures at which the vacua are degenerate and at which bubbles
//! nucleate, and what gravitational waves depend on: strength and duration.
//!
//! The rate of bubbles is Γ ~ T⁴ exp(−S₃/T) (Linde, Nucl. Phys. B 216, 421). Temperatures are in GeV.

use fb_core::{Error, Kind, Result};

use super::potential::{Potential, norm};
use super::{Bounce, Vacua, bounce, refined};

/// 1/√G in GeV.
const PLANCK_MASS: f64 = 1.220890e19;
/// Temperatures at which the curve is computed.
const CURVE: usize = 16;
/// The logarithm of the temperature between the actions of a difference.
const STEP: f64 = 2e-3;
/// Halvings of an interval of temperatures.
const HALVINGS: usize = 50;

/// When bubbles have nucleated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// S₃/T is this number.
    Fixed(f64),
    /// S₃/T = 140 − 4 ln(T/100 GeV), for the electroweak scale.
    Logarithm,
    /// One bubble a horizon: ∫ dT/T (2ζ M/T)⁴ exp(−S₃/T) = 1 down from the critical temperature, with
    /// 1/ζ = 4π √(π g/45).
    Integral,
}

/// What is asked of a thermal potential.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thermal {
    /// Lowest and highest temperature.
    pub range: [f64; 2],
    /// Effective degrees of freedom of radiation.
    pub g_star: f64,
    /// When bubbles have nucleated.
    pub condition: Condition,
    /// The field whose value in the true vacuum is v; the length of all by default.
    pub field: Option<usize>,
}

/// A phase transition.
#[derive(Debug, Clone)]
pub struct Transition {
    /// Falling temperatures, and S₃/T there.
    pub curve: Vec<(f64, f64)>,
    /// Where the vacua are degenerate, if that is in the range.
    pub critical: Option<f64>,
    /// Where bubbles nucleate, if they do.
    pub nucleation: Option<Nucleation>,
}

/// The nucleation of bubbles.
#[derive(Debug, Clone)]
pub struct Nucleation {
    /// T_n.
    pub temperature: f64,
    /// β/H = T d(S₃/T)/dT
    pub beta_over_h: f64,
    /// (ΔV − T/4 dΔV/dT)/ρ, ρ = π² g T⁴/30, ΔV = V(false) − V(true)
    pub alpha_trace: f64,
    /// (ΔV − T dΔV/dT)/ρ
    pub alpha_latent: f64,
    /// v(T)/T
    pub v_over_t: f64,
    /// What the error of S₃/T makes of the others.
    pub errors: Errors,
    /// The bounce there.
    pub bounce: Bounce,
}

/// Numerical errors of a nucleation, from that of the action: δT/T = δ(S₃/T)/(β/H); of β/H what differences of five such
/// actions have; and by how much everything changes over δT. That of the potential, and of the condition, are not in
/// them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of T_n.
    pub temperature: f64,
    /// Of β/H.
    pub beta_over_h: f64,
    /// Of `alpha_trace`.
    pub alpha_trace: f64,
    /// Of `alpha_latent`.
    pub alpha_latent: f64,
}

/// Follows the transition from high to low temperatures.
///
/// # Errors
/// [`Error::Config`] for a range that is none, [`Error::Model`] if the vacua exist nowhere in it, and that of the last bounce
/// if none was found.
pub fn transition(potential: &Potential, vacua: &Vacua, thermal: &Thermal) -> Result<Transition> {
    let [low, high] = thermal.range;
    let config =
        |place: &str, reason: String| Err(Error::Config { place: format!("bubble.temperature.{place}"), reason });
    if !(low > 0.0 && high > low && high.is_finite()) {
        return config("range", format!("found {:?}, expected two rising temperatures above zero", thermal.range));
    }
    if !(thermal.g_star > 0.0 && thermal.g_star.is_finite()) {
        return config("g_star", format!("found {}, expected a number above zero", thermal.g_star));
    }
    let scene = Scene { potential, vacua, thermal };
    let critical = scene.critical();
    let top = critical.unwrap_or(high);
    let mut curve = Vec::new();
    let mut last = None;
    for k in usize::from(critical.is_some())..=CURVE {
        let temperature = top - (top - low) * k as f64 / CURVE as f64;
        match scene.exponent(temperature) {
            Ok(exponent) => curve.push((temperature, exponent)),
            Err(error) => last = Some(error),
        }
    }
    if curve.is_empty() {
        return Err(last.unwrap_or_else(|| super::collocation::failed("no temperature has a bounce")));
    }
    let nucleation = scene.nucleation(&curve, critical)?;
    Ok(Transition { curve, critical, nucleation })
}

struct Scene<'a> {
    potential: &'a Potential,
    vacua: &'a Vacua,
    thermal: &'a Thermal,
}

impl Scene<'_> {
    /// V(false) − V(true), if both vacua are minima.
    fn depth(&self, temperature: f64) -> Option<f64> {
        let mut landscape = self.potential.at(temperature);
        match refined(&mut landscape, self.vacua) {
            Ok((start, end, true)) => Some(landscape.value(&start) - landscape.value(&end)),
            Ok(_) => None,
            // Where the order of the vacua is the other way round, they are refined all the same.
            Err(_) => {
                let other = Vacua {
                    false_vacuum: self.vacua.true_vacuum.clone(),
                    true_vacuum: self.vacua.false_vacuum.clone(),
                };
                let (start, end, bounded) = refined(&mut landscape, &other).ok()?;
                bounded.then(|| landscape.value(&end) - landscape.value(&start))
            }
        }
    }

    /// The highest temperature in the range where the vacua are degenerate.
    fn critical(&self) -> Option<f64> {
        let [low, high] = self.thermal.range;
        let steps = 8 * CURVE;
        let place = |k: usize| high - (high - low) * k as f64 / steps as f64;
        let mut above: Option<f64> = None;
        for temperature in (0..=steps).map(place) {
            match self.depth(temperature) {
                Some(depth) if depth > 0.0 => {
                    let (mut a, mut b) = (temperature, above?);
                    for _ in 0..HALVINGS {
                        let middle = f64::midpoint(a, b);
                        // Without an order of the vacua they are degenerate to the last bit.
                        match self.depth(middle) {
                            Some(depth) if depth > 0.0 => a = middle,
                            Some(_) => b = middle,
                            None => return Some(middle),
                        }
                    }
                    return Some(f64::midpoint(a, b));
                }
                Some(_) => above = Some(temperature),
                None => above = None,
            }
        }
        None
    }

    fn bounce(&self, temperature: f64) -> Result<Bounce> {
        bounce(&mut self.potential.at(temperature), self.vacua, 3)
    }

    /// S₃/T
    fn exponent(&self, temperature: f64) -> Result<f64> {
        Ok(self.bounce(temperature)?.reference / temperature)
    }

    /// S₃/T, and its first two derivatives by ln T.
    fn expanded(&self, temperature: f64) -> Result<[f64; 3]> {
        let h = STEP;
        let mut values = [0.0; 5];
        for (i, value) in values.iter_mut().enumerate() {
            *value = self.exponent(temperature * (h * (i as f64 - 2.0)).exp())?;
        }
        let [a, b, c, d, e] = values;
        let first = (a - 8.0 * b + 8.0 * d - e) / (12.0 * h);
        Ok([c, first, (-a + 16.0 * b - 30.0 * c + 16.0 * d - e) / (12.0 * h * h)])
    }

    /// How much S₃/T exceeds what it is where bubbles nucleate.
    fn excess(&self, temperature: f64, exponent: f64) -> Result<f64> {
        match self.thermal.condition {
            Condition::Fixed(threshold) => Ok(exponent - threshold),
            Condition::Logarithm => Ok(exponent - 140.0 + 4.0 * (temperature / 100.0).ln()),
            Condition::Integral => {
                // The integral comes from a few T/β above the temperature, over which S₃/T is a parabola in ln T.
                let zeta =
                    1.0 / (4.0 * std::f64::consts::PI * (std::f64::consts::PI * self.thermal.g_star / 45.0).sqrt());
                let prefactor = 4.0 * (2.0 * zeta * PLANCK_MASS / temperature).ln();
                // Its logarithm is a few at most.
                if exponent - prefactor > 50.0 {
                    return Ok(exponent - prefactor);
                }
                let [_, slope, bend] = self.expanded(temperature)?;
                let reach = 40.0 / (slope.abs() + 4.0);
                let steps = 400;
                let sum: f64 = (0..=steps)
                    .map(|i| {
                        let x = reach * f64::from(i) / f64::from(steps);
                        let simpson = if i == 0 || i == steps {
                            1.0
                        } else if i % 2 == 1 {
                            4.0
                        } else {
                            2.0
                        };
                        simpson * (-4.0 * x - slope * x - bend.max(0.0) * x * x / 2.0).exp()
                    })
                    .sum();
                Ok(exponent - prefactor - (sum * reach / f64::from(steps) / 3.0).ln())
            }
        }
    }

    fn nucleation(&self, curve: &[(f64, f64)], critical: Option<f64>) -> Result<Option<Nucleation>> {
        let mut above = critical.map(|temperature| (temperature, f64::INFINITY));
        for &(temperature, exponent) in curve {
            // Where the parabola of the integral does not exist, neither does the transition.
            let Ok(excess) = self.excess(temperature, exponent) else { continue };
            if excess < 0.0 {
                return above.map(|above| self.crossing((temperature, excess), above)).transpose();
            }
            above = Some((temperature, excess));
        }
        Ok(None)
    }

    /// Bubbles nucleate between two temperatures.
    fn crossing(&self, (mut low, mut under): (f64, f64), (mut high, mut over): (f64, f64)) -> Result<Nucleation> {
        for i in 0..HALVINGS {
            if high - low < 1e-9 * high {
                break;
            }
            // False position, and halves where that does not come on.
            let share = if over.is_finite() && i % 3 != 2 { -under / (over - under) } else { 0.5 };
            let middle = low + (high - low) * share.clamp(1e-6, 1.0 - 1e-6);
            match self.exponent(middle).and_then(|exponent| self.excess(middle, exponent)) {
                Ok(excess) if excess.abs() < 1e-8 => {
                    (low, high) = (middle, middle);
                }
                Ok(excess) if excess < 0.0 => (low, under) = (middle, excess),
                Ok(excess) => (high, over) = (middle, excess),
                // Next to the critical temperature walls are too thin for numbers of this size.
                Err(error) if error.kind() == Kind::Diverged && over == f64::INFINITY => high = middle,
                Err(error) => return Err(error),
            }
        }
        let temperature = low;
        let found = self.bounce(temperature)?;
        let end = found.true_vacuum.clone().unwrap_or_else(|| self.vacua.true_vacuum.clone());
        let [_, beta, bend] = self.expanded(temperature)?;
        let noise = found.action.error() / temperature;
        let shift = noise / beta.abs();
        let [alpha_trace, alpha_latent] = self.strengths(temperature, &found.false_vacuum, &end);
        let step = 1e-3;
        let beside = |factor: f64| {
            let temperature = temperature * (1.0 + factor);
            let (start, end, _) = refined(&mut self.potential.at(temperature), self.vacua)?;
            Ok(self.strengths(temperature, &start, &end))
        };
        let (above, below): ([f64; 2], [f64; 2]) = (beside(step)?, beside(-step)?);
        let drift = |k: usize| ((above[k] - below[k]) / (2.0 * step)).abs() * shift;
        let v = self.thermal.field.map_or_else(|| norm(&end), |field| end[field].abs());
        Ok(Nucleation {
            temperature,
            beta_over_h: beta,
            alpha_trace,
            alpha_latent,
            v_over_t: v / temperature,
            errors: Errors {
                temperature: temperature * shift,
                // √130/12 for weights 1, 8, 8, 1 of independent errors.
                beta_over_h: (noise * 130f64.sqrt() / (12.0 * STEP)).hypot(bend * shift),
                alpha_trace: drift(0),
                alpha_latent: drift(1),
            },
            bounce: found,
        })
    }

    /// α from the trace and from the latent heat between two vacua.
    fn strengths(&self, temperature: f64, start: &[f64], end: &[f64]) -> [f64; 2] {
        let mut landscape = self.potential.at(temperature);
        let high = (landscape.second(start), landscape.thermal_slope());
        let low = (landscape.second(end), landscape.thermal_slope());
        // The vacua are stationary, so that their motion does not enter the derivative.
        let (depth, slope) = (high.0 - low.0, high.1 - low.1);
        let radiation = std::f64::consts::PI.powi(2) * self.thermal.g_star * temperature.powi(4) / 30.0;
        [(depth - temperature * slope / 4.0) / radiation, (depth - temperature * slope) / radiation]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The Standard Model with a singlet of Z₂ at leading order of high temperature, {T_c, λ_m, λ_s} = {110 GeV, 1.5, 0.65}.
    fn singlet() -> (Potential, Vacua) {
        let (v, mh, mw, mz, mt) = (246.22f64, 125.1, 80.385, 91.1876f64, 173.34);
        let (tc, lm, ls) = (110.0, 1.5, 0.65f64);
        let (g2, gp2) = ((2.0 * mw / v).powi(2), 4.0 * (mz * mz - mw * mw) / (v * v));
        let lh = mh * mh / (2.0 * v * v);
        let yt2 = 2.0 * mt * mt / (v * v);
        let (cs, ch) =
            ((2.0 * lm + 3.0 * ls) / 12.0, (9.0 * g2 + 3.0 * gp2 + 2.0 * (6.0 * yt2 + 12.0 * lh + lm)) / 48.0);
        let ms2 = -(v * v - ch * tc * tc / lh) * (lh * ls).sqrt() - cs * tc * tc;
        let parameters =
            [("mh2", lh * v * v), ("ch", ch), ("ms2", ms2), ("cs", cs), ("lh", lh), ("ls", ls), ("lm", lm)];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let text = "-(mh2 - ch*T^2)*h^2/2 + (ms2 + cs*T^2)*s^2/2 + lh*h^4/4 + ls*s^4/4 + lm*h^2*s^2/4";
        let fields = ["h".to_owned(), "s".to_owned()];
        let potential = Potential::new(text, &fields, &BTreeMap::from(parameters), true).unwrap();
        (potential, Vacua { false_vacuum: vec![0.0, 150.0], true_vacuum: vec![200.0, 0.0] })
    }

    fn asked(condition: Condition, range: [f64; 2]) -> Thermal {
        Thermal { range, g_star: 106.75, condition, field: Some(0) }
    }

    #[test]
    fn the_singlet_nucleates_as_published() {
        let (potential, vacua) = singlet();
        let found = transition(&potential, &vacua, &asked(Condition::Fixed(140.0), [70.0, 120.0])).unwrap();
        assert!((found.critical.unwrap() - 110.0).abs() < 1e-6, "{:?}", found.critical);
        let n = found.nucleation.unwrap();
        assert!((n.temperature - 81.87).abs() < 0.5, "{}", n.temperature);
        assert!((n.beta_over_h / 219.7 - 1.0).abs() < 0.05, "{}", n.beta_over_h);
        assert!((n.alpha_trace / 0.0278 - 1.0).abs() < 0.03, "{}", n.alpha_trace);
        assert!((n.alpha_latent / 0.0671 - 1.0).abs() < 0.03, "{}", n.alpha_latent);
        assert!((n.v_over_t - 2.34).abs() < 0.02, "{}", n.v_over_t);
        // The action has an error below 1e-6 of 140, and the others what follows.
        let errors = n.errors;
        assert!(errors.temperature > 0.0 && errors.temperature < 1e-4, "{errors:?}");
        assert!(errors.beta_over_h > 0.0 && errors.beta_over_h < 0.5, "{errors:?}");
        assert!(errors.alpha_trace > 0.0 && errors.alpha_trace < 1e-5, "{errors:?}");
    }

    #[test]
    fn a_curve_that_stays_above_nucleates_nowhere() {
        let (potential, vacua) = singlet();
        let found = transition(&potential, &vacua, &asked(Condition::Fixed(110.0), [60.0, 115.0])).unwrap();
        assert!(found.nucleation.is_none() && found.curve.len() == CURVE);
    }

    #[test]
    fn one_bubble_a_horizon_is_near_the_usual_numbers() {
        let (potential, vacua) = singlet();
        let temperature = |condition| {
            let found = transition(&potential, &vacua, &asked(condition, [80.0, 86.0])).unwrap();
            found.nucleation.unwrap().temperature
        };
        let (integral, logarithm) = (temperature(Condition::Integral), temperature(Condition::Logarithm));
        assert!((integral - logarithm).abs() < 2.0, "{integral} {logarithm}");
    }
}
