//! A forward-backward asymmetry in regions: counted, fitted, and predicted event by event by regressions that are trained
//! on the asymmetry of the region an event is in (EPJ Web Conf. 214 (2019) 06022).

use fb_core::{Input, Sample, Value, Workers};
use fb_physics::expression::flat;
use fb_statistics::asymmetry::{counted, distance, fitted};
use fb_statistics::{Bootstrap, regression::median};
use serde::{Deserialize, Serialize};

use crate::classes::Columns;
use crate::failure::{Failure, Result};
use crate::read::Split;

/// The `[asymmetry]` of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The cosine whose sign tells forward from backward.
    pub cosine: String,
    /// The region of an event: each value of this expression is one.
    pub region: String,
    /// The cosine whose asymmetry, counted over all events, counts as the true one; by default `cosine`.
    #[serde(default)]
    pub truth: Option<String>,
}

impl Options {
    /// Its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &String> {
        [&self.cosine, &self.region].into_iter().chain(&self.truth)
    }

    /// The same, as what a method would see.
    pub fn input(&self) -> Input {
        Input::Columns { variables: self.expressions().cloned().collect(), missing: Vec::new() }
    }
}

/// What was found; in `results.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Asymmetry {
    /// By rising value.
    pub regions: Vec<Region>,
    /// Counting and fit of the test events, then the methods.
    pub estimators: Vec<Estimator>,
}

/// Events in which an asymmetry is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Region {
    /// The value of `region`.
    pub region: f64,
    /// Test events.
    pub events: usize,
    /// The true asymmetry, with its statistical error.
    #[serde(rename = "true")]
    pub truth: Value,
    /// The asymmetry that was counted in the training part: the target of its events.
    pub training: Value,
}

/// One way to say the asymmetry of each region from the test events.
#[derive(Debug, Clone, Serialize)]
pub struct Estimator {
    /// `counting`, `fit` or the label of a method.
    pub name: String,
    /// The asymmetry of each region, for methods the median of what they say of its events. Errors of counting and fit are
    /// those of their formulas, those of medians are from the bootstrap.
    pub asymmetries: Vec<Value>,
    /// Root mean square over the regions of their difference from the true ones, with the error of the bootstrap.
    pub rmse: Value,
    /// The same less that of counting, with its paired error.
    pub less_counting: Value,
}

/// Most regions.
const MOST: usize = 64;

/// The regions of an experiment.
pub struct Regions {
    all: Vec<Region>,
    /// The place of each test event among them.
    test: Vec<usize>,
    /// The cosine of each test event.
    cosines: Vec<f64>,
}

impl Regions {
    /// Finds the regions and makes the asymmetry that is counted in the training part of a region the target of all its
    /// events, in all parts.
    ///
    /// # Errors
    /// Of expressions; [`Failure::Data`] for cosines beyond ±1, for too many regions and for one without training or test
    /// events.
    pub fn new(options: &Options, split: &mut Split) -> Result<Self> {
        let parts = [&split.train, &split.validation, &split.test];
        let of = |text: &str| parts.iter().map(|part| flat(text, &part.events)).collect::<fb_core::Result<Vec<_>>>();
        let (cosines, values) = (of(&options.cosine)?, of(&options.region)?);
        let truths = options.truth.as_ref().map_or_else(|| Ok(cosines.clone()), |text| of(text))?;
        for (what, all) in [("cosine", &cosines), ("truth", &truths)] {
            if let Some(found) = all.iter().flatten().find(|c| c.abs() > 1.0 + 1e-6) {
                return Err(Failure::Data(format!(
                    "`asymmetry.{what}`: found {found}, expected a number from -1 to 1"
                )));
            }
        }
        let mut known: Vec<f64> = values.concat();
        known.sort_by(f64::total_cmp);
        known.dedup();
        if known.len() > MOST {
            let text = format!("`asymmetry.region`: found {} values, expected at most {MOST}", known.len());
            return Err(Failure::Data(format!("{text}; give `floor(m / 50)` in place of m")));
        }
        let places: Vec<Vec<usize>> =
            values.iter().map(|part| part.iter().map(|x| known.partition_point(|k| k < x)).collect()).collect();
        // The asymmetry of these cosines in region r over some of the parts.
        let asymmetry = |cosines: &[Vec<f64>], r: usize, over: std::ops::Range<usize>| -> Result<Value> {
            let (mut c, mut w) = (Vec::new(), Vec::new());
            for part in over {
                for i in (0..places[part].len()).filter(|&i| places[part][i] == r) {
                    c.push(cosines[part][i]);
                    w.push(parts[part].weights[i]);
                }
            }
            let place = |e| Failure::Data(format!("`asymmetry`, region {}: {e}", known[r]));
            counted(&c, &w).map_err(place)
        };
        let region = |r: usize| -> Result<Region> {
            asymmetry(&cosines, r, 2..3)?;
            Ok(Region {
                region: known[r],
                events: places[2].iter().filter(|&&place| place == r).count(),
                truth: asymmetry(&truths, r, 0..3)?,
                training: asymmetry(&cosines, r, 0..1)?,
            })
        };
        let all = (0..known.len()).map(region).collect::<Result<Vec<_>>>()?;
        let [train, validation, test] = [0, 1, 2]
            .map(|part: usize| -> Vec<f64> { places[part].iter().map(|&place| all[place].training.central).collect() });
        (split.train.targets, split.validation.targets, split.test.targets) = (train, validation, test);
        let last = |mut parts: Vec<Vec<f64>>| parts.pop().unwrap_or_default();
        Ok(Self { all, test: places.into_iter().last().unwrap_or_default(), cosines: last(cosines) })
    }

