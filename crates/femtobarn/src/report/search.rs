//! The report of the search for a peak: local p-values along the scan.

use std::fmt::Write as _;

use fb_statistics::spectrum::search::Search;

use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{capital, figure, head, section, table};

/// The page; `words` say what was found.
pub fn html(title: &str, lead: &str, parameter: &str, found: &Search, words: &str) -> String {
    let mut page = head(title, &escape(lead));
    section(&mut page, "Local p-values");
    let _ = writeln!(page, "<p>{}.</p>", escape(&capital(words)));
    let x: Vec<f64> = found.points.iter().map(|p| p.mean).collect();
    let axis = |label: &str| Axis::new(label, x[0], x[x.len() - 1], Scale::Linear);
    let least = found.points[found.best].p().clamp(1e-15, 0.02);
    let y = Axis::new("local p₀", least / 5.0, 1.0, Scale::Log);
    let mut plot = Plot::new([560.0, 360.0], axis(parameter), y, "", "");
    for sigmas in 1..=7 {
        let p = fb_statistics::special::normal_cdf(-f64::from(sigmas));
        if p > least / 5.0 {
            plot.line(&[(x[0], p), (x[x.len() - 1], p)], "#94a4a2", "4 3");
            plot.text(x[0] + 0.97 * (x[x.len() - 1] - x[0]), p, &format!("{sigmas}σ"), "#717581");
        }
    }
    plot.line(&found.points.iter().map(|p| (p.mean, p.p())).collect::<Vec<_>>(), colour(0), "");
    let sizes: Vec<(f64, f64)> = found.points.iter().map(|p| (p.mean, p.size)).collect();
    let most = sizes.iter().map(|p| p.1).fold(0.0, f64::max).max(1.0) * 1.15;
    let mut yields =
        Plot::new([420.0, 360.0], axis(parameter), Axis::new("best yield", 0.0, most, Scale::Linear), "", "");
    yields.line(&sizes, colour(0), "");
    let shown = [plot.finish(Corner::UpperRight), yields.finish(Corner::UpperRight)];
    figure(&mut page, &shown, "p₀ of the absence of a peak at each place, and the yield that fits best there.");
    let mut rows = vec![vec!["upward crossings and the law of χ² (arXiv:1005.1891)".to_owned(), number(&found.global)]];
    if let Some((p, _)) = &found.toys {
        rows.push(vec!["pseudo-experiments without a peak".to_owned(), number(p)]);
    }
    table(&mut page, &["global p-value by", ""].map(str::to_owned), &rows);
    page + "</body></html>\n"
}

/// A p-value, however small.
pub fn number(p: &fb_core::Value) -> String {
    if p.central == 0.0 || p.central >= 1e-3 {
        p.to_string()
    } else {
        format!("{:.2e} ± {:.1e}", p.central, p.error())
    }
}
