//! A peak over a smooth background in categories: shapes from simulation, expected sensitivity, pseudo-experiments.
//!
//! Each category has the signal of the simulation, times one strength μ for all, and a background whose yield and shape
//! are free in the fit. The expected significance is √q₀ of the Asimov data of μ = 1 (arXiv:1007.1727).

use fb_core::run::gather;
use fb_core::{Error, Philox, Result, Workers};

use crate::Histogram;
use crate::minimise::Objective as _;
use crate::spectrum::{Category, Component, Data, Parameter, Shape, Slot, Spectra};
use crate::toys::poisson;

/// The shapes of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resonance {
    /// Of the peak; `mean` and `sigma` are taken from the simulation of each category, what else it has is that of all
    /// events.
    pub signal: Shape,
    /// Of the background; its first parameter is taken from the simulation of each category, what else it has is that of
    /// all events, for few simulated events do not tell. In fits of data all are free.
    pub background: Shape,
}

/// The simulated mass spectra of a category.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated {
    /// Of signal.
    pub signal: Histogram,
    /// Of background, with the same edges.
    pub background: Histogram,
}

/// What is expected of a category.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Signal and background in the window; the background with one effective simulated event more, Σw + Σw²/Σw, which
    /// makes the mean of 1/b over fluctuations of the simulation right.
    pub yields: [f64; 2],
    /// Parameters of the signal's shape.
    pub signal: Vec<f64>,
    /// Parameters of the background's shape.
    pub background: Vec<f64>,
}

/// What pseudo-experiments say of the fit of μ.
#[derive(Debug, Clone, PartialEq)]
pub struct Toys {
    /// (μ̂ − 1)/σ of those that converged.
    pub pulls: Vec<f64>,
    /// Whether −2 ln L at μ = 1 is above its minimum by less than 1, and less than 3.841.
    pub covered: Vec<[bool; 2]>,
    /// How many did not converge.
    pub failed: usize,
}

/// The pull of a pseudo-experiment, and what covers its truth.
type Toy = (f64, [bool; 2]);

impl Resonance {
    /// Fits the shapes to the simulation of a category, with what a fit to all events has found to start from.
    ///
    /// # Errors
    /// [`Error::Empty`] without signal or background in the window; [`Error::Fit`].
    pub fn expect(&self, simulated: &Simulated, all: Option<&Expected>) -> Result<Expected> {
        let (signal, background) = (&simulated.signal, &simulated.background);
        let yields = [signal, background].map(|h| h.contents.iter().sum::<f64>());
        for (class, size) in ["signal", "background"].iter().zip(yields) {
            if size.is_nan() || size <= 0.0 {
                let hint = "the window or `min_background` leaves no events of positive weight".to_owned();
                return Err(Error::Empty { what: format!("the {class} of a category"), hint });
            }
        }
        let background_yield = yields[1] + background.variances.iter().sum::<f64>() / yields[1];
        let moved = all.map(|all| {
            let moves = |k: &str| ["mean", "sigma"].contains(&k);
            (all.signal.clone(), self.signal.parameters().iter().map(|k| moves(k)).collect::<Vec<_>>())
        });
        let smooth = all.map(|all| (all.background.clone(), (0..all.background.len()).map(|k| k == 0).collect()));
        Ok(Expected {
            yields: [yields[0], background_yield],
            signal: shape_of(self.signal, signal, moved)?,
            background: shape_of(self.background, background, smooth)?,
        })
    }

    /// The likelihood of all categories with the Asimov data of μ = 1: the parameters are μ, then yield and shape of the
    /// background of each category.
    pub fn model(&self, edges: &[f64], categories: &[Expected]) -> Spectra {
        let window = (edges[0], edges[edges.len() - 1]);
        let mut parameters =
            vec![Parameter { name: "mu".to_owned(), start: 1.0, bounds: (-1e3, 1e3), constraint: None }];
        let mut built = Vec::new();
        for (k, expected) in categories.iter().enumerate() {
            let [signal, background] = expected.yields;
            let mut add = |name: &str, start: f64, bounds: (f64, f64)| {
                parameters.push(Parameter { name: format!("{name}_{k}"), start, bounds, constraint: None });
                Slot::Free(parameters.len() - 1)
            };
            let size = add("background", background, (0.0, 100.0 * background + 1e3));
            let arguments = self.background.parameters().iter().zip(&expected.background).map(|(name, &x)| {
                let bounds = self.background.start(name, window, 0.0, 0.0).1;
                add(name, x, bounds)
            });
            let background = Component { shape: self.background, arguments: arguments.collect(), size: vec![size] };
            let signal = Component {
                shape: self.signal,
                arguments: expected.signal.iter().map(|&x| Slot::Fixed(x)).collect(),
                size: vec![Slot::Free(0), Slot::Fixed(signal)],
            };
            let data = binned(edges, vec![0.0; edges.len() - 1]);
            built.push(Category { name: k.to_string(), window, components: vec![signal, background], data });
        }
        let mut spectra = Spectra { parameters, categories: built };
        let start = spectra.start();
        for category in &mut spectra.categories {
            category.data = binned(edges, category.expected(&start));
        }
        spectra
    }

