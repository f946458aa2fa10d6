//! A forest as a C++11 header without dependencies: tables of nodes and a loop over them.

use std::fmt::Write as _;

use fb_core::expression::Expression;
use fb_trees::{Forest, Link, Test};

use crate::Error;

/// The text of a header that gives the scores of `forest` in double precision.
///
/// `NAME::scores(x, out)` writes `NAME::classes` scores; where there are no more than two classes, `NAME::score(x)` is
/// that of class 1, or the only one. `x` holds the features in the order of `NAME::feature(i)`, NaN where one is missing,
/// or, where a feature is a column as it is, one of the numbers `missing`.
///
/// # Errors
/// [`Error::Unsupported`] for a name that is none in C++.
pub fn write(forest: &Forest, names: &[String], missing: &[f64], name: &str) -> Result<String, Error> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        let reason = format!("`{name}` is no name in C++: expected letters, digits and `_`");
        return Err(Error::Unsupported { reason });
    }
    let classes = forest.link.classes(forest.outputs());
    let mut text = format!(
        "// A forest of {} trees, written by femtobarn {}.\n//\n// double {name}::{}: {}\n//\n",
        forest.trees.len(),
        env!("CARGO_PKG_VERSION"),
        if classes > 2 { "scores(const double* x, double* out)" } else { "score(const double* x)" },
        meaning(forest.link, classes),
    );
    text += "// x holds the features in this order, NaN where one is missing";
    if !missing.is_empty() {
        let list: Vec<String> = missing.iter().map(|x| number(*x)).collect();
        let _ = write!(text, " (or, if it is a column, {}; in expressions, they give NaN)", list.join(" or "));
    }
    text += ":\n";
    for (i, feature) in names.iter().enumerate() {
        let _ = writeln!(text, "//   x[{i}] = {}", one_line(feature));
    }
    let guard = format!("FEMTOBARN_{}_HPP", name.to_uppercase());
    let _ = write!(text, "\n#ifndef {guard}\n#define {guard}\n\n#include <cmath>\n\nnamespace {name} {{\n\n");
    let _ = writeln!(text, "const int features = {};\nconst int outputs = {};", forest.features, forest.outputs());
    let _ = writeln!(text, "const int classes = {classes};\nconst int trees = {};\n", forest.trees.len());
    text += "/// The name of a feature.\ninline const char* feature(int i) {\n  static const char* const names[] = {\n";
    for feature in names {
        let _ = writeln!(text, "    \"{}\",", literal(&one_line(feature)));
    }
    text += "    \"\"};\n  return names[i];\n}\n\n";
    tables(&mut text, forest);
    let is_column = |name: &String| matches!(Expression::parse(name), Ok(Expression::Name(_)));
    list(&mut text, "int", "is_column", names.iter().map(|name| u8::from(is_column(name)).to_string()));
    let mut stands = String::new();
    for x in missing {
        let _ = write!(stands, " || (is_column()[i] != 0 && x == {})", number(*x));
    }
    let i = if missing.is_empty() { "" } else { " i" };
    let _ = writeln!(text, "inline bool is_missing(int{i}, double x) {{\n  return x != x{stands};\n}}\n");
    let round = if forest.single { "static_cast<double>(static_cast<float>(x[n.feature]))" } else { "x[n.feature]" };
    text += &EVALUATION.replace("@ROUNDED@", round);
    let _ =
        writeln!(text, "/// All {classes} scores of an event.\ninline void scores(const double* x, double* out) {{");
    text += "  double f[outputs];\n  detail::sums(x, f);\n";
    text += apply(forest.link);
    text += "}\n";
    if classes <= 2 {
        let _ = write!(
            text,
            "\n/// {}.\ninline double score(const double* x) {{\n  double out[classes];\n  scores(x, out);\n  return out[classes - 1];\n}}\n",
            meaning(forest.link, classes)
        );
    }
    let _ = write!(text, "\n}}  // namespace {name}\n\n#endif  // {guard}\n");
    Ok(text)
}

fn meaning(link: Link, classes: usize) -> &'static str {
    match link {
        Link::Logistic | Link::Votes => "probability of signal",
        Link::Symmetric => "score between -1 and 1",
        Link::Exp => "rate",
        Link::Identity => "value",
        Link::Sigmoids => "probability of each class on its own",
        Link::Softmax | Link::OneVsRest | Link::Shares if classes == 2 => "probability of class 1",
        Link::Softmax | Link::OneVsRest | Link::Shares => "probability of each class",
    }
}

fn one_line(text: &str) -> String {
    // A stroke at the end of a comment would continue it.
    let ends = |c: char| c == '\\' || c.is_whitespace();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim_end_matches(ends).to_owned()
}

fn literal(text: &str) -> String {
    // `??` could begin a trigraph.
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('?', "\\?")
}

fn number(x: f64) -> String {
    if x.is_finite() {
        format!("{x:?}")
    } else {
        let sign = if x > 0.0 { "" } else { "-" };
        format!("{sign}HUGE_VAL")
    }
}

