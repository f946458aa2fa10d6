//! Writes a `TTree` of flat and jagged branches of numbers, and of texts.
//!
//! A list becomes a variable array that another branch counts, as in NanoAOD: columns whose names begin alike up to the
//! first `_` and whose lists are of equal lengths share a counter: `nJet` for `Jet_pt` and `Jet_eta`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array as _, ArrayRef, ArrowPrimitiveType, Int32Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};

use super::builtin;
use super::compression::Codec;
use super::container::{Record, Writer, key_length};
use super::output::{Output, Place};
use crate::table::{self, Sink};
use crate::{Error, Result};

/// Bytes of all branches that are kept until they are written as baskets.
const BLOCK: usize = 8 << 20;

/// A leaf as it is stored.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    class: &'static str,
    /// Its letter in a title, `F` for floats.
    letter: char,
    size: usize,
    unsigned: bool,
}

fn leaf(content: &DataType) -> Option<Leaf> {
    let (class, letter, size, unsigned) = match content {
        DataType::Boolean => ("TLeafO", 'O', 1, false),
        DataType::Int8 => ("TLeafB", 'B', 1, false),
        DataType::UInt8 => ("TLeafB", 'b', 1, true),
        DataType::Int16 => ("TLeafS", 'S', 2, false),
        DataType::UInt16 => ("TLeafS", 's', 2, true),
        DataType::Int32 => ("TLeafI", 'I', 4, false),
        DataType::UInt32 => ("TLeafI", 'i', 4, true),
        DataType::Int64 => ("TLeafL", 'L', 8, false),
        DataType::UInt64 => ("TLeafL", 'l', 8, true),
        DataType::Float16 | DataType::Float32 => ("TLeafF", 'F', 4, false),
        DataType::Float64 => ("TLeafD", 'D', 8, false),
        DataType::Utf8 | DataType::LargeUtf8 => ("TLeafC", 'C', 1, false),
        _ => return None,
    };
    Some(Leaf { class, letter, size, unsigned })
}

/// A branch that is being written.
struct Branch {
    name: String,
    leaf: Leaf,
    /// Column of the table; none for a counter.
    column: Option<usize>,
    /// Dimensions of a fixed array.
    dimensions: Vec<usize>,
    /// The branch that counts a variable array.
    counter: Option<usize>,
    /// Bytes of the entries that are not written yet, and where each ends if their lengths vary.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    baskets: Vec<Record>,
    /// Largest count, of a counter.
    most: i32,
}

/// A tree that is being written.
pub(super) struct TreeSink {
    writer: Writer,
    path: PathBuf,
    tree: String,
    codec: Codec,
    schema: SchemaRef,
    branches: Vec<Branch>,
    /// Entries of the baskets that are not written yet.
    waiting: usize,
    /// First entry of each basket, and the end.
    firsts: Vec<u64>,
}

impl TreeSink {
    pub(super) fn create(path: &Path, tree: &str, schema: &SchemaRef, codec: Codec) -> Result<Self> {
        let writer = Writer::create(path)?;
        for field in schema.fields() {
            let (is_list, dimensions, inner) = parts(field.data_type());
            let is_text = matches!(inner, DataType::Utf8 | DataType::LargeUtf8);
            if leaf(inner).is_none() || (is_text && (is_list || !dimensions.is_empty())) {
                let reason = format!(
                    "{} is not written to a TTree, expected numbers, lists of numbers or texts; choose other branches \
                     or write an RNTuple or Parquet",
                    field.data_type()
                );
                return Err(Error::unsupported(path, format!("column `{}`", field.name()), reason));
            }
        }
        let (tree, schema) = (tree.to_owned(), Arc::clone(schema));
        let path = path.to_owned();
        Ok(Self { writer, path, tree, codec, schema, branches: Vec::new(), waiting: 0, firsts: vec![0] })
    }

