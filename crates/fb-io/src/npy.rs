//! NumPy: an array (`.npy`), or arrays in a zip file (`.npz`), stored or deflated.
//!
//! Arrays of equal first dimension are the columns of a table; see [`crate::arrays`] for lists. An array of records is a
//! table of its members. A single array is the column `data`.
//!
//! What is packed, and what lies in Fortran's order, can only be read from its beginning: in order this costs nothing,
//! and the whole of an array in Fortran's order is held in memory.
//! Source: NumPy enhancement proposal 1, and the documentation of `numpy.lib.format`.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use fb_core::Unit;
use flate2::read::DeflateDecoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::arrays::{self, Array, Store};
use crate::file::{Whole, open_file, system};
use crate::raw::{Element, Records, Scalar};
use crate::spool::{Spool, Spooled};
use crate::table::{Sink, Table};
use crate::{Error, Result, guard};

/// The bytes that begin a `.npy`.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// The bytes that begin a zip file.
pub(crate) const ZIP: &[u8] = b"PK\x03\x04";

/// Longest header of an array.
const LONGEST_HEADER: usize = 1 << 20;
/// Deflate packs no more than this many bytes into one.
const LARGEST_RATIO: u64 = 1100;
/// Lists in lists of a header.
const DEEPEST: usize = 32;

/// Where the bytes of an array lie.
struct Stored {
    path: PathBuf,
    /// Of the `.npy` in the file.
    start: u64,
    /// Bytes in the file.
    packed: u64,
    is_deflated: bool,
    /// Where a reader of deflated bytes stands: whoever reads on in order does not unpack again.
    last: Mutex<Option<(u64, DeflateDecoder<std::io::Take<File>>)>>,
}

/// An array of a file.
struct Numbers {
    name: String,
    stored: Stored,
    /// Bytes of the header.
    header: u64,
    shape: Vec<u64>,
    is_fortran: bool,
    /// Bytes of a row.
    stride: usize,
}

struct Member {
    array: usize,
    element: Element,
    offset: usize,
}

struct Numpy {
    path: PathBuf,
    arrays: Vec<Numbers>,
    members: Vec<Member>,
}

/// The table of a single array.
pub(crate) fn table(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let packed = open_file(path)?.metadata().map_err(system("read", path))?.len();
    let stored = Stored { path: path.to_owned(), start: 0, packed, is_deflated: false, last: Mutex::default() };
    tables_of(path, vec![("data".to_owned(), stored)])
}

/// The tables of a zip file of arrays.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let file = open_file(path)?;
    let size = file.metadata().map_err(system("read", path))?.len();
    let stored = guard(path, "directory", || {
        let fail = |e| Error::corrupt(path, "directory", e);
        let mut archive = ZipArchive::new(file).map_err(fail)?;
        let mut stored = Vec::new();
        for i in 0..archive.len() {
            let entry = archive.by_index_raw(i).map_err(fail)?;
            let Some(name) = entry.name().map_err(fail)?.strip_suffix(".npy").map(str::to_owned) else { continue };
            let refuse = |reason: &str| Error::unsupported(path, format!("`{name}`"), reason);
            let is_deflated = match entry.compression() {
                CompressionMethod::Stored => false,
                CompressionMethod::Deflated => true,
                other => return Err(refuse(&format!("packed with {other}, expected none or deflate"))),
            };
            if entry.encrypted() {
                return Err(refuse("it is encrypted"));
            }
            let start = entry.data_start().unwrap_or(size);
            let packed = entry.compressed_size().min(size.saturating_sub(start));
            stored.push((name, Stored { path: path.to_owned(), start, packed, is_deflated, last: Mutex::default() }));
        }
        Ok(stored)
    })?;
    tables_of(path, stored)
}

