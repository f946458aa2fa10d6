//! The outside world to events and back: one file per format.
//!
//! A file holds tables ([`table::Table`]), which are read in ranges of entries into columns of Arrow, so that memory
//! follows what is kept and not the size of the file. A writer ([`table::Sink`]) puts the whole file in place at once.

#![forbid(unsafe_code)]

mod arrays;
mod batches;
mod blosc;
mod csv;
mod file;
mod hdf5;
mod hepmc;
mod histograms;
mod hs3;
pub mod lhapdf;
mod lhe;
mod npy;
pub mod parquet;
mod pyhf;
mod raw;
pub mod root;
mod spec;
mod spool;
pub mod table;
mod text;
mod trackml;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;
use fb_core::run::Alone;
use fb_core::{Events, closest};

use file::open_file;
pub use file::{fingerprint, write_whole};
pub use spec::{expand, name, split};
use table::{Sink, Table};

/// The result of reading or writing a file.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refuses.
    #[error("cannot {what} {}: {source}", path.display())]
    System {
        /// Open, read, write.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No file matches.
    #[error("no file matches `{pattern}`")]
    NoMatch {
        /// The path or pattern.
        pattern: String,
    },
    /// The bytes are not what the format asks for.
    #[error("{} is truncated or corrupt ({place}): {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Column, row group or line.
        place: String,
        /// Found against expected.
        reason: String,
    },
    /// Well formed, but of a kind that is not read.
    #[error("{}, {place}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Column, or the format.
        place: String,
        /// What is supported.
        reason: String,
    },
    /// No table of this name, or none named where there are several.
    #[error("{}: {reason}", path.display())]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What was asked for, and what there is.
        reason: String,
    },
    /// Columns do not fit together.
    #[error("{}: {source}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// Why.
        source: fb_core::Error,
    },
}

impl Error {
    /// The bytes of `path` are not what its format asks for.
    pub(crate) fn corrupt(path: &Path, place: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), place: place.into(), reason: reason.to_string() }
    }

    /// Well formed, but not read or not written.
    pub(crate) fn unsupported(path: &Path, place: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unsupported { path: path.to_owned(), place: place.into(), reason: reason.to_string() }
    }
}

/// Runs a call into a library that may panic on damaged bytes, as it trusts lengths that contradict each other.
fn guard<T>(path: &Path, place: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(Error::corrupt(path, place, "its lengths contradict each other")))
}

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
    Root,
    Hdf5,
    Npy,
    Npz,
    Lhe,
    HepMc,
    Lhapdf,
    Json,
}

/// How names of files end.
const ENDINGS: [(&str, Format); 15] = [
    ("root", Format::Root),
    ("parquet", Format::Parquet),
    ("csv", Format::Csv),
    ("h5", Format::Hdf5),
    ("hdf5", Format::Hdf5),
    ("hdf", Format::Hdf5),
    ("npz", Format::Npz),
    ("npy", Format::Npy),
    ("lhe", Format::Lhe),
    ("lhe.gz", Format::Lhe),
    ("hepmc", Format::HepMc),
    ("hepmc3", Format::HepMc),
    ("hepmc.gz", Format::HepMc),
    ("hepmc3.gz", Format::HepMc),
    ("json", Format::Json),
];

/// How files begin, for those whose name does not say what they are.
const BEGINNINGS: [(&[u8], Format); 8] = [
    (b"root", Format::Root),
    (b"PAR1", Format::Parquet),
    (hdf5::MAGIC, Format::Hdf5),
    (npy::MAGIC, Format::Npy),
    (npy::ZIP, Format::Npz),
    (lhe::MAGIC, Format::Lhe),
    (hepmc::MAGIC, Format::HepMc),
    (lhapdf::MAGIC, Format::Lhapdf),
];

/// The formats that are written.
const WRITTEN: &str = ".root, .parquet, .h5, .npz or .csv";

