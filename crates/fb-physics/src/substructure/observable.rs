//! Observables by name, with parameters: `tau3(beta=2, axes=onepass_kt)`.

use fb_core::{Error, closest};

use super::efp::{self, Polynomials};
use super::lund::{self, Splitting};
use super::nsubjettiness::{self, Axes, Seeds};
use super::{Jet, Result, correlators, emd, grooming, ratio, shapes};
use crate::four_vector::FourVector;
use crate::jets::{Algorithm, Scheme};

/// The result of reading names.
type Parsed<T> = fb_core::Result<T>;

/// Names that are known, `tau` standing for more of its kind.
const NAMES: [&str; 42] = [
    "tau1",
    "tau2",
    "tau3",
    "tau4",
    "tau21",
    "tau32",
    "ecf1",
    "ecf2",
    "ecf3",
    "ecf4",
    "ecf_c1",
    "ecf_c2",
    "ecf_c3",
    "ecf_d2",
    "ecf_n2",
    "ecf_n3",
    "ecf_m2",
    "ecf_m3",
    "ecf_u1",
    "ecf_u2",
    "ecf_u3",
    "ecf_g",
    "mass",
    "pt",
    "multiplicity",
    "width",
    "girth",
    "ptd",
    "jet_charge",
    "pull",
    "pull_angle",
    "angularity",
    "soft_drop_mass",
    "soft_drop_zg",
    "soft_drop_rg",
    "mmdt_mass",
    "trimmed_mass",
    "pruned_mass",
    "filtered_mass",
    "efp",
    "lund",
    "emd",
];
/// What stands of a groomed jet behind the name of the groomer.
const PARTS: [&str; 4] = ["mass", "pt", "multiplicity", "dropped"];
/// Where axes of N-subjettiness begin; with `onepass_` before it they are minimised.
const SEEDS: [&str; 5] = ["kt", "ca", "wta_kt", "wta_ca", "antikt"];
/// Angles below this count as this in logarithms of the Lund plane.
const SMALLEST_ANGLE: f64 = 1e-6;

/// A list of observables, each with its columns.
#[derive(Debug)]
pub struct Observables(Vec<Observable>);

#[derive(Debug)]
struct Observable {
    label: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tau { n: usize, axes: Axes, measure: nsubjettiness::Measure },
    TauRatio { above: usize, below: usize, axes: Axes, measure: nsubjettiness::Measure },
    Ecf { n: usize, beta: f64, normalised: bool },
    Correlator { series: char, n: usize, beta: f64 },
    Generalised { v: usize, n: usize, beta: f64 },
    Mass,
    Pt,
    Multiplicity,
    Width,
    Girth,
    Dispersion,
    Charge { kappa: f64 },
    Pull,
    PullAngle,
    Angularity { kappa: f64, beta: f64, radius: f64, recoil_free: bool },
    Groomed { groomer: Groomer, part: Part },
    Efp { polynomials: Box<Polynomials>, measure: efp::Measure },
    Lund { full: bool },
    Emd { row: usize, ground: emd::Ground, reference: Vec<FourVector> },
}

#[derive(Debug, Clone, Copy)]
enum Groomer {
    SoftDrop { z_cut: f64, beta: f64, radius: f64 },
    Trim { radius: f64, fraction: f64 },
    Prune { z_cut: f64, factor: f64 },
    Filter { radius: f64, n: usize },
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Mass,
    Pt,
    Multiplicity,
    Dropped,
    Z,
    R,
}

/// What a column holds of a jet.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// As many numbers as there are.
    List(Vec<f64>),
}

