//! What every method of the catalogue keeps to, checked over the whole list.
//!
//! A check that a method cannot pass stands among the `known_failures` of its card, with the reason, and must fail.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fb_core::run::Alone;
use fb_core::{
    AnyMethod, Artifact, Data, Error, Events, Fitted, Philox, Promise, Result, Run, Sample, Scores, Task, Workers,
};
use fb_methods::METHODS;
use serde_json::{Value as Json, json};
use toys::{Jet, Memory, PARTICLE, TABLE, Threads, jets, particle, sample};

mod partition;
mod regression;
mod symmetry;
mod toys;

type AMethod = &'static dyn AnyMethod;

/// Runs a check on every method that tells classes apart, and tells of all that fail.
fn each(check: &str, test: impl Fn(AMethod)) {
    run(check, METHODS.iter().filter(|m| m.card().tasks.contains(&Task::Classify)), test);
}

/// The same for all methods, for checks that train none.
fn every(check: &str, test: impl Fn(AMethod)) {
    run(check, METHODS.iter(), test);
}

fn run<'a>(check: &str, methods: impl Iterator<Item = &'a AMethod>, test: impl Fn(AMethod)) {
    let mut wrong = Vec::new();
    for &method in methods {
        let card = method.card();
        let passed = catch_unwind(AssertUnwindSafe(|| test(method))).is_ok();
        let known = card.known_failures.iter().find(|(name, _)| *name == check);
        match (passed, known) {
            (true, None) | (false, Some(_)) => {}
            (false, None) => wrong.push(format!("`{}` fails", card.name)),
            (true, Some((_, reason))) => wrong.push(format!("`{}` passes, expected to fail: {reason}", card.name)),
        }
    }
    assert!(wrong.is_empty(), "{check}: {}", wrong.join("; "));
}

/// The checks that a card may declare as failing.
const CHECKS: [&str; 2] = ["weight_two_is_twice", "weight_zero_is_absent"];

/// How a method is trained in a check.
struct Training<'a> {
    seed: u64,
    workers: &'a dyn Workers,
    store: &'a mut Memory,
    /// Steps until a signal comes.
    stop_after: usize,
    /// What it goes on from.
    start: Option<&'a Artifact>,
}

fn train(
    method: AMethod,
    config: &Json,
    [train, validation]: [&Sample; 2],
    how: Training<'_>,
) -> Result<Box<dyn Fitted>> {
    let Training { seed, workers, store, stop_after, start } = how;
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() == stop_after
    };
    let mut run = Run { seed, workers, tick: &mut |_, _| {}, report: &mut |_| {}, stop: &stop, store, start };
    method.fit(config, train, validation, &mut run)
}

fn fit(method: AMethod, config: &Json, data: [&Sample; 2]) -> Result<Box<dyn Fitted>> {
    let store = &mut Memory::default();
    train(method, config, data, Training { seed: 1, workers: &Alone, store, stop_after: usize::MAX, start: None })
}

fn bytes(fitted: &dyn Fitted) -> Vec<u8> {
    fitted.artifact().unwrap().to_bytes().unwrap()
}

fn scores(fitted: &dyn Fitted, jets: &[Jet]) -> Scores {
    fitted.scores(&sample(jets).events, &Alone).unwrap()
}

fn largest_difference(a: &Scores, b: &Scores) -> f64 {
    assert_eq!(a.values.len(), b.values.len());
    let difference = a.values.iter().zip(&b.values).map(|(a, b)| f64::from((a - b).abs()));
    difference.fold(0.0, |max, d| if d.is_nan() { f64::INFINITY } else { d.max(max) })
}

