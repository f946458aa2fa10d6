//! `fb data` on small files in the layouts of public sets, which `samples/make/layouts.py` made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};

use common::{numbers, run, stderr, succeed, text};
use fb_core::Events;
use serde_json::Value;

fn layouts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/layouts")
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(layouts().join("expected.json")).unwrap()).unwrap()
}

fn import(files: &[&str]) -> Events {
    let place = tempfile::tempdir().unwrap();
    let out = text(&place.path().join("sample.parquet"));
    let files: Vec<String> = files.iter().map(|file| text(&layouts().join(file))).collect();
    let start: Vec<&str> = ["data", "import"].into_iter().chain(files.iter().map(String::as_str)).collect();
    succeed(&[&start[..], &["-o", &out]].concat());
    fb_io::read(&out).unwrap()
}

/// The lists of a feature of the particles of all jets, and how many there are in each.
fn lists(rows: &Value, feature: usize) -> (Vec<f64>, Vec<usize>) {
    let jets = rows.as_array().unwrap();
    let of = |jet: &Value| jet.as_array().unwrap().iter().map(|p| p[feature].as_f64().unwrap()).collect::<Vec<_>>();
    (jets.iter().flat_map(of).collect(), jets.iter().map(|jet| jet.as_array().unwrap().len()).collect())
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)), "{what}: {found:?}");
}

fn assert_lists(events: &Events, rows: &Value, names: &[&str]) {
    for (feature, name) in names.iter().enumerate() {
        let (values, counts) = lists(rows, feature);
        assert_close(&numbers(events, name), &values, name);
        let offsets = events.column(name).unwrap().offsets.clone().unwrap();
        assert!(offsets.windows(2).map(|o| o[1] - o[0]).eq(counts), "{name}");
    }
}

#[test]
fn frames_of_top_tagging_are_read_however_they_are_packed() {
    let expected = &expected()["top_tagging"];
    for packing in ["blosclz", "lz4", "zlib", "zstd"] {
        let events = import(&[&format!("top_tagging_{packing}.h5")]);
        assert_lists(&events, &expected["rows"], &["part_E", "part_px", "part_py", "part_pz"]);
        assert_eq!(numbers(&events, "label"), [0.0, 1.0, 1.0]);
        assert_eq!(numbers(&events, "ttv"), [0.0; 3]);
        let truth: Vec<f64> =
            expected["truth"]["truthPZ"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_close(&numbers(&events, "top_pz_true"), &truth, "truth");
    }
}

#[test]
fn arrays_of_quark_and_gluon_jets_are_read() {
    let events = import(&["QG_jets.npz"]);
    assert_lists(&events, &expected()["quark_gluon"]["rows"], &["part_pt", "part_y", "part_phi", "part_pid"]);
    assert_eq!(numbers(&events, "label"), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(events.column("part_pt").unwrap().unit, fb_core::Unit::Gev);
}

#[test]
fn jets_of_jetnet_get_their_momenta_back_and_the_class_of_their_file() {
    let events = import(&["t30.hdf5"]);
    let expected = &expected()["jetnet"];
    let (eta, counts) = lists(&expected["rows"], 0);
    let (pt, _) = lists(&expected["rows"], 2);
    let jet: Vec<usize> = counts.iter().enumerate().flat_map(|(jet, n)| vec![jet; *n]).collect();
    let of = |feature: usize, i: usize| expected["jets"][jet[i]][feature].as_f64().unwrap();
    let expected_eta: Vec<f64> = (0..eta.len()).map(|i| eta[i] + of(1, i)).collect();
    let expected_pt: Vec<f64> = (0..pt.len()).map(|i| pt[i] * of(0, i)).collect();
    assert_close(&numbers(&events, "part_eta"), &expected_eta, "eta");
    assert_close(&numbers(&events, "part_pt"), &expected_pt, "pT");
    assert_eq!(numbers(&events, "label"), [2.0; 3]);
    assert!(events.column("mask").is_err());
}

#[test]
fn jets_of_hls4ml_get_a_label() {
    let events = import(&["hls4ml.h5"]);
    assert_lists(&events, &expected()["hls4ml"]["rows"], &["part_px", "part_py", "part_pz", "part_E"]);
    assert_eq!(numbers(&events, "label"), [4.0, 0.0, 2.0]);
    assert_eq!(events.column("part_E").unwrap().unit, fb_core::Unit::Gev);
}

#[test]
fn trees_of_jetclass_get_a_label_and_mark_their_truth() {
    let events = import(&["jetclass.root", "jetclass.root"]);
    let expected = &expected()["jetclass"];
    let energies: Vec<f64> = expected["part_energy"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|jet| jet.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>())
        .collect();
    assert_eq!(numbers(&events, "part_E"), [energies.clone(), energies].concat());
    assert_eq!(numbers(&events, "label"), [9.0, 0.0, 4.0, 9.0, 0.0, 4.0]);
    assert!(events.column("genpart_pt_true").is_ok() && events.column("label_QCD").is_err());
}

#[test]
fn sets_are_listed_and_what_is_none_is_named() {
    let listed: Value = serde_json::from_str(&succeed(&["data", "list", "--json"])).unwrap();
    let sets = listed["sets"].as_array().unwrap();
    for name in ["top-tagging", "jetclass", "quark-gluon", "jetnet", "hls4ml-jets"] {
        let set = sets.iter().find(|set| set["name"] == name).unwrap();
        assert!(set["loader"].is_string() && set["doi"].as_str().unwrap().starts_with("10."), "{set}");
    }
    let place = tempfile::tempdir().unwrap();
    let out = text(&place.path().join("sample.parquet"));
    let other = place.path().join("other.hdf5");
    std::fs::copy(layouts().join("t30.hdf5"), &other).unwrap();
    let (other, tiny) = (text(&other), text(&common::tiny()));
    for (arguments, said) in [
        (vec![other.as_str()], "expected one of g, q, t, w, z"),
        (vec![tiny.as_str()], "those of no set"),
        (vec![other.as_str(), "--set", "jet-net"], "did you mean `jetnet`?"),
        (vec![other.as_str(), "--set", "top-tagging"], "no column `values_block_0`"),
    ] {
        let output = run(&[&["data", "import"][..], &arguments, &["-o", &out]].concat());
        assert!(!output.status.success() && stderr(&output).contains(said), "{}", stderr(&output));
        assert!(!Path::new(&out).exists());
    }
}
