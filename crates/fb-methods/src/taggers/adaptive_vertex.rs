//! Adaptive vertex reconstruction: vertices of a jet from its tracks, without any learning (Frühwirth, Waltenberger, Vanlaer,
//! J. Phys. G 34 (2007) N343; the baseline of arXiv:2008.02831).
//!
//! A track is a straight line with d0 = y·cos φ − x·sin φ and z0 = z − (x·cos φ + y·sin φ)·cot θ at every point (x, y, z) of it, so
//! its χ² at a place is of second order in the place and the best place of weighted tracks solves three linear equations. Tracks with
//! χ² below the cut at the origin, where the collision is, are of the first vertex. Of the others, the crossing of each two
//! is where a fit begins: tracks count with w = 1/(1 + exp((χ² − cut)/2T)), T falls to one, and the vertex that collects most weight
//! takes its tracks with w above one half. So it goes on while a vertex takes two tracks; the rest are alone.
//!
//! Errors are σ(d0) = a ⊕ b/pT and a multiple of it for z0. Those of directions are neglected.

use fb_core::{
    Artifact, Card, Error, Events, Fitted, Input, Layout, List, Method, Paper, Partition, Promise, Result, Run, Sample,
    Scores, Status, Task, Variable, Workers,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Options of adaptive vertex reconstruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Prefix of the columns of tracks.
    pub list: String,
    /// Expressions of d0 and z0 in mm, φ, cot θ and pT in GeV.
    pub helix: [String; 5],
    /// a in mm and b in mm·GeV of σ(d0).
    pub sigma: [f64; 2],
    /// σ(z0)/σ(d0).
    pub sigma_z0: f64,
    /// χ² of the two impact parameters up to which a track is of a vertex.
    pub cut: f64,
}

impl Default for Config {
    fn default() -> Self {
        let helix = ["trk_d0", "trk_z0", "trk_phi", "trk_ctgtheta", "trk_pt"].map(str::to_owned);
        Self { list: "trk".to_owned(), helix, sigma: [0.020, 0.100], sigma_z0: 1.5, cut: 9.0 }
    }
}

impl Config {
    fn list(&self) -> List {
        List {
            name: self.list.clone(),
            select: None,
            order: None,
            max: usize::MAX,
            layout: Layout::Cloud,
            reversed: false,
            variables: self.helix.iter().map(Variable::plain).collect(),
        }
    }

    fn check(&self) -> Result<()> {
        let [a, b] = self.sigma;
        let ok = a >= 0.0 && b >= 0.0 && a + b > 0.0 && self.sigma_z0 > 0.0 && self.cut > 0.0;
        if ok && [a, b, self.sigma_z0, self.cut].iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        let reason = "expected positive errors and a positive cut".to_owned();
        Err(Error::Config { place: "method `adaptive_vertex`, `sigma`, `sigma_z0` or `cut`".to_owned(), reason })
    }
}

/// Adaptive vertex reconstruction.
pub struct AdaptiveVertex(Config);

impl Method for AdaptiveVertex {
    const CARD: Card = Card {
        name: "adaptive_vertex",
        title: "Adaptive vertex reconstruction from tracks",
        tasks: &[Task::Partition],
        input: "tracks",
        promises: &[Promise::PermutationInvariant],
        paper: Paper { authors: "Frühwirth, Waltenberger, Vanlaer", arxiv: "2008.02831" },
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
        config.check()?;
        // Columns that are missing are told now and not when all else is trained.
        fb_physics::features::prepare(&Self::input(config)?, &train.events)?;
        Ok(Self(config.clone()))
    }

    fn load(artifact: &Artifact) -> Result<Self> {
        let config: std::result::Result<Config, _> = serde_json::from_value(artifact.header["config"].clone());
        let config = config.map_err(|e| Error::Artifact { reason: format!("`config` in the header: {e}") })?;
        config.check()?;
        Ok(Self(config))
    }
}

impl Fitted for AdaptiveVertex {
    fn scores(&self, _events: &Events, _workers: &dyn Workers) -> Result<Scores> {
        Err(crate::neural::no_scores(Self::CARD.name))
    }

