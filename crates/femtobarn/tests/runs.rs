//! Whole runs of the program: what it writes, that the bits do not depend on threads or interruptions.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{experiment, fb, models, root, run, stderr, succeed, text, tiny};
use fb_core::{Data, Philox};
use serde_json::Value as Json;

const METHODS: &str = r#"
[[method]]
name = "logistic"
[[method]]
name = "pfn"
max = 20
phi = [16, 16]
f = [16]
train = { epochs = 2, batch = 40 }
"#;

const NETWORKS: &str = r#"
[[method]]
name = "particlenet_lite"
max = 16
train = { epochs = 2, batch = 64, patience = 2, average = 0.9 }
[[method]]
name = "lstm_tagger"
max = 10
train = { epochs = 1, batch = 64, schedule = "one_cycle" }
[[method]]
name = "topodnn"
train = { epochs = 2, batch = 32, optimiser = "adamw", weight_decay = 0.01, clip = 1.0 }
"#;

fn json(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_leaves_everything_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(
        folder.path(),
        "[evaluate]\nlearning_curve = [0.5]\nreplicas = 40",
        &format!("seeds = 2\n{METHODS}"),
    );
    // `seeds` stands behind tables in the text above, so it is set from outside.
    let text = std::fs::read_to_string(&file).unwrap().replace("seeds = 2\n", "");
    std::fs::write(&file, text).unwrap();
    let out = folder.path().join("run");
    let printed = succeed(&["run", &file, "--out", out.to_str().unwrap(), "--set", "seeds=2", "--json"]);
    let results: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!(results, json(&out.join("results.json")), "what is printed is what is stored");
    let methods = results["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 2);
    for method in methods {
        for metric in ["auc", "accuracy", "rejection@0.3", "rejection@0.5"] {
            let value = &method["metrics"][metric];
            let [central, low, high] = ["central", "low", "high"].map(|k| value[k].as_f64());
            if metric == "auc" {
                let (central, low, high) = (central.unwrap(), low.unwrap(), high.unwrap());
                assert!(low <= central && central <= high && low < high && (0.0..1.0).contains(&central), "{value}");
            }
        }
        assert!(method["train_seconds"].as_f64().unwrap() > 0.0);
        assert!(method["train_events_per_second"].as_f64().unwrap() > 0.0);
        assert!(method["parameters"].as_u64().unwrap() > 0);
        assert!(method["spread"]["auc"].is_number() && method["ensemble_mean"]["auc"].is_object());
        assert_eq!(method["learning_curve"].as_array().unwrap().len(), 2);
        assert!(out.join(method["artifact"].as_str().unwrap()).exists());
        assert!(out.join(method["onnx"].as_str().unwrap()).exists());
    }
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.len() < 3_000_000 && report.contains("<svg") && report.contains("application/json"));
    for outside in ["src=", "href=", "url(http", "@import"] {
        assert!(!report.contains(outside), "the report needs nothing else: {outside}");
    }
    assert!(!report.contains("NaN"), "no figure has a number that is none");
    // The resolved experiment gives the same run again.
    let again = folder.path().join("again");
    succeed(&["run", out.join("experiment.toml").to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert_eq!(models(&out), models(&again));
}

#[test]
fn trees_tell_what_they_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let files = root().join("samples/higgs_tautau/htt.parquet").display().to_string();
    let text = format!(
        "[read]\nfiles = [\"{files}\"]\nlabel = \"label\"\nweight = \"weight\"\nmissing = [-999]\n\
         [deploy]\nonnx = false\n[[method]]\nname = \"bdt\"\ntrees = 12\ndepth = 3\n"
    );
    let file = folder.path().join("htt.toml");
    std::fs::write(&file, text).unwrap();
    let results = |name: &str, more: &[&str]| -> (Json, String) {
        let out = folder.path().join(name);
        let all = [&["run", file.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"], more].concat();
        (serde_json::from_str(&succeed(&all)).unwrap(), std::fs::read_to_string(out.join("report.html")).unwrap())
    };
    let (found, report) = results("run", &["--threads", "2"]);
    let importance = found["methods"][0]["importance"].as_array().unwrap();
    assert_eq!(importance.len(), 30);
    for kind in ["gain", "permutation", "shap"] {
        assert!(importance.iter().all(|i| i[kind]["low"].as_f64() <= i[kind]["high"].as_f64()), "{kind}");
    }
    let sum: f64 = importance.iter().filter_map(|i| i["gain"]["central"].as_f64()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    let first: Vec<&str> = importance.iter().take(3).filter_map(|i| i["variable"].as_str()).collect();
    assert!(first.contains(&"DER_mass_MMC"), "the mass of the Higgs boson: {first:?}");
    assert!(report.contains("What the trees look at") && !report.contains("NaN"));
    let (same, _) = results("one", &["--threads", "1"]);
    assert_eq!(same["methods"][0]["importance"], found["methods"][0]["importance"], "on any number of threads");
    let (without, report) = results("off", &["--set", "evaluate.importance=false"]);
    assert!(without["methods"][0]["importance"].is_null() && !report.contains("What the trees look at"));
}

#[test]
fn predictions_know_what_was_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", METHODS);
    let out = folder.path().join("run");
    succeed(&["run", &file, "--out", out.to_str().unwrap()]);
    let scores = folder.path().join("scores.parquet");
    let copy = folder.path().join("other.parquet");
    std::fs::copy(tiny(), &copy).unwrap();
    let [run, tiny, copy, scores_text] = [&out, &tiny(), &copy, &scores].map(|p| p.to_str().unwrap().to_owned());
    succeed(&["predict", &run, &tiny, &copy, "-o", &scores_text, "--method", "pfn"]);
    let table = fb_io::read(&scores).unwrap();
    assert_eq!(table.len(), 800);
    let Data::Text(split) = &table.column("split").unwrap().data else { panic!("text") };
    assert!(split[400..].iter().all(|s| s == "new"), "a file the run has not seen");
    let parts = json(&out.join("results.json"))["parts"].clone();
    for part in parts.as_array().unwrap() {
        let expected: u64 = part["events"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
        let found = split[..400].iter().filter(|s| *s == part["name"].as_str().unwrap()).count();
        assert_eq!(found as u64, expected, "{part}");
    }
    let stored = fb_io::read(out.join("scores.parquet")).unwrap();
    let stored = stored.column("pfn").unwrap();
    let found = table.column("pfn").unwrap();
    let test: Vec<f64> = (0..400).filter(|&i| split[i] == "test").map(|i| found.data.number(i)).collect();
    assert_eq!(test, (0..test.len()).map(|i| stored.data.number(i)).collect::<Vec<_>>());
    let bad = common::run(&["predict", &run, &tiny, "-o", &scores_text, "--method", "pfm"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("did you mean `pfn`"), "{}", stderr(&bad));
}

#[test]
fn threads_do_not_change_the_bits() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", NETWORKS);
    let of = |threads: &str| {
        let out = folder.path().join(threads);
        succeed(&["run", &file, "--out", out.to_str().unwrap(), "--threads", threads]);
        models(&out)
    };
    let one = of("1");
    assert_eq!(one.len(), 3);
    assert_eq!(one, of("2"));
    assert_eq!(one, of("3"));
}

/// Kills the program `kills` times at random instants; every run that ends has the bits of an undisturbed one.
fn kills(kills: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", NETWORKS);
    let calm = folder.path().join("calm");
    // Short epochs: many checkpoints, so that some kills hit one that is being written.
    let start = |out: &Path| {
        let mut command = fb();
        command.args(["run", &file, "--out", out.to_str().unwrap(), "--set", "train.epochs=12", "--threads", "1"]);
        command
    };
    let begin = std::time::Instant::now();
    assert!(start(&calm).output().unwrap().status.success());
    let whole = begin.elapsed();
    let expected = models(&calm);
    let mut random = Philox::new(12, 0, 0);
    let (mut done, mut ended) = (0, 0);
    while done < kills || ended == 0 {
        let out = folder.path().join(format!("run-{ended}"));
        loop {
            let mut command = start(&out);
            if out.join("experiment.toml").exists() {
                command = fb();
                command.args(["resume", out.to_str().unwrap(), "--threads", "2"]);
            }
            command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            let mut child = command.spawn().unwrap();
            if done < kills {
                std::thread::sleep(whole.mul_f64(0.35 * random.uniform()));
                done += usize::from(child.try_wait().unwrap().is_none());
                child.kill().unwrap();
            }
            if child.wait().unwrap().success() {
                break;
            }
            assert!(done <= kills, "a run that is not disturbed must end");
        }
        assert_eq!(models(&out), expected);
        ended += 1;
    }
}

#[test]
fn twenty_kills_leave_the_bits_alone() {
    kills(20);
}

#[test]
#[ignore = "minutes; part of the slow set"]
fn two_hundred_kills_leave_the_bits_alone() {
    kills(200);
}

#[test]
fn a_signal_leaves_a_checkpoint_and_exit_code_85() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "", NETWORKS);
    let (calm, out) = (folder.path().join("calm"), folder.path().join("run"));
    succeed(&["run", &file, "--out", calm.to_str().unwrap(), "--set", "train.epochs=30"]);
    let mut child = fb()
        .args(["run", &file, "--out", out.to_str().unwrap(), "--set", "train.epochs=30"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let first = out.join("methods/particlenet_lite/seed-1");
    for _ in 0..3000 {
        if first.join("metrics.jsonl").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(85));
    assert!(first.join("checkpoint.0").exists() || first.join("checkpoint.1").exists());
    succeed(&["resume", out.to_str().unwrap()]);
    assert_eq!(models(&calm), models(&out));
    assert!(!first.join("checkpoint.0").exists(), "a training that is done needs none");
    // A finished run can be resumed for a new report.
    std::fs::remove_file(out.join("report.html")).unwrap();
    succeed(&["resume", out.to_str().unwrap()]);
    assert!(out.join("report.html").exists());
    let metrics = std::fs::read_to_string(first.join("metrics.jsonl")).unwrap();
    let epochs: Vec<u64> =
        metrics.lines().map(|l| serde_json::from_str::<Json>(l).unwrap()["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "every epoch once");
}

#[test]
fn list_and_show_tell_of_every_method() {
    let list = succeed(&["list"]);
    for method in fb_methods::METHODS {
        let name = method.card().name;
        assert!(list.lines().any(|l| l.starts_with(name)), "{name}");
        // What is shown can be put into an experiment file as it is.
        let shown = succeed(&["show", name]);
        let (_, options) = shown.split_once("[[method]]").unwrap();
        let groups = method.card().tasks.contains(&fb_core::Task::Partition);
        let asked = if groups { "partition = \"trk_vtx_index\"" } else { "label = \"label\"" };
        let text = format!("[read]\nfiles = [\"a.parquet\"]\n{asked}\n[[method]]{options}");
        let experiment = femtobarn::Experiment::parse(&text, "x", &[]).unwrap();
        assert_eq!(experiment.method[0].config, method.defaults(), "{name}");
    }
    assert_eq!(run(&["show", "particlenet_light"]).status.code(), Some(2));
    let cards: Json = serde_json::from_str(&succeed(&["list", "--json"])).unwrap();
    assert_eq!(cards.as_array().unwrap().len(), fb_methods::METHODS.len());
}

#[test]
fn a_score_is_kept_from_a_variable_and_the_variable_must_be_there() {
    let place = tempfile::tempdir().unwrap();
    let method = |against: &str, strength: f64| {
        let train = format!(
            "epochs = 60, batch = 500, lr = 0.01, decorrelate = {{ against = \"{against}\", strength = {strength} }}"
        );
        format!(
            "[[method]]\nname = \"mlp\"\nlayers = [8]\nvariables = [\"jet_m\", \"jet_tau3\"]\ntrain = {{ {train} }}\n"
        )
    };
    let judged = "[evaluate]\nmetrics = [\"auc\", \"sculpting@0.8\"]\nbins_in = \"jet_m\"\nreplicas = 20";
    let sculpting = |name: &str, strength: f64, threads: &str| {
        let (file, out) =
            (experiment(place.path(), "", &(method("jet_m", strength) + judged)), place.path().join(name));
        let many = format!("read.files=[\"{}\"]", root().join("samples/top_tagging/test.parquet").display());
        succeed(&["run", &file, "--out", &text(&out), "--threads", threads, "--set", &many]);
        let results: Json = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
        results["methods"][0]["metrics"]["sculpting@0.8"]["central"].as_f64().unwrap()
    };
    let (free, kept) = (sculpting("free", 0.0, "1"), sculpting("kept", 50.0, "1"));
    assert!(free > 0.2 && kept < 0.5 * free, "{free} {kept}");
    sculpting("two", 50.0, "2");
    assert_eq!(models(&place.path().join("kept")), models(&place.path().join("two")));
    let file = experiment(place.path(), "", &method("jet_mm", 1.0));
    let output = run(&["run", &file, "--out", &text(&place.path().join("bad"))]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("did you mean `jet_m`"), "{}", stderr(&output));
}
