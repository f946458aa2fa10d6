//! Events in lines of text, packed with gzip or not: what the formats of event generators have in common.

use std::io::{BufRead, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use fb_core::Unit;

use crate::file::{open_text_at, system};
use crate::table::{self, Branch, Table};
use crate::{Error, Result};

/// Events of a cluster, unless their text is longer than its bytes.
const MOST_EVENTS: u64 = 1 << 14;
const MOST_BYTES: u64 = 16 << 20;
/// Longest line.
const LONGEST: u64 = 16 << 20;

/// The lines of a file, one ahead.
pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    /// The line that comes next.
    next: String,
    is_over: bool,
    /// Number of the next line, from one, and of its first byte.
    pub(crate) number: u64,
    pub(crate) byte: u64,
}

impl Lines {
    /// The lines of a file from a byte on, which begins this line.
    pub(crate) fn open(path: &Path, byte: u64, number: u64) -> Result<Self> {
        let reader = open_text_at(path, byte)?;
        let (path, next) = (path.to_owned(), String::new());
        let mut lines = Self { path, reader, next, is_over: false, number: number.saturating_sub(1), byte };
        lines.advance()?;
        Ok(lines)
    }

    /// The line that comes next, if there is one.
    pub(crate) fn peek(&self) -> Option<&str> {
        (!self.is_over).then_some(self.next.as_str())
    }

    /// Passes over the line that comes next.
    pub(crate) fn advance(&mut self) -> Result<()> {
        self.byte += self.next.len() as u64;
        self.number += 1;
        self.next.clear();
        let read = self.reader.by_ref().take(LONGEST).read_line(&mut self.next);
        let length = read.map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidData => self.corrupt("the text is not UTF-8"),
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidInput => self.corrupt(e),
            _ => system("read", &self.path)(e),
        })?;
        if length as u64 == LONGEST {
            return Err(self.corrupt(format!("more than {LONGEST} bytes")));
        }
        self.is_over = length == 0;
        Ok(())
    }

    /// The next line, taken out. Its ending stays with it.
    pub(crate) fn take(&mut self) -> Result<Option<String>> {
        if self.is_over {
            return Ok(None);
        }
        let line = self.next.clone();
        self.advance()?;
        Ok(Some(line))
    }

    /// An error at the line that comes next.
    pub(crate) fn corrupt(&self, reason: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.path, format!("line {}", self.number), reason)
    }
}

/// A column of events.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) is_integer: bool,
    /// Whether there is one value for each particle.
    pub(crate) is_list: bool,
}

impl Column {
    pub(crate) fn new(name: &str, is_integer: bool, is_list: bool, unit: Unit) -> Self {
        Self { name: name.to_owned(), unit, is_integer, is_list }
    }
}

/// A number of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    /// Reads a number; the letter of an exponent may be Fortran's.
    pub(crate) fn parse(text: &str, is_integer: bool) -> Option<Self> {
        if is_integer {
            return text.parse().ok().map(Self::Integer);
        }
        let number = text.parse().ok().or_else(|| text.replace(['D', 'd'], "e").parse().ok());
        number.map(Self::Float)
    }
}

/// The values of some events.
pub(crate) struct Block {
    columns: Vec<Vec<Number>>,
    particles: usize,
    offsets: Vec<usize>,
}

impl Block {
    /// Adds a value to a column.
    pub(crate) fn put(&mut self, column: usize, value: Number) {
        self.columns[column].push(value);
    }

    /// Ends a particle, all of whose columns have their value.
    pub(crate) fn end_particle(&mut self) {
        self.particles += 1;
    }

    fn array(&self, column: usize, layout: &Column) -> Option<ArrayRef> {
        let values = self.columns[column].iter();
        let content: ArrayRef = if layout.is_integer {
            Arc::new(Int64Array::from_iter_values(values.map(|value| match value {
                Number::Integer(n) => *n,
                Number::Float(x) => *x as i64,
            })))
        } else {
            Arc::new(Float64Array::from_iter_values(values.map(|value| match value {
                Number::Integer(n) => *n as f64,
                Number::Float(x) => *x,
            })))
        };
        if layout.is_list { table::list(&self.offsets, content) } else { Some(content) }
    }
}

