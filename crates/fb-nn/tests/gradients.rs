//! Every operation's gradient against finite differences in f64, its f32 path against its f64 path, and the fused
//! blocks against their definitions written out edge by edge.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use fb_core::run::Alone;
use fb_core::{Features, Philox};
use fb_nn::graph::{Convolution, Graph, Window};
use fb_nn::{Activation, Batch, Edges, Executor, Init, Mode, Real, Rows};

const TRAINING: Mode = Mode::Training { seed: 5, step: 3 };

/// Random events: with 0, 1, 2, … particles for clouds.
fn features(rows: Rows, width: usize, events: usize) -> Features {
    let mut random = Philox::new(11, width as u64, events as u64);
    let offsets: Vec<usize> = (0..=events).map(|e| (0..e).map(|i| [4, 1, 7, 0, 2, 5][i % 6]).sum()).collect();
    let count = if rows == Rows::Event { events } else { offsets[events] };
    let values = (0..count * width).map(|_| random.normal() as f32).collect();
    Features { width, values, offsets: (rows == Rows::Particle).then_some(offsets), others: Vec::new() }
}

struct Problem {
    features: Features,
    labels: Vec<u32>,
    weights: Vec<f64>,
    identity: Vec<u64>,
    indices: Vec<usize>,
}

impl Problem {
    fn new(graph: &Graph, events: usize) -> Self {
        let mut each: Vec<Features> =
            graph.inputs().into_iter().map(|(rows, width)| features(rows, width, events)).collect();
        // Collections of different lengths.
        for (shift, features) in each.iter_mut().enumerate() {
            let (width, Some(offsets)) = (features.width, &mut features.offsets) else { continue };
            offsets.iter_mut().skip(1).for_each(|o| *o += shift);
            features.values.resize((offsets[events]) * width, 0.3);
        }
        let others = each.split_off(1);
        let features = Features { others, ..each.remove(0) };
        let classes = graph.classes() as u32;
        Self {
            features,
            labels: (0..events as u32).map(|i| i % classes).collect(),
            weights: (0..events).map(|i| [1.0, 0.5, -0.25, 2.0][i % 4]).collect(),
            identity: (0..events as u64).collect(),
            indices: (0..events).rev().collect(),
        }
    }

    fn loss<T: Real>(&self, executor: &mut Executor<T>) -> f64 {
        let batch = Batch {
            features: &self.features,
            labels: &self.labels,
            weights: &self.weights,
            identity: &self.identity,
            indices: &self.indices,
        };
        executor.step(&batch, 7.0, TRAINING, &Alone)
    }
}

/// Parameters moved away from their start, so that biases and norms are tested off zero and one.
fn executor(graph: &Graph) -> Executor<f64> {
    let mut executor = Executor::fresh(graph.clone(), 3);
    let mut random = Philox::new(4, 0, 0);
    executor.parameters.iter_mut().for_each(|p| *p += 0.1 * random.normal());
    executor
}

fn check(graph: &Graph, events: usize) {
    check_with(graph, events, |_| true);
}

/// The same for the parameters of these names; others stay as they start.
fn check_with(graph: &Graph, events: usize, tested: impl Fn(&str) -> bool) {
    check_on(graph, &Problem::new(graph, events), tested);
}