/// Whether it is trained in epochs, as networks are; else in trees.
fn has_epochs(method: AMethod) -> bool {
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
fn has_steps(method: AMethod) -> bool {
    has_epochs(method) || method.defaults().get("trees").is_some()
}

/// Options with which a method trains in milliseconds: every size that it has, made small.
fn tiny(method: AMethod) -> Json {
    let small = json!({
        "max": 8, "pixels": 12,  "phi": [7, 6], "f": [6], "layers": [8, 5], "k": 3,
        "blocks": [[4, 4, 4], [5, 5, 6]], "channels": [4, 4, 6, 8], "messages": [6, 5, 4], "objects": [6, 5],
        "classifier": [6], "hidden": 6, "trees": 9, "depth": 2, "min_child_weight": 0.5, "subsample": 0.9,
        "track_variables": ["part_px", "part_py", "part_E"], "event_variables": TABLE, "charge": "part_pz",
        "categories": [{"name": "up", "target": "part_pz > 0 && jet_m > 85"}, {"name": "hard", "target": "part_E > 9"}],
        "embed": [8, 6], "reductions": [2, 1], "node": 4, "edge": 3, "message": 6, "edge_heads": 2, "fusion": 7, "combinations": 3, "powers": 5, "labels": 3, "squeeze": 2, "pairs": [5], "heads": 2, "class_depth": 1, "expansion": 2,
        "event": [{"expression": "sum(part_E)"}, {"expression": "count(part_pz > 0)"}],
        "reweight": {"axes": [{"expression": "jet_m", "edges": [0, 85, 100, 200]}], "reference": 0, "most": 10.0},
        "branches": [{"convolutions": [5, 4], "hidden": 6}, {"convolutions": [3], "hidden": 4}],
        "vertex_categories": [category("heavy", "jet_m > 95"), category("light", "1")],
        "member": member("pfn", r#"{"phi": [7, 6], "f": [6]}"#), "against": "jet_m", "slices": 3,
        "members": [member("logistic", "{}"), member("pfn", r#"{"phi": [7, 6], "f": [6]}"#)],
        "grids": [{"cells": 3, "size": 1.0}, {"cells": 5, "size": 3.0}], "cell": [4], "candidate": [5],
        "stem": 4, "widths": [4, 6], "repeats": [1, 2], "cardinality": 2,
        "tracks": list("part", "part_E", &json!([{"layout": "cloud", "reversed": false}])), "column": "part_px",
        "list": "part", "helix": ["part_px", "part_py", "part_pz", "part_E", "part_E"],
        "degree": 3, "bodies": 4, "flat": ["jet_tau1"], "neighbours": 7, "bagging_temperature": 0.5, "min_node_size": 0.02,
    });
    let defaults = method.defaults();
    let mut config = if has_epochs(method) { json!({"train": {"epochs": 2, "batch": 16}}) } else { json!({}) };
    for (key, value) in defaults.as_object().unwrap() {
        if key == "variables" && value.as_array().is_some_and(Vec::is_empty) {
            config[key] = json!(TABLE);
        } else if key == "lists" {
            config[key] = json!([list("part", "part_E", value), list("jet", "jet_tau3", value)]);
        } else if key == "filters" {
            config[key] = if value.is_array() { json!([[4, 6], [6, 4]]) } else { json!(5) };
        } else if let Some(small) = small.get(key) {
            config[key] = small.clone();
        } else if key == "dense" {
            config[key] = if value.is_array() { json!([8]) } else { json!(6) };
        }
    }
    config
}

/// The same with other values at some places: `train.epochs`.
fn with(mut config: Json, changes: &[(&str, Json)]) -> Json {
    for (path, value) in changes {
        *path.split('.').fold(&mut config, |at, key| &mut at[key]) = value.clone();
    }
    config
}

fn parts() -> [Sample; 2] {
    [sample(&jets(70, 1)), sample(&jets(20, 2))]
}

fn tiny_fit(method: AMethod) -> Box<dyn Fitted> {
    let [train, validation] = parts();
    fit(method, &tiny(method), [&train, &validation]).unwrap()
}

// The list

#[test]
fn names_are_in_snake_case_sorted_and_unique() {
    let names: Vec<&str> = METHODS.iter().map(|m| m.card().name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert_eq!(fb_methods::method(name).unwrap().card().name, name);
    }
}

#[test]
fn every_file_is_in_the_list() {
    let folders =
        ["src/tables", "src/taggers", "src/trees"].map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let mut named = 0;
    for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == "mod.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let names: Vec<&str> =
            text.lines().filter_map(|l| l.trim().strip_prefix("name: \"")?.split('"').next()).collect();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(names.contains(&stem), "{} holds no card named `{stem}`", path.display());
        for name in &names {
            assert!(METHODS.iter().any(|m| m.card().name == *name), "`{name}` is not in the list");
        }
        named += names.len();
    }
    assert_eq!(named, METHODS.len(), "every method has a file");
}

#[test]
fn cards_are_complete() {
    every("card", |method| {
        let card = method.card();
        assert!(!card.title.is_empty() && !card.title.ends_with('.') && card.title.len() < 80);
        assert!(!card.input.is_empty() && !card.paper.authors.is_empty() && !card.paper.arxiv.is_empty());
        for (check, reason) in card.known_failures {
            assert!(CHECKS.contains(check) && !reason.is_empty(), "{check}");
        }
    });
}

// Options

#[test]
fn options_go_through_json() {
    each("round_trip", |method| {
        let defaults = method.defaults();
        assert_eq!(method.resolve(&json!({})).unwrap(), defaults);
        assert_eq!(method.resolve(&defaults).unwrap(), defaults);
        let text = defaults.to_string();
        assert_eq!(method.resolve(&serde_json::from_str(&text).unwrap()).unwrap().to_string(), text);
        let resolved = method.resolve(&tiny(method)).unwrap();
        if has_epochs(method) {
            assert_eq!(resolved["train"]["epochs"], 2);
            assert_eq!(resolved["train"]["lr"], defaults["train"]["lr"], "what is left out takes its default");
        } else if has_steps(method) {
            assert_eq!((&resolved["trees"], &resolved["bins"]), (&json!(9), &defaults["bins"]));
        }
        assert_eq!(method.resolve(&resolved).unwrap(), resolved);
        let artifact = tiny_fit(method).artifact().unwrap();
        assert_eq!(artifact.header["config"], resolved, "the model holds its options");
        assert_eq!(artifact.method().unwrap(), method.card().name);
    });
}

#[test]
fn unknown_options_are_refused_with_a_hint() {
    every("unknown_key", |method| {
        let defaults = method.defaults();
        let refused = |config: Json, key: &str| match method.resolve(&config) {
            Err(Error::UnknownKey { key: found, place, closest }) => {
                assert_eq!((found, closest.as_deref()), (format!("{key}s"), Some(key)));
                assert!(place.contains(method.card().name), "{place}");
            }
            other => panic!("{key}: {other:?}"),
        };
        for key in defaults.as_object().unwrap().keys() {
            refused(json!({format!("{key}s"): 1}), key);
        }
        if !has_steps(method) {
            return;
        }
        if !has_epochs(method) {
            let message = method.resolve(&json!({"bins": 7, "trees": "many"})).map_err(|e| e.to_string()).unwrap_err();
            let place = format!("method `{}`, `trees`: ", method.card().name);
            assert!(message.starts_with(&place) && message.contains("many"), "{message}");
            return;
        }
        for key in defaults["train"].as_object().unwrap().keys() {
            refused(json!({"train": {format!("{key}s"): 1}}), key);
        }
        let wrong = json!({"train": {"batch": 7, "epochs": "many"}});
        let message = method.resolve(&wrong).map_err(|e| e.to_string()).unwrap_err();
        let place = format!("method `{}`, `train`, `epochs`: ", method.card().name);
        assert!(message.starts_with(&place) && message.contains("many"), "{message}");
    });
}

#[test]
fn every_option_is_documented() {
    fn walk(schema: &Json, path: &str) -> usize {
        let mut found = 0;
        if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
            for (name, property) in properties {
                if property.get("const").is_some() {
                    // What tells a kind from others.
                    continue;
                }
                let text = property["description"].as_str().unwrap_or_default();
                assert!(text.len() > 5, "{path}.{name} has no description");
                found += 1;
            }
        }
        let inner = schema.as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v));
        let items = schema.as_array().into_iter().flatten().map(|v| ("", v));
        found + inner.chain(items).map(|(key, value)| walk(value, &format!("{path}.{key}"))).sum::<usize>()
    }
    every("documented", |method| {
        let options = method.defaults().as_object().unwrap().len();
        let train = method.defaults()["train"].as_object().map_or(0, serde_json::Map::len);
        assert!(walk(&method.schema(), method.card().name) >= options + train);
    });
}

