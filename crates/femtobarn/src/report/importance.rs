//! What the report shows of the variables that a method looks at.

use fb_core::Value;

use super::figures::{CLASSES, SMALL, range, with_unit};
use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{figure, section, table};
use crate::importance::{Dependence, Dots, Looks};
use crate::results::{Importance, MethodResult};

/// Variables in a figure of bars.
const BARS: usize = 15;
/// Variables in the table.
const ROWS: usize = 40;

/// One of the numbers of a variable.
type Pick = fn(&Importance) -> Option<Value>;

/// One section of a method.
pub fn show(page: &mut String, method: &MethodResult, looks: &Looks, is_regression: bool) {
    if looks.importance.is_empty() {
        return;
    }
    let trees = looks.importance.iter().any(|i| i.gain.is_some());
    let who = if trees { "the trees look" } else { "the method looks" };
    section(page, &format!("What {who} at: {}", escape(&method.label)));
    let (what, worse) = if is_regression {
        ("By how much the r.m.s. of the residuals grows", "rise of RMSE")
    } else {
        ("What the area under the curve loses", "loss of AUC")
    };
    let kinds: [(&str, Pick); 3] =
        [(worse, |i| i.permutation), ("mean |φ|", |i| i.shap), ("share of the gains", |i| i.gain)];
    let shown = kinds.iter().enumerate().filter_map(|(i, (label, pick))| bars(looks, label, *pick, colour(i)));
    let mut caption = format!(
        "{what} when the values of one column are dealt out anew among the test events (mean of 5 permutations; the errors join paired bootstrap and spread of the permutations)"
    );
    if trees {
        caption += "; mean size of the exact Shapley values φ on test events, in units of the output before it becomes a score (68% bootstrap intervals); share of each variable in the gains of all splits (errors by the jackknife over 10 groups of trees)";
    }
    caption += ". Variables that say the same share their importance: each alone may seem dispensable.";
    figure(page, &shown.collect::<Vec<_>>(), &caption);
    let shown: Vec<String> = looks.dependence.iter().filter_map(dependence).collect();
    figure(
        page,
        &shown,
        "Mean score if all test events had the same value of a variable, with its standard error, at 20 quantiles of the variable.",
    );
    let dots = |of: &Dots| dots(of, is_regression);
    let shown: Vec<String> = looks.dots.iter().filter_map(dots).collect();
    figure(
        page,
        &shown,
        "Shapley values of test events against the variable: how far its value moves the output from what is expected.",
    );
    let cell = |value: &Option<Value>| value.map_or_else(String::new, |v| v.to_string());
    let row = |i: &Importance| vec![escape(&i.variable), cell(&i.permutation), cell(&i.shap), cell(&i.gain)];
    let rows: Vec<Vec<String>> = looks.importance.iter().take(ROWS).map(row).collect();
    table(page, &["variable", worse, "mean |φ|", "share of the gains"].map(str::to_owned), &rows);
}

/// Bars of the first variables that have such a number; none without any.
fn bars(looks: &Looks, label: &str, pick: Pick, colour: &str) -> Option<String> {
    let all = looks.importance.iter().filter_map(|i| Some((i.variable.clone(), pick(i)?)));
    let (names, values): (Vec<String>, Vec<Value>) = all.take(BARS).unzip();
    if names.is_empty() {
        return None;
    }
    let [low, high] = range(values.iter().flat_map(|v| [v.low, v.central, v.high]));
    let (count, margin) = (names.len() as f64, 0.05 * (high - low.min(0.0)));
    let x = Axis::new(label, if low < 0.0 { low - margin } else { 0.0 }, high + margin, Scale::Linear);
    let y = Axis::new("", 0.0, count, Scale::Linear);
    let mut plot = Plot::new([SMALL[0], 80.0 + 18.0 * count], x, y, "", "").named(&names);
    values.iter().enumerate().for_each(|(i, value)| plot.bar(i, value, colour));
    Some(plot.finish(Corner::LowerRight))
}

fn dependence(of: &Dependence) -> Option<String> {
    let [left, right] = range(of.points.iter().map(|p| p.0));
    let [low, high] = range(of.points.iter().flat_map(|p| [p.1.low, p.1.high]));
    if of.points.len() < 2 {
        return None;
    }
    let margin = 0.1 * (high - low);
    let y = Axis::new("mean score", low - margin, high + margin, Scale::Linear);
    let x = Axis::new(&with_unit(&of.variable), left, right, Scale::Linear);
    let mut plot = Plot::new(SMALL, x, y, "", "partial dependence");
    let column = |pick: fn(&(f64, Value)) -> f64| of.points.iter().map(pick).collect::<Vec<f64>>();
    plot.band(&column(|p| p.0), &column(|p| p.1.low), &column(|p| p.1.high), colour(0));
    plot.line(&of.points.iter().map(|(x, v)| (*x, v.central)).collect::<Vec<_>>(), colour(0), "");
    Some(plot.finish(Corner::UpperRight))
}

fn dots(of: &Dots, is_regression: bool) -> Option<String> {
    let all = || of.points.iter().flatten();
    let mut values: Vec<f64> = all().map(|p| p.0).collect();
    if values.len() < 2 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    // A few events far away would press all others together.
    let [left, right] = [0.01, 0.99].map(|q| fb_statistics::quantile(&values, q));
    let [low, high] = range(all().map(|p| p.1));
    let margin = 0.1 * (high - low);
    let x = Axis::new(&with_unit(&of.variable), left, right, Scale::Linear);
    let y = Axis::new("φ", low - margin, high + 3.0 * margin, Scale::Linear);
    let mut plot = Plot::new(SMALL, x, y, "", "Shapley values");
    for ((name, colour), points) in CLASSES.into_iter().zip(&of.points) {
        plot.dots(points, colour);
        if !is_regression {
            plot.legend(name, colour, "");
        }
    }
    Some(plot.finish(Corner::UpperRight))
}
