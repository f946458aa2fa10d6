//! What every method keeps to that puts particles into groups.

use fb_core::run::Alone;
use fb_core::{Artifact, Error, Fitted, Partition, Philox, Sample, Task};
use serde_json::{Value as Json, json};

use super::toys::{Jet, Memory, Threads, jets, sample};
use super::{AMethod, Training, bytes, fit, has_epochs, tiny, train, with};
use fb_methods::METHODS;

fn each(check: &str, test: impl Fn(AMethod)) {
    let methods: Vec<AMethod> = METHODS.iter().copied().filter(|m| m.card().tasks.contains(&Task::Partition)).collect();
    assert!(methods.len() >= 2, "{check}");
    methods.into_iter().for_each(test);
}

/// Particles belong together that fly to the same side.
fn with_groups(jets: &[Jet]) -> Sample {
    let mut partition = Partition::default();
    for jet in jets {
        partition.push(jet.particles.iter().map(|p| u32::from(p[2] > 0.0)));
    }
    Sample { partition: Some(partition), ..sample(jets) }
}

fn found(fitted: &dyn Fitted, jets: &[Jet]) -> Partition {
    fitted.partition(&sample(jets).events, &Alone).unwrap().unwrap()
}

/// The share of pairs that are together or apart in both.
fn agreement(a: &Partition, b: &Partition) -> f64 {
    let each = fb_statistics::clustering::agreements(a, b).unwrap();
    each[1].iter().sum::<f64>() / a.events() as f64
}

/// Options with which the sides are learned, and all particles are seen.
fn able(method: AMethod) -> Json {
    let config = tiny(method);
    if !has_epochs(method) {
        return config;
    }
    let changes = [("train.epochs", json!(15)), ("train.lr", json!(0.02)), ("tracks.max", json!(20))];
    with(with(config, &changes), &[("tracks.order", Json::Null), ("tracks.select", Json::Null)])
}

#[test]
fn groups_are_learned_whatever_the_order_of_particles() {
    let [some, others, unseen] = [jets(300, 1), jets(40, 2), jets(60, 3)];
    each("learned", |method| {
        let fitted = fit(method, &able(method), [&with_groups(&some), &with_groups(&others)]).unwrap();
        let (groups, truth) = (found(&*fitted, &unseen), with_groups(&unseen).partition.unwrap());
        let name = method.card().name;
        let right = agreement(&groups, &truth);
        assert!(!has_epochs(method) || right > 0.9, "{name}: {right}");
        let mut shuffled = unseen.clone();
        let mut expected = Partition::default();
        for (i, jet) in shuffled.iter_mut().enumerate() {
            let order = Philox::new(4, 0, i as u64).permutation(jet.particles.len());
            expected.push(order.iter().map(|&j| groups.of(i)[j]));
            jet.particles = order.iter().map(|&j| jet.particles[j]).collect();
        }
        assert!((agreement(&found(&*fitted, &shuffled), &expected) - 1.0).abs() < 1e-12, "{name}");
    });
}

#[test]
fn bits_do_not_depend_on_threads_nor_on_interruptions() {
    let [some, others] = [with_groups(&jets(120, 1)), with_groups(&jets(30, 2))];
    each("bits", |method| {
        let config = tiny(method);
        let alone = bytes(&*fit(method, &config, [&some, &others]).unwrap());
        let mut store = Memory::default();
        let two = Training { seed: 1, workers: &Threads(2), store: &mut store, stop_after: usize::MAX, start: None };
        let fitted = train(method, &config, [&some, &others], two).unwrap();
        assert_eq!(bytes(&*fitted), alone);
        let read = method.load(&Artifact::from_bytes(&alone).unwrap()).unwrap();
        let unseen = jets(9, 4);
        assert_eq!(found(&*read, &unseen), found(&*fitted, &unseen), "{}", method.card().name);
        if !has_epochs(method) {
            return;
        }
        let mut store = Memory::default();
        let stopped = Training { seed: 1, workers: &Alone, store: &mut store, stop_after: 4, start: None };
        assert!(matches!(train(method, &config, [&some, &others], stopped), Err(Error::Stopped { .. })));
        let on = Training { seed: 1, workers: &Alone, store: &mut store, stop_after: usize::MAX, start: None };
        assert_eq!(bytes(&*train(method, &config, [&some, &others], on).unwrap()), alone);
    });
}

#[test]
fn what_cannot_be_grouped_is_refused() {
    let (some, others) = (with_groups(&jets(40, 1)), with_groups(&jets(10, 2)));
    each("refused", |method| {
        let refused = |train: &Sample| fit(method, &tiny(method), [train, &others]).err().unwrap().to_string();
        let name = method.card().name;
        let none = refused(&Sample { partition: None, ..some.clone() });
        assert!(none.contains("found none to learn from"), "{name}: {none}");
        let fitted = fit(method, &tiny(method), [&some, &others]).unwrap();
        let scores = fitted.scores(&some.events, &Alone).unwrap_err().to_string();
        assert!(scores.contains(name) && scores.contains("no score of an event"), "{scores}");
        if !has_epochs(method) {
            return;
        }
        let mut fewer = Partition::default();
        (0..40)
            .for_each(|i| fewer.push(vec![0; if i == 7 { 1 } else { some.partition.as_ref().unwrap().of(i).len() }]));
        let short = refused(&Sample { partition: Some(fewer), ..some.clone() });
        assert!(short.contains("event 7") && short.contains("found 1"), "{short}");
        let mut heavy = some.clone();
        heavy.weights[9] = f64::NAN;
        assert!(refused(&heavy).contains("event 9"));
        let pairless = fit(method, &with(tiny(method), &[("layers", json!([]))]), [&some, &others]);
        assert!(pairless.err().unwrap().to_string().contains("`layers`"));
    });
    for method in METHODS.iter().filter(|m| !m.card().tasks.contains(&Task::Partition)) {
        let found = fit(*method, &tiny(*method), [&some, &others]).err().unwrap();
        assert!(found.to_string().contains("events as a whole"), "{}: {found}", method.card().name);
    }
}
