//! Numbers of one type in memory: what columns of trees and of RNTuples grow into.

use std::sync::Arc;

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::DataType;

/// Numbers of one type.
#[derive(Debug)]
pub(super) enum Numbers {
    Bool(BooleanBufferBuilder),
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

/// The same for numbers of every type but booleans.
macro_rules! numbers {
    ($numbers:expr, bool $b:ident => $bool:expr, $v:ident => $each:expr) => {
        match $numbers {
            Numbers::Bool($b) => $bool,
            Numbers::I8($v) => $each,
            Numbers::I16($v) => $each,
            Numbers::I32($v) => $each,
            Numbers::I64($v) => $each,
            Numbers::U8($v) => $each,
            Numbers::U16($v) => $each,
            Numbers::U32($v) => $each,
            Numbers::U64($v) => $each,
            Numbers::F32($v) => $each,
            Numbers::F64($v) => $each,
        }
    };
}

impl Numbers {
    /// No values of a type; `None` if there are no such.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Self::I8(Vec::new()),
            DataType::Int16 => Self::I16(Vec::new()),
            DataType::Int32 => Self::I32(Vec::new()),
            DataType::Int64 => Self::I64(Vec::new()),
            DataType::UInt8 => Self::U8(Vec::new()),
            DataType::UInt16 => Self::U16(Vec::new()),
            DataType::UInt32 => Self::U32(Vec::new()),
            DataType::UInt64 => Self::U64(Vec::new()),
            DataType::Float32 => Self::F32(Vec::new()),
            DataType::Float64 => Self::F64(Vec::new()),
            _ => return None,
        })
    }

    pub(super) fn data_type(&self) -> DataType {
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

    /// The last number, where it is an integer.
    pub(super) fn last_integer(&self) -> Option<i64> {
        match self {
            Self::I8(v) => v.last().map(|&x| x.into()),
            Self::I16(v) => v.last().map(|&x| x.into()),
            Self::I32(v) => v.last().map(|&x| x.into()),
            Self::I64(v) => v.last().copied(),
            Self::U8(v) => v.last().map(|&x| x.into()),
            Self::U16(v) => v.last().map(|&x| x.into()),
            Self::U32(v) => v.last().map(|&x| x.into()),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        numbers!(self, bool b => b.len(), v => v.len())
    }

    /// Bits of a value.
    pub(super) fn bits(&self) -> usize {
        fn bits<T>(_: &[T]) -> usize {
            8 * size_of::<T>()
        }
        numbers!(self, bool _b => 1, v => bits(v))
    }

    pub(super) fn reserve(&mut self, n: usize) {
        numbers!(self, bool b => b.reserve(n), v => v.reserve(n));
    }

    pub(super) fn zeros(&mut self, n: usize) {
        numbers!(self, bool b => b.append_n(n, false), v => v.resize(v.len() + n, Default::default()));
    }

    /// Converts as C does.
    pub(super) fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Bool(to), from) => numbers!(
                from,
                bool b => (0..b.len()).for_each(|i| to.append(b.get_bit(i))),
                v => v.iter().for_each(|x| to.append(is_not_zero(x)))
            ),
            (to, Self::Bool(from)) => {
                let mut bytes = Vec::with_capacity(from.len());
                bytes.extend((0..from.len()).map(|i| u8::from(from.get_bit(i))));
                to.append(&Self::U8(bytes));
            }
            (to, from) => numbers!(to, bool _b => {}, t => numbers!(
                from,
                bool _b => {},
                f => f.iter().for_each(|&x| t.push(x as _))
            )),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(v) => Arc::new(BooleanArray::new(v.build(), None)),
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

fn is_not_zero<T: Default + PartialEq>(x: &T) -> bool {
    *x != T::default()
}
