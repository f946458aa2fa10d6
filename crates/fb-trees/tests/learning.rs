//! What forests learn of toys whose answer is known.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use fb_core::run::{Alone, Nowhere};
use fb_core::{Philox, Run, philox};
use fb_trees::{Binned, Forest, Loss, Objective, Options, Pair, Residual, Set, Shape, Targets, Test, boost};

/// A sample of columns.
struct Toy {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
    weights: Vec<f32>,
    identity: Vec<u64>,
}

impl Toy {
    /// `n` events, each made of its own random numbers: (features, label, weight).
    fn new(n: usize, seed: u64, event: impl Fn(&mut Philox) -> (Vec<f64>, bool, f64)) -> Self {
        let events: Vec<_> = (0..n).map(|i| event(&mut Philox::new(seed, 9, i as u64))).collect();
        let column = |j: usize| events.iter().map(|e| e.0[j] as f32).collect();
        Self {
            columns: (0..events[0].0.len()).map(column).collect(),
            labels: events.iter().map(|e| f32::from(e.1)).collect(),
            weights: events.iter().map(|e| e.2 as f32).collect(),
            identity: (0..n as u64).map(|i| philox::hash(seed, i)).collect(),
        }
    }

    fn binned(&self, categorical: &[bool]) -> Binned {
        Binned::fit(&self.columns[..], &self.weights, &self.identity, 255, categorical, &Alone).unwrap()
    }

    fn fit_with(&self, options: &Options, objective: &mut dyn Objective, categorical: &[bool]) -> Forest {
        let binned = self.binned(categorical);
        let events = Targets { targets: &self.labels, weights: &self.weights };
        let set = Set { binned: &binned, events, identity: &self.identity, start: &[] };
        let mut run = Run {
            seed: 1,
            workers: &Alone,
            tick: &mut |_, _| {},
            report: &mut |_| {},
            stop: &|| false,
            store: &mut Nowhere,
            start: None,
        };
        boost(options, objective, set, None, &mut run).unwrap()
    }

    fn fit(&self, options: &Options) -> Forest {
        self.fit_with(options, &mut Loss::Logistic, &[])
    }

    fn row(&self, i: usize) -> Vec<f64> {
        self.columns.iter().map(|c| f64::from(c[i])).collect()
    }

    /// Area under the curve of a forest's first output.
    fn auc(&self, forest: &Forest) -> f64 {
        self.auc_of(&|row| forest.outputs_of(row)[0])
    }

    fn auc_of(&self, score: &dyn Fn(&[f64]) -> f64) -> f64 {
        let mut scored: Vec<(f64, bool)> =
            (0..self.labels.len()).map(|i| (score(&self.row(i)), self.labels[i] == 1.0)).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut below, mut pairs) = (0.0, 0.0);
        for (_, is_signal) in &scored {
            if *is_signal {
                pairs += below;
            } else {
                below += 1.0;
            }
        }
        pairs / (below * (scored.len() as f64 - below))
    }
}

fn one_tree(depth: usize) -> Options {
    Options {
        trees: 1,
        shape: Shape::Depth(depth),
        learning_rate: 1.0,
        l2: 0.5,
        min_child_weight: 0.1,
        ..Options::default()
    }
}

/// Few distinct values, so that every cut has its bin.
fn coarse(n: usize, seed: u64) -> Toy {
    Toy::new(n, seed, |random| {
        let x: Vec<f64> = (0..4).map(|_| (random.normal() * 10.0).round() / 10.0).collect();
        let signal = random.uniform() < 1.0 / (1.0 + (-2.0 * x[0] * x[1] - x[2]).exp());
        (x, signal, 0.5 + random.uniform())
    })
}

