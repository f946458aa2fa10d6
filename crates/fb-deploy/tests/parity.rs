//! Exported networks give the scores of our own engine under onnxruntime.
//!
//! They run where ORT_DYLIB_PATH names the library, and are skipped elsewhere.

mod common;

use std::path::PathBuf;

use fb_core::{Artifact, Events, Input};
use fb_deploy::{Inputs, Runtime, onnx};
use serde_json::json;

use common::{artifact, jets};

const TOLERANCE: f32 = 1e-5;

fn library() -> Option<PathBuf> {
    let library = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    if library.is_none() {
        eprintln!("skipped: ORT_DYLIB_PATH does not name an onnxruntime library");
    }
    library
}

/// None, few, many and more particles than any network keeps.
const MULTIPLICITIES: [usize; 22] = [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 30, 31, 40, 60, 99, 101, 130, 210, 0, 1, 2, 25];

/// Largest difference between the scores of both, over all events.
fn difference(library: &PathBuf, artifact: &Artifact, events: &Events) -> f32 {
    let method = fb_methods::method(artifact.method().unwrap()).unwrap();
    let expected = method.load(artifact).unwrap().scores(events, &fb_core::run::Alone).unwrap();
    let input: Input = serde_json::from_value(artifact.header["input"].clone()).unwrap();
    let mut runtime = Runtime::open(Some(library), &onnx(artifact).unwrap()).unwrap();
    let found = runtime.probabilities(&Inputs::new(&input, events).unwrap()).unwrap();
    assert_eq!(found.len(), expected.values.len());
    let differences = found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs());
    // Not a number must not pass for a small one.
    differences.fold(0.0, |largest, x| if x <= largest { largest } else { x })
}

#[test]
fn every_method_agrees() {
    let Some(library) = library() else { return };
    for method in fb_methods::METHODS {
        let artifact = artifact(*method, &json!({}));
        for multiplicities in [&MULTIPLICITIES[..], &[3, 0, 1, 2], &[1], &[0, 0]] {
            let difference = difference(&library, &artifact, &jets(multiplicities, 3));
            eprintln!("{} on {} jets: {difference:e}", method.card().name, multiplicities.len());
            assert!(difference <= TOLERANCE, "{}: {difference:e}", method.card().name);
        }
    }
}
