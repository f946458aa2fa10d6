//! The outside world to events and back: one file per format.
//!
//! Every reader gives the file in blocks, so that memory follows what is kept and not the size of the file, and every
//! writer puts the whole file in place at once.

#![forbid(unsafe_code)]

pub mod csv;
pub mod parquet;
pub mod root;
pub mod table;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use fb_core::{Events, closest};
use sha2::{Digest as _, Sha256};

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
    /// Columns do not fit together.
    #[error("{}: {source}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// Why.
        source: fb_core::Error,
    },
}

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    Csv,
}

fn format(path: &Path) -> Result<Format> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    match extension.as_str() {
        "parquet" => Ok(Format::Parquet),
        "csv" => Ok(Format::Csv),
        other => Err(Error::Unsupported {
            path: path.to_owned(),
            place: format!("extension `{other}`"),
            reason: format!(
                "expected .parquet or .csv{}",
                closest(other, ["parquet", "csv"]).map_or_else(String::new, |e| format!("; did you mean .{e}?"))
            ),
        }),
    }
}

/// Calls `each` with one block of events after the other: row groups of Parquet, stretches of lines of CSV.
///
/// # Errors
/// [`Error`], or what `each` gives, which ends the reading.
pub fn for_each_block<E: From<Error>>(
    path: &Path,
    each: &mut dyn FnMut(Events) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    match format(path)? {
        Format::Parquet => parquet::for_each_block(path, each),
        Format::Csv => csv::for_each_block(path, each),
    }
}

/// All events of a file.
pub fn read(path: &Path) -> Result<Events> {
    let mut all = Events::default();
    for_each_block(path, &mut |block| {
        all.append(block).map_err(|source| Error::Events { path: path.to_owned(), source })
    })?;
    Ok(all)
}

/// Writes a table in the format of the path's extension.
pub fn write(path: &Path, events: &Events) -> Result<()> {
    match format(path)? {
        Format::Parquet => parquet::write(path, events),
        Format::Csv => csv::write(path, events),
    }
}

/// The files that a path or a pattern with `*` and `?` stands for, in alphabetic order.
///
/// # Errors
/// [`Error::NoMatch`] if there is none.
pub fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let none = || Error::NoMatch { pattern: pattern.to_owned() };
    if !pattern.contains(['*', '?', '[']) {
        let path = PathBuf::from(pattern);
        return if path.exists() { Ok(vec![path]) } else { Err(none()) };
    }
    let mut paths: Vec<PathBuf> = glob::glob(pattern).map_err(|_| none())?.flatten().collect();
    paths.sort();
    if paths.is_empty() { Err(none()) } else { Ok(paths) }
}

/// Opens a file for reading. The system opens a folder as well and refuses only to read it.
fn open_file(path: &Path) -> Result<File> {
    let system = |source| Error::System { what: "open", path: path.to_owned(), source };
    let file = File::open(path).map_err(system)?;
    if file.metadata().map_err(system)?.is_dir() {
        return Err(system(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Size in bytes and SHA-256 of a file.
pub fn fingerprint(path: &Path) -> Result<(u64, String)> {
    let system = |what| move |source| Error::System { what, path: path.to_owned(), source };
    let mut file = open_file(path)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer).map_err(system("read"))?;
        if n == 0 {
            return Ok((size, fb_core::artifact::hex(&hash.finalize())));
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
}

/// Puts a file in place whole or not at all: written beside it, forced to disk, renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let system = |source| Error::System { what: "write", path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder).map_err(system)?;
    file.write_all(bytes).map_err(system)?;
    file.as_file().sync_all().map_err(system)?;
    readable(&file).map_err(system)?;
    file.persist(path).map_err(|e| system(e.error))?;
    // The name itself is on disk once the folder is.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(system)
}

/// A temporary file is its owner's alone; a result is as readable as any other file.
fn readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}
