//! What the scores are worth: table of categories, mass spectra with their model, pulls.

use std::fmt::Write as _;

use fb_statistics::Histogram;

use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{figure, section, table};
use crate::analysis::{Analysis, Category, INCLUSIVE, Toys};

/// Bins of the mass in a figure; those of the fit are joined.
const BINS: usize = 40;

pub(super) fn show(page: &mut String, analysis: &Analysis, mass: &str, label: &str) {
    section(page, "What the scores are worth");
    let baseline = if analysis.baseline.name == INCLUSIVE {
        "all events in one category".to_owned()
    } else {
        format!("categories of {}", escape(&analysis.baseline.name))
    };
    let _ = writeln!(
        page,
        "<p>With categories of {}, the expected significance is <b>{}</b>; with {baseline} it is {}. The gain of {} is that of <b>{} times the luminosity</b>. The strength of the signal is measured to ±{}. Errors are those of the simulation, from the bootstrap.</p>",
        escape(&analysis.method),
        analysis.sensitivity,
        analysis.baseline.sensitivity,
        analysis.gain,
        analysis.luminosity_factor,
        analysis.strength_error,
    );
    let head = ["", "category", "signal", "background", "simulated", "resolution", "significance"].map(str::to_owned);
    let rows: Vec<Vec<String>> = analysis
        .categories
        .iter()
        .enumerate()
        .map(|(k, c)| {
            let [signal, background] = c.simulated;
            vec![
                (k + 1).to_string(),
                escape(&c.cut),
                c.signal.to_string(),
                c.background.to_string(),
                format!("{signal} + {background}"),
                format!("{:.2}", c.resolution),
                c.sensitivity.to_string(),
            ]
        })
        .collect();
    table(page, &head, &rows);
    let shown: Vec<String> = analysis
        .categories
        .iter()
        .enumerate()
        .map(|(k, c)| spectrum(c, &format!("category {}", k + 1), &analysis.edges, mass, label))
        .collect();
    figure(
        page,
        &shown,
        "Simulated background with its errors and the shape that was fitted to it; the signal, scaled to a third of the frame, and its shape.",
    );
    if let Some(toys) = &analysis.toys {
        let _ = writeln!(
            page,
            "<p>{} pseudo-experiments of the model with a signal strength of one were fitted, {} of the fits did not converge. Pulls (μ̂ − 1)/σ: mean {}, width {}. The intervals of the profile likelihood hold the truth in {} (68.3% asked for) and {} (95%).</p>",
            toys.converged + toys.failed,
            toys.failed,
            toys.pull_mean,
            toys.pull_width,
            toys.coverage_68,
            toys.coverage_95
        );
        figure(page, &[pulls(toys, label)], "Pulls of the pseudo-experiments and the standard normal distribution.");
    }
}

/// Groups of neighbouring bins as one.
pub(crate) fn joined(edges: &[f64], contents: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let group = (contents.len() / BINS).max(1);
    let sums: Vec<f64> = contents.chunks(group).map(|c| c.iter().sum()).collect();
    let ends = (0..sums.len()).map(|i| edges[i * group]).chain([edges[contents.len()]]);
    (ends.collect(), sums)
}

fn spectrum(category: &Category, name: &str, edges: &[f64], mass: &str, label: &str) -> String {
    let spectra = &category.spectra;
    let of = |h: &Histogram| (joined(edges, &h.contents).1, joined(edges, &h.variances).1);
    let (background, variances) = of(&spectra.simulated.background);
    let (ends, background_model) = joined(edges, &spectra.model[1]);
    let highest = background.iter().zip(&variances).map(|(b, v)| b + v.sqrt()).fold(0.0, f64::max) * 1.35;
    let signal_model = joined(edges, &spectra.model[0]).1;
    let scale = highest / 3.0 / signal_model.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let scaled = |bins: Vec<f64>| -> Vec<f64> { bins.into_iter().map(|s| s * scale).collect() };
    let x = Axis::new(mass, ends[0], ends[ends.len() - 1], Scale::Linear);
    let y = Axis::new("events per bin", 0.0, highest, Scale::Linear);
    let mut plot = Plot::new([340.0, 270.0], x, y, label, name);
    plot.steps(&ends, &scaled(of(&spectra.simulated.signal).0), colour(2), 0.15);
    let middles: Vec<f64> = ends.windows(2).map(|e| f64::midpoint(e[0], e[1])).collect();
    let curve = |bins: &[f64]| middles.iter().copied().zip(bins.iter().copied()).collect::<Vec<_>>();
    plot.line(&curve(&background_model), colour(0), "");
    plot.line(&curve(&scaled(signal_model)), colour(2), "");
    let points: Vec<(f64, f64, f64, f64)> = middles
        .iter()
        .zip(background.iter().zip(&variances))
        .filter(|(_, (_, v))| **v > 0.0)
        .map(|(&x, (&b, v))| (x, b - v.sqrt(), b, b + v.sqrt()))
        .collect();
    plot.points(&points, colour(0));

    plot.finish(Corner::UpperRight)
}

fn pulls(toys: &Toys, label: &str) -> String {
    let mut histogram = Histogram::uniform(32, -4.0, 4.0);
    toys.pulls.iter().for_each(|&p| histogram.fill(p, 1.0));
    let normal = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * toys.pulls.len() as f64 * 0.25;
    let highest = histogram.contents.iter().copied().fold(normal(0.0), f64::max) * 1.25;
    let x = Axis::new("(μ̂ − 1)/σ", -4.0, 4.0, Scale::Linear);
    let mut plot =
        Plot::new([430.0, 330.0], x, Axis::new("pseudo-experiments", 0.0, highest, Scale::Linear), label, "");
    plot.steps(&histogram.edges, &histogram.contents, colour(0), 0.15);
    let curve: Vec<(f64, f64)> = (-80..=80).map(|i| f64::from(i) * 0.05).map(|x| (x, normal(x))).collect();
    plot.line(&curve, colour(2), "");
    plot.finish(Corner::UpperRight)
}
