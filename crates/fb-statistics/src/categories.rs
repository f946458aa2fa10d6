//! Categories of events, made for the largest expected significance of a peak over a smooth background.
//!
//! What a category is worth is Z² = Σ_m Z²(s_m, b_m), Asimov's, over bins m of the mass. Its background is spread over
//! the bins as that of all events, and has one effective event more than was simulated, Σw + Σw²/Σw: so the mean of
//! 1/b over Poisson fluctuations is right, and no category is made of a hole in the simulation.

use crate::significance::asimov;

/// Simulated events that are told apart.
pub struct Events<'a> {
    /// The variables, each of all events; NaN counts as lower than any number.
    pub variables: Vec<Vec<f64>>,
    /// Which are signal.
    pub signal: Vec<bool>,
    /// Their weights.
    pub weights: &'a [f64],
    /// The bin of the mass.
    pub bin: Vec<usize>,
    /// The number of bins.
    pub bins: usize,
}

/// How categories are made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// At most so many.
    pub count: usize,
    /// Each has at least so many simulated events of background.
    pub min_background: usize,
    /// A cut has to raise Z² of all by this share.
    pub min_gain: f64,
}

/// A box in the variables: [low, high) in each.
#[derive(Debug, Clone, PartialEq)]
pub struct Region(pub Vec<(f64, f64)>);

impl Region {
    /// Whether an event is in it.
    pub fn holds(&self, variables: &[Vec<f64>], event: usize) -> bool {
        self.0.iter().zip(variables).all(|((low, high), v)| {
            let x = number(v[event]);
            x >= *low && x < *high
        })
    }
}

fn number(x: f64) -> f64 {
    if x.is_nan() { f64::MIN } else { x }
}

/// What is needed of a set of events to know what it is worth.
#[derive(Clone)]
struct Sums {
    signal: Vec<f64>,
    background: f64,
    squares: f64,
    events: usize,
}

impl Sums {
    fn new(bins: usize) -> Self {
        Self { signal: vec![0.0; bins], background: 0.0, squares: 0.0, events: 0 }
    }

    fn add(&mut self, events: &Events<'_>, i: usize) {
        let w = events.weights[i];
        if events.signal[i] {
            self.signal[events.bin[i]] += w;
        } else {
            self.background += w;
            self.squares += w * w;
            self.events += 1;
        }
    }

    fn append(&mut self, other: &Self) {
        self.signal.iter_mut().zip(&other.signal).for_each(|(a, b)| *a += b);
        self.background += other.background;
        self.squares += other.squares;
        self.events += other.events;
    }

    fn less(&self, other: &Self) -> Self {
        Self {
            signal: self.signal.iter().zip(&other.signal).map(|(a, b)| a - b).collect(),
            background: self.background - other.background,
            squares: self.squares - other.squares,
            events: self.events - other.events,
        }
    }

    /// Z², or nothing if there are too few events to know.
    fn worth(&self, spread: &[f64], least: usize) -> Option<f64> {
        if self.events < least.max(1) || self.background <= 0.0 {
            return None;
        }
        let background = self.background + self.squares / self.background;
        Some(self.signal.iter().zip(spread).map(|(s, share)| asimov(*s, background * share).powi(2)).sum())
    }
}

/// The shares of the background in the bins of the mass.
fn spread(events: &Events<'_>) -> Vec<f64> {
    let mut shares = vec![0.0; events.bins];
    for i in 0..events.bin.len() {
        if !events.signal[i] {
            shares[events.bin[i]] += events.weights[i];
        }
    }
    let sum: f64 = shares.iter().sum();
    for share in &mut shares {
        *share = (*share / sum).max(0.0);
    }
    shares
}

/// Categories in one variable by the best of all sets of boundaries among the quantiles of signal, found by dynamic
/// programming; in several by a tree of cuts, each the one that gains most (as CMS, EPJ Web Conf. 214, 06002). In rising
/// order of their lower edges.
pub fn categorise(events: &Events<'_>, options: Options) -> Vec<Region> {
    if events.variables.len() == 1 { boundaries(events, options) } else { tree(events, options) }
}

/// Quantiles of signal among which boundaries are sought.
const GRID: usize = 60;

