//! Exported networks give the scores of our own engine under onnxruntime.
//!
//! They run where ORT_DYLIB_PATH names the library, and are skipped elsewhere.

#![allow(clippy::unwrap_used, reason = "a test falls over where it fails")]

mod common;

use std::path::{Path, PathBuf};

use fb_core::{Artifact, Column, Data, Events, Fitted, Frame, Input, Layout, List, Tensor, Variable};
use fb_deploy::{Inputs, Runtime, onnx};
use fb_methods::neural::FittedNetwork;
use fb_methods::neural::Network as _;
use fb_nn::graph::{Convolution, Window};
use fb_nn::{Activation, Edges, Graph, Model, Rows};
use serde_json::json;

use common::{artifact, jets, networks, uneven};

const TOLERANCE: f32 = 1e-5;

fn library() -> Option<PathBuf> {
    let library = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    if library.is_none() {
        eprintln!("skipped: ORT_DYLIB_PATH does not name an onnxruntime library");
    }
    library
}

/// None, few, many and more particles than any network keeps.
const MULTIPLICITIES: [usize; 22] = [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 30, 31, 40, 60, 99, 101, 130, 210, 0, 1, 2, 25];

/// Largest difference between the scores of both, over all events.
fn difference(library: &Path, artifact: &Artifact, events: &Events) -> f32 {
    let expected = FittedNetwork::load(artifact).unwrap().scores(events, &fb_core::run::Alone).unwrap();
    let input: Input = serde_json::from_value(artifact.header["input"].clone()).unwrap();
    let mut runtime = Runtime::open(Some(library), &onnx(artifact).unwrap()).unwrap();
    let inputs = match &input {
        Input::Lund { .. } | Input::History { .. } => {
            Inputs::prepared(&input, &fb_physics::features::prepare(&input, events).unwrap())
        }
        _ => Inputs::new(&input, events),
    };
    let found = runtime.probabilities(&inputs.unwrap()).unwrap();
    assert_eq!(found.len(), expected.values.len());
    assert!(found.iter().all(|p| p.is_finite()));
    let spread = expected.values.iter().fold(0.0, |spread, p| f32::max(spread, (p - expected.values[0]).abs()));
    assert!(events.len() < 20 || spread > 1e-3, "the scores hardly differ: {spread}");
    found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_method_agrees() {
    let Some(library) = library() else { return };
    for method in networks() {
        let artifact = artifact(method, &json!({}));
        for multiplicities in [&MULTIPLICITIES[..], &[3, 0, 1, 2], &[1], &[0, 0]] {
            let difference = difference(&library, &artifact, &jets(multiplicities, 3));
            eprintln!("{} on {} jets: {difference:e}", method.card().name, multiplicities.len());
            assert!(difference <= TOLERANCE, "{}: {difference:e}", method.card().name);
        }
    }
}

/// A network of random numbers that sees `input`.
fn network(input: &Input, build: impl FnOnce(&mut Graph)) -> Artifact {
    let first = match input {
        Input::Table { variables } => (Rows::Event, variables.len()),
        Input::Columns { variables, .. } => (Rows::Event, variables.len()),
        Input::Particles { layout: Layout::Cloud, variables, .. } => (Rows::Particle, variables.len()),
        Input::Particles { max, variables, .. } => (Rows::Event, max * variables.len()),
        Input::Observables { center, .. } => (Rows::Event, center.len()),
        Input::Lund { variables, .. } => (Rows::Particle, variables.len() + Input::LUND_LINKS),
        Input::History { variables, .. } => (Rows::Particle, variables.len() + Input::HISTORY_LINKS),
        Input::Image { pixels, .. } => (Rows::Event, pixels * pixels),
        Input::Lists { event, lists } => fb_nn::graph::of_lists(event.len(), lists)[0],
    };
    let mut graph = Graph::new(first.0, first.1);
    if let Input::Lists { event, lists } = input {
        for &(rows, width) in &fb_nn::graph::of_lists(event.len(), lists)[1..] {
            graph.input(rows, width);
        }
    }
    build(&mut graph);
    graph.check().unwrap();
    let (parameters, buffers) = graph.initial(5);
    let blocks = graph.parameters.iter().map(|p| (p, &parameters)).chain(graph.buffers.iter().map(|p| (p, &buffers)));
    let tensors = blocks.map(|(p, all)| {
        let values = all[p.range()].iter().map(|&x| x as f32).collect();
        Tensor { name: p.name.clone(), shape: p.shape.clone(), values }
    });
    let tensors = tensors.collect();
    let header = json!({ "method": "test", "config": {}, "input": input, "graph": graph });
    let mut artifact = Artifact { header, tensors, doubles: Vec::new() };
    uneven(&mut artifact);
    artifact
}

fn particles(layout: Layout, frame: Frame, variables: &[&str]) -> Input {
    let variables = variables.iter().map(|v| Variable::affine(*v, 0.1, 0.5).clipped(-3.0, 3.0)).collect();
    Input::Particles { collection: "part".to_owned(), max: 12, layout, frame, variables }
}

/// One hidden layer on a sequence or an image.
fn dense(graph: &mut Graph) {
    let x = graph.linear(Graph::INPUT, 8, Activation::Tanh);
    graph.linear(x, 3, Activation::Identity);
}

#[test]
fn every_frame_and_layout_agrees() {
    let Some(library) = library() else { return };
    let events = jets(&MULTIPLICITIES, 4);
    for frame in [Frame::Jet, Frame::Leading, Frame::Principal] {
        let image = Input::Image { collection: "part".to_owned(), max: 50, frame, pixels: 10, half_width: 0.7 };
        let variables = ["u", "v", "deta(jet)", "dphi(jet)", "log(pt)"];
        for input in [image, particles(Layout::Sequence, frame, &variables)] {
            assert!(difference(&library, &network(&input, dense), &events) <= TOLERANCE, "{input:?}");
        }
        let cloud = particles(Layout::Cloud, frame, &variables);
        let artifact = network(&cloud, |graph| {
            let x = graph.linear(Graph::INPUT, 8, Activation::Tanh);
            let x = graph.sum(x);
            graph.linear(x, 3, Activation::Identity);
        });
        assert!(difference(&library, &artifact, &events) <= TOLERANCE, "{frame:?}");
    }
}

#[test]
fn every_quantity_and_function_agrees() {
    let Some(library) = library() else { return };
    let events = jets(&MULTIPLICITIES, 5);
    let quantities = [
        "px",
        "py",
        "pz",
        "E",
        "pt",
        "eta",
        "phi",
        "dr(jet)",
        "jet_px",
        "jet_py",
        "jet_pz",
        "jet_E",
        "jet_pt",
        "jet_eta",
        "jet_phi",
        "jet_m",
        "n",
        "charge",
        "jet_tau1",
        "charge * pt / sum(pt)",
    ];
    let functions = [
        "abs(u)",
        "sqrt(pt)",
        "cbrt(u)",
        "exp(u)",
        "expm1(u / 1e6) * 1e6",
        "expm1(3 * u)",
        "log(pt)",
        "log10(pt)",
        "log1p(pt / 1e6) * 1e6",
        "log1p(pt)",
        "sin(eta)",
        "cos(eta)",
        "tan(u)",
        "asin(u / 3)",
        "acos(v / 3)",
        "atan(pz)",
        "sinh(u)",
        "cosh(u)",
        "tanh(u)",
        "asinh(pz)",
        "acosh(1 + pt)",
        "atanh(u / 4)",
        "floor(eta)",
        "ceil(eta)",
        "min(u, v)",
        "max(u, v)",
        "hypot(px, py)",
        "atan2(px, -pz)",
        "-pt^2 + pt^0.5",
        "1.5",
    ];
    let logic = [
        "pt > 10 && eta < 0",
        "pt <= 10 || eta >= 0",
        "!(pt > 10)",
        "charge == 1",
        "charge != 1",
        "if(pt > 10, u, v)",
        "sum(pt) / 100",
        "mean(eta)",
        "min(u)",
        "max(u)",
        "any(pt > 90)",
        "all(pt > 2)",
        "count(pt > 10)",
        "pt / pt[0]",
        "if(n > 1, pt[1], 0)",
    ];
    for variables in [&quantities[..], &functions, &logic] {
        let input = particles(Layout::Sequence, Frame::Jet, variables);
        assert!(difference(&library, &network(&input, dense), &events) <= TOLERANCE, "{variables:?}");
        // Alone as well, where its error cannot hide behind the others.
        for variable in variables {
            let input = particles(Layout::Sequence, Frame::Jet, &[variable]);
            assert!(difference(&library, &network(&input, dense), &events) <= TOLERANCE, "{variable}");
        }
    }
    let variables = ["log(jet_m)", "jet_tau2 / jet_tau1", "jet_msd > 0.5", "2"].map(Variable::plain).to_vec();
    let table = network(&Input::Table { variables }, dense);
    assert!(difference(&library, &table, &events) <= TOLERANCE);
}

/// Lists of every layout, with and without a condition, an order and numbers of the event, and expressions over two of them.
#[test]
fn lists_agree() {
    let Some(library) = library() else { return };
    let events = jets(&MULTIPLICITIES, 8);
    let variables = |all: &[&str]| all.iter().map(|v| Variable::affine(*v, 0.2, 0.4).clipped(-3.0, 3.0)).collect();
    let list = |name: &str, layout, reversed, all: &[&str]| List {
        name: name.to_owned(),
        select: (name != "neu").then(|| format!("{name}_{} > 0.4", if name == "trk" { "pt" } else { "mass" })),
        order: (name == "trk").then(|| "trk_sd0_sig * jet_pt".to_owned()),
        max: if name == "trk" { 12 } else { 3 },
        layout,
        reversed,
        variables: variables(all),
    };
    let vertex = list("sv", Layout::Sequence, false, &["sv_mass", "sv_flight / jet_pt"]);
    let flying = List { layout: Layout::Cloud, ..vertex.clone() };
    let tracks = list("trk", Layout::Cloud, true, &["log(trk_pt)", "trk_dr / sum(trk_pt)", "jet_pt", "2"]);
    let leading = list("trk", Layout::Sequence, true, &["trk_pt * jet_pt"]);
    let neutrals = list("neu", Layout::Cloud, false, &["neu_pt", "neu_dr", "neu_is_photon"]);
    let event = variables(&["sum(trk_pt) / (1 + count(neu_pt > 0.5))", "jet_pt", "sum(sv_mass)", "3"]);
    let inputs = [
        (event, vec![tracks.clone(), vertex.clone(), neutrals.clone()]),
        (vec![], vec![leading, tracks.clone(), vertex]),
        (vec![], vec![neutrals, flying, tracks]),
    ];
    for (event, lists) in inputs {
        let artifact = network(&Input::Lists { event, lists }, |graph| {
            let inputs = graph.inputs();
            let mut sum = None;
            for (node, (rows, width)) in inputs.into_iter().enumerate() {
                let x = graph.linear(node, 6, Activation::Tanh);
                let x = match rows {
                    Rows::Event => x,
                    _ if width == 4 => graph.lstm(x, 6),
                    // Messages from the particles of another list, where there is one before.
                    _ => {
                        let from = if node > 0 && graph.nodes[node - 1].rows == Rows::Particle { node - 1 } else { x };
                        let x = graph.interaction_with(x, from, [5, 4, 6], Activation::Selu);
                        graph.mean(x)
                    }
                };
                sum = Some(sum.map_or(x, |sum| graph.add(sum, x, Activation::Identity)));
            }
            graph.linear(sum.unwrap(), 3, Activation::Identity);
        });
        let difference = difference(&library, &artifact, &events);
        assert!(difference <= TOLERANCE, "{difference:e}");
    }
}

/// Operations in places where no method of the catalogue has them.
#[test]
fn every_operation_agrees() {
    let Some(library) = library() else { return };
    let events = jets(&MULTIPLICITIES, 6);
    let conv =
        Convolution { out: 5, kernel: 3, stride: 1, padding: 1, groups: 1, bias: false, activation: Activation::Selu };
    let cloud = particles(Layout::Cloud, Frame::Jet, &["u", "v", "log(pt)", "eta", "phi", "dr(jet)"]);
    let artifact = network(&cloud, |graph| {
        let x = graph.linear(Graph::INPUT, 12, Activation::Selu);
        let norm = graph.batch_norm(x, 4, Activation::Sigmoid);
        let (line, shape) = graph.conv(norm, [1, 4, 3], Convolution { stride: 2, ..conv });
        let line = graph.mean_positions(line, shape[2]);
        let (image, shape) = graph.conv(x, [3, 4, 1], Convolution { bias: true, kernel: 2, ..conv });
        let (image, _) = graph.max_pool(image, shape, Window::default());
        let image = graph.linear(image, 5, Activation::Tanh);
        let wide = Window { size: 3, stride: 2, padding: 1 };
        let (groups, shape) = graph.conv(x, [3, 2, 2], Convolution { groups: 2, out: 6, stride: 2, ..conv });
        let (groups, _) = graph.max_pool(groups, shape, wide);
        let groups = graph.linear(groups, 5, Activation::Elu);
        let image = graph.add(image, groups, Activation::Identity);
        let both = graph.add(line, image, Activation::Tanh);
        let place = graph.columns(Graph::INPUT, 0, 2);
        let near = graph.edge_conv(place, both, 3, [6, 7, 8]);
        let near = graph.edge_conv(near, near, 40, [6, 7, 8]);
        let far = graph.interaction(both, [4, 5, 8]);
        let all = graph.add(near, far, Activation::Tanh);
        let all = graph.dropout(all, 0.5);
        let one = graph.linear(all, 1, Activation::Sigmoid);
        let flat = graph.flatten(all, 7);
        let flat = graph.linear(flat, 8, Activation::Tanh);
        let pooled = [graph.sum(all), graph.mean(all), graph.weighted_sum(all, one), graph.lstm(all, 8), flat];
        let x = pooled.into_iter().reduce(|a, b| graph.add(a, b, Activation::Identity)).unwrap();
        graph.linear(x, 4, Activation::Identity);
    });
    let difference = difference(&library, &artifact, &events);
    assert!(difference <= TOLERANCE, "{difference:e}");
}

#[test]
fn jets_given_by_pt_eta_phi_agree() {
    let Some(library) = library() else { return };
    let momenta = jets(&MULTIPLICITIES, 7);
    let column = |name: &str, of: &dyn Fn(f64, f64, f64) -> f64| {
        let columns = ["part_px", "part_py", "part_pz"].map(|name| momenta.column(name).unwrap());
        let values = (0..columns[0].data.len()).map(|i| {
            let [x, y, z] = columns.map(|column| column.data.number(i));
            of(x, y, z) as f32
        });
        Column::jagged(name, Data::F32(values.collect()), columns[0].offsets.clone().unwrap())
    };
    let events = Events::new(vec![
        column("part_pt", &|x, y, _| x.hypot(y)),
        column("part_eta", &|x, y, z| if x == 0.0 { 0.0 } else { (z / x.hypot(y)).asinh() }),
        column("part_phi", &|x, y, _| y.atan2(x)),
        column("part_mass", &|_, _, _| 0.14),
    ])
    .unwrap();
    let artifact = artifact(fb_methods::method("pfn").unwrap(), &json!({}));
    assert!(difference(&library, &artifact, &events) <= TOLERANCE);
}

/// Of a network that groups the entries of a list: the pairs of jets of none, one and more entries than are kept, next to
/// those of our own engine.
#[test]
fn pairs_agree() {
    let variables = ["part_px / 10", "part_py / 10", "part_E / jet_m"].map(|v| Variable::affine(v, 0.1, 0.5)).to_vec();
    let list = List {
        name: "part".to_owned(),
        select: None,
        order: None,
        max: 12,
        layout: Layout::Cloud,
        reversed: false,
        variables,
    };
    let options = fb_methods::taggers::set2graph::Config { layers: vec![9, 5], hidden: 7, ..Default::default() };
    let build = |graph: &mut Graph| {
        fb_methods::taggers::set2graph::Set2Graph::build(&options, 1, graph).unwrap();
    };
    let input = Input::Lists { event: vec![], lists: vec![list.clone()] };
    let artifact = network(&input, build);
    let ordered = Input::Lists { event: vec![], lists: vec![List { order: Some("part_E".to_owned()), ..list }] };
    let refused = onnx(&network(&ordered, build)).unwrap_err().to_string();
    assert!(refused.contains("list `part`") && refused.contains("order"), "{refused}");
    let Some(library) = library() else { return };
    let events = jets(&[0, 1, 2, 5, 12, 30], 3);
    let features = fb_physics::features::prepare(&input, &events).unwrap();
    let graph: Graph = serde_json::from_value(artifact.header["graph"].clone()).unwrap();
    let logits = Model::from_tensors(graph, &artifact).unwrap().outputs(&features, &fb_core::run::Alone);
    let mut runtime = Runtime::open(Some(&library), &onnx(&artifact).unwrap()).unwrap();
    let found = runtime.probabilities(&Inputs::new(&input, &events).unwrap()).unwrap();
    assert_eq!(found.len(), 6 * 12 * 12);
    let (mut first, mut seen) = (0, 0);
    for event in 0..6 {
        let n = features.rows(event).len();
        for i in 0..12 {
            for j in 0..12 {
                let found = found[(event * 12 + i) * 12 + j];
                let there = i < n && j < n && i != j;
                let logit = || logits[first + Edges::place(i.max(j), i.min(j))];
                let expected = if there { 1.0 / (1.0 + (-logit()).exp()) } else { 0.0 };
                assert!((found - expected).abs() <= TOLERANCE, "event {event}, ({i}, {j}): {found} {expected}");
                seen += usize::from(there);
            }
        }
        first += Edges::Unordered.count(n);
    }
    assert!(first == logits.len() && seen > 2 * 132, "{first} {seen}");
}
