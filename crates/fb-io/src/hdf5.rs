//! HDF5: groups of data sets, data sets of records, and the frames of pandas.
//!
//! The bytes of the format are the business of `hdf5-pure`, which nothing outside this file knows. What a table is:
//!
//! - The data sets of a group that have equal first dimensions are the branches of a table of the group's name. Further
//!   dimensions are lists of a fixed length. See [`crate::arrays`] for lists of any length.
//! - A data set of records (a compound type) is a table of its members. Where it has a second dimension, as the tracks of
//!   a jet in ATLAS' files for flavour tagging, each member is a list; if there is a boolean member `valid`, of those
//!   entries for which it is true, and `valid` itself is left out. In the table of its group a member `pt` of `jets` is
//!   `jets_pt`, if the group has more than this data set.
//! - A frame of pandas in the fixed format is a table of its columns, without the index.
//!
//! Chunks that Blosc packed, as PyTables likes to have it, are unpacked here ([`crate::blosc`]).
//!
//! Sequences of variable length, references and numbers of unusual widths are branches that are not read.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::take::take;
use fb_core::Unit;
use hdf5_pure::{
    AttrValue, CharacterSet, Chunk, Dataset, Datatype, DatatypeByteOrder, EnumTypeBuilder, FileAccessProperties,
    FileBuilder, FloatingPointLayout, Group, MaxExtent, StringPadding, SyncPolicy, make_f32_type, make_f64_type,
    make_i8_type, make_i16_type, make_i32_type, make_i64_type, make_u8_type, make_u16_type, make_u32_type,
    make_u64_type,
};

use crate::arrays::{self, Array, Store};
use crate::blosc;
use crate::file::{Whole, system};
use crate::raw::{Element, Records, Scalar};
use crate::spool::{Spool, Spooled};
use crate::table::{self, Sink, Table, UNIT};
use crate::{Error, Result, guard, open_file};

/// The eight bytes that begin a file.
pub(crate) const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Groups in groups.
const DEEPEST: usize = 16;
/// Data sets of a file.
const MOST_SETS: usize = 10_000;
/// No filter packs more than this many bytes into one. A data set may be never written as well, to a point.
const LARGEST_RATIO: u64 = 1100;
const LARGEST_UNWRITTEN: u64 = 16 << 20;

type Kind<T> = std::result::Result<T, String>;

/// How an array of ours is read from a data set.
struct Member {
    set: usize,
    /// Its place in a record, or that the set is of texts of any length.
    place: Option<(Element, usize)>,
    /// Records in a row, and the place of the member that says which of them are there.
    many: Option<(usize, Option<usize>)>,
}

struct Set {
    path: String,
    handle: Dataset,
    /// Bytes of a record.
    stride: usize,
    /// Records in a row.
    records: usize,
    /// Its chunks, which lie in the file; none of a set that has none.
    chunks: OnceLock<Kind<Vec<Chunk>>>,
}

impl Set {
    /// The library makes room for a chunk before it reads it, so the sizes that a file claims are looked at first.
    fn chunks(&self, size: u64) -> std::result::Result<&[Chunk], &String> {
        let checked = || {
            if !self.handle.is_chunked() {
                return Ok(Vec::new());
            }
            let chunks = self.handle.chunks().map_err(|e| e.to_string())?;
            let lies_in_file = |chunk: &Chunk| chunk.address.saturating_add(chunk.storage_size) <= size;
            match chunks.iter().find(|chunk| !lies_in_file(chunk)) {
                Some(c) => Err(format!("a chunk of {} bytes at {} lies beyond the end", c.storage_size, c.address)),
                None => Ok(chunks),
            }
        };
        self.chunks.get_or_init(checked).as_deref()
    }

