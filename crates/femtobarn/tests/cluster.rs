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

/// Two jets of 50 GeV over a flat background of about 20 GeV a unit of area, with and without its subtraction.
#[test]
fn pile_up_is_subtracted_from_jets() {
    let place = tempfile::tempdir().unwrap();
    let out = |name: &str| text(&place.path().join(name));
    let (events, soft) = (20, 1600);
    let mut random = fb_core::Philox::new(5, 0, 0);
    let mut lists: [Vec<f64>; 5] = Default::default();
    let mut offsets = vec![0];
    for _ in 0..events {
        for i in 0..soft + 6 {
            let hard = i >= soft;
            let leading = hard || i < 60;
            let side = f64::from(i % 2);
            let y = if hard { side + 0.05 * random.normal() } else { 8.0 * random.uniform() - 4.0 };
            let phi = if hard { 3.0 * side + 0.05 * random.normal() } else { std::f64::consts::TAU * random.uniform() };
            let pt = if hard { 50.0 / 3.0 } else { 0.2 - 0.43 * (1.0 - random.uniform()).ln() };
            let charge = f64::from(u8::from(random.below(3) > 0));
            let z = if leading { 0.0 } else { 20.0 };
            for (list, x) in lists.iter_mut().zip([pt, y, phi, charge, z]) {
                list.push(x);
            }
        }
        offsets.push(lists[0].len());
    }
    let offsets = Arc::new(offsets);
    let names = ["part_pt", "part_y", "part_phi", "part_charge", "part_vertex_z"];
    let list = |(name, data): (&str, Vec<f64>)| Column::jagged(name, Data::F64(data), Arc::clone(&offsets));
    let mut columns: Vec<Column> = names.into_iter().zip(lists).map(list).collect();
    columns.push(Column::flat("lv_z", Data::F64(vec![0.0; events])));
    let input = out("in.parquet");
    fb_io::write(Path::new(&input), &Events::new(columns).unwrap()).unwrap();

    let leading = |arguments: &[&str]| {
        let file = out("jets.parquet");
        let start = ["cluster", &input, "--max-rapidity", "4", "--ptmin", "5", "-o", &file];
        succeed(&[&start[..], arguments].concat());
        let jets = fb_io::read(&file).unwrap();
        let (px, py) = (numbers(&jets, "jet_px"), numbers(&jets, "jet_py"));
        let first = jets.column("jet_px").unwrap().offsets.clone().unwrap();
        let sum = |o: &usize| f64::midpoint(px[*o].hypot(py[*o]), px[o + 1].hypot(py[o + 1]));
        (first[..events].iter().map(sum).sum::<f64>() / events as f64, jets)
    };
    let (raw, _) = leading(&[]);
    assert!(raw > 57.0, "{raw}");
    for method in ["area", "soft-killer", "constituents", "puppi"] {
        let (corrected, jets) = leading(&["--subtract", method]);
        assert!((corrected - 50.0).abs() < 3.0, "{method}: {corrected}");
        assert_eq!(jets.column("rho").is_ok(), method == "area" || method == "constituents");
    }
    let (same, jets) = leading(&["--area"]);
    assert_eq!(same, raw, "ghosts change nothing");
    let areas = numbers(&jets, "jet_area");
    assert!((areas[0] - 0.16 * std::f64::consts::PI).abs() < 0.1, "{}", areas[0]);
    let bytes = |threads: &str| {
        let file = out(&format!("{threads}.parquet"));
        succeed(&["cluster", &input, "--subtract", "area", "--threads", threads, "-o", &file]);
        std::fs::read(file).unwrap()
    };
    assert!(bytes("1") == bytes("3"), "the threads are seen in the output");

    let without = run(&["cluster", &text(&tiny()), "--subtract", "puppi", "-o", &out("none.parquet")]);
    assert!(stderr(&without).contains("part_charge"), "{}", stderr(&without));
    let spherical = run(&["cluster", &input, "--area", "--algorithm", "ee-kt", "-o", &out("none.parquet")]);
    assert_eq!(spherical.status.code(), Some(2), "{}", stderr(&spherical));
    let none = run(&["cluster", &input, "--area", "--ghost-area", "0", "-o", &out("none.parquet")]);
    assert!(stderr(&none).contains("cells of side 0"), "{}", stderr(&none));
}
