//! Parquet: flat columns and lists of numbers, read in row groups.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fb_core::{Column, Data, Events};
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor, Type};

use crate::{Error, Result, open_file, write_whole};

/// Records that are asked for at a time: never as many as a footer claims, which may be damaged.
const RECORDS: usize = 1 << 14;

fn corrupt(path: &Path, place: impl Into<String>, reason: impl std::fmt::Display) -> Error {
    Error::Corrupt { path: path.to_owned(), place: place.into(), reason: reason.to_string() }
}

/// The file, refused where it claims sizes that cannot be: the library makes room for them before it looks at the bytes.
struct Source(File);

impl Length for Source {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Source {
    type T = BufReader<File>;

    /// Only the header of a page is read in this way.
    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut reader = self.0.get_read(start)?;
        match page_sizes(reader.fill_buf()?) {
            Some([unpacked, packed]) if unpacked / LARGEST_RATIO > packed => {
                Err(ParquetError::General(format!("a page of {packed} bytes claims to hold {unpacked}")))
            }
            _ => Ok(reader),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.saturating_add(length as u64) > Length::len(self) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie beyond the end")));
        }
        self.0.get_bytes(start, length)
    }
}

/// Zstandard packs up to 128 kB of one value into four bytes; no other codec packs more tightly.
const LARGEST_RATIO: u64 = 1 << 15;

/// Size of a page unpacked and packed, from the beginning of its header in Thrift's compact protocol: three numbers
/// (what kind of page it is, and these), each behind the byte 0x15, seven bits to a byte.
fn page_sizes(header: &[u8]) -> Option<[u64; 2]> {
    let mut bytes = header.iter();
    let mut number = || {
        let _ = bytes.next().filter(|&&byte| byte == 0x15)?;
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Twice the number, as the lowest bit is the sign.
                return Some(value / 2);
            }
        }
        None
    };
    let _kind = number()?;
    Some([number()?, number()?])
}

/// Runs a call into the Parquet library, which may panic on damaged bytes, as it trusts lengths inside of pages.
fn guard<T>(path: &Path, place: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(corrupt(path, place, "its lengths contradict each other")))
}

fn open(path: &Path) -> Result<SerializedFileReader<Source>> {
    let file = open_file(path)?;
    guard(path, "footer", || SerializedFileReader::new(Source(file)).map_err(|e| corrupt(path, "footer", e)))
}

/// Key-value pairs of the file's footer.
pub fn metadata(path: &Path) -> Result<Vec<(String, String)>> {
    let reader = open(path)?;
    let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    Ok(pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect())
}

/// Calls `each` with one row group after the other; a file without any gives one block without events.
pub fn for_each_block<E: From<Error>>(
    path: &Path,
    each: &mut dyn FnMut(Events) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let reader = open(path)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    check_schema(path, schema)?;
    for group in 0..reader.num_row_groups() {
        let place = format!("row group {group}");
        let events = guard(path, &place, || {
            let row_group = reader.get_row_group(group).map_err(|e| corrupt(path, &place, e))?;
            read_row_group(path, &place, &*row_group)
        })?;
        each(events)?;
    }
    if reader.num_row_groups() == 0 {
        let columns = schema.columns().iter().map(|c| without_events(c)).collect();
        each(Events::new(columns).map_err(|source| Error::Events { path: path.to_owned(), source })?)?;
    }
    Ok(())
}

/// The first part of the path is the column's name; a list adds `list.element` or `bag.array_element`.
fn name_of(descriptor: &ColumnDescriptor) -> &str {
    descriptor.path().parts().first().map_or("", String::as_str)
}

