//! Every operation's gradient against finite differences in f64, its f32 path against its f64 path, and the fused
//! blocks against their definitions written out edge by edge.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

mod common;

use common::{Problem, TRAINING, check, check_on, check_with, executor, features, head};
use fb_core::run::Alone;
use fb_core::{Features, Partition};
use fb_nn::graph::Graph;
use fb_nn::{Activation, Batch, Decorrelate, Edges, Executor, Init, Rows, Significance, Target};

#[test]
fn linear_layers_with_every_activation() {
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Selu,
        Activation::Elu,
    ] {
        let mut g = Graph::new(Rows::Event, 4);
        let x = g.linear(Graph::INPUT, 5, activation);
        let y = g.linear_no_bias(x, 6);
        let z = g.columns(y, 2, 5);
        head(&mut g, z);
        check(&g, 9);
    }
}

#[test]
fn collections_of_particles() {
    let mut g = Graph::new(Rows::Event, 3);
    let (tracks, vertices) = (g.input(Rows::Particle, 4), g.input(Rows::Particle, 2));
    let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
    let near = g.edge_conv(tracks, tracks, 2, [4, 3, 5]);
    let kept = g.dropout(near, 0.3);
    let state = g.lstm(kept, 5);
    let norm = g.batch_norm(vertices, 2, Activation::Tanh);
    let far = g.interaction(norm, [4, 3, 5]);
    let mean = g.mean(far);
    let x = g.add(x, state, Activation::Identity);
    let x = g.add(x, mean, Activation::Identity);
    head(&mut g, x);
    check(&g, 9);
    let bad = g.linear_no_bias(tracks, 2);
    let mixed = g.add(bad, vertices, Activation::Identity);
    let pooled = g.sum(mixed);
    head(&mut g, pooled);
    assert!(g.check().unwrap_err().to_string().contains("two collections"));
}

#[test]
fn single_logit() {
    let mut g = Graph::new(Rows::Event, 4);
    let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
    g.linear(x, 1, Activation::Identity);
    check(&g, 9);
}

#[test]
fn dropout_and_residual() {
    let mut g = Graph::new(Rows::Event, 4);
    let x = g.linear(Graph::INPUT, 6, Activation::Tanh);
    let y = g.dropout(x, 0.4);
    let z = g.linear(y, 6, Activation::Identity);
    let sum = g.add(x, z, Activation::Relu);
    head(&mut g, sum);
    check(&g, 9);
}

#[test]
fn batch_norm_on_events_and_particles() {
    for rows in [Rows::Event, Rows::Particle] {
        let mut g = Graph::new(rows, 4);
        let n = g.batch_norm(Graph::INPUT, 4, Activation::Identity);
        let x = g.linear(n, 6, Activation::Identity);
        let y = g.batch_norm(x, 3, Activation::Relu);
        let z = if rows == Rows::Particle { g.mean(y) } else { y };
        head(&mut g, z);
        check(&g, 12);
    }
}

#[test]
fn pools_over_particles() {
    let mut g = Graph::new(Rows::Particle, 4);
    let x = g.linear(Graph::INPUT, 6, Activation::Tanh);
    let sum = g.sum(x);
    let mean = g.mean(x);
    let z = g.linear(Graph::INPUT, 1, Activation::Sigmoid);
    let weighted = g.weighted_sum(x, z);
    let a = g.add(sum, mean, Activation::Identity);
    let b = g.add(a, weighted, Activation::Identity);
    head(&mut g, b);
    check(&g, 12);
}

#[test]
fn edge_conv() {
    for channels in [[6, 6, 6], [5, 7, 4], [8, 3, 6]] {
        let mut g = Graph::new(Rows::Particle, 4);
        let c = g.columns(Graph::INPUT, 0, 2);
        let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
        let first = g.edge_conv(c, x, 3, channels);
        let second = g.edge_conv(first, first, 2, [4, 4, 4]);
        let shortcut = g.linear_no_bias(first, 4);
        let sum = g.add(second, shortcut, Activation::Relu);
        let pool = g.mean(sum);
        head(&mut g, pool);
        check(&g, 18);
    }
}

