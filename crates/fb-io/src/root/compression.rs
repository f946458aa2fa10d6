//! The blocks in which ROOT packs bytes: nine bytes of header (codec, method, packed and unpacked size in 24 bits each)
//! and at most 16 MB of content, as many as are needed.

use std::cell::RefCell;
use std::io::Read as _;

use super::bytes::Fault;

/// Size of a block's header.
const HEADER: usize = 9;
/// Memory that LZMA may take: its highest level needs 65 MB.
const LZMA_MEMORY: u64 = 100 << 20;
/// Bytes of content in a block that is written.
const LARGEST: usize = 0xff_ffff;

thread_local! {
    /// Tables for DEFLATE, which are filled anew for each block.
    static ZLIB: RefCell<libdeflater::Decompressor> = RefCell::new(libdeflater::Decompressor::new());
    /// The tables of the Zstandard library, which take longer to set up than a small block takes to unpack.
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A codec of ROOT files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Bytes as they are.
    Stored,
    /// DEFLATE.
    Zlib,
    /// The fastest to read.
    Lz4,
    /// The smallest and slowest.
    Lzma,
    /// Nearly as small as LZMA, nearly as fast as LZ4.
    #[default]
    Zstd,
}

fn size(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) | usize::from(bytes[1]) << 8 | usize::from(bytes[2]) << 16
}

/// Whether so few bytes can hold as many as expected.
pub(super) fn would_unpack(packed: usize, expected: usize) -> bool {
    // Zstandard makes a block of 128 kB out of four bytes and no codec packs more tightly, so that more is damage.
    expected / (1 << 15) <= packed
}

/// `length` bytes of a buffer, which grows where it is shorter. What it held before is not cleared: clearing would pass over
/// memory that is about to be written.
pub(super) fn room(buffer: &mut Vec<u8>, from: usize, length: usize) -> &mut [u8] {
    if buffer.len() < from + length {
        buffer.resize(from + length, 0);
    }
    &mut buffer[from..from + length]
}

/// Unpacks a run of blocks to exactly `expected` bytes. Bytes that are not packed are given back as they are.
pub(super) fn unpack(packed: &[u8], expected: usize) -> Fault<Vec<u8>> {
    let mut out = Vec::new();
    if packed.len() == expected {
        return Ok(packed.to_vec());
    }
    unpack_in(packed, expected, &mut out)?;
    Ok(out)
}

/// The same, in a buffer that is used again.
pub(super) fn unpack_in<'a>(packed: &'a [u8], expected: usize, buffer: &'a mut Vec<u8>) -> Fault<&'a [u8]> {
    if packed.len() == expected {
        return Ok(packed);
    }
    if !would_unpack(packed.len(), expected) {
        return Err(format!("{} packed bytes claim to hold {expected}", packed.len()));
    }
    let (mut rest, mut done) = (packed, 0);
    while done < expected {
        let (Some(header), Some(content)) = (rest.get(..HEADER), rest.get(HEADER..)) else {
            return Err(format!("the packed bytes end after {done} of {expected} unpacked ones"));
        };
        let (short, long) = (size(&header[3..6]), size(&header[6..9]));
        if short > content.len() {
            return Err(format!("a packed block of {short} bytes, where {} are left", content.len()));
        }
        if long > expected - done {
            return Err(format!("a block of {long} unpacked bytes, where {} are expected", expected - done));
        }
        let codec = [header[0], header[1]];
        let (content, after) = content.split_at(short);
        if !matches!(&codec, b"ZL" | b"CS" | b"L4" | b"XZ" | b"ZS") {
            let name = String::from_utf8_lossy(&codec);
            return Err(format!("the codec `{name}` is unknown, expected ZL, CS, L4, XZ or ZS"));
        }
        if !would_unpack(short, long) {
            return Err(format!("a block of {short} packed bytes claims to hold {long}"));
        }
        let n = unpack_block(codec, content, room(buffer, done, long))
            .map_err(|reason| format!("a damaged {} block: {reason}", String::from_utf8_lossy(&codec)))?;
        if n != long {
            let name = String::from_utf8_lossy(&codec);
            return Err(format!("a damaged {name} block: {n} unpacked bytes, expected {long}"));
        }
        (rest, done) = (after, done + long);
    }
    Ok(&buffer[..expected])
}

