//! Gravitational waves of a phase transition as they arrive today, and what detectors see of them.
//!
//! Spectra are h²Ω(f), the energy density per logarithm of the frequency over the critical one, with the Hubble constant
//! 100 h km/s/Mpc. Frequencies are in Hz, temperatures in GeV.

use fb_core::{Error, Result, Value};

/// A year in seconds.
const YEAR: f64 = 3.15576e7;
/// 100 km/s/Mpc in Hz.
const HUBBLE: f64 = 3.2407793e-18;
/// Points of a spectrum.
const POINTS: usize = 121;

/// What the waves of a transition depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Source {
    /// T_*, at which the waves are made.
    pub temperature: f64,
    /// β/H
    pub beta_over_h: f64,
    /// The energy released over that of radiation.
    pub alpha: f64,
    /// The velocity of the walls over that of light, above 0 and at most 1.
    pub wall_velocity: f64,
    /// Effective degrees of freedom at T_*.
    pub g_star: f64,
    /// The share of the motion of the plasma that is turbulent, 0 to 1.
    pub turbulence: f64,
    /// The share of the released energy that stays in the walls until they meet, 0 to 1.
    pub collisions: f64,
}

/// The waves of one transition.
#[derive(Debug, Clone, PartialEq)]
pub struct Waves {
    /// The share of the released energy that moves the plasma.
    pub efficiency: f64,
    /// H τ of the sound waves, 1 at most: how long they last in Hubble times.
    pub lifetime: f64,
    /// Where the sum of all sources is largest.
    pub peak_frequency: Value,
    /// h²Ω there.
    pub peak_amplitude: Value,
    /// [f, from collisions, from sound, from turbulence], frequencies rising.
    pub spectrum: Vec<[f64; 4]>,
    /// The signal-to-noise ratio of each detector, in the order of [`Detector::ALL`].
    pub snr: [Value; 2],
}

/// Velocity of sound in a relativistic plasma.
fn sound() -> f64 {
    3f64.sqrt().recip()
}

/// The share of the released energy that becomes motion of the plasma, for the strength α and the velocity of the walls: the fit
/// of Espinosa, Konstandin, No and Servant (arXiv:1004.4187, appendix A) to the hydrodynamics of a bag. It has three
/// branches: walls slower than sound, slower than Jouguet's detonation, and faster.
pub fn efficiency(alpha: f64, velocity: f64) -> f64 {
    let (root, cs, v) = (alpha.sqrt(), sound(), velocity);
    let jouguet = ((2.0 * alpha / 3.0 + alpha * alpha).sqrt() + cs) / (1.0 + alpha);
    // At rest, at the velocity of sound, at Jouguet's, at that of light.
    let slow = v.powf(1.2) * 6.9 * alpha / (1.36 - 0.037 * root + alpha);
    let sonic = alpha.powf(0.4) / (0.017 + (0.997 + alpha).powf(0.4));
    let critical = root / (0.135 + (0.98 + alpha).sqrt());
    let fast = alpha / (0.73 + 0.083 * root + alpha);
    let found = if v < cs {
        let power = cs.powf(2.2);
        power * slow * sonic / ((power - v.powf(2.2)) * sonic + v * cs.powf(1.2) * slow)
    } else if v < jouguet {
        let slope = -0.9 * (root / (1.0 + root)).ln();
        let place = (v - cs) / (jouguet - cs);
        sonic + (v - cs) * slope + place.powi(3) * (critical - sonic - (jouguet - cs) * slope)
    } else {
        let (edge, here, power) = ((jouguet - 1.0).powi(3), (v - 1.0).powi(3), jouguet.powf(2.5));
        edge * power * v.powf(-2.5) * critical * fast / ((edge - here) * power * critical + here * fast)
    };
    found.clamp(0.0, 1.0)
}

