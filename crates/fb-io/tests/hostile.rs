//! Damaged files: whatever the bytes are, reading ends, soon, in little memory, with events or with an error.
//!
//! The tests of this file are one process of their own, so that the memory they take can be told.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

mod bounds;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use fb_core::{Events, Philox};
use fb_io::Error;

use bounds::{MILLION, MUTANTS, SLOWEST, largest_memory, most_memory};

/// Panics of the Parquet library that were caught below.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// Reads each of the files that `make` gives. A file that is read for too long ends the test with its number.
fn read_all(extension: &str, count: u64, make: impl Fn(u64) -> Vec<u8> + Send + 'static) -> (usize, usize) {
    // A panic inside of the library is an error of the reader; twenty thousand messages of it tell nothing.
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        if info.location().is_none_or(|at| !at.file().contains("registry")) {
            eprintln!("{info}");
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(format!("mutant.{extension}"));
    let before = largest_memory();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for i in 0..count {
            let bytes = make(i);
            std::fs::write(&path, &bytes).unwrap();
            let start = Instant::now();
            let result = std::panic::catch_unwind(|| read_tables(&path)).map_err(|_| "panic");
            sender.send((i, bytes.len(), result, start.elapsed())).unwrap();
        }
    });
    let (mut whole, mut refused, mut largest) = (0, 0, 0);
    for i in 0..count {
        let Ok((i, size, result, time)) = receiver.recv_timeout(3 * SLOWEST) else { panic!("mutant {i} hangs") };
        assert!(time < SLOWEST, "mutant {i} of {size} bytes took {time:?}");
        largest = size.max(largest);
        match result.unwrap_or_else(|_| panic!("mutant {i} panics")) {
            Ok(_) => whole += 1,
            Err(error) => {
                named(&error, i);
                refused += 1;
            }
        }
    }
    reader.join().unwrap();
    let memory = largest_memory().saturating_sub(before);
    assert!(memory < most_memory(largest as u64), "{} MB", memory >> 20);
    println!("{extension}: {whole} read, {refused} refused, {PANICS:?} panics caught, {} MB", memory >> 20);
    (whole, refused)
}

/// Reads all tables of a file and gives the number of events. One that stands for a table of many may hold billions of
/// nothing, so the first blocks are enough. Nothing is kept from one block to the next, as what is counted is the memory
/// that reading takes.
fn read_tables(path: &Path) -> Result<usize, Error> {
    let mut read = 0;
    for table in fb_io::tables(path)? {
        let branches: Vec<usize> =
            (0..table.branches().len()).filter(|&b| table.branches()[b].content.is_ok()).collect();
        let clusters = table.clusters();
        assert!(clusters.len() < 1 << 20 && clusters.windows(2).all(|c| c[0].end == c[1].start), "clusters");
        for cluster in clusters.into_iter().take(8) {
            let length = (cluster.end - cluster.start) as usize;
            let batch = fb_io::table::read_batch(&*table, &branches, cluster, &fb_core::run::Alone)?;
            for (array, &branch) in batch.columns().iter().zip(&branches) {
                assert_eq!(array.len(), length, "{}", table.branches()[branch].name);
                assert_eq!(Ok(array.data_type()), table.branches()[branch].content.as_ref());
            }
            consistent(&fb_io::table::events(&batch).0);
            read += length;
        }
    }
    Ok(read)
}

/// The table holds what its types promise.
fn consistent(events: &Events) {
    for column in events.columns() {
        assert_eq!(column.events(), events.len());
        if let Some(offsets) = &column.offsets {
            assert!(offsets[0] == 0 && offsets.is_sorted());
            assert_eq!(offsets[events.len()], column.data.len());
        }
    }
}

/// The message names the file and is of a length that can be read.
fn named(error: &Error, mutant: u64) {
    let message = error.to_string();
    assert!(message.contains("mutant.") && message.len() < 2000, "mutant {mutant}: {message}");
    assert!(!matches!(error, Error::NoMatch { .. }), "mutant {mutant}: {message}");
}