impl Format {
    /// By the end of the name: `.h5`, `.lhe.gz`.
    fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let ends = |ending: &str| name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'));
        ENDINGS.iter().find(|(ending, _)| ends(ending)).map(|(_, format)| *format)
    }

    /// By the name, or else by the first bytes.
    fn of(path: &Path) -> Result<Self> {
        if let Some(format) = Self::of_name(path) {
            return Ok(format);
        }
        let beginning = file::beginning(path)?;
        let begins = BEGINNINGS.iter().find(|(begin, _)| beginning.starts_with(begin));
        let expected = || ENDINGS.map(|(ending, _)| format!(".{ending}")).join(", ");
        begins.map(|(_, format)| *format).ok_or_else(|| Self::unknown(path, &format!("expected one of {}", expected())))
    }

    fn unknown(path: &Path, expected: &str) -> Error {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let near = closest(&extension, ENDINGS.map(|(ending, _)| ending));
        let hint = near.map_or_else(String::new, |e| format!("; did you mean .{e}?"));
        Error::unsupported(path, format!("extension `{extension}`"), format!("{expected}{hint}"))
    }
}

/// All tables of a file. The end of its name says what format it is, or else its first bytes.
///
/// # Errors
/// [`Error`] if the file is not there, not of a format that is read, or damaged where it says what it holds.
pub fn tables(path: impl AsRef<Path>) -> Result<Vec<Box<dyn Table>>> {
    tables_of(path.as_ref(), None)
}

/// The same, where only one table is wanted, if that is told; a format may leave the others closed.
fn tables_of(path: &Path, wanted: Option<&str>) -> Result<Vec<Box<dyn Table>>> {
    if let Some(quartet) = trackml::Quartet::of(path) {
        return quartet.tables();
    }
    match Format::of(path)? {
        Format::Parquet => Ok(vec![parquet::table(path)?]),
        Format::Csv => Ok(vec![csv::table(path, "", "CSV")?]),
        Format::Root => root::tables_of(path, wanted),
        Format::Hdf5 => hdf5::tables(path),
        Format::Npy => npy::table(path),
        Format::Npz => npy::tables(path),
        Format::Lhe => lhe::tables(path),
        Format::HepMc => hepmc::tables(path),
        Format::Lhapdf => lhapdf::tables(path),
        Format::Json => histograms::tables(path),
    }
}

/// The table of a specification: `file.ext` or `file.ext:table/in/it`. The name of the table may be left out where there
/// is one only, or one that is the file as a whole or is called `events`.
///
/// # Errors
/// Those of [`tables`]; [`Error::NoTable`] with the names there are.
pub fn open(spec: impl AsRef<Path>) -> Result<Box<dyn Table>> {
    let (path, named) = split(spec.as_ref());
    let named = named.or_else(|| trackml::Quartet::of(&path)?.named.map(str::to_owned));
    let mut tables = tables_of(&path, named.as_deref())?;
    let at = match &named {
        Some(name) => tables.iter().position(|table| table.name().trim_matches('/') == name.trim_matches('/')),
        None if tables.len() == 1 => Some(0),
        // The file as a whole, or what it is there for.
        None => tables.iter().position(|table| matches!(table.name(), "" | "events")),
    };
    let Some(at) = at else {
        let names: Vec<&str> = tables.iter().map(|table| table.name()).filter(|name| !name.is_empty()).collect();
        let there = match names.len() {
            0 if tables.is_empty() => "it has no table".to_owned(),
            0 => "its only table has no name".to_owned(),
            n => format!("it has {}{}", names[..n.min(20)].join(", "), if n > 20 { ", …" } else { "" }),
        };
        let reason = match &named {
            Some(name) => {
                let hint = closest(name, names.iter().copied());
                let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                format!("no table `{name}`, {there}{hint}")
            }
            None if tables.is_empty() => there,
            None => format!("name one of its tables behind a colon ({there})"),
        };
        return Err(Error::NoTable { path, reason });
    };
    let mut table = tables.swap_remove(at);
    table.damage().map_or(Ok(table), Err)
}