    /// The bytes of rows whose chunks Blosc packed. What was never written is zero.
    fn unpacked(&self, path: &Path, chunks: &[Chunk], rows: Range<u64>) -> Kind<Vec<u8>> {
        let words = |e: hdf5_pure::Error| e.to_string();
        let (shape, chunk) = (self.handle.shape().map_err(words)?, self.handle.chunk_shape().map_err(words)?);
        let chunk = chunk.filter(|chunk| chunk.len() == shape.len() && chunk[1..] == shape[1..]);
        let deep = chunk.and_then(|chunk| chunk.first().copied()).filter(|&deep| deep > 0);
        let deep = deep.ok_or_else(|| "chunks that do not hold whole rows".to_owned())?;
        let row = self.records.saturating_mul(self.stride);
        let room = |rows: u64| usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(row));
        let too_large = || "a chunk that memory cannot hold".to_owned();
        let (size, whole) = (room(rows.end - rows.start).ok_or_else(too_large)?, room(deep).ok_or_else(too_large)?);
        let mut bytes = vec![0; size];
        let mut file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        for chunk in chunks {
            let first = chunk.offset.first().copied().unwrap_or_default();
            let (from, to) = (first.max(rows.start), first.saturating_add(deep).min(rows.end));
            if from >= to {
                continue;
            }
            if whole as u64 > LARGEST_RATIO.saturating_mul(chunk.storage_size.max(1)) {
                return Err(format!("a chunk of {} bytes that claims to hold {whole}", chunk.storage_size));
            }
            let mut packed = vec![0; chunk.storage_size as usize];
            file.seek(SeekFrom::Start(chunk.address)).map_err(|e| e.to_string())?;
            file.read_exact(&mut packed).map_err(|e| e.to_string())?;
            let held = if chunk.filter_mask & 1 == 0 { blosc::unpack(&packed, whole)? } else { packed };
            let (source, target) = ((from - first) as usize * row, (from - rows.start) as usize * row);
            let length = (to - from) as usize * row;
            let part = held.get(source..source + length).ok_or_else(|| "a chunk that ends early".to_owned())?;
            bytes[target..target + length].copy_from_slice(part);
        }
        Ok(bytes)
    }
}

struct Sets {
    path: PathBuf,
    /// Bytes of the file.
    size: u64,
    all: Vec<Set>,
    members: Vec<Member>,
}

/// The tables of a file.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    let size = open_file(path)?.metadata().map_err(system("read", path))?.len();
    guard(path, "groups", || {
        let file = hdf5_pure::File::open_streaming(path).map_err(|e| Error::corrupt(path, "header", e))?;
        let store = Sets { path: path.to_owned(), size, all: Vec::new(), members: Vec::new() };
        let mut walk = Walk { store, groups: Vec::new() };
        walk.group(&file.root(), "", 0)?;
        // Members of records lie together, and so do the columns of a block of a frame.
        let mut sets: Vec<usize> = walk.store.members.iter().map(|member| member.set).collect();
        sets.sort_unstable();
        let is_columnar = sets.windows(2).all(|pair| pair[0] != pair[1]);
        let file = arrays::File { path: path.to_owned(), kind: "HDF5", store: Arc::new(walk.store), is_columnar };
        let tables = walk.groups.iter().flat_map(|(name, arrays)| arrays::tables(&file, name, arrays));
        Ok(tables.collect())
    })
}

/// A walk over all groups of a file.
struct Walk {
    store: Sets,
    /// The arrays of each table.
    groups: Vec<(String, Vec<Array>)>,
}

impl Walk {
    fn group(&mut self, group: &Group, name: &str, depth: usize) -> Result<()> {
        let fail = |e: hdf5_pure::Error| Error::corrupt(&self.store.path, format!("group `{name}`"), e);
        let sets: BTreeMap<String, Dataset> = group.iter_datasets().map_err(fail)?.collect();
        let groups: BTreeMap<String, Group> = group.iter_groups().map_err(fail)?.collect();
        if depth > DEEPEST || self.store.all.len() + sets.len() > MOST_SETS {
            let reason = format!("expected up to {DEEPEST} groups in each other and {MOST_SETS} data sets");
            return Err(Error::unsupported(&self.store.path, format!("group `{name}`"), reason));
        }
        let inside = |child: &str| if name.is_empty() { child.to_owned() } else { format!("{name}/{child}") };
        if sets.contains_key("axis0") && sets.contains_key("axis1") && sets.contains_key("block0_items") {
            let frame = self.frame(name, sets)?;
            self.groups.push((name.to_owned(), frame));
        } else {
            let mut own = Vec::new();
            let mut records = Vec::new();
            for (child, set) in sets {
                let full = inside(&child);
                let arrays = self.set(&child, &full, set)?;
                match arrays {
                    Arrays::Plain(array) => own.push(array),
                    Arrays::Records(members) => records.push((child, full, members)),
                }
            }
            self.with_records(name, own, records);
        }
        // Indices of PyTables stand in groups of their own.
        let mut groups = groups.iter().filter(|(child, _)| !child.starts_with("_i_"));
        groups.try_for_each(|(child, group)| self.group(group, &inside(child), depth + 1))
    }

