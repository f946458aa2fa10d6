//! Les Houches event files, packed with gzip or not.
//!
//! The table `events` has a row for each event, with the particles as lists, and the table `init` one for each process,
//! with its cross section. Weights of variations are the branches `weight_ID`.
//! Source: arXiv hep-ph/0609017 (version 1), arXiv 1405.1067 (version 3).

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use fb_core::Unit;

use crate::Result;
use crate::table::{self, Table};
use crate::text::{self, Block, Column, Grammar, Index, Lines, Number};

/// What begins a file.
pub(crate) const MAGIC: &[u8] = b"<LesHouchesEvents";

/// Weights of an event.
const MOST_WEIGHTS: usize = 10_000;

/// The columns of an event and of a particle, in the order of the format; those of integers are marked.
const EVENT: [(&str, bool, Unit); 6] = [
    ("nup", true, Unit::One),
    ("idprup", true, Unit::One),
    ("xwgtup", false, Unit::Unknown),
    ("scalup", false, Unit::Gev),
    ("aqedup", false, Unit::One),
    ("aqcdup", false, Unit::One),
];
const PARTICLE: [(&str, bool, Unit); 13] = [
    ("pdgid", true, Unit::One),
    ("status", true, Unit::One),
    ("mother1", true, Unit::One),
    ("mother2", true, Unit::One),
    ("color1", true, Unit::One),
    ("color2", true, Unit::One),
    ("px", false, Unit::Gev),
    ("py", false, Unit::Gev),
    ("pz", false, Unit::Gev),
    ("energy", false, Unit::Gev),
    ("mass", false, Unit::Gev),
    ("lifetime", false, Unit::Mm),
    ("spin", false, Unit::One),
];
/// The columns of the table `init`: the beams, then the process.
const BEAMS: [(&str, bool); 9] = [
    ("idbmup1", true),
    ("idbmup2", true),
    ("ebmup1", false),
    ("ebmup2", false),
    ("pdfgup1", true),
    ("pdfgup2", true),
    ("pdfsup1", true),
    ("pdfsup2", true),
    ("idwtup", true),
];
const PROCESS: [(&str, bool); 4] = [("xsecup", false), ("xerrup", false), ("xmaxup", false), ("lprup", true)];

struct Lhe {
    columns: Vec<Column>,
    /// Names of the weights, of which the columns come last.
    weights: Vec<String>,
}

fn begins_event(line: &str) -> bool {
    line.trim_start().strip_prefix("<event").is_some_and(|rest| rest.starts_with(['>', ' ', '\t', '\r', '\n']))
}

/// The tables of a file.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let mut lines = Lines::open(path, 0, 1)?;
    if !lines.peek().is_some_and(|line| line.trim_start_matches('\u{feff}').contains('<')) {
        return Err(lines.corrupt("expected <LesHouchesEvents version=…>"));
    }
    let (mut index, mut weights, mut names) = (Index::default(), Vec::new(), Vec::new());
    let (mut processes, mut compact) = (None, false);
    while let Some(line) = lines.peek() {
        if begins_event(line) {
            index.enter(&lines);
        } else if line.trim_start().starts_with("<init>") {
            lines.advance()?;
            processes = Some(init(&mut lines)?);
            continue;
        } else if line.contains("<weight ") && processes.is_none() {
            names.extend(attribute(line, "id"));
        } else {
            for (id, _) in named_weights(line) {
                if !weights.contains(&id) {
                    weights.push(id);
                }
            }
            compact |= line.contains("<weights>");
        }
        if weights.len().max(names.len()) > MOST_WEIGHTS {
            return Err(lines.corrupt(format!("more than {MOST_WEIGHTS} weights")));
        }
        lines.advance()?;
    }
    let Some(processes) = processes else { return Err(lines.corrupt("the file has no <init>")) };
    // Weights without names have those of the header, in order.
    weights.extend(if compact { names } else { Vec::new() });
    let own = EVENT.iter().map(|(name, is_integer, unit)| Column::new(name, *is_integer, false, *unit));
    let particle = PARTICLE.iter().map(|(name, is_integer, unit)| Column::new(name, *is_integer, true, *unit));
    let of_weights = weights.iter().map(|id| Column::new(&format!("weight_{id}"), false, false, Unit::Unknown));
    let columns = own.chain(particle).chain(of_weights).collect();
    Ok(vec![text::table(path, Lhe { columns, weights }, index), table::held("init", "LHE", &processes)])
}