    /// The branches, as the first batch shows which lists are of equal lengths.
    fn lay_out(&mut self, batch: &RecordBatch) {
        let schema = Arc::clone(&self.schema);
        // Name and lengths of each counter.
        let mut counters: Vec<(String, Vec<i32>, usize)> = Vec::new();
        for (i, field) in schema.fields().iter().enumerate() {
            let (_, dimensions, content) = parts(field.data_type());
            let Some(leaf) = leaf(content) else { continue };
            let mut counter = None;
            if let Some(counts) = counts(batch.column(i)) {
                let prefix = field.name().split('_').next().unwrap_or_default();
                let mut name = format!("n{prefix}");
                while schema.field_with_name(&name).is_ok() && !is_counter(batch, &name, &counts)
                    || counters.iter().any(|(other, lengths, _)| *other == name && *lengths != counts)
                {
                    name.push('_');
                }
                let known = counters.iter().find(|(other, ..)| *other == name).map(|(.., at)| *at);
                counter = Some(known.unwrap_or_else(|| {
                    // A column that is the counter may have its branch by now.
                    let column = schema.index_of(&name).ok();
                    let there = self.branches.iter().position(|b| b.column.is_some() && b.column == column);
                    let at = there.unwrap_or(self.branches.len());
                    if there.is_none() {
                        let content = column.map_or(&DataType::Int32, |c| schema.field(c).data_type());
                        let leaf = self::leaf(content).unwrap_or(leaf);
                        self.branches.push(Branch::new(name.clone(), leaf, column));
                    }
                    counters.push((name, counts, at));
                    at
                }));
            } else if self.branches.iter().any(|branch| branch.column == Some(i)) {
                continue;
            }
            let mut branch = Branch::new(field.name().clone(), leaf, Some(i));
            (branch.dimensions, branch.counter) = (dimensions, counter);
            self.branches.push(branch);
        }
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut lengths: Vec<Option<Vec<i32>>> = vec![None; self.branches.len()];
        for i in 0..self.branches.len() {
            let Some(column) = self.branches[i].column else { continue };
            let array = batch.column(column);
            let refused = |reason: &str| {
                let place = format!("column `{}`", self.schema.field(column).name());
                Error::unsupported(&self.path, place, reason)
            };
            let content = flat(array);
            let missing = content.null_count() > 0 && !content.data_type().is_floating();
            if missing || (array.null_count() > 0 && array.data_type().is_nested()) {
                return Err(refused("a value is missing (null), and a TTree has no place for that"));
            }
            if let (Some(counter), Some(counts)) = (self.branches[i].counter, counts(array)) {
                if lengths[counter].get_or_insert_with(|| counts.clone()) != &counts {
                    let name = &self.branches[counter].name;
                    return Err(refused(&format!(
                        "its lists are no longer as long as the others that `{name}` counts; name it otherwise"
                    )));
                }
                let branch = &mut self.branches[i];
                let (mut end, size) =
                    (branch.bytes.len(), branch.leaf.size * branch.dimensions.iter().product::<usize>());
                branch.ends.extend(counts.iter().map(|&n| {
                    end += n as usize * size;
                    end as u32
                }));
                put(&mut branch.bytes, &content);
            } else if self.branches[i].leaf.letter == 'C' {
                let branch = &mut self.branches[i];
                for text in texts(array) {
                    let mut out = Output::default();
                    out.text(text);
                    branch.bytes.extend(out.bytes);
                    branch.ends.push(branch.bytes.len() as u32);
                }
            } else {
                put(&mut self.branches[i].bytes, &content);
            }
        }
        for (branch, counts) in self.branches.iter_mut().zip(&lengths) {
            let Some(counts) = counts else { continue };
            branch.most = counts.iter().copied().fold(branch.most, i32::max);
            match branch.column {
                None => put(&mut branch.bytes, &(Arc::new(Int32Array::from(counts.clone())) as ArrayRef)),
                Some(column) if is_counter(batch, self.schema.field(column).name(), counts) => {}
                Some(_) => {
                    let reason = "it no longer holds the lengths of the lists that it counts".to_owned();
                    return Err(Error::unsupported(&self.path, format!("column `{}`", branch.name), reason));
                }
            }
        }
        self.waiting += batch.num_rows();
        Ok(())
    }

