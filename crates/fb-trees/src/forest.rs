//! A sum of decision trees: what every tree method trains, and what model files of other programs are read into.

use fb_core::{Artifact, Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// What an inner node asks of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Events with x < cut go left.
    Below(f64),
    /// Events whose category is one of these (sorted) go left, all others go right.
    OneOf(Box<[u32]>),
}

/// A node; a leaf where `left` is zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Which feature is asked for.
    pub feature: u32,
    /// What is asked.
    pub test: Test,
    /// Whether events without a value (NaN) go left.
    pub missing_left: bool,
    /// Index of the left child within the tree, larger than that of this node; zero for a leaf.
    pub left: u32,
    /// Index of the right child.
    pub right: u32,
    /// What a leaf adds to its output. Of inner nodes: what it would add as a leaf, for explanations.
    pub value: f64,
    /// Gain of the split in the objective.
    pub gain: f64,
    /// Sum of hessians (or of weights) of the training events in this node, for explanations.
    pub cover: f64,
}

impl Node {
    /// A leaf.
    pub fn leaf(value: f64, cover: f64) -> Self {
        Self { feature: 0, test: Test::Below(0.0), missing_left: false, left: 0, right: 0, value, gain: 0.0, cover }
    }

    /// Whether it has no children.
    pub fn is_leaf(&self) -> bool {
        self.left == 0
    }

    /// Whether an event with this value of the feature goes left.
    pub fn goes_left(&self, x: f64) -> bool {
        if x.is_nan() {
            return self.missing_left;
        }
        match &self.test {
            Test::Below(cut) => x < *cut,
            Test::OneOf(set) => {
                // Categories are whole numbers from zero.
                x >= 0.0 && x < f64::from(u32::MAX) && x.fract() == 0.0 && set.binary_search(&(x as u32)).is_ok()
            }
        }
    }
}

/// A decision tree; its root is node 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The output that it adds to.
    pub output: usize,
    /// Its nodes, children behind their parents.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The leaf that an event falls into.
    pub fn leaf(&self, row: &[f64]) -> &Node {
        let mut node = &self.nodes[0];
        while !node.is_leaf() {
            let left = node.goes_left(row[node.feature as usize]);
            node = &self.nodes[if left { node.left } else { node.right } as usize];
        }
        node
    }

    /// Number of leaves.
    pub fn leaves(&self) -> usize {
        self.nodes.iter().filter(|n| n.is_leaf()).count()
    }

    /// Inner nodes between the root and the deepest leaf.
    pub fn depth(&self) -> usize {
        let mut depth = vec![0; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().filter(|(_, n)| !n.is_leaf()) {
            depth[node.left as usize] = depth[i] + 1;
            depth[node.right as usize] = depth[i] + 1;
        }
        depth.into_iter().max().unwrap_or(0)
    }
}

/// How the outputs of a forest become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// As they are: a regression.
    #[default]
    Identity,
    /// p = 1 / (1 + e^−F) of one output: two classes.
    Logistic,
    /// e^Fₖ / Σ e^F: several classes.
    Softmax,
    /// 1 / (1 + e^−Fₖ) of each output on its own, divided by their sum: one against the rest.
    OneVsRest,
    /// 1 / (1 + e^−Fₖ) of each output on its own, not normalised.
    Sigmoids,
    /// e^F: rates.
    Exp,
    /// 2 / (1 + e^−2F) − 1, in [−1, 1]: gradient boosting of TMVA.
    Symmetric,
    /// p = (1 + F)/2, bounded to [0, 1]: votes of −1 and 1.
    Votes,
    /// Shares of classes as they are, divided by their sum: random forests.
    Shares,
}

/// 1 / (1 + e^−x).
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

impl Link {
    /// Number of classes of a forest with `outputs` outputs; one where the score is a number and no probability.
    pub fn classes(self, outputs: usize) -> usize {
        match self {
            Self::Logistic | Self::Votes => 2,
            _ => outputs,
        }
    }

