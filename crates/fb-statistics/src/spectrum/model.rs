//! The likelihood of spectra.
//!
//! A category expects λ(x) = Σ_components Y f(x)/∫f with the yield Y = Π factors. With bins,
//! −2 ln L = 2 Σ_b (λ_b − n_b + n_b ln(n_b/λ_b)), which is also a goodness of fit; event by event, the extended
//! −2 ln L = 2 (Σ Y − Σ_i w_i ln λ(x_i)). A constrained parameter adds ((θ − m)/σ)².

use std::borrow::Cow;

use fb_core::{Error, Result};

use super::dual::{Dual, Number};
use super::shape::{MOST, Shape};
use crate::Histogram;
use crate::goodness::deviance;
use crate::matrix::{Matrix, dot};
use crate::minimise::{Minimum, Objective, Status, covariance, errors, hessian, minimise};
use crate::profile::{End, end};

/// A parameter of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What it is called.
    pub name: String,
    /// Where the fit starts.
    pub start: f64,
    /// Where it is held.
    pub bounds: (f64, f64),
    /// The mean and the standard deviation of what is known of it.
    pub constraint: Option<(f64, f64)>,
}

/// An argument of a shape, or a factor of a yield.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot {
    /// A number.
    Fixed(f64),
    /// The parameter of this index.
    Free(usize),
}

impl Slot {
    fn value(self, theta: &[f64]) -> f64 {
        match self {
            Self::Fixed(value) => value,
            Self::Free(i) => theta[i],
        }
    }
}

/// A part of a spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its density.
    pub shape: Shape,
    /// The arguments of the shape.
    pub arguments: Vec<Slot>,
    /// The factors of its yield in the window.
    pub size: Vec<Slot>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Σw between rising edges, whose ends are the window.
    Binned {
        /// Bins + 1.
        edges: Vec<f64>,
        /// Σw of each bin.
        contents: Vec<f64>,
        /// Σw² of each bin, the contents themselves for events of weight one.
        variances: Vec<f64>,
    },
    /// Event by event.
    Events {
        /// Values in the window.
        x: Vec<f64>,
        /// Their weights.
        weights: Vec<f64>,
    },
}

impl Data {
    /// The median, half the width that holds the central 68%, and Σw.
    pub fn peak(&self, window: (f64, f64)) -> (f64, f64, f64) {
        let mut histogram = match self {
            Self::Binned { edges, .. } => Histogram::with_edges(edges.clone()),
            Self::Events { .. } => Histogram::uniform(100, window.0, window.1),
        };
        match self {
            Self::Binned { contents, .. } => histogram.contents.clone_from(contents),
            Self::Events { x, weights } => x.iter().zip(weights).for_each(|(x, w)| histogram.fill(*x, *w)),
        }
        let (mean, sigma) = histogram.peak();
        (mean, sigma, histogram.contents.iter().sum())
    }
}

/// A spectrum of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// What it is called.
    pub name: String,
    /// Lowest and highest value.
    pub window: (f64, f64),
    /// What it is made of.
    pub components: Vec<Component>,
    /// What was seen.
    pub data: Data,
}

/// The likelihood of all categories.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectra {
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// The categories.
    pub categories: Vec<Category>,
}

/// Bins of the window in which the information of events is summed up.
const FINE: usize = 200;

/// What an expectation is evaluated at: bins between edges, or points.
enum At<'a> {
    Bins(Cow<'a, [f64]>),
    Points(&'a [f64]),
}

impl At<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bins(edges) => edges.len() - 1,
            Self::Points(x) => x.len(),
        }
    }
}

