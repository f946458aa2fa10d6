//! `fb import`.

use std::path::{Path, PathBuf};

use fb_core::expression::Expression;
use fb_core::{Column, Data, Events, Input, Philox};
use fb_deploy::trees;
use fb_trees::{Forest, Test};
use serde_json::json;

use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::folder;
use crate::pipeline::{self, DataCard};
use crate::read::Rule;

/// Read a model of XGBoost (JSON), LightGBM (text) or TMVA (weights XML) into a run folder.
///
/// `fb predict`, `fb export` and `fb verify` then work as for a model that was trained here. The features are columns of
/// the names in the file, or those given with `--features`; where TMVA's are expressions, they are computed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The model file.
    model: PathBuf,
    /// The run folder.
    #[arg(short, long)]
    out: PathBuf,
    /// Columns that the features are, in their order, with commas between [default: as in the file].
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    features: Vec<String>,
    /// Values of columns that stand for a missing one, besides NaN, with commas between.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "NUMBER")]
    missing: Vec<f64>,
}

/// The method that holds imported forests.
const METHOD: &str = "bdt";
/// Its label, and so the column of its scores.
const LABEL: &str = "score";
/// Events that exports are verified on.
const REFERENCE_EVENTS: usize = 200;

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let model = &arguments.model;
    let (format, imported) = trees::read(&folder::read(model)?)?;
    let names = if arguments.features.is_empty() { imported.names } else { arguments.features.clone() };
    if names.len() != imported.forest.features {
        let (found, expected) = (names.len(), imported.forest.features);
        return Err(Failure::Usage(format!("`--features`: found {found} columns, expected {expected}")));
    }
    check_names(&names, format)?;
    let title = format!("{} ({})", fb_io::name(model), format.name());
    let experiment = experiment(&title)?;
    let input = Input::Columns { variables: names, missing: arguments.missing.clone() };
    let header = json!({ "method": METHOD, "config": experiment.method[0].config, "input": input });
    let artifact = imported.forest.artifact(header);
    let home = folder::create(Some(&arguments.out), LABEL)?;
    let path = home.join(pipeline::model_path(&experiment, LABEL));
    if let Some(folder) = path.parent() {
        let fail = |source| fb_io::Error::System { what: "create", path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    fb_io::write_whole(&path, &artifact.to_bytes()?)?;
    fb_io::write(&home.join("reference.parquet"), &reference(&imported.forest, &input)?)?;
    let rule = Rule { files: Vec::new(), ..Rule::new(&without_files(&experiment.read))? };
    pipeline::write_json(&home.join("data.json"), &DataCard { rule, sources: Vec::new() })?;
    // Last, so that a folder that was not finished is none.
    fb_io::write_whole(&home.join("experiment.toml"), experiment.to_toml()?.as_bytes())?;
    super::print(&format!(
        "{}  {} trees, {} features, {} outputs  {}\n",
        format.name(),
        imported.forest.trees.len(),
        imported.forest.features,
        imported.forest.outputs(),
        shown(&home)
    ));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Features are columns, but for TMVA, whose variables are expressions.
fn check_names(names: &[String], format: trees::Format) -> Result<()> {
    for name in names {
        let usable = match Expression::parse(name) {
            Ok(Expression::Name(_)) => true,
            Ok(_) => format == trees::Format::Tmva,
            Err(_) => false,
        };
        if !usable {
            let text =
                format!("the feature `{name}` is no name of a column; name the columns with `--features a,b,...`");
            return Err(Failure::Usage(text));
        }
    }
    Ok(())
}

/// The experiment of a run that has no events.
fn experiment(title: &str) -> Result<Experiment> {
    let text = json!({
        "title": title,
        // Energies are taken as they are.
        "read": { "files": ["none (an imported model)"], "label": "label", "unit": "GeV" },
        "method": [{ "name": METHOD, "label": LABEL }],
    });
    let text = toml::to_string(&text).map_err(|e| Failure::Usage(e.to_string()))?;
    Experiment::parse(&text, title, &[])
}

fn without_files(read: &crate::experiment::Read) -> crate::experiment::Read {
    crate::experiment::Read { files: Vec::new(), ..read.clone() }
}

/// Events around the cuts of a forest, some with missing values: what its exports are compared on.
fn reference(forest: &Forest, input: &Input) -> Result<Events> {
    let Input::Columns { variables, .. } = input else { return Ok(Events::default()) };
    let mut columns: Vec<Column> = Vec::new();
    for (i, variable) in variables.iter().enumerate() {
        let expression = Expression::parse(variable)?;
        let plain = matches!(expression, Expression::Name(_));
        let nodes = forest.trees.iter().flat_map(|t| &t.nodes).filter(|n| !n.is_leaf() && n.feature as usize == i);
        let tests: Vec<&Test> = nodes.map(|n| &n.test).collect();
        for name in expression.names() {
            if columns.iter().any(|c| c.name == name) {
                continue;
            }
            let mut random = Philox::new(1, i as u64, columns.len() as u64);
            let values = (0..REFERENCE_EVENTS).map(|_| {
                let test = if tests.is_empty() { None } else { Some(tests[random.below(tests.len())]) };
                let x = match test {
                    _ if plain && random.below(20) == 0 => f64::NAN,
                    Some(Test::OneOf(set)) if set.is_empty() => 0.0,
                    Some(Test::OneOf(set)) => f64::from(set[random.below(set.len())]) + random.below(2) as f64,
                    Some(Test::Below(cut)) => cut * (1.0 + 0.2 * random.normal()) + 1e-3 * random.normal(),
                    None => random.normal(),
                };
                // The exports see single precision.
                if x.is_finite() { f64::from((x as f32).clamp(f32::MIN, f32::MAX)) } else { f64::NAN }
            });
            let values: Vec<f64> = values.collect();
            columns.push(Column::flat(name, Data::F64(values)));
        }
    }
    Ok(Events::new(columns)?)
}