/// The same on these events.
fn check_on(graph: &Graph, problem: &Problem, tested: impl Fn(&str) -> bool) {
    graph.check().unwrap();
    let mut double = executor(graph);
    for block in graph.parameters.iter().filter(|block| !tested(&block.name)) {
        let (start, _) = graph.initial(3);
        double.parameters[block.range()].copy_from_slice(&start[block.range()]);
    }
    problem.loss(&mut double);
    let gradient = double.gradient.clone();
    let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!(length > 1e-6, "the gradient vanishes: nothing is tested");
    let n = gradient.len();
    // All parameters of small networks, some of each block of large ones.
    let mut worst = (0.0f64, String::new());
    for block in graph.parameters.iter().filter(|block| tested(&block.name)) {
        for i in block.range().step_by((block.len() / 12).max(1)) {
            let h = 1e-6;
            let start = double.parameters[i];
            double.parameters[i] = start + h;
            let up = problem.loss(&mut double);
            double.parameters[i] = start - h;
            let down = problem.loss(&mut double);
            double.parameters[i] = start;
            let numeric = (up - down) / (2.0 * h);
            // Relative to the largest entries of the gradient where this one is small.
            let scale = numeric.abs().max(length / (n as f64).sqrt());
            let error = (numeric - gradient[i]).abs() / scale;
            if error > worst.0 {
                worst = (error, format!("{}[{}]: {} and {numeric}", block.name, i - block.start, gradient[i]));
            }
        }
    }
    assert!(worst.0 < 1e-6, "relative error {} at {}", worst.0, worst.1);
    let parameters = double.parameters.iter().map(|&p| p as f32).collect();
    let buffers = double.buffers.iter().map(|&p| p as f32).collect();
    let mut single = Executor::<f32>::new(graph.clone(), parameters, buffers);
    problem.loss(&mut single);
    let difference: f64 =
        single.gradient.iter().zip(&gradient).map(|(&s, d)| (f64::from(s) - d).powi(2)).sum::<f64>().sqrt();
    assert!(difference < 1e-3 * length, "f32 differs from f64 by {} of the gradient", difference / length);
}

fn head(graph: &mut Graph, x: usize) {
    graph.linear(x, 3, Activation::Identity);
}

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

/// Events whose nodes have two numbers and the places of two daughters, as trees of any shape have them: 1, 3, 5, …
/// nodes, and none.
fn trees(events: usize) -> Features {
    let mut random = Philox::new(6, 0, 0);
    let (mut values, mut offsets) = (Vec::new(), vec![0]);
    for event in 0..events {
        let leaves = [3, 1, 6, 0, 2, 9][event % 6];
        let n = (2 * leaves as usize).saturating_sub(1);
        // A node that has none yet gets two daughters at the end, until there are enough.
        let mut links = vec![[-1.0f32; 2]; n.min(1)];
        while links.len() < n {
            let open: Vec<usize> = (0..links.len()).filter(|&i| links[i][0] < 0.0).collect();
            let (at, end) = (open[random.below(open.len())], links.len() as f32);
            links[at] = [end, end + 1.0];
            links.extend([[-1.0; 2]; 2]);
        }
        for [a, b] in links {
            values.extend([random.normal() as f32, random.normal() as f32, a, b]);
        }
        offsets.push(values.len() / 4);
    }
    Features { width: 4, values, offsets: Some(offsets), others: Vec::new() }
}

/// A recursive network on trees, with the linear layers that make what it sees of nodes.
fn tree(width: usize, activation: Activation) -> Graph {
    let mut g = Graph::new(Rows::Particle, 4);
    let x = g.columns(Graph::INPUT, 0, 2);
    let links = g.columns(Graph::INPUT, 2, 4);
    let u = [0, 1].map(|_| g.linear(x, width, activation));
    g.tree(u, links);
    g
}

#[test]
fn recursion_on_trees() {
    let mut g = tree(5, Activation::Tanh);
    let x = g.output();
    head(&mut g, x);
    check_on(&g, &Problem { features: trees(12), ..Problem::new(&g, 12) }, |_| true);
}

/// The layers at a place of the parameters.
type Layer<'a> = dyn Fn(usize, &[f64]) -> Vec<f64> + 'a;

/// What becomes of a node whose layers are of a kind, or of that of its like.
fn embed(rows: &[&[f32]], at: usize, kind: Option<usize>, layer: &Layer<'_>) -> Vec<f64> {
    let x: Vec<f64> = rows[at][..2].iter().map(|&x| x.into()).collect();
    let is_leaf = rows[at][2] < 0.0;
    let mut h = layer(if is_leaf { 2 } else { 0 }, &x);
    if !is_leaf {
        let parts = [0, 1].map(|i| {
            let kind = if at == 0 { Some(i) } else { None };
            embed(rows, rows[at][2 + i] as usize, kind, layer)
        });
        h = layer(4, &[&parts[0][..], &parts[1], &h].concat());
    }
    if at == 0 {
        return h;
    }
    let at = 6 + 4 * kind.unwrap_or(if is_leaf { 3 } else { 2 });
    layer(at + 2, &layer(at, &h))
}

