//! TMVA's weight files of boosted decision trees (`NAME.weights.xml`).
//!
//! Features and cuts are of single precision. A node of cut type 1 sends x ≥ cut to the right, one of cut type 0 to the
//! left; NaN counts as below the cut (TMVA's reader refuses such events). The scores are those of TMVA:
//!
//! - gradient boosting of two classes: 2/(1 + e^−2F) − 1, of several classes: e^Fₖ / Σ e^F, of a regression: F;
//! - all other boosting: Σ w·h / Σ w with h = ±1, or the purity of the leaf where `UseYesNoLeaf` is off.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fb_trees::{Forest, Link, Node, Test, Tree};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{Imported, MOST_FEATURES, Sketch, grow, rounds, single_cut, with_base};
use crate::Error;

fn fail(place: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Import { format: "TMVA", place: place.into(), reason: reason.into() }
}

/// The attributes of an element.
type Attributes = BTreeMap<String, String>;

/// A node as it stands in the file.
struct FileNode {
    attributes: Attributes,
    left: Option<usize>,
    right: Option<usize>,
}

/// What is gathered while the file is read.
#[derive(Default)]
struct Gathered {
    method: String,
    options: BTreeMap<String, String>,
    analysis: String,
    names: Vec<String>,
    classes: usize,
    transformations: usize,
    weights: Option<Attributes>,
    trees: Vec<(f64, Vec<Sketch>)>,
}

/// Reads the text of a weight file.
///
/// # Errors
/// [`Error::Import`] with the place.
pub fn read(text: &str) -> Result<Imported, Error> {
    let found = gather(text)?;
    if !found.method.starts_with("BDT") {
        return Err(fail("MethodSetup", format!("found the method `{}`, expected `BDT`", found.method)));
    }
    let weights = found.weights.as_ref().ok_or_else(|| fail("MethodSetup", "it has no `Weights`"))?;
    let trees: usize = number("Weights", weights, "NTrees")?;
    if trees != found.trees.len() {
        return Err(fail("Weights", format!("found {} trees, expected {trees}", found.trees.len())));
    }
    if found.transformations > 0 {
        let n = found.transformations;
        return Err(fail(
            "Transformations",
            format!("{n} of the variables are not supported; train with `VarTransform=None`"),
        ));
    }
    let preselects = found.flag("DoPreselection", false) || weights.keys().any(|key| key.starts_with("Preselection"));
    if preselects {
        return Err(fail("Options", "`DoPreselection` is not supported"));
    }
    let features = found.names.len();
    let grad = found.boost() == "Grad";
    let ours = |t: usize, sketches: Vec<Sketch>, output: usize| -> Result<Tree, Error> {
        Ok(Tree { output, nodes: grow(sketches).map_err(|reason| fail(format!("tree {t}"), reason))? })
    };
    let (base, link, outputs) = match found.analysis.as_str() {
        "multiclass" if grad => (0.0, Link::Softmax, found.classes),
        "multiclass" => {
            return Err(fail("Options", format!("`{}` of several classes is not supported", found.boost())));
        }
        "regression" if found.boost() == "AdaBoostR2" => {
            return Err(fail("Options", "`AdaBoostR2` takes a weighted median of trees, which is not supported"));
        }
        "regression" if grad => (found.trees.first().map_or(0.0, |t| t.0), Link::Identity, 1),
        _ if grad => (0.0, Link::Symmetric, 1),
        _ => (0.0, Link::Identity, 1),
    };
    if outputs == 0 || outputs > trees.max(1) {
        return Err(fail("Classes", format!("found {outputs}, expected at most one for each of {trees} trees")));
    }
    let weighted = found.flag("UseWeightedTrees", true);
    let weight = |boost: f64| if weighted { boost } else { 1.0 };
    let sum: f64 = found.trees.iter().map(|t| weight(t.0)).sum();
    let mut all = Vec::with_capacity(trees);
    for (t, (boost, mut sketches)) in found.trees.into_iter().enumerate() {
        if !grad {
            // Weights that sum to nothing give the score zero in TMVA.
            let share = if sum > f64::EPSILON { weight(boost) / sum } else { 0.0 };
            for sketch in &mut sketches {
                sketch.node.value *= share;
            }
        }
        all.push(ours(t, sketches, t % outputs)?);
    }
    let forest = Forest { features, base: vec![base; outputs], trees: all, link, single: true };
    forest.check()?;
    Ok(Imported { forest, names: found.names })
}

impl Gathered {
    fn boost(&self) -> &str {
        self.options.get("BoostType").map_or("AdaBoost", String::as_str)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.options.get(name).map_or(default, |text| ["true", "t", "1"].contains(&text.to_lowercase().as_str()))
    }
}

