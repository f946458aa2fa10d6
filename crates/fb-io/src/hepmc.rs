//! HepMC3 in its text format (`Asciiv3`), packed with gzip or not.
//!
//! The table `events` has a row for each event: its number, its weights (`weight_NAME`), and the particles as lists, each
//! with the production vertex as the file numbers it (negative for a vertex, positive for the one particle it comes
//! from, zero for none) and its place, which is the event's own where the vertex has none. Lengths are in mm; the unit
//! of momenta is the one of the first event.
//! Source: arXiv 1912.08005, appendix on the text format.

use std::collections::HashMap;
use std::path::Path;

use fb_core::Unit;

use crate::table::Table;
use crate::text::{self, Block, Column, Grammar, Index, Lines, Number};
use crate::{Error, Result};

/// What begins a file.
pub(crate) const MAGIC: &[u8] = b"HepMC::";

const BEGIN: &str = "HepMC::Asciiv3-START_EVENT_LISTING";
/// Weights of an event.
const MOST_WEIGHTS: usize = 10_000;

const PARTICLE: [(&str, bool); 12] = [
    ("pdgid", true),
    ("status", true),
    ("px", false),
    ("py", false),
    ("pz", false),
    ("energy", false),
    ("mass", false),
    ("vertex", true),
    ("x", false),
    ("y", false),
    ("z", false),
    ("t", false),
];

struct HepMc {
    columns: Vec<Column>,
    weights: usize,
    momentum: Unit,
}

fn begins_event(line: &str) -> bool {
    line.starts_with("E ")
}

/// The table of a file.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let mut lines = Lines::open(path, 0, 1)?;
    let (mut index, mut names, mut weights, mut momentum) = (Index::default(), Vec::new(), None, None);
    let mut has_begun = false;
    while let Some(line) = lines.peek() {
        let (key, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        if let Some(format) = key.strip_prefix("HepMC::").filter(|format| format.ends_with("START_EVENT_LISTING")) {
            if key != BEGIN {
                let reason = format!("the format `{format}`, expected `Asciiv3`; HepMC3 converts it");
                return Err(Error::unsupported(path, "header", reason));
            }
            has_begun = true;
        }
        let is_first = has_begun && index.count() < 2;
        match key {
            "E" if has_begun => index.enter(&lines),
            // Line breaks between names are written as `\|`.
            "N" if is_first && index.count() == 0 => names = rest.split("\\|").map(str::to_owned).collect(),
            "W" if is_first && index.count() == 1 && weights.is_none() => {
                weights = Some(rest.split_whitespace().count());
            }
            "U" if is_first && momentum.is_none() => momentum = Some(units(&lines, rest)?.0),
            _ => {}
        }
        lines.advance()?;
    }
    if !has_begun {
        return Err(lines.corrupt(format!("the file ends, expected `{BEGIN}`")));
    }
    let (weights, momentum) = (weights.unwrap_or(0), momentum.unwrap_or(Unit::Gev));
    if weights > MOST_WEIGHTS {
        return Err(lines.corrupt(format!("{weights} weights, expected up to {MOST_WEIGHTS}")));
    }
    let unit = |name: &str| match name {
        "px" | "py" | "pz" | "energy" | "mass" => momentum,
        "x" | "y" | "z" | "t" => Unit::Mm,
        _ => Unit::One,
    };
    let mut columns = vec![Column::new("event_number", true, false, Unit::One)];
    columns.extend(PARTICLE.map(|(name, is_integer)| Column::new(name, is_integer, true, unit(name))));
    for i in 0..weights {
        let name = names.get(i).filter(|_| names.len() == weights).map_or_else(|| i.to_string(), Clone::clone);
        let name = format!("weight_{name}");
        let is_new = columns.iter().all(|column| column.name != name);
        let name = if is_new { name } else { format!("{name}_{i}") };
        columns.push(Column::new(&name, false, false, Unit::Unknown));
    }
    Ok(vec![text::table(path, HepMc { columns, weights, momentum }, index)])
}