/// Every leaf of the options, one at a time, takes values that make no sense.
#[test]
fn senseless_options_are_refused_or_work() {
    fn leaves(value: &Json, path: &str, out: &mut Vec<(String, Json)>) {
        let senseless: Vec<Json> = match value {
            Json::Array(_) => vec![json!([])],
            Json::Number(n) if n.is_u64() => vec![json!(0), json!(1), json!(10_000_000_000_000u64)],
            Json::Number(_) => vec![json!(0.0), json!(-1.0), json!(1e300)],
            _ => vec![],
        };
        out.extend(senseless.into_iter().map(|v| (path.to_owned(), v)));
        match value {
            Json::Object(map) => map.iter().for_each(|(k, v)| leaves(v, &format!("{path}/{k}"), out)),
            Json::Array(items) => items.iter().enumerate().for_each(|(i, v)| leaves(v, &format!("{path}/{i}"), out)),
            _ => {}
        }
    }
    let [train, validation] = [sample(&jets(6, 1)), sample(&jets(4, 2))];
    each("senseless", |method| {
        let mut config = method.resolve(&tiny(method)).unwrap();
        if has_epochs(method) {
            config["train"]["epochs"] = json!(1);
        }
        let mut all = Vec::new();
        leaves(&config, "", &mut all);
        let mut refused = 0;
        for (path, value) in all {
            // That many epochs are asked for and would be done.
            if path.ends_with("/train/epochs") && value != json!(0) {
                continue;
            }
            let mut changed = config.clone();
            *changed.pointer_mut(&path).unwrap() = value.clone();
            let fitted = || fit(method, &changed, [&train, &validation]).map(|_| ());
            let Ok(result) = catch_unwind(AssertUnwindSafe(fitted)) else { panic!("{path} = {value} panics") };
            match result {
                Ok(()) => {}
                Err(Error::Config { .. } | Error::Diverged { .. } | Error::Empty { .. }) => refused += 1,
                Err(other) => panic!("{path} = {value}: {other}"),
            }
        }
        assert!(refused >= 4, "{refused}");
    });
}

