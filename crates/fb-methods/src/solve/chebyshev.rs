//! The classical solver: products of Chebyshev polynomials, whose coefficients make the squares of all residuals least, by
//! Newton's method (as that of Gauss, Levenberg and Marquardt).
//!
//! More points than coefficients are taken, so one scheme serves values at first, at both ends, inside, integrals and
//! eigenvalues. The degree grows until the solution no longer changes.

use fb_core::{Error, Result, Workers};
use fb_nn::least_squares::{Limits, Residuals as _, levenberg_marquardt, newton, smallest_singular, triangularise};
use fb_nn::taylor::Order;

use super::ansatz::Ansatz;
use super::eigen;
use super::points::{chebyshev, middles, tensor};
use super::problem::{Misfit, Problem};
use super::system::{Rows, System, Trial};

/// Coefficients of products of Chebyshev polynomials, by unknown; the last variable is the fastest.
#[derive(Debug, Clone)]
pub(super) struct Chebyshev {
    domain: Vec<(f64, f64)>,
    degrees: usize,
    unknowns: usize,
    orders: Vec<Order>,
}

/// T⁽ᵐ⁾ of a point, by variable and m.
#[derive(Debug, Default)]
pub(super) struct Tables(Vec<Vec<Vec<f64>>>);

impl Chebyshev {
    pub fn new(problem: &Problem, degrees: usize) -> Self {
        Self {
            domain: problem.domain.clone(),
            degrees,
            unknowns: problem.names.unknowns.len(),
            orders: problem.orders.clone(),
        }
    }

    fn terms(&self) -> usize {
        self.degrees.pow(self.domain.len() as u32)
    }

    /// The coefficients among more, or fewer, of them; the eigenvalue stays the last.
    pub fn refined(&self, finer: &Self, coefficients: &[f64]) -> Vec<f64> {
        let mut fine = vec![0.0; finer.parameters()];
        for (k, c) in coefficients.iter().enumerate().take(self.parameters()) {
            let (mut rest, mut place, mut step, mut fits) = (k % self.terms(), 0, 1, true);
            for _ in 0..self.domain.len() {
                fits &= rest % self.degrees < finer.degrees;
                place += step * (rest % self.degrees);
                rest /= self.degrees;
                step *= finer.degrees;
            }
            if fits {
                fine[k / self.terms() * finer.terms() + place] = *c;
            }
        }
        fine.extend_from_slice(&coefficients[self.parameters()..]);
        fine
    }

    /// T_j⁽ᵐ⁾(x), from the recurrence differentiated m times.
    fn table(&self, i: usize, x: f64) -> Vec<Vec<f64>> {
        let (low, high) = self.domain[i];
        let (half, n) = (0.5 * (high - low), self.degrees);
        let z = (x - 0.5 * (low + high)) / half;
        let most = self.orders.iter().map(|order| usize::from(order[i])).max().unwrap_or(0);
        let mut tables: Vec<Vec<f64>> = vec![vec![0.0; n]; most + 1];
        for m in 0..=most {
            for j in 0..n {
                let lower = if m > 0 && j > 0 { tables[m - 1][j - 1] * m as f64 } else { 0.0 };
                let two = if j > 1 { 2.0 } else { 1.0 };
                tables[m][j] = match j {
                    0 => f64::from(u8::from(m == 0)),
                    1 => z * tables[m][0] + lower,
                    _ => two * (z * tables[m][j - 1] + lower) - tables[m][j - 2],
                };
            }
        }
        for (m, table) in tables.iter_mut().enumerate() {
            let scale = half.powi(-(m as i32));
            for t in table {
                *t *= scale;
            }
        }
        tables
    }

    /// Every product of tables, for one derivative.
    fn products(tables: &Tables, order: Order) -> Vec<f64> {
        let mut products = vec![1.0];
        for (i, tables) in tables.0.iter().enumerate() {
            let table = &tables[usize::from(order[i])];
            products = products.iter().flat_map(|p| table.iter().map(move |t| p * t)).collect();
        }
        products
    }
}

impl Trial for Chebyshev {
    type State = Tables;

    fn parameters(&self) -> usize {
        self.unknowns * self.terms()
    }

    fn orders(&self) -> &[Order] {
        &self.orders
    }

    fn jets(&self, parameters: &[f64], point: &[f64], state: &mut Tables, jets: &mut [f64]) {
        state.0 = (0..point.len()).map(|i| self.table(i, point[i])).collect();
        for (a, order) in self.orders.iter().enumerate() {
            let products = Self::products(state, *order);
            for (u, coefficients) in parameters.chunks_exact(products.len()).take(self.unknowns).enumerate() {
                jets[u * self.orders.len() + a] = coefficients.iter().zip(&products).map(|(c, p)| c * p).sum();
            }
        }
    }

