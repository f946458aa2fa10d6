//! What predictions of numbers become by each loss, where the distribution of the target is known.

#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use fb_core::run::{Alone, Nowhere};
use fb_core::{Column, Data, Events, Fitted, Philox, Run, Sample};
use fb_methods::method;
use serde_json::{Value as Json, json};

/// Targets e^{0.5·n} with n normal, which no variable tells anything of.
fn sample(events: usize, seed: u64) -> Sample {
    let mut random = Philox::new(seed, 0, 0);
    let targets = (0..events).map(|_| (0.5 * random.normal()).exp()).collect();
    let x = (0..events).map(|_| random.normal()).collect();
    Sample {
        events: Events::new(vec![Column::flat("x", Data::F64(x))]).unwrap(),
        labels: vec![0; events],
        targets,
        weights: vec![1.0; events],
        identity: (0..events as u64).collect(),
        ..Sample::default()
    }
}

fn fitted(loss: &Json) -> Box<dyn Fitted> {
    let mlp = method("mlp").unwrap();
    let train = json!({"epochs": 40, "batch": 500, "lr": 0.02, "schedule": "cosine", "average": 0.99});
    let config = json!({"variables": ["x"], "layers": [], "loss": loss, "train": train});
    let mut run = Run {
        seed: 1,
        workers: &Alone,
        tick: &mut |_, _| {},
        report: &mut |_| {},
        stop: &|| false,
        store: &mut Nowhere,
        start: None,
    };
    mlp.fit(&config, &sample(20_000, 1), &sample(200, 2), &mut run).unwrap()
}

/// Where the density of the targets, smeared by a Gaussian of this variance, is highest; without it at e^{−1/4}.
fn mode_of_smeared(variance: f64) -> f64 {
    let density = |t: f64| (-2.0 * t.ln().powi(2)).exp() / t;
    let smeared = |y: f64| -> f64 {
        let steps = (1..4000).map(|i| 1e-3 * f64::from(i));
        steps.map(|t| density(t) * (-0.5 * (y - t).powi(2) / variance).exp()).sum()
    };
    let grid = (600..1000).map(|i| 1e-3 * f64::from(i));
    grid.max_by(|&a, &b| smeared(a).total_cmp(&smeared(b))).unwrap()
}

#[test]
fn predictions_are_mean_median_quantile_and_mode() {
    let mean = 0.125f64.exp();
    let kernel = json!({"kind": "gaussian_kernel", "alpha": [0.3, 0.01], "beta": 1e-3});
    for (loss, expected, within) in [
        (json!({"kind": "squared"}), mean, 0.01),
        (json!({"kind": "gaussian"}), mean, 0.015),
        (json!({"kind": "quantile", "alpha": 0.5}), 1.0, 0.01),
        (json!({"kind": "quantile", "alpha": 0.9}), (0.5 * 1.281_552f64).exp(), 0.015),
        // A wide one is half the square, a narrow one δ times the absolute difference.
        (json!({"kind": "huber", "delta": 30.0}), mean, 0.01),
        (json!({"kind": "huber", "delta": 0.01}), 1.0, 0.01),
        (kernel, mode_of_smeared(0.01), 0.015),
    ] {
        let found = fitted(&loss).scores(&sample(1000, 3).events, &Alone).unwrap().values;
        let found = found.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
        assert!((found / expected - 1.0).abs() < within, "{loss}: {found}, expected {expected}");
    }
}

#[test]
fn a_gaussian_says_how_sure_it_is() {
    let spread = ((0.25f64.exp() - 1.0) * 0.25f64.exp()).sqrt();
    let events = sample(1000, 3).events;
    let errors = fitted(&json!({"kind": "gaussian"})).errors(&events, &Alone).unwrap().unwrap();
    let found = errors.values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
    assert!((found / spread - 1.0).abs() < 0.03, "{found}, expected {spread}");
    assert!(fitted(&json!({"kind": "squared"})).errors(&events, &Alone).unwrap().is_none());
}