    /// Signal and background that are expected, bin by bin.
    pub fn spectra(&self, edges: &[f64], expected: &Expected) -> [Vec<f64>; 2] {
        let of = |shape: Shape, p: &[f64], size: f64| -> Vec<f64> {
            shape.shares(edges, p).into_iter().map(|share| size * share).collect()
        };
        let [signal, background] = expected.yields;
        [of(self.signal, &expected.signal, signal), of(self.background, &expected.background, background)]
    }

    /// The expected significance of each category, √q₀.
    ///
    /// # Errors
    /// [`Error::Fit`].
    pub fn significances(&self, edges: &[f64], categories: &[Expected]) -> Result<Vec<f64>> {
        let of = |expected: &Expected| {
            let spectra = self.model(edges, std::slice::from_ref(expected));
            let (mut start, mut bounds) = (spectra.start(), spectra.bounds());
            (start[0], bounds[0]) = (0.0, (0.0, 0.0));
            // At μ = 1 the Asimov data are met, and −2 ln L is zero.
            Ok(spectra.minimum(&start, &bounds)?.value.max(0.0).sqrt())
        };
        categories.iter().map(of).collect()
    }

    /// The expected standard deviation of μ̂, from Fisher's information at μ = 1.
    ///
    /// # Errors
    /// [`Error::Fit`] if the information is not positive definite.
    pub fn error(&self, edges: &[f64], categories: &[Expected]) -> Result<f64> {
        let spectra = self.model(edges, categories);
        let factor = spectra.curvature(&spectra.start()).cholesky().ok_or_else(|| Error::Fit {
            reason: "the information on the signal strength is not positive definite".to_owned(),
        })?;
        Ok((2.0 * factor.inverse().row(0)[0]).sqrt())
    }

    /// Fits `toys` pseudo-experiments with μ = 1.
    pub fn toys(&self, edges: &[f64], categories: &[Expected], toys: usize, seed: u64, workers: &dyn Workers) -> Toys {
        let asimov = self.model(edges, categories);
        let (start, bounds) = (asimov.start(), asimov.bounds());
        let mut held = bounds.clone();
        held[0] = (1.0, 1.0);
        let one = |toy: usize| -> Result<Toy> {
            let mut random = Philox::new(seed, 0x746f_7973, toy as u64);
            let mut seen = asimov.clone();
            for category in &mut seen.categories {
                let counts = category.expected(&start).into_iter().map(|mean| poisson(&mut random, mean));
                category.data = binned(edges, counts.collect());
            }
            let best = seen.fit(&start, &bounds)?;
            let risen = seen.minimum(&start, &held)?.value - best.twice_nll;
            Ok(((best.theta[0] - 1.0) / best.errors[0], [risen <= 1.0, risen <= 3.841_459]))
        };
        let found = gather(workers, toys, &|toy| one(toy).ok()).into_iter().flatten();
        let (pulls, covered): (Vec<f64>, Vec<[bool; 2]>) = found.filter(|(pull, _)| pull.is_finite()).unzip();
        Toys { failed: toys - pulls.len(), pulls, covered }
    }
}

/// Counts of events of weight one.
fn binned(edges: &[f64], contents: Vec<f64>) -> Data {
    Data::Binned { edges: edges.to_vec(), variances: contents.clone(), contents }
}

/// The parameters of a shape that is fitted to a weighted spectrum: from those that are given, where only some move, or
/// from the peak of the spectrum.
fn shape_of(shape: Shape, spectrum: &Histogram, from: Option<(Vec<f64>, Vec<bool>)>) -> Result<Vec<f64>> {
    let edges = &spectrum.edges;
    let window = (edges[0], edges[edges.len() - 1]);
    let sum: f64 = spectrum.contents.iter().sum();
    // In effective events, so that the fit knows what it can tell apart.
    let scale = sum / spectrum.variances.iter().sum::<f64>();
    let counts: Vec<f64> = spectrum.contents.iter().map(|c| c * scale).collect();
    let (mean, sigma) = spectrum.peak();
    let (start, free) = from.unwrap_or_else(|| {
        let start = shape.parameters().iter().map(|name| shape.start(name, window, mean, sigma).0).collect();
        (start, vec![true; shape.parameters().len()])
    });
    let effective = sum * scale;
    let mut parameters = vec![Parameter {
        name: "yield".to_owned(),
        start: effective,
        bounds: (0.0, 1e3 * effective),
        constraint: None,
    }];
    for ((name, &x), &free) in shape.parameters().iter().zip(&start).zip(&free) {
        let bounds = if free { shape.start(name, window, mean, sigma).1 } else { (x, x) };
        parameters.push(Parameter { name: (*name).to_owned(), start: x, bounds, constraint: None });
    }
    let arguments = (1..parameters.len()).map(Slot::Free).collect();
    let component = Component { shape, arguments, size: vec![Slot::Free(0)] };
    let data = binned(edges, counts);
    let category = Category { name: String::new(), window, components: vec![component], data };
    let spectra = Spectra { parameters, categories: vec![category] };
    let minimum = spectra.minimum(&spectra.start(), &spectra.bounds())?;
    Ok(minimum.x[1..].to_vec())
}

