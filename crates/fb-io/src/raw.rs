//! Numbers and texts as they lie in records of bytes: what NumPy and HDF5 have in common.

use std::sync::Arc;

use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeListArray, PrimitiveArray, StringArray};
use arrow_schema::DataType;

use crate::table::item;

/// A single value, with its width in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// A byte that is zero or not.
    Bool,
    /// A signed integer in two's complement.
    Int(usize),
    /// An unsigned integer.
    Uint(usize),
    /// A float of IEEE 754.
    Float(usize),
    /// A text in UTF-8, filled up with zeros.
    Utf8(usize),
    /// A text of four bytes a character, filled up with zeros.
    Utf32(usize),
}

/// What lies at a place of a record: a value, or an array of a fixed shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) scalar: Scalar,
    pub(crate) big_endian: bool,
    pub(crate) shape: Vec<usize>,
}

/// Records of one length, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) bytes: &'a [u8],
    /// Bytes of a record.
    pub(crate) stride: usize,
}

impl Scalar {
    /// Its width in bytes.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(n) | Self::Uint(n) | Self::Float(n) | Self::Utf8(n) | Self::Utf32(n) => n,
        }
    }

    /// The type of its arrays, if there is one.
    fn content(self) -> Option<DataType> {
        Some(match self {
            Self::Bool => DataType::Boolean,
            Self::Int(1) => DataType::Int8,
            Self::Int(2) => DataType::Int16,
            Self::Int(4) => DataType::Int32,
            Self::Int(8) => DataType::Int64,
            Self::Uint(1) => DataType::UInt8,
            Self::Uint(2) => DataType::UInt16,
            Self::Uint(4) => DataType::UInt32,
            Self::Uint(8) => DataType::UInt64,
            Self::Float(2) => DataType::Float16,
            Self::Float(4) => DataType::Float32,
            Self::Float(8) => DataType::Float64,
            Self::Utf8(_) | Self::Utf32(_) => DataType::Utf8,
            _ => return None,
        })
    }

    /// The value that arrays of this type are written as. Texts get their width from the longest.
    pub(crate) fn of(content: &DataType) -> Option<Self> {
        Some(match content {
            DataType::Boolean => Self::Bool,
            DataType::Utf8 | DataType::LargeUtf8 => Self::Utf8(0),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Self::Int(content.primitive_width()?)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Self::Uint(content.primitive_width()?)
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float(content.primitive_width()?),
            _ => return None,
        })
    }
}

