//! `fb export`.

use std::path::{Path, PathBuf};

use fb_core::{Artifact, Input};
use fb_deploy::trees::{cpp, lightgbm, tmva, xgboost};
use fb_trees::Forest;

use crate::console::Console;
use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::{folder, pipeline};

/// Write a model of a run in the format of another program.
///
/// Forests have all formats, networks ONNX. A format without FILE is written beside the model, where `fb verify` finds
/// it: model.xgboost.json, model.lightgbm.txt, model.tmva.xml, model.onnx, model.hpp. The features of a forest are the
/// variables of its method, in their order; ONNX computes them itself, from columns.
#[derive(Debug, clap::Args)]
#[allow(clippy::option_option, reason = "not asked for, asked for, asked for with a file")]
pub struct Arguments {
    /// The run folder.
    run: PathBuf,
    /// The label of the method [default: all].
    #[arg(long, value_name = "LABEL")]
    method: Option<String>,
    /// XGBoost's JSON, for `Booster(model_file=...)`.
    #[arg(long, value_name = "FILE")]
    xgboost: Option<Option<PathBuf>>,
    /// LightGBM's text, for `Booster(model_file=...)`.
    #[arg(long, value_name = "FILE")]
    lightgbm: Option<Option<PathBuf>>,
    /// TMVA's weight file. Its score of two classes is 2p - 1.
    #[arg(long, value_name = "FILE")]
    tmva: Option<Option<PathBuf>>,
    /// ONNX, preprocessing included.
    #[arg(long, value_name = "FILE")]
    onnx: Option<Option<PathBuf>>,
    /// A C++11 header without dependencies.
    #[arg(long, value_name = "FILE")]
    cpp: Option<Option<PathBuf>>,
}

/// A format that models are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Xgboost,
    Lightgbm,
    Tmva,
    Onnx,
    Cpp,
}

impl Door {
    pub const ALL: [Self; 5] = [Self::Xgboost, Self::Lightgbm, Self::Tmva, Self::Onnx, Self::Cpp];

    /// The name of the file beside the model.
    pub fn file(self) -> &'static str {
        match self {
            Self::Xgboost => "model.xgboost.json",
            Self::Lightgbm => "model.lightgbm.txt",
            Self::Tmva => "model.tmva.xml",
            Self::Onnx => "model.onnx",
            Self::Cpp => "model.hpp",
        }
    }

    /// How users call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xgboost => "xgboost",
            Self::Lightgbm => "lightgbm",
            Self::Tmva => "tmva",
            Self::Onnx => "onnx",
            Self::Cpp => "cpp",
        }
    }

    /// What the format leaves to its user.
    fn caution(self, artifact: &Artifact) -> Result<Option<String>> {
        let missing = match input(artifact)? {
            Input::Columns { missing, .. } if !missing.is_empty() => missing,
            _ => return Ok(None),
        };
        let list = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Ok(match self {
            Self::Xgboost | Self::Lightgbm => Some(format!(
                "values {list} stand for a missing one in the experiment, and NaN does in `{}`: replace them there",
                self.file()
            )),
            Self::Tmva => Some(format!("TMVA has no missing values: events with {list} get other scores there")),
            Self::Onnx | Self::Cpp => None,
        })
    }

    /// The model in this format; `name` is what a header calls it.
    fn write(self, artifact: &Artifact, name: &str) -> Result<Vec<u8>> {
        if self == Self::Onnx {
            return Ok(fb_deploy::onnx(artifact)?);
        }
        if !artifact.header["forest"].is_object() {
            let (method, door) = (artifact.method()?, self.name());
            let text = format!("`{method}` is no forest, which `--{door}` is for; try `--onnx`");
            return Err(Failure::Usage(text));
        }
        let forest = Forest::from_artifact(artifact)?;
        let (names, missing) = features(artifact)?;
        let text = match self {
            Self::Xgboost => xgboost::write(&forest, &names),
            Self::Lightgbm => lightgbm::write(&forest, &names),
            Self::Tmva => tmva::write(&forest, &names),
            Self::Cpp | Self::Onnx => cpp::write(&forest, &names, &missing, name),
        };
        Ok(text?.into_bytes())
    }
}

/// What a forest sees.
pub(super) fn input(artifact: &Artifact) -> Result<Input> {
    let read = serde_json::from_value(artifact.header["input"].clone());
    read.map_err(|e| fb_core::Error::Artifact { reason: format!("`input` in the header: {e}") }.into())
}

/// The features of a forest, which are the expressions of its variables, and the numbers that stand for a missing value.
fn features(artifact: &Artifact) -> Result<(Vec<String>, Vec<f64>)> {
    match input(artifact)? {
        Input::Columns { variables, missing } => Ok((variables, missing)),
        _ => Err(fb_core::Error::Artifact { reason: "a forest that sees no columns".to_owned() }.into()),
    }
}

pub(super) fn execute(arguments: &Arguments) -> Result<()> {
    let run = &arguments.run;
    let experiment = Experiment::read(&run.join("experiment.toml"), &[])?;
    let labels: Vec<&str> = match &arguments.method {
        Some(label) => vec![&experiment.find(label)?.label],
        None => experiment.method.iter().map(|m| m.label.as_str()).collect(),
    };
    let [xgboost, lightgbm, tmva, onnx, cpp] =
        [&arguments.xgboost, &arguments.lightgbm, &arguments.tmva, &arguments.onnx, &arguments.cpp];
    let files = [xgboost, lightgbm, tmva, onnx, cpp];
    let asked: Vec<(Door, Option<&Path>)> = Door::ALL
        .into_iter()
        .zip(files)
        .filter_map(|(door, file)| file.as_ref().map(|file| (door, file.as_deref())))
        .collect();
    if asked.is_empty() {
        let text = "name a format: `--xgboost`, `--lightgbm`, `--tmva`, `--onnx` or `--cpp`";
        return Err(Failure::Usage(text.to_owned()));
    }
    if labels.len() > 1
        && let Some((door, Some(file))) = asked.iter().find(|(_, file)| file.is_some())
    {
        let (door, file, labels) = (door.name(), file.display(), labels.join(", "));
        let text = format!("`--{door} {file}` is one file for several models; name one with `--method`: {labels}");
        return Err(Failure::Usage(text));
    }
    for label in labels {
        let path = run.join(pipeline::model_path(&experiment, label));
        let artifact =
            Artifact::from_bytes(&folder::read(&path)?).map_err(|source| Failure::In { path: path.clone(), source })?;
        for (door, file) in &asked {
            let file = file.map_or_else(|| path.with_file_name(door.file()), Path::to_owned);
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let mut name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                name.insert_str(0, "model_");
            }
            fb_io::write_whole(&file, &door.write(&artifact, &name)?)?;
            if let Some(text) = door.caution(&artifact)? {
                Console::default().warn(&format!("{label}: {text}"));
            }
            super::print(&format!("{label}  {}\n", file.display()));
        }
    }
    Ok(())
}
