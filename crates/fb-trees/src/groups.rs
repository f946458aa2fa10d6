//! Events that are near each other in some features: where an efficiency is to be flat.

use fb_core::Workers;

use crate::parallel::map;

/// Points in a few dimensions, ordered so that the middle of each stretch parts it (a k-d tree without pointers).
struct Points<'a> {
    columns: &'a [Vec<f32>],
    order: Vec<u32>,
}

impl<'a> Points<'a> {
    fn new(columns: &'a [Vec<f32>], members: &[u32]) -> Self {
        let mut order = members.to_vec();
        Self::part(columns, &mut order, 0);
        Self { columns, order }
    }

    fn part(columns: &[Vec<f32>], order: &mut [u32], axis: usize) {
        if order.len() < 2 {
            return;
        }
        let middle = order.len() / 2;
        let column = &columns[axis];
        order
            .select_nth_unstable_by(middle, |&a, &b| column[a as usize].total_cmp(&column[b as usize]).then(a.cmp(&b)));
        let next = (axis + 1) % columns.len();
        let (left, right) = order.split_at_mut(middle);
        Self::part(columns, left, next);
        Self::part(columns, &mut right[1..], next);
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        self.columns.iter().map(|c| (c[a as usize] - c[b as usize]).powi(2)).sum()
    }

    /// The `k` nearest members of an event, itself among them if it is one.
    fn nearest(&self, event: u32, k: usize) -> Vec<u32> {
        let mut found: Vec<(f32, u32)> = Vec::with_capacity(k + 1);
        self.search(event, k, 0..self.order.len(), 0, &mut found);
        found.into_iter().map(|(_, i)| i).collect()
    }

    fn search(&self, event: u32, k: usize, range: std::ops::Range<usize>, axis: usize, found: &mut Vec<(f32, u32)>) {
        if range.is_empty() {
            return;
        }
        let middle = range.start + range.len() / 2;
        let at = self.order[middle];
        let new = (self.distance(event, at), at);
        if found.len() < k || new < found[k - 1] {
            let place = found.partition_point(|f| *f < new);
            found.insert(place, new);
            found.truncate(k);
        }
        let column = &self.columns[axis];
        let difference = column[event as usize] - column[at as usize];
        let next = (axis + 1) % self.columns.len();
        let (left, right) = (range.start..middle, middle + 1..range.end);
        let (near, far) = if difference < 0.0 { (left, right) } else { (right, left) };
        self.search(event, k, near, next, found);
        if found.len() < k || difference * difference <= found[k - 1].0 {
            self.search(event, k, far, next, found);
        }
    }
}

/// The events in which no feature is missing.
fn whole(columns: &[Vec<f32>], events: &[u32]) -> Vec<u32> {
    events.iter().copied().filter(|&i| columns.iter().all(|c| c[i as usize].is_finite())).collect()
}

/// Features brought to the same spread, without events in which one is missing.
fn standardised(columns: &[Vec<f32>], members: &[u32]) -> (Vec<Vec<f32>>, Vec<u32>) {
    let whole = whole(columns, members);
    let n = whole.len().max(1) as f64;
    let scale = |c: &Vec<f32>| {
        let moments = whole.iter().fold([0.0f64; 2], |m, &i| {
            let x = f64::from(c[i as usize]);
            [m[0] + x, m[1] + x * x]
        });
        let deviation = (moments[1] / n - (moments[0] / n).powi(2)).max(0.0).sqrt();
        let factor = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
        c.iter().map(|&x| (f64::from(x) * factor) as f32).collect()
    };
    (columns.iter().map(scale).collect(), whole)
}

/// For each of some events the nearest ones among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// The events.
    pub events: Vec<u32>,
    /// Their neighbours, each event itself among them.
    pub near: Vec<Vec<u32>>,
}

impl Neighbours {
    /// For each of these events the `k` nearest members in these features, which are brought to the same spread.
    pub fn around(columns: &[Vec<f32>], events: &[u32], members: &[u32], k: usize, workers: &dyn Workers) -> Self {
        let (scaled, members) = standardised(columns, members);
        let whole = whole(columns, events);
        let points = Points::new(&scaled, &members);
        let near = map(workers, whole.chunks(256).collect(), |events| {
            events.iter().map(|&i| points.nearest(i, k)).collect::<Vec<_>>()
        });
        Self { near: near.concat(), events: whole }
    }
}

/// Groups of events in bins of equal width along each feature, twice, the second time moved by half a bin.
pub fn bins(columns: &[Vec<f32>], members: &[u32], bins: usize) -> Vec<Vec<u32>> {
    let whole = whole(columns, members);
    let range = |c: &Vec<f32>| {
        whole
            .iter()
            .fold([f32::INFINITY, f32::NEG_INFINITY], |r, &i| [r[0].min(c[i as usize]), r[1].max(c[i as usize])])
    };
    let ranges: Vec<[f32; 2]> = columns.iter().map(range).collect();
    let mut groups = Vec::new();
    for shift in [0.0, 0.5] {
        let mut cells: std::collections::BTreeMap<Vec<u32>, Vec<u32>> = std::collections::BTreeMap::new();
        for &i in &whole {
            let cell = columns.iter().zip(&ranges).map(|(c, [low, high])| {
                let width = (high - low) / bins as f32;
                if width > 0.0 {
                    ((c[i as usize] - low) / width + shift).min(bins as f32 - 1.0 + 2.0 * shift) as u32
                } else {
                    0
                }
            });
            cells.entry(cell.collect()).or_default().push(i);
        }
        groups.extend(cells.into_values());
    }
    groups
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;
    use fb_core::run::Alone;

    use super::*;

    #[test]
    fn neighbours_are_the_nearest() {
        let mut random = Philox::new(3, 2, 1);
        let columns: Vec<Vec<f32>> = (0..2).map(|_| (0..300).map(|_| random.normal() as f32).collect()).collect();
        let members: Vec<u32> = (0..300).filter(|i| i % 3 > 0).collect();
        let found = Neighbours::around(&columns, &members, &members, 7, &Alone);
        assert_eq!(found.events, members);
        let (scaled, _) = standardised(&columns, &members);
        for (event, near) in found.events.iter().zip(&found.near) {
            let distance = |i: u32| scaled.iter().map(|c| (c[*event as usize] - c[i as usize]).powi(2)).sum::<f32>();
            let mut all = members.clone();
            all.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
            assert_eq!(near[..], all[..7]);
            assert_eq!(near[0], *event);
        }
    }

    #[test]
    fn bins_hold_each_event_twice() {
        let column: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let members: Vec<u32> = (0..100).collect();
        let groups = bins(&[column], &members, 10);
        assert_eq!(groups.len(), 21);
        assert_eq!(groups[0].len(), 10);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 200);
    }
}
