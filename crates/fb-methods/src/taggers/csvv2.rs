//! CSVv2: shallow networks in categories of vertices, combined by their frequencies (CMS, arXiv:1712.07158, section 5.1).
//!
//! A jet belongs to the first category whose condition holds, else to the last: with a secondary vertex, with displaced
//! tracks that stand for one (a pseudo vertex), with neither. In each category c a network of one hidden layer, of twice as many nodes as
//! inputs, is trained on classes of equal sums of weights, so that its output p(k | x, c) is proportional to the likelihood
//! of class k. With the frequencies f(c | k) of the categories in the training part, which enter as a likelihood too, and the
//! shares π(k) of the classes, the probability of a class is π(k) f(c | k) p(k | x, c) over its sum. The paper trains b against c and b against light jets and adds the
//! two with weights of 1 to 3; one network with an output for each class takes their place here, and the experiment says
//! which classes are to be told apart. In training, jets are weighted so that all classes have the spectrum in pT and |η|
//! of b jets.

use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Layout, List, Method, Paper, Promise, Result, Run, Sample, Scores,
    Status, Task, Variable, Workers,
};
use fb_nn::{Activation, Schedule, Train};
use fb_physics::expression::{finite_names, flat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{logits, standard, tracks, vertices};
use crate::forest::count;
use crate::neural::{FittedNetwork, Plan, check_sample, classes, in_whole};
use crate::stages::Stages;
use crate::weights::{self, NegativeWeights, Normalise, Reweight};

/// A category of jets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// What it is called.
    pub name: String,
    /// Holds for jets that belong to it, unless they belong to an earlier one.
    pub select: String,
    /// Numbers of the jet that its network sees.
    pub event: Vec<Variable>,
    /// Objects in the jet that its network sees, laid out as sequences.
    pub lists: Vec<List>,
}

/// Options of CSVv2.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The categories; the last takes what belongs to none.
    pub vertex_categories: Vec<Category>,
    /// Nodes of the hidden layer for each input.
    pub nodes: usize,
    /// How the spectra of classes are made alike; none leaves them as they are.
    pub reweight: Option<Reweight>,
    /// How each network is trained.
    pub train: Train,
}

/// A track of good origin and clearly displaced.
const DISPLACED: &str = "abs(trk_d0) < 2 && trk_sd0_sig > 2";

impl Default for Config {
    fn default() -> Self {
        let track = || standard(["asinh(trk_sd0_sig)", "asinh(trk_z0_sig)", "trk_dr", "log(trk_pt / jet_pt)"]);
        let vertex = standard(["sv_mass", "sv_ntracks", "asinh(sv_flight_sig)", "sv_pt_fraction", "sv_cos_pointing"]);
        let category = |name: &str, select: String, own: &[String], vertex: Option<Vec<Variable>>| {
            let jet = ["log(jet_pt)", "abs(jet_eta)", "count(abs(trk_d0) < 2)"].map(str::to_owned);
            let event = jet.iter().chain(own).map(|e| Variable::standard(e).clipped(-5.0, 5.0)).collect();
            let vertex = vertex.map(|variables| vertices(1, Layout::Sequence, variables));
            let lists = std::iter::once(tracks(4, Layout::Sequence, track())).chain(vertex).collect();
            Category { name: name.to_owned(), select, event, lists }
        };
        let pseudo = [
            format!("count({DISPLACED})"),
            format!("sum(if({DISPLACED}, min(trk_sd0_sig, 20), 0))"),
            format!("sum(if({DISPLACED}, trk_pt, 0)) / jet_pt"),
        ];
        let train = Train { epochs: 50, batch: 256, schedule: Schedule::Cosine, ..Train::default() };
        Self {
            vertex_categories: vec![
                category("vertex", "sv_ntracks > 0".to_owned(), &[], Some(vertex)),
                category("pseudo_vertex", format!("count({DISPLACED}) > 1"), &pseudo, None),
                category("no_vertex", "1".to_owned(), &[], None),
            ],
            nodes: 2,
            reweight: Some(Reweight::jets()),
            train,
        }
    }
}

impl Config {
    /// The category of each event.
    fn categories(&self, events: &Events) -> Result<Vec<usize>> {
        let last = self.vertex_categories.len() - 1;
        let mut found = vec![last; events.len()];
        for (at, category) in self.vertex_categories.iter().enumerate().rev() {
            finite_names(&category.select, events)?;
            for (own, holds) in found.iter_mut().zip(flat(&category.select, events)?) {
                if fb_core::expression::is_true(holds) {
                    *own = at;
                }
            }
        }
        Ok(found)
    }

