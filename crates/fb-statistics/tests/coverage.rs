//! How often intervals hold the truth, over two thousand pseudo-experiments each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::Philox;
use fb_core::run::Alone;
use fb_statistics::bootstrap::evaluate;
use fb_statistics::histfactory::{Data, Likelihood, Model, Scan, Workspace, best_fit, profile_interval};
use fb_statistics::metric::{Evaluation, Metric};
use fb_statistics::toys::poisson;
use fb_statistics::{Bootstrap, Ranking};
use serde_json::json;

const TOYS: usize = 2000;

/// Whether `covered` of the pseudo-experiments is `share`, to two standard deviations.
fn holds(covered: usize, share: f64) -> bool {
    let error = (share * (1.0 - share) / TOYS as f64).sqrt();
    println!("{:.4}, expected {share} ± {error:.4}", covered as f64 / TOYS as f64);
    (covered as f64 / TOYS as f64 - share).abs() < 2.0 * error
}

/// Two bins with a signal, and a background of an uncertain yield and shape.
fn model() -> Model {
    let document = json!({
        "channels": [{"name": "c", "samples": [
            {"name": "s", "data": [30.0, 50.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": null}]},
            {"name": "b", "data": [200.0, 120.0], "modifiers": [
                {"name": "yield", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}},
                {"name": "shape", "type": "histosys", "data": {"hi_data": [206.0, 116.0], "lo_data": [194.0, 124.0]}},
            ]},
        ]}],
        "observations": [{"name": "c", "data": [230.0, 170.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-5.0, 10.0]]}]}}],
        "version": "1.0.0",
    });
    let workspace = Workspace::parse(&document).unwrap();
    Model::new(&workspace, workspace.measurement(None).unwrap()).unwrap()
}

/// Data of the strength μ and the nominal background; auxiliary measurements are drawn too.
fn draw(model: &Model, mu: f64, toy: usize) -> Data {
    let mut random = Philox::new(17, 3, toy as u64);
    let theta: Vec<f64> = model.parameters().iter().map(|p| if p.name == "mu" { mu } else { 0.0 }).collect();
    let counts = model.expected(&theta).into_iter().map(|mean| poisson(&mut random, mean)).collect();
    let auxiliary = model.parameters().iter().map(|p| if p.constraint.is_some() { random.normal() } else { 0.0 });
    let auxiliary = auxiliary.collect();
    Data { counts, auxiliary }
}

#[test]
fn profile_intervals_of_fits() {
    let model = model();
    let poi = model.poi().unwrap();
    let mut covered = [0; 2];
    for toy in 0..TOYS {
        let likelihood = Likelihood::new(&model, draw(&model, 1.0, toy));
        let fitted = best_fit(&likelihood).unwrap();
        for (covered, rise) in covered.iter_mut().zip([1.0, 3.841_459]) {
            let [low, high] = profile_interval(&likelihood, &fitted, poi, rise).unwrap();
            *covered += usize::from(low.value() <= 1.0 && 1.0 <= high.value());
        }
    }
    assert!(holds(covered[0], 0.6827) && holds(covered[1], 0.95));
}

#[test]
fn upper_limits_hold_at_least_what_they_promise() {
    // CLs excludes less than it might by design: (1 − 0.05) is a lower bound, and near to it for a signal that is seen well.
    let model = model();
    let mut covered = 0;
    for toy in 0..TOYS {
        let likelihood = Likelihood::new(&model, draw(&model, 2.0, toy));
        covered += usize::from(Scan::new(likelihood).unwrap().limits(0.05).unwrap().observed >= 2.0);
    }
    let error = (0.95_f64 * 0.05 / TOYS as f64).sqrt();
    let share = covered as f64 / TOYS as f64;
    println!("{share:.4}, expected 0.95 ± {error:.4} or a little more");
    assert!(share > 0.95 - 2.0 * error && share < 0.97, "{share}");
}

#[test]
fn bootstrap_intervals_of_metrics() {
    // Scores 1 + z of signal and z of background, with weights 1 and 2: AUC = Φ(1/√2), accuracy about ½ at a score of ½.
    let exact = fb_statistics::special::normal_cdf(0.5_f64.sqrt());
    let mut covered = 0;
    for toy in 0..TOYS {
        let mut random = Philox::new(23, 0, toy as u64);
        let signal: Vec<bool> = (0..600).map(|i| i % 2 == 0).collect();
        let weights: Vec<f64> = (0..600).map(|i| if i % 3 == 0 { 2.0 } else { 1.0 }).collect();
        let scores: Vec<f64> = signal.iter().map(|s| random.normal() + f64::from(u8::from(*s))).collect();
        let identity: Vec<u64> = (0..600).map(|i| (toy * 600 + i) as u64).collect();
        let bootstrap = Bootstrap::new(5, 200, &identity);
        let evaluation = Evaluation::new(&scores, &signal).unwrap();
        let auc = evaluate(&[Metric::Auc], &evaluation, &weights, &bootstrap, &Alone).unwrap().values[0];
        covered += usize::from(auc.low <= exact && exact <= auc.high);
    }
    assert!(holds(covered, 0.6827));
}

#[test]
fn errors_of_areas_by_delong() {
    // As above, with a third of the weights 2, and of both signs.
    let exact = fb_statistics::special::normal_cdf(0.5_f64.sqrt());
    for heavy in [1.0, 2.0, -0.5] {
        let mut covered = [0; 2];
        for toy in 0..TOYS {
            let mut random = Philox::new(29, 0, toy as u64);
            let signal: Vec<bool> = (0..600).map(|i| i % 2 == 0).collect();
            let weights: Vec<f64> = (0..600).map(|i| if i % 3 == 0 { heavy } else { 1.0 }).collect();
            let scores: Vec<f64> = signal.iter().map(|s| random.normal() + f64::from(u8::from(*s))).collect();
            let auc = Ranking::new(&scores, &signal).unwrap().auc(&weights).unwrap();
            for (covered, width) in covered.iter_mut().zip([1.0, 1.959_964]) {
                *covered += usize::from((auc.central - exact).abs() <= width * auc.error());
            }
        }
        assert!(holds(covered[0], 0.6827) && holds(covered[1], 0.95), "{heavy}");
    }
}
