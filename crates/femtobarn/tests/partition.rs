//! Whole runs on jets whose tracks are put into vertices.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{root, run, stderr, succeed, text};
use fb_core::{Events, Partition};
use fb_statistics::clustering::Agreement;
use serde_json::Value as Json;

const METHODS: &str = "[[method]]\nname = \"set2graph\"\nlayers = [16, 16, 5]\nhidden = 16\n\
                       [[method]]\nname = \"single_vertex\"\n";

fn experiment(folder: &Path, read: &str, methods: &str) -> String {
    let data = text(&root().join("samples/vertices/jets.parquet"));
    let path = folder.join("vertices.toml");
    let toml = format!(
        "seeds = 2\n[read]\nfiles = [\"{data}\"]\nselect = \"jet_pt > 110\"\n{read}\n[evaluate]\nreplicas = 40\n\
         metrics = [\"ari(2)\", \"ari\", \"rand\"]\n[train]\nepochs = 15\nbatch = 64\nlr = 0.005\n{methods}"
    );
    std::fs::write(&path, toml).unwrap();
    text(&path)
}

fn groups(events: &Events, name: &str) -> Partition {
    Partition::from_column(events.column(name).unwrap(), 0).unwrap()
}

#[test]
fn tracks_are_put_into_vertices() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "partition = \"trk_vtx_index\"\nlabel = \"jet_flavour\"", METHODS);
    let out = text(&folder.path().join("run"));
    let printed = succeed(&["run", &file, "--out", &out, "--json", "--threads", "2"]);
    let results: Json = serde_json::from_str(&printed).unwrap();
    let central = |at: &Json| at["central"].as_f64().unwrap();
    let [learned, single] = [0, 1].map(|i| &results["methods"][i]);
    assert!(central(&learned["metrics"]["ari(2)"]) > 0.3, "{}", learned["metrics"]);
    assert!(learned["spread"]["ari"].as_f64().unwrap() > 0.0 && learned.get("ensemble_mean").is_none());
    assert_eq!(learned["onnx"], "methods/set2graph/seed-1/model.onnx");
    assert!(results["warnings"].to_string().contains("`single_vertex` is neither a network nor a forest"));
    let difference = &results["differences"][0];
    let expected = central(&learned["metrics"]["ari"]) - central(&single["metrics"]["ari"]);
    assert!((central(&difference["ari"]) - expected).abs() < 1e-12, "{difference}");
    for method in [learned, single] {
        let classes = method["groups"].as_array().unwrap();
        assert_eq!(classes.len(), 3);
        assert!(classes.iter().all(|class| class.as_object().unwrap().len() == 6), "{classes:?}");
        assert_eq!(classes[2]["ari"], method["metrics"]["ari(2)"]);
    }
    let report = std::fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(report.contains("Groups of particles") && report.contains("ARI, class 2"));

    // What is predicted of the test events has the numbers of the results.
    let data = text(&root().join("samples/vertices/jets.parquet"));
    let scored = text(&folder.path().join("scored.parquet"));
    succeed(&["predict", &out, &data, "--out", &scored]);
    let (scored, all) = (fb_io::read(&scored).unwrap(), fb_io::read(&data).unwrap());
    let number = |name: &str, i: usize| all.column(name).unwrap().data.number(i);
    let fb_core::Data::Text(split) = &scored.column("split").unwrap().data else { panic!("no texts") };
    let truth = groups(&all, "trk_vtx_index");
    for (label, method) in [("set2graph", learned), ("single_vertex", single)] {
        let found = groups(&scored, label);
        let of_b = |i: &usize| split[*i] == "test" && number("jet_pt", *i) > 110.0 && number("jet_flavour", *i) == 2.0;
        let test: Vec<usize> = (0..all.len()).filter(of_b).collect();
        let each = test.iter().map(|&i| Agreement::AdjustedRand.of(found.of(i), truth.of(i)).unwrap());
        let mean = each.sum::<f64>() / test.len() as f64;
        // Results are means over two trainings, predictions are of the first.
        let near = central(&method["metrics"]["ari(2)"]);
        let spread = method["spread"]["ari(2)"].as_f64().unwrap();
        assert!((mean - near).abs() < 1e-9 + spread, "{label}: {mean} {near}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |read: &str, methods: &str, code: i32| {
        let folder = tempfile::tempdir().unwrap();
        let file = experiment(folder.path(), read, methods);
        let output = run(&["run", &file, "--out", &text(&folder.path().join("refused"))]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        stderr(&output)
    };
    let groups = "partition = \"trk_vtx_index\"";
    let found = refused(groups, "[[method]]\nname = \"pfn\"\n", 2);
    assert!(found.contains("`pfn` finds none; `adaptive_vertex`, `set2graph`, `single_vertex` do"), "{found}");
    let found = refused("label = \"jet_flavour\"", "[[method]]\nname = \"single_vertex\"\n", 2);
    assert!(found.contains("no metric `ari(2)`"), "{found}");
    let found = refused(&format!("{groups}\ntarget = \"jet_M\""), METHODS, 2);
    assert!(found.contains("found `partition` beside"), "{found}");
    let found = refused("partition = \"jet_flavour\"", METHODS, 2);
    assert!(found.contains("column `jet_flavour`") && found.contains("expected a list"), "{found}");
    let found = refused("partition = \"trk_charge\"", METHODS, 2);
    assert!(found.contains("the group -1 in event") && found.contains("whole number from 0"), "{found}");
    let found = refused("partition = \"trk_vertex\"", METHODS, 3);
    assert!(found.contains("no column `trk_vertex`"), "{found}");
}
