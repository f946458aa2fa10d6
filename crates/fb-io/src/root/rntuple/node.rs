//! Fields as columns of Arrow.
//!
//! A record becomes a struct, a collection a list, one of keys and values a map, a fixed-size array a list of fixed size, `std::optional` and
//! `std::unique_ptr` values that may be missing. A variant becomes a struct of all its alternatives, all but one of which
//! are missing: Parquet has no unions. Members of base classes are members of the class. Classes around a single value (enumerations, `std::atomic`) are that value.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeListArray, ListArray, MapArray, StringArray, StructArray, UInt32Array};
use arrow_buffer::{BooleanBufferBuilder, Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use arrow_select::take::take;

use super::scan::{Scan, Slot};
use super::schema::{Column, Encoding, Role, Schema};
use crate::root::bytes::Fault;
use crate::root::numbers::Numbers;
use crate::table::{item, list_of};

/// Fields within fields.
const DEEPEST: usize = 64;
/// Alternatives of a variant, by the definition of the format.
const MOST_ALTERNATIVES: usize = 125;

/// How a field is read.
#[derive(Debug)]
pub(super) enum Node {
    Number {
        column: Slot,
        data_type: DataType,
    },
    /// The length of lists.
    Size {
        ends: Slot,
        data_type: DataType,
    },
    Text {
        ends: Slot,
        bytes: Slot,
    },
    List {
        ends: Slot,
        item: Box<Node>,
        is_map: bool,
    },
    /// A list of none or one.
    Optional {
        ends: Slot,
        item: Box<Node>,
    },
    Fixed {
        size: usize,
        item: Box<Node>,
    },
    Record {
        members: Vec<(String, Node)>,
    },
    Variant {
        switch: Slot,
        members: Vec<(String, Node)>,
    },
}

impl Node {
    /// How a field is read, or why it is not.
    pub(super) fn new(schema: &Schema, field: usize) -> Fault<Self> {
        Self::within(schema, field, 0)?.ok_or_else(|| "it holds no values".to_owned())
    }

    /// `None` for a field that holds no values, such as a class without members.
    fn within(schema: &Schema, id: usize, depth: usize) -> Fault<Option<Self>> {
        let field = schema.fields.get(id).ok_or("a field that is not there")?;
        if depth > DEEPEST {
            return Err(format!("fields within fields, more than {DEEPEST} deep"));
        }
        let child = |i: usize| Self::within(schema, field.children[i], depth + 1);
        let members = || -> Fault<Vec<(String, Option<Self>)>> {
            let name = |i: usize| schema.fields.get(field.children[i]).map_or_else(String::new, |f| f.name.clone());
            let named = |i| child(i).map(|node| (name(i), node)).map_err(|e| format!("member `{}`: {e}", name(i)));
            (0..field.children.len()).map(named).collect()
        };
        let slots = slots(schema, &field.columns)?;
        let node =
            match (field.role, &slots[..], field.children.len()) {
                (Role::Leaf, [], 1) => child(0)?,
                (Role::Leaf, [column], 0) if field.type_name.starts_with("ROOT::RNTupleCardinality<") => {
                    index(schema, column)?;
                    let data_type = if field.type_name.contains("64") { DataType::UInt64 } else { DataType::UInt32 };
                    Some(Self::Size { ends: column.clone(), data_type })
                }
                (Role::Leaf, [column], 0) => {
                    let stored = numbers(schema, column)?;
                    let data_type = number(&field.type_name).unwrap_or(stored);
                    Some(Self::Number { column: column.clone(), data_type })
                }
                (Role::Leaf, [ends, bytes], 0) => {
                    index(schema, ends)?;
                    if numbers(schema, bytes)? != DataType::UInt8 {
                        return Err("a text in a column of numbers".to_owned());
                    }
                    Some(Self::Text { ends: ends.clone(), bytes: bytes.clone() })
                }
                (Role::Collection, [ends], 1) => {
                    index(schema, ends)?;
                    let (ends, item) = (ends.clone(), child(0)?.map(Box::new));
                    let is = |types: &[&str]| {
                        let template = field.type_name.strip_prefix("std::").and_then(|rest| rest.split_once('<'));
                        template.is_some_and(|(template, _)| types.contains(&template))
                    };
                    let is_pair = matches!(item.as_deref(), Some(Self::Record { members }) if members.len() == 2);
                    let is_map = is_pair && is(&["map", "unordered_map", "multimap", "unordered_multimap"]);
                    let is_optional = is(&["optional", "unique_ptr"]);
                    item.map(|item| {
                        if is_optional { Self::Optional { ends, item } } else { Self::List { ends, item, is_map } }
                    })
                }
                (Role::Record, [], _) => {
                    let members = inherited(schema, &field.children, members()?);
                    (!members.is_empty()).then_some(Self::Record { members })
                }
                (Role::Variant, [switch], 1..=MOST_ALTERNATIVES) => {
                    let is_switch = |column: &Column| column.encoding == Encoding::Switch;
                    if !switch.iter().all(|&id| schema.columns.get(id).is_some_and(is_switch)) {
                        return Err("the alternatives of a variant are in a column of numbers".to_owned());
                    }
                    let named = |(name, node): (String, Option<Self>)| {
                        node.map(|node| (name, node)).ok_or_else(|| "an alternative holds no values".to_owned())
                    };
                    let members = members()?.into_iter().map(named).collect::<Fault<Vec<_>>>()?;
                    Some(Self::Variant { switch: switch.clone(), members })
                }
                (Role::Streamer, ..) => {
                    return Err(format!("`{}` is written by a streamer, which is not read", field.type_name));
                }
                (Role::Unknown(role), ..) => return Err(format!("its structure {role:#x} is not known")),
                (role, columns, children) => {
                    return Err(format!("{role:?} with {} columns and {children} fields", columns.len()));
                }
            };
        let Some(size) = field.repeated else { return Ok(node) };
        let size = i32::try_from(size).map_err(|_| format!("an array of {size}"))? as usize;
        Ok(node.filter(|_| size > 0).map(|item| Self::Fixed { size, item: Box::new(item) }))
    }

    /// The type of its arrays.
    pub(super) fn data_type(&self) -> DataType {
        let fields = |members: &[(String, Self)]| {
            DataType::Struct(members.iter().map(|(name, node)| Field::new(name, node.data_type(), true)).collect())
        };
        match self {
            Self::Number { data_type, .. } | Self::Size { data_type, .. } => data_type.clone(),
            Self::Text { .. } => DataType::Utf8,
            Self::List { item, is_map: true, .. } => DataType::Map(entries(item.data_type()), false),
            Self::List { item, .. } => list_of(item.data_type()),
            Self::Optional { item, .. } => item.data_type(),
            Self::Fixed { size, item: inner } => DataType::FixedSizeList(item(inner.data_type()), *size as i32),
            Self::Record { members } | Self::Variant { members, .. } => fields(members),
        }
    }

    /// An empty column.
    pub(super) fn builder(&self) -> Builder {
        match self {
            Self::Number { data_type, .. } | Self::Size { data_type, .. } => {
                Builder::Numbers(Numbers::of(data_type).unwrap_or(Numbers::Bool(BooleanBufferBuilder::new(0))))
            }
            Self::Text { .. } => Builder::Text { ends: vec![0], bytes: Numbers::U8(Vec::new()) },
            Self::List { item, is_map, .. } => {
                Builder::List { ends: vec![0], item: Box::new(item.builder()), is_map: *is_map }
            }
            Self::Optional { item, .. } => Builder::Optional { at: Vec::new(), item: Box::new(item.builder()) },
            Self::Fixed { size, item } => Builder::Fixed { size: *size, item: Box::new(item.builder()) },
            Self::Record { members } => {
                let members = members.iter().map(|(name, node)| (name.clone(), node.builder())).collect();
                Builder::Record { members }
            }
            Self::Variant { members, .. } => {
                let members = members.iter().map(|(name, node)| {
                    (name.clone(), Builder::Optional { at: Vec::new(), item: Box::new(node.builder()) })
                });
                Builder::Record { members: members.collect() }
            }
        }
    }

    /// Appends elements of a cluster. `level` tells how many it has, where that is known without reading.
    pub(super) fn read(
        &self,
        scan: &mut Scan<'_>,
        level: Option<u64>,
        range: Range<u64>,
        to: &mut Builder,
    ) -> Fault<()> {
        match (self, to) {
            (Self::Number { column, .. }, Builder::Numbers(values)) => scan.numbers(column, level, range, values),
            (Self::Size { ends, .. }, Builder::Numbers(values)) => {
                let ends = scan.ends(ends, level, range)?;
                let sizes = ends.windows(2).map(|w| w[1] - w[0]);
                match values {
                    Numbers::U64(values) => values.extend(sizes),
                    Numbers::U32(values) => values.extend(sizes.map(|n| n as u32)),
                    _ => return Err("sizes are whole numbers".to_owned()),
                }
                Ok(())
            }
            (Self::Text { ends, bytes }, Builder::Text { ends: to, bytes: content }) => {
                let inner = lists(&scan.ends(ends, level, range)?, to)?;
                scan.numbers(bytes, None, inner, content)
            }
            (Self::List { ends, item, .. }, Builder::List { ends: to, item: content, .. }) => {
                let inner = lists(&scan.ends(ends, level, range)?, to)?;
                item.read(scan, None, inner, content)
            }
            (Self::Optional { ends, item }, Builder::Optional { at, item: content }) => {
                let ends = scan.ends(ends, level, range)?;
                let mut next = content.len() as u64;
                for w in ends.windows(2) {
                    at.push(match w[1] - w[0] {
                        0 => None,
                        1 => Some(narrow(next)?),
                        n => return Err(format!("{n} values where there is one or none")),
                    });
                    next += w[1] - w[0];
                }
                let (first, last) = (ends.first().copied().unwrap_or(0), ends.last().copied().unwrap_or(0));
                item.read(scan, None, first..last, content)
            }
            (Self::Fixed { size, item }, Builder::Fixed { item: content, .. }) => {
                let times = |n: u64| n.checked_mul(*size as u64).ok_or("arrays of too many elements");
                let level = level.map(times).transpose()?;
                item.read(scan, level, times(range.start)?..times(range.end)?, content)
            }
            (Self::Record { members }, Builder::Record { members: to }) => {
                for ((name, node), (_, to)) in members.iter().zip(to) {
                    node.read(scan, level, range.clone(), to).map_err(|e| format!("member `{name}`: {e}"))?;
                }
                Ok(())
            }
            (Self::Variant { switch, members }, Builder::Record { members: to }) => {
                let switches = scan.switches(switch, level, range)?;
                if let Some((_, tag)) = switches.iter().find(|(_, tag)| *tag as usize > members.len()) {
                    return Err(format!("alternative {tag} of {}", members.len()));
                }
                for (tag, ((_, node), (_, to))) in (1..).zip(members.iter().zip(to)) {
                    let Builder::Optional { at, item } = to else { continue };
                    let mine = || switches.iter().filter(|(_, t)| *t == tag).map(|(i, _)| *i);
                    let (first, last) = (mine().min().unwrap_or(0), mine().max().map_or(0, |i| i.saturating_add(1)));
                    let offset = item.len() as u64;
                    for (i, t) in &switches {
                        at.push(if *t == tag { Some(narrow(offset + (i - first))?) } else { None });
                    }
                    node.read(scan, None, first..last, item)?;
                }
                Ok(())
            }
            _ => Err("a column that is not of its field".to_owned()),
        }
    }
}

/// The members of a class with those of its bases, which are stored as members `:_0`, `:_1`, …. Where several
/// have one name, that of a base stands behind the name of the base, as in C++.
fn inherited(schema: &Schema, ids: &[usize], members: Vec<(String, Option<Node>)>) -> Vec<(String, Node)> {
    let mut all: Vec<(String, Node)> = Vec::with_capacity(members.len());
    let mut bases = Vec::new();
    for (&id, (name, node)) in ids.iter().zip(members) {
        match node {
            Some(Node::Record { members }) if name.starts_with(":_") => {
                let base = schema.fields.get(id).map_or("", |field| &field.type_name);
                bases.extend(members.into_iter().map(|(name, node)| (base, name, node)));
            }
            Some(node) => all.push((name, node)),
            None => {}
        }
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for name in all.iter().map(|(name, _)| name).chain(bases.iter().map(|(_, name, _)| name)) {
        *times.entry(name.clone()).or_default() += 1;
    }
    for (base, name, node) in bases {
        let is_ambiguous = times.get(&name).is_some_and(|&n| n > 1);
        all.push((if is_ambiguous { format!("{base}::{name}") } else { name }, node));
    }
    all
}

/// The columns of a field: those of all representations side by side.
fn slots(schema: &Schema, columns: &[usize]) -> Fault<Vec<Slot>> {
    let representation = |id: usize| schema.columns.get(id).map_or(0, |column| column.representation);
    let mut slots: Vec<Slot> = Vec::new();
    let (mut current, mut position) = (None, 0);
    for &id in columns {
        if current != Some(representation(id)) {
            (current, position) = (Some(representation(id)), 0);
        }
        match slots.get_mut(position) {
            Some(slot) => slot.push(id),
            None => slots.push(vec![id]),
        }
        position += 1;
    }
    if slots.iter().any(|slot| slot.len() != slots[0].len()) {
        return Err("its representations have different numbers of columns".to_owned());
    }
    Ok(slots)
}

/// The type of a column of numbers as it is stored; all representations can be read.
fn numbers(schema: &Schema, slot: &Slot) -> Fault<DataType> {
    let mut first = None;
    for &id in slot {
        let stored = Numbers::stored(schema.columns.get(id).ok_or("a column that is not there")?)?;
        first = first.or(Some(stored));
    }
    first.ok_or_else(|| "a field without a column".to_owned())
}

fn index(schema: &Schema, slot: &Slot) -> Fault<()> {
    let is_index = |column: &Column| matches!(column.encoding, Encoding::Index(_));
    if slot.iter().all(|&id| schema.columns.get(id).is_some_and(is_index)) {
        Ok(())
    } else {
        Err("the ends of lists are not in a column of such".to_owned())
    }
}

/// The type of a C++ number.
fn number(type_name: &str) -> Option<DataType> {
    Some(match type_name.strip_prefix("std::").unwrap_or(type_name) {
        "bool" => DataType::Boolean,
        "char" | "int8_t" => DataType::Int8,
        "byte" | "uint8_t" => DataType::UInt8,
        "int16_t" => DataType::Int16,
        "uint16_t" => DataType::UInt16,
        "int32_t" => DataType::Int32,
        "uint32_t" => DataType::UInt32,
        "int64_t" => DataType::Int64,
        "uint64_t" | "size_t" => DataType::UInt64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        _ => return None,
    })
}

/// Appends the ends of lists and gives the range of their content.
fn lists(ends: &[u64], to: &mut Vec<i32>) -> Fault<Range<u64>> {
    let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else { return Ok(0..0) };
    let base = to.last().copied().unwrap_or(0) as u64;
    narrow(base.saturating_add(last - first))?;
    to.extend(ends[1..].iter().map(|end| (base + (end - first)) as i32));
    Ok(first..last)
}

/// A position in a column in memory.
fn narrow(n: u64) -> Fault<u32> {
    match u32::try_from(n) {
        Ok(n) if i32::try_from(n).is_ok() => Ok(n),
        _ => Err("more than 2³¹ elements; read fewer entries at once".to_owned()),
    }
}

/// The field of a map's keys and values; a key is never missing.
fn entries(pairs: DataType) -> Arc<Field> {
    let pairs = match pairs {
        DataType::Struct(fields) => {
            let named = ["key", "value"].into_iter().zip(&fields);
            DataType::Struct(named.map(|(name, f)| Field::new(name, f.data_type().clone(), name != "key")).collect())
        }
        other => other,
    };
    Arc::new(Field::new("entries", pairs, false))
}

/// A column in the making.
#[derive(Debug)]
pub(super) enum Builder {
    Numbers(Numbers),
    Text {
        ends: Vec<i32>,
        bytes: Numbers,
    },
    List {
        ends: Vec<i32>,
        item: Box<Builder>,
        is_map: bool,
    },
    /// Where in the content each value is.
    Optional {
        at: Vec<Option<u32>>,
        item: Box<Builder>,
    },
    Fixed {
        size: usize,
        item: Box<Builder>,
    },
    Record {
        members: Vec<(String, Builder)>,
    },
}

impl Builder {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Text { ends, .. } | Self::List { ends, .. } => ends.len() - 1,
            Self::Optional { at, .. } => at.len(),
            Self::Fixed { size, item } => item.len() / (*size).max(1),
            Self::Record { members } => members.first().map_or(0, |(_, member)| member.len()),
        }
    }

    /// The column.
    pub(super) fn finish(self) -> Fault<ArrayRef> {
        let wrong = |e: ArrowError| e.to_string();
        Ok(match self {
            Self::Numbers(values) => values.finish(),
            Self::Text { ends, bytes } => {
                let Numbers::U8(bytes) = bytes else { return Err("a text of numbers".to_owned()) };
                text(ends, bytes)?
            }
            Self::List { ends, item: pairs, is_map: true } => {
                let pairs = pairs.finish()?;
                let pairs = pairs.as_any().downcast_ref::<StructArray>().ok_or("a map without pairs")?;
                let field = entries(pairs.data_type().clone());
                let DataType::Struct(fields) = field.data_type() else { return Err("a map without pairs".to_owned()) };
                let pairs = StructArray::try_new(fields.clone(), pairs.columns().to_vec(), None).map_err(wrong)?;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(MapArray::try_new(field, offsets, pairs, None, false).map_err(wrong)?)
            }
            Self::List { ends, item: content, .. } => {
                let content = content.finish()?;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                let field = item(content.data_type().clone());
                Arc::new(ListArray::try_new(field, offsets, content, None).map_err(wrong)?)
            }
            Self::Optional { at, item } => {
                let content = item.finish()?;
                let is_dense = at.len() == content.len() && (0..).zip(&at).all(|(i, at)| *at == Some(i));
                if is_dense { content } else { take(&content, &UInt32Array::from(at), None).map_err(wrong)? }
            }
            Self::Fixed { size, item: content } => {
                let content = content.finish()?;
                let field = item(content.data_type().clone());
                Arc::new(FixedSizeListArray::try_new(field, size as i32, content, None).map_err(wrong)?)
            }
            Self::Record { members } => {
                let mut arrays = Vec::with_capacity(members.len());
                let mut fields = Vec::with_capacity(members.len());
                for (name, member) in members {
                    let array = member.finish()?;
                    fields.push(Field::new(name, array.data_type().clone(), true));
                    arrays.push(array);
                }
                Arc::new(StructArray::try_new(fields.into(), arrays, None).map_err(wrong)?)
            }
        })
    }
}

/// Texts, in which bytes that are not UTF-8 are replaced.
fn text(ends: Vec<i32>, bytes: Vec<u8>) -> Fault<ArrayRef> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    let buffer = Buffer::from_vec(bytes);
    if let Ok(array) = StringArray::try_new(offsets.clone(), buffer.clone(), None) {
        return Ok(Arc::new(array));
    }
    let mut strings = arrow_array::builder::StringBuilder::new();
    for w in offsets.windows(2) {
        let bytes = buffer.get(w[0] as usize..w[1] as usize).ok_or("a text beyond the end")?;
        strings.append_value(String::from_utf8_lossy(bytes));
    }
    Ok(Arc::new(strings.finish()))
}
