//! Waves against closed forms, hydrodynamics and published noise.

use super::*;

fn source() -> Source {
    Source {
        temperature: 100.0,
        beta_over_h: 100.0,
        alpha: 0.5,
        wall_velocity: 0.95,
        g_star: 100.0,
        turbulence: 0.05,
        collisions: 0.0,
    }
}

/// The same from the equations of motion of a bag of plasma behind a detonation: the jump at the wall, then a rarefaction that
/// ends at rest (arXiv:1004.4187, section 3).
fn hydrodynamics(alpha: f64, wall: f64) -> f64 {
    let ahead = |behind: f64| {
        let x = behind / 2.0 + 1.0 / (6.0 * behind);
        (x + (x * x + alpha * alpha + 2.0 * alpha / 3.0 - 1.0 / 3.0).sqrt()) / (1.0 + alpha)
    };
    let (mut low, mut high) = (sound(), 1.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if ahead(middle) < wall { low = middle } else { high = middle }
    }
    let boosted = |x: f64, v: f64| (x - v) / (1.0 - x * v);
    let mut v = boosted(wall, low);
    let mut w = wall / (1.0 - wall * wall) / (low / (1.0 - low * low));
    let (mut x, steps) = (wall, 2000);
    let step = -v / f64::from(steps);
    let slopes = |v: f64, x: f64, w: f64| {
        let (gamma, m) = (1.0 / (1.0 - v * v), boosted(x, v));
        (x * gamma * (1.0 - v * x) * (3.0 * m * m - 1.0) / (2.0 * v), 4.0 * gamma * m * w)
    };
    let energy = |v: f64, x: f64, w: f64| w * v * v / (1.0 - v * v) * x * x;
    let mut sum = 0.0;
    for _ in 1..steps {
        let (before, from) = (energy(v, x, w), x);
        let (a, b) = slopes(v, x, w);
        let (a, b) = slopes(v + step / 2.0, x + step / 2.0 * a, w + step / 2.0 * b);
        (v, x, w) = (v + step, x + step * a, w + step * b);
        sum += f64::midpoint(before, energy(v, x, w)) * (from - x);
    }
    4.0 / (alpha * wall.powi(3)) * sum
}

#[test]
fn the_efficiency_is_that_of_hydrodynamics() {
    for (alpha, wall) in [(0.03, 0.8), (0.1, 0.8), (0.1, 0.9), (0.1, 0.99), (0.5, 0.9), (0.5, 0.95), (1.0, 0.97)] {
        let (fit, exact) = (efficiency(alpha, wall), hydrodynamics(alpha, wall));
        assert!((fit / exact - 1.0).abs() < 0.03, "{alpha} {wall}: {fit} {exact}");
    }
    // Its branches meet.
    for alpha in [0.01f64, 0.1, 1.0] {
        let jouguet = (2.0 * alpha / 3.0 + alpha * alpha).sqrt() + sound();
        for v in [sound(), jouguet / (1.0 + alpha)] {
            let (below, above) = (efficiency(alpha, v * (1.0 - 1e-9)), efficiency(alpha, v * (1.0 + 1e-9)));
            assert!((below / above - 1.0).abs() < 1e-6, "{alpha} {v}: {below} {above}");
        }
    }
}

#[test]
fn peaks_are_the_closed_ones() {
    let quiet = Source { turbulence: 0.0, ..source() };
    // κ = 0.44195 at α = 0.5, v = 0.95; everything in the plasma is sound, whose shape is 1 at its turn.
    let moving: f64 = 0.4419514531 * 0.5 / 1.5;
    let apart = (8.0 * std::f64::consts::PI).cbrt() * 0.95 / 100.0;
    let lifetime = apart / (0.75 * moving).sqrt();
    assert!((quiet.lifetime() / lifetime - 1.0).abs() < 1e-9 && lifetime < 0.1);
    let amplitude = 2.65e-6 / 100.0 * moving * moving * 0.95 * lifetime;
    let peak = quiet.peak();
    assert!((peak / (1.9e-5 / 0.95 * 100.0) - 1.0).abs() < 1e-6, "{peak}");
    assert!((quiet.total(peak) / amplitude - 1.0).abs() < 1e-9, "{}", quiet.total(peak));
    // Walls that keep all energy: 3.8 x^2.8/(1 + 2.8 x^3.8) is 1 at its turn.
    let walls = Source { collisions: 1.0, ..quiet };
    let v = 0.95f64;
    let amplitude = 1.67e-5 * (0.01f64 / 3.0).powi(2) * 0.11 * v.powi(3) / (0.42 + v * v);
    assert!((walls.peak() / (16.5e-4 * 0.62 / (1.8 - 0.1 * v + v * v)) - 1.0).abs() < 1e-6);
    assert!((walls.total(walls.peak()) / amplitude - 1.0).abs() < 1e-9);
    // Twice as fast, twice the frequency, and a quarter of the waves, as sound lasts half as long.
    let fast = Source { beta_over_h: 200.0, ..quiet };
    assert!((fast.peak() / peak / 2.0 - 1.0).abs() < 1e-6);
    assert!((fast.total(fast.peak()) / quiet.total(peak) * 4.0 - 1.0).abs() < 1e-9);
}