#[test]
fn the_first_split_is_the_best_of_all() {
    let toy = coarse(3000, 3);
    let (forest, options) = (toy.fit(&one_tree(1)), one_tree(1));
    let gradient = |i: usize| {
        let p = 1.0 / (1.0 + (-forest.base[0]).exp());
        let w = f64::from(toy.weights[i]);
        [w * (p - f64::from(toy.labels[i])), w * p * (1.0 - p)]
    };
    let score = |g: [f64; 2]| g[0] * g[0] / (g[1] + options.l2);
    let mut best = (f64::NEG_INFINITY, 0, 0.0);
    for (feature, column) in toy.columns.iter().enumerate() {
        let mut values = column.clone();
        values.sort_by(f32::total_cmp);
        values.dedup();
        for pair in values.windows(2) {
            let mut sides = [[0.0; 2]; 2];
            for (i, x) in column.iter().enumerate() {
                let (side, g) = (&mut sides[usize::from(*x > pair[0])], gradient(i));
                *side = [side[0] + g[0], side[1] + g[1]];
            }
            let gain = score(sides[0]) + score(sides[1]);
            if gain > best.0 && sides.iter().all(|s| s[1] >= options.min_child_weight) {
                best = (gain, feature, f64::from(pair[0]) / 2.0 + f64::from(pair[1]) / 2.0);
            }
        }
    }
    let root = &forest.trees[0].nodes[0];
    let Test::Below(cut) = root.test else { panic!("a cut") };
    assert_eq!(root.feature as usize, best.1);
    assert!((cut - best.2).abs() < 1e-6, "{cut} {}", best.2);
    // Leaves are exact: −G/(H + λ) of their events.
    for (side, child) in [(true, root.left), (false, root.right)] {
        let events = (0..toy.labels.len()).filter(|&i| (f64::from(toy.columns[best.1][i]) < cut) == side);
        let sum = events.map(gradient).fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        let value = forest.trees[0].nodes[child as usize].value;
        assert!((value + sum[0] / (sum[1] + options.l2)).abs() < 1e-5, "{value}");
    }
}

#[test]
fn all_shapes_learn_a_product() {
    let (train, test) = (coarse(20_000, 3), coarse(5000, 4));
    let best = test.auc_of(&|x| 2.0 * x[0] * x[1] + x[2]);
    let shapes = [Shape::Depth(4), Shape::Leaves(15, 64), Shape::Oblivious(4)];
    for (shape, ordered) in shapes.into_iter().map(|s| (s, false)).chain([(Shape::Oblivious(4), true)]) {
        let options = Options { trees: 200, shape, learning_rate: 0.1, ordered, ..Options::default() };
        let forest = train.fit(&options);
        let auc = test.auc(&forest);
        assert!(auc > best - 0.02, "{shape:?} {ordered}: {auc}, the true probability gives {best}");
        if let Shape::Oblivious(depth) = shape {
            for tree in &forest.trees {
                assert_eq!(tree.leaves(), 1 << depth);
                let cuts: std::collections::BTreeSet<String> = tree
                    .nodes
                    .iter()
                    .filter(|n| !n.is_leaf())
                    .map(|n| format!("{} {:?} {}", n.feature, n.test, n.missing_left))
                    .collect();
                assert!(cuts.len() <= depth, "one cut for each level");
            }
        }
        if let Shape::Leaves(leaves, _) = shape {
            assert!(forest.trees.iter().all(|t| t.leaves() <= leaves));
        }
    }
}

#[test]
fn what_is_missing_can_tell() {
    // A value is missing mostly for signal.
    let toy = |seed| {
        Toy::new(4000, seed, |random| {
            let signal = random.uniform() < 0.5;
            let missing = random.uniform() < if signal { 0.5 } else { 0.1 };
            let x = if missing { f64::NAN } else { random.normal() };
            (vec![x, random.normal()], signal, 1.0)
        })
    };
    let (train, test) = (toy(1), toy(2));
    let forest = train.fit(&Options { trees: 20, shape: Shape::Depth(2), ..Options::default() });
    // P(missing, signal) against P(there, background): ½ + ½ (0.5 − 0.1).
    assert!((test.auc(&forest) - 0.7).abs() < 0.02, "{}", test.auc(&forest));
    let mut filled = test;
    filled.columns[0].iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.0);
    assert!(filled.auc(&forest) < 0.55);
}