#[test]
fn interaction() {
    let mut g = Graph::new(Rows::Particle, 4);
    let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
    let messages = g.interaction(x, [7, 5, 6]);
    let y = g.linear(messages, 4, Activation::Relu);
    let pool = g.sum(y);
    head(&mut g, pool);
    check(&g, 12);

    // Between collections, and all of an event side by side: some have more particles than places, some fewer.
    for activation in [Activation::Relu, Activation::Selu, Activation::Elu] {
        let mut g = Graph::new(Rows::Particle, 4);
        let vertices = g.input(Rows::Particle, 2);
        let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
        let y = g.linear(vertices, 3, Activation::Tanh);
        let own = g.interaction_with(x, x, [7, 5, 6], activation);
        let other = g.interaction_with(x, y, [4, 5, 6], activation);
        let back = g.interaction_with(y, own, [4, 3, 6], activation);
        let x = g.add(own, other, Activation::Tanh);
        let x = g.flatten(x, 3);
        let back = g.sum(back);
        let x = g.concat(&[x, back]);
        head(&mut g, x);
        check(&g, 12);
    }
}

#[test]
fn lstm() {
    let mut g = Graph::new(Rows::Particle, 3);
    let x = g.linear(Graph::INPUT, 4, Activation::Tanh);
    let h = g.lstm(x, 6);
    head(&mut g, h);
    check(&g, 12);
}

/// EdgeConv written out: for each particle its neighbours by sorting, for each edge three layers.
#[test]
fn edge_conv_equals_its_definition() {
    let (k, channels) = (3, [5, 6, 4]);
    let mut g = Graph::new(Rows::Particle, 4);
    let c = g.columns(Graph::INPUT, 0, 2);
    let y = g.edge_conv(c, Graph::INPUT, k, channels);
    let pool = g.sum(y);
    let mut identity = g.clone();
    identity.linear_no_bias(pool, channels[2]);
    let mut executor = executor(&identity);
    // The last layer passes its input on.
    let last = identity.parameters.last().unwrap();
    for (i, p) in executor.parameters[last.range()].iter_mut().enumerate() {
        *p = f64::from(u8::from(i % (channels[2] + 1) == 0));
    }
    for (i, b) in executor.buffers.iter_mut().enumerate() {
        *b = 0.3 + 0.05 * i as f64;
    }
    let features = features(Rows::Particle, 4, 12);
    let found = executor.logits(&features, &Alone);
    let block = |i: usize| &executor.parameters[identity.parameters[i].range()];
    let buffer = |i: usize| &executor.buffers[identity.buffers[i].range()];
    for event in 0..12 {
        let rows: Vec<Vec<f64>> = features
            .rows(event)
            .map(|r| features.values[4 * r..4 * r + 4].iter().map(|&x| x.into()).collect())
            .collect();
        let mut expected = vec![0.0; channels[2]];
        for (i, x) in rows.iter().enumerate() {
            let mut others: Vec<usize> = (0..rows.len()).filter(|&j| j != i).collect();
            let distance = |j: usize| (0..2).map(|d| (rows[j][d] - x[d]).powi(2)).sum::<f64>();
            others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            others.truncate(k);
            for &j in &others {
                let mut z: Vec<f64> = x.iter().copied().chain((0..4).map(|d| rows[j][d] - x[d])).collect();
                for (l, &out) in channels.iter().enumerate() {
                    let [weight, gamma, beta] = [0, 1, 2].map(|p| block(3 * l + p));
                    let [mean, variance] = [0, 1].map(|b| buffer(2 * l + b));
                    z = (0..out)
                        .map(|o| {
                            let sum: f64 = z.iter().enumerate().map(|(n, z)| z * weight[n * out + o]).sum();
                            (gamma[o] * (sum - mean[o]) / (variance[o] + 1e-5).sqrt() + beta[o]).max(0.0)
                        })
                        .collect();
                }
                expected.iter_mut().zip(z).for_each(|(e, z)| *e += z / others.len() as f64);
            }
        }
        for (f, e) in found[event * channels[2]..].iter().zip(&expected) {
            assert!((f - e).abs() < 1e-11 * (1.0 + e.abs()), "event {event}: {f}, expected {e}");
        }
    }
}

