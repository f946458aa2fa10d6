//! Problems as they are written and read.

use fb_core::{Error, Result};
use fb_nn::taylor::{Jets, MOST_VARIABLES, Order};
use fb_physics::calculus::Formula;

use super::ansatz::{self, Ansatz, Condition};
use super::language::{Argument, Form, Names, Reader};
use super::points;
use super::system::{Rows, Seen};

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
    pub(super) names: Names,
    pub(super) domain: Vec<(f64, f64)>,
    pub(super) forms: Vec<Form>,
    pub(super) equations: Vec<usize>,
    pub(super) texts: Vec<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) exact: Vec<Option<Formula>>,
    pub(super) eigenvalue: Eigenvalue,
    /// The derivatives that appear.
    pub(super) orders: Vec<Order>,
    /// Nodes of an integral.
    pub(super) nodes: usize,
}

pub(super) fn config<T>(place: &str, reason: String) -> Result<T> {
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
            texts: asked.equations.clone(),
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

    /// The equations as they were written.
    pub fn equations(&self) -> &[String] {
        &self.texts
    }

    /// The solution that is known of an unknown, at points.
    pub fn exact(&self, unknown: usize, points: &[Vec<f64>]) -> Option<Vec<f64>> {
        let mut exact = self.exact[unknown].as_ref()?.evaluator();
        Some(points.iter().map(|point| exact.value(point)).collect())
    }

    /// The group of the rows of the normalisation.
    pub(super) fn normalisation(&self) -> Option<usize> {
        self.names.eigenvalue.as_ref().map(|_| self.equations.len() + self.conditions.len() - 1)
    }

    /// Equations at `points`, and the conditions of those groups that `keep` says at all combinations of their free variables.
    pub(super) fn rows<'a>(
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

    /// Residuals, relative to the largest of what cancels in each equation and condition.
    pub(super) fn misfit(&self, seen: &[Seen], rows: &Rows, scale: f64) -> Misfit {
        let groups = self.equations.len() + self.conditions.len();
        let mut sizes = vec![f64::MIN_POSITIVE; groups];
        for (seen, row) in seen.iter().zip(&rows.rows) {
            let floor = if row.group < self.equations.len() { 1e-6 } else { 1.0 };
            sizes[row.group] = sizes[row.group].max(seen.terms).max(floor * scale * seen.slopes);
        }
        let (mut squares, mut counts) = (vec![0.0; groups], vec![0usize; groups]);
        let mut misfit = Misfit { largest: 0.0, rms: 0.0, condition: (0.0, 0) };
        for (seen, row) in seen.iter().zip(&rows.rows) {
            let relative = seen.value.abs() / sizes[row.group];
            let relative = if relative.is_finite() { relative } else { f64::INFINITY };
            misfit.largest = misfit.largest.max(relative);
            squares[row.group] += relative * relative;
            counts[row.group] += 1;
            if row.group >= self.equations.len() && relative > misfit.condition.0 {
                misfit.condition = (relative, row.group - self.equations.len());
            }
        }
        let mean = squares.iter().zip(&counts).map(|(square, count)| (square / (*count).max(1) as f64).sqrt());
        misfit.rms = mean.fold(0.0, f64::max);
        misfit
    }

    /// Weights that make equations comparable: one over the median of Σ |∂F/∂argument|, and over √n rows.
    pub(super) fn weights(&self, seen: &[Seen], rows: &Rows) -> Vec<f64> {
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

/// What is left of equations and conditions, relative to what cancels in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Misfit {
    /// At the worst place.
    pub largest: f64,
    /// The root of the mean square, of the worst equation or condition.
    pub rms: f64,
    /// Of the worst condition, and which.
    pub condition: (f64, usize),
}

impl Default for Misfit {
    fn default() -> Self {
        Self { largest: f64::INFINITY, rms: f64::INFINITY, condition: (0.0, 0) }
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
