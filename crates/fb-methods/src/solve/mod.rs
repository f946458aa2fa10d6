//! Differential and integral equations, solved by a network and by a classical method beside it (arXiv:1902.05563).
//!
//! F(x, φ, ∂φ, …) = 0 on a box, with conditions. The network *is* the solution: its derivatives by the inputs are exact
//! ([`fb_nn::taylor`]), conditions of value or derivative hold by construction, and the squares of the residuals at points are made least.
//! The classical solver has products of Chebyshev polynomials in its place. Both are reported, with their largest difference.

mod ansatz;
mod chebyshev;
mod eigen;
mod language;
mod neural;
mod points;
mod symbolic;
mod system;

use fb_core::{Error, Result, Workers};
use fb_nn::taylor::{Jets, MOST_VARIABLES, Order};
use fb_physics::calculus::Formula;

use ansatz::{Ansatz, Condition};
use language::{Argument, Form, Names, Reader};
pub use neural::{Activation, Collocation, Conditions, Network, Optimiser};
use system::{Rows, Seen};

/// Most unknowns, equations and conditions.
const MOST: usize = 24;

/// A problem as it is written.
#[derive(Debug, Clone, Default)]
pub struct Equations {
    /// Names and ranges.
    pub variables: Vec<(String, [f64; 2])>,
    /// The functions that are sought.
    pub unknowns: Vec<String>,
    /// Names with values.
    pub parameters: Vec<(String, f64)>,
    /// `left = right` in the domain.
    pub equations: Vec<String>,
    /// `left = right` where the unknowns have a place.
    pub conditions: Vec<String>,
    /// Solutions that are known, by unknown.
    pub exact: Vec<(String, String)>,
    /// A number that is sought together with the unknowns.
    pub eigenvalue: Option<Eigenvalue>,
}

/// A number for which the equations have a solution beside zero.
#[derive(Debug, Clone, Default)]
pub struct Eigenvalue {
    /// Its name in the equations.
    pub name: String,
    /// The eigenvalue nearest to this one is sought.
    pub guess: Option<f64>,
    /// Without a guess: how many real eigenvalues are lower.
    pub state: usize,
}

/// A problem that has been read.
#[derive(Debug)]
pub struct Problem {
    names: Names,
    domain: Vec<(f64, f64)>,
    forms: Vec<Form>,
    equations: Vec<usize>,
    conditions: Vec<Condition>,
    exact: Vec<Option<Formula>>,
    eigenvalue: Eigenvalue,
    /// The derivatives that appear.
    orders: Vec<Order>,
    /// Nodes of an integral.
    nodes: usize,
}

fn config<T>(place: &str, reason: String) -> Result<T> {
    Err(Error::Config { place: place.to_owned(), reason })
}

