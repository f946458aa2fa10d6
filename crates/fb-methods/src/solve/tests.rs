//! Equations with known solutions.

use fb_core::run::Alone;

use super::*;

/// A problem in x (and t before it, if there is a `t` in the equation's derivatives) on [0, end].
fn problem(end: f64, equation: &str, conditions: &[&str], exact: &str) -> Problem {
    let names: &[&str] = if equation.contains(", t)") { &["t", "x"] } else { &["x"] };
    Problem::new(&Equations {
        variables: names.iter().map(|name| ((*name).to_owned(), [0.0, end])).collect(),
        unknowns: vec!["y".to_owned()],
        equations: vec![equation.to_owned()],
        conditions: conditions.iter().map(|&c| c.to_owned()).collect(),
        exact: if exact.is_empty() { Vec::new() } else { vec![("y".to_owned(), exact.to_owned())] },
        ..Equations::default()
    })
    .unwrap()
}

/// Network and classical method agree to this, and with the exact solution.
fn agrees(end: f64, equation: &str, conditions: &[&str], exact: &str, most: f64) {
    let problem = problem(end, equation, conditions, exact);
    let found = solve(&problem, &Network::default(), 0, &Alone).unwrap_or_else(|e| panic!("{equation}: {e}"));
    let (difference, error) = (found.difference_max, found.error_max.unwrap_or(0.0));
    assert!(difference < most && error < most, "{equation}: {difference:e}, {error:e}");
}

#[test]
fn awkward_ordinary_equations_are_solved() {
    // A layer of width 0.01, with its closed solution.
    let (p, q) = ("(-50 + sqrt(2400))", "(-50 - sqrt(2400))");
    let layer = format!("(exp({p}*x) - exp({q}*x))/(exp({p}) - exp({q}))");
    agrees(1.0, "0.01*d2(y, x) + d(y, x) + y = 0", &["y(0) = 0", "y(1) = 1"], &layer, 1e-6);
    // Lane and Emden, singular at zero.
    let star = "d2(y, x) + 2/x*d(y, x) + y^5 = 0";
    agrees(3.0, star, &["y(0) = 1", "d(y, x)(0) = 0"], "1/sqrt(1 + x^2/3)", 1e-8);
    agrees(3.0, "d(x^2*d(y, x), x) + x^2*y^5 = 0", &["y(0) = 1"], "1/sqrt(1 + x^2/3)", 1e-7);
    agrees(20.0, "d2(y, x) + y = 0", &["y(0) = 0", "d(y, x)(0) = 1"], "sin(x)", 1e-7);
    agrees(1.0, "d2(y, x) + exp(y) = 0", &["y(0) = 0", "y(1) = 0"], "", 1e-9);
    agrees(1.0, "d2(y, x) = 5*sinh(5*y)", &["y(0) = 0", "y(1) = 1"], "", 1e-5);
    // At the right edge, of Robin, periodic, an integral, a place within, and the fourth order.
    agrees(1.0, "d(y, x) = y", &["y(1) = exp(1)"], "exp(x)", 1e-9);
    agrees(1.0, "d2(y, x) = y", &["y(0) + d(y, x)(0) = 2", "y(1) = exp(1)"], "exp(x)", 1e-8);
    agrees(1.0, "d2(y, x) = y", &["integral(y, x, 0, 1) = exp(1) - 1", "y(0.25) = exp(0.25)"], "exp(x)", 1e-8);
    let period = ["y(0) = y(2)", "d(y, x)(0) = d(y, x)(2)"];
    agrees(2.0, "d2(y, x) = y - (1 + pi^2)*sin(pi*x)", &period, "sin(pi*x)", 1e-7);
    let beam = ["y(0) = 0", "d(y, x)(0) = 0", "d2(y, x)(1) = 0", "d3(y, x)(1) = 0"];
    agrees(1.0, "d4(y, x) = 24", &beam, "x^4 - 4*x^3 + 6*x^2", 1e-8);
}

#[test]
#[ignore = "slow"]
fn heat_and_waves_spread() {
    let sides = ["y(0, x) = sin(pi*x)", "y(t, 0) = 0", "y(t, 1) = 0"];
    agrees(1.0, "d(y, t) = 0.1*d2(y, x)", &sides, "exp(-0.1*pi^2*t)*sin(pi*x)", 1e-6);
    let string = [&sides[..], &["d(y, t)(0, x) = 0"]].concat();
    agrees(1.0, "d2(y, t) = d2(y, x)", &string, "cos(pi*t)*sin(pi*x)", 1e-6);
}

