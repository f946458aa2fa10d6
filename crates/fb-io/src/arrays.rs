//! Tables of files that hold arrays (NumPy, HDF5): arrays of equal first dimension are the columns of a table.
//!
//! `NAME_offsets`, integers of one more than there are entries, makes lists of `NAME`: entry i has the values from
//! `NAME_offsets[i]` up to `NAME_offsets[i + 1]`. This is how lists are written, too; readers of other languages need
//! nothing but a slice.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef};
use arrow_schema::DataType;
use fb_core::Unit;

use crate::table::{self, Branch, Table};
use crate::{Error, Result};

/// What the name of the offsets of `NAME` ends with.
pub(crate) const OFFSETS: &str = "_offsets";

/// Bytes of a table that are read at a time.
const CLUSTER: u64 = 8 << 20;
/// The number of clusters is bounded, as a file may claim any number of entries.
const MOST_CLUSTERS: u64 = 1 << 16;

/// An array of a file, or a member of an array of records.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    /// Which it is of its store.
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) unit: Unit,
    /// Its first dimension.
    pub(crate) rows: u64,
    /// Bytes of a row in memory, about.
    pub(crate) row_size: u64,
    /// The type of what a row holds, or why it is not read.
    pub(crate) content: std::result::Result<DataType, String>,
}

/// Where the arrays are read from.
pub(crate) trait Store: Send + Sync {
    /// Reads rows of arrays.
    fn read(&self, arrays: &[usize], rows: Range<u64>) -> Result<Vec<ArrayRef>>;
}

/// What the tables of a file share.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) kind: &'static str,
    pub(crate) store: Arc<dyn Store>,
    /// Whether each array is stored apart.
    pub(crate) is_columnar: bool,
}

/// Where a branch comes from.
#[derive(Clone)]
enum Source {
    Rows(usize),
    Lists { offsets: usize, values: usize, length: u64 },
}

struct Arrays {
    file: File,
    name: String,
    branches: Vec<Branch>,
    sources: Vec<Source>,
    entries: u64,
    cluster: u64,
}

struct Column {
    branch: Branch,
    source: Source,
    entries: u64,
    size: u64,
}

/// The tables of a group of arrays: one of all that have the first dimension that most have, of the group's name, and
/// one for each other array, of its own.
pub(crate) fn tables(file: &File, group: &str, arrays: &[Array]) -> Vec<Box<dyn Table>> {
    let mut columns = columns(arrays);
    let mut entries: Option<(usize, u64)> = None;
    for column in &columns {
        let count = columns.iter().filter(|c| c.entries == column.entries).count();
        if entries.is_none_or(|(most, _)| count > most) {
            entries = Some((count, column.entries));
        }
    }
    let Some((_, entries)) = entries else { return Vec::new() };
    let others = columns.extract_if(.., |column| column.entries != entries).collect::<Vec<_>>();
    let mut tables = vec![of_columns(file, group.to_owned(), columns)];
    for column in others {
        let name =
            if group.is_empty() { column.branch.name.clone() } else { format!("{group}/{}", column.branch.name) };
        tables.push(of_columns(file, name, vec![column]));
    }
    tables
}

fn of_columns(file: &File, name: String, columns: Vec<Column>) -> Box<dyn Table> {
    let entries = columns.first().map_or(0, |column| column.entries);
    let size = columns.iter().fold(1u64, |sum, column| sum.saturating_add(column.size));
    let cluster = (CLUSTER / size).max(1 + entries / MOST_CLUSTERS);
    let (branches, sources) = columns.into_iter().map(|column| (column.branch, column.source)).unzip();
    Box::new(Arrays { file: file.clone(), name, branches, sources, entries, cluster })
}

