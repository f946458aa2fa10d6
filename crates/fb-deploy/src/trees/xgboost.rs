//! XGBoost's JSON (`Booster.save_model("model.json")`, versions 1 to 3).
//!
//! Features are compared in single precision, x < cut to the left. A set of categories goes to the right there, and to
//! the left in a [`Forest`]. A beginning of the outputs is stored as a score and not as the sum that it is.

use std::borrow::Cow;

use fb_trees::{Forest, Link, Node, Test, Tree};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Imported, MOST_FEATURES, Sketch, grow, numbered, single_cut, with_base};
use crate::Error;

/// Categories are whole numbers that single precision holds.
const MOST_CATEGORIES: u32 = 1 << 24;
/// The attribute that keeps the names of features: as `feature_names`, XGBoost would refuse tables without names.
const NAMES: &str = "features";

fn fail(place: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Import { format: "XGBoost", place: place.into(), reason: reason.into() }
}

/// What must be known before the rest can be read.
#[derive(Deserialize)]
struct Head {
    learner: HeadLearner,
}

#[derive(Deserialize)]
struct HeadLearner {
    gradient_booster: Named,
    objective: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    parameters: LearnerParameters,
}

#[derive(Deserialize, Default)]
struct Attributes {
    #[serde(default)]
    features: Option<String>,
}

#[derive(Deserialize)]
struct LearnerParameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Booster {
    model: Option<Model>,
    gbtree: Option<Inner>,
    weight_drop: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Inner {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    tree_info: Vec<usize>,
    trees: Vec<TreeFile>,
}

#[derive(Deserialize)]
struct TreeFile {
    tree_param: TreeParameters,
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<u32>,
    split_conditions: Vec<Option<f64>>,
    default_left: Vec<Flag>,
    sum_hessian: Vec<f64>,
    loss_changes: Vec<Option<f64>>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
}

#[derive(Deserialize)]
struct TreeParameters {
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// Early versions write `true`, later ones 1.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(u8),
}

/// What an objective makes of the sums.
fn link(objective: &str) -> Result<Link, Error> {
    Ok(match objective {
        "binary:logistic" | "reg:logistic" => Link::Logistic,
        "multi:softprob" | "multi:softmax" => Link::Softmax,
        "count:poisson" | "reg:gamma" | "reg:tweedie" => Link::Exp,
        "binary:logitraw"
        | "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => Link::Identity,
        other => {
            let known = "binary:logistic, binary:logitraw, multi:softprob, multi:softmax, reg:squarederror and other \
                         regressions, count:poisson, reg:gamma, reg:tweedie, rank:pairwise";
            return Err(fail("objective", format!("`{other}` is not supported; supported are {known}")));
        }
    })
}

/// Reads the text of a model. All of its trees count, as in `Booster.predict`, whatever the best iteration was.
///
/// # Errors
/// [`Error::Import`] with the place.
pub fn read(text: &str) -> Result<Imported, Error> {
    let parsed = |e: serde_json::Error| fail("JSON", e.to_string());
    let text = &*without_nan(text);
    let head: Head = serde_json::from_str(text).map_err(parsed)?;
    let booster = head.learner.gradient_booster.name;
    if !["gbtree", "dart"].contains(&booster.as_str()) {
        return Err(fail("gradient_booster", format!("found `{booster}`, expected `gbtree` or `dart`")));
    }
    let objective = head.learner.objective.name;
    let link = link(&objective)?;
    let learner = serde_json::from_str::<File>(text).map_err(parsed)?.learner;
    let features = whole("num_feature", &learner.parameters.num_feature)?;
    if features > MOST_FEATURES {
        return Err(fail("num_feature", format!("found {features}, expected at most {MOST_FEATURES}")));
    }
    let (model, drop) = match learner.gradient_booster {
        Booster { model: Some(model), weight_drop, .. }
        | Booster { gbtree: Some(Inner { model }), weight_drop, .. } => (model, weight_drop),
        Booster { .. } => return Err(fail("gradient_booster", "it has no `model`")),
    };
    if model.tree_info.len() != model.trees.len() {
        let (found, expected) = (model.tree_info.len(), model.trees.len());
        return Err(fail("tree_info", format!("found {found} entries, expected one for each of {expected} trees")));
    }
    if let Some(drop) = &drop
        && drop.len() != model.trees.len()
    {
        let (found, expected) = (drop.len(), model.trees.len());
        return Err(fail("weight_drop", format!("found {found} entries, expected one for each of {expected} trees")));
    }
    let many = |t: &TreeFile| t.tree_param.size_leaf_vector.as_deref().is_some_and(|n| !["0", "1"].contains(&n.trim()));
    if let Some(t) = model.trees.iter().position(many) {
        let reason = "a leaf holds several numbers (`multi_strategy = multi_output_tree`), which is not supported; train \
                      with `one_output_per_tree`";
        return Err(fail(format!("trees[{t}]"), reason));
    }
    let base = base(&learner.parameters, &objective, model.trees.len())?;
    let mut trees = Vec::with_capacity(model.trees.len());
    for (t, (tree, &output)) in model.trees.iter().zip(&model.tree_info).enumerate() {
        if output >= base.len() {
            return Err(fail("tree_info", format!("tree {t} adds to output {output}, of {}", base.len())));
        }
        let factor = drop.as_ref().map_or(1.0, |drop| drop[t]);
        let nodes = self::tree(tree, factor, features).map_err(|reason| fail(format!("trees[{t}]"), reason))?;
        trees.push(Tree { output, nodes });
    }
    let kept = learner.attributes.features.and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok());
    let names = [Some(learner.feature_names), kept].into_iter().flatten().find(|names| names.len() == features);
    let forest = Forest { features, base, trees, link, single: true };
    forest.check()?;
    Ok(Imported { forest, names: names.unwrap_or_else(|| numbered(features)) })
}

