//! `RNTuple`: the columnar tables of ROOT, in version 1 of their format (*RNTuple Binary Format Specification* of the
//! ROOT project).
//!
//! A key holds the *anchor*, which names the *header* and the *footer*. They tell the schema — a tree of fields, each with
//! its columns — and where the lists of *pages* are: stretches of one column, packed one by one. A *cluster* is the pages
//! of all columns for a range of entries.

mod clusters;
mod envelope;
mod layout;
mod node;
mod pages;
mod scan;
mod schema;
mod values;
mod write;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use fb_core::Unit;

pub(super) use self::write::sink;

use self::clusters::Cluster;
use self::envelope::{Anchor, Envelope, Kind};
use self::node::Node;
use self::scan::Scan;
use self::schema::Schema;
use super::bytes::Fault;
use super::file::{File, Key};
use crate::table::{Branch, Table};
use crate::{Error, Result};

/// The class of the keys of these tables, and what it was while the format was not yet fixed.
pub(super) const CLASS: &str = "ROOT::RNTuple";
pub(super) const BEFORE_VERSION_1: &str = "ROOT::Experimental::RNTuple";
/// Entries that are read at once, where a cluster has more.
const LARGEST_BLOCK: u64 = 1 << 20;
/// Bytes that one call may take without bytes of the file behind them, besides eight times its size.
const UNBACKED: usize = 1 << 25;
/// Blocks of a cluster, whatever number of entries it claims.
const MOST_BLOCKS: u64 = 1 << 12;

/// An `RNTuple` in a file.
#[derive(Debug)]
pub(super) struct RNTuple {
    file: Arc<File>,
    name: String,
    schema: Schema,
    clusters: Vec<Cluster>,
    branches: Vec<Branch>,
    /// How each branch is read, if it is.
    nodes: Vec<Option<Node>>,
}

/// Opens the table of a key.
pub(super) fn open(file: Arc<File>, key: &Key) -> Result<RNTuple> {
    let place = || format!("RNTuple `{}`", key.path);
    if key.class != CLASS {
        let reason = "it was written before version 1 of the format, which is the first that is read";
        return Err(Error::unsupported(file.path(), place(), reason));
    }
    let wrong = |what: &'static str| {
        let (file, place) = (&file, place());
        move |reason: String| file.corrupt(format!("{place}, {what}"), reason)
    };
    let anchor = file.object(key).and_then(|object| Anchor::read(&object)).map_err(wrong("anchor"))?;
    if anchor.version[0] != 1 {
        let version = anchor.version.map(|part| part.to_string()).join(".");
        return Err(Error::unsupported(file.path(), place(), format!("its format is {version}, expected 1")));
    }
    let header = Envelope::read(&file, anchor.header, Kind::Header).map_err(wrong("header"))?;
    let footer = Envelope::read(&file, anchor.footer, Kind::Footer).map_err(wrong("footer"))?;
    for envelope in [&header, &footer] {
        envelope.content().features().map_err(|reason| Error::unsupported(file.path(), place(), reason))?;
    }
    let mut schema = Schema::default();
    read_header(&header, &mut schema).map_err(wrong("header"))?;
    let clusters = read_footer(&file, &footer, header.checksum, &mut schema).map_err(wrong("footer"))?;
    let (mut branches, mut nodes) = (Vec::new(), Vec::new());
    for &id in &schema.top {
        let Some(field) = schema.fields.get(id) else { continue };
        let node = Node::new(&schema, id);
        let content = node.as_ref().map(Node::data_type).map_err(Clone::clone);
        let (name, type_name) = (field.name.clone(), field.type_name.clone());
        // Our own files tell the unit where others describe the field.
        let unit = Unit::from_symbol(&field.description);
        branches.push(Branch { name, type_name, content, unit });
        nodes.push(node.ok());
    }
    Ok(RNTuple { name: key.path.clone(), file, schema, clusters, branches, nodes })
}

fn read_header(header: &Envelope, schema: &mut Schema) -> Fault<()> {
    let mut content = header.content();
    content.features()?;
    let (_name, _description, _writer) = (content.text()?, content.text()?, content.text()?);
    schema.extend(&mut content)
}

fn read_footer(file: &File, footer: &Envelope, header: u64, schema: &mut Schema) -> Fault<Vec<Cluster>> {
    let mut content = footer.content();
    content.features()?;
    if content.u64()? != header {
        return Err("it belongs to another header".to_owned());
    }
    let mut extension = content.record()?;
    if !extension.is_empty() {
        schema.extend(&mut extension)?;
    }
    clusters::read(file, &mut content, header)
}

impl RNTuple {
    fn column(&self, branch: usize, entries: &Range<u64>, credit: &mut usize) -> Fault<ArrayRef> {
        let node = self.nodes.get(branch).and_then(Option::as_ref).ok_or("it is not read")?;
        if entries.start > entries.end || entries.end > self.entries() {
            return Err(format!("there are {} entries", self.entries()));
        }
        let mut builder = node.builder();
        let first = self.clusters.partition_point(|cluster| cluster.entries.end <= entries.start);
        for cluster in &self.clusters[first..] {
            let Range { start, end } = cluster.entries;
            let (from, to) = (entries.start.max(start), entries.end.min(end));
            if from >= to {
                break;
            }
            let mut scan = Scan::new(&self.file, &self.schema.columns, cluster, credit);
            node.read(&mut scan, Some(end - start), from - start..to - start, &mut builder)?;
        }
        builder.finish()
    }
}

impl Table for RNTuple {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "RNTuple"
    }

    fn entries(&self) -> u64 {
        self.clusters.last().map_or(0, |cluster| cluster.entries.end)
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        let mut blocks = Vec::new();
        for Cluster { entries, .. } in &self.clusters {
            let size = LARGEST_BLOCK.max((entries.end - entries.start) / MOST_BLOCKS);
            let starts = (entries.start..entries.end).step_by(size as usize);
            blocks.extend(starts.map(|start| start..entries.end.min(start.saturating_add(size))));
        }
        blocks
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        // What is not backed by bytes of the file stays below this.
        let mut credit = UNBACKED.saturating_add(self.file.size().saturating_mul(8) as usize);
        let read = |&branch: &usize| {
            self.column(branch, &entries, &mut credit).map_err(|reason| {
                let field = self.branches.get(branch).map_or("?", |branch| &branch.name);
                let Range { start, end } = entries;
                self.file.corrupt(format!("RNTuple `{}`, field `{field}`, entries {start} to {end}", self.name), reason)
            })
        };
        branches.iter().map(read).collect()
    }
}
