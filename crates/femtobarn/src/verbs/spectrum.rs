//! `fb fit` of a spectrum: events of files, one observable, a sum of shapes in categories.

use std::path::Path;

use fb_physics::expression::{finite_names, flat, select};
use fb_statistics::Histogram;
use fb_statistics::spectrum::{Data, Description};
use serde::Deserialize;

use super::fit::{Interval, Outcome, within};
use crate::failure::{Failure, Result};

/// The file.
#[derive(Debug, Deserialize)]
struct File {
    fit: Read,
    #[serde(flatten)]
    description: Description,
    #[serde(default)]
    category: Vec<Category>,
}

/// What is fitted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    files: Vec<String>,
    observable: String,
    window: (f64, f64),
    /// With bins, or event by event.
    bins: Option<usize>,
    weight: Option<String>,
    select: Option<String>,
}

/// Events that are fitted with a spectrum of their own; each takes what those before it have left.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    name: String,
    select: String,
}

/// Reads, fits and tells; the intervals are those of the profile likelihood but for weighted events.
pub(super) fn fit(path: &Path) -> Result<Outcome> {
    let here = |source| within(path, source);
    let usage = |text: String| Failure::Usage(format!("{}: {text}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| usage(format!("cannot be read: {e}")))?;
    let file: File = toml::from_str(&text).map_err(|e| usage(e.to_string().trim_end().to_owned()))?;
    let (low, high) = file.fit.window;
    if !(low < high && low.is_finite() && high.is_finite()) {
        return Err(usage(format!("`fit.window`: found [{low}, {high}], expected two rising numbers")));
    }
    if file.fit.bins == Some(0) {
        return Err(usage("`fit.bins`: found 0, expected at least 1".to_owned()));
    }
    let spectra = file.description.spectra(file.fit.window, data(&file)?).map_err(here)?;
    let bounds = spectra.bounds();
    let found = spectra.fit(&spectra.start(), &bounds).map_err(here)?;
    let weighted = spectra.weighted();
    let mut intervals = Vec::new();
    for (i, parameter) in spectra.parameters.iter().enumerate() {
        let (value, error) = (found.theta[i], found.errors[i]);
        let (low, high, kind) = if bounds[i].0 == bounds[i].1 {
            (value, value, "fixed")
        } else if weighted || !error.is_finite() {
            ((value - error).max(bounds[i].0), (value + error).min(bounds[i].1), "curvature")
        } else {
            let ends = spectra.interval(&found, i, 1.0).map_err(here)?;
            (ends[0].value(), ends[1].value(), "profile")
        };
        intervals.push(Interval { name: parameter.name.clone(), value, error, low, high, kind });
    }
    Ok(Outcome { intervals, twice_nll: found.twice_nll, covariance_ok: found.covariance.is_some() })
}

/// What each category has seen in the window.
fn data(file: &File) -> Result<Vec<(String, Data)>> {
    let (low, high) = file.fit.window;
    let count = file.category.len().max(1);
    let mut seen: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); count];
    for pattern in &file.fit.files {
        for path in fb_io::expand(pattern)? {
            let in_file = |source| within(&path, source);
            fb_io::for_each_block::<Failure>(&path, &["*"], &mut |mut events| {
                if let Some(cut) = &file.fit.select {
                    events = events.take(&select(cut, &events).map_err(in_file)?);
                }
                finite_names(&file.fit.observable, &events).map_err(in_file)?;
                let x = flat(&file.fit.observable, &events).map_err(in_file)?;
                let weights = match &file.fit.weight {
                    Some(weight) => flat(weight, &events).map_err(in_file)?,
                    None => vec![1.0; x.len()],
                };
                let mut place = vec![file.category.is_empty().then_some(0); x.len()];
                for (k, category) in file.category.iter().enumerate() {
                    for i in select(&category.select, &events).map_err(in_file)? {
                        place[i].get_or_insert(k);
                    }
                }
                for (i, place) in place.into_iter().enumerate() {
                    if let Some(k) = place.filter(|_| x[i] >= low && x[i] < high) {
                        seen[k].0.push(x[i]);
                        seen[k].1.push(weights[i]);
                    }
                }
                Ok(())
            })?;
        }
    }
    let name = |k: usize| file.category.get(k).map_or_else(|| "all".to_owned(), |c| c.name.clone());
    let of = |(k, (x, weights)): (usize, (Vec<f64>, Vec<f64>))| {
        if x.is_empty() {
            let hint = "check `files`, `select` and `window`".to_owned();
            return Err(fb_core::Error::Empty { what: format!("category `{}`", name(k)), hint }.into());
        }
        let data = match file.fit.bins {
            None => Data::Events { x, weights },
            Some(bins) => {
                let mut histogram = Histogram::uniform(bins, low, high);
                x.iter().zip(&weights).for_each(|(x, w)| histogram.fill(*x, *w));
                let Histogram { edges, contents, variances, .. } = histogram;
                Data::Binned { edges, contents, variances }
            }
        };
        Ok((name(k), data))
    };
    seen.into_iter().enumerate().map(of).collect()
}
