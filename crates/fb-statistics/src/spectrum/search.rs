//! The search for a peak at an unknown place: local significances along a scan of its mean, and the global one.
//!
//! Source: E. Gross and O. Vitells, arXiv:1005.1891.

use fb_core::run::gather;
use fb_core::{Error, Philox, Result, Value, Workers};

use super::model::{Component, Spectra};
use crate::goodness::share;
use crate::special::normal_cdf;
use crate::toys::experiments;

/// A scan with what it says of all places together.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// In the order of the places.
    pub points: Vec<Local>,
    /// The index of the largest q₀.
    pub best: usize,
    /// Mean number of times that q₀ rises above [`LEVEL`] without a peak: of the pseudo-experiments; without them, of the
    /// data, with √max(N, 1) as its error.
    pub upcrossings: Value,
    /// P(χ²₁ > q)/2 + N e^((LEVEL − q)/2) at the largest q₀ (eq. 3 of the paper), at most 1.
    pub global: Value,
    /// The share of pseudo-experiments without a peak whose largest q₀ is larger.
    pub toys: Option<(Value, usize)>,
}

/// A place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// Where the mean is held.
    pub mean: f64,
    /// The best yield, which is not negative.
    pub size: f64,
    /// −2 ln [L(yield 0)/L(best yield)].
    pub q0: f64,
}

impl Local {
    /// √q₀.
    pub fn significance(&self) -> f64 {
        self.q0.sqrt()
    }

    /// 1 − Φ(√q₀).
    pub fn p(&self) -> f64 {
        normal_cdf(-self.significance())
    }
}

/// The level at which upward crossings of q₀ are counted.
pub const LEVEL: f64 = 0.5;

/// What is held where.
struct Peak<'a> {
    means: &'a [f64],
    mean: usize,
    size: usize,
    /// Parameters of the peak alone.
    own: Vec<usize>,
}

impl Spectra {
    /// Scans the parameter `mean` over rising `means`. The peak is the component that it belongs to; its other parameters
    /// are free, if they are not fixed. `toys` pseudo-experiments without it are made from a seed.
    ///
    /// # Errors
    /// [`Error::Config`] if `mean` is no parameter of exactly one component with one yield of its own, if there is no
    /// other component, or for weighted events; [`Error::Fit`] if fits of the data fail, or more than a tenth of those of
    /// pseudo-experiments.
    pub fn search(
        &self,
        mean: &str,
        means: &[f64],
        toys: Option<(usize, u64)>,
        workers: &dyn Workers,
    ) -> Result<Search> {
        let peak = self.peak_of(mean, means)?;
        let background = self.without(&peak, &self.start())?;
        let points = gather(workers, means.len(), &|k| self.local(&peak, &background, k));
        let points = points.into_iter().collect::<Result<Vec<_>>>()?;
        let largest = |points: &[Local]| points.iter().map(|p| p.q0).fold(0.0, f64::max);
        let highest = largest(&points);
        let best = points.iter().position(|p| p.q0 == highest).unwrap_or(0);
        let seen = crossings(&points);
        let mut upcrossings = Value::symmetric(seen, seen.max(1.0).sqrt());
        let mut shared = None;
        if let Some((toys, seed)) = toys {
            let one = |toy: usize| -> Option<(f64, f64)> {
                let drawn = self.drawn(&background.0, &mut Philox::new(seed, 9, toy as u64));
                let background = drawn.without(&peak, &background.0).ok()?;
                let all = (0..means.len()).map(|k| drawn.local(&peak, &background, k));
                let points = all.collect::<Result<Vec<_>>>().ok()?;
                Some((largest(&points), crossings(&points)))
            };
            let (found, failed) = experiments(toys, workers, &one)?;
            let n = found.len() as f64;
            let mean = found.iter().map(|f| f.1).sum::<f64>() / n;
            let variance = found.iter().map(|f| (f.1 - mean).powi(2)).sum::<f64>() / n;
            upcrossings = Value::symmetric(mean, (variance / n).sqrt().max(1.0 / n));
            shared = Some((share(found.iter().filter(|f| f.0 >= highest).count(), found.len()), failed));
        }
        let factor = ((LEVEL - highest) / 2.0).exp();
        let global = (points[best].p() + upcrossings.central * factor).min(1.0);
        let global = Value::symmetric(global, upcrossings.error() * factor);
        Ok(Search { points, best, upcrossings, global, toys: shared })
    }

