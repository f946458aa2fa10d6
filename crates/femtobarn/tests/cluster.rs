//! `fb cluster` from file to file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{numbers, run, stderr, succeed, text, tiny};
use fb_core::{Column, Data, Events};
use fb_physics::four_vector::FourVector;
use fb_physics::jets::{Algorithm, Clustering, Definition};

/// Three events, the second of which is empty: (pT, η, φ).
const EVENTS: [&[[f64; 3]]; 3] =
    [&[[50.0, 0.1, 0.0], [3.0, -2.0, 2.0], [30.0, 0.2, 0.1], [40.0, 0.0, 3.1]], &[], &[[1.0, 0.0, 1.0]]];

fn write(path: &Path, broken: bool) {
    let offsets = Arc::new(vec![0, 4, 4, 5]);
    let column = |(i, name): (usize, &str)| {
        let mut data: Vec<f64> = EVENTS.iter().copied().flatten().map(|p| p[i]).collect();
        if broken && i == 0 {
            data[4] = f64::NAN;
        }
        Column::jagged(name, Data::F64(data), Arc::clone(&offsets))
    };
    let columns = ["part_pt", "part_eta", "part_phi"].into_iter().enumerate().map(column).collect();
    fb_io::write(path, &Events::new(columns).unwrap()).unwrap();
}

#[test]
fn jets_are_those_of_the_library_for_any_threads() {
    let place = tempfile::tempdir().unwrap();
    let out = |name: &str| text(&place.path().join(name));
    let input = out("in.parquet");
    write(Path::new(&input), false);
    let told = succeed(&["cluster", &input, "--R", "0.4", "--ptmin", "2", "-o", &out("jets.parquet")]);
    assert!(told.starts_with("3 events, 3 jets"), "{told}");
    let jets = fb_io::read(out("jets.parquet")).unwrap();
    let particles = EVENTS[0].iter().map(|p| FourVector::from_pt_eta_phi_m(p[0], p[1], p[2], 0.0)).collect::<Vec<_>>();
    let clustering = Clustering::new(&particles, &Definition::new(Algorithm::AntiKt, 0.4)).unwrap();
    let expected: Vec<FourVector> = clustering.inclusive(2.0).iter().map(|&jet| clustering.momentum(jet)).collect();
    assert_eq!(jets.column("jet_px").unwrap().offsets.as_deref().unwrap()[..], [0, 3, 3, 3], "none in the others");
    assert_eq!(numbers(&jets, "jet_px"), expected.iter().map(|p| p.px).collect::<Vec<_>>());
    assert_eq!(numbers(&jets, "jet_E"), expected.iter().map(|p| p.e).collect::<Vec<_>>());
    assert!(expected.windows(2).all(|p| p[0].pt() >= p[1].pt()));

    for threads in ["1", "3"] {
        let file = out(&format!("{threads}.parquet"));
        succeed(&[
            "cluster",
            &text(&tiny()),
            "--algorithm",
            "kt",
            "--scheme",
            "wta-pt",
            "--threads",
            threads,
            "-o",
            &file,
        ]);
    }
    let bytes = |name: &str| std::fs::read(out(name)).unwrap();
    assert!(bytes("1.parquet") == bytes("3.parquet"), "the threads are seen in the output");
}

#[test]
fn what_cannot_be_clustered_is_named_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let out = |name: &str| text(&place.path().join(name));
    let input = out("in.parquet");
    write(Path::new(&input), true);
    let fails = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = run(arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(!Path::new(&out("jets.parquet")).exists());
    };
    fails(&["cluster", &input, "-o", &out("jets.parquet")], 3, &["part_pt", "event 2", "NaN"]);
    fails(&["cluster", &input, "--R=-1", "-o", &out("jets.parquet")], 2, &["jet radius -1"]);
    fails(&["cluster", &input, "--algorithm", "antikt", "-o", &out("jets.parquet")], 2, &["expected anti-kt, kt"]);
    fails(&["cluster", &input, "--prefix", "trk", "-o", &out("jets.parquet")], 3, &["trk_px"]);
}
