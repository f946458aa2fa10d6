//! All tracks of a jet at one vertex: what every way to find vertices is compared with.
//!
//! Nothing is learned. In a jet without decays it is right.

use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Layout, List, Method, Paper, Partition, Promise, Result, Run, Sample,
    Scores, Status, Task, Variable, Workers,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Options of the single vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A list column of the tracks, as `trk_pt`, of which only its lengths count.
    pub column: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { column: "trk_pt".to_owned() }
    }
}

impl Config {
    fn list(&self) -> List {
        List {
            name: self.column.split('_').next().unwrap_or_default().to_owned(),
            select: None,
            order: None,
            max: usize::MAX,
            layout: Layout::Cloud,
            reversed: false,
            variables: vec![Variable::plain(&self.column)],
        }
    }
}

/// The single vertex.
pub struct SingleVertex(Config);

impl Method for SingleVertex {
    const CARD: Card = Card {
        name: "single_vertex",
        title: "All tracks of a jet at one vertex",
        tasks: &[Task::Partition],
        input: "tracks",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Shlomi, Ganguly, Gross, Cranmer, Lipman et al.", arxiv: "2008.02831" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = Self;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Lists { event: Vec::new(), lists: vec![config.list()] })
    }

    fn fit(config: &Config, train: &Sample, _validation: &Sample, _run: &mut Run<'_>) -> Result<Self> {
        let fitted = Self(config.clone());
        fitted.of(&train.events)?;
        Ok(fitted)
    }

    fn load(artifact: &Artifact) -> Result<Self> {
        let config = serde_json::from_value(artifact.header["config"].clone());
        let config = config.map_err(|e| Error::Artifact { reason: format!("`config` in the header: {e}") })?;
        Ok(Self(config))
    }
}

impl SingleVertex {
    fn of(&self, events: &Events) -> Result<Partition> {
        let kept = fb_physics::lists::kept(&self.0.list(), events)?;
        let mut all = Partition::default();
        kept.all.windows(2).for_each(|o| all.push((o[0]..o[1]).map(|_| 0)));
        Ok(all)
    }
}

impl Fitted for SingleVertex {
    fn scores(&self, _events: &Events, _workers: &dyn Workers) -> Result<Scores> {
        Err(crate::neural::no_scores(Self::CARD.name))
    }

    fn partition(&self, events: &Events, _workers: &dyn Workers) -> Result<Option<Partition>> {
        self.of(events).map(Some)
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": Self::CARD.name, "config": self.0, "input": Self::input(&self.0)?});
        Ok(Artifact { header, tensors: Vec::new(), doubles: Vec::new() })
    }

    fn parameters(&self) -> usize {
        0
    }
}
