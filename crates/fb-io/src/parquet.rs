//! Parquet: every type that Arrow has, read in row groups, only the columns that are asked for.
//!
//! Decimal numbers and times stay what they are in a table; methods see them as floats and as counts of their unit.
//! Units of columns stand in the metadata of the fields.

mod numbers;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchReader as _, new_empty_array};
use arrow_schema::{DataType, Field, FieldRef, Fields, SchemaRef};
use arrow_select::concat::concat;
use bytes::{Buf as _, Bytes};
use fb_core::Unit;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups, RowSelection, RowSelector};
use parquet::arrow::{
    ArrowWriter, FieldLevels, ProjectionMask, parquet_to_arrow_field_levels, parquet_to_arrow_schema,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::Type;

use crate::file::{Whole, open_file, system};
use crate::table::{Branch, Sink, Table, UNIT};
use crate::{Error, Result, guard};
use numbers::Plan;

/// Records that are asked for at a time: never as many as a footer claims, which may be damaged.
const RECORDS: usize = 1 << 16;
/// A column of a row group that takes no more in the file is read at once; longer ones are read page by page.
const LARGEST_CHUNK: u64 = 16 << 20;
/// A row group that unpacks to more is read in parts.
const LARGEST_CLUSTER: i64 = 256 << 20;
/// Memory that a row group may take while it is written.
const LARGEST_GROUP: usize = 64 << 20;

fn corrupt(path: &Path, place: impl Into<String>, reason: impl std::fmt::Display) -> Error {
    Error::corrupt(path, place, reason)
}

/// The file, refused where it claims sizes that cannot be: the library makes room for them before it looks at the bytes.
/// Each reading has a handle of its own, since a handle has one position.
struct Source {
    file: File,
    /// A stretch of the file that was read before, and where it begins.
    ahead: Option<(u64, Bytes)>,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: open_file(path)?, ahead: None })
    }

    /// The same file, of which this stretch is read at once if it is not too long.
    fn reading(&self, (start, length): (u64, u64)) -> parquet::errors::Result<Self> {
        let bytes = (length <= LARGEST_CHUNK).then(|| self.get_bytes(start, length as usize)).transpose()?;
        Ok(Self { file: self.file.try_clone()?, ahead: bytes.map(|bytes| (start, bytes)) })
    }

    /// What was read before, from `start` on.
    fn known(&self, start: u64) -> Option<Bytes> {
        let (first, bytes) = self.ahead.as_ref()?;
        let at = usize::try_from(start.checked_sub(*first)?).ok()?;
        (at < bytes.len()).then(|| bytes.slice(at..))
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        Length::len(&self.file)
    }
}

impl ChunkReader for Source {
    type T = Box<dyn Read>;

