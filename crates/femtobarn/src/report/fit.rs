//! The report of a fit: parameters, pulls, impacts and correlations, profiles of the likelihood, data against model.

use std::fmt::Write as _;

use fb_core::Value;
use fb_statistics::goodness::deviance;
use fb_statistics::matrix::Matrix;

use super::figures::{SMALL, range};
use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{capital, figure, head, section, table};
use crate::inference::{Channel, Drawn, Expected, Impact, Outcome, Parameter, Profile, verdict};

/// Impacts, and rows of a correlation matrix, that are drawn.
const MOST: usize = 30;

/// The page.
pub fn html(title: &str, lead: &str, outcome: &Outcome) -> String {
    let mut page = head(title, &escape(lead));
    let unit = format!("−2 ln L = {:.4}.", outcome.twice_nll);
    let tested = outcome.goodness.as_ref().map_or_else(String::new, |g| format!(" {}.", capital(&verdict(g))));
    let _ = writeln!(page, "<p>{unit}{tested}</p>");
    if outcome.covariance.is_none() {
        page +=
            "<p class=\"warning\">No errors: the second derivatives at the minimum are not positive definite.</p>\n";
    }
    if let Some(drawn) = &outcome.drawn {
        section(&mut page, "Data and model");
        // A sample has one colour in all channels.
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in drawn.channels.iter().flat_map(|channel| &channel.after.parts) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        for channel in &drawn.channels {
            let panels = [("before the fit", &channel.before), ("after the fit", &channel.after)];
            figure(&mut page, &panels.map(|(when, expected)| spectrum(channel, expected, when, &names)), "");
        }
        page += "<p>Points: what was seen. Areas: what the model expects, with its error in grey. Below, the ratio of the two, and signed roots of each bin's 2 (λ − n + n ln(n/λ)).</p>\n";
        section(&mut page, "Profiles of the likelihood");
        let scans: Vec<String> =
            drawn.scans.iter().filter(|s| s.points.len() > 1).map(|s| profile(s, &outcome.parameters)).collect();
        figure(
            &mut page,
            &scans,
            "Rise of −2 ln L, lowest in all other parameters; dotted, the parabola of the error. Lines at 1 and 4 for 68.3% and 95.4%.",
        );
        if let Some(impacts) = outcome.impacts.as_ref().filter(|i| !i.is_empty()) {
            show_impacts(&mut page, drawn, impacts);
        }
    }
    if let Some(covariance) = &outcome.covariance {
        show_correlations(&mut page, outcome, covariance);
    }
    section(&mut page, "Parameters");
    let rows: Vec<Vec<String>> = outcome.parameters.iter().map(row).collect();
    table(&mut page, &["parameter", "value", "error", "interval", "from"].map(str::to_owned), &rows);
    page + "</body></html>\n"
}

fn row(p: &Parameter) -> Vec<String> {
    let digits = if p.error > 0.0 { (2.0 - p.error.log10().floor()).clamp(0.0, 9.0) as usize } else { 4 };
    let number = |x: f64| if x.is_finite() { format!("{x:.digits$}") } else { "–".to_owned() };
    let interval = format!("{} to {}", number(p.low), number(p.high));
    vec![escape(&p.name), number(p.value), number(p.error), interval, p.kind.to_owned()]
}

