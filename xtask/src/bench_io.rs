//! `cargo xtask bench io`: whole files read by us and by the readers of the Python world, in turns.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use fb_io::table::batches;
use femtobarn::workers::Threads;
use serde_json::json;

use crate::bench::{Server, in_release, median, python};
use crate::root;

const TURNS: usize = 9;

/// Times every file; makes them first if they are not there.
pub fn files() -> Result<()> {
    if in_release(&["bench", "io"])? {
        return Ok(());
    }
    let folder = root().join("target/bench-io");
    if !folder.join("gzip.h5").exists() {
        let mut make = Command::new(python());
        make.args(["references/bench_io.py", "--make"]).arg(&folder).current_dir(root());
        if !make.status()?.success() {
            bail!("the files could not be made; `sh references/venv.sh` makes the environment");
        }
    }
    let (one, two) = (Threads::new(1)?, Threads::new(2)?);
    println!("milliseconds for all columns of 500,000 events, medians of {TURNS} turns\n");
    println!("file | MB | ours, 1 thread | theirs | theirs / ours | ours, 2 threads | 1 / 2 threads");
    println!("--- | ---: | ---: | ---: | ---: | ---: | ---:");
    for name in ["zlib.root", "lz4.root", "zstd.root", "lzma.root", "zstd.parquet", "gzip.h5"] {
        let path = folder.join(name);
        let mut peer = Server::start(Command::new(python()).args(["references/bench_io.py", "--serve"]))?;
        let mut seconds: [Vec<f64>; 3] = Default::default();
        // The first turn fills the system's cache and is not counted.
        for turn in 0..=TURNS {
            let ours = read(&path, &one)?;
            let theirs = peer.ask(&json!({"path": path}))?["seconds"].as_f64().unwrap_or(f64::NAN);
            let both = read(&path, &two)?;
            if turn > 0 {
                seconds.iter_mut().zip([ours, theirs, both]).for_each(|(all, s)| all.push(s));
            }
        }
        let ratio = |a: usize, b: usize| median(seconds[a].iter().zip(&seconds[b]).map(|(a, b)| a / b).collect());
        let ms = |i: usize| 1e3 * median(seconds[i].clone());
        let size = path.metadata()?.len() as f64 / 1e6;
        println!(
            "{name} | {size:.1} | {:.0} | {:.0} | **{:.2}** | {:.0} | **{:.2}**",
            ms(0),
            ms(1),
            ratio(1, 0),
            ms(2),
            ratio(0, 2)
        );
    }
    Ok(())
}

/// Seconds to read all columns of a file.
fn read(path: &Path, workers: &Threads) -> Result<f64> {
    let start = Instant::now();
    let table = fb_io::open(path)?;
    let all: Vec<usize> = (0..table.branches().len()).filter(|&b| table.branches()[b].content.is_ok()).collect();
    let mut rows = 0;
    for (_, batch) in batches(&*table, &all, workers) {
        rows += batch?.num_rows() as u64;
    }
    if rows != table.entries() {
        bail!("{rows} rows, expected {}", table.entries());
    }
    Ok(start.elapsed().as_secs_f64())
}