/// The numbers of a line, of these columns; there may be more.
fn numbers(lines: &mut Lines, columns: &[bool]) -> Result<Vec<Number>> {
    let Some(line) = lines.peek() else { return Err(lines.corrupt("the file ends here")) };
    let mut fields = line.split_whitespace();
    let mut values = Vec::with_capacity(columns.len());
    for &is_integer in columns {
        let field = fields.next();
        let Some(value) = field.and_then(|field| Number::parse(field, is_integer)) else {
            let kind = if is_integer { "an integer" } else { "a number" };
            let found = field.map_or_else(|| "nothing".to_owned(), |field| format!("`{}`", field.escape_default()));
            let found: String = found.chars().take(100).collect();
            return Err(lines.corrupt(format!("found {found} in place {}, expected {kind}", values.len() + 1)));
        };
        values.push(value);
    }
    lines.advance()?;
    Ok(values)
}

/// The processes, whose lines come next.
fn init(lines: &mut Lines) -> Result<RecordBatch> {
    let mut kinds: Vec<bool> = BEAMS.iter().map(|(_, is_integer)| *is_integer).collect();
    kinds.push(true);
    let mut beams = numbers(lines, &kinds)?;
    let Some(Number::Integer(count)) = beams.pop() else { return Err(lines.corrupt("no number of processes")) };
    let mut rows: Vec<Vec<Number>> = Vec::new();
    for _ in 0..count {
        let process = numbers(lines, &PROCESS.map(|(_, is_integer)| is_integer))?;
        rows.push(beams.iter().copied().chain(process).collect());
    }
    let array = |(i, (name, is_integer)): (usize, &(&'static str, bool))| {
        let array: ArrayRef = if *is_integer {
            let integers = rows.iter().map(|row| match row[i] {
                Number::Integer(n) => Some(n),
                Number::Float(_) => None,
            });
            Arc::new(integers.collect::<Int64Array>())
        } else {
            let floats = rows.iter().map(|row| match row[i] {
                Number::Float(x) => Some(x),
                Number::Integer(_) => None,
            });
            Arc::new(floats.collect::<Float64Array>())
        };
        (*name, array)
    };
    let arrays = BEAMS.iter().chain(&PROCESS).enumerate().map(array);
    RecordBatch::try_from_iter(arrays).map_err(|e| lines.corrupt(e))
}

/// The value of an attribute of a tag.
fn attribute(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("{name}="))?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    Some(rest[1..].split_once(quote)?.0.trim().to_owned())
}

/// The weights of a line: `<wgt id='1001'> 0.5 </wgt>`.
fn named_weights(line: &str) -> impl Iterator<Item = (String, f64)> {
    line.split("<wgt").skip(1).filter_map(|part| {
        let (tag, rest) = part.split_once('>')?;
        let value = rest.split('<').next()?.trim();
        let Number::Float(value) = Number::parse(value, false)? else { return None };
        Some((attribute(tag, "id")?, value))
    })
}

impl Grammar for Lhe {
    fn kind(&self) -> &'static str {
        "LHE"
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn begins(&self, line: &str) -> bool {
        begins_event(line)
    }

    fn event(&self, lines: &mut Lines, block: &mut Block) -> Result<()> {
        lines.advance()?;
        let header = numbers(lines, &EVENT.map(|(_, is_integer, _)| is_integer))?;
        let Some(&Number::Integer(count)) = header.first() else { return Err(lines.corrupt("no number of particles")) };
        header.iter().enumerate().for_each(|(i, value)| block.put(i, *value));
        for _ in 0..count {
            let particle = numbers(lines, &PARTICLE.map(|(_, is_integer, _)| is_integer))?;
            particle.iter().enumerate().for_each(|(i, value)| block.put(EVENT.len() + i, *value));
            block.end_particle();
        }
        // A weight that the event does not have is NaN.
        let mut weights = vec![f64::NAN; self.weights.len()];
        let mut unnamed = self.weights.len();
        let mut is_compact = false;
        loop {
            let Some(line) = lines.take()? else { return Err(lines.corrupt("the file ends within an event")) };
            if line.trim_start().starts_with("</event>") {
                break;
            }
            for (id, value) in named_weights(&line) {
                if let Some(at) = self.weights.iter().position(|w| *w == id) {
                    weights[at] = value;
                }
            }
            let text = match line.split_once("<weights>") {
                Some((_, rest)) => {
                    unnamed = 0;
                    rest
                }
                None if is_compact => &line,
                None => continue,
            };
            let (text, is_over) = text.split_once("</weights>").map_or((text, false), |(text, _)| (text, true));
            for field in text.split_whitespace() {
                let Some(Number::Float(value)) = Number::parse(field, false) else {
                    return Err(lines.corrupt("a weight above is not a number"));
                };
                if let Some(weight) = weights.get_mut(unnamed) {
                    *weight = value;
                }
                unnamed += 1;
            }
            is_compact = !is_over;
        }
        let first = EVENT.len() + PARTICLE.len();
        weights.into_iter().enumerate().for_each(|(i, weight)| block.put(first + i, Number::Float(weight)));
        Ok(())
    }
}