    fn gradient(&self, _: &[f64], state: &Tables, seeds: &[f64], first: usize, gradient: &mut [f64]) {
        debug_assert_eq!(first, 0);
        for (a, order) in self.orders.iter().enumerate() {
            if (0..self.unknowns).all(|u| seeds[u * self.orders.len() + a] == 0.0) {
                continue;
            }
            let products = Self::products(state, *order);
            for (u, gradient) in gradient.chunks_exact_mut(products.len()).take(self.unknowns).enumerate() {
                let seed = seeds[u * self.orders.len() + a];
                if seed != 0.0 {
                    gradient.iter_mut().zip(&products).for_each(|(g, p)| *g += seed * p);
                }
            }
        }
    }
}

/// The classical solution.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    trial: Chebyshev,
    /// Coefficients, then the eigenvalue if there is one.
    parameters: Vec<f64>,
    /// By how much the last refinement changed the values, relative to the largest.
    pub change: f64,
    /// What is left of equations and conditions.
    pub misfit: Misfit,
    /// The smallest singular value of the equations, columns scaled to one: zero if they leave something free.
    pub rank: f64,
}

impl Reference {
    pub fn value(&self, unknown: usize, point: &[f64]) -> f64 {
        let (mut state, mut jets) = (Tables::default(), vec![0.0; self.trial.orders.len() * self.trial.unknowns]);
        self.trial.jets(&self.parameters, point, &mut state, &mut jets);
        jets[unknown * self.trial.orders.len()]
    }

    /// Minus this solution.
    pub fn reverse(&mut self) {
        for c in &mut self.parameters[..self.trial.parameters()] {
            *c = -*c;
        }
    }

    pub fn eigenvalue(&self) -> Option<f64> {
        self.parameters.get(self.trial.parameters()).copied()
    }
}

/// Most entries of a matrix.
const MOST_ENTRIES: usize = 12_000_000;

/// Polynomials a variable, from coarse to fine.
fn levels(variables: usize) -> &'static [usize] {
    match variables {
        1 => &[10, 16, 28, 48, 80, 128, 200],
        2 => &[6, 10, 14, 20, 28, 36],
        3 => &[4, 6, 8, 10, 12],
        _ => &[4, 5, 6],
    }
}

/// Rows of all equations and conditions for this many polynomials.
fn rows<'a>(problem: &'a Problem, ansatz: &'a Ansatz, degrees: usize, nodes: usize) -> Result<Rows<'a>> {
    let n = degrees + degrees / 2 + 2;
    let axes: Vec<Vec<f64>> = problem.domain.iter().map(|domain| chebyshev(n, *domain)).collect();
    problem.rows(ansatz, &problem.orders, &tensor(&axes), &axes, nodes, &|_| true)
}

