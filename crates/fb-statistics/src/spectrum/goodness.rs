//! Pseudo-experiments of spectra, their goodness of fit and profiles.

use fb_core::{Error, Philox, Result, Workers};

use super::model::{Category, Data, Estimate, Spectra};
use crate::goodness::Goodness;
use crate::profile;
use crate::toys::poisson;

/// Bins in which a spectrum is integrated to draw events from it.
const FINE: usize = 5000;

impl Spectra {
    /// (x, rise of −2 ln L) at `points` places of parameter `i` within three errors of its best value and its bounds,
    /// lowest in all other parameters; places without a fit are left out.
    pub fn scan(&self, best: &Estimate, i: usize, points: usize, workers: &dyn Workers) -> Vec<(f64, f64)> {
        let bounds = self.bounds();
        profile::scan((best.theta[i], best.errors[i]), bounds[i], points, workers, &|x| {
            let (mut start, mut held) = (best.theta.clone(), bounds.clone());
            (start[i], held[i]) = (x, (x, x));
            Some(self.minimum(&start, &held).ok()?.value - best.twice_nll)
        })
    }

    /// How well the spectra describe what was seen. In bins, the likelihood ratio to the saturated model, with the bins
    /// less the free parameters without constraint as degrees of freedom; event by event, the largest √n D of Kolmogorov and
    /// Smirnov over the categories, which has a law only by pseudo-experiments, as parameters are fitted. `toys` are their
    /// number and seed.
    ///
    /// # Errors
    /// [`Error::Config`] for weighted events, and event by event without pseudo-experiments; as
    /// [`Goodness::with_toys`].
    pub fn goodness(&self, best: &Estimate, toys: Option<(usize, u64)>, workers: &dyn Workers) -> Result<Goodness> {
        let wrong = |reason: &str| Error::Config { place: "goodness of fit".to_owned(), reason: reason.to_owned() };
        if self.weighted() {
            return Err(wrong(
                "found weights, expected events of weight one: sums of weights follow no law of Poisson",
            ));
        }
        let binned = self.categories.iter().all(|c| matches!(c.data, Data::Binned { .. }));
        let statistic = |spectra: &Self, theta: &[f64], twice_nll: f64| {
            if binned { twice_nll } else { spectra.categories.iter().map(|c| c.distance(theta)).fold(0.0, f64::max) }
        };
        let found = statistic(self, &best.theta, best.twice_nll);
        let found = if binned {
            let bins = self.categories.iter().map(|c| c.data.len()).sum::<usize>();
            let unknown = self.parameters.iter().filter(|p| p.bounds.0 < p.bounds.1 && p.constraint.is_none()).count();
            Goodness::chi2(found, bins.saturating_sub(unknown))
        } else if toys.is_none() {
            return Err(wrong("event by event it needs pseudo-experiments (--toys), or bins (`fit.bins`)"));
        } else {
            Goodness { statistic: found, asymptotic: None, toys: None }
        };
        let Some((toys, seed)) = toys else { return Ok(found) };
        found.with_toys(toys, workers, &|toy| {
            let toy = self.drawn(&best.theta, &mut Philox::new(seed, 8, toy));
            let fit = toy.minimum(&best.theta, &toy.bounds())?;
            Ok(statistic(&toy, &fit.x, fit.value))
        })
    }

    /// A pseudo-experiment at these parameters: counts, or events and their number, and what is known of parameters.
    #[must_use]
    pub fn drawn(&self, theta: &[f64], random: &mut Philox) -> Self {
        let mut drawn = self.clone();
        for (parameter, x) in drawn.parameters.iter_mut().zip(theta) {
            if let Some((mean, sigma)) = &mut parameter.constraint {
                *mean = x + *sigma * random.normal();
            }
        }
        for category in &mut drawn.categories {
            category.data = match &category.data {
                Data::Binned { edges, .. } => {
                    let counts: Vec<f64> = category.expected(theta).iter().map(|mean| poisson(random, *mean)).collect();
                    Data::Binned { edges: edges.clone(), variances: counts.clone(), contents: counts }
                }
                Data::Events { .. } => {
                    let (edges, sums) = category.cumulative(theta);
                    let all = sums[FINE];
                    let one = |random: &mut Philox| {
                        let level = random.uniform() * all;
                        let at = sums.partition_point(|s| *s <= level).clamp(1, FINE);
                        let part = (level - sums[at - 1]) / (sums[at] - sums[at - 1]);
                        edges[at - 1] + part * (edges[at] - edges[at - 1])
                    };
                    let x: Vec<f64> = (0..poisson(random, all) as usize).map(|_| one(random)).collect();
                    Data::Events { weights: vec![1.0; x.len()], x }
                }
            };
        }
        drawn
    }
}

impl Data {
    /// The number of bins or events.
    fn len(&self) -> usize {
        match self {
            Self::Binned { contents, .. } => contents.len(),
            Self::Events { x, .. } => x.len(),
        }
    }
}

impl Category {
    /// Edges of fine bins, and what is expected below each.
    fn cumulative(&self, theta: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (low, high) = self.window;
        let edges: Vec<f64> = (0..=FINE).map(|i| low + (high - low) * i as f64 / FINE as f64).collect();
        let mut sums = vec![0.0; FINE + 1];
        let parts = self.contributions(theta, &edges);
        for bin in 0..FINE {
            sums[bin + 1] = sums[bin] + parts.iter().map(|part| part[bin]).sum::<f64>().max(0.0);
        }
        (edges, sums)
    }

    /// √n times the largest distance between the shares of events and of the model below any value; 0 for bins.
    fn distance(&self, theta: &[f64]) -> f64 {
        let Data::Events { x, .. } = &self.data else { return 0.0 };
        let (_, sums) = self.cumulative(theta);
        let mut sorted = x.clone();
        sorted.sort_by(f64::total_cmp);
        let (n, (low, high)) = (x.len() as f64, self.window);
        let mut largest: f64 = 0.0;
        for (i, x) in sorted.iter().enumerate() {
            let at = ((x - low) / (high - low) * FINE as f64).clamp(0.0, FINE as f64);
            let bin = (at as usize).min(FINE - 1);
            let share = (sums[bin] + (at - bin as f64) * (sums[bin + 1] - sums[bin])) / sums[FINE];
            largest = largest.max(share - i as f64 / n).max((i + 1) as f64 / n - share);
        }
        largest * n.sqrt()
    }
}
