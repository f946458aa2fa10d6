//! Options with which methods train in milliseconds.

use serde_json::{Value as Json, json};

use crate::AMethod;
use crate::toys::{PARTICLE, TABLE};

/// Whether it is trained in epochs, as networks are; else in trees.
pub fn has_epochs(method: AMethod) -> bool {
    method.defaults().get("train").is_some()
}

/// Toy particles, or numbers of the toy jet as a list of one entry, laid out as the method's own lists are.
fn list(name: &str, order: &str, own: &Json) -> Json {
    let names: &[&str] = if name == "part" { &PARTICLE } else { &TABLE };
    let variables: Vec<Json> =
        names.iter().map(|x| json!({"expression": format!("{x} / 10"), "clip": [-5, 5]})).collect();
    json!({
        "name": name, "select": format!("{order} > 0"), "order": order, "max": 6, "layout": own[0]["layout"],
        "reversed": own[0]["reversed"], "variables": variables,
    })
}

/// A category that sees numbers of the toy jet and sums over its particles.
fn category(name: &str, select: &str) -> Json {
    let names = TABLE.iter().map(|&x| x.to_owned()).chain(PARTICLE.map(|x| format!("sum({x}) / 10")));
    let event: Vec<Json> = names.map(|x| json!({"expression": x})).collect();
    json!({"name": name, "select": select, "event": event, "lists": []})
}

/// A method in a method, trained in one step over all events: there their order does not enter.
fn member(method: &str, options: &str) -> Json {
    let mut options: Json = serde_json::from_str(options).unwrap();
    options["train"] = json!({"epochs": 1, "batch": 10_000, "optimiser": "sgd", "lr": 0.2, "schedule": "constant"});
    json!({"method": method, "options": options})
}

/// Whether it is trained step by step, in epochs or trees; else its numbers follow in closed form.
pub fn has_steps(method: AMethod) -> bool {
    has_epochs(method) || method.defaults().get("trees").is_some()
}

/// Options with which a method trains in milliseconds: every size that it has, made small.
pub fn tiny(method: AMethod) -> Json {
    let small = json!({
        "max": 8, "pixels": 12, "filters": [[4, 6], [6, 4]], "phi": [7, 6], "f": [6], "layers": [8, 5], "k": 3,
        "blocks": [[4, 4, 4], [5, 5, 6]], "channels": [4, 4, 6, 8], "messages": [6, 5, 4], "objects": [6, 5],
        "classifier": [6], "hidden": 6, "trees": 9, "depth": 2, "min_child_weight": 0.5, "subsample": 0.9,
        "track_variables": ["part_px", "part_py", "part_E"], "event_variables": TABLE, "charge": "part_pz",
        "categories": [{"name": "up", "target": "part_pz > 0 && jet_m > 85"}, {"name": "hard", "target": "part_E > 9"}],
        "event": [{"expression": "sum(part_E)"}, {"expression": "count(part_pz > 0)"}],
        "reweight": {"axes": [{"expression": "jet_m", "edges": [0, 85, 100, 200]}], "reference": 0, "most": 10.0},
        "branches": [{"convolutions": [5, 4], "hidden": 6}, {"convolutions": [3], "hidden": 4}],
        "vertex_categories": [category("heavy", "jet_m > 95"), category("light", "1")],
        "members": [member("logistic", "{}"), member("pfn", r#"{"phi": [7, 6], "f": [6]}"#)],
        "degree": 3, "bodies": 4, "flat": ["jet_tau1"], "neighbours": 7, "bagging_temperature": 0.5, "min_node_size": 0.02,
    });
    let defaults = method.defaults();
    let mut config = if has_epochs(method) { json!({"train": {"epochs": 2, "batch": 16}}) } else { json!({}) };
    for (key, value) in defaults.as_object().unwrap() {
        if key == "variables" && value.as_array().is_some_and(Vec::is_empty) {
            config[key] = json!(TABLE);
        } else if key == "lists" {
            config[key] = json!([list("part", "part_E", value), list("jet", "jet_tau3", value)]);
        } else if let Some(small) = small.get(key) {
            config[key] = small.clone();
        } else if key == "dense" {
            config[key] = if value.is_array() { json!([8]) } else { json!(6) };
        }
    }
    config
}