/// Solves with more and more polynomials.
pub(super) fn solve(problem: &Problem, workers: &dyn Workers) -> Result<Reference> {
    let ansatz = Ansatz::free(problem.names.unknowns.len(), &problem.domain);
    let probes = probes(problem);
    let mut best: Option<Reference> = None;
    let mut last: Option<Vec<f64>> = None;
    let nodes = problem.nodes;
    for &degrees in levels(problem.domain.len()) {
        if problem.normalisation().is_some() && degrees < eigen::degrees(problem) {
            // Too few for the state from which this starts.
            continue;
        }
        let trial = Chebyshev::new(problem, degrees);
        let mut rows = rows(problem, &ansatz, degrees, nodes)?;
        if rows.rows.len().max(trial.parameters()) * trial.parameters() > MOST_ENTRIES && best.is_some() {
            break;
        }
        let free_eigenvalue = problem.names.eigenvalue.is_some();
        let base = match &best {
            Some(coarse) => coarse.trial.refined(&trial, &coarse.parameters),
            None if free_eigenvalue => {
                // Newton's method starts from a state of the linear problem.
                let start = eigen::start(problem, workers)?;
                Chebyshev::new(problem, eigen::degrees(problem)).refined(&trial, &start)
            }
            // The lowest polynomials that have the conditions.
            None => begin(problem, &ansatz, workers)?
                .map_or_else(|| vec![0.0; trial.parameters()], |(low, start)| low.refined(&trial, &start)),
        };
        let weights = {
            let base = base.clone();
            let system = System { rows: &rows, trial: &trial, workers, base, first: 0, free_eigenvalue, ridge: 0.0 };
            problem.weights(&system.report(&system.start()), &rows)
        };
        rows.rows.iter_mut().zip(&weights).for_each(|(row, weight)| row.weight = *weight);
        let system = System { rows: &rows, trial: &trial, workers, base, first: 0, free_eigenvalue, ridge: 0.0 };
        // What fewer polynomials have found is near.
        let damping = if best.is_some() { 1e-12 } else { 1e-6 };
        let limits = Limits { steps: 60, target: 1e-28, damping, progress: 1e-3 };
        let damped = levenberg_marquardt(&system, system.start(), limits);
        // Along a narrow valley the damped steps are short; near its end the bare ones are not.
        let bare = (damped.cost > 1e-20).then(|| newton(&system, damped.x.clone(), 12));
        let least = bare.filter(|bare| bare.cost < damped.cost).unwrap_or(damped);
        let mut found = Reference {
            trial: trial.clone(),
            parameters: least.x.clone(),
            change: f64::INFINITY,
            misfit: Misfit::default(),
            rank: 0.0,
        };
        let mut values = Vec::with_capacity(probes.len() * trial.unknowns);
        for p in &probes {
            values.extend((0..trial.unknowns).map(|u| found.value(u, p)));
        }
        let scale = values.iter().fold(0.0f64, |a, x| a.max(x.abs())).max(1e-12);
        if let Some(before) = &last {
            let change = values.iter().zip(before).fold(0.0f64, |a, (x, y)| a.max((x - y).abs()));
            found.change = if change.is_finite() { change / scale } else { f64::INFINITY };
        }
        let report = system.report(&least.x);
        found.misfit = problem.misfit(&report, &rows, scale);
        found.rank = rank(&system, &least.x);
        last = Some(values);
        // With many variables it is not worth to go on for long.
        let enough = if problem.domain.len() > 2 { 1e-8 } else { 1e-11 };
        let done = found.change < enough && found.misfit.largest < 100.0 * enough;
        // A level that went astray (a nonlinear equation on too few points) is not the start of the next.
        let better =
            best.as_ref().is_none_or(|b| found.misfit.largest <= 3.0 * b.misfit.largest || found.change < b.change);
        if better {
            best = Some(found);
        }
        if done {
            break;
        }
    }
    best.ok_or_else(|| Error::NotConverged {
        what: "the reference".to_owned(),
        reason: "no level was solved".to_owned(),
    })
}

/// A fit of the lowest polynomials to the conditions, if there are any.
fn begin(problem: &Problem, ansatz: &Ansatz, workers: &dyn Workers) -> Result<Option<(Chebyshev, Vec<f64>)>> {
    let low = Chebyshev::new(problem, 3);
    let axes: Vec<Vec<f64>> = problem.domain.iter().map(|domain| chebyshev(6, *domain)).collect();
    let rows = problem.rows(ansatz, &problem.orders, &[], &axes, problem.nodes, &|_| true)?;
    if rows.rows.is_empty() {
        return Ok(None);
    }
    let base = vec![0.0; low.parameters()];
    let system = System { rows: &rows, trial: &low, workers, base, first: 0, free_eigenvalue: false, ridge: 0.0 };
    let least = levenberg_marquardt(
        &system,
        system.start(),
        Limits { steps: 15, target: 1e-20, damping: 1e-4, progress: 1e-2 },
    );
    Ok(least.cost.is_finite().then_some((low, least.x)))
}

/// The smallest singular value of the weighted Jacobian, columns scaled to one.
fn rank(system: &System<'_, Chebyshev>, x: &[f64]) -> f64 {
    let (m, n) = (system.rows.rows.len(), x.len());
    if m < n {
        return 0.0;
    }
    let (mut values, mut jacobian) = (vec![0.0; m], vec![0.0; m * n]);
    system.jacobian(x, &mut values, &mut jacobian);
    let mut a = vec![0.0; m * (n + 1)];
    for (i, row) in jacobian.chunks_exact(n).enumerate() {
        row.iter().enumerate().for_each(|(j, d)| a[j * m + i] = *d);
    }
    if a.iter().any(|x| !x.is_finite()) {
        return 0.0;
    }
    triangularise(&mut a, m, n);
    smallest_singular(&a, m, n)
}

/// Points where solutions are compared.
pub(super) fn probes(problem: &Problem) -> Vec<Vec<f64>> {
    let n = [401, 41, 13, 7][problem.domain.len() - 1];
    tensor(&problem.domain.iter().map(|domain| middles(n, *domain)).collect::<Vec<_>>())
}