// Sizes

#[test]
fn parameters_are_those_of_the_paper() {
    let published = [
        ("efn", 82_358),
        ("jet_image_cnn", 609_666),
        ("p_cnn", 349_456),
        ("particlenet", 366_160),
        ("particlenet_lite", 26_416),
        ("pfn", 82_458),
        ("resnext", 1_457_314),
        ("topodnn", 58_423),
        ("treenin", 33_901),
    ];
    let two = sample(&jets(2, 1));
    let one = [("train.epochs", json!(1))];
    each("parameters", |method| {
        let card = method.card();
        // Those on a table of any width have no size of their own.
        let of_any_size = card.parameters.is_none();
        let config =
            if of_any_size { tiny(method) } else { with(json!({}), if has_epochs(method) { &one } else { &[] }) };
        let fitted = fit(method, &config, [&two, &two]).unwrap();
        // Networks of full size take other paths through the products than tiny ones.
        let unseen = jets(19, 5);
        let all = scores(&*fitted, &unseen).values;
        for i in [0, 7, 18] {
            assert!(scores(&*fitted, &unseen[i..=i]).values == all[2 * i..2 * i + 2], "event {i} alone");
        }
        assert!(
            fitted.parameters() > 0 && (of_any_size || card.parameters == Some(fitted.parameters())),
            "{}",
            card.name
        );
        if !has_epochs(method) {
            assert!(of_any_size || !has_steps(method));
            return;
        }
        let header = fitted.artifact().unwrap().header;
        let Some(blocks) = header["graph"]["parameters"].as_array() else {
            assert!(header["parts"].is_object() && of_any_size && fitted.parameters() > 0, "several models");
            return;
        };
        let stored: usize = blocks
            .iter()
            .map(|p| p["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).product::<usize>())
            .sum();
        assert_eq!(fitted.parameters(), stored);
        assert!(of_any_size || card.parameters == Some(fitted.parameters()), "the card of `{}`", card.name);
        for (name, count) in published {
            assert!(name != card.name || fitted.parameters() == count, "{name}");
        }
    });
    for (name, _) in published {
        assert!(fb_methods::method(name).is_ok());
    }
}

// Bits

#[test]
fn same_seed_same_bits_on_any_number_of_threads() {
    let [train_part, validation] = parts();
    each("bits", |method| {
        let fit = |seed, threads| {
            let how = Training {
                seed,
                workers: &Threads(threads),
                store: &mut Memory::default(),
                stop_after: usize::MAX,
                start: None,
            };
            train(method, &tiny(method), [&train_part, &validation], how).unwrap()
        };
        let first = fit(7, 1);
        for threads in [1, 2, 3] {
            let again = fit(7, threads);
            assert!(bytes(&*first) == bytes(&*again), "{threads} threads");
            let events = &validation.events;
            assert!(first.scores(events, &Alone).unwrap() == again.scores(events, &Threads(threads)).unwrap());
        }
        let other = bytes(&*first) != bytes(&*fit(8, 1));
        let trained = has_steps(method) || method.defaults().get("member").is_some();
        assert_eq!(other, trained, "another seed is another training, but for one in closed form");
    });
}

#[test]
fn a_stored_model_gives_the_same_scores() {
    let unseen = jets(30, 5);
    each("stored", |method| {
        let fitted = tiny_fit(method);
        let stored = bytes(&*fitted);
        let loaded = method.load(&Artifact::from_bytes(&stored).unwrap()).unwrap();
        assert!(scores(&*fitted, &unseen) == scores(&*loaded, &unseen));
        assert!(bytes(&*loaded) == stored && loaded.parameters() == fitted.parameters());
        let mut altered = fitted.artifact().unwrap();
        if altered.tensors.is_empty() {
            altered.doubles.remove(0);
        } else {
            altered.tensors.remove(0);
        }
        assert!(matches!(method.load(&altered), Err(Error::Artifact { .. })));
    });
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let [train_part, validation] = parts();
    each("resume", |method| {
        // One in closed form is never half done.
        if !has_steps(method) {
            return;
        }
        let mut config = tiny(method);
        if has_epochs(method) {
            config["train"]["average"] = json!(0.9);
            config["train"]["patience"] = json!(5);
        } else if method.defaults().get("patience").is_some() {
            config["patience"] = json!(8);
        }
        let steps = 8; // two epochs of four, or less than all trees
        let whole = bytes(&*fit(method, &config, [&train_part, &validation]).unwrap());
        for stops in [[1, usize::MAX], [3, 2], [4, 4], [7, usize::MAX]] {
            let mut store = Memory::default();
            let mut go = |stop_after| {
                let how = Training { seed: 1, workers: &Alone, store: &mut store, stop_after, start: None };
                train(method, &config, [&train_part, &validation], how)
            };
            for stop_after in stops.into_iter().filter(|&s| s < steps) {
                assert!(matches!(go(stop_after), Err(Error::Stopped { .. })), "{stops:?}");
            }
            assert!(bytes(&*go(usize::MAX).unwrap()) == whole, "{stops:?}");
            // The checkpoint belongs to this training and to no other.
            let change = if has_epochs(method) { ("train.lr", json!(0.5)) } else { ("trees", json!(10)) };
            let other = with(config.clone(), &[change]);
            let how = Training { seed: 1, workers: &Alone, store: &mut store, stop_after: usize::MAX, start: None };
            let refused = train(method, &other, [&train_part, &validation], how);
            assert!(matches!(refused, Err(Error::Checkpoint { .. })));
        }
    });
}

// Scores

#[test]
fn scores_are_probabilities_of_each_event_alone() {
    let unseen = jets(37, 5);
    each("alone", |method| {
        let fitted = tiny_fit(method);
        let all = scores(&*fitted, &unseen);
        assert_eq!((all.classes, all.values.len()), (2, 2 * unseen.len()));
        for row in all.values.chunks_exact(2) {
            assert!(row.iter().all(|p| (0.0..=1.0).contains(p)) && (row[0] + row[1] - 1.0).abs() < 1e-6, "{row:?}");
        }
        let spread = all.signal().iter().fold(0.0, |m, s| (s - all.signal()[0]).abs().max(m));
        assert!(spread > 0.0, "the score depends on the event");
        let mut random = Philox::new(9, 0, 0);
        let mixed = random.permutation(unseen.len());
        let subsets = [vec![], vec![36], vec![5], vec![0, 0, 1], (3..20).collect(), mixed];
        for subset in subsets {
            let some: Vec<Jet> = subset.iter().map(|&i| unseen[i].clone()).collect();
            let expected: Vec<f32> = subset.iter().flat_map(|&i| all.values[2 * i..2 * i + 2].to_vec()).collect();
            assert!(scores(&*fitted, &some).values == expected, "events {subset:?}");
        }
    });
}

#[test]
fn an_event_without_particles_has_a_score() {
    let mut some = jets(70, 1);
    some[3].particles.clear();
    some[4].particles.truncate(1);
    some[5].particles.truncate(2);
    each("no_particles", |method| {
        let train = sample(&some);
        let fitted = fit(method, &tiny(method), [&train, &train]).unwrap();
        assert!(scores(&*fitted, &some).values.iter().all(|p| p.is_finite()));
    });
}

#[test]
fn a_training_goes_on_from_a_model() {
    let [some, others] = parts();
    let unseen = jets(60, 5);
    let mut promised = 0;
    for &method in METHODS.iter().filter(|m| m.card().tasks.contains(&Task::Classify)) {
        let name = method.card().name;
        let config = |trees: usize| {
            let mut config = tiny(method);
            for (key, value) in
                [("trees", json!(trees)), ("subsample", json!(1.0)), ("bagging_temperature", json!(0.0))]
            {
                if config.get(key).is_some() {
                    config[key] = value;
                }
            }
            config
        };
        let first = fit(method, &config(6), [&some, &others]).unwrap();
        let artifact = first.artifact().unwrap();
        let on = |method: AMethod, start: &Artifact| {
            let store = &mut Memory::default();
            let how = Training { seed: 1, workers: &Alone, store, stop_after: usize::MAX, start: Some(start) };
            train(method, &config(3), [&some, &others], how)
        };
        if !method.card().promises(Promise::WarmStart) {
            let error = on(method, &artifact).err().unwrap().to_string();
            assert!(error.contains("cannot go on from a model"), "{name}: {error}");
            continue;
        }
        promised += 1;
        let whole = fit(method, &config(9), [&some, &others]).unwrap();
        let (on, first, whole) = (on(method, &artifact).unwrap(), scores(&*first, &unseen), scores(&*whole, &unseen));
        let found = scores(&*on, &unseen);
        assert!(largest_difference(&found, &first) > 1e-3, "{name}: it goes on");
        // The rounding of gradients is another, as the trees have other numbers.
        assert!(largest_difference(&found, &whole) < 2e-3, "{name}: {}", largest_difference(&found, &whole));
        let mut other = artifact.clone();
        other.header["method"] = json!("logistic");
        let error = train(
            method,
            &config(3),
            [&some, &others],
            Training {
                seed: 1,
                workers: &Alone,
                store: &mut Memory::default(),
                stop_after: usize::MAX,
                start: Some(&other),
            },
        );
        assert!(error.err().unwrap().to_string().contains("found a model of `logistic`"), "{name}");
    }
    assert!(promised >= 2);
}

// Weights

/// Scores after one step over all events: there the order of the events does not enter. `sgd` follows the gradient in
/// its size too, and nothing is dropped.
fn after_one_step(method: AMethod, jets: &[Jet]) -> Scores {
    let mut config = tiny(method);
    if has_epochs(method) {
        let changes = [
            ("train.epochs", json!(1)),
            ("train.batch", json!(10_000)),
            ("train.lr", json!(0.2)),
            ("train.optimiser", json!("sgd")),
            ("train.schedule", json!("constant")),
        ];
        config = with(config, &changes);
    }
    if method.defaults().get("dropout").is_some() {
        config["dropout"] = json!(0.0);
    }
    let part = sample(jets);
    let fitted = fit(method, &config, [&part, &sample(&self::jets(10, 2))]).unwrap();
    scores(&*fitted, &self::jets(30, 5))
}

/// Sums of 32-bit floats in another order.
const ROUNDING: f64 = 2e-6;

#[test]
fn weight_two_is_an_event_twice() {
    each("weight_two_is_twice", |method| {
        let once = jets(40, 1);
        let (mut heavy, mut twice) = (once.clone(), once.clone());
        heavy[..15].iter_mut().for_each(|jet| jet.weight *= 2.0);
        twice.extend_from_slice(&once[..15]);
        let [a, b, c] = [heavy, twice, once].map(|jets| after_one_step(method, &jets));
        assert!(largest_difference(&a, &c) > 5.0 * ROUNDING, "the weights enter");
        assert!(largest_difference(&a, &b) < ROUNDING, "{}", largest_difference(&a, &b));
    });
}

#[test]
fn weight_zero_is_an_event_that_is_absent() {
    each("weight_zero_is_absent", |method| {
        let all = jets(40, 1);
        let (mut light, absent) = (all.clone(), all[15..].to_vec());
        light[..15].iter_mut().for_each(|jet| jet.weight = 0.0);
        let [a, b, c] = [light, absent, all].map(|jets| after_one_step(method, &jets));
        assert!(largest_difference(&a, &c) > 5.0 * ROUNDING, "the weights enter");
        assert!(largest_difference(&a, &b) < ROUNDING, "{}", largest_difference(&a, &b));
    });
}

#[test]
fn signed_weights_train() {
    let mut some = jets(70, 1);
    some.iter_mut().step_by(5).for_each(|jet| jet.weight = -0.3);
    each("signed", |method| {
        let train = sample(&some);
        let fitted = fit(method, &tiny(method), [&train, &sample(&jets(20, 2))]).unwrap();
        assert!(scores(&*fitted, &some).values.iter().all(|p| p.is_finite()));
    });
}

// Bad data

#[test]
fn numbers_that_are_not_finite_name_column_and_event() {
    let [train, validation] = parts();
    each("not_finite", |method| {
        let fitted = tiny_fit(method);
        let mut seen = 0;
        for column in train.events.columns() {
            let name = &column.name;
            if fitted.scores(&without(&train, name).events, &Alone).is_ok() {
                continue;
            }
            seen += 1;
            for bad in [f64::NAN, f64::INFINITY] {
                // A ratio to infinity is a number; a particle of infinite momentum is none.
                if bad.is_infinite() && name.starts_with("jet_") && has_epochs(method) {
                    continue;
                }
                let mut broken = train.clone();
                let mut column = column.clone();
                let at = column.range(5).start;
                let Data::F64(values) = &mut column.data else { panic!("numbers") };
                values[at] = bad;
                broken.events.push(column).unwrap();
                if bad.is_nan() && !has_epochs(method) && has_steps(method) {
                    // For trees it is missing.
                    let fitted = fit(method, &tiny(method), [&broken, &validation]).unwrap();
                    assert!(fitted.scores(&broken.events, &Alone).unwrap().values.iter().all(|p| p.is_finite()));
                    continue;
                }
                let errors = [
                    fit(method, &tiny(method), [&broken, &validation]).err(),
                    fit(method, &tiny(method), [&validation, &broken]).err(),
                    fitted.scores(&broken.events, &Alone).err(),
                ];
                for error in errors {
                    match error {
                        Some(Error::NotFinite { column, event: 5, .. }) if column.contains(name) => {}
                        other => panic!("{name}, {bad}: {other:?}"),
                    }
                }
            }
        }
        assert!(seen >= 4, "{seen}");
    });
}

/// A sample with a column less.
fn without(sample: &Sample, name: &str) -> Sample {
    let columns = sample.events.columns().iter().filter(|c| c.name != name).cloned().collect();
    Sample { events: Events::new(columns).unwrap(), ..sample.clone() }
}

#[test]
fn the_event_is_named_in_a_large_sample() {
    let logistic = fb_methods::method("logistic").unwrap();
    let fitted = tiny_fit(logistic);
    let mut many = jets(9000, 3);
    many[8500].table[0] = f64::NAN;
    let error = fitted.scores(&sample(&many).events, &Alone).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { column, event: 8500, .. } if column == "jet_m"), "{error}");
}