/// A file with one to three random damages: bytes, a cut, a chunk of another file, a chunk twice, a chunk left out.
/// Every second one has a single byte changed, so that most of it is still read.
fn damaged(random: &mut Philox, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].clone();
    if random.below(2) == 0 {
        let i = random.below(bytes.len());
        bytes[i] ^= 1 << random.below(8);
        return bytes;
    }
    for _ in 0..=random.below(3) {
        let n = bytes.len().max(1);
        let (at, length) = (random.below(n), 1 + random.below(64));
        let end = (at + length).min(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let chunk = bytes[at.min(end)..end].to_vec();
                bytes.splice(end..end, chunk);
            }
            2 => drop(bytes.drain(at.min(end)..end)),
            3 => {
                let other = &files[random.below(files.len())];
                let from = random.below(other.len());
                let chunk = other[from..(from + length).min(other.len())].to_vec();
                bytes.splice(at.min(end)..end, chunk);
            }
            _ => {
                for _ in 0..=random.below(8) {
                    if bytes.is_empty() {
                        break;
                    }
                    let i = random.below(bytes.len());
                    bytes[i] = match random.below(4) {
                        0 => [0x00, 0x7f, 0x80, 0xff][random.below(4)],
                        1 => bytes[i] ^ 1 << random.below(8),
                        _ => random.next_u32() as u8,
                    };
                }
            }
        }
    }
    bytes
}

fn parquet_files() -> Vec<Vec<u8>> {
    let names = ["flat", "lists", "nulls", "delta", "delta_length", "page_v2", "codec_snappy", "codec_lz4", "plain"];
    names.map(|name| fixture(&format!("{name}.parquet"))).to_vec()
}

#[test]
fn parquet_cut_short() {
    let files = [fixture("groups.parquet"), fixture("lists.parquet")];
    let cuts: Vec<Vec<u8>> =
        files.iter().flat_map(|whole| (0..whole.len()).step_by(97).map(|n| whole[..n].to_vec())).collect();
    let (whole, refused) = read_all("parquet", cuts.len() as u64, move |i| cuts[i as usize].clone());
    assert!(whole == 0 && refused > 100, "a file without its end cannot be read");
}

fn parquet(count: u64) {
    let files = parquet_files();
    let (whole, refused) = read_all("parquet", count, move |i| damaged(&mut Philox::new(1, i, 0), &files));
    assert!(whole > 100 && refused > 10_000, "the mutants are neither all whole nor all dead");
}

/// A number of the footer or of a page's header becomes 2³¹ − 1 (as Thrift writes it), whatever it means there.
#[test]
fn parquet_huge_counts() {
    const HUGE: [u8; 5] = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    let mut mutants = Vec::new();
    for codec in ["none", "snappy", "gzip", "lz4", "zstd"] {
        let whole = fixture(&format!("codec_{codec}.parquet"));
        // The header of the first page begins behind the four bytes that begin the file.
        for (at, length) in (4..60).flat_map(|at| [1, 2, 5].map(|length| (at, length))) {
            let mut bytes = whole.clone();
            bytes.splice(at..at + length, HUGE);
            mutants.push(bytes);
        }
    }
    for name in ["nulls", "lists"] {
        let whole = fixture(&format!("{name}.parquet"));
        let end = whole.len() - 8;
        let footer = u32::from_le_bytes(whole[end..end + 4].try_into().unwrap()) as usize;
        for (at, length) in (end - footer..end - 5).flat_map(|at| [1, 2].map(|length| (at, length))) {
            let mut bytes = whole.clone();
            bytes.splice(at..at + length, HUGE);
            let (end, footer) = (bytes.len() - 8, (footer + HUGE.len() - length) as u32);
            bytes[end..end + 4].copy_from_slice(&footer.to_le_bytes());
            mutants.push(bytes);
        }
    }
    let (_, refused) = read_all("parquet", mutants.len() as u64, move |i| mutants[i as usize].clone());
    assert!(refused > 1000);
}