fn boundaries(events: &Events<'_>, options: Options) -> Vec<Region> {
    let spread = spread(events);
    let x = &events.variables[0];
    let mut signal: Vec<f64> = (0..x.len()).filter(|&i| events.signal[i]).map(|i| number(x[i])).collect();
    signal.sort_by(f64::total_cmp);
    let mut edges = vec![f64::NEG_INFINITY];
    if !signal.is_empty() {
        edges.extend((1..GRID).map(|k| signal[k * signal.len() / GRID]));
    }
    edges.dedup();
    edges.push(f64::INFINITY);
    let cells = edges.len() - 1;
    let mut sums = vec![Sums::new(events.bins); cells];
    for i in 0..x.len() {
        sums[edges[1..cells].partition_point(|e| *e <= number(x[i]))].add(events, i);
    }
    // worth[from][to] of the cells from..to.
    let worth: Vec<Vec<Option<f64>>> = (0..cells)
        .map(|from| {
            let mut sum = Sums::new(events.bins);
            sums[from..]
                .iter()
                .map(|cell| {
                    sum.append(cell);
                    sum.worth(&spread, options.min_background)
                })
                .collect()
        })
        .collect();
    // best[k][to]: the most that k + 1 categories of the first `to` cells are worth, and where the last begins.
    let mut best: Vec<Vec<Option<(f64, usize)>>> =
        vec![(0..=cells).map(|to| Some((worth[0][to.checked_sub(1)?]?, 0))).collect()];
    for k in 1..options.count {
        let row = (0..=cells)
            .map(|to| {
                let each = (1..to).filter_map(|from| Some((best[k - 1][from]?.0 + worth[from][to - from - 1]?, from)));
                each.reduce(|a, b| if b.0 > a.0 { b } else { a })
            })
            .collect();
        best.push(row);
    }
    let mut chosen = 0;
    for k in 1..best.len() {
        let gains = |a: f64, b: f64| b > a * (1.0 + options.min_gain);
        if matches!((best[chosen][cells], best[k][cells]), (Some(a), Some(b)) if gains(a.0, b.0)) {
            chosen = k;
        }
    }
    let mut to = cells;
    let mut regions = Vec::new();
    for k in (0..=chosen).rev() {
        let from = best[k][to].map_or(0, |b| b.1);
        regions.push(Region(vec![(edges[from], edges[to])]));
        to = from;
    }
    regions.reverse();
    regions
}

/// A leaf of the tree with its best cut.
struct Leaf {
    region: Region,
    events: Vec<usize>,
    worth: f64,
    /// (gain, variable, threshold).
    cut: Option<(f64, usize, f64)>,
}

