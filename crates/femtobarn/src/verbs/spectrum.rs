//! `fb fit` of a spectrum: events of files, one observable, a sum of shapes in categories.

use std::path::Path;

use fb_core::{Column, Data as Numbers, Events, Workers};
use fb_physics::expression::{finite_names, flat, select};
use fb_statistics::Histogram;
use fb_statistics::matrix::Matrix;
use fb_statistics::spectrum::{Category, Data, Description, Estimate, Spectra, Splot};
use serde::Deserialize;

use super::fit::{POINTS, Wanted, within};
use super::histogram;
use crate::failure::{Failure, Result};
use crate::inference::{Channel, Drawn, Expected, Outcome, Parameter, Profile};
use crate::report::analysis::joined;

/// The file.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    fit: Input,
    #[serde(flatten)]
    description: Description,
    #[serde(default)]
    category: Vec<Cut>,
}

/// What is fitted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// Event files, or
    #[serde(default)]
    files: Vec<String>,
    /// a histogram of UHI in a JSON file, `FILE.json[:NAME]`.
    histogram: Option<String>,
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
struct Cut {
    name: String,
    select: String,
}

/// A description with what was seen.
pub(super) struct Read {
    pub(super) file: File,
    pub(super) spectra: Spectra,
}

/// Reads the file and its events.
pub(super) fn read(path: &Path) -> Result<Read> {
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
    let unread =
        [file.fit.bins.is_some(), file.fit.weight.is_some(), file.fit.select.is_some(), !file.category.is_empty()];
    if file.fit.files.is_empty() != file.fit.histogram.is_some() {
        return Err(usage("`fit`: expected either `files` or `histogram`".to_owned()));
    }
    if file.fit.histogram.is_some() && unread.contains(&true) {
        let reason = "`fit.histogram`: its bins are what is fitted, without `bins`, `weight`, `select` and categories";
        return Err(usage(reason.to_owned()));
    }
    let data = match &file.fit.histogram {
        Some(spec) => vec![("all".to_owned(), histogram::spectrum(spec, file.fit.window)?)],
        None => data(&file)?,
    };
    let spectra = file.description.spectra(file.fit.window, data).map_err(|source| within(path, source))?;
    Ok(Read { file, spectra })
}

/// Reads, fits and tells; the intervals are those of the profile likelihood but for weighted events.
///
/// With `splot`, events go there with their weights for each component.
pub(super) fn fit(path: &Path, wanted: &Wanted, splot: Option<&Path>, workers: &dyn Workers) -> Result<Outcome> {
    let here = |source| within(path, source);
    let Read { file, spectra } = read(path)?;
    let bounds = spectra.bounds();
    let found = spectra.fit(&spectra.start(), &bounds).map_err(here)?;
    if let Some(out) = splot {
        if file.fit.histogram.is_some() {
            return Err(Failure::Usage(format!("{}: --splot: a histogram has no events", path.display())));
        }
        let weigh = |category| Splot::new(&spectra, category, &found);
        let splots = spectra.categories.iter().map(weigh).collect::<fb_core::Result<Vec<_>>>().map_err(here)?;
        fb_io::write(out, &weighted_events(&file, &splots)?)?;
    }
    let toys = wanted.toys.map(|toys| (toys, wanted.seed));
    let goodness = wanted.goodness.then(|| spectra.goodness(&found, toys, workers)).transpose().map_err(here)?;
    let weighted = spectra.weighted();
    let mut parameters = Vec::new();
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
        parameters.push(Parameter { name: parameter.name.clone(), value, error, low, high, kind });
    }
    let scan = |i: usize| {
        let name = spectra.parameters[i].name.clone();
        Profile { name, points: spectra.scan(&found, i, POINTS, workers) }
    };
    // Weights leave no law of −2 ln L.
    let scanned =
        || (0..bounds.len()).filter(|&i| bounds[i].0 < bounds[i].1 && !weighted && found.covariance.is_some());
    let drawn = wanted.drawn.then(|| Drawn {
        interest: None,
        scans: scanned().take(MOST_SCANS).map(scan).collect(),
        channels: spectra.categories.iter().map(|c| channel(&file, c, &spectra, &found)).collect(),
    });
    let (twice_nll, covariance) = (found.twice_nll, found.covariance);
    Ok(Outcome { parameters, twice_nll, covariance, impacts: None, goodness, drawn })
}

