//! Columns of Arrow as fields: what is written for each, and how its values are taken apart into columns.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float16Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, OffsetSizeTrait, StructArray, downcast_primitive_array, make_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field as Column};
use arrow_select::filter::filter;
use arrow_select::take::take;

use super::pages::{Columns, Kind};
use crate::root::bytes::Fault;

/// What names may not contain: they stand in paths.
const NOT_IN_NAMES: [char; 4] = ['.', '/', '\\', ' '];

/// A field that is written.
#[derive(Debug)]
pub(super) struct Field {
    name: String,
    description: String,
    shape: Shape,
    /// The column of ends of a field some values of which are missing. It is there from the first that is.
    optional: Option<usize>,
    /// Values so far, in this cluster and in each of those before.
    count: u64,
    counts: Vec<u64>,
}

#[derive(Debug)]
enum Shape {
    Number {
        type_name: &'static str,
        column: usize,
    },
    Text {
        ends: usize,
        bytes: usize,
    },
    List {
        ends: usize,
        item: Box<Field>,
    },
    /// A list of pairs.
    Map {
        ends: usize,
        item: Box<Field>,
    },
    Fixed {
        size: usize,
        item: Box<Field>,
    },
    Record {
        members: Vec<Field>,
    },
}

impl Field {
    /// The fields of some columns. Characters that names may not contain become `_`.
    pub(super) fn all<'a>(of: impl Iterator<Item = &'a Arc<Column>>, columns: &mut Columns) -> Fault<Vec<Self>> {
        let mut fields: Vec<Self> = Vec::new();
        for column in of {
            let replaced = |c: char| if c.is_control() || NOT_IN_NAMES.contains(&c) { '_' } else { c };
            let mut name: String = column.name().chars().map(replaced).collect();
            while name.is_empty() || fields.iter().any(|field| field.name == name) {
                name.push('_');
            }
            let field = Self::new(name, column.data_type(), columns);
            let mut field = field.map_err(|e| format!("column `{}`: {e}", column.name()))?;
            field.description = column.metadata().get(crate::table::UNIT).cloned().unwrap_or_default();
            fields.push(field);
        }
        Ok(fields)
    }

    fn new(name: impl Into<String>, data_type: &DataType, columns: &mut Columns) -> Fault<Self> {
        let mut number = |type_name, kind| Shape::Number { type_name, column: columns.add(kind) };
        let shape = match data_type {
            DataType::Boolean => number("bool", Kind::Bit),
            DataType::Int8 => number("std::int8_t", Kind::Int(1)),
            DataType::Int16 => number("std::int16_t", Kind::Int(2)),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => number("std::int32_t", Kind::Int(4)),
            DataType::Int64
            | DataType::Date64
            | DataType::Time64(_)
            | DataType::Timestamp(..)
            | DataType::Duration(_) => number("std::int64_t", Kind::Int(8)),
            DataType::UInt8 => number("std::uint8_t", Kind::UInt(1)),
            DataType::UInt16 => number("std::uint16_t", Kind::UInt(2)),
            DataType::UInt32 => number("std::uint32_t", Kind::UInt(4)),
            DataType::UInt64 => number("std::uint64_t", Kind::UInt(8)),
            DataType::Float16 | DataType::Float32 => number("float", Kind::Real(4)),
            DataType::Float64 => number("double", Kind::Real(8)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                Shape::Text { ends: columns.add(Kind::Index), bytes: columns.add(Kind::Char) }
            }
            DataType::List(item) | DataType::LargeList(item) => {
                let ends = columns.add(Kind::Index);
                Shape::List { ends, item: Box::new(Self::new("_0", item.data_type(), columns)?) }
            }
            DataType::Map(item, _) => {
                let ends = columns.add(Kind::Index);
                let mut item = Self::new("_0", item.data_type(), columns)?;
                if let Shape::Record { members } = &mut item.shape {
                    (0..).zip(members).for_each(|(i, member)| member.name = format!("_{i}"));
                }
                Shape::Map { ends, item: Box::new(item) }
            }
            DataType::FixedSizeList(item, size) => {
                let ends = columns.len();
                let content = Box::new(Self::new("_0", item.data_type(), columns)?);
                // There are no arrays of what has no name, and none of no length.
                if *size > 0 && content.type_name().is_some() {
                    Shape::Fixed { size: *size as usize, item: content }
                } else {
                    columns.truncate(ends);
                    let ends = columns.add(Kind::Index);
                    Shape::List { ends, item: Box::new(Self::new("_0", item.data_type(), columns)?) }
                }
            }
            DataType::Struct(members) => Shape::Record { members: Self::all(members.iter(), columns)? },
            DataType::Dictionary(_, values) => return Self::new(name, values, columns),
            other => return Err(format!("RNTuple has no place for {other}")),
        };
        let (name, description) = (name.into(), String::new());
        Ok(Self { name, description, shape, optional: None, count: 0, counts: Vec::new() })
    }

    /// The name of its C++ type. Records, and lists of them, have none.
    fn type_name(&self) -> Option<String> {
        let plain = self.plain_type_name()?;
        Some(if self.optional.is_some() { format!("std::optional<{plain}>") } else { plain })
    }

    fn plain_type_name(&self) -> Option<String> {
        match &self.shape {
            Shape::Number { type_name, .. } => Some((*type_name).to_owned()),
            Shape::Text { .. } => Some("std::string".to_owned()),
            Shape::List { item, .. } => Some(format!("std::vector<{}>", item.type_name()?)),
            Shape::Map { item, .. } => Some(format!("std::map<{}>", item.pair()?)),
            Shape::Fixed { size, item } => Some(format!("std::array<{},{size}>", item.type_name()?)),
            Shape::Record { .. } => None,
        }
    }

    /// The types of the two members of a pair.
    fn pair(&self) -> Option<String> {
        match &self.shape {
            Shape::Record { members } if members.len() == 2 => {
                Some(format!("{},{}", members[0].type_name()?, members[1].type_name()?))
            }
            _ => None,
        }
    }

    /// Takes values apart.
    pub(super) fn append(&mut self, array: &ArrayRef, columns: &mut Columns) -> Fault<()> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = take(dictionary.values(), dictionary.keys(), None).map_err(|e| e.to_string())?;
            return self.append(&values, columns);
        }
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let all = array.len() as u64;
        if let Shape::Record { members } = &mut self.shape {
            let record = array.as_struct_opt().ok_or_else(|| unexpected(array))?;
            for (i, member) in members.iter_mut().enumerate() {
                member.append(&member_of(record, i, nulls)?, columns)?;
            }
            self.count += all;
            return Ok(());
        }
        let is_typed = self.plain_type_name().is_some();
        if nulls.is_some() && self.optional.is_none() && is_typed {
            self.optional = Some(columns.add_ones(&self.counts, self.count));
        }
        if let Some(column) = self.optional {
            columns.extend_ends(column, array.len(), |i| usize::from(nulls.is_none_or(|nulls| nulls.is_valid(i))))?;
        }
        let present = match nulls {
            None => Arc::clone(array),
            Some(nulls) => filter(array, &BooleanArray::new(nulls.inner().clone(), None)).map_err(|e| e.to_string())?,
        };
        self.count += all;
        // A list of records that is missing is an empty one, as there is no `std::optional` of what has no name.
        self.append_present(&present, nulls.filter(|_| !is_typed), columns)
    }

    fn append_present(&mut self, array: &ArrayRef, empty: Option<&NullBuffer>, columns: &mut Columns) -> Fault<()> {
        let wrong = || unexpected(array);
        match &mut self.shape {
            Shape::Number { column, .. } => match array.data_type() {
                DataType::Boolean => columns.extend_bits(*column, array.as_boolean_opt().ok_or_else(wrong)?),
                DataType::Float16 => {
                    let values = array.as_primitive_opt::<Float16Type>().ok_or_else(wrong)?;
                    let wide: Float32Array = values.unary(f32::from);
                    columns.extend_bytes(*column, bytes_of(&wide)?)
                }
                _ => columns.extend_bytes(*column, bytes_of(array)?),
            },
            Shape::Text { ends, bytes } => {
                let (range, content): (Range<usize>, &[u8]) = match array.data_type() {
                    DataType::Utf8 => {
                        let texts = array.as_string::<i32>();
                        (lists(*ends, texts.offsets(), None, columns)?, texts.values())
                    }
                    DataType::LargeUtf8 => {
                        let texts = array.as_string::<i64>();
                        (lists(*ends, texts.offsets(), None, columns)?, texts.values())
                    }
                    DataType::Binary => {
                        let texts = array.as_binary::<i32>();
                        (lists(*ends, texts.offsets(), None, columns)?, texts.values())
                    }
                    DataType::LargeBinary => {
                        let texts = array.as_binary::<i64>();
                        (lists(*ends, texts.offsets(), None, columns)?, texts.values())
                    }
                    _ => return Err(wrong()),
                };
                columns.extend_bytes(*bytes, content.get(range).ok_or_else(wrong)?)
            }
            Shape::List { ends, item } | Shape::Map { ends, item } => {
                let (range, values): (_, ArrayRef) = match array.data_type() {
                    DataType::List(_) => {
                        let list = array.as_list::<i32>();
                        (lists(*ends, list.offsets(), empty, columns)?, Arc::clone(list.values()))
                    }
                    DataType::LargeList(_) => {
                        let list = array.as_list::<i64>();
                        (lists(*ends, list.offsets(), empty, columns)?, Arc::clone(list.values()))
                    }
                    DataType::Map(..) => {
                        let map = array.as_map();
                        (lists(*ends, map.offsets(), empty, columns)?, Arc::new(map.entries().clone()))
                    }
                    DataType::FixedSizeList(_, size) => {
                        let (size, n) = (*size as usize, array.len());
                        let offsets = OffsetBuffer::<i64>::from_repeated_length(size, n);
                        let values = array.as_fixed_size_list().values();
                        (lists(*ends, &offsets, empty, columns)?, Arc::clone(values))
                    }
                    _ => return Err(wrong()),
                };
                item.append(&values.slice(range.start, range.len()), columns)
            }
            Shape::Fixed { item, .. } => {
                let list = array.as_fixed_size_list_opt().ok_or_else(wrong)?;
                item.append(list.values(), columns)
            }
            Shape::Record { .. } => Err(wrong()),
        }
    }

    /// Ends a cluster.
    pub(super) fn end_cluster(&mut self) {
        self.counts.push(std::mem::take(&mut self.count));
        match &mut self.shape {
            Shape::List { item, .. } | Shape::Map { item, .. } | Shape::Fixed { item, .. } => item.end_cluster(),
            Shape::Record { members } => members.iter_mut().for_each(Self::end_cluster),
            Shape::Number { .. } | Shape::Text { .. } => {}
        }
    }

    /// Its record and those of the fields in it, as the header holds them, and the columns of each by its number.
    pub(super) fn describe(&self, parent: Option<u32>, fields: &mut Vec<Vec<u8>>, owners: &mut [u32]) {
        let Some(column) = self.optional else {
            return self.describe_as(&self.name, parent, fields, owners);
        };
        let id = fields.len() as u32;
        let name = (&self.name[..], &self.type_name().unwrap_or_default()[..], &self.description[..]);
        fields.push(record(parent.unwrap_or(id), 1, None, name));
        set(owners, column, id);
        self.describe_as("_0", Some(id), fields, owners);
    }

    fn describe_as(&self, name: &str, parent: Option<u32>, fields: &mut Vec<Vec<u8>>, owners: &mut [u32]) {
        let id = fields.len() as u32;
        let (role, repeated) = match &self.shape {
            Shape::Number { .. } | Shape::Text { .. } => (0, None),
            Shape::Fixed { size, .. } => (0, Some(*size as u64)),
            Shape::List { .. } | Shape::Map { .. } => (1, None),
            Shape::Record { .. } => (2, None),
        };
        let type_name = self.plain_type_name().unwrap_or_default();
        fields.push(record(parent.unwrap_or(id), role, repeated, (name, &type_name, &self.description)));
        match &self.shape {
            Shape::Number { column, .. } => set(owners, *column, id),
            Shape::Text { ends, bytes } => {
                set(owners, *ends, id);
                set(owners, *bytes, id);
            }
            Shape::List { ends, item } => {
                set(owners, *ends, id);
                item.describe(Some(id), fields, owners);
            }
            Shape::Map { ends, item } => {
                set(owners, *ends, id);
                let (at, pair) = (fields.len(), item.pair());
                item.describe(Some(id), fields, owners);
                if let (Some(pair), Some(field)) = (pair, fields.get_mut(at)) {
                    *field = record(id, 2, None, ("_0", &format!("std::pair<{pair}>"), ""));
                }
            }
            Shape::Fixed { item, .. } => item.describe(Some(id), fields, owners),
            Shape::Record { members } => members.iter().for_each(|field| field.describe(Some(id), fields, owners)),
        }
    }
}

