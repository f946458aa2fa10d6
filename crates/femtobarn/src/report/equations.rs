//! The report of `fb solve`: the solutions, what is left of the equations, how the network was trained.

use std::fmt::Write as _;

use fb_core::Workers;
use fb_methods::solve::{Problem, Solution};
use serde_json::Value;

use super::figures::{MAP, Map, SMALL, WIDE, range};
use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{facts, figure, foot, head, section};
use crate::failure::Result;

/// Places of a line, and of a side of a map.
const LINE: usize = 401;
const SIDE: usize = 49;

/// What the report shows.
pub struct Report<'a> {
    /// The name of the file.
    pub title: &'a str,
    /// The file itself.
    pub text: &'a str,
    /// The equations.
    pub problem: &'a Problem,
    /// Their solution.
    pub found: &'a Solution,
    /// The results as printed by `--json`.
    pub results: &'a Value,
}

/// The page.
pub fn html(report: &Report<'_>, workers: &dyn Workers) -> Result<String> {
    let Report { title, text, problem, found, results } = *report;
    let lead = format!(
        "{} in {}, solved by a network with {} weights and by Chebyshev polynomials. femtobarn {}.",
        problem.unknowns().join(", "),
        problem.variables().join(", "),
        found.weights(),
        env!("CARGO_PKG_VERSION")
    );
    let mut page = head(title, &escape(&lead));
    let scene = Scene::new(problem, found);
    let short = |x: f64| format!("{x:.2e}");
    let mut rows = vec![
        ("residual, at most", short(found.residual_max)),
        ("residual, root mean square", short(found.residual_rms)),
        ("residual of the conditions", short(found.condition_max)),
        ("network − classical solution, at most", short(found.difference_max)),
        ("last change of the classical solution", short(found.reference_change)),
    ];
    if let (Some(ours), Some(theirs)) = (found.error_max, found.reference_error_max) {
        rows.push(("error of the network", short(ours)));
        rows.push(("error of the classical solution", short(theirs)));
    }
    if let Some((ours, theirs)) = found.eigenvalue {
        rows.push(("eigenvalue of the network", format!("{ours:.12}")));
        rows.push(("eigenvalue of the classical solution", format!("{theirs:.12}")));
    }
    facts(&mut page, &rows);
    section(&mut page, "Solutions");
    for u in 0..problem.unknowns().len() {
        figure(&mut page, &scene.solution(u), &scene.caption(u));
    }
    section(&mut page, "Residuals");
    let residuals = found.residuals(problem, &scene.points, workers)?;
    let shown: Vec<String> = residuals.iter().enumerate().map(|(i, r)| scene.residual(i, r)).collect();
    figure(
        &mut page,
        &shown,
        "|left − right| of each equation with the network in it, between and at the points of the training.",
    );
    section(&mut page, "Training");
    figure(
        &mut page,
        &[training(found)],
        "Root of the sum of the squares of the weighted residuals at the points of the training. Each line is a fit: of the outputs alone, from first layers of several steepnesses, or of all weights.",
    );
    section(&mut page, "How to repeat it");
    let _ = writeln!(page, "<p>Save this and run <code>fb solve FILE.toml</code>.</p><pre>{}</pre>", escape(text));
    foot(page, results)
}

/// Where solutions are drawn: a line, or the plane of the first two variables with the others in the middle of their ranges.
struct Scene<'a> {
    problem: &'a Problem,
    found: &'a Solution,
    points: Vec<Vec<f64>>,
}

impl<'a> Scene<'a> {
    fn new(problem: &'a Problem, found: &'a Solution) -> Self {
        let domain = problem.domain();
        let place = |i: usize, k: usize, n: usize| {
            let (low, high) = domain[i];
            low + (high - low) * k as f64 / (n - 1) as f64
        };
        let points = if domain.len() == 1 {
            (0..LINE).map(|k| vec![place(0, k, LINE)]).collect()
        } else {
            let rest = |i: usize| f64::midpoint(domain[i].0, domain[i].1);
            (0..SIDE * SIDE)
                .map(|k| {
                    let plane = [place(0, k % SIDE, SIDE), place(1, k / SIDE, SIDE)];
                    plane.into_iter().chain((2..domain.len()).map(rest)).collect()
                })
                .collect()
        };
        Self { problem, found, points }
    }

    fn x(&self) -> Axis {
        let (low, high) = self.problem.domain()[0];
        Axis::new(&self.problem.variables()[0], low, high, Scale::Linear)
    }

    fn y(&self) -> Axis {
        let (low, high) = self.problem.domain()[1];
        Axis::new(&self.problem.variables()[1], low, high, Scale::Linear)
    }

    fn is_line(&self) -> bool {
        self.problem.domain().len() == 1
    }

    fn line(&self, values: &[f64]) -> Vec<(f64, f64)> {
        self.points.iter().map(|p| p[0]).zip(values.iter().copied()).filter(|(_, y)| y.is_finite()).collect()
    }

