//! The report of a run: one HTML file that needs nothing else.

pub(crate) mod analysis;
mod asymmetry;
pub mod bubbles;
mod classes;
pub mod equations;
mod figures;
pub mod fit;
mod groups;
mod importance;
pub mod limit;
mod plot;
pub mod search;
pub mod selection;

use std::fmt::Write as _;

use fb_core::{Sample, Task};
use plot::escape;

use crate::evaluate::{Closure, Figures};
use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::importance::Looks;
use crate::pipeline::Training;
use crate::read::Source;
use crate::results::{Results, heading, is_error, show, thousands};

/// What the report shows.
pub struct Report<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its results.
    pub results: &'a Results,
    /// For each method; empty but for two classes.
    pub figures: Vec<&'a Figures>,
    /// For each method and target of a regression.
    pub closure: Vec<&'a [Closure]>,
    /// What each method looks at.
    pub looks: Vec<Looks>,
    /// The first training of each method.
    pub trainings: Vec<&'a Training>,
    /// Test events.
    pub test: &'a Sample,
    /// Training events.
    pub train: &'a Sample,
}

impl Report<'_> {
    fn label(&self) -> &str {
        &self.experiment.evaluate.label
    }

    /// How many classes there are; one in a regression.
    fn classes(&self) -> usize {
        self.results.parts.first().map_or(2, |p| p.events.len())
    }
}

/// The page.
pub fn html(report: &Report<'_>) -> Result<String> {
    let (results, experiment) = (report.results, report.experiment);
    let trainings = if experiment.seeds > 1 {
        format!(", {} trainings of each (figures show the first),", experiment.seeds)
    } else {
        String::new()
    };
    let events: Vec<String> =
        results.parts.iter().map(|p| format!("{} {}", thousands(p.events.iter().sum()), p.name)).collect();
    let lead = format!(
        "{} methods{trainings} on {} events. femtobarn {}, seed {}.",
        results.methods.len(),
        events.join(", "),
        results.version,
        results.seed
    );
    let mut page = head(&results.title, &lead);
    for warning in &results.warnings {
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escape(warning));
    }
    metrics_table(&mut page, report);
    if experiment.seeds > 1 {
        seeds_table(&mut page, report);
    }
    match report.classes() {
        _ if experiment.task() == Task::Partition => {
            groups::show_groups(&mut page, report);
            differences_table(&mut page, report);
        }
        1 => residuals(&mut page, report),
        2 => roc_and_scores(&mut page, report),
        _ => {
            classes::show(&mut page, report);
            differences_table(&mut page, report);
        }
    }
    if let (Some(found), Some(options)) = (&results.analysis, &experiment.analysis) {
        analysis::show(&mut page, found, &options.mass, report.label());
    }
    if let (Some(found), Some(options)) = (&results.asymmetry, &experiment.asymmetry) {
        asymmetry::show(&mut page, found, options, report.label());
    }
    section(&mut page, "Training");
    let mut shown = vec![figures::losses(report)];
    shown.extend(figures::learning_curve(report));
    figure(
        &mut page,
        &shown,
        "Loss per epoch, and where it was asked for the area under the curve against the number of training events.",
    );
    speed_table(&mut page, report);
    if report.classes() == 2 && experiment.task() == Task::Classify {
        working_points(&mut page, report);
    }
    for (method, looks) in results.methods.iter().zip(&report.looks) {
        importance::show(&mut page, method, looks, experiment.is_regression());
    }
    section(&mut page, "Inputs");
    let inputs = experiment.method.iter().map(|m| fb_methods::method(&m.name)?.input(&m.config));
    let images = figures::images(report, &inputs.collect::<fb_core::Result<Vec<_>>>()?)?;
    figure(
        &mut page,
        &images,
        "Mean share of pT per pixel after centring, rotation and flips, on a logarithmic scale of five decades (test events).",
    );
    figure(&mut page, &figures::inputs(report), "Columns of the files (training events).");
    data_table(&mut page, report);
    section(&mut page, "How to repeat it");
    let _ = writeln!(
        page,
        "<p>Save this as <code>experiment.toml</code> and run <code>fb run experiment.toml</code> where the files above are. The models come out with the same bits on any number of threads.</p><pre>{}</pre>",
        escape(&experiment.to_toml()?)
    );
    foot(page, results)
}

