//! Bubbles of first-order phase transitions: bounces of scalar potentials and their actions.
//!
//! A bounce solves φᵢ″ + (d−1)/r φᵢ′ = ∂V/∂φᵢ with φ′(0) = 0 and φ(∞) the false vacuum (Coleman, Phys. Rev. D 15, 2929). Its
//! action is S_d = Ω_d ∫ r^{d−1} [φ′²/2 + V − V(false)] dr, Ω_3 = 4π, Ω_4 = 2π². By Derrick's relation
//! (d−2) S_T + d S_V = 0 it is 2 S_T/d also, and how well that holds measures the solution.

mod collocation;
mod elements;
mod potential;
mod shooting;
mod thermal;
mod waves;

use collocation::{Seen, Solution, converge, descend, tail};
use elements::Space;
use fb_core::{Error, Result, Value};

pub use potential::{Landscape, Potential};
use potential::{distance, eigen};
pub use thermal::{Condition, Errors, Nucleation, Thermal, Transition, transition};
pub use waves::{Detector, Source, Waves, efficiency, waves};

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
    /// S_d: of one field from the trajectory of the over- and undershoot, of several from the collocation.
    pub action: Value,
    /// S_d from the collocation on its finest elements.
    pub reference: f64,
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
    let scale = distance(&vacua.false_vacuum, &vacua.true_vacuum);
    if scale == 0.0 || !scale.is_finite() {
        return Err(model("true_vacuum", "is the false vacuum".to_owned()));
    }
    let mut start = vacua.false_vacuum.clone();
    landscape.second(&start);
    if landscape.curvatures().iter().all(|x| x.is_finite()) {
        start = landscape.minimum(&start, scale).ok_or_else(|| {
            model("false_vacuum", "the potential falls from there without end, expected a local minimum".to_owned())
        })?;
    } else {
        // φ² ln φ² and powers such as φ^(7/3) have a minimum at zero, but no curvature there.
        start.iter_mut().zip(&vacua.true_vacuum).for_each(|(x, to)| *x += 1e-8 * (to - *x));
    }
    if !landscape.second(&start).is_finite() {
        return Err(model("false_vacuum", "the potential is no number there".to_owned()));
    }
    let (masses, modes) = eigen(&landscape.curvatures(), n);
    let heaviest = masses.iter().fold(0.0f64, |a, m| a.max(m.abs()));
    if let Some((mass, mode)) = masses.iter().zip(&modes).find(|(mass, _)| **mass < -1e-9 * heaviest) {
        return Err(model(
            "false_vacuum",
            format!("{start:.6?} is no minimum: the curvature along {mode:.3?} is {mass:.6}; start from beside it"),
        ));
    }
    if distance(&start, &vacua.false_vacuum) > 0.5 * scale {
        return Err(model(
            "false_vacuum",
            format!("there is no minimum near {:?}: downhill of it lies {start:.6?}", vacua.false_vacuum),
        ));
    }
    let ground = landscape.minimum(&vacua.true_vacuum, scale);
    let bounded = ground.is_some();
    let end = ground.unwrap_or_else(|| vacua.true_vacuum.clone());
    if distance(&start, &end) < 1e-3 * scale {
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
/// The interval of the action is what the two methods (one field) or the last two meshes (several) differ by, and what is
/// missing to Derrick's relation.
///
/// # Errors
/// [`Error::Model`] for vacua that are none and without a barrier, [`Error::NotConverged`] without a solution.
pub fn bounce(landscape: &mut Landscape, vacua: &Vacua, dimension: usize) -> Result<Bounce> {
    let (start, end, bounded) = refined(landscape, vacua)?;
    let (n, d) = (start.len(), dimension as f64);
    let length = distance(&start, &end);
    let unit: Vec<f64> = start.iter().zip(&end).map(|(a, b)| (b - a) / length).collect();
    // One field along the straight line between the vacua.
    let shot = shooting::shoot(&mut line(landscape, &start, &unit), length, bounded, dimension)?;
    let solution = relaxed(landscape, (&start, &end), &shot, &unit)?;
    let factor = 2.0 * sphere(dimension) / d;
    let reference = factor * solution.kinetic;
    let derrick = ((d - 2.0) * solution.kinetic + d * solution.potential).abs() / solution.kinetic;
    let (central, apart) = if n == 1 {
        let central = factor * shot.kinetic;
        (central, (central - reference).abs())
    } else {
        (reference, factor * solution.change)
    };
    let nodes = 0..solution.space.nodes();
    Ok(Bounce {
        r: nodes.map(|i| solution.space.radius(i)).collect(),
        phi: (0..n).map(|f| solution.phi.iter().skip(f).step_by(n).map(|x| start[f] + x).collect()).collect(),
        false_vacuum: start,
        true_vacuum: bounded.then_some(end),
        action: Value::symmetric(central, apart.max(derrick * reference)),
        reference,
        derrick,
    })
}

/// The collocation that starts from the bounce along the straight line.
fn relaxed(
    landscape: &mut Landscape,
    (start, end): (&[f64], &[f64]),
    shot: &shooting::Shot,
    unit: &[f64],
) -> Result<Solution> {
    let (n, dimension) = (start.len(), shot.dimension);
    // Along the trajectory down to a part 1e-5 of its start, from where it goes on as its last points say.
    let points = &shot.points[..shot.points.partition_point(|point| point[1] > 1e-5 * shot.points[0][1]).max(2)];
    let [r_last, x_last, v_last] = points[points.len() - 1];
    let (exponent, square) = {
        let mut line = line(landscape, start, unit);
        let [value, slope, _] = line(x_last);
        (x_last * slope / value, line(1e-9 * x_last)[2])
    };
    let massless = exponent > 2.001 && square.max(0.0).sqrt() * r_last < 1e-2;
    landscape.second(start);
    let curvatures = landscape.curvatures();
    let (masses, _) = eigen(&curvatures, n);
    // Falling like φ^q at the false vacuum, a field without mass falls as r^{−2/(q−2)}, or freely if that is slower.
    let power = (dimension as f64 - 2.0).max(if massless { 2.0 / (exponent - 2.0) } else { 0.0 });
    let radius = if massless {
        30.0 * r_last
    } else {
        let lightest =
            masses.iter().map(|m| m.max(0.0).sqrt()).filter(|m| m * r_last > 1e-2).fold(f64::INFINITY, f64::min);
        r_last + (12.0 / lightest).min(30.0 * r_last)
    };
    let rate = -v_last / x_last;
    let mut field = |r: f64, phi: &mut [f64]| {
        let x = if r >= r_last {
            x_last * if massless { (r_last / r).powf(rate * r_last) } else { (-rate * (r - r_last)).exp() }
        } else {
            hermite(points, r)
        };
        phi.iter_mut().zip(unit).for_each(|(p, u)| *p = x * u);
    };
    let scale = points[0][1];
    let (space, phi) = Space::resolving((n, dimension), radius, (1e-5, scale), &mut field);
    let outer = |r: f64| tail(&curvatures, n, dimension, r, power);
    let mut hill = Seen::new(landscape, start, end);
    if n == 1 { converge(space, phi, &mut hill, &outer, scale) } else { descend(space, phi, &mut hill, &outer, scale) }
}

/// The trajectory at r, by cubic polynomials between its points.
fn hermite(points: &[[f64; 3]], r: f64) -> f64 {
    let after = points.partition_point(|point| point[0] <= r);
    if after == 0 {
        return points[0][1];
    }
    let ([r0, x0, v0], [r1, x1, v1]) = (points[after - 1], points[after.min(points.len() - 1)]);
    let h = r1 - r0;
    if h <= 0.0 {
        return x1;
    }
    let t = (r - r0) / h;
    let (a, b) = ((1.0 - t) * (1.0 - t), t * t);
    a * (1.0 + 2.0 * t) * x0 + a * t * h * v0 + b * (3.0 - 2.0 * t) * x1 - b * (1.0 - t) * h * v1
}

/// V − V(start), V′ and V″ along a line.
fn line<'a>(landscape: &'a mut Landscape, start: &'a [f64], unit: &'a [f64]) -> impl FnMut(f64) -> [f64; 3] + 'a {
    let (n, base) = (start.len(), landscape.value(start));
    let mut phi = vec![0.0; n];
    move |x: f64| {
        phi.iter_mut().zip(start.iter().zip(unit)).for_each(|(p, (a, u))| *p = a + x * u);
        let value = landscape.second(&phi) - base;
        let slope = (0..n).map(|i| unit[i] * landscape.slope(i)).sum();
        let square = (0..n * n).map(|k| unit[k / n] * unit[k % n] * landscape.curvature(k / n, k % n)).sum();
        [value, slope, square]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn action(potential: &str, vacua: (&[f64], &[f64]), dimension: usize) -> Bounce {
        let fields: Vec<String> = (0..vacua.0.len()).map(|i| format!("x{}", i + 1)).collect();
        let potential = Potential::new(potential, &fields, &BTreeMap::new(), false).unwrap();
        let vacua = Vacua { false_vacuum: vacua.0.to_vec(), true_vacuum: vacua.1.to_vec() };
        bounce(&mut potential.at(0.0), &vacua, dimension).unwrap_or_else(|e| panic!("{e}"))
    }

    fn check(found: &Bounce, expected: f64, name: &str) {
        let (reference, central) = (found.reference / expected - 1.0, found.action.central / expected - 1.0);
        assert!(reference.abs() < 2e-8, "{name}: reference {reference:e}, central {central:e}");
        assert!(central.abs() < 1e-5 && found.derrick < 1e-6, "{name}: {central:e} {:e}", found.derrick);
        assert!(found.action.low <= found.reference && found.reference <= found.action.high, "{name}");
    }

    #[test]
    fn actions_of_one_field_are_the_references() {
        let thin = "x1^4/4 - 0.49*x1^3 + 0.235*x1^2";
        check(&action(thin, (&[0.0], &[1.0]), 3), 1093.18306, "thin");
        let thick = "x1^4/4 - 0.4*x1^3 + 0.1*x1^2";
        check(&action(thick, (&[0.0], &[1.0]), 3), 6.62981963, "thick");
        check(&action(thick, (&[0.0], &[1.0]), 4), 138.654404, "thick");
        let five = "(x1^4 - 8*x1^3 + 10*x1^2)/10";
        check(&action(five, (&[0.0], &[5.0]), 3), 52.4133263, "five");
        check(&action(five, (&[0.0], &[5.0]), 4), 346.63601, "five");
        for (alpha, three, four) in [
            (0.55, 33.1521272, 930.936909),
            (0.6, 7.48693536, 115.119992),
            (0.65, 2.35843066, 28.7365118),
            (0.7, 0.576343003, 7.42464502),
        ] {
            let text = format!("(3-4*{alpha})/2*x1^2 - x1^3 + {alpha}*x1^4");
            check(&action(&text, (&[0.0], &[1.0]), 3), three, &text);
            check(&action(&text, (&[0.0], &[1.0]), 4), four, &text);
        }
    }

    #[test]
    fn thin_walls_are_no_difficulty() {
        for (eps, dimension, expected) in [
            (0.3, 3, 26.2743072),
            (0.1, 3, 469.942471),
            (0.1, 4, 24725.192),
            (0.05, 3, 1959.43166),
            (0.05, 4, 207362.414),
            (0.01, 3, 49618.5991),
            (0.005, 3, 198553.363),
            (0.001, 3, 4964465.77),
        ] {
            let text = format!("(x1^2-1)^2/8 + {eps}/2*(x1-1)");
            check(&action(&text, (&[1.0], &[-1.0]), dimension), expected, &text);
        }
    }

    #[test]
    fn solved_potentials_have_their_closed_actions() {
        let pi = std::f64::consts::PI;
        let log = "0.5*x1^2*(1 - log(x1^2))";
        for (dimension, exact) in [(3, 55.92142879), (4, pi * pi * 4f64.exp() / 2.0)] {
            let found = action(log, (&[0.0], &[3.0]), dimension);
            assert!((found.reference / exact - 1.0).abs() < 1e-6, "{dimension}: {} {exact}", found.reference);
            assert!(found.true_vacuum.is_none());
        }
        for (u, v, m) in [(1.0f64, 1.0f64, 2.0f64), (1.0, 1.0, 1.1), (2.0, 0.7, 3.0)] {
            let (a, b) = (4.0 * u * m * m * (m - 1.0) / (2.0 * m + 1.0), 2.0 * u * v * m * m);
            let text = format!("{a}*x1^{} - {b}*x1^{}", (2.0 * m + 1.0) / m, (2.0 * m + 2.0) / m);
            let exact = m * pi * pi / ((4.0 * m * m - 1.0) * u * v.powf(2.0 * m - 1.0));
            let found = action(&text, (&[0.0], &[1.2 * v.powf(-m)]), 4);
            assert!((found.reference / exact - 1.0).abs() < 1e-5, "{text}: {} {exact}", found.reference);
        }
    }

    #[test]
    fn actions_of_several_fields_lie_between_those_of_two_programs() {
        let curved = |c: f64| format!("(x1^2+5*x2^2)*(5*(x1-1)^2+(x2-1)^2) + {c}*(x2^4/4 - x2^3/3)");
        let sum = |constants: &[f64], c: f64| {
            let index = 1..=constants.len();
            let wells: Vec<String> = index.clone().zip(constants).map(|(i, c)| format!("{c}*(x{i}-1)^2")).collect();
            let squares: Vec<String> = index.map(|i| format!("x{i}^2")).collect();
            format!("({} - {c})*({})", wells.join(" + "), squares.join(" + "))
        };
        // From SimpleBounce and CosmoTransitions.
        for (n, text, one, other) in [
            (2, curved(2.0), 1748.07, 1766.94),
            (2, curved(80.0), 4.44616, 4.50367),
            (2, sum(&[1.8, 0.2], 0.3), 20.82, 21.105),
            (3, sum(&[0.684373, 0.181928, 0.295089], 0.284821), 21.9159, 21.970),
            (4, sum(&[0.534808, 0.77023, 0.838912, 0.00517238], 0.258889), 55.8148, 56.055),
        ] {
            let found = action(&text, (&vec![0.0; n], &vec![1.0; n]), 3);
            let action = found.reference;
            assert!(action > one * 0.99 && action < other * 1.01, "{text}: {action}");
            assert!(found.derrick < 1e-6, "{text}: {}", found.derrick);
        }
    }

    #[test]
    fn what_is_no_tunnelling_is_said() {
        let error = |text: &str, from: f64, to: f64| {
            let potential = Potential::new(text, &["phi".to_owned()], &BTreeMap::new(), false).unwrap();
            let vacua = Vacua { false_vacuum: vec![from], true_vacuum: vec![to] };
            bounce(&mut potential.at(0.0), &vacua, 4).unwrap_err()
        };
        let quartic = "phi^4/4 - 0.49*phi^3 + 0.235*phi^2";
        assert!(error(quartic, 1.0, 0.0).to_string().contains("exchange them"));
        assert!(error(quartic, 0.0, 0.2).to_string().contains("start from beyond the barrier"));
        assert!(error("-phi^2", 0.0, 1.0).to_string().contains("no minimum"));
        assert!(error("phi^4 - phi^2", 0.0, 1.0).to_string().contains("no minimum"));
        assert!(error("phi^2", 0.0, 1.0).to_string().contains("start from beyond the barrier"));
        assert!(error("-phi^3", 0.0, 1.0).to_string().contains("no barrier"));
        // A mass and an unstable quartic term have no bounce in four dimensions.
        assert_eq!(error("phi^2 - phi^4", 0.0, 1.1).kind(), fb_core::Kind::Diverged);
    }
}
