//! Whole runs on problems with more than two classes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::{run, stderr, succeed};
use fb_core::{Data, Philox};
use serde_json::Value as Json;

/// Three classes in a plane: 0 lies apart, 1 and 2 nearly together. Some weights are negative.
fn toy(folder: &Path, events: usize) -> String {
    let mut random = Philox::new(5, 0, 0);
    let mut text = "label,w,x,y\n".to_owned();
    for i in 0..events {
        let (label, w) = (i % 3, if i % 17 == 0 { -0.5 } else { 0.5 + random.uniform() });
        let [x, y] = [[3.0, 0.0], [0.0, 0.0], [0.0, 1.0]][label].map(|at| at + random.normal());
        let _ = writeln!(text, "{label},{w},{x},{y}");
    }
    let path = folder.join("toy.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn experiment(folder: &Path, data: &str, methods: &str) -> String {
    let path = folder.join("toy.toml");
    let text = format!(
        "seeds = 2\n[read]\nfiles = [\"{data}\"]\nlabel = \"label\"\nweight = \"w\"\n\
         [evaluate]\nreplicas = 40\nlearning_curve = [0.5]\n\
         metrics = [\"auc\", \"accuracy\", \"balanced_accuracy\", \"log_loss\", \"ece\", \"rejection@0.5\", \"max_sic\"]\n{methods}"
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const TREES: &str = "[[method]]\nname = \"bdt\"\nvariables = [\"x\", \"y\"]\ntrees = 20\ndepth = 3\nsubsample = 0.7\n";

fn central(value: &Json) -> f64 {
    let [low, central, high] = ["low", "central", "high"].map(|k| value[k].as_f64().unwrap());
    assert!(low <= central && central <= high && low < high, "{value}");
    central
}

#[test]
fn three_classes_are_judged_one_against_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let data = toy(folder.path(), 3000);
    let more = "[[method]]\nname = \"random_forest\"\nvariables = [\"x\"]\ntrees = 10\n";
    let file = experiment(folder.path(), &data, &format!("{TREES}{more}"));
    let out = folder.path().join("run");
    let printed = succeed(&["run", &file, "--out", out.to_str().unwrap(), "--json", "--threads", "2"]);
    let results: Json = serde_json::from_str(&printed).unwrap();
    for method in results["methods"].as_array().unwrap() {
        let of = |list: &str| -> Vec<f64> {
            method[list].as_array().unwrap().iter().map(|row| central(&row["auc"])).collect()
        };
        let (classes, pairs) = (of("classes"), of("pairs"));
        assert_eq!((classes.len(), pairs.len()), (3, 3));
        let auc = central(&method["metrics"]["auc"]);
        assert!((auc - classes.iter().sum::<f64>() / 3.0).abs() < 1e-12, "the mean over the classes");
        assert_eq!(method["pairs"][2]["a"], 1);
        assert!(pairs[2] < pairs[0] && pairs[2] < pairs[1], "1 and 2 lie nearly together: {pairs:?}");
        let confusion = method["confusion"].as_array().unwrap();
        let mut diagonal = 0.0;
        for (k, row) in confusion.iter().enumerate() {
            let row: Vec<f64> = row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            diagonal += row[k] / 3.0;
        }
        assert!((diagonal - central(&method["metrics"]["balanced_accuracy"])).abs() < 1e-12);
        assert_eq!(method["learning_curve"].as_array().unwrap().len(), 2);
        for kind in ["spread", "ensemble_mean", "ensemble_median"] {
            assert_eq!(method[kind].as_object().unwrap().len(), 7, "{kind}");
        }
    }
    let bdt = &results["methods"][0];
    // Best: Gaussians one apart have Φ(1/√2) = 0.760, three apart 0.983.
    let best: Vec<f64> = bdt["pairs"].as_array().unwrap().iter().map(|p| central(&p["auc"])).collect();
    assert!(best[0] > 0.94 && (0.70..0.82).contains(&best[2]), "{best:?}");
    let difference = &results["differences"][0]["auc"];
    let [a, b] = [0, 1].map(|m| central(&results["methods"][m]["metrics"]["auc"]));
    assert!((central(difference) - (a - b)).abs() < 1e-12 && a > b);
    assert_eq!(results["parts"][0]["events"].as_array().unwrap().len(), 3);
    scores_are_probabilities(&out);
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    for text in ["<h2>Classes</h2>", "1 – 2", "class 2 events", "are drawn for two classes only"] {
        assert!(report.contains(text), "{text}");
    }
    assert!(!report.contains("NaN") && !report.contains("Receiver operating") && !report.contains("signal events"));
    // On another number of threads, the same numbers.
    let again = folder.path().join("again");
    let printed = succeed(&["run", &file, "--out", again.to_str().unwrap(), "--json", "--threads", "1"]);
    let same: Json = serde_json::from_str(&printed).unwrap();
    for key in ["metrics", "classes", "pairs", "confusion"] {
        assert_eq!(same["methods"][0][key], bdt[key], "{key}");
    }
    let table = succeed(&["resume", out.to_str().unwrap()]);
    assert!(table.contains("AUC") && table.contains("bdt"), "{table}");
}

/// A column for each class, and their sum is one.
fn scores_are_probabilities(out: &Path) {
    let table = fb_io::read(out.join("scores.parquet")).unwrap();
    let columns: Vec<&Data> = (0..3).map(|k| &table.column(&format!("bdt_{k}")).unwrap().data).collect();
    for i in 0..table.len() {
        let sum: f64 = columns.iter().map(|c| c.number(i)).sum();
        assert!((sum - 1.0).abs() < 1e-5, "event {i}: {sum}");
    }
    assert!(table.column("bdt").is_err());
}

#[test]
fn classes_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = toy(folder.path(), 300);
    let fails = |file: &str, code: i32, words: &[&str]| {
        let out = folder.path().join("refused");
        let _ = std::fs::remove_dir_all(&out);
        let output = run(&["run", file, "--out", out.to_str().unwrap()]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(words.iter().all(|w| text.contains(w)) && !text.contains("panicked"), "{text}");
    };
    // A method for two classes says so.
    let two = experiment(folder.path(), &data, "[[method]]\nname = \"adaboost\"\nvariables = [\"x\"]\n");
    fails(&two, 2, &["two classes"]);
    // So does a metric.
    let ams = experiment(folder.path(), &data, TREES);
    let text = std::fs::read_to_string(&ams).unwrap().replace("\"max_sic\"", "\"ams@10,100\"");
    std::fs::write(&ams, text).unwrap();
    fails(&ams, 2, &["metric `ams@10,100`", "signal and background", "3 classes"]);
    // A class that only the test events have has no score.
    let other = folder.path().join("test.csv");
    std::fs::write(&other, "label,w,x,y\n0,1,0,0\n1,1,0,0\n2,1,0,0\n3,1,0,0\n").unwrap();
    let file = experiment(folder.path(), &data, TREES);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("label = \"label\"", &format!("label = \"label\"\ntest = [\"{}\"]", other.display()));
    std::fs::write(&file, text).unwrap();
    fails(&file, 3, &["test part", "class 3", "training part has none"]);
}