fn tables_of(path: &Path, stored: Vec<(String, Stored)>) -> Result<Vec<Box<dyn Table>>> {
    let mut store = Numpy { path: path.to_owned(), arrays: Vec::new(), members: Vec::new() };
    let is_alone = stored.len() == 1;
    let (mut plain, mut records) = (Vec::new(), Vec::new());
    for (name, stored) in stored {
        let members = store.enter(&name, stored)?;
        match members {
            Entered::Plain(array) => plain.push(array),
            Entered::Records(members) if is_alone => plain = members,
            Entered::Records(members) => records.push((name, members)),
        }
    }
    // A row of an array in Fortran's order is all over it.
    let file =
        arrays::File { path: path.to_owned(), kind: "NumPy", store: Arc::new(store), is_columnar: records.is_empty() };
    let mut tables = arrays::tables(&file, "", &plain);
    tables.extend(records.iter().flat_map(|(name, members)| arrays::tables(&file, name, members)));
    Ok(tables)
}

enum Entered {
    Plain(Array),
    Records(Vec<Array>),
}

impl Stored {
    /// A stretch of bytes, or fewer if it is shorter.
    fn bytes(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let open = |from: u64| -> Result<File> {
            let mut file = open_file(&self.path)?;
            file.seek(SeekFrom::Start(from)).map_err(system("read", &self.path))?;
            Ok(file)
        };
        let (length, mut bytes) = (range.end - range.start, Vec::new());
        if !self.is_deflated {
            let length = length.min(self.packed.saturating_sub(range.start));
            bytes.reserve_exact(length as usize);
            let file = open(self.start.saturating_add(range.start))?;
            file.take(length).read_to_end(&mut bytes).map_err(system("read", &self.path))?;
            return Ok(bytes);
        }
        let last = self.last.lock().ok().and_then(|mut last| last.take_if(|(at, _)| *at <= range.start));
        let (at, mut reader) = match last {
            Some(last) => last,
            None => (0, DeflateDecoder::new(open(self.start)?.take(self.packed))),
        };
        let corrupt = |e| Error::corrupt(&self.path, "deflated bytes", e);
        let skipped = std::io::copy(&mut reader.by_ref().take(range.start - at), &mut std::io::sink());
        let at = at + skipped.map_err(corrupt)?;
        reader.by_ref().take(length).read_to_end(&mut bytes).map_err(corrupt)?;
        if let Ok(mut last) = self.last.lock() {
            *last = Some((at + bytes.len() as u64, reader));
        }
        Ok(bytes)
    }

    /// The most bytes that it can unpack to.
    fn most(&self) -> u64 {
        if self.is_deflated { self.packed.saturating_mul(LARGEST_RATIO) } else { self.packed }
    }
}

