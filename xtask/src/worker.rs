//! Our side of `cargo xtask bench nn`: a process of its own, asked in lines of JSON like `references/bench_torch.py`.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use fb_core::run::Nowhere;
use fb_core::{Column, Data, Events, Features, Philox, Run, Sample, Workers};
use fb_nn::training::Set;
use fb_nn::{Activation, Graph, Op, Rows, Target, Train};
use femtobarn::pipeline::peak_memory_mb;
use femtobarn::workers::Threads;
use serde_json::{Value as Json, json};

use crate::bench::median;

/// Answers requests until the input ends.
pub fn serve(threads: usize) -> Result<()> {
    let workers = Threads::new(threads)?;
    println!("{}", json!({"ready": true, "threads": threads}));
    for line in std::io::stdin().lock().lines() {
        let request: Json = serde_json::from_str(&line?)?;
        if request["quit"] == true {
            break;
        }
        let number = |key: &str, otherwise: usize| request[key].as_u64().map_or(otherwise, |n| n as usize);
        let answer = match request["what"].as_str() {
            Some("peak") => machine(&workers),
            Some("infer") => infer(&request, number("particles", 64), number("repeat", 200))?,
            _ => steps(&request, number("batch", 128), number("particles", 64), number("steps", 5), &workers)?,
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Calls `fit` with a run that times its steps, and gives their seconds; the first two warm up.
fn timed(workers: &dyn Workers, fit: impl FnOnce(&mut Run<'_>) -> fb_core::Result<()>) -> Result<Vec<f64>> {
    let mut ticks = vec![];
    let mut tick = |_: usize, _: f64| ticks.push(Instant::now());
    let mut run = Run {
        seed: 1,
        workers,
        tick: &mut tick,
        report: &mut |_| {},
        stop: &|| false,
        store: &mut Nowhere,
        start: None,
    };
    fit(&mut run)?;
    Ok(ticks.windows(2).skip(1).map(|t| (t[1] - t[0]).as_secs_f64()).collect())
}

fn steps(request: &Json, batch: usize, particles: usize, steps: usize, workers: &dyn Workers) -> Result<Json> {
    let name = request["network"].as_str().context("no network")?;
    let events = batch * (steps + 2);
    let labels: Vec<u32> = (0..events as u32).map(|i| i % 2).collect();
    let (weights, identity) = (vec![1.0; events], (0..events as u64).collect::<Vec<_>>());
    let train = Train { epochs: 1, batch, ..Train::default() };
    let (seconds, flops) = if name == "mlp" {
        let (graph, values) = (mlp(), random(events * 60));
        let features = Features { width: 60, values, offsets: None, others: Vec::new() };
        let labels: Vec<u32> = (0..events as u32).map(|i| i % 6).collect();
        let set = Set {
            features: &features,
            target: Target::Classes(&labels),
            weights: &weights,
            identity: &identity,
            variable: None,
        };
        let none = Set { target: Target::Classes(&[]), weights: &[], identity: &[], ..set };
        let flops = flops(&graph, batch, particles);
        (timed(workers, |run| fb_nn::train(graph, &train, set, none, run).map(drop))?, flops)
    } else {
        let method = fb_methods::method(name)?;
        let config = configured(method.defaults(), request, &train, particles);
        let sample = Sample { events: jets(events, particles)?, labels, weights, identity, ..Sample::default() };
        let few: Vec<usize> = (0..16).collect();
        let validation = sample.take(&few);
        let mut graph = None;
        let seconds = timed(workers, |run| {
            let fitted = method.fit(&config, &sample, &validation, run)?;
            graph = serde_json::from_value::<Graph>(fitted.artifact()?.header["graph"].take()).ok();
            Ok(())
        })?;
        (seconds, flops(&graph.context("the model has no graph")?, batch, particles))
    };
    let seconds_per_step = median(seconds.clone());
    Ok(json!({
        "network": name, "seconds_per_step": seconds_per_step, "all": seconds, "peak_rss_mb": peak_memory_mb(),
        "gflops": flops / seconds_per_step / 1e9,
    }))
}

/// The options of a network in this benchmark.
fn configured(mut config: Json, request: &Json, train: &Train, particles: usize) -> Json {
    config["train"] = json!(train);
    let asked = ["k", "pixels", "hidden", "depth"].map(|key| (key, request[key].clone()));
    for (key, value) in [("max", json!(particles))].into_iter().chain(asked) {
        if config.get(key).is_some() && !value.is_null() {
            config[key] = value;
        }
    }
    config
}

/// Seconds of the score of one jet.
fn infer(request: &Json, particles: usize, repeat: usize) -> Result<Json> {
    let path = request["model"].as_str().context("no model")?;
    let model = femtobarn::pipeline::load(std::path::Path::new(path))?;
    let all = jets(16, particles)?;
    let one: Vec<Events> = (0..16).map(|i| all.take(&[i])).collect();
    let mut seconds = Vec::new();
    for i in 0..repeat + 20 {
        let start = Instant::now();
        std::hint::black_box(model.scores(&one[i % 16], &fb_core::run::Alone)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(json!({"seconds": median(seconds.split_off(20))}))
}

fn mlp() -> Graph {
    let mut graph = Graph::new(Rows::Event, 60);
    let mut x = Graph::INPUT;
    for width in [300, 300, 400] {
        x = graph.linear(x, width, Activation::Relu);
    }
    graph.linear(x, 6, Activation::Identity);
    graph
}

fn random(n: usize) -> Vec<f32> {
    let mut random = Philox::new(3, 1, 4);
    (0..n).map(|_| random.normal() as f32).collect()
}

/// Jets of 600 GeV with three prongs and exactly this many constituents.
fn jets(events: usize, particles: usize) -> Result<Events> {
    let mut columns: [Vec<f32>; 4] = Default::default();
    for event in 0..events {
        let mut random = Philox::new(11, event as u64, 0);
        let shares: Vec<f64> = (0..particles).map(|_| -random.uniform().max(1e-9).ln()).collect();
        let total: f64 = shares.iter().sum();
        let prongs: Vec<[f64; 2]> = (0..3).map(|_| [0.25 * random.normal(), 0.25 * random.normal()]).collect();
        for share in shares {
            let [eta, phi] = prongs[random.below(3)].map(|x| x + 0.08 * random.normal());
            let pt = 600.0 * share / total;
            let p = [pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()];
            columns.iter_mut().zip(p).for_each(|(column, x)| column.push(x as f32));
        }
    }
    let offsets = Arc::new((0..=events).map(|i| i * particles).collect::<Vec<_>>());
    let names = ["part_px", "part_py", "part_pz", "part_E"];
    let columns = names.into_iter().zip(columns);
    Ok(Events::new(columns.map(|(n, c)| Column::jagged(n, Data::F32(c), Arc::clone(&offsets))).collect())?)
}

/// Floating-point operations of the products of a training step: three products forward and backward for each one.
fn flops(graph: &Graph, batch: usize, particles: usize) -> f64 {
    let width = |node: usize| graph.nodes[node].width;
    let mut sum = 0;
    for node in &graph.nodes {
        let rows = match node.rows {
            Rows::Event => batch,
            Rows::Particle | Rows::Joint => batch * particles,
            Rows::Edge => batch * graph.edges.map_or(0, |edges| edges.count(graph.fixed.len() + particles)),
            Rows::Near { k } => batch * particles * k.min(particles),
        };
        let from = node.inputs.first().map_or(0, |&i| width(i));
        sum += match node.op {
            Op::Linear { .. } => rows * from * node.width,
            Op::Attention { .. } => 2 * rows * particles * node.width,
            Op::EdgeConv { k, channels: [a, b, c] } => {
                rows * 2 * width(node.inputs[1]) * a + rows * k.min(particles - 1) * (a * b + b * c)
            }
            Op::Interaction { channels: [a, b, c], .. } => {
                rows * 2 * from * a + rows * (particles - 1) * (a * b + b * c)
            }
            Op::Lstm { hidden } => batch * particles * (from + hidden) * 4 * hidden,
            Op::Conv { shape, out, kernel, groups, .. } => {
                let taps = if shape[0] == 1 { kernel } else { kernel * kernel };
                rows * node.width / out * taps * shape[2] / groups * out
            }
            _ => 0,
        };
    }
    6.0 * sum as f64
}

/// Rows of the square product that the peak is measured with.
const N: usize = 768;

/// Peak of a square product in GFLOP/s per thread and of all threads, and of a sum over memory in GB/s.
fn machine(workers: &dyn Workers) -> Json {
    let n = workers.count();
    let product = |_: usize| {
        let (a, b) = (vec![1.0f32; N * N], vec![1.0f32; N * N]);
        let mut c = vec![0.0f32; N * N];
        for _ in 0..4 {
            square_product(&mut c, &a, &b);
        }
        std::hint::black_box(c);
    };
    let time = |task: &(dyn Fn(usize) + Sync)| {
        let runs = (0..7).map(|_| {
            let start = Instant::now();
            workers.for_each(n, task);
            start.elapsed().as_secs_f64()
        });
        runs.fold(f64::INFINITY, f64::min)
    };
    let gflops = (4 * 2 * N * N * N * n) as f64 / time(&product) / 1e9;
    let memory: Vec<Vec<f32>> = (0..n).map(|_| vec![1.0; 1 << 25]).collect();
    let read = |i: usize| {
        std::hint::black_box(memory[i].chunks_exact(16).fold([0.0f32; 16], |mut s, x| {
            s.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            s
        }));
    };
    let bandwidth = (n << 27) as f64 / time(&read) / 1e9;
    json!({"gemm_gflops": gflops, "read_gb_per_s": bandwidth, "threads": n})
}

/// c = a·b for square matrices of N rows.
#[allow(unsafe_code, reason = "the bare product of the machine is called with pointers")]
fn square_product(c: &mut [f32], a: &[f32], b: &[f32]) {
    assert!(a.len() == N * N && b.len() == N * N && c.len() == N * N);
    let (n, rows) = (N, N as isize);
    // SAFETY: all three hold N × N entries, row after row; `c` is borrowed mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            n,
            n,
            n,
            c.as_mut_ptr(),
            1,
            rows,
            false,
            a.as_ptr(),
            1,
            rows,
            b.as_ptr(),
            1,
            rows,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
