//! `cargo xtask bench trees`: whole trainings of boosted trees, binning included, by us and by the libraries of the Python
//! world on the same rows, in turns; then scores.

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use fb_core::{Column, Data, Events, Run, Sample, Scores, philox, run::Nowhere};
use fb_statistics::metric::{Evaluation, Metric};
use femtobarn::pipeline::peak_memory_mb;
use femtobarn::workers::Threads;
use serde_json::{Value as Json, json};

use crate::bench::{Server, in_release, median, python};
use crate::root;

/// (rows, features, trees, shape, turns).
const CASES: [(usize, usize, usize, &str, usize); 8] = [
    (100_000, 30, 100, "depth", 3),
    (100_000, 30, 100, "leaves", 3),
    (100_000, 30, 500, "depth", 1),
    (100_000, 30, 100, "oblivious", 3),
    (1_000_000, 28, 100, "depth", 3),
    (1_000_000, 28, 100, "leaves", 3),
    (1_000_000, 28, 500, "depth", 1),
    (1_000_000, 28, 100, "oblivious", 1),
];

/// Times all cases, or those whose line holds one of these words.
pub fn trees(words: &[&str]) -> Result<()> {
    if in_release(&[&["bench", "trees"], words].concat())? {
        return Ok(());
    }
    let folder = root().join("target/trees");
    if !folder.join("rows1000000x28.npy").exists() {
        let mut make = Command::new(python());
        make.args(["references/bench_trees.py", "--make"]).arg(&folder).current_dir(root());
        if !make.status()?.success() {
            bail!("the rows could not be made; `sh references/venv.sh` makes the environment");
        }
    }
    println!("seconds of a training, medians; the faster of the peers counts, by each clock");
    println!(
        "rows | trees | shape | threads | ours | peers | ratio | ours, CPU | peers, CPU | ratio | AUC | peers | MB | peers"
    );
    println!("--- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
    for threads in [2, 1] {
        for case in CASES {
            let label = format!("{}x{} {} {} threads={threads}", case.0, case.1, case.2, case.3);
            if words.iter().all(|w| label.contains(w)) {
                compare(&folder, case, threads)?;
            }
        }
    }
    Ok(())
}

fn number(json: &Json, key: &str) -> f64 {
    json[key].as_f64().unwrap_or(f64::NAN)
}

fn compare(folder: &Path, case: (usize, usize, usize, &str, usize), threads: usize) -> Result<()> {
    let (rows, features, trees, shape, turns) = case;
    let data = folder.join(format!("rows{rows}x{features}.npy"));
    let mut request = json!({"data": data, "trees": trees, "threads": threads, "shape": shape});
    request[if shape == "leaves" { "leaves" } else { "depth" }] = json!(if shape == "leaves" { 31 } else { 6 });
    let peers: &[&str] = if shape == "oblivious" { &["catboost"] } else { &["xgboost", "lightgbm"] };
    let mut servers =
        vec![Server::start(Command::new(std::env::current_exe()?).args(["bench-trees-worker", &threads.to_string()]))?];
    for _ in peers {
        let mut command = Command::new(python());
        // Threads that wait without spinning, which a machine with other work on it needs.
        command.args(["references/bench_trees.py", "--serve"]).env("OMP_WAIT_POLICY", "passive");
        servers.push(Server::start(&mut command)?);
    }
    let mut answers: Vec<Vec<Json>> = vec![Vec::new(); servers.len()];
    for _ in 0..turns {
        for (i, server) in servers.iter_mut().enumerate() {
            if i > 0 {
                request["peer"] = json!(peers[i - 1]);
            }
            answers[i].push(server.ask(&request)?);
        }
    }
    let value = |i: usize, key: &str| median(answers[i].iter().map(|a| number(a, key)).collect());
    let fastest = |key: &str| (1..servers.len()).map(|i| value(i, key)).fold(f64::INFINITY, f64::min);
    let of_peers = |key: &str, digits: usize| {
        let each = (1..servers.len()).map(|i| format!("{} {:.digits$}", peers[i - 1], value(i, key)));
        each.collect::<Vec<_>>().join(", ")
    };
    let (seconds, cpu) = (value(0, "seconds"), value(0, "cpu_seconds"));
    println!(
        "{rows}x{features} | {trees} | {shape} | {threads} | {seconds:.2} | {} | **{:.2}** | {cpu:.2} | {} | **{:.2}** | {:.4} | {} | {:.0} | {}",
        of_peers("seconds", 2),
        seconds / fastest("seconds"),
        of_peers("cpu_seconds", 2),
        cpu / fastest("cpu_seconds"),
        value(0, "auc"),
        of_peers("auc", 4),
        value(0, "peak_rss_mb"),
        of_peers("peak_rss_mb", 0),
    );
    let request = json!({"what": "predict", "threads": 1, "repeat": 3});
    let scores = servers.iter_mut().map(|s| s.ask(&request)).collect::<Result<Vec<_>>>()?;
    let line = scores.iter().enumerate().map(|(i, s)| {
        let name = if i == 0 { "ours" } else { peers[i - 1] };
        let fast = s["row_fast_us"].as_f64().map_or_else(String::new, |us| format!(" ({us:.1})"));
        format!("{name} {:.0} ms, {:.1} µs{fast}", 1e3 * number(s, "seconds"), number(s, "row_us"))
    });
    println!("  scores of 200,000 rows and of one, one thread: {}", line.collect::<Vec<_>>().join("; "));
    Ok(())
}

/// Rows, by powers of ten, of which the cost of a training is told.
const SCALES: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Features, trees and depth of these trainings.
const SCALED: [usize; 3] = [28, 20, 6];

/// `cargo xtask bench trees-scaling`: our cost for a row and a tree against the number of rows, and the bytes moved in a
/// second against what copying memory moves.
pub fn scaling() -> Result<()> {
    if in_release(&["bench", "trees-scaling"])? {
        return Ok(());
    }
    let [features, trees, depth] = SCALED;
    println!("{features} features, {trees} trees of depth {depth}; binning included");
    println!("rows | threads | seconds | ns a row and tree | GB/s | copying, GB/s | share | MB");
    println!("---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
    for rows in SCALES {
        let column = |f: usize| {
            let value = |i: usize| (philox::hash(f as u64, i as u64) >> 40) as f32 / (1 << 24) as f32;
            Column::flat(format!("x{f}"), Data::F32((0..rows).map(value).collect()))
        };
        let events = Events::new((0..features).map(column).collect())?;
        let x = |f: usize, i: usize| events.columns()[f].data.number(i);
        let is_signal = |i: usize| x(0, i) * x(1, i) + 0.5 * x(2, i) + 0.3 * x(3, i) > 0.65;
        let labels = (0..rows).map(|i| u32::from(is_signal(i))).collect();
        let identity = (0..rows as u64).map(|i| philox::hash(7, i)).collect();
        let sample = Sample { labels, identity, weights: vec![1.0; rows], events, ..Sample::default() };
        for threads in [2, 1] {
            let request = json!({"trees": trees, "depth": depth, "shape": "depth"});
            let few = sample.take(&(0..1000).collect::<Vec<_>>());
            let parts = [sample.clone(), few];
            let turns = if rows > 1_000_000 { 1 } else { 3 };
            let answers = (0..turns).map(|_| Ok(train(&request, &parts, threads)?.1)).collect::<Result<Vec<_>>>()?;
            let seconds = median(answers.iter().map(|a| number(a, "seconds")).collect());
            let (moved, copied) = (moved(rows) / seconds / 1e9, copied(threads));
            println!(
                "{rows} | {threads} | {seconds:.3} | {:.2} | {moved:.1} | {copied:.1} | {:.2} | {:.0}",
                1e9 * seconds / (rows * trees) as f64,
                moved / copied,
                number(&answers[0], "peak_rss_mb"),
            );
        }
    }
    Ok(())
}

/// Bytes that such a training must at least move: bins, words and row numbers of the histograms (all rows in the first
/// level, half of them in the others), lists and bins of the partition, gradients and outputs.
fn moved(rows: usize) -> f64 {
    let [features, trees, depth] = SCALED.map(|n| n as f64);
    let blocks = (features / 8.0).ceil();
    let histograms = blocks * (8.0 + 8.0) + (depth - 1.0) * 0.5 * blocks * (8.0 + 8.0 + 4.0);
    let partition = depth * (4.0 + 8.0 + 4.0);
    let gradients = (4.0 + 4.0 + 4.0 + 8.0) + (8.0 + 8.0 + 8.0) + (8.0 + 4.0 + 8.0);
    let binning = features * (8.0 + 4.0 + 1.0);
    rows as f64 * (trees * (histograms + partition + gradients) + binning)
}

/// GB a second that copying reads and writes, with so many threads.
fn copied(threads: usize) -> f64 {
    const WORDS: usize = 1 << 25;
    let once = || {
        let from = vec![1u64; WORDS];
        let mut to = vec![0u64; WORDS];
        let start = Instant::now();
        for _ in 0..4 {
            to.copy_from_slice(&from);
            std::hint::black_box(&mut to);
        }
        4.0 * 16.0 * WORDS as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(once)).collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).sum()
    })
}