    /// The tables of a group: its plain arrays together with the members of its records, and the records alone.
    fn with_records(&mut self, name: &str, mut own: Vec<Array>, records: Vec<(String, String, Vec<Array>)>) {
        let rows = |members: &[Array]| members.first().map_or(0, |member| member.rows);
        let lengths: Vec<u64> = own.iter().map(|a| a.rows).chain(records.iter().map(|(.., m)| rows(m))).collect();
        for (child, _, members) in &records {
            if lengths.iter().filter(|&&length| length == rows(members)).count() > 1 {
                own.extend(members.iter().map(|m| Array { name: format!("{child}_{}", m.name), ..m.clone() }));
            }
        }
        self.groups.push((name.to_owned(), own));
        self.groups.extend(records.into_iter().map(|(_, full, members)| (full, members)));
    }

    /// Enters a data set, with its shape and type.
    fn enter(&mut self, full: &str, set: Dataset) -> Result<(usize, Vec<u64>, Datatype, Unit)> {
        let fail = |e: hdf5_pure::Error| Error::corrupt(&self.store.path, format!("`{full}`"), e);
        let (shape, kind) = (set.shape().map_err(fail)?, set.datatype().map_err(fail)?);
        let unit = set.attrs().ok().and_then(|attributes| {
            let text = |key: &str| attributes.get(key).and_then(AttrValue::as_str).map(Unit::from_symbol);
            text(UNIT).or_else(|| text("units"))
        });
        let stride = kind.type_size() as usize;
        self.store.all.push(Set { path: full.to_owned(), handle: set, stride, records: 1, chunks: OnceLock::new() });
        Ok((self.store.all.len() - 1, shape, kind, unit.unwrap_or_default()))
    }

