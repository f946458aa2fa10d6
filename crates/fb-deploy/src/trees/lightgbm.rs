//! LightGBM's text (`Booster.save_model("model.txt")`, versions 2 to 4).
//!
//! Features are compared in double precision, x ≤ threshold to the left, so x < the next number above it. What is
//! missing depends on the node: nothing (NaN is zero then), zeros and NaN, or NaN. Categories that are not in a set, and
//! NaN, go to the right.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::str::FromStr;

use fb_trees::{Forest, Link, Node, Test, Tree};

use super::{Imported, MOST_FEATURES, Sketch, at_most, grow, numbered, rounds, with_base};
use crate::Error;

/// What LightGBM takes for zero.
const ZERO: f64 = 1.0000000180025095e-35;
/// Sets are written as bits, so their largest category costs memory.
const MOST_CATEGORIES: u32 = 1 << 20;
/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

fn fail(place: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Import { format: "LightGBM", place: place.into(), reason: reason.into() }
}

/// The lines `key=value` of the head or of a tree.
struct Section<'a> {
    place: String,
    entries: BTreeMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    fn find(&self, key: &str) -> Option<&'a str> {
        self.entries.get(key).copied()
    }

    fn fail(&self, key: &str, reason: impl Display) -> Error {
        fail(&self.place, format!("`{key}`: {reason}"))
    }

    fn number(&self, key: &str) -> Result<usize, Error> {
        let text = self.find(key).ok_or_else(|| self.fail(key, "it is missing"))?;
        text.trim().parse().map_err(|_| self.fail(key, format!("found `{text}`, expected a whole number")))
    }

    /// A list of `expected` entries.
    fn list<T: FromStr>(&self, key: &str, expected: usize) -> Result<Vec<T>, Error> {
        let text = self.find(key).ok_or_else(|| self.fail(key, "it is missing"))?;
        let mut list = Vec::new();
        for entry in text.split_ascii_whitespace() {
            list.push(entry.parse().map_err(|_| self.fail(key, format!("found `{entry}`, expected a number")))?);
        }
        if list.len() != expected {
            return Err(self.fail(key, format!("found {} entries, expected {expected}", list.len())));
        }
        Ok(list)
    }

    /// A list that only informs: zeros where it is not there.
    fn informs(&self, key: &str, expected: usize) -> Vec<f64> {
        self.list(key, expected).unwrap_or_else(|_| vec![0.0; expected])
    }
}

/// Reads the text of a model.
///
/// # Errors
/// [`Error::Import`] with the place.
pub fn read(text: &str) -> Result<Imported, Error> {
    let (head, sections, average) = sections(text)?;
    let per_round = head.number("num_tree_per_iteration")?;
    if per_round == 0 || per_round > sections.len().max(1) {
        let trees = sections.len();
        return Err(
            head.fail("num_tree_per_iteration", format!("found {per_round}, expected at most one of {trees} trees"))
        );
    }
    let features = head.number("max_feature_idx")?.saturating_add(1);
    if features > MOST_FEATURES {
        return Err(
            head.fail("max_feature_idx", format!("found {features} features, expected at most {MOST_FEATURES}"))
        );
    }
    let names = match head.find("feature_names") {
        Some(_) => head.list("feature_names", features)?,
        None => numbered(features),
    };
    let (link, sigmoid) = objective(&head, per_round)?;
    let rounds = sections.len() / per_round;
    let factor = if average && rounds > 0 { sigmoid / rounds as f64 } else { sigmoid };
    let mut trees = Vec::with_capacity(sections.len());
    for (t, section) in sections.iter().enumerate() {
        trees.push(Tree { output: t % per_round, nodes: tree(section, factor, features)? });
    }
    let forest = Forest { features, base: vec![0.0; per_round], trees, link, single: false };
    forest.check()?;
    Ok(Imported { forest, names })
}

/// Head and trees, and whether trees are averaged.
fn sections(text: &str) -> Result<(Section<'_>, Vec<Section<'_>>, bool), Error> {
    let mut head = Section { place: "head".to_owned(), entries: BTreeMap::new() };
    let (mut trees, mut average, mut ended): (Vec<Section<'_>>, bool, bool) = (Vec::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line == "end of trees" {
            ended = true;
            break;
        }
        match line.split_once('=') {
            Some(("Tree", id)) => {
                let place = format!("line {}, tree {id}", number + 1);
                if id.trim().parse() != Ok(trees.len()) {
                    return Err(fail(place, format!("expected tree {}", trees.len())));
                }
                trees.push(Section { place, entries: BTreeMap::new() });
            }
            Some((key, value)) => {
                trees.last_mut().unwrap_or(&mut head).entries.insert(key, value);
            }
            None if line == "average_output" => average = true,
            None => {}
        }
    }
    if !ended {
        return Err(fail("end", "`end of trees` is missing: the file is not whole"));
    }
    if let Some(sizes) = head.find("tree_sizes") {
        let expected = sizes.split_ascii_whitespace().count();
        if expected != trees.len() {
            return Err(head.fail("tree_sizes", format!("found {} trees, expected {expected}", trees.len())));
        }
    }
    Ok((head, trees, average))
}

