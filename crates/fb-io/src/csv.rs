//! CSV with a header line: a column is of integers, of numbers or of texts, whichever all its lines allow.

use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef};
use csv::{Position, ReaderBuilder, StringRecord};
use fb_core::{Data, Unit};

use crate::file::{Whole, open_file, system};
use crate::table::{self, Branch, Sink, Table};
use crate::{Error, Result};

/// Lines in a cluster.
const BLOCK: u64 = 1 << 16;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Integer,
    Number,
    Text,
}

fn kind_of(field: &str) -> Kind {
    if field.parse::<i64>().is_ok() {
        Kind::Integer
    } else if field.is_empty() || field.parse::<f64>().is_ok() {
        Kind::Number
    } else {
        Kind::Text
    }
}

type Reader = csv::Reader<std::fs::File>;

struct Csv {
    path: PathBuf,
    name: &'static str,
    kind: &'static str,
    branches: Vec<Branch>,
    entries: u64,
    /// Where each cluster begins.
    positions: Vec<Position>,
    /// A reader that stands before this entry: whoever reads on in order does not look for the place again.
    last: Mutex<Option<(u64, Reader)>>,
}

/// The table of a file. What a column holds is known only at its end, so all lines are looked at.
pub(crate) fn table(path: &Path, name: &'static str, kind: &'static str) -> Result<Box<dyn Table>> {
    let mut reader = reader(path)?;
    let names: Vec<String> = reader.headers().map_err(|e| fail(path, &e))?.iter().map(str::to_owned).collect();
    if names.is_empty() {
        let reason = "the file is empty, expected a line with the names of the columns";
        return Err(Error::corrupt(path, "header", reason));
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::corrupt(path, "header", format!("the column `{name}` stands there twice")));
        }
    }
    let mut kinds = vec![None; names.len()];
    let (mut entries, mut positions, mut record) = (0, Vec::new(), StringRecord::new());
    loop {
        let position = reader.position().clone();
        if !reader.read_record(&mut record).map_err(|e| fail(path, &e))? {
            break;
        }
        if entries % BLOCK == 0 {
            positions.push(position);
        }
        entries += 1;
        kinds.iter_mut().zip(&record).for_each(|(kind, field)| *kind = (*kind).max(Some(kind_of(field))));
    }
    let branch = |(name, kind): (String, &Option<Kind>)| {
        let (type_name, content) = match kind {
            Some(Kind::Integer) => ("integer", DataType::Int64),
            Some(Kind::Number) => ("number", DataType::Float64),
            Some(Kind::Text) | None => ("text", DataType::Utf8),
        };
        Branch { name, type_name: type_name.to_owned(), content: Ok(content), unit: Unit::Unknown }
    };
    let branches = names.into_iter().zip(&kinds).map(branch).collect();
    Ok(Box::new(Csv { path: path.to_owned(), name, kind, branches, entries, positions, last: Mutex::default() }))
}

fn reader(path: &Path) -> Result<Reader> {
    Ok(ReaderBuilder::new().trim(csv::Trim::All).buffer_capacity(1 << 16).from_reader(open_file(path)?))
}

fn fail(path: &Path, e: &csv::Error) -> Error {
    let reason = match e.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, expected {expected_len} as in the header")
        }
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        _ => e.to_string(),
    };
    Error::corrupt(path, e.position().map_or_else(|| "header".to_owned(), |p| format!("line {}", p.line())), reason)
}

impl Csv {
    /// A reader that stands before entry `start`.
    fn at(&self, start: u64) -> Result<Reader> {
        let last = self.last.lock().ok().and_then(|mut last| last.take_if(|(entry, _)| *entry == start));
        if let Some((_, reader)) = last {
            return Ok(reader);
        }
        let mut reader = reader(&self.path)?;
        reader.headers().map_err(|e| fail(&self.path, &e))?;
        if let Some(position) = self.positions.get((start / BLOCK) as usize) {
            reader.seek(position.clone()).map_err(|e| fail(&self.path, &e))?;
        }
        let mut record = StringRecord::new();
        for _ in 0..start % BLOCK {
            reader.read_record(&mut record).map_err(|e| fail(&self.path, &e))?;
        }
        Ok(reader)
    }
}

