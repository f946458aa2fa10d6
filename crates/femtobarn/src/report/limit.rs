//! The report of a limit: CLs against the strength of the signal, and the limits.

use fb_statistics::histfactory::{Hypothesis, Limits};

use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{figure, head, section, table};

/// Green and yellow, as the field has it.
const BANDS: [&str; 2] = ["#f5d327", "#5bb450"];

/// The page. `scan` are (strength, its test), in rising order.
pub fn html(title: &str, lead: &str, interest: &str, limits: &Limits, scan: &[(f64, Hypothesis)]) -> String {
    let mut page = head(title, &escape(lead));
    section(&mut page, "Limits");
    let numbers = std::iter::once(limits.observed).chain(limits.expected);
    let row = std::iter::once(escape(interest)).chain(numbers.map(|x| format!("{x:.5}"))).collect();
    let heads = ["95% upper limit", "observed", "−2σ", "−1σ", "expected", "+1σ", "+2σ"].map(str::to_owned);
    table(&mut page, &heads, &[row]);
    figure(
        &mut page,
        &[cls(interest, limits, scan), summary(interest, limits)],
        "Left, CLs of the data (points) and expected without signal (dashed; bands of one and two standard deviations); a strength is excluded at 95% where it is below 0.05. Right, the limits.",
    );
    page + "</body></html>\n"
}

fn cls(interest: &str, limits: &Limits, scan: &[(f64, Hypothesis)]) -> String {
    let x: Vec<f64> = scan.iter().map(|(mu, _)| *mu).collect();
    let column = |k: usize| scan.iter().map(|(_, test)| test.expected[k]).collect::<Vec<f64>>();
    let axis = Axis::new(interest, x[0], x[x.len() - 1], Scale::Linear);
    let mut plot = Plot::new([520.0, 380.0], axis, Axis::new("CLs", 0.0, 1.15, Scale::Linear), "", "");
    plot.filled(&x, &column(0), &column(4), BANDS[0]);
    plot.filled(&x, &column(1), &column(3), BANDS[1]);
    let line = |k: usize| x.iter().copied().zip(column(k)).collect::<Vec<_>>();
    plot.line(&line(2), "#111", "6 3");
    plot.line(&[(x[0], 0.05), (x[x.len() - 1], 0.05)], colour(2), "");
    let observed: Vec<(f64, f64)> = scan.iter().map(|(mu, test)| (*mu, test.observed)).collect();
    plot.line(&observed, "#111", "");
    plot.points(&observed.iter().map(|&(x, y)| (x, y, y, y)).collect::<Vec<_>>(), "#111");
    plot.line(&[(limits.observed, 0.0), (limits.observed, 0.05)], "#111", "2 2");
    for (text, colour, dash) in [
        ("observed", "#111", ""),
        ("expected", "#111", "6 3"),
        ("± 1σ", BANDS[1], ""),
        ("± 2σ", BANDS[0], ""),
        ("0.05", colour(2), ""),
    ] {
        plot.legend(text, colour, dash);
    }
    plot.finish(Corner::UpperRight)
}

fn summary(interest: &str, limits: &Limits) -> String {
    let [lowest, low, middle, high, highest] = limits.expected;
    let most = highest.max(limits.observed) * 1.15;
    let axis = Axis::new(&format!("95% upper limit on {interest}"), 0.0, most, Scale::Linear);
    let mut plot =
        Plot::new([420.0, 130.0], axis, Axis::new("", 0.0, 1.0, Scale::Linear), "", "").named(&["limit".to_owned()]);
    plot.span(0, [lowest, highest], BANDS[0], 1.0);
    plot.span(0, [low, high], BANDS[1], 1.0);
    plot.line(&[(middle, 0.15), (middle, 0.85)], "#111", "4 3");
    plot.line(&[(limits.observed, 0.1), (limits.observed, 0.9)], "#111", "");
    plot.finish(Corner::UpperRight)
}
