//! Options of the network.

use fb_core::Result;
pub use fb_nn::taylor::Bend as Activation;
use serde::Deserialize;

use super::problem::{Problem, config};

/// How conditions are met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditions {
    /// By construction where that is possible, else by their residuals.
    #[default]
    Hard,
    /// By their residuals.
    Soft,
}

/// Where equations are to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Collocation {
    /// Roots of Chebyshev polynomials in every variable.
    #[default]
    Grid,
    /// One point in each slice of every variable.
    LatinHypercube,
    /// The sequence of Sobol'.
    Sobol,
    /// Drawn thrice again where residuals are large (arXiv:2207.10289).
    Adaptive,
}

/// How weights are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Least squares by damped Newton steps.
    #[default]
    LevenbergMarquardt,
    /// Quasi-Newton steps along lines with the strong conditions of Wolfe.
    LBfgs,
    /// Gradient steps with moments.
    Adam,
}

/// Options of the network; none is needed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Hidden layers.
    pub depth: usize,
    /// Neurons of a layer; without it, as many as the equations need.
    pub width: Option<usize>,
    /// tanh or sin.
    pub activation: Activation,
    /// Fourier features beside each variable.
    pub fourier: usize,
    /// The deviation of their angular frequencies, in half widths of the domain.
    pub fourier_scale: f64,
    /// How conditions are met.
    pub conditions: Conditions,
    /// The weight of the residuals of conditions.
    pub weight: f64,
    /// Where equations are to hold.
    pub collocation: Collocation,
    /// How many points, about.
    pub points: Option<usize>,
    /// How weights are found.
    pub optimiser: Optimiser,
    /// Most steps.
    pub steps: Option<usize>,
    /// The length of Adam's steps.
    pub learning_rate: f64,
    /// Trainings, of which the best counts.
    pub seeds: usize,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            depth: 1,
            width: None,
            activation: Activation::Tanh,
            fourier: 0,
            fourier_scale: 3.0,
            conditions: Conditions::Hard,
            weight: 10.0,
            collocation: Collocation::Grid,
            points: None,
            optimiser: Optimiser::LevenbergMarquardt,
            steps: None,
            learning_rate: 1e-2,
            seeds: 1,
        }
    }
}

impl Network {
    /// Refuses options out of range.
    pub(super) fn check(&self, problem: &Problem) -> Result<()> {
        let ranges = [
            ("depth", self.depth, 1, 8),
            ("width", self.width.unwrap_or(1), 1, 1000),
            ("fourier", self.fourier, 0, 200),
            ("points", self.points.unwrap_or(1), 1, 20_000),
            ("steps", self.steps.unwrap_or(1), 1, 1_000_000),
            ("seeds", self.seeds, 1, 100),
        ];
        for (key, found, low, high) in ranges {
            if !(low..=high).contains(&found) {
                return config(&format!("network.{key}"), format!("found {found}, expected {low} to {high}"));
            }
        }
        for (key, found) in
            [("fourier_scale", self.fourier_scale), ("weight", self.weight), ("learning_rate", self.learning_rate)]
        {
            if !(found > 0.0 && found.is_finite()) {
                return config(&format!("network.{key}"), format!("found {found}, expected a number above zero"));
            }
        }
        let width = self.width.unwrap_or(30);
        let weights = width * (problem.domain.len() + 2 * self.fourier + 1) + (self.depth - 1) * width * (width + 1);
        if weights > 6000 {
            return config("network", format!("about {weights} weights, expected at most 6000"));
        }
        Ok(())
    }
}
