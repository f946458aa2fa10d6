//! From the bytes of entries to columns: what an entry of a branch consists of, and where its parts go.

use std::sync::Arc;

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, FixedSizeListArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow_buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::bytes::{Cursor, Fault};
use super::object::{header, skip_tobject};
use crate::table::{item, list_of};

/// Lists in lists, records in records.
const DEEPEST: usize = 32;
/// A bit of a version: the members of all objects of a list follow each other, first all first members.
const MEMBER_WISE: u16 = 0x4000;

/// A number as it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    /// A float in fewer bits.
    Packed(Packed),
}

/// `Float16_t` and `Double32_t`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Packed {
    pub(super) double: bool,
    pub(super) packing: Packing,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Packing {
    /// An integer of `bits` bits in 32, in steps from the lower end of a range to its upper end.
    Range { low: f64, high: f64, bits: u32 },
    /// An exponent of 8 and a fraction of some bits in three bytes.
    Truncated { bits: u32 },
    /// A float of 32 bits.
    Whole,
}

impl Packing {
    fn value(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Self::Range { low, high, bits }, &[a, b, c, d]) => {
                let steps = f64::from(u32::from_be_bytes([a, b, c, d]));
                low + steps * ((high - low) / 2_f64.powi(bits as i32))
            }
            (Self::Truncated { bits }, &[exponent, a, b]) => {
                let fraction = u32::from(u16::from_be_bytes([a, b]));
                let value = u32::from(exponent) << 23 | (fraction & ((1 << (bits + 1)) - 1)) << (23 - bits);
                let negative = fraction & (1 << (bits + 1)) != 0;
                let value = f32::from_bits(value);
                f64::from(if negative { -value } else { value })
            }
            (Self::Whole, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
            _ => f64::NAN,
        }
    }
}

impl Number {
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::Packed(Packed { packing: Packing::Truncated { .. }, .. }) => 3,
            Self::I32 | Self::U32 | Self::F32 | Self::Packed(_) => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::I8 => DataType::Int8,
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
            Self::U64 => DataType::UInt64,
            Self::F32 | Self::Packed(Packed { double: false, .. }) => DataType::Float32,
            Self::F64 | Self::Packed(_) => DataType::Float64,
        }
    }
}

/// A part of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Number(Number),
    /// A text behind its length; before it may stand a version.
    Text,
    Fixed(usize, Box<Item>),
    /// A count and as many items.
    List(Box<Item>),
    /// A version in front of something.
    Headed(Box<Item>),
    /// Keys and values.
    Map(Box<Item>, Box<Item>),
    /// An object: its version and its members. A class without a version has this checksum in its place.
    Record(Vec<Member>, u32),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Member {
    Field(String, Item),
    /// The members of a base, behind a version (or checksum) of their own.
    Base(Vec<Member>, u32),
    /// What all `TObject` have, which is not kept.
    TObject,
    /// A variable array, whose length is the value of the field of this name.
    Counted(String, Item, String),
}

/// An entry of a branch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// Items of fixed size, one per entry.
    Flat(Item),
    /// As many items as fill the entry behind some bytes, or behind a version.
    Filled { skip: usize, headed: bool, item: Item },
    /// One item of any size.
    One(Item),
    /// Several leaves, one after the other.
    Leaves(Vec<(String, Item)>),
    /// A text.
    Text,
    /// The name of a class and an object of it.
    Named(Item),
}