/// The memory cell written out, event by event.
#[test]
fn lstm_equals_its_definition() {
    let hidden = 3;
    let mut g = Graph::new(Rows::Particle, 2);
    let h = g.lstm(Graph::INPUT, hidden);
    g.linear_no_bias(h, hidden);
    let mut executor = executor(&g);
    let last = g.parameters.last().unwrap();
    for (i, p) in executor.parameters[last.range()].iter_mut().enumerate() {
        *p = f64::from(u8::from(i % (hidden + 1) == 0));
    }
    let features = features(Rows::Particle, 2, 7);
    let found = executor.logits(&features, &Alone);
    let [weight, bias] = [0, 1].map(|i| &executor.parameters[g.parameters[i].range()]);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for event in 0..7 {
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for r in features.rows(event) {
            let x: Vec<f64> = features.values[2 * r..2 * r + 2].iter().map(|&x| x.into()).chain(h.clone()).collect();
            let gate =
                |n: usize| bias[n] + x.iter().enumerate().map(|(i, x)| x * weight[i * 4 * hidden + n]).sum::<f64>();
            for n in 0..hidden {
                let (i, f, g, o) = (gate(n), gate(hidden + n), gate(2 * hidden + n), gate(3 * hidden + n));
                c[n] = sigmoid(f) * c[n] + sigmoid(i) * g.tanh();
                h[n] = sigmoid(o) * c[n].tanh();
            }
        }
        for (f, e) in found[event * hidden..].iter().zip(&h) {
            assert!((f - e).abs() < 1e-12, "event {event}: {f}, expected {e}");
        }
    }
}

/// The pairs written out.
#[test]
fn interaction_equals_its_definition() {
    let channels = [5, 4, 3];
    let mut g = Graph::new(Rows::Particle, 2);
    let y = g.interaction(Graph::INPUT, channels);
    let pool = g.sum(y);
    g.linear_no_bias(pool, 3);
    let mut executor = executor(&g);
    let last = g.parameters.last().unwrap();
    for (i, p) in executor.parameters[last.range()].iter_mut().enumerate() {
        *p = f64::from(u8::from(i % 4 == 0));
    }
    let features = features(Rows::Particle, 2, 7);
    let found = executor.logits(&features, &Alone);
    for event in 0..7 {
        let rows: Vec<&[f32]> = features.rows(event).map(|r| &features.values[2 * r..2 * r + 2]).collect();
        let mut expected = [0.0; 3];
        for (i, x) in rows.iter().enumerate() {
            for (_, y) in rows.iter().enumerate().filter(|&(j, _)| j != i) {
                let mut z: Vec<f64> = x.iter().chain(*y).map(|&v| v.into()).collect();
                for (l, &out) in channels.iter().enumerate() {
                    let [weight, bias] = [0, 1].map(|p| &executor.parameters[g.parameters[2 * l + p].range()]);
                    z = (0..out)
                        .map(|o| {
                            (bias[o] + z.iter().enumerate().map(|(n, z)| z * weight[n * out + o]).sum::<f64>()).max(0.0)
                        })
                        .collect();
                }
                expected.iter_mut().zip(z).for_each(|(e, z)| *e += z);
            }
        }
        for (f, e) in found[event * 3..].iter().zip(expected) {
            assert!((f - e).abs() < 1e-11 * (1.0 + e.abs()), "event {event}: {f}, expected {e}");
        }
    }
}

