//! `fb fit`.

use std::path::{Path, PathBuf};

use fb_core::{Error, Workers};
use fb_statistics::histfactory::{
    Data, Fitted, Likelihood, Model, Workspace, best_fit, from_hs3, goodness, impacts, is_hs3, patched,
    profile_interval, profile_scan,
};
use fb_statistics::matrix::Matrix;
use serde_json::Value;

use super::spectrum;
use crate::failure::{Failure, Result};
use crate::inference::{Channel, Drawn, Expected, Impact, Outcome, Parameter, Profile};
use crate::report;
use crate::workers::Threads;

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
    #[command(flatten)]
    wanted: Wanted,
    /// Write the events of a spectrum here with a weight for each component (sPlot, physics/0402083); for fits event by
    /// event: .parquet, .csv, .h5, .npz, or `events.root:tree`.
    #[arg(long, value_name = "OUT.parquet")]
    splot: Option<PathBuf>,
    /// Write a report with figures here: data and model, profiles, impacts, correlations.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Threads; 0 stands for all of the machine. The results do not depend on it.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
}

/// What is asked for besides best values.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Wanted {
    /// How far the parameter of interest moves with each other parameter of a workspace, and what the data know of these.
    #[arg(long)]
    impacts: bool,
    /// Test how well the model describes the data, by the likelihood ratio to the saturated model.
    #[arg(long)]
    pub(super) goodness: bool,
    /// Test it with so many pseudo-experiments, too.
    #[arg(long, value_name = "N", requires = "goodness")]
    pub(super) toys: Option<usize>,
    /// Every pseudo-experiment follows from it.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Whether a report is drawn.
    #[arg(skip)]
    pub(super) drawn: bool,
}

/// Which model of which file.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// The workspace, of pyhf or HS3.
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
        if is_hs3(&document) {
            document = from_hs3(&document).map_err(here)?;
        }
        let workspace = Workspace::parse(&document).map_err(here)?;
        let measurement = workspace.measurement(self.measurement.as_deref()).map_err(here)?;
        let model = Model::new(&workspace, measurement).map_err(here)?;
        Ok((workspace, model))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.workspace
    }

    /// The name of the file.
    pub(super) fn name(&self) -> String {
        self.workspace.file_name().unwrap_or(self.workspace.as_os_str()).to_string_lossy().into_owned()
    }

    pub(super) fn here(&self, source: Error) -> Failure {
        within(&self.workspace, source)
    }
}

