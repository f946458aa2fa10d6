//! DDT: the scores of another method, transformed so that background passes as often whatever another variable is (designed
//! decorrelated taggers, arXiv:1603.00027; flattened by quantiles as in arXiv:1709.04533, section 5).
//!
//! Of the background of the training part it learns F(s | m), the share of weight with a score below s, in slices of equal
//! population in the variable m, between whose means it interpolates. With L the log-odds ln p/(1 − p) the new log-odds are
//!
//! - L(F(s | m)), if neither `strength` nor `efficiency` is given: flat at all working points;
//! - (L(s) + k·L(F(s | m)))/(1 + k) with the `strength` k: from the scores as they are, 0, to flat ones;
//! - ½(L(s) − L(s₁₋ₑ(m))) with the `efficiency` e and F(s₁₋ₑ | m) = 1 − e: flat at this background efficiency alone (DDT).
//!
//! Two classes; background is class 0.

use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Method, Paper, Result, Run, Sample, Scores, Status, Task, Tensor,
    Workers,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::forest::count;
use crate::neural::{check_sample, classes};
use crate::stages::Member;

/// Options of DDT.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The method whose scores are transformed; there is none by default.
    pub member: Option<Member>,
    /// The variable that scores shall not tell, in the expression language.
    pub against: String,
    /// Slices of the variable.
    pub slices: usize,
    /// k, how much of the flat score is added to the score.
    pub strength: Option<f64>,
    /// e, the background efficiency at which the score is flat.
    pub efficiency: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self { member: None, against: String::new(), slices: 40, strength: None, efficiency: None }
    }
}

impl Config {
    /// The member, if all options can work.
    fn check(&self) -> Result<&Member> {
        let refuse = |key: &str, reason: String| {
            Err(Error::Config { place: format!("method `{}`, `{key}`", Ddt::CARD.name), reason })
        };
        count("slices", self.slices, 1..=10_000)?;
        let Some(member) = self.member.as_ref().filter(|member| member.method != Ddt::CARD.name) else {
            return refuse("member", "expected another method, as `{ method = \"bdt\", options = {} }`".to_owned());
        };
        if self.against.is_empty() {
            return refuse("against", "found none, expected a variable".to_owned());
        }
        if self.strength.is_some() && self.efficiency.is_some() {
            return refuse("efficiency", "found `strength` beside it, expected one of the two".to_owned());
        }
        if let Some(k) = self.strength.filter(|k| !(*k >= 0.0 && k.is_finite())) {
            return refuse("strength", format!("found {k}, expected zero or a positive number"));
        }
        if let Some(e) = self.efficiency.filter(|e| !(*e > 0.0 && *e < 1.0)) {
            return refuse("efficiency", format!("found {e}, expected a number between 0 and 1"));
        }
        crate::method(&member.method).map(|_| member)
    }

    /// The new log-odds of a score `p` at `m`.
    fn transformed(&self, background: &Background, p: f64, m: f64) -> f64 {
        match (self.strength, self.efficiency) {
            (None, None) => odds(background.below(p, m)),
            // Divided so that scores of 32 bits can still tell the largest apart.
            (Some(k), _) => (odds(p) + k * odds(background.below(p, m))) / (1.0 + k),
            (None, Some(e)) => 0.5 * (odds(p) - odds(background.quantile(1.0 - e, m))),
        }
    }
}

/// Log-odds beyond which a score counts as certain.
const CERTAIN: f64 = 15.0;

/// ln p/(1 − p), bounded.
fn odds(p: f64) -> f64 {
    (p.max(1e-300) / (1.0 - p).max(1e-300)).ln().clamp(-CERTAIN, CERTAIN)
}

/// Points of F that are kept of a slice.
const MOST: usize = 4096;

/// F(s | m) of background.
#[derive(Debug, Clone, Default, PartialEq)]
struct Background {
    /// The mean of m of each slice, rising.
    centres: Vec<f64>,
    /// Of each slice, scores and F there, both rising, from 0 and 0 to 1 and 1.
    shares: Vec<Vec<[f64; 2]>>,
}

