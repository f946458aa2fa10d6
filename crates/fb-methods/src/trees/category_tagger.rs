//! Category-based flavour tagger (arXiv:2110.00790; EPJ Web Conf. 214 (2019) 06032): was it a B⁰ or an anti-B⁰?
//!
//! Two levels. Of each track boosted trees tell the probability that it is the target of each category: a lepton from the
//! b quark, one from the charm quark, a kaon, a slow pion, … Each category keeps its most probable candidate, whose charge
//! times probability q·p says what the category votes for; a second forest combines the votes with variables of the event.
//! The tracks' truth enters the training alone. The first level is trained on one half of the events at a time and applied
//! to the other one, so that the combiner sees probabilities of tracks that were not learned by heart; new events take the
//! mean of the two. Sees lists of numbers per track and numbers per event.

use fb_core::expression::Expression;
use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Method, Paper, Promise, Result, Run, Sample, Scores, Status, Task,
    Workers, philox,
};
use fb_physics::expression::{evaluate, sparse};
use fb_trees::{Binned, Forest, Loss, Options, Scorer, Set, Shape, Targets, boost};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::forest::{count, doubles, not_negative, positive};
use crate::neural::{check_sample, classes};
use crate::stages::Stages;
use crate::weights::{self, NegativeWeights, Normalise};

/// What the target of a category is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// What it is called.
    pub name: String,
    /// True for tracks that are its target; may use the truth. Of several that hold, the first one counts.
    pub target: String,
}

/// Options of the category-based tagger; the categories are those of Belle II that a track's kind and charge define.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers per track that the first level sees.
    pub track_variables: Vec<String>,
    /// Numbers per event that both levels see.
    pub event_variables: Vec<String>,
    /// Charge of a track.
    pub charge: String,
    /// What is looked for.
    pub categories: Vec<Category>,
    /// Bins of a variable, 2 to 255.
    pub bins: usize,
    /// Rounds of boosting of each level.
    pub trees: usize,
    /// Depth of a tree.
    pub depth: usize,
    /// η, the factor on leaf values.
    pub learning_rate: f64,
    /// λ, added to the sum of hessians.
    pub l2: f64,
    /// Least sum of hessians of a leaf.
    pub min_child_weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        let category = |(name, pdg, sign): (&str, u32, char)| Category {
            name: name.to_owned(),
            target: format!("abs(trk_true_pdg) == {pdg} && trk_charge * tag_flavour {sign} 0"),
        };
        let categories = [
            ("electron", 11, '>'),
            ("intermediate_electron", 11, '<'),
            ("muon", 13, '>'),
            ("intermediate_muon", 13, '<'),
            ("kaon", 321, '>'),
            ("wrong_kaon", 321, '<'),
            ("fast_pion", 211, '>'),
            ("slow_pion", 211, '<'),
        ];
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Self {
            track_variables: owned(&[
                "trk_p_cm",
                "trk_costheta_cm",
                "trk_pid_e",
                "trk_pid_mu",
                "trk_pid_K",
                "trk_d0",
                "trk_p_cm / sum(trk_p_cm)",
                "trk_charge * sum(trk_charge)",
                "trk_p_cm == max(trk_p_cm)",
            ]),
            event_variables: owned(&["count(trk_p_cm)", "sum(trk_p_cm)", "max(trk_p_cm)", "sum(pho_e)"]),
            charge: "trk_charge".to_owned(),
            categories: categories.map(category).to_vec(),
            bins: fb_trees::MOST_BINS,
            trees: 80,
            depth: 4,
            learning_rate: 0.1,
            l2: 1.0,
            min_child_weight: 5.0,
        }
    }
}

/// Category-based flavour tagger.
pub struct CategoryTagger;

/// One number per track, and where the tracks of each event begin.
struct Tracks {
    offsets: Vec<usize>,
    charge: Vec<f64>,
    /// Variables of the track, then of its event.
    columns: Vec<Vec<f32>>,
    /// Variables of the event, one number per event.
    event: Vec<Vec<f32>>,
}

/// One number per track; NaN is missing.
fn per_track(text: &str, events: &Events, offsets: Option<&[usize]>) -> Result<(Vec<f64>, Vec<usize>)> {
    let expression = Expression::parse(text)?;
    let found = evaluate(&expression, events)?;
    let fail = |reason: &str| Error::Evaluation { text: text.to_owned(), reason: reason.to_owned() };
    let own = found.offsets.ok_or_else(|| fail("it has one number per event, expected one per track"))?;
    if offsets.is_some_and(|o| o != own) {
        return Err(fail("it has other tracks than `charge`"));
    }
    if let Some(at) = found.values.iter().position(|x| x.is_infinite()) {
        let event = own.partition_point(|&from| from <= at) - 1;
        return Err(Error::NotFinite { column: text.to_owned(), event, found: found.values[at] });
    }
    let own = own.to_vec();
    Ok((found.values, own))
}

fn singles(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|x| x as f32).collect()
}