/// The unit of momenta, and how many millimetres the unit of lengths is.
fn units(lines: &Lines, text: &str) -> Result<(Unit, f64)> {
    let mut words = text.split_whitespace();
    let momentum = match words.next() {
        Some("GEV") => Unit::Gev,
        Some("MEV") => Unit::Mev,
        _ => return Err(lines.corrupt("expected GEV or MEV")),
    };
    match words.next() {
        Some("MM") => Ok((momentum, 1.0)),
        Some("CM") => Ok((momentum, 10.0)),
        _ => Err(lines.corrupt("expected MM or CM")),
    }
}

/// Numbers of a line, taken one after the other.
struct Fields<'a> {
    lines: &'a Lines,
    words: std::str::SplitWhitespace<'a>,
}

impl Fields<'_> {
    fn next(&mut self, what: &str, is_integer: bool) -> Result<Number> {
        let number = self.words.next().and_then(|word| Number::parse(word, is_integer));
        number.ok_or_else(|| self.lines.corrupt(format!("cannot read the {what}")))
    }

    fn integer(&mut self, what: &str) -> Result<i64> {
        match self.next(what, true)? {
            Number::Integer(n) => Ok(n),
            Number::Float(_) => Err(self.lines.corrupt(format!("the {what} is no integer"))),
        }
    }

    fn float(&mut self, what: &str) -> Result<f64> {
        match self.next(what, false)? {
            Number::Float(x) => Ok(x),
            Number::Integer(n) => Ok(n as f64),
        }
    }

    /// A place, behind an `@`.
    fn place(&mut self, scale: f64) -> Result<Option<[f64; 4]>> {
        if !self.words.by_ref().any(|word| word == "@") {
            return Ok(None);
        }
        let mut place = [0.0; 4];
        for value in &mut place {
            *value = self.float("position")? * scale;
        }
        Ok(Some(place))
    }
}

impl Grammar for HepMc {
    fn kind(&self) -> &'static str {
        "HepMC3"
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn begins(&self, line: &str) -> bool {
        begins_event(line)
    }

    fn event(&self, lines: &mut Lines, block: &mut Block) -> Result<()> {
        let mut place = None;
        let mut is_first = true;
        let mut scale = 1.0;
        let mut weights = vec![f64::NAN; self.weights];
        let mut vertices: HashMap<i64, [f64; 4]> = HashMap::new();
        while let Some(line) = lines.peek() {
            let (key, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            let mut fields = Fields { lines, words: rest.split_whitespace() };
            match key {
                "E" if !is_first => break,
                _ if key.starts_with("HepMC::") => break,
                "E" => {
                    is_first = false;
                    block.put(0, fields.next("number of the event", true)?);
                    place = fields.place(1.0)?;
                }
                "U" => {
                    let (momentum, length) = units(lines, rest)?;
                    if momentum != self.momentum {
                        let reason = format!("momenta in {}, expected {}", momentum.symbol(), self.momentum.symbol());
                        return Err(lines.corrupt(reason + " as in the first event"));
                    }
                    // The position of the event stands before its unit.
                    place = place.map(|place| place.map(|x| x * length));
                    scale = length;
                }
                "W" => {
                    for weight in &mut weights {
                        *weight = fields.float("weight")?;
                    }
                }
                "V" => {
                    let id = fields.integer("number of the vertex")?;
                    if let Some(place) = fields.place(scale)? {
                        vertices.insert(id, place);
                    }
                }
                "P" => {
                    fields.integer("number of the particle")?;
                    let vertex = fields.integer("production vertex")?;
                    let pdgid = fields.integer("PDG identity")?;
                    let mut momentum = [0.0; 5];
                    for value in &mut momentum {
                        *value = fields.float("momentum")?;
                    }
                    let status = fields.integer("status")?;
                    let at = vertices.get(&vertex).copied().or(place).unwrap_or_default();
                    [pdgid, status].iter().enumerate().for_each(|(i, &n)| block.put(1 + i, Number::Integer(n)));
                    momentum.iter().enumerate().for_each(|(i, &x)| block.put(3 + i, Number::Float(x)));
                    block.put(8, Number::Integer(vertex));
                    at.iter().enumerate().for_each(|(i, &x)| block.put(9 + i, Number::Float(x)));
                    block.end_particle();
                }
                // Attributes of vertices and particles.
                _ => {}
            }
            lines.advance()?;
        }
        let first = 1 + PARTICLE.len();
        weights.into_iter().enumerate().for_each(|(i, weight)| block.put(first + i, Number::Float(weight)));
        Ok(())
    }
}