    /// The scores of an event from its outputs.
    pub fn apply(self, f: &[f64], scores: &mut Vec<f64>) {
        let normalised = |shares: Vec<f64>, scores: &mut Vec<f64>| {
            let sum: f64 = shares.iter().sum();
            let n = shares.len() as f64;
            scores.extend(shares.iter().map(|s| if sum > 0.0 { s / sum } else { 1.0 / n }));
        };
        match self {
            Self::Identity => scores.extend(f),
            Self::Exp => scores.extend(f.iter().map(|f| f.exp())),
            Self::Symmetric => scores.extend(f.iter().map(|f| 2.0 * sigmoid(2.0 * f) - 1.0)),
            Self::Sigmoids => scores.extend(f.iter().map(|&f| sigmoid(f))),
            Self::Logistic => scores.extend([sigmoid(-f[0]), sigmoid(f[0])]),
            Self::Votes => {
                let p = (0.5 * (1.0 + f[0])).clamp(0.0, 1.0);
                scores.extend([1.0 - p, p]);
            }
            Self::Softmax => {
                let max = f.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                normalised(f.iter().map(|f| (f - max).exp()).collect(), scores);
            }
            Self::OneVsRest => normalised(f.iter().map(|&f| sigmoid(f)).collect(), scores),
            Self::Shares => normalised(f.iter().map(|f| f.max(0.0)).collect(), scores),
        }
    }
}

/// A forest: output k of an event is `base[k]` plus the leaf values of all trees of output k.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// Number of features.
    pub features: usize,
    /// Where the outputs begin, one number each.
    pub base: Vec<f64>,
    /// The trees in the order in which they were grown.
    pub trees: Vec<Tree>,
    /// How outputs become scores.
    pub link: Link,
    /// Whether features are rounded to single precision before they are compared, as XGBoost, TMVA and we do.
    pub single: bool,
}

/// The blocks of an artifact that hold a forest, one number per node each.
const BLOCKS: [&str; 8] = ["feature", "cut", "missing_left", "left", "right", "value", "gain", "cover"];

fn broken(reason: impl std::fmt::Display) -> Error {
    Error::Artifact { reason: reason.to_string() }
}