impl Tracks {
    fn new(config: &Config, events: &Events) -> Result<Self> {
        let (charge, offsets) = per_track(&config.charge, events, None)?;
        let track = |text: &String| Ok(singles(per_track(text, events, Some(&offsets))?.0));
        let event = |text: &String| Ok(singles(sparse(text, events, &[])?));
        let mut columns = config.track_variables.iter().map(track).collect::<Result<Vec<_>>>()?;
        let event = config.event_variables.iter().map(event).collect::<Result<Vec<Vec<f32>>>>()?;
        for column in &event {
            let repeat = |(o, &x): (&[usize], &f32)| std::iter::repeat_n(x, o[1] - o[0]);
            columns.push(offsets.windows(2).zip(column).flat_map(repeat).collect());
        }
        Ok(Self { offsets, charge, columns, event })
    }

    /// The event of each track.
    fn events(&self) -> Vec<usize> {
        self.offsets.windows(2).enumerate().flat_map(|(i, o)| std::iter::repeat_n(i, o[1] - o[0])).collect()
    }

    /// [track, category and none] probabilities.
    fn probabilities(&self, scorer: &Scorer, workers: &dyn Workers) -> Vec<f64> {
        let columns = doubles(&self.columns);
        scorer.scores(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>(), workers)
    }

    /// What the combiner sees: q·p of the best candidate of each category, the sum of q·p, then the event's variables.
    fn votes(&self, probabilities: &[f64], categories: usize) -> Vec<Vec<f32>> {
        let mut columns = vec![Vec::with_capacity(self.offsets.len()); 2 * categories];
        for o in self.offsets.windows(2) {
            for k in 0..categories {
                let vote = |i: usize| (probabilities[i * (categories + 1) + k + 1], self.charge[i]);
                // Equal candidates vote together, so that the order of the tracks does not matter.
                let best = (o[0]..o[1]).map(|i| vote(i).0).fold(0.0, f64::max);
                let charge: f64 = (o[0]..o[1]).map(vote).filter(|v| v.0 == best).map(|v| v.1).sum();
                let mut all: Vec<f64> = (o[0]..o[1]).map(|i| vote(i).0 * vote(i).1).collect();
                all.sort_by(f64::total_cmp);
                columns[k].push((charge.clamp(-1.0, 1.0) * best) as f32);
                columns[categories + k].push(all.iter().sum::<f64>() as f32);
            }
        }
        columns.into_iter().chain(self.event.iter().cloned()).collect()
    }
}

/// The number of the first category whose target a track is, from one; zero for none.
fn kinds(config: &Config, events: &Events, offsets: &[usize]) -> Result<Vec<usize>> {
    let mut kinds = vec![0; offsets.last().copied().unwrap_or(0)];
    for (k, category) in config.categories.iter().enumerate() {
        let (is_target, _) = per_track(&category.target, events, Some(offsets))?;
        for (kind, is) in kinds.iter_mut().zip(is_target) {
            if *kind == 0 && fb_core::expression::is_true(is) {
                *kind = k + 1;
            }
        }
    }
    Ok(kinds)
}

/// Columns at some rows.
fn rows(columns: &[Vec<f32>], rows: &[usize]) -> Vec<Vec<f32>> {
    columns.iter().map(|c| rows.iter().map(|&i| c[i]).collect()).collect()
}

/// Targets, weights and identities of rows.
type Rows = (Vec<f32>, Vec<f32>, Vec<u64>);

/// Boosts a forest on columns.
fn grow(
    config: &Config,
    mut loss: Loss,
    columns: &[Vec<f32>],
    (targets, weights, identity): &Rows,
    run: &mut Run<'_>,
) -> Result<Artifact> {
    let binned = Binned::fit(columns, weights, identity, config.bins, &[], run.workers)?;
    let options = Options {
        trees: config.trees,
        shape: Shape::Depth(config.depth),
        learning_rate: config.learning_rate,
        l2: config.l2,
        min_child_weight: config.min_child_weight,
        ..Options::default()
    };
    let set = Set { binned: &binned, events: Targets { targets, weights }, identity, start: &[] };
    Ok(boost(&options, &mut loss, set, None, run)?.artifact(json!({})))
}

impl Config {
    fn check(&self) -> Result<()> {
        count("bins", self.bins, 2..=fb_trees::MOST_BINS)?;
        count("trees", self.trees, 1..=100_000)?;
        count("depth", self.depth, 1..=16)?;
        count("categories", self.categories.len(), 1..=64)?;
        count("track_variables", self.track_variables.len(), 1..=10_000)?;
        positive("learning_rate", self.learning_rate)?;
        not_negative("l2", self.l2)?;
        not_negative("min_child_weight", self.min_child_weight)
    }
}

