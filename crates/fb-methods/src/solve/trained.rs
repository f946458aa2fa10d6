//! A network as a trial function, and what it is after training.

use fb_core::{Result, Workers};
use fb_nn::least_squares::Residuals;
use fb_nn::taylor::{MOST_VARIABLES, Order, Room, TaylorNetwork, Trace};

use super::ansatz::Ansatz;
use super::problem::{Misfit, Problem};
use super::system::{System, Trial};

/// The network as a trial function.
#[derive(Debug, Clone)]
pub(super) struct Neural(pub TaylorNetwork);

impl Trial for Neural {
    type State = Trace;

    fn parameters(&self) -> usize {
        self.0.parameters()
    }

    fn orders(&self) -> &[Order] {
        self.0.jets().orders()
    }

    fn jets(&self, parameters: &[f64], point: &[f64], state: &mut Trace, jets: &mut [f64]) {
        self.0.forward(parameters, point, state, jets);
    }

    fn gradient(&self, parameters: &[f64], state: &Trace, seeds: &[f64], first: usize, gradient: &mut [f64]) {
        self.0.backward(parameters, state, seeds, first, &mut Room::default(), gradient);
    }
}

/// A part of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What was fitted.
    pub what: String,
    /// The sum of the squares of the weighted residuals, at the start and after each step.
    pub costs: Vec<f64>,
}

/// A network that has been trained.
#[derive(Debug)]
pub(super) struct Solved {
    pub trial: Neural,
    pub ansatz: Ansatz,
    pub parameters: Vec<f64>,
    /// What is left of equations and conditions at points that were not fitted.
    pub misfit: Misfit,
    pub residual_max: f64,
    pub residual_rms: f64,
    pub condition_max: f64,
}

impl Solved {
    pub fn value(&self, unknown: usize, point: &[f64]) -> f64 {
        let mut at = [0.0; MOST_VARIABLES];
        at[..point.len()].copy_from_slice(point);
        let (mut value, terms) = self.ansatz.expand(unknown, [0; MOST_VARIABLES], &at);
        let size = self.trial.orders().len();
        let (mut trace, mut jets) = (Trace::default(), vec![0.0; size * self.trial.0.outputs()]);
        for (factor, place, order) in terms {
            self.trial.jets(&self.parameters, &place[..point.len()], &mut trace, &mut jets);
            let at = self.trial.0.jets().position(&order).unwrap_or(0);
            value += factor * jets[unknown * size + at];
        }
        value
    }

    /// Minus this solution; a state has no conditions but zeros.
    pub fn reverse(&mut self) {
        for w in &mut self.parameters[self.trial.0.linear_from()..self.trial.parameters()] {
            *w = -*w;
        }
    }

    /// left − right of each equation at `points`, one list an equation.
    ///
    /// # Errors
    /// Those of integrals that need too many points.
    pub fn residuals(&self, problem: &Problem, points: &[Vec<f64>], workers: &dyn Workers) -> Result<Vec<Vec<f64>>> {
        let equations = problem.equations.len();
        let rows =
            problem.rows(&self.ansatz, self.trial.orders(), points, &[], problem.nodes, &|group| group < equations)?;
        let system = System {
            rows: &rows,
            trial: &self.trial,
            workers,
            base: self.parameters.clone(),
            first: 0,
            free_eigenvalue: problem.normalisation().is_some(),
            ridge: 0.0,
        };
        let mut residuals = vec![Vec::with_capacity(points.len()); equations];
        for (seen, row) in system.report(&system.start()).iter().zip(&rows.rows) {
            residuals[row.group].push(seen.value);
        }
        Ok(residuals)
    }

    pub fn eigenvalue(&self) -> Option<f64> {
        self.parameters.get(self.trial.parameters()).copied()
    }

    pub fn weights(&self) -> usize {
        self.trial.parameters()
    }
}

/// The sum of squares and its gradient.
pub(super) fn cost(system: &System<'_, Neural>, x: &[f64], gradient: &mut Vec<f64>) -> f64 {
    let mut values = vec![0.0; system.rows()];
    let mut jacobian = vec![0.0; system.rows() * x.len()];
    system.jacobian(x, &mut values, &mut jacobian);
    gradient.clear();
    gradient.resize(x.len(), 0.0);
    for (value, row) in values.iter().zip(jacobian.chunks_exact(x.len())) {
        gradient.iter_mut().zip(row).for_each(|(g, d)| *g += 2.0 * value * d);
    }
    values.iter().map(|v| v * v).sum()
}
