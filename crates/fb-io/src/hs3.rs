//! HS3, the high-energy physics statistics serialisation standard (JSON).
//!
//! Tables are its `data` (binned: `contents`, `errors` where they are said and the edges of the bins on a single axis,
//! `AXIS_low` and `AXIS_high`; unbinned: an entry for each event, a column for each axis, `weight`), and its HistFactory
//! distributions (`SAMPLE` and `SAMPLE_error` for each bin). Other distributions are formulas and are not read.
//! Source: HS3 0.2, <https://hep-statistics-serialization-standard.github.io>.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::histograms::{Columns, parse};
use crate::table::Table;
use crate::{Error, Result};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    distributions: Vec<Distribution>,
    #[serde(default)]
    data: Vec<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Distribution {
    #[serde(rename = "histfactory_dist")]
    HistFactory { name: String, samples: Vec<Sample> },
    #[serde(untagged)]
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    data: Contents,
}

#[derive(Deserialize)]
struct Contents {
    contents: Vec<f64>,
    errors: Option<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Data {
    Binned { name: String, axes: Vec<Axis>, contents: Vec<f64>, uncertainty: Option<Uncertainty> },
    Unbinned { name: String, axes: Vec<Axis>, entries: Vec<Vec<f64>>, weights: Option<Vec<f64>> },
    Point { name: String, value: f64, uncertainty: Option<f64> },
}

#[derive(Deserialize)]
struct Uncertainty {
    sigma: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Axis {
    name: String,
    edges: Option<Vec<f64>>,
    min: Option<f64>,
    max: Option<f64>,
    nbins: Option<usize>,
}

/// The tables of a document.
pub(crate) fn tables(path: &Path, bytes: &[u8]) -> Result<Vec<Box<dyn Table>>> {
    let document: Document = parse(path, bytes)?;
    let data = document.data.into_iter().map(|data| data.table(path));
    let distributions = document.distributions.into_iter().filter_map(|distribution| distribution.table(path));
    data.chain(distributions).collect()
}

impl Distribution {
    fn table(self, path: &Path) -> Option<Result<Box<dyn Table>>> {
        let Self::HistFactory { name: channel, samples } = self else { return None };
        let mut columns = Columns::default();
        for Sample { name, data } in samples {
            let errors = data.errors.map(|errors| (format!("{name}_error"), errors));
            for (name, values) in std::iter::once((name, data.contents)).chain(errors) {
                if let Err(e) = columns.add(path, &channel, name, values) {
                    return Some(Err(e));
                }
            }
        }
        Some(Ok(columns.into_table(&channel, "HS3")))
    }
}

impl Data {
    fn table(self, path: &Path) -> Result<Box<dyn Table>> {
        let mut columns = Columns::default();
        let name = match self {
            Self::Binned { name, axes, contents, uncertainty } => {
                let bins = contents.len();
                columns.add(path, &name, "contents".to_owned(), contents)?;
                if let Some(sigma) = uncertainty.and_then(|uncertainty| uncertainty.sigma) {
                    columns.add(path, &name, "errors".to_owned(), sigma)?;
                }
                if let [axis] = axes.as_slice() {
                    let edges = axis.edges(bins).ok_or_else(|| {
                        let place = format!("`{}`, axis `{}`", name.escape_default(), axis.name.escape_default());
                        Error::corrupt(path, place, format!("its edges are not those of {bins} bins"))
                    })?;
                    columns.add(path, &name, format!("{}_low", axis.name), edges[..bins].to_vec())?;
                    columns.add(path, &name, format!("{}_high", axis.name), edges[1..].to_vec())?;
                }
                name
            }
            Self::Unbinned { name, axes, entries, weights } => {
                if let Some(event) = entries.iter().position(|entry| entry.len() != axes.len()) {
                    let place = format!("`{}`, entry {event}", name.escape_default());
                    let reason = format!("found {} numbers, expected {}", entries[event].len(), axes.len());
                    return Err(Error::corrupt(path, place, reason));
                }
                for (i, axis) in axes.into_iter().enumerate() {
                    columns.add(path, &name, axis.name, entries.iter().map(|entry| entry[i]).collect())?;
                }
                if let Some(weights) = weights {
                    columns.add(path, &name, "weight".to_owned(), weights)?;
                }
                name
            }
            Self::Point { name, value, uncertainty } => {
                columns.add(path, &name, "value".to_owned(), vec![value])?;
                if let Some(error) = uncertainty {
                    columns.add(path, &name, "error".to_owned(), vec![error])?;
                }
                name
            }
        };
        Ok(columns.into_table(&name, "HS3"))
    }
}

impl Axis {
    /// The edges of this many bins, one more than there are.
    fn edges(&self, bins: usize) -> Option<Vec<f64>> {
        if let Some(edges) = &self.edges {
            return (edges.len() == bins + 1).then(|| edges.clone());
        }
        let (min, max) = (self.min?, self.max?);
        let edge = |i: usize| min + (max - min) * i as f64 / bins as f64;
        (self.nbins? == bins && bins > 0).then(|| (0..=bins).map(edge).collect())
    }
}