    /// Only the header of a page is read in this way.
    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let check = |sizes: Option<[u64; 2]>| match sizes {
            Some([unpacked, packed]) if unpacked / LARGEST_RATIO > packed => {
                Err(ParquetError::General(format!("a page of {packed} bytes claims to hold {unpacked}")))
            }
            _ => Ok(()),
        };
        if let Some(bytes) = self.known(start) {
            check(page_sizes(&bytes))?;
            return Ok(Box::new(bytes.reader()));
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        let mut reader = BufReader::with_capacity(1 << 12, file);
        check(page_sizes(reader.fill_buf()?))?;
        Ok(Box::new(reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.saturating_add(length as u64) > Length::len(self) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie beyond the end")));
        }
        if let Some(bytes) = self.known(start).filter(|bytes| bytes.len() >= length) {
            return Ok(bytes.slice(..length));
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::with_capacity(length);
        let read = file.take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie beyond the end")));
        }
        Ok(bytes.into())
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

fn open(path: &Path) -> Result<SerializedFileReader<Source>> {
    let source = Source::open(path)?;
    guard(path, "footer", || SerializedFileReader::new(source).map_err(|e| corrupt(path, "footer", e)))
}

/// Key-value pairs of the file's footer.
pub fn metadata(path: &Path) -> Result<Vec<(String, String)>> {
    let reader = open(path)?;
    let pairs = reader.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    Ok(pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect())
}

struct Parquet {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    branches: Vec<Branch>,
    /// How to read each branch.
    levels: Vec<Option<FieldLevels>>,
    /// How to read those that are numbers or lists of numbers.
    plans: Vec<Option<Plan>>,
    /// The first entry of each row group, and their end.
    starts: Vec<u64>,
}

/// The table of a file.
pub(crate) fn table(path: &Path) -> Result<Box<dyn Table>> {
    let reader = open(path)?;
    let metadata = Arc::new(reader.metadata().clone());
    let mut starts: Vec<u64> = vec![0];
    for (i, group) in metadata.row_groups().iter().enumerate() {
        let end = u64::try_from(group.num_rows()).ok().and_then(|rows| starts[i].checked_add(rows));
        let end = end.filter(|&end| i64::try_from(end).is_ok());
        starts.push(end.ok_or_else(|| {
            corrupt(path, format!("row group {i}"), format!("{} rows, expected a number of them", group.num_rows()))
        })?);
    }
    let source = Arc::new(Source::open(path)?);
    let found = guard(path, "schema", || Ok(branches(&source, &metadata)))?;
    let (branches, levels): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let plans = plans(&metadata, &branches);
    Ok(Box::new(Parquet { path: path.to_owned(), metadata, branches, levels, plans, starts }))
}

fn plans(metadata: &ParquetMetaData, branches: &[Branch]) -> Vec<Option<Plan>> {
    let descriptor = metadata.file_metadata().schema_descr();
    let roots = descriptor.root_schema().get_fields();
    let plan = |(i, branch): (usize, &Branch)| {
        let mut leaves = (0..descriptor.num_columns()).filter(|&leaf| descriptor.get_column_root_idx(leaf) == i);
        let leaf = leaves.next().filter(|_| leaves.next().is_none())?;
        Plan::new(roots.get(i)?, branch.content.as_ref().ok()?, leaf, descriptor.column(leaf))
    };
    branches.iter().enumerate().map(plan).collect()
}

/// The branches and how to read them. One of a kind that is not read says why.
fn branches(source: &Arc<Source>, metadata: &ParquetMetaData) -> Vec<(Branch, Option<FieldLevels>)> {
    let file = metadata.file_metadata();
    let descriptor = file.schema_descr();
    // Types that Parquet itself cannot tell (lists of a fixed length, units) stand in a copy of Arrow's schema.
    let hint = parquet_to_arrow_schema(descriptor, file.key_value_metadata()).ok();
    let hint: Option<Fields> = hint.map(|schema| schema.fields().iter().map(plain_field).collect());
    let roots = descriptor.root_schema().get_fields();
    let branch = |(i, root): (usize, &Arc<Type>)| {
        let mask = || ProjectionMask::roots(descriptor, [i]);
        let levels = parquet_to_arrow_field_levels(descriptor, mask(), hint.as_ref())
            .or_else(|_| parquet_to_arrow_field_levels(descriptor, mask(), None));
        // Only a reader tells the types, and whether there is one for them.
        let nothing = Group { source, metadata, index: None };
        let schema = levels.as_ref().map_err(ToString::to_string).and_then(|levels| {
            let reader = ParquetRecordBatchReader::try_new_with_row_groups(levels, &nothing, 1, None);
            reader.map(|reader| reader.schema()).map_err(|e| e.to_string())
        });
        let field = schema.as_ref().ok().and_then(|schema| schema.fields().first());
        let unit = field.and_then(|field| field.metadata().get(UNIT)).map_or(Unit::Unknown, |u| Unit::from_symbol(u));
        let content = match (&schema, field) {
            (_, Some(field)) => Ok(field.data_type().clone()),
            (Err(reason), None) => Err(reason.clone()),
            (Ok(_), None) => Err("a group without columns is not read".to_owned()),
        };
        let branch = Branch { name: root.name().to_owned(), type_name: type_name(root), content, unit };
        (branch, levels.ok())
    };
    roots.iter().enumerate().map(branch).collect()
}

fn type_name(column: &Type) -> String {
    let info = column.get_basic_info();
    let logical = info.logical_type_ref().map(|l| format!("{l:?}"));
    match column {
        Type::PrimitiveType { physical_type, .. } => {
            logical.map_or_else(|| physical_type.to_string(), |l| format!("{physical_type} ({l})"))
        }
        Type::GroupType { .. } => logical.unwrap_or_else(|| "group".to_owned()),
    }
}

/// The same content, without dictionaries and views, which are ways to store and not kinds of content.
fn plain(content: &DataType) -> DataType {
    match content {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(inner) | DataType::ListView(inner) => DataType::List(plain_field(inner)),
        DataType::LargeList(inner) | DataType::LargeListView(inner) => DataType::LargeList(plain_field(inner)),
        DataType::FixedSizeList(inner, n) => DataType::FixedSizeList(plain_field(inner), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = Field::new(field.name(), plain(field.data_type()), field.is_nullable());
    Arc::new(plain.with_metadata(field.metadata().clone()))
}

impl Table for Parquet {
    fn name(&self) -> &'static str {
        ""
    }

    fn kind(&self) -> &'static str {
        "Parquet"
    }

    fn entries(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        let mut clusters = Vec::new();
        for (group, rows) in self.metadata.row_groups().iter().zip(self.starts.windows(2)) {
            // The number of parts is bounded, as the footer may claim any size.
            let parts = (group.total_byte_size() / LARGEST_CLUSTER).clamp(0, 1 << 10) as u64 + 1;
            let step = (rows[1] - rows[0]).div_ceil(parts).max(1);
            clusters.extend(
                (0..parts)
                    .map(|i| rows[0].saturating_add(i.saturating_mul(step)))
                    .map_while(|start| (start < rows[1]).then(|| start..start.saturating_add(step).min(rows[1]))),
            );
        }
        clusters
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        if branches.is_empty() {
            return Ok(Vec::new());
        }
        let source = Arc::new(Source::open(&self.path)?);
        branches.iter().map(|&branch| self.read_branch(&source, branch, &entries)).collect()
    }
}

impl Parquet {
    fn read_branch(&self, source: &Arc<Source>, branch: usize, entries: &Range<u64>) -> Result<ArrayRef> {
        let Branch { name, content, .. } = &self.branches[branch];
        let (content, levels) = match (content, &self.levels[branch]) {
            (Ok(content), Some(levels)) => (content, levels),
            (Err(reason), _) => return Err(Error::unsupported(&self.path, format!("column `{name}`"), reason)),
            (Ok(_), None) => return Err(Error::unsupported(&self.path, format!("column `{name}`"), "is not read")),
        };
        let mut parts: Vec<ArrayRef> = Vec::new();
        for (group, rows) in self.starts.windows(2).enumerate() {
            let (start, end) = (entries.start.max(rows[0]), entries.end.min(rows[1]));
            if start < end {
                let place = format!("row group {group}, column `{name}`");
                let group = Group { source, metadata: &self.metadata, index: Some(group) };
                let range = (start - rows[0]) as usize..(end - rows[0]) as usize;
                guard(&self.path, &place, || {
                    let arrays = match &self.plans[branch] {
                        Some(plan) => group.read_numbers(plan, range).map(|array| vec![array]),
                        None => group.read(levels, range),
                    };
                    parts.extend(arrays.map_err(|e| corrupt(&self.path, &place, e))?);
                    Ok(())
                })?;
            }
        }
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        if parts.is_empty() {
            return Ok(new_empty_array(content));
        }
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        guard(&self.path, name, || {
            concat(&parts).map_err(|e| Error::unsupported(&self.path, format!("column `{name}`"), e))
        })
    }
}

/// A row group, or none, as the library wants to see it.
struct Group<'a> {
    source: &'a Arc<Source>,
    metadata: &'a ParquetMetaData,
    index: Option<usize>,
}

impl Group<'_> {
    fn own(&self) -> Option<&RowGroupMetaData> {
        self.index.map(|group| self.metadata.row_group(group))
    }

    /// The arrays of a column in a range of rows.
    fn read(&self, levels: &FieldLevels, rows: Range<usize>) -> parquet::errors::Result<Vec<ArrayRef>> {
        let selection = (rows.start > 0)
            .then(|| RowSelection::from(vec![RowSelector::skip(rows.start), RowSelector::select(rows.len())]));
        let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(levels, self, RECORDS, selection)?;
        let (mut parts, mut missing) = (Vec::new(), rows.len());
        while missing > 0 {
            let Some(batch) = reader.next() else {
                let found = rows.len() - missing;
                return Err(ParquetError::EOF(format!("{found} rows, expected {}", rows.len())));
            };
            let batch = batch.map_err(|e| ParquetError::General(e.to_string()))?;
            let taken = batch.num_rows().min(missing);
            missing -= taken;
            parts.extend(batch.columns().first().map(|column| column.slice(0, taken)));
        }
        Ok(parts)
    }
}

impl Group<'_> {
    fn pages(&self, group: &RowGroupMetaData, leaf: usize) -> parquet::errors::Result<Box<dyn PageReader>> {
        let chunk = group.column(leaf);
        let source = Arc::new(self.source.reading(chunk.byte_range())?);
        let pages = SerializedPageReader::new(source, chunk, self.num_rows(), None)?;
        Ok(Box::new(Counted { pages, entries: chunk.num_values() }))
    }