/// Refuses what would otherwise be read as something that it is not.
fn check_schema(path: &Path, schema: &SchemaDescriptor) -> Result<()> {
    for (i, descriptor) in schema.columns().iter().enumerate() {
        let name = name_of(descriptor);
        let unsupported = |found: String, expected: &str| {
            let (path, place) = (path.to_owned(), format!("column `{name}`"));
            Err(Error::Unsupported { path, place, reason: format!("{found}, expected {expected}") })
        };
        let lists = "numbers or lists of numbers";
        if descriptor.max_rep_level() > 1 {
            return unsupported("lists of lists are not read".to_owned(), lists);
        }
        // A list is up to three parts; the leaves of a struct or of a map share their first.
        let parts = descriptor.path().parts().len();
        let shared = schema.columns()[..i].iter().any(|other| name_of(other) == name);
        if shared || parts > 3 || (parts > 1 && descriptor.max_rep_level() == 0) {
            return unsupported("structs are not read".to_owned(), lists);
        }
        let kind = descriptor.physical_type();
        if matches!(descriptor.logical_type_ref(), Some(LogicalType::Decimal(_)))
            || descriptor.converted_type() == ConvertedType::DECIMAL
        {
            return unsupported("decimal numbers are not read".to_owned(), "integers or floats");
        }
        if matches!(kind, Physical::INT96 | Physical::FIXED_LEN_BYTE_ARRAY) {
            let found = match descriptor.logical_type_ref() {
                Some(LogicalType::Float16) => "16-bit floats are not read".to_owned(),
                _ => format!("{kind} is not read"),
            };
            return unsupported(found, "a number, a boolean or a text");
        }
    }
    Ok(())
}

/// A column of a file that has no row group.
fn without_events(descriptor: &ColumnDescriptor) -> Column {
    let data = match descriptor.physical_type() {
        Physical::FLOAT => Data::F32(Vec::new()),
        Physical::DOUBLE => Data::F64(Vec::new()),
        Physical::BYTE_ARRAY => Data::Text(Vec::new()),
        _ => Data::I64(Vec::new()),
    };
    let offsets = (descriptor.max_rep_level() > 0).then(|| Arc::new(vec![0]));
    Column { offsets, ..Column::flat(name_of(descriptor), data) }
}

fn read_row_group(path: &Path, group_place: &str, group: &dyn RowGroupReader) -> Result<Events> {
    let rows = group.metadata().num_rows();
    let mut columns: Vec<Column> = Vec::new();
    for i in 0..group.num_columns() {
        let chunk = group.metadata().column(i);
        let descriptor = chunk.column_descr();
        let place = format!("{group_place}, column `{}`", name_of(descriptor));
        let column = guard(path, &place, || {
            let pages = group.get_column_page_reader(i).map_err(|e| corrupt(path, &place, e))?;
            let pages = Counted { pages, entries: chunk.num_values() };
            let reader = get_column_reader(chunk.column_descr_ptr(), Box::new(pages));
            read_column(path, &place, descriptor, reader)
        })?;
        if column.events() as i64 != rows {
            return Err(corrupt(path, place, format!("{} rows, expected {rows}", column.events())));
        }
        // Lists of equal lengths are one collection and share their offsets.
        let same = columns.iter().filter_map(|c| c.offsets.as_ref()).find(|o| Some(*o) == column.offsets.as_ref());
        let offsets = same.cloned().or(column.offsets);
        columns.push(Column { offsets, ..column });
    }
    Events::new(columns).map_err(|source| Error::Events { path: path.to_owned(), source })
}

/// The pages of a column, refused where one claims more entries than there can be: the library makes room for all of
/// them before it looks at the bytes, and a few damaged ones can stand for billions.
struct Counted {
    pages: Box<dyn PageReader>,
    /// Entries that the footer tells of and that no page has claimed yet.
    entries: i64,
}

