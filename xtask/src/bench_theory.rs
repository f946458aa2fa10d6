//! `cargo xtask bench solve` and `bench bubble`: equations by us and by PyTorch, bounces by us and by CosmoTransitions, one thread
//! each, in turns.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use fb_core::run::Alone;
use fb_methods::bubble::{Potential, Vacua, bounce};
use fb_methods::solve::{Conditions, Equations, Network, Optimiser, Problem, solve};
use serde_json::json;

use crate::bench::{Server, in_release, median, python};

const TURNS: usize = 3;
/// Steps of L-BFGS.
const STEPS: usize = 400;

/// (name, right end of each variable, equation, conditions, exact solution, neurons, points)
type Written = (&'static str, f64, &'static str, &'static [&'static str], &'static str, usize, usize);

const EQUATIONS: [Written; 4] = [
    (
        "o1",
        2.0,
        "d(phi, x) + (x + (1 + 3*x^2)/(1 + x + x^3))*phi = x^3 + 2*x + x^2*(1 + 3*x^2)/(1 + x + x^3)",
        &["phi(0) = 1"],
        "exp(-x^2/2)/(1 + x + x^3) + x^2",
        20,
        100,
    ),
    (
        "o2",
        2.0,
        "d2(phi, x) + d(phi, x)/5 + phi + exp(-x/5)*cos(x)/5 = 0",
        &["phi(0) = 0", "d(phi, x)(0) = 1"],
        "exp(-x/5)*sin(x)",
        20,
        100,
    ),
    (
        "p1",
        1.0,
        "laplacian(phi) = exp(-x)*(x - 2 + y^3 + 6*y)",
        &["phi(0, y) = y^3", "phi(1, y) = (1 + y^3)/exp(1)", "phi(x, 0) = x*exp(-x)", "phi(x, 1) = exp(-x)*(x + 1)"],
        "exp(-x)*(x + y^3)",
        40,
        400,
    ),
    (
        "n1",
        1.0,
        "laplacian(phi) + phi*d(phi, y) = sin(pi*x)*(2 - pi^2*y^2 + 2*y^3*sin(pi*x))",
        &["phi(0, y) = 0", "phi(1, y) = 0", "phi(x, 0) = 0", "d(phi, y)(x, 1) = 2*sin(pi*x)"],
        "y^2*sin(pi*x)",
        40,
        400,
    ),
];

/// Times trainings with the same network, points and number of steps. Ours has the classical solution and all checks in it.
pub fn equations() -> Result<()> {
    if in_release(&["bench", "solve"])? {
        return Ok(());
    }
    let mut peer = Server::start(Command::new(python()).arg("references/bench_solve.py"))?;
    println!("{STEPS} steps of L-BFGS, soft conditions, double precision, one thread; medians of {TURNS} turns");
    println!("problem | ours, ms a step | PyTorch | ratio | error, ours | PyTorch | all of ours, s");
    println!("--- | ---: | ---: | ---: | ---: | ---: | ---:");
    for (name, end, equation, conditions, exact, width, points) in EQUATIONS {
        let variables: &[&str] = if conditions[0].contains(',') { &["x", "y"] } else { &["x"] };
        let problem = Problem::new(&Equations {
            variables: variables.iter().map(|x| ((*x).to_owned(), [0.0, end])).collect(),
            unknowns: vec!["phi".to_owned()],
            equations: vec![equation.to_owned()],
            conditions: conditions.iter().map(|&c| c.to_owned()).collect(),
            exact: vec![("phi".to_owned(), exact.to_owned())],
            ..Equations::default()
        })?;
        let network = Network {
            width: Some(width),
            points: Some(points),
            steps: Some(STEPS),
            optimiser: Optimiser::LBfgs,
            conditions: Conditions::Soft,
            ..Network::default()
        };
        let request = json!({"problem": name, "width": width, "points": points, "steps": STEPS});
        let (mut ours, mut theirs, mut whole, mut errors) = (Vec::new(), Vec::new(), Vec::new(), [f64::NAN; 2]);
        for _ in 0..TURNS {
            let begun = Instant::now();
            let found = solve(&problem, &network, 0, &Alone)?;
            let seconds = begun.elapsed().as_secs_f64();
            let steps = found.training.iter().map(|stage| stage.costs.len() - 1).sum::<usize>().max(1);
            whole.push(seconds);
            ours.push(1e3 * seconds / steps as f64);
            errors[0] = found.error_max.context("no exact solution")?;
            let answer = peer.ask(&request)?;
            let number = |key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
            theirs.push(1e3 * number("seconds") / number("steps"));
            errors[1] = number("error");
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{name} | {ours:.3} | {theirs:.3} | **{:.2}** | {:.1e} | {:.1e} | {:.3}",
            ours / theirs,
            errors[0],
            errors[1],
            median(whole)
        );
    }
    Ok(())
}

/// (name, potential)
const POTENTIALS: [(&str, &str); 4] = [
    ("thin", "x^4/4 - 0.49*x^3 + 0.235*x^2"),
    ("thick", "x^4/4 - 0.4*x^3 + 0.1*x^2"),
    ("two_fields_thin", "(x^2 + 5*y^2)*(5*(x - 1)^2 + (y - 1)^2) + 2*(y^4/4 - y^3/3)"),
    ("two_fields_thick", "(x^2 + 5*y^2)*(5*(x - 1)^2 + (y - 1)^2) + 80*(y^4/4 - y^3/3)"),
];

/// Times bounces in three dimensions, both of our methods included.
pub fn bounces() -> Result<()> {
    if in_release(&["bench", "bubble"])? {
        return Ok(());
    }
    let mut peer = Server::start(Command::new(python()).arg("references/bench_bubble.py"))?;
    println!("milliseconds a bounce, one thread; medians of {TURNS} turns");
    println!("potential | ours | CosmoTransitions | ratio | S3, ours | CosmoTransitions");
    println!("--- | ---: | ---: | ---: | ---: | ---:");
    for (name, text) in POTENTIALS {
        let fields: Vec<String> = if text.contains('y') { vec!["x".into(), "y".into()] } else { vec!["x".into()] };
        let vacua = Vacua { false_vacuum: vec![0.0; fields.len()], true_vacuum: vec![1.0; fields.len()] };
        let (mut ours, mut theirs, mut actions) = (Vec::new(), Vec::new(), [f64::NAN; 2]);
        for _ in 0..TURNS {
            let begun = Instant::now();
            let potential = Potential::new(text, &fields, &BTreeMap::new(), false)?;
            let found = bounce(&mut potential.at(0.0), &vacua, 3)?;
            ours.push(1e3 * begun.elapsed().as_secs_f64());
            let answer = peer.ask(&json!({"potential": name}))?;
            let number = |key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
            theirs.push(1e3 * number("seconds"));
            actions = [found.reference, number("action")];
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{name} | {ours:.1} | {theirs:.1} | **{:.2}** | {:.6} | {:.6}", ours / theirs, actions[0], actions[1]);
    }
    Ok(())
}