pub(super) fn within(path: &Path, source: Error) -> Failure {
    Failure::In { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Value> {
    let error = |reason: String| Failure::Data(format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| error(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| error(format!("is no JSON: {e}")))
}

/// Points of a profile.
pub(super) const POINTS: usize = 41;

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    if let Some(n) = arguments.wanted.toys.filter(|n| *n < 10) {
        return Err(Failure::Usage(format!("--toys: found {n}, expected at least 10")));
    }
    let (workspace, workers) = (&arguments.source.workspace, Threads::new(arguments.threads)?);
    let wanted = Wanted { drawn: arguments.report.is_some(), ..arguments.wanted.clone() };
    let outcome = if workspace.extension().is_some_and(|e| e == "toml") {
        if wanted.impacts {
            let reason = "--impacts: a spectrum has no parameter of interest; its correlations are in --report";
            return Err(Failure::Usage(reason.to_owned()));
        }
        spectrum::fit(workspace, &wanted, arguments.splot.as_deref(), &workers)?
    } else {
        if arguments.splot.is_some() {
            return Err(Failure::Usage("--splot: a workspace has no events; it is for spectra (FILE.toml)".to_owned()));
        }
        fit(arguments, &wanted, &workers).map_err(|failure| match failure {
            Failure::Core(source) => arguments.source.here(source),
            other => other,
        })?
    };
    if let Some(path) = &arguments.report {
        let name = arguments.source.name();
        let lead =
            format!("Maximum-likelihood fit of {}. femtobarn {}.", workspace.display(), env!("CARGO_PKG_VERSION"));
        fb_io::write_whole(path, report::fit::html(&name, &lead, &outcome).as_bytes())?;
    }
    if arguments.json {
        // Impacts come with a report, but are printed where they were asked for.
        let impacts = outcome.impacts.filter(|_| arguments.wanted.impacts);
        return super::print_json(&Outcome { impacts, ..outcome }.json());
    }
    super::print(&outcome.text());
    Ok(())
}

/// The fit of a workspace.
fn fit(arguments: &Arguments, wanted: &Wanted, workers: &dyn Workers) -> Result<Outcome> {
    let (workspace, model) = arguments.source.read()?;
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let fitted = best_fit(&likelihood)?;
    let mut profiled: Vec<usize> = model.poi().into_iter().collect();
    for name in &arguments.profile {
        match model.parameters().iter().position(|p| p.name == *name) {
            Some(i) => profiled.push(i),
            None if name == "all" => profiled.extend(0..model.parameters().len()),
            None => {
                let closest = fb_core::closest(name, model.parameters().iter().map(|p| p.name.as_str()));
                return Err(Error::UnknownName { what: "parameter", name: name.clone(), closest }.into());
            }
        }
    }
    let toys = wanted.toys.map(|toys| (toys, wanted.seed));
    let tested = wanted.goodness.then(|| goodness(&likelihood, &fitted.fit, toys, workers)).transpose()?;
    let draws_impacts = wanted.drawn && fitted.covariance.is_some() && is_free(&model);
    let name = |i: usize| model.parameters()[i].name.clone();
    let found = if wanted.impacts || draws_impacts {
        let found = impacts(&likelihood, &fitted, workers)?.into_iter();
        Some(found.map(|of| Impact { name: name(of.parameter), of }).collect())
    } else {
        None
    };
    let scans = || {
        let poi = model.poi().filter(|_| is_free(&model) && fitted.covariance.is_some());
        let scan = |i| Profile { name: name(i), points: profile_scan(&likelihood, &fitted, i, POINTS, workers) };
        poi.into_iter().map(scan).collect()
    };
    let drawn = wanted.drawn.then(|| Drawn {
        interest: model.poi().map(name),
        scans: scans(),
        channels: channels(&model, likelihood.data(), &fitted),
    });
    Ok(Outcome {
        parameters: parameters(&likelihood, &fitted, &profiled)?,
        twice_nll: fitted.fit.twice_nll,
        covariance: fitted.covariance,
        impacts: found,
        goodness: tested,
        drawn,
    })
}

/// Whether there is a parameter of interest that fits can move.
fn is_free(model: &Model) -> bool {
    model.poi().is_some_and(|i| !model.parameters()[i].fixed)
}

/// The parameters with intervals, those of the profile likelihood where asked for.
fn parameters(likelihood: &Likelihood, fitted: &Fitted, profiled: &[usize]) -> Result<Vec<Parameter>> {
    let mut all = Vec::new();
    for (i, parameter) in likelihood.model().parameters().iter().enumerate() {
        let (x, e) = (fitted.fit.theta[i], fitted.errors[i]);
        let (low, high, kind) = if parameter.fixed {
            (x, x, "fixed")
        } else if profiled.contains(&i) && e.is_finite() {
            let ends = profile_interval(likelihood, fitted, i, 1.0)?;
            (ends[0].value(), ends[1].value(), "profile")
        } else {
            ((x - e).max(parameter.bounds.0), (x + e).min(parameter.bounds.1), "curvature")
        };
        all.push(Parameter { name: parameter.name.clone(), value: x, error: e, low, high, kind });
    }
    Ok(all)
}

/// Data and model of each channel, before and after the fit.
fn channels(model: &Model, data: &Data, fitted: &Fitted) -> Vec<Channel> {
    let start = model.inits();
    // Before the fit the auxiliary measurements alone know something.
    let mut known = Matrix::zeros(start.len());
    for (i, parameter) in model.parameters().iter().enumerate().filter(|(_, p)| !p.fixed) {
        let sigma = parameter.constraint.map_or(0.0, |c| c.measured().1);
        known.row_mut(i)[i] = sigma * sigma;
    }
    let expected = |theta: &[f64], covariance: Option<&Matrix>| -> Vec<Expected> {
        let errors = covariance.map_or_else(|| vec![0.0; model.bins()], |v| model.spread(theta, v));
        let yields = model.contributions(theta);
        let of = |bins: std::ops::Range<usize>| {
            let here = yields.iter().filter(|(_, first, _)| *first == bins.start);
            let parts = here.map(|(name, _, yields)| ((*name).to_owned(), yields.clone())).collect();
            Expected { parts, errors: errors[bins].to_vec() }
        };
        model.channels().map(|(_, bins)| of(bins)).collect()
    };
    let (before, after) = (expected(&start, Some(&known)), expected(&fitted.fit.theta, fitted.covariance.as_ref()));
    let of = |((name, bins), (before, after)): ((&str, std::ops::Range<usize>), (Expected, Expected))| Channel {
        name: name.to_owned(),
        axis: "bin".to_owned(),
        edges: (0..=bins.len()).map(|i| i as f64).collect(),
        variances: data.counts[bins.clone()].to_vec(),
        seen: data.counts[bins].to_vec(),
        before,
        after,
    };
    model.channels().zip(before.into_iter().zip(after)).map(of).collect()
}
