//! `cargo xtask bench statistics`: fits and limits of HistFactory models by us and by pyhf, one thread each, in turns; then
//! pseudo-experiments on one and two threads, and the cost against the numbers of parameters and bins.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use fb_core::Workers;
use fb_core::run::Alone;
use fb_statistics::histfactory::{Likelihood, Model, Scan, Workspace, best_fit, patched, test_with_toys};
use femtobarn::workers::Threads;
use serde_json::{Value as Json, json};

use crate::bench::{Server, in_release, median, python};

const TURNS: usize = 3;
/// The likelihood of ATLAS' search for bottom squarks (doi:10.17182/hepdata.89408).
const ATLAS: [&str; 2] = ["BkgOnly.json", "patch.sbottom_1300_205_60.json"];

/// Times all models; `atlas` is a folder with [`ATLAS`].
pub fn statistics(atlas: Option<&str>) -> Result<()> {
    let words: Vec<&str> = ["bench", "statistics"].into_iter().chain(atlas).collect();
    if in_release(&words)? {
        return Ok(());
    }
    let mut models = vec![("40 bins, 45 parameters".to_owned(), synthetic(8, 5, 4))];
    match atlas {
        Some(folder) => {
            let read = |name: &str| -> Result<Json> {
                let path = Path::new(folder).join(name);
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                Ok(serde_json::from_slice(&bytes)?)
            };
            models.push(("ATLAS sbottom".to_owned(), patched(read(ATLAS[0])?, &read(ATLAS[1])?, None)?));
        }
        None => eprintln!("no folder of the ATLAS likelihood is named: it is left out"),
    }
    models.push(("300 parameters".to_owned(), synthetic(40, 5, 99)));
    println!("seconds of CLs with pseudo-experiments, 5000 with and 5000 without signal\nmodel | 1 thread | 2 threads");
    println!("--- | ---: | ---:");
    for (name, document) in models.iter().filter(|(name, _)| name.starts_with("40")) {
        let times = [&Alone as &dyn Workers, &Threads::new(2)?].map(|workers| toys(document, workers));
        let [one, two] = times;
        println!("{name} | {:.2} | {:.2}", one?, two?);
    }
    println!(
        "\nmilliseconds of a fit\nchannels × bins | nuisance parameters | all parameters | ours\n---: | ---: | ---: | ---:"
    );
    for (channels, bins, nuisances) in
        [(4, 5, 10), (8, 5, 10), (16, 5, 10), (32, 5, 10), (8, 5, 20), (8, 5, 80), (8, 5, 160)]
    {
        let document = synthetic(channels, bins, nuisances);
        let workspace = Workspace::parse(&document)?;
        let count = Model::new(&workspace, workspace.measurement(None)?)?.parameters().len();
        let seconds = median(
            (0..TURNS).map(|_| ours(&document, "fit")).collect::<Result<Vec<_>>>()?.into_iter().map(|t| t.0).collect(),
        );
        println!("{channels} × {bins} | {nuisances} | {count} | {:.1}", 1e3 * seconds);
    }
    let mut peer = Server::start(Command::new(python()).arg("references/bench_statistics.py"))?;
    println!("\nmilliseconds, medians of {TURNS} turns (limits: one); the fastest of pyhf's backends and optimisers");
    println!("model | task | ours | pyhf | with | ratio");
    println!("--- | --- | ---: | ---: | --- | ---:");
    for (name, document) in &models {
        compare(&mut peer, name, document)?;
    }
    Ok(())
}

/// A backend of pyhf and its optimiser.
type Choice = (&'static str, &'static str);

/// All that are asked for a fit; the scan of CLs, which takes minutes and fails with jax, is asked of the faster with numpy.
const CHOICES: [Choice; 3] = [("numpy", "scipy"), ("numpy", "minuit"), ("jax", "scipy")];

fn compare(peer: &mut Server, name: &str, document: &Json) -> Result<()> {
    let mut fits = Vec::new();
    for choice in CHOICES {
        let times = turns(peer, name, document, "fit", choice, TURNS)?;
        fits.extend(times.1.is_finite().then_some((times, choice)));
    }
    fits.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let show = |task: &str, (ours, theirs): (f64, f64), choice: Choice| {
        let (with, ratio) = (format!("{}, {}", choice.0, choice.1), ours / theirs);
        println!("{name} | {task} | {:.1} | {:.0} | {with} | **{ratio:.4}**", 1e3 * ours, 1e3 * theirs);
    };
    if let Some(&(times, choice)) = fits.first() {
        show("fit", times, choice);
    }
    if let Some(&(_, choice)) = fits.iter().find(|(_, choice)| choice.0 == "numpy") {
        show("limits", turns(peer, name, document, "limits", choice, 1)?, choice);
    }
    Ok(())
}