/// The text with `null` for the bare `NaN` that version 1 writes where a number means nothing, which JSON does not have.
fn without_nan(text: &str) -> Cow<'_, str> {
    const NAN: &str = "NaN";
    if !text.contains(NAN) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let (mut rest, mut quoted) = (text, false);
    // Up to each quote, the text is outside and inside of strings by turns.
    while !rest.is_empty() {
        let end = rest.find(if quoted { &['"', '\\'][..] } else { &['"'][..] }).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        if quoted {
            out.push_str(part);
        } else {
            out.push_str(&part.replace(NAN, "null"));
        }
        let step =
            if tail.starts_with('\\') { tail.chars().take(2).map(char::len_utf8).sum() } else { tail.len().min(1) };
        quoted ^= tail.starts_with('"');
        out.push_str(&tail[..step]);
        rest = &tail[step..];
    }
    Cow::Owned(out)
}

fn whole(place: &str, text: &str) -> Result<usize, Error> {
    text.trim().parse().map_err(|_| fail(place, format!("found `{text}`, expected a whole number")))
}

/// Where the outputs begin: the stored scores as sums.
fn base(parameters: &LearnerParameters, objective: &str, trees: usize) -> Result<Vec<f64>, Error> {
    let classes = whole("num_class", &parameters.num_class)?.max(1);
    let targets = parameters.num_target.as_deref().map_or(Ok(1), |n| whole("num_target", n))?.max(1);
    let outputs = classes.saturating_mul(targets);
    // Every round has a tree of each output.
    if outputs > trees.max(1) {
        return Err(fail(
            "num_class",
            format!("found {outputs} outputs, expected at most one for each of {trees} trees"),
        ));
    }
    let text = parameters.base_score.trim();
    let list = text.trim_start_matches('[').trim_end_matches(']').split(',');
    let number = |entry: &str| {
        let x = entry.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        x.ok_or_else(|| fail("base_score", format!("found `{text}`, expected a number or a list of them")))
    };
    let scores = list.map(number).collect::<Result<Vec<f32>, _>>()?;
    let scores = match scores[..] {
        [one] => vec![one; outputs],
        _ if scores.len() == outputs => scores,
        _ => return Err(fail("base_score", format!("found {} numbers, expected {outputs}", scores.len()))),
    };
    let sum = |score: f32| {
        let score = f64::from(score);
        let sum = match objective {
            "binary:logistic" | "reg:logistic" => (score / (1.0 - score)).ln(),
            "count:poisson" | "reg:gamma" | "reg:tweedie" => score.ln(),
            _ => score,
        };
        let reason = || fail("base_score", format!("found {score}, which `{objective}` cannot begin with"));
        if sum.is_finite() { Ok(sum) } else { Err(reason()) }
    };
    scores.into_iter().map(sum).collect()
}