impl Source {
    /// Refuses numbers that no transition has.
    fn check(&self) -> Result<()> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        for (key, found, right, expected) in [
            (
                "wall_velocity",
                self.wall_velocity,
                self.wall_velocity > 0.0 && self.wall_velocity <= 1.0,
                "above 0, at most 1",
            ),
            ("turbulence", self.turbulence, (0.0..=1.0).contains(&self.turbulence), "0 to 1"),
            ("collisions", self.collisions, (0.0..=1.0).contains(&self.collisions), "0 to 1"),
        ] {
            if !right {
                return Err(Error::Config {
                    place: format!("bubble.waves.{key}"),
                    reason: format!("found {found}, expected a number {expected}"),
                });
            }
        }
        for (name, found) in [
            ("the temperature", self.temperature),
            ("beta/H", self.beta_over_h),
            ("alpha", self.alpha),
            ("g_star", self.g_star),
        ] {
            if !positive(found) {
                return Err(Error::Model {
                    place: "bubble.waves".to_owned(),
                    reason: format!("{name} of the transition is {found}, expected a number above zero"),
                });
            }
        }
        Ok(())
    }

    /// The share of the released energy that moves the plasma; what stays in the walls does not.
    pub fn efficiency(&self) -> f64 {
        (1.0 - self.collisions) * efficiency(self.alpha, self.wall_velocity)
    }

    /// The share κα/(1 + α) of all energy that moves.
    fn moving(&self, efficiency: f64) -> f64 {
        efficiency * self.alpha / (1.0 + self.alpha)
    }

    /// H τ of the sound waves, at most 1: from bubbles a distance R apart they go on for τ = R/U before they become shocks, where
    /// HR = (8π)^{1/3} max(v, c)/(β/H) and U² = 3/4 κα/(1 + α) is the mean square of the plasma's velocity (arXiv:1910.13125,
    /// section 3.1).
    pub fn lifetime(&self) -> f64 {
        let apart = (8.0 * std::f64::consts::PI).cbrt() * self.wall_velocity.max(sound()) / self.beta_over_h;
        (apart / (0.75 * self.moving(self.efficiency())).sqrt()).min(1.0)
    }

    /// 1 Hz (T/100 GeV)(g/100)^{1/6}: frequencies grow so with the temperature.
    fn redshift(&self) -> f64 {
        self.temperature / 100.0 * (self.g_star / 100.0).powf(1.0 / 6.0)
    }

    /// The frequencies at which the spectra of collisions, sound and turbulence turn, today (arXiv:1512.06239,
    /// section 2).
    pub fn turns(&self) -> [f64; 3] {
        let (v, scale) = (self.wall_velocity, self.beta_over_h * self.redshift());
        [16.5e-6 * 0.62 / (1.8 - 0.1 * v + v * v) * scale, 1.9e-5 / v * scale, 2.7e-5 / v * scale]
    }

    /// h²Ω at a frequency from collisions of walls, sound waves and turbulence (arXiv:1512.06239, section 2), where
    /// that of sound is times its [`lifetime`](Self::lifetime).
    pub fn spectrum(&self, frequency: f64) -> [f64; 3] {
        let (v, slow) = (self.wall_velocity, 1.0 / self.beta_over_h);
        let dilution = (100.0 / self.g_star).cbrt();
        let efficiency = self.efficiency();
        let [walls, waves, eddies] = self.turns().map(|turn| frequency / turn);
        let collisions = 1.67e-5
            * (slow * self.moving(self.collisions)).powi(2)
            * (0.11 * v.powi(3) / (0.42 + v * v))
            * (3.8 * walls.powf(2.8) / (1.0 + 2.8 * walls.powf(3.8)));
        let sound = 2.65e-6
            * slow
            * self.moving(efficiency).powi(2)
            * v
            * waves.powi(3)
            * (7.0 / (4.0 + 3.0 * waves * waves)).powf(3.5)
            * self.lifetime();
        let horizon = 1.65e-5 * self.redshift();
        let turbulence = 3.35e-4 * slow * self.moving(self.turbulence * efficiency).powf(1.5) * v * eddies.powi(3)
            / ((1.0 + eddies).powf(11.0 / 3.0) * (1.0 + 8.0 * std::f64::consts::PI * frequency / horizon));
        [collisions * dilution, sound * dilution, turbulence * dilution]
    }

    /// h²Ω of all sources.
    pub fn total(&self, frequency: f64) -> f64 {
        self.spectrum(frequency).iter().sum()
    }

    /// The frequency at which the sum of all sources is largest.
    pub fn peak(&self) -> f64 {
        let turns = self.turns();
        let low = turns.iter().fold(f64::INFINITY, |a, &f| a.min(f)).ln() - 4.0;
        let high = turns.iter().fold(0.0f64, |a, &f| a.max(f)).ln() + 3.0;
        let steps = 200;
        let place = |k: f64| low + (high - low) * k / f64::from(steps);
        let best = (0..=steps)
            .max_by(|&a, &b| self.total(place(f64::from(a)).exp()).total_cmp(&self.total(place(f64::from(b)).exp())));
        let middle = f64::from(best.unwrap_or(0));
        // The sections of a golden ratio, in the logarithm of the frequency.
        let (mut a, mut b) = (place(middle - 1.0), place(middle + 1.0));
        let share = (5f64.sqrt() - 1.0) / 2.0;
        for _ in 0..60 {
            let (left, right) = (b - share * (b - a), a + share * (b - a));
            if self.total(left.exp()) > self.total(right.exp()) { b = right } else { a = left }
        }
        f64::midpoint(a, b).exp()
    }

    /// ρ of a detector that takes data for some years: ρ² = T ∫ df (Ω/Ω_s)².
    pub fn snr(&self, detector: Detector, years: f64) -> f64 {
        (years * YEAR * detector.integral(&|f| self.total(f) / detector.sensitivity(f))).sqrt()
    }

    /// A quantity with its error from those of temperature, β/H and α: the quadratic sum of the three, to first order.
    fn with_error(&self, errors: [f64; 3], quantity: &dyn Fn(&Self) -> f64) -> Value {
        let mut square = 0.0;
        for (k, error) in errors.into_iter().enumerate() {
            let at = |factor: f64| {
                let mut source = *self;
                let parameter = match k {
                    0 => &mut source.temperature,
                    1 => &mut source.beta_over_h,
                    _ => &mut source.alpha,
                };
                let here = *parameter;
                *parameter *= factor;
                (here, quantity(&source))
            };
            // Steps that rounding and the place of a maximum do not feel.
            let step = 1e-3;
            let ((x, high), (_, low)) = (at(1.0 + step), at(1.0 - step));
            square += ((high - low) / (2.0 * step * x) * error).powi(2);
        }
        Value::symmetric(quantity(self), square.sqrt())
    }
}