fn tree(events: &Events<'_>, options: Options) -> Vec<Region> {
    let spread = spread(events);
    let leaf = |region: Region, members: Vec<usize>| {
        let mut sums = Sums::new(events.bins);
        for &i in &members {
            sums.add(events, i);
        }
        let worth = sums.worth(&spread, 1).unwrap_or(0.0);
        let cut = best_cut(events, &members, &sums, worth, &spread, options.min_background);
        Leaf { region, events: members, worth, cut }
    };
    let all = Region(vec![(f64::NEG_INFINITY, f64::INFINITY); events.variables.len()]);
    let mut leaves = vec![leaf(all, (0..events.bin.len()).collect())];
    while leaves.len() < options.count {
        let gain = |l: &Leaf| l.cut.map_or(0.0, |c| c.0);
        let total: f64 = leaves.iter().map(|l| l.worth).sum();
        let Some(at) = (0..leaves.len()).reduce(|a, b| if gain(&leaves[b]) > gain(&leaves[a]) { b } else { a }) else {
            break;
        };
        let Some((gain, variable, threshold)) = leaves[at].cut else { break };
        if gain <= options.min_gain * total {
            break;
        }
        let parent = leaves.swap_remove(at);
        let (mut low, mut high) = (parent.region.clone(), parent.region);
        low.0[variable].1 = threshold;
        high.0[variable].0 = threshold;
        let below = |&i: &usize| number(events.variables[variable][i]) < threshold;
        let (left, right) = parent.events.into_iter().partition(below);
        leaves.push(leaf(low, left));
        leaves.push(leaf(high, right));
    }
    let mut regions: Vec<Region> = leaves.into_iter().map(|l| l.region).collect();
    let key = |r: &Region| r.0.iter().map(|b| b.0).collect::<Vec<f64>>();
    regions.sort_by(|a, b| {
        key(a).iter().zip(&key(b)).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    regions
}

/// The cut of these events that gains most Z².
fn best_cut(
    events: &Events<'_>,
    members: &[usize],
    all: &Sums,
    worth: f64,
    spread: &[f64],
    least: usize,
) -> Option<(f64, usize, f64)> {
    let mut best: Option<(f64, usize, f64)> = None;
    for (variable, x) in events.variables.iter().enumerate() {
        let mut order = members.to_vec();
        order.sort_by(|&a, &b| number(x[a]).total_cmp(&number(x[b])).then(a.cmp(&b)));
        let mut below = Sums::new(events.bins);
        for pair in order.windows(2) {
            below.add(events, pair[0]);
            let (a, b) = (number(x[pair[0]]), number(x[pair[1]]));
            if a == b {
                continue;
            }
            let above = all.less(&below);
            let (Some(left), Some(right)) = (below.worth(spread, least), above.worth(spread, least)) else { continue };
            let gain = left + right - worth;
            if gain > best.map_or(0.0, |b| b.0) {
                best = Some((gain, variable, if a == f64::MIN { b } else { f64::midpoint(a, b) }));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// A score that is higher for signal, a second variable that halves the resolution, and a mass in ten bins.
    fn toy(weights: &[f64]) -> Events<'_> {
        let mut random = Philox::new(3, 0, 0);
        let n = weights.len();
        let mut events = Events { variables: vec![vec![], vec![]], signal: vec![], weights, bin: vec![], bins: 10 };
        for i in 0..n {
            let signal = i % 2 == 0;
            let (u, v) = (random.uniform(), random.uniform());
            events.variables[0].push(if signal { u.sqrt() } else { u });
            events.variables[1].push(v);
            let narrow = if v < 0.5 { 0.5 } else { 2.0 };
            let mass = if signal { 5.0 + narrow * random.normal() } else { 10.0 * random.uniform() };
            events.bin.push((mass.max(0.0) as usize).min(9));
            events.signal.push(signal);
        }
        events
    }

    fn total(events: &Events<'_>, regions: &[Region]) -> f64 {
        let spread = spread(events);
        let mut sums = vec![Sums::new(events.bins); regions.len()];
        for i in 0..events.bin.len() {
            let at: Vec<usize> = (0..regions.len()).filter(|&r| regions[r].holds(&events.variables, i)).collect();
            assert_eq!(at.len(), 1, "every event is in one category");
            sums[at[0]].add(events, i);
        }
        sums.iter().map(|s| s.worth(&spread, 1).unwrap()).sum()
    }

    #[test]
    fn boundaries_are_the_best_of_all() {
        let weights: Vec<f64> = (0..4000).map(|i| if i % 2 == 0 { 0.01 } else { 1.0 }).collect();
        let mut events = toy(&weights);
        events.variables.truncate(1);
        let options = Options { count: 3, min_background: 50, min_gain: 0.0 };
        let found = categorise(&events, options);
        assert_eq!(found.len(), 3);
        let best = total(&events, &found);
        let edges: Vec<f64> = {
            let mut s: Vec<f64> = (0..4000).filter(|i| i % 2 == 0).map(|i| events.variables[0][i]).collect();
            s.sort_by(f64::total_cmp);
            (1..GRID).map(|k| s[k * s.len() / GRID]).collect()
        };
        for (i, &a) in edges.iter().enumerate() {
            for &b in &edges[i + 1..] {
                let ends = [f64::NEG_INFINITY, a, b, f64::INFINITY];
                let regions: Vec<Region> = ends.windows(2).map(|e| Region(vec![(e[0], e[1])])).collect();
                let enough = regions
                    .iter()
                    .all(|r| (0..4000).filter(|&i| !events.signal[i] && r.holds(&events.variables, i)).count() >= 50);
                assert!(!enough || total(&events, &regions) <= best + 1e-12);
            }
        }
    }

    #[test]
    fn a_tree_cuts_in_what_helps_and_never_loses() {
        let weights: Vec<f64> = (0..6000).map(|i| if i % 2 == 0 { 0.01 } else { 1.0 }).collect();
        let events = toy(&weights);
        let mut last = 0.0;
        for count in 1..6 {
            let regions = categorise(&events, Options { count, min_background: 50, min_gain: 0.0 });
            assert_eq!(regions.len(), count);
            let worth = total(&events, &regions);
            assert!(worth > last);
            last = worth;
        }
        let regions = categorise(&events, Options { count: 4, min_background: 50, min_gain: 0.0 });
        let cuts = |v: usize| regions.iter().any(|r| r.0[v].0.is_finite());
        assert!(cuts(0) && cuts(1), "{regions:?}");
        assert_eq!(categorise(&events, Options { count: 9, min_background: 50, min_gain: 10.0 }).len(), 1);
    }
}