impl Category {
    fn at(&self) -> At<'_> {
        match &self.data {
            Data::Binned { edges, .. } => At::Bins(edges.into()),
            Data::Events { x, .. } => At::Points(x),
        }
    }

    /// Bins in any case.
    fn bins(&self) -> At<'_> {
        match &self.data {
            Data::Binned { .. } => self.at(),
            Data::Events { .. } => At::Bins(Histogram::uniform(FINE, self.window.0, self.window.1).edges.into()),
        }
    }

    /// What is expected in each bin, or per unit at each event.
    pub fn expected(&self, theta: &[f64]) -> Vec<f64> {
        let at = self.at();
        let mut sum = vec![0.0; at.len()];
        for component in &self.components {
            let arguments: Vec<f64> = component.arguments.iter().map(|slot| slot.value(theta)).collect();
            let size = component.yields(theta).0;
            for (sum, f) in sum.iter_mut().zip(component.normalised(&at, self.window, &arguments)) {
                *sum += size * f;
            }
        }
        sum
    }

    /// What each component is expected to have between these edges.
    pub fn contributions(&self, theta: &[f64], edges: &[f64]) -> Vec<Vec<f64>> {
        let one = |component: &Component| {
            let arguments: Vec<f64> = component.arguments.iter().map(|slot| slot.value(theta)).collect();
            let shares = component.normalised(&At::Bins(edges.into()), self.window, &arguments);
            let size = component.yields(theta).0;
            shares.into_iter().map(|share| size * share).collect()
        };
        self.components.iter().map(one).collect()
    }

    /// The yield of each component and its normalised densities at `x`.
    pub fn densities(&self, theta: &[f64], x: &[f64]) -> Vec<(f64, Vec<f64>)> {
        let one = |component: &Component| {
            let arguments: Vec<f64> = component.arguments.iter().map(|slot| slot.value(theta)).collect();
            (component.yields(theta).0, component.normalised(&At::Points(x), self.window, &arguments))
        };
        self.components.iter().map(one).collect()
    }

    /// Standard deviations of what is expected between these edges, for a covariance of the parameters, to first order.
    pub fn spread(&self, theta: &[f64], covariance: &Matrix, edges: &[f64]) -> Vec<f64> {
        let (sum, used, slopes) = self.slopes(theta, &At::Bins(edges.into()));
        let covariance = covariance.part(&used);
        let rows = (0..sum.len()).map(|entry| &slopes[entry * used.len()..][..used.len()]);
        rows.map(|row| dot(row, &covariance.times(row)).max(0.0).sqrt()).collect()
    }

    /// What is expected at bins or points, with its derivatives in the parameters that it depends on: (their indices, [entry, parameter]).
    fn slopes(&self, theta: &[f64], at: &At<'_>) -> (Vec<f64>, Vec<usize>, Vec<f64>) {
        let of = |c: &Component| c.arguments.iter().chain(&c.size).copied().collect::<Vec<_>>();
        let mut used: Vec<usize> = self.components.iter().flat_map(of).filter_map(|slot| index(&slot)).collect();
        used.sort_unstable();
        used.dedup();
        let place = |i: usize| used.binary_search(&i).unwrap_or(0);
        let (mut sum, mut slopes) = (vec![0.0; at.len()], vec![0.0; at.len() * used.len()]);
        for component in &self.components {
            let arguments: Vec<Dual<MOST>> =
                component.arguments.iter().enumerate().map(|(k, slot)| Dual::variable(slot.value(theta), k)).collect();
            let free: Vec<(usize, usize)> =
                component.arguments.iter().enumerate().filter_map(|(k, slot)| Some((k, place(index(slot)?)))).collect();
            let (size, scales) = component.yields(theta);
            let scales: Vec<(usize, f64)> = scales.into_iter().map(|(i, scale)| (place(i), scale)).collect();
            for (entry, f) in component.normalised(at, self.window, &arguments).into_iter().enumerate() {
                sum[entry] += size * f.value;
                let row = &mut slopes[entry * used.len()..][..used.len()];
                for &(k, i) in &free {
                    row[i] += size * f.slopes[k];
                }
                for &(i, scale) in &scales {
                    row[i] += scale * f.value;
                }
            }
        }
        (sum, used, slopes)
    }
}

fn index(slot: &Slot) -> Option<usize> {
    match slot {
        Slot::Free(i) => Some(*i),
        Slot::Fixed(_) => None,
    }
}

impl Component {
    /// The parameters of its shape and its yield.
    pub(super) fn parameters(&self) -> impl Iterator<Item = usize> {
        self.arguments.iter().chain(&self.size).filter_map(index)
    }

    /// The parameters that are factors of its yield.
    pub(super) fn factors(&self) -> impl Iterator<Item = usize> {
        self.size.iter().filter_map(index)
    }

    /// The yield and its derivatives.
    fn yields(&self, theta: &[f64]) -> (f64, Vec<(usize, f64)>) {
        let factors: Vec<f64> = self.size.iter().map(|slot| slot.value(theta)).collect();
        // The derivative of a product, without dividing by a factor that may be zero.
        let others = |k: usize| factors.iter().enumerate().filter(|(l, _)| *l != k).map(|(_, f)| f).product();
        let slopes = self.size.iter().enumerate().filter_map(|(k, slot)| Some((index(slot)?, others(k))));
        (factors.iter().product(), slopes.collect())
    }