/// Arrays as columns, where a pair of values and offsets is one.
fn columns(arrays: &[Array]) -> Vec<Column> {
    let is_offsets = |array: &Array| array.rows > 0 && array.content.as_ref().is_ok_and(DataType::is_integer);
    let offsets_of = |values: &Array| {
        let named = |o: &&Array| o.name.strip_suffix(OFFSETS) == Some(values.name.as_str()) && is_offsets(o);
        arrays.iter().find(named).filter(|_| values.content.is_ok())
    };
    let has_values =
        |offsets: &Array| arrays.iter().any(|values| offsets_of(values).is_some_and(|found| found.id == offsets.id));
    let column = |array: &Array| {
        let branch = |type_name, content| Branch { name: array.name.clone(), type_name, content, unit: array.unit };
        match offsets_of(array) {
            Some(offsets) => {
                let entries = offsets.rows - 1;
                Column {
                    branch: branch(format!("lists of {}", array.type_name), array.content.clone().map(table::list_of)),
                    source: Source::Lists { offsets: offsets.id, values: array.id, length: array.rows },
                    entries,
                    size: (array.row_size.saturating_mul(array.rows) / entries.max(1)).saturating_add(8),
                }
            }
            None => Column {
                branch: branch(array.type_name.clone(), array.content.clone()),
                source: Source::Rows(array.id),
                entries: array.rows,
                size: array.row_size,
            },
        }
    };
    arrays.iter().filter(|array| !has_values(array)).map(column).collect()
}

impl Table for Arrays {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.file.kind
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        let starts = (0..self.entries.div_ceil(self.cluster)).map(|i| i * self.cluster);
        starts.map(|start| start..start.saturating_add(self.cluster).min(self.entries)).collect()
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        // Arrays of one length are read at once, as members of a record lie together.
        let row = |&b: &usize| match self.sources[b] {
            Source::Rows(id) => Some(id),
            Source::Lists { .. } => None,
        };
        let rows: Vec<usize> = branches.iter().filter_map(row).collect();
        let mut rows = self.file.store.read(&rows, entries.clone())?.into_iter();
        let array = |&b: &usize| match self.sources[b] {
            Source::Rows(_) => rows.next().map_or_else(|| Err(self.corrupt(b, "it was not read")), Ok),
            Source::Lists { offsets, values, length } => self.lists(b, offsets, (values, length), entries.clone()),
        };
        branches.iter().map(array).collect()
    }

    fn is_columnar(&self) -> bool {
        self.file.is_columnar
    }
}

impl Arrays {
    fn corrupt(&self, branch: usize, reason: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.file.path, format!("`{}`", self.branches[branch].name), reason)
    }

    fn lists(&self, branch: usize, offsets: usize, values: (usize, u64), entries: Range<u64>) -> Result<ArrayRef> {
        let mut read = self.file.store.read(&[offsets], entries.start..entries.end + 1)?;
        let offsets = read.pop().and_then(|offsets| integers(&offsets));
        let offsets = offsets.filter(|o| o.is_sorted() && o.len() as u64 == entries.end - entries.start + 1);
        let Some((first, last)) = offsets.as_ref().and_then(|o| Some((*o.first()?, *o.last()?))) else {
            return Err(self.corrupt(branch, "its offsets do not rise from zero"));
        };
        let (values, length) = values;
        if last > length {
            return Err(self.corrupt(branch, format!("its offsets reach {last}, and it has {length} values")));
        }
        let content = self.file.store.read(&[values], first..last)?.pop();
        let from_zero: Vec<usize> = offsets.iter().flatten().map(|&o| (o - first) as usize).collect();
        let list = content.and_then(|content| table::list(&from_zero, content));
        list.ok_or_else(|| self.corrupt(branch, "its lists are longer than 2³¹ entries in all"))
    }
}

/// Integers of any width that are not negative.
fn integers(array: &ArrayRef) -> Option<Vec<u64>> {
    use arrow_array::types::{Int8Type, Int16Type, Int32Type, UInt8Type, UInt16Type, UInt32Type};
    macro_rules! widen {
        ($kind:ty) => {
            array.as_primitive_opt::<$kind>()?.values().iter().map(|&x| u64::try_from(x).ok()).collect()
        };
    }
    match array.data_type() {
        DataType::Int8 => widen!(Int8Type),
        DataType::Int16 => widen!(Int16Type),
        DataType::Int32 => widen!(Int32Type),
        DataType::Int64 => widen!(Int64Type),
        DataType::UInt8 => widen!(UInt8Type),
        DataType::UInt16 => widen!(UInt16Type),
        DataType::UInt32 => widen!(UInt32Type),
        DataType::UInt64 => widen!(UInt64Type),
        _ => None,
    }
}