    fn set(&mut self, name: &str, full: &str, set: Dataset) -> Result<Arrays> {
        let (index, shape, kind, unit) = self.enter(full, set)?;
        let (rows, inner) = (shape.first().copied(), shape.get(1..).unwrap_or_default());
        let records =
            inner.iter().try_fold(1usize, |n, &m| n.checked_mul(usize::try_from(m).ok()?)).unwrap_or(usize::MAX);
        self.store.all[index].records = records;
        let row_size = (records as u64).saturating_mul(self.store.all[index].stride as u64);
        let claimed = row_size.saturating_mul(rows.unwrap_or(1));
        let possible = if claimed > self.store.size.saturating_mul(LARGEST_RATIO).saturating_add(LARGEST_UNWRITTEN) {
            Err(format!("it claims {claimed} bytes in a file of {}", self.store.size))
        } else if let Err(e) = self.store.all[index].handle.layout() {
            Err(format!("its layout is not read: {e}"))
        } else if rows.is_none() {
            Err("a single value, expected one per entry".to_owned())
        } else {
            Ok(())
        };
        let rows = rows.unwrap_or(1);
        if let (Datatype::Compound { members, .. }, true) = (&kind, inner.len() < 2) {
            let many = (!inner.is_empty()).then_some(records);
            let is_valid = |m: &&hdf5_pure::CompoundMember| {
                m.name == "valid" && element(&m.datatype).is_ok_and(|e| e.scalar.width() == 1 && e.shape.is_empty())
            };
            let valid = many.and_then(|_| members.iter().find(is_valid)).map(|m| m.byte_offset as usize);
            let array = |(offset, name, kind): (u64, &str, &Datatype)| {
                let element = possible.clone().and_then(|()| element(kind));
                let content = element.clone().and_then(|e| e.content().ok_or_else(|| "its shape".to_owned()));
                let content = content.and_then(|content| match (many, valid) {
                    (None, _) => Ok(content),
                    (Some(_), Some(_)) => Ok(table::list_of(content)),
                    (Some(n), None) => Ok(DataType::FixedSizeList(table::item(content), narrow(n)?)),
                });
                let type_name = element.as_ref().map_or_else(|_| "other".to_owned(), Element::type_name);
                self.store.members.push(Member {
                    set: index,
                    place: element.ok().map(|element| (element, offset as usize)),
                    many: many.map(|many| (many, valid)),
                });
                let id = self.store.members.len() - 1;
                Array { id, name: name.to_owned(), type_name, unit, rows, row_size, content }
            };
            let seen = members.iter().filter(|m| valid != Some(m.byte_offset as usize));
            return Ok(Arrays::Records(
                seen.map(|m| (m.byte_offset, m.name.as_str(), &m.datatype)).map(array).collect(),
            ));
        }
        let is_text = matches!(kind, Datatype::VariableLength { is_string: true, .. });
        let (type_name, content, place) = match element(&kind) {
            _ if is_text && inner.is_empty() => ("text".to_owned(), Ok(DataType::Utf8), None),
            Ok(mut element) => {
                let dimensions = inner.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX));
                element.shape.splice(0..0, dimensions);
                let content = element.content().ok_or_else(|| "its dimensions are too large".to_owned());
                (element.type_name(), content, Some((element, 0)))
            }
            Err(reason) => (if is_text { "text" } else { "other" }.to_owned(), Err(reason), None),
        };
        let content = possible.and(content);
        if place.is_some() {
            // A row is one record, with all that it holds.
            let set = &mut self.store.all[index];
            (set.stride, set.records) = (usize::try_from(row_size).unwrap_or(usize::MAX), 1);
        }
        self.store.members.push(Member { set: index, place, many: None });
        let id = self.store.members.len() - 1;
        Ok(Arrays::Plain(Array { id, name: name.to_owned(), type_name, unit, rows, row_size, content }))
    }

    /// The columns of a frame of pandas: blocks of columns of one type, each with the names of its columns.
    fn frame(&mut self, name: &str, mut sets: BTreeMap<String, Dataset>) -> Result<Vec<Array>> {
        let mut columns = Vec::new();
        for block in 0.. {
            let (Some(items), Some(values)) =
                (sets.remove(&format!("block{block}_items")), sets.remove(&format!("block{block}_values")))
            else {
                break;
            };
            let names = self.names(&items, &format!("{name}/block{block}_items"))?;
            let Arrays::Plain(array) = self.set("", &format!("{name}/block{block}_values"), values)? else { break };
            let block = self.store.members.pop().and_then(|member| Some((member.set, member.place?.0)));
            let width = block.as_ref().and_then(|(_, element)| element.shape.first().copied());
            for (i, name) in names.into_iter().enumerate() {
                let (place, content, set) = match &block {
                    Some((set, element)) if width > Some(i) && element.shape.len() == 1 => {
                        let one = Element { shape: Vec::new(), ..element.clone() };
                        let content = array.content.clone().and(one.content().ok_or_else(|| "its type".to_owned()));
                        (Some((one.clone(), i * one.scalar.width())), content, *set)
                    }
                    _ => (None, Err("objects of Python are not read".to_owned()), 0),
                };
                let type_name = place.as_ref().map_or_else(|| "object".to_owned(), |(one, _)| one.type_name());
                self.store.members.push(Member { set, place, many: None });
                let id = self.store.members.len() - 1;
                let row_size = content.as_ref().map_or(8, |c| c.primitive_width().unwrap_or(1) as u64);
                columns.push(Array { id, name, type_name, unit: Unit::Unknown, rows: array.rows, row_size, content });
            }
        }
        Ok(columns)
    }

    /// Names of columns: texts, or numbers.
    fn names(&mut self, items: &Dataset, full: &str) -> Result<Vec<String>> {
        let (index, shape, kind, _) = self.enter(full, items.clone())?;
        let fail = |reason: String| Error::corrupt(&self.store.path, format!("`{full}`"), reason);
        let size = shape.first().copied().unwrap_or(0).saturating_mul(u64::from(kind.type_size()));
        if size > self.store.size.saturating_mul(LARGEST_RATIO) {
            return Err(fail(format!("it claims {size} bytes in a file of {}", self.store.size)));
        }
        if matches!(kind, Datatype::FixedPoint { .. }) {
            return Ok(items.read_i64().map_err(|e| fail(e.to_string()))?.iter().map(ToString::to_string).collect());
        }
        let _ = index;
        items.read_string().map_err(|e| fail(e.to_string()))
    }
}

