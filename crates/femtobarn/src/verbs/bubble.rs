//! `fb bubble`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fb_core::closest;
use fb_methods::bubble::{
    Bounce, Condition, Detector, Nucleation, Potential, Source, Thermal, Transition, Vacua, bounce, transition,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::report::bubbles::{self, Report};

/// Compute the bounce out of a false vacuum and its action, from the potential in a TOML file.
///
/// With a table `[bubble.temperature]` the transition is followed in temperature down to the nucleation of bubbles. Ends with
/// exit code 2 for a file that cannot be read, 3 for a potential without a barrier or vacua that are none, 4 if no solution is
/// found.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The potential and its vacua, in a table `[bubble]`.
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Print the results as JSON.
    #[arg(long)]
    json: bool,
    /// Write a page with figures of the bounce, the transition and its gravitational waves.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bubble: Bubble,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bubble {
    fields: Vec<String>,
    potential: String,
    #[serde(default)]
    parameters: BTreeMap<String, f64>,
    false_vacuum: Vec<f64>,
    true_vacuum: Vec<f64>,
    dimension: Option<usize>,
    temperature: Option<Temperature>,
    waves: Option<Waves>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Temperature {
    range: [f64; 2],
    #[serde(default = "standard_model")]
    g_star: f64,
    #[serde(default)]
    condition: Rule,
    #[serde(default = "usual")]
    threshold: f64,
    vev: Option<String>,
}

/// What the gravitational waves depend on beside the potential.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Waves {
    /// Of the walls, over that of light.
    wall_velocity: f64,
    /// Which of the two strengths.
    alpha: Strength,
    /// The share of the plasma's motion that is turbulent.
    turbulence: f64,
    /// The share of the energy that stays in the walls.
    collisions: f64,
    /// How long the detectors take data.
    years: f64,
}

impl Default for Waves {
    fn default() -> Self {
        Self { wall_velocity: 0.95, alpha: Strength::Trace, turbulence: 0.05, collisions: 0.0, years: 3.0 }
    }
}

/// A definition of the strength.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strength {
    Trace,
    Latent,
}

/// When bubbles have nucleated.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    #[default]
    Fixed,
    Logarithm,
    Integral,
}

/// Degrees of freedom above the top quark.
fn standard_model() -> f64 {
    106.75
}

fn usual() -> f64 {
    140.0
}

/// What a file asks for. `path` is for errors.
fn parse(text: &str, path: &Path) -> Result<Bubble> {
    let file: File = toml::from_str(text)
        .map_err(|e| Failure::Usage(format!("{}: {}", path.display(), e.to_string().trim_end())))?;
    Ok(file.bubble)
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let text = super::read_text(&arguments.file)?;
    carry_out(&text, &arguments.file, &|report, lines| {
        if let Some(path) = &arguments.report {
            fb_io::write_whole(path, bubbles::html(report)?.as_bytes())?;
        }
        if arguments.json {
            return super::print_json(report.results);
        }
        super::print(lines);
        Ok(())
    })
}