    /// Integrals over the bins, or densities at the points, of the shape that is normalised in the window.
    fn normalised<T: Number>(&self, at: &At<'_>, window: (f64, f64), arguments: &[T]) -> Vec<T> {
        match at {
            At::Bins(edges) => self.shape.shares(edges, arguments),
            At::Points(x) => {
                let norm = T::of(1.0) / self.shape.integral(window.0, window.1, window, arguments);
                x.iter().map(|x| self.shape.density(*x, window, arguments) * norm).collect()
            }
        }
    }
}

/// Where −2 ln L of spectra is lowest.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The parameters.
    pub theta: Vec<f64>,
    /// −2 ln L there.
    pub twice_nll: f64,
    /// Their errors, from the covariance; NaN without one.
    pub errors: Vec<f64>,
    /// Twice the inverse V of the second derivatives of −2 ln L, if they are positive definite; with weights, V C V.
    pub covariance: Option<Matrix>,
}

impl Spectra {
    /// Where the parameters start.
    pub fn start(&self) -> Vec<f64> {
        self.parameters.iter().map(|p| p.start).collect()
    }

    /// Where the parameters are held.
    pub fn bounds(&self) -> Vec<(f64, f64)> {
        self.parameters.iter().map(|p| p.bounds).collect()
    }

    /// The lowest −2 ln L from `start`, in these bounds.
    ///
    /// # Errors
    /// [`Error::Fit`] if none is found.
    pub fn minimum(&self, start: &[f64], bounds: &[(f64, f64)]) -> Result<Minimum> {
        let minimum = minimise(self, start, bounds);
        let reason = match minimum.status {
            Status::Converged => return Ok(minimum),
            Status::Stuck if !minimum.value.is_finite() => "nothing is expected where events were seen",
            Status::Stuck => "no step lowers -2 ln L though its gradient says that one should",
            Status::StepLimit => "the number of steps that are allowed was used up",
        };
        Err(Error::Fit { reason: reason.to_owned() })
    }

    /// The best values from `start`, with their errors. Parameters whose bounds coincide have the error 0.
    ///
    /// # Errors
    /// As [`Self::minimum`].
    pub fn fit(&self, start: &[f64], bounds: &[(f64, f64)]) -> Result<Estimate> {
        let minimum = self.minimum(start, bounds)?;
        let free: Vec<usize> = (0..start.len()).filter(|&i| bounds[i].0 < bounds[i].1).collect();
        let mut covariance = covariance(&hessian(self, &minimum.x, bounds, &free), &free, start.len());
        if self.weighted() {
            covariance = covariance.map(|covariance| self.sandwich(&minimum.x, &covariance));
        }
        let errors = errors(covariance.as_ref(), &free, start.len());
        Ok(Estimate { theta: minimum.x, twice_nll: minimum.value, errors, covariance })
    }

    /// The interval of the profile likelihood of parameter `i`: −2 ln L rises by `rise` at its ends.
    ///
    /// # Errors
    /// As [`end`]; [`Error::Fit`] if a conditional fit fails.
    pub fn interval(&self, estimate: &Estimate, i: usize, rise: f64) -> Result<[End; 2]> {
        let bounds = self.bounds();
        let one = |bound: f64, error: f64| {
            let mut theta = estimate.theta.clone();
            let mut conditional = |x: f64| {
                let mut held = bounds.clone();
                held[i] = (x, x);
                theta[i] = x;
                let minimum = self.minimum(&theta, &held)?;
                theta = minimum.x;
                Ok(minimum.value)
            };
            end(&mut conditional, (estimate.theta[i], estimate.twice_nll), bound, error, rise)
        };
        Ok([one(bounds[i].0, -estimate.errors[i])?, one(bounds[i].1, estimate.errors[i])?])
    }

    /// Σ w (∂λ/∂θ)(∂λ/∂θ)ᵀ with w from the data and λ, and `constrained`/σ² of each constrained parameter.
    fn information(
        &self,
        theta: &[f64],
        constrained: f64,
        at: fn(&Category) -> At<'_>,
        weigh: &dyn Fn(&Data, &[f64]) -> Vec<f64>,
    ) -> Matrix {
        let mut matrix = Matrix::zeros(theta.len());
        for category in &self.categories {
            let (expected, used, slopes) = category.slopes(theta, &at(category));
            let weights = weigh(&category.data, &expected);
            let columns: Vec<Vec<f64>> =
                (0..used.len()).map(|k| slopes.iter().skip(k).step_by(used.len()).copied().collect()).collect();
            for (k, &i) in used.iter().enumerate() {
                let scaled: Vec<f64> = columns[k].iter().zip(&weights).map(|(s, w)| s * w).collect();
                for (l, &j) in used.iter().enumerate().take(k + 1) {
                    let element = dot(&scaled, &columns[l]);
                    matrix.row_mut(i)[j] += element;
                    if i != j {
                        matrix.row_mut(j)[i] += element;
                    }
                }
            }
        }
        for (i, parameter) in self.parameters.iter().enumerate() {
            if let Some((_, sigma)) = parameter.constraint {
                matrix.row_mut(i)[i] += constrained / (sigma * sigma);
            }
        }
        matrix
    }