/// The recursion written out, one node after the other.
#[test]
fn recursion_equals_its_definition() {
    let width = 4;
    let g = tree(width, Activation::Relu);
    let mut executor = executor(&g);
    let features = trees(18);
    let found = executor.logits(&features, &Alone);
    let layer = |at: usize, x: &[f64]| -> Vec<f64> {
        let [weight, bias] = [0, 1].map(|p| &executor.parameters[g.parameters[at + p].range()]);
        let of = |o: usize| bias[o] + x.iter().enumerate().map(|(i, x)| x * weight[i * width + o]).sum::<f64>();
        (0..width).map(|o| of(o).max(0.0)).collect()
    };
    let mut differ = 0;
    for event in 0..18 {
        let rows: Vec<&[f32]> = features.rows(event).map(|r| &features.values[4 * r..4 * r + 4]).collect();
        let expected = if rows.is_empty() { vec![0.0; width] } else { embed(&rows, 0, None, &layer) };
        for (f, e) in found[event * width..].iter().zip(&expected) {
            assert!((f - e).abs() < 1e-12 * (1.0 + e.abs()), "event {event}: {f}, expected {e}");
        }
        // The daughters of the first node do not stand for each other.
        let Some([.., a, b]) = rows.first().map(|row| [row[2], row[3]]).filter(|[a, _]| *a > 0.0) else { continue };
        let mut swapped: Vec<Vec<f32>> = rows.iter().map(|row| row.to_vec()).collect();
        (swapped[0][2], swapped[0][3]) = (b, a);
        let swapped: Vec<&[f32]> = swapped.iter().map(|row| &row[..]).collect();
        let other = embed(&swapped, 0, None, &layer);
        differ += usize::from(expected.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-6));
    }
    assert!(differ > 6, "{differ} of 12 trees know their harder branch");
}

/// Places that make no tree are no daughters.
#[test]
fn places_that_make_no_tree_are_left_out() {
    let g = tree(3, Activation::Relu);
    let mut executor = executor(&g);
    let mut scores = |links: [[f32; 2]; 3]| {
        let values = links.iter().flat_map(|&[a, b]| [0.3, -0.7, a, b]).collect();
        executor.logits(&Features { width: 4, values, offsets: Some(vec![0, 3]), others: Vec::new() }, &Alone)
    };
    let leaf = scores([[-1.0; 2]; 3]);
    for links in [[0.0, 0.0], [1.0, 3.0], [f32::NAN, 1.0], [1.0, -1.0], [f32::INFINITY; 2]] {
        assert_eq!(scores([links, [0.0, 1.0], [-1.0; 2]]), leaf, "{links:?}");
    }
}

/// Particles in cells, the first of each; some are outside, and some cells empty.
#[test]
fn particles_in_cells() {
    let mut g = Graph::new(Rows::Particle, 4);
    let place = g.columns(Graph::INPUT, 0, 2);
    let x = g.linear(Graph::INPUT, 3, Activation::Tanh);
    let (x, shape) = g.grid(place, x, 3, 0.7);
    let options = |out, kernel| Convolution {
        out,
        kernel,
        stride: 1,
        padding: 0,
        groups: 1,
        bias: true,
        activation: Activation::Tanh,
    };
    let (x, shape) = g.conv(x, shape, options(4, 1));
    let x = g.batch_norm(x, 4, Activation::Leaky);
    let (x, _) = g.conv(x, shape, options(3, 3));
    head(&mut g, x);
    check(&g, 13);

    let mut g = Graph::new(Rows::Particle, 3);
    let place = g.columns(Graph::INPUT, 0, 2);
    let (_, shape) = g.grid(place, Graph::INPUT, 2, 0.5);
    assert_eq!(shape, [2, 2, 3]);
    let rows = [[0.1, -0.2, 1.0], [0.2, -0.4, 2.0], [-0.5, 0.0, 3.0], [0.5, 0.1, 4.0], [-0.1, f32::NAN, 5.0]];
    let values = rows.iter().flatten().copied().collect();
    let features = Features { width: 3, values, offsets: Some(vec![0, 5, 5]), others: Vec::new() };
    let found = Executor::<f64>::fresh(g, 1).logits(&features, &Alone);
    let expected = [[0.0; 3], [0.1f32, -0.2, 1.0].map(f64::from), [-0.5, 0.0, 3.0], [0.0; 3]].concat();
    assert_eq!(found, [expected, vec![0.0; 12]].concat());
}

