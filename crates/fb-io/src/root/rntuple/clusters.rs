//! Clusters and the places of their pages.

use std::collections::HashSet;
use std::ops::Range;

use super::envelope::{Envelope, FRAME, Kind, Link, Locator, Reader};
use crate::root::bytes::Fault;
use crate::root::file::File;

/// A range of entries and where its columns are.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) entries: Range<u64>,
    /// By the number of the column. Those that came later are not there.
    pub(super) columns: Vec<Chunk>,
}

/// The pages of one column in one cluster.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Another representation of the field holds the values.
    pub(super) is_suppressed: bool,
    pub(super) pages: Vec<Page>,
    /// Elements of all pages.
    pub(super) elements: u64,
}

/// A page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub(super) elements: u32,
    /// A checksum comes behind it.
    pub(super) has_checksum: bool,
    pub(super) locator: Locator,
}

/// Clusters in the order of their entries, without a gap.
pub(super) fn read(file: &File, groups: &mut Reader<'_>, header: u64) -> Fault<Vec<Cluster>> {
    let mut clusters = Vec::new();
    let mut seen = HashSet::new();
    let (count, mut frames) = groups.list(FRAME)?;
    for group in 0..count {
        let mut frame = frames.record()?;
        let (_first, _span, count) = (frame.u64()?, frame.u64()?, frame.u32()? as usize);
        let (before, link) = (clusters.len(), frame.link()?);
        if !seen.insert(link.locator.at) {
            return Err(format!("page list {group} is that of another group"));
        }
        read_group(file, link, header, &mut clusters).map_err(|e| format!("page list {group}: {e}"))?;
        let found = clusters.len() - before;
        if found != count {
            return Err(format!("page list {group}: {found} clusters, expected {count}"));
        }
    }
    clusters.sort_by_key(|cluster| (cluster.entries.start, cluster.entries.end));
    let mut end = 0;
    for cluster in &clusters {
        if cluster.entries.start != end {
            return Err(format!("a cluster begins with entry {}, expected {end}", cluster.entries.start));
        }
        end = cluster.entries.end;
    }
    Ok(clusters)
}

fn read_group(file: &File, link: Link, header: u64, clusters: &mut Vec<Cluster>) -> Fault<()> {
    let envelope = Envelope::read(file, link, Kind::PageList)?;
    let mut content = envelope.content();
    if content.u64()? != header {
        return Err("it belongs to another header".to_owned());
    }
    let (count, mut summaries) = content.list(FRAME)?;
    let (listed, mut lists) = content.list(12)?;
    if listed != count {
        return Err(format!("the pages of {listed} clusters, expected {count}"));
    }
    for _ in 0..count {
        let mut summary = summaries.record()?;
        let (start, packed) = (summary.u64()?, summary.u64()?);
        let (entries, flags) = (packed & (u64::MAX >> 8), packed >> 56);
        if flags & 1 != 0 {
            return Err("a cluster is in shards, which are not read".to_owned());
        }
        let end = start.checked_add(entries).ok_or("a cluster has too many entries")?;
        let (columns, mut frames) = lists.list(20)?;
        let columns = (0..columns).map(|_| read_chunk(&mut frames)).collect::<Fault<Vec<_>>>()?;
        clusters.push(Cluster { entries: start..end, columns });
    }
    Ok(())
}

fn read_chunk(frames: &mut Reader<'_>) -> Fault<Chunk> {
    let (count, mut list) = frames.list(8)?;
    let mut pages = Vec::with_capacity(count);
    let mut elements = 0;
    for _ in 0..count {
        let n = list.i32()?;
        let page = Page { elements: n.unsigned_abs(), has_checksum: n < 0, locator: list.locator()? };
        elements += u64::from(page.elements);
        pages.push(page);
    }
    // The number of elements before, and how they are packed, are told by the pages as well.
    let is_suppressed = list.i64()? < 0;
    if is_suppressed && !pages.is_empty() {
        return Err("a column that is suppressed has pages".to_owned());
    }
    Ok(Chunk { is_suppressed, pages, elements })
}
