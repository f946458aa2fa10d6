//! `fb inspect`.

use fb_core::unit::is_energy;
use fb_core::{Data, Unit};
use fb_io::table::{Branch, Table, leaves};
use serde_json::{Value as Json, json};

use super::histogram;
use crate::failure::Result;
use crate::results::thousands;

/// Show what files hold: tables, branches, types, ranges.
///
/// Units in brackets are guesses from names and sizes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The files; `events.root:Events` is one table of a file.
    #[arg(required = true)]
    files: Vec<String>,
    /// Entries to look at for ranges and histograms, from the first; 0 shows types alone.
    #[arg(long, default_value_t = 10_000)]
    entries: u64,
    /// Print a weighted histogram of all entries in place of all that, as JSON of UHI: axes apart by `;`, each
    /// EXPRESSION=BINS,LOW..HIGH, EXPRESSION=[EDGE,EDGE,...], or COLUMN={NAME,NAME,...}.
    #[arg(long, value_name = "AXES")]
    histogram: Option<String>,
    /// The weight of an entry in it.
    #[arg(long, value_name = "EXPRESSION", requires = "histogram")]
    weight: Option<String>,
    /// Print tables, branches and types as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    if let Some(axes) = &arguments.histogram {
        return super::print_json(&histogram::fill(&arguments.files, axes, arguments.weight.as_deref())?.to_json());
    }
    let mut trees: Vec<Json> = Vec::new();
    for pattern in &arguments.files {
        for spec in fb_io::expand(pattern)? {
            let (path, named) = fb_io::split(&spec);
            let tables = if named.is_some() { vec![fb_io::open(&spec)?] } else { fb_io::tables(&spec)? };
            if !arguments.json {
                super::print(&format!("{}\n", path.display()));
            }
            for mut table in tables {
                let damage = table.damage().map(|error| error.to_string());
                if arguments.json {
                    trees.push(describe(&*table, &path.display().to_string(), damage.as_deref()));
                } else {
                    super::print(&text(&*table, arguments.entries, damage));
                }
            }
        }
    }
    if arguments.json { super::print_json(&json!({"trees": trees})) } else { Ok(()) }
}

fn describe(table: &dyn Table, file: &str, damage: Option<&str>) -> Json {
    let branch = |branch: &Branch| {
        json!({
            "name": branch.name,
            "type": branch.type_name,
            "readable": branch.content.is_ok(),
            "reason": branch.content.as_ref().err(),
            "unit": branch.unit.symbol(),
        })
    };
    let branches: Vec<Json> = table.branches().iter().map(branch).collect();
    json!({
        "name": table.name(),
        "kind": table.kind(),
        "entries": table.entries(),
        "branches": branches,
        "file": file,
        "reason": damage,
    })
}

fn text(table: &dyn Table, most: u64, damage: Option<String>) -> String {
    let name = if table.name().is_empty() { String::new() } else { format!("  {}", table.name()) };
    let (kind, n) = (table.kind(), thousands(table.entries() as usize));
    let mut lines = vec![format!("{name}  {kind}, {n} entries, {} branches", table.branches().len())];
    lines.extend(damage.map(|reason| format!("    cannot be opened: {reason}")));
    let longest = |f: &dyn Fn(&Branch) -> usize| table.branches().iter().map(f).max().unwrap_or(0);
    let (names, types) = (longest(&|b| b.name.chars().count()), longest(&|b| b.type_name.chars().count().min(24)));
    for (i, branch) in table.branches().iter().enumerate() {
        let head = format!("    {:names$}  {:types$}", branch.name, branch.type_name);
        let range = 0..most.min(table.entries());
        match &branch.content {
            Err(reason) => lines.push(format!("{head}  not read: {reason}")),
            Ok(_) if range.is_empty() => lines.push(head.trim_end().to_owned()),
            Ok(_) => match table.read(&[i], range) {
                Err(error) => lines.push(format!("{head}  damaged: {error}")),
                Ok(arrays) => {
                    let all = arrays.iter().flat_map(|array| leaves("", array));
                    for (j, (member, data)) in all.enumerate() {
                        let head = if j == 0 && member.is_empty() { head.clone() } else { format!("      {member}") };
                        lines.push(format!("{head}  {}", Summary::of(&branch.name, branch.unit, &data)));
                    }
                }
            },
        }
    }
    lines.join("\n") + "\n"
}

/// A branch at a glance.
struct Summary(String);

impl Summary {
    fn of(name: &str, unit: Unit, data: &Data) -> Self {
        let mut parts = Vec::new();
        if let Data::Text(texts) = data {
            let shown: Vec<String> = texts.iter().take(3).map(|text| format!("{text:?}")).collect();
            return Self(format!("{}{}", shown.join(", "), if texts.len() > 3 { ", …" } else { "" }));
        }
        let values: Vec<f64> = (0..data.len()).map(|i| data.number(i)).collect();
        let finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if finite.is_empty() {
            parts.push("empty".to_owned());
        } else {
            parts.push(format!(
                "{}  {} to {}{}",
                sparks(&finite, low, high),
                short(low),
                short(high),
                unit_of(name, unit, &finite)
            ));
        }
        let count = |what: &str, n: usize| (n > 0).then(|| format!("{} {what}", thousands(n)));
        parts.extend(count("NaN", values.iter().filter(|x| x.is_nan()).count()));
        parts.extend(count("infinite", values.iter().filter(|x| x.is_infinite()).count()));
        if name.to_lowercase().contains("weight") {
            parts.extend(count("negative", values.iter().filter(|x| **x < 0.0).count()));
        }
        Self(parts.join(", "))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn short(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e6 {
        format!("{x}")
    } else if x != 0.0 && !(1e-3..1e6).contains(&x.abs()) {
        format!("{x:.3e}")
    } else {
        format!("{x:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The unit that the file gives; else, in brackets, the one that name and size suggest.
fn unit_of(name: &str, unit: Unit, values: &[f64]) -> String {
    if !unit.symbol().is_empty() {
        return format!(" {}", unit.symbol());
    }
    let lower = name.to_lowercase();
    let guess = if is_energy(name) {
        let mut sizes: Vec<f64> = values.iter().map(|x| x.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        // Median momenta above 2000 are those of particles in MeV.
        if fb_statistics::quantile(&sizes, 0.5) > 2000.0 { Unit::Mev } else { Unit::Gev }
    } else if lower.split('_').any(|word| matches!(word, "phi" | "theta")) {
        Unit::Rad
    } else {
        return String::new();
    };
    format!(" [{}]", guess.symbol())
}

/// A histogram of sixteen bins in one line.
fn sparks(values: &[f64], low: f64, high: f64) -> String {
    const BINS: usize = 16;
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut counts = [0_usize; BINS];
    for x in values {
        let at = if high > low { (x - low) / (high - low) * BINS as f64 } else { 0.0 };
        counts[(at as usize).min(BINS - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    counts.iter().map(|&n| HEIGHTS[if n == 0 { 0 } else { (n * 8).div_ceil(most) }]).collect()
}