impl Forest {
    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.base.len()
    }

    /// Multiplies all outputs.
    pub fn scale(&mut self, factor: f64) {
        self.base.iter_mut().for_each(|b| *b *= factor);
        self.trees.iter_mut().flat_map(|t| &mut t.nodes).for_each(|n| n.value *= factor);
    }

    /// The features as they are compared with cuts.
    pub fn rounded(&self, x: f64) -> f64 {
        if self.single { f64::from(x as f32) } else { x }
    }

    /// The outputs of one event, tree by tree: the definition that faster ways are held to.
    pub fn outputs_of(&self, row: &[f64]) -> Vec<f64> {
        let row: Vec<f64> = row.iter().map(|&x| self.rounded(x)).collect();
        let mut f = self.base.clone();
        for tree in &self.trees {
            f[tree.output] += tree.leaf(&row).value;
        }
        f
    }

    /// The scores of one event.
    pub fn scores_of(&self, row: &[f64]) -> Vec<f64> {
        let mut scores = Vec::new();
        self.link.apply(&self.outputs_of(row), &mut scores);
        scores
    }

    /// Refuses what cannot be evaluated: children that do not lie behind their parent, features that are not there,
    /// numbers that are not finite.
    ///
    /// # Errors
    /// [`Error::Artifact`] with tree and node.
    pub fn check(&self) -> Result<()> {
        if self.base.is_empty() {
            return Err(broken("it has no output"));
        }
        if matches!(self.link, Link::Logistic | Link::Votes) && self.base.len() != 1 {
            return Err(broken(format!("{} outputs, expected one for two classes", self.base.len())));
        }
        if let Some(base) = self.base.iter().find(|b| !b.is_finite()) {
            return Err(broken(format!("an output begins at {base}")));
        }
        for (t, tree) in self.trees.iter().enumerate() {
            if tree.output >= self.base.len() {
                return Err(broken(format!("tree {t} adds to output {}, of {}", tree.output, self.base.len())));
            }
            if tree.nodes.is_empty() {
                return Err(broken(format!("tree {t} has no node")));
            }
            let mut parents = vec![0u8; tree.nodes.len()];
            for (i, node) in tree.nodes.iter().enumerate() {
                let wrong = |what: String| Err(broken(format!("tree {t}, node {i}: {what}")));
                if !node.value.is_finite() || !node.gain.is_finite() || !node.cover.is_finite() {
                    return wrong(format!("value {}, gain {}, cover {}", node.value, node.gain, node.cover));
                }
                if node.is_leaf() {
                    continue;
                }
                if node.feature as usize >= self.features {
                    return wrong(format!("feature {}, of {}", node.feature, self.features));
                }
                if matches!(node.test, Test::Below(cut) if cut.is_nan()) {
                    return wrong("its cut is not a number".to_owned());
                }
                for child in [node.left as usize, node.right as usize] {
                    match parents.get_mut(child) {
                        Some(seen @ 0) if child > i => *seen = 1,
                        _ => return wrong(format!("child {child} of {} nodes", tree.nodes.len())),
                    }
                }
            }
        }
        Ok(())
    }

    /// As an artifact, with this header.
    pub fn artifact(&self, mut header: Json) -> Artifact {
        header["forest"] = json!({"features": self.features, "link": self.link, "single": self.single});
        let nodes = || self.trees.iter().flat_map(|t| &t.nodes);
        let count = nodes().count();
        let block = |name: &str, values: Vec<f64>| Tensor { name: name.to_owned(), shape: vec![values.len()], values };
        let column = |pick: &dyn Fn(&Node) -> f64| nodes().map(pick).collect::<Vec<f64>>();
        // A set of categories has no cut; its members stand in a block of their own, with their number.
        let cut = |n: &Node| match &n.test {
            Test::Below(cut) => *cut,
            Test::OneOf(_) => f64::NAN,
        };
        let columns: [Vec<f64>; 8] = [
            column(&|n| f64::from(n.feature)),
            column(&cut),
            column(&|n| f64::from(u8::from(n.missing_left))),
            column(&|n| f64::from(n.left)),
            column(&|n| f64::from(n.right)),
            column(&|n| n.value),
            column(&|n| n.gain),
            column(&|n| n.cover),
        ];
        debug_assert!(columns.iter().all(|c| c.len() == count));
        let mut doubles: Vec<_> = BLOCKS.iter().zip(columns).map(|(name, values)| block(name, values)).collect();
        let mut sets = Vec::new();
        for node in nodes() {
            if let Test::OneOf(set) = &node.test {
                sets.push(set.len() as f64);
                sets.extend(set.iter().map(|&c| f64::from(c)));
            }
        }
        doubles.push(block("sets", sets));
        doubles.push(block("outputs", self.trees.iter().map(|t| t.output as f64).collect()));
        doubles.push(block("sizes", self.trees.iter().map(|t| t.nodes.len() as f64).collect()));
        doubles.push(block("base", self.base.clone()));
        Artifact { header, tensors: Vec::new(), doubles }
    }

    /// The forest of an artifact, checked.
    ///
    /// # Errors
    /// [`Error::Artifact`] if it holds none, or one that [`Forest::check`] refuses.
    pub fn from_artifact(artifact: &Artifact) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            features: usize,
            link: Link,
            single: bool,
        }
        let head: Head = serde_json::from_value(artifact.header["forest"].clone())
            .map_err(|e| broken(format!("`forest` in the header: {e}")))?;
        let whole = |x: f64| {
            let n = x as u32;
            if f64::from(n) == x { Ok(n) } else { Err(broken(format!("found {x}, expected a whole number"))) }
        };
        let mut columns: [&[f64]; 8] = [&[]; 8];
        for (column, name) in columns.iter_mut().zip(BLOCKS) {
            *column = artifact.double(name)?;
        }
        let count = columns[0].len();
        if columns.iter().any(|c| c.len() != count) {
            return Err(broken("its blocks differ in length"));
        }
        let (outputs, sizes) = (artifact.double("outputs")?, artifact.double("sizes")?);
        if outputs.len() != sizes.len() {
            return Err(broken("its blocks differ in length"));
        }
        let mut sets = artifact.double("sets")?.iter();
        let mut set = || -> Result<Box<[u32]>> {
            let n = whole(*sets.next().ok_or_else(|| broken("a set of categories is missing"))?)? as usize;
            let set: Box<[u32]> = sets.by_ref().take(n).map(|&c| whole(c)).collect::<Result<_>>()?;
            if set.len() != n || !set.is_sorted_by(|a, b| a < b) {
                return Err(broken("a set of categories is not whole or not sorted"));
            }
            Ok(set)
        };
        let (mut trees, mut at) = (Vec::new(), 0usize);
        for (&output, &size) in outputs.iter().zip(sizes) {
            let end = at.saturating_add(whole(size)? as usize);
            if end > count {
                return Err(broken(format!("its trees have more than {count} nodes")));
            }
            let mut nodes = Vec::with_capacity(end - at);
            for row in (at..end).map(|node| columns.map(|column| column[node])) {
                let [feature, cut, missing_left, left, right, value, gain, cover] = row;
                let left = whole(left)?;
                let test = if left > 0 && cut.is_nan() { Test::OneOf(set()?) } else { Test::Below(cut) };
                nodes.push(Node {
                    feature: whole(feature)?,
                    test,
                    missing_left: missing_left != 0.0,
                    left,
                    right: whole(right)?,
                    value,
                    gain,
                    cover,
                });
            }
            trees.push(Tree { output: whole(output)? as usize, nodes });
            at = end;
        }
        if at != count {
            return Err(broken(format!("its trees have {at} nodes, expected {count}")));
        }
        let forest = Self {
            features: head.features,
            base: artifact.double("base")?.to_vec(),
            trees,
            link: head.link,
            single: head.single,
        };
        forest.check()?;
        Ok(forest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fall over")]
mod tests {
    use super::*;

    fn forest() -> Forest {
        let inner = |feature, test, left, right| Node {
            feature,
            test,
            missing_left: feature == 0,
            left,
            right,
            value: 0.5,
            gain: 1.0,
            cover: 3.0,
        };
        let nodes = vec![
            inner(0, Test::Below(0.1), 1, 2),
            Node::leaf(1.0, 1.0),
            inner(1, Test::OneOf([2, 5].into()), 3, 4),
            Node::leaf(2.0, 1.0),
            Node::leaf(-3.0, 1.0),
        ];
        let stump = vec![Node::leaf(0.25, 3.0)];
        let trees = vec![Tree { output: 0, nodes }, Tree { output: 0, nodes: stump }];
        Forest { features: 2, base: vec![0.5], trees, link: Link::Logistic, single: true }
    }

    #[test]
    fn events_fall_into_leaves() {
        let forest = forest();
        assert_eq!(forest.outputs_of(&[0.0, 0.0]), [1.75]);
        assert_eq!(forest.outputs_of(&[f64::NAN, 0.0]), [1.75]);
        assert_eq!(forest.outputs_of(&[f64::from(0.1f32), 5.0]), [2.75], "0.1 in single precision is not below 0.1");
        assert_eq!(forest.outputs_of(&[1.0, 4.0]), [-2.25]);
        assert_eq!(forest.outputs_of(&[1.0, f64::NAN]), [-2.25]);
        assert!((forest.scores_of(&[0.0, 0.0])[1] - 1.0 / (1.0 + (-1.75f64).exp())).abs() < 1e-15);
        assert_eq!((forest.trees[0].depth(), forest.trees[0].leaves()), (2, 3));
    }

    #[test]
    fn artifacts_round_trip() {
        let artifact = forest().artifact(json!({"method": "bdt"}));
        let read = Artifact::from_bytes(&artifact.to_bytes().unwrap()).unwrap();
        assert_eq!(Forest::from_artifact(&read).unwrap(), forest());
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        let refused = |change: &dyn Fn(&mut Forest), says: &str| {
            let mut forest = forest();
            change(&mut forest);
            let message = forest.check().unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
            assert!(Forest::from_artifact(&forest.artifact(json!({}))).is_err());
        };
        refused(&|f| f.trees[0].nodes[2].left = 2, "node 2: child 2");
        refused(&|f| f.trees[0].nodes[2].left = 9, "child 9 of 5");
        refused(&|f| f.trees[0].nodes[0].right = 1, "child 1");
        refused(&|f| f.trees[0].nodes[0].feature = 7, "feature 7, of 2");
        refused(&|f| f.trees[0].nodes[1].value = f64::NAN, "value NaN");
        refused(&|f| f.trees[1].output = 1, "output 1, of 1");
        refused(&|f| f.trees[1].nodes.clear(), "no node");
    }
}
