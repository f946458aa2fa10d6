//! From the bytes of entries to columns: what an entry of a branch consists of, and where its parts go.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, FixedSizeListArray, ListArray, MapArray, StringArray, StructArray};
use arrow_buffer::{BooleanBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::bytes::{Cursor, Fault};
use super::numbers::Numbers;
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

    /// No numbers of this kind yet.
    fn column(self) -> Numbers {
        match self {
            Self::Bool => Numbers::Bool(BooleanBufferBuilder::new(0)),
            Self::I8 => Numbers::I8(Vec::new()),
            Self::I16 => Numbers::I16(Vec::new()),
            Self::I32 => Numbers::I32(Vec::new()),
            Self::I64 => Numbers::I64(Vec::new()),
            Self::U8 => Numbers::U8(Vec::new()),
            Self::U16 => Numbers::U16(Vec::new()),
            Self::U32 => Numbers::U32(Vec::new()),
            Self::U64 => Numbers::U64(Vec::new()),
            Self::F32 | Self::Packed(Packed { double: false, .. }) => Numbers::F32(Vec::new()),
            Self::F64 | Self::Packed(_) => Numbers::F64(Vec::new()),
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
            Self::Number(number) => Builder::Numbers(number.column()),
            Self::Text => Builder::Text { ends: Ends::default(), bytes: Vec::new() },
            Self::Fixed(n, item) => Builder::Fixed { n: *n, len: 0, item: Box::new(item.builder()) },
            Self::List(item) => Builder::list(item.builder()),
            Self::Headed(item) => item.builder(),
            Self::Map(key, value) => {
                let fields = vec![("key".to_owned(), key.builder()), ("value".to_owned(), value.builder())];
                let item = Box::new(Builder::Record { len: 0, fields });
                Builder::List { ends: Ends::default(), item, is_map: true }
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
            let bytes = &content[place(range.start)..place(range.end)];
            match offsets {
                Some(offsets) => ends.add_offsets(&offsets[range.start..=range.end], size)?,
                None if step.is_multiple_of(size) => range.for_each(|_| ends.add(step / size)),
                None => return Err(format!("entries of {step} bytes, expected a multiple of {size}")),
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
                    ends.add(0);
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
                ends.add(n);
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
            append_numbers(numbers, *number, cursor.take(number.size())?);
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
            ends.add(n);
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
            ends.add(n);
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
                ends.add(n);
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
    ends.add(n);
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
            append_numbers(numbers, *number, bytes);
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
        ends: Ends,
        bytes: Vec<u8>,
    },
    /// Lists; those of keys and values may be maps.
    List {
        ends: Ends,
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

/// Appends big-endian numbers in a loop that the compiler turns into vector code.
fn extend<const N: usize, T>(to: &mut Vec<T>, bytes: &[u8], value: impl Fn([u8; N]) -> T) {
    to.extend(bytes.as_chunks::<N>().0.iter().map(|b| value(*b)));
}

/// Appends numbers as trees store them.
fn append_numbers(to: &mut Numbers, number: Number, bytes: &[u8]) {
    match (to, number) {
        (Numbers::Bool(v), _) => bytes.iter().for_each(|&b| v.append(b != 0)),
        (Numbers::I8(v), _) => v.extend(bytes.iter().map(|&b| b as i8)),
        (Numbers::U8(v), _) => v.extend(bytes),
        (Numbers::F32(v), Number::Packed(p)) => {
            v.extend(bytes.chunks_exact(number.size()).map(|b| p.packing.value(b) as f32));
        }
        (Numbers::F64(v), Number::Packed(p)) => {
            v.extend(bytes.chunks_exact(number.size()).map(|b| p.packing.value(b)));
        }
        (Numbers::I16(v), _) => extend(v, bytes, i16::from_be_bytes),
        (Numbers::I32(v), _) => extend(v, bytes, i32::from_be_bytes),
        (Numbers::I64(v), _) => extend(v, bytes, i64::from_be_bytes),
        (Numbers::U16(v), _) => extend(v, bytes, u16::from_be_bytes),
        (Numbers::U32(v), _) => extend(v, bytes, u32::from_be_bytes),
        (Numbers::U64(v), _) => extend(v, bytes, u64::from_be_bytes),
        (Numbers::F32(v), _) => extend(v, bytes, f32::from_be_bytes),
        (Numbers::F64(v), _) => extend(v, bytes, f64::from_be_bytes),
    }
}

impl Builder {
    fn list(item: Self) -> Self {
        Self::List { ends: Ends::default(), item: Box::new(item), is_map: false }
    }

    /// The last number, where it is an integer.
    fn last_integer(&self) -> Option<i64> {
        if let Self::Numbers(numbers) = self { numbers.last_integer() } else { None }
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
                let ends = ends.finish()?;
                let (ends, bytes) = match String::from_utf8(bytes) {
                    Ok(text) if ends.iter().all(|&end| text.is_char_boundary(end as usize)) => (ends, text),
                    Ok(text) => mended(&ends, text.as_bytes())?,
                    Err(e) => mended(&ends, e.as_bytes())?,
                };
                Arc::new(StringArray::try_new(ends, bytes.into_bytes().into(), None).map_err(wrong)?)
            }
            Self::List { ends, item: inner, is_map: true } => {
                let pairs = inner.finish()?;
                let pairs = pairs.as_any().downcast_ref::<StructArray>().ok_or("a map without keys")?;
                let DataType::Struct(fields) = entries(pairs.data_type().clone()).data_type().clone() else {
                    return Err("a map without keys".to_owned());
                };
                let pairs = StructArray::try_new(fields, pairs.columns().to_vec(), None).map_err(wrong)?;
                let field = entries(pairs.data_type().clone());
                Arc::new(MapArray::try_new(field, ends.finish()?, pairs, None, false).map_err(wrong)?)
            }
            Self::List { ends, item: inner, is_map: false } => {
                let inner = inner.finish()?;
                let field = item(inner.data_type().clone());
                Arc::new(ListArray::try_new(field, ends.finish()?, inner, None).map_err(wrong)?)
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
fn mended(ends: &[i32], bytes: &[u8]) -> Fault<(OffsetBuffer<i32>, String)> {
    let (mut new, mut text) = (Ends::default(), String::new());
    for range in ends.windows(2) {
        text.push_str(&String::from_utf8_lossy(&bytes[range[0] as usize..range[1] as usize]));
        new.push(text.len());
    }
    Ok((new.finish()?, text))
}

/// Where lists end in their content, behind a zero. What is beyond the largest number stays there and is refused in the end.
#[derive(Debug)]
pub(super) struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    fn last(&self) -> i32 {
        self.0.last().copied().unwrap_or(0)
    }

    /// One more list ends here.
    fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).unwrap_or(i32::MAX));
    }

    /// One more list of so many items.
    fn add(&mut self, n: usize) {
        self.push((self.last() as usize).saturating_add(n));
    }

    /// Lists of items of so many bytes, which begin and end at these offsets. The loops are plain ones over slices, which the
    /// compiler turns into vector code.
    fn add_offsets(&mut self, offsets: &[u32], size: usize) -> Fault<()> {
        let Some((&start, ends)) = offsets.split_first() else { return Ok(()) };
        // No basket has an item of more bytes than offsets can count.
        let (last, size) = (self.last(), u32::try_from(size).unwrap_or(u32::MAX));
        let end = ends.last().map_or(0, |&end| (end - start) / size);
        if i32::try_from(end).ok().and_then(|end| last.checked_add(end)).is_none() {
            self.0.resize(self.0.len() + ends.len(), i32::MAX);
            return Ok(());
        }
        let is_whole = if size.is_power_of_two() {
            let shift = size.trailing_zeros();
            self.0.extend(ends.iter().map(|&end| last + (end.wrapping_sub(start) >> shift) as i32));
            ends.iter().fold(0, |all, &end| all | end.wrapping_sub(start) & (size - 1)) == 0
        } else {
            self.0.extend(ends.iter().map(|&end| last + (end.wrapping_sub(start) / size) as i32));
            ends.iter().all(|&end| end.wrapping_sub(start).is_multiple_of(size))
        };
        if is_whole {
            return Ok(());
        }
        let i = offsets.windows(2).position(|o| !(o[1] - o[0]).is_multiple_of(size)).unwrap_or(0);
        let length = offsets.get(i + 1).map_or(0, |next| next - offsets[i]);
        Err(format!("entry {i} of those read has {length} bytes, expected a multiple of {size}"))
    }

    fn finish(self) -> Fault<OffsetBuffer<i32>> {
        if self.last() == i32::MAX {
            return Err("2^31 items or more in one block; read fewer entries at a time".to_owned());
        }
        Ok(OffsetBuffer::new(self.0.into()))
    }
}
