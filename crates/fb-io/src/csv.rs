//! CSV with a header line: a column is of integers, of numbers or of texts, whichever all its lines allow.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use fb_core::{Column, Data, Events};

use crate::{Error, Result, open_file, write_whole};

/// Lines in a block.
const BLOCK: usize = 1 << 16;

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

/// Calls `each` with one stretch of lines after the other. An empty field of a column of numbers is NaN.
pub fn for_each_block<E: From<Error>>(
    path: &Path,
    each: &mut dyn FnMut(Events) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    // What a column holds is known only at its end, so the file is read twice.
    let mut kinds: Vec<Kind> = Vec::new();
    let names = for_each_line(path, &mut |fields| {
        kinds.resize(fields.len(), Kind::Integer);
        kinds.iter_mut().zip(fields).for_each(|(kind, field)| *kind = (*kind).max(kind_of(field)));
        Ok::<(), Error>(())
    })?;
    kinds.resize(names.len(), Kind::Text);
    let empty = || -> Vec<Data> {
        kinds
            .iter()
            .map(|kind| match kind {
                Kind::Integer => Data::I64(Vec::new()),
                Kind::Number => Data::F64(Vec::new()),
                Kind::Text => Data::Text(Vec::new()),
            })
            .collect()
    };
    let mut block = empty();
    let mut flush = |block: &mut Vec<Data>| -> std::result::Result<(), E> {
        let full = std::mem::replace(block, empty());
        let columns = names.iter().zip(full).map(|(name, data)| Column::flat(name.as_str(), data)).collect();
        let events = Events::new(columns).map_err(|source| Error::Events { path: path.to_owned(), source })?;
        each(events)
    };
    let mut lines = 0;
    for_each_line(path, &mut |fields| {
        for (data, field) in block.iter_mut().zip(fields) {
            match data {
                Data::I64(v) => v.push(field.parse().unwrap_or(0)),
                Data::F64(v) => v.push(field.parse().unwrap_or(f64::NAN)),
                Data::F32(v) => v.push(field.parse().unwrap_or(f32::NAN)),
                Data::Text(v) => v.push(field.to_owned()),
            }
        }
        lines += 1;
        if lines % BLOCK == 0 { flush(&mut block) } else { Ok(()) }
    })?;
    if lines % BLOCK != 0 || lines == 0 { flush(&mut block) } else { Ok(()) }
}

/// Calls `each` with the fields of every line and returns the names in the header.
fn for_each_line<E: From<Error>>(
    path: &Path,
    each: &mut dyn FnMut(&StringRecord) -> std::result::Result<(), E>,
) -> std::result::Result<Vec<String>, E> {
    let file = open_file(path)?;
    let fail = |e: csv::Error| Error::Corrupt {
        path: path.to_owned(),
        place: e.position().map_or_else(|| "header".to_owned(), |p| format!("line {}", p.line())),
        reason: match e.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} fields, expected {expected_len} as in the header")
            }
            csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
            _ => e.to_string(),
        },
    };
    let mut reader = ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let names: Vec<String> = reader.headers().map_err(fail)?.iter().map(str::to_owned).collect();
    let header = |reason: String| {
        let (path, place) = (path.to_owned(), "header".to_owned());
        Err(Error::Corrupt { path, place, reason }.into())
    };
    if names.is_empty() {
        return header("the file is empty, expected a line with the names of the columns".to_owned());
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return header(format!("the column `{name}` stands there twice"));
        }
    }
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(fail)? {
        each(&record)?;
    }
    Ok(names)
}

/// Writes a table of flat columns.
///
/// # Errors
/// [`Error::Unsupported`] for a jagged column.
pub fn write(path: &Path, events: &Events) -> Result<()> {
    let unsupported =
        |place: String, reason: &str| Error::Unsupported { path: path.to_owned(), place, reason: reason.to_owned() };
    if let Some(column) = events.columns().iter().find(|c| c.offsets.is_some()) {
        let place = format!("column `{}`", column.name);
        return Err(unsupported(place, "lists do not fit into CSV; write .parquet instead"));
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fail = |_| unsupported("writing".to_owned(), "the table has no columns");
    writer.write_record(events.columns().iter().map(|c| &c.name)).map_err(fail)?;
    for row in 0..events.len() {
        let fields = events.columns().iter().map(|column| match &column.data {
            // A float shows that it is one, so that it is read back as one: `3.0`, `1e300`.
            Data::F32(v) => format!("{:?}", v[row]),
            Data::F64(v) => format!("{:?}", v[row]),
            Data::I64(v) => v[row].to_string(),
            Data::Text(v) => v[row].clone(),
        });
        writer.write_record(fields).map_err(fail)?;
    }
    let bytes = writer.into_inner().map_err(|_| unsupported("writing".to_owned(), "the memory is full"))?;
    write_whole(path, &bytes)
}
