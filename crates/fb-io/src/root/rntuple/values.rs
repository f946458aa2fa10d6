//! How the elements of a page become numbers.

use std::ops::Range;

use arrow_schema::DataType;

use super::schema::{Column, Encoding};
use crate::root::bytes::Fault;
use crate::root::numbers::Numbers;

impl Numbers {
    /// The type whose values a column holds as it is stored.
    pub(super) fn stored(column: &Column) -> Fault<DataType> {
        Ok(match (column.encoding, column.bits) {
            (Encoding::Bit, _) => DataType::Boolean,
            (Encoding::Signed(_), 8) => DataType::Int8,
            (Encoding::Signed(_), 16) => DataType::Int16,
            (Encoding::Signed(_), 32) => DataType::Int32,
            (Encoding::Signed(_), _) => DataType::Int64,
            (Encoding::Unsigned(_), 8) => DataType::UInt8,
            (Encoding::Unsigned(_), 16) => DataType::UInt16,
            (Encoding::Unsigned(_), 32) => DataType::UInt32,
            (Encoding::Unsigned(_) | Encoding::Index(_), _) => DataType::UInt64,
            (Encoding::Real(_), 64) | (Encoding::Quantized, _) => DataType::Float64,
            (Encoding::Real(_) | Encoding::Truncated, _) => DataType::Float32,
            (Encoding::Switch, _) => return Err("a column of alternatives, expected one of numbers".to_owned()),
            (Encoding::Unknown(number), _) => return Err(format!("columns of type {number:#x} are not known")),
        })
    }

    /// Appends the elements in `range` of a page of `n` elements, whose bytes these are.
    pub(super) fn decode(&mut self, column: &Column, page: &[u8], n: usize, range: Range<usize>) -> Fault<()> {
        match (&mut *self, column.encoding, column.bits) {
            (Self::Bool(v), Encoding::Bit, _) => v.append_packed_range(range, page),
            (Self::I8(v), Encoding::Signed(_) | Encoding::Unsigned(_), 8) => {
                v.extend(page[range].iter().map(|&x| x as i8));
            }
            (Self::U8(v), Encoding::Signed(_) | Encoding::Unsigned(_), 8) => v.extend_from_slice(&page[range]),
            (Self::I16(v), Encoding::Signed(false), 16) => v.extend(plain(page, range).map(i16::from_le_bytes)),
            (Self::U16(v), Encoding::Unsigned(false), 16) => v.extend(plain(page, range).map(u16::from_le_bytes)),
            (Self::F32(v), Encoding::Real(false), 16) => {
                v.extend(plain(page, range).map(|x| half(u16::from_le_bytes(x))));
            }
            (Self::I32(v), Encoding::Signed(false), 32) => v.extend(plain(page, range).map(i32::from_le_bytes)),
            (Self::U32(v), Encoding::Unsigned(false), 32) => v.extend(plain(page, range).map(u32::from_le_bytes)),
            (Self::F32(v), Encoding::Real(false), 32) => v.extend(plain(page, range).map(f32::from_le_bytes)),
            (Self::I64(v), Encoding::Signed(false), 64) => v.extend(plain(page, range).map(i64::from_le_bytes)),
            (Self::U64(v), Encoding::Unsigned(false) | Encoding::Index(false), 64) => {
                v.extend(plain(page, range).map(u64::from_le_bytes));
            }
            (Self::F64(v), Encoding::Real(false), 64) => v.extend(plain(page, range).map(f64::from_le_bytes)),
            (Self::I16(v), Encoding::Signed(true), 16) => split_16(page, n, range, v, zigzag_16),
            (Self::U16(v), Encoding::Unsigned(true), 16) => split_16(page, n, range, v, |x| x),
            (Self::F32(v), Encoding::Real(true), 16) => split_16(page, n, range, v, half),
            (Self::I32(v), Encoding::Signed(true), 32) => split_32(page, n, range, v, zigzag_32),
            (Self::U32(v), Encoding::Unsigned(true), 32) => split_32(page, n, range, v, |x| x),
            (Self::F32(v), Encoding::Real(true), 32) => split_32(page, n, range, v, f32::from_bits),
            (Self::I64(v), Encoding::Signed(true), 64) => split_64(page, n, range, v, zigzag_64),
            (Self::U64(v), Encoding::Unsigned(true), 64) => split_64(page, n, range, v, |x| x),
            (Self::F64(v), Encoding::Real(true), 64) => split_64(page, n, range, v, f64::from_bits),
            (Self::U64(v), Encoding::Index(false), 32) => {
                v.extend(plain(page, range).map(|x| u64::from(u32::from_le_bytes(x))));
            }
            (Self::U64(v), Encoding::Index(true), bits) => {
                // Differences from the beginning of the page on.
                let (begin, before) = (v.len(), range.start);
                if bits == 32 {
                    split_32(page, n, 0..range.end, v, u64::from);
                } else {
                    split_64(page, n, 0..range.end, v, |x| x);
                }
                let mut sum = 0_u64;
                for x in &mut v[begin..] {
                    sum = sum.wrapping_add(*x);
                    *x = sum;
                }
                v.drain(begin..begin + before);
            }
            (Self::F32(v), Encoding::Truncated, bits) => {
                v.extend(range.map(|i| f32::from_bits(bits_at(page, i * bits, bits) << (32 - bits))));
            }
            (Self::F64(v), Encoding::Quantized, bits) => {
                let (min, max) = column.range;
                let step = (max - min) / ((1_u64 << bits) - 1) as f64;
                v.extend(range.map(|i| f64::from(bits_at(page, i * bits, bits)).mul_add(step, min)));
            }
            _ => {
                let stored = Self::stored(column)?;
                let mut values = Self::of(&stored).ok_or_else(|| format!("a column of {stored}"))?;
                // What is stored is of the type asked for just below, so this ends here.
                if std::mem::discriminant(&values) == std::mem::discriminant(self) {
                    return Err(format!("a column of {stored} of {} bits", column.bits));
                }
                values.decode(column, page, n, range)?;
                self.append(&values);
            }
        }
        Ok(())
    }
}

