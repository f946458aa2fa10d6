//! Workspaces: what was expected, what was observed, what is measured.

use std::collections::BTreeMap;

use fb_core::{Error, Result, closest};
use serde_json::Value;

use super::json::Node;

/// Channels, observations and measurements, as in the JSON schema 1.0.0 of pyhf.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// In the order of their names, which is the order of bins.
    pub channels: Vec<Channel>,
    /// Observed counts of the channels.
    pub observations: BTreeMap<String, Vec<f64>>,
    /// What can be asked.
    pub measurements: Vec<Measurement>,
}

/// A histogram.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// The number of its bins.
    pub bins: usize,
    /// In the order of their names.
    pub samples: Vec<Sample>,
}

/// What one process adds to a channel.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Nominal yields, one a bin.
    pub data: Vec<f64>,
    /// In the order of their names, then of their types.
    pub modifiers: Vec<Modifier>,
}

/// How a parameter changes a sample.
#[derive(Debug, Clone)]
pub struct Modifier {
    /// The name of the parameter.
    pub name: String,
    /// What it does.
    pub kind: ModifierKind,
}

/// What a modifier does; in the order in which its parameters come in a model.
#[derive(Debug, Clone, PartialEq)]
pub enum ModifierKind {
    /// Shifts the yields to these at ∓1.
    HistoSys {
        /// Yields at −1.
        lo: Vec<f64>,
        /// Yields at +1.
        hi: Vec<f64>,
    },
    /// Scales by the luminosity.
    Lumi,
    /// Scales by a free factor.
    NormFactor,
    /// Scales to these factors at ∓1.
    NormSys {
        /// Factor at −1.
        lo: f64,
        /// Factor at +1.
        hi: f64,
    },
    /// Scales each bin by a free factor.
    ShapeFactor,
    /// Scales each bin by a factor of its own, with these absolute errors.
    ShapeSys(Vec<f64>),
    /// Scales each bin by a factor common to all samples of the channel, with these absolute errors.
    StatError(Vec<f64>),
}

impl ModifierKind {
    pub(super) const NAMES: [&'static str; 7] =
        ["histosys", "lumi", "normfactor", "normsys", "shapefactor", "shapesys", "staterror"];

    /// The place in the order of types.
    pub(super) fn rank(&self) -> usize {
        match self {
            Self::HistoSys { .. } => 0,
            Self::Lumi => 1,
            Self::NormFactor => 2,
            Self::NormSys { .. } => 3,
            Self::ShapeFactor => 4,
            Self::ShapeSys(_) => 5,
            Self::StatError(_) => 6,
        }
    }

    /// `normsys`, for example.
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.rank()]
    }
}

/// A question to a workspace.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Its name.
    pub name: String,
    /// The parameter of interest; empty for none.
    pub poi: String,
    /// What it changes of parameters.
    pub parameters: Vec<ParameterConfig>,
}

/// What a measurement says of a parameter; each list has an entry a component.
#[derive(Debug, Clone, Default)]
pub struct ParameterConfig {
    /// The name of the parameter.
    pub name: String,
    /// Starting values.
    pub inits: Option<Vec<f64>>,
    /// Where it may go.
    pub bounds: Option<Vec<(f64, f64)>>,
    /// What was measured of it elsewhere.
    pub auxdata: Option<Vec<f64>>,
    /// The errors of that, if it is Gaussian.
    pub sigmas: Option<Vec<f64>>,
    /// Expected counts of that at a parameter of one, if it is Poissonian.
    pub factors: Option<Vec<f64>>,
    /// Whether it is kept at its starting value.
    pub fixed: Option<bool>,
}

impl Workspace {
    /// From the JSON of a workspace.
    ///
    /// # Errors
    /// [`Error::Model`] with the path of what is missing or of the wrong type or length.
    pub fn parse(json: &Value) -> Result<Self> {
        let root = Node::root(json, "workspace");
        if let Some(version) = root.get("version")?
            && version.value != "1.0.0"
        {
            return Err(version.error(format!("found {}, expected \"1.0.0\"", version.value)));
        }
        let mut channels: Vec<Channel> = root.need("channels")?.list()?.iter().map(channel).collect::<Result<_>>()?;
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        unique("workspace.channels", channels.iter().map(|channel| &channel.name))?;
        if channels.is_empty() {
            return Err(root.error("has no channels"));
        }
        let mut observations = BTreeMap::new();
        for node in root.need("observations")?.list()? {
            let (name, data) = (node.need("name")?.text()?, node.need("data")?);
            let bins = channels.iter().find(|channel| channel.name == name).map(|channel| channel.bins);
            let counts = bins.map_or_else(|| data.numbers(), |bins| data.bins(bins))?;
            if let Some(bin) = counts.iter().position(|count| *count < 0.0) {
                return Err(data.error(format!("bin {bin} holds {}; counts are not negative", counts[bin])));
            }
            if observations.insert(name.to_owned(), counts).is_some() {
                return Err(node.error(format!("channel `{name}` is observed twice")));
            }
        }
        if let Some(channel) = channels.iter().find(|channel| !observations.contains_key(&channel.name)) {
            let reason = format!("has nothing for channel `{}`", channel.name);
            return Err(Error::Model { place: "workspace.observations".to_owned(), reason });
        }
        let measurements = root.need("measurements")?.list()?.iter().map(measurement).collect::<Result<_>>()?;
        Ok(Self { channels, observations, measurements })
    }