impl Table for Csv {
    fn name(&self) -> &str {
        self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        (0..self.entries).step_by(BLOCK as usize).map(|start| start..(start + BLOCK).min(self.entries)).collect()
    }

    /// An empty field of a column of numbers is NaN.
    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        let mut data: Vec<Data> = branches
            .iter()
            .map(|&b| match self.branches[b].content {
                Ok(DataType::Int64) => Data::I64(Vec::new()),
                Ok(DataType::Float64) => Data::F64(Vec::new()),
                _ => Data::Text(Vec::new()),
            })
            .collect();
        if !entries.is_empty() {
            let mut reader = self.at(entries.start)?;
            let mut record = StringRecord::new();
            for entry in entries.clone() {
                if !reader.read_record(&mut record).map_err(|e| fail(&self.path, &e))? {
                    return Err(Error::corrupt(&self.path, format!("entry {entry}"), "the file has become shorter"));
                }
                for (data, &b) in data.iter_mut().zip(branches) {
                    let field = record.get(b).unwrap_or_default();
                    match data {
                        Data::I64(v) => v.push(field.parse().unwrap_or(0)),
                        Data::F64(v) => v.push(field.parse().unwrap_or(f64::NAN)),
                        Data::F32(v) => v.push(field.parse().unwrap_or(f32::NAN)),
                        Data::Text(v) => v.push(field.to_owned()),
                    }
                }
            }
            if let Ok(mut last) = self.last.lock() {
                *last = Some((entries.end, reader));
            }
        }
        let array = |data| -> ArrayRef {
            match data {
                Data::I64(v) => Arc::new(Int64Array::from(v)),
                Data::F64(v) => Arc::new(Float64Array::from(v)),
                Data::F32(v) => Arc::new(Float64Array::from_iter_values(v.into_iter().map(f64::from))),
                Data::Text(v) => Arc::new(StringArray::from_iter_values(v)),
            }
        };
        Ok(data.into_iter().map(array).collect())
    }

    fn is_columnar(&self) -> bool {
        false
    }
}

struct Writer {
    path: PathBuf,
    writer: csv::Writer<BufWriter<Whole>>,
}

/// A file of flat columns.
///
/// # Errors
/// [`Error::Unsupported`] for a list or a record.
pub(crate) fn sink(path: &Path, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    for field in schema.fields() {
        let kind = match field.data_type() {
            nested if nested.is_nested() => {
                if table::unseen(nested).is_some() {
                    "records and nested lists"
                } else {
                    "lists"
                }
            }
            flat => match table::unseen(flat) {
                Some(kind) => kind,
                None => continue,
            },
        };
        let reason = format!("{kind} do not fit into CSV; write .parquet instead");
        return Err(Error::unsupported(path, format!("column `{}`", field.name()), reason));
    }
    if schema.fields().is_empty() {
        return Err(Error::unsupported(path, "writing", "the table has no columns"));
    }
    let mut writer = csv::Writer::from_writer(BufWriter::new(Whole::create(path)?));
    writer.write_record(schema.fields().iter().map(|f| f.name())).map_err(|e| refused(path, e))?;
    Ok(Box::new(Writer { path: path.to_owned(), writer }))
}

fn refused(path: &Path, e: csv::Error) -> Error {
    match e.into_kind() {
        csv::ErrorKind::Io(source) => system("write", path)(source),
        other => Error::unsupported(path, "writing", format!("{other:?}")),
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let (events, missing) = table::events(batch);
        if let Some(name) = missing.first() {
            return Err(Error::unsupported(&self.path, format!("column `{name}`"), "a text is missing (null)"));
        }
        for row in 0..batch.num_rows() {
            let fields = events.columns().iter().map(|column| match &column.data {
                // A float shows that it is one, so that it is read back as one: `3.0`, `1e300`.
                Data::F32(v) => format!("{:?}", v[row]),
                Data::F64(v) => format!("{:?}", v[row]),
                Data::I64(v) => v[row].to_string(),
                Data::Text(v) => v[row].clone(),
            });
            self.writer.write_record(fields).map_err(|e| refused(&self.path, e))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let system = system("write", &self.path);
        let buffered = self.writer.into_inner().map_err(|e| system(std::io::Error::other(e.to_string())))?;
        buffered.into_inner().map_err(|e| system(e.into_error()))?.commit()
    }
}
