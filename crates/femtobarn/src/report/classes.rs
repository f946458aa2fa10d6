//! The section of the report on problems with more than two classes.

use std::fmt::Write as _;

use super::plot::escape;
use super::{Report, section, table};
use crate::results::MethodResult;

/// Areas of each class and each pair, and confusion matrices.
pub fn show(page: &mut String, report: &Report<'_>) {
    let methods = report.results.by_first_metric(&report.experiment.evaluate.metrics);
    section(page, "Classes");
    let _ = writeln!(
        page,
        "<p>With {} classes, accuracies and log loss are those of the most probable class and of the true one; all other metrics are means over the classes, each against the rest. Curves, densities of scores, calibration and working points are drawn for two classes only.</p>",
        report.classes()
    );
    let labels: Vec<String> = methods.iter().map(|m| escape(&m.label)).collect();
    let head = |first: &str| -> Vec<String> { [first.to_owned()].into_iter().chain(labels.iter().cloned()).collect() };
    let rows: Vec<Vec<String>> = (0..report.classes()).map(|k| class_row(&methods, k)).collect();
    table(page, &head("AUC of a class against the rest"), &rows);
    let pairs = methods.first().map_or(0, |m| m.pairs.len());
    if pairs > 0 {
        let rows: Vec<Vec<String>> = (0..pairs).map(|at| pair_row(&methods, at)).collect();
        table(page, &head("AUC of two classes among themselves"), &rows);
    }
    let _ = writeln!(
        page,
        "<p>A pair is told apart by p<sub>a</sub>/(p<sub>a</sub> + p<sub>b</sub>). Shares of each class (row) that are taken for each class (column), signed weights included:</p>"
    );
    for method in methods {
        confusion(page, method);
    }
}

fn class_row(methods: &[&MethodResult], k: usize) -> Vec<String> {
    let cells = methods.iter().map(|m| m.classes.get(k).map_or_else(String::new, |c| c.auc.to_string()));
    [format!("class {k}")].into_iter().chain(cells).collect()
}

fn pair_row(methods: &[&MethodResult], at: usize) -> Vec<String> {
    let name = methods.iter().find_map(|m| m.pairs.get(at)).map_or_else(String::new, |p| format!("{} – {}", p.a, p.b));
    let cells = methods.iter().map(|m| m.pairs.get(at).map_or_else(String::new, |p| p.auc.to_string()));
    [name].into_iter().chain(cells).collect()
}

fn confusion(page: &mut String, method: &MethodResult) {
    let head: Vec<String> =
        [escape(&method.label)].into_iter().chain((0..method.confusion.len()).map(|k| format!("class {k}"))).collect();
    let row = |(k, row): (usize, &Vec<f64>)| -> Vec<String> {
        let cell = |(l, share): (usize, &f64)| {
            let class = if k == l { " class=\"best\"" } else { "" };
            format!("<td{class}>{share:.3}</td>")
        };
        [format!("class {k}")].into_iter().chain(row.iter().enumerate().map(cell)).collect()
    };
    table(page, &head, &method.confusion.iter().enumerate().map(row).collect::<Vec<_>>());
}