    /// The measurement of this name, or the first.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest name; [`Error::Model`] if there is none at all.
    pub fn measurement(&self, name: Option<&str>) -> Result<&Measurement> {
        let Some(name) = name else {
            let none = || Error::Model { place: "workspace.measurements".to_owned(), reason: "is empty".to_owned() };
            return self.measurements.first().ok_or_else(none);
        };
        self.measurements.iter().find(|measurement| measurement.name == name).ok_or_else(|| Error::UnknownName {
            what: "measurement",
            name: name.to_owned(),
            closest: closest(name, self.measurements.iter().map(|measurement| measurement.name.as_str())),
        })
    }
}

fn channel(node: &Node) -> Result<Channel> {
    let name = node.need("name")?.text()?.to_owned();
    let list = node.need("samples")?;
    let nodes = list.list()?;
    let Some(first) = nodes.first() else { return Err(list.error("is empty")) };
    let bins = first.need("data")?.numbers()?.len();
    if bins == 0 {
        return Err(first.error("has no bins"));
    }
    let mut samples: Vec<Sample> = nodes.iter().map(|node| sample(node, bins)).collect::<Result<_>>()?;
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    unique(&list.path, samples.iter().map(|sample| &sample.name))?;
    Ok(Channel { name, bins, samples })
}

fn sample(node: &Node, bins: usize) -> Result<Sample> {
    let name = node.need("name")?.text()?.to_owned();
    let data = node.need("data")?.bins(bins)?;
    let list = node.need("modifiers")?;
    let mut modifiers: Vec<Modifier> = list.list()?.iter().map(|node| modifier(node, bins)).collect::<Result<_>>()?;
    modifiers.sort_by(|a, b| (&a.name, a.kind.name()).cmp(&(&b.name, b.kind.name())));
    if let Some(pair) =
        modifiers.windows(2).find(|pair| pair[0].name == pair[1].name && pair[0].kind.rank() == pair[1].kind.rank())
    {
        return Err(list.error(format!("has {} `{}` twice", pair[0].kind.name(), pair[0].name)));
    }
    Ok(Sample { name, data, modifiers })
}

fn modifier(node: &Node, bins: usize) -> Result<Modifier> {
    let name = node.need("name")?.text()?.to_owned();
    let kind = node.need("type")?;
    let data = || node.need("data");
    let kind = match kind.text()? {
        "histosys" => {
            let data = data()?;
            ModifierKind::HistoSys { lo: data.need("lo_data")?.bins(bins)?, hi: data.need("hi_data")?.bins(bins)? }
        }
        "lumi" => ModifierKind::Lumi,
        "normfactor" => ModifierKind::NormFactor,
        "normsys" => {
            let factor = |key| {
                let node = data()?.need(key)?;
                match node.number()? {
                    factor if factor > 0.0 => Ok(factor),
                    factor => {
                        Err(node.error(format!("found {factor}; factors between which to interpolate are positive")))
                    }
                }
            };
            ModifierKind::NormSys { lo: factor("lo")?, hi: factor("hi")? }
        }
        "shapefactor" => ModifierKind::ShapeFactor,
        "shapesys" => ModifierKind::ShapeSys(data()?.bins(bins)?),
        "staterror" => ModifierKind::StatError(data()?.bins(bins)?),
        other => {
            let hint = closest(other, ModifierKind::NAMES)
                .map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
            return Err(kind.error(format!("there is no modifier `{other}`{hint}")));
        }
    };
    Ok(Modifier { name, kind })
}

fn measurement(node: &Node) -> Result<Measurement> {
    let (name, config) = (node.need("name")?.text()?.to_owned(), node.need("config")?);
    let parameters = match config.get("parameters")? {
        Some(list) => list.list()?.iter().map(parameter).collect::<Result<Vec<_>>>()?,
        None => Vec::new(),
    };
    unique(&format!("{}.parameters", config.path), parameters.iter().map(|parameter| &parameter.name))?;
    Ok(Measurement { name, poi: config.need("poi")?.text()?.to_owned(), parameters })
}

fn parameter(node: &Node) -> Result<ParameterConfig> {
    let numbers = |key| node.get(key)?.map(|node| node.numbers()).transpose();
    let bounds = |node: Node| -> Result<Vec<(f64, f64)>> {
        let pair = |node: &Node| match node.numbers()?[..] {
            [low, high] if low <= high => Ok((low, high)),
            [low, high] => Err(node.error(format!("the lower bound {low} is above the upper bound {high}"))),
            _ => Err(node.error("expected two numbers, the bounds")),
        };
        node.list()?.iter().map(pair).collect()
    };
    Ok(ParameterConfig {
        name: node.need("name")?.text()?.to_owned(),
        inits: numbers("inits")?,
        bounds: node.get("bounds")?.map(bounds).transpose()?,
        auxdata: numbers("auxdata")?,
        sigmas: numbers("sigmas")?,
        factors: numbers("factors")?,
        fixed: node.get("fixed")?.map(|node| node.boolean()).transpose()?,
    })
}

fn unique<'a>(place: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Model { place: place.to_owned(), reason: format!("has `{name}` twice") });
        }
    }
    Ok(())
}
