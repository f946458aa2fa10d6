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
    let words = |value: &dyn Fn() -> Json| value().as_str().unwrap_or_default().replace('_', " ");
    let promises: Vec<String> = card.promises.iter().map(|p| words(&|| json!(p))).collect();
    let mut text = format!("{}: {}\n", card.name, card.title);
    text += &format!("  paper       {}, arXiv:{}\n", card.paper.authors, card.paper.arxiv);
    text += &format!("  sees        {}\n", card.input);
    text += &format!("  status      {}\n", words(&|| json!(card.status)));
    if let Some(n) = card.parameters {
        text += &format!("  parameters  {}\n", thousands(n));
    }
    text += &format!("  promises    {}\n", promises.join(", "));
    for (check, reason) in card.known_failures {
        text += &format!("  fails       {check}: {reason}\n");
    }
    text += "\nOptions with their defaults, as in an experiment file:\n\n[[method]]\n";
    text += &format!("name = \"{}\"\n{}", card.name, toml_of(method.defaults())?);
    super::print(&text);
    Ok(())
}

fn toml_of(mut value: Json) -> Result<String> {
    crate::experiment::without_nulls(&mut value);
    toml::to_string(&value).map_err(|e| Failure::Usage(e.to_string()))
}
