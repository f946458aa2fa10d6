//! Models of other programs come in, and ours go out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};

use common::{experiment, root, run, stderr, succeed, text, tiny};
use fb_core::{Column, Data, Events};
use serde_json::Value as Json;

fn models() -> PathBuf {
    root().join("crates/fb-deploy/tests/data/trees")
}

/// The events of `expected.json` as a table with these names of columns, and what is expected of a model.
fn events(place: &Path, names: &[&str], model: &str, missing: f64) -> (String, Vec<Vec<f64>>) {
    let json: Json = serde_json::from_slice(&std::fs::read(models().join("expected.json")).unwrap()).unwrap();
    let rows: Vec<Vec<Option<f64>>> = serde_json::from_value(json["rows"].clone()).unwrap();
    let column = |(i, name): (usize, &&str)| {
        Column::flat(*name, Data::F64(rows.iter().map(|row| row[i].unwrap_or(missing)).collect()))
    };
    let path = place.join("events.parquet");
    fb_io::write(&path, &Events::new(names.iter().enumerate().map(column).collect()).unwrap()).unwrap();
    (text(&path), serde_json::from_value(json["scores"][model].clone()).unwrap())
}

/// The scores of a run on a file, column by column.
fn predict(run: &str, file: &str, place: &Path) -> Vec<(String, Vec<f64>)> {
    let scores = text(&place.join("scores.parquet"));
    succeed(&["predict", run, file, "-o", &scores]);
    let table = fb_io::read(&scores).unwrap();
    let is_score = |c: &&Column| !["file", "row", "split"].contains(&c.name.as_str());
    let values = |c: &Column| (0..c.events()).map(|i| c.data.number(i)).collect();
    table.columns().iter().filter(is_score).map(|c| (c.name.clone(), values(c))).collect()
}

const F: [&str; 5] = ["f0", "f1", "f2", "f3", "f4"];
const NAMES: [&str; 5] = ["pt", "eta", "mass", "tau21", "zeros"];

#[test]
fn imported_models_predict_as_in_their_own_programs() {
    let single = ["score"];
    let cases: [(&str, &[&str], &[&str], f64); 6] = [
        ("xgb_binary.json", &F, &single, f64::NAN),
        ("xgb_named.json", &NAMES, &single, -999.0),
        ("xgb_multi.json", &F, &["score_0", "score_1", "score_2"], f64::NAN),
        ("xgb_targets.json", &F, &["score_0", "score_1"], f64::NAN),
        ("lgb_ova.txt", &NAMES, &["score_0", "score_1", "score_2"], f64::NAN),
        ("lgb_quantile.txt", &NAMES, &single, f64::NAN),
    ];
    for (model, names, columns, missing) in cases {
        let place = tempfile::tempdir().unwrap();
        let (file, expected) = events(place.path(), names, model, missing);
        let home = text(&place.path().join("run"));
        let source = text(&models().join(model));
        succeed(&["import", &source, "-o", &home, "--missing", "-999"]);
        let found = predict(&home, &file, place.path());
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), columns, "{model}");
        for (k, (_, scores)) in found.iter().enumerate() {
            for (score, row) in scores.iter().zip(&expected) {
                assert!((score - row[k]).abs() <= 1e-6 * row[k].abs().max(1.0), "{model}: {score} {}", row[k]);
            }
        }
        // What is written of it reads in again.
        let door = if model.starts_with("xgb") { "--xgboost" } else { "--lightgbm" };
        let export = text(&place.path().join("again"));
        succeed(&["export", &home, door, &export]);
        succeed(&["export", &home, door]);
        let told = succeed(&["verify", &home]);
        assert!(told.contains("equal"), "{told}");
        let again = text(&place.path().join("run2"));
        succeed(&["import", &export, "-o", &again, "--missing", "-999"]);
        assert_eq!(predict(&again, &file, place.path()).len(), found.len());
    }
}

#[test]
fn imports_say_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    let home = text(&place.path().join("run"));
    let fails = |arguments: &[&str], code: i32, says: &str| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    };
    let [hinge, good, tmva] =
        ["bad_xgb_hinge.json", "xgb_base.json", "tmva_grad.xml"].map(|name| text(&models().join(name)));
    fails(&["import", &hinge, "-o", &home], 3, "`binary:hinge` is not supported");
    fails(&["import", &good, "-o", &home, "--features", "a,b"], 2, "found 2 columns, expected 5");
    fails(&["import", &good, "-o", &home, "--features", "a,b,c,d,e-f"], 2, "`e-f` is no name of a column");
    assert!(!place.path().join("run").exists(), "nothing is left of an import that failed");
    succeed(&["import", &good, "-o", &home, "--features", "a,b,c,d,e"]);
    fails(&["import", &good, "-o", &home], 2, "holds a run already");
    fails(&["export", &home], 2, "name a format");
    fails(&["verify", &home], 3, "`fb export` writes them");
    // Expressions of TMVA are computed.
    let home = text(&place.path().join("tmva"));
    succeed(&["import", &tmva, "-o", &home]);
    let (file, _) = events(place.path(), &["pt", "eta", "mass", "tau21"], "tmva_grad.xml", 0.5);
    assert!(predict(&home, &file, place.path())[0].1.iter().all(|s| s.abs() < 1.0));
}

#[test]
fn trained_forests_leave_by_every_door() {
    let place = tempfile::tempdir().unwrap();
    let method =
        "[[method]]\nname = \"bdt\"\ntrees = 10\ndepth = 3\nvariables = [\"jet_pt\", \"jet_m\", \"abs(jet_eta)\"]\n";
    let file = experiment(place.path(), "", method);
    let home = text(&place.path().join("run"));
    succeed(&["run", &file, "--out", &home]);
    succeed(&["export", &home, "--xgboost", "--lightgbm", "--tmva", "--cpp", "--onnx"]);
    let folder = place.path().join("run/methods/bdt/seed-1");
    for file in ["model.xgboost.json", "model.lightgbm.txt", "model.tmva.xml", "model.hpp", "model.onnx"] {
        assert!(folder.join(file).exists(), "{file}");
    }
    // Where there is no onnxruntime, the other formats are verified.
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        std::fs::remove_file(folder.join("model.onnx")).unwrap();
    }
    let told = succeed(&["verify", &home]);
    assert!(told.matches("equal").count() >= 3, "{told}");
    assert_eq!(predict(&home, &text(&tiny()), place.path()).iter().filter(|(name, _)| name == "score").count(), 1);
}