fn tree(tree: &TreeFile, factor: f64, features: usize) -> Result<Vec<Node>, String> {
    let n = tree.left_children.len();
    let lengths = [
        ("right_children", tree.right_children.len()),
        ("split_indices", tree.split_indices.len()),
        ("split_conditions", tree.split_conditions.len()),
        ("default_left", tree.default_left.len()),
        ("sum_hessian", tree.sum_hessian.len()),
        ("loss_changes", tree.loss_changes.len()),
        ("split_type", if tree.split_type.is_empty() { n } else { tree.split_type.len() }),
    ];
    if let Some((name, found)) = lengths.into_iter().find(|(_, found)| *found != n) {
        return Err(format!("`{name}` has {found} entries, expected {n}"));
    }
    let mut sets = sets(tree)?;
    let mut sketches = Vec::with_capacity(n);
    for (i, set) in sets.iter_mut().enumerate() {
        let (cover, number) = (tree.sum_hessian[i], f64::from(tree.split_conditions[i].unwrap_or(f64::NAN) as f32));
        let (left, right) = (tree.left_children[i], tree.right_children[i]);
        if left < 0 {
            sketches.push(Sketch::leaf(factor * number, cover));
            continue;
        }
        let children = (left as usize, usize::try_from(right).map_err(|_| format!("node {i} has one child only"))?);
        let feature = tree.split_indices[i];
        if feature as usize >= features {
            return Err(format!("node {i}: feature {feature}, of {features}"));
        }
        let missing_left = matches!(tree.default_left[i], Flag::Bool(true) | Flag::Number(1..));
        let gain = tree.loss_changes[i].unwrap_or(0.0);
        sketches.push(match tree.split_type.get(i) {
            None | Some(0) => Sketch::inner(feature, Test::Below(number), missing_left, children, gain, cover),
            Some(1) => {
                let set = set.take().ok_or_else(|| format!("node {i} has no set of categories"))?;
                let children = (children.1, children.0);
                Sketch::inner(feature, Test::OneOf(set), !missing_left, children, gain, cover)
            }
            Some(kind) => return Err(format!("node {i}: `split_type` {kind}, expected 0 or 1")),
        });
    }
    grow(sketches)
}

/// The set of categories of each node that has one.
fn sets(tree: &TreeFile) -> Result<Vec<Option<Box<[u32]>>>, String> {
    let n = tree.left_children.len();
    let mut sets: Vec<Option<Box<[u32]>>> = vec![None; n];
    let (nodes, segments, sizes) = (&tree.categories_nodes, &tree.categories_segments, &tree.categories_sizes);
    if nodes.len() != segments.len() || nodes.len() != sizes.len() {
        return Err("`categories_nodes`, `_segments` and `_sizes` differ in length".to_owned());
    }
    let mut left = tree.categories.len();
    for ((&node, &start), &size) in nodes.iter().zip(segments).zip(sizes) {
        // Sets do not overlap, so that together they are no longer than the list.
        left = left.checked_sub(size).ok_or("the sets of categories are longer than their list")?;
        let part = start.checked_add(size).and_then(|end| tree.categories.get(start..end));
        let part = part.ok_or_else(|| format!("node {node}: its categories are not in the list"))?;
        let mut set = Vec::with_capacity(size);
        for &c in part {
            let known = u32::try_from(c).ok().filter(|c| *c < MOST_CATEGORIES);
            set.push(known.ok_or_else(|| format!("node {node}: found a category {c}"))?);
        }
        set.sort_unstable();
        set.dedup();
        let place = sets.get_mut(node).ok_or_else(|| format!("found categories of node {node}, of {n}"))?;
        *place = Some(set.into());
    }
    Ok(sets)
}