/// A number of an attribute.
fn number<T: std::str::FromStr>(place: &str, attributes: &Attributes, key: &str) -> Result<T, Error> {
    let text = attributes.get(key).ok_or_else(|| fail(place, format!("`{key}` is missing")))?;
    text.trim().parse().map_err(|_| fail(place, format!("`{key}`: found `{text}`, expected a number")))
}

/// A number of single precision.
fn single(place: &str, attributes: &Attributes, key: &str) -> Result<f64, Error> {
    Ok(f64::from(number::<f64>(place, attributes, key)? as f32))
}

fn gather(text: &str) -> Result<Gathered, Error> {
    let mut reader = Reader::from_str(text);
    let mut found = Gathered::default();
    // Of the option that is being read, its name; of the tree, its weight and its nodes; of these, the open ones.
    let mut option: Option<(String, String)> = None;
    let mut tree: Option<(f64, Vec<FileNode>)> = None;
    let mut open: Vec<usize> = Vec::new();
    loop {
        let place = |reader: &Reader<&[u8]>| format!("byte {}", reader.buffer_position());
        let event = reader.read_event().map_err(|e| fail(place(&reader), e.to_string()))?;
        let (element, closed) = match &event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::Text(part) => {
                if let Some((_, value)) = &mut option {
                    value.push_str(&part.xml10_content());
                }
                continue;
            }
            Event::End(element) => {
                match element.name().as_ref() {
                    "Node" => drop(open.pop()),
                    "BinaryTree" => found.finish(&mut tree)?,
                    "Option" => {
                        found.options.extend(option.take().map(|(name, value)| (name, value.trim().to_owned())));
                    }
                    _ => {}
                }
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let attributes = attributes(element).map_err(|reason| fail(place(&reader), reason))?;
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        match element.name().as_ref() {
            "Options" | "Variables" if found.weights.is_some() => {
                return Err(fail(place(&reader), "found options or variables behind `Weights`, expected them before"));
            }
            "MethodSetup" => found.method = text("Method"),
            "Info" if text("name") == "AnalysisType" => found.analysis = text("value").to_lowercase(),
            "Option" if !closed => option = Some((text("name"), String::new())),
            "Variable" => {
                let name = [text("Expression"), text("Label"), text("Internal")].into_iter().find(|n| !n.is_empty());
                let i: usize = number("Variable", &attributes, "VarIndex")?;
                if i != found.names.len() || i >= MOST_FEATURES {
                    return Err(fail("Variables", format!("found `VarIndex` {i}, expected {}", found.names.len())));
                }
                found.names.push(name.unwrap_or_else(|| format!("f{i}")));
            }
            "Classes" => found.classes = number("Classes", &attributes, "NClass")?,
            "Transformations" => {
                found.transformations = number("Transformations", &attributes, "NTransformations")?;
            }
            "Weights" => found.weights = Some(attributes),
            "BinaryTree" => {
                if tree.is_some() {
                    return Err(fail(place(&reader), "found a tree within a tree"));
                }
                let kind = text("type");
                if !["", "DecisionTree"].contains(&kind.as_str()) {
                    return Err(fail(
                        place(&reader),
                        format!("found a tree of type `{kind}`, expected `DecisionTree`"),
                    ));
                }
                open.clear();
                tree = Some((single("BinaryTree", &attributes, "boostWeight")?, Vec::new()));
                if closed {
                    found.finish(&mut tree)?;
                }
            }
            "Node" => {
                let Some((_, nodes)) = &mut tree else {
                    return Err(fail(place(&reader), "found a node outside of a tree"));
                };
                let here = nodes.len();
                match open.last().and_then(|&parent| nodes.get_mut(parent)) {
                    Some(parent) => {
                        let child = match text("pos").as_str() {
                            "l" => &mut parent.left,
                            "r" => &mut parent.right,
                            other => {
                                return Err(fail(place(&reader), format!("`pos`: found `{other}`, expected l or r")));
                            }
                        };
                        if child.replace(here).is_some() {
                            return Err(fail(place(&reader), "a node has two children on one side"));
                        }
                    }
                    None if here > 0 => return Err(fail(place(&reader), "a tree has two roots")),
                    None => {}
                }
                nodes.push(FileNode { attributes, left: None, right: None });
                if !closed {
                    open.push(here);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn attributes(element: &BytesStart<'_>) -> Result<Attributes, String> {
    let mut attributes = Attributes::new();
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?;
        attributes.insert(attribute.key.as_ref().to_owned(), value.into_owned());
    }
    Ok(attributes)
}

impl Gathered {
    /// Turns the nodes of a tree into those of a forest.
    fn finish(&mut self, tree: &mut Option<(f64, Vec<FileNode>)>) -> Result<(), Error> {
        let t = self.trees.len();
        let Some((boost, nodes)) = tree.take() else { return Ok(()) };
        let weights = self.weights.as_ref().ok_or_else(|| fail("Weights", "a tree stands before it"))?;
        let kind = if weights.contains_key("TreeType") { "TreeType" } else { "AnalysisType" };
        let regression = number::<u8>("Weights", weights, kind)? == 1;
        let votes = self.boost() != "Grad" && self.flag("UseYesNoLeaf", true);
        let mut sketches = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            let place = format!("tree {t}, node {i}");
            let of = &node.attributes;
            if of.get("NCoef").is_some_and(|n| n.trim() != "0") {
                return Err(fail(place, "it cuts on a Fisher discriminant (`UseFisherCuts`), which is not supported"));
            }
            let kind: i64 = number(&place, of, "nType")?;
            if kind != 0 {
                let value = match of.get("purity") {
                    _ if regression => single(&place, of, "res")?,
                    _ if votes => kind as f64,
                    Some(_) => single(&place, of, "purity")?,
                    // Early versions store the events of signal and of background.
                    None => {
                        let (s, b) = (single(&place, of, "nS")?, single(&place, of, "nB")?);
                        if s + b > 0.0 { s / (s + b) } else { 0.0 }
                    }
                };
                sketches.push(Sketch::leaf(value, 0.0));
                continue;
            }
            let (Some(left), Some(right)) = (node.left, node.right) else {
                return Err(fail(place, "it is no leaf and lacks a child"));
            };
            let feature: u32 = number(&place, of, "IVar")?;
            if feature as usize >= self.names.len() {
                return Err(fail(place, format!("variable {feature}, of {}", self.names.len())));
            }
            let cut = single(&place, of, "Cut")?;
            if cut.is_nan() {
                return Err(fail(place, "its cut is not a number"));
            }
            let children = match number::<i64>(&place, of, "cType")? {
                0 => (right, left),
                _ => (left, right),
            };
            sketches.push(Sketch::inner(feature, Test::Below(cut), true, children, 0.0, 0.0));
        }
        self.trees.push((boost, sketches));
        Ok(())
    }
}

/// What stands in a file besides the trees.
struct Style {
    analysis: &'static str,
    boost: &'static str,
    /// Sums are multiplied by this.
    factor: f64,
    /// Leaves hold their value as a purity, not as a response.
    purity: bool,
}

/// The text of a weight file that scores the same in TMVA: a forest of two classes as gradient boosting with F/2, whose
/// score there is 2p − 1; votes as adaptive boosting, whose score there is 2p − 1; several classes and regressions as
/// gradient boosting.
///
/// # Errors
/// [`Error::Unsupported`] for links that TMVA does not have, and for sets of categories.
pub fn write(forest: &Forest, names: &[String]) -> Result<String, Error> {
    let unsupported = |reason: String| Error::Unsupported { reason };
    let outputs = forest.outputs();
    let trees = rounds(with_base(forest));
    let style = |analysis, factor| Style { analysis, boost: "Grad", factor, purity: false };
    let style = match forest.link {
        Link::Logistic => style("Classification", 0.5),
        Link::Symmetric if outputs == 1 => style("Classification", 1.0),
        Link::Softmax => style("Multiclass", 1.0),
        Link::Identity if outputs == 1 => style("Regression", 1.0),
        // The score is a mean over trees there.
        Link::Votes => {
            Style { boost: "AdaBoost", factor: trees.len() as f64, purity: true, ..style("Classification", 1.0) }
        }
        link => return Err(unsupported(format!("TMVA has no boosting for the scores of this forest ({link:?})"))),
    };
    let mut text = head(&style, names, outputs, trees.len());
    for (t, tree) in trees.iter().enumerate() {
        let boost = if style.purity { 1.0 } else { 0.0 };
        let _ = writeln!(text, "    <BinaryTree type=\"DecisionTree\" boostWeight=\"{boost:e}\" itree=\"{t}\">");
        write_tree(&mut text, tree, &style).map_err(|reason| unsupported(format!("tree {t}, {reason}")))?;
        text += "    </BinaryTree>\n";
    }
    text += "  </Weights>\n</MethodSetup>\n";
    Ok(text)
}

fn head(style: &Style, names: &[String], outputs: usize, trees: usize) -> String {
    let mut text = "<?xml version=\"1.0\"?>\n<MethodSetup Method=\"BDT::BDT\">\n  <GeneralInfo>\n".to_owned();
    let info = [
        ("TMVA Release", "4.2.1 [262657]"),
        ("ROOT Release", "6.14/00 [396800]"),
        ("Creator", concat!("femtobarn ", env!("CARGO_PKG_VERSION"))),
        ("AnalysisType", style.analysis),
    ];
    for (name, value) in info {
        let _ = writeln!(text, "    <Info name=\"{name}\" value=\"{value}\"/>");
    }
    text += "  </GeneralInfo>\n  <Options>\n";
    let count = trees.to_string();
    for (name, value) in
        [("NTrees", count.as_str()), ("BoostType", style.boost), ("UseYesNoLeaf", "False"), ("DoPreselection", "False")]
    {
        let _ = writeln!(text, "    <Option name=\"{name}\" modified=\"Yes\">{value}</Option>");
    }
    let _ = writeln!(text, "  </Options>\n  <Variables NVar=\"{}\">", names.len());
    for (i, name) in names.iter().enumerate() {
        let shown = quick_xml::escape::escape(name.as_str());
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let internal: String = name.chars().map(plain).collect();
        let _ = writeln!(
            text,
            "    <Variable VarIndex=\"{i}\" Expression=\"{shown}\" Label=\"{shown}\" Title=\"{shown}\" Unit=\"\" \
             Internal=\"{internal}\" Type=\"F\" Min=\"0\" Max=\"0\"/>"
        );
    }
    text += "  </Variables>\n  <Spectators NSpec=\"0\"/>\n";
    let classes: Vec<String> = match style.analysis {
        "Regression" => vec!["Regression".to_owned()],
        "Multiclass" => (0..outputs).map(|k| format!("class{k}")).collect(),
        _ => vec!["Signal".to_owned(), "Background".to_owned()],
    };
    let _ = writeln!(text, "  <Classes NClass=\"{}\">", classes.len());
    for (k, name) in classes.iter().enumerate() {
        let _ = writeln!(text, "    <Class Name=\"{name}\" Index=\"{k}\"/>");
    }
    text += "  </Classes>\n";
    text += if style.analysis == "Regression" {
        "  <Targets NTrgt=\"1\">\n    <Target TargetIndex=\"0\" Expression=\"target\" Label=\"target\" Title=\"target\" \
         Unit=\"\" Internal=\"target\" Type=\"F\" Min=\"0\" Max=\"0\"/>\n  </Targets>\n"
    } else {
        "  <Targets NTrgt=\"0\"/>\n"
    };
    let kind = u8::from(!style.purity);
    let _ = writeln!(
        text,
        "  <Transformations NTransformations=\"0\"/>\n  <MVAPdfs/>\n  <Weights NTrees=\"{trees}\" AnalysisType=\"{kind}\">"
    );
    text
}

/// A node that is to be written, or the end of one.
enum Step {
    Open(u32, char, usize),
    Close(usize),
}

fn write_tree(text: &mut String, tree: &Tree, style: &Style) -> Result<(), String> {
    let mut steps = vec![Step::Open(0, 's', 0)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Close(depth) => {
                let _ = writeln!(text, "{:1$}</Node>", "", 6 + 2 * depth);
            }
            Step::Open(i, pos, depth) => {
                let node: &Node = &tree.nodes[i as usize];
                let value = (style.factor * node.value) as f32;
                if !value.is_finite() {
                    return Err(format!("node {i}: {} is beyond single precision", node.value));
                }
                let _ = write!(text, "{:1$}<Node pos=\"{pos}\" depth=\"{depth}\" NCoef=\"0\" ", "", 6 + 2 * depth);
                let (response, purity) = if style.purity { (0.0, value) } else { (value, 0.5) };
                if node.is_leaf() {
                    let kind = match (style.purity, value > 0.0) {
                        (true, true) => 1,
                        (true, false) => -1,
                        _ => -99,
                    };
                    let _ = writeln!(
                        text,
                        "IVar=\"-1\" Cut=\"0\" cType=\"1\" res=\"{response:e}\" rms=\"0\" purity=\"{purity:e}\" nType=\"{kind}\"/>"
                    );
                    continue;
                }
                let Test::Below(cut) = node.test else {
                    return Err(format!("node {i}: it asks for categories, which TMVA does not have"));
                };
                let cut = single_cut(cut).clamp(f32::MIN, f32::MAX);
                let _ = writeln!(
                    text,
                    "IVar=\"{}\" Cut=\"{cut:e}\" cType=\"1\" res=\"{response:e}\" rms=\"0\" purity=\"{purity:e}\" nType=\"0\">",
                    node.feature
                );
                steps.push(Step::Close(depth));
                steps.push(Step::Open(node.right, 'r', depth + 1));
                steps.push(Step::Open(node.left, 'l', depth + 1));
            }
        }
    }
    Ok(())
}
