//! Workspaces of pyhf: HistFactory models in JSON.
//!
//! A channel is a table with a row for each bin: `data` is what was observed, `SAMPLE` what a sample expects, and
//! `SAMPLE_staterror` its statistical error where the sample says it.
//! Source: HistFactory, CERN-OPEN-2012-016; pyhf, DOI 10.21105/joss.02823.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Result;
use crate::histograms::{Columns, parse};
use crate::table::Table;

#[derive(Deserialize)]
struct Workspace {
    channels: Vec<Channel>,
    #[serde(default)]
    observations: Vec<Observation>,
}

#[derive(Deserialize)]
struct Channel {
    name: String,
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    data: Vec<f64>,
    #[serde(default)]
    modifiers: Vec<Modifier>,
}

#[derive(Deserialize)]
struct Modifier {
    #[serde(rename = "type")]
    kind: String,
    data: Bins,
}

/// Numbers for each bin, where the modifier has such.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bins {
    Numbers(Vec<f64>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Observation {
    name: String,
    data: Vec<f64>,
}

/// The channels of a workspace.
pub(crate) fn tables(path: &Path, bytes: &[u8]) -> Result<Vec<Box<dyn Table>>> {
    let Workspace { channels, mut observations } = parse(path, bytes)?;
    let mut tables = Vec::with_capacity(channels.len());
    for channel in channels {
        let mut columns = Columns::default();
        if let Some(at) = observations.iter().position(|observation| observation.name == channel.name) {
            columns.add(path, &channel.name, "data".to_owned(), observations.swap_remove(at).data)?;
        }
        for Sample { name, data, modifiers } in channel.samples {
            columns.add(path, &channel.name, name.clone(), data)?;
            for modifier in modifiers {
                if let ("staterror", Bins::Numbers(errors)) = (modifier.kind.as_str(), modifier.data) {
                    columns.add(path, &channel.name, format!("{name}_staterror"), errors)?;
                }
            }
        }
        tables.push(columns.into_table(&channel.name, "pyhf"));
    }
    Ok(tables)
}
