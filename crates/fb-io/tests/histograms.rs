//! Histograms of statistical models in JSON: pyhf's and HS3's.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::path::{Path, PathBuf};

use fb_core::Data;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Names and numbers of all columns of a table.
fn columns(file: &str, table: &str) -> Vec<(String, Vec<f64>)> {
    let events = fb_io::read(format!("{}:{table}", fixture(file).display())).unwrap();
    let column = |column: &fb_core::Column| match &column.data {
        Data::F64(values) => (column.name.clone(), values.clone()),
        other => panic!("{}: {other:?}", column.name),
    };
    events.columns().iter().map(column).collect()
}

fn expected(columns: &[(&str, &[f64])]) -> Vec<(String, Vec<f64>)> {
    columns.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()
}

#[test]
fn pyhf_has_a_table_for_each_channel() {
    let signal_region: [(&str, &[f64]); 4] = [
        ("data", &[51.0, 62.0]),
        ("signal", &[5.0, 10.5]),
        ("background", &[50.0, 60.25]),
        ("background_staterror", &[5.0, 6.5]),
    ];
    assert_eq!(columns("pyhf.json", "SR"), expected(&signal_region));
    assert_eq!(columns("pyhf.json", "CR"), expected(&[("data", &[97.0]), ("background", &[100.0])]));
}

#[test]
fn hs3_has_data_and_histograms() {
    let observed: [(&str, &[f64]); 4] =
        [("contents", &[51.0, 62.0]), ("errors", &[7.5, 8.0]), ("m_low", &[100.0, 105.0]), ("m_high", &[105.0, 110.0])];
    assert_eq!(columns("hs3.json", "obs_SR"), expected(&observed));
    let edges: [(&str, &[f64]); 3] = [("contents", &[3.0, 4.0]), ("m_low", &[0.0, 1.0]), ("m_high", &[1.0, 10.0])];
    assert_eq!(columns("hs3.json", "obs_edges"), expected(&edges));
    let events: [(&str, &[f64]); 3] =
        [("m", &[125.25, 91.0, 80.5]), ("y", &[0.5, -2.5, 0.0]), ("weight", &[1.0, -1.0, 0.5])];
    assert_eq!(columns("hs3.json", "events"), expected(&events));
    assert_eq!(columns("hs3.json", "luminosity"), expected(&[("value", &[139.0]), ("error", &[2.5])]));
    let model: [(&str, &[f64]); 3] =
        [("signal", &[5.0, 10.5]), ("background", &[50.0, 60.25]), ("background_error", &[5.0, 6.5])];
    assert_eq!(columns("hs3.json", "model_SR"), expected(&model));
    assert_eq!(fb_io::tables(fixture("hs3.json")).unwrap().len(), 5);
}

#[test]
fn says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    let says = |file: &str, from: &str, to: &str, expected: &str| {
        let text = std::fs::read_to_string(fixture(file)).unwrap();
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = fb_io::tables(&path).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    says("pyhf.json", "[50.0, 60.25]", "[50.0]", "`SR`, `background`): found 1 bins, expected 2");
    says("pyhf.json", "\"background\"", "\"signal\"", "`SR`, `signal`): the name stands twice");
    says("pyhf.json", "[5.0, 10.5]", "[5.0, \"x\"]", "expected f64 at line 4 column 43");
    says("pyhf.json", "channels", "chanels", "expected `channels` (a workspace of pyhf) or `distributions` (HS3)");
    says("hs3.json", "\"nbins\": 2 } ],\n      \"contents\"", "\"nbins\": 3 } ],\n      \"contents\"", "of 2 bins");
    says("hs3.json", "[91, -2.5]", "[91]", "`events`, entry 1): found 1 numbers, expected 2");
}
