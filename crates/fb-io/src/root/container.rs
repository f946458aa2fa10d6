//! Writes the container: header, records behind keys, the directory at the top. The same content gives the same bytes,
//! as no time is written.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::builtin;
use super::compression::{Codec, pack};
use super::output::Output;
use crate::file::{Whole, system};
use crate::{Error, Result};

/// Where the first record stands.
const BEGIN: u64 = 100;
/// The version of ROOT whose format this is, plus a million as places in the file have 64 bits.
const VERSION: i32 = 1_062_800;
/// Version of a key with places of 64 bits.
const KEY_VERSION: u16 = 1004;

/// A file that is being written.
pub(super) struct Container {
    path: PathBuf,
    file: std::io::BufWriter<Whole>,
    at: u64,
    codec: Codec,
    /// The keys of the directory.
    keys: Vec<Vec<u8>>,
}

/// Where a record is, how long it is, and how long it would be unpacked, with its key.
pub(super) struct Record {
    pub(super) seek: u64,
    pub(super) length: usize,
    pub(super) unpacked: usize,
}

/// Length of a key.
pub(super) fn key_length(class: &str, name: &str, title: &str) -> usize {
    let text = |text: &str| text.len() + if text.len() < 255 { 1 } else { 5 };
    34 + text(class) + text(name) + text(title)
}

fn key(out: &mut Output, [class, name, title]: [&str; 3], seek: u64, header: usize, packed: usize, unpacked: usize) {
    out.i32((header + packed) as i32);
    out.u16(KEY_VERSION);
    out.i32(unpacked as i32);
    // No time, so that the same content gives the same bytes.
    out.u32(0);
    out.u16(header as u16);
    out.u16(1);
    out.u64(seek);
    out.u64(BEGIN);
    out.text(class);
    out.text(name);
    out.text(title);
}

impl Container {
    pub(super) fn create(path: &Path, codec: Codec) -> Result<Self> {
        let file = std::io::BufWriter::with_capacity(1 << 18, Whole::create(path)?);
        let mut this = Self { path: path.to_owned(), file, at: 0, codec, keys: Vec::new() };
        // Header and directory follow with the end, when their content is known.
        let head = vec![0; BEGIN as usize + this.top(0, 0).len()];
        this.put(&head)?;
        Ok(this)
    }

    /// An error of writing this file.
    pub(super) fn refused(&self, place: impl Into<String>, reason: impl std::fmt::Display) -> Error {
        Error::unsupported(&self.path, place, reason)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(system("write", &self.path))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn name(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A key's length has 16 bits.
        name.chars().take(200).collect()
    }

    /// Bytes that the file holds outside of any key, as the pages of an `RNTuple`; gives their place.
    #[allow(dead_code, reason = "for RNTuple")]
    pub(super) fn blob(&mut self, bytes: &[u8]) -> Result<u64> {
        let seek = self.at;
        self.put(bytes)?;
        Ok(seek)
    }

    /// An object behind its key. `more` are bytes that belong to the key.
    pub(super) fn record(&mut self, names: [&str; 3], more: &[u8], object: &[u8]) -> Result<Record> {
        let header = key_length(names[0], names[1], names[2]) + more.len();
        let packed = pack(object, self.codec).map_err(|reason| self.refused(names[1], reason))?;
        if i32::try_from(object.len() + header).is_err() || u16::try_from(header).is_err() {
            return Err(self.refused(names[1], format!("a record of {} bytes, expected less than 2^31", object.len())));
        }
        let mut out = Output::default();
        let seek = self.at;
        key(&mut out, names, seek, header, packed.len(), object.len());
        out.bytes.extend(more);
        let record = Record { seek, length: header + packed.len(), unpacked: header + object.len() };
        self.put(&out.bytes)?;
        self.put(&packed)?;
        Ok(record)
    }

    /// An object that the directory lists.
    pub(super) fn listed(&mut self, names: [&str; 3], object: &[u8]) -> Result<()> {
        let record = self.record(names, &[], object)?;
        let header = key_length(names[0], names[1], names[2]);
        let mut out = Output::default();
        key(&mut out, names, record.seek, header, record.length - header, object.len());
        self.keys.push(out.bytes);
        Ok(())
    }

    /// The record of the directory at the top.
    fn top(&self, keys: u64, length: usize) -> Vec<u8> {
        let name = self.name();
        let header = key_length("TFile", &name, "");
        let mut content = Output::default();
        content.text(&name);
        content.text("");
        let name_length = header + content.bytes.len();
        content.u16(1005);
        content.u32(0);
        content.u32(0);
        content.i32(length as i32);
        content.i32(name_length as i32);
        content.u64(BEGIN);
        content.u64(0);
        content.u64(keys);
        uuid(&mut content);
        let mut out = Output::default();
        let n = content.bytes.len();
        key(&mut out, ["TFile", &name, ""], BEGIN, header, n, n);
        out.bytes.extend(content.bytes);
        out.bytes
    }

    /// Writes what lists the rest, and puts the file in place.
    pub(super) fn finish(mut self) -> Result<()> {
        let names = ["TList", "StreamerInfo", "Doubly linked list"];
        let mut infos = Output::behind(key_length(names[0], names[1], names[2]));
        builtin::write(&mut infos);
        let infos = self.record(names, &[], &infos.bytes)?;
        let name = self.name();
        let plain = std::mem::replace(&mut self.codec, Codec::Stored);
        let mut list = Output::default();
        list.i32(self.keys.len() as i32);
        list.bytes.extend(self.keys.concat());
        let keys = self.record(["TFile", &name, ""], &[], &list.bytes)?;
        // One free segment: all behind the end.
        let mut free = Output::default();
        let header = key_length("TFile", &name, "");
        let end = self.at + header as u64 + 18;
        free.u16(1001);
        free.u64(end);
        free.u64(end.max(2_000_000_000) + 1_000_000_000);
        let free = self.record(["TFile", &name, ""], &[], &free.bytes)?;
        self.codec = plain;
        let mut out = Output::default();
        out.bytes.extend(b"root");
        out.i32(VERSION);
        out.i32(BEGIN as i32);
        out.u64(self.at);
        out.u64(free.seek);
        out.i32(free.length as i32);
        out.i32(1);
        out.i32((key_length("TFile", &name, "") + name.len() + 2) as i32);
        out.u8(8);
        out.i32(settings(self.codec));
        out.u64(infos.seek);
        out.i32(infos.length as i32);
        uuid(&mut out);
        out.bytes.resize(BEGIN as usize, 0);
        out.bytes.extend(self.top(keys.seek, keys.length));
        let path = self.path;
        self.file.seek(SeekFrom::Start(0)).map_err(system("write", &path))?;
        self.file.write_all(&out.bytes).map_err(system("write", &path))?;
        self.file.into_inner().map_err(|e| system("write", &path)(e.into_error()))?.commit()
    }
}

/// An identity that is none: the same content gives the same bytes.
fn uuid(out: &mut Output) {
    out.u16(1);
    out.bytes.extend([0; 16]);
}

/// Codec and level as ROOT counts them.
pub(super) fn settings(codec: Codec) -> i32 {
    match codec {
        Codec::Stored => 0,
        Codec::Zlib => 101,
        Codec::Lzma => 204,
        Codec::Lz4 => 404,
        Codec::Zstd => 505,
    }
}
