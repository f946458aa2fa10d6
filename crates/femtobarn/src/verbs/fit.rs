//! `fb fit`.

use std::path::{Path, PathBuf};

use fb_statistics::histfactory::{Likelihood, Model, Workspace, best_fit, patched, profile_interval};
use serde_json::{Map, Value, json};

use super::spectrum;
use crate::failure::{Failure, Result};

/// Fit a HistFactory model in a JSON workspace of pyhf, or the spectrum that a TOML file describes: best values with
/// errors, and −2 ln L.
///
/// Errors are those of the second derivatives at the minimum. `low` and `high` are the ends of the 68.3% interval of the
/// profile likelihood for the parameter of interest, and for those of --profile; for the others value ∓ error, cut at the
/// bounds. Fixed parameters have the error 0. Ends with exit code 3 for a workspace that cannot be used, 4 for a
/// fit that does not converge.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Parameters whose interval is that of the profile likelihood, besides that of interest; `all` for all.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// Which model of which file.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The workspace.
    #[arg(value_name = "WORKSPACE.json")]
    workspace: PathBuf,
    /// Changes it: a list of operations of RFC 6902, or a patch set, `FILE:NAME`.
    #[arg(long, value_name = "FILE[:NAME]")]
    patch: Option<String>,
    /// The patch of the patch set.
    #[arg(long, value_name = "NAME", requires = "patch")]
    patch_name: Option<String>,
    /// The measurement; the first if none is named.
    #[arg(long, value_name = "NAME")]
    measurement: Option<String>,
}

impl Source {
    pub(super) fn read(&self) -> Result<(Workspace, Model)> {
        let mut document = read(&self.workspace)?;
        if let Some(patch) = &self.patch {
            let (file, name) = match patch.rsplit_once(':') {
                Some((file, name)) if self.patch_name.is_none() && !Path::new(patch).exists() => (file, Some(name)),
                _ => (patch.as_str(), self.patch_name.as_deref()),
            };
            let file = Path::new(file);
            document = patched(document, &read(file)?, name).map_err(|source| within(file, source))?;
        }
        let here = |source| within(&self.workspace, source);
        let workspace = Workspace::parse(&document).map_err(here)?;
        let measurement = workspace.measurement(self.measurement.as_deref()).map_err(here)?;
        let model = Model::new(&workspace, measurement).map_err(here)?;
        Ok((workspace, model))
    }

    pub(super) fn here(&self, source: fb_core::Error) -> Failure {
        within(&self.workspace, source)
    }
}

pub(super) fn within(path: &Path, source: fb_core::Error) -> Failure {
    Failure::In { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Value> {
    let error = |reason: String| Failure::Data(format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| error(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| error(format!("is no JSON: {e}")))
}

/// What was fitted.
pub(super) struct Outcome {
    pub(super) intervals: Vec<Interval>,
    pub(super) twice_nll: f64,
    pub(super) covariance_ok: bool,
}

/// A parameter with its error and its interval.
pub(super) struct Interval {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) error: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// `profile`, `curvature` or `fixed`: where the ends come from.
    pub(super) kind: &'static str,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let workspace = &arguments.source.workspace;
    let outcome =
        if workspace.extension().is_some_and(|e| e == "toml") { spectrum::fit(workspace)? } else { fit(arguments)? };
    if arguments.json {
        let parameters: Map<String, Value> = outcome
            .intervals
            .into_iter()
            .map(|p| {
                let interval =
                    json!({"value": p.value, "error": p.error, "low": p.low, "high": p.high, "interval": p.kind});
                (p.name, interval)
            })
            .collect();
        return super::print_json(&json!({
            "parameters": parameters,
            "twice_nll": outcome.twice_nll,
            "status": "converged",
            "covariance_ok": outcome.covariance_ok,
        }));
    }
    let width = outcome.intervals.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let line = |p: &Interval| {
        let interval = if p.kind == "profile" { format!("  [{:.5}, {:.5}]", p.low, p.high) } else { String::new() };
        format!("{:width$}  {:>11.5} ± {:.5}{interval}\n", p.name, p.value, p.error)
    };
    let mut lines: Vec<String> = outcome.intervals.iter().map(line).collect();
    lines.push(format!("\n-2 ln L = {:.6}, converged\n", outcome.twice_nll));
    if !outcome.covariance_ok {
        lines.push("no errors: the second derivatives at the minimum are not positive definite\n".to_owned());
    }
    super::print(&lines.concat());
    Ok(())
}

/// The fit of a workspace.
fn fit(arguments: &Arguments) -> Result<Outcome> {
    let (workspace, model) = arguments.source.read()?;
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let fitted = best_fit(&likelihood).map_err(|source| arguments.source.here(source))?;
    let parameters = model.parameters();
    let mut profiled: Vec<usize> = model.poi().into_iter().collect();
    for name in &arguments.profile {
        match parameters.iter().position(|p| p.name == *name) {
            Some(i) => profiled.push(i),
            None if name == "all" => profiled.extend(0..parameters.len()),
            None => {
                let closest = fb_core::closest(name, parameters.iter().map(|p| p.name.as_str()));
                let error = fb_core::Error::UnknownName { what: "parameter", name: name.clone(), closest };
                return Err(arguments.source.here(error));
            }
        }
    }
    let mut intervals = Vec::new();
    for (i, (parameter, (&x, &e))) in parameters.iter().zip(fitted.fit.theta.iter().zip(&fitted.errors)).enumerate() {
        let (low, high, kind) = if parameter.fixed {
            (x, x, "fixed")
        } else if profiled.contains(&i) && e.is_finite() {
            let ends =
                profile_interval(&likelihood, &fitted, i, 1.0).map_err(|source| arguments.source.here(source))?;
            (ends[0].value(), ends[1].value(), "profile")
        } else {
            ((x - e).max(parameter.bounds.0), (x + e).min(parameter.bounds.1), "curvature")
        };
        intervals.push(Interval { name: parameter.name.clone(), value: x, error: e, low, high, kind });
    }
    Ok(Outcome { intervals, twice_nll: fitted.fit.twice_nll, covariance_ok: fitted.covariance.is_some() })
}