/// What the objective makes of the sums, and what they are multiplied by before.
fn objective(head: &Section<'_>, outputs: usize) -> Result<(Link, f64), Error> {
    let Some(text) = head.find("objective") else { return Ok((Link::Identity, 1.0)) };
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or("");
    let mut sigmoid = 1.0;
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", value)) => {
                let wrong = || head.fail("objective", format!("found `{word}`, expected a positive number"));
                sigmoid = value.parse().ok().filter(|s: &f64| s.is_finite() && *s > 0.0).ok_or_else(wrong)?;
            }
            None if word == "sqrt" => {
                return Err(head.fail("objective", "`reg_sqrt` squares the sums, which is not supported"));
            }
            _ => {}
        }
    }
    Ok(match name {
        "binary" => (Link::Logistic, sigmoid),
        "cross_entropy" | "xentropy" => (Link::Logistic, 1.0),
        "multiclass" | "softmax" => (Link::Softmax, 1.0),
        "multiclassova" | "ova" if outputs > 1 => (Link::Sigmoids, sigmoid),
        "poisson" | "tweedie" | "gamma" => (Link::Exp, 1.0),
        "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank"
        | "rank_xendcg" | "custom" => (Link::Identity, 1.0),
        other => {
            let known = "binary, cross_entropy, multiclass, multiclassova, regression, regression_l1, huber, fair, \
                         quantile, mape, poisson, tweedie, gamma, lambdarank";
            return Err(head.fail("objective", format!("`{other}` is not supported; supported are {known}")));
        }
    })
}

fn tree(section: &Section<'_>, factor: f64, features: usize) -> Result<Vec<Node>, Error> {
    let leaves = section.number("num_leaves")?;
    if section.find("is_linear").is_some_and(|x| x.trim() != "0") {
        return Err(section.fail("is_linear", "leaves are linear functions, which is not supported"));
    }
    let values: Vec<f64> = section.list("leaf_value", leaves)?;
    let covers = section.informs("leaf_weight", leaves);
    let leaf = |i: usize| Sketch::leaf(factor * values[i], covers[i]);
    if leaves == 0 {
        return Err(section.fail("num_leaves", "found 0, expected at least 1"));
    }
    let n = leaves - 1;
    if n == 0 {
        return Ok(vec![leaf(0).node]);
    }
    let split_features: Vec<u32> = section.list("split_feature", n)?;
    let thresholds: Vec<f64> = section.list("threshold", n)?;
    let kinds: Vec<u8> = section.list("decision_type", n)?;
    let [left, right]: [Vec<i64>; 2] = [section.list("left_child", n)?, section.list("right_child", n)?];
    let (gains, weights) = (section.informs("split_gain", n), section.informs("internal_weight", n));
    let mut sets = sets(section)?;
    let mut sketches = Vec::with_capacity(n + leaves);
    for i in 0..n {
        let wrong = |reason: String| fail(&section.place, format!("node {i}: {reason}"));
        // Leaves are numbered −1, −2, …; here they stand behind the inner nodes.
        let child = |c: i64| if c >= 0 { (c as usize).min(n + leaves) } else { n.saturating_add(!c as usize) };
        let is_inner = |c: i64| c < n as i64;
        if !is_inner(left[i]) || !is_inner(right[i]) {
            return Err(wrong(format!("found children {} and {}, of {n} nodes", left[i], right[i])));
        }
        let (children, t) = ((child(left[i]), child(right[i])), thresholds[i]);
        if split_features[i] as usize >= features {
            return Err(wrong(format!("feature {}, of {features}", split_features[i])));
        }
        let (test, missing_left) = if kinds[i] & CATEGORICAL != 0 {
            let set = sets.get_mut(t as usize).filter(|_| t >= 0.0 && t.fract() == 0.0).and_then(Option::take);
            (Test::OneOf(set.ok_or_else(|| wrong(format!("found no set of categories {t}")))?), false)
        } else {
            let (default_left, zero_left) = (kinds[i] & DEFAULT_LEFT != 0, t >= 0.0);
            let missing_left = match kinds[i] >> 2 {
                0 => zero_left,
                1 if t.abs() > ZERO && default_left == zero_left => default_left,
                1 => {
                    return Err(wrong(
                        "zeros are missing values and go elsewhere than numbers beside them, which is not supported; \
                         train without `zero_as_missing`"
                            .to_owned(),
                    ));
                }
                2 => default_left,
                _ => return Err(wrong(format!("found `decision_type` {}", kinds[i]))),
            };
            if t.is_nan() {
                return Err(wrong("its threshold is not a number".to_owned()));
            }
            (Test::Below(t.next_up()), missing_left)
        };
        sketches.push(Sketch::inner(split_features[i], test, missing_left, children, gains[i], weights[i]));
    }
    sketches.extend((0..leaves).map(leaf));
    grow(sketches).map_err(|reason| fail(&section.place, reason))
}