/// A column for each head of what there is on pairs, from differences of particles.
fn on_edges(g: &mut Graph, width: usize) -> usize {
    let a = g.linear(Graph::INPUT, width, Activation::Tanh);
    let b = g.linear(Graph::INPUT, width, Activation::Identity);
    g.join(a, b, &[], Activation::Tanh)
}

#[test]
fn rows_and_their_gates() {
    for rows in [Rows::Event, Rows::Particle] {
        let mut g = Graph::new(rows, 4);
        let x = g.linear(Graph::INPUT, 22, Activation::Identity);
        let norm = g.layer_norm(x);
        let x = g.gelu(norm);
        let x = g.scale(x, 11);
        let y = g.linear(Graph::INPUT, 22, Activation::Sigmoid);
        let x = g.multiply(x, y);
        let mut x = g.concat(&[x, Graph::INPUT, y, x]);
        if rows == Rows::Particle {
            x = g.sum(x);
            let token = g.token(70);
            x = g.add(x, token, Activation::Tanh);
        }
        head(&mut g, x);
        check(&g, 12);
    }
}

#[test]
fn edges_of_every_kind() {
    let kinds =
        [Edges::Unordered, Edges::Ordered, Edges::All, Edges::Nearest { k: 3 }, Edges::Listed { from: 2, to: 4 }];
    for edges in kinds {
        let mut g = Graph::new(Rows::Particle, 4);
        g.edges = Some(edges);
        g.fixed = vec![vec![0.3, -0.2, 1.0, 0.5], vec![-1.3, 0.7, 0.1, 1.5]];
        let e = on_edges(&mut g, 4);
        let [a, b, d] = [0, 1, 2].map(|_| g.linear(Graph::INPUT, 4, Activation::Tanh));
        let e = g.batch_norm(e, 4, Activation::Identity);
        let e = g.join(a, b, &[e, d], Activation::Tanh);
        let e = g.dropout(e, 0.2);
        let z = g.linear(e, 2, Activation::Identity);
        let z = g.softmax(z);
        let few = g.linear(Graph::INPUT, 4, Activation::Identity);
        let few = g.senders(few);
        let few = g.head(few, 2);
        let few = g.batch_norm(few, 4, Activation::Tanh);
        let z_few = g.linear(few, 2, Activation::Identity);
        let z_few = g.softmax(z_few);
        let parts = [g.weighted_sum(e, z), g.sum(e), g.mean(e), g.weighted_sum(few, z_few)];
        let x = g.concat(&parts);
        let event = g.mean(x);
        let all = g.linear(event, 4, Activation::Sigmoid);
        let e = g.multiply(e, all);
        let one = g.linear(e, 2, Activation::Sigmoid);
        let e = g.multiply(e, one);
        let back = g.spread(event);
        let x = g.add(x, back, Activation::Tanh);
        let gate = g.spread(x);
        let gate = g.linear(gate, 4, Activation::Sigmoid);
        let gated = g.multiply(e, gate);
        let gated = g.sum(gated);
        let x = g.concat(&[x, gated]);
        let z = g.linear(x, 1, Activation::Identity);
        let z = g.softmax(z);
        let x = g.weighted_sum(x, z);
        head(&mut g, x);
        check(&g, 13);
    }
}

#[test]
fn maps_from_pairs_to_pairs() {
    let mut g = Graph::new(Rows::Particle, 4);
    g.edges = Some(Edges::All);
    let e = on_edges(&mut g, 3);
    let p = g.invariants(Graph::INPUT, 3);
    let both = g.concat(&[e, p]);
    let e = g.equivariant(both, 4, 2.5);
    let e = g.linear(e, 5, Activation::Leaky);
    let e = g.equivariant(e, 3, 3.5);
    let own = g.diagonal(e);
    let own = g.multiplicity(own, 3.0, Activation::Tanh);
    let e = g.join(own, own, &[own], Activation::Leaky);
    let x = g.sum(e);
    let x = g.sum(x);
    let x = g.multiplicity(x, 9.0, Activation::Identity);
    head(&mut g, x);
    check(&g, 13);
}