    /// All ways to say the asymmetries, from the test events and what the first training of each method predicts of them.
    ///
    /// # Errors
    /// [`fb_core::Error::Empty`], if no replica of a bootstrap has events in all regions.
    pub fn measure(
        self,
        test: &Sample,
        predictions: &[(String, Columns)],
        (seed, replicas): (u64, usize),
        workers: &dyn Workers,
    ) -> Result<Asymmetry> {
        let members: Vec<Vec<usize>> =
            (0..self.all.len()).map(|r| (0..test.len()).filter(|&i| self.test[i] == r).collect()).collect();
        let take = |x: &[f64], r: usize| members[r].iter().map(|&i| x[i]).collect::<Vec<f64>>();
        let by_region = |x: &[f64]| (0..members.len()).map(|r| take(x, r)).collect::<Vec<_>>();
        let cosines = by_region(&self.cosines);
        let predicted: Vec<Vec<Vec<f64>>> = predictions.iter().map(|(_, columns)| by_region(&columns[0])).collect();
        let truths: Vec<f64> = self.all.iter().map(|region| region.truth.central).collect();
        // Estimator after estimator, the value of each region.
        let estimates = |weights: &[f64]| -> fb_core::Result<Vec<Vec<Value>>> {
            let weights = by_region(weights);
            let each = |of: &dyn Fn(usize) -> fb_core::Result<Value>| {
                (0..members.len()).map(of).collect::<fb_core::Result<Vec<_>>>()
            };
            let mut all: Vec<Vec<Value>> =
                vec![each(&|r| counted(&cosines[r], &weights[r]))?, each(&|r| fitted(&cosines[r], &weights[r]))?];
            for predicted in &predicted {
                all.push(each(&|r| Ok(Value::symmetric(median(&predicted[r], &weights[r]), 0.0)))?);
            }
            Ok(all)
        };
        let numbers = |all: &[Vec<Value>]| -> Vec<f64> {
            let distances = all.iter().flat_map(|values| {
                let centrals: Vec<f64> = values.iter().map(|v| v.central).collect();
                let rmse = distance(&centrals, &truths);
                centrals.into_iter().chain([rmse])
            });
            distances.collect()
        };
        let central = estimates(&test.weights)?;
        let replicas = Bootstrap::new(seed, replicas, &test.identity)
            .replicate(&test.weights, workers, &|weights| Ok(numbers(&estimates(weights)?)));
        if replicas.len() < 2 {
            let hint = "its regions have too few events".to_owned();
            return Err(fb_core::Error::Empty { what: "the bootstrap of the asymmetries".to_owned(), hint }.into());
        }
        let width = members.len() + 1;
        let found = numbers(&central);
        let error = |of: &dyn Fn(&[f64]) -> f64| deviation(replicas.iter().map(|replica| of(replica)));
        let names = ["counting", "fit"].into_iter().chain(predictions.iter().map(|(label, _)| label.as_str()));
        let estimator = |(e, name): (usize, &str)| {
            let rmse = |of: &[f64]| of[e * width + width - 1];
            let less = |of: &[f64]| rmse(of) - of[width - 1];
            let asymmetry = |(r, value): (usize, &Value)| {
                let formula = e < 2;
                if formula { *value } else { Value::symmetric(value.central, error(&|of| of[e * width + r])) }
            };
            Estimator {
                name: name.to_owned(),
                asymmetries: central[e].iter().enumerate().map(asymmetry).collect(),
                rmse: Value::symmetric(rmse(&found), error(&rmse)),
                less_counting: Value::symmetric(less(&found), error(&less)),
            }
        };
        Ok(Asymmetry { estimators: names.enumerate().map(estimator).collect(), regions: self.all })
    }
}

fn deviation(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = x.clone().count() as f64;
    let mean = x.clone().sum::<f64>() / n;
    (x.map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

impl Asymmetry {
    /// As it is printed for people.
    pub fn text(&self) -> String {
        let line = |e: &Estimator| format!("  {}: {} ({} less that of counting)\n", e.name, e.rmse, e.less_counting);
        let lines: Vec<String> = self.estimators.iter().map(line).collect();
        format!("asymmetries of {} regions, root mean square of the errors\n{}", self.regions.len(), lines.concat())
    }
}