/// The end of a page, with the results in it.
fn foot(mut page: String, results: &impl serde::Serialize) -> Result<String> {
    let json = serde_json::to_string(results).map_err(|e| Failure::Data(format!("report: {e}")))?;
    // A text in it may hold the end of a script.
    let _ = writeln!(page, "<script type=\"application/json\" id=\"results\">{}</script>", json.replace("</", "<\\/"));
    page += "</body></html>\n";
    Ok(page)
}

/// A table of what something is.
fn facts(page: &mut String, rows: &[(&str, String)]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|(what, value)| vec![escape(what), escape(value)]).collect();
    table(page, &["quantity".to_owned(), "value".to_owned()], &rows);
}

/// What is drawn of predictions against targets.
fn residuals(page: &mut String, report: &Report<'_>) {
    section(page, "Residuals and closure");
    for (k, target) in report.experiment.read.target.iter().enumerate() {
        let caption = format!(
            "Prediction − target of {} on the test events: density; mean and root mean square about it in bins of equal population of the target, with 68% bootstrap intervals. A prediction that is drawn to the mean, as every regression is where it knows little, rises above zero on the left and falls below it on the right.",
            escape(target)
        );
        figure(page, &figures::closure(report, k, target), &caption);
    }
    differences_table(page, report);
}

/// What is drawn of signal against background.
fn roc_and_scores(page: &mut String, report: &Report<'_>) {
    section(page, "Receiver operating characteristic");
    figure(
        page,
        &[figures::roc(report)],
        "Background rejection against signal efficiency on the test events. Bands hold 68% of the bootstrap replicas.",
    );
    let methods = report.results.methods.iter().zip(&report.figures);
    let areas: Vec<String> = methods.map(|(m, f)| format!("{} {}", escape(&m.label), f.delong)).collect();
    let _ = writeln!(
        page,
        "<p>Areas under these curves with the errors that follow from the placements of single events (DeLong): {}.</p>",
        areas.join(", ")
    );
    if let Some(scan) = figures::ams(report) {
        let caption = "Approximate median significance of the events above a threshold, against the signal efficiency of the threshold: as far as 25 effective background events are left. The largest value of a scan is biased upwards by its own fluctuations.";
        figure(page, &[scan], caption);
    }
    differences_table(page, report);
    section(page, "Scores");
    let scores = report.results.methods.iter().zip(&report.figures);
    let scores: Vec<String> = scores.map(|(m, f)| figures::scores(m, f)).collect();
    figure(
        page,
        &scores,
        "Densities of the score: test events filled, training events as points with their errors. Points off the filled area would show overtraining.",
    );
}

fn working_points(page: &mut String, report: &Report<'_>) {
    section(page, "Working points and calibration");
    let mut shown: Vec<String> = figures::bins(report).into_iter().collect();
    shown.push(figures::calibration(report));
    figure(
        page,
        &shown,
        &format!(
            "Background rejection in bins of {}, at the one threshold that keeps half of all signal; share of signal against the mean score in bins of equal population.",
            escape(&report.experiment.evaluate.bins_in)
        ),
    );
    working_points_table(page, report);
}

/// The beginning of a page.
fn head(title: &str, lead: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{}</style></head><body>\n<h1>{title}</h1><p class=\"lead\">{lead}</p>\n",
        include_str!("style.css")
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Safe text in which `ε_S` and `ε_B` have their subscripts.
fn subscripts(text: &str) -> String {
    escape(text).replace("ε_S", "ε<sub>S</sub>").replace("ε_B", "ε<sub>B</sub>")
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, "<h2>{title}</h2>");
}