    /// Writes a basket of each branch.
    fn flush(&mut self) -> Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        for branch in &mut self.branches {
            let names = ["TBasket", branch.name.as_str(), self.tree.as_str()];
            let header = key_length(names[0], names[1], names[2]) + 19;
            let content = std::mem::take(&mut branch.bytes);
            let last = header + content.len();
            let mut more = Output::default();
            more.u16(3);
            more.i32(last as i32);
            let varies = branch.varies();
            more.i32(if varies { self.waiting as i32 + 1 } else { (content.len() / self.waiting) as i32 });
            more.i32(self.waiting as i32);
            more.i32(last as i32);
            more.u8(0);
            let mut object = Output::default();
            object.bytes = content;
            if varies {
                // Where each entry begins, from the beginning of the key, and a zero.
                object.i32(self.waiting as i32 + 1);
                let ends = std::mem::take(&mut branch.ends);
                std::iter::once(0)
                    .chain(ends)
                    .take(self.waiting)
                    .for_each(|from| object.i32((from as usize + header) as i32));
                object.i32(0);
            }
            branch.baskets.push(self.writer.basket(names, &more.bytes, &object.bytes, self.codec)?);
        }
        self.firsts.push(self.firsts.last().unwrap_or(&0) + self.waiting as u64);
        self.waiting = 0;
        Ok(())
    }

    /// The tree itself.
    fn tree(&self, key: usize) -> Vec<u8> {
        let entries = self.firsts.last().copied().unwrap_or(0);
        let total = |f: fn(&Record) -> usize| -> u64 {
            self.branches.iter().flat_map(|branch| &branch.baskets).map(|basket| f(basket) as u64).sum()
        };
        let (unpacked, packed) = (total(|r| r.unpacked), total(|r| r.length));
        let mut out = Output::behind(key);
        out.framed(20, |out| {
            out.named(&self.tree, "");
            attributes(out);
            for n in [entries, unpacked, packed, 0, unpacked] {
                out.u64(n);
            }
            out.f64(1.0);
            for n in [0, 25, 0, 1000, 0] {
                out.i32(n);
            }
            // No limits, and the settings that ROOT writes by itself.
            let forever = 1_000_000_000_000;
            for n in [forever, forever, 0, -300_000_000, -30_000_000, 1_000_000_i64] {
                out.u64(n as u64);
            }
            // No ranges of clusters: two arrays that are not there.
            out.u8(0);
            out.u8(0);
            features(out);
            let mut leaves: Vec<Place> = Vec::new();
            out.array(self.branches.iter(), |out, branch| {
                let counter = branch.counter.and_then(|counter| leaves.get(counter).copied());
                let mut place = None;
                out.object("TBranch", 13, |out| place = Some(self.branch(out, branch, counter)));
                leaves.extend(place);
            });
            out.array(leaves.iter(), |out, place| out.reference(Some(*place)));
            // No aliases, index, friends or other lists.
            out.reference(None);
            out.i32(0);
            out.i32(0);
            (0..4).for_each(|_| out.reference(None));
        });
        out.bytes
    }

    /// A branch; gives the place of its leaf.
    fn branch(&self, out: &mut Output, branch: &Branch, counter: Option<Place>) -> Place {
        let counted = branch.counter.and_then(|counter| self.branches.get(counter)).map(|counter| counter.name.clone());
        let lengths = counted.into_iter().chain(branch.dimensions.iter().map(ToString::to_string));
        let title = lengths.fold(branch.name.clone(), |title, n| title + "[" + &n + "]");
        let n = branch.baskets.len();
        let entries = self.firsts.last().copied().unwrap_or(0);
        out.named(&branch.name, &format!("{title}/{}", branch.leaf.letter));
        fill(out);
        out.i32(settings(self.codec));
        out.i32(32_000);
        out.i32(if branch.varies() { 1000 } else { 0 });
        out.i32(n as i32);
        out.u64(entries);
        features(out);
        out.i32(0);
        out.i32(n as i32 + 1);
        out.i32(0);
        out.u64(entries);
        out.u64(0);
        out.u64(branch.baskets.iter().map(|basket| basket.unpacked as u64).sum());
        out.u64(branch.baskets.iter().map(|basket| basket.length as u64).sum());
        out.array(std::iter::empty::<()>(), |_, ()| {});
        let mut place = None;
        out.array(std::iter::once(()), |out, ()| {
            place = Some(out.object(branch.leaf.class, 1, |out| write_leaf(out, branch, &title, counter)));
        });
        out.array(std::iter::empty::<()>(), |_, ()| {});
        out.u8(1);
        branch.baskets.iter().for_each(|basket| out.i32(basket.length as i32));
        out.i32(0);
        out.u8(1);
        self.firsts.iter().for_each(|first| out.u64(*first));
        out.u8(1);
        branch.baskets.iter().for_each(|basket| out.u64(basket.seek));
        out.u64(0);
        out.text("");
        place.unwrap_or(out.here())
    }
}