impl Item {
    /// Bytes of an item of fixed size.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Number(number) => Some(number.size()),
            Self::Fixed(n, item) => item.size()?.checked_mul(*n),
            _ => None,
        }
    }

    fn builder(&self) -> Builder {
        match self {
            Self::Number(number) => Builder::Numbers(Numbers::new(*number)),
            Self::Text => Builder::Text { ends: vec![0], bytes: Vec::new() },
            Self::Fixed(n, item) => Builder::Fixed { n: *n, len: 0, item: Box::new(item.builder()) },
            Self::List(item) => Builder::list(item.builder()),
            Self::Headed(item) => item.builder(),
            Self::Map(key, value) => {
                let fields = vec![("key".to_owned(), key.builder()), ("value".to_owned(), value.builder())];
                let item = Box::new(Builder::Record { len: 0, fields });
                Builder::List { ends: vec![0], item, is_map: true }
            }
            Self::Record(members, _) => {
                let mut fields = Vec::new();
                add_fields(members, &mut fields);
                Builder::Record { len: 0, fields }
            }
        }
    }
}

fn add_fields(members: &[Member], fields: &mut Vec<(String, Builder)>) {
    // A class may have a member of the same name as one of its base.
    let free = |name: &str, fields: &[(String, Builder)]| {
        let taken = fields.iter().filter(|(other, _)| other.split('\'').next() == Some(name)).count();
        format!("{name}{}", "'".repeat(taken))
    };
    for member in members {
        match member {
            Member::Field(name, item) => fields.push((free(name, fields), item.builder())),
            Member::Counted(name, item, _) => fields.push((free(name, fields), Builder::list(item.builder()))),
            Member::Base(members, _) => add_fields(members, fields),
            Member::TObject => {}
        }
    }
}

