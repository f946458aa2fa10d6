//! `fb solve`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fb_methods::solve::{Eigenvalue, Equations, Network, Problem, Solution, grid, solve};
use fb_physics::expression::flat;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::report::equations;
use crate::workers::Threads;

/// Solve differential or integral equations by a network, with a classical solution beside it.
///
/// The equations stand in a table `[solve]` of a TOML file, options of the network in `[network]`. Ends with exit code 2 for a file
/// that cannot be read, 3 for equations that do not fix a solution or points that cannot be used, 4 if no solution is found.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The equations.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Give the solutions at these points: a column for each variable.
    #[arg(long, value_name = "POINTS.csv")]
    at: Option<PathBuf>,
    /// Write a page with figures of the solutions, the residuals and the training.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Threads; as many as there are without it. The results do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Where the random numbers start.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    solve: Solve,
    #[serde(default)]
    network: Network,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Solve {
    variables: toml::Table,
    unknowns: Vec<String>,
    equations: Vec<String>,
    #[serde(default)]
    conditions: Vec<String>,
    #[serde(default)]
    parameters: toml::Table,
    #[serde(default)]
    exact: toml::Table,
    eigenvalue: Option<Sought>,
}

/// `"E"`, or a table with what is known of it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Sought {
    Name(String),
    State(State),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    name: String,
    guess: Option<f64>,
    #[serde(default, rename = "state")]
    number: usize,
}

/// What a file asks for. `path` is for errors.
fn parse(text: &str, path: &Path) -> Result<(Equations, Network)> {
    let error = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let file: File = toml::from_str(text).map_err(|e| error(e.to_string().trim_end().to_owned()))?;
    let asked = file.solve;
    let number = |value: &toml::Value| match value {
        toml::Value::Float(x) => Some(*x),
        toml::Value::Integer(x) => Some(*x as f64),
        _ => None,
    };
    let mut variables = Vec::new();
    for (name, value) in &asked.variables {
        let ends: Option<Vec<f64>> = value.as_array().map(|ends| ends.iter().filter_map(number).collect());
        let Some([low, high]) = ends.as_deref().and_then(|ends| <[f64; 2]>::try_from(ends).ok()) else {
            return Err(error(format!("solve.variables.{name}: found {value}, expected two numbers [low, high]")));
        };
        variables.push((name.clone(), [low, high]));
    }
    let mut parameters = Vec::new();
    for (name, value) in &asked.parameters {
        let Some(x) = number(value) else {
            return Err(error(format!("solve.parameters.{name}: found {value}, expected a number")));
        };
        parameters.push((name.clone(), x));
    }
    let mut exact = Vec::new();
    for (name, value) in &asked.exact {
        let Some(formula) = value.as_str() else {
            return Err(error(format!("solve.exact.{name}: found {value}, expected a formula in quotation marks")));
        };
        exact.push((name.clone(), formula.to_owned()));
    }
    let eigenvalue = asked.eigenvalue.map(|sought| match sought {
        Sought::Name(name) => Eigenvalue { name, ..Eigenvalue::default() },
        Sought::State(State { name, guess, number }) => Eigenvalue { name, guess, state: number },
    });
    let (unknowns, equations, conditions) = (asked.unknowns, asked.equations, asked.conditions);
    let equations = Equations { variables, unknowns, parameters, equations, conditions, exact, eigenvalue };
    Ok((equations, file.network))
}

/// The points of a table, in the order of the variables.
fn points(path: &Path, problem: &Problem) -> Result<Vec<Vec<f64>>> {
    let events = fb_io::read(path)?;
    let mut points = vec![Vec::new(); events.len()];
    for (name, (low, high)) in problem.variables().iter().zip(problem.domain()) {
        let x = flat(name, &events).map_err(|source| Failure::In { path: path.to_owned(), source })?;
        let slack = 1e-9 * (high - low);
        for (row, (point, x)) in points.iter_mut().zip(x).enumerate() {
            if x < low - slack || x > high + slack {
                let reason = format!("{name} is {x} in row {}, expected a number from {low} to {high}", row + 1);
                return Err(Failure::Data(format!("{}: {reason}", path.display())));
            }
            point.push(x);
        }
    }
    Ok(points)
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let here = |source| Failure::In { path: arguments.file.clone(), source };
    let text = super::read_text(&arguments.file)?;
    let (asked, network) = parse(&text, &arguments.file)?;
    let problem = Problem::new(&asked).map_err(here)?;
    let points = match &arguments.at {
        Some(path) => points(path, &problem)?,
        None => grid(&problem),
    };
    let workers = Threads::new(arguments.threads)?;
    let found = solve(&problem, &network, arguments.seed, &workers).map_err(here)?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(path) = &arguments.report {
        let title = arguments.file.display().to_string();
        let results = &described(&problem, &found, &points, seconds);
        let report = equations::Report { title: &title, text: &text, problem: &problem, found: &found, results };
        fb_io::write_whole(path, equations::html(&report, &workers)?.as_bytes())?;
    }
    if arguments.json {
        super::print_json(&described(&problem, &found, &points, seconds))
    } else {
        super::print(&table(&problem, &found, &points, arguments.at.is_some(), seconds));
        Ok(())
    }
}

