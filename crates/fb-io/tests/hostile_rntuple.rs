//! Damaged `RNTuple`s: whatever the bytes are, reading ends, soon, in little memory, with values or with an error.
//!
//! The tests of this file are one process of their own, so that the memory they take can be told.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

mod bounds;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use arrow_array::{
    Array as _, ArrayRef, BooleanArray, FixedSizeListArray, Int32Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use bounds::{MILLION, MUTANTS, SLOWEST, largest_memory, most_memory};
use fb_core::Philox;
use fb_io::root::{Codec, Kind, sink};
use fb_io::{Error, tables};
use xxhash_rust::xxh3::xxh3_64;

/// Entries that are read at once.
const BLOCK: u64 = 1 << 16;

/// A file and where in it the parts are that have a checksum.
struct Whole {
    bytes: Vec<u8>,
    anchor: Range<usize>,
    header: Range<usize>,
    footer: Range<usize>,
    page_lists: Vec<Range<usize>>,
}

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

impl Whole {
    /// The files are stored as they are, so that envelopes can be changed in place.
    fn new(bytes: Vec<u8>) -> Self {
        let begin = [0x40, 0, 0, 0x42, 0, 2, 0, 1, 0, 0];
        let anchor = bytes.windows(begin.len()).position(|w| w == begin).expect("an anchor") + 6;
        let part = |at: usize| {
            let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            assert_eq!(number(at + 8), number(at + 16), "it is stored");
            number(at)..number(at) + number(at + 8)
        };
        let (header, footer) = (part(anchor + 8), part(anchor + 32));
        // Behind the type, the flags, the checksum of the header and the extension come the groups.
        let extension = footer.start + 24;
        let mut group = extension + number(&bytes, extension) + 12;
        let mut page_lists = Vec::new();
        while group + 56 <= footer.end {
            let (length, at) = (number(&bytes, group + 28), number(&bytes, group + 40));
            page_lists.push(at..at + length);
            group += number(&bytes, group);
        }
        Self { anchor: anchor..anchor + 64, header, footer, page_lists, bytes }
    }

    fn parts(&self) -> Vec<Range<usize>> {
        let envelopes = [&self.anchor, &self.header, &self.footer].into_iter().chain(&self.page_lists);
        envelopes.cloned().collect()
    }

    /// Makes all checksums right again, so that damage gets to what is behind them.
    fn mend(&self, bytes: &mut [u8]) {
        let mut seal = |part: &Range<usize>, with: Option<(usize, u64)>| {
            if let Some((at, checksum)) = with {
                bytes[part.start + at..][..8].copy_from_slice(&checksum.to_le_bytes());
            }
            let end = part.end - 8;
            let checksum = xxh3_64(&bytes[part.start..end]);
            bytes[end..part.end].copy_from_slice(&checksum.to_le_bytes());
            checksum
        };
        let header = seal(&self.header, None);
        for part in &self.page_lists {
            seal(part, Some((8, header)));
        }
        seal(&self.footer, Some((16, header)));
        let checksum = xxh3_64(&bytes[self.anchor.clone()]).to_be_bytes();
        bytes[self.anchor.end..][..8].copy_from_slice(&checksum);
    }

    /// One to three bytes or numbers of the metadata changed, behind right checksums.
    fn changed(&self, random: &mut Philox) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let parts = self.parts();
        for _ in 0..=random.below(3) {
            let part = parts[random.below(parts.len())].clone();
            let at = part.start + random.below(part.len() - 8);
            let huge: &[u8] = match random.below(8) {
                0 => &[0xff, 0xff, 0xff, 0x7f],
                1 => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                2 => &[0, 0, 0, 0, 1],
                3 => &[0xff; 8],
                4 => &[0, 0, 0, 0x80],
                5 => &[0; 4],
                6 => &[1 << random.below(8)],
                _ => &[random.next_u32() as u8],
            };
            let flip = huge.len() == 1 && random.below(2) == 0;
            for (byte, &new) in bytes[at..part.end].iter_mut().zip(huge) {
                *byte = if flip { *byte ^ new } else { new };
            }
        }
        self.mend(&mut bytes);
        bytes
    }

    /// Bits changed, a cut, a stretch twice or left out, anywhere.
    fn damaged(&self, random: &mut Philox) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..=random.below(3) {
            let n = bytes.len().max(1);
            let at = random.below(n);
            let end = (at + 1 + random.below(64)).min(bytes.len());
            match random.below(8) {
                0 => bytes.truncate(at),
                1 => {
                    let stretch = bytes[at.min(end)..end].to_vec();
                    bytes.splice(end..end, stretch);
                }
                2 => drop(bytes.drain(at.min(end)..end)),
                3 => bytes[at.min(end)..end].fill(0xff),
                _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                _ => {}
            }
        }
        bytes
    }
}

/// Reads every branch of every table, a block of entries at a time.
fn read(path: &Path) -> Result<u64, Error> {
    let mut entries = 0;
    let mut wrong = None;
    for mut table in tables(path)? {
        wrong = table.damage().or(wrong);
        for (i, branch) in table.branches().iter().enumerate() {
            if branch.content.is_err() {
                continue;
            }
            for cluster in table.clusters().into_iter().take(20) {
                let block = cluster.start..cluster.end.min(cluster.start.saturating_add(BLOCK));
                match table.read(&[i], block.clone()) {
                    Ok(arrays) => {
                        assert_eq!(arrays[0].len() as u64, block.end - block.start);
                        assert_eq!(Ok(arrays[0].data_type()), branch.content.as_ref());
                        assert!(arrays[0].to_data().validate_full().is_ok());
                        entries += 1;
                    }
                    Err(error) => wrong = Some(error),
                }
            }
        }
    }
    wrong.map_or(Ok(entries), Err)
}

