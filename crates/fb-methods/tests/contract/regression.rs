//! What every method keeps to that predicts numbers.

use fb_core::run::Alone;
use fb_core::{Error, Fitted, Sample, Task};
use serde_json::{Value as Json, json};

use super::toys::{Jet, Memory, Threads, jets, sample};
use super::{AMethod, Training, bytes, fit, tiny, train, with};
use fb_methods::METHODS;

fn each(check: &str, test: impl Fn(AMethod)) {
    let methods: Vec<AMethod> = METHODS.iter().copied().filter(|m| m.card().tasks.contains(&Task::Regress)).collect();
    assert!(methods.len() >= 3, "{check}");
    methods.into_iter().for_each(test);
}

/// A number that follows from two variables of a jet, and another.
fn numbers(jet: &Jet) -> [f64; 2] {
    let [mass, _, tau1, ..] = jet.table;
    [1000.0 + mass, 10.0 * tau1]
}

fn with_targets(jets: &[Jet], targets: usize) -> Sample {
    let targets = jets.iter().flat_map(|jet| numbers(jet)[..targets].to_vec()).collect();
    Sample { targets, labels: vec![0; jets.len()], ..sample(jets) }
}

/// The same with other values for the options that the method has.
fn known(mut config: Json, changes: &[(&str, Json)]) -> Json {
    for (key, value) in changes {
        if let Some(option) = config.get_mut(key) {
            *option = value.clone();
        }
    }
    config
}

/// Options for a quick training on numbers: networks take all events in a step, so that their order is no matter.
fn quick(method: AMethod) -> Json {
    let train = json!({"epochs": 300, "batch": 10_000, "lr": 0.03, "schedule": "cosine"});
    known(tiny(method), &[("reweight", Json::Null), ("train", train), ("layers", json!([16]))])
}

fn predictions(fitted: &dyn Fitted, jets: &[Jet]) -> Vec<f32> {
    fitted.scores(&sample(jets).events, &Alone).unwrap().values
}

#[test]
fn numbers_are_learned_together_and_alone() {
    let [some, others, unseen] = [jets(800, 1), jets(50, 2), jets(300, 3)];
    each("learned", |method| {
        let changes = [("trees", 80.0), ("depth", 4.0), ("min_node_size", 0.005), ("subsample", 1.0)];
        let config =
            known(quick(method), &changes.map(|(key, x)| (key, if x >= 4.0 { json!(x as u32) } else { json!(x) })));
        let both = fit(method, &config, [&with_targets(&some, 2), &with_targets(&others, 2)]).unwrap();
        let one = fit(method, &config, [&with_targets(&some, 1), &with_targets(&others, 1)]).unwrap();
        let (both, one) = (predictions(&*both, &unseen), predictions(&*one, &unseen));
        assert_eq!((both.len(), one.len()), (600, 300));
        let error = |k: usize, of: &dyn Fn(usize) -> f32| {
            let squares = unseen.iter().enumerate().map(|(i, jet)| (f64::from(of(i)) - numbers(jet)[k]).powi(2));
            (squares.sum::<f64>() / 300.0).sqrt()
        };
        let spread = |k: usize| {
            let mean = unseen.iter().map(|jet| numbers(jet)[k]).sum::<f64>() / 300.0;
            error(k, &|_| mean as f32)
        };
        let name = method.card().name;
        for (k, found) in [(0, error(0, &|i| both[2 * i])), (1, error(1, &|i| both[2 * i + 1]))] {
            assert!(found < 0.25 * spread(k), "{name}, target {k}: {found}, spread {}", spread(k));
        }
        assert!(error(0, &|i| one[i]) < 0.25 * spread(0), "{name}: {}", error(0, &|i| one[i]));
    });
}