/// Data and model with the panels below: three frames over one axis.
fn spectrum(channel: &Channel, expected: &Expected, when: &str, names: &[&str]) -> String {
    const WIDTH: f64 = 500.0;
    let edges = &channel.edges;
    let (sum, last) = (expected.sum(), edges[edges.len() - 1]);
    let middles: Vec<f64> = edges.windows(2).map(|e| f64::midpoint(e[0], e[1])).collect();
    let x = || Axis::new(&channel.axis, edges[0], last, Scale::Linear);
    // Of nothing, the central 68% interval reaches up to −ln 0.1587.
    let ends = |n: f64, v: f64| if n == 0.0 { (0.0, 1.841) } else { (n - v.sqrt(), n + v.sqrt()) };
    let seen = || middles.iter().zip(channel.seen.iter().zip(&channel.variances).zip(&sum));
    let highest = range(seen().map(|(_, ((n, v), sum))| ends(*n, *v).1.max(*sum)))[1];
    // The legend stands above what is drawn, as far as that leaves a third of the frame.
    let room = (1.0 - 0.06 * (expected.parts.len() as f64 + 2.0)).max(0.36).recip();
    let y = Axis::new("events per bin", 0.0, highest * room, Scale::Linear);
    let mut upper = Plot::new([WIDTH, 300.0], x(), y, &channel.name, when).panel(false, true);
    // The largest lies at the bottom: each is drawn over the sum that it tops.
    let mut order: Vec<usize> = (0..expected.parts.len()).collect();
    let size = |k: usize| expected.parts[k].1.iter().sum::<f64>();
    order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
    let mut stacked = vec![0.0; sum.len()];
    let mut layers = Vec::new();
    for &k in &order {
        stacked.iter_mut().zip(&expected.parts[k].1).for_each(|(sum, x)| *sum += x);
        layers.push((k, stacked.clone()));
    }
    for (k, layer) in layers.iter().rev() {
        upper.steps(edges, layer, "#fff", 1.0);
        let name = &expected.parts[*k].0;
        let colour = colour(names.iter().position(|n| n == name).unwrap_or(*k));
        upper.steps(edges, layer, colour, 0.45);
        upper.legend(name, colour, "");
    }
    let both = |low: &mut Vec<f64>, high: &mut Vec<f64>, sum: f64, error: f64, unit: f64| {
        low.extend([(sum - error) / unit; 2]);
        high.extend([(sum + error) / unit; 2]);
    };
    let corners: Vec<f64> = edges.windows(2).flat_map(|e| [e[0], e[1]]).collect();
    let band = |relative: bool| {
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for (sum, error) in sum.iter().zip(&expected.errors) {
            both(&mut low, &mut high, *sum, *error, if relative { sum.max(1e-300) } else { 1.0 });
        }
        (low, high)
    };
    let (low, high) = band(false);
    upper.band(&corners, &low, &high, "#111");
    let point = |x: f64, n: f64, v: f64, unit: f64| (x, ends(n, v).0 / unit, n / unit, ends(n, v).1 / unit);
    upper.points(&seen().map(|(x, ((n, v), _))| point(*x, *n, *v, 1.0)).collect::<Vec<_>>(), "#111");
    upper.legend("data", "#111", "");

    let reach =
        seen().filter(|(_, (_, sum))| **sum > 0.0).map(|(_, ((n, v), sum))| (n / sum - 1.0).abs() + v.sqrt() / sum);
    let reach = range(reach.map(|r| r.min(2.0)))[1].clamp(0.05, 1.0) * 1.1;
    let mut ratio = Plot::new([WIDTH, 100.0], x(), Axis::new("ratio", 1.0 - reach, 1.0 + reach, Scale::Linear), "", "")
        .panel(true, true);
    let (low, high) = band(true);
    ratio.band(&corners, &low, &high, "#111");
    ratio.line(&[(edges[0], 1.0), (last, 1.0)], "#111", "4 3");
    let points = seen().filter(|(_, (_, sum))| **sum > 0.0).map(|(x, ((n, v), sum))| point(*x, *n, *v, *sum));
    ratio.points(&points.collect::<Vec<_>>(), "#111");

    // Weighted sums are no counts: their pull is in units of their error.
    let pull = |n: f64, v: f64, sum: f64| {
        let size = if (n - v).abs() < 1e-9 * n.abs() || v == 0.0 {
            deviance(n, sum).sqrt()
        } else {
            (n - sum).abs() / v.sqrt()
        };
        if n < sum { -size } else { size }
    };
    let pulls: Vec<f64> = seen().map(|(_, ((n, v), sum))| pull(*n, *v, *sum)).collect();
    let most = range(pulls.iter().map(|p| p.abs()))[1].clamp(2.0, 8.0) * 1.15;
    let y = Axis::new("pull", -most, most, Scale::Linear);
    let mut lower = Plot::new([WIDTH, 130.0], x(), y, "", "").panel(true, false);
    for (edges, pull) in edges.windows(2).zip(&pulls) {
        lower.cell([edges[0], edges[1]], [pull.min(0.0), pull.max(0.0)], colour(0));
    }
    lower.line(&[(edges[0], 0.0), (last, 0.0)], "#111", "");
    let panels = [upper, ratio, lower].map(|plot| plot.finish(Corner::UpperRight));
    format!("<div class=\"panels\">{}</div>", panels.concat())
}

fn profile(scan: &Profile, parameters: &[Parameter]) -> String {
    let [low, high] = range(scan.points.iter().map(|p| p.0));
    let highest = range(scan.points.iter().map(|p| p.1))[1].clamp(4.5, 12.0);
    let y = Axis::new("Δ(−2 ln L)", 0.0, highest, Scale::Linear);
    let mut plot = Plot::new(SMALL, Axis::new(&scan.name, low, high, Scale::Linear), y, "", "");
    for rise in [1.0, 4.0] {
        plot.line(&[(low, rise), (high, rise)], "#94a4a2", "4 3");
    }
    if let Some(found) = parameters.iter().find(|p| p.name == scan.name) {
        // What the errors of second derivatives say.
        let parabola = (0..=60).map(|i| low + (high - low) * f64::from(i) / 60.0);
        let parabola: Vec<(f64, f64)> = parabola.map(|x| (x, ((x - found.value) / found.error).powi(2))).collect();
        plot.line(&parabola, colour(1), "2 3");
    }
    plot.line(&scan.points, colour(0), "");
    plot.finish(Corner::UpperRight)
}

