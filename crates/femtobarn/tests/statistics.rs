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

#[test]
fn the_interval_of_interest_is_that_of_the_profile_likelihood() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let path = write(place.path(), "workspace.json", &reference["workspace"]);
    let number = |fit: &Value, name: &str, key: &str| fit["parameters"][name][key].as_f64().unwrap();
    let fit = ask(&["fit", &path, "--json"]);
    assert_eq!(
        (&fit["parameters"]["mu"]["interval"], &fit["parameters"]["errors[0]"]["interval"]),
        (&json!("profile"), &json!("curvature"))
    );
    let (high, best) = (number(&fit, "mu", "high"), fit["twice_nll"].as_f64().unwrap());
    // The same model with the parameter of interest held at the end of its interval.
    let mut held = reference["workspace"].clone();
    let parameters = &mut held["measurements"][0]["config"]["parameters"];
    *parameters = json!([{"name": "mu", "inits": [high], "bounds": [[0.0, 10.0]], "fixed": true}]);
    let held = ask(&["fit", &write(place.path(), "held.json", &held), "--json"]);
    assert!((held["twice_nll"].as_f64().unwrap() - best - 1.0).abs() < 1e-5);
    let all = ask(&["fit", &path, "--json", "--profile", "all"]);
    assert_eq!(all["parameters"]["errors[0]"]["interval"], "profile");
    assert!(stderr(&run(&["fit", &path, "--profile", "mv"])).contains("did you mean `mu`"));
}

#[test]
fn significances_are_those_of_pyhf() {
    // pyhf 0.7.6 with q0 for the first workspace of references/pyhf.json: 0.48167997603, expected 0.89193496232.
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let path = write(place.path(), "workspace.json", &reference["workspace"]);
    let found = ask(&["significance", &path, "--json"]);
    assert!((found["significance_observed"].as_f64().unwrap() - 0.48167997603).abs() < 1e-5, "{found}");
    assert!((found["significance_expected"].as_f64().unwrap() - 0.89193496232).abs() < 1e-5, "{found}");
    let counted = ask(&["significance", "--signal", "10", "--background", "100", "--error", "10", "--json"]);
    assert!((counted["significance_expected"].as_f64().unwrap() - 0.69020).abs() < 5e-6);
    assert_eq!(run(&["significance", "--signal", "10", "--background", "0"]).status.code(), Some(2));
    assert_eq!(run(&["significance"]).status.code(), Some(2));
}