fn figure(page: &mut String, figures: &[String], caption: &str) {
    if !figures.is_empty() {
        let _ = writeln!(
            page,
            "<figure><div class=\"row\">{}</div><figcaption>{caption}</figcaption></figure>",
            figures.concat()
        );
    }
}

fn table(page: &mut String, head: &[String], rows: &[Vec<String>]) {
    let _ = write!(page, "<div class=\"wide\"><table><thead><tr>");
    for cell in head {
        let _ = write!(page, "<th>{cell}</th>");
    }
    page.push_str("</tr></thead><tbody>");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            // A cell may bring its own tag.
            let _ = if cell.starts_with("<td") { write!(page, "{cell}") } else { write!(page, "<td>{cell}</td>") };
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>\n");
}

fn heads(first: &[&str], metrics: &[String]) -> Vec<String> {
    first.iter().map(|&s| s.to_owned()).chain(metrics.iter().map(|m| subscripts(&heading(m)))).collect()
}

fn metrics_table(page: &mut String, report: &Report<'_>) {
    let metrics = &report.experiment.evaluate.metrics;
    let methods = report.results.by_first_metric(metrics);
    let best: Vec<f64> = metrics
        .iter()
        .map(|name| {
            let sign = if is_error(name) { -1.0 } else { 1.0 };
            let values = methods.iter().filter_map(|m| m.metrics.get(name)).map(|v| sign * v.central);
            // These are best at no end.
            let has_best = !["bias", "response"].contains(&name.split(':').next().unwrap_or_default());
            if has_best { sign * values.fold(f64::NEG_INFINITY, f64::max) } else { f64::NAN }
        })
        .collect();
    let rows: Vec<Vec<String>> = methods
        .iter()
        .map(|method| {
            let mut row = vec![escape(&method.label), thousands(method.parameters)];
            for (name, best) in metrics.iter().zip(&best) {
                let Some(value) = method.metrics.get(name) else { continue };
                let class = if value.central == *best { " class=\"best\"" } else { "" };
                row.push(format!("<td{class}>{}</td>", escape(&show(value))));
            }
            row
        })
        .collect();
    table(page, &heads(&["method", "parameters"], metrics), &rows);
    let average = if report.experiment.seeds > 1 { "Means over the trainings; e" } else { "E" };
    let _ = writeln!(
        page,
        "<p>{average}rrors are half the central 68% interval of {} bootstrap replicas of the test events, the same for all methods.</p>",
        report.experiment.evaluate.replicas
    );
}

fn seeds_table(page: &mut String, report: &Report<'_>) {
    section(page, "Single trainings and their ensembles");
    let metrics = &report.experiment.evaluate.metrics;
    let mut rows = Vec::new();
    for method in report.results.by_first_metric(metrics) {
        let kinds = [("mean score", &method.ensemble_mean), ("median score", &method.ensemble_median)];
        let single = metrics.iter().map(|m| {
            let (value, spread) = (method.metrics.get(m), method.spread.get(m));
            value.zip(spread).map_or_else(String::new, |(v, s)| fb_core::Value::symmetric(v.central, *s).to_string())
        });
        rows.push([escape(&method.label), "single, ± spread".to_owned()].into_iter().chain(single).collect());
        for (kind, values) in kinds {
            let cells = metrics.iter().map(|m| values.get(m).map_or_else(String::new, |v| escape(&show(v))));
            rows.push([String::new(), kind.to_owned()].into_iter().chain(cells).collect());
        }
    }
    table(page, &heads(&["method", "score"], metrics), &rows);
}

