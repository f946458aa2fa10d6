//! `cargo xtask bench nn`: training steps of our networks and of the same ones in PyTorch, in turns.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value as Json, json};

use crate::root;

/// What is timed: (request, steps a turn).
fn requests() -> Vec<(Json, usize)> {
    let lite =
        |batch, particles, k| json!({"network": "particlenet_lite", "batch": batch, "particles": particles, "k": k});
    vec![
        (lite(64, 64, 7), 4),
        (lite(128, 64, 16), 3),
        (lite(512, 64, 7), 2),
        (lite(128, 128, 7), 2),
        (json!({"network": "pfn", "batch": 500, "particles": 64}), 4),
        (json!({"network": "lstm_tagger", "batch": 128, "particles": 60}), 4),
        (json!({"network": "p_cnn", "batch": 128, "particles": 100}), 3),
        (json!({"network": "interaction_network", "batch": 128, "particles": 60}), 2),
        (json!({"network": "part_small", "batch": 128, "particles": 50}), 2),
        (json!({"network": "lorentznet", "batch": 32, "particles": 50, "hidden": 32, "depth": 3}), 2),
        (json!({"network": "lundnet", "batch": 256, "particles": 50}), 2),
        (json!({"network": "mlp", "batch": 512}), 20),
        (json!({"network": "jet_image_cnn_small", "batch": 128}), 2),
        (json!({"network": "jet_image_cnn", "batch": 16}), 2),
    ]
}

const TURNS: usize = 3;

/// A program that answers lines of JSON.
pub struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it and waits for its first line.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut server = Self { child, input, output };
        server.answer()?;
        Ok(server)
    }

    fn ours(threads: usize) -> Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).args(["bench-worker", &threads.to_string()]))
    }

    fn torch(threads: usize, malloc: &str) -> Result<Self> {
        let threads = threads.to_string();
        Self::start(Command::new(python()).args([
            "references/bench_torch.py",
            "--threads",
            &threads,
            "--malloc",
            malloc,
        ]))
    }

    /// Sends a request and waits for the answer.
    pub fn ask(&mut self, request: &Json) -> Result<Json> {
        writeln!(self.input, "{request}")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Json> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Json = serde_json::from_str(&line).with_context(|| format!("found `{line}`"))?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "{}", json!({"quit": true}));
        let _ = self.child.wait();
    }
}

/// The interpreter with the peers: `FB_PYTHON`, or that of `.venv`.
pub fn python() -> String {
    std::env::var("FB_PYTHON").unwrap_or_else(|_| ".venv/bin/python".to_owned())
}

