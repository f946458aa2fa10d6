//! Writing: clusters as they come, then what tells of them, in the order in which a file can be written at one go.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use xxhash_rust::xxh3::xxh3_64;

use super::envelope::{Kind, Locator};
use super::layout::Field;
use super::pages::Columns;
use crate::root::compression::{Codec, pack};
use crate::root::container::{NO_INFOS, Writer};
use crate::table::Sink;
use crate::{Error, Result};

/// Bytes of a cluster before they are packed; there can be one slice of a batch more.
const CLUSTER: usize = 1 << 25;
/// Bytes of a slice of a batch, about.
const SLICE: usize = 1 << 22;
/// The version of the format that is written.
const VERSION: [u16; 4] = [1, 0, 0, 0];
/// The largest key, which no envelope of ours reaches.
const LARGEST_KEY: u64 = 1 << 30;

/// A file of one `RNTuple` in the making.
///
/// Numbers, truth values and texts are fields of their C++ types, lists `std::vector`, lists of a fixed size `std::array`,
/// maps `std::map`, and structs records. Where a value is missing the field is a `std::optional`, but a list of records is
/// empty then, and of a record its members are missing. Characters that names may not have become `_`.
pub struct RNTupleSink {
    writer: Writer,
    name: String,
    codec: Codec,
    fields: Vec<Field>,
    columns: Columns,
    /// Entries in the cluster at hand, and in each before.
    entries: u64,
    clusters: Vec<u64>,
}

/// Begins a file at `path` of one `RNTuple` of this name.
///
/// # Errors
/// [`Error::Unsupported`] if the format has no place for a column; [`Error::System`].
pub fn sink(path: &Path, schema: &SchemaRef, name: &str, codec: Codec) -> Result<RNTupleSink> {
    let mut columns = Columns::default();
    let fields = Field::all(schema.fields().iter(), &mut columns);
    let fields = fields.map_err(|reason| Error::unsupported(path, "schema", reason))?;
    let (writer, name) = (Writer::create(path)?, name.to_owned());
    Ok(RNTupleSink { writer, name, codec, fields, columns, entries: 0, clusters: Vec::new() })
}

impl RNTupleSink {
    fn end_cluster(&mut self) -> Result<()> {
        self.columns.flush(&mut self.writer, self.codec)?;
        self.fields.iter_mut().for_each(Field::end_cluster);
        self.clusters.push(std::mem::take(&mut self.entries));
        Ok(())
    }

    fn header(&self) -> Vec<u8> {
        let mut owners = vec![0; self.columns.len()];
        let mut fields = Vec::new();
        for field in &self.fields {
            field.describe(None, &mut fields, &mut owners);
        }
        let columns = owners.iter().zip(self.columns.encodings()).map(|(owner, (encoding, bits))| {
            let mut column = encoding.to_le_bytes().to_vec();
            column.extend((bits as u16).to_le_bytes());
            column.extend(owner.to_le_bytes());
            column.extend([0; 4]);
            column
        });
        let mut header = 0_u64.to_le_bytes().to_vec();
        for text in [&self.name, "", concat!("femtobarn ", env!("CARGO_PKG_VERSION"))] {
            header.extend((text.len() as u32).to_le_bytes());
            header.extend(text.as_bytes());
        }
        header.extend(list(&fields.iter().map(|field| record(field)).collect::<Vec<_>>()));
        header.extend(list(&columns.map(|column| record(&column)).collect::<Vec<_>>()));
        header.extend(list(&[]));
        header.extend(list(&[]));
        header
    }

    fn page_list(&self, header: u64) -> Vec<u8> {
        let mut offsets = vec![0_i64; self.columns.len()];
        let (mut first, mut summaries, mut lists) = (0, Vec::new(), Vec::new());
        for (i, &entries) in self.clusters.iter().enumerate() {
            summaries.push(record(&[first, entries].map(u64::to_le_bytes).concat()));
            first += entries;
            let columns = offsets.iter_mut().zip(self.columns.written(i)).map(|(offset, pages)| {
                let mut items = Vec::with_capacity(16 * pages.len() + 12);
                for page in pages {
                    // The sign tells that a checksum follows the page.
                    items.extend((-i64::from(page.elements) as i32).to_le_bytes());
                    items.extend((page.locator.length as u32).to_le_bytes());
                    items.extend(page.locator.at.to_le_bytes());
                }
                items.extend(offset.to_le_bytes());
                items.extend(self.settings().to_le_bytes());
                *offset += pages.iter().map(|page| i64::from(page.elements)).sum::<i64>();
                list_of(pages.len(), &items)
            });
            lists.push(list(&columns.collect::<Vec<_>>()));
        }
        let mut content = header.to_le_bytes().to_vec();
        content.extend(list(&summaries));
        content.extend(list(&lists));
        content
    }