fn write_leaf(out: &mut Output, branch: &Branch, title: &str, counter: Option<Place>) {
    out.framed(2, |out| {
        out.named(&branch.name, title);
        out.i32(branch.dimensions.iter().product::<usize>() as i32);
        out.i32(branch.leaf.size as i32);
        out.i32(0);
        // A counter has a range, up to its largest count.
        out.u8(u8::from(branch.most >= 0));
        out.u8(u8::from(branch.leaf.unsigned));
        out.reference(counter);
    });
    let most = branch.most.max(0);
    // The lower and the upper end of the range.
    for n in [0, most] {
        match branch.leaf.class {
            "TLeafO" | "TLeafB" => out.u8(n as u8),
            "TLeafS" => out.u16(n as u16),
            "TLeafL" => out.u64(n as u64),
            "TLeafD" => out.f64(n.into()),
            "TLeafF" => out.u32((n as f32).to_bits()),
            _ => out.i32(n),
        }
    }
}

fn attributes(out: &mut Output) {
    out.framed(2, |out| {
        for n in [602, 1, 1] {
            out.u16(n);
        }
    });
    fill(out);
    out.framed(2, |out| {
        out.u16(1);
        out.u16(1);
        out.u32(1.0_f32.to_bits());
    });
}

fn fill(out: &mut Output) {
    out.framed(2, |out| {
        out.u16(0);
        out.u16(1001);
    });
}

/// No features of input and output: a class without a version, with its checksum.
fn features(out: &mut Output) {
    out.framed(0, |out| {
        out.u32(0x1aa1_2f10);
        out.u8(0);
    });
}

impl Branch {
    fn new(name: String, leaf: Leaf, column: Option<usize>) -> Self {
        let (dimensions, bytes, ends, baskets) = Default::default();
        Self { name, leaf, column, dimensions, counter: None, bytes, ends, baskets, most: -1 }
    }

    fn varies(&self) -> bool {
        self.counter.is_some() || self.leaf.letter == 'C'
    }
}

/// Lengths of the lists of a column, if it has lists.
fn counts(array: &ArrayRef) -> Option<Vec<i32>> {
    let varies = matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_));
    let (offsets, _) = table::lists(array).filter(|_| varies)?;
    Some(offsets.windows(2).map(|o| (o[1] - o[0]) as i32).collect())
}

/// Whether a column has lists, the fixed dimensions in them, and the type of the numbers.
fn parts(content: &DataType) -> (bool, Vec<usize>, &DataType) {
    let (is_list, mut inner) = match content {
        DataType::List(inner) | DataType::LargeList(inner) => (true, inner.data_type()),
        other => (false, other),
    };
    let mut dimensions = Vec::new();
    while let DataType::FixedSizeList(next, n) = inner {
        dimensions.push(*n as usize);
        inner = next.data_type();
    }
    (is_list, dimensions, inner)
}

/// The numbers of a column without its lists.
fn flat(array: &ArrayRef) -> ArrayRef {
    table::lists(array).map_or_else(|| Arc::clone(array), |(_, content)| flat(&content))
}