/// Elements as they are.
fn plain<const N: usize>(page: &[u8], range: Range<usize>) -> impl Iterator<Item = [u8; N]> {
    page.as_chunks::<N>().0[range].iter().copied()
}

/// Elements whose first bytes come first, then all second bytes. The loops are plain ones over slices of one length, which
/// the compiler turns into vector code.
fn split_16<T>(page: &[u8], n: usize, range: Range<usize>, to: &mut Vec<T>, number: impl Fn(u16) -> T) {
    let m = range.len();
    let [a, b] = [0, 1].map(|k| &page[k * n + range.start..][..m]);
    to.extend((0..m).map(|i| number(u16::from_le_bytes([a[i], b[i]]))));
}

fn split_32<T>(page: &[u8], n: usize, range: Range<usize>, to: &mut Vec<T>, number: impl Fn(u32) -> T) {
    let m = range.len();
    let [a, b, c, d] = [0, 1, 2, 3].map(|k| &page[k * n + range.start..][..m]);
    to.extend((0..m).map(|i| number(u32::from_le_bytes([a[i], b[i], c[i], d[i]]))));
}

fn split_64<T>(page: &[u8], n: usize, range: Range<usize>, to: &mut Vec<T>, number: impl Fn(u64) -> T) {
    let m = range.len();
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(|k| &page[k * n + range.start..][..m]);
    to.extend((0..m).map(|i| number(u64::from_le_bytes([a[i], b[i], c[i], d[i], e[i], f[i], g[i], h[i]]))));
}

fn zigzag_16(x: u16) -> i16 {
    (x >> 1) as i16 ^ -((x & 1) as i16)
}

fn zigzag_32(x: u32) -> i32 {
    (x >> 1) as i32 ^ -((x & 1) as i32)
}

fn zigzag_64(x: u64) -> i64 {
    (x >> 1) as i64 ^ -((x & 1) as i64)
}

/// Up to 32 bits, the lowest first.
fn bits_at(page: &[u8], at: usize, bits: usize) -> u32 {
    let mut word = [0; 8];
    let bytes = &page[at / 8..(at + bits).div_ceil(8)];
    word[..bytes.len()].copy_from_slice(bytes);
    (u64::from_le_bytes(word) >> (at % 8) & ((1 << bits) - 1)) as u32
}

/// A float of half precision.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 0x3ff));
    match exponent {
        // Without a leading one: a multiple of 2⁻²⁴.
        0 => f32::from_bits((fraction as f32 / 16_777_216.0).to_bits() | sign),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The indices of a column of alternatives and which alternative each is for, counted from one.
pub(super) fn switches(page: &[u8], range: Range<usize>) -> impl Iterator<Item = (u64, u32)> {
    plain::<12>(page, range).map(|element| {
        let [a, b, c, d, e, f, g, h, tag @ ..] = element;
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(tag))
    })
}