#[test]
fn missing_columns_are_named() {
    let [train, validation] = parts();
    each("missing", |method| {
        let fitted = tiny_fit(method);
        let mut missed = 0;
        for name in PARTICLE.iter().chain(&TABLE) {
            let less = without(&train, name);
            let errors =
                [fit(method, &tiny(method), [&less, &validation]).err(), fitted.scores(&less.events, &Alone).err()];
            match errors {
                [None, None] => {}
                [Some(Error::MissingColumn { name: a, .. }), Some(Error::MissingColumn { name: b, .. })] => {
                    assert!(a == *name && b == *name, "{name}: {a}, {b}");
                    missed += 1;
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(missed >= 4, "{missed}");
    });
}

#[test]
fn samples_that_cannot_be_trained_on_are_refused() {
    let [train, validation] = parts();
    each("refused", |method| {
        let try_fit = |train: &Sample| match fit(method, &tiny(method), [train, &validation]) {
            Ok(_) => panic!("trains"),
            Err(error) => (error.to_string(), error),
        };
        let (_, error) = try_fit(&train.take(&[]));
        assert!(matches!(error, Error::Empty { .. }), "{error}");
        let (message, error) = try_fit(&sample(&jets(40, 1).into_iter().filter(|j| j.label == 0).collect::<Vec<_>>()));
        assert!(matches!(error, Error::Empty { .. }) && message.contains("class 1"), "{message}");
        let mut unknown = train.clone();
        unknown.labels[9] = 5;
        let (message, error) = try_fit(&unknown);
        assert!(matches!(error, Error::Empty { .. }) && message.contains("class 2"), "{message}");
        let mut heavy = train.clone();
        heavy.weights[9] = f64::NAN;
        let (_, error) = try_fit(&heavy);
        assert!(matches!(&error, Error::NotFinite { column, event: 9, .. } if column == "weight"), "{error}");
        let mut negative = train.clone();
        negative.weights.iter_mut().for_each(|w| *w = -1.0);
        let (message, error) = try_fit(&negative);
        assert!(matches!(error, Error::Empty { .. }) && message.contains("sum of weights"), "{message}");
    });
}

#[test]
fn patience_without_a_validation_part_is_refused() {
    let [train, validation] = parts();
    each("patience", |method| {
        if !has_epochs(method) && method.defaults().get("patience").is_none() {
            return;
        }
        let patience = if has_epochs(method) { "train.patience" } else { "patience" };
        let config = with(tiny(method), &[(patience, json!(2))]);
        let Err(error) = fit(method, &config, [&train, &validation.take(&[])]) else { panic!("trains") };
        assert!(matches!(&error, Error::Empty { what, .. } if what == "the validation part"), "{error}");
        let config = with(config, &[(patience, Json::Null)]);
        assert!(fit(method, &config, [&train, &validation.take(&[])]).is_ok());
    });
}