/// The waves of a transition and what detectors see of them in some years of data. `errors` are those of the temperature, of β/H and
/// of α, and are propagated.
///
/// # Errors
/// [`Error::Config`] for options out of range, [`Error::Model`] for a transition that makes no waves.
pub fn waves(source: &Source, errors: [f64; 3], years: f64) -> Result<Waves> {
    source.check()?;
    if !(years > 0.0 && years.is_finite()) {
        let reason = format!("found {years}, expected a number above zero");
        return Err(Error::Config { place: "bubble.waves.years".to_owned(), reason });
    }
    let middle = source.peak();
    let place = |k: usize| middle * 10f64.powf(5.0 * (k as f64 / (POINTS - 1) as f64) - 2.5);
    let spectrum = (0..POINTS).map(|k| {
        let f = place(k);
        let [a, b, c] = source.spectrum(f);
        [f, a, b, c]
    });
    Ok(Waves {
        efficiency: source.efficiency(),
        lifetime: source.lifetime(),
        peak_frequency: source.with_error(errors, &Source::peak),
        peak_amplitude: source.with_error(errors, &|s| s.total(s.peak())),
        spectrum: spectrum.collect(),
        snr: Detector::ALL.map(|detector| source.with_error(errors, &|s| s.snr(detector, years))),
    })
}