fn differences_table(page: &mut String, report: &Report<'_>) {
    let Some(leading) = report.results.differences.first().map(|d| d.metric.name) else { return };
    let several = report.experiment.read.target.len() > 1;
    let first = report.experiment.read.target.first().filter(|_| several);
    let key = first.map_or_else(|| leading.to_owned(), |target| format!("{leading}:{target}"));
    let (methods, name) = (report.results.by_first_metric(&[key]), heading(leading));
    if methods.len() < 2 {
        return;
    }
    let rows: Vec<Vec<String>> = methods
        .windows(2)
        .filter_map(|pair| {
            let (a, b) = (&pair[0].label, &pair[1].label);
            let found = report.results.differences.iter().find(|d| (&d.a, &d.b) == (a, b) || (&d.a, &d.b) == (b, a))?;
            let size = fb_core::Value::symmetric(found.metric.value.central.abs(), found.metric.value.error());
            Some(vec![escape(a), escape(b), size.to_string(), format!("{:.1} σ", found.sigmas)])
        })
        .collect();
    let _ =
        writeln!(page, "<p>Neighbours in the order of their {}, on the same bootstrap replicas:</p>", escape(&name));
    let difference = format!("difference of {name}");
    table(page, &["better", "than", &difference, "significance"].map(str::to_owned), &rows);
}

fn speed_table(page: &mut String, report: &Report<'_>) {
    let rows: Vec<Vec<String>> = report
        .results
        .methods
        .iter()
        .zip(&report.trainings)
        .map(|(m, t)| [escape(&m.label)].into_iter().chain(figures::speed(m, t)).collect())
        .collect();
    let threads = format!("time ({} threads)", report.results.threads);
    table(
        page,
        &["method", "epochs", &threads, "events per second", "peak memory, data included"].map(str::to_owned),
        &rows,
    );
}

fn working_points_table(page: &mut String, report: &Report<'_>) {
    let Some(first) = report.figures.iter().find(|f| !f.bins.is_empty()) else { return };
    let mut head = vec![subscripts("1/ε_B (ε_S)")];
    head.extend(first.bins.iter().map(|b| format!("{:.0} – {:.0}", b.edges[0], b.edges[1])));
    let rows: Vec<Vec<String>> = report
        .results
        .methods
        .iter()
        .zip(&report.figures)
        .map(|(m, f)| {
            let cells = f.bins.iter().map(|b| format!("{} ({:.2})", escape(&show(&b.rejection)), b.signal.central));
            [escape(&m.label)].into_iter().chain(cells).collect()
        })
        .collect();
    table(page, &head, &rows);
}

fn data_table(page: &mut String, report: &Report<'_>) {
    section(page, "Data");
    let parts = report.results.parts.iter().map(|p| {
        let counts = p.events.iter().map(|n| thousands(*n));
        let weights =
            p.weights.iter().map(|w| format!("{w:.6}").trim_end_matches('0').trim_end_matches('.').to_owned());
        let sizes = [format!("{:.1}%", 100.0 * p.negative_share), thousands(p.effective_events.round() as usize)];
        [p.name.clone()].into_iter().chain(counts).chain(weights).chain(sizes).collect::<Vec<_>>()
    });
    let names: Vec<String> = figures::class_names(report.classes()).map(|(name, _)| name).collect();
    let columns = ["events", "weights"].into_iter().flat_map(|what| names.iter().map(move |n| format!("{n} {what}")));
    let sizes = ["negative weight", "effective events"].map(str::to_owned);
    let head: Vec<String> = ["part".to_owned()].into_iter().chain(columns).chain(sizes).collect();
    table(page, &head, &parts.collect::<Vec<_>>());
    source_table(page, &report.results.sources);
}

fn source_table(page: &mut String, sources: &[Source]) {
    let sources = sources.iter().map(|s| {
        let path = escape(&s.path.display().to_string());
        let hash = format!("<td class=\"hash\">{}</td>", s.sha256);
        vec![path, s.role.clone(), thousands(s.selected), thousands(s.events), hash]
    });
    table(page, &["file", "role", "selected", "of events", "SHA-256"].map(str::to_owned), &sources.collect::<Vec<_>>());
}