impl Element {
    /// Values in it.
    pub(crate) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |n, &m| n.checked_mul(m))
    }

    /// Its bytes.
    pub(crate) fn size(&self) -> Option<usize> {
        self.count()?.checked_mul(self.scalar.width())
    }

    /// The type of its arrays: a list of a fixed length for each dimension.
    pub(crate) fn content(&self) -> Option<DataType> {
        let wrap = |inner, &n: &usize| Some(DataType::FixedSizeList(item(inner), i32::try_from(n).ok()?));
        self.shape.iter().rev().try_fold(self.scalar.content()?, wrap)
    }

    /// How NumPy writes it: `<f4`, `bool`, `S12`, `<i2[3]`.
    pub(crate) fn type_name(&self) -> String {
        let order = if self.scalar.width() == 1 { "" } else { ["<", ">"][usize::from(self.big_endian)] };
        let scalar = match self.scalar {
            Scalar::Bool => "bool".to_owned(),
            Scalar::Int(n) => format!("{order}i{n}"),
            Scalar::Uint(n) => format!("{order}u{n}"),
            Scalar::Float(n) => format!("{order}f{n}"),
            Scalar::Utf8(n) => format!("S{n}"),
            Scalar::Utf32(n) => format!("{order}U{}", n / 4),
        };
        let shape: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        if shape.is_empty() { scalar } else { format!("{scalar}[{}]", shape.join(", ")) }
    }

    /// The array of what lies at `offset` of each record. `None` if the records do not reach so far.
    pub(crate) fn array(&self, records: Records<'_>, offset: usize) -> Option<ArrayRef> {
        let (size, rows) = (self.size()?, records.bytes.len().checked_div(records.stride)?);
        if offset.checked_add(size)? > records.stride {
            return None;
        }
        let place = Place { records, offset, size };
        let mut array = self.values(place)?;
        for (depth, &n) in self.shape.iter().enumerate().rev() {
            let outer: usize = self.shape[..depth].iter().product();
            let inner = item(array.data_type().clone());
            let list =
                FixedSizeListArray::try_new_with_length(inner, i32::try_from(n).ok()?, array, None, rows * outer);
            array = Arc::new(list.ok()?);
        }
        Some(array)
    }

    fn values(&self, place: Place<'_>) -> Option<ArrayRef> {
        let big = self.big_endian;
        // One line a type: which array, how wide, from which bytes.
        macro_rules! numbers {
            ($kind:ty, $native:ty) => {
                primitive::<$kind, { size_of::<$native>() }>(
                    place,
                    if big { <$native>::from_be_bytes } else { <$native>::from_le_bytes },
                )
            };
        }
        let half: fn([u8; 2]) -> _ = if big { half_be } else { half_le };
        Some(match self.scalar {
            Scalar::Bool => {
                let mut bits = Vec::new();
                place.each::<1>(|[byte]| bits.push(byte != 0));
                Arc::new(BooleanArray::from(bits))
            }
            Scalar::Int(1) => numbers!(Int8Type, i8),
            Scalar::Int(2) => numbers!(Int16Type, i16),
            Scalar::Int(4) => numbers!(Int32Type, i32),
            Scalar::Int(8) => numbers!(Int64Type, i64),
            Scalar::Uint(1) => numbers!(UInt8Type, u8),
            Scalar::Uint(2) => numbers!(UInt16Type, u16),
            Scalar::Uint(4) => numbers!(UInt32Type, u32),
            Scalar::Uint(8) => numbers!(UInt64Type, u64),
            Scalar::Float(2) => primitive::<Float16Type, 2>(place, half),
            Scalar::Float(4) => numbers!(Float32Type, f32),
            Scalar::Float(8) => numbers!(Float64Type, f64),
            Scalar::Utf8(width) => {
                let text = |bytes: &[u8]| {
                    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                    String::from_utf8_lossy(&bytes[..end]).into_owned()
                };
                Arc::new(StringArray::from_iter_values(place.texts(width).map(text)))
            }
            Scalar::Utf32(width) => {
                let text = |bytes: &[u8]| -> String {
                    let letter = |b: &[u8; 4]| if big { u32::from_be_bytes(*b) } else { u32::from_le_bytes(*b) };
                    let letters = bytes.as_chunks::<4>().0.iter().map(letter);
                    let text: String =
                        letters.map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
                    text.trim_end_matches('\0').to_owned()
                };
                Arc::new(StringArray::from_iter_values(place.texts(width).map(text)))
            }
            _ => return None,
        })
    }
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn half_le(bytes: [u8; 2]) -> Half {
    Half::from_le_bytes(bytes)
}

fn half_be(bytes: [u8; 2]) -> Half {
    Half::from_be_bytes(bytes)
}

fn primitive<T: ArrowPrimitiveType, const W: usize>(place: Place<'_>, from: fn([u8; W]) -> T::Native) -> ArrayRef {
    let mut values = Vec::with_capacity(place.rows() * (place.size / W));
    place.each::<W>(|bytes| values.push(from(bytes)));
    Arc::new(PrimitiveArray::<T>::new(values.into(), None))
}

/// Where a member lies in records that are known to reach so far.
#[derive(Clone, Copy)]
struct Place<'a> {
    records: Records<'a>,
    offset: usize,
    size: usize,
}

impl<'a> Place<'a> {
    fn rows(self) -> usize {
        self.records.bytes.len() / self.records.stride
    }

    /// The bytes of the member in each record, or of all at once where nothing lies between them.
    fn parts(self) -> impl Iterator<Item = &'a [u8]> {
        let rows = self.records.bytes.chunks_exact(self.records.stride);
        rows.map(move |record| &record[self.offset..self.offset + self.size])
    }

    fn each<const W: usize>(self, mut to: impl FnMut([u8; W])) {
        if self.size == self.records.stride {
            let whole = self.rows() * self.size;
            self.records.bytes[..whole].as_chunks::<W>().0.iter().for_each(|bytes| to(*bytes));
        } else {
            self.parts().for_each(|part| part.as_chunks::<W>().0.iter().for_each(|bytes| to(*bytes)));
        }
    }

    /// Texts of a width, which may be zero.
    fn texts(self, width: usize) -> impl Iterator<Item = &'a [u8]> {
        let count = self.size.checked_div(width).unwrap_or(1);
        self.parts().flat_map(move |part| (0..count).map(move |i| &part[i * width..(i + 1) * width]))
    }
}
