//! Forests from and to the model files of other programs: XGBoost JSON, LightGBM text, TMVA weights; and as C++.
//!
//! A file per format. What a format says and a forest cannot, or the other way round, is an error that names it.

pub mod cpp;
pub mod lightgbm;
pub mod tmva;
pub mod xgboost;

use fb_trees::{Forest, Node, Test, Tree};

use crate::Error;

/// A forest that was read, with the names of its features: `f0`, `f1`, … where the file has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The forest.
    pub forest: Forest,
    /// One name for each feature.
    pub names: Vec<String>,
}

/// Whose model file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `Booster.save_model("model.json")`.
    Xgboost,
    /// `Booster.save_model("model.txt")`.
    Lightgbm,
    /// `NAME.weights.xml` of a BDT.
    Tmva,
}

impl Format {
    /// As its authors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xgboost => "XGBoost",
            Self::Lightgbm => "LightGBM",
            Self::Tmva => "TMVA",
        }
    }
}

/// No model has more features: a claim beyond is a damaged file, and must not cost memory.
const MOST_FEATURES: usize = 100_000;

/// Reads a model file, its format known by its content.
///
/// # Errors
/// [`Error::Import`] with the place, for files of no format that is known and for those that a forest cannot hold.
pub fn read(bytes: &[u8]) -> Result<(Format, Imported), Error> {
    let fail = |reason: &str| Err(Error::Import { format: "tree", place: "its start".into(), reason: reason.into() });
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
    let (first, rest) = bytes[start..].split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
    if first == b'{' && rest.first().is_some_and(|b| b"LlUiI$#".contains(b)) {
        return fail("found UBJSON; load it in XGBoost and save it again as `model.json`");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fail("found a binary file, expected XGBoost JSON, LightGBM text or TMVA XML");
    };
    let text = text.trim_start_matches('\u{feff}');
    match first {
        b'{' => Ok((Format::Xgboost, xgboost::read(text)?)),
        b'<' => Ok((Format::Tmva, tmva::read(text)?)),
        b'[' => fail("found a list; if it is a dump of XGBoost, save the model with `save_model(\"model.json\")`"),
        _ if text.trim_start().starts_with("tree") => Ok((Format::Lightgbm, lightgbm::read(text)?)),
        _ => fail("expected XGBoost JSON, LightGBM text or TMVA XML"),
    }
}

/// A node with its children where the file has them; a leaf without.
struct Sketch {
    node: Node,
    children: Option<(usize, usize)>,
}

impl Sketch {
    fn leaf(value: f64, cover: f64) -> Self {
        Self { node: Node::leaf(value, cover), children: None }
    }

    fn inner(feature: u32, test: Test, missing_left: bool, children: (usize, usize), gain: f64, cover: f64) -> Self {
        // A gain only informs: one that is not finite does not make a file useless.
        let gain = if gain.is_finite() { gain } else { 0.0 };
        let node = Node { feature, test, missing_left, gain, ..Node::leaf(0.0, cover) };
        Self { node, children: Some(children) }
    }
}

/// The nodes of a tree, children behind their parents, from nodes in any order with the root first.
///
/// What an inner node would add as a leaf is the mean of its leaves, weighted by their covers.
fn grow(sketches: Vec<Sketch>) -> Result<Vec<Node>, String> {
    let mut sketches: Vec<Option<Sketch>> = sketches.into_iter().map(Some).collect();
    let mut nodes: Vec<Node> = Vec::with_capacity(sketches.len());
    let mut next = vec![(0, None)];
    while let Some((at, parent)) = next.pop() {
        let count = sketches.len();
        let sketch = match sketches.get_mut(at).map(Option::take) {
            Some(Some(sketch)) => sketch,
            Some(None) => return Err(format!("node {at} has two parents")),
            None => return Err(format!("found a child {at}, of {count} nodes")),
        };
        let here = nodes.len();
        match parent {
            Some((parent, true)) => nodes[parent as usize].left = here as u32,
            Some((parent, false)) => nodes[parent as usize].right = here as u32,
            None => {}
        }
        nodes.push(sketch.node);
        if let Some((left, right)) = sketch.children {
            next.push((right, Some((here as u32, false))));
            next.push((left, Some((here as u32, true))));
        }
    }
    for i in (0..nodes.len()).rev() {
        if nodes[i].is_leaf() {
            continue;
        }
        let [left, right] = [nodes[i].left, nodes[i].right].map(|c| &nodes[c as usize]);
        let (a, b) = if left.cover > 0.0 && right.cover > 0.0 { (left.cover, right.cover) } else { (1.0, 1.0) };
        let value = left.value * (a / (a + b)) + right.value * (b / (a + b));
        nodes[i].value = if value.is_finite() { value } else { 0.0 };
    }
    Ok(nodes)
}