/// y at x by straight lines between points, whose entries `from` and `to` are x and y.
fn between(points: &[[f64; 2]], [from, to]: [usize; 2], x: f64) -> f64 {
    let at = points.partition_point(|p| p[from] < x).clamp(1, points.len() - 1);
    let (a, b) = (points[at - 1], points[at]);
    let part = if b[from] > a[from] { ((x - a[from]) / (b[from] - a[from])).clamp(0.0, 1.0) } else { 0.5 };
    a[to] + part * (b[to] - a[to])
}

impl Background {
    /// Of events (score, m, weight); with weights of both signs F is kept from falling.
    fn new(mut events: Vec<[f64; 3]>, slices: usize) -> Result<Self> {
        events.retain(|event| event[2] != 0.0);
        events.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
        // An event of weight two is one that is there twice.
        events.dedup_by(|next, kept| {
            let same = next[..2] == kept[..2];
            kept[2] += if same { next[2] } else { 0.0 };
            same
        });
        let all: f64 = events.iter().map(|event| event[2].abs()).sum();
        let (slices, mut sum, mut rest, mut found) = (slices.min(events.len()), 0.0, &events[..], Self::default());
        for slice in 1..=slices {
            let end = all * slice as f64 / slices as f64;
            let inside = rest.iter().take_while(|event| {
                sum += 0.5 * event[2].abs();
                let inside = sum < end;
                sum += if inside { 0.5 } else { -0.5 } * event[2].abs();
                inside
            });
            let (own, after) = rest.split_at(inside.count());
            rest = after;
            found.learn(own)?;
        }
        if found.centres.is_empty() {
            let what = "the background of the training part".to_owned();
            return Err(Error::Empty { what, hint: "it has no events with a weight".to_owned() });
        }
        Ok(found)
    }

    /// Adds a slice of events.
    fn learn(&mut self, events: &[[f64; 3]]) -> Result<()> {
        let (total, size) = events.iter().fold((0.0, 0.0), |(t, s), event| (t + event[2], s + event[2].abs()));
        let centre = events.iter().map(|event| event[1] * event[2].abs()).sum::<f64>() / size;
        // None where one event spans slices, and the first of those where many have one value.
        if events.is_empty() || self.centres.last().is_some_and(|last| centre <= *last) {
            return Ok(());
        }
        if total <= 0.0 {
            let what = format!("the background about {centre} of the variable");
            let hint = format!("{} events with a sum of weights of {total}; ask for fewer `slices`", events.len());
            return Err(Error::Empty { what, hint });
        }
        let mut own: Vec<[f64; 2]> = events.iter().map(|&[x, _, weight]| [x, weight]).collect();
        own.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let (mut sum, mut highest) = (0.0, 0.0);
        for [_, weight] in &mut own {
            highest = f64::clamp((sum + 0.5 * *weight) / total, highest, 1.0);
            sum += *weight;
            *weight = highest;
        }
        let kept = own.len().min(MOST);
        let points = (0..kept).map(|i| own[own.len() * i / kept]);
        self.centres.push(centre);
        self.shares.push([[0.0, 0.0]].into_iter().chain(points).chain([[1.0, 1.0]]).collect());
        Ok(())
    }

    /// What `of` says of the slices on both sides of m, between them.
    fn at(&self, m: f64, of: impl Fn(&[[f64; 2]]) -> f64) -> f64 {
        let last = self.centres.len() - 1;
        let right = self.centres.partition_point(|centre| *centre < m).min(last);
        let left = right.saturating_sub(1);
        let width = self.centres[right] - self.centres[left];
        let part = if width > 0.0 { ((m - self.centres[left]) / width).clamp(0.0, 1.0) } else { 1.0 };
        (1.0 - part) * of(&self.shares[left]) + part * of(&self.shares[right])
    }

    fn below(&self, x: f64, m: f64) -> f64 {
        self.at(m, |points| between(points, [0, 1], x))
    }

    fn quantile(&self, share: f64, m: f64) -> f64 {
        self.at(m, |points| between(points, [1, 0], share))
    }
}

