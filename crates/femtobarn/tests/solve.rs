//! Differential and integral equations from files, good and bad ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{mutate, run, stderr, succeed};
use fb_core::Philox;
use serde_json::Value as Json;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/solve");

fn solved(name: &str, more: &[&str]) -> Json {
    let file = format!("{SHIPPED}/{name}.toml");
    let arguments = [&["solve", &file, "--json"], more].concat();
    serde_json::from_str(&succeed(&arguments)).unwrap()
}

fn number(json: &Json, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("no {key} in {json}"))
}

fn has_its_solution(name: &str, most: f64) {
    let found = solved(name, &[]);
    let (error, reference) = (number(&found, "error_max"), number(&found, "reference_error_max"));
    assert!(error <= most && reference <= most.min(2e-8), "{name}: {error:e}, reference {reference:e}");
    assert!(number(&found, "reference_difference_max") <= 2.0 * most, "{name}");
    assert!(number(&found, "residual_rms") <= number(&found, "residual_max"), "{name}");
}

#[test]
fn ordinary_equations_have_their_solutions() {
    for name in ["o1", "o2", "c1"] {
        has_its_solution(name, 1e-7);
    }
}

#[test]
fn integral_equations_have_their_solutions() {
    for name in ["i1", "i2", "i3"] {
        has_its_solution(name, 1e-7);
    }
}

#[test]
fn partial_equations_have_their_solutions() {
    for name in ["p1", "c2", "n1"] {
        has_its_solution(name, 1e-5);
    }
}

#[test]
fn the_oscillator_has_its_states() {
    let found = solved("e1", &[]);
    assert!((number(&found, "eigenvalue") - 0.5).abs() < 1e-9, "{}", found["eigenvalue"]);
    // The box ends at 6, where the true state is 1e-8.
    assert!(number(&found, "error_max") < 1e-7);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("second.toml");
    let text = std::fs::read_to_string(format!("{SHIPPED}/e1.toml")).unwrap();
    let second = text.replace("eigenvalue = \"E\"", "eigenvalue = { name = \"E\", state = 2 }");
    let second = second.split("exact").next().unwrap();
    std::fs::write(&path, second).unwrap();
    let found: Json = serde_json::from_str(&succeed(&["solve", path.to_str().unwrap(), "--json"])).unwrap();
    for key in ["eigenvalue", "reference_eigenvalue"] {
        assert!((number(&found, key) - 2.5).abs() < 1e-7, "{key}: {}", found[key]);
    }
}

#[test]
fn soft_conditions_are_as_good_as_those_of_the_paper() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soft.toml");
    // What PyTorch reaches with this network, 100 points and 600 steps of L-BFGS.
    for (name, most) in [("o1", 1.8e-4), ("o2", 1.1e-5)] {
        let text = std::fs::read_to_string(format!("{SHIPPED}/{name}.toml")).unwrap();
        let network = "\n[network]\nwidth = 10\npoints = 100\nconditions = \"soft\"\n";
        std::fs::write(&path, text + network).unwrap();
        let found: Json = serde_json::from_str(&succeed(&["solve", path.to_str().unwrap(), "--json"])).unwrap();
        assert!(number(&found, "error_max") < most, "{name}: {}", found["error_max"]);
    }
}

#[test]
fn other_optimisers_and_points_lead_there_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    let text = std::fs::read_to_string(format!("{SHIPPED}/o2.toml")).unwrap();
    for (options, most) in [
        ("optimiser = \"l-bfgs\"\nwidth = 10\npoints = 40\nsteps = 600", 1e-3),
        ("optimiser = \"adam\"\nwidth = 10\npoints = 40\nsteps = 3000", 2e-3),
        ("collocation = \"sobol\"\nactivation = \"sin\"\nwidth = 20", 1e-6),
        ("collocation = \"latin-hypercube\"\ndepth = 2\nwidth = 12\npoints = 200", 1e-5),
        ("collocation = \"adaptive\"\nfourier = 4\nwidth = 16", 1e-4),
    ] {
        std::fs::write(&path, format!("{text}\n[network]\n{options}\n")).unwrap();
        let found: Json = serde_json::from_str(&succeed(&["solve", path.to_str().unwrap(), "--json"])).unwrap();
        assert!(number(&found, "error_max") < most, "{options}: {}", found["error_max"]);
    }
}