/// A detector of gravitational waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    /// Three satellites 2.5 million kilometres apart, with both channels that see waves.
    Lisa,
    /// Two detectors of Advanced LIGO's design, as if at one place: what Hanford and Livingston can reach at most.
    Ligo,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Lisa, Self::Ligo];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lisa => "LISA",
            Self::Ligo => "LIGO",
        }
    }

    /// Lowest and highest frequency at which it is sensitive.
    pub fn band(self) -> [f64; 2] {
        match self {
            Self::Lisa => [1e-5, 1.0],
            Self::Ligo => [20.0, 1000.0],
        }
    }

    /// h²Ω_s = (2π²/3H²) f³ S, where S is the noise over the mean response to waves from everywhere.
    ///
    /// LISA: S = (10/3L²) [P_oms + 2(1 + cos²(f/f*)) P_acc/(2πf)⁴] [1 + 6/10 (f/f*)²] (arXiv:1803.01944, equation 1),
    /// which is half of that of one channel, and so that of two times √2 for a background. LIGO: 5/√2 times the noise of one
    /// detector (arXiv:0903.0338, table 1).
    pub fn sensitivity(self, frequency: f64) -> f64 {
        let (f, pi) = (frequency, std::f64::consts::PI);
        let noise = match self {
            Self::Lisa => {
                let (arm, transfer) = (2.5e9, f / 19.09e-3);
                let metrology = 1.5e-11f64.powi(2) * (1.0 + (2e-3 / f).powi(4));
                let acceleration = 3e-15f64.powi(2) * (1.0 + (0.4e-3 / f).powi(2)) * (1.0 + (f / 8e-3).powi(4));
                let both = metrology + 2.0 * (1.0 + transfer.cos().powi(2)) * acceleration / (2.0 * pi * f).powi(4);
                2f64.sqrt() * 10.0 / (3.0 * arm * arm) * both * (1.0 + 0.6 * transfer * transfer)
            }
            Self::Ligo => {
                let x = f / 215.0;
                let square = x * x;
                let bend = (1.0 - square + square * square / 2.0) / (1.0 + square / 2.0);
                5.0 / 2f64.sqrt() * 1e-49 * (x.powf(-4.14) - 5.0 / square + 111.0 * bend)
            }
        };
        2.0 * pi * pi / (3.0 * HUBBLE * HUBBLE) * f.powi(3) * noise
    }

    /// ∫ df g² over the band, by Simpson's rule in the logarithm of the frequency.
    fn integral(self, g: &dyn Fn(f64) -> f64) -> f64 {
        let [low, high] = self.band().map(f64::ln);
        let steps = 2000;
        let width = (high - low) / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|k| {
                let f = (low + width * f64::from(k)).exp();
                let simpson = if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
                simpson * f * g(f).powi(2)
            })
            .sum();
        sum * width / 3.0
    }

    /// The envelope of the power laws f^n, −8 ≤ n ≤ 8, that have a signal-to-noise ratio of `snr` after some years (Thrane and
    /// Romano, arXiv:1310.5300): (f, h²Ω), frequencies rising. A spectrum that comes above it is seen
    /// if it is a power law there.
    pub fn power_law_sensitivity(self, snr: f64, years: f64) -> Vec<(f64, f64)> {
        let [low, high] = self.band();
        let middle = (low * high).sqrt();
        let laws: Vec<(f64, f64)> = (-8..=8)
            .map(|n| {
                let power = f64::from(n);
                let mean = years * YEAR * self.integral(&|f| (f / middle).powf(power) / self.sensitivity(f));
                (power, snr / mean.sqrt())
            })
            .collect();
        (0..POINTS)
            .map(|k| {
                let f = low * (high / low).powf(k as f64 / (POINTS - 1) as f64);
                let best = laws.iter().fold(0.0f64, |a, (n, height)| a.max(height * (f / middle).powf(*n)));
                (f, best)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
