//! The report of `fb bubble`: the bounce, its way through the space of fields, the transition and its gravitational waves.

use std::fmt::Write as _;

use fb_methods::bubble::{Bounce, Detector, Potential, Source, Transition, Waves};
use serde_json::Value;

use super::figures::{MAP, Map, WIDE, range};
use super::plot::{Axis, Corner, Plot, Scale, colour, escape};
use super::{facts, figure, foot, head, section};
use crate::failure::Result;

/// Places of a side of a map.
const SIDE: usize = 49;
/// The signal-to-noise ratio at which waves count as seen.
const SEEN: f64 = 10.0;

/// What the report shows.
pub struct Report<'a> {
    /// The name of the file.
    pub title: &'a str,
    /// The file itself.
    pub text: &'a str,
    /// The names of the fields.
    pub fields: &'a [String],
    /// Their potential.
    pub potential: &'a Potential,
    /// The bounce, if there is one.
    pub bounce: Option<&'a Bounce>,
    /// Three or four.
    pub dimension: usize,
    /// With temperature.
    pub transition: Option<&'a Transition>,
    /// The waves, what they depend on, and years of data.
    pub waves: Option<(&'a Source, &'a Waves, f64)>,
    /// The results as printed by `--json`.
    pub results: &'a Value,
}

/// The page.
pub fn html(report: &Report<'_>) -> Result<String> {
    let lead = format!(
        "The bounce of {} in {} dimensions. femtobarn {}.",
        report.fields.join(", "),
        report.dimension,
        env!("CARGO_PKG_VERSION")
    );
    let mut page = head(report.title, &escape(&lead));
    let temperature = report.transition.and_then(|t| t.nucleation.as_ref()).map_or(0.0, |n| n.temperature);
    if let Some(bounce) = report.bounce {
        let vacuum = |phi: &[f64]| phi.iter().map(|x| format!("{x:.6}")).collect::<Vec<_>>().join(", ");
        facts(
            &mut page,
            &[
                ("action", format!("{}", bounce.action)),
                ("action by collocation", format!("{:.9}", bounce.reference)),
                ("what is missing to Derrick's relation", format!("{:.1e}", bounce.derrick)),
                ("false vacuum", vacuum(&bounce.false_vacuum)),
                ("true vacuum", bounce.true_vacuum.as_ref().map_or("none".to_owned(), |v| vacuum(v))),
            ],
        );
        section(&mut page, "Bounce");
        figure(
            &mut page,
            &[profile(report.fields, bounce), along(report, bounce, temperature)],
            "The fields against the radius, and the potential along the way that the fields take from the centre of the bubble to the false vacuum.",
        );
        if report.fields.len() > 1 {
            figure(
                &mut page,
                &path(report, bounce, temperature),
                "The way through the space of fields over the potential, from the centre of the bubble (point) to the false vacuum. Fields that are not shown are zero or those of the false vacuum.",
            );
        }
    }
    if let Some(found) = report.transition {
        section(&mut page, "Transition");
        nucleation(&mut page, found);
        figure(&mut page, &[curve(found)], "S₃/T where it was computed. Dashed: the temperature of nucleation.");
    }
    if let Some((source, waves, years)) = report.waves {
        section(&mut page, "Gravitational waves");
        let mut rows = vec![
            (
                "peak frequency in Hz",
                format!("{:.4e} ± {:.1e}", waves.peak_frequency.central, waves.peak_frequency.error()),
            ),
            ("h²Ω at the peak", format!("{:.4e} ± {:.1e}", waves.peak_amplitude.central, waves.peak_amplitude.error())),
            ("velocity of the walls", format!("{}", source.wall_velocity)),
            ("share of the energy that moves the plasma", format!("{:.4}", waves.efficiency)),
            ("lifetime of sound in Hubble times", format!("{:.4}", waves.lifetime)),
        ];
        for (detector, snr) in Detector::ALL.iter().zip(&waves.snr) {
            let what = match detector {
                Detector::Lisa => "signal over noise in LISA",
                Detector::Ligo => "signal over noise in LIGO",
            };
            rows.push((what, format!("{:.3e}", snr.central)));
        }
        facts(&mut page, &rows);
        let caption = format!(
            "h²Ω today. Shaded: power laws that would be seen with a signal-to-noise ratio of {SEEN} in {years} years (LIGO as if its two detectors were at one place). Errors are numerical; those of the formulas are a factor of a few.",
        );
        figure(&mut page, &[spectrum(waves, years)], &caption);
    }
    section(&mut page, "How to repeat it");
    let _ =
        writeln!(page, "<p>Save this and run <code>fb bubble FILE.toml</code>.</p><pre>{}</pre>", escape(report.text));
    foot(page, report.results)
}

