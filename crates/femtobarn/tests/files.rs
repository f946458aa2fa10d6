//! `fb inspect`, `fb convert`, and experiments that select and draw.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{root, run, stderr, succeed};
use serde_json::{Value as Json, json};

fn sample(name: &str) -> String {
    root().join("samples/nanoaod").join(name).display().to_string()
}

fn fixture(name: &str) -> String {
    root().join("crates/fb-io/tests/data/root").join(name).display().to_string()
}

#[test]
fn inspect_tells_trees_branches_and_types() {
    let all: Json = serde_json::from_str(&succeed(&["inspect", "--json", &fixture("made_zlib.root")])).unwrap();
    let trees = all["trees"].as_array().unwrap();
    let names: Vec<&Json> = trees.iter().map(|tree| &tree["name"]).collect();
    assert_eq!(names, ["events", "folder/inner/more"]);
    assert_eq!((&trees[0]["kind"], &trees[0]["entries"]), (&json!("TTree"), &json!(40)));
    let branch = trees[0]["branches"].as_array().unwrap().iter().find(|b| b["name"] == "jet_f4").unwrap();
    assert_eq!(
        (&branch["type"], &branch["readable"], &branch["reason"]),
        (&json!("float[]"), &json!(true), &json!(null))
    );
    let text = succeed(&["inspect", &format!("{}:events", fixture("made_zlib.root"))]);
    assert!(text.contains("40 entries") && text.contains("jet_f4") && text.contains('█'), "{text}");
}

#[test]
fn inspect_knows_an_rntuple() {
    let all: Json = serde_json::from_str(&succeed(&["inspect", "--json", &sample("ttbar_rntuple.root")])).unwrap();
    assert_eq!((&all["trees"][0]["name"], &all["trees"][0]["kind"]), (&json!("Events"), &json!("RNTuple")));
    assert_eq!(all["trees"][0]["branches"].as_array().unwrap().len(), 947);
}

/// From a tree through every format that holds lists and back, with names and values.
#[test]
fn conversions_keep_names_lists_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let branches = "nMuon,Muon_pt,Muon_charge,Jet_pt,MET_pt,genWeight,run";
    let mut source = format!("{}:Events", sample("ttbar.root"));
    succeed(&["convert", &source, &path("first.parquet"), "--branches", branches]);
    let expected = fb_io::read(path("first.parquet")).unwrap();
    assert_eq!((expected.len(), expected.columns().len()), (200, 7));
    for next in ["a.root:t", "b.h5", "c.npz", "d.root:u", "e.parquet"] {
        let mut arguments =
            vec!["convert".to_owned(), source, path(next), "--branches".to_owned(), branches.to_owned()];
        if next.starts_with('d') {
            arguments.push("--rntuple".to_owned());
        }
        succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        source = path(next);
        let found = fb_io::read(&source).unwrap();
        for column in expected.columns() {
            let other = found.column(&column.name).unwrap();
            assert_eq!((&other.data, &other.offsets), (&column.data, &column.offsets), "{next}: {}", column.name);
        }
    }
}

#[test]
fn files_are_chained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("both.parquet").display().to_string();
    let tree = format!("{}:Events", sample("ttbar.root"));
    let text = succeed(&["convert", &tree, &tree, &out, "--branches", "event,Jet_pt"]);
    assert!(text.starts_with("400 entries, 2 columns"), "{text}");
    let other = format!("{}:events", fixture("made_lz4.root"));
    let output = run(&["convert", &tree, &other, &out, "--branches", "event"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("absent"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_converted_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // A tree one of whose baskets tells of too few entries: its branch is left out, the others are written.
    let mut bytes = std::fs::read(fixture("made_stored.root")).unwrap();
    let key = b"\x07TBasket\x02f4\x06events";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    bytes[at + 10..at + 14].copy_from_slice(&7_u32.to_be_bytes());
    std::fs::write(path("damaged.root"), &bytes).unwrap();
    let output = run(&["convert", &format!("{}:events", path("damaged.root")), &path("out.parquet")]);
    let text = stderr(&output);
    assert!(output.status.success() && text.contains("left out `f4`") && text.contains("it holds 7 entries"), "{text}");
    let written = fb_io::read(path("out.parquet")).unwrap();
    assert!(written.len() == 40 && written.column("f8").is_ok() && written.column("f4").is_err());
    // A file that ends too soon.
    std::fs::write(path("short.root"), &bytes[..bytes.len() / 2]).unwrap();
    let output = run(&["convert", &path("short.root"), &path("short.parquet")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("copied or closed in full") && !Path::new(&path("short.parquet")).exists());
    let output = run(&["convert", &sample("ttbar.root"), &path("x.parquet"), "--branches", "Muon_p"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("did you mean `Muon_pt`?"));
}

#[test]
fn a_selection_gives_the_same_from_ttree_and_rntuple() {
    let folder = tempfile::tempdir().unwrap();
    let results = ["ttree", "rntuple"].map(|kind| {
        let text = std::fs::read_to_string(root().join(format!("experiments/nanoaod/muons_{kind}.toml"))).unwrap();
        let file = folder.path().join(format!("{kind}.toml"));
        std::fs::write(&file, text.replace("samples/", &format!("{}/samples/", root().display()))).unwrap();
        let out = folder.path().join(kind);
        succeed(&["run", &file.display().to_string(), "--out", &out.display().to_string()]);
        assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("<svg"));
        let mut results: Json = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
        results.as_object_mut().unwrap().remove("sources");
        results
    });
    assert_eq!(results[0], results[1]);
    // Counted with uproot.
    assert_eq!(results[0]["selected"], 37);
    let contents: f64 =
        results[0]["plots"][1]["contents"].as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).sum();
    let weights = results[0]["weights"]["central"].as_f64().unwrap();
    assert!((contents - weights).abs() < 1e-9 * weights.abs(), "{contents} {weights}");
}

#[test]
fn a_selection_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let head = format!("[read]\nfiles = [\"{}:Events\"]\n", sample("ttbar.root"));
    for (text, expected) in [
        ("select = \"nMuons >= 2\"\n[[plot]]\nexpression = \"MET_pt\"\nrange = [0, 1]", "did you mean `nMuon`?"),
        ("[[plot]]\nexpression = \"MET_pt\"\nrange = [1, 0]", "expected two rising numbers"),
        ("[[plot]]\nexpression = \"MET_pt\"\nrange = [0, 1]\nbin = 3", "bin"),
        ("select = \"Muon_pt > 3\"\n[[plot]]\nexpression = \"MET_pt\"\nrange = [0, 1]", "`any` or `all`"),
    ] {
        std::fs::write(&file, format!("{head}{text}\n")).unwrap();
        let output =
            run(&["run", &file.display().to_string(), "--out", &folder.path().join("run").display().to_string()]);
        assert!(!output.status.success() && stderr(&output).contains(expected), "{text}: {}", stderr(&output));
        let _ = std::fs::remove_dir_all(folder.path().join("run"));
    }
}