enum Arrays {
    Plain(Array),
    Records(Vec<Array>),
}

fn narrow(n: usize) -> Kind<i32> {
    i32::try_from(n).map_err(|_| "its dimensions are too large".to_owned())
}

/// How a type of HDF5 lies in bytes, or why it is not read.
fn element(kind: &Datatype) -> Kind<Element> {
    let plain = |scalar, order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::Vax => Err("numbers of a VAX are not read".to_owned()),
        _ => Ok(Element { scalar, big_endian: *order == DatatypeByteOrder::BigEndian, shape: Vec::new() }),
    };
    let is_whole =
        |size: u32, offset: u16, precision: u16| offset == 0 && u32::from(precision) == size.saturating_mul(8);
    let checked = match kind {
        Datatype::FixedPoint { size, byte_order, layout }
            if is_whole(*size, layout.bit_offset, layout.bit_precision) =>
        {
            let width = *size as usize;
            plain(if layout.signed { Scalar::Int(width) } else { Scalar::Uint(width) }, byte_order)
        }
        Datatype::FloatingPoint { size, byte_order, layout }
            if matches!((*size, layout.exponent_size, layout.mantissa_size), (2, 5, 10) | (4, 8, 23) | (8, 11, 52)) =>
        {
            plain(Scalar::Float(*size as usize), byte_order)
        }
        Datatype::BitField { size, byte_order, .. } => plain(Scalar::Uint(*size as usize), byte_order),
        Datatype::String { size, .. } => plain(Scalar::Utf8(*size as usize), &DatatypeByteOrder::LittleEndian),
        Datatype::Enumeration { base_type, members, .. } => {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            let base = element(base_type)?;
            let is_boolean = base.scalar.width() == 1 && names == ["FALSE", "TRUE"];
            Ok(if is_boolean { Element { scalar: Scalar::Bool, ..base } } else { base })
        }
        Datatype::Array { base_type, dimensions } => {
            let mut base = element(base_type)?;
            base.shape.splice(0..0, dimensions.iter().map(|&n| n as usize));
            Ok(base)
        }
        Datatype::Compound { .. } => Err("records in records are not read".to_owned()),
        Datatype::VariableLength { .. } => Err("sequences of variable length are not read".to_owned()),
        Datatype::Reference { .. } => Err("references are not read".to_owned()),
        other => Err(format!("a type of {} bytes that is not read", other.type_size())),
    }?;
    match checked.content() {
        Some(_) => Ok(checked),
        None => Err(format!("{} is not read", checked.type_name())),
    }
}

/// Entries without bytes (lists of length zero) cannot be counted by them, so that a file may claim any number.
const MOST_EMPTY: u64 = 1 << 20;