#[test]
fn a_spectrum_is_fitted_as_its_file_says() {
    let place = tempfile::tempdir().unwrap();
    let sample = root().join("samples/higgs_dimuon/higgs_dimuon.parquet");
    let file = |more: &str, component: &str| {
        let path = place.path().join("peak.toml");
        let fit = format!("files = [\"{}\"]\nobservable = \"m_mumu\"\nselect = \"is_signal == 1\"", sample.display());
        std::fs::write(&path, format!("[fit]\n{fit}\n{more}\n[[component]]\nname = \"peak\"\n{component}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A Gaussian event by event has the mean and the spread of the events as its best values, if all are in the window.
    let gaussian = file("window = [0.0, 400.0]", "shape = \"gaussian\"");
    let fit = ask(&["fit", &gaussian, "--json"]);
    let number = |name: &str, key: &str| fit["parameters"][name][key].as_f64().unwrap();
    let events = fb_io::read(&sample).unwrap();
    let (m, signal) = (common::numbers(&events, "m_mumu"), common::numbers(&events, "is_signal"));
    let m: Vec<f64> = m.into_iter().zip(signal).filter(|(_, s)| *s == 1.0).map(|(m, _)| m).collect();
    let n = m.len() as f64;
    let mean = m.iter().sum::<f64>() / n;
    let spread = (m.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / n).sqrt();
    assert!((number("peak.mean", "value") - mean).abs() < 1e-3 * spread / n.sqrt());
    assert!((number("peak.sigma", "value") / spread - 1.0).abs() < 1e-5);
    assert!((number("peak.yield", "error") / n.sqrt() - 1.0).abs() < 1e-3);
    assert!((number("peak.mean", "error") / (spread / n.sqrt()) - 1.0).abs() < 1e-3);
    assert!(number("peak.sigma", "low") < spread && spread < number("peak.sigma", "high"));

    for (more, component, code, words) in [
        ("window = [110.0, 140.0]", "shape = \"gausian\"", 2, "did you mean `gaussian`"),
        ("window = [110.0, 140.0]", "shape = \"gaussian\"\nmeen = 1.0", 2, "did you mean `mean`"),
        ("window = [140.0, 110.0]", "shape = \"gaussian\"", 2, "two rising numbers"),
        ("window = [900.0, 990.0]", "shape = \"gaussian\"", 3, "category `all`"),
        ("window = [110.0, 140.0]\nbinns = 3", "shape = \"gaussian\"", 2, "binns"),
        ("window = [110.0, 140.0]\nweight = \"w\"", "shape = \"gaussian\"", 3, "no column `w`"),
    ] {
        let output = run(&["fit", &file(more, component), "--json"]);
        assert_eq!(output.status.code(), Some(code), "{more} {component}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{more} {component}: {}", stderr(&output));
    }
}

#[test]
fn impacts_goodness_and_reports_come_with_a_fit() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let path = write(place.path(), "workspace.json", &reference["workspace"]);
    let out = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let asked = ["--impacts", "--goodness", "--toys", "50", "--report", &out("fit.html"), "--json"];
    let of = |threads: &str| succeed(&[&["fit", &path], &asked[..], &["--threads", threads]].concat());
    let fit: Value = serde_json::from_str(&of("1")).unwrap();
    let page = std::fs::read_to_string(out("fit.html")).unwrap();
    assert_eq!(of("2"), of("1"));
    assert_eq!(std::fs::read_to_string(out("fit.html")).unwrap(), page);
    // pyhf's refits, of references/impacts.json.
    let text = std::fs::read_to_string(root().join("references/impacts.json")).unwrap();
    let expected = serde_json::from_str::<Value>(&text).unwrap()["impacts"]["uncorrelated background"].take();
    assert_eq!(fit["impacts"].as_array().unwrap().len(), 2);
    for impact in fit["impacts"].as_array().unwrap() {
        let expected = expected.as_array().unwrap().iter().find(|e| e["name"] == impact["name"]).unwrap();
        for key in ["up", "down", "constraint"] {
            let (found, expected) = (impact[key].as_f64().unwrap(), expected[key].as_f64().unwrap());
            assert!((found - expected).abs() < 2e-4, "{key}: {impact} against {expected}");
        }
    }
    // Two bins and one free parameter.
    assert_eq!(fit["goodness"]["degrees_of_freedom"], 1);
    assert!(fit["goodness"]["p"].as_f64().unwrap() > 0.01 && fit["goodness"]["toys"]["failed"] == 0, "{fit}");
    for words in
        ["Impacts, pulls and constraints", "Correlations", "Profiles of the likelihood", "after the fit", "<svg"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("NaN") && !page.contains("http"), "a report needs nothing else");
    // What is not asked for is not printed.
    let plain = ask(&["fit", &path, "--json"]);
    assert!(plain.get("impacts").is_none() && plain.get("goodness").is_none());
    let limit = succeed(&["limit", &path, "--report", &out("limit.html"), "--json"]);
    let page = std::fs::read_to_string(out("limit.html")).unwrap();
    let observed = serde_json::from_str::<Value>(&limit).unwrap()["upper_limit_observed"].as_f64().unwrap();
    assert!(page.contains(&format!("{observed:.5}")) && page.contains("CLs") && !page.contains("NaN"));
}

#[test]
fn intervals_are_those_of_the_tables() {
    // Table IV of physics/9711021.
    let found = ask(&["interval", "--counts", "7", "--background", "3", "--json"]);
    assert!(
        (found["low"].as_f64().unwrap() - 0.89).abs() < 0.01 && (found["high"].as_f64().unwrap() - 9.53).abs() < 0.01
    );
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    let path = write(place.path(), "workspace.json", &reference["workspace"]);
    let of =
        |threads: &str| ask(&["interval", &path, "--toys", "100", "--level", "0.68", "--threads", threads, "--json"]);
    let found = of("1");
    assert_eq!(found, of("2"));
    let best = reference["best"]["values"][0].as_f64().unwrap();
    assert!(found["low"].as_f64().unwrap() <= best && best < found["high"].as_f64().unwrap(), "{found}");
    assert_eq!(found["points"].as_array().unwrap().len(), 25);
    for wrong in
        [&["interval"][..], &["interval", "--counts", "3", "--background", "-1"], &["interval", &path, "--level", "2"]]
    {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_model_of_hs3_is_fitted_as_the_same_workspace() {
    let (place, reference) = (tempfile::tempdir().unwrap(), reference());
    // The first workspace of references/pyhf.json; errors of bins are relative in HS3.
    let document = json!({
        "distributions": [{"name": "one", "type": "histfactory_dist", "axes": [], "samples": [
            {"name": "signal", "data": {"contents": [5.0, 10.0]}, "modifiers": [{"name": "mu", "type": "normfactor", "parameter": "mu"}]},
            {"name": "background", "data": {"contents": [50.0, 60.0]}, "modifiers": [
                {"name": "errors", "type": "shapesys", "constraint": "Poisson", "data": {"vals": [0.1, 0.2]}}]},
        ]}],
        "data": [{"name": "seen", "type": "binned", "axes": [], "contents": [53.0, 65.0]}],
        "likelihoods": [{"name": "L", "distributions": ["one"], "data": ["seen"]}],
        "analyses": [{"name": "main", "likelihood": "L", "parameters_of_interest": ["mu"]}],
    });
    let [hs3, pyhf] =
        [write(place.path(), "a.hs3.json", &document), write(place.path(), "b.json", &reference["workspace"])];
    for verb in ["fit", "limit"] {
        assert_eq!(ask(&[verb, &hs3, "--json"]), ask(&[verb, &pyhf, "--json"]), "{verb}");
    }
    let mut other = document;
    other["distributions"][0]["type"] = json!("gaussian_dist");
    let output = run(&["fit", &write(place.path(), "other.json", &other), "--json"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("gaussian_dist"), "{}", stderr(&output));
}

#[test]
fn a_peak_is_sought_and_taken_apart_from_its_background() {
    let place = tempfile::tempdir().unwrap();
    let sample = root().join("samples/higgs_dimuon/higgs_dimuon.parquet");
    let file = |name: &str, more: &str| {
        let text = format!(
            "[fit]\nfiles = [\"{}\"]\nobservable = \"m_mumu\"\nwindow = [110.0, 140.0]\n{more}\n[[component]]\nname = \"peak\"\nshape = \"gaussian\"\nmean = 125.0\nsigma = {{ start = 1.2, fixed = true }}\n[[component]]\nname = \"smooth\"\nshape = \"exponential\"\n",
            sample.display()
        );
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let out = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let binned = file("binned.toml", "bins = 60");
    let arguments = ["significance", &binned, "--scan", "peak.mean=112..138", "--points", "27", "--json"];
    let found = ask(&[&arguments[..], &["--toys", "20", "--report", &out("scan.html")]].concat());
    let (mean, local) = (found["mean"].as_f64().unwrap(), found["significance_local"].as_f64().unwrap());
    assert!((mean - 125.0).abs() <= 1.0 && local > 5.0, "{mean}, {local}");
    assert_eq!(found["points"].as_array().unwrap().len(), 27);
    assert!(found["p0_global"]["central"].as_f64().unwrap() >= found["p0_local"].as_f64().unwrap());
    let page = std::fs::read_to_string(out("scan.html")).unwrap();
    assert!(page.contains("local p₀") && !page.contains("NaN"));
    for (scan, code, words) in [
        ("peak.mean=140..110", 2, "expected NAME=LOW..HIGH"),
        ("peak.meen=110..140", 2, "did you mean `peak.mean`"),
        ("smooth.yield=1..2", 2, "of its own"),
    ] {
        let output = run(&["significance", &binned, "--scan", scan]);
        assert!(output.status.code() == Some(code) && stderr(&output).contains(words), "{scan}: {}", stderr(&output));
    }

    let events = file("events.toml", "");
    let fit = ask(&["fit", &events, "--splot", &out("weights.parquet"), "--json"]);
    let weighted = fb_io::read(out("weights.parquet")).unwrap();
    for component in ["peak", "smooth"] {
        let sum: f64 = common::numbers(&weighted, &format!("sweight_{component}")).iter().sum();
        let size = fit["parameters"][format!("{component}.yield")]["value"].as_f64().unwrap();
        assert!((sum / size - 1.0).abs() < 1e-4, "{component}: {sum} against {size}");
    }
    assert!(weighted.column("m_mumu").is_ok() && weighted.column("is_signal").is_ok());
    let output = run(&["fit", &binned, "--splot", &out("none.parquet")]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("fit.bins"), "{}", stderr(&output));
    assert_eq!(run(&["fit", &binned, "--impacts"]).status.code(), Some(2));
    let report = succeed(&["fit", &binned, "--goodness", "--report", &out("spectrum.html")]);
    assert!(report.contains("goodness of fit"), "{report}");
    assert!(std::fs::read_to_string(out("spectrum.html")).unwrap().contains("m_mumu"));
}

#[test]
fn a_histogram_is_written_and_fitted_as_its_events() {
    let place = tempfile::tempdir().unwrap();
    let sample = root().join("samples/higgs_dimuon/higgs_dimuon.parquet").display().to_string();
    let written = |axes: &str| ask(&["inspect", &sample, "--histogram", axes]);
    let fit = |name: &str, input: &str| {
        let component = "[[component]]\nname = \"peak\"\nshape = \"gaussian\"\n[[component]]\nname = \"smooth\"\nshape = \"exponential\"\n";
        let path = place.path().join(name);
        std::fs::write(&path, format!("[fit]\nobservable = \"m_mumu\"\n{input}\n{component}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let json = write(place.path(), "h.json", &json!({"mass": written("m_mumu=80,105..145")}));
    let events = fit("events.toml", &format!("files = [\"{sample}\"]\nwindow = [110.0, 140.0]\nbins = 60"));
    let binned = fit("binned.toml", &format!("histogram = \"{json}:mass\"\nwindow = [110.0, 140.0]"));
    assert_eq!(ask(&["fit", &binned, "--json"]), ask(&["fit", &events, "--json"]));

    let two = written("m_mumu=[0,120,130,1000];is_signal={0,1}");
    let signal = two["storage"]["values"].as_array().unwrap();
    let sum: f64 = signal.iter().flat_map(|row| row.as_array().unwrap()).map(|x| x.as_f64().unwrap()).sum();
    assert_eq!((sum, signal.len(), signal[2].as_array().unwrap().len()), (16000.0, 5, 3));
    assert!(signal[2][1].as_f64().unwrap() > 2.0 * signal[2][0].as_f64().unwrap(), "{two}");
    for (input, code, words) in [
        (format!("histogram = \"{json}:mass\"\nwindow = [110.1, 140.0]"), 3, "does not end at edges"),
        (format!("histogram = \"{json}:mas\"\nwindow = [110.0, 140.0]"), 3, "has no histogram `mas`"),
        (format!("histogram = \"{json}:mass\"\nbins = 3\nwindow = [110.0, 140.0]"), 2, "without `bins`"),
        ("window = [110.0, 140.0]".to_owned(), 2, "expected either `files` or `histogram`"),
    ] {
        let output = run(&["fit", &fit("wrong.toml", &input)]);
        assert!(output.status.code() == Some(code) && stderr(&output).contains(words), "{input}: {}", stderr(&output));
    }
    assert_eq!(run(&["inspect", &sample, "--histogram", "m_mumu=80"]).status.code(), Some(2));
}