/// The fifteen maps, written out over all pairs of pairs.
#[test]
fn equivariant_maps_equal_their_definition() {
    let (width, mean) = (2, 3.0);
    let mut g = Graph::new(Rows::Particle, 4);
    g.edges = Some(Edges::All);
    let p = g.invariants(Graph::INPUT, width);
    let e = g.equivariant(p, width, mean);
    let pool = g.sum(e);
    // One event at a time: the sum over receivers of squares tells pairs apart.
    let square = g.multiply(pool, pool);
    let pool = g.sum(square);
    g.linear_no_bias(pool, width);
    let mut executor = executor(&g);
    let last = g.parameters.last().unwrap();
    for (i, p) in executor.parameters[last.range()].iter_mut().enumerate() {
        *p = f64::from(u8::from(i % (width + 1) == 0));
    }
    let block = |name: &str| {
        let of = g.parameters.iter().find(|b| b.name == format!("{e}.{name}")).unwrap();
        executor.parameters[of.range()].to_vec()
    };
    let [c_in, c_out, first, second, alpha, bias, diagonal] =
        ["in", "out", "first", "second", "alpha", "bias", "diagonal"].map(block);
    let powers: Vec<f64> = executor.parameters[g.parameters[0].range()].iter().map(|a| a * a + 1e-6).collect();
    let features = features(Rows::Particle, 4, 8);
    let found = executor.logits(&features, &Alone);
    for event in 0..8 {
        let rows: Vec<[f64; 4]> =
            features.rows(event).map(|r| [0, 1, 2, 3].map(|c| f64::from(features.values[4 * r + c]))).collect();
        let n = rows.len();
        let x = |i: usize, j: usize, d: usize| {
            let (p, q) = (rows[i], rows[j]);
            let t = 1.0 + p[3] * q[3] - p[0] * q[0] - p[1] * q[1] - p[2] * q[2];
            (t.abs().powf(powers[d]) - 1.0) / powers[d]
        };
        let over = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        let mut expected = [0.0; 2];
        for i in 0..n {
            let mut sums = [0.0; 2];
            for j in 0..n {
                let mut z: Vec<f64> = (0..width).map(|o| bias[o] + if i == j { diagonal[o] } else { 0.0 }).collect();
                for d in 0..width {
                    let kinds = |k: usize| {
                        [
                            x(k, k, d),
                            over(&|m| x(k, m, d)),
                            over(&|m| x(m, k, d)),
                            over(&|m| x(m, m, d)),
                            over(&|m| over(&|l| x(m, l, d))),
                        ]
                    };
                    let own = if i == j { kinds(i) } else { [0.0; 5] };
                    let maps: Vec<f64> = [x(i, j, d), x(j, i, d)]
                        .into_iter()
                        .chain(kinds(i))
                        .chain(kinds(j).into_iter().take(3))
                        .chain(own)
                        .collect();
                    let mut power = 0;
                    for (b, map) in maps.into_iter().enumerate() {
                        // Those of a single entry are not rescaled.
                        let factor = if [0, 1, 2, 7, 10].contains(&b) {
                            1.0
                        } else {
                            power += 1;
                            (n as f64 / mean).powf(alpha[(power - 1) * width + d])
                        };
                        for (o, z) in z.iter_mut().enumerate() {
                            let w = c_in[d * 15 + b] * first[d * width + o] + c_out[o * 15 + b] * second[d * width + o];
                            *z += w * factor * map;
                        }
                    }
                }
                sums.iter_mut().zip(z).for_each(|(s, z)| *s += z.max(0.01 * z));
            }
            expected.iter_mut().zip(sums).for_each(|(e, s)| *e += s * s);
        }
        for (f, e) in found[event * width..].iter().zip(expected) {
            assert!((f - e).abs() < 1e-9 * (1.0 + e.abs()), "event {event}: {f}, expected {e}");
        }
    }
}

