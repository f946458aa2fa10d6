//! ONNX (opset 17, IR version 8): the network with all of its preprocessing, from raw columns to probabilities.
//!
//! A model that sees particles takes the tensor of its collection [event, particle, 4] of 32-bit (px, py, pz, E) in GeV,
//! in any order and padded by rows of zeros; a row is a particle where pT > 0 and E > 0. Further columns of the
//! collection that it sees are `{collection}_{name}` [event, particle], those of events `{name}` `[event]`. It gives
//! `probabilities` [event, class].
//!
//! A model that puts particles into groups gives `pairs` [event, particle, particle] instead: the probability that the two
//! belong together, the same in both orders, and zero for padding and for a particle with itself. A group holds all
//! particles that chains of pairs above one half lead to; what is not among the first entries that the model keeps is alone.
//!
//! A model that predicts numbers gives them as `probabilities` [event, target], and `errors` where it says their standard
//! deviations.
//!
//! A model that sees lists takes a tensor [event, entry] for each of their columns, padded by NaN.
//!
//! A forest becomes a `TreeEnsembleRegressor` (ai.onnx.ml, version 3). It takes `{name}` `[event]`, NaN where a value is
//! missing, and gives `probabilities` too: [event, class], or [event, output] where the scores are no probabilities.
//!
//! The preprocessing is computed in double precision, as in fb-physics, and rounded once.

mod builder;
mod expressions;
mod forest;
mod functions;
mod lists;
mod lorentz;
mod network;
mod pairs;
mod preparation;
pub mod proto;
mod tree;

use fb_core::{Artifact, Input, Layout};
use fb_nn::{Graph, Model, Rows};
use fb_trees::Forest;
use prost::Message;

use crate::Error;
use builder::{Builder, Size};

/// Version of the format.
pub const IR_VERSION: i64 = 8;
/// Version of the operators.
pub const OPSET: i64 = 17;
/// Version of the operators of classical machine learning, for forests.
pub const OPSET_ML: i64 = 3;
/// The family of these.
const ML: &str = "ai.onnx.ml";

/// A stored network or forest as the bytes of an ONNX file.
///
/// # Errors
/// [`Error::Unsupported`] where the format cannot say what the model sees, [`Error::Model`] for an artifact that is not
/// well formed.
pub fn onnx(artifact: &Artifact) -> Result<Vec<u8>, Error> {
    let method = artifact.method()?;
    if artifact.header["parts"].is_object() {
        return Err(Error::Unsupported { reason: format!("`{method}` is made of several models") });
    }
    let is_network = artifact.header["graph"].is_object();
    if !is_network && !artifact.header["forest"].is_object() {
        return Err(Error::Unsupported { reason: format!("`{method}` is neither a network nor a forest") });
    }
    let mut builder = Builder::default();
    let mut operators = vec![(String::new(), OPSET)];
    if artifact.header["forest"].is_object() {
        let forest = Forest::from_artifact(artifact)?;
        let seen = preparation::prepare(&mut builder, &forest::input(artifact, &forest)?)?;
        let scores = forest::scores(&mut builder, &forest, &seen[0].value)?;
        let shape = [Size::Free("events"), Size::Fixed(forest.link.classes(forest.outputs()))];
        builder.output("probabilities", &scores, &shape, forest::meaning(forest.link));
        operators.push((ML.to_owned(), OPSET_ML));
    } else {
        let (input, graph) = parts(artifact)?;
        let seen = preparation::prepare(&mut builder, &input)?;
        let width = graph.nodes[graph.output()].width;
        let (logits, there) = network::network(&mut builder, artifact, &graph, &seen)?;
        if let Some(there) = there {
            in_order_of_file(&input)?;
            let pairs = network::pairs(&mut builder, &logits, &there);
            let shape = [Size::Free("events"), Size::Free("particles"), Size::Free("particles")];
            builder.output("pairs", &pairs, &shape, PAIRS);
        } else if let Some(targets) = graph.numbers {
            let shape = [Size::Free("events"), Size::Fixed(targets)];
            let (predictions, errors) = network::predictions(&mut builder, &logits, [targets, width]);
            builder.output("probabilities", &predictions, &shape, "one prediction per target");
            if let Some(errors) = errors {
                builder.output("errors", &errors, &shape, "standard deviation of each prediction");
            }
        } else {
            let probabilities = network::probabilities(&mut builder, &logits, width);
            let shape = [Size::Free("events"), Size::Fixed(graph.classes())];
            builder.output("probabilities", &probabilities, &shape, "one per class, their sum one");
        }
    }
    let version = |(domain, version)| proto::OperatorSet { domain: Some(domain), version: Some(version) };
    let entry = |(key, value): (&str, String)| proto::Entry { key: Some(key.to_owned()), value: Some(value) };
    let metadata =
        [("method", method.to_owned()), ("digest", artifact.digest()), ("input", artifact.header["input"].to_string())];
    let model = proto::Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("femtobarn".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(builder.finish(method)),
        opset_import: operators.into_iter().map(version).collect(),
        metadata_props: metadata.into_iter().map(entry).collect(),
    };
    Ok(model.encode_to_vec())
}

