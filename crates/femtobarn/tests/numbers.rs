//! Whole runs that predict numbers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fmt::Write as _;

use common::{models, run, stderr, succeed};
use fb_core::Philox;
use serde_json::Value as Json;

#[test]
fn numbers_are_predicted_judged_and_kept() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let mut random = Philox::new(5, 0, 0);
    let mut text = "w,x,y,heavy\n".to_owned();
    for _ in 0..900 {
        let (x, y) = (random.uniform(), random.uniform());
        let _ = writeln!(text, "{},{x},{y},{}", 0.5 + random.uniform(), 100.0 + 3.0 * x + 0.1 * random.normal());
    }
    std::fs::write(path("toy.csv"), text).unwrap();
    let experiment = |target: &str| {
        format!(
            "[read]\nfiles = [\"{}\"]\ntarget = {target}\nweight = \"w\"\n[evaluate]\nreplicas = 40\nlearning_curve = [0.5]\n\
             [[method]]\nname = \"bdt\"\ntrees = 60\ndepth = 2\n\
             [[method]]\nname = \"random_forest\"\ntrees = 20\n",
            path("toy.csv")
        )
    };
    std::fs::write(path("toy.toml"), experiment("\"heavy\"")).unwrap();
    let (file, out) = (path("toy.toml"), path("run"));
    let table = succeed(&["run", &file, "--out", &out]);
    assert!(table.contains("RMSE") && table.contains("resolution"), "{table}");
    let read = |name: &str| std::fs::read_to_string(place.path().join("run").join(name)).unwrap();
    let results: Json = serde_json::from_str(&read("results.json")).unwrap();
    for method in results["methods"].as_array().unwrap() {
        let metric = |name: &str| method["metrics"][name]["central"].as_f64().unwrap();
        // The noise is 0.1, the spread of the target 0.87.
        assert!((0.08..0.2).contains(&metric("rmse")) && metric("r2") > 0.94, "{method}");
        assert!(metric("bias").abs() < 0.03, "{method}");
        let variable = &method["importance"][0];
        assert_eq!(variable["variable"], "x", "{method}");
        assert!(variable["permutation"]["low"].as_f64().unwrap() > 0.3, "the r.m.s. grows without it");
        assert!(method["learning_curve"][0]["rmse"]["central"].is_number(), "{method}");
    }
    assert!(results["differences"][0]["rmse"]["central"].is_number());
    assert_eq!(results["parts"][0]["events"].as_array().unwrap().len(), 1);
    assert!(read("report.html").contains("Residuals and closure"));

    // What is done is done: a resume trains nothing anew.
    let (before, told) = (models(&place.path().join("run")), read("methods/bdt/seed-1/training.json"));
    let output = run(&["resume", &out]);
    assert!(output.status.success() && !stderr(&output).contains("epoch"), "{}", stderr(&output));
    assert_eq!((models(&place.path().join("run")), read("methods/bdt/seed-1/training.json")), (before, told));

    succeed(&["predict", &out, &path("toy.csv"), "-o", &path("scores.csv")]);
    let scores = std::fs::read_to_string(path("scores.csv")).unwrap();
    let score: f64 = scores.lines().nth(1).unwrap().split(',').next_back().unwrap().parse().unwrap();
    assert!((99.0..104.0).contains(&score), "{score}");

    // Several targets have their metrics by name.
    std::fs::write(path("both.toml"), experiment("[\"heavy\", \"x * y\"]")).unwrap();
    succeed(&["run", &path("both.toml"), "--out", &path("both")]);
    let both: Json =
        serde_json::from_str(&std::fs::read_to_string(place.path().join("both/results.json")).unwrap()).unwrap();
    let metrics = both["methods"][0]["metrics"].as_object().unwrap();
    assert!(metrics.contains_key("rmse:heavy") && metrics.contains_key("rmse:x * y"), "{metrics:?}");

    for (set, word) in [
        ("evaluate.metrics=[\"auc\"]", "no metric of a regression `auc`"),
        ("read.label=\"x\"", "`target` beside `label`"),
        ("read.target=\"heavi\"", "did you mean `heavy`"),
    ] {
        let output = run(&["run", &file, "--out", &path("bad"), "--set", set]);
        assert!(!output.status.success() && stderr(&output).contains(word), "{set}: {}", stderr(&output));
    }
}