impl Form {
    pub(super) fn builder(&self) -> Builder {
        match self {
            Self::Flat(item) | Self::One(item) | Self::Named(item) => item.builder(),
            Self::Filled { item, .. } => Builder::list(item.builder()),
            Self::Leaves(leaves) => {
                let fields = leaves.iter().map(|(name, item)| (name.clone(), item.builder())).collect();
                Builder::Record { len: 0, fields }
            }
            Self::Text => Item::Text.builder(),
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        self.builder().data_type()
    }

    /// Appends entries `from..to` of a basket.
    pub(super) fn append(
        &self,
        content: &[u8],
        offsets: Option<&[u32]>,
        entries: usize,
        range: std::ops::Range<usize>,
        builder: &mut Builder,
    ) -> Fault<()> {
        if range.is_empty() {
            return Ok(());
        }
        // Without offsets all entries have one length.
        let step = content.len() / entries.max(1);
        if offsets.is_none() && step * entries != content.len() {
            return Err(format!("{} bytes do not divide into {entries} entries", content.len()));
        }
        let place = |i: usize| offsets.map_or(i * step, |offsets| offsets[i] as usize);
        if let (Self::Flat(item), Some(size)) = (self, self.flat_size()) {
            let bytes = &content[place(range.start)..place(range.end)];
            if bytes.len() != size * range.len() {
                return Err(format!("{} bytes for {} entries of {size} each", bytes.len(), range.len()));
            }
            return append_many(item, bytes, range.len(), builder);
        }
        if let Self::Filled { skip: 0, headed: false, item } = self
            && let Some(size) = item.size().filter(|&size| size > 0)
            && let Builder::List { ends, item: inner, .. } = builder
        {
            let (start, mut end) = (place(range.start), *ends.last().unwrap_or(&0));
            let bytes = &content[start..place(range.end)];
            for i in range {
                let length = place(i + 1) - place(i);
                if length % size != 0 {
                    return Err(format!("entry {i} of the basket has {length} bytes, expected a multiple of {size}"));
                }
                end += length / size;
                ends.push(end);
            }
            return append_many(item, bytes, bytes.len() / size, inner);
        }
        for i in range {
            let bytes = &content[place(i)..place(i + 1)];
            self.append_one(bytes, builder).map_err(|reason| format!("entry {i} of the basket: {reason}"))?;
        }
        Ok(())
    }

    fn flat_size(&self) -> Option<usize> {
        if let Self::Flat(item) = self { item.size() } else { None }
    }

    fn append_one(&self, bytes: &[u8], builder: &mut Builder) -> Fault<()> {
        let mut cursor = Cursor::new(bytes);
        match (self, builder) {
            (Self::Flat(item) | Self::One(item), builder) => append(item, &mut cursor, builder, 0)?,
            (Self::Filled { skip, headed, item }, Builder::List { ends, item: inner, .. }) => {
                if bytes.is_empty() {
                    ends.push(*ends.last().unwrap_or(&0));
                    return Ok(());
                }
                if *headed {
                    header(&mut cursor)?;
                }
                cursor.skip(*skip)?;
                let n = if let Some(size) = item.size().filter(|&size| size > 0) {
                    let n = cursor.left() / size;
                    append_many(item, cursor.take(n * size)?, n, inner)?;
                    n
                } else {
                    let mut n = 0;
                    while cursor.left() > 0 {
                        let before = cursor.left();
                        append(item, &mut cursor, inner, 0)?;
                        n += 1;
                        if cursor.left() == before {
                            return Err("an item of no bytes".to_owned());
                        }
                    }
                    n
                };
                ends.push(ends.last().unwrap_or(&0) + n);
            }
            (Self::Leaves(leaves), Builder::Record { len, fields }) => {
                for ((_, item), (_, builder)) in leaves.iter().zip(fields) {
                    append(item, &mut cursor, builder, 0)?;
                }
                *len += 1;
            }
            (Self::Named(item), builder) => {
                let name = usize::from(cursor.u8()?);
                cursor.skip(name + 1)?;
                append(item, &mut cursor, builder, 0)?;
            }
            (Self::Text, builder) => append(&Item::Text, &mut cursor, builder, 0)?,
            _ => return Err("the branch has another form".to_owned()),
        }
        if cursor.left() > 0 {
            return Err(format!("{} of its {} bytes are not accounted for", cursor.left(), bytes.len()));
        }
        Ok(())
    }
}

/// Appends one item.
fn append(what: &Item, cursor: &mut Cursor<'_>, builder: &mut Builder, depth: usize) -> Fault<()> {
    if depth > DEEPEST {
        return Err(format!("more than {DEEPEST} lists and objects in each other"));
    }
    match (what, builder) {
        (Item::Number(number), Builder::Numbers(numbers)) => {
            numbers.append(*number, cursor.take(number.size())?);
            Ok(())
        }
        (Item::Text, Builder::Text { ends, bytes }) => {
            // A count of bytes that ends where the text does tells of a version in front of it.
            let mut ahead = *cursor;
            if let Ok(found) = header(&mut ahead)
                && let Some(end) = found.end
                && let Ok(text) = ahead.text_bytes()
                && ahead.position() == end
            {
                bytes.extend(text);
                *cursor = ahead;
            } else {
                bytes.extend(cursor.text_bytes()?);
            }
            ends.push(bytes.len());
            Ok(())
        }
        (Item::Fixed(n, item), Builder::Fixed { len, item: inner, .. }) => {
            *len += 1;
            append_n(item, *n, cursor, inner, depth)
        }
        (Item::List(item), Builder::List { ends, item: inner, .. }) => {
            let n = cursor.count(item.size().unwrap_or(1).max(1))?;
            append_n(item, n, cursor, inner, depth)?;
            ends.push(ends.last().unwrap_or(&0) + n);
            Ok(())
        }
        (Item::Headed(item), builder) => {
            let found = header(cursor)?;
            if found.end.is_some() && found.version & MEMBER_WISE != 0 {
                return append_member_wise(item, cursor, builder, depth);
            }
            append(item, cursor, builder, depth + 1)
        }
        (Item::Map(key, value), Builder::List { ends, item: inner, .. }) => {
            let Builder::Record { len, fields } = &mut **inner else { return Err("a map of another form".to_owned()) };
            let n = cursor.count(2)?;
            for _ in 0..n {
                for (item, (_, builder)) in [key, value].into_iter().zip(fields.iter_mut()) {
                    append(item, cursor, builder, depth + 1)?;
                }
            }
            *len += n;
            ends.push(ends.last().unwrap_or(&0) + n);
            Ok(())
        }
        (Item::Record(members, checksum), Builder::Record { len, fields }) => {
            // An object that is all of an entry has no version.
            let mut ahead = *cursor;
            let end = header(&mut ahead).ok().and_then(|found| found.end);
            if end.is_some() {
                *cursor = ahead;
            }
            skip_checksum(cursor, *checksum)?;
            let mut at = 0;
            append_members(members, cursor, fields, &mut at, depth)?;
            *len += 1;
            match end {
                Some(end) if end != cursor.position() => {
                    Err(format!("an object ends at {end}, its last member at {}", cursor.position()))
                }
                _ => Ok(()),
            }
        }
        _ => Err("the branch has another form".to_owned()),
    }
}

fn skip_checksum(cursor: &mut Cursor<'_>, checksum: u32) -> Fault<()> {
    let mut ahead = *cursor;
    if checksum != 0 && ahead.u32() == Ok(checksum) { cursor.skip(4) } else { Ok(()) }
}

fn append_members(
    members: &[Member],
    cursor: &mut Cursor<'_>,
    fields: &mut [(String, Builder)],
    at: &mut usize,
    depth: usize,
) -> Fault<()> {
    if depth > DEEPEST {
        return Err(format!("more than {DEEPEST} lists and objects in each other"));
    }
    for member in members {
        match member {
            Member::TObject => skip_tobject(cursor)?,
            Member::Base(members, checksum) => {
                header(cursor)?;
                skip_checksum(cursor, *checksum)?;
                append_members(members, cursor, fields, at, depth + 1)?;
            }
            Member::Field(_, item) => {
                append(item, cursor, &mut fields[*at].1, depth + 1)?;
                *at += 1;
            }
            Member::Counted(name, item, counter) => {
                let counted = fields.iter().find(|(n, _)| n == counter).and_then(|(_, builder)| builder.last_integer());
                let n = counted.and_then(|n| usize::try_from(n).ok());
                let n = n.ok_or_else(|| format!("nothing counts the entries of `{name}`"))?;
                let n = if cursor.u8()? == 0 { 0 } else { n };
                let Builder::List { ends, item: inner, .. } = &mut fields[*at].1 else {
                    return Err("the branch has another form".to_owned());
                };
                append_n(item, n, cursor, inner, depth)?;
                ends.push(ends.last().unwrap_or(&0) + n);
                *at += 1;
            }
        }
    }
    Ok(())
}

fn append_n(item: &Item, n: usize, cursor: &mut Cursor<'_>, builder: &mut Builder, depth: usize) -> Fault<()> {
    if let Some(size) = item.size() {
        let length = size.checked_mul(n).ok_or("a list beyond all memory")?;
        return append_many(item, cursor.take(length)?, n, builder);
    }
    if n > cursor.left() {
        return Err(format!("{n} items, where {} bytes are left", cursor.left()));
    }
    (0..n).try_for_each(|_| append(item, cursor, builder, depth + 1))
}

/// A list of objects or a map whose members follow each other: all first members, all second members, ….
fn append_member_wise(item: &Item, cursor: &mut Cursor<'_>, builder: &mut Builder, depth: usize) -> Fault<()> {
    let none = || "members one after the other in what is no list of objects".to_owned();
    let Builder::List { ends, item: builder, .. } = builder else { return Err(none()) };
    let Builder::Record { len, fields } = &mut **builder else { return Err(none()) };
    let mut flat = Vec::new();
    match item {
        Item::List(inner) => {
            let Item::Record(members, _) = &**inner else { return Err(none()) };
            flatten(members, &mut flat)?;
        }
        Item::Map(key, value) => flat.extend([&**key, &**value]),
        _ => return Err(none()),
    }
    if cursor.u16()? == 0 {
        cursor.skip(4)?;
    }
    let n = cursor.count(1)?;
    for (item, (_, builder)) in flat.into_iter().zip(fields) {
        append_run(item, n, cursor, builder, depth + 1)?;
    }
    *len += n;
    ends.push(ends.last().unwrap_or(&0) + n);
    Ok(())
}

/// The same member of several objects: collections and texts have one version for all.
fn append_run(item: &Item, n: usize, cursor: &mut Cursor<'_>, builder: &mut Builder, depth: usize) -> Fault<()> {
    if let Item::Headed(inner) = item {
        if n > 0 {
            header(cursor)?;
        }
        return append_n(inner, n, cursor, builder, depth);
    }
    let mut ahead = *cursor;
    if let (Item::Text, Builder::Text { ends, bytes }) = (item, &mut *builder)
        && header(&mut ahead).is_ok_and(|found| found.end.is_some())
    {
        for _ in 0..n {
            bytes.extend(ahead.text_bytes()?);
            ends.push(bytes.len());
        }
        *cursor = ahead;
        return Ok(());
    }
    append_n(item, n, cursor, builder, depth)
}

fn flatten<'a>(members: &'a [Member], flat: &mut Vec<&'a Item>) -> Fault<()> {
    for member in members {
        match member {
            Member::Field(_, item) => flat.push(item),
            Member::Base(members, _) => flatten(members, flat)?,
            Member::TObject | Member::Counted(..) => {
                return Err("members one after the other of a TObject or with a variable array".to_owned());
            }
        }
    }
    Ok(())
}