#[derive(Serialize)]
struct TreeOut {
    base_weights: Vec<f32>,
    categories: Vec<u32>,
    categories_nodes: Vec<usize>,
    categories_segments: Vec<usize>,
    categories_sizes: Vec<usize>,
    default_left: Vec<u8>,
    id: usize,
    left_children: Vec<i64>,
    loss_changes: Vec<f32>,
    parents: Vec<u32>,
    right_children: Vec<i64>,
    split_conditions: Vec<f32>,
    split_indices: Vec<u32>,
    split_type: Vec<u8>,
    sum_hessian: Vec<f32>,
    tree_param: serde_json::Value,
}

/// The text of a model that XGBoost loads and that scores the same there.
///
/// The names of features are kept in the attribute `features`, so that tables without names are accepted, too.
///
/// # Errors
/// [`Error::Unsupported`] for links and sets that XGBoost does not have.
pub fn write(forest: &Forest, names: &[String]) -> Result<String, Error> {
    let unsupported = |reason: String| Error::Unsupported { reason };
    let outputs = forest.outputs();
    let (objective, loss, base, classes, targets) = match forest.link {
        Link::Identity => ("reg:squarederror", "reg_loss_param", "0E0", 0, outputs),
        Link::Logistic => ("binary:logistic", "reg_loss_param", "5E-1", 0, 1),
        Link::Softmax => ("multi:softprob", "softmax_multiclass_param", "0E0", outputs, 1),
        Link::Exp if outputs == 1 => ("count:poisson", "poisson_regression_param", "1E0", 0, 1),
        link => {
            return Err(unsupported(format!("XGBoost has no objective for the scores of this forest ({link:?})")));
        }
    };
    let mut categorical = vec![None; forest.features];
    for node in forest.trees.iter().flat_map(|t| &t.nodes).filter(|n| !n.is_leaf()) {
        let is_set = matches!(node.test, Test::OneOf(_));
        let known = categorical[node.feature as usize].get_or_insert(is_set);
        if *known != is_set {
            let name = names.get(node.feature as usize).map_or("?", String::as_str);
            return Err(unsupported(format!(
                "`{name}` is compared as a number and as a category; XGBoost has one of the two"
            )));
        }
    }
    let mut trees: Vec<Tree> = with_base(forest).into_iter().flatten().collect();
    if outputs > 1 {
        trees = super::rounds(with_base(forest));
    }
    let mut out = Vec::with_capacity(trees.len());
    for (id, tree) in trees.iter().enumerate() {
        out.push(tree_out(id, tree, forest.features).map_err(unsupported)?);
    }
    let any = categorical.contains(&Some(true));
    let types = categorical.iter().map(|c| if *c == Some(true) { "c" } else { "float" });
    let types: Vec<&str> = if any { types.collect() } else { Vec::new() };
    let info: Vec<usize> = trees.iter().map(|t| t.output).collect();
    let rounds: Vec<usize> = (0..=trees.len()).step_by(outputs.max(1)).collect();
    let mut learner = json!({
        "attributes": { NAMES: json!(names).to_string() },
        "feature_names": [],
        "feature_types": types,
        "gradient_booster": {
            "model": {
                "gbtree_model_param": { "num_parallel_tree": "1", "num_trees": trees.len().to_string() },
                "iteration_indptr": rounds,
                "tree_info": info,
                "trees": [],
            },
            "name": "gbtree",
        },
        "learner_model_param": {
            "base_score": base,
            "boost_from_average": "1",
            "num_class": classes.to_string(),
            "num_feature": forest.features.to_string(),
            "num_target": targets.to_string(),
        },
        "objective": { "name": objective },
    });
    learner["objective"][loss] = match loss {
        "softmax_multiclass_param" => json!({ "num_class": classes.to_string() }),
        "poisson_regression_param" => json!({ "max_delta_step": "0.7" }),
        _ => json!({ "scale_pos_weight": "1" }),
    };
    // The trees are put in as text, in which numbers of single precision stay as short as they are.
    let written = |e: serde_json::Error| unsupported(e.to_string());
    let mark = "\"trees\":[]";
    let trees = serde_json::to_string(&out).map_err(written)?;
    let text = json!({ "learner": learner, "version": [2, 1, 0] }).to_string();
    Ok(text.replacen(mark, &format!("\"trees\":{trees}"), 1))
}