impl Method for CategoryTagger {
    const CARD: Card = Card {
        name: "category_tagger",
        title: "Category-based flavour tagger of two levels of boosted trees",
        tasks: &[Task::Classify],
        input: "tracks and a table",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Belle II", arxiv: "2110.00790" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = FittedTagger;

    fn input(config: &Config) -> Result<Input> {
        Ok(Input::Columns { variables: config.event_variables.clone(), missing: Vec::new() })
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedTagger> {
        config.check()?;
        let classes = classes(train);
        check_sample(train, validation, classes)?;
        if classes > 2 {
            let reason = format!("it tells two classes apart, found {classes}");
            return Err(Error::Config { place: format!("method `{}`", Self::CARD.name), reason });
        }
        weights::treated(NegativeWeights::Keep, Normalise::None, train, Some(2))?;
        let tracks = Tracks::new(config, &train.events)?;
        // Wrong columns of the validation part are told before anything is trained.
        Tracks::new(config, &validation.events)?;
        let kinds = kinds(config, &train.events, &tracks.offsets)?;
        let event_of = tracks.events();
        let half = |event: usize| philox::hash(train.identity[event], 3) & 1;
        let mut stages = Stages::new(config, train, run)?;
        let (classes, mut levels) = (config.categories.len() + 1, Vec::new());
        let mut out_of_half = vec![0.0; event_of.len() * classes];
        for side in 0..2 {
            let mut own: Vec<usize> = (0..event_of.len()).filter(|&i| half(event_of[i]) == side).collect();
            if own.iter().map(|&i| train.weights[event_of[i]]).sum::<f64>() <= 0.0 {
                // Too few events to part.
                own = (0..event_of.len()).collect();
            }
            let number = |i: usize| (i - tracks.offsets[event_of[i]]) as u64;
            let events: Rows = (
                own.iter().map(|&i| kinds[i] as f32).collect(),
                own.iter().map(|&i| train.weights[event_of[i]] as f32).collect(),
                own.iter().map(|&i| philox::hash(train.identity[event_of[i]], number(i))).collect(),
            );
            let columns = rows(&tracks.columns, &own);
            let forest = stages.next(run, |run| grow(config, Loss::Softmax(classes), &columns, &events, run))?;
            let scorer = Scorer::new(Forest::from_artifact(&forest)?);
            let probabilities = tracks.probabilities(&scorer, run.workers);
            for (i, &event) in event_of.iter().enumerate() {
                if half(event) != side {
                    let row = i * classes..(i + 1) * classes;
                    out_of_half[row.clone()].copy_from_slice(&probabilities[row]);
                }
            }
            levels.push(scorer);
        }
        let votes = tracks.votes(&out_of_half, classes - 1);
        let events: Rows = (
            train.labels.iter().map(|&l| l as f32).collect(),
            train.weights.iter().map(|&w| w as f32).collect(),
            train.identity.clone(),
        );
        let combiner = stages.next(run, |run| grow(config, Loss::Logistic, &votes, &events, run))?;
        let combiner = Scorer::new(Forest::from_artifact(&combiner)?);
        Ok(FittedTagger { config: config.clone(), levels, combiner })
    }

    fn load(artifact: &Artifact) -> Result<FittedTagger> {
        let config: Config = serde_json::from_value(artifact.header["config"].clone())
            .map_err(|e| Error::Artifact { reason: format!("`config` in the header: {e}") })?;
        let forest = |name: &str| Ok(Scorer::new(Forest::from_artifact(&artifact.part(name)?)?));
        let (levels, combiner) = (vec![forest("tracks_0")?, forest("tracks_1")?], forest("combiner")?);
        let fitted = FittedTagger { config, levels, combiner };
        let (k, n) = (fitted.config.categories.len(), fitted.config.event_variables.len());
        let tracks = fitted.config.track_variables.len() + n;
        let fits = |s: &Scorer| s.forest().features == tracks && s.forest().outputs() == k + 1;
        if !fitted.levels.iter().all(fits) || fitted.combiner.forest().features != 2 * k + n {
            let reason = "the forests do not fit what the tagger is said to see".to_owned();
            return Err(Error::Artifact { reason });
        }
        Ok(fitted)
    }
}

/// A trained tagger.
pub struct FittedTagger {
    config: Config,
    /// Forests of tracks, each of one half of the events.
    levels: Vec<Scorer>,
    combiner: Scorer,
}

impl Fitted for FittedTagger {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        let tracks = Tracks::new(&self.config, events)?;
        let each: Vec<Vec<f64>> = self.levels.iter().map(|s| tracks.probabilities(s, workers)).collect();
        let mean: Vec<f64> = each[0].iter().zip(&each[1]).map(|(a, b)| 0.5 * (a + b)).collect();
        let votes = doubles(&tracks.votes(&mean, self.config.categories.len()));
        let scores = self.combiner.scores(&votes.iter().map(Vec::as_slice).collect::<Vec<_>>(), workers);
        Ok(Scores { classes: 2, values: singles(scores) })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": CategoryTagger::CARD.name, "config": self.config});
        let mut whole = Artifact { header, tensors: Vec::new(), doubles: Vec::new() };
        for (name, scorer) in ["tracks_0", "tracks_1"].iter().zip(&self.levels) {
            whole.add_part(name, scorer.forest().artifact(json!({})));
        }
        whole.add_part("combiner", self.combiner.forest().artifact(json!({})));
        Ok(whole)
    }

    /// Leaves and cuts.
    fn parameters(&self) -> usize {
        let forests = self.levels.iter().chain([&self.combiner]);
        forests.flat_map(|s| &s.forest().trees).map(|t| t.nodes.len()).sum()
    }
}
