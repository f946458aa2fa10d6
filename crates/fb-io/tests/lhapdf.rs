//! Parton distributions, against LHAPDF itself (`data/lhapdf/make.py`).
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};

use fb_core::Data;
use fb_io::lhapdf::Grid;
use serde_json::Value as Json;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lhapdf").join(name)
}

/// Each value of LHAPDF's, to 1e-9 of it and of the largest flavour there.
fn agrees(set: &str, grid: &Grid) {
    let golden: Json = serde_json::from_slice(&std::fs::read(data("golden.json")).unwrap()).unwrap();
    let points = golden[set].as_array().unwrap();
    assert!(points.len() > 60);
    for point in points {
        let (x, q2) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
        let flavours = point[2].as_object().unwrap();
        let largest = flavours.values().map(|v| v.as_f64().unwrap().abs()).fold(0.0, f64::max);
        for (flavour, expected) in flavours {
            let expected = expected.as_f64().unwrap();
            let found = grid.xfxq2(flavour.parse().unwrap(), x, q2).unwrap();
            let near = (found - expected).abs() <= 1e-9 * largest;
            assert!(near, "{set}: x = {x}, Q² = {q2}, flavour {flavour}: {found}, expected {expected}");
        }
    }
}

#[test]
fn interpolates_as_lhapdf() {
    agrees("tiny", &Grid::read(data("tiny/tiny_0000.dat")).unwrap());
}

#[test]
fn interpolates_a_public_set_as_lhapdf() {
    let set = "NNPDF31_nnlo_as_0118_mc";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/public/lhapdf").join(set);
    if !path.exists() {
        eprintln!("skipped: the set {set} is not there");
        return;
    }
    agrees(set, &Grid::read(path.join(format!("{set}_0000.dat"))).unwrap());
}

#[test]
fn knots_are_exact_and_the_outside_is_nothing() {
    let grid = Grid::read(data("tiny/tiny_0000.dat")).unwrap();
    let events = fb_io::read(data("tiny/tiny_0000.dat")).unwrap();
    assert_eq!((events.len(), grid.flavours()), (11 * 16, &[-2, -1, 1, 2, 21][..]));
    let column = |name: &str| match &events.column(name).unwrap().data {
        Data::F64(values) => values.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let (x, q, gluon, up) = (column("x"), column("Q"), column("xf_21"), column("xf_2"));
    for i in 0..events.len() {
        // At a threshold the knot of the upper subgrid holds.
        if i + 1 == events.len() || q[i + 1] > q[i] || q[i] == 10000.0 {
            let found = [21, 0, 2].map(|flavour| grid.xfxq2(flavour, x[i], q[i] * q[i]).unwrap());
            assert!((found[0] - gluon[i]).abs() <= 1e-12 * gluon[i].abs() && found[0] == found[1]);
            assert!((found[2] - up[i]).abs() <= 1e-12 * up[i].abs());
        }
    }
    assert_eq!(grid.xfxq2(5, 0.1, 100.0), Some(0.0));
    for (x, q2) in [(0.9e-5, 100.0), (1.1, 100.0), (0.1, 1.0), (0.1, 1.1e8), (f64::NAN, 100.0), (0.1, f64::NAN)] {
        assert_eq!(grid.xfxq2(21, x, q2), None);
    }
}

#[test]
fn says_what_is_wrong() {
    let whole = std::fs::read_to_string(data("tiny/tiny_0000.dat")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong_0000.dat");
    let says = |text: String, expected: &str| {
        std::fs::write(&path, text).unwrap();
        let error = Grid::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says(whole.replace("lhagrid1", "lhagrid9"), "found `lhagrid9`, expected `Format: lhagrid1`");
    says(whole[..whole.len() - 5].to_owned(), "the file ends here");
    says(whole.replacen("-2 -1 1 2 21", "-2 -1 1 2", 1), "(line 7): found 5 numbers, expected 4");
    says(whole.replacen("1.3000000e+00 ", "9 ", 1), "(line 5): the knots in Q are not positive and rising");
    says(whole.replacen("1.8000000e+00 ", "", 1), "found 55 knots, expected 11 · 4");
}