fn tree_out(id: usize, tree: &Tree, features: usize) -> Result<TreeOut, String> {
    let n = tree.nodes.len();
    let mut out = TreeOut {
        base_weights: Vec::with_capacity(n),
        categories: Vec::new(),
        categories_nodes: Vec::new(),
        categories_segments: Vec::new(),
        categories_sizes: Vec::new(),
        default_left: Vec::with_capacity(n),
        id,
        left_children: Vec::with_capacity(n),
        loss_changes: Vec::with_capacity(n),
        parents: vec![i32::MAX as u32],
        right_children: Vec::with_capacity(n),
        split_conditions: Vec::with_capacity(n),
        split_indices: Vec::with_capacity(n),
        split_type: Vec::with_capacity(n),
        sum_hessian: Vec::with_capacity(n),
        tree_param: json!({
            "num_deleted": "0", "num_feature": features.to_string(), "num_nodes": n.to_string(), "size_leaf_vector": "1",
        }),
    };
    // Level by level: early versions expect the right child next to the left one.
    let mut order = vec![0u32];
    for i in 0..n {
        let Some(node) = order.get(i).map(|at| &tree.nodes[*at as usize]) else { break };
        let (mut children, mut missing_left, mut number, mut kind) = ((-1, -1), false, node.value as f32, 0);
        if !node.is_leaf() {
            let mut pair = [node.left, node.right];
            missing_left = node.missing_left;
            match &node.test {
                Test::Below(cut) => number = single_cut(*cut).clamp(f32::MIN, f32::MAX),
                // Nothing is in an empty set, and nothing is below the least number.
                Test::OneOf(set) if set.is_empty() => number = f32::MIN,
                Test::OneOf(set) => {
                    if let Some(c) = set.iter().find(|c| **c >= MOST_CATEGORIES) {
                        return Err(format!("tree {id}, node {i}: the category {c} is beyond those of XGBoost"));
                    }
                    pair.reverse();
                    (missing_left, number, kind) = (!missing_left, 0.0, 1);
                    out.categories_nodes.push(i);
                    out.categories_segments.push(out.categories.len());
                    out.categories_sizes.push(set.len());
                    out.categories.extend(set.iter());
                }
            }
            let left = order.len();
            children = (left as i64, left as i64 + 1);
            order.extend(pair);
            out.parents.resize(left + 2, i as u32);
        }
        if !number.is_finite() {
            return Err(format!("tree {id}, node {i}: {} is beyond single precision", node.value));
        }
        out.base_weights.push(node.value as f32);
        out.default_left.push(u8::from(missing_left));
        out.left_children.push(children.0);
        out.right_children.push(children.1);
        out.loss_changes.push((node.gain as f32).clamp(f32::MIN, f32::MAX));
        out.split_conditions.push(number);
        out.split_indices.push(if node.is_leaf() { 0 } else { node.feature });
        out.split_type.push(kind);
        out.sum_hessian.push((node.cover as f32).clamp(f32::MIN, f32::MAX));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_nan_is_null_outside_of_texts() {
        assert_eq!(
            without_nan(r#"{"NaN": [NaN, 1,NaN], "a\"NaN\\": "\\"}"#),
            r#"{"NaN": [null, 1,null], "a\"NaN\\": "\\"}"#
        );
        assert_eq!(without_nan("NaN\\NaN\"ü\\ü"), "null\\null\"ü\\ü");
    }
}
