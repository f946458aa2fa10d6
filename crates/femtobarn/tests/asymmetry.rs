//! Forward-backward asymmetries of an experiment.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{root, run, stderr, succeed, text};
use serde_json::Value;

fn sample() -> std::path::PathBuf {
    root().join("samples/dimuon/dy_afb.parquet")
}

/// The experiment of the repository, with shorter trainings.
fn afb(folder: &Path, more: &[&str]) -> Value {
    let (file, out) = (text(&root().join("experiments/afb/afb.toml")), text(folder));
    let files = format!("read.files=[\"{}\"]", sample().display());
    let few = ["--set", "evaluate.replicas=40", "--set", "evaluate.importance=false", "--set", "train.epochs=4"];
    succeed(&[&["run", &file, "--out", &out, "--set", &files], &few[..], more].concat());
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

/// The cosine from the muons' momenta is that of the generator's own formula, which was stored beside them.
#[test]
fn the_cosine_is_the_stored_one() {
    let events = fb_io::read(sample()).unwrap();
    let text = "cos_cs(mum_pt, mum_eta, mum_phi, mup_pt, mup_eta, mup_phi)";
    let found = fb_physics::expression::flat(text, &events).unwrap();
    let [stored, rapidity, mass] = ["cos_cs_reco", "y_ll", "m_ll"].map(|name| common::numbers(&events, name));
    assert_eq!(stored.len(), 16_000);
    let mut close = 0;
    for i in 0..stored.len() {
        // Numbers of the file have 14 bits: where the pair hardly moves its side is a matter of these. The generator's
        // muons have their mass, which pairs of a few GeV feel.
        let difference = (found[i] - stored[i]).abs();
        let exact = rapidity[i].abs() > 1e-3 && mass[i] > 20.0;
        assert!(difference < 1e-3 || !exact, "event {i}: {} {}", found[i], stored[i]);
        close += usize::from(difference < 2e-4);
    }
    assert!(close > 15_950, "{close}");
}

#[test]
fn asymmetries_are_counted_fitted_and_predicted() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let results = afb(&one, &["--threads", "1"]);
    let found = &results["asymmetry"];
    assert_eq!(found, &afb(&two, &["--threads", "2"])["asymmetry"]);
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let regions = found["regions"].as_array().unwrap();
    // The asymmetries that are known of the sample.
    let known = [(70.0, -0.50, -0.22), (91.0, 0.09, 0.04), (200.0, 0.64, 0.30), (500.0, 0.65, 0.39)];
    for (region, (mass, truth, seen)) in regions.iter().zip(known) {
        assert_eq!(number(region, "region"), mass);
        assert!((number(&region["true"], "central") - truth).abs() < 0.006, "{region}");
        assert!((number(&region["training"], "central") - seen).abs() < 0.03, "{region}");
    }
    let estimators = found["estimators"].as_array().unwrap();
    let names: Vec<&str> = estimators.iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["counting", "fit", "linear", "network"]);
    for estimator in estimators {
        let squares: f64 = known
            .iter()
            .enumerate()
            .map(|(r, _)| {
                let told = number(&estimator["asymmetries"][r], "central");
                (told - number(&regions[r]["true"], "central")).powi(2)
            })
            .sum();
        assert!((number(&estimator["rmse"], "central") - (squares / 4.0).sqrt()).abs() < 1e-12);
    }
    // With the measured angle as the truth what is left is the statistical error of the test part.
    let seen = afb(&place.path().join("seen"), &["--set", "asymmetry.truth=cos_cs_reco"]);
    let rmse = |results: &Value, e: usize| number(&results["asymmetry"]["estimators"][e]["rmse"], "central");
    assert!(rmse(&seen, 0) < 0.08 && rmse(&seen, 1) < 0.08 && rmse(&results, 0) > 0.2, "{}", seen["asymmetry"]);
    assert!(std::fs::read_to_string(one.join("report.html")).unwrap().contains("Forward-backward asymmetry"));
}

#[test]
fn what_is_no_asymmetry_is_named() {
    let file = text(&root().join("experiments/afb/afb.toml"));
    let files = format!("read.files=[\"{}\"]", sample().display());
    for (set, code, words) in [
        ("asymmetry.cosine=mum_eta", 3, "expected a number from -1 to 1"),
        ("asymmetry.region=m_ll", 3, "expected at most 64"),
        ("asymmetry.region=mas_point", 3, "did you mean `mass_point`"),
        ("asymmetry.edges=3", 2, "edges"),
        ("read.target=m_ll", 2, "found a `read.target` beside it"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let output = run(&["run", &file, "--out", &text(&place.path().join("x")), "--set", &files, "--set", set]);
        assert_eq!(output.status.code(), Some(code), "{set}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{set}: {}", stderr(&output));
    }
}
