//! Specifications of tables: `file.ext`, `file.ext:table/in/it`, and patterns of both.

use std::path::{Path, PathBuf};

use crate::{Error, Format, Result, trackml};

/// A file and, where one is named, a table in it. A file whose own name has a colon and that is there is a file.
pub fn split(spec: &Path) -> (PathBuf, Option<String>) {
    let whole = || (spec.to_owned(), None);
    let Some(text) = spec.to_str().filter(|text| text.contains(':') && !spec.exists()) else { return whole() };
    let colons = || text.rmatch_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
    let is_there = |path: &str| Path::new(path).exists() || trackml::Quartet::of(Path::new(path)).is_some();
    let with_format = |path: &str| Format::of_name(Path::new(path)).is_some();
    match colons().find(|(path, _)| is_there(path)).or_else(|| colons().find(|(path, _)| with_format(path))) {
        Some((path, table)) => (PathBuf::from(path), Some(table.to_owned())),
        None => whole(),
    }
}

/// What identifies a table: the name of its file, and its own where one is named.
pub fn name(spec: &Path) -> String {
    let (path, table) = split(spec);
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    table.map_or_else(|| file.clone(), |table| format!("{file}:{table}"))
}

/// The specifications that a path or a pattern with `*` and `?` stands for, in alphabetic order; `dir/*.h5:jets` is
/// this table of each file.
///
/// # Errors
/// [`Error::NoMatch`] if there is none.
pub fn expand(pattern: &str) -> Result<Vec<PathBuf>> {
    let none = || Error::NoMatch { pattern: pattern.to_owned() };
    let (path, table) = split(Path::new(pattern));
    let with_table = |path: PathBuf| match &table {
        None => path,
        Some(table) => {
            let mut spec = path.into_os_string();
            spec.push(":");
            spec.push(table);
            spec.into()
        }
    };
    let is_pattern = path.to_str().is_some_and(|path| path.contains(['*', '?', '[']));
    if path.exists() || !is_pattern {
        let is_there = path.exists() || trackml::Quartet::of(&path).is_some();
        return if is_there { Ok(vec![with_table(path)]) } else { Err(none()) };
    }
    let mut paths: Vec<PathBuf> = glob::glob(&path.to_string_lossy()).map_err(|_| none())?.flatten().collect();
    paths.sort();
    if paths.is_empty() { Err(none()) } else { Ok(paths.into_iter().map(with_table).collect()) }
}

/// The files behind a specification: one, but for an event of TrackML that is named by its prefix.
pub(crate) fn files(spec: &Path) -> Vec<PathBuf> {
    let (path, _) = split(spec);
    match trackml::Quartet::of(&path) {
        Some(quartet) if !path.exists() => quartet.files(),
        _ => vec![path],
    }
}