/// Parameters whose profile a report shows.
const MOST_SCANS: usize = 12;

/// Data and model of a category.
fn channel(file: &File, category: &Category, spectra: &Spectra, found: &Estimate) -> Channel {
    let (all, seen, variances) = match &category.data {
        Data::Binned { edges, contents, variances } => (edges.clone(), contents.clone(), variances.clone()),
        Data::Events { x, weights } => {
            let mut histogram = Histogram::uniform(40, category.window.0, category.window.1);
            x.iter().zip(weights).for_each(|(x, w)| histogram.fill(*x, *w));
            (histogram.edges, histogram.contents, histogram.variances)
        }
    };
    let (edges, seen) = joined(&all, &seen);
    let expected = |theta: &[f64], covariance: Option<&Matrix>| {
        let names = file.description.component.iter().map(|part| part.name.clone());
        let errors = covariance.map_or_else(|| vec![0.0; seen.len()], |v| category.spread(theta, v, &edges));
        Expected { parts: names.zip(category.contributions(theta, &edges)).collect(), errors }
    };
    let (before, after) = (expected(&spectra.start(), None), expected(&found.theta, found.covariance.as_ref()));
    Channel {
        name: category.name.clone(),
        axis: file.fit.observable.clone(),
        variances: joined(&all, &variances).1,
        seen,
        before,
        after,
        edges,
    }
}

/// Events of the window with the index of their category, their observable and their weight.
struct Block {
    events: Events,
    category: Vec<usize>,
    x: Vec<f64>,
    weights: Vec<f64>,
}

/// Reads the events that are fitted, in blocks.
fn for_each_block(file: &File, each: &mut dyn FnMut(Block) -> Result<()>) -> Result<()> {
    let (low, high) = file.fit.window;
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
                let kept: Vec<usize> =
                    (0..x.len()).filter(|&i| place[i].is_some() && x[i] >= low && x[i] < high).collect();
                let of = |numbers: &[f64]| kept.iter().map(|&i| numbers[i]).collect();
                let category = kept.iter().filter_map(|&i| place[i]).collect();
                each(Block { events: events.take(&kept), category, x: of(&x), weights: of(&weights) })
            })?;
        }
    }
    Ok(())
}

/// The events with the columns `sweight_COMPONENT`; their own weights are factors in these.
fn weighted_events(file: &File, splots: &[Splot<'_>]) -> Result<Events> {
    let mut all = Events::default();
    for_each_block(file, &mut |block| {
        let Block { mut events, category, x, weights } = block;
        let mut columns = vec![vec![0.0; x.len()]; file.description.component.len()];
        for (k, splot) in splots.iter().enumerate() {
            let here: Vec<usize> = (0..x.len()).filter(|&i| category[i] == k).collect();
            let found = splot.weights(&here.iter().map(|&i| x[i]).collect::<Vec<_>>());
            for (column, found) in columns.iter_mut().zip(found) {
                here.iter().zip(found).for_each(|(&i, s)| column[i] = weights[i] * s);
            }
        }
        for (part, column) in file.description.component.iter().zip(columns) {
            events.push(Column::flat(format!("sweight_{}", part.name), Numbers::F64(column)))?;
        }
        Ok(all.append(events)?)
    })?;
    Ok(all)
}

/// What each category has seen in the window.
fn data(file: &File) -> Result<Vec<(String, Data)>> {
    let (low, high) = file.fit.window;
    let count = file.category.len().max(1);
    let mut seen: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); count];
    for_each_block(file, &mut |block| {
        for ((k, x), w) in block.category.into_iter().zip(block.x).zip(block.weights) {
            seen[k].0.push(x);
            seen[k].1.push(w);
        }
        Ok(())
    })?;
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
