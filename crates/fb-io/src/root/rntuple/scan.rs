//! Elements of columns out of the pages of a cluster.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::clusters::{Chunk, Cluster, Page};
use super::schema::{Column, Encoding};
use super::values::switches;
use crate::root::bytes::Fault;
use crate::root::compression::{unpack_in, would_unpack};
use crate::root::file::File;
use crate::root::numbers::Numbers;

/// The column of a field, in each of its representations.
pub(super) type Slot = Vec<usize>;

/// Reads columns of one cluster.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a File,
    columns: &'a [Column],
    cluster: &'a Cluster,
    /// A page as it is stored, and unpacked.
    buffer: Vec<u8>,
    unpacked: Vec<u8>,
    /// Bytes that may be taken before bytes of the file have shown that they are needed.
    credit: &'a mut usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(file: &'a File, columns: &'a [Column], cluster: &'a Cluster, credit: &'a mut usize) -> Self {
        Self { file, columns, cluster, buffer: Vec::new(), unpacked: Vec::new(), credit }
    }

    /// Appends elements. `level` tells how many the cluster has where that is known without reading.
    pub(super) fn numbers(
        &mut self,
        slot: &Slot,
        level: Option<u64>,
        range: Range<u64>,
        values: &mut Numbers,
    ) -> Fault<()> {
        let bits = values.bits();
        self.elements(slot, level, range, |part| {
            match part {
                Part::Begin(n, credit) => values.reserve(n.min(credit * 8 / bits)),
                Part::Zeros(n) => values.zeros(n),
                Part::Page { column, bytes, elements, range } => values.decode(column, bytes, elements, range)?,
            }
            Ok(bits)
        })
    }

    /// Where lists begin and end: one more than there are lists, from the beginning of the cluster.
    pub(super) fn ends(&mut self, slot: &Slot, level: Option<u64>, range: Range<u64>) -> Fault<Vec<u64>> {
        let mut ends = Numbers::U64(Vec::new());
        let from = range.start.saturating_sub(1);
        if range.start == 0 {
            ends.zeros(1);
        }
        self.numbers(slot, level, from..range.end, &mut ends)?;
        let Numbers::U64(ends) = ends else { return Ok(Vec::new()) };
        if let Some(i) = ends.windows(2).position(|w| w[0] > w[1]) {
            return Err(format!("a list ends at {} and the one before at {}", ends[i + 1], ends[i]));
        }
        Ok(ends)
    }

    /// Which alternative each entry has, counted from one, and where.
    pub(super) fn switches(&mut self, slot: &Slot, level: Option<u64>, range: Range<u64>) -> Fault<Vec<(u64, u32)>> {
        let mut found = Vec::new();
        self.elements(slot, level, range, |part| {
            match part {
                Part::Begin(..) => {}
                Part::Zeros(n) => found.resize(found.len() + n, (0, 0)),
                Part::Page { column: Column { encoding: Encoding::Switch, .. }, bytes, range, .. } => {
                    found.extend(switches(bytes, range));
                }
                Part::Page { .. } => return Err("the alternatives of a variant are in a column of numbers".to_owned()),
            }
            Ok(128)
        })?;
        Ok(found)
    }

    /// The representation that holds the values in this cluster, if any does.
    fn pick(&self, slot: &Slot) -> Fault<(&'a Column, Option<&'a Chunk>)> {
        let mut deferred = None;
        for &id in slot {
            let column = self.columns.get(id).ok_or("a field without its column")?;
            match self.cluster.columns.get(id) {
                Some(chunk) if !chunk.is_suppressed => return Ok((column, Some(chunk))),
                None if column.first >= 0 => deferred = deferred.or(Some(column)),
                _ => {}
            }
        }
        // It came after this cluster.
        Ok((deferred.ok_or("no representation of the column has values")?, None))
    }

    fn elements(
        &mut self,
        slot: &Slot,
        level: Option<u64>,
        range: Range<u64>,
        mut each: impl FnMut(Part<'_>) -> Fault<usize>,
    ) -> Fault<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (column, chunk) = self.pick(slot)?;
        let (pages, stored) = chunk.map_or((&[][..], 0), |chunk| (&chunk.pages[..], chunk.elements));
        let zeros = if column.first == 0 { 0 } else { level.unwrap_or(0).saturating_sub(stored) };
        let all = zeros.saturating_add(stored);
        if range.end > all {
            return Err(format!("a column of {all} elements in the cluster, expected {} or more", range.end));
        }
        let count = usize::try_from(range.end - range.start).map_err(|_| "too many elements for this machine")?;
        let bits = each(Part::Begin(count, *self.credit))?;
        let missing = zeros.min(range.end).saturating_sub(range.start) as usize;
        let taken = missing.saturating_mul(bits).div_ceil(8);
        let Some(credit) = self.credit.checked_sub(taken) else {
            return Err(format!("{missing} entries of a field that came later; read fewer at once"));
        };
        *self.credit = credit;
        each(Part::Zeros(missing))?;
        let mut begin = zeros;
        for page in pages {
            let end = begin + u64::from(page.elements);
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to {
                let within = (from - begin) as usize..(to - begin) as usize;
                self.page(column, page, |bytes| {
                    let elements = page.elements as usize;
                    each(Part::Page { column, bytes, elements, range: within }).map(drop)
                })?;
            }
            if end >= range.end {
                break;
            }
            begin = end;
        }
        Ok(())
    }

    /// Reads, checks and unpacks a page.
    fn page(&mut self, column: &Column, page: &Page, use_it: impl FnOnce(&[u8]) -> Fault<()>) -> Fault<()> {
        let Page { elements, has_checksum, locator } = *page;
        let unpacked = (elements as usize).saturating_mul(column.bits).div_ceil(8);
        let place = |e: String| format!("page of {elements} elements at {}: {e}", locator.at);
        if !would_unpack(locator.length, unpacked) {
            return Err(place(format!("{} bytes claim to hold {unpacked}", locator.length)));
        }
        let length = locator.length.saturating_add(if has_checksum { 8 } else { 0 });
        let bytes = self.file.bytes_in(locator.at, length, &mut self.buffer).map_err(place)?;
        let (packed, check) = bytes.split_at_checked(locator.length).unwrap_or_default();
        if has_checksum && xxh3_64(packed).to_le_bytes() != check {
            return Err(place("its checksum differs".to_owned()));
        }
        unpack_in(packed, unpacked, &mut self.unpacked).and_then(use_it).map_err(place)
    }
}

/// What elements are made of.
enum Part<'a> {
    /// So many come, and so many bytes may be taken for them beforehand.
    Begin(usize, usize),
    /// Elements from before the column was there.
    Zeros(usize),
    /// Some elements of a page.
    Page { column: &'a Column, bytes: &'a [u8], elements: usize, range: Range<usize> },
}