fn csv(count: u64) {
    let mut text = "event_id,jet_pt,name,weight\n".to_owned();
    for i in 0..40 {
        let weight = if i % 9 == 0 { "" } else { "-1" };
        writeln!(text, "{i},{:?},\"jet {i}, µ\",{weight}", f64::from(i) * 1.7).unwrap();
    }
    let plain = "a,b\n1,2\n3,4\n";
    let files = vec![text.into_bytes(), plain.as_bytes().to_vec()];
    let (whole, refused) = read_all("csv", count, move |i| damaged(&mut Philox::new(2, i, 0), &files));
    assert!(whole > 1000 && refused > 1000, "the mutants are neither all whole nor all dead");
}

#[test]
fn csv_cut_short() {
    let whole: Vec<u8> = b"x,y\n".iter().copied().chain(b"1.5,-2\n".repeat(200)).collect();
    let count = whole.len() as u64;
    read_all("csv", count, move |i| whole[..i as usize].to_vec());
}

/// Numbers in the file, of eight, four and two bytes, become as large as they can be.
fn huge(random: &mut Philox, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].clone();
    let width = [8, 4, 2][random.below(3)];
    // Most of what a file says of itself stands at its beginning.
    let most = if random.below(2) == 0 { bytes.len() } else { bytes.len().min(4096) };
    let at = random.below(most.saturating_sub(width).max(1));
    let high = [0xff, 0x7f, 0x00][random.below(3)];
    for (i, byte) in bytes[at..].iter_mut().take(width).enumerate() {
        *byte = if i + 1 == width { high } else { 0xff };
    }
    bytes
}

/// Damages of every kind, to files of one format.
fn mutants(extension: &str, seed: u64, count: u64, files: Vec<Vec<u8>>) {
    let make = move |i: u64| {
        let mut random = Philox::new(seed, i, 0);
        if i.is_multiple_of(4) { huge(&mut random, &files) } else { damaged(&mut random, &files) }
    };
    let (whole, refused) = read_all(extension, count, make);
    assert!(whole > 100 && refused > 100, "the mutants are neither all whole nor all dead: {whole}, {refused}");
}

fn hdf5(count: u64) {
    mutants("h5", 3, count, ["ftag.h5", "lists.h5", "lhco.h5"].map(fixture).to_vec());
}

fn npz(count: u64) {
    mutants("npz", 4, count, ["lists.npz", "types.npz"].map(fixture).to_vec());
}

fn npy(count: u64) {
    mutants("npy", 5, count, ["pairs.npy", "fortran.npy", "records.npy", "version_2.npy"].map(fixture).to_vec());
}

fn lhe(count: u64) {
    mutants("lhe", 6, count, ["small.lhe", "compact.lhe"].map(fixture).to_vec());
}

fn hepmc(count: u64) {
    mutants("hepmc3", 7, count, vec![fixture("small.hepmc3")]);
}

fn lhapdf(count: u64) {
    mutants("dat", 8, count, vec![fixture("lhapdf/tiny/tiny_0000.dat")]);
}

fn json(count: u64) {
    mutants("json", 9, count, vec![fixture("pyhf.json"), fixture("hs3.json")]);
}

/// The mutants of a format, and the million that is tried by hand.
macro_rules! tests {
    ($($format:ident: $few:ident, $many:ident;)*) => {
        $(
            #[test]
            fn $few() {
                $format(MUTANTS);
            }

            #[test]
            #[ignore = "minutes: a million mutants"]
            fn $many() {
                $format(MILLION);
            }
        )*
    };
}

tests! {
    parquet: parquet_mutants, a_million_parquet_mutants;
    csv: csv_mutants, a_million_csv_mutants;
    hdf5: hdf5_mutants, a_million_hdf5_mutants;
    npz: npz_mutants, a_million_npz_mutants;
    npy: npy_mutants, a_million_npy_mutants;
    lhe: lhe_mutants, a_million_lhe_mutants;
    hepmc: hepmc_mutants, a_million_hepmc_mutants;
    lhapdf: lhapdf_mutants, a_million_lhapdf_mutants;
    json: json_mutants, a_million_json_mutants;
}