impl PageReader for Counted {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        let Some(page) = self.pages.get_next_page()? else { return Ok(None) };
        let claimed = i64::from(page.num_values());
        let possible = match &page {
            // An entry of a dictionary takes at least a byte.
            Page::DictionaryPage { buf, .. } => buf.len() as i64,
            _ => self.entries,
        };
        if claimed > possible {
            let reason = format!("a page claims {claimed} entries, expected no more than {possible}");
            return Err(ParquetError::General(reason));
        }
        if !page.is_dictionary_page() {
            self.entries -= claimed;
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> parquet::errors::Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl Iterator for Counted {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn read_column(path: &Path, place: &str, descriptor: &ColumnDescriptor, reader: ColumnReader) -> Result<Column> {
    let unsupported = |reason: String| Error::Unsupported { path: path.to_owned(), place: place.to_owned(), reason };
    let fail = |reason: String| corrupt(path, place, reason);
    let unsigned = |bits: i8, old: ConvertedType| {
        descriptor.converted_type() == old || descriptor.logical_type_ref() == Some(&LogicalType::integer(bits, false))
    };
    let values = match reader {
        ColumnReader::BoolColumnReader(r) => {
            numbers(r, descriptor, fail)?.map(|v: Vec<bool>| Data::I64(v.into_iter().map(i64::from).collect()))
        }
        ColumnReader::Int32ColumnReader(r) => {
            let unsigned = unsigned(32, ConvertedType::UINT_32);
            let widen = |x: i32| if unsigned { i64::from(x as u32) } else { i64::from(x) };
            numbers(r, descriptor, fail)?.map(|v: Vec<i32>| Data::I64(v.into_iter().map(widen).collect()))
        }
        ColumnReader::Int64ColumnReader(r) => {
            let unsigned = unsigned(64, ConvertedType::UINT_64);
            numbers(r, descriptor, fail)?.map(|v: Vec<i64>| {
                // What does not fit is given to the precision of a float, not with a wrong sign.
                if unsigned && v.iter().any(|&x| x < 0) {
                    Data::F64(v.into_iter().map(|x| x as u64 as f64).collect())
                } else {
                    Data::I64(v)
                }
            })
        }
        ColumnReader::FloatColumnReader(r) => numbers(r, descriptor, fail)?.map(Data::F32),
        ColumnReader::DoubleColumnReader(r) => numbers(r, descriptor, fail)?.map(Data::F64),
        ColumnReader::ByteArrayColumnReader(r) => {
            let text = |b: ByteArray| String::from_utf8_lossy(b.data()).into_owned();
            numbers(r, descriptor, fail)?.map(|v: Vec<ByteArray>| Data::Text(v.into_iter().map(text).collect()))
        }
        ColumnReader::Int96ColumnReader(_) | ColumnReader::FixedLenByteArrayColumnReader(_) => {
            return Err(unsupported(format!("{} is not read", descriptor.physical_type())));
        }
    };
    let data = match values.missing {
        None => values.data,
        Some(missing) => fill_missing(&values.data, &missing).ok_or_else(|| {
            unsupported("a text is missing (null); fill it in, for example with an empty one".to_owned())
        })?,
    };
    let offsets = values.offsets.map(Arc::new);
    Ok(Column { offsets, ..Column::flat(name_of(descriptor), data) })
}

/// Numbers with NaN in the places that have none. `missing` says for every place whether it is one of them.
fn fill_missing(data: &Data, missing: &[bool]) -> Option<Data> {
    let mut next = 0;
    let mut place = |is_missing: &bool| {
        if *is_missing {
            return f64::NAN;
        }
        next += 1;
        data.number(next - 1)
    };
    match data {
        Data::Text(_) => None,
        Data::F32(_) => Some(Data::F32(missing.iter().map(|m| place(m) as f32).collect())),
        Data::F64(_) | Data::I64(_) => Some(Data::F64(missing.iter().map(place).collect())),
    }
}

/// The entries of a column as they are stored.
struct Stored<D> {
    data: D,
    /// For every place whether it is empty; absent if none is.
    missing: Option<Vec<bool>>,
    offsets: Option<Vec<usize>>,
}

impl<D> Stored<D> {
    fn map<E>(self, f: impl FnOnce(D) -> E) -> Stored<E> {
        Stored { data: f(self.data), missing: self.missing, offsets: self.offsets }
    }
}

fn numbers<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    descriptor: &ColumnDescriptor,
    fail: impl Fn(String) -> Error,
) -> Result<Stored<Vec<T::T>>> {
    let (most_defined, is_list) = (descriptor.max_def_level(), descriptor.max_rep_level() == 1);
    let mut data = Vec::new();
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    loop {
        let (records, values, levels) = reader
            .read_records(
                RECORDS,
                (most_defined > 0).then_some(&mut definition),
                is_list.then_some(&mut repetition),
                &mut data,
            )
            .map_err(|e| fail(e.to_string()))?;
        if records == 0 && values == 0 && levels == 0 {
            break;
        }
    }
    if !is_list {
        let missing = (definition.len() > data.len()).then(|| definition.iter().map(|&d| d < most_defined).collect());
        return Ok(Stored { data, missing, offsets: None });
    }
    // An entry is defined to the full, or it stands for an empty list, or (one level below the full, where the
    // element may be missing) for a missing number.
    let optional_element = descriptor.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
    let entry_level = most_defined - i16::from(optional_element);
    let mut offsets = Vec::new();
    let (mut entries, mut missing) = (0, Vec::new());
    for (&d, &r) in definition.iter().zip(&repetition) {
        if r == 0 {
            offsets.push(entries);
        } else if offsets.is_empty() {
            return Err(fail("its first list has no beginning".to_owned()));
        }
        if d >= entry_level {
            entries += 1;
            missing.push(d < most_defined);
        }
    }
    offsets.push(entries);
    let any_missing = missing.iter().any(|&m| m);
    if missing.iter().filter(|&&m| !m).count() != data.len() {
        return Err(fail(format!("{} numbers for {entries} entries of lists", data.len())));
    }
    Ok(Stored { data, missing: any_missing.then_some(missing), offsets: Some(offsets) })
}

/// Writes a table as one row group, compressed with Zstandard.
pub fn write(path: &Path, events: &Events) -> Result<()> {
    let bytes = to_bytes(events).map_err(|e| Error::Unsupported {
        path: path.to_owned(),
        place: "writing".to_owned(),
        reason: e.to_string(),
    })?;
    write_whole(path, &bytes)
}

fn to_bytes(events: &Events) -> parquet::errors::Result<Vec<u8>> {
    let fields = events.columns().iter().map(field).collect::<parquet::errors::Result<_>>()?;
    let schema = Arc::new(Type::group_type_builder("events").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in events.columns() {
        let levels = column.offsets.as_ref().map(|offsets| levels(offsets));
        let (definition, repetition) =
            levels.as_ref().map_or((None, None), |(d, r)| (Some(d.as_slice()), Some(r.as_slice())));
        let Some(mut writer) = group.next_column()? else { break };
        match &column.data {
            Data::F32(v) => writer.typed::<FloatType>().write_batch(v, definition, repetition)?,
            Data::F64(v) => writer.typed::<DoubleType>().write_batch(v, definition, repetition)?,
            Data::I64(v) => writer.typed::<Int64Type>().write_batch(v, definition, repetition)?,
            Data::Text(v) => {
                let bytes: Vec<ByteArray> = v.iter().map(|s| ByteArray::from(s.as_str())).collect();
                writer.typed::<ByteArrayType>().write_batch(&bytes, definition, repetition)?
            }
        };
        writer.close()?;
    }
    group.close()?;
    writer.into_inner()
}

/// The schema of a column.
fn field(column: &Column) -> parquet::errors::Result<Arc<Type>> {
    let (kind, logical) = match column.data {
        Data::F32(_) => (Physical::FLOAT, None),
        Data::F64(_) => (Physical::DOUBLE, None),
        Data::I64(_) => (Physical::INT64, None),
        Data::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let entry = |name: &str| {
        let entry = Type::primitive_type_builder(name, kind).with_logical_type(logical.clone());
        entry.with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    let group = |name: &str, repetition, logical, inner| {
        let group = Type::group_type_builder(name).with_repetition(repetition).with_logical_type(logical);
        group.with_fields(vec![inner]).build().map(Arc::new)
    };
    if column.offsets.is_none() {
        return entry(&column.name);
    }
    let list = group("list", Repetition::REPEATED, None, entry("element")?)?;
    group(&column.name, Repetition::REQUIRED, Some(LogicalType::List), list)
}

/// Definition and repetition levels of lists.
fn levels(offsets: &[usize]) -> (Vec<i16>, Vec<i16>) {
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for list in offsets.windows(2) {
        let entries = list[1] - list[0];
        definition.extend(std::iter::repeat_n(i16::from(entries > 0), entries.max(1)));
        repetition.extend((0..entries.max(1)).map(|i| i16::from(i > 0)));
    }
    (definition, repetition)
}
