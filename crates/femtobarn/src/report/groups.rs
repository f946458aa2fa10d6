//! The section of the report on particles that are put into groups.

use std::fmt::Write as _;

use super::plot::escape;
use super::{Report, section, subscripts, table};
use crate::results::{heading, show};

/// How well the groups agree with the true ones in events of each class.
pub fn show_groups(page: &mut String, report: &Report<'_>) {
    section(page, "Groups of particles");
    let column = report.experiment.read.partition.as_deref().unwrap_or_default();
    let _ = writeln!(
        page,
        "<p>Pairs of particles of an event, together or apart in what is found and in <code>{}</code>. Each number is the mean over the test events, in which a ratio of nothing to nothing is one where all pairs are right and zero else.</p>",
        escape(column)
    );
    let methods = report.results.by_first_metric(&report.experiment.evaluate.metrics);
    let names: Vec<&str> = fb_statistics::clustering::Agreement::ALL.iter().map(|(name, _)| *name).collect();
    let mut rows = Vec::new();
    for class in 0..report.classes() {
        for method in &methods {
            let Some(found) = method.groups.get(class) else { continue };
            let cells = names.iter().map(|name| found.metrics.get(name).map_or_else(String::new, |v| escape(&show(v))));
            rows.push([format!("class {class}"), escape(&method.label)].into_iter().chain(cells).collect());
        }
    }
    let head = ["events of", "method"].map(str::to_owned).into_iter();
    let head: Vec<String> = head.chain(names.iter().map(|name| subscripts(&heading(name)))).collect();
    table(page, &head, &rows);
}