impl Store for Sets {
    fn read(&self, arrays: &[usize], rows: Range<u64>) -> Result<Vec<ArrayRef>> {
        let mut read: Vec<Option<ArrayRef>> = vec![None; arrays.len()];
        let mut sets: Vec<usize> = arrays.iter().map(|&id| self.members[id].set).collect();
        sets.sort_unstable();
        sets.dedup();
        for index in sets {
            let of_set = arrays.iter().enumerate().filter(|&(_, &id)| self.members[id].set == index);
            let of_set: Vec<(usize, &Member)> = of_set.map(|(at, &id)| (at, &self.members[id])).collect();
            let set = &self.all[index];
            let place = format!("`{}`, entries {}..{}", set.path, rows.start, rows.end);
            guard(&self.path, &place, || {
                let fail = |e: hdf5_pure::Error| Error::corrupt(&self.path, &place, e);
                let chunks = set.chunks(self.size).map_err(|reason| Error::corrupt(&self.path, &place, reason))?;
                let count = rows.end - rows.start;
                if set.records.saturating_mul(set.stride) == 0 && count > MOST_EMPTY {
                    let reason = format!("{count} entries without bytes, expected at most {MOST_EMPTY}");
                    return Err(Error::corrupt(&self.path, &place, reason));
                }
                if of_set.iter().all(|(_, member)| member.place.is_none()) {
                    let texts = set.handle.read_string_rows(rows.start, count).map_err(fail)?;
                    let array: ArrayRef = Arc::new(StringArray::from(texts));
                    for &(at, _) in &of_set {
                        read[at] = Some(ArrayRef::clone(&array));
                    }
                    return Ok(());
                }
                let bytes = if count == 0 {
                    Vec::new()
                } else if set.handle.filters() == [blosc::FILTER] {
                    let unpacked = set.unpacked(&self.path, chunks, rows.clone());
                    unpacked.map_err(|reason| Error::corrupt(&self.path, &place, reason))?
                } else {
                    set.handle.read_raw_rows(rows.start, count).map_err(fail)?
                };
                let expected = (count as usize).saturating_mul(set.records).saturating_mul(set.stride);
                if bytes.len() != expected {
                    let reason = format!("{} bytes, expected {expected}", bytes.len());
                    return Err(Error::corrupt(&self.path, &place, reason));
                }
                for (at, member) in of_set {
                    read[at] = member.array(Records { bytes: &bytes, stride: set.stride }, count as usize);
                }
                Ok(())
            })?;
        }
        let missing = || Error::corrupt(&self.path, "records", "a member lies beyond their end");
        read.into_iter().map(|array| array.ok_or_else(missing)).collect()
    }
}

impl Member {
    /// The array of the member in these records, which are `rows` rows.
    fn array(&self, records: Records<'_>, rows: usize) -> Option<ArrayRef> {
        let (element, offset) = self.place.as_ref()?;
        // Records without bytes (lists of length zero) cannot be counted by them.
        if records.stride == 0 {
            return None;
        }
        let all = element.array(records, *offset)?;
        let Some((many, valid)) = self.many else { return Some(all) };
        let Some(valid) = valid else {
            let item = table::item(all.data_type().clone());
            let length = i32::try_from(many).ok()?;
            let list = arrow_array::FixedSizeListArray::try_new_with_length(item, length, all, None, rows);
            return Some(Arc::new(list.ok()?));
        };
        let flag = Element { scalar: Scalar::Bool, big_endian: false, shape: Vec::new() };
        let flags = flag.array(records, valid)?;
        let (mut kept, mut offsets) = (Vec::new(), vec![0]);
        for row in 0..rows {
            kept.extend((row * many..(row + 1) * many).filter(|&i| flags.as_boolean().value(i)).map(|i| i as u32));
            offsets.push(kept.len());
        }
        table::list(&offsets, take(&all, &arrow_array::UInt32Array::from(kept), None).ok()?)
    }
}

struct Writer {
    path: PathBuf,
    whole: Whole,
    spool: Spool,
}

/// A file with a data set for each column in its root group, in chunks, shuffled and deflated.
pub(crate) fn sink(path: &Path, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    if let Some(field) = schema.fields().iter().find(|field| field.name().contains('/') || field.name().is_empty()) {
        let reason = "a slash in a name, or no name at all, is no name of a data set";
        return Err(Error::unsupported(path, format!("column `{}`", field.name()), reason));
    }
    Ok(Box::new(Writer { path: path.to_owned(), whole: Whole::create(path)?, spool: Spool::new(path, schema)? }))
}