/// `f0`, `f1`, …
fn numbered(features: usize) -> Vec<String> {
    (0..features).map(|i| format!("f{i}")).collect()
}

/// The trees of each output with the beginning of the output added to the leaves of its first: for formats that have
/// no such number, or round it.
fn with_base(forest: &Forest) -> Vec<Vec<Tree>> {
    let mut trees: Vec<Vec<Tree>> = vec![Vec::new(); forest.outputs()];
    for tree in &forest.trees {
        trees[tree.output].push(tree.clone());
    }
    for (output, (trees, &base)) in trees.iter_mut().zip(&forest.base).enumerate() {
        if let Some(first) = trees.first_mut() {
            first.nodes.iter_mut().for_each(|node| node.value += base);
        } else {
            trees.push(Tree { output, nodes: vec![Node::leaf(base, 0.0)] });
        }
    }
    trees
}

/// The same trees round by round, one for each output, filled up with trees that add nothing.
fn rounds(mut trees: Vec<Vec<Tree>>) -> Vec<Tree> {
    let most = trees.iter().map(Vec::len).max().unwrap_or(0);
    for (output, trees) in trees.iter_mut().enumerate() {
        trees.resize_with(most, || Tree { output, nodes: vec![Node::leaf(0.0, 0.0)] });
    }
    let mut each: Vec<_> = trees.into_iter().map(Vec::into_iter).collect();
    (0..most).flat_map(|_| each.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect()
}

/// The least number of single precision that is not below `cut`: x < cut and x < that are the same for every x of
/// single precision.
pub(crate) fn single_cut(cut: f64) -> f32 {
    let near = cut as f32;
    if f64::from(near) < cut { near.next_up() } else { near }
}

/// The largest number t for which x ≤ t is the same as x < cut for the x of the program's tables, which a forest of
/// single precision rounds first.
fn at_most(cut: f64, single: bool) -> f64 {
    if !single || !cut.is_finite() {
        return cut.next_down();
    }
    let above = single_cut(cut);
    let middle = f64::midpoint(f64::from(above.next_down()), f64::from(above));
    if middle.is_finite() && f64::from(middle as f32) >= f64::from(above) { middle.next_down() } else { middle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_keep_their_meaning_in_other_precisions() {
        for cut in [0.1, -0.1, 1.0, 1.0 + 1e-12, -3.7e-30, 1e20, 0.0, f64::from(0.3f32)] {
            for x in [(cut as f32).next_down(), cut as f32, (cut as f32).next_up()] {
                assert_eq!(f64::from(x) < cut, x < single_cut(cut), "{x} {cut}");
            }
            let rounded = |x: f64| f64::from(x as f32);
            for single in [true, false] {
                let t = at_most(cut, single);
                let [low, high] = [(cut as f32).next_down(), (cut as f32).next_up()].map(f64::from);
                let near = [cut, cut.next_down(), cut.next_up(), t, t.next_down(), t.next_up(), low, high];
                for x in near {
                    let seen = if single { rounded(x) } else { x };
                    assert_eq!(seen < cut, x <= t, "{x} {cut} {single}");
                }
            }
        }
    }

    #[test]
    fn children_come_behind_their_parents() {
        let inner = |left, right| Sketch::inner(0, Test::Below(1.0), false, (left, right), 1.0, 4.0);
        let nodes = grow(vec![
            inner(2, 1),
            Sketch::leaf(1.0, 3.0),
            inner(3, 4),
            Sketch::leaf(2.0, 1.0),
            Sketch::leaf(4.0, 1.0),
        ]);
        let nodes = nodes.unwrap_or_default();
        assert_eq!(
            nodes.iter().map(|n| (n.left, n.right)).collect::<Vec<_>>(),
            [(1, 4), (2, 3), (0, 0), (0, 0), (0, 0)]
        );
        assert_eq!(nodes[1].value, 3.0);
        assert!(grow(vec![inner(1, 1), Sketch::leaf(0.0, 0.0)]).is_err_and(|e| e.contains("two parents")));
        assert!(grow(vec![inner(0, 1), Sketch::leaf(0.0, 0.0)]).is_err_and(|e| e.contains("two parents")));
        assert!(grow(vec![inner(1, 7), Sketch::leaf(0.0, 0.0)]).is_err_and(|e| e.contains("child 7, of 2")));
        assert!(grow(Vec::new()).is_err());
    }
}