#[test]
fn scores_rise_where_they_must() {
    let toy = Toy::new(2000, 5, |random| {
        let x = random.normal();
        // It falls beyond one, where few events are.
        let p = if x < 1.0 { 0.2 + 0.3 * (x > 0.0) as u8 as f64 } else { 0.3 };
        (vec![x, random.normal()], random.uniform() < p, 1.0)
    });
    let options = Options { trees: 30, shape: Shape::Depth(4), ..Options::default() };
    let falls = |forest: &Forest| {
        let scores: Vec<f64> = (-30..30).map(|i| forest.outputs_of(&[f64::from(i) / 10.0, 0.3])[0]).collect();
        scores.windows(2).any(|s| s[1] < s[0] - 1e-9)
    };
    assert!(falls(&toy.fit(&options)), "without the constraint");
    assert!(!falls(&toy.fit(&Options { monotone: vec![1, 0], ..options.clone() })));
    let negative = toy.fit(&Options { monotone: vec![-1, 0], ..options });
    let scores: Vec<f64> = (-30..30).map(|i| negative.outputs_of(&[f64::from(i) / 10.0, 0.3])[0]).collect();
    assert!(scores.windows(2).all(|s| s[1] <= s[0] + 1e-9));
}

#[test]
fn categories_need_no_order() {
    // Every other category is signal-like.
    let toy = |seed| {
        Toy::new(4000, seed, |random| {
            let c = random.below(40);
            (vec![c as f64, random.normal()], random.uniform() < if c % 2 == 0 { 0.8 } else { 0.2 }, 1.0)
        })
    };
    let (train, test) = (toy(1), toy(2));
    let options = Options { trees: 3, shape: Shape::Depth(1), learning_rate: 0.5, ..Options::default() };
    let as_sets = train.fit_with(&options, &mut Loss::Logistic, &[true, false]);
    assert!(matches!(&as_sets.trees[0].nodes[0].test, Test::OneOf(set) if set.len() == 20));
    assert!((test.auc(&as_sets) - 0.8).abs() < 0.02, "{}", test.auc(&as_sets));
    assert!(test.auc(&train.fit(&options)) < 0.65, "as numbers they take many cuts");
}

#[test]
fn signed_weights_give_the_weighted_likelihood_ratio() {
    // A fifth of the events has a negative weight, more often so at large x: E[w|x] = 1 − 2 P(−|x).
    let negative = |x: f64| 0.4 / (1.0 + (-2.0 * x).exp());
    let toy = |signs: bool| {
        Toy::new(60_000, 7, move |random| {
            let signal = random.uniform() < 0.5;
            let x = random.normal() + if signal { 0.5 } else { -0.5 };
            let is_negative = signal && random.uniform() < negative(x);
            (vec![x], signal, if is_negative && signs { -1.0 } else { 1.0 })
        })
    };
    let options = Options { trees: 60, shape: Shape::Depth(3), learning_rate: 0.1, ..Options::default() };
    let (kept, sizes) = (toy(true).fit(&options), toy(false).fit(&options));
    let truth = |x: f64| (x.exp() * (1.0 - 2.0 * negative(x))).ln();
    let bins = [-1.0, -0.5, 0.0, 0.5, 1.0];
    for x in bins {
        // Mean over a bin, where steps of trees average out.
        let mean = |f: &dyn Fn(f64) -> f64| (0..20).map(|i| f(x + 0.02 * f64::from(i) - 0.2)).sum::<f64>() / 20.0;
        let expected = mean(&|x| 1.0 / (1.0 + (-truth(x)).exp()));
        let found = mean(&|x| kept.scores_of(&[x])[1]);
        assert!((found - expected).abs() < 0.025, "{x}: {found} {expected}");
    }
    let at = |f: &Forest| f.scores_of(&[1.0])[1];
    assert!(at(&sizes) - at(&kept) > 0.05, "the sizes alone are biased: {} {}", at(&sizes), at(&kept));
}

#[test]
fn an_objective_of_ones_own() {
    /// Squared loss: any gradient is an objective.
    struct Squared;
    impl Objective for Squared {
        fn outputs(&self) -> usize {
            1
        }
        fn link(&self) -> fb_trees::Link {
            fb_trees::Link::Identity
        }
        fn base(&self, _: Targets<'_>) -> Vec<f64> {
            vec![0.0]
        }
        fn gradients(&self, k: usize, _: usize, outputs: &[&[f32]], sample: Targets<'_>, out: &mut [Pair]) {
            let events = outputs[k].iter().zip(sample.targets.iter().zip(sample.weights));
            out.iter_mut().zip(events).for_each(|(out, (f, (y, w)))| *out = [w * (f - y), *w]);
        }
        fn loss(&self, outputs: &[f32], targets: &[f32]) -> f64 {
            0.5 * f64::from(outputs[0] - targets[0]).powi(2)
        }
    }
    let toy = coarse(3000, 8);
    let forest = toy.fit_with(&Options { trees: 40, ..Options::default() }, &mut Squared, &[]);
    let logistic = toy.fit(&Options { trees: 40, ..Options::default() });
    assert!((toy.auc(&forest) - toy.auc(&logistic)).abs() < 0.02);
}