#[test]
fn attention_among_particles_and_of_the_event() {
    for (bias, dropout) in [(false, 0.0), (true, 0.0), (true, 0.3)] {
        let mut g = Graph::new(Rows::Particle, 4);
        g.edges = Some(Edges::Unordered);
        let qkv = [0, 1, 2].map(|_| g.linear(Graph::INPUT, 6, Activation::Identity));
        let u = bias.then(|| {
            let u = g.pair_kinematics(Graph::INPUT);
            g.linear(u, 2, Activation::Tanh)
        });
        let x = g.attention(qkv, u, 2, dropout);
        let token = g.token(6);
        let mean = g.mean(x);
        let token = g.add(token, mean, Activation::Tanh);
        let both = g.stack(token, x);
        let [k, v] = [0, 1].map(|_| g.linear(both, 6, Activation::Identity));
        let k = g.layer_norm(k);
        let x = g.class_attention([token, k, v], 3);
        head(&mut g, x);
        check(&g, 13);
    }
}

#[test]
fn momenta_that_move() {
    for limit in [0.6, 100.0] {
        let mut g = Graph::new(Rows::Particle, 5);
        g.edges = Some(Edges::Ordered);
        let mut x = g.columns(Graph::INPUT, 0, 4);
        let mut sums = Vec::new();
        for _ in 0..3 {
            let e = g.minkowski(x);
            let s = g.linear(e, 1, Activation::Tanh);
            let sum = g.sum(s);
            sums.push(g.sum(sum));
            x = g.displace(x, s, 0.7, limit);
        }
        let x = g.concat(&sums);
        head(&mut g, x);
        check(&g, 13);
    }
}

/// Attention written out for one query after the other, with the bias of pairs looked up.
#[test]
fn attention_equals_its_definition() {
    let (heads, width) = (2, 4);
    let mut g = Graph::new(Rows::Particle, 4);
    g.edges = Some(Edges::Unordered);
    let u = g.pair_kinematics(Graph::INPUT);
    let bias = g.columns(u, 0, heads);
    let y = g.attention([Graph::INPUT; 3], Some(bias), heads, 0.0);
    let pool = g.sum(y);
    g.linear_no_bias(pool, width);
    let mut executor = executor(&g);
    for (i, p) in executor.parameters.iter_mut().enumerate() {
        *p = f64::from(u8::from(i % (width + 1) == 0));
    }
    let features = features(Rows::Particle, 4, 9);
    let found = executor.logits(&features, &Alone);
    for event in 0..9 {
        let rows: Vec<Vec<f64>> = features
            .rows(event)
            .map(|r| features.values[4 * r..4 * r + 4].iter().map(|&x| x.into()).collect())
            .collect();
        // ln kT and ln z of a pair, from pT, rapidity and azimuth.
        let pair = |a: &[f64], b: &[f64]| {
            let [s, t] = [a, b].map(|p| {
                let y = 0.5 * (1.0 + 2.0 * p[2] / (p[3] - p[2]).max(1e-20)).max(1e-20).ln();
                [p[0].hypot(p[1]), y, p[1].atan2(p[0])]
            });
            let turn =
                (s[2] - t[2] + 3.0 * std::f64::consts::PI).rem_euclid(std::f64::consts::TAU) - std::f64::consts::PI;
            let delta = (s[1] - t[1]).hypot(turn);
            [s[0].min(t[0]) * delta, s[0].min(t[0]) / (s[0] + t[0])].map(|x| x.max(1e-8).ln())
        };
        let mut expected = [0.0; 4];
        for q in &rows {
            for head in 0..heads {
                let part = 2 * head..2 * head + 2;
                let score = |k: &Vec<f64>| {
                    let dot: f64 = q[part.clone()].iter().zip(&k[part.clone()]).map(|(q, k)| q * k).sum();
                    (dot / 2f64.sqrt() + pair(q, k)[head]).exp()
                };
                let total: f64 = rows.iter().map(score).sum();
                for c in part.clone() {
                    expected[c] += rows.iter().map(|k| score(k) / total * k[c]).sum::<f64>();
                }
            }
        }
        for (f, e) in found[event * 4..].iter().zip(expected) {
            assert!((f - e).abs() < 1e-9 * (1.0 + e.abs()), "event {event}: {f}, expected {e}");
        }
    }
}

