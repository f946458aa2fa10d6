//! Baskets: the entries of a branch that are packed together. A basket is a record of its own, or, where it was not yet
//! full when the tree was written, a part of the tree.

use super::bytes::{Cursor, Fault};
use super::compression::unpack;
use super::file::{File, Key};

/// The entries of a basket.
#[derive(Debug)]
pub(super) struct Basket {
    bytes: Vec<u8>,
    /// Where the content of `bytes` begins and ends.
    from: usize,
    to: usize,
    /// Beginning of each entry in the content, and the end; absent where all are of one length.
    pub(super) offsets: Option<Vec<u32>>,
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

impl Basket {
    /// A basket within a tree.
    pub(super) fn embedded(mut cursor: Cursor<'_>) -> Fault<Self> {
        let key = Key::read(&mut cursor)?;
        let tail = Tail::read(&mut cursor, true)?;
        let bytes = tail.content(&mut cursor)?.to_vec();
        let offsets = tail.offsets.map(|offsets| (offsets, key.header));
        Self::new(bytes, key.header, tail.last, tail.entries, offsets)
    }

    /// Number of entries of a basket within a tree.
    pub(super) fn embedded_entries(mut cursor: Cursor<'_>) -> Fault<usize> {
        Key::read(&mut cursor)?;
        Ok(Tail::read(&mut cursor, true)?.entries)
    }

    /// A basket that is a record of its own.
    pub(super) fn stored(file: &File, seek: u64, length: usize) -> Fault<Self> {
        let record = file.bytes(seek, length)?;
        let mut cursor = Cursor::new(&record);
        let key = Key::read(&mut cursor)?;
        let tail = Tail::read(&mut cursor, false)?;
        let packed = record.get(key.header..).ok_or("the key is longer than its record")?;
        let bytes = unpack(packed, key.unpacked)?;
        let border = tail.last.checked_sub(key.header).ok_or("the content ends before it begins")?;
        let offsets = if border < bytes.len() {
            let mut cursor = Cursor::new(&bytes);
            cursor.seek(border)?;
            let n = cursor.count(4)?;
            // Entries and an end, which not every version writes.
            let offsets = cursor.take(4 * n)?.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b)).collect();
            Some((offsets, key.header))
        } else {
            None
        };
        Self::new(bytes, 0, border, tail.entries, offsets)
    }

    /// `offsets` count from the beginning of a key of some length.
    fn new(bytes: Vec<u8>, from: usize, to: usize, entries: usize, offsets: Option<(Vec<u32>, usize)>) -> Fault<Self> {
        if from > to || to > bytes.len() {
            return Err(format!("its content ends at {to}, expected from {from} to {}", bytes.len()));
        }
        let offsets = match offsets {
            None => None,
            Some((mut offsets, header)) => {
                if offsets.len() < entries {
                    return Err(format!("it has {} offsets for {entries} entries", offsets.len()));
                }
                offsets.truncate(entries);
                for offset in &mut offsets {
                    *offset = offset.wrapping_sub(header as u32);
                }
                offsets.push((to - from) as u32);
                if !offsets.windows(2).all(|o| o[0] <= o[1]) {
                    return Err("the offsets of its entries do not rise".to_owned());
                }
                Some(offsets)
            }
        };
        Ok(Self { bytes, from, to, offsets, entries })
    }

    /// The bytes of all entries.
    pub(super) fn content(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }
}