/// Appends `n` items of fixed size that follow each other.
fn append_many(item: &Item, bytes: &[u8], n: usize, builder: &mut Builder) -> Fault<()> {
    match (item, builder) {
        (Item::Number(number), Builder::Numbers(numbers)) => {
            numbers.append(*number, bytes);
            Ok(())
        }
        (Item::Fixed(m, item), Builder::Fixed { len, item: inner, .. }) => {
            *len += n;
            append_many(item, bytes, n * m, inner)
        }
        _ => Err("the branch has another form".to_owned()),
    }
}

/// A column that grows.
#[derive(Debug)]
pub(super) enum Builder {
    Numbers(Numbers),
    Text {
        ends: Vec<usize>,
        bytes: Vec<u8>,
    },
    /// Lists; those of keys and values may be maps.
    List {
        ends: Vec<usize>,
        item: Box<Builder>,
        is_map: bool,
    },
    Fixed {
        n: usize,
        len: usize,
        item: Box<Builder>,
    },
    Record {
        len: usize,
        fields: Vec<(String, Builder)>,
    },
}

/// Numbers of one type.
#[derive(Debug)]
pub(super) enum Numbers {
    Bool(Vec<u8>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Appends big-endian numbers in a loop that the compiler turns into vector code.
fn extend<const N: usize, T>(to: &mut Vec<T>, bytes: &[u8], value: impl Fn([u8; N]) -> T) {
    to.extend(bytes.as_chunks::<N>().0.iter().map(|b| value(*b)));
}

impl Numbers {
    fn new(number: Number) -> Self {
        match number.data_type() {
            DataType::Boolean => Self::Bool(Vec::new()),
            DataType::Int8 => Self::I8(Vec::new()),
            DataType::Int16 => Self::I16(Vec::new()),
            DataType::Int32 => Self::I32(Vec::new()),
            DataType::Int64 => Self::I64(Vec::new()),
            DataType::UInt8 => Self::U8(Vec::new()),
            DataType::UInt16 => Self::U16(Vec::new()),
            DataType::UInt32 => Self::U32(Vec::new()),
            DataType::UInt64 => Self::U64(Vec::new()),
            DataType::Float32 => Self::F32(Vec::new()),
            _ => Self::F64(Vec::new()),
        }
    }

    fn append(&mut self, number: Number, bytes: &[u8]) {
        match (self, number) {
            (Self::I8(v), _) => v.extend(bytes.iter().map(|&b| b as i8)),
            (Self::Bool(v) | Self::U8(v), _) => v.extend(bytes),
            (Self::F32(v), Number::Packed(p)) => {
                v.extend(bytes.chunks_exact(number.size()).map(|b| p.packing.value(b) as f32));
            }
            (Self::F64(v), Number::Packed(p)) => {
                v.extend(bytes.chunks_exact(number.size()).map(|b| p.packing.value(b)));
            }
            (Self::I16(v), _) => extend(v, bytes, i16::from_be_bytes),
            (Self::I32(v), _) => extend(v, bytes, i32::from_be_bytes),
            (Self::I64(v), _) => extend(v, bytes, i64::from_be_bytes),
            (Self::U16(v), _) => extend(v, bytes, u16::from_be_bytes),
            (Self::U32(v), _) => extend(v, bytes, u32::from_be_bytes),
            (Self::U64(v), _) => extend(v, bytes, u64::from_be_bytes),
            (Self::F32(v), _) => extend(v, bytes, f32::from_be_bytes),
            (Self::F64(v), _) => extend(v, bytes, f64::from_be_bytes),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Boolean,
            Self::I8(_) => DataType::Int8,
            Self::I16(_) => DataType::Int16,
            Self::I32(_) => DataType::Int32,
            Self::I64(_) => DataType::Int64,
            Self::U8(_) => DataType::UInt8,
            Self::U16(_) => DataType::UInt16,
            Self::U32(_) => DataType::UInt32,
            Self::U64(_) => DataType::UInt64,
            Self::F32(_) => DataType::Float32,
            Self::F64(_) => DataType::Float64,
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(v) => Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(v.len(), |i| v[i] != 0), None)),
            Self::I8(v) => Arc::new(PrimitiveArray::<Int8Type>::new(v.into(), None)),
            Self::I16(v) => Arc::new(PrimitiveArray::<Int16Type>::new(v.into(), None)),
            Self::I32(v) => Arc::new(PrimitiveArray::<Int32Type>::new(v.into(), None)),
            Self::I64(v) => Arc::new(PrimitiveArray::<Int64Type>::new(v.into(), None)),
            Self::U8(v) => Arc::new(PrimitiveArray::<UInt8Type>::new(v.into(), None)),
            Self::U16(v) => Arc::new(PrimitiveArray::<UInt16Type>::new(v.into(), None)),
            Self::U32(v) => Arc::new(PrimitiveArray::<UInt32Type>::new(v.into(), None)),
            Self::U64(v) => Arc::new(PrimitiveArray::<UInt64Type>::new(v.into(), None)),
            Self::F32(v) => Arc::new(PrimitiveArray::<Float32Type>::new(v.into(), None)),
            Self::F64(v) => Arc::new(PrimitiveArray::<Float64Type>::new(v.into(), None)),
        }
    }
}