fn described(problem: &Problem, found: &Solution, points: &[Vec<f64>], seconds: f64) -> Value {
    let places: Vec<Value> = points.iter().map(|p| if let [x] = p[..] { json!(x) } else { json!(p) }).collect();
    let mut solutions = Map::new();
    for (u, name) in problem.unknowns().iter().enumerate() {
        let values: Vec<f64> = points.iter().map(|p| found.value(u, p)).collect();
        let reference: Vec<f64> = points.iter().map(|p| found.reference(u, p)).collect();
        solutions.insert(name.clone(), json!({"points": places, "values": values, "reference": reference}));
    }
    let mut value = json!({
        "solutions": solutions,
        "residual_max": found.residual_max,
        "residual_rms": found.residual_rms,
        "condition_max": found.condition_max,
    });
    if let Some(error) = found.error_max {
        value["error_max"] = json!(error);
        value["reference_error_max"] = json!(found.reference_error_max);
    }
    value["reference_difference_max"] = json!(found.difference_max);
    value["reference_change"] = json!(found.reference_change);
    if let Some((ours, theirs)) = found.eigenvalue {
        value["eigenvalue"] = json!(ours);
        value["reference_eigenvalue"] = json!(theirs);
    }
    value["weights"] = json!(found.weights());
    value["seconds"] = json!(seconds);
    value
}

fn table(problem: &Problem, found: &Solution, points: &[Vec<f64>], all: bool, seconds: f64) -> String {
    let heads = problem.variables().iter().chain(problem.unknowns());
    let heads: Vec<String> = heads.map(|name| format!("{name:>18}")).collect();
    let mut lines = vec![heads.concat() + "         reference"];
    // Eleven lines say how a solution looks; a list of points that was asked for is given whole.
    let step = if all { 1 } else { (points.len() / 10).max(1) };
    let unknowns = 0..problem.unknowns().len();
    for point in points.iter().step_by(step) {
        let ours = unknowns.clone().map(|u| found.value(u, point));
        let values = ours.chain(unknowns.clone().map(|u| found.reference(u, point)));
        let places = point.iter().map(|x| format!("{x:>18.6}"));
        lines.push(places.chain(values.map(|value| format!("{value:>18.10}"))).collect::<Vec<_>>().concat());
    }
    lines.push(String::new());
    if let Some((ours, theirs)) = found.eigenvalue {
        lines.push(format!("eigenvalue                      {ours:.12}, reference {theirs:.12}"));
    }
    let (most, mean) = (found.residual_max, found.residual_rms);
    lines.push(format!("residual                        {most:.2e} at most, {mean:.2e} root mean square"));
    lines.push(format!("residual of the conditions      {:.2e}", found.condition_max));
    lines.push(format!("network and reference differ by {:.2e}", found.difference_max));
    if let (Some(ours), Some(theirs)) = (found.error_max, found.reference_error_max) {
        lines.push(format!("error                           {ours:.2e}, of the reference {theirs:.2e}"));
    }
    lines.push(format!("{} weights, {seconds:.3} s\n", found.weights()));
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::super::mutate::mutate;
    use super::*;

    /// All that the program does with a file, with a network that takes no time; or all before the solution.
    fn carried_out(text: &str, whole: bool) -> Result<()> {
        let path = Path::new("changed.toml");
        let (asked, network) = parse(text, path)?;
        let here = |source| Failure::In { path: path.to_owned(), source };
        let problem = Problem::new(&asked).map_err(here)?;
        if !whole {
            return Ok(());
        }
        // Depth and features multiply the width.
        let few = |x: usize| x.min(2);
        let tiny = Network { width: Some(4), points: Some(9), steps: Some(2), seeds: few(network.seeds), ..network };
        let tiny = Network { depth: few(tiny.depth), fourier: few(tiny.fourier), ..tiny };
        let found = solve(&problem, &tiny, 0, &Alone).map_err(here)?;
        let results = described(&problem, &found, &grid(&problem), 0.0);
        let report = equations::Report { title: "changed", text, problem: &problem, found: &found, results: &results };
        let page = equations::html(&report, &Alone)?;
        assert!(!page.contains("NaN"), "{text}");
        Ok(())
    }

    /// Every fortieth file is solved.
    fn survives(times: usize) {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/solve");
        let names = ["o1", "o2", "c1", "i1", "i2", "i3", "e1"];
        let mut solved = 0;
        for (k, name) in names.iter().enumerate() {
            let text = std::fs::read(format!("{shipped}/{name}.toml")).unwrap();
            let mut random = Philox::new(11, 0, k as u64);
            for i in 0..times.div_ceil(names.len()) {
                let changed = String::from_utf8_lossy(&mutate(&text, &mut random)).into_owned();
                match std::panic::catch_unwind(|| carried_out(&changed, i % 40 == 0)) {
                    Ok(Ok(())) => solved += usize::from(i % 40 == 0),
                    Ok(Err(failure)) => assert!((2..=4).contains(&failure.exit_code()), "{failure}\n{changed}"),
                    Err(panic) => panic!("{:?} by this file:\n{changed}", panic.downcast_ref::<String>()),
                }
            }
        }
        // Changes that leave a problem which can be solved so cheaply are among them.
        assert!(solved > times / 4000, "{solved} of {times}");
    }

    #[test]
    fn a_few_changed_files_are_survived() {
        survives(1400);
    }

    #[test]
    #[ignore = "slow"]
    fn many_changed_files_are_survived() {
        survives(20_000);
    }
}