#[test]
fn what_fixes_nothing_is_said() {
    let error = |equation: &str, conditions: &[&str]| {
        let problem = problem(1.0, equation, conditions, "");
        solve(&problem, &Network { width: Some(12), ..Network::default() }, 0, &Alone).unwrap_err()
    };
    assert!(error("d2(y, x) = 1", &["y(0) = 0"]).to_string().contains("leave a part of the solution free"));
    let many = error("d(y, x) = y", &["y(0) = 1", "y(1) = 1"]);
    assert!(many.kind() == fb_core::Kind::Diverged && many.to_string().contains("cannot be met"), "{many}");
    // The solution is 1/(1 − x), which leaves through the roof.
    let blow_up = problem(2.0, "d(y, x) = y^2", &["y(0) = 1"], "");
    let error = solve(&blow_up, &Network::default(), 0, &Alone).unwrap_err();
    assert_eq!(error.kind(), fb_core::Kind::Diverged, "{error}");
}

/// u(t, x) of Burgers' equation from −sin πx, by the transformation of Cole and Hopf: the mean of −sin πy with the weights
/// exp[−cos(πy)/2πν − (x − y)²/4νt].
fn cole_hopf(nu: f64, t: f64, x: f64) -> f64 {
    let pi = std::f64::consts::PI;
    if t < 1e-12 {
        return -(pi * x).sin();
    }
    let exponent = |y: f64| -(pi * y).cos() / (2.0 * pi * nu) - (x - y).powi(2) / (4.0 * nu * t);
    // No y further than this from x has a weight: |u| ≤ 1 carries over t at most, and the heat some widths.
    let (reach, steps) = (1.2 * t + 24.0 * (nu * t).sqrt(), 6000);
    let places = (0..=steps).map(|k| x + reach * (2.0 * f64::from(k) / f64::from(steps) - 1.0));
    let largest = places.clone().map(exponent).fold(f64::NEG_INFINITY, f64::max);
    let (sum, norm) = places.fold((0.0, 0.0), |(sum, norm), y| {
        let weight = (exponent(y) - largest).exp();
        (sum - weight * (pi * y).sin(), norm + weight)
    });
    sum / norm
}

#[test]
#[ignore = "slow"]
fn the_classical_method_resolves_burgers_layer_in_stretched_coordinates() {
    // t = 0.35 + 0.08 sinh(a + b s), x = sinh(5 z)/sinh(5), both from 0 to 1: the layer about x = 0 is 0.003 wide.
    let (nu, a, b) = (0.01 / std::f64::consts::PI, -2.1818662133343225f64, 4.973724771759881f64);
    let across = "*sinh(5)/(5*cosh(5*z))";
    let problem = Problem::new(&Equations {
        variables: vec![("s".to_owned(), [0.0, 1.0]), ("z".to_owned(), [0.0, 1.0])],
        unknowns: vec!["u".to_owned()],
        parameters: vec![("nu".to_owned(), nu), ("a".to_owned(), a), ("b".to_owned(), b)],
        equations: vec![format!(
            "d(u, s)/(0.08*b*cosh(a + b*s)) + u*d(u, z){across} = nu*d(d(u, z){across}, z){across}"
        )],
        conditions: ["u(0, z) = -sin(pi*sinh(5*z)/sinh(5))", "u(s, 0) = 0", "u(s, 1) = 0"].map(str::to_owned).to_vec(),
        ..Equations::default()
    })
    .unwrap();
    let reference = chebyshev::solve(&problem, &Alone).unwrap();
    let mut most = 0.0f64;
    for i in 0..=20 {
        for k in 0..=40 {
            let (s, z) = (f64::from(i) / 20.0, f64::from(k) / 40.0);
            let (t, x) = (0.35 + 0.08 * (a + b * s).sinh(), (5.0 * z).sinh() / 5f64.sinh());
            most = most.max((reference.value(0, &[s, z]) - cole_hopf(nu, t, x)).abs());
        }
    }
    assert!(most < 1e-5, "{most:e}");
}
