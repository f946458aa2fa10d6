//! Shapley values and interactions of XGBoost's own model, beside those that XGBoost computed.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use fb_trees::shap::Explainer;
use fb_trees::{Forest, Link, Node, Test, Tree};
use serde_json::Value as Json;

fn numbers(json: &Json) -> Vec<f64> {
    // XGBoost counts in single precision.
    json.as_array().unwrap().iter().map(|x| x.as_f64().map_or(f64::NAN, |x| f64::from(x as f32))).collect()
}

fn tree(json: &Json) -> Tree {
    let column = |name: &str| numbers(&json[name]);
    let [left, right, feature, cut] =
        ["left_children", "right_children", "split_indices", "split_conditions"].map(column);
    let [gain, cover, missing] = ["loss_changes", "sum_hessian", "default_left"].map(column);
    let node = |i: usize| {
        if left[i] < 0.0 {
            return Node::leaf(cut[i], cover[i]);
        }
        let (left, right) = (left[i] as u32, right[i] as u32);
        let (feature, test, missing_left) = (feature[i] as u32, Test::Below(cut[i]), missing[i] != 0.0);
        Node { feature, test, missing_left, left, right, value: 0.0, gain: gain[i], cover: cover[i] }
    };
    Tree { output: 0, nodes: (0..left.len()).map(node).collect() }
}

#[test]
fn as_xgboost_computes_them() {
    let text = include_str!("data/shap_xgboost.json");
    let all: Json = serde_json::from_str(text).unwrap();
    let model = &all["model"]["learner"];
    let trees = model["gradient_booster"]["model"]["trees"].as_array().unwrap().iter().map(tree).collect();
    let base = model["learner_model_param"]["base_score"].as_str().unwrap();
    let p: f64 = base.trim_matches(['[', ']']).parse().unwrap();
    let forest = Forest { features: 5, base: vec![(p / (1.0 - p)).ln()], trees, link: Link::Logistic, single: true };
    forest.check().unwrap();
    let explainer = Explainer::new(&forest);
    let (mut worst, mut worst_pair) = (0f64, 0f64);
    for (i, row) in all["rows"].as_array().unwrap().iter().enumerate() {
        let row = numbers(row);
        let margin = all["margins"][i].as_f64().unwrap();
        assert!((forest.outputs_of(&row)[0] - margin).abs() < 1e-5, "event {i}");
        let theirs = numbers(&all["contributions"][i]);
        let ours = &explainer.shap(&row)[0];
        worst = ours.iter().zip(&theirs).fold(worst, |w, (a, b)| w.max((a - b).abs()));
        let theirs = all["interactions"][i].as_array().unwrap().iter().flat_map(numbers);
        worst_pair =
            explainer.interactions(&row)[0].iter().zip(theirs).fold(worst_pair, |w, (a, b)| w.max((a - b).abs()));
    }
    println!("largest difference: {worst:.1e} of values, {worst_pair:.1e} of interactions");
    assert!(worst < 1e-5 && worst_pair < 1e-5, "{worst} {worst_pair}");
}