/// DDT.
pub struct Ddt;

impl Method for Ddt {
    const CARD: Card = Card {
        name: "ddt",
        title: "DDT, scores of another method made flat in a variable",
        tasks: &[Task::Classify],
        input: "what its member sees",
        // What it keeps to follows from its member.
        promises: &[],
        paper: Paper { authors: "Dolen, Harris, Marzani, Rappoccio, Tran", arxiv: "1603.00027" },
        status: Status::Experimental,
        parameters: None,
        known_failures: &[],
    };
    type Config = Config;
    type Fitted = FittedDdt;

    fn input(config: &Config) -> Result<Input> {
        let member = config.check()?;
        crate::method(&member.method)?.input(&member.options)
    }

    fn fit(config: &Config, train: &Sample, validation: &Sample, run: &mut Run<'_>) -> Result<FittedDdt> {
        let member = config.check()?;
        let found = classes(train);
        check_sample(train, validation, found)?;
        if found != 2 {
            let reason = format!("found {found} classes, expected 2");
            return Err(Error::Config { place: format!("method `{}`", Ddt::CARD.name), reason });
        }
        fb_physics::expression::flat(&config.against, &validation.events)?;
        let m = fb_physics::expression::flat(&config.against, &train.events)?;
        let member = crate::method(&member.method)?.fit(&member.options, train, validation, run)?;
        let p = signal(&*member, &train.events, run.workers)?;
        let events = (0..train.len()).filter(|&i| train.labels[i] == 0).map(|i| [p[i], m[i], train.weights[i]]);
        let background = Background::new(events.collect(), config.slices)?;
        Ok(FittedDdt { config: config.clone(), member, background })
    }

    fn load(artifact: &Artifact) -> Result<FittedDdt> {
        let broken = |reason: String| Error::Artifact { reason };
        let config: Config = serde_json::from_value(artifact.header["config"].clone())
            .map_err(|e| broken(format!("`config` in the header: {e}")))?;
        let named = &config.check().map_err(|e| broken(e.to_string()))?.method;
        let inner = artifact.part("member")?;
        if inner.method()? != named {
            return Err(broken(format!("its member is no `{named}`")));
        }
        let member = crate::method(named)?.load(&inner)?;
        let centres = artifact.double("centres")?.to_vec();
        let share = |bin: usize| -> Result<Vec<[f64; 2]>> {
            let (points, rest) = artifact.double(&format!("shares_{bin}"))?.as_chunks::<2>();
            let rises = points.windows(2).all(|p| p[0][0] <= p[1][0] && p[0][1] <= p[1][1]);
            if points.len() < 2 || !rest.is_empty() || !rises {
                return Err(broken(format!("the shares of bin {bin} do not rise")));
            }
            Ok(points.to_vec())
        };
        let shares = (0..centres.len()).map(share).collect::<Result<Vec<_>>>()?;
        if centres.is_empty() || !centres.is_sorted() {
            return Err(broken("the bins are not in order".to_owned()));
        }
        Ok(FittedDdt { config, member, background: Background { centres, shares } })
    }
}

/// Scores of class 1.
fn signal(member: &dyn Fitted, events: &Events, workers: &dyn Workers) -> Result<Vec<f64>> {
    let scores = member.scores(events, workers)?;
    if scores.classes != 2 {
        let what = "classes of the member".to_owned();
        return Err(Error::Length { what, expected: 2, found: scores.classes });
    }
    Ok(scores.signal())
}

/// A model with its transformation.
pub struct FittedDdt {
    config: Config,
    member: Box<dyn Fitted>,
    background: Background,
}

