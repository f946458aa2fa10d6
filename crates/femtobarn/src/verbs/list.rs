//! `fb list`.

use fb_methods::METHODS;

use crate::failure::Result;
use crate::results::thousands;

/// List the methods of the catalogue.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print their cards as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    if arguments.json {
        return super::print_json(&METHODS.iter().map(|m| m.card()).collect::<Vec<_>>());
    }
    let width = METHODS.iter().map(|m| m.card().name.len()).max().unwrap_or(0);
    for card in METHODS.iter().map(|m| m.card()) {
        let parameters = card.parameters.map_or_else(String::new, thousands);
        super::print(&format!(
            "{:width$}  {:>9}  {}  (arXiv:{})\n",
            card.name, parameters, card.title, card.paper.arxiv
        ));
    }
    Ok(())
}
