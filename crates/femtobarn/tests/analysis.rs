//! The analysis of an experiment: from scores to the luminosity that they are worth.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{root, run, stderr, succeed, text};
use serde_json::Value;

/// The experiment of the repository, with fewer replicas and pseudo-experiments.
fn higgs(folder: &Path, more: &[&str]) -> Value {
    let (file, out) = (text(&root().join("experiments/higgs_dimuon/higgs_dimuon.toml")), text(folder));
    let files = format!("read.files=[\"{}\"]", root().join("samples/higgs_dimuon/higgs_dimuon.parquet").display());
    let few = ["--set", "evaluate.replicas=20", "--set", "analysis.toys=40", "--set", "evaluate.importance=false"];
    let arguments = [&["run", &file, "--out", &out, "--set", &files], &few[..], more].concat();
    succeed(&arguments);
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

#[test]
fn categories_of_the_score_are_worth_more_than_none() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let results = higgs(&one, &["--threads", "1"]);
    let analysis = &results["analysis"];
    assert_eq!(analysis, &higgs(&two, &["--threads", "2"])["analysis"]);
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let (z, base) = (&analysis["sensitivity"], &analysis["baseline"]);
    assert_eq!(base["name"], "inclusive");
    assert!(number(&analysis["gain"], "low") > 1.15, "{analysis}");
    let ratio = number(z, "central") / number(base, "central");
    assert!((number(&analysis["luminosity_factor"], "central") - ratio * ratio).abs() < 1e-12);
    // The categories share out all events of the window, and their significances add in squares.
    let categories = analysis["categories"].as_array().unwrap();
    let sum = |key: &str| categories.iter().map(|c| number(&c[key], "central")).sum::<f64>();
    let squares = categories.iter().map(|c| number(&c["sensitivity"], "central").powi(2)).sum::<f64>();
    assert!((squares.sqrt() - number(z, "central")).abs() < 1e-9);
    let test = &results["parts"][2]["weights"];
    assert!((sum("background") / (4.0 * test[0].as_f64().unwrap()) - 1.0).abs() < 1e-3);
    assert!(sum("signal") <= 4.0 * test[1].as_f64().unwrap() * (1.0 + 1e-12));
    let toys = &analysis["toys"];
    assert!(number(&toys["pull_mean"], "central").abs() < 4.0 * 40_f64.sqrt().recip(), "{toys}");
    assert!(std::fs::read_to_string(one.join("report.html")).unwrap().contains("times the luminosity"));
}

#[test]
fn a_method_against_itself_gains_nothing() {
    let place = tempfile::tempdir().unwrap();
    let results = higgs(&place.path().join("same"), &["--set", "analysis.baseline=bdt"]);
    assert_eq!(results["analysis"]["gain"]["central"], 1.0);
    assert_eq!(results["analysis"]["luminosity_factor"]["high"], 1.0);
}

#[test]
fn what_cannot_be_analysed_is_named() {
    let file = text(&root().join("experiments/higgs_dimuon/higgs_dimuon.toml"));
    for (set, code, words) in [
        ("analysis.background=exponentail", 2, "did you mean `exponential`"),
        ("analysis.window=[150, 110]", 2, "two rising numbers"),
        ("analysis.baseline=bdr", 2, "did you mean `bdt`"),
        ("analysis.masss=m", 2, "unknown key `masss`"),
        ("analysis.mass=m_mumo", 3, "m_mumu"),
        ("analysis.window=[900, 950]", 3, "no events"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let out = text(&place.path().join("run"));
        let files = format!("read.files=[\"{}\"]", root().join("samples/higgs_dimuon/higgs_dimuon.parquet").display());
        let output = run(&["run", &file, "--out", &out, "--set", &files, "--set", set]);
        assert_eq!(output.status.code(), Some(code), "{set}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{set}: {}", stderr(&output));
    }
}

#[test]
fn runs_are_compared_on_the_same_events() {
    let place = tempfile::tempdir().unwrap();
    let (long, short) = (place.path().join("long"), place.path().join("short"));
    higgs(&long, &["--set", "analysis.toys=0"]);
    higgs(&short, &["--set", "analysis.toys=0", "--set", "analysis.mass=m_mumu", "--set", "seed=2"]);
    let ask = |a: &Path, b: &Path| -> Value {
        serde_json::from_str(&succeed(&["diff", &text(a), &text(b), "--json"])).unwrap()
    };
    let same = ask(&long, &long);
    let auc =
        |found: &Value| found["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "auc").unwrap().clone();
    assert_eq!((&auc(&same)["difference"]["central"], &auc(&same)["paired"]), (&0.0.into(), &true.into()));
    assert_eq!(same["luminosity_factor"]["central"], 1.0);
    let there = auc(&ask(&long, &short));
    let back = auc(&ask(&short, &long));
    let central = |m: &Value, key: &str| m[key]["central"].as_f64().unwrap();
    assert!((central(&there, "difference") + central(&back, "difference")).abs() < 1e-12);
    assert!((central(&there, "b") - central(&there, "a") - central(&there, "difference")).abs() < 1e-12);
    // What two trainings have in common falls out of the error of their difference.
    let width = |v: &Value| v["high"].as_f64().unwrap() - v["low"].as_f64().unwrap();
    assert!(width(&there["difference"]) < width(&there["a"]), "{there}");
    let output = run(&["diff", &text(&long), &text(place.path())]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}
