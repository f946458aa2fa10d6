//! Damaged ROOT files: whatever the bytes are, reading ends, soon, in little memory, with columns or with an error.
//!
//! The tests of this file are one process of their own, so that the memory they take can be told.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

mod bounds;

use std::path::Path;
use std::time::Instant;

use bounds::{MILLION, MUTANTS, SLOWEST, largest_memory, most_memory};
use fb_core::Philox;

/// Reads every branch of every table.
fn read_all(path: &Path) -> fb_io::Result<usize> {
    let mut read = 0;
    for mut table in fb_io::tables(path)? {
        if let Some(error) = table.damage() {
            return Err(error);
        }
        let clusters = table.clusters();
        for branch in 0..table.branches().len() {
            if table.branches()[branch].content.is_ok() {
                for cluster in &clusters {
                    let array = &table.read(&[branch], cluster.clone())?[0];
                    assert_eq!(array.len() as u64, cluster.end - cluster.start);
                }
                read += 1;
            }
        }
    }
    Ok(read)
}

/// One to four damages: bits, lengths and places at their extremes, a cut, bytes from elsewhere in the file.
fn damage(bytes: &mut Vec<u8>, random: &mut Philox) {
    const EXTREMES: [[u8; 4]; 6] =
        [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0; 4], [0x40, 0, 0xff, 0xff], [0, 0, 0, 1], [0x80, 0, 0, 0]];
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at.max(1)),
            1 | 2 => {
                let end = (at + 4).min(bytes.len());
                let extreme = EXTREMES[random.below(EXTREMES.len())];
                bytes[at..end].copy_from_slice(&extreme[..end - at]);
            }
            3 => {
                let from = random.below(bytes.len());
                let n = 8.min(bytes.len() - from.max(at));
                let copy = bytes[from..from + n].to_vec();
                bytes[at..at + n].copy_from_slice(&copy);
            }
            4 => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
}

fn mutants(count: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/root");
    let mut files: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "root"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    files.sort();
    let largest = files.iter().map(Vec::len).max().unwrap() as u64;
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("mutant.root");
    let before = largest_memory();
    let (mut whole, mut refused) = (0, 0);
    for i in 0..count {
        let mut random = Philox::new(3, i, 0);
        let mut bytes = files[i as usize % files.len()].clone();
        damage(&mut bytes, &mut random);
        std::fs::write(&path, &bytes).unwrap();
        let start = Instant::now();
        match read_all(&path) {
            Ok(_) => whole += 1,
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("mutant.root") && message.len() < 2000, "mutant {i}: {message}");
                refused += 1;
            }
        }
        assert!(start.elapsed() < SLOWEST, "mutant {i} took {:?}", start.elapsed());
    }
    let memory = largest_memory().saturating_sub(before);
    assert!(memory < most_memory(largest), "{} MB", memory >> 20);
    println!("{whole} read, {refused} refused, {} MB", memory >> 20);
    assert!(whole > count / 20 && refused > count / 20, "the mutants are neither all whole nor all dead");
}

#[test]
fn root_mutants() {
    mutants(MUTANTS);
}

#[test]
#[ignore = "minutes: a million mutants"]
fn a_million_root_mutants() {
    mutants(MILLION);
}