impl Numpy {
    fn enter(&mut self, name: &str, stored: Stored) -> Result<Entered> {
        let fail = |reason: String| Error::corrupt(&self.path, format!("`{name}`, header"), reason);
        let begin = stored.bytes(0..12)?;
        let (length, from) = match begin.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d] => {
                (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
            }
            _ => return Err(fail("it does not begin as an array does, of version 1 to 3".to_owned())),
        };
        if length > LONGEST_HEADER {
            return Err(fail(format!("{length} bytes, expected up to {LONGEST_HEADER}")));
        }
        let header = from + length as u64;
        let bytes = stored.bytes(from..header)?;
        if bytes.len() < length {
            return Err(fail(format!("{} bytes, expected {length}", bytes.len())));
        }
        let text: String = match String::from_utf8(bytes) {
            Ok(text) => text,
            // Before version 3 the header is of Latin letters.
            Err(e) => e.into_bytes().iter().map(|&b| char::from(b)).collect(),
        };
        let header_error = || fail(format!("cannot read `{}`", text.trim().chars().take(200).collect::<String>()));
        let mut parser = Parser { left: text.trim(), depth: 0 };
        let Some(Value::Dictionary(entries)) = parser.value() else { return Err(header_error()) };
        let get = |key: &str| entries.iter().find(|(k, _)| *k == Value::Text(key.to_owned())).map(|(_, value)| value);
        let (Some(descr), Some(Value::Bool(is_fortran)), Some(Value::Tuple(shape))) =
            (get("descr"), get("fortran_order"), get("shape"))
        else {
            return Err(header_error());
        };
        let shape: Option<Vec<u64>> = shape.iter().map(Value::size).collect();
        let shape = shape.ok_or_else(header_error)?;
        let (rows, inner) = match shape.split_first() {
            Some((&rows, inner)) => (rows, inner.to_vec()),
            None => (1, Vec::new()),
        };
        let members = members(descr).map_err(|reason| Error::unsupported(&self.path, format!("`{name}`"), reason))?;
        let count = inner.iter().try_fold(1usize, |n, &m| n.checked_mul(usize::try_from(m).ok()?));
        let (stride, members) = match members {
            Layout::Records { size, members } if inner.is_empty() => (Some(size), Some(members)),
            Layout::Records { .. } => {
                let reason = "records in more than one dimension are not read";
                return Err(Error::unsupported(&self.path, format!("`{name}`"), reason));
            }
            Layout::Plain(mut element) => {
                let stride = element.size().zip(count).and_then(|(size, count)| size.checked_mul(count));
                element.shape.splice(0..0, inner.iter().map(|&n| n as usize));
                self.members.push(Member { array: self.arrays.len(), element, offset: 0 });
                (stride, None)
            }
        };
        let total = stride.and_then(|stride| rows.checked_mul(stride as u64)?.checked_add(header));
        let (Some(stride), Some(total)) = (stride, total) else { return Err(header_error()) };
        // Rows without bytes cannot be told from none.
        if total > stored.most() || (stride == 0 && rows > 0) {
            let found = if stored.is_deflated { "at most " } else { "" };
            return Err(fail(format!("the file has {found}{} bytes, expected {total}", stored.most())));
        }
        let is_fortran = *is_fortran && !inner.is_empty();
        self.arrays.push(Numbers { name: name.to_owned(), stored, header, shape, is_fortran, stride });
        let array = |name: &str, id: usize, element: &Element| Array {
            id,
            name: name.to_owned(),
            type_name: element.type_name(),
            unit: Unit::Unknown,
            rows,
            row_size: element.size().unwrap_or(stride) as u64,
            content: element.content().ok_or_else(|| "its type is not read".to_owned()),
        };
        Ok(match members {
            None => {
                let id = self.members.len() - 1;
                Entered::Plain(array(name, id, &self.members[id].element))
            }
            Some(members) => {
                let entered = members.into_iter().map(|(name, offset, element)| {
                    self.members.push(Member { array: self.arrays.len() - 1, element, offset });
                    let id = self.members.len() - 1;
                    array(&name, id, &self.members[id].element)
                });
                Entered::Records(entered.collect())
            }
        })
    }
}

impl Store for Numpy {
    fn read(&self, arrays: &[usize], rows: Range<u64>) -> Result<Vec<ArrayRef>> {
        // Members of one array lie together and are read once.
        let mut last: Option<(usize, Vec<u8>)> = None;
        let mut read = Vec::with_capacity(arrays.len());
        for &id in arrays {
            let Member { array, element, offset } = &self.members[id];
            let numbers = &self.arrays[*array];
            let bytes = match last.take() {
                Some((known, bytes)) if known == *array => bytes,
                _ => numbers.rows(&self.path, &rows)?,
            };
            let records = Records { bytes: &bytes, stride: numbers.stride.max(1) };
            let found = element.array(records, *offset);
            let missing = || Error::corrupt(&self.path, format!("`{}`", numbers.name), "its records are too short");
            read.push(found.ok_or_else(missing)?);
            last = Some((*array, bytes));
        }
        Ok(read)
    }
}

impl Numbers {
    /// The bytes of some rows.
    fn rows(&self, path: &Path, rows: &Range<u64>) -> Result<Vec<u8>> {
        let (stride, count) = (self.stride as u64, (rows.end - rows.start) as usize);
        let bytes = if self.is_fortran {
            let all = self.shape.first().copied().unwrap_or(1).saturating_mul(stride);
            let whole = self.stored.bytes(self.header..self.header + all)?;
            self.transposed(&whole, rows)
        } else {
            self.stored.bytes(self.header + rows.start * stride..self.header + rows.end * stride)?
        };
        let expected = count.saturating_mul(self.stride);
        if bytes.len() < expected {
            let reason = format!("it ends after {} bytes, expected {expected}", bytes.len());
            return Err(Error::corrupt(path, format!("`{}`, entries {}..{}", self.name, rows.start, rows.end), reason));
        }
        Ok(bytes)
    }
}