/// Whether a column holds these lengths, as integers of 32 bits.
fn is_counter(batch: &RecordBatch, name: &str, counts: &[i32]) -> bool {
    let Some(column) = batch.column_by_name(name) else { return false };
    match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().values().as_ref() == counts,
        DataType::UInt32 => {
            let values = column.as_primitive::<UInt32Type>().values();
            values.len() == counts.len() && values.iter().zip(counts).all(|(&a, &b)| i64::from(a) == i64::from(b))
        }
        _ => false,
    }
}

fn texts(array: &ArrayRef) -> Vec<&str> {
    match array.data_type() {
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(Option::unwrap_or_default).collect(),
        _ => array.as_string::<i32>().iter().map(Option::unwrap_or_default).collect(),
    }
}

/// Appends the numbers of an array in big-endian order. A missing float is NaN.
fn put(bytes: &mut Vec<u8>, array: &ArrayRef) {
    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        bytes: &mut Vec<u8>,
        array: &ArrayRef,
        be: fn(T::Native) -> [u8; N],
    ) {
        bytes.extend(array.as_primitive::<T>().values().iter().flat_map(|&x| be(x)));
    }
    match array.data_type() {
        DataType::Boolean => bytes.extend(array.as_boolean().values().iter().map(u8::from)),
        DataType::Int8 => numbers::<Int8Type, 1>(bytes, array, i8::to_be_bytes),
        DataType::Int16 => numbers::<Int16Type, 2>(bytes, array, i16::to_be_bytes),
        DataType::Int32 => numbers::<Int32Type, 4>(bytes, array, i32::to_be_bytes),
        DataType::Int64 => numbers::<Int64Type, 8>(bytes, array, i64::to_be_bytes),
        DataType::UInt8 => numbers::<UInt8Type, 1>(bytes, array, u8::to_be_bytes),
        DataType::UInt16 => numbers::<UInt16Type, 2>(bytes, array, u16::to_be_bytes),
        DataType::UInt32 => numbers::<UInt32Type, 4>(bytes, array, u32::to_be_bytes),
        DataType::UInt64 => numbers::<UInt64Type, 8>(bytes, array, u64::to_be_bytes),
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().iter();
            bytes.extend(values.flat_map(|x| x.unwrap_or(f32::NAN).to_be_bytes()));
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().iter();
            bytes.extend(values.flat_map(|x| x.unwrap_or(f64::NAN).to_be_bytes()));
        }
        DataType::Float16 => {
            let values = array.as_primitive::<arrow_array::types::Float16Type>().iter();
            bytes.extend(values.flat_map(|x| x.map_or(f32::NAN, f32::from).to_be_bytes()));
        }
        _ => {}
    }
}

impl Sink for TreeSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.branches.is_empty() {
            self.lay_out(batch);
        }
        let weight = batch.get_array_memory_size() / batch.num_rows().max(1) + 1;
        let rows = (BLOCK / weight).max(1);
        for from in (0..batch.num_rows()).step_by(rows) {
            self.append(&batch.slice(from, rows.min(batch.num_rows() - from)))?;
            if self.branches.iter().map(|branch| branch.bytes.len()).sum::<usize>() >= BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.branches.is_empty() {
            // A table without a batch has its branches as well.
            self.lay_out(&RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        self.flush()?;
        let object = self.tree(key_length("TTree", &self.tree, ""));
        let mut writer = self.writer;
        writer.object("TTree", &self.tree, "", &object, self.codec)?;
        let mut infos = Output::behind(key_length("TList", "StreamerInfo", "Doubly linked list"));
        builtin::write(&mut infos);
        writer.finish(&infos.bytes)
    }
}

/// Codec and level as ROOT counts them.
fn settings(codec: Codec) -> i32 {
    match codec {
        Codec::Stored => 0,
        Codec::Zlib => 101,
        Codec::Lzma => 204,
        Codec::Lz4 => 404,
        Codec::Zstd => 505,
    }
}
