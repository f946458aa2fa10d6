//! A forest as one operation, and its link.

use fb_core::{Artifact, Input};
use fb_trees::{Forest, Link, Node, Test};

use super::ML;
use super::builder::{Builder, Setting, Value};
use crate::Error;
use crate::trees::single_cut;

/// What the forest of an artifact sees.
pub(super) fn input(artifact: &Artifact, forest: &Forest) -> Result<Input, Error> {
    let broken = |reason: String| Error::Model(fb_core::Error::Artifact { reason });
    let input: Input = serde_json::from_value(artifact.header["input"].clone())
        .map_err(|e| broken(format!("`input` in the header: {e}")))?;
    let found = match &input {
        Input::Columns { variables, .. } => variables.len(),
        _ => return Err(broken("the forest does not see columns".to_owned())),
    };
    if found != forest.features {
        return Err(broken(format!("the forest has {} features and sees {found} variables", forest.features)));
    }
    Ok(input)
}

/// What the scores are.
pub(super) fn meaning(link: Link) -> &'static str {
    match link {
        Link::Logistic | Link::Votes | Link::Softmax | Link::OneVsRest | Link::Shares => "one per class, their sum one",
        Link::Sigmoids => "one per class, each on its own",
        Link::Identity => "one per output",
        Link::Exp => "one rate per output",
        Link::Symmetric => "one per output, from -1 to 1",
    }
}

/// Scores [event, class] of features [event, width] in single precision.
pub(super) fn scores(b: &mut Builder, forest: &Forest, features: &str) -> Result<Value, Error> {
    let f = ensemble(b, forest, features)?;
    Ok(link(b, forest.link, &f, forest.outputs()))
}

/// The outputs of the forest [event, output].
fn ensemble(b: &mut Builder, forest: &Forest, features: &str) -> Result<Value, Error> {
    let (mut trees, mut numbers, mut cuts, mut asked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut modes, mut left, mut right, mut missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut leaf_trees, mut leaf_numbers, mut leaf_outputs, mut leaf_values) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut add = |tree: usize, i: usize, output: usize, node: &Node| {
        trees.push(tree as i64);
        numbers.push(i as i64);
        let is_leaf = node.is_leaf();
        modes.push(if is_leaf { "LEAF" } else { "BRANCH_LT" });
        asked.push(i64::from(node.feature));
        left.push(i64::from(node.left));
        right.push(i64::from(node.right));
        missing.push(i64::from(!is_leaf && node.missing_left));
        cuts.push(match node.test {
            Test::Below(cut) if !is_leaf => single_cut(cut),
            Test::OneOf(_) => return false,
            Test::Below(_) => 0.0,
        });
        if is_leaf {
            leaf_trees.push(tree as i64);
            leaf_numbers.push(i as i64);
            leaf_outputs.push(output as i64);
            leaf_values.push(node.value as f32);
        }
        true
    };
    for (t, tree) in forest.trees.iter().enumerate() {
        for (i, node) in tree.nodes.iter().enumerate() {
            if !add(t, i, tree.output, node) {
                let reason =
                    format!("tree {t}, node {i} asks for a set of categories, which this version of ONNX has not");
                return Err(Error::Unsupported { reason });
            }
        }
    }
    if forest.trees.is_empty() {
        // The operation wants a tree.
        add(0, 0, 0, &Node::leaf(0.0, 0.0));
    }
    let options = vec![
        ("aggregate_function", Setting::Text("SUM")),
        ("base_values", Setting::Floats(forest.base.iter().map(|b| *b as f32).collect())),
        ("n_targets", Setting::Integer(forest.outputs() as i64)),
        ("nodes_falsenodeids", Setting::Integers(right)),
        ("nodes_featureids", Setting::Integers(asked)),
        ("nodes_missing_value_tracks_true", Setting::Integers(missing)),
        ("nodes_modes", Setting::Texts(modes)),
        ("nodes_nodeids", Setting::Integers(numbers)),
        ("nodes_treeids", Setting::Integers(trees)),
        ("nodes_truenodeids", Setting::Integers(left)),
        ("nodes_values", Setting::Floats(cuts)),
        ("post_transform", Setting::Text("NONE")),
        ("target_ids", Setting::Integers(leaf_outputs)),
        ("target_nodeids", Setting::Integers(leaf_numbers)),
        ("target_treeids", Setting::Integers(leaf_trees)),
        ("target_weights", Setting::Floats(leaf_values)),
    ];
    Ok(b.op_of(ML, "TreeEnsembleRegressor", &[features], options))
}

/// Scores of outputs.
fn link(b: &mut Builder, link: Link, f: &str, outputs: usize) -> Value {
    let both = |b: &mut Builder, signal: &str| {
        let one = b.f32(1.0);
        let background = b.sub(&one, signal);
        b.concat(&[&background, signal], 1)
    };
    let shares = |b: &mut Builder, x: &str| {
        let sum = b.sum_keep(x, 1);
        let (zero, equal) = (b.f32(0.0), b.f32(1.0 / outputs as f32));
        let some = b.op("Greater", &[&sum, &zero]);
        let share = b.div(x, &sum);
        b.choose(&some, &share, &equal)
    };
    match link {
        Link::Identity => f.to_owned(),
        Link::Exp => b.op("Exp", &[f]),
        Link::Sigmoids => b.op("Sigmoid", &[f]),
        Link::Softmax => b.op_with("Softmax", &[f], vec![("axis", Setting::Integer(1))]),
        Link::Logistic => {
            let signal = b.op("Sigmoid", &[f]);
            both(b, &signal)
        }
        // 2 / (1 + e^−2F) − 1 is the hyperbolic tangent of F.
        Link::Symmetric => b.op("Tanh", &[f]),
        Link::Votes => {
            let (one, half, zero) = (b.f32(1.0), b.f32(0.5), b.f32(0.0));
            let p = b.op("Add", &[f, &one]);
            let p = b.op("Mul", &[&p, &half]);
            let p = b.op("Clip", &[&p, &zero, &one]);
            both(b, &p)
        }
        Link::OneVsRest => {
            let p = b.op("Sigmoid", &[f]);
            shares(b, &p)
        }
        Link::Shares => {
            let p = b.op("Relu", &[f]);
            shares(b, &p)
        }
    }
}