impl Problem {
    /// Reads a problem.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place in an equation, [`Error::Config`] for the rest.
    pub fn new(asked: &Equations) -> Result<Self> {
        let n = asked.variables.len();
        if n == 0 || n > MOST_VARIABLES {
            return config("solve.variables", format!("found {n}, expected 1 to {MOST_VARIABLES} with their ranges"));
        }
        for (name, [low, high]) in &asked.variables {
            if !(low.is_finite() && high.is_finite() && low < high && (high - low).is_finite()) {
                return config(
                    "solve.variables",
                    format!("{name}: found [{low}, {high}], expected two finite numbers, the lower one first"),
                );
            }
        }
        for (what, list, least) in [
            ("unknowns", &asked.unknowns, 1),
            ("equations", &asked.equations, asked.unknowns.len()),
            ("conditions", &asked.conditions, 0),
        ] {
            if list.len() < least || list.len() > MOST {
                let hint = if what == "equations" { ", as many as there are unknowns" } else { "" };
                return config(
                    &format!("solve.{what}"),
                    format!("found {}, expected {least} to {MOST}{hint}", list.len()),
                );
            }
        }
        if let Some((name, value)) = asked.parameters.iter().find(|(_, value)| !value.is_finite()) {
            return config("solve.parameters", format!("`{name}` is {value}, expected a finite number"));
        }
        let names = Names {
            variables: asked.variables.iter().map(|(name, _)| name.clone()).collect(),
            unknowns: asked.unknowns.clone(),
            parameters: asked.parameters.clone(),
            eigenvalue: asked.eigenvalue.as_ref().map(|e| e.name.clone()),
        };
        names.check()?;
        let mut reader = Reader::new(&names);
        let mut equations = Vec::new();
        for text in &asked.equations {
            equations.push(reader.equation(text)?.form);
        }
        let mut conditions = Vec::new();
        for text in &asked.conditions {
            let read = reader.equation(text)?;
            let unknown = |f: &Form| !f.arguments.is_empty();
            if read.bare || !unknown(&reader.forms[read.form]) {
                let place = vec!["0"; n].join(", ");
                let hint = format!("expected an unknown at a place, such as `{}({place}) = 1`", names.unknowns[0]);
                return Err(Error::Expression { text: text.clone(), position: 1, reason: hint });
            }
            conditions.push(Condition { form: read.form, free: read.free, text: text.clone() });
        }
        let domain: Vec<(f64, f64)> = asked.variables.iter().map(|(_, [low, high])| (*low, *high)).collect();
        if names.eigenvalue.is_some() {
            let mut text = names.unknowns.iter().map(|u| format!("{u}^2")).collect::<Vec<_>>().join(" + ");
            for (name, (low, high)) in names.variables.iter().zip(&domain) {
                text = format!("integral({text}, {name}, {low:?}, {high:?})");
            }
            let read = reader.equation(&format!("{text} = 1"))?;
            conditions.push(Condition { form: read.form, free: vec![false; n], text: "the normalisation".to_owned() });
        }
        let forms = reader.forms;
        contradictions(&forms, &conditions)?;
        let mut exact = vec![None; names.unknowns.len()];
        for (name, text) in &asked.exact {
            let Some(u) = names.unknowns.iter().position(|u| u == name) else {
                return config("solve.exact", format!("no unknown `{name}`"));
            };
            let variables: Vec<&str> = names.variables.iter().map(String::as_str).collect();
            exact[u] =
                Some(Formula::new(&fb_core::expression::Expression::parse(text)?, &variables, &names.parameters)?);
        }
        let mut wanted = Vec::new();
        for argument in forms.iter().flat_map(|form| &form.arguments) {
            if let Argument::Value { order, .. } = argument {
                wanted.push(*order);
            }
        }
        let orders = Jets::new(&wanted).orders().to_vec();
        Ok(Self {
            domain,
            forms,
            equations,
            conditions,
            exact,
            eigenvalue: asked.eigenvalue.clone().unwrap_or_default(),
            orders,
            nodes: if n == 1 { 40 } else { 16 },
            names,
        })
    }

    /// The names of the variables.
    pub fn variables(&self) -> &[String] {
        &self.names.variables
    }

    /// The names of the unknowns.
    pub fn unknowns(&self) -> &[String] {
        &self.names.unknowns
    }

    /// The range of each variable.
    pub fn domain(&self) -> &[(f64, f64)] {
        &self.domain
    }

    /// The group of the rows of the normalisation.
    fn normalisation(&self) -> Option<usize> {
        self.names.eigenvalue.as_ref().map(|_| self.equations.len() + self.conditions.len() - 1)
    }