/// Events whose target follows 3x₀ + noise that grows with x₁, in [0, 1].
fn scattered(n: usize) -> Toy {
    let mut toy = Toy::new(n, 12, |random| (vec![random.uniform(), random.uniform()], false, 1.0));
    for (i, y) in toy.labels.iter_mut().enumerate() {
        let mut random = Philox::new(13, 9, i as u64);
        *y = 3.0 * toy.columns[0][i] + (0.1 + toy.columns[1][i]) * (random.uniform() as f32 - 0.5);
    }
    toy
}

#[test]
fn quantiles_and_means_are_those_of_the_events() {
    let toy = scattered(20_000);
    let options = Options { trees: 100, learning_rate: 0.1, shape: Shape::Depth(3), ..Options::default() };
    let fit = |residual| toy.fit_with(&options, &mut Loss::Regression(residual, 1), &[]);
    for alpha in [0.1, 0.5, 0.9] {
        let forest = fit(Residual::Quantile(alpha));
        // In each half of the noisy variable the share below is α, and the quantile is that of the uniform noise.
        for (low, high) in [(0.0, 0.5), (0.5, 1.0)] {
            let rows: Vec<usize> = (0..20_000).filter(|&i| (low..high).contains(&toy.columns[1][i])).collect();
            let below = rows.iter().filter(|&&i| f64::from(toy.labels[i]) <= forest.outputs_of(&toy.row(i))[0]).count();
            let share = below as f64 / rows.len() as f64;
            assert!((share - alpha).abs() < 0.02, "{alpha} in {low} to {high}: {share}");
        }
        let exact = |x: &[f64]| 3.0 * x[0] + (0.1 + x[1]) * (alpha - 0.5);
        let rms = (0..2000).map(|i| (forest.outputs_of(&toy.row(i))[0] - exact(&toy.row(i))).powi(2)).sum::<f64>();
        assert!((rms / 2000.0).sqrt() < 0.06, "{alpha}: {}", (rms / 2000.0).sqrt());
    }
    let forest = fit(Residual::Squared);
    let rms = (0..2000).map(|i| (forest.outputs_of(&toy.row(i))[0] - 3.0 * toy.row(i)[0]).powi(2)).sum::<f64>();
    assert!((rms / 2000.0).sqrt() < 0.05, "{}", (rms / 2000.0).sqrt());
}

#[test]
fn rates_are_those_of_counts() {
    let mut toy = Toy::new(20_000, 14, |random| (vec![random.uniform(), random.uniform()], false, 1.0));
    let rate = |x: &[f64]| (2.0 * x[0] - 1.0).exp();
    for i in 0..20_000 {
        // Waiting times of a Poisson process.
        let mut random = Philox::new(15, 9, i as u64);
        let (rate, mut time, mut count) = (rate(&toy.row(i)), 0.0, 0.0);
        loop {
            time -= (1.0 - random.uniform()).ln() / rate;
            if time > 1.0 {
                break;
            }
            count += 1.0;
        }
        toy.labels[i] = count;
    }
    let options = Options { trees: 60, learning_rate: 0.1, shape: Shape::Depth(3), ..Options::default() };
    for residual in [Residual::Poisson, Residual::Tweedie(1.3)] {
        let forest = toy.fit_with(&options, &mut Loss::Regression(residual, 1), &[]);
        let ratio = |i: usize| forest.outputs_of(&toy.row(i))[0].exp() / rate(&toy.row(i));
        let rms = ((0..2000).map(|i| (ratio(i) - 1.0).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!(rms < 0.1, "{residual:?}: {rms}");
    }
}
