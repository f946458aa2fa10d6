//! `fb show`.

use serde_json::{Value as Json, json};

use crate::failure::{Failure, Result};
use crate::results::thousands;

/// Show a method: its card and its options with their defaults.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The method.
    method: String,
    /// Print card, defaults and JSON schema as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let method = fb_methods::method(&arguments.method)?;
    let card = method.card();
    if arguments.json {
        return super::print_json(&json!({"card": card, "defaults": method.defaults(), "schema": method.schema()}));
    }
    let words = |name: Json| name.as_str().unwrap_or_default().replace('_', " ");
    let promises: Vec<String> = card.promises.iter().map(|p| words(json!(p))).collect();
    let mut lines = vec![
        format!("{}: {}", card.name, card.title),
        format!("  paper       {}, arXiv:{}", card.paper.authors, card.paper.arxiv),
        format!("  sees        {}", card.input),
        format!("  status      {}", words(json!(card.status))),
        format!("  promises    {}", promises.join(", ")),
    ];
    lines.extend(card.parameters.map(|n| format!("  parameters  {}", thousands(n))));
    lines.extend(card.known_failures.iter().map(|(check, reason)| format!("  fails       {check}: {reason}")));
    lines.push("\nOptions with their defaults, as in an experiment file:\n".to_owned());
    let mut options = serde_json::Map::from_iter([("name".to_owned(), json!(card.name))]);
    options.extend(method.defaults().as_object().cloned().unwrap_or_default());
    lines.push(toml_of(json!({"method": [options]}))?);
    super::print(&lines.join("\n"));
    Ok(())
}

fn toml_of(mut value: Json) -> Result<String> {
    crate::experiment::without_nulls(&mut value);
    toml::to_string(&value).map_err(|e| Failure::Usage(e.to_string()))
}