/// What is said of the output for pairs.
const PAIRS: &str = "probability that two particles belong together; zero for padding and on the diagonal; groups are connected \
                     by pairs above 1/2";

/// Refuses a list whose entries a network sees in another order than its user, who could not tell which pair is meant.
fn in_order_of_file(input: &Input) -> Result<(), Error> {
    let Input::Lists { lists, .. } = input else { return Ok(()) };
    match lists.iter().find(|list| list.select.is_some() || list.order.is_some() || list.reversed) {
        None => Ok(()),
        Some(list) => Err(Error::Unsupported {
            reason: format!(
                "pairs of list `{}`, which has a selection or an order; expected none of the two",
                list.name
            ),
        }),
    }
}

/// What a stored network sees, and the network, its tensors checked against it.
fn parts(artifact: &Artifact) -> Result<(Input, Graph), Error> {
    let unreadable = |key: &str, e: &serde_json::Error| {
        Error::Model(fb_core::Error::Artifact { reason: format!("`{key}` in the header: {e}") })
    };
    let read = |key: &str| artifact.header[key].clone();
    let input = serde_json::from_value(read("input")).map_err(|e| unreadable("input", &e))?;
    let graph = serde_json::from_value(read("graph")).map_err(|e| unreadable("graph", &e))?;
    let graph = Model::from_tensors(graph, artifact)?.graph;
    if shapes(&input).as_ref() != Some(&graph.inputs()) {
        let reason = "the network does not fit what it is said to see".to_owned();
        return Err(Error::Model(fb_core::Error::Artifact { reason }));
    }
    Ok((input, graph))
}

/// Rows and their width of all collections that a network sees, where they are numbers.
fn shapes(input: &Input) -> Option<Vec<(Rows, usize)>> {
    Some(vec![match input {
        Input::Table { variables } => (Rows::Event, variables.len()),
        Input::Columns { variables, .. } => (Rows::Event, variables.len()),
        Input::Particles { layout: Layout::Cloud, variables, .. } => (Rows::Particle, variables.len()),
        Input::Particles { layout: Layout::Sequence, variables, max, .. } => {
            (Rows::Event, max.checked_mul(variables.len())?)
        }
        Input::Observables { center, .. } => (Rows::Event, center.len()),
        Input::Lund { variables, .. } => (Rows::Particle, variables.len() + Input::LUND_LINKS),
        Input::History { variables, .. } => (Rows::Particle, variables.len() + Input::HISTORY_LINKS),
        Input::Image { pixels, .. } => (Rows::Event, pixels.checked_mul(*pixels)?),
        Input::Lists { event, lists } => return Some(fb_nn::graph::of_lists(event.len(), lists)),
    }])
}
