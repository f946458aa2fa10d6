//! What exported files look like, without a runtime to read them.

#![allow(clippy::unwrap_used, reason = "a test falls over where it fails")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use fb_core::{Artifact, Frame, Input, Layout, Variable};
use fb_deploy::onnx::proto::{Dimension, Graph, Model, ValueInfo};
use fb_deploy::{Error, Inputs, Runtime, onnx};
use prost::Message;
use serde_json::json;

use common::{artifact, jets, networks};

/// The operators of opset 17 that exported networks are made of.
const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "Atan",
    "Cast",
    "Ceil",
    "Concat",
    "Conv",
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Floor",
    "Gather",
    "GatherElements",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "IsNaN",
    "LSTM",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Loop",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pad",
    "Pow",
    "Range",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Reshape",
    "ScatterElements",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
];

fn model(artifact: &Artifact) -> Model {
    Model::decode(&onnx(artifact).unwrap()[..]).unwrap()
}

/// Name and shape of an input or output; names for what is free.
fn name_and_shape(value: &ValueInfo) -> (String, Vec<String>) {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, Some(1), "32-bit floats");
    let dimensions = tensor.shape.as_ref().unwrap().dim.iter();
    let size = |d: &Dimension| d.dim_param.clone().unwrap_or_else(|| d.dim_value.unwrap().to_string());
    (value.name.clone().unwrap(), dimensions.map(size).collect())
}

#[test]
fn every_method_is_a_whole_graph() {
    for method in networks() {
        let name = method.card().name;
        let artifact = artifact(method, &json!({}));
        let model = model(&artifact);
        assert_eq!((model.ir_version, model.opset_import[0].version), (Some(8), Some(17)));
        assert_eq!(model.producer_name.as_deref(), Some("femtobarn"));
        let entry = |key: &str| {
            let entry = model.metadata_props.iter().find(|e| e.key.as_deref() == Some(key));
            entry.and_then(|e| e.value.clone()).unwrap()
        };
        assert_eq!((entry("method"), entry("digest")), (name.to_owned(), artifact.digest()));
        let input: Input = serde_json::from_str(&entry("input")).unwrap();
        let graph = model.graph.as_ref().unwrap();
        let inputs: Vec<_> = graph.input.iter().map(name_and_shape).collect();
        if matches!(input, Input::Table { .. }) {
            let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["jet_m", "jet_msd", "jet_tau1", "jet_tau2", "jet_tau3"]);
            assert!(inputs.iter().all(|(_, shape)| shape == &["events"]));
        } else if matches!(input, Input::Lists { .. }) {
            for (name, shape) in &inputs {
                let entries = name.split('_').next().map(|list| format!("{list} entries"));
                let of_list = shape.len() == 2 && entries.as_ref() == shape.last();
                assert!(shape[0] == "events" && (shape.len() == 1 || of_list), "{name}: {shape:?}");
            }
            assert!(inputs.iter().any(|(_, shape)| shape.len() == 2));
        } else {
            let named = |name: &str, shape: &[&str]| {
                (name.to_owned(), shape.iter().map(|&size| size.to_owned()).collect::<Vec<_>>())
            };
            let expected = match input {
                Input::Lund { .. } => {
                    vec![named("part_lund", &["events", "declusterings", "8"]), named("part_lund_n", &["events"])]
                }
                Input::History { .. } => {
                    vec![named("part_history", &["events", "nodes", "9"]), named("part_history_n", &["events"])]
                }
                _ => vec![named("part", &["events", "particles", "4"])],
            };
            assert_eq!(inputs, expected);
        }
        let output = ("probabilities".to_owned(), vec!["events".to_owned(), "2".to_owned()]);
        assert_eq!(graph.output.iter().map(name_and_shape).collect::<Vec<_>>(), [output]);

        // Everything that is taken was given before, and everything that is given is taken.
        let mut known: BTreeSet<String> = inputs.into_iter().map(|(name, _)| name).collect();
        known.extend(graph.initializer.iter().map(|t| t.name.clone().unwrap()));
        let constants: BTreeSet<String> = graph.initializer.iter().map(|t| t.name.clone().unwrap()).collect();
        assert_eq!(constants.len(), graph.initializer.len());
        let mut taken = BTreeSet::new();
        walk(name, graph, &mut known, &mut taken);
        assert!(constants.is_subset(&taken) && known.contains("probabilities"));
        for tensor in &graph.initializer {
            let count: i64 = tensor.dims.iter().product();
            let bytes = if tensor.data_type == Some(1) { 4 } else { 8 };
            assert_eq!(tensor.raw_data.as_ref().unwrap().len(), count as usize * bytes);
        }
    }
}