    fn caption(&self, u: usize) -> String {
        let name = escape(&self.problem.unknowns()[u]);
        let known = self.problem.exact(u, &self.points[..1]).is_some();
        let exact = if known { ", and from the exact one" } else { "" };
        let others = &self.problem.variables()[self.problem.variables().len().min(2)..];
        let middle = if others.is_empty() {
            String::new()
        } else {
            format!(" {} in the middle of the range.", escape(&others.join(", ")))
        };
        format!("{name} and what the network differs by from the classical solution{exact}.{middle}")
    }

    /// The solution, and its differences.
    fn solution(&self, u: usize) -> Vec<String> {
        let name = &self.problem.unknowns()[u];
        let ours: Vec<f64> = self.points.iter().map(|p| self.found.value(u, p)).collect();
        let theirs: Vec<f64> = self.points.iter().map(|p| self.found.reference(u, p)).collect();
        let exact = self.problem.exact(u, &self.points);
        let apart = |other: &[f64]| ours.iter().zip(other).map(|(a, b)| (a - b).abs()).collect::<Vec<f64>>();
        let mut differences = vec![("network − classical".to_owned(), apart(&theirs))];
        differences.extend(exact.as_ref().map(|exact| ("network − exact".to_owned(), apart(exact))));
        if !self.is_line() {
            let mut maps = vec![Map::plain(&ours, name).draw(self.x(), self.y(), SIDE)];
            maps.extend(differences.iter().map(|(what, d)| Map::decades(d, what).draw(self.x(), self.y(), SIDE)));
            return maps;
        }
        let [low, high] = range(ours.iter().chain(&theirs).copied());
        let margin = 0.05 * (high - low).max(1e-12);
        let y = Axis::new(name, low - margin, high + 6.0 * margin, Scale::Linear);
        let mut plot = Plot::new(WIDE, self.x(), y, "", "");
        plot.line(&self.line(&theirs), colour(1), "");
        plot.legend("classical", colour(1), "");
        plot.line(&self.line(&ours), colour(0), "5 4");
        plot.legend("network", colour(0), "5 4");
        if let Some(exact) = &exact {
            let some: Vec<(f64, f64)> = self.line(exact).into_iter().step_by(LINE / 20).collect();
            plot.dots(&some, "#111");
            plot.legend("exact", "#111", "1 4");
        }
        vec![plot.finish(Corner::UpperRight), self.decades(&differences, "difference")]
    }

    /// Lines of small numbers.
    fn decades(&self, lines: &[(String, Vec<f64>)], label: &str) -> String {
        let highest = range(lines.iter().flat_map(|(_, values)| values.iter().copied()))[1].max(1e-17);
        let y = Axis::new(label, (highest * 1e-6).max(1e-18), highest * 30.0, Scale::Log);
        let mut plot = Plot::new(WIDE, self.x(), y, "", "");
        for (i, (what, values)) in lines.iter().enumerate() {
            let dash = if i == 0 { "" } else { "5 4" };
            plot.line(&self.line(values), colour(i), dash);
            plot.legend(what, colour(i), dash);
        }
        plot.finish(Corner::UpperRight)
    }

    fn residual(&self, equation: usize, residual: &[f64]) -> String {
        let sizes: Vec<f64> = residual.iter().map(|r| r.abs()).collect();
        let what = if self.problem.equations().len() == 1 {
            "residual".to_owned()
        } else {
            format!("residual of equation {}", equation + 1)
        };
        if self.is_line() {
            self.decades(&[(what, sizes)], "|left − right|")
        } else {
            Map::decades(&sizes, &what).draw(self.x(), self.y(), SIDE)
        }
    }
}

/// The root of the sum of squares, fit by fit, each beginning where the last one ended.
fn training(found: &Solution) -> String {
    let root = |cost: &f64| cost.sqrt();
    let steps: usize = found.training.iter().map(|stage| stage.costs.len()).sum();
    let [low, high] = range(found.training.iter().flat_map(|stage| stage.costs.iter().map(root)));
    let x = Axis::new("step", 0.0, steps as f64, Scale::Linear);
    let (low, high) = ((low * 0.5).max(1e-16), high * 2.0);
    // The legend stands above all lines.
    let height = SMALL[1] + 60.0;
    let share = ((18.0 + 16.0 * found.training.len() as f64) / (height - 72.0)).min(0.7);
    let y = Axis::new("root of the sum of squares", low, high * (high / low).powf(share / (1.0 - share)), Scale::Log);
    let mut plot = Plot::new([MAP[0] * 2.0, height], x, y, "", "");
    let mut begun = 0;
    for (i, stage) in found.training.iter().enumerate() {
        let points: Vec<(f64, f64)> =
            stage.costs.iter().enumerate().map(|(k, cost)| ((begun + k) as f64 + 0.5, root(cost))).collect();
        begun += stage.costs.len();
        plot.line(&points, colour(i), "");
        plot.dots(&points, colour(i));
        plot.legend(&stage.what, colour(i), "");
    }
    plot.finish(Corner::UpperRight)
}