/// A file that is to be written, in the format that the end of its name says.
///
/// # Errors
/// [`Error::Unsupported`] if the format is not written, or has no place for a column; [`Error::System`].
pub fn sink(path: &Path, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    sink_as(path, schema, root::Kind::default(), root::Codec::default())
}

/// The same, where a ROOT file is written in this way.
///
/// # Errors
/// Those of [`sink`].
pub fn sink_as(path: &Path, schema: &SchemaRef, kind: root::Kind, codec: root::Codec) -> Result<Box<dyn Sink>> {
    let (path, named) = split(path);
    let path = path.as_path();
    match Format::of_name(path) {
        Some(Format::Root) => root::sink(path, named.as_deref().unwrap_or("Events"), schema, kind, codec),
        Some(Format::Parquet) => parquet::sink(path, schema),
        Some(Format::Csv) => csv::sink(path, schema),
        Some(Format::Hdf5) => hdf5::sink(path, schema),
        Some(Format::Npz) => npy::sink(path, schema),
        _ => Err(Format::unknown(path, &format!("expected {WRITTEN}"))),
    }
}

/// Calls `each` with one block of events after the other, of the columns that have one of these names: whole ones, and
/// patterns with `*` (`["*"]` stands for all). A name that is not in the file is passed over.
///
/// Columns that methods do not see (lists of lists, records) are left out where a pattern found them.
///
/// # Errors
/// [`Error`], also for a column that is named and that methods do not see, or what `each` gives, which ends the reading.
pub fn for_each_block<E: From<Error>>(
    spec: impl AsRef<Path>,
    columns: &[&str],
    each: &mut dyn FnMut(Events) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let (path, _) = split(spec.as_ref());
    let table = open(spec.as_ref())?;
    let mut chosen = Vec::new();
    for (i, branch) in table.branches().iter().enumerate() {
        let unseen = branch.content.as_ref().map_or_else(Clone::clone, |content| {
            table::unseen(content).map_or_else(String::new, |kind| format!("{kind} are not read as columns"))
        });
        if unseen.is_empty() && columns.iter().any(|pattern| matches(pattern, &branch.name)) {
            chosen.push(i);
        } else if columns.contains(&branch.name.as_str()) {
            let reason = format!("{unseen}, expected numbers, texts or lists of them");
            return Err(Error::unsupported(&path, format!("column `{}`", branch.name), reason).into());
        }
    }
    let mut clusters = table.clusters();
    if clusters.is_empty() {
        // A file without events still has columns.
        clusters.push(0..0);
    }
    for cluster in clusters {
        let batch = table::read_batch(&*table, &chosen, cluster, &Alone)?;
        let (events, left_out) = table::events(&batch);
        if let Some(name) = left_out.first() {
            let reason = "a text is missing (null); fill it in, for example with an empty one";
            return Err(Error::unsupported(&path, format!("column `{name}`"), reason).into());
        }
        each(events)?;
    }
    Ok(())
}

/// Whether a name fits a pattern with `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(begin) else { return false };
    // The parts between stars are found from the left, the last one at the end.
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    let Some(mut name) = name.strip_suffix(end) else { return false };
    parts.iter().all(|part| name.find(part).map(|at| name = &name[at + part.len()..]).is_some())
}

/// All events of a table, of all columns that methods see.
pub fn read(spec: impl AsRef<Path>) -> Result<Events> {
    let mut all = Events::default();
    for_each_block(spec.as_ref(), &["*"], &mut |block| {
        all.append(block).map_err(|source| Error::Events { path: spec.as_ref().to_owned(), source })
    })?;
    Ok(all)
}

/// Writes events in the format that the end of the name says.
pub fn write(path: &Path, events: &Events) -> Result<()> {
    let batch = table::batch(events);
    let mut sink = sink(path, batch.schema_ref())?;
    sink.write(&batch)?;
    sink.finish()
}