#[test]
fn the_horizon_of_a_temperature_is_a_frequency_today() {
    // H² = 8π/3 ρ/M², ρ = π²gT⁴/30, and the entropy g T³ a³ stays, with 3.909 and 2.7255 K today.
    let (g, t, planck) = (100.0f64, 100.0f64, 1.220890e19);
    let pi = std::f64::consts::PI;
    let hubble = (8.0 * pi / 3.0 * pi * pi * g / 30.0).sqrt() * t * t / planck;
    let (kelvin, second) = (8.617333e-14, 6.582120e-25);
    let today = hubble / second * (3.909 / g).cbrt() * 2.7255 * kelvin / t;
    assert!((today / 1.65e-5 - 1.0).abs() < 0.01, "{today}");
}

#[test]
fn errors_follow_the_powers_of_the_parameters() {
    let quiet = Source { turbulence: 0.0, ..source() };
    let found = waves(&quiet, [3.0, 4.0, 0.0], 3.0).unwrap();
    // f goes as T β, the amplitude as β⁻².
    let relative = |value: &Value| value.error() / value.central;
    assert!((relative(&found.peak_frequency) / 0.05 - 1.0).abs() < 1e-3, "{}", found.peak_frequency);
    assert!((relative(&found.peak_amplitude) / 0.08 - 1.0).abs() < 1e-3, "{}", found.peak_amplitude);
    assert!(found.snr[0].error() > 0.0 && found.snr[0].central > 100.0 * found.snr[1].central);
}

#[test]
fn a_power_law_on_the_curve_is_just_seen() {
    for detector in Detector::ALL {
        let curve = detector.power_law_sensitivity(10.0, 3.0);
        // A flat spectrum that touches the curve from below has the ratio it was made for.
        let lowest = curve.iter().fold(f64::INFINITY, |a, p| a.min(p.1));
        let flat = (3.0 * YEAR * detector.integral(&|f| lowest / detector.sensitivity(f))).sqrt();
        assert!(flat < 10.001 && flat > 7.0, "{detector:?}: {flat}");
        assert!(curve.iter().all(|(f, y)| *y < detector.sensitivity(*f) || *f < 1e-4 || *f > 0.1));
    }
    // The closed form of arXiv:1910.13125 for both channels together, which leaves two factors near to one out.
    for f in [1e-3f64, 3e-3, 1e-2, 2e-2] {
        let pi = std::f64::consts::PI;
        let acceleration = 5.76e-48 * (1.0 + (4e-4 / f).powi(2)) / (2.0 * pi * f).powi(4);
        let noise = 20.0 / 3.0 / 2f64.sqrt() * (acceleration + 3.6e-41) * (1.0 + (f / 25e-3).powi(2));
        let expected = 2.0 * pi * pi / (3.0 * HUBBLE * HUBBLE) * f.powi(3) * noise;
        let found = Detector::Lisa.sensitivity(f);
        assert!((found / expected - 1.0).abs() < 0.15, "{f}: {found:e} {expected:e}");
    }
}

#[test]
fn what_makes_no_waves_is_said() {
    for (wrong, message) in [
        (Source { wall_velocity: 1.2, ..source() }, "bubble.waves.wall_velocity: found 1.2"),
        (Source { turbulence: f64::NAN, ..source() }, "bubble.waves.turbulence: found NaN"),
        (Source { alpha: -0.1, ..source() }, "alpha of the transition is -0.1"),
    ] {
        let error = waves(&wrong, [0.0; 3], 3.0).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(waves(&source(), [0.0; 3], 0.0).unwrap_err().to_string().contains("bubble.waves.years"));
}
