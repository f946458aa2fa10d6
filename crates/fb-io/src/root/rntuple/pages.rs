//! Columns that are written: elements are gathered for a cluster, then encoded, packed and written page by page.

use arrow_array::BooleanArray;
use arrow_buffer::BooleanBufferBuilder;
use xxhash_rust::xxh3::xxh3_64;

use super::envelope::Locator;
use crate::Result;
use crate::root::bytes::Fault;
use crate::root::compression::{Codec, pack};
use crate::root::container::Writer;

/// Bytes of a page before it is packed.
const PAGE: usize = 1 << 18;
/// Pages are written together up to this size.
const BLOB: usize = 1 << 25;

/// What a column holds; numbers by their width in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bit,
    Char,
    Int(usize),
    UInt(usize),
    Real(usize),
    /// Ends of lists.
    Index,
}

impl Kind {
    /// The number of its encoding in the file, and bits of an element.
    fn encoding(self) -> (u16, usize) {
        match self {
            Self::Bit => (0x00, 1),
            Self::Char => (0x02, 8),
            Self::Int(1) => (0x03, 8),
            Self::Int(2) => (0x11, 16),
            Self::Int(4) => (0x13, 32),
            Self::Int(_) => (0x15, 64),
            Self::UInt(1) => (0x04, 8),
            Self::UInt(2) => (0x12, 16),
            Self::UInt(4) => (0x14, 32),
            Self::UInt(_) => (0x16, 64),
            Self::Real(4) => (0x18, 32),
            Self::Real(_) => (0x19, 64),
            Self::Index => (0x1b, 64),
        }
    }
}

/// A page that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) elements: u32,
    pub(super) locator: Locator,
}

/// The elements of the cluster at hand.
#[derive(Debug)]
enum Elements {
    Bits(BooleanBufferBuilder),
    Bytes(Vec<u8>),
    Ends(Vec<u64>),
}

#[derive(Debug)]
struct Column {
    kind: Kind,
    elements: Elements,
    /// Clusters before the column was there, each of this many lists of one.
    ones: Vec<u64>,
    clusters: Vec<Vec<Written>>,
}

/// All columns, by number.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<Column>);

impl Columns {
    /// A new column, whose number is given back.
    pub(super) fn add(&mut self, kind: Kind) -> usize {
        let elements = match kind {
            Kind::Bit => Elements::Bits(BooleanBufferBuilder::new(0)),
            Kind::Index => Elements::Ends(Vec::new()),
            _ => Elements::Bytes(Vec::new()),
        };
        self.0.push(Column { kind, elements, ones: Vec::new(), clusters: Vec::new() });
        self.0.len() - 1
    }

    /// A new column of ends, of lists of one so far: these many in the clusters before, and these in this one.
    pub(super) fn add_ones(&mut self, before: &[u64], here: u64) -> usize {
        let elements = Elements::Ends((1..=here).collect());
        self.0.push(Column { kind: Kind::Index, elements, ones: before.to_vec(), clusters: Vec::new() });
        self.0.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }

    pub(super) fn extend_bits(&mut self, column: usize, bits: &BooleanArray) -> Fault<()> {
        match self.0.get_mut(column).map(|column| &mut column.elements) {
            Some(Elements::Bits(to)) => to.append_buffer(bits.values()),
            _ => return Err("truth values in a column of numbers".to_owned()),
        }
        Ok(())
    }

    pub(super) fn extend_bytes(&mut self, column: usize, bytes: &[u8]) -> Fault<()> {
        match self.0.get_mut(column).map(|column| &mut column.elements) {
            Some(Elements::Bytes(to)) => to.extend_from_slice(bytes),
            _ => return Err("numbers in a column of another type".to_owned()),
        }
        Ok(())
    }

    /// Appends the ends of `n` lists of these sizes.
    pub(super) fn extend_ends(&mut self, column: usize, n: usize, mut size: impl FnMut(usize) -> usize) -> Fault<()> {
        let Some(Elements::Ends(to)) = self.0.get_mut(column).map(|column| &mut column.elements) else {
            return Err("lists in a column of another type".to_owned());
        };
        let mut end = to.last().copied().unwrap_or(0);
        to.extend((0..n).map(|i| {
            end += size(i) as u64;
            end
        }));
        Ok(())
    }

