//! Writing the container: a header, one directory, a record for each key, and what stands at the end.
//!
//! Places are written in 64 bits always, as in files that ROOT lets grow beyond two gigabytes. There is no clock here: all
//! times are the beginning of ROOT's own count, and the identity of a file is a digest of its bytes.

use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::compression::{Codec, pack};
use crate::file::{Whole, system};
use crate::{Error, Result};

/// Where the first record begins.
const BEGIN: u64 = 100;
/// The version of ROOT whose layout this is, with the mark of 64-bit places.
const VERSION: u32 = 1_000_000 + 63_600;
/// Versions of keys and directories, with the mark of 64-bit places.
const KEY: u16 = 1004;
const DIRECTORY: u16 = 1005;
/// Key, lengths and texts of a key apart from the texts themselves.
const KEY_SIZE: usize = 34;
/// What the directory takes: two versions, two times, two lengths, three places, and the identity.
const DIRECTORY_SIZE: usize = 60;
/// Bytes of a text in a key.
const LONGEST: usize = 1 << 12;
/// An empty list of streamer infos, for files without classes of their own.
pub(super) const NO_INFOS: &[u8] =
    b"\x40\x00\x00\x11\x00\x05\x00\x01\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00";

/// Where a record is, how long it is, and how long it would be unpacked, with its key.
pub(super) struct Record {
    pub(super) seek: u64,
    pub(super) length: usize,
    pub(super) unpacked: usize,
}

/// A ROOT file in the making. It appears under its name with [`Writer::finish`].
pub(super) struct Writer {
    file: BufWriter<Whole>,
    path: PathBuf,
    name: String,
    /// The end of what is written.
    at: u64,
    digest: Xxh3,
    /// The keys of the objects, as the directory lists them.
    keys: Vec<Vec<u8>>,
}

