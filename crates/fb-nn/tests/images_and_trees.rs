//! Images, cells of particles, trees and messages between collections: gradients against finite differences, and values
//! against their definitions.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

mod common;

use common::{Problem, check, check_on, executor, features, head};
use fb_core::run::Alone;
use fb_core::{Features, Philox};
use fb_nn::graph::{Convolution, Graph, Window};
use fb_nn::{Activation, Executor, Rows};

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