fn nucleation(page: &mut String, found: &Transition) {
    let mut rows = Vec::new();
    if let Some(critical) = found.critical {
        rows.push(("critical temperature", format!("{critical:.4}")));
    }
    if let Some(n) = &found.nucleation {
        rows.push(("temperature of nucleation", format!("{:.5} ± {:.1e}", n.temperature, n.errors.temperature)));
        rows.push(("β/H", format!("{:.3} ± {:.1e}", n.beta_over_h, n.errors.beta_over_h)));
        rows.push(("α (trace)", format!("{:.6} ± {:.1e}", n.alpha_trace, n.errors.alpha_trace)));
        rows.push(("α (latent heat)", format!("{:.6} ± {:.1e}", n.alpha_latent, n.errors.alpha_latent)));
        rows.push(("v/T", format!("{:.4}", n.v_over_t)));
    } else {
        rows.push(("nucleation", "none in the range".to_owned()));
    }
    facts(page, &rows);
}

fn profile(fields: &[String], bounce: &Bounce) -> String {
    let [low, high] = range(bounce.phi.iter().flatten().copied());
    let margin = 0.05 * (high - low);
    // Where all fields are the false vacuum to a part in a thousand, there is nothing more to see.
    let far = |i: usize| {
        bounce.phi.iter().zip(&bounce.false_vacuum).any(|(phi, vacuum)| (phi[i] - vacuum).abs() > 1e-3 * (high - low))
    };
    let last = (0..bounce.r.len()).rev().find(|&i| far(i)).unwrap_or(0);
    let x = Axis::new("radius", 0.0, 1.15 * bounce.r.get(last).copied().unwrap_or(1.0), Scale::Linear);
    let room = margin * (2.0 + 1.4 * fields.len().min(10) as f64);
    let mut plot = Plot::new(WIDE, x, Axis::new("fields", low - margin, high + room, Scale::Linear), "", "");
    for (i, (name, phi)) in fields.iter().zip(&bounce.phi).enumerate() {
        let points: Vec<(f64, f64)> = bounce.r.iter().copied().zip(phi.iter().copied()).collect();
        plot.line(&points, colour(i), "");
        plot.legend(name, colour(i), "");
    }
    plot.finish(Corner::UpperRight)
}

/// V − V(false) over the length of the way of the fields, and on to the true vacuum.
fn along(report: &Report<'_>, bounce: &Bounce, temperature: f64) -> String {
    let mut landscape = report.potential.at(temperature);
    let ground = landscape.value(&bounce.false_vacuum);
    let mut way: Vec<Vec<f64>> = (0..bounce.r.len()).map(|i| bounce.phi.iter().map(|phi| phi[i]).collect()).collect();
    way.reverse();
    let centre = way.len() - 1;
    let mut length = 0.0;
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(way.len());
    for (i, phi) in way.iter().enumerate() {
        if i > 0 {
            length += way[i - 1].iter().zip(phi).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        }
        points.push((length, landscape.value(phi) - ground));
    }
    let mut rest = vec![points[centre]];
    if let Some(end) = &bounce.true_vacuum {
        let from = &way[centre];
        let far = from.iter().zip(end).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        rest.extend((1..=40).map(|k| {
            let share = f64::from(k) / 40.0;
            let phi: Vec<f64> = from.iter().zip(end).map(|(a, b)| a + share * (b - a)).collect();
            (length + share * far, landscape.value(&phi) - ground)
        }));
    }
    let [low, high] = range(points.iter().chain(&rest).map(|p| p.1));
    // Large and small numbers by powers of ten.
    let power = high.abs().max(low.abs()).max(1e-300).log10().floor();
    let power = if (-2.0..4.0).contains(&power) { 0.0 } else { power };
    let unit = 10f64.powf(power);
    let (low, high) = (low / unit, high / unit);
    points.iter_mut().chain(&mut rest).for_each(|p| p.1 /= unit);
    let start = rest[0];
    let label =
        if power == 0.0 { "V − V(false vacuum)".to_owned() } else { format!("(V − V(false vacuum))/1e{power}") };
    let margin = 0.08 * (high - low);
    let x = Axis::new("length of the way from the false vacuum", 0.0, rest[rest.len() - 1].0 * 1.02, Scale::Linear);
    let y = Axis::new(&label, low - margin, high + 4.0 * margin, Scale::Linear);
    let mut plot = Plot::new(WIDE, x, y, "", "");
    plot.line(&[(0.0, 0.0), (1e300, 0.0)], "#999", "2 3");
    plot.line(&points, colour(0), "");
    plot.legend("of the bounce", colour(0), "");
    plot.line(&rest, colour(0), "4 3");
    plot.legend("on to the true vacuum", colour(0), "4 3");
    plot.points(&[(start.0, start.1, start.1, start.1)], colour(2));
    plot.legend("centre of the bubble", colour(2), "");
    plot.finish(Corner::UpperRight)
}

