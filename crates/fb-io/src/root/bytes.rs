//! A position in bytes, from which big-endian numbers are read. Nothing is taken beyond the end.

/// What is wrong, in words; the caller adds file and place.
pub(super) type Fault<T> = Result<T, String>;

/// A position in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! big_endian {
    ($($name:ident: $type:ty),*) => {
        $(pub(super) fn $name(&mut self) -> Fault<$type> {
            let bytes = self.take(size_of::<$type>())?;
            Ok(<$type>::from_be_bytes(bytes.try_into().unwrap_or_default()))
        })*
    };
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Goes to a position, the end at most.
    pub(super) fn seek(&mut self, at: usize) -> Fault<()> {
        if at > self.bytes.len() {
            return Err(format!("byte {at} lies beyond the end at {}", self.bytes.len()));
        }
        self.at = at;
        Ok(())
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Fault<&'a [u8]> {
        if n > self.left() {
            return Err(format!("{n} bytes at {} lie beyond the end at {}", self.at, self.bytes.len()));
        }
        let bytes = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, n: usize) -> Fault<()> {
        self.take(n).map(|_| ())
    }

    big_endian!(u8: u8, i8: i8, u16: u16, i16: i16, u32: u32, i32: i32, u64: u64, i64: i64, f32: f32, f64: f64);

    /// A number of things that take at least `least` bytes each, so that there cannot be more than the bytes allow.
    pub(super) fn count(&mut self, least: usize) -> Fault<usize> {
        let n = self.i32()?;
        match usize::try_from(n) {
            Ok(n) if n.saturating_mul(least) <= self.left() => Ok(n),
            _ => Err(format!("{n} items of {least} bytes or more at {}, where {} are left", self.at, self.left())),
        }
    }

    /// A place in the file: 64 bits in large files.
    pub(super) fn seek_pointer(&mut self, large: bool) -> Fault<u64> {
        if large { self.u64() } else { self.u32().map(u64::from) }
    }

    /// A text behind its length: one byte, or 255 and four.
    pub(super) fn text_bytes(&mut self) -> Fault<&'a [u8]> {
        let short = self.u8()?;
        let length = if short == 255 { self.u32()? as usize } else { usize::from(short) };
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Fault<String> {
        Ok(String::from_utf8_lossy(self.text_bytes()?).into_owned())
    }

    /// A text that ends with a zero byte.
    pub(super) fn c_text(&mut self) -> Fault<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&b| b == 0).ok_or("a name has no end")?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}