/// The sets of categories, stored as bits.
fn sets(section: &Section<'_>) -> Result<Vec<Option<Box<[u32]>>>, Error> {
    let count = if section.find("num_cat").is_some() { section.number("num_cat")? } else { 0 };
    if count == 0 {
        return Ok(Vec::new());
    }
    let bounds: Vec<usize> = section.list("cat_boundaries", count.saturating_add(1))?;
    let words = bounds[count];
    let bits: Vec<u32> = section.list("cat_threshold", words)?;
    let mut sets = Vec::with_capacity(count);
    for pair in bounds.windows(2) {
        // Sets stand one behind the other, so that together they are no longer than the list.
        let part = bits.get(pair[0]..pair[1]);
        let part = part.ok_or_else(|| section.fail("cat_boundaries", format!("found {} … {}", pair[0], pair[1])))?;
        let each = |(word, &bits): (usize, &u32)| {
            (0..32).filter(move |b| bits >> b & 1 == 1).map(move |b| 32 * word as u32 + b)
        };
        sets.push(Some(part.iter().enumerate().flat_map(each).collect()));
    }
    Ok(sets)
}

/// The text of a model that LightGBM loads and that scores the same there.
///
/// Blanks in names of features become `_`.
///
/// # Errors
/// [`Error::Unsupported`] for links that LightGBM does not have, and for sets of categories to which NaN belongs.
pub fn write(forest: &Forest, names: &[String]) -> Result<String, Error> {
    let unsupported = |reason: String| Error::Unsupported { reason };
    let outputs = forest.outputs();
    let objective = match forest.link {
        Link::Identity if outputs == 1 => Some("regression".to_owned()),
        // Without an objective the sums are the scores.
        Link::Identity => None,
        Link::Logistic => Some("binary sigmoid:1".to_owned()),
        Link::Softmax => Some(format!("multiclass num_class:{outputs}")),
        Link::Sigmoids => Some(format!("multiclassova num_class:{outputs} sigmoid:1")),
        Link::Exp if outputs == 1 => Some("poisson".to_owned()),
        link => {
            return Err(unsupported(format!("LightGBM has no objective for the scores of this forest ({link:?})")));
        }
    };
    let trees = rounds(with_base(forest));
    let mut blocks = Vec::with_capacity(trees.len());
    for (i, tree) in trees.iter().enumerate() {
        let block = block(tree, forest.single).map_err(|reason| unsupported(format!("tree {i}, {reason}")))?;
        blocks.push(format!("Tree={i}\n{block}\n"));
    }
    let name = |name: &String| name.split_whitespace().collect::<Vec<_>>().join("_");
    let mut text = format!(
        "tree\nversion=v4\nnum_class={outputs}\nnum_tree_per_iteration={outputs}\nlabel_index=0\nmax_feature_idx={}\n",
        forest.features.saturating_sub(1)
    );
    if let Some(objective) = objective {
        let _ = writeln!(text, "objective={objective}");
    }
    let _ = writeln!(text, "feature_names={}", joined(names.iter().map(name)));
    let _ = writeln!(text, "feature_infos={}", joined(infos(forest)));
    let _ = writeln!(text, "tree_sizes={}\n", joined(blocks.iter().map(String::len)));
    text.extend(blocks);
    text += "end of trees\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n\npandas_categorical:null\n";
    Ok(text)
}

fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        let blank = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{blank}{item}");
    }
    text
}

