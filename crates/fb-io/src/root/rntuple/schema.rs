//! The schema as it is stored: flat lists of fields and columns, in the header and, for those that came while the data
//! were written, in the footer.

use super::envelope::{FRAME, Reader};
use crate::root::bytes::Fault;

/// What a field is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Leaf,
    Collection,
    Record,
    Variant,
    Streamer,
    Unknown(u16),
}

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) description: String,
    pub(super) role: Role,
    /// The length of a field of fixed-size arrays.
    pub(super) repeated: Option<u64>,
    /// Its fields, by their numbers.
    pub(super) children: Vec<usize>,
    /// Its columns, by their numbers; for a projected field those of its source.
    pub(super) columns: Vec<usize>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) encoding: Encoding,
    /// Bits of an element.
    pub(super) bits: usize,
    /// Which of the alternative representations of the field it belongs to.
    pub(super) representation: u16,
    /// The first of its elements that is stored; all before are zero. Negative: the representation begins there.
    pub(super) first: i64,
    /// The range of values of quantized numbers.
    pub(super) range: (f64, f64),
}

/// How elements are stored. The second of a pair of cases is true for those that are split by bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Bit,
    /// Bytes and characters as well.
    Unsigned(bool),
    Signed(bool),
    Real(bool),
    /// Ends of lists; differences if split.
    Index(bool),
    /// An index and which of the alternatives it is for.
    Switch,
    /// The upper bits of a 32-bit float.
    Truncated,
    /// Integers that stand for steps in a range.
    Quantized,
    Unknown(u16),
}

impl Encoding {
    /// From the number in the file, if it has this width.
    fn new(number: u16, bits: usize) -> Fault<Self> {
        let (encoding, expected) = match number {
            0x00 => (Self::Bit, 1..=1),
            0x01 | 0x02 | 0x04 => (Self::Unsigned(false), 8..=8),
            0x03 => (Self::Signed(false), 8..=8),
            0x05 => (Self::Signed(false), 16..=16),
            0x06 => (Self::Unsigned(false), 16..=16),
            0x07 => (Self::Signed(false), 32..=32),
            0x08 => (Self::Unsigned(false), 32..=32),
            0x09 => (Self::Signed(false), 64..=64),
            0x0a => (Self::Unsigned(false), 64..=64),
            0x0b => (Self::Real(false), 16..=16),
            0x0c => (Self::Real(false), 32..=32),
            0x0d => (Self::Real(false), 64..=64),
            0x0e => (Self::Index(false), 32..=32),
            0x0f => (Self::Index(false), 64..=64),
            0x10 => (Self::Switch, 96..=96),
            0x11 => (Self::Signed(true), 16..=16),
            0x12 => (Self::Unsigned(true), 16..=16),
            0x13 => (Self::Signed(true), 32..=32),
            0x14 => (Self::Unsigned(true), 32..=32),
            0x15 => (Self::Signed(true), 64..=64),
            0x16 => (Self::Unsigned(true), 64..=64),
            0x17 => (Self::Real(true), 16..=16),
            0x18 => (Self::Real(true), 32..=32),
            0x19 => (Self::Real(true), 64..=64),
            0x1a => (Self::Index(true), 32..=32),
            0x1b => (Self::Index(true), 64..=64),
            0x1c => (Self::Truncated, 10..=31),
            0x1d => (Self::Quantized, 1..=32),
            other => return Ok(Self::Unknown(other)),
        };
        if expected.contains(&bits) {
            Ok(encoding)
        } else {
            Err(format!("a column of type {number:#x} has {bits} bits an element, expected {}", expected.end()))
        }
    }
}

/// The schema.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) fields: Vec<Field>,
    pub(super) columns: Vec<Column>,
    /// The fields at the top, by their numbers.
    pub(super) top: Vec<usize>,
}

impl Schema {
    /// Appends what a schema description says.
    pub(super) fn extend(&mut self, description: &mut Reader<'_>) -> Fault<()> {
        let (fields, mut frames) = description.list(FRAME)?;
        let mut parents = Vec::with_capacity(fields);
        for _ in 0..fields {
            let (field, parent) = read_field(frames.record()?)?;
            self.fields.push(field);
            parents.push(parent);
        }
        let first = self.fields.len() - fields;
        for (field, parent) in (first..).zip(parents) {
            if parent == field {
                self.top.push(field);
            } else {
                let parent = self.fields.get_mut(parent).ok_or_else(|| format!("field {field} has no parent"))?;
                parent.children.push(field);
            }
        }
        let (columns, mut frames) = description.list(FRAME)?;
        for _ in 0..columns {
            let (column, field) = read_column(frames.record()?)?;
            self.attach(self.columns.len(), field)?;
            self.columns.push(column);
        }
        let (aliases, mut frames) = description.list(FRAME)?;
        for _ in 0..aliases {
            let mut frame = frames.record()?;
            let (column, field) = (frame.u32()? as usize, frame.u32()? as usize);
            if column >= self.columns.len() {
                return Err(format!("a column stands for column {column} of {}", self.columns.len()));
            }
            self.attach(column, field)?;
        }
        // What comes next tells of classes, for those who make objects of them.
        Ok(())
    }

    fn attach(&mut self, column: usize, field: usize) -> Fault<()> {
        let fields = self.fields.len();
        let field = self.fields.get_mut(field).ok_or_else(|| format!("a column of field {field} of {fields}"))?;
        field.columns.push(column);
        Ok(())
    }
}

/// A field and the number of its parent.
fn read_field(mut frame: Reader<'_>) -> Fault<(Field, usize)> {
    let (_version, _type_version, parent) = (frame.u32()?, frame.u32()?, frame.u32()? as usize);
    let role = match frame.u16()? {
        0 => Role::Leaf,
        1 => Role::Collection,
        2 => Role::Record,
        3 => Role::Variant,
        4 => Role::Streamer,
        other => Role::Unknown(other),
    };
    let flags = frame.u16()?;
    let (name, type_name) = (frame.text()?, frame.text()?);
    let (_alias, description) = (frame.text()?, frame.text()?);
    let repeated = if flags & 1 == 0 { None } else { Some(frame.u64()?) };
    Ok((Field { name, type_name, description, role, repeated, children: Vec::new(), columns: Vec::new() }, parent))
}

/// A column and the number of its field.
fn read_column(mut frame: Reader<'_>) -> Fault<(Column, usize)> {
    let (number, bits) = (frame.u16()?, usize::from(frame.u16()?));
    let field = frame.u32()? as usize;
    let (flags, representation) = (frame.u16()?, frame.u16()?);
    let first = if flags & 1 == 0 { 0 } else { frame.i64()? };
    let range = if flags & 2 == 0 { (0.0, 0.0) } else { (frame.f64()?, frame.f64()?) };
    Ok((Column { encoding: Encoding::new(number, bits)?, bits, representation, first, range }, field))
}
