//! Buffers that Blosc 1 packed, as PyTables and pandas write them into HDF5 (filter 32001).
//!
//! A header of 16 bytes, the places of blocks, and the blocks: each is split into one stream a byte of the elements or is whole,
//! and every stream is packed on its own. <https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst>

/// The number of the filter in HDF5.
pub(crate) const FILTER: u16 = 32001;

const HEADER: usize = 16;
/// Largest elements whose bytes are streams of their own.
const MOST_STREAMS: usize = 16;
/// Shorter streams than this are not split.
const LEAST_STREAM: usize = 128;

type Kind<T> = Result<T, String>;

/// What a buffer holds, `expected` bytes.
pub(crate) fn unpack(packed: &[u8], expected: usize) -> Kind<Vec<u8>> {
    let short = || "a Blosc buffer ends early".to_owned();
    let header = packed.get(..HEADER).ok_or_else(short)?;
    let word = |at: usize| packed.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let (flags, size_of_type) = (header[2], usize::from(header[3]).max(1));
    let (Some(size), Some(block)) = (word(4), word(8)) else { return Err(short()) };
    if size != expected {
        return Err(format!("a Blosc buffer of {size} bytes, expected {expected}"));
    }
    if flags & 0b10 != 0 {
        let stored = packed.get(HEADER..HEADER + size).ok_or_else(short)?;
        return Ok(stored.to_vec());
    }
    if flags & 0b100 != 0 {
        return Err("a Blosc buffer whose bits are shuffled, expected bytes".to_owned());
    }
    if block == 0 && size > 0 {
        return Err("a Blosc buffer of blocks without bytes".to_owned());
    }
    let (shuffled, whole, codec) = (flags & 1 != 0 && size_of_type > 1, flags & 0b1_0000 != 0, flags >> 5);
    let mut out = vec![0; size];
    let mut stream = vec![0; block.min(size)];
    for (index, out) in out.chunks_mut(block.max(1)).enumerate() {
        let mut at = word(HEADER + 4 * index).ok_or_else(short)?;
        let split =
            !whole && size_of_type <= MOST_STREAMS && block / size_of_type >= LEAST_STREAM && out.len() == block;
        let streams = if split { size_of_type } else { 1 };
        let length = out.len() / streams;
        let stream = stream.get_mut(..out.len()).ok_or_else(short)?;
        for part in stream.chunks_mut(length.max(1)) {
            let size = word(at).ok_or_else(short)?;
            let content = packed.get(at + 4..(at + 4).saturating_add(size)).ok_or_else(short)?;
            at += 4 + size;
            if size == part.len() {
                part.copy_from_slice(content);
            } else {
                decode(codec, content, part)?;
            }
        }
        if shuffled {
            unshuffle(stream, out, size_of_type);
        } else {
            out.copy_from_slice(stream);
        }
    }
    Ok(out)
}

/// First bytes of all elements, then second ones, …; what is left over stays at the end.
fn unshuffle(from: &[u8], to: &mut [u8], size_of_type: usize) {
    let elements = from.len() / size_of_type;
    let (bytes, rest) = from.split_at(elements * size_of_type);
    for (place, element) in to.chunks_exact_mut(size_of_type).enumerate() {
        for (k, byte) in element.iter_mut().enumerate() {
            *byte = bytes[k * elements + place];
        }
    }
    to[elements * size_of_type..].copy_from_slice(rest);
}

fn decode(codec: u8, from: &[u8], to: &mut [u8]) -> Kind<()> {
    let length = match codec {
        0 => blosclz(from, to).ok_or_else(|| "a damaged stream of BloscLZ".to_owned())?,
        1 => lz4_flex::block::decompress_into(from, to).map_err(|e| e.to_string())?,
        3 => libdeflater::Decompressor::new().zlib_decompress(from, to).map_err(|e| e.to_string())?,
        4 => zstd::bulk::decompress_to_buffer(from, to).map_err(|e| e.to_string())?,
        other => return Err(format!("codec {other} of Blosc, expected BloscLZ, LZ4, zlib or zstd")),
    };
    if length == to.len() { Ok(()) } else { Err(format!("{length} bytes in a stream of Blosc, expected {}", to.len())) }
}

/// Runs of literals and copies from before, by their first byte: its upper three bits are zero for literals and else the
/// length of a copy less two, which bytes of 255 make longer; the lower five begin its distance, which may go on in two
/// bytes. The number of bytes, or nothing for a damaged stream.
fn blosclz(from: &[u8], to: &mut [u8]) -> Option<usize> {
    const FARTHEST: usize = 8191;
    let mut bytes = from.iter().map(|&byte| usize::from(byte));
    let mut at = 0;
    // A stream begins with literals, whatever its first bits.
    let mut control = bytes.next()? & 31;
    loop {
        if control < 32 {
            let run = to.get_mut(at..=at + control)?;
            for byte in run {
                *byte = bytes.next()? as u8;
            }
            at += control + 1;
        } else {
            let mut length = (control >> 5) - 1;
            if length == 6 {
                loop {
                    let more = bytes.next()?;
                    length += more;
                    if more != 255 {
                        break;
                    }
                }
            }
            let (high, low) = ((control & 31) << 8, bytes.next()?);
            let mut distance = high + low + 1;
            if low == 255 && high == 31 << 8 {
                distance = (bytes.next()? << 8) + bytes.next()? + FARTHEST + 1;
            }
            let (start, end) = (at.checked_sub(distance)?, at + length + 3);
            to.get(..end)?;
            // What is copied may begin in what is being written.
            for (from, to_place) in (start..).zip(at..end) {
                to[to_place] = to[from];
            }
            at = end;
        }
        match bytes.next() {
            Some(next) => control = next,
            None => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unpack;

    /// One block of one stream.
    fn buffer(flags: u8, size_of_type: u8, size: usize, stream: &[u8]) -> Vec<u8> {
        let word = |n: usize| (n as u32).to_le_bytes();
        let mut packed = vec![2, 1, flags, size_of_type];
        for n in [size, size, 16 + 4 + 4 + stream.len(), 20, stream.len()] {
            packed.extend(word(n));
        }
        packed.extend(stream);
        packed
    }

    #[test]
    fn literals_and_copies_are_unpacked() {
        // abc; nine more of them; x; then 3 + 6 + 255 + 2 bytes of x.
        let stream = [2, b'a', b'b', b'c', (7 << 5), 0, 2, 0, b'x', (7 << 5), 255, 2, 0];
        let expected = [b"abc".repeat(4), vec![b'x'; 267]].concat();
        assert_eq!(unpack(&buffer(0b1_0000, 1, expected.len(), &stream), expected.len()).unwrap(), expected);
        let shuffled = buffer(0b1_0001, 2, 5, &[1, 3, 2, 4, 9]);
        assert_eq!(unpack(&shuffled, 5).unwrap(), [1, 2, 3, 4, 9]);
    }

    #[test]
    fn damage_is_told() {
        let good = buffer(0b1_0000, 1, 12, &[2, b'a', b'b', b'c', (7 << 5), 0, 2]);
        assert!(unpack(&good, 12).is_ok());
        for end in 0..good.len() {
            assert!(unpack(&good[..end], 12).is_err(), "{end}");
        }
        let mut refused = 0;
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                refused += usize::from(unpack(&bad, 12).is_err());
            }
        }
        assert!(refused > 80, "{refused}");
    }
}