impl Observables {
    /// Reads `tau1, tau32, soft_drop_mass(z=0.2), wide = soft_drop_mass(R0=1.5), efp(d<=5)`: names behind commas, each with
    /// parameters in brackets and, before `=`, a name of one's own. Several of one name without one of their own are
    /// told apart by their text, `tau3(beta=2)`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] and [`Error::UnknownKey`] with what is nearest; [`Error::Config`] for a value that does not
    /// fit, two columns of one name, or no observable at all.
    pub fn parse(text: &str) -> Parsed<Self> {
        let pieces = pieces(text)?;
        let mut observables: Vec<Observable> =
            pieces.iter().map(|piece| Observable::parse(piece)).collect::<Parsed<_>>()?;
        // The same observable with other parameters: they tell the columns apart.
        let labels: Vec<String> = observables.iter().map(|observable| observable.label.clone()).collect();
        for (observable, piece) in observables.iter_mut().zip(pieces) {
            let same = labels.iter().filter(|label| **label == observable.label).count();
            let head = piece.find('(').map(|end| &piece[..end]);
            if same > 1 && head.is_some_and(|head| !head.contains('=')) {
                observable.label = piece.replace(' ', "");
            }
        }
        if observables.is_empty() {
            return Err(config("observables", "found none, expected names such as `tau21,mass`".to_owned()));
        }
        let all = Self(observables);
        let mut columns: Vec<String> = all.columns().into_iter().map(|(name, _)| name).collect();
        columns.sort_unstable();
        if let Some((twice, _)) = columns.iter().zip(&columns[1..]).find(|(a, b)| a == b) {
            let reason = "two of them have this column, expected different ones; name one with `NAME = ...`".to_owned();
            return Err(config(&format!("column `{twice}`"), reason));
        }
        Ok(all)
    }

    /// Name of each column, and whether it holds lists.
    pub fn columns(&self) -> Vec<(String, bool)> {
        let mut columns = Vec::new();
        for Observable { label, kind } in &self.0 {
            match kind {
                Kind::Efp { polynomials, .. } => {
                    columns.extend((0..polynomials.len()).map(|i| (format!("{label}_{i}"), false)));
                }
                Kind::Lund { full } => {
                    let names = lund_lists(*full).iter().map(|(name, _)| (format!("{label}_{name}"), true));
                    columns.extend(names);
                }
                _ => columns.push((label.clone(), false)),
            }
        }
        columns
    }

    /// Whether charges of particles are needed.
    pub fn needs_charge(&self) -> bool {
        self.0.iter().any(|observable| matches!(observable.kind, Kind::Charge { .. }))
    }

    /// Rows of the jets from which distances are measured.
    pub fn reference_rows(&self) -> Vec<usize> {
        let row = |observable: &Observable| match observable.kind {
            Kind::Emd { row, .. } => Some(row),
            _ => None,
        };
        self.0.iter().filter_map(row).collect()
    }

    /// Sets the jet from which distances are measured where they name this row.
    pub fn set_reference(&mut self, jet: usize, particles: &[FourVector]) {
        for observable in &mut self.0 {
            if let Kind::Emd { row, reference, .. } = &mut observable.kind
                && *row == jet
            {
                particles.clone_into(reference);
            }
        }
    }

    /// The values of a jet, one for each column.
    ///
    /// # Errors
    /// Those of [`crate::jets::Clustering::new`].
    pub fn evaluate(&self, jet: &Jet) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for Observable { kind, .. } in &self.0 {
            match kind {
                Kind::Efp { polynomials, measure } => {
                    values.extend(polynomials.values(jet, *measure).into_iter().map(Value::Number));
                }
                Kind::Lund { full } => {
                    let splittings = if *full { lund::full(jet)? } else { lund::primary(jet)? };
                    let list = |&(_, part): &LundList| splittings.iter().map(part).collect();
                    values.extend(lund_lists(*full).iter().map(list).map(Value::List));
                }
                _ => values.push(Value::Number(kind.number(jet)?)),
            }
        }
        Ok(values)
    }
}