    /// Bytes of the cluster at hand.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |column: &Column| match &column.elements {
            Elements::Bits(bits) => bits.len().div_ceil(8),
            Elements::Bytes(bytes) => bytes.len(),
            Elements::Ends(ends) => 8 * ends.len(),
        };
        self.0.iter().map(bytes).sum()
    }

    /// Ends a cluster: writes its pages.
    pub(super) fn flush(&mut self, writer: &mut Writer, codec: Codec) -> Result<()> {
        let mut out = Out { writer, codec, blob: Vec::new(), waiting: Vec::new(), written: Vec::new() };
        for (i, column) in self.0.iter_mut().enumerate() {
            for count in std::mem::take(&mut column.ones) {
                let at = (i, column.clusters.len());
                column.clusters.push(Vec::new());
                let ones: Vec<u64> = (1..=count).collect();
                out.ends(at, &ones)?;
            }
            let at = (i, column.clusters.len());
            column.clusters.push(Vec::new());
            match &mut column.elements {
                Elements::Bits(bits) => {
                    let all = bits.finish();
                    let mut left = all.len();
                    for page in all.values()[..left.div_ceil(8)].chunks(PAGE) {
                        out.page(at, left.min(8 * PAGE), page)?;
                        left = left.saturating_sub(8 * PAGE);
                    }
                }
                Elements::Bytes(bytes) => {
                    for page in bytes.chunks(PAGE) {
                        out.page(at, page.len() * 8 / column.kind.encoding().1, &encode(column.kind, page))?;
                    }
                    bytes.clear();
                }
                Elements::Ends(ends) => {
                    out.ends(at, ends)?;
                    ends.clear();
                }
            }
        }
        out.flush()?;
        for ((column, cluster), page) in out.written {
            if let Some(pages) = self.0.get_mut(column).and_then(|column| column.clusters.get_mut(cluster)) {
                pages.push(page);
            }
        }
        Ok(())
    }

    /// The pages of each column in a cluster.
    pub(super) fn written(&self, cluster: usize) -> impl Iterator<Item = &[Written]> {
        self.0.iter().map(move |column| column.clusters.get(cluster).map_or(&[][..], |pages| pages))
    }

    /// The number of its encoding, and bits of an element, of each column.
    pub(super) fn encodings(&self) -> impl Iterator<Item = (u16, usize)> {
        self.0.iter().map(|column| column.kind.encoding())
    }
}

/// A column and a cluster, by their numbers.
type At = (usize, usize);

/// Pages on their way into the file.
struct Out<'a> {
    writer: &'a mut Writer,
    codec: Codec,
    blob: Vec<u8>,
    /// Where in the blob they are.
    waiting: Vec<(At, Written)>,
    /// Where in the file they are.
    written: Vec<(At, Written)>,
}

impl Out<'_> {
    fn ends(&mut self, at: At, ends: &[u64]) -> Result<()> {
        for page in ends.chunks(PAGE / 8) {
            // Each page begins with a value and goes on with differences.
            let mut before = 0;
            let differences: Vec<[u8; 8]> =
                page.iter().map(|&end| (end - std::mem::replace(&mut before, end)).to_le_bytes()).collect();
            self.page(at, page.len(), &split(differences.iter().copied(), page.len()))?;
        }
        Ok(())
    }

    fn page(&mut self, at: At, elements: usize, page: &[u8]) -> Result<()> {
        let packed = pack(page, self.codec).map_err(|e| self.writer.refused(&e))?;
        let locator = Locator { at: self.blob.len() as u64, length: packed.len() };
        self.waiting.push((at, Written { elements: elements as u32, locator }));
        self.blob.extend(&packed);
        self.blob.extend(xxh3_64(&packed).to_le_bytes());
        if self.blob.len() >= BLOB { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.blob.is_empty() {
            return Ok(());
        }
        let begin = self.writer.blob(&self.blob)?;
        self.blob.clear();
        for (at, mut page) in self.waiting.drain(..) {
            page.locator.at += begin;
            self.written.push((at, page));
        }
        Ok(())
    }
}

/// The bytes of a page of numbers.
fn encode(kind: Kind, page: &[u8]) -> Vec<u8> {
    match kind.encoding().1 {
        16 => {
            let zigzag = |x: i16| ((x << 1) ^ (x >> 15)).to_le_bytes();
            let (numbers, n) = (page.as_chunks::<2>().0.iter().copied(), page.len() / 2);
            if kind == Kind::Int(2) { split(numbers.map(i16::from_le_bytes).map(zigzag), n) } else { split(numbers, n) }
        }
        32 => {
            let zigzag = |x: i32| ((x << 1) ^ (x >> 31)).to_le_bytes();
            let (numbers, n) = (page.as_chunks::<4>().0.iter().copied(), page.len() / 4);
            if kind == Kind::Int(4) { split(numbers.map(i32::from_le_bytes).map(zigzag), n) } else { split(numbers, n) }
        }
        64 => {
            let zigzag = |x: i64| ((x << 1) ^ (x >> 63)).to_le_bytes();
            let (numbers, n) = (page.as_chunks::<8>().0.iter().copied(), page.len() / 8);
            if kind == Kind::Int(8) { split(numbers.map(i64::from_le_bytes).map(zigzag), n) } else { split(numbers, n) }
        }
        _ => page.to_vec(),
    }
}

/// All first bytes of the elements, then all second ones.
fn split<const N: usize>(elements: impl Iterator<Item = [u8; N]>, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; N * n];
    for (i, element) in elements.take(n).enumerate() {
        for (k, byte) in element.into_iter().enumerate() {
            bytes[k * n + i] = byte;
        }
    }
    bytes
}