/// What stops the writing of a data set.
enum Refused {
    System(std::io::Error),
    Library(hdf5_pure::Error),
}

impl From<std::io::Error> for Refused {
    fn from(e: std::io::Error) -> Self {
        Self::System(e)
    }
}

impl From<hdf5_pure::Error> for Refused {
    fn from(e: hdf5_pure::Error) -> Self {
        Self::Library(e)
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.spool.write(batch)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Self { path, whole, spool } = *self;
        guard(&path, "writing", || {
            fill(whole.beside(), spool).map_err(|refused| match refused {
                Refused::System(source) => system("write", &path)(source),
                Refused::Library(e) => Error::unsupported(&path, "writing", e),
            })
        })?;
        whole.commit()
    }
}

/// Lays out empty data sets, then appends to one after the other.
fn fill(path: &Path, spool: Spool) -> std::result::Result<(), Refused> {
    let arrays: Vec<Spooled> = spool.into_arrays().collect();
    let mut builder = FileBuilder::new();
    for array in &arrays {
        let kind = datatype(&array.element)?;
        let size = u64::from(kind.type_size()).max(1);
        let set = builder.create_dataset(&array.name);
        set.with_raw_data(kind, Vec::new(), 0).with_shape(&[0]).with_maxshape(&[MaxExtent::Unlimited]);
        set.with_chunks(&[((1 << 18) / size).clamp(1, array.entries.max(1))]).with_shuffle().with_deflate(1);
        if !array.unit.symbol().is_empty() {
            set.set_attr(UNIT, AttrValue::String(array.unit.symbol().to_owned()));
        }
    }
    builder.write(path)?;
    // What is forced to disk is the whole file, at the end.
    let file =
        hdf5_pure::File::open_rw_with_options(path, FileAccessProperties::new().with_sync_policy(SyncPolicy::OnClose))?;
    for array in arrays {
        let mut set = file.dataset(&array.name)?;
        let mut appender = set.buffered_appender()?;
        let width = array.element.scalar.width().max(1);
        let pad = |text: &str, bytes: &mut Vec<u8>| {
            let end = bytes.len() + width;
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(end, 0);
        };
        array.pour::<Refused>(pad, &mut |bytes| Ok(appender.append_raw(bytes)?))?;
        appender.finish()?;
    }
    Ok(file.close()?)
}

/// The type of HDF5 for what we write.
fn datatype(element: &Element) -> std::result::Result<Datatype, hdf5_pure::Error> {
    let scalar = match element.scalar {
        Scalar::Bool => {
            let members = EnumTypeBuilder::with_base(make_i8_type()).raw_value("FALSE", &[0]).raw_value("TRUE", &[1]);
            members.build()?
        }
        Scalar::Int(1) => make_i8_type(),
        Scalar::Int(2) => make_i16_type(),
        Scalar::Int(4) => make_i32_type(),
        Scalar::Int(_) => make_i64_type(),
        Scalar::Uint(1) => make_u8_type(),
        Scalar::Uint(2) => make_u16_type(),
        Scalar::Uint(4) => make_u32_type(),
        Scalar::Uint(_) => make_u64_type(),
        Scalar::Float(2) => Datatype::FloatingPoint {
            size: 2,
            byte_order: DatatypeByteOrder::LittleEndian,
            layout: FloatingPointLayout {
                bit_offset: 0,
                bit_precision: 16,
                exponent_location: 10,
                exponent_size: 5,
                mantissa_location: 0,
                mantissa_size: 10,
                exponent_bias: 15,
            },
        },
        Scalar::Float(4) => make_f32_type(),
        Scalar::Float(_) => make_f64_type(),
        Scalar::Utf8(width) | Scalar::Utf32(width) => {
            Datatype::String { size: width.max(1) as u32, padding: StringPadding::NullPad, charset: CharacterSet::Utf8 }
        }
    };
    Ok(if element.shape.is_empty() {
        scalar
    } else {
        let dimensions = element.shape.iter().map(|&n| n as u32).collect();
        Datatype::Array { base_type: Box::new(scalar), dimensions }
    })
}