/// The middle one of these numbers.
pub fn median(mut x: Vec<f64>) -> f64 {
    x.sort_by(f64::total_cmp);
    x.get(x.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Carries the chore out in a release build, if this is none; false if it is one.
pub fn in_release(words: &[&str]) -> Result<bool> {
    if !cfg!(debug_assertions) {
        return Ok(false);
    }
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--quiet", "--package", "xtask", "--"]).args(words);
    if !command.current_dir(root()).status()?.success() {
        bail!("the benchmark failed");
    }
    Ok(true)
}

/// Times all networks, or those named.
pub fn networks(names: &[&str]) -> Result<()> {
    if in_release(&[&["bench", "nn"], names].concat())? {
        return Ok(());
    }
    for threads in [2, 1] {
        let machine = Server::ours(threads)?.ask(&json!({"what": "peak"}))?;
        let (gemm, read) = (number(&machine, "gemm_gflops"), number(&machine, "read_gb_per_s"));
        println!("\n{threads} threads: products at {gemm:.0} GFLOP/s, reading at {read:.1} GB/s");
        println!(
            "milliseconds per training step, medians of {TURNS} turns; ratios are ours over theirs, turn by turn\n"
        );
        println!(
            "network | ours | stock | stock, tuned | fast, tuned | /stock | /tuned | /fast | memory MB: ours | stock | beyond idle | share of GEMM peak"
        );
        println!("--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:");
        for (request, steps) in requests() {
            let name = request["network"].as_str().unwrap_or_default();
            if names.is_empty() || names.contains(&name) {
                compare(&request, steps, threads, gemm)?;
            }
        }
    }
    if names.is_empty() {
        inference()?;
    }
    Ok(())
}

fn number(json: &Json, key: &str) -> f64 {
    json[key].as_f64().unwrap_or(f64::NAN)
}

/// One line of the table.
fn compare(request: &Json, steps: usize, threads: usize, gemm: f64) -> Result<()> {
    // A process of its own for each network, so that memory is that of this one.
    let mut servers = [
        Server::ours(threads)?,
        Server::torch(threads, "plain")?,
        Server::torch(threads, "keep")?,
        Server::torch(threads, "keep")?,
    ];
    let mut seconds: [Vec<f64>; 4] = Default::default();
    let mut last: [Json; 4] = Default::default();
    for _ in 0..TURNS {
        for (i, server) in servers.iter_mut().enumerate() {
            let mut request = request.clone();
            request["steps"] = json!(steps);
            request["variant"] = json!(if i == 3 { "fast" } else { "stock" });
            last[i] = server.ask(&request)?;
            seconds[i].push(number(&last[i], "seconds_per_step"));
        }
    }
    let ratio = |i: usize| median(seconds[0].iter().zip(&seconds[i]).map(|(a, b)| a / b).collect());
    let ms = |i: usize| 1e3 * median(seconds[i].clone());
    let label: Vec<String> = ["batch", "particles", "k", "hidden", "depth"]
        .iter()
        .filter_map(|key| request[key].as_u64().map(|n| format!("{key} {n}")))
        .collect();
    let memory = [number(&last[0], "peak_rss_mb"), number(&last[1], "peak_rss_mb")];
    println!(
        "{} ({}) | {:.1} | {:.1} | {:.1} | {:.1} | **{:.2}** | {:.2} | **{:.2}** | {:.0} | {:.0} | {:.0} | {:.0}%",
        request["network"].as_str().unwrap_or_default(),
        label.join(", "),
        ms(0),
        ms(1),
        ms(2),
        ms(3),
        ratio(1),
        ratio(2),
        ratio(3),
        memory[0],
        memory[1],
        memory[1] - number(&last[1], "idle_rss_mb"),
        100.0 * number(&last[0], "gflops") / gemm,
    );
    Ok(())
}

/// One jet: our engine against onnxruntime on our own export, for the models of a run in `runs/bench`.
fn inference() -> Result<()> {
    let run = root().join("runs/bench");
    if !run.exists() {
        println!("\nno inference: make its models with `fb run experiments/top_tagging/bench.toml --out runs/bench`");
        return Ok(());
    }
    println!("\nmicroseconds of the score of one jet with 64 constituents, preparation included, 1 thread\n");
    println!("network | ours | onnxruntime | ratio\n--- | ---: | ---: | ---:");
    let mut homes: Vec<_> = std::fs::read_dir(run.join("methods"))?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    homes.sort();
    for home in homes {
        let model = home.join("seed-1/model.safetensors");
        let (ours, theirs) = (model.display().to_string(), model.with_file_name("model.onnx").display().to_string());
        let mut servers = [Server::ours(1)?, Server::start(Command::new(python()).arg("references/bench_ort.py"))?];
        let mut seconds: [Vec<f64>; 2] = Default::default();
        for _ in 0..TURNS {
            for (i, path) in [&ours, &theirs].into_iter().enumerate() {
                let request = json!({"what": "infer", "model": path, "particles": 64, "repeat": 200, "threads": 1});
                seconds[i].push(number(&servers[i].ask(&request)?, "seconds"));
            }
        }
        let ratio = median(seconds[0].iter().zip(&seconds[1]).map(|(a, b)| a / b).collect());
        let [a, b] = seconds.map(|s| 1e6 * median(s));
        let name = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{name} | {a:.0} | {b:.0} | **{ratio:.2}**");
    }
    Ok(())
}