#[test]
fn convolutions() {
    let conv = |out, kernel, stride, padding, activation| Convolution {
        out,
        kernel,
        stride,
        padding,
        groups: 1,
        bias: stride == 1,
        activation,
    };
    let mut g = Graph::new(Rows::Event, 7 * 6 * 2);
    let (x, shape) = g.conv(Graph::INPUT, [7, 6, 2], conv(3, 4, 1, 1, Activation::Tanh));
    assert_eq!(shape, [6, 5, 3]);
    let (x, shape) = g.conv(x, shape, conv(4, 3, 1, 1, Activation::Relu));
    let (x, shape) = g.max_pool(x, shape, Window::default());
    assert_eq!(shape, [3, 2, 4]);
    head(&mut g, x);
    check(&g, 5);

    // Strides and groups, on images and sequences.
    let mut g = Graph::new(Rows::Event, 9 * 8);
    let (x, shape) = g.conv(Graph::INPUT, [9, 8, 1], conv(6, 3, 2, 1, Activation::Tanh));
    assert_eq!(shape, [5, 4, 6]);
    let (x, shape) = g.max_pool(x, shape, Window { size: 3, stride: 2, padding: 1 });
    assert_eq!(shape, [3, 2, 6]);
    let (x, shape) = g.conv(x, shape, Convolution { groups: 3, ..conv(9, 3, 1, 1, Activation::Tanh) });
    let (x, shape) = g.conv(x, shape, Convolution { groups: 3, ..conv(6, 3, 2, 1, Activation::Identity) });
    assert_eq!(shape, [2, 1, 6]);
    let (x, shape) = g.conv(x, shape, conv(4, 1, 2, 0, Activation::Relu));
    let (x, _) = g.conv(x, [1, 2, 2], Convolution { groups: 2, ..conv(4, 3, 1, 1, Activation::Tanh) });
    assert_eq!(shape, [1, 1, 4]);
    head(&mut g, x);
    check(&g, 5);

    let mut g = Graph::new(Rows::Event, 9 * 3);
    let (x, shape) = g.conv(Graph::INPUT, [1, 9, 3], conv(4, 3, 1, 1, Activation::Tanh));
    let (x, shape) = g.conv(x, shape, conv(5, 3, 2, 1, Activation::Identity));
    assert_eq!(shape, [1, 5, 5]);
    let n = g.batch_norm(x, 5, Activation::Relu);
    let (s, shape) = g.conv(n, shape, conv(4, 1, 2, 0, Activation::Identity));
    assert_eq!(shape, [1, 3, 4]);
    let m = g.mean_positions(s, 4);
    head(&mut g, m);
    check(&g, 6);
}