impl Numbers {
    /// Rows of an array in Fortran's order, in the order of C.
    fn transposed(&self, whole: &[u8], rows: &Range<u64>) -> Vec<u8> {
        let inner: Vec<usize> = self.shape.iter().skip(1).map(|&n| n as usize).collect();
        let all = self.shape.first().map_or(1, |&n| n as usize);
        let count: usize = inner.iter().product();
        let width = self.stride.checked_div(count).unwrap_or(0);
        // Where each value of a row lies, in rows: the first index runs fastest.
        let place = |value: usize| {
            let (mut left, mut step, mut place) = (value, count, 0);
            for &n in inner.iter().rev() {
                step /= n;
                place += left % n * step;
                left /= n;
            }
            place
        };
        let places: Vec<usize> = (0..count).map(place).collect();
        let mut bytes = Vec::with_capacity((rows.end - rows.start) as usize * self.stride);
        for row in rows.start as usize..rows.end as usize {
            for place in &places {
                let at = (place * all + row) * width;
                bytes.extend_from_slice(whole.get(at..at + width).unwrap_or_default());
            }
        }
        bytes
    }
}

/// What a header says of an entry.
enum Layout {
    Plain(Element),
    Records { size: usize, members: Vec<(String, usize, Element)> },
}

/// How entries lie in bytes, from the description of their type.
fn members(descr: &Value) -> std::result::Result<Layout, String> {
    let Value::List(fields) = descr else { return Ok(Layout::Plain(element(descr)?)) };
    let (mut offset, mut members) = (0usize, Vec::new());
    for field in fields {
        let (name, kind, shape) = match field {
            Value::Tuple(parts) => match parts.as_slice() {
                [name, kind] => (name, kind, &[][..]),
                [name, kind, Value::Tuple(shape)] => (name, kind, shape.as_slice()),
                _ => return Err("a field of a record has a name, a type and a shape".to_owned()),
            },
            _ => return Err("a field of a record has a name and a type".to_owned()),
        };
        let name = match name {
            Value::Text(name) => name,
            // A title, and the name.
            Value::Tuple(names) => match names.as_slice() {
                [_, Value::Text(name)] => name,
                _ => return Err("a field of a record has a name".to_owned()),
            },
            _ => return Err("a field of a record has a name".to_owned()),
        };
        if matches!(kind, Value::List(_)) {
            return Err(format!("records in records are not read (`{name}`)"));
        }
        let size_of = |value: &Value| usize::try_from(value.size()?).ok();
        let too_large = || format!("`{name}` is too large");
        // A field without a name is a gap.
        let gap = kind.text().and_then(|kind| kind.strip_prefix("|V")?.parse().ok()).filter(|_| name.is_empty());
        if let Some(gap) = gap {
            offset = offset.checked_add(gap).ok_or_else(too_large)?;
            continue;
        }
        let mut element = element(kind)?;
        element.shape = shape.iter().map(size_of).collect::<Option<_>>().ok_or_else(too_large)?;
        let end = element.size().and_then(|size| offset.checked_add(size)).ok_or_else(too_large)?;
        members.push((name.clone(), offset, element));
        offset = end;
    }
    Ok(Layout::Records { size: offset, members })
}

/// A type of one value: `<f4`, `|S10`, `>U3`.
fn element(descr: &Value) -> std::result::Result<Element, String> {
    let unread = || format!("the type {descr:?} is not read, expected numbers, booleans or texts");
    let text = descr.text().filter(|text| text.is_ascii() && text.len() > 2).ok_or_else(unread)?;
    let (order, rest) = text.split_at(1);
    let (kind, width) = rest.split_at(1);
    let width: usize = width.parse().map_err(|_| unread())?;
    let scalar = match (kind, width) {
        ("b", 1) => Scalar::Bool,
        ("i", 1 | 2 | 4 | 8) => Scalar::Int(width),
        ("u", 1 | 2 | 4 | 8) => Scalar::Uint(width),
        ("f", 2 | 4 | 8) => Scalar::Float(width),
        ("S", _) => Scalar::Utf8(width),
        ("U", _) => Scalar::Utf32(width.checked_mul(4).ok_or_else(unread)?),
        _ => return Err(unread()),
    };
    Ok(Element { scalar, big_endian: order == ">", shape: Vec::new() })
}