    /// The array of a column of numbers in a range of rows.
    fn read_numbers(&self, plan: &Plan, rows: Range<usize>) -> parquet::errors::Result<ArrayRef> {
        let group = self.own().ok_or_else(|| ParquetError::General("no row group".to_owned()))?;
        let chunk = group.column(plan.leaf);
        // As many entries as the footer tells of, but no more than there are bytes in the column and in the file.
        let share = (rows.len() as f64 / group.num_rows().max(1) as f64).min(1.0);
        let size = chunk.compressed_size().min(Length::len(&**self.source) as i64).max(0);
        let likely = (chunk.num_values().clamp(0, size) as f64 * share) as usize;
        plan.read(self.pages(group, plan.leaf)?, rows.start, rows.len(), likely)
    }
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        self.own().map_or(0, |group| group.num_rows() as usize)
    }

    fn column_chunks(&self, i: usize) -> parquet::errors::Result<Box<dyn PageIterator>> {
        Ok(Box::new(Chunks(self.own().map(|group| self.pages(group, i)).transpose()?)))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.own().into_iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// The one chunk of a column in a row group.
struct Chunks(Option<Box<dyn PageReader>>);

impl Iterator for Chunks {
    type Item = parquet::errors::Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for Chunks {}

/// The pages of a column, refused where one claims more entries than there can be: the library makes room for all of
/// them before it looks at the bytes, and a few damaged ones can stand for billions.
struct Counted {
    pages: SerializedPageReader<Source>,
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

struct Writer {
    path: PathBuf,
    writer: ArrowWriter<Whole>,
}

/// A file compressed with Zstandard, in row groups of some 64 MB.
pub(crate) fn sink(path: &Path, schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    let level = ZstdLevel::try_new(3).map_err(|e| refused(path, e))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_bytes(Some(LARGEST_GROUP))
        .build();
    let writer = ArrowWriter::try_new(Whole::create(path)?, Arc::clone(schema), Some(properties));
    Ok(Box::new(Writer { path: path.to_owned(), writer: writer.map_err(|e| refused(path, e))? }))
}

fn refused(path: &Path, e: ParquetError) -> Error {
    match e {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => system("write", path)(*source),
            Err(other) => Error::unsupported(path, "writing", other),
        },
        other => Error::unsupported(path, "writing", other),
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|e| refused(&self.path, e))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.into_inner().map_err(|e| refused(&self.path, e))?.commit()
    }
}
