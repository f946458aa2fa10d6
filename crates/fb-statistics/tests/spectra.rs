//! Fits of spectra against those of iminuit (references/minuit_reference.py), and their coverage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use fb_core::Philox;
use fb_statistics::spectrum::{Data, Description, Spectra};
use fb_statistics::toys::poisson;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    #[serde(flatten)]
    description: Description,
    window: (f64, f64),
    counts: Option<Vec<f64>>,
    x: Option<Vec<f64>>,
    twice_nll: f64,
    best: BTreeMap<String, f64>,
    errors: BTreeMap<String, f64>,
    low: BTreeMap<String, f64>,
    high: BTreeMap<String, f64>,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("../../../references/minuit.json")).unwrap()
}

fn edges(bins: usize, (low, high): (f64, f64)) -> Vec<f64> {
    (0..=bins).map(|i| low + (high - low) * i as f64 / bins as f64).collect()
}

fn data(reference: &Reference) -> Data {
    match (&reference.counts, &reference.x) {
        (Some(counts), _) => Data::Binned {
            edges: edges(counts.len(), reference.window),
            contents: counts.clone(),
            variances: counts.clone(),
        },
        (_, x) => {
            let x = x.clone().unwrap();
            Data::Events { weights: vec![1.0; x.len()], x }
        }
    }
}

fn spectra(reference: &Reference) -> Spectra {
    reference.description.spectra(reference.window, vec![("all".to_owned(), data(reference))]).unwrap()
}

#[test]
fn best_values_errors_and_intervals_are_those_of_minuit() {
    let references = references();
    assert_eq!(references.len(), 20);
    for (problem, reference) in references.iter().enumerate() {
        let spectra = spectra(reference);
        let found = spectra.fit(&spectra.start(), &spectra.bounds()).unwrap();
        assert!((found.twice_nll - reference.twice_nll).abs() < 1e-4, "{problem}: {}", found.twice_nll);
        for (i, parameter) in spectra.parameters.iter().enumerate() {
            let Some(best) = reference.best.get(&parameter.name) else {
                assert_eq!(found.errors[i], 0.0);
                continue;
            };
            let (name, error) = (&parameter.name, reference.errors[&parameter.name]);
            assert!((found.theta[i] - best).abs() < 2e-3 * error, "{problem} {name}: {} {best}", found.theta[i]);
            assert!((found.errors[i] / error - 1.0).abs() < 5e-3, "{problem} {name}: {} {error}", found.errors[i]);
            let ends = spectra.interval(&found, i, 1.0).unwrap();
            for (end, expected) in ends.iter().zip([&reference.low, &reference.high]) {
                let (end, expected) = (end.value(), expected[name]);
                assert!((end - expected).abs() < 1e-2 * error, "{problem} {name}: {end} {expected}");
            }
        }
    }
}

/// How often the truth is within `error` of the best value, in `toys` samples that `draw` makes.
fn coverage(toys: usize, name: &str, truth: f64, draw: &dyn Fn(&mut Philox) -> Spectra) -> (f64, f64) {
    let mut inside = 0;
    for toy in 0..toys {
        let spectra = draw(&mut Philox::new(11, 0, toy as u64));
        let i = spectra.parameters.iter().position(|p| p.name == name).unwrap();
        let found = spectra.fit(&spectra.start(), &spectra.bounds()).unwrap();
        inside += usize::from((found.theta[i] - truth).abs() < found.errors[i]);
    }
    let share = inside as f64 / toys as f64;
    (share, (0.6827 * 0.3173 / toys as f64).sqrt())
}

#[test]
fn errors_cover_with_and_without_weights() {
    let description: Description = serde_json::from_value(serde_json::json!({"component": [
        {"name": "b", "shape": "exponential", "slope": {"start": 0.05, "low": -1.0, "high": 1.0}},
    ]}))
    .unwrap();
    let window = (0.0, 60.0);
    // x of density e^(−0.05 x); half of the events have the weight 1, the others 3 or −1.
    let events = |random: &mut Philox, weights: &[f64; 2]| {
        let n = poisson(random, 400.0) as usize;
        let x: Vec<f64> = (0..n).map(|_| -(1.0 - random.uniform() * (1.0 - (-3.0_f64).exp())).ln() / 0.05).collect();
        let weights = (0..n).map(|_| weights[usize::from(random.uniform() < 0.25)]).collect();
        description.spectra(window, vec![("all".to_owned(), Data::Events { x, weights })]).unwrap()
    };
    for weights in [[1.0, 1.0], [1.0, 3.0], [1.0, -1.0]] {
        let (share, error) = coverage(600, "b.slope", 0.05, &|random| events(random, &weights));
        assert!((share - 0.6827).abs() < 3.0 * error, "{weights:?}: {share} ± {error}");
    }
}