impl Builder {
    fn list(item: Self) -> Self {
        Self::List { ends: vec![0], item: Box::new(item), is_map: false }
    }

    /// The last number, where it is an integer.
    fn last_integer(&self) -> Option<i64> {
        let Self::Numbers(numbers) = self else { return None };
        match numbers {
            Numbers::I8(v) => v.last().map(|&x| x.into()),
            Numbers::I16(v) => v.last().map(|&x| x.into()),
            Numbers::I32(v) => v.last().map(|&x| x.into()),
            Numbers::I64(v) => v.last().copied(),
            Numbers::U8(v) => v.last().map(|&x| x.into()),
            Numbers::U16(v) => v.last().map(|&x| x.into()),
            Numbers::U32(v) => v.last().map(|&x| x.into()),
            _ => None,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Numbers(numbers) => numbers.data_type(),
            Self::Text { .. } => DataType::Utf8,
            Self::List { item, is_map: false, .. } => list_of(item.data_type()),
            Self::List { item, is_map: true, .. } => DataType::Map(entries(item.data_type()), false),
            Self::Fixed { n, item: inner, .. } => DataType::FixedSizeList(item(inner.data_type()), *n as i32),
            Self::Record { fields, .. } => {
                let field = |(name, builder): &(String, Self)| Field::new(name, builder.data_type(), true);
                DataType::Struct(fields.iter().map(field).collect())
            }
        }
    }