impl Writer {
    /// Begins a file that shall be at `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let file = BufWriter::with_capacity(1 << 16, Whole::create(path)?);
        let mut this = Self { file, path: path.to_owned(), name, at: 0, digest: Xxh3::new(), keys: Vec::new() };
        // Header and directory are known at the end.
        let room = vec![0; BEGIN as usize + this.directory_key().len() + this.names().len() + DIRECTORY_SIZE];
        this.append(&room)?;
        Ok(this)
    }

    /// Appends bytes that others refer to by their place, which is given back. No more than a gigabyte.
    pub(super) fn blob(&mut self, bytes: &[u8]) -> Result<u64> {
        let key = key("RBlob", "", "", bytes.len(), bytes.len(), self.at, BEGIN);
        self.record(&key, bytes)
    }

    /// Appends an object, packed, that others refer to by its place. `more` are bytes that belong to its key.
    pub(super) fn basket(&mut self, names: [&str; 3], more: &[u8], bytes: &[u8], codec: Codec) -> Result<Record> {
        let packed = self.pack(bytes, codec)?;
        let header = key_length(names[0], names[1], names[2]) + more.len();
        let mut key = key(names[0], names[1], names[2], bytes.len(), packed.len() + more.len(), self.at, BEGIN);
        // The key counts what belongs to it in its length.
        key[14..16].copy_from_slice(&(header as u16).to_be_bytes());
        key.extend(more);
        let seek = self.at;
        self.record(&key, &packed)?;
        Ok(Record { seek, length: header + packed.len(), unpacked: header + bytes.len() })
    }

    /// Appends an object, packed, with a key in the directory.
    pub(super) fn object(&mut self, class: &str, name: &str, title: &str, bytes: &[u8], codec: Codec) -> Result<()> {
        let packed = self.pack(bytes, codec)?;
        let key = key(class, name, title, bytes.len(), packed.len(), self.at, BEGIN);
        self.record(&key, &packed)?;
        self.keys.push(key);
        Ok(())
    }

    /// Writes the streamer infos, the directory and the header, and puts the file in place.
    pub(super) fn finish(mut self, infos: &[u8]) -> Result<()> {
        let infos_at = self.at;
        let packed = self.pack(infos, Codec::Zlib)?;
        let infos_key = key("TList", "StreamerInfo", "Doubly linked list", infos.len(), packed.len(), infos_at, BEGIN);
        self.record(&infos_key, &packed)?;
        let infos_length = (infos_key.len() + packed.len()) as u32;

        let keys_at = self.at;
        let mut list = (self.keys.len() as u32).to_be_bytes().to_vec();
        list.extend(self.keys.concat());
        let name = self.name.clone();
        let list_key = key("TFile", &name, "", list.len(), list.len(), keys_at, BEGIN);
        self.record(&list_key, &list)?;
        let keys_length = (list_key.len() + list.len()) as u32;

        // All that is free is behind the end, up to the next of ROOT's limits.
        let free_at = self.at;
        let free_key = key("TFile", &name, "", 18, 18, free_at, BEGIN);
        let end = free_at + free_key.len() as u64 + 18;
        let mut free = 1001_u16.to_be_bytes().to_vec();
        free.extend(end.to_be_bytes());
        free.extend(end.next_multiple_of(1_000_000_000).max(2_000_000_000).to_be_bytes());
        self.record(&free_key, &free)?;
        let free_length = (free_key.len() + free.len()) as u32;

        let mut head = Vec::with_capacity(256);
        let (directory_key, names) = (self.directory_key(), self.names());
        let names_length = (directory_key.len() + names.len()) as u32;
        let identity = self.digest.digest128().to_be_bytes();
        head.extend(b"root");
        for number in [VERSION, BEGIN as u32] {
            head.extend(number.to_be_bytes());
        }
        head.extend(end.to_be_bytes());
        head.extend(free_at.to_be_bytes());
        for number in [free_length, 1, names_length] {
            head.extend(number.to_be_bytes());
        }
        head.push(8);
        head.extend(1_u32.to_be_bytes());
        head.extend(infos_at.to_be_bytes());
        head.extend(infos_length.to_be_bytes());
        head.extend(1_u16.to_be_bytes());
        head.extend(identity);
        head.resize(BEGIN as usize, 0);
        head.extend(directory_key);
        head.extend(names);
        head.extend(DIRECTORY.to_be_bytes());
        head.extend([0; 8]);
        for number in [keys_length, names_length] {
            head.extend(number.to_be_bytes());
        }
        for place in [BEGIN, 0, keys_at] {
            head.extend(place.to_be_bytes());
        }
        head.extend(1_u16.to_be_bytes());
        head.extend(identity);
        let system = system("write", &self.path);
        self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&head)).map_err(&system)?;
        self.file.into_inner().map_err(|e| system(e.into_error()))?.commit()
    }

    /// An error of this file.
    pub(super) fn refused(&self, reason: &str) -> Error {
        Error::unsupported(&self.path, "writing", reason)
    }

    /// The key in front of the directory.
    fn directory_key(&self) -> Vec<u8> {
        let length = self.names().len() + DIRECTORY_SIZE;
        key("TFile", &self.name, "", length, length, BEGIN, 0)
    }

    /// Name and title, in front of the directory.
    fn names(&self) -> Vec<u8> {
        let mut names = Vec::new();
        text(&mut names, &self.name);
        text(&mut names, "");
        names
    }

    fn pack(&self, bytes: &[u8], codec: Codec) -> Result<Vec<u8>> {
        pack(bytes, codec).map_err(|reason| self.refused(&reason))
    }

    /// Writes a key and what is behind it, whose place is given back.
    fn record(&mut self, key: &[u8], bytes: &[u8]) -> Result<u64> {
        if key.len() + bytes.len() > i32::MAX as usize {
            let reason = format!("a record of {} bytes, where two gigabytes are the most", bytes.len());
            return Err(self.refused(&reason));
        }
        self.append(key)?;
        let at = self.at;
        self.append(bytes)?;
        Ok(at)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(system("write", &self.path))?;
        self.digest.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Length of a key.
pub(super) fn key_length(class: &str, name: &str, title: &str) -> usize {
    key(class, name, title, 0, 0, 0, 0).len()
}

/// A key of an object of so many bytes, packed into so many.
fn key(class: &str, name: &str, title: &str, unpacked: usize, packed: usize, at: u64, directory: u64) -> Vec<u8> {
    let mut texts = Vec::new();
    for part in [class, name, title] {
        text(&mut texts, part);
    }
    let header = KEY_SIZE + texts.len();
    let mut key = Vec::with_capacity(header);
    key.extend(((header + packed) as u32).to_be_bytes());
    key.extend(KEY.to_be_bytes());
    key.extend((unpacked as u32).to_be_bytes());
    key.extend([0; 4]);
    key.extend((header as u16).to_be_bytes());
    key.extend(1_u16.to_be_bytes());
    key.extend(at.to_be_bytes());
    key.extend(directory.to_be_bytes());
    key.extend(texts);
    key
}

/// A text behind its length, which is at most what a key can hold.
fn text(to: &mut Vec<u8>, text: &str) {
    let end = text.floor_char_boundary(LONGEST);
    match u8::try_from(end) {
        Ok(short) if short < 255 => to.push(short),
        _ => {
            to.push(255);
            to.extend((end as u32).to_be_bytes());
        }
    }
    to.extend(&text.as_bytes()[..end]);
}