/// Momenta that a boost can be made of: E above the length of p.
fn massive(graph: &mut Graph, particles: usize) -> usize {
    let momenta: Vec<usize> = (0..particles)
        .flat_map(|i| {
            let p = graph.columns(Graph::INPUT, 3 * i, 3 * i + 3);
            let e = graph.multiply(p, p);
            let ones = graph.linear(e, 1, Activation::Identity);
            [p, ones]
        })
        .collect();
    graph.concat(&momenta)
}

#[test]
fn boosts_and_lorentz_layers() {
    for kind in 0..3 {
        let mut g = Graph::new(Rows::Event, 9);
        let p = massive(&mut g, 3);
        let x = if kind == 0 { g.boost(p, 4) } else { g.lola(p, 2, kind == 2) };
        let x = g.linear(x, 4, Activation::Tanh);
        head(&mut g, x);
        // Energies |p|² + 2 keep every combination slower than light; what makes them is not a matter of this test.
        let node = |name: &str| name.split('.').next().unwrap().parse::<usize>().unwrap();
        for block in g.parameters.iter_mut().filter(|block| node(&block.name) < p) {
            block.init = Init::Constant(if block.name.ends_with("bias") { 2.0 } else { 1.0 });
        }
        check_with(&g, 9, |name| node(name) > p);
    }
}

#[test]
fn penalty_of_the_distance_correlation() {
    for (width, hidden) in [(1, None), (2, Some(3))] {
        let mut g = Graph::new(Rows::Event, 4);
        let mut x = g.linear(Graph::INPUT, 5, Activation::Tanh);
        // With sums over the batch, and without.
        if let Some(hidden) = hidden {
            x = g.linear(x, hidden, Activation::Identity);
            x = g.batch_norm(x, hidden, Activation::Tanh);
        }
        g.linear(x, width, Activation::Identity);
        let mut problem = Problem::new(&g, 40);
        problem.weights.iter_mut().for_each(|w| *w = w.abs());
        let plain = problem.loss(&mut executor(&g));
        let variable = (0..40).map(|i| f64::from(problem.features.values[4 * i]) + 0.1 * i as f64).collect();
        let what = Decorrelate { against: "m".to_owned(), strength: 3.0, class: 0 };
        problem.decorrelate = Some((what, variable));
        let with = problem.loss(&mut executor(&g));
        assert!(with - plain > 1e-3 && with - plain < 3.0, "{plain} {with}");
        check_on(&g, &problem, |_| true);
    }
}

/// The inverse significance alone, and with a penalty beside it; its value for scores that are all one half.
#[test]
fn inverse_of_the_significance() {
    for (width, penalised) in [(1, false), (2, true)] {
        let mut g = Graph::new(Rows::Event, 4);
        let x = g.linear(Graph::INPUT, 5, Activation::Tanh);
        g.linear(x, width, Activation::Identity);
        let mut problem = Problem::new(&g, 40);
        problem.weights.iter_mut().for_each(|w| *w = w.abs());
        for (signal, background, systematic) in [(3.0, 2.0, 0.0), (20.0, 400.0, 0.1), (1e-4, 400.0, 0.02)] {
            problem.significance = Some(Significance { signal, background, systematic, after: 0.0 });
            let mut even = executor(&g);
            even.parameters.fill(0.0);
            let (s, b) = (signal / 2.0, background / 2.0);
            let expected = if systematic > 0.0 {
                z_as_it_stands(s, b, systematic * b)
            } else {
                (2.0 * ((s + b) * (1.0 + s / b).ln() - s)).sqrt()
            };
            assert!((problem.loss(&mut even) * expected - 1.0).abs() < 1e-5, "{expected}");
            if penalised {
                let variable = (0..40).map(|i| f64::from(problem.features.values[4 * i])).collect();
                let what = Decorrelate { against: "m".to_owned(), strength: 0.5, class: 0 };
                problem.decorrelate = Some((what, variable));
            }
            if signal > 1.0 {
                check_on(&g, &problem, |_| true);
            }
            problem.decorrelate = None;
        }
    }
}