    /// The column.
    pub(super) fn finish(self) -> Fault<ArrayRef> {
        let wrong = |e: arrow_schema::ArrowError| e.to_string();
        Ok(match self {
            Self::Numbers(numbers) => numbers.finish(),
            Self::Text { ends, bytes } => {
                let (ends, bytes) = match String::from_utf8(bytes) {
                    Ok(text) if ends.iter().all(|&end| text.is_char_boundary(end)) => (ends, text),
                    Ok(text) => mended(&ends, text.as_bytes()),
                    Err(e) => mended(&ends, e.as_bytes()),
                };
                Arc::new(StringArray::try_new(narrow(&ends)?, bytes.into_bytes().into(), None).map_err(wrong)?)
            }
            Self::List { ends, item: inner, is_map: true } => {
                let pairs = inner.finish()?;
                let pairs = pairs.as_any().downcast_ref::<StructArray>().ok_or("a map without keys")?;
                let DataType::Struct(fields) = entries(pairs.data_type().clone()).data_type().clone() else {
                    return Err("a map without keys".to_owned());
                };
                let pairs = StructArray::try_new(fields, pairs.columns().to_vec(), None).map_err(wrong)?;
                let field = entries(pairs.data_type().clone());
                Arc::new(MapArray::try_new(field, narrow(&ends)?, pairs, None, false).map_err(wrong)?)
            }
            Self::List { ends, item: inner, is_map: false } => {
                let inner = inner.finish()?;
                let field = item(inner.data_type().clone());
                Arc::new(ListArray::try_new(field, narrow(&ends)?, inner, None).map_err(wrong)?)
            }
            Self::Fixed { n, len, item: inner } => {
                let inner = inner.finish()?;
                let field = item(inner.data_type().clone());
                let array = FixedSizeListArray::try_new_with_length(field, n as i32, inner, None, len);
                Arc::new(array.map_err(wrong)?)
            }
            Self::Record { len, fields } => {
                let (mut columns, mut heads): (Vec<ArrayRef>, Vec<Field>) = Default::default();
                for (name, builder) in fields {
                    let column = builder.finish()?;
                    heads.push(Field::new(name, column.data_type().clone(), true));
                    columns.push(column);
                }
                let array = StructArray::try_new_with_length(Fields::from(heads), columns, None, len);
                Arc::new(array.map_err(wrong)?)
            }
        })
    }
}

/// The field of a map's keys and values; a key is never missing.
fn entries(pairs: DataType) -> Arc<Field> {
    let pairs = match pairs {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| f.as_ref().clone().with_nullable(f.name() != "key")).collect())
        }
        other => other,
    };
    Arc::new(Field::new("entries", pairs, false))
}

/// Texts that are not UTF-8, with a mark in the place of each byte that is none.
fn mended(ends: &[usize], bytes: &[u8]) -> (Vec<usize>, String) {
    let (mut new, mut text) = (vec![0], String::new());
    for range in ends.windows(2) {
        text.push_str(&String::from_utf8_lossy(&bytes[range[0]..range[1]]));
        new.push(text.len());
    }
    (new, text)
}

fn narrow(ends: &[usize]) -> Fault<OffsetBuffer<i32>> {
    let last = ends.last().copied().unwrap_or(0);
    if i32::try_from(last).is_err() {
        return Err(format!("{last} items in one block, expected fewer than 2^31; read fewer entries at a time"));
    }
    Ok(OffsetBuffer::new(ends.iter().map(|&end| end as i32).collect::<ScalarBuffer<i32>>()))
}