#[test]
fn categories_share_what_they_are_told_to() {
    let description: Description = serde_json::from_value(serde_json::json!({"component": [
        {"name": "s", "shape": "gaussian", "mean": 125.0, "sigma": {"start": 2.0, "separate": true}},
        {"name": "t", "shape": "gaussian", "mean": "s.mean", "sigma": {"start": 6.0, "fixed": true}},
    ]}))
    .unwrap();
    let data = |n: f64| {
        let contents: Vec<f64> =
            (0..30).map(|i| (n * (-0.5 * ((f64::from(i) - 14.5) / 3.0).powi(2)).exp()).round()).collect();
        Data::Binned { edges: edges(30, (110.0, 140.0)), variances: contents.clone(), contents }
    };
    let data = vec![("one".to_owned(), data(100.0)), ("two".to_owned(), data(30.0))];
    let spectra = description.spectra((110.0, 140.0), data.clone()).unwrap();
    let names: Vec<&str> = spectra.parameters.iter().map(|p| p.name.as_str()).collect();
    let expected = [
        "s.mean",
        "s.sigma[one]",
        "s.yield[one]",
        "t.sigma",
        "t.yield[one]",
        "s.sigma[two]",
        "s.yield[two]",
        "t.yield[two]",
    ];
    assert_eq!(names, expected);
    let found = spectra.fit(&spectra.start(), &spectra.bounds()).unwrap();
    assert!((found.theta[0] - 125.0).abs() < 0.01 && found.errors[3] == 0.0, "{found:?}");

    let wrong = |json: serde_json::Value| {
        let description: Description = serde_json::from_value(json).unwrap();
        description.spectra((110.0, 140.0), data.clone()).unwrap_err().to_string()
    };
    let gaussian = |key: &str, value: serde_json::Value| serde_json::json!({"component": [{"name": "s", "shape": "gaussian", key: value}]});
    assert!(wrong(gaussian("sigmma", 1.0.into())).contains("did you mean `sigma`"));
    assert!(wrong(gaussian("mean", "t.mean".into())).contains("another component"));
    assert!(wrong(gaussian("mean", serde_json::json!({"start": 1.0, "low": 2.0}))).contains("expected a number from"));
    assert!(wrong(serde_json::json!({"component": []})).contains("at least one"));
}

#[test]
fn bins_in_which_nothing_is_expected_and_nothing_is_seen_tell_nothing() {
    let description: Description =
        serde_json::from_value(serde_json::json!({"component": [{"name": "s", "shape": "gaussian"}]})).unwrap();
    // A narrow peak in a wide window: far off it the expectation is zero in double precision.
    let window = (0.0, 1000.0);
    let mut random = Philox::new(2, 0, 0);
    let mut histogram = fb_statistics::Histogram::uniform(1000, window.0, window.1);
    (0..400).for_each(|_| histogram.fill(125.0 + 3.0 * random.normal(), 2.0));
    let data = |variances: Vec<f64>| {
        let data = Data::Binned { edges: histogram.edges.clone(), contents: histogram.contents.clone(), variances };
        let spectra = description.spectra(window, vec![("all".to_owned(), data)]).unwrap();
        spectra.fit(&spectra.start(), &spectra.bounds()).unwrap()
    };
    let plain = data(histogram.contents.clone());
    assert!((plain.theta[1] - 3.0).abs() < 5.0 * plain.errors[1] && plain.errors[1] > 0.05, "{plain:?}");
    // Events of weight two are half as many as they seem.
    let weighted = data(histogram.variances.clone());
    assert!((weighted.errors[0] / plain.errors[0] / 2.0_f64.sqrt() - 1.0).abs() < 0.02, "{weighted:?}");
}