#[test]
fn a_report_shows_lines_and_maps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let page = |name: &str| {
        let found = solved(name, &["--report", path.to_str().unwrap()]);
        (std::fs::read_to_string(&path).unwrap(), found)
    };
    let (line, found) = page("o1");
    assert!(line.contains("all weights") || line.contains("outputs, steepness"));
    assert!(line.matches("<svg").count() == 4 && line.contains(">exact<") && !line.contains("NaN"));
    // All that was printed is in it.
    let json = line.split("id=\"results\">").nth(1).unwrap().split("</script>").next().unwrap();
    let within: Json = serde_json::from_str(json).unwrap();
    assert_eq!(within["solutions"], found["solutions"]);
    let (map, _) = page("c2");
    // For both unknowns the solution and two differences, two residuals, one training.
    assert_eq!(map.matches("<svg").count(), 9);
    assert!(map.contains("residual of equation 2") && !map.contains("NaN"));
}

#[test]
fn threads_do_not_change_a_bit_and_points_are_those_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    std::fs::write(&path, "name,x\na,0.5\nb,1.25\n\nc,0\n").unwrap();
    let at = path.to_str().unwrap();
    let (one, two) = (solved("o1", &["--at", at, "--threads", "1"]), solved("o1", &["--at", at, "--threads", "3"]));
    assert_eq!(one["solutions"], two["solutions"]);
    let phi = &one["solutions"]["phi"];
    assert_eq!(phi["points"], serde_json::json!([0.5, 1.25, 0.0]));
    for (x, value) in [0.5f64, 1.25, 0.0].into_iter().zip(phi["values"].as_array().unwrap()) {
        let exact = (-x * x / 2.0).exp() / (1.0 + x + x.powi(3)) + x * x;
        assert!((value.as_f64().unwrap() - exact).abs() < 1e-9);
    }
    for (text, message) in [
        ("y\n1\n", "no column `x`"),
        ("x,x\n1,1\n", "stands there twice"),
        ("x\nzero\n", "`x` is not finite in event 0"),
        ("x\n3\n", "x is 3 in row 1, expected a number from 0 to 2"),
        ("x\n1,2\n", "line 2): 2 fields, expected 1"),
        ("", "the file is empty"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = run(&["solve", &format!("{SHIPPED}/o1.toml"), "--at", at]);
        assert!(stderr(&output).contains(message), "{text}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("equations.toml");
    let text = std::fs::read_to_string(format!("{SHIPPED}/o2.toml")).unwrap();
    for (from, to, code, message) in [
        ("unknowns", "unknown", 2, "unknown field `unknown`"),
        ("d2(phi, x) +", "d2(phi, z) +", 2, "at character 9: no variable `z` to differentiate by"),
        ("/5 + phi", "/5 + phj", 2, "at character 28: nothing is called `phj`; did you mean `phi`?"),
        ("cos(x)/5 = 0", "cos(x)/5", 2, "expected one `=` between two sides, found 0"),
        ("cos(x)/5 = 0", "cos(x/5 = 0", 2, "expected `)`"),
        ("d2(phi, x)", "d2(phi, x", 2, "is not closed"),
        ("[0.0, 2.0]", "[2.0, 2.0]", 2, "expected two finite numbers, the lower one first"),
        ("[0.0, 2.0]", "[0.0, 2.0, 3.0]", 2, "expected two numbers [low, high]"),
        ("\"phi(0) = 0\", ", "", 3, "leave a part of the solution free"),
        ("\"phi(0) = 0\"", "\"phi = 0\"", 2, "expected an unknown at a place, such as `phi(0) = 1`"),
        ("\"phi(0) = 0\"", "\"phi(0) = 0\", \"phi(0) = 1\"", 2, "`phi(0) = 1` contradicts `phi(0) = 0`"),
        ("\"phi(0) = 0\"", "\"phi(0) = 0\", \"phi(2) = 1\"", 4, "did not converge"),
        ("\"phi(0) = 0\"", "\"phi(0, 1) = 0\"", 2, "expected a place with 1 coordinates (x), found 2"),
        ("[\"phi\"]", "[\"phi\", \"x\"]", 2, "expected 2 to 24, as many as there are unknowns"),
        ("[\"phi\"]", "[\"x\"]", 2, "`x` has two meanings"),
        ("exact      = { phi", "exact      = { psi", 2, "no unknown `psi`"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&path, changed).unwrap();
        let output = run(&["solve", path.to_str().unwrap()]);
        assert!(stderr(&output).contains(message), "{to}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{to}: {}", stderr(&output));
    }
}

#[test]
fn changed_files_end_with_a_known_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.toml");
    for (name, times) in [("o1", 25), ("o2", 25), ("i1", 25), ("c2", 10)] {
        let text = std::fs::read(Path::new(SHIPPED).join(format!("{name}.toml"))).unwrap();
        let mut random = Philox::new(7, 0, name.len() as u64);
        for _ in 0..times {
            let changed = mutate(&text, &mut random);
            std::fs::write(&path, &changed).unwrap();
            let output = run(&["solve", path.to_str().unwrap()]);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 2 | 3 | 4)), "{}\n{}", String::from_utf8_lossy(&changed), stderr(&output));
        }
    }
}