    fn footer(&self, header: u64, page_list: Option<(Locator, u64)>) -> Vec<u8> {
        let groups = page_list.map(|(locator, unpacked)| {
            let mut group = [0, self.clusters.iter().sum::<u64>()].map(u64::to_le_bytes).concat();
            group.extend((self.clusters.len() as u32).to_le_bytes());
            group.extend(unpacked.to_le_bytes());
            group.extend((locator.length as u32).to_le_bytes());
            group.extend(locator.at.to_le_bytes());
            record(&group)
        });
        let mut footer = 0_u64.to_le_bytes().to_vec();
        footer.extend(header.to_le_bytes());
        footer.extend(record(&(0..4).flat_map(|_| list(&[])).collect::<Vec<u8>>()));
        footer.extend(list(&groups.into_iter().collect::<Vec<_>>()));
        footer
    }

    /// Writes an envelope; gives its place, its size unpacked and its checksum.
    fn envelope(&mut self, kind: Kind, content: &[u8]) -> Result<(Locator, u64, u64)> {
        let size = content.len() as u64 + 16;
        let mut bytes = (size << 16 | kind as u64).to_le_bytes().to_vec();
        bytes.extend(content);
        let checksum = xxh3_64(&bytes);
        bytes.extend(checksum.to_le_bytes());
        let packed = pack(&bytes, self.codec).map_err(|e| self.writer.refused(&e))?;
        let at = self.writer.blob(&packed)?;
        Ok((Locator { at, length: packed.len() }, size, checksum))
    }

    /// The codec and its level in ROOT's numbers.
    fn settings(&self) -> u32 {
        match self.codec {
            Codec::Stored => 0,
            Codec::Zlib => 101,
            Codec::Lzma => 204,
            Codec::Lz4 => 404,
            Codec::Zstd => 505,
        }
    }
}

impl Sink for RNTupleSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.fields.len() {
            let reason = format!("{} columns, expected {}", batch.num_columns(), self.fields.len());
            return Err(self.writer.refused(&reason));
        }
        let rows = batch.num_rows();
        let bytes: usize = batch.columns().iter().map(|column| column.get_array_memory_size()).sum();
        let step = (rows / (bytes / SLICE + 1)).max(1);
        for from in (0..rows).step_by(step) {
            let slice = batch.slice(from, step.min(rows - from));
            for ((field, column), named) in self.fields.iter_mut().zip(slice.columns()).zip(batch.schema_ref().fields())
            {
                let appended = field.append(column, &mut self.columns);
                appended.map_err(|e| self.writer.refused(&format!("column `{}`: {e}", named.name())))?;
            }
            self.entries += slice.num_rows() as u64;
            if self.columns.bytes() >= CLUSTER {
                self.end_cluster()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.entries > 0 {
            self.end_cluster()?;
        }
        let content = self.header();
        let (header, header_size, checksum) = self.envelope(Kind::Header, &content)?;
        let mut page_list = None;
        if !self.clusters.is_empty() {
            let content = self.page_list(checksum);
            let (locator, size, _) = self.envelope(Kind::PageList, &content)?;
            page_list = Some((locator, size));
        }
        let content = self.footer(checksum, page_list);
        let (footer, footer_size, _) = self.envelope(Kind::Footer, &content)?;
        let mut anchor = VERSION.map(u16::to_be_bytes).concat();
        for (locator, size) in [(header, header_size), (footer, footer_size)] {
            anchor.extend([locator.at, locator.length as u64, size].map(u64::to_be_bytes).concat());
        }
        anchor.extend(LARGEST_KEY.to_be_bytes());
        let mut object = (0x4000_0000 | (anchor.len() + 2) as u32).to_be_bytes().to_vec();
        object.extend(2_u16.to_be_bytes());
        object.extend(&anchor);
        object.extend(xxh3_64(&anchor).to_be_bytes());
        let Self { mut writer, name, .. } = *self;
        writer.object("ROOT::RNTuple", &name, "", &object, Codec::Stored)?;
        writer.finish(NO_INFOS)
    }
}

/// A record frame.
fn record(content: &[u8]) -> Vec<u8> {
    let mut frame = (content.len() as i64 + 8).to_le_bytes().to_vec();
    frame.extend(content);
    frame
}

/// A list frame.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    list_of(items.len(), &items.concat())
}

fn list_of(count: usize, items: &[u8]) -> Vec<u8> {
    let mut frame = (-(items.len() as i64 + 12)).to_le_bytes().to_vec();
    frame.extend((count as u32).to_le_bytes());
    frame.extend(items);
    frame
}