    /// Equations at `points`, and the conditions of those groups that `keep` says at all combinations of their free variables.
    fn rows<'a>(
        &'a self,
        ansatz: &'a Ansatz,
        orders: &[Order],
        points: &[Vec<f64>],
        axes: &[Vec<f64>],
        nodes: usize,
        keep: &dyn Fn(usize) -> bool,
    ) -> Result<Rows<'a>> {
        let mut rows = Rows::new(&self.forms, ansatz, orders, self.domain.len(), nodes);
        for (group, form) in self.equations.iter().enumerate() {
            if keep(group) {
                points.iter().try_for_each(|point| rows.push(*form, point, 1.0, group))?;
            }
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            let group = self.equations.len() + at;
            if !keep(group) {
                continue;
            }
            let middle = |i: usize| 0.5 * (self.domain[i].0 + self.domain[i].1);
            let along: Vec<Vec<f64>> = (0..self.domain.len())
                .map(|i| if condition.free[i] && i < axes.len() { axes[i].clone() } else { vec![middle(i)] })
                .collect();
            points::tensor(&along).iter().try_for_each(|point| rows.push(condition.form, point, 1.0, group))?;
        }
        Ok(rows)
    }

    /// What the residuals of each equation and condition are compared with: the largest of what cancels in them.
    fn sizes(&self, seen: &[Seen], rows: &Rows, scale: f64) -> Vec<f64> {
        let mut sizes = vec![0.0f64; self.equations.len() + self.conditions.len()];
        for (seen, row) in seen.iter().zip(&rows.rows) {
            let floor = if row.group < self.equations.len() { 1e-6 } else { 1.0 };
            sizes[row.group] = sizes[row.group].max(seen.terms).max(floor * scale * seen.slopes).max(f64::MIN_POSITIVE);
        }
        sizes
    }

    /// Weights that make equations comparable: one over the median of Σ |∂F/∂argument|, and over √n rows.
    fn weights(&self, seen: &[Seen], rows: &Rows) -> Vec<f64> {
        let groups = self.equations.len() + self.conditions.len();
        let mut slopes = vec![Vec::new(); groups];
        for (seen, row) in seen.iter().zip(&rows.rows) {
            slopes[row.group].push(if seen.slopes.is_finite() { seen.slopes } else { f64::MAX });
        }
        let weight = |slopes: &mut Vec<f64>| {
            slopes.sort_by(f64::total_cmp);
            let median = slopes.get(slopes.len() / 2).copied().unwrap_or(1.0);
            1.0 / (median.clamp(1e-100, 1e100) * (slopes.len() as f64).sqrt())
        };
        let weights: Vec<f64> = slopes.iter_mut().map(weight).collect();
        rows.rows.iter().map(|row| weights[row.group]).collect()
    }
}

/// Points of equal distance over the whole domain, its faces among them.
pub fn grid(problem: &Problem) -> Vec<Vec<f64>> {
    let n = [101, 21, 9, 5][problem.domain.len() - 1];
    points::tensor(&problem.domain.iter().map(|domain| points::uniform(n, *domain)).collect::<Vec<_>>())
}

/// Refuses two conditions that differ in their right sides alone.
fn contradictions(forms: &[Form], conditions: &[Condition]) -> Result<()> {
    for (at, one) in conditions.iter().enumerate() {
        for other in &conditions[..at] {
            if ansatz::contradict(&forms[one.form], &forms[other.form]) {
                let reason = format!("`{}` contradicts `{}`", one.text, other.text);
                return config("solve.conditions", reason);
            }
        }
    }
    Ok(())
}

/// What was found.
#[derive(Debug)]
pub struct Solution {
    network: neural::Solved,
    reference: chebyshev::Reference,
    /// The largest residual of an equation at points that were not fitted.
    pub residual_max: f64,
    /// The root of their mean square.
    pub residual_rms: f64,
    /// The largest residual of a condition.
    pub condition_max: f64,
    /// The largest difference from the exact solutions, of the unknowns that have one.
    pub error_max: Option<f64>,
    /// The same of the classical solution.
    pub reference_error_max: Option<f64>,
    /// The largest difference of network and classical solution.
    pub difference_max: f64,
    /// By how much the last refinement changed the classical solution, relative to its largest value.
    pub reference_change: f64,
    /// The eigenvalue of the network and the classical one.
    pub eigenvalue: Option<(f64, f64)>,
}