    fn partition(&self, events: &Events, _workers: &dyn Workers) -> Result<Option<Partition>> {
        let seen = fb_physics::features::prepare(&Self::input(&self.0)?, events)?;
        let mut all = Partition::default();
        for i in 0..events.len() {
            let rows = seen.rows(i).map(|row| &seen.values[row * seen.width..][..seen.width]);
            let tracks: Vec<Track> = rows.map(|row| Track::new(row, &self.0)).collect();
            let groups = groups(&tracks, self.0.cut);
            all.push_connected(tracks.len(), |i, j| groups[i] == groups[j]);
        }
        Ok(Some(all))
    }

    fn artifact(&self) -> Result<Artifact> {
        let header = json!({"method": Self::CARD.name, "config": self.0, "input": Self::input(&self.0)?});
        Ok(Artifact { header, tensors: Vec::new(), doubles: Vec::new() })
    }

    fn parameters(&self) -> usize {
        0
    }
}

/// A place in mm.
type Place = [f64; 3];

/// What a track says of the places on it, as two linear equations: direction·place = value, in units of their errors.
struct Track([(Place, f64); 2]);

impl Track {
    fn new(row: &[f32], config: &Config) -> Self {
        let [d0, z0, phi, ctg, pt] = [0, 1, 2, 3, 4].map(|i| f64::from(row[i]));
        let [a, b] = config.sigma;
        // A track without momentum says nothing, which must not be a division by zero.
        let sigma = a.hypot(b / pt.max(1e-3)).max(f64::MIN_POSITIVE);
        let (sin, cos) = phi.sin_cos();
        let scaled = |x: Place, value: f64, sigma: f64| (x.map(|x| x / sigma), value / sigma);
        Self([scaled([-sin, cos, 0.0], d0, sigma), scaled([-cos * ctg, -sin * ctg, 1.0], z0, sigma * config.sigma_z0)])
    }

    fn chi2(&self, place: Place) -> f64 {
        self.0.iter().map(|(x, value)| (value - dot(*x, place)).powi(2)).sum()
    }
}