    fn check(&self) -> Result<()> {
        count("nodes", self.nodes, 1..=1000)?;
        count("vertex_categories", self.vertex_categories.len(), 1..=64)?;
        let names = self.vertex_categories.iter().map(|c| &c.name);
        for (i, name) in names.clone().enumerate() {
            if name.is_empty() || name.contains('/') || names.clone().skip(i + 1).any(|other| other == name) {
                let reason = format!("found the name `{name}`, expected another one for each, without `/`");
                return Err(Error::Config { place: "`vertex_categories`".to_owned(), reason });
            }
        }
        let lists = self.vertex_categories.iter().flat_map(|c| &c.lists);
        match lists.into_iter().find(|list| list.layout != Layout::Sequence) {
            None => Ok(()),
            Some(list) => {
                let reason = "found the layout `cloud`, expected `sequence`".to_owned();
                Err(Error::Config { place: format!("`vertex_categories`, list `{}`", list.name), reason })
            }
        }
    }
}

/// Events of one category.
fn of_category(categories: &[usize], category: usize) -> Vec<usize> {
    (0..categories.len()).filter(|&i| categories[i] == category).collect()
}

/// Share of a class that is added to its frequency in every category: none is impossible.
const LEAST: f64 = 1e-3;

/// CSVv2.
pub struct CsvV2;