/// Unpacks a block and gives the number of its bytes.
fn unpack_block(codec: [u8; 2], content: &[u8], to: &mut [u8]) -> Fault<usize> {
    let words = |e: &dyn std::fmt::Display| e.to_string();
    match &codec {
        b"ZL" => ZLIB.with_borrow_mut(|unpacker| unpacker.zlib_decompress(content, to)).map_err(|e| words(&e)),
        // The same stream without the two bytes in front and the check behind it.
        b"CS" => ZLIB.with_borrow_mut(|unpacker| unpacker.deflate_decompress(content, to)).map_err(|e| words(&e)),
        b"L4" => {
            let (check, content) = content.split_first_chunk::<8>().ok_or("it has no checksum")?;
            if xxhash_rust::xxh64::xxh64(content, 0).to_be_bytes() != *check {
                return Err("its checksum differs".to_owned());
            }
            lz4_flex::block::decompress_into(content, to).map_err(|e| words(&e))
        }
        b"ZS" => ZSTD
            .with_borrow_mut(|unpacker| match unpacker {
                Some(unpacker) => unpacker.decompress_to_buffer(content, to),
                None => unpacker.insert(zstd::bulk::Decompressor::new()?).decompress_to_buffer(content, to),
            })
            .map_err(|e| words(&e)),
        _ => {
            let stream = liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY, 0).map_err(|e| words(&e))?;
            let mut reader = liblzma::bufread::XzDecoder::new_stream(content, stream);
            let mut n = 0;
            while n < to.len() {
                match reader.read(&mut to[n..]) {
                    Ok(0) => break,
                    Ok(more) => n += more,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(words(&e)),
                }
            }
            Ok(n)
        }
    }
}

/// Packs bytes into blocks; gives them as they are where that is not longer.
pub(super) fn pack(bytes: &[u8], codec: Codec) -> Fault<Vec<u8>> {
    if codec == Codec::Stored || bytes.is_empty() {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::with_capacity(bytes.len() / 2);
    for block in bytes.chunks(LARGEST) {
        let failed = |e: &dyn std::fmt::Display| format!("cannot pack: {e}");
        let (name, method, content) = match codec {
            Codec::Stored => return Ok(bytes.to_vec()),
            Codec::Zlib => {
                let mut packer = flate2::read::ZlibEncoder::new(block, flate2::Compression::new(1));
                let mut content = Vec::new();
                packer.read_to_end(&mut content).map_err(|e| failed(&e))?;
                (b"ZL", 8, content)
            }
            Codec::Lz4 => {
                let packed = lz4_flex::block::compress(block);
                let mut content = xxhash_rust::xxh64::xxh64(&packed, 0).to_be_bytes().to_vec();
                content.extend(packed);
                (b"L4", 1, content)
            }
            Codec::Lzma => {
                let mut content = Vec::new();
                let mut packer = liblzma::bufread::XzEncoder::new(block, 4);
                packer.read_to_end(&mut content).map_err(|e| failed(&e))?;
                (b"XZ", 0, content)
            }
            Codec::Zstd => (b"ZS", 1, zstd::bulk::compress(block, 5).map_err(|e| failed(&e))?),
        };
        if content.len() >= block.len() {
            return Ok(bytes.to_vec());
        }
        out.extend(name);
        out.push(method);
        out.extend(&(content.len() as u32).to_le_bytes()[..3]);
        out.extend(&(block.len() as u32).to_le_bytes()[..3]);
        out.extend(content);
    }
    Ok(if out.len() < bytes.len() { out } else { bytes.to_vec() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use super::*;

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|i| (i / 1000) as u8).collect();
        for codec in [Codec::Stored, Codec::Zlib, Codec::Lz4, Codec::Lzma, Codec::Zstd] {
            let packed = pack(&bytes, codec).unwrap();
            assert_eq!(codec == Codec::Stored, packed.len() == bytes.len());
            assert!(unpack(&packed, bytes.len()).unwrap() == bytes, "{codec:?}");
            if codec != Codec::Stored {
                assert!(unpack(&packed[..packed.len() / 2], bytes.len()).is_err());
                assert!(unpack(&packed, bytes.len() + 1).is_err());
            }
        }
        assert!(unpack(b"ZS\x01\x01\x00\x00\xff\xff\xff\x00", 0xff_ffff).is_err());
    }
}
