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

/// Unpacks a run of blocks to exactly `expected` bytes. Bytes that are not packed are given back as they are.
pub(super) fn unpack(packed: &[u8], expected: usize) -> Fault<Vec<u8>> {
    let mut out = Vec::new();
    unpack_into(packed, expected, &mut out)?;
    Ok(out)
}

/// The same, in place of what `out` holds.
pub(super) fn unpack_into(packed: &[u8], expected: usize, out: &mut Vec<u8>) -> Fault<()> {
    out.clear();
    if packed.len() == expected {
        out.extend_from_slice(packed);
        return Ok(());
    }
    if !would_unpack(packed.len(), expected) {
        return Err(format!("{} packed bytes claim to hold {expected}", packed.len()));
    }
    out.reserve(expected.min(LARGEST));
    let mut rest = packed;
    while out.len() < expected {
        let (Some(header), Some(content)) = (rest.get(..HEADER), rest.get(HEADER..)) else {
            return Err(format!("the packed bytes end after {} of {expected} unpacked ones", out.len()));
        };
        let (short, long) = (size(&header[3..6]), size(&header[6..9]));
        if short > content.len() {
            return Err(format!("a packed block of {short} bytes, where {} are left", content.len()));
        }
        if long > expected - out.len() {
            return Err(format!("a block of {long} unpacked bytes, where {} are expected", expected - out.len()));
        }
        unpack_block(&header[..2], &content[..short], long, out)?;
        rest = &content[short..];
    }
    Ok(())
}

fn unpack_block(codec: &[u8], content: &[u8], long: usize, out: &mut Vec<u8>) -> Fault<()> {
    let (from, name) = (out.len(), String::from_utf8_lossy(codec).into_owned());
    let damaged = |e: &dyn std::fmt::Display| format!("a damaged {name} block: {e}");
    match codec {
        b"ZL" | b"CS" => {
            out.resize(from + long, 0);
            let to = &mut out[from..];
            // `CS` is the same stream without the two bytes in front and the check behind it.
            let n = ZLIB.with_borrow_mut(|unpacker| match codec {
                b"ZL" => unpacker.zlib_decompress(content, to),
                _ => unpacker.deflate_decompress(content, to),
            });
            out.truncate(from + n.map_err(|e| damaged(&e))?);
        }
        b"L4" => {
            // Eight bytes of checksum (XXH64, big endian) come first.
            let (check, content) = content.split_at_checked(8).ok_or_else(|| damaged(&"it has no checksum"))?;
            if xxhash_rust::xxh64::xxh64(content, 0).to_be_bytes() != check {
                return Err(damaged(&"its checksum differs"));
            }
            out.resize(from + long, 0);
            let n = lz4_flex::block::decompress_into(content, &mut out[from..]).map_err(|e| damaged(&e))?;
            out.truncate(from + n);
        }
        b"ZS" => {
            out.resize(from + long, 0);
            let to = &mut out[from..];
            let n = ZSTD.with_borrow_mut(|unpacker| match unpacker {
                Some(unpacker) => unpacker.decompress_to_buffer(content, to),
                None => unpacker.insert(zstd::bulk::Decompressor::new()?).decompress_to_buffer(content, to),
            });
            out.truncate(from + n.map_err(|e| damaged(&e))?);
        }
        b"XZ" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(LZMA_MEMORY, 0).map_err(|e| damaged(&e))?;
            let reader = liblzma::bufread::XzDecoder::new_stream(content, stream);
            reader.take(long as u64).read_to_end(out).map_err(|e| damaged(&e))?;
        }
        _ => return Err(format!("the codec `{name}` is unknown, expected ZL, CS, L4, XZ or ZS")),
    }
    if out.len() == from + long {
        Ok(())
    } else {
        Err(damaged(&format!("{} unpacked bytes, expected {long}", out.len() - from)))
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