impl Method for CsvV2 {
    const CARD: Card = Card {
        name: "csvv2",
        title: "CSVv2, shallow networks in categories of vertices",
        tasks: &[Task::Classify],
        input: "tracks, vertices and a table",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "CMS", arxiv: "1712.07158" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = FittedCsv;

    /// All that any of its categories sees.
    fn input(config: &Config) -> Result<Input> {
        config.check()?;
        let event = config.vertex_categories.iter().flat_map(|c| c.event.clone()).collect();
        let lists = config.vertex_categories.iter().flat_map(|c| c.lists.clone()).collect();
        Ok(Input::Lists { event, lists })
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedCsv> {
        config.check()?;
        config.train.check()?;
        let classes = classes(train);
        check_sample(train, validation, classes)?;
        let own = weights::treated(NegativeWeights::Keep, Normalise::None, train, Some(classes))?;
        let weights = config.reweight.as_ref().map_or_else(|| Ok(own.clone()), |r| r.apply(train, &own))?;
        let [of_train, of_validation] = [train, validation].map(|part| config.categories(&part.events));
        let (of_train, of_validation) = (of_train?, of_validation?);
        let mut stages = Stages::new(config, train, run)?;
        let mut networks = Vec::new();
        let mut sums = vec![vec![0.0; classes]; config.vertex_categories.len()];
        for (at, category) in config.vertex_categories.iter().enumerate() {
            let (own, others) = (of_category(&of_train, at), of_category(&of_validation, at));
            let part = train.take(&own);
            for &i in &own {
                sums[at][train.labels[i] as usize] += weights[i];
            }
            let seen = sums[at].iter().filter(|&&sum| sum > 0.0).count();
            // Where there is one class or none, the frequencies say all.
            if seen < 2 {
                networks.push(None);
                continue;
            }
            let factor = |class: usize| {
                if sums[at][class] > 0.0 { own.len() as f64 / (seen as f64 * sums[at][class]) } else { 0.0 }
            };
            let balanced: Vec<f64> = own.iter().map(|&i| weights[i] * factor(train.labels[i] as usize)).collect();
            let input = Input::Lists { event: category.event.clone(), lists: category.lists.clone() };
            let plan = Plan { method: Self::CARD.name, config: &category.name, input: &input, train: &config.train };
            let graph = plan.graph(|graph| {
                let width = graph.nodes[0].width.saturating_mul(config.nodes);
                let hidden = graph.linear(0, width, Activation::Tanh);
                // An output for each class, also of two, so that classes are told from it.
                logits(graph, hidden, classes);
                Ok(())
            })?;
            // Wrong numbers of the validation part are told about its own events.
            let fitted =
                fb_physics::features::fit(&input, &part.events, &part.weights).map_err(|e| in_whole(e, &own))?;
            let rest = validation.take(&others);
            fb_physics::features::prepare(&fitted, &rest.events).map_err(|e| in_whole(e, &others))?;
            let artifact = stages
                .next(run, |run| plan.fit(graph, &part, &balanced, &rest, run)?.artifact())
                .map_err(|e| in_whole(e, &own))?;
            networks.push(Some(FittedNetwork::load(&artifact)?));
        }
        let class = |k: usize| sums.iter().map(|row| row[k].max(0.0)).sum::<f64>();
        let all: f64 = (0..classes).map(class).sum();
        let categories = sums.len() as f64;
        // π(k) f(c | k)
        let joint = |row: &Vec<f64>, k: usize| {
            let frequency = (row[k].max(0.0) / class(k).max(f64::MIN_POSITIVE) + LEAST) / (1.0 + categories * LEAST);
            frequency * class(k) / all
        };
        let frequencies = sums.iter().map(|row| (0..classes).map(|k| joint(row, k)).collect()).collect();
        Ok(FittedCsv { config: config.clone(), networks, frequencies })
    }

    fn load(artifact: &Artifact) -> Result<FittedCsv> {
        let unreadable =
            |key: &str, e: &serde_json::Error| Error::Artifact { reason: format!("`{key}` in the header: {e}") };
        let config: Config =
            serde_json::from_value(artifact.header["config"].clone()).map_err(|e| unreadable("config", &e))?;
        config.check().map_err(|e| Error::Artifact { reason: e.to_string() })?;
        let frequencies: Vec<Vec<f64>> = serde_json::from_value(artifact.header["frequencies"].clone())
            .map_err(|e| unreadable("frequencies", &e))?;
        let classes = frequencies.first().map_or(0, Vec::len);
        let network = |category: &Category| match artifact.header["parts"].get(&category.name) {
            None => Ok(None),
            Some(_) => FittedNetwork::load(&artifact.part(&category.name)?).map(Some),
        };
        let networks = config.vertex_categories.iter().map(network).collect::<Result<Vec<_>>>()?;
        let fits =
            |row: &Vec<f64>| row.len() == classes && classes > 1 && row.iter().all(|f| *f >= 0.0 && f.is_finite());
        let agree = frequencies.len() == networks.len() && frequencies.iter().all(fits);
        if !agree || networks.iter().flatten().any(|network| network.classes() != classes) {
            let reason = "the networks do not fit the categories and classes".to_owned();
            return Err(Error::Artifact { reason });
        }
        Ok(FittedCsv { config, networks, frequencies })
    }
}

/// A trained tagger.
pub struct FittedCsv {
    config: Config,
    /// Of each category, unless its frequencies say all.
    networks: Vec<Option<FittedNetwork>>,
    /// [category, class] shares of all training events.
    frequencies: Vec<Vec<f64>>,
}

impl Fitted for FittedCsv {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        let classes = self.frequencies[0].len();
        let categories = self.config.categories(events)?;
        let mut values = vec![0.0; events.len() * classes];
        for (at, network) in self.networks.iter().enumerate() {
            let own = of_category(&categories, at);
            let likelihoods = match network {
                None => vec![1.0; own.len() * classes],
                Some(network) => network.scores(&events.take(&own), workers).map_err(|e| in_whole(e, &own))?.values,
            };
            for (&i, row) in own.iter().zip(likelihoods.chunks_exact(classes)) {
                let joint: Vec<f64> = row.iter().zip(&self.frequencies[at]).map(|(&p, f)| f64::from(p) * f).collect();
                let sum: f64 = joint.iter().sum();
                let of_class = |p: f64| if sum > 0.0 { p / sum } else { 1.0 / classes as f64 };
                let to = &mut values[i * classes..][..classes];
                to.iter_mut().zip(joint).for_each(|(x, p)| *x = of_class(p) as f32);
            }
        }
        Ok(Scores { classes, values })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": CsvV2::CARD.name, "config": self.config, "frequencies": self.frequencies});
        let mut whole = Artifact { header, tensors: Vec::new(), doubles: Vec::new() };
        for (category, network) in self.config.vertex_categories.iter().zip(&self.networks) {
            if let Some(network) = network {
                whole.add_part(&category.name, network.artifact()?);
            }
        }
        Ok(whole)
    }

    fn parameters(&self) -> usize {
        self.networks.iter().flatten().map(Fitted::parameters).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::run::{Alone, Nowhere};
    use fb_core::{Column, Data};

    use super::*;

    /// Where what a network sees says nothing, the frequencies of the categories and the shares of the classes are left.
    #[test]
    fn frequencies_of_categories_are_a_likelihood() {
        // (events of class 0, of class 1) in each category.
        let counts = [(30, 90), (50, 10), (20, 0)];
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for (category, (zeros, ones)) in counts.into_iter().enumerate() {
            for (label, n) in [(0, zeros), (1, ones)] {
                x.extend(std::iter::repeat_n(category as f64, n));
                labels.extend(std::iter::repeat_n(label, n));
            }
        }
        let n = labels.len();
        let sample = Sample {
            events: Events::new(vec![Column::flat("x", Data::F64(x))]).unwrap(),
            targets: Vec::new(),
            partition: None,
            weights: vec![0.5; n],
            identity: (0..n as u64).collect(),
            labels,
        };
        let category = |select: &str| Category {
            name: select.replace(' ', ""),
            select: select.to_owned(),
            event: vec![Variable::plain("0 * x")],
            lists: Vec::new(),
        };
        let train = Train { epochs: 80, batch: 200, lr: 0.02, ..Train::default() };
        let vertex_categories = vec![category("x < 0.5"), category("x < 1.5"), category("1")];
        let config = Config { vertex_categories, nodes: 2, reweight: None, train };
        let mut run = Run {
            seed: 1,
            workers: &Alone,
            tick: &mut |_, _| {},
            report: &mut |_| {},
            stop: &|| false,
            store: &mut Nowhere,
            start: None,
        };
        let fitted = CsvV2::fit(&config, &sample, &sample, &mut run).unwrap();
        assert!(fitted.networks[1].is_some() && fitted.networks[2].is_none(), "one class needs no network");
        let scores = fitted.scores(&sample.events, &Alone).unwrap();
        for (at, expected) in [(0, 90.0 / 120.0), (120, 10.0 / 60.0), (180, 0.0)] {
            let found = f64::from(scores.values[2 * at + 1]);
            assert!((found - expected).abs() < 0.01, "event {at}: {found}, expected {expected}");
        }
    }
}