    fn peak_of<'a>(&self, name: &str, means: &'a [f64]) -> Result<Peak<'a>> {
        let wrong = |reason: String| Error::Config { place: format!("scan of `{name}`"), reason };
        if self.weighted() {
            return Err(wrong("found weights, expected events of weight one".to_owned()));
        }
        let names = || self.parameters.iter().map(|p| p.name.as_str());
        let mean = names().position(|n| n == name).ok_or_else(|| Error::UnknownName {
            what: "parameter",
            name: name.to_owned(),
            closest: fb_core::closest(name, names()),
        })?;
        if means.is_empty() || !means.is_sorted_by(|a, b| a < b) || means.iter().any(|m| !m.is_finite()) {
            return Err(wrong("expected rising numbers".to_owned()));
        }
        let count = self.categories.iter().map(|c| c.components.len()).max().unwrap_or(0);
        let has = |k: usize, i: usize| {
            self.categories.iter().any(|c| c.components.get(k).is_some_and(|c| c.parameters().any(|p| p == i)))
        };
        let owners: Vec<usize> = (0..count).filter(|&k| has(k, mean)).collect();
        let [peak] = owners[..] else {
            return Err(wrong(format!("it belongs to {} components, expected one", owners.len())));
        };
        if count < 2 {
            return Err(wrong("there is no component besides the peak".to_owned()));
        }
        let mut sizes: Vec<usize> =
            self.categories.iter().filter_map(|c| c.components.get(peak)).flat_map(Component::factors).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let own: Vec<usize> =
            (0..self.parameters.len()).filter(|&i| (0..count).all(|k| has(k, i) == (k == peak))).collect();
        match sizes[..] {
            [size]
                if own.contains(&size)
                    && size != mean
                    && self.parameters[size].bounds.0 < self.parameters[size].bounds.1 =>
            {
                Ok(Peak { means, mean, size, own })
            }
            _ => {
                let hint = "expected one free yield of its own: with categories, `yield = { separate = false }`";
                Err(wrong(format!("the peak has {} yields, {hint}", sizes.len())))
            }
        }
    }

    /// The best parameters without the peak, and −2 ln L.
    fn without(&self, peak: &Peak<'_>, start: &[f64]) -> Result<(Vec<f64>, f64)> {
        let (mut start, mut bounds) = (start.to_vec(), self.bounds());
        start[peak.size] = 0.0;
        for &i in &peak.own {
            bounds[i] = (start[i], start[i]);
        }
        let found = self.minimum(&start, &bounds)?;
        Ok((found.x, found.value))
    }

    /// The test of the `k`-th place.
    fn local(&self, peak: &Peak<'_>, (background, without): &(Vec<f64>, f64), k: usize) -> Result<Local> {
        let mean = peak.means[k];
        let (mut start, mut bounds) = (background.clone(), self.bounds());
        (start[peak.mean], bounds[peak.mean]) = (mean, (mean, mean));
        bounds[peak.size].0 = 0.0;
        // At a yield of zero nothing depends on the other parameters of the peak.
        let sum: f64 = self.categories.iter().map(|c| c.data.peak(c.window).2).sum();
        start[peak.size] = (0.01 * sum).clamp(0.0, bounds[peak.size].1);
        let found = self.minimum(&start, &bounds)?;
        let q0 = (without - found.value).max(0.0);
        Ok(Local { mean, size: found.x[peak.size], q0 })
    }
}

/// How often q₀ rises above the level.
fn crossings(points: &[Local]) -> f64 {
    points.windows(2).filter(|p| p[0].q0 <= LEVEL && p[1].q0 > LEVEL).count() as f64
}