#[cfg(test)]
mod tests {
    use fb_core::run::Alone;

    use super::*;

    const SEARCH: Resonance = Resonance { signal: Shape::DoubleCrystalBall, background: Shape::Exponential };

    /// The spectra of a model without fluctuations.
    fn simulated(signal: f64, background: f64, sigma: f64) -> Simulated {
        let mut histograms = [Histogram::uniform(80, 110.0, 150.0), Histogram::uniform(80, 110.0, 150.0)];
        let shapes = [
            (Shape::DoubleCrystalBall, vec![124.8, sigma, 1.4, 4.0, 1.8, 6.0], signal),
            (Shape::Exponential, vec![0.04], background),
        ];
        for (histogram, (shape, p, size)) in histograms.iter_mut().zip(shapes) {
            let window = (110.0, 150.0);
            let norm = shape.integral(window.0, window.1, window, &p);
            for b in 0..80 {
                let (low, high) = (histogram.edges[b], histogram.edges[b + 1]);
                histogram.contents[b] = size * shape.integral(low, high, window, &p) / norm;
                // As if of weights 0.01 and 1.
                histogram.variances[b] = histogram.contents[b] * if size == signal { 0.01 } else { 1.0 };
            }
        }
        let [signal, background] = histograms;
        Simulated { signal, background }
    }

    #[test]
    fn shapes_are_found_again() {
        let expected = SEARCH.expect(&simulated(100.0, 20_000.0, 1.5), None).unwrap();
        let truth = [124.8, 1.5, 1.4, 4.0, 1.8, 6.0];
        assert!(expected.signal.iter().zip(truth).all(|(x, t)| (x - t).abs() < 1e-3 * t), "{expected:?}");
        assert!((expected.background[0] - 0.04).abs() < 1e-6 && (expected.yields[0] - 100.0).abs() < 1e-9);
        let narrower = SEARCH.expect(&simulated(10.0, 500.0, 1.2), Some(&expected)).unwrap();
        assert!((narrower.signal[1] - 1.2).abs() < 1e-3 && narrower.signal[2..] == expected.signal[2..]);
    }

    #[test]
    fn significance_is_that_of_counting_and_adds_in_squares() {
        let all = SEARCH.expect(&simulated(50.0, 20_000.0, 1.5), None).unwrap();
        let edges = Histogram::uniform(80, 110.0, 150.0).edges;
        let z = SEARCH.significances(&edges, std::slice::from_ref(&all)).unwrap()[0];
        // With a known background, √Σ s²/b; its freedom costs some of it.
        let known: f64 = {
            let s = simulated(50.0, 20_000.0, 1.5);
            s.signal.contents.iter().zip(&s.background.contents).map(|(s, b)| s * s / b).sum::<f64>().sqrt()
        };
        assert!(z < known && z > 0.8 * known, "{z} {known}");
        let error = SEARCH.error(&edges, &[all.clone(), all.clone()]).unwrap();
        assert!((error * z * 2.0_f64.sqrt() - 1.0).abs() < 0.02, "{error} {z}");
    }

    #[test]
    fn pseudo_experiments_are_unbiased_and_cover() {
        let all = SEARCH.expect(&simulated(80.0, 5_000.0, 1.5), None).unwrap();
        let other = SEARCH.expect(&simulated(30.0, 300.0, 1.3), Some(&all)).unwrap();
        let edges = Histogram::uniform(40, 110.0, 150.0).edges;
        let toys = SEARCH.toys(&edges, &[all, other], 300, 5, &Alone);
        assert_eq!(toys.failed, 0);
        let n = toys.pulls.len() as f64;
        let mean = toys.pulls.iter().sum::<f64>() / n;
        let width = (toys.pulls.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 3.0 / n.sqrt() && (width - 1.0).abs() < 3.0 / (2.0 * n).sqrt(), "{mean} {width}");
        for (k, share) in [0.6827, 0.95].iter().enumerate() {
            let covered = toys.covered.iter().filter(|c| c[k]).count() as f64 / n;
            assert!((covered - share).abs() < 3.0 * (share * (1.0 - share) / n).sqrt(), "{covered}");
        }
    }
}