/// A list of numbers of splittings: the end of its name, and the number.
type LundList = (&'static str, fn(&Splitting) -> f64);

/// The lists that stand for a Lund plane.
fn lund_lists(full: bool) -> &'static [LundList] {
    const LISTS: [LundList; 8] = [
        ("ln_inv_delta", |s| -s.delta.max(SMALLEST_ANGLE).ln()),
        ("ln_kt", |s| s.kt.max(SMALLEST_ANGLE * SMALLEST_ANGLE).ln()),
        ("z", |s| s.z),
        ("psi", |s| s.psi),
        ("delta", |s| s.delta),
        ("kt", |s| s.kt),
        ("m", |s| s.mass),
        ("mother", |s| s.mother.map_or(-1.0, |mother| mother as f64)),
    ];
    if full { &LISTS } else { &LISTS[..7] }
}

impl Kind {
    /// The value of an observable that is one number.
    fn number(&self, jet: &Jet) -> Result<f64> {
        Ok(match *self {
            Self::Tau { n, axes, measure } => nsubjettiness::tau(jet, n, axes, measure)?,
            Self::TauRatio { above, below, axes, measure } => {
                let tau = |n| nsubjettiness::tau(jet, n, axes, measure);
                ratio(tau(above)?, tau(below)?)
            }
            Self::Ecf { n, beta, normalised } => correlators::ecf(jet, n, beta, normalised),
            Self::Correlator { series, n, beta } => match series {
                'c' => correlators::c(jet, n, beta),
                'n' => correlators::n_series(jet, n, beta),
                'm' => correlators::m_series(jet, n, beta),
                'u' => correlators::u_series(jet, n, beta),
                _ => correlators::d2(jet, beta),
            },
            Self::Generalised { v, n, beta } => correlators::generalised(jet, v, n, beta),
            Self::Mass => jet.sum.m(),
            Self::Pt => jet.sum.pt(),
            Self::Multiplicity => jet.len() as f64,
            Self::Width => shapes::width(jet),
            Self::Girth => shapes::girth(jet),
            Self::Dispersion => shapes::dispersion(jet),
            Self::Charge { kappa } => {
                jet.charge.as_deref().map_or(f64::NAN, |charges| shapes::charge(jet, charges, kappa))
            }
            Self::Pull => {
                let [y, phi] = shapes::pull(jet);
                y.hypot(phi)
            }
            Self::PullAngle => {
                let [y, phi] = shapes::pull(jet);
                phi.atan2(y)
            }
            Self::Angularity { kappa, beta, radius, recoil_free } => {
                let axis = if recoil_free { winner(jet)? } else { jet.axis() };
                shapes::angularity(jet, kappa, beta, radius, axis)
            }
            Self::Groomed { groomer, part } => {
                let groomed = match groomer {
                    Groomer::SoftDrop { z_cut, beta, radius } => grooming::soft_drop(jet, z_cut, beta, radius)?,
                    Groomer::Trim { radius, fraction } => grooming::trim(jet, radius, fraction)?,
                    Groomer::Prune { z_cut, factor } => grooming::prune(jet, z_cut, factor),
                    Groomer::Filter { radius, n } => grooming::filter(jet, radius, n)?,
                };
                match part {
                    Part::Mass => groomed.momentum.m(),
                    Part::Pt => groomed.momentum.pt(),
                    Part::Multiplicity => groomed.particles.len() as f64,
                    Part::Dropped => groomed.dropped as f64,
                    Part::Z => groomed.z,
                    Part::R => groomed.r,
                }
            }
            Self::Emd { ground, ref reference, .. } => emd::distance(jet, &Jet::new(reference, None)?, ground),
            Self::Efp { .. } | Self::Lund { .. } => f64::NAN,
        })
    }
}

/// The axis of winner-take-all recombination, which the recoil of soft particles does not move (arXiv:1401.2158).
fn winner(jet: &Jet) -> Result<(f64, f64)> {
    let clustering = jet.clustering(Algorithm::CambridgeAachen, Scheme::WtaPt, super::ALL)?;
    let axis = clustering.exclusive(1).first().map(|&root| clustering.momentum(root));
    Ok(axis.map_or((0.0, 0.0), |p| (p.rapidity(), p.phi())))
}