    /// Whether events have other weights than one.
    pub fn weighted(&self) -> bool {
        self.categories.iter().any(|category| match &category.data {
            Data::Binned { contents, variances, .. } => contents != variances,
            Data::Events { weights, .. } => weights.iter().any(|w| *w != 1.0),
        })
    }

    /// V C V with the variance C of half the gradient of −2 ln L, Σ w² (∂ ln λ/∂θ)(∂ ln λ/∂θ)ᵀ: what the errors of
    /// weighted events are (arXiv:1911.01303).
    fn sandwich(&self, theta: &[f64], covariance: &Matrix) -> Matrix {
        let scatter = self.information(theta, 1.0, Category::at, &|data, expected| match data {
            Data::Binned { variances, .. } => variances.iter().zip(expected).map(|(v, m)| share(*v, m * m)).collect(),
            Data::Events { weights, .. } => weights.iter().zip(expected).map(|(w, m)| w * w / (m * m)).collect(),
        });
        let half: Vec<Vec<f64>> = (0..theta.len()).map(|i| scatter.times(covariance.row(i))).collect();
        let mut all = Matrix::zeros(theta.len());
        for (i, half) in half.iter().enumerate() {
            all.row_mut(i).copy_from_slice(&covariance.times(half));
        }
        all
    }
}

impl Objective for Spectra {
    fn value(&self, theta: &[f64]) -> f64 {
        let mut sum: f64 = self.parameters.iter().zip(theta).filter_map(|(p, x)| Some(pull(p, *x)?.powi(2))).sum();
        for category in &self.categories {
            let expected = category.expected(theta);
            match &category.data {
                Data::Binned { contents: seen, .. } => {
                    sum += seen.iter().zip(&expected).map(|(&n, &mean)| deviance(n, mean)).sum::<f64>();
                }
                Data::Events { weights, .. } => {
                    sum += 2.0 * category.components.iter().map(|c| c.yields(theta).0).sum::<f64>();
                    sum -= 2.0 * weights.iter().zip(&expected).map(|(w, mean)| w * mean.ln()).sum::<f64>();
                }
            }
        }
        if sum.is_nan() { f64::INFINITY } else { sum }
    }

    fn gradient(&self, theta: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; theta.len()];
        for category in &self.categories {
            let (expected, used, slopes) = category.slopes(theta, &category.at());
            let by_mean: Vec<f64> = match &category.data {
                Data::Binned { contents: seen, .. } => {
                    seen.iter().zip(&expected).map(|(n, mean)| 2.0 - 2.0 * share(*n, *mean)).collect()
                }
                Data::Events { weights, .. } => {
                    for (i, slope) in category.components.iter().flat_map(|c| c.yields(theta).1) {
                        gradient[i] += 2.0 * slope;
                    }
                    weights.iter().zip(&expected).map(|(w, mean)| -2.0 * w / mean).collect()
                }
            };
            for (by_mean, row) in by_mean.iter().zip(slopes.chunks_exact(used.len().max(1))) {
                used.iter().zip(row).for_each(|(&i, slope)| gradient[i] += by_mean * slope);
            }
        }
        for (gradient, (parameter, &x)) in gradient.iter_mut().zip(self.parameters.iter().zip(theta)) {
            if let (Some(pull), Some((_, sigma))) = (pull(parameter, x), parameter.constraint) {
                *gradient += 2.0 * pull / sigma;
            }
        }
        gradient
    }

    fn curvature(&self, theta: &[f64]) -> Matrix {
        // Fisher's information, which events far off the model cannot spoil.
        // Far off a peak nothing is expected, and nothing is learned.
        let weight = |mean: &f64| if *mean > 1e-100 { 2.0 / mean } else { 0.0 };
        self.information(theta, 2.0, Category::bins, &|_, expected| expected.iter().map(weight).collect())
    }
}

fn pull(parameter: &Parameter, x: f64) -> Option<f64> {
    parameter.constraint.map(|(mean, sigma)| (x - mean) / sigma)
}

/// n/λ; zero where nothing was seen, also where nothing is expected.
fn share(seen: f64, mean: f64) -> f64 {
    if seen == 0.0 { 0.0 } else { seen / mean }
}
