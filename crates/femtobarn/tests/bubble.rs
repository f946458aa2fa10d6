//! Bounces from files, good and bad ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use common::{mutate, run, stderr, succeed};
use fb_core::Philox;
use serde_json::Value as Json;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/bubble");

fn json(file: &str) -> Json {
    serde_json::from_str(&succeed(&["bubble", file, "--json"])).unwrap()
}

#[test]
fn the_shipped_files_have_their_actions() {
    for (name, action) in [
        ("thin", 1093.18306),
        ("thick", 6.62981963),
        ("logarithmic", 269.4310709),
        ("five_fields", 16.31),
        ("six_fields", 24.47),
        ("seven_fields", 36.65),
        ("eight_fields", 45.99),
    ] {
        let found = json(&format!("{SHIPPED}/{name}.toml"));
        let tolerance = if name.ends_with("fields") { 0.01 } else { 1e-6 };
        for value in [&found["action"]["central"], &found["action_reference"]] {
            let value = value.as_f64().unwrap();
            assert!((value / action - 1.0).abs() < tolerance, "{name}: {value}");
        }
        let length = found["profile"]["r"].as_array().unwrap().len();
        assert!(found["profile"]["phi"].as_array().unwrap().iter().all(|phi| phi.as_array().unwrap().len() == length));
        assert!(found["derrick"].as_f64().unwrap() < 1e-6 && found["seconds"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_transition_has_its_waves_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("singlet.toml"), folder.path().join("page.html"));
    let text = std::fs::read_to_string(format!("{SHIPPED}/singlet.toml")).unwrap();
    let waves = |options: &str| -> Json {
        std::fs::write(&file, text.clone() + options).unwrap();
        let arguments = ["bubble", file.to_str().unwrap(), "--json", "--report", page.to_str().unwrap()];
        serde_json::from_str(&succeed(&arguments)).unwrap()
    };
    let found = waves("[bubble.waves]\nturbulence = 0.0\nwall_velocity = 0.9\n");
    let (transition, waves_of) = (&found["transition"], &found["gravitational_waves"]);
    let number = |json: &Json| json.as_f64().unwrap_or_else(|| panic!("{json}"));
    // Without turbulence the peak is that of sound.
    let (t, beta) = (number(&transition["nucleation_temperature"]), number(&transition["beta_over_H"]));
    let alpha = number(&transition["alpha_trace"]);
    let peak = 1.9e-5 / 0.9 * beta * t / 100.0 * (106.75f64 / 100.0).powf(1.0 / 6.0);
    assert!((number(&waves_of["peak_frequency"]["central"]) / peak - 1.0).abs() < 1e-6, "{waves_of}");
    let moving = number(&waves_of["efficiency"]) * alpha / (1.0 + alpha);
    let amplitude = 2.65e-6 / beta * moving * moving * (100.0f64 / 106.75).cbrt() * 0.9 * number(&waves_of["lifetime"]);
    assert!((number(&waves_of["peak_amplitude"]["central"]) / amplitude - 1.0).abs() < 1e-6, "{waves_of}");
    assert!(
        number(&waves_of["peak_amplitude"]["high"]) > amplitude && number(&transition["errors"]["beta_over_H"]) > 0.0
    );
    assert!(number(&waves_of["snr"]["LISA"]["central"]) > number(&waves_of["snr"]["LIGO"]["central"]));
    let html = std::fs::read_to_string(&page).unwrap();
    // Profile, potential, path, S₃/T, spectrum.
    assert_eq!(html.matches("<svg").count(), 5);
    assert!(html.contains("Gravitational waves") && !html.contains("NaN"));
    // The latent heat is more than the trace.
    let latent = waves("[bubble.waves]\nalpha = \"latent\"\n");
    assert!(
        number(&latent["gravitational_waves"]["snr"]["LISA"]["central"]) > number(&waves_of["snr"]["LISA"]["central"])
    );
    for (options, message) in [
        ("[bubble.waves]\nwall_velocity = 0.0\n", "bubble.waves.wall_velocity: found 0, expected a number above 0"),
        ("[bubble.waves]\nyears = -1.0\n", "bubble.waves.years: found -1"),
        ("[bubble.waves]\nspeed = 1.0\n", "unknown field `speed`"),
    ] {
        std::fs::write(&file, text.clone() + options).unwrap();
        let output = run(&["bubble", file.to_str().unwrap()]);
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("potential.toml");
    let thick = std::fs::read_to_string(format!("{SHIPPED}/thick.toml")).unwrap();
    for (from, to, code, message) in [
        ("dimension", "dimensions", 2, "unknown field `dimensions`"),
        ("dimension = 3", "dimension = 5", 2, "found 5, expected 3 or 4"),
        ("phi^4/4", "phi^4/*4", 2, "cannot read the expression"),
        ("phi^4/4", "ph^4/4", 3, "no variable `ph`; did you mean `phi`?"),
        ("[1.0]", "[1.0, 2.0]", 2, "expected 1 finite numbers"),
        ("false_vacuum = [0.0]\ntrue_vacuum = [1.0]", "false_vacuum = [1.0]\ntrue_vacuum = [0.0]", 3, "exchange them"),
        ("0.1*phi^2", "-0.1*phi^2", 3, "is no minimum"),
        ("- 0.4*phi^3 + 0.1*phi^2", "- 0.4*phi^3", 3, "barrier"),
        ("phi^4/4 - 0.4*phi^3 + 0.1*phi^2\"", "phi^2 - phi^4\"\n#", 4, "did not converge"),
    ] {
        let mut text = thick.replace(from, to);
        assert_ne!(text, thick, "{from}");
        if code == 4 {
            text = text.replace("dimension = 3", "dimension = 4").replace("[1.0]", "[1.1]");
        }
        std::fs::write(&path, text).unwrap();
        let output = run(&["bubble", path.to_str().unwrap()]);
        assert!(stderr(&output).contains(message), "{to}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{to}");
    }
}

#[test]
fn changed_files_end_with_a_known_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.toml");
    for (name, times) in [("thick", 60), ("two_fields_thick", 20), ("logarithmic", 30)] {
        let text = std::fs::read(Path::new(SHIPPED).join(format!("{name}.toml"))).unwrap();
        let mut random = Philox::new(7, 0, name.len() as u64);
        for _ in 0..times {
            let changed = mutate(&text, &mut random);
            std::fs::write(&path, &changed).unwrap();
            let output = run(&["bubble", path.to_str().unwrap()]);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 2 | 3 | 4)), "{}\n{}", String::from_utf8_lossy(&changed), stderr(&output));
        }
    }
}