fn show_impacts(page: &mut String, drawn: &Drawn, impacts: &[Impact]) {
    section(page, "Impacts, pulls and constraints");
    let shown = &impacts[..impacts.len().min(MOST)];
    let names: Vec<String> = shown.iter().map(|i| i.name.clone()).collect();
    let size = [440.0, 72.0 + 21.0 * names.len() as f64];
    let rows = || Axis::new("", 0.0, names.len() as f64, Scale::Linear);
    let all = |i: &Impact| i.of.before.into_iter().flatten().chain([i.of.up, i.of.down]).collect::<Vec<f64>>();
    let most = range(shown.iter().flat_map(all).map(f64::abs))[1].max(1e-9) * 1.1;
    let interest = drawn.interest.as_deref().unwrap_or_default();
    let mut bars =
        Plot::new(size, Axis::new(&format!("Δ {interest}"), -most, most, Scale::Linear), rows(), "", "").named(&names);
    let mut marks = Plot::new([340.0, size[1]], Axis::new("(θ̂ − θ₀)/σ₀", -3.0, 3.0, Scale::Linear), rows(), "", "")
        .named(&vec![String::new(); names.len()]);
    marks.line(&[(-1.0, 0.0), (-1.0, names.len() as f64)], "#94a4a2", "4 3");
    marks.line(&[(1.0, 0.0), (1.0, names.len() as f64)], "#94a4a2", "4 3");
    bars.line(&[(0.0, 0.0), (0.0, names.len() as f64)], "#111", "");
    for (i, Impact { of, .. }) in shown.iter().enumerate() {
        for (k, (value, colour)) in [(of.up, colour(0)), (of.down, colour(2))].into_iter().enumerate() {
            if let Some(before) = of.before.map(|before| before[k]).filter(|x| x.is_finite()) {
                bars.span(i, [0.0, before], colour, 0.0);
            }
            if value.is_finite() {
                bars.span(i, [0.0, value], colour, 0.6);
            }
        }
        if let (Some(pull), Some(constraint)) = (of.pull, of.constraint) {
            marks.mark(i, &Value::symmetric(pull, constraint), "#111");
        }
    }
    let mut caption = format!(
        "Change of the best {} where a parameter is held one error above (blue) or below (red) its best value, and all others are fitted again; frames for one error of its auxiliary measurement. Right, the parameter in units of that measurement; its error is shorter than one where the data know more.",
        escape(interest)
    );
    if shown.len() < impacts.len() {
        let _ = write!(caption, " The {MOST} largest of {}.", impacts.len());
    }
    figure(page, &[bars.finish(Corner::LowerRight), marks.finish(Corner::LowerRight)], &caption);
}

/// The parameters with the largest correlations, as a square of colours.
fn show_correlations(page: &mut String, outcome: &Outcome, covariance: &Matrix) {
    let error = |i: usize| covariance.row(i)[i].sqrt();
    let correlation = |i: usize, j: usize| covariance.row(i)[j] / (error(i) * error(j));
    let free: Vec<usize> = (0..covariance.size()).filter(|&i| error(i) > 0.0).collect();
    if free.len() < 2 {
        return;
    }
    section(page, "Correlations");
    let strongest = |i: usize| free.iter().filter(|j| **j != i).map(|&j| correlation(i, j).abs()).fold(0.0, f64::max);
    let mut shown = free.clone();
    shown.sort_by(|&a, &b| strongest(b).total_cmp(&strongest(a)));
    shown.truncate(MOST);
    shown.sort_unstable();
    let names: Vec<String> = shown.iter().map(|&i| outcome.parameters[i].name.clone()).collect();
    let n = names.len() as f64;
    let cell = (520.0 / n).clamp(18.0, 44.0);
    let axis = |label: &str| Axis::new(label, 0.0, n, Scale::Linear);
    let mut plot = Plot::new([76.0 + cell * n, 72.0 + cell * n], axis(""), axis(""), "", "").named(&names).unnumbered();
    for (row, &i) in shown.iter().enumerate() {
        let y = n - row as f64;
        for (column, &j) in shown.iter().enumerate() {
            let (x, c) = (column as f64, correlation(i, j));
            plot.cell([x, x + 1.0], [y - 1.0, y], &shade(c));
            if cell > 24.0 {
                plot.text(x + 0.5, y - 0.5, &format!("{c:.2}"), if c.abs() > 0.6 { "#fff" } else { "#111" });
            }
        }
    }
    let mut caption = "Correlations of the parameters, from the second derivatives; columns in the order of the rows. Red is positive, blue negative.".to_owned();
    if shown.len() < free.len() {
        let _ = write!(caption, " The {MOST} of {} that are correlated most.", free.len());
    }
    figure(page, &[plot.finish(Corner::LowerRight)], &caption);
}

/// White at 0, red at 1, blue at −1.
fn shade(correlation: f64) -> String {
    let part = correlation.abs().min(1.0);
    let mix = |full: f64| (255.0 + (full - 255.0) * part).round() as u8;
    let [r, g, b] = if correlation > 0.0 { [189.0, 31.0, 1.0] } else { [39.0, 106.0, 180.0] };
    format!("#{:02x}{:02x}{:02x}", mix(r), mix(g), mix(b))
}