/// s/√(b + σ²) where s is much smaller than b, else the formula of the paper as it stands.
fn z_as_it_stands(s: f64, b: f64, sigma: f64) -> f64 {
    let (all, v) = (s + b, sigma * sigma);
    if s < 1e-6 * b {
        return s / (b + v).sqrt();
    }
    let first = all * (all * (b + v) / (b * b + all * v)).ln();
    (2.0 * (first - b * b / v * (1.0 + v * s / (b * (b + v))).ln())).sqrt()
}

/// Pairs of particles that belong together, with the layers of a network on sets.
#[test]
fn groups_of_particles() {
    let mut g = Graph::new(Rows::Particle, 4);
    g.edges = Some(Edges::Unordered);
    let query = g.linear(Graph::INPUT, 2, Activation::Tanh);
    let key = g.linear(Graph::INPUT, 2, Activation::Identity);
    let value = g.linear_no_bias(Graph::INPUT, 5);
    let context = g.set_attention([query, key, value]);
    let own = g.linear(Graph::INPUT, 5, Activation::Tanh);
    let both = g.add(own, context, Activation::Identity);
    let unit = g.unit(both, Activation::Elu);
    let (a, b) = (g.linear(unit, 6, Activation::Identity), g.linear_no_bias(unit, 6));
    let there = g.join(a, b, &[], Activation::Tanh);
    let back = g.join(b, a, &[], Activation::Tanh);
    let pair = g.add(there, back, Activation::Identity);
    g.linear(pair, 1, Activation::Identity);
    check(&g, 9);
    // Batch normalisation meets all lanes before the loss.
    let mut g = Graph::new(Rows::Particle, 4);
    g.edges = Some(Edges::Unordered);
    let x = g.batch_norm(Graph::INPUT, 4, Activation::Tanh);
    let pair = g.join(x, x, &[], Activation::Tanh);
    g.linear(pair, 1, Activation::Identity);
    check(&g, 9);
    g.edges = Some(Edges::All);
    assert!(g.check().unwrap_err().to_string().contains("per unordered pair"));
}

/// The loss of pairs on numbers that are worked out by hand: three particles, of which the first two belong together.
#[test]
fn loss_of_pairs() {
    let mut g = Graph::new(Rows::Particle, 1);
    g.edges = Some(Edges::Unordered);
    let pair = g.join(Graph::INPUT, Graph::INPUT, &[], Activation::Identity);
    g.linear(pair, 1, Activation::Identity);
    let mut executor = Executor::<f64>::fresh(g.clone(), 1);
    executor.parameters.copy_from_slice(&[1.0, 0.0]);
    let features = Features { width: 1, values: vec![2.0, 1.0, -4.0], offsets: Some(vec![0, 3]), others: vec![] };
    let mut partition = Partition::default();
    partition.push([7, 7, 3]);
    let batch = Batch {
        features: &features,
        target: Target::Partition(&partition),
        weights: &[2.0],
        identity: &[1],
        indices: &[0],
        decorrelate: None,
        significance: None,
    };
    let found = executor.step(&batch, 1.0, TRAINING, &Alone);
    // Logits 3 (together), −2 and −3 (apart).
    let p = |x: f64| 1.0 / (1.0 + (-x).exp());
    let entropy = -(p(3.0).ln() + p(2.0).ln() + p(3.0).ln()) / 3.0;
    let f1 = 2.0 * p(3.0) / (p(3.0) + p(-2.0) + p(-3.0) + 1.0);
    assert!((found - 2.0 * (entropy - f1)).abs() < 1e-9, "{found}");
}
