//! What is written from the cards: `docs/catalogue/*.md` and the table of methods in README.md.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use fb_core::{AnyMethod, Task};
use fb_methods::METHODS;
use femtobarn::results::thousands;
use serde_json::Value as Json;

use crate::root;

const BEGIN: &str = "<!-- methods: written by `cargo xtask gen` -->";
const END: &str = "<!-- end of methods -->";

/// Writes all of it.
pub fn write() -> Result<()> {
    for (path, text) in all()? {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What is not up to date.
pub fn stale() -> Result<Vec<String>> {
    let old = all()?.into_iter().filter(|(path, text)| std::fs::read_to_string(path).ok().as_ref() != Some(text));
    Ok(old.map(|(path, _)| format!("{}: not up to date, run `cargo xtask gen`", path.display())).collect())
}

fn all() -> Result<Vec<(PathBuf, String)>> {
    let catalogue = root().join("docs/catalogue");
    let mut files: Vec<(PathBuf, String)> =
        METHODS.iter().map(|m| (catalogue.join(format!("{}.md", m.card().name)), page(*m))).collect();
    let readme = root().join("README.md");
    let text = std::fs::read_to_string(&readme).context("README.md")?;
    let (before, rest) = text.split_once(BEGIN).context("README.md has no place for the table of methods")?;
    let (_, after) = rest.split_once(END).context("README.md: the table of methods does not end")?;
    files.push((readme, format!("{before}{BEGIN}\n{}{END}{after}", table())));
    Ok(files)
}

fn table() -> String {
    let mut text =
        String::from("| method | what it is | sees | parameters | paper |\n| --- | --- | --- | ---: | --- |\n");
    for card in METHODS.iter().map(|m| m.card()) {
        let parameters = card.parameters.map_or_else(String::new, thousands);
        let (name, paper) = (card.name, card.paper.arxiv);
        let _ = writeln!(
            text,
            "| [`{name}`](docs/catalogue/{name}.md) | {} | {} | {parameters} | [{paper}](https://arxiv.org/abs/{paper}) |",
            card.title, card.input
        );
    }
    text
}

fn page(method: &dyn AnyMethod) -> String {
    let card = method.card();
    let word = |json: Json| json.as_str().unwrap_or_default().replace('_', " ");
    let promises: Vec<String> = card.promises.iter().map(|p| word(serde_json::json!(p))).collect();
    let paper = card.paper;
    let mut text = format!("# {}\n\n{}.\n\n", card.name, card.title);
    let _ =
        writeln!(text, "- Paper: {}, [arXiv:{}](https://arxiv.org/abs/{})", paper.authors, paper.arxiv, paper.arxiv);
    let task = |task: &Task| match task {
        Task::Classify => "a probability per class",
        Task::Regress => "numbers",
        Task::Partition => "a group for each particle",
    };
    let tasks: Vec<&str> = card.tasks.iter().map(task).collect();
    let _ = writeln!(text, "- Task: {}\n- Sees: {}", tasks.join("; "), card.input);
    if let Some(parameters) = card.parameters {
        let _ = writeln!(text, "- Parameters by default: {}", thousands(parameters));
    }
    let _ = writeln!(
        text,
        "- Status: {}\n- Promises, held by tests: {}",
        word(serde_json::json!(card.status)),
        promises.join(", ")
    );
    for (check, reason) in card.known_failures {
        let _ = writeln!(text, "- Known to fail: {check}: {reason}");
    }
    let _ = writeln!(text, "\n| option | default | meaning |\n| --- | --- | --- |");
    let schema = method.schema();
    options(&mut text, "", &schema, &schema, &method.defaults());
    text
}

/// One line per option; those of `train` follow with their full names.
fn options(text: &mut String, prefix: &str, whole: &Json, schema: &Json, defaults: &Json) {
    let schema = resolved(whole, schema);
    for (key, value) in defaults.as_object().into_iter().flatten() {
        let property = &schema["properties"][key];
        let inner = resolved(whole, property);
        if value.is_object() && inner["properties"].is_object() {
            options(text, &format!("{prefix}{key}."), whole, inner, value);
            continue;
        }
        let meaning = property["description"].as_str().or(inner["description"].as_str()).unwrap_or_default();
        let meaning = meaning.replace('\n', " ").replace('|', "\\|");
        let default = if value.is_null() { "none".to_owned() } else { format!("`{}`", shown(value)) };
        let _ = writeln!(text, "| `{prefix}{key}` | {default} | {meaning} |");
    }
}

/// Variables by their expressions alone; all else as JSON.
fn shown(value: &Json) -> String {
    match value.as_array() {
        Some(list) if list.iter().all(|v| v["expression"].is_string()) && !list.is_empty() => {
            list.iter().filter_map(|v| v["expression"].as_str()).collect::<Vec<_>>().join(", ")
        }
        _ => value.to_string(),
    }
}

/// The schema that a reference stands for.
fn resolved<'a>(whole: &'a Json, schema: &'a Json) -> &'a Json {
    let target = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    target.and_then(|pointer| whole.pointer(pointer)).unwrap_or(schema)
}