#[test]
fn bits_do_not_depend_on_threads_nor_on_interruptions() {
    let [some, others] = [with_targets(&jets(120, 1), 2), with_targets(&jets(30, 2), 2)];
    each("bits", |method| {
        let config = quick(method);
        let alone = bytes(&*fit(method, &config, [&some, &others]).unwrap());
        let mut store = Memory::default();
        let two = Training { seed: 1, workers: &Threads(2), store: &mut store, stop_after: usize::MAX, start: None };
        assert_eq!(bytes(&*train(method, &config, [&some, &others], two).unwrap()), alone);
        let mut store = Memory::default();
        let stopped = Training { seed: 1, workers: &Alone, store: &mut store, stop_after: 4, start: None };
        assert!(matches!(train(method, &config, [&some, &others], stopped), Err(Error::Stopped { .. })));
        let on = Training { seed: 1, workers: &Alone, store: &mut store, stop_after: usize::MAX, start: None };
        assert_eq!(bytes(&*train(method, &config, [&some, &others], on).unwrap()), alone);
    });
}

#[test]
fn weights_count_events() {
    let once = jets(60, 1);
    let (mut heavy, mut twice) = (once.clone(), once.clone());
    heavy[..20].iter_mut().for_each(|jet| jet.weight *= 2.0);
    twice.extend_from_slice(&once[..20]);
    let unseen = jets(30, 5);
    each("weights", |method| {
        let config = known(quick(method), &[("subsample", json!(1.0))]);
        let others = with_targets(&jets(10, 2), 1);
        let says =
            |jets: &[Jet]| predictions(&*fit(method, &config, [&with_targets(jets, 1), &others]).unwrap(), &unseen);
        let [a, b, c] = [&heavy, &twice, &once].map(|jets| says(jets));
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(distance(&a, &b) < 0.01, "{}: {}", method.card().name, distance(&a, &b));
        assert!(distance(&a, &c) > 0.01, "{}: the weights enter", method.card().name);
    });
}

#[test]
fn what_cannot_be_predicted_is_refused() {
    let train = with_targets(&jets(60, 1), 1);
    let others = with_targets(&jets(20, 2), 1);
    each("refused", |method| {
        let error = |train: &Sample| fit(method, &quick(method), [train, &others]).err().unwrap();
        let mut broken = train.clone();
        broken.targets[7] = f64::INFINITY;
        let found = error(&broken);
        assert!(matches!(&found, Error::NotFinite { column, event: 7, .. } if column == "target"), "{found}");
        let mut negative = train.clone();
        negative.weights.iter_mut().for_each(|w| *w = -1.0);
        let found = error(&negative).to_string();
        assert!(found.contains("the training part") && found.contains("sum of weights"), "{found}");
    });
    for method in METHODS.iter().filter(|m| m.card().tasks == [Task::Classify]) {
        let found = fit(*method, &tiny(*method), [&train, &others]).err().unwrap();
        assert!(found.to_string().contains("tells classes apart"), "{}: {found}", method.card().name);
    }
    let mlp = fb_methods::method("mlp").unwrap();
    let refused = |changes: &[(&str, Json)], train: &Sample| {
        fit(mlp, &with(quick(mlp), changes), [train, &others]).err().unwrap().to_string()
    };
    let huber = json!({"kind": "huber", "delta": 0.1});
    assert!(refused(&[("loss", huber)], &sample(&jets(60, 1))).contains("found a loss of numbers"));
    assert!(refused(&[("loss", json!({"kind": "huber", "delta": 0.0}))], &train).contains("positive numbers"));
    assert!(refused(&[("reweight", tiny(mlp)["reweight"].clone())], &train).contains("makes classes alike"));
    let bdt = fb_methods::method("bdt").unwrap();
    let refused = |changes: &[(&str, Json)], train: &Sample| {
        fit(bdt, &with(tiny(bdt), changes), [train, &others]).err().unwrap().to_string()
    };
    assert!(refused(&[("loss", json!("exponential"))], &train).contains("expected one of numbers"));
    let mut negative = train.clone();
    negative.targets[3] = -1.0;
    assert!(refused(&[("loss", json!("poisson"))], &negative).contains("found -1 in event 3"));
    assert!(refused(&[("loss", json!("quantile")), ("alpha", json!(1.0))], &train).contains("between 0 and 1"));
}