fn dot(a: Place, b: Place) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Temperatures of a fit, one for each step.
const TEMPERATURES: [f64; 8] = [64.0, 16.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// Error in mm of the origin as the place of a vertex: it only keeps parallel tracks from having none.
const REACH: f64 = 1e3;

/// The group of each track: 0 at the origin, then vertices as they are found, then tracks that are alone.
fn groups(tracks: &[Track], cut: f64) -> Vec<usize> {
    let mut groups: Vec<usize> = tracks.iter().map(|t| usize::from(t.chi2([0.0; 3]) > cut)).collect();
    let mut open: Vec<usize> = (0..tracks.len()).filter(|&i| groups[i] > 0).collect();
    let mut next = 1;
    while let Some(taken) = best_vertex(tracks, &open, cut) {
        for &i in &taken {
            groups[i] = next;
        }
        open.retain(|i| !taken.contains(i));
        next += 1;
    }
    for i in open {
        groups[i] = next;
        next += 1;
    }
    groups
}

/// The tracks of the vertex that collects most weight, if it takes two.
fn best_vertex(tracks: &[Track], open: &[usize], cut: f64) -> Option<Vec<usize>> {
    let mut best: Option<(f64, Vec<usize>)> = None;
    for (at, &i) in open.iter().enumerate() {
        for &j in &open[..at] {
            let Some(mut place) = fit([(&tracks[i], 1.0), (&tracks[j], 1.0)]) else { continue };
            let weigh =
                |place: Place, t: f64, k: usize| 1.0 / (1.0 + ((tracks[k].chi2(place) - cut) / (2.0 * t)).exp());
            for t in TEMPERATURES {
                place = fit(open.iter().map(|&k| (&tracks[k], weigh(place, t, k)))).unwrap_or(place);
            }
            let weights: Vec<f64> = open.iter().map(|&k| weigh(place, 1.0, k)).collect();
            let sum: f64 = weights.iter().sum();
            let taken: Vec<usize> = open.iter().zip(&weights).filter(|(_, w)| **w > 0.5).map(|(&k, _)| k).collect();
            if taken.len() > 1 && best.as_ref().is_none_or(|(most, _)| sum > *most) {
                best = Some((sum, taken));
            }
        }
    }
    best.map(|(_, taken)| taken)
}

/// The place of least Σ w·χ², by Cramer's rule; none where it is not finite.
fn fit<'a>(tracks: impl IntoIterator<Item = (&'a Track, f64)>) -> Option<Place> {
    let mut m = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for (k, row) in m.iter_mut().enumerate() {
        row[k] = REACH.powi(-2);
    }
    for (track, w) in tracks {
        for (x, value) in track.0 {
            for (row, (right, x_k)) in m.iter_mut().zip(right.iter_mut().zip(x)) {
                *right += w * x_k * value;
                row.iter_mut().zip(x).for_each(|(entry, x_l)| *entry += w * x_k * x_l);
            }
        }
    }
    let cross = |a: Place, b: Place| [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let determinant = dot(m[0], cross(m[1], m[2]));
    let of = |k: usize| {
        let mut replaced = m;
        replaced[k] = right;
        dot(replaced[0], cross(replaced[1], replaced[2])) / determinant
    };
    let place = [of(0), of(1), of(2)];
    place.iter().all(|x| x.is_finite()).then_some(place)
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// Tracks that begin exactly at one of these places, in this order.
    fn exact(places: &[Place], begins: &[usize], random: &mut Philox) -> Vec<Track> {
        let config = Config { sigma: [1e-5, 1e-5], ..Config::default() };
        let mut track = |at: usize| {
            let (phi, ctg, pt) = (0.6 * random.uniform() - 0.3, random.uniform() - 0.5, 1.0 + 5.0 * random.uniform());
            let [x, y, z] = places[at];
            // As a file holds it.
            let (phi, ctg) = (phi as f32, ctg as f32);
            let (sin, cos) = f64::from(phi).sin_cos();
            let d0 = (y * cos - x * sin) as f32;
            let z0 = (z - (x * cos + y * sin) * f64::from(ctg)) as f32;
            Track::new(&[d0, z0, phi, ctg, pt as f32], &config)
        };
        begins.iter().map(|&at| track(at)).collect()
    }

    #[test]
    fn exact_tracks_are_put_where_they_begin() {
        let mut random = Philox::new(3, 0, 0);
        let begins = [0, 1, 2, 1, 0, 2, 1, 3, 2];
        let mut right = 0.0;
        for _ in 0..200 {
            let mut far = |scale: f64| [2.0, 0.1, 0.3].map(|x| scale * x * (0.3 + random.uniform()));
            let places = [[0.0; 3], far(1.0), far(2.0), far(3.0)];
            let found = groups(&exact(&places, &begins, &mut random), 9.0).into_iter().map(|g| g as u32);
            let truth = begins.map(|g| g as u32);
            let found: Vec<u32> = found.collect();
            right += fb_statistics::clustering::Agreement::AdjustedRand.of(&found, &truth).unwrap_or(0.0) / 200.0;
        }
        assert!(right > 0.97, "{right}");
    }

    /// The place of least χ² against a scan around it.
    #[test]
    fn a_fit_is_a_minimum() {
        let mut random = Philox::new(4, 0, 0);
        let tracks = exact(&[[1.0, 0.5, -0.3], [1.1, 0.4, -0.2]], &[0, 1, 0, 1], &mut random);
        let weights = [1.0, 0.5, 0.3, 0.9];
        let sum = |place: Place| tracks.iter().zip(weights).map(|(t, w)| w * t.chi2(place)).sum::<f64>();
        let place = fit(tracks.iter().zip(weights)).unwrap_or([f64::NAN; 3]);
        for k in 0..3 {
            for step in [-1e-3, 1e-3] {
                let mut other = place;
                other[k] += step;
                assert!(sum(other) > sum(place), "{place:?}");
            }
        }
    }
}
