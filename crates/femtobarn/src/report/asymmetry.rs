//! The section of the report on forward-backward asymmetries.

use std::fmt::Write as _;

use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{figure, section, table};
use crate::asymmetry::{Asymmetry, Options};

pub(super) fn show(page: &mut String, found: &Asymmetry, options: &Options, label: &str) {
    section(page, "Forward-backward asymmetry");
    let _ = writeln!(
        page,
        "<p>Of the test events, in regions of <code>{}</code>: counted, A = (F − B)/(F + B), fitted as 1 + c² + (8/3)Ac to the cosine c = <code>{}</code>, and the median of what each method says of the events. The true asymmetry is that of <code>{}</code> over all events. Methods are trained on the asymmetry that is counted in the training part of the region of an event. The last row is the root mean square of the differences from the true asymmetries, with errors from the bootstrap.</p>",
        escape(&options.region),
        escape(&options.cosine),
        escape(options.truth.as_ref().unwrap_or(&options.cosine)),
    );
    let heads = ["region", "events", "true", "training"].map(str::to_owned).into_iter();
    let head: Vec<String> = heads.chain(found.estimators.iter().map(|e| escape(&e.name))).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (r, region) in found.regions.iter().enumerate() {
        let known = [region.region.to_string(), region.events.to_string()];
        let values = [region.truth, region.training].map(|v| v.to_string());
        let told = found.estimators.iter().map(|e| e.asymmetries[r].to_string());
        rows.push(known.into_iter().chain(values).chain(told).collect());
    }
    let last = ["RMSE", "", "", ""].map(str::to_owned).into_iter();
    rows.push(last.chain(found.estimators.iter().map(|e| e.rmse.to_string())).collect());
    table(page, &head, &rows);
    figure(page, &[drawn(found, options, label)], "True asymmetries (lines) and what was found of them.");
}

fn drawn(found: &Asymmetry, options: &Options, label: &str) -> String {
    let count = found.regions.len() as f64;
    let all = found.estimators.iter().flat_map(|e| &e.asymmetries);
    let most = all.chain(found.regions.iter().map(|r| &r.truth)).map(|v| v.low.abs().max(v.high.abs()));
    let most = 1.2 * most.fold(0.1, f64::max);
    let x = Axis::new(&format!("regions of {}, in order", options.region), 0.0, count, Scale::Linear);
    let y = Axis::new("asymmetry", -most, most, Scale::Linear);
    let mut plot = Plot::new([560.0, 380.0], x, y, label, "");
    plot.line(&[(0.0, 0.0), (count, 0.0)], "#94a4a2", "2 2");
    for (r, region) in found.regions.iter().enumerate() {
        let (from, truth) = (r as f64, region.truth.central);
        plot.line(&[(from + 0.05, truth), (from + 0.95, truth)], "#111", "");
    }
    plot.legend("true", "#111", "");
    let step = 0.9 / (found.estimators.len() + 1) as f64;
    for (k, estimator) in found.estimators.iter().enumerate() {
        let place = |r: usize| r as f64 + 0.05 + step * (k + 1) as f64;
        let points = estimator.asymmetries.iter().enumerate();
        plot.points(&points.map(|(r, v)| (place(r), v.low, v.central, v.high)).collect::<Vec<_>>(), colour(k));
        plot.legend(&estimator.name, colour(k), "");
    }
    plot.finish(Corner::UpperLeft)
}