/// What is known of each feature: the range of its cuts, or its categories.
fn infos(forest: &Forest) -> Vec<String> {
    let mut infos = vec!["none".to_owned(); forest.features];
    let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; forest.features];
    let mut sets: Vec<Vec<u32>> = vec![Vec::new(); forest.features];
    for node in forest.trees.iter().flat_map(|t| &t.nodes).filter(|n| !n.is_leaf()) {
        match &node.test {
            Test::Below(cut) => {
                let [low, high] = &mut ranges[node.feature as usize];
                (*low, *high) = (low.min(*cut), high.max(*cut));
            }
            Test::OneOf(set) => sets[node.feature as usize].extend(set.iter()),
        }
    }
    for ((info, [low, high]), set) in infos.iter_mut().zip(ranges).zip(&mut sets) {
        set.sort_unstable();
        set.dedup();
        if !set.is_empty() {
            *info = joined(set.iter()).replace(' ', ":");
        } else if low <= high {
            *info = format!("[{low:?}:{high:?}]");
        }
    }
    infos
}

/// A tree without its first line.
fn block(tree: &Tree, single: bool) -> Result<String, String> {
    let nodes = &tree.nodes;
    // Inner nodes and leaves are numbered apart.
    let mut number = vec![0i64; nodes.len()];
    let (mut inner, mut leaves) = (Vec::new(), Vec::new());
    for (i, node) in nodes.iter().enumerate() {
        let list = if node.is_leaf() { &mut leaves } else { &mut inner };
        number[i] = if node.is_leaf() { !(list.len() as i64) } else { list.len() as i64 };
        list.push(node);
    }
    let (mut thresholds, mut kinds) = (Vec::new(), Vec::new());
    let (mut bounds, mut bits) = (vec![0], Vec::<u32>::new());
    for (i, node) in inner.iter().enumerate() {
        match &node.test {
            Test::Below(cut) => {
                // What is beyond all numbers is written as the largest of them.
                let t = at_most(*cut, single).clamp(f64::MIN, f64::MAX);
                thresholds.push(format!("{t:?}"));
                kinds.push(8 | if node.missing_left { DEFAULT_LEFT } else { 0 });
            }
            Test::OneOf(_) if node.missing_left => {
                return Err(format!(
                    "inner node {i}: missing values go with a set of categories, which LightGBM cannot say; try XGBoost"
                ));
            }
            Test::OneOf(set) => {
                if let Some(c) = set.iter().find(|c| **c >= MOST_CATEGORIES) {
                    return Err(format!("inner node {i}: the category {c} is too large to be written as a bit"));
                }
                let mut words = vec![0u32; set.last().map_or(1, |c| *c as usize / 32 + 1)];
                set.iter().for_each(|c| words[*c as usize / 32] |= 1 << (c % 32));
                thresholds.push((bounds.len() - 1).to_string());
                kinds.push(8 | CATEGORICAL);
                bits.extend(words);
                bounds.push(bits.len());
            }
        }
    }
    let sets = bounds.len() - 1;
    let value = |n: &&Node| format!("{:?}", n.value);
    let cover = |n: &&Node| format!("{:?}", n.cover);
    let count = |n: &&Node| (n.cover.round().clamp(0.0, f64::from(i32::MAX)) as i32).to_string();
    let child = |c: u32| number[c as usize].to_string();
    let mut text = format!("num_leaves={}\nnum_cat={sets}\n", leaves.len());
    let mut line = |key: &str, list: String| {
        let _ = writeln!(text, "{key}={list}");
    };
    if inner.is_empty() {
        line("leaf_value", joined(leaves.iter().map(value)));
    } else {
        line("split_feature", joined(inner.iter().map(|n| n.feature)));
        line("split_gain", joined(inner.iter().map(|n| format!("{:?}", n.gain))));
        line("threshold", joined(thresholds));
        line("decision_type", joined(kinds));
        line("left_child", joined(inner.iter().map(|n| child(n.left))));
        line("right_child", joined(inner.iter().map(|n| child(n.right))));
        line("leaf_value", joined(leaves.iter().map(value)));
        line("leaf_weight", joined(leaves.iter().map(cover)));
        line("leaf_count", joined(leaves.iter().map(count)));
        line("internal_value", joined(inner.iter().map(value)));
        line("internal_weight", joined(inner.iter().map(cover)));
        line("internal_count", joined(inner.iter().map(count)));
        if sets > 0 {
            line("cat_boundaries", joined(bounds));
            line("cat_threshold", joined(bits));
        }
    }
    Ok(text + "is_linear=0\nshrinkage=1\n\n")
}