/// Our side: answers requests on standard input.
pub fn serve(threads: usize) -> Result<()> {
    println!("{{}}");
    let (mut data, mut model) = (None, None);
    for line in std::io::stdin().lock().lines() {
        let request: Json = serde_json::from_str(&line?)?;
        if request["quit"] == true {
            break;
        }
        let answer = if request["what"] == "predict" {
            let (_, test): &(String, [Sample; 2]) = data.as_ref().context("no data")?;
            predict(model.as_deref().context("no model")?, &test[1], threads)?
        } else {
            let path = request["data"].as_str().context("no data")?;
            if data.as_ref().is_none_or(|(p, _)| p != path) {
                data = Some((path.to_owned(), read(Path::new(path))?));
            }
            let (_, parts) = data.as_ref().context("no data")?;
            let (fitted, answer) = train(&request, parts, threads)?;
            model = Some(fitted);
            answer
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn train(request: &Json, [train, test]: &[Sample; 2], threads: usize) -> Result<(Box<dyn fb_core::Fitted>, Json)> {
    let workers = Threads::new(threads)?;
    let mut config = json!({"trees": request["trees"], "learning_rate": 0.1, "l2": 1.0});
    let name = if request["shape"] == "oblivious" { "oblivious_bdt" } else { "bdt" };
    let key = if request["leaves"].is_null() { "depth" } else { "leaves" };
    config[key] = request[key].clone();
    let mut run = Run {
        seed: 1,
        workers: &workers,
        tick: &mut |_, _| {},
        report: &mut |_| {},
        stop: &|| false,
        store: &mut Nowhere,
        start: None,
    };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let fitted = fb_methods::method(name)?.fit(&config, train, &train.take(&[]), &mut run)?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let memory = peak_memory_mb();
    let scores: Scores = fitted.scores(&test.events, &workers)?;
    let signal: Vec<bool> = test.labels.iter().map(|&l| l == 1).collect();
    let auc = Evaluation::new(&scores.signal(), &signal)?.metrics(&[Metric::Auc], &test.weights)?[0];
    Ok((fitted, json!({"seconds": seconds, "cpu_seconds": cpu, "auc": auc, "peak_rss_mb": memory})))
}

fn predict(model: &dyn fb_core::Fitted, test: &Sample, threads: usize) -> Result<Json> {
    let workers = Threads::new(threads.min(1))?;
    let time = |events: &Events| -> Result<f64> {
        let start = Instant::now();
        std::hint::black_box(model.scores(events, &workers)?);
        Ok(start.elapsed().as_secs_f64())
    };
    let seconds = (0..5).map(|_| time(&test.events)).collect::<Result<Vec<_>>>()?;
    // A single row through the forest alone, as a trigger calls it, and through columns and expressions.
    let forest = fb_trees::Scorer::new(fb_trees::Forest::from_artifact(&model.artifact()?)?);
    let rows: Vec<Vec<f64>> =
        (0..64).map(|i| test.events.columns().iter().map(|c| c.data.number(i)).collect()).collect();
    let mut each = Vec::new();
    for i in 0..2000 {
        let columns: Vec<&[f64]> = rows[i % 64].iter().map(std::slice::from_ref).collect();
        let start = Instant::now();
        std::hint::black_box(forest.outputs(&columns, &fb_core::run::Alone));
        each.push(1e6 * start.elapsed().as_secs_f64());
    }
    let one: Vec<Events> = (0..64).map(|i| test.events.take(&[i])).collect();
    let whole = (0..500).map(|i| time(&one[i % 64])).collect::<Result<Vec<_>>>()?;
    Ok(json!({"seconds": median(seconds), "row_us": 1e6 * median(whole), "row_fast_us": median(each)}))
}

/// Processor time of this process, all threads together.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Training and held-out rows.
fn read(path: &Path) -> Result<[Sample; 2]> {
    let name = path.file_stem().and_then(|s| s.to_str()).context("a name")?;
    let features = name.rsplit('x').next().unwrap_or_default();
    let test = path.with_file_name(format!("test{features}.npy"));
    Ok([sample(path)?, sample(&test)?])
}

fn sample(path: &Path) -> Result<Sample> {
    let labels =
        path.with_file_name(format!("{}_labels.npy", path.file_stem().and_then(|s| s.to_str()).unwrap_or_default()));
    let ((rows, width), (labels, _)) = (array(path)?, array(&labels)?);
    let column = |f: usize| rows[f..].iter().step_by(width).copied().collect();
    let columns = (0..width).map(|f| Column::flat(format!("x{f}"), Data::F32(column(f))));
    Ok(Sample {
        events: Events::new(columns.collect())?,
        identity: (0..labels.len() as u64).map(|i| philox::hash(5, i)).collect(),
        weights: vec![1.0; labels.len()],
        labels: labels.iter().map(|&l| l as u32).collect(),
        ..Sample::default()
    })
}

/// Numbers of a NumPy array of 32-bit floats, and its width.
fn array(path: &Path) -> Result<(Vec<f32>, usize)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    if !header.contains("<f4") || header.contains("'fortran_order': True") {
        bail!("{}: {header}", path.display());
    }
    let shape = header.split('(').nth(1).and_then(|s| s.split(')').next()).context("no shape")?;
    let width = shape.split(',').nth(1).and_then(|s| s.trim().parse().ok()).unwrap_or(1);
    let numbers = bytes[10 + length..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok((numbers, width))
}
