//! Baskets: the entries of a branch that are packed together. A basket is a record of its own, or, where it was not yet
//! full when the tree was written, a part of the tree.

use std::cell::Cell;

use super::bytes::{Cursor, Fault};
use super::compression::unpack_in;
use super::file::{File, Key};

/// Capacity of a buffer that is kept from one basket to the next.
const KEPT: usize = 8 << 20;

/// Buffers that are used again for every basket: fresh memory for each takes as long as unpacking a fast codec.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    record: Vec<u8>,
    bytes: Vec<u8>,
    offsets: Vec<u32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

impl Scratch {
    /// Calls with the buffers of this thread.
    pub(super) fn with<T>(call: impl FnOnce(&mut Self) -> T) -> T {
        let mut scratch = SCRATCH.take();
        let result = call(&mut scratch);
        for buffer in [&mut scratch.record, &mut scratch.bytes] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
        if scratch.offsets.capacity() > KEPT / size_of::<u32>() {
            scratch.offsets = Vec::new();
        }
        SCRATCH.set(scratch);
        result
    }
}

/// The entries of a basket.
#[derive(Debug)]
pub(super) struct Basket<'a> {
    /// The bytes of all entries.
    pub(super) content: &'a [u8],
    /// Beginning of each entry in the content, and the end; absent where all are of one length.
    pub(super) offsets: Option<&'a [u32]>,
    pub(super) entries: usize,
}

/// What follows the key of a basket.
struct Tail {
    entries: usize,
    /// End of the content, counted from the beginning of the key.
    last: usize,
    flag: u8,
    old: bool,
    offsets: Option<Vec<u32>>,
}

impl Tail {
    fn read(cursor: &mut Cursor<'_>, embedded: bool) -> Fault<Self> {
        let version = cursor.u16()?;
        cursor.skip(4)?;
        // A negative length says that a byte of options follows.
        if cursor.i32()? < 0 {
            cursor.skip(1)?;
        }
        let (entries, last) = (cursor.i32()?, cursor.i32()?);
        let number = |n: i32| usize::try_from(n).map_err(|_| format!("a basket of {n} entries or bytes"));
        let (entries, last, flag) = (number(entries)?, number(last)?, cursor.u8()?);
        let offsets = if embedded && flag != 0 && flag % 10 != 2 && flag < 80 && entries > 0 {
            let n = cursor.count(4)?;
            let offsets = (0..n).map(|_| cursor.u32()).collect::<Fault<Vec<u32>>>()?;
            if flag > 40 {
                let n = cursor.count(4)?;
                cursor.skip(4 * n)?;
            }
            Some(offsets)
        } else {
            None
        };
        Ok(Self { entries, last, flag, old: version <= 1, offsets })
    }

    /// Content that is part of an embedded basket.
    fn content<'a>(&self, cursor: &mut Cursor<'a>) -> Fault<&'a [u8]> {
        let has_content = self.flag % 80 == 1 || self.flag % 80 > 10;
        let length = match (has_content, self.old) {
            (false, _) => 0,
            (true, false) => self.last,
            (true, true) => cursor.count(1)?,
        };
        cursor.take(length)
    }
}

/// Passes over a basket within a tree.
pub(super) fn skip_embedded(cursor: &mut Cursor<'_>) -> Fault<()> {
    Key::read(cursor)?;
    Tail::read(cursor, true)?.content(cursor).map(|_| ())
}

impl<'a> Basket<'a> {
    /// A basket within a tree.
    pub(super) fn embedded(mut cursor: Cursor<'a>, scratch: &'a mut Scratch) -> Fault<Self> {
        let key = Key::read(&mut cursor)?;
        let tail = Tail::read(&mut cursor, true)?;
        let content = tail.content(&mut cursor)?;
        if tail.last < key.header || tail.last > content.len() {
            return Err(format!(
                "its content ends at {}, expected from {} to {}",
                tail.last,
                key.header,
                content.len()
            ));
        }
        let content = &content[key.header..tail.last];
        let offsets = tail.offsets.is_some();
        scratch.offsets.clear();
        scratch.offsets.extend(tail.offsets.iter().flatten().map(|offset| offset.wrapping_sub(key.header as u32)));
        Self::new(content, tail.entries, offsets.then_some(&mut scratch.offsets))
    }

    /// Number of entries of a basket within a tree.
    pub(super) fn embedded_entries(mut cursor: Cursor<'_>) -> Fault<usize> {
        Key::read(&mut cursor)?;
        Ok(Tail::read(&mut cursor, true)?.entries)
    }

    /// A basket that is a record of its own.
    pub(super) fn stored(file: &File, seek: u64, length: usize, scratch: &'a mut Scratch) -> Fault<Self> {
        let record = file.bytes_in(seek, length, &mut scratch.record)?;
        let mut cursor = Cursor::new(record);
        let key = Key::read(&mut cursor)?;
        let tail = Tail::read(&mut cursor, false)?;
        let packed = record.get(key.header..).ok_or("the key is longer than its record")?;
        let bytes = unpack_in(packed, key.unpacked, &mut scratch.bytes)?;
        let border = tail.last.checked_sub(key.header).ok_or("the content ends before it begins")?;
        let Some((content, behind)) = bytes.split_at_checked(border) else {
            return Err(format!("its content ends at {border}, expected up to {}", bytes.len()));
        };
        if behind.is_empty() {
            return Self::new(content, tail.entries, None);
        }
        let mut cursor = Cursor::new(behind);
        let n = cursor.count(4)?;
        // Entries and an end, which not every version writes.
        let offsets = cursor.take(4 * n)?.as_chunks::<4>().0.iter();
        scratch.offsets.clear();
        scratch.offsets.extend(offsets.map(|b| u32::from_be_bytes(*b).wrapping_sub(key.header as u32)));
        Self::new(content, tail.entries, Some(&mut scratch.offsets))
    }

    fn new(content: &'a [u8], entries: usize, offsets: Option<&'a mut Vec<u32>>) -> Fault<Self> {
        let Some(offsets) = offsets else { return Ok(Self { content, offsets: None, entries }) };
        if offsets.len() < entries {
            return Err(format!("it has {} offsets for {entries} entries", offsets.len()));
        }
        offsets.truncate(entries);
        offsets.push(content.len() as u32);
        // Counted without a branch for each, so that the compiler turns it into vector code.
        if offsets.iter().zip(&offsets[1..]).filter(|(a, b)| a > b).count() > 0 {
            return Err("the offsets of its entries do not rise".to_owned());
        }
        Ok(Self { content, offsets: Some(offsets), entries })
    }
}
