//! The report of a selection: histograms with their errors, and the files.

use std::fmt::Write as _;

use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{figure, foot, head, section, source_table};
use crate::experiment::Experiment;
use crate::failure::Result;
use crate::results::thousands;
use crate::selection::{Filled, Selected};

/// The page.
pub fn html(experiment: &Experiment, selected: &Selected) -> Result<String> {
    let lead = format!(
        "{} of {} events pass, a share of {}. femtobarn {}.",
        thousands(selected.selected),
        thousands(selected.events),
        selected.efficiency,
        selected.version
    );
    let mut page = head(&selected.title, &lead);
    if let Some(cut) = &experiment.read.select {
        let _ = writeln!(page, "<p>Selection: <code>{}</code></p>", escape(cut));
    }
    section(&mut page, "Distributions");
    let figures: Vec<String> =
        selected.plots.iter().map(|filled| histogram(filled, &experiment.evaluate.label)).collect();
    figure(&mut page, &figures, "Sums of weights per bin; bars are √Σw².");
    section(&mut page, "Data");
    source_table(&mut page, &selected.sources);
    foot(page, selected)
}

fn histogram(filled: &Filled, label: &str) -> String {
    let name = filled.plot.label.clone().unwrap_or_else(|| filled.plot.expression.clone());
    let highest = filled.contents.iter().zip(&filled.errors).map(|(c, e)| c + e).fold(0.0, f64::max);
    let lowest = filled.contents.iter().copied().filter(|&c| c > 0.0).fold(f64::INFINITY, f64::min);
    let y = if filled.plot.log && lowest.is_finite() {
        Axis::new("Σw", lowest * 0.5, highest * 5.0, Scale::Log)
    } else {
        let least = filled.contents.iter().zip(&filled.errors).map(|(c, e)| c - e).fold(0.0, f64::min);
        Axis::new("Σw", least, if highest > 0.0 { highest * 1.3 } else { 1.0 }, Scale::Linear)
    };
    let x = Axis::new(&name, filled.plot.range[0], filled.plot.range[1], Scale::Linear);
    let mut plot = Plot::new([430.0, 330.0], x, y, label, "");
    plot.steps(&filled.edges, &filled.contents, colour(0), 0.15);
    let points: Vec<(f64, f64, f64, f64)> = filled
        .edges
        .windows(2)
        .zip(filled.contents.iter().zip(&filled.errors))
        .filter(|(_, (content, _))| **content != 0.0)
        .map(|(edges, (c, e))| (f64::midpoint(edges[0], edges[1]), c - e, *c, c + e))
        .collect();
    plot.points(&points, colour(0));
    plot.finish(Corner::UpperRight)
}