impl Fitted for FittedDdt {
    fn scores(&self, events: &Events, workers: &dyn Workers) -> Result<Scores> {
        let p = signal(&*self.member, events, workers)?;
        let m = fb_physics::expression::flat(&self.config.against, events)?;
        let signal = |(&p, &m): (&f64, &f64)| 1.0 / (1.0 + (-self.config.transformed(&self.background, p, m)).exp());
        let values = p.iter().zip(&m).map(signal).flat_map(|p| [(1.0 - p) as f32, p as f32]).collect();
        Ok(Scores { classes: 2, values })
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": Ddt::CARD.name, "config": self.config});
        let block = |name: String, values: Vec<f64>| Tensor { name, shape: vec![values.len()], values };
        let shares = self.background.shares.iter().enumerate();
        let shares = shares.map(|(bin, points)| block(format!("shares_{bin}"), points.as_flattened().to_vec()));
        let doubles =
            std::iter::once(block("centres".to_owned(), self.background.centres.clone())).chain(shares).collect();
        let mut whole = Artifact { header, tensors: Vec::new(), doubles };
        whole.add_part("member", self.member.artifact()?);
        Ok(whole)
    }

    fn parameters(&self) -> usize {
        self.member.parameters()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// Background whose log-odds are normal about m, of width 1 + m.
    fn background(n: usize, seed: u64) -> Vec<[f64; 3]> {
        let mut random = Philox::new(seed, 0, 0);
        let mut event = |_| {
            let m = random.uniform();
            let x = m + (1.0 + m) * random.normal();
            [1.0 / (1.0 + (-x).exp()), m, 1.0]
        };
        (0..n).map(&mut event).collect()
    }

    /// Shares that pass in ten bins of m, each with some 2,000 events.
    fn passing(config: &Config, share: f64) -> Vec<f64> {
        let learned = Background::new(background(40_000, 1), 40).unwrap();
        let fresh: Vec<(f64, f64)> =
            background(20_000, 2).into_iter().map(|[x, m, _]| (config.transformed(&learned, x, m), m)).collect();
        let mut all: Vec<f64> = fresh.iter().map(|event| event.0).collect();
        all.sort_by(f64::total_cmp);
        let cut = all[((1.0 - share) * 20_000.0) as usize];
        (0..10)
            .map(|bin| {
                let of_bin = |e: &&(f64, f64)| (e.1 * 10.0) as usize == bin;
                let n = fresh.iter().filter(of_bin).count() as f64;
                fresh.iter().filter(of_bin).filter(|e| e.0 > cut).count() as f64 / n
            })
            .collect()
    }

    /// χ² over ten bins of shares that should be one.
    fn unevenness(config: &Config, share: f64) -> f64 {
        let variance = share * (1.0 - share) / 2000.0;
        passing(config, share).iter().map(|found| (found - share).powi(2) / variance).sum()
    }

    #[test]
    fn background_passes_as_often_everywhere() {
        let flat = Config::default();
        let at_a_tenth = Config { efficiency: Some(0.1), ..Config::default() };
        let halfway = Config { strength: Some(2.0), ..Config::default() };
        let plain = Config { strength: Some(0.0), ..Config::default() };
        for share in [0.5, 0.1, 0.02] {
            let found = unevenness(&flat, share);
            assert!(found < 40.0, "{share}: {found}");
            let [halfway, plain] = [&halfway, &plain].map(|config| unevenness(config, share));
            assert!(found < halfway && halfway < 0.7 * plain && plain > 300.0, "{share}: {found} {halfway} {plain}");
        }
        let [there, elsewhere] = [0.1, 0.5].map(|share| unevenness(&at_a_tenth, share));
        assert!(there < 40.0 && elsewhere > 100.0, "{there} {elsewhere}");
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        let events = vec![[0.2, 0.0, 1.0], [0.4, 0.0, 2.0], [0.5, 0.0, -2.5], [0.75, 0.0, 3.5]];
        let found = Background::new(events, 1).unwrap();
        // Half of an event's own weight counts; the third falls and is kept from it.
        assert_eq!(found.shares[0][1..5], [[0.2, 0.125], [0.4, 0.5], [0.5, 0.5], [0.75, 0.5625]]);
        assert!((found.below(0.3, 7.0) - 0.3125).abs() < 1e-12);
        assert_eq!(found.quantile(0.53125, 7.0), 0.625);
        assert!(Background::new(vec![[0.0, 0.0, -1.0]], 1).is_err());
    }
}