/// Looks at every operation; those of an inner computation see what is known outside.
fn walk(name: &str, graph: &Graph, known: &mut BTreeSet<String>, taken: &mut BTreeSet<String>) {
    for node in &graph.node {
        let op = node.op_type.as_deref().unwrap();
        assert!(OPERATORS.contains(&op), "{name}: {op} is not listed");
        for input in &node.input {
            assert!(known.contains(input), "{name}: {input}");
            taken.insert(input.clone());
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            known.extend(inner.input.iter().map(|input| input.name.clone().unwrap()));
            walk(name, inner, known, taken);
            assert!(inner.output.iter().all(|output| known.contains(output.name.as_ref().unwrap())));
        }
        for output in &node.output {
            assert!(known.insert(output.clone()), "{name}: {output} twice");
        }
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let artifact = artifact(fb_methods::method("particlenet_lite").unwrap(), &json!({}));
    assert_eq!(onnx(&artifact).unwrap(), onnx(&artifact).unwrap());
}

fn changed(variable: &str) -> Artifact {
    let mut artifact = artifact(fb_methods::method("logistic").unwrap(), &json!({}));
    artifact.header["input"]["variables"][0]["expression"] = variable.into();
    artifact
}

#[test]
fn what_cannot_be_said_is_an_error() {
    let message = |artifact: &Artifact| onnx(artifact).unwrap_err().to_string();
    let reason = message(&changed("sum(part_pt)"));
    assert_eq!(
        reason,
        "cannot export: `sum(part_pt)`: it reduces over a list, which the exported network does not see"
    );
    assert!(message(&changed("pt +")).contains("cannot read the expression"));
    let mut broken = changed("jet_m");
    broken.tensors.pop();
    assert!(matches!(onnx(&broken), Err(Error::Model(_))));
    let mut other = changed("jet_m");
    other.header["input"] = json!({ "kind": "image", "collection": "part", "max": 1, "frame": "jet", "pixels": 3000000000000u64, "half_width": 1.0 });
    assert!(message(&other).contains("does not fit what it is said to see"));
    let mut unfitted = changed("jet_m");
    unfitted.header["input"]["variables"][0]["center"] = json!(null);
    assert!(message(&unfitted).contains("have not been fitted"));
}

#[test]
fn inputs_are_padded() {
    let input = Input::Particles {
        collection: "part".to_owned(),
        max: 2,
        layout: Layout::Cloud,
        frame: Frame::Jet,
        variables: vec![Variable::plain("charge * jet_tau1")],
    };
    let events = jets(&[1, 0, 3], 1);
    let inputs = Inputs::new(&input, &events).unwrap();
    let shapes: Vec<_> = inputs.tensors().iter().map(|t| (t.name.as_str(), t.shape.clone())).collect();
    assert_eq!(shapes, [("part", vec![3, 3, 4]), ("part_charge", vec![3, 3]), ("jet_tau1", vec![3])]);
    let values = &inputs.tensors()[0].values;
    assert!(values[..4].iter().all(|&x| x != 0.0) && values[4..24].iter().all(|&x| x == 0.0));
    let empty = Inputs::new(&input, &events.take(&[1])).unwrap();
    assert_eq!(empty.tensors()[0].shape, [1, 1, 4], "there is a row even where no event has a particle");
    let message = |input: &Input| Inputs::new(input, &events).unwrap_err().to_string();
    let table = |variable: &str| Input::Table { variables: vec![Variable::plain(variable)] };
    assert_eq!(message(&table("jet_mm")), "no column `jet_mm`; did you mean `jet_m`?");
    assert!(message(&table("part_px")).contains("found a list, expected one number per event"));
}

#[test]
fn a_missing_library_is_an_error_with_a_hint() {
    let model = onnx(&changed("jet_m")).unwrap();
    let message = |library: Option<&Path>| match Runtime::open(library, &model) {
        Ok(_) => "no error".to_owned(),
        Err(e) => e.to_string(),
    };
    assert!(message(None).starts_with("onnxruntime: no library given; install it with `pip install onnxruntime`"));
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("libonnxruntime.so");
    assert!(message(Some(&absent)).contains("pip install onnxruntime"));
    assert!(message(Some(folder.path())).contains("it is not a file"));
    std::fs::write(&absent, b"this is no library").unwrap();
    assert!(message(Some(&absent)).contains("pip install onnxruntime"));
    // A library, but another one.
    let other = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6"].map(Path::new);
    if let Some(other) = other.into_iter().find(|path| path.is_file()) {
        assert!(message(Some(other)).contains("does not export"));
    }
}