/// A literal of Python, as far as headers have them.
#[derive(Debug, PartialEq)]
enum Value {
    Text(String),
    Integer(u64),
    Bool(bool),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dictionary(Vec<(Value, Value)>),
}

impl Value {
    fn size(&self) -> Option<u64> {
        if let Self::Integer(n) = self { Some(*n) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

struct Parser<'a> {
    left: &'a str,
    depth: usize,
}

impl Parser<'_> {
    /// Passes over this, if it comes next.
    fn take(&mut self, what: char) -> bool {
        self.left = self.left.trim_start();
        let rest = self.left.strip_prefix(what);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    fn value(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = if self.take('{') {
            Value::Dictionary(self.many('}', |parser| {
                let key = parser.value()?;
                parser.take(':').then_some(())?;
                Some((key, parser.value()?))
            })?)
        } else if self.take('[') {
            Value::List(self.many(']', Self::value)?)
        } else if self.take('(') {
            Value::Tuple(self.many(')', Self::value)?)
        } else if let Some(quote) = ['\'', '"'].into_iter().find(|&quote| self.take(quote)) {
            let (text, rest) = self.left.split_once(quote)?;
            self.left = rest;
            Value::Text(text.to_owned())
        } else {
            let end = self.left.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.left.len());
            let (word, rest) = self.left.split_at(end);
            self.left = rest;
            match word {
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                // An old NumPy wrote `3L`.
                number => Value::Integer(number.trim_end_matches('L').parse().ok()?),
            }
        };
        self.depth -= 1;
        Some(value)
    }

    /// Values up to a bracket.
    fn many<T>(&mut self, close: char, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut values = Vec::new();
        while !self.take(close) {
            values.push(one(self)?);
            if !self.take(',') {
                return self.take(close).then_some(values);
            }
        }
        Some(values)
    }
}

struct Writer {
    path: PathBuf,
    whole: Whole,
    spool: Spool,
}

/// A zip file of arrays, deflated.
pub(crate) fn sink(path: &Path, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Writer { path: path.to_owned(), whole: Whole::create(path)?, spool: Spool::new(path, schema)? }))
}

impl Sink for Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.spool.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { path, whole, spool } = *self;
        let system = system("write", &path);
        let mut zip = ZipWriter::new(whole);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
        for array in spool.into_arrays() {
            let options = options.compression_level(Some(4));
            zip.start_file(format!("{}.npy", array.name), options).map_err(|e| system(e.into()))?;
            zip.write_all(&header(&array)).map_err(&system)?;
            let width = array.element.scalar.width().max(1);
            let letters = |text: &str, bytes: &mut Vec<u8>| {
                let end = bytes.len() + 4 * width;
                text.chars().for_each(|letter| bytes.extend_from_slice(&u32::from(letter).to_le_bytes()));
                bytes.resize(end, 0);
            };
            array.pour(letters, &mut |bytes| zip.write_all(bytes)).map_err(&system)?;
        }
        zip.finish().map_err(|e| system(e.into()))?.commit()
    }
}

/// The beginning of an array, of a length that is a multiple of 64.
fn header(array: &Spooled) -> Vec<u8> {
    let order = if array.element.scalar.width() == 1 { "|" } else { "<" };
    let descr = match array.element.scalar {
        Scalar::Bool => "|b1".to_owned(),
        Scalar::Int(n) => format!("{order}i{n}"),
        Scalar::Uint(n) => format!("{order}u{n}"),
        Scalar::Float(n) => format!("{order}f{n}"),
        // As many letters as there are bytes is enough.
        Scalar::Utf8(n) | Scalar::Utf32(n) => format!("<U{}", n.max(1)),
    };
    let dimensions = std::iter::once(array.entries).chain(array.element.shape.iter().map(|&n| n as u64));
    let shape = dimensions.map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    // A tuple of one has a comma.
    let comma = if array.element.shape.is_empty() { "," } else { "" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}{comma}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<0$}\n", length - 1).bytes());
    bytes
}
