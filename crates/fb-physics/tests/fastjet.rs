//! Clusterings against FastJet: `references/fastjet_reference.py` wrote `references/jets.json`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_physics::four_vector::FourVector;
use fb_physics::jets::{Algorithm, Clustering, Definition, Scheme, Strategy};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn whole(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

fn definition(case: &Value) -> Definition {
    let algorithm = match case["algorithm"].as_str().unwrap() {
        "anti-kt" => Algorithm::AntiKt,
        "kt" => Algorithm::Kt,
        "cambridge-aachen" => Algorithm::CambridgeAachen,
        "ee-kt" => Algorithm::EeKt,
        other => match other.split_once(':').unwrap() {
            ("genkt", p) => Algorithm::GeneralisedKt(p.parse().unwrap()),
            (_, p) => Algorithm::EeGeneralisedKt(p.parse().unwrap()),
        },
    };
    let scheme = match case["scheme"].as_str().unwrap() {
        "E" => Scheme::E,
        "pt" => Scheme::Pt,
        "pt2" => Scheme::Pt2,
        _ => Scheme::WtaPt,
    };
    Definition { scheme, ..Definition::new(algorithm, case["R"].as_f64().unwrap()) }
}

fn close(found: f64, expected: f64, scale: f64) -> bool {
    (found - expected).abs() <= 1e-10 * scale.abs()
}

#[test]
fn jets_constituents_and_histories_are_those_of_fastjet() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../references/jets.json");
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let momentum = |p: &Value| {
        let p = numbers(p);
        FourVector { px: p[0], py: p[1], pz: p[2], e: p[3] }
    };
    let events: Vec<Vec<FourVector>> = reference["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event.as_array().unwrap().iter().map(momentum).collect())
        .collect();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() > 300);
    for case in cases {
        let particles = &events[case["event"].as_u64().unwrap() as usize];
        for strategy in [Strategy::Plain, Strategy::Best, Strategy::NLnN] {
            let definition = Definition { strategy, ..definition(case) };
            let clustering = Clustering::new(particles, &definition).unwrap();
            let jets = clustering.inclusive(0.0);
            let mut jet_of = vec![usize::MAX; particles.len()];
            for (number, &jet) in jets.iter().enumerate() {
                for particle in clustering.constituents(jet) {
                    jet_of[particle] = number;
                }
            }
            let place = format!("event {}, {definition:?}", case["event"]);
            assert_eq!(jet_of, whole(&case["jet_of"]), "{place}");
            for (&jet, expected) in jets.iter().zip(case["jets"].as_array().unwrap()) {
                let (p, q) = (clustering.momentum(jet), momentum(expected));
                assert!(close(p.pt(), q.pt(), q.pt()), "{place}: pT {} {}", p.pt(), q.pt());
                for (a, b) in [(p.px, q.px), (p.py, q.py), (p.pz, q.pz), (p.e, q.e)] {
                    assert!(close(a, b, q.e), "{place}: {p:?} {q:?}");
                }
            }
            let steps = clustering.history();
            for (n, &scale) in (1..).zip(&numbers(&case["scales"])) {
                let largest = steps.iter().map(|step| step.distance).fold(0.0, f64::max);
                assert!(close(clustering.exclusive_scale(n), scale, scale) || scale < 1e-12 * largest, "{place}: {n}");
            }
            if let Some(nodes) = case["nodes"].as_array() {
                for (node, expected) in (particles.len()..).zip(nodes) {
                    assert_eq!(clustering.constituents(node), whole(expected), "{place}: node {node}");
                }
                for (step, expected) in steps.iter().zip(numbers(&case["distances"])) {
                    // Distances of collinear particles are differences of numbers close to one.
                    let rounding = if matches!(definition.algorithm, Algorithm::EeKt | Algorithm::EeGeneralisedKt(_)) {
                        1e-9
                    } else {
                        0.0
                    };
                    assert!(
                        close(step.distance, expected, expected) || (step.distance - expected).abs() < rounding,
                        "{place}: {step:?} {expected}"
                    );
                }
            }
        }
    }
}
