//! What a fit has found, to be printed and to be drawn.

use std::fmt::Write as _;

use fb_statistics::goodness::Goodness;
use fb_statistics::matrix::Matrix;
use serde_json::{Map, Value, json};

/// A fit.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// −2 ln L at the best values.
    pub twice_nll: f64,
    /// Of the parameters; nothing if the second derivatives are not positive definite.
    pub covariance: Option<Matrix>,
    /// Largest first; where they are asked for.
    pub impacts: Option<Vec<Impact>>,
    /// Where it is asked for.
    pub goodness: Option<Goodness>,
    /// What a report shows.
    pub drawn: Option<Drawn>,
}

/// A parameter with its error and its interval.
#[derive(Debug)]
pub struct Parameter {
    /// What it is called.
    pub name: String,
    /// The best value.
    pub value: f64,
    /// From the second derivatives; NaN if there is none.
    pub error: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// `profile`, `curvature` or `fixed`: where the ends come from.
    pub kind: &'static str,
}

/// As [`fb_statistics::histfactory::Impact`], with the name of the parameter.
#[derive(Debug)]
pub struct Impact {
    /// The parameter.
    pub name: String,
    /// Its pull, constraint and impacts.
    pub of: fb_statistics::histfactory::Impact,
}

/// What is drawn of a fit.
#[derive(Debug)]
pub struct Drawn {
    /// The parameter of interest.
    pub interest: Option<String>,
    /// Profiles of −2 ln L.
    pub scans: Vec<Profile>,
    /// Data and model.
    pub channels: Vec<Channel>,
}

/// A profile of −2 ln L.
#[derive(Debug)]
pub struct Profile {
    /// The parameter.
    pub name: String,
    /// (its value, rise of −2 ln L).
    pub points: Vec<(f64, f64)>,
}

/// What was seen in bins, and what is expected there.
#[derive(Debug)]
pub struct Channel {
    /// What it is called.
    pub name: String,
    /// What the bins are in.
    pub axis: String,
    /// Bins + 1.
    pub edges: Vec<f64>,
    /// What was seen.
    pub seen: Vec<f64>,
    /// Its variance, the same for counts.
    pub variances: Vec<f64>,
    /// At the starting values.
    pub before: Expected,
    /// At the best values.
    pub after: Expected,
}

/// What is expected in bins.
#[derive(Debug)]
pub struct Expected {
    /// (name, yields) of each sample or component.
    pub parts: Vec<(String, Vec<f64>)>,
    /// Standard deviation of the sum, from the covariance of the parameters.
    pub errors: Vec<f64>,
}

impl Expected {
    /// The sum of the parts.
    pub fn sum(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.errors.len()];
        for (_, part) in &self.parts {
            sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        sum
    }
}

impl Outcome {
    /// As `--json` prints it.
    pub fn json(&self) -> Value {
        let parameter = |p: &Parameter| {
            let found = json!({"value": p.value, "error": p.error, "low": p.low, "high": p.high, "interval": p.kind});
            (p.name.clone(), found)
        };
        let parameters: Map<String, Value> = self.parameters.iter().map(parameter).collect();
        let mut found = json!({
            "parameters": parameters,
            "twice_nll": self.twice_nll,
            "status": "converged",
            "covariance_ok": self.covariance.is_some(),
        });
        if let Some(impacts) = &self.impacts {
            let one = |Impact { name, of }: &Impact| {
                let [up, down] = of.before.map_or([None; 2], |before| before.map(Some));
                json!({"name": name, "pull": of.pull, "constraint": of.constraint, "up": of.up, "down": of.down,
                    "up_before": up, "down_before": down})
            };
            found["impacts"] = impacts.iter().map(one).collect();
        }
        if let Some(goodness) = &self.goodness {
            let mut test = json!({"statistic": goodness.statistic});
            if let Some((degrees, p)) = goodness.asymptotic {
                test["degrees_of_freedom"] = degrees.into();
                test["p"] = json!(p);
            }
            if let Some(toys) = goodness.toys {
                test["toys"] = json!({"p": toys.p, "failed": toys.failed});
            }
            found["goodness"] = test;
        }
        found
    }

    /// As it is printed for people.
    pub fn text(&self) -> String {
        let width = self.parameters.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
        let line = |p: &Parameter| {
            let interval = if p.kind == "profile" { format!("  [{:.5}, {:.5}]", p.low, p.high) } else { String::new() };
            format!("{:width$}  {:>11.5} ± {:.5}{interval}\n", p.name, p.value, p.error)
        };
        let mut lines: Vec<String> = self.parameters.iter().map(line).collect();
        lines.push(format!("\n-2 ln L = {:.6}, converged\n", self.twice_nll));
        if self.covariance.is_none() {
            lines.push("no errors: the second derivatives at the minimum are not positive definite\n".to_owned());
        }
        if let Some(impacts) = &self.impacts {
            lines.push(format!("\n{:width$}  {:>9} {:>10} {:>11} {:>11}\n", "", "pull", "constraint", "up", "down"));
            let known = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
            lines.extend(impacts.iter().map(|Impact { name, of }| {
                let (pull, constraint) = (known(of.pull), known(of.constraint));
                format!("{name:width$}  {pull:>9} {constraint:>10} {:>11.5} {:>11.5}\n", of.up, of.down)
            }));
        }
        if let Some(goodness) = &self.goodness {
            lines.push(format!("\n{}\n", verdict(goodness)));
        }
        lines.concat()
    }
}

/// A goodness of fit in words.
pub fn verdict(goodness: &Goodness) -> String {
    let mut text = format!("goodness of fit {:.4}", goodness.statistic);
    if let Some((degrees, p)) = goodness.asymptotic {
        let _ = write!(text, " for {degrees} degrees of freedom, p = {p:.4}");
    }
    if let Some(toys) = goodness.toys {
        let _ = write!(text, ", p = {} with pseudo-experiments ({} fits failed)", toys.p, toys.failed);
    }
    text
}
