//! The skeleton of a method, and its place in the list.

use anyhow::{Context as _, Result, bail};

use crate::root;

/// `taggers/lundnet`: writes `crates/fb-methods/src/taggers/lundnet.rs` and enters it in the lists.
pub fn write(path: &str) -> Result<()> {
    let Some((folder, name)) = path.split_once('/') else { bail!("expected FOLDER/NAME, as in taggers/lundnet") };
    let is_name = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_lowercase())
            && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !is_name(folder) || !is_name(name) {
        bail!("`{path}`: expected names in snake case");
    }
    let home = root().join("crates/fb-methods/src");
    let (list, module) = (home.join("lib.rs"), home.join(folder).join("mod.rs"));
    let file = home.join(folder).join(format!("{name}.rs"));
    if file.exists() {
        bail!("{} exists already", file.display());
    }
    let modules = std::fs::read_to_string(&module).with_context(|| module.display().to_string())?;
    let methods = std::fs::read_to_string(&list)?;
    let camel: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    std::fs::write(&file, skeleton(name, &camel))?;
    std::fs::write(&module, insert(&modules, "pub mod ", &format!("pub mod {name};"))?)?;
    let entry = format!("    &entry::<Neural<{folder}::{name}::{camel}>>(),");
    std::fs::write(&list, insert(&methods, "    &entry::<", &entry)?)?;
    println!("{}: fill it in, then `cargo xtask gen`", file.display());
    Ok(())
}

/// Adds a line to the block of lines that start with `prefix`, in alphabetic order.
fn insert(text: &str, prefix: &str, line: &str) -> Result<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let block: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].starts_with(prefix)).collect();
    let Some(last) = block.last() else { bail!("found no line that starts with `{prefix}`") };
    let at = block.iter().copied().find(|&i| lines[i] > line).unwrap_or(last + 1);
    lines.insert(at, line);
    Ok(lines.join("\n") + "\n")
}

fn skeleton(name: &str, camel: &str) -> String {
    format!(
        r#"//! {camel} (arXiv:0000.00000): what it does, in one sentence.
//!
//! Sees what [particle, feature], in which units. When to use it.

use fb_core::{{Card, Input, Paper, Promise, Result, Status, Task, Variable}};
use fb_nn::{{Graph, Train}};
use schemars::JsonSchema;
use serde::{{Deserialize, Serialize}};

use super::{{cloud, dense, logits}};
use crate::neural::Network;

/// Options of {camel}; the defaults are the paper's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {{
    /// Constituents that are kept, the hardest first.
    pub max: usize,
    /// What it sees of a constituent.
    pub variables: Vec<Variable>,
    /// Widths of the layers.
    pub layers: Vec<usize>,
    /// How it is trained.
    pub train: Train,
}}

impl Default for Config {{
    fn default() -> Self {{
        let variables = ["log(pt)", "deta(jet)", "dphi(jet)"].map(Variable::plain).to_vec();
        Self {{ max: 128, variables, layers: vec![64, 64], train: Train::default() }}
    }}
}}

/// {camel}.
pub struct {camel};

impl Network for {camel} {{
    const CARD: Card = Card {{
        name: "{name}",
        title: "{camel}",
        tasks: &[Task::Classify],
        input: "particle cloud",
        promises: &[Promise::PermutationInvariant, Promise::OnnxParity],
        paper: Paper {{ authors: "Authors", arxiv: "0000.00000" }},
        status: Status::Experimental,
        parameters: Some(4_546),
        known_failures: &[],
    }};
    type Config = Config;

    fn input(config: &Config) -> Result<Input> {{
        Ok(cloud(config.max, &config.variables))
    }}

    fn train(config: &Config) -> &Train {{
        &config.train
    }}

    fn build(config: &Config, classes: usize, graph: &mut Graph) -> Result<()> {{
        let x = dense(graph, Graph::INPUT, &config.layers);
        let x = graph.sum(x);
        logits(graph, x, classes);
        Ok(())
    }}
}}
"#
    )
}