impl Observable {
    fn parse(text: &str) -> Parsed<Self> {
        let head = text.find('(').unwrap_or(text.len());
        let (label, rest) = match text[..head].split_once('=') {
            Some((label, _)) => (Some(label.trim()), text[label.len() + 1..].trim()),
            None => (None, text),
        };
        let (name, inside) = match rest.split_once('(') {
            Some((name, inside)) => (name.trim(), inside.trim_end().strip_suffix(')').unwrap_or(inside)),
            None => (rest, ""),
        };
        if let Some(label) = label.filter(|label| !is_name(label)) {
            let reason = format!("found `{label}` before `=`, expected a name of letters, digits and `_`");
            return Err(config(&format!("`{text}`"), reason));
        }
        let mut arguments = Arguments::parse(name, inside)?;
        let Some(kind) = Kind::parse(name, &mut arguments)? else {
            let what = "observable";
            return Err(Error::UnknownName { what, name: name.to_owned(), closest: closest(name, NAMES) });
        };
        arguments.finish()?;
        Ok(Self { label: label.unwrap_or(name).to_owned(), kind })
    }
}

impl Kind {
    /// The observable of this name, if there is one.
    fn parse(name: &str, arguments: &mut Arguments) -> Parsed<Option<Self>> {
        if let Some(kind) = Self::parse_tau(name, arguments)? {
            return Ok(Some(kind));
        }
        if let Some(kind) = Self::parse_correlator(name, arguments)? {
            return Ok(Some(kind));
        }
        if let Some(kind) = Self::parse_groomed(name, arguments)? {
            return Ok(Some(kind));
        }
        Ok(Some(match name {
            "mass" => Self::Mass,
            "pt" => Self::Pt,
            "multiplicity" => Self::Multiplicity,
            "width" => Self::Width,
            "girth" => Self::Girth,
            "ptd" => Self::Dispersion,
            "jet_charge" => Self::Charge { kappa: arguments.positive("kappa", 0.5)? },
            "pull" => Self::Pull,
            "pull_angle" => Self::PullAngle,
            "angularity" => Self::Angularity {
                kappa: arguments.positive("kappa", 1.0)?,
                beta: arguments.positive("beta", 1.0)?,
                radius: arguments.positive("R0", 0.8)?,
                recoil_free: arguments.word("axis", &["sum", "wta"])? == "wta",
            },
            "efp" => {
                let degree = arguments.count("d", 5, 0, efp::MOST_EDGES)?;
                let measure = efp::Measure {
                    beta: arguments.positive("beta", 2.0)?,
                    kappa: arguments.positive("kappa", 1.0)?,
                    normed: arguments.switch("normed", true)?,
                };
                Self::Efp { polynomials: Box::new(Polynomials::new(degree)?), measure }
            }
            "lund" => Self::Lund { full: arguments.word("plane", &["primary", "full"])? == "full" },
            "emd" => Self::Emd {
                row: arguments.count("row", 0, 0, usize::MAX)?,
                ground: emd::Ground {
                    radius: arguments.positive("R", 1.0)?,
                    beta: arguments.positive("beta", 1.0)?,
                    normed: arguments.switch("normed", false)?,
                },
                reference: Vec::new(),
            },
            _ => return Ok(None),
        }))
    }