impl Solution {
    /// The network at a point.
    pub fn value(&self, unknown: usize, point: &[f64]) -> f64 {
        self.network.value(unknown, point)
    }

    /// The classical solution at a point.
    pub fn reference(&self, unknown: usize, point: &[f64]) -> f64 {
        self.reference.value(unknown, point)
    }

    /// The number of weights of the network.
    pub fn weights(&self) -> usize {
        self.network.weights()
    }
}

/// A residual beyond this share of what cancels in it is no solution.
const TOLERANCE: f64 = 1e-3;

/// Solves by a network and by the classical method.
///
/// # Errors
/// [`Error::Model`] if the equations and conditions do not fix a solution, [`Error::NotConverged`] with the residual if
/// none was found.
pub fn solve(problem: &Problem, network: &Network, seed: u64, workers: &dyn Workers) -> Result<Solution> {
    network.check(problem)?;
    let reference = chebyshev::solve(problem, workers)?;
    if reference.rank < 1e-13 && reference.misfit < 1e-3 {
        return Err(Error::Model {
            place: "solve.conditions".to_owned(),
            reason: format!(
                "{} conditions and {} equations leave a part of the solution free; add a condition",
                problem.conditions.len(),
                problem.equations.len()
            ),
        });
    }
    let solved = neural::solve(problem, network, seed, workers)?;
    let probes = chebyshev::probes(problem);
    let (mut scale, mut difference_max) = (f64::MIN_POSITIVE, 0.0f64);
    let (mut error, mut reference_error) = (None, None);
    for u in 0..problem.names.unknowns.len() {
        let mut exact = problem.exact[u].as_ref().map(Formula::evaluator);
        for point in &probes {
            let (ours, theirs) = (solved.value(u, point), reference.value(u, point));
            scale = scale.max(theirs.abs());
            difference_max = difference_max.max((ours - theirs).abs());
            if let Some(exact) = &mut exact {
                let exact = exact.value(point);
                error = Some(error.unwrap_or(0.0f64).max((ours - exact).abs()));
                reference_error = Some(reference_error.unwrap_or(0.0f64).max((theirs - exact).abs()));
            }
        }
    }
    let eigenvalue = solved.eigenvalue().zip(reference.eigenvalue());
    let solution = Solution {
        residual_max: solved.residual_max,
        residual_rms: solved.residual_rms,
        condition_max: solved.condition_max,
        error_max: error,
        reference_error_max: reference_error,
        difference_max,
        reference_change: reference.change,
        eigenvalue,
        network: solved,
        reference,
    };
    judged(problem, solution, scale)
}

/// The solution, if it is one.
fn judged(problem: &Problem, found: Solution, scale: f64) -> Result<Solution> {
    let fail = |reason: String| Err(Error::NotConverged { what: "the solution".to_owned(), reason });
    let sound = found.reference.change < 1e-6 && found.reference.misfit < 1e-6;
    if !(found.network.misfit < TOLERANCE) {
        let (condition, which) = found.reference.condition;
        let hint = if !sound && condition > 1e-6 {
            let text = problem.conditions.get(which).map_or("", |c| c.text.as_str());
            format!("; `{text}` cannot be met: do the conditions contradict each other or the equations?")
        } else if sound {
            "; the classical method has a solution, try a wider network".to_owned()
        } else {
            "; is there a solution, and is it smooth?".to_owned()
        };
        return fail(format!(
            "the largest residual of the network is {:.3e}, of the conditions {:.3e}{hint}",
            found.residual_max, found.condition_max
        ));
    }
    if sound && !(found.difference_max < 1e-2 * scale) {
        return fail(format!(
            "network and classical method differ by {:.3e} with residuals of {:.3e}: is there more than one solution?",
            found.difference_max, found.residual_max
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
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
}