fn read_all(count: u64, make: impl Fn(u64) -> Vec<u8> + Send + 'static) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("mutant.root");
    let before = largest_memory();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for i in 0..count {
            let bytes = make(i);
            std::fs::write(&path, &bytes).unwrap();
            let start = Instant::now();
            let result = std::panic::catch_unwind(|| read(&path));
            sender.send((i, bytes.len(), result, start.elapsed())).unwrap();
        }
    });
    let (mut whole, mut refused, mut largest) = (0, 0, 0);
    for _ in 0..count {
        let Ok((i, size, result, time)) = receiver.recv_timeout(10 * SLOWEST) else { panic!("a mutant hangs") };
        assert!(time < SLOWEST, "mutant {i} took {time:?}");
        largest = size.max(largest);
        match result.unwrap_or_else(|_| panic!("mutant {i} panics")) {
            Ok(_) => whole += 1,
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("mutant.root") && message.len() < 2000, "mutant {i}: {message}");
                refused += 1;
            }
        }
    }
    reader.join().unwrap();
    let memory = largest_memory().saturating_sub(before);
    println!("{whole} read, {refused} refused, {} MB", memory >> 20);
    assert!(memory < most_memory(largest as u64), "{} MB", memory >> 20);
    (whole, refused)
}

/// Files that are stored as they are: one of what few programs write, and one of ours.
fn files() -> Vec<Whole> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.root");
    let n = 40;
    let numbers: ArrayRef = Arc::new((0..3 * n).map(|i| (i % 5 != 0).then_some(i)).collect::<Int32Array>());
    let texts: ArrayRef =
        Arc::new((0..n).map(|i| (i % 3 != 0).then(|| "x".repeat(i as usize % 7))).collect::<StringArray>());
    let truth: ArrayRef = Arc::new((0..n).map(|i| Some(i % 3 == 0)).collect::<BooleanArray>());
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let lists = ListArray::new(item, OffsetBuffer::from_repeated_length(3, n as usize), numbers, None);
    let item = Arc::new(Field::new("item", lists.data_type().clone(), true));
    let fixed = FixedSizeListArray::new(item, 2, Arc::new(lists.clone()), None);
    let record = StructArray::try_from(vec![("t", Arc::clone(&texts)), ("b", Arc::clone(&truth))]).unwrap();
    let item = Arc::new(Field::new("item", record.data_type().clone(), true));
    let records = ListArray::new(item, OffsetBuffer::from_repeated_length(2, n as usize / 2), Arc::new(record), None);
    let half = n as usize / 2;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("texts", texts.slice(0, half)),
        ("truth", truth.slice(0, half)),
        ("lists", Arc::new(lists.slice(0, half))),
        ("fixed", Arc::new(fixed)),
        ("records", Arc::new(records)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = sink(&path, "Events", &batch.schema(), Kind::RNTuple, Codec::Stored).unwrap();
    file.write(&batch).unwrap();
    file.finish().unwrap();
    let composed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rntuple/features.root");
    [path, composed].map(|path| Whole::new(std::fs::read(path).unwrap())).into()
}

#[test]
fn checksums_are_mended() {
    for whole in files() {
        let mut bytes = whole.bytes.clone();
        whole.mend(&mut bytes);
        assert!(bytes == whole.bytes);
    }
}

fn changed(count: u64) {
    let files = files();
    let (whole, refused) = read_all(count, move |i| {
        let mut random = Philox::new(3, i, 0);
        files[random.below(files.len())].changed(&mut random)
    });
    assert!(whole > 500 && refused > 2000, "the mutants are neither all whole nor all dead");
}

fn damaged(count: u64) {
    let files = files();
    let (whole, refused) = read_all(count, move |i| {
        let mut random = Philox::new(4, i, 0);
        files[random.below(files.len())].damaged(&mut random)
    });
    assert!(whole > 100 && refused > 2000, "the mutants are neither all whole nor all dead");
}

#[test]
fn cut_short() {
    let files = files();
    let cuts: Vec<Vec<u8>> =
        files.iter().flat_map(|f| (0..f.bytes.len()).step_by(23).map(|n| f.bytes[..n].to_vec())).collect();
    let (whole, refused) = read_all(cuts.len() as u64, move |i| cuts[i as usize].clone());
    assert!(whole == 0 && refused > 100, "a file without its end cannot be read");
}

/// Every number of the metadata, one place in three, becomes the largest there is.
#[test]
fn huge_numbers() {
    let files = files();
    let mut places = Vec::new();
    for (file, whole) in files.iter().enumerate() {
        for part in whole.parts() {
            let end = part.end - 8;
            places.extend(
                (part.start..end).step_by(3).flat_map(|at| [4, 8].map(|width| (file, at..(at + width).min(end)))),
            );
        }
    }
    let (_, refused) = read_all(places.len() as u64, move |i| {
        let (file, place) = &places[i as usize];
        let mut bytes = files[*file].bytes.clone();
        bytes[place.clone()].fill(0xff);
        bytes[place.end - 1] = 0x7f;
        files[*file].mend(&mut bytes);
        bytes
    });
    assert!(refused > 1000);
}

#[test]
fn mutants_behind_right_checksums() {
    changed(MUTANTS / 2);
}

#[test]
fn mutants() {
    damaged(MUTANTS / 2);
}

#[test]
#[ignore = "minutes: half a million mutants"]
fn half_a_million_mutants_behind_right_checksums() {
    changed(MILLION / 2);
}

#[test]
#[ignore = "minutes: half a million mutants"]
fn half_a_million_mutants() {
    damaged(MILLION / 2);
}