/// What is done with the results and the lines that are printed of them.
type Tell<'a> = &'a dyn Fn(&Report<'_>, &str) -> Result<()>;

fn carry_out(text: &str, path: &Path, tell: Tell<'_>) -> Result<()> {
    let begun = Instant::now();
    let asked = parse(text, path)?;
    let here = |source| Failure::In { path: path.to_owned(), source };
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let dimension = asked.dimension.unwrap_or(if asked.temperature.is_some() { 3 } else { 4 });
    if !(3..=4).contains(&dimension) || (asked.temperature.is_some() && dimension != 3) {
        let expected = if asked.temperature.is_some() { "3, as there is a temperature" } else { "3 or 4" };
        return Err(wrong(format!("bubble.dimension: found {dimension}, expected {expected}")));
    }
    if asked.waves.is_some() && asked.temperature.is_none() {
        return Err(wrong("bubble.waves: found no temperatures, expected a table [bubble.temperature]".to_owned()));
    }
    let thermal = asked.temperature.is_some();
    let potential = Potential::new(&asked.potential, &asked.fields, &asked.parameters, thermal).map_err(here)?;
    let vacua = Vacua { false_vacuum: asked.false_vacuum, true_vacuum: asked.true_vacuum };
    let title = path.display().to_string();
    let mut report = Report {
        title: &title,
        text,
        fields: &asked.fields,
        potential: &potential,
        bounce: None,
        dimension,
        transition: None,
        waves: None,
        results: &Value::Null,
    };
    if let Some(temperature) = asked.temperature {
        let field = temperature.vev.map(|name| {
            asked.fields.iter().position(|field| *field == name).ok_or_else(|| {
                let near = closest(&name, asked.fields.iter().map(String::as_str));
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                wrong(format!("bubble.temperature.vev: no field `{name}`{hint}"))
            })
        });
        if !(temperature.threshold > 0.0 && temperature.threshold.is_finite()) {
            return Err(wrong(format!(
                "bubble.temperature.threshold: found {}, expected a number above zero",
                temperature.threshold
            )));
        }
        let condition = match temperature.condition {
            Rule::Fixed => Condition::Fixed(temperature.threshold),
            Rule::Logarithm => Condition::Logarithm,
            Rule::Integral => Condition::Integral,
        };
        let thermal =
            Thermal { range: temperature.range, g_star: temperature.g_star, condition, field: field.transpose()? };
        let found = transition(&potential, &vacua, &thermal).map_err(here)?;
        let sounds = match (&found.nucleation, &asked.waves) {
            (Some(nucleation), Some(options)) => Some(radiated(nucleation, options, thermal.g_star).map_err(here)?),
            // Where nobody asked for waves, a transition may make none.
            (Some(nucleation), None) => radiated(nucleation, &Waves::default(), thermal.g_star).ok(),
            (None, _) => None,
        };
        let (results, lines) = followed(&found, sounds.as_ref(), begun.elapsed().as_secs_f64());
        report.transition = Some(&found);
        report.bounce = found.nucleation.as_ref().map(|n| &n.bounce);
        report.waves = sounds.as_ref().map(|s| (&s.source, &s.waves, s.years));
        return tell(&Report { results: &results, ..report }, &lines);
    }
    let found = bounce(&mut potential.at(0.0), &vacua, dimension).map_err(here)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut results = described(&found);
    results["dimension"] = json!(dimension);
    results["seconds"] = json!(seconds);
    let lines = format!(
        "S{dimension} = {:.9}, by collocation {:.9}\nDerrick's relation holds to {:.0e}\n{seconds:.3} s\n",
        found.action.central, found.reference, found.derrick
    );
    report.bounce = Some(&found);
    tell(&Report { results: &results, ..report }, &lines)
}

fn described(found: &Bounce) -> Value {
    json!({
        "action": found.action,
        "action_reference": found.reference,
        "derrick": found.derrick,
        "false_vacuum": found.false_vacuum,
        "true_vacuum": found.true_vacuum,
        "profile": {"r": found.r, "phi": found.phi},
    })
}

/// The waves of a transition, with what they are made of.
struct Radiation {
    source: Source,
    waves: fb_methods::bubble::Waves,
    years: f64,
}

fn radiated(found: &Nucleation, options: &Waves, g_star: f64) -> fb_core::Result<Radiation> {
    let (alpha, error) = match options.alpha {
        Strength::Trace => (found.alpha_trace, found.errors.alpha_trace),
        Strength::Latent => (found.alpha_latent, found.errors.alpha_latent),
    };
    let source = Source {
        temperature: found.temperature,
        beta_over_h: found.beta_over_h,
        alpha,
        wall_velocity: options.wall_velocity,
        g_star,
        turbulence: options.turbulence,
        collisions: options.collisions,
    };
    let errors = [found.errors.temperature, found.errors.beta_over_h, error];
    Ok(Radiation { source, waves: fb_methods::bubble::waves(&source, errors, options.years)?, years: options.years })
}

impl Radiation {
    fn described(&self) -> Value {
        let waves = &self.waves;
        let column = |k: usize| waves.spectrum.iter().map(|row| row[k]).collect::<Vec<f64>>();
        let snr = Detector::ALL.iter().zip(&waves.snr).map(|(d, snr)| (d.name().to_owned(), json!(snr)));
        json!({
            "wall_velocity": self.source.wall_velocity,
            "alpha": self.source.alpha,
            "efficiency": waves.efficiency,
            "lifetime": waves.lifetime,
            "peak_frequency": waves.peak_frequency,
            "peak_amplitude": waves.peak_amplitude,
            "years": self.years,
            "snr": snr.collect::<serde_json::Map<_, _>>(),
            "spectrum": {
                "f": column(0), "collisions": column(1), "sound": column(2), "turbulence": column(3),
            },
        })
    }
}

/// What `--json` prints of a transition, and what is printed without it.
fn followed(found: &Transition, sounds: Option<&Radiation>, seconds: f64) -> (Value, String) {
    let least = found.curve.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((f64::NAN, f64::NAN));
    let status = if found.nucleation.is_some() { "nucleates" } else { "no nucleation" };
    let mut value = found.nucleation.as_ref().map_or_else(|| json!({}), |n| described(&n.bounce));
    value["transition"] = json!({
        "status": status,
        "curve": found.curve.iter().map(|(t, s)| json!({"T": t, "action_over_T": s})).collect::<Vec<_>>(),
        "least": {"T": least.0, "action_over_T": least.1},
        "critical_temperature": found.critical,
        "nucleation_temperature": found.nucleation.as_ref().map(|n| n.temperature),
        "beta_over_H": found.nucleation.as_ref().map(|n| n.beta_over_h),
        "alpha_trace": found.nucleation.as_ref().map(|n| n.alpha_trace),
        "alpha_latent": found.nucleation.as_ref().map(|n| n.alpha_latent),
        "v_over_T": found.nucleation.as_ref().map(|n| n.v_over_t),
        "errors": found.nucleation.as_ref().map(|n| json!({
            "nucleation_temperature": n.errors.temperature,
            "beta_over_H": n.errors.beta_over_h,
            "alpha_trace": n.errors.alpha_trace,
            "alpha_latent": n.errors.alpha_latent,
        })),
    });
    value["gravitational_waves"] = json!(sounds.map(Radiation::described));
    value["seconds"] = json!(seconds);
    let mut lines = vec!["         T        S3/T\n".to_owned()];
    lines.extend(found.curve.iter().map(|(t, s)| format!("{t:>10.4}{s:>12.3}\n")));
    if let Some(critical) = found.critical {
        lines.push(format!("\nT_c = {critical:.4}\n"));
    }
    if let Some(n) = &found.nucleation {
        lines.push(format!(
            "T_n = {:.4}\nbeta/H = {:.2}\nalpha = {:.5} (trace), {:.5} (latent)\nv/T_n = {:.4}\n",
            n.temperature, n.beta_over_h, n.alpha_trace, n.alpha_latent, n.v_over_t
        ));
    } else {
        lines.push(format!("{status}: the least S3/T is {:.3} at T = {:.4}\n", least.1, least.0));
    }
    if let Some(Radiation { source, waves, years }) = sounds {
        lines.push(format!(
            "\nwaves at most h2 Omega = {:.3e} at {:.3e} Hz, for walls with {} c\n",
            waves.peak_amplitude.central, waves.peak_frequency.central, source.wall_velocity
        ));
        for (detector, snr) in Detector::ALL.iter().zip(&waves.snr) {
            lines.push(format!("signal over noise in {}: {:.3e} in {years} years\n", detector.name(), snr.central));
        }
    }
    lines.push(format!("{seconds:.3} s\n"));
    (value, lines.concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::Philox;

    use super::super::mutate::mutate;
    use super::*;

    /// A potential and its derivatives at the vacua.
    fn set_up(text: &str, path: &Path) -> Result<()> {
        let asked = parse(text, path)?;
        let here = |source| Failure::In { path: path.to_owned(), source };
        let thermal = asked.temperature.is_some();
        let potential = Potential::new(&asked.potential, &asked.fields, &asked.parameters, thermal).map_err(here)?;
        let mut landscape = potential.at(1.0);
        for vacuum in [asked.false_vacuum, asked.true_vacuum] {
            if vacuum.len() == landscape.fields() {
                landscape.second(&vacuum);
                landscape.minimum(&vacuum, 1.0);
            }
        }
        Ok(())
    }

    /// Every fortieth file is solved.
    fn survives(times: usize) {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/bubble");
        // One file in twenty is that of a whole transition, which takes twenty bounces.
        let names = ["thick", "logarithmic", "two_fields_thick", "singlet"];
        let mut solved = 0;
        for (k, name) in names.iter().enumerate() {
            let text = std::fs::read(format!("{shipped}/{name}.toml")).unwrap();
            let mut random = Philox::new(11, 0, k as u64);
            let share = [8, 8, 3, 1][k];
            for i in 0..(times * share).div_ceil(20) {
                let changed = String::from_utf8_lossy(&mutate(&text, &mut random)).into_owned();
                let path = Path::new("changed.toml");
                let tell = |report: &Report<'_>, _: &str| {
                    let page = bubbles::html(report)?;
                    assert!(!page.contains("NaN"), "{changed}");
                    Ok(())
                };
                let whole = i % 40 == 0;
                let outcome = std::panic::catch_unwind(|| {
                    if whole { carry_out(&changed, path, &tell) } else { set_up(&changed, path) }
                });
                match outcome {
                    Ok(Ok(())) => solved += usize::from(whole),
                    Ok(Err(failure)) => assert!((2..=4).contains(&failure.exit_code()), "{failure}\n{changed}"),
                    Err(panic) => panic!("{:?} by this file:\n{changed}", panic.downcast_ref::<String>()),
                }
            }
        }
        assert!(solved > times / 1000, "{solved} of {times}");
    }

    #[test]
    fn a_few_changed_files_are_survived() {
        survives(300);
    }

    #[test]
    #[ignore = "slow"]
    fn many_changed_files_are_survived() {
        survives(20_000);
    }
}
