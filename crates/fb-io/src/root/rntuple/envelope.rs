//! Where an `RNTuple` begins (the anchor), and its blocks of metadata: envelopes, the frames in them, and the places that
//! they name. Little-endian, but for the anchor.
//!
//! Readers go by the sizes of frames and envelopes, not by the sum of their parts: later versions append to them.

use xxhash_rust::xxh3::xxh3_64;

use crate::root::bytes::{Cursor, Fault};
use crate::root::compression::unpack;
use crate::root::file::File;

/// The smallest size of a frame.
pub(super) const FRAME: usize = 8;

/// The largest envelope, but for 256 times its packed size. Metadata do not repeat themselves more than that.
const MOST_UNPACKED: usize = 1 << 24;

/// Bytes that are read from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

macro_rules! little_endian {
    ($($name:ident: $type:ty),*) => {
        $(pub(super) fn $name(&mut self) -> Fault<$type> {
            Ok(<$type>::from_le_bytes(self.take(size_of::<$type>())?.try_into().unwrap_or_default()))
        })*
    };
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, n: usize) -> Fault<&'a [u8]> {
        let Some((taken, rest)) = self.bytes.split_at_checked(n) else {
            return Err(format!("{n} bytes, where {} are left", self.bytes.len()));
        };
        self.bytes = rest;
        Ok(taken)
    }

    little_endian!(u16: u16, u32: u32, i32: i32, u64: u64, i64: i64, f64: f64);

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Fault<String> {
        let length = self.u32()? as usize;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// The content of a record frame.
    pub(super) fn record(&mut self) -> Fault<Self> {
        let size = self.i64()?;
        let content = usize::try_from(size).ok().and_then(|size| size.checked_sub(8));
        Ok(Self { bytes: self.take(content.ok_or_else(|| format!("a record frame of {size} bytes"))?)? })
    }

    /// The content of a list frame and the number of its items, each of which takes at least `least` bytes.
    pub(super) fn list(&mut self, least: usize) -> Fault<(usize, Self)> {
        let (size, items) = (self.i64()?, self.u32()? as usize);
        let content =
            size.checked_neg().and_then(|size| usize::try_from(size).ok()).and_then(|size| size.checked_sub(12));
        let bytes = self.take(content.ok_or_else(|| format!("a list frame of {size} bytes"))?)?;
        if items.saturating_mul(least) > bytes.len() {
            return Err(format!("{items} items of {least} bytes or more in a frame of {}", bytes.len()));
        }
        Ok((items, Self { bytes }))
    }

    /// The feature flags. None is defined as yet, and whoever does not know one cannot read the file.
    pub(super) fn features(&mut self) -> Fault<()> {
        loop {
            let flags = self.i64()?;
            if flags & i64::MAX != 0 {
                return Err(format!("it needs features that are not known (flags {flags:#x})"));
            }
            if flags >= 0 {
                return Ok(());
            }
        }
    }

    /// A place in the file.
    pub(super) fn locator(&mut self) -> Fault<Locator> {
        let head = self.i32()?;
        if head >= 0 {
            return Ok(Locator { length: head as usize, at: self.u64()? });
        }
        // Not a length, but the size and the type of the locator itself.
        let head = head.unsigned_abs();
        let (size, kind) = ((head & 0xffff) as usize, head >> 24);
        let mut payload = Self { bytes: self.take(size.checked_sub(4).ok_or("a locator without a size")?)? };
        if kind != 1 {
            return Err(format!("a locator of type {kind}, expected one that is in the file"));
        }
        let length = payload.u64()?;
        let length = usize::try_from(length).map_err(|_| format!("a block of {length} bytes"))?;
        Ok(Locator { length, at: payload.u64()? })
    }

    /// A link to another envelope.
    pub(super) fn link(&mut self) -> Fault<Link> {
        let unpacked = self.u64()?;
        Ok(Link { unpacked, locator: self.locator()? })
    }
}

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locator {
    pub(super) at: u64,
    /// Bytes as they are stored.
    pub(super) length: usize,
}

/// Where an envelope is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) locator: Locator,
    pub(super) unpacked: u64,
}

/// The kinds of envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Footer = 2,
    PageList = 3,
}

/// An envelope that has been checked.
#[derive(Debug)]
pub(super) struct Envelope {
    bytes: Vec<u8>,
    /// Its checksum, by which others refer to it.
    pub(super) checksum: u64,
}

impl Envelope {
    /// Reads, unpacks and checks an envelope.
    pub(super) fn read(file: &File, link: Link, kind: Kind) -> Fault<Self> {
        let packed = file.bytes(link.locator.at, link.locator.length)?;
        let unpacked = usize::try_from(link.unpacked).map_err(|_| format!("{} bytes", link.unpacked))?;
        if unpacked > MOST_UNPACKED.saturating_add(packed.len().saturating_mul(256)) {
            return Err(format!("{} bytes claim to hold {unpacked}", packed.len()));
        }
        let mut bytes = unpack(&packed, unpacked)?;
        let Some((content, check)) = bytes.split_last_chunk::<8>().filter(|(content, _)| content.len() >= 8) else {
            return Err(format!("an envelope of {} bytes, expected 16 or more", bytes.len()));
        };
        let checksum = u64::from_le_bytes(*check);
        if xxh3_64(content) != checksum {
            return Err("its checksum differs".to_owned());
        }
        let head = Reader::new(content).u64()?;
        if (head & 0xffff) as u16 != kind as u16 || head >> 16 != bytes.len() as u64 {
            let (found, length) = (head & 0xffff, head >> 16);
            return Err(format!(
                "an envelope of type {found} and {length} bytes, expected {kind:?} of {}",
                bytes.len()
            ));
        }
        bytes.truncate(bytes.len() - 8);
        Ok(Self { bytes, checksum })
    }

    pub(super) fn content(&self) -> Reader<'_> {
        Reader::new(self.bytes.get(8..).unwrap_or_default())
    }
}

/// The anchor: the object behind the key.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) version: [u16; 4],
    pub(super) header: Link,
    pub(super) footer: Link,
}

impl Anchor {
    pub(super) fn read(object: &[u8]) -> Fault<Self> {
        let mut cursor = Cursor::new(object);
        let size = cursor.u32()?;
        if size & 0x4000_0000 == 0 {
            return Err("the anchor has no length".to_owned());
        }
        let size = (size & 0x3fff_ffff) as usize;
        cursor.skip(2)?;
        // Later versions append fields; the checksum comes behind them.
        let content = cursor.take(size.checked_sub(2).ok_or("the anchor is empty")?)?;
        if xxh3_64(content) != cursor.u64()? {
            return Err("the checksum of the anchor differs".to_owned());
        }
        let mut cursor = Cursor::new(content);
        let mut version = [0; 4];
        for part in &mut version {
            *part = cursor.u16()?;
        }
        let mut link = || -> Fault<Link> {
            let (at, length, unpacked) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
            let length = usize::try_from(length).map_err(|_| format!("an envelope of {length} bytes"))?;
            Ok(Link { locator: Locator { at, length }, unpacked })
        };
        let (header, footer) = (link()?, link()?);
        // An envelope that is larger than a key may be is spread over several. None is, below a gigabyte. Some writers
        // leave the limit at zero.
        let largest = cursor.u64()?;
        if header.locator.length.max(footer.locator.length) as u64 > largest && largest > 0 {
            return Err(format!("an envelope is spread over several keys of {largest} bytes, which is not read"));
        }
        Ok(Self { version, header, footer })
    }
}