    /// `tau3` is τ₃, `tau32` is τ₃ / τ₂: two digits are a ratio where the first is the larger and the second not 0.
    fn parse_tau(name: &str, arguments: &mut Arguments) -> Parsed<Option<Self>> {
        let Some(number) = name.strip_prefix("tau").and_then(|digits| digits.parse::<usize>().ok()) else {
            return Ok(None);
        };
        let (above, below) = (number / 10, number % 10);
        let is_ratio = number < 100 && below > 0 && above > below;
        if number == 0 || (number > 20 && !is_ratio) {
            return Ok(None);
        }
        let names: Vec<String> =
            SEEDS.into_iter().flat_map(|name| [name.to_owned(), format!("onepass_{name}")]).collect();
        let name = arguments.word("axes", &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (minimised, seeds) = name.strip_prefix("onepass_").map_or((false, name.as_str()), |seeds| (true, seeds));
        let seeds = match seeds {
            "ca" => Seeds::CambridgeAachen,
            "wta_kt" => Seeds::WtaKt,
            "wta_ca" => Seeds::WtaCambridgeAachen,
            "antikt" => Seeds::AntiKt(arguments.radius("R", 0.2)?),
            _ => Seeds::Kt,
        };
        let axes = Axes { seeds, minimised };
        let (beta, radius) = (arguments.positive("beta", 1.0)?, arguments.positive("R0", 0.8)?);
        let normalised = arguments.switch("normalised", true)?;
        let measure = nsubjettiness::Measure { beta, radius: normalised.then_some(radius) };
        Ok(Some(if is_ratio {
            Self::TauRatio { above, below, axes, measure }
        } else {
            Self::Tau { n: number, axes, measure }
        }))
    }

    fn parse_correlator(name: &str, arguments: &mut Arguments) -> Parsed<Option<Self>> {
        let Some(rest) = name.strip_prefix("ecf") else { return Ok(None) };
        let beta = arguments.positive("beta", 1.0)?;
        if let Some(n) = rest.parse().ok().filter(|n| (1..=4).contains(n)) {
            return Ok(Some(Self::Ecf { n, beta, normalised: arguments.switch("normalised", false)? }));
        }
        if rest == "_g" {
            let n = arguments.count("n", 3, 2, 4)?;
            return Ok(Some(Self::Generalised { v: arguments.count("v", 1, 1, n * (n - 1) / 2)?, n, beta }));
        }
        let known = ["_c1", "_c2", "_c3", "_d2", "_n2", "_n3", "_m2", "_m3", "_u1", "_u2", "_u3"].contains(&rest);
        let mut characters = rest.chars().skip(1);
        let (series, n) = (characters.next(), characters.next().and_then(|digit| digit.to_digit(10)));
        Ok(series.zip(n).filter(|_| known).map(|(series, n)| Self::Correlator { series, n: n as usize, beta }))
    }

    /// The name of a groomer and, behind it, what is asked of the groomed jet.
    fn parse_groomed(name: &str, arguments: &mut Arguments) -> Parsed<Option<Self>> {
        let groomers = ["soft_drop_", "mmdt_", "trimmed_", "pruned_", "filtered_"];
        let Some((groomer, rest)) = groomers.iter().find_map(|groomer| Some((*groomer, name.strip_prefix(groomer)?)))
        else {
            return Ok(None);
        };
        let drops = matches!(groomer, "soft_drop_" | "mmdt_");
        let part = match rest {
            "mass" => Part::Mass,
            "pt" => Part::Pt,
            "multiplicity" => Part::Multiplicity,
            "dropped" => Part::Dropped,
            "zg" if drops => Part::Z,
            "rg" if drops => Part::R,
            _ => {
                let parts = PARTS.into_iter().chain(drops.then_some(["zg", "rg"]).into_iter().flatten());
                let names: Vec<String> = parts.map(|part| format!("{groomer}{part}")).collect();
                let closest = closest(name, names.iter().map(String::as_str));
                return Err(Error::UnknownName { what: "observable", name: name.to_owned(), closest });
            }
        };
        let groomer = match groomer {
            "soft_drop_" => Groomer::SoftDrop {
                z_cut: arguments.positive("z", 0.1)?,
                beta: arguments.number("beta", 0.0)?,
                radius: arguments.positive("R0", 0.8)?,
            },
            "mmdt_" => Groomer::SoftDrop { z_cut: arguments.positive("z", 0.1)?, beta: 0.0, radius: 1.0 },
            "trimmed_" => {
                Groomer::Trim { radius: arguments.radius("R", 0.2)?, fraction: arguments.positive("f", 0.03)? }
            }
            "pruned_" => {
                Groomer::Prune { z_cut: arguments.positive("z", 0.1)?, factor: arguments.positive("factor", 0.5)? }
            }
            _ => Groomer::Filter { radius: arguments.radius("R", 0.3)?, n: arguments.count("n", 3, 1, usize::MAX)? },
        };
        Ok(Some(Self::Groomed { groomer, part }))
    }
}

/// Parameters in brackets. What is asked for is taken out, so that what nobody asks for is found.
struct Arguments {
    place: String,
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Arguments {
    fn parse(name: &str, text: &str) -> Parsed<Self> {
        let mut all = Self { place: format!("`{name}`"), given: Vec::new(), known: Vec::new() };
        for piece in text.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
            let Some((key, value)) = piece.split_once('=') else {
                return Err(all.wrong(&format!("found `{piece}`, expected `parameter=value`")));
            };
            // d<=5 is d=5: the number is the largest.
            let key = key.trim_end_matches('<').trim();
            if all.given.iter().any(|(other, _)| other == key) {
                return Err(all.wrong(&format!("`{key}` is given twice, expected once")));
            }
            all.given.push((key.to_owned(), value.trim().to_owned()));
        }
        Ok(all)
    }

    fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.given.iter().position(|(other, _)| other == key)?;
        Some(self.given.swap_remove(at).1)
    }

    fn wrong(&self, reason: &str) -> Error {
        config(&self.place, reason.to_owned())
    }

    fn number(&mut self, key: &'static str, default: f64) -> Parsed<f64> {
        let Some(text) = self.take(key) else { return Ok(default) };
        let number = text.parse().ok().filter(|x: &f64| x.is_finite());
        number.ok_or_else(|| self.wrong(&format!("`{key}` is `{text}`, expected a number")))
    }

    fn positive(&mut self, key: &'static str, default: f64) -> Parsed<f64> {
        let number = self.number(key, default)?;
        let positive = Some(number).filter(|x| *x > 0.0);
        positive.ok_or_else(|| self.wrong(&format!("`{key}` is {number}, expected a number above 0")))
    }

    fn radius(&mut self, key: &'static str, default: f64) -> Parsed<f64> {
        let radius = self.positive(key, default)?;
        let small = Some(radius).filter(|x| *x <= super::ALL);
        small.ok_or_else(|| self.wrong(&format!("`{key}` is {radius}, expected at most {}", super::ALL)))
    }

    fn count(&mut self, key: &'static str, default: usize, least: usize, most: usize) -> Parsed<usize> {
        let Some(text) = self.take(key) else { return Ok(default) };
        let count = text.parse().ok().filter(|n| (least..=most).contains(n));
        let range = if most == usize::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
        count.ok_or_else(|| self.wrong(&format!("`{key}` is `{text}`, expected a whole number, {range}")))
    }

    fn switch(&mut self, key: &'static str, default: bool) -> Parsed<bool> {
        let Some(text) = self.take(key) else { return Ok(default) };
        text.parse().map_err(|_| self.wrong(&format!("`{key}` is `{text}`, expected true or false")))
    }

    /// One of these words; the first where none is given.
    fn word(&mut self, key: &'static str, words: &[&str]) -> Parsed<String> {
        let Some(text) = self.take(key) else { return Ok(words[0].to_owned()) };
        if words.contains(&text.as_str()) {
            return Ok(text);
        }
        let near = closest(&text, words.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(self.wrong(&format!("`{key}` is `{text}`, expected {}{hint}", words.join(", "))))
    }

    fn finish(self) -> Parsed<()> {
        let Some((key, _)) = self.given.into_iter().next() else { return Ok(()) };
        let closest = closest(&key, self.known.iter().copied());
        Err(Error::UnknownKey { key, place: self.place, closest })
    }
}

/// The parts between commas outside of brackets.
fn pieces(text: &str) -> Parsed<Vec<&str>> {
    let wrong = |reason: &str| Err(config(&format!("observables `{text}`"), reason.to_owned()));
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' if depth == 0 => return wrong("found `)` without `(`"),
            ')' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    if depth > 0 {
        return wrong("found `(` without `)`");
    }
    Ok(found.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn config(place: &str, reason: String) -> Error {
    Error::Config { place: place.to_owned(), reason }
}