fn tables(text: &mut String, forest: &Forest) {
    *text += "namespace detail {\n\n\
        // A leaf has left 0 and its value as cut. Events go left where x < cut, or, with a set of categories\n\
        // (of `size` members from `set` on), where x is one of them; NaN goes left where missing is 1.\n\
        struct Node {\n  double cut;\n  int feature;\n  int left;\n  int right;\n  int missing;\n  int set;\n  int size;\n};\n\n";
    let mut sets: Vec<u32> = Vec::new();
    *text += "inline const Node* nodes() {\n  static const Node table[] = {\n";
    let mut starts = Vec::with_capacity(forest.trees.len());
    let mut at = 0usize;
    for tree in &forest.trees {
        starts.push(at);
        for node in &tree.nodes {
            if node.is_leaf() {
                let _ = writeln!(text, "    {{{}, 0, 0, 0, 0, 0, -1}},", number(node.value));
                continue;
            }
            let (cut, set, size) = match &node.test {
                Test::Below(cut) => (number(*cut), 0, -1),
                Test::OneOf(set) => {
                    let start = sets.len();
                    sets.extend(set.iter());
                    ("0.0".to_owned(), start, set.len() as i64)
                }
            };
            let (left, right) = (at + node.left as usize, at + node.right as usize);
            let missing = u8::from(node.missing_left);
            let _ = writeln!(text, "    {{{cut}, {}, {left}, {right}, {missing}, {set}, {size}}},", node.feature);
        }
        at += tree.nodes.len();
    }
    *text += "    {0.0, 0, 0, 0, 0, 0, -1}};\n  return table;\n}\n\n";
    list(text, "long", "sets", sets.iter().map(ToString::to_string));
    list(text, "int", "roots", starts.iter().map(ToString::to_string));
    list(text, "int", "output", forest.trees.iter().map(|t| t.output.to_string()));
    list(text, "double", "base", forest.base.iter().map(|b| number(*b)));
}

/// A table of numbers with a zero at its end, so that it is never empty.
fn list(text: &mut String, kind: &str, name: &str, entries: impl Iterator<Item = String>) {
    let _ = write!(text, "inline const {kind}* {name}() {{\n  static const {kind} table[] = {{");
    for (i, entry) in entries.enumerate() {
        let gap = if i % 16 == 0 { "\n    " } else { " " };
        let _ = write!(text, "{gap}{entry},");
    }
    *text += "\n    0};\n  return table;\n}\n\n";
}

const EVALUATION: &str = "\
inline bool is_in(double x, const long* set, int size) {
  // Sets are sorted.
  int low = 0;
  int high = size;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    const double member = static_cast<double>(set[middle]);
    if (member == x) return true;
    if (member < x) low = middle + 1;
    else high = middle;
  }
  return false;
}

inline void sums(const double* x, double* f) {
  for (int k = 0; k < outputs; ++k) f[k] = base()[k];
  for (int t = 0; t < trees; ++t) {
    int at = roots()[t];
    while (nodes()[at].left != 0) {
      const Node& n = nodes()[at];
      const double value = @ROUNDED@;
      bool left = value < n.cut;
      if (is_missing(n.feature, x[n.feature])) left = n.missing != 0;
      else if (n.size >= 0) left = is_in(value, sets() + n.set, n.size);
      at = left ? n.left : n.right;
    }
    f[output()[t]] += nodes()[at].cut;
  }
}

inline double sigmoid(double x) {
  if (x >= 0.0) return 1.0 / (1.0 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1.0 + e);
}

inline void normalise(double* out) {
  double sum = 0.0;
  for (int k = 0; k < classes; ++k) sum += out[k];
  for (int k = 0; k < classes; ++k) out[k] = sum > 0.0 ? out[k] / sum : 1.0 / classes;
}

}  // namespace detail

";

/// From the sums `f` to the scores `out`.
fn apply(link: Link) -> &'static str {
    match link {
        Link::Identity => "  for (int k = 0; k < classes; ++k) out[k] = f[k];\n",
        Link::Exp => "  for (int k = 0; k < classes; ++k) out[k] = std::exp(f[k]);\n",
        Link::Symmetric => "  for (int k = 0; k < classes; ++k) out[k] = 2.0 * detail::sigmoid(2.0 * f[k]) - 1.0;\n",
        Link::Sigmoids => "  for (int k = 0; k < classes; ++k) out[k] = detail::sigmoid(f[k]);\n",
        Link::Logistic => "  out[0] = detail::sigmoid(-f[0]);\n  out[1] = detail::sigmoid(f[0]);\n",
        Link::Votes => {
            "  double p = 0.5 * (1.0 + f[0]);\n  p = p < 0.0 ? 0.0 : (p > 1.0 ? 1.0 : p);\n  out[0] = 1.0 - p;\n  out[1] = p;\n"
        }
        Link::Softmax => {
            "  double most = f[0];\n  for (int k = 1; k < classes; ++k) most = f[k] > most ? f[k] : most;\n\
             \x20 for (int k = 0; k < classes; ++k) out[k] = std::exp(f[k] - most);\n  detail::normalise(out);\n"
        }
        Link::OneVsRest => {
            "  for (int k = 0; k < classes; ++k) out[k] = detail::sigmoid(f[k]);\n  detail::normalise(out);\n"
        }
        Link::Shares => {
            "  for (int k = 0; k < classes; ++k) out[k] = f[k] > 0.0 ? f[k] : 0.0;\n  detail::normalise(out);\n"
        }
    }
}