fn set(owners: &mut [u32], column: usize, field: u32) {
    if let Some(owner) = owners.get_mut(column) {
        *owner = field;
    }
}

/// A field's record: its structure, and name, type and description.
fn record(parent: u32, role: u16, repeated: Option<u64>, texts: (&str, &str, &str)) -> Vec<u8> {
    // Versions of the field and of its type come first.
    let mut record = vec![0; 8];
    record.extend(parent.to_le_bytes());
    record.extend(role.to_le_bytes());
    record.extend(u16::from(repeated.is_some()).to_le_bytes());
    for text in [texts.0, texts.1, "", texts.2] {
        record.extend((text.len() as u32).to_le_bytes());
        record.extend(text.as_bytes());
    }
    if let Some(size) = repeated {
        record.extend(size.to_le_bytes());
    }
    record
}

fn unexpected(array: &ArrayRef) -> String {
    format!("values of type {}, expected those of the schema", array.data_type())
}

/// A member of records, missing where the record is.
fn member_of(record: &StructArray, i: usize, nulls: Option<&NullBuffer>) -> Fault<ArrayRef> {
    let member = record.columns().get(i).ok_or("a record without one of its members")?;
    if nulls.is_none() {
        return Ok(Arc::clone(member));
    }
    let both = NullBuffer::union(member.nulls(), nulls);
    let data = member.to_data().into_builder().nulls(both).build().map_err(|e| e.to_string())?;
    Ok(make_array(data))
}

/// Appends the ends of lists and gives the range of their content. What is missing of `valid` is empty, and not among the
/// lists.
fn lists<O: OffsetSizeTrait>(
    column: usize,
    offsets: &OffsetBuffer<O>,
    valid: Option<&NullBuffer>,
    columns: &mut Columns,
) -> Fault<Range<usize>> {
    let size = |i: usize| offsets.get(i..i + 2).map_or(0, |o| o[1].as_usize() - o[0].as_usize());
    match valid {
        None => columns.extend_ends(column, offsets.len() - 1, size)?,
        Some(valid) => {
            let mut next = 0..;
            let sizes = |i| if valid.is_valid(i) { next.next().map_or(0, size) } else { 0 };
            columns.extend_ends(column, valid.len(), sizes)?;
        }
    }
    Ok(offsets[0].as_usize()..offsets[offsets.len() - 1].as_usize())
}

/// The numbers of an array as they are in memory: little-endian, on every machine that this is built for.
fn bytes_of(array: &dyn Array) -> Fault<&[u8]> {
    downcast_primitive_array!(
        array => Ok(array.values().inner().as_slice()),
        other => Err(format!("values of type {other}, expected numbers"))
    )
}
