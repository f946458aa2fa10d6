//! Histograms of several axes: filled from files for `fb inspect`, read for `fb fit`.

use std::path::Path;

use fb_core::{Data, Events};
use fb_physics::expression::{finite_names, flat};
use fb_statistics::grid::{Axis, Grid};
use fb_statistics::spectrum;
use serde_json::Value;

use super::fit::within;
use crate::failure::{Failure, Result};

/// The histogram of all entries of these files.
pub(super) fn fill(files: &[String], axes: &str, weight: Option<&str>) -> Result<Grid> {
    let axes = axes.split(';').map(axis).collect::<Result<Vec<_>>>()?;
    let mut grid = Grid::new(axes)?;
    for pattern in files {
        for path in fb_io::expand(pattern)? {
            let in_file = |source| within(&path, source);
            fb_io::for_each_block::<Failure>(&path, &["*"], &mut |events| {
                let bins = grid.axes.iter().map(|(name, axis)| bins(name, axis, &events));
                let bins = bins.collect::<fb_core::Result<Vec<_>>>().map_err(in_file)?;
                let weights = match weight {
                    Some(weight) => flat(weight, &events).map_err(in_file)?,
                    None => vec![1.0; events.len()],
                };
                for (event, w) in weights.into_iter().enumerate() {
                    grid.fill(bins.iter().map(|bins| bins[event]), w);
                }
                Ok(())
            })?;
        }
    }
    Ok(grid)
}

/// An axis as its user writes it.
fn axis(text: &str) -> Result<(String, Axis)> {
    let wrong = || {
        let forms = "EXPRESSION=BINS,LOW..HIGH, EXPRESSION=[EDGE,EDGE,...] or COLUMN={NAME,NAME,...}";
        Failure::Usage(format!("--histogram: found `{text}`, expected {forms}"))
    };
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let (name, said) = text.rsplit_once('=').ok_or_else(wrong)?;
    let (name, said) = (name.trim().to_owned(), said.trim());
    let between = |open: char, close: char| said.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(edges) = between('[', ']') {
        return Ok((name, Axis::Variable(edges.split(',').map(number).collect::<Result<_>>()?)));
    }
    if let Some(names) = between('{', '}') {
        return Ok((name, Axis::Category(names.split(',').map(|n| n.trim().to_owned()).collect())));
    }
    let (bins, range) = said.split_once(',').ok_or_else(wrong)?;
    let (low, high) = range.split_once("..").ok_or_else(wrong)?;
    let bins = bins.trim().parse().map_err(|_| wrong())?;
    Ok((name, Axis::Regular { bins, low: number(low)?, high: number(high)? }))
}

/// The bin of each event. Numbers in categories go by how they are written.
fn bins(name: &str, axis: &Axis, events: &Events) -> fb_core::Result<Vec<usize>> {
    if matches!(axis, Axis::Category(_)) {
        if let Ok(column) = events.column(name)
            && let Data::Text(texts) = &column.data
            && column.offsets.is_none()
        {
            return Ok(texts.iter().map(|text| axis.bin_of(text)).collect());
        }
        return Ok(flat(name, events)?.into_iter().map(|x| axis.bin_of(&x.to_string())).collect());
    }
    finite_names(name, events)?;
    Ok(flat(name, events)?.into_iter().map(|x| axis.bin(x)).collect())
}

/// A histogram of one axis in a JSON file, `FILE.json` or `FILE.json:NAME`, in a window that ends at edges of its bins.
pub(super) fn spectrum(spec: &str, (low, high): (f64, f64)) -> Result<spectrum::Data> {
    let (file, name) = match spec.rsplit_once(':') {
        Some((file, name)) if !Path::new(spec).exists() => (file, Some(name)),
        _ => (spec, None),
    };
    let wrong = |reason: String| Failure::Data(format!("{spec}: {reason}"));
    let bytes = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
    let document: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("is no JSON: {e}")))?;
    let json = match name {
        Some(name) => document.get(name).ok_or_else(|| wrong(format!("has no histogram `{name}`")))?,
        None => &document,
    };
    let grid = Grid::parse(json).map_err(|source| within(Path::new(file), source))?;
    let [(_, axis)] = &grid.axes[..] else {
        return Err(wrong(format!("has {} axes, expected one", grid.axes.len())));
    };
    let edges = axis.edges().ok_or_else(|| wrong("its axis has names, expected numbers".to_owned()))?;
    let near = |x: f64| edges.iter().position(|e| (e - x).abs() <= 1e-9 * (high - low));
    let (Some(first), Some(last)) = (near(low), near(high)) else {
        return Err(wrong(format!("the window from {low} to {high} does not end at edges of its bins")));
    };
    // The first bin is what lies below.
    let inside = first + 1..last + 1;
    let (contents, variances) = (grid.values[inside.clone()].to_vec(), grid.variances[inside].to_vec());
    Ok(spectrum::Data::Binned { edges: edges[first..=last].to_vec(), contents, variances })
}