/// Median seconds of ours and theirs, in turns.
fn turns(
    peer: &mut Server,
    name: &str,
    document: &Json,
    task: &str,
    (backend, optimiser): Choice,
    turns: usize,
) -> Result<(f64, f64)> {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        let (seconds, found) = ours(document, task)?;
        mine.push(seconds);
        let mut request = json!({"backend": backend, "optimiser": optimiser, "task": task});
        if turn == 0 {
            request["workspace"] = document.clone();
        }
        let answer = peer.ask(&request)?;
        let Some(seconds) = answer["seconds"].as_f64() else {
            eprintln!("{name}, {task}, {backend} with {optimiser}: {}", answer["failed"]);
            break;
        };
        let peers = answer["found"].as_f64().unwrap_or(f64::NAN);
        if (peers - found).abs() > 1e-3 * found.abs() {
            eprintln!("{name}, {task}, {backend} with {optimiser}: {peers}, ours {found}");
        }
        theirs.push(seconds);
    }
    Ok((median(mine), median(theirs)))
}

/// Seconds, and −2 ln L or the observed limit.
fn ours(document: &Json, task: &str) -> Result<(f64, f64)> {
    let workspace = Workspace::parse(document)?;
    let model = Model::new(&workspace, workspace.measurement(None)?)?;
    let start = Instant::now();
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let found = match task {
        "fit" => best_fit(&likelihood)?.fit.twice_nll,
        _ => Scan::new(likelihood)?.limits(0.05)?.observed,
    };
    Ok((start.elapsed().as_secs_f64(), found))
}

fn toys(document: &Json, workers: &dyn Workers) -> Result<f64> {
    let workspace = Workspace::parse(document)?;
    let model = Model::new(&workspace, workspace.measurement(None)?)?;
    let likelihood = Likelihood::new(&model, model.observed(&workspace));
    let start = Instant::now();
    std::hint::black_box(test_with_toys(&likelihood, 1.0, 5000, 1, workers)?);
    Ok(start.elapsed().as_secs_f64())
}

/// Channels of a signal and two backgrounds with `nuisances` systematic errors in turn of yield and shape, and the errors of
/// the simulation: a parameter a bin.
fn synthetic(channels: usize, bins: usize, nuisances: usize) -> Json {
    let wave = |a: usize, b: usize, c: usize| ((a * 37 + b * 101 + c * 17) as f64).sin();
    let channel = |c: usize| {
        let nominal = |sample: usize| -> Vec<f64> {
            let size = [4.0, 60.0, 30.0][sample];
            (0..bins).map(|b| size * (1.0 + 0.3 * wave(c, b, sample)) / (1.0 + 0.3 * b as f64)).collect()
        };
        let samples: Vec<Json> = ["signal", "first", "second"]
            .iter()
            .enumerate()
            .map(|(sample, name)| {
                let data = nominal(sample);
                let mut modifiers: Vec<Json> = (0..nuisances)
                    .filter(|n| (n + c + sample).is_multiple_of(3))
                    .map(|n| {
                        let size = 0.04 * (1.0 + 0.5 * wave(n, c, sample));
                        if n.is_multiple_of(2) {
                            let factors = json!({"hi": 1.0 + size, "lo": 1.0 / (1.0 + size)});
                            return json!({"name": format!("norm_{n}"), "type": "normsys", "data": factors});
                        }
                        let moved = |sign: f64| -> Vec<f64> {
                            data.iter().enumerate().map(|(b, x)| x * (1.0 + sign * size * wave(n, b, 5))).collect()
                        };
                        let data = json!({"hi_data": moved(1.0), "lo_data": moved(-1.0)});
                        json!({"name": format!("shape_{n}"), "type": "histosys", "data": data})
                    })
                    .collect();
                if sample == 0 {
                    modifiers.push(json!({"name": "mu", "type": "normfactor", "data": null}));
                } else {
                    let errors: Vec<f64> = data.iter().map(|x| 0.05 * x).collect();
                    modifiers.push(json!({"name": format!("simulation_{c}"), "type": "staterror", "data": errors}));
                }
                json!({"name": name, "data": data, "modifiers": modifiers})
            })
            .collect();
        json!({"name": format!("channel_{c}"), "samples": samples})
    };
    let observed = |c: usize| -> Vec<f64> {
        (0..bins).map(|b| (90.0 * (1.0 + 0.25 * wave(c, b, 1)) / (1.0 + 0.3 * b as f64)).round()).collect()
    };
    json!({
        "channels": (0..channels).map(channel).collect::<Vec<_>>(),
        "observations": (0..channels).map(|c| json!({"name": format!("channel_{c}"), "data": observed(c)})).collect::<Vec<_>>(),
        "measurements": [{"name": "measurement", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    })
}