/// A format of events in lines.
pub(crate) trait Grammar: Send + Sync {
    /// What a table of it is called.
    fn kind(&self) -> &'static str;
    /// The columns of an event.
    fn columns(&self) -> &[Column];
    /// Whether a line begins an event.
    fn begins(&self, line: &str) -> bool;
    /// Reads the event that begins with the next line: one value of each column, or one for each particle.
    fn event(&self, lines: &mut Lines, block: &mut Block) -> Result<()>;
}

struct Events<G> {
    path: PathBuf,
    grammar: G,
    branches: Vec<Branch>,
    /// The first entry of each cluster, with its byte and line.
    clusters: Vec<(u64, u64, u64)>,
    entries: u64,
    /// Lines that stand before this entry: whoever reads on in order does not look for the place again.
    last: Mutex<Option<(u64, Lines)>>,
}

/// Where events begin.
#[derive(Default)]
pub(crate) struct Index {
    clusters: Vec<(u64, u64, u64)>,
    entries: u64,
}

impl Index {
    /// Events so far.
    pub(crate) fn count(&self) -> u64 {
        self.entries
    }

    /// Enters an event that begins with the next line.
    pub(crate) fn enter(&mut self, lines: &Lines) {
        let is_full = self
            .clusters
            .last()
            .is_none_or(|(first, byte, _)| self.entries - first >= MOST_EVENTS || lines.byte - byte > MOST_BYTES);
        if is_full {
            self.clusters.push((self.entries, lines.byte, lines.number));
        }
        self.entries += 1;
    }
}

/// The table `events` of a file whose events begin where the index says.
pub(crate) fn table<G: Grammar + 'static>(path: &Path, grammar: G, index: Index) -> Box<dyn Table> {
    let branch = |column: &Column| {
        let content = if column.is_integer { DataType::Int64 } else { DataType::Float64 };
        let type_name = if column.is_integer { "integer" } else { "number" };
        let (type_name, content) = if column.is_list {
            (format!("{type_name} per particle"), table::list_of(content))
        } else {
            (type_name.to_owned(), content)
        };
        Branch { name: column.name.clone(), type_name, content: Ok(content), unit: column.unit }
    };
    let branches = grammar.columns().iter().map(branch).collect();
    let Index { clusters, entries } = index;
    Box::new(Events { path: path.to_owned(), grammar, branches, clusters, entries, last: Mutex::default() })
}

impl<G: Grammar> Events<G> {
    /// Lines that stand before this entry.
    fn at(&self, entry: u64) -> Result<Lines> {
        let last = self.last.lock().ok().and_then(|mut last| last.take_if(|(at, _)| *at == entry));
        if let Some((_, lines)) = last {
            return Ok(lines);
        }
        let after = self.clusters.partition_point(|(first, ..)| *first <= entry);
        let (first, byte, number) = self.clusters.get(after.wrapping_sub(1)).copied().unwrap_or_default();
        let mut lines = Lines::open(&self.path, byte, number)?;
        let mut before = entry - first;
        while before > 0 && lines.peek().is_some() {
            lines.advance()?;
            before -= u64::from(lines.peek().is_some_and(|line| self.grammar.begins(line)));
        }
        Ok(lines)
    }
}

impl<G: Grammar> Table for Events<G> {
    fn name(&self) -> &'static str {
        "events"
    }

    fn kind(&self) -> &'static str {
        self.grammar.kind()
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        let ends = self.clusters.iter().skip(1).map(|(first, ..)| *first).chain([self.entries]);
        self.clusters.iter().zip(ends).map(|((first, ..), end)| *first..end).collect()
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        let columns = self.grammar.columns();
        let mut block = Block { columns: vec![Vec::new(); columns.len()], particles: 0, offsets: vec![0] };
        if !entries.is_empty() {
            let mut lines = self.at(entries.start)?;
            for entry in entries.clone() {
                while lines.peek().is_some_and(|line| !self.grammar.begins(line)) {
                    lines.advance()?;
                }
                if lines.peek().is_none() {
                    return Err(lines.corrupt(format!("the file ends before event {entry}")));
                }
                self.grammar.event(&mut lines, &mut block)?;
                block.offsets.push(block.particles);
            }
            if let Ok(mut last) = self.last.lock() {
                *last = Some((entries.end, lines));
            }
        }
        let too_long = || Error::unsupported(&self.path, "lists", "more than 2³¹ particles in a block");
        branches.iter().map(|&b| block.array(b, &columns[b]).ok_or_else(too_long)).collect()
    }

    fn is_columnar(&self) -> bool {
        false
    }
}