/// Taps, groups and strides written out, and the largest pixel of every window.
#[test]
fn convolutions_and_pools_equal_their_definition() {
    let [height, width, channels] = [7, 6, 4];
    for (kernel, stride, padding, groups, out) in [(3, 1, 1, 2, 6), (3, 2, 1, 4, 8), (5, 2, 2, 1, 3), (1, 2, 0, 1, 2)] {
        let mut g = Graph::new(Rows::Event, height * width * channels);
        let options =
            Convolution { out, kernel, stride, padding, groups, bias: true, activation: Activation::Identity };
        let (x, shape) = g.conv(Graph::INPUT, [height, width, channels], options);
        let window = Window { size: 3, stride: 2, padding: 1 };
        let (_, pooled) = g.max_pool(x, shape, window);
        let mut executor = executor(&g);
        let features = features(Rows::Event, height * width * channels, 2);
        let found = executor.logits(&features, &Alone);
        let [weight, bias] = [0, 1].map(|p| &executor.parameters[g.parameters[p].range()]);
        let (seen, made) = (channels / groups, out / groups);
        let pixel = |event: usize, y: isize, x: isize, c: usize| {
            if y < 0 || x < 0 || y >= height as isize || x >= width as isize {
                return 0.0;
            }
            let at = ((event * height + y as usize) * width + x as usize) * channels + c;
            f64::from(features.values[at])
        };
        let convolved = |event: usize, y: usize, x: usize, o: usize| {
            let mut sum = bias[o];
            for (tap, i) in (0..kernel * kernel).flat_map(|tap| (0..seen).map(move |i| (tap, i))) {
                let [y, x] = [(y, tap / kernel), (x, tap % kernel)]
                    .map(|(at, tap)| (at * stride + tap) as isize - padding as isize);
                sum += weight[(tap * seen + i) * out + o] * pixel(event, y, x, o / made * seen + i);
            }
            sum
        };
        for (n, &f) in found.iter().enumerate() {
            let (rest, o) = (n / out, n % out);
            let (rest, x) = (rest / pooled[1], rest % pooled[1]);
            let (event, y) = (rest / pooled[0], rest % pooled[0]);
            let side = |at: usize, n: usize| (2 * at).saturating_sub(1)..(2 * at + 2).min(n);
            let all = side(y, shape[0]).flat_map(|y| side(x, shape[1]).map(move |x| (y, x)));
            let expected = all.map(|(y, x)| convolved(event, y, x, o)).fold(f64::NEG_INFINITY, f64::max);
            assert!((f - expected).abs() < 1e-11, "{kernel}, {stride}, {groups}: {f}, expected {expected}");
        }
    }
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

/// The pairs of two collections written out, and the rows of an event side by side.
#[test]
fn interaction_between_collections_equals_its_definition() {
    let (channels, max) = ([4, 5, 2], 3);
    let mut g = Graph::new(Rows::Particle, 3);
    let vertices = g.input(Rows::Particle, 2);
    let y = g.interaction_with(Graph::INPUT, vertices, channels, Activation::Elu);
    g.flatten(y, max);
    let mut executor = executor(&g);
    let problem = Problem::new(&g, 9);
    let found = executor.logits(&problem.features, &Alone);
    for event in 0..9 {
        let rows = |c: usize| -> Vec<Vec<f64>> {
            let of = problem.features.collection(c);
            let row = |r: usize| of.values[r * of.width..][..of.width].iter().map(|&x| x.into()).collect();
            of.rows(event).map(row).collect()
        };
        let mut expected = Vec::new();
        for x in rows(0).iter().take(max) {
            let mut sum = [0.0; 2];
            for y in rows(1) {
                let mut z = [&x[..], &y].concat();
                for (l, &out) in channels.iter().enumerate() {
                    let [weight, bias] = [0, 1].map(|p| &executor.parameters[g.parameters[2 * l + p].range()]);
                    let of =
                        |o: usize| bias[o] + z.iter().enumerate().map(|(n, z)| z * weight[n * out + o]).sum::<f64>();
                    z = (0..out).map(of).map(|z| if z > 0.0 { z } else { z.exp_m1() }).collect();
                }
                sum.iter_mut().zip(z).for_each(|(s, z)| *s += z);
            }
            expected.extend(sum);
        }
        expected.resize(2 * max, 0.0);
        for (f, e) in found[event * 2 * max..].iter().zip(&expected) {
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