/// The way in the plane of the first field and each of the next ones, four at most.
fn path(report: &Report<'_>, bounce: &Bounce, temperature: f64) -> Vec<String> {
    let mut landscape = report.potential.at(temperature);
    (1..bounce.phi.len().min(5))
        .map(|other| {
            let side = |i: usize| {
                let vacua = bounce.true_vacuum.iter().map(|v| v[i]).chain([bounce.false_vacuum[i]]);
                let [low, high] = range(bounce.phi[i].iter().copied().chain(vacua));
                let margin = 0.2 * (high - low).max(1e-9);
                [low - margin, high + margin]
            };
            let ([x0, x1], [y0, y1]) = (side(0), side(other));
            let place = |low: f64, high: f64, k: usize| low + (high - low) * k as f64 / (SIDE - 1) as f64;
            let values: Vec<f64> = (0..SIDE * SIDE)
                .map(|k| {
                    let mut phi = bounce.false_vacuum.clone();
                    (phi[0], phi[other]) = (place(x0, x1, k % SIDE), place(y0, y1, k / SIDE));
                    landscape.value(&phi)
                })
                .collect();
            // Walls far above the barrier would take all colours.
            let ground = landscape.value(&bounce.false_vacuum);
            let lowest = range(values.iter().copied())[0];
            let highest = (ground + 1.5 * (ground - lowest)).min(range(values.iter().copied())[1]);
            let x = Axis::new(&report.fields[0], x0, x1, Scale::Linear);
            let y = Axis::new(&report.fields[other], y0, y1, Scale::Linear);
            let way: Vec<(f64, f64)> = bounce.phi[0].iter().copied().zip(bounce.phi[other].iter().copied()).collect();
            let centre = way[0];
            Map::between(&values, "V", lowest, highest).draw_with(x, y, SIDE, |plot| {
                plot.line(&way, "#111", "");
                plot.points(&[(centre.0, centre.1, centre.1, centre.1)], "#111");
            })
        })
        .collect()
}

fn curve(found: &Transition) -> String {
    let [low, high] = range(found.curve.iter().map(|p| p.1));
    let [cold, hot] = range(found.curve.iter().map(|p| p.0).chain(found.critical));
    let y = if high > 20.0 * low && low > 0.0 {
        Axis::new("S₃/T", low * 0.6, high * 3.0, Scale::Log)
    } else {
        Axis::new("S₃/T", 0.0, high * 1.25, Scale::Linear)
    };
    let margin = 0.03 * (hot - cold);
    let x = Axis::new("temperature in GeV", cold - margin, hot + margin, Scale::Linear);
    let mut plot = Plot::new(WIDE, x, y, "", "");
    plot.line(&found.curve, colour(0), "");
    plot.dots(&found.curve, colour(0));
    plot.legend("S₃/T", colour(0), "");
    let full = |t: f64| [(t, 1e-290), (t, 1e290)];
    if let Some(n) = &found.nucleation {
        plot.line(&full(n.temperature), colour(2), "4 3");
        plot.legend("nucleation", colour(2), "4 3");
    }
    if let Some(critical) = found.critical {
        plot.line(&full(critical), colour(3), "2 3");
        plot.legend("critical temperature", colour(3), "2 3");
    }
    plot.finish(Corner::UpperLeft)
}

fn spectrum(waves: &Waves, years: f64) -> String {
    let peak = waves.peak_amplitude.central;
    let curves = Detector::ALL.map(|detector| detector.power_law_sensitivity(SEEN, years));
    let lowest = range(curves.iter().flatten().map(|p| p.1))[0];
    let y = Axis::new("h²Ω", (peak * 1e-4).min(lowest * 0.1), (peak * 1e3).max(lowest * 1e6), Scale::Log);
    let x = Axis::new("frequency in Hz", 1e-5, 1e3, Scale::Log);
    let mut plot = Plot::new([MAP[0] * 2.0, WIDE[1]], x, y, "", "");
    for (i, (detector, curve)) in Detector::ALL.iter().zip(&curves).enumerate() {
        let (f, low): (Vec<f64>, Vec<f64>) = curve.iter().copied().unzip();
        plot.band(&f, &low, &vec![1e290; f.len()], colour(3 + i));
        plot.line(curve, colour(3 + i), "");
        plot.legend(detector.name(), colour(3 + i), "");
    }
    let column = |pick: &dyn Fn(&[f64; 4]) -> f64| -> Vec<(f64, f64)> {
        waves.spectrum.iter().map(|row| (row[0], pick(row))).collect()
    };
    for (name, k, dash) in [("collisions", 1, "2 3"), ("sound", 2, "6 4"), ("turbulence", 3, "4 2")] {
        let line = column(&|row| row[k]);
        if line.iter().any(|p| p.1 > 0.0) {
            plot.line(&line, colour(k - 1), dash);
            plot.legend(name, colour(k - 1), dash);
        }
    }
    plot.line(&column(&|row| row[1] + row[2] + row[3]), "#111", "");
    plot.legend("all", "#111", "");
    plot.finish(Corner::LowerRight)
}
