//! `fb fit` and `fb limit` from the file to what is printed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{root, run, stderr, succeed};
use serde_json::{Value, json};

fn write(folder: &Path, name: &str, json: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, json.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The first workspace that pyhf was asked about, and what it said.
fn reference() -> Value {
    let text = std::fs::read_to_string(root().join("references/pyhf.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["models"][0].take()
}

fn ask(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(arguments)).unwrap()
}

#[test]
fn what_is_printed_is_what_pyhf_says() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let path = write(place.path(), "workspace.json", &reference["workspace"]);
    let fit = ask(&["fit", &path, "--json"]);
    assert_eq!((fit["status"].as_str(), fit["covariance_ok"].as_bool()), (Some("converged"), Some(true)));
    let names: Vec<&String> = fit["parameters"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["mu", "errors[0]", "errors[1]"]);
    let mu = &fit["parameters"]["mu"];
    assert!((mu["value"].as_f64().unwrap() - reference["best"]["values"][0].as_f64().unwrap()).abs() < 1e-4);
    assert_eq!(mu["low"], 0.0);

    let limit = ask(&["limit", &path, "--json"]);
    for key in ["cls_observed", "upper_limit_observed"] {
        assert!((limit[key].as_f64().unwrap() - reference[key].as_f64().unwrap()).abs() < 1e-4, "{key}: {limit}");
    }
    for key in ["cls_expected", "upper_limits_expected"] {
        for i in 0..5 {
            assert!((limit[key][i].as_f64().unwrap() - reference[key][i].as_f64().unwrap()).abs() < 1e-3, "{key}");
        }
    }
    assert!(succeed(&["fit", &path]).contains("converged"));
    assert!(succeed(&["limit", &path]).contains("95 % limit"));
}

#[test]
fn a_patch_of_a_set_is_applied_and_the_others_are_not() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let workspace = write(place.path(), "workspace.json", &reference["workspace"]);
    let operations = |signal: f64| json!([{"op": "replace", "path": "/channels/0/samples/0/data", "value": [5.0 * signal, 10.0 * signal]}]);
    let patch =
        |name: &str, signal: f64| json!({"metadata": {"name": name, "values": []}, "patch": operations(signal)});
    let set = json!({"patches": [patch("half", 0.5), patch("double", 2.0)], "metadata": {}, "version": "1.0.0"});
    let (set, bare) = (write(place.path(), "set.json", &set), write(place.path(), "bare.json", &operations(2.0)));
    let mu = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["fit", &workspace, "--json"].into_iter().chain(arguments.iter().copied()).collect();
        ask(&arguments)["parameters"]["mu"]["value"].as_f64().unwrap()
    };
    let plain = mu(&[]);
    for arguments in [
        vec!["--patch", &bare],
        vec!["--patch", &format!("{set}:double")],
        vec!["--patch", &set, "--patch-name", "double"],
    ] {
        assert!((mu(&arguments) - plain / 2.0).abs() < 1e-4);
    }
    let missing = run(&["fit", &workspace, "--patch", &set, "--patch-name", "duoble"]);
    assert!(!missing.status.success() && stderr(&missing).contains("did you mean `double`"), "{}", stderr(&missing));
}

#[test]
fn what_cannot_be_fitted_ends_with_its_name_and_a_code() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let mut json = reference["workspace"].clone();
    json["channels"][0]["samples"][0]["data"] = json!([0.0, 0.0]);
    let path = write(place.path(), "flat.json", &json);
    assert_eq!(ask(&["fit", &path, "--json"])["covariance_ok"], false);
    let output = run(&["limit", &path]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("no upper limit"), "{}", stderr(&output));
    json["channels"][0]["samples"][1]["data"] = json!([0.0, 60.0]);
    let output = run(&["fit", &write(place.path(), "empty.json", &json)]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("bin 0 of channel `one`"), "{}", stderr(&output));
    std::fs::write(place.path().join("broken.json"), "{\"channels\": [").unwrap();
    let output = run(&["fit", place.path().join("broken.json").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("is no JSON"), "{}", stderr(&output));
}
