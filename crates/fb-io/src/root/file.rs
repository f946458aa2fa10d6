//! The container: a header, directories of keys, and a record for each key.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::bytes::{Cursor, Fault};
use super::compression::{room, unpack};
use crate::{Error, Result, open_file};

/// Directories within directories.
const DEEPEST: usize = 64;

/// An open ROOT file. Bytes are read where they are needed; several threads may do so at once.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    inner: std::fs::File,
    size: u64,
    /// Place and length of the record of streamer infos.
    pub(super) infos: (u64, usize),
    /// The keys of all directories, the newest cycle of each name alone.
    pub(super) keys: Vec<Key>,
}

/// A key: what and where an object is.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Directories and name, with slashes between them.
    pub(super) path: String,
    pub(super) class: String,
    cycle: i16,
    /// Place of the record, which begins with a copy of the key.
    pub(super) seek: u64,
    /// Length of the whole record.
    pub(super) record: usize,
    /// Length of the copy of the key. References within objects count from its beginning.
    pub(super) header: usize,
    /// Length of the object unpacked.
    pub(super) unpacked: usize,
}

impl Key {
    /// Reads a key; its path is its name.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Fault<Self> {
        let record = cursor.i32()?;
        let version = cursor.i16()?;
        let unpacked = cursor.i32()?;
        cursor.skip(4)?;
        let header = cursor.i16()?;
        let cycle = cursor.i16()?;
        let large = version > 1000;
        let seek = cursor.seek_pointer(large)?;
        cursor.seek_pointer(large)?;
        let class = cursor.text()?;
        let path = cursor.text()?;
        cursor.text_bytes()?;
        let length = |n: i64| usize::try_from(n).map_err(|_| format!("the key `{path}` has a length of {n}"));
        let [record, unpacked, header] = [record.into(), unpacked.into(), header.into()].map(length);
        let (record, unpacked, header) = (record?, unpacked?, header?);
        Ok(Self { path, class, cycle, seek, record, header, unpacked })
    }
}

impl File {
    /// Opens a file and reads its directories.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open_file(path)?;
        let size = file.metadata().map_err(|source| system(path, source))?.len();
        let mut this = Self { path: path.to_owned(), inner: file, size, infos: (0, 0), keys: Vec::new() };
        let bytes = this.bytes(0, size.min(100) as usize).map_err(|reason| this.corrupt("header", reason))?;
        let top = this.read_header(&bytes).map_err(|reason| this.corrupt("header", reason))?;
        let mut seen = HashSet::new();
        this.read_directory(top, "", &mut seen).map_err(|reason| this.corrupt("directory", reason))?;
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// An error of this file at some place.
    pub(super) fn corrupt(&self, place: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), place: place.into(), reason: reason.into() }
    }

    /// Place of the directory at the top.
    fn read_header(&mut self, bytes: &[u8]) -> Fault<u64> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(4).ok() != Some(b"root") {
            return Err("it does not begin with `root` as ROOT files do".to_owned());
        }
        let large = cursor.i32()? >= 1_000_000;
        let begin = u64::from(cursor.u32()?);
        let end = cursor.seek_pointer(large)?;
        cursor.seek_pointer(large)?;
        cursor.skip(8)?;
        let name = u64::from(cursor.u32()?);
        cursor.skip(5)?;
        let infos = cursor.seek_pointer(large)?;
        self.infos = (infos, cursor.u32()? as usize);
        if end > self.size {
            return Err(format!("it has {} bytes, expected {end}; was it copied or closed in full?", self.size));
        }
        Ok(begin.saturating_add(name))
    }

    /// A stretch of the file.
    pub(super) fn bytes(&self, from: u64, length: usize) -> Fault<Vec<u8>> {
        let mut bytes = Vec::new();
        self.bytes_in(from, length, &mut bytes)?;
        Ok(bytes)
    }

    /// A stretch of the file, in a buffer that is used again: it grows where it must, and what is there is not cleared.
    pub(super) fn bytes_in<'a>(&self, from: u64, length: usize, buffer: &'a mut Vec<u8>) -> Fault<&'a [u8]> {
        if from.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(format!("{length} bytes at {from} lie beyond the end of the file at {}", self.size));
        }
        let bytes = room(buffer, 0, length);
        read_at(&self.inner, from, bytes).map_err(|e| format!("cannot read {length} bytes at {from}: {e}"))?;
        Ok(bytes)
    }

    fn read_directory(&mut self, at: u64, within: &str, seen: &mut HashSet<u64>) -> Fault<()> {
        if !seen.insert(at) || within.matches('/').count() > DEEPEST {
            return Err(format!("the directory `{within}` holds itself"));
        }
        let bytes = self.bytes(at, self.size.saturating_sub(at).min(42) as usize)?;
        let mut cursor = Cursor::new(&bytes);
        let large = cursor.i16()? > 1000;
        cursor.skip(8)?;
        let length = cursor.u32()? as usize;
        cursor.skip(4)?;
        cursor.seek_pointer(large)?;
        cursor.seek_pointer(large)?;
        let keys = cursor.seek_pointer(large)?;
        if keys == 0 {
            return Ok(());
        }
        let bytes = self.bytes(keys, length)?;
        let mut cursor = Cursor::new(&bytes);
        Key::read(&mut cursor)?;
        // A key takes 26 bytes and three lengths of texts.
        let mut found: Vec<Key> = Vec::new();
        for _ in 0..cursor.count(29)? {
            let mut key = Key::read(&mut cursor)?;
            key.path = if within.is_empty() { key.path } else { format!("{within}/{}", key.path) };
            found.push(key);
        }
        let mut newest: std::collections::HashMap<String, i16> = std::collections::HashMap::new();
        for key in &found {
            let cycle = newest.entry(key.path.clone()).or_insert(key.cycle);
            *cycle = key.cycle.max(*cycle);
        }
        for key in found {
            if newest.get(&key.path) != Some(&key.cycle) {
                continue;
            }
            let (path, inner) = (key.path.clone(), key.seek.saturating_add(key.header as u64));
            let is_directory = matches!(key.class.as_str(), "TDirectory" | "TDirectoryFile");
            self.keys.push(key);
            if is_directory {
                self.read_directory(inner, &path, seen)?;
            }
        }
        Ok(())
    }

    /// The object of a key, unpacked.
    pub(super) fn object(&self, key: &Key) -> Fault<Vec<u8>> {
        let record = self.bytes(key.seek, key.record)?;
        let content = record.get(key.header..).ok_or("the key is longer than its record")?;
        unpack(content, key.unpacked)
    }
}

fn system(path: &Path, source: std::io::Error) -> Error {
    Error::System { what: "read", path: path.to_owned(), source }
}

#[cfg(unix)]
fn read_at(file: &std::fs::File, from: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, from)
}

#[cfg(windows)]
fn read_at(file: &std::fs::File, mut from: u64, mut bytes: &mut [u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, bytes, from)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        (bytes, from) = (&mut bytes[n..], from + n as u64);
    }
    Ok(())
}
