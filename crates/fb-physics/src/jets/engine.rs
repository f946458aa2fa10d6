//! Nearest neighbours of particles that merge and vanish (hep-ph/0512210: a smallest distance is that of a particle to
//! its geometric nearest neighbour, so one candidate a particle is enough).
//!
//! Particles sit in slots that are sorted by tile, row by row: the tiles of a row that touch a neighbourhood are one stretch of
//! slots, which vectors search. What they see beyond its end does no harm: it is too far away, or it is seen twice.
//!
//! Equal distances are broken by the lower node, for the nearest neighbour as for the smallest distance of all. Thus the history
//! does not depend on tiles.

use std::f64::consts::TAU;
use std::mem::replace;
use std::ops::Range;

use pulp::Simd;

use super::kinematics::Point;
use super::minimum::Minimum;
use super::tiles::{Home, Layout, Tiles};

/// The widest vector.
const WIDEST: usize = 8;
/// No slot.
const NONE: u64 = u64::MAX;
/// The nearest neighbour of an empty slot; differs from `NONE`, and matches no slot.
const EMPTY: u64 = u64::MAX - 1;
/// No node.
const NOBODY: u32 = u32::MAX;

/// A squared distance between two points.
pub(super) trait Metric: Copy {
    /// From one point to several.
    fn squared<S: Simd>(self, simd: S, from: [S::f64s; 3], to: [S::f64s; 3]) -> S::f64s;
}

/// Δy² + Δφ².
#[derive(Clone, Copy)]
pub(super) struct Cylinder;

impl Metric for Cylinder {
    #[inline(always)]
    fn squared<S: Simd>(self, simd: S, from: [S::f64s; 3], to: [S::f64s; 3]) -> S::f64s {
        let dy = simd.sub_f64s(from[0], to[0]);
        let dphi = simd.abs_f64s(simd.sub_f64s(from[1], to[1]));
        let dphi = simd.min_f64s(simd.sub_f64s(simd.splat_f64s(TAU), dphi), dphi);
        simd.add_f64s(simd.mul_f64s(dphi, dphi), simd.mul_f64s(dy, dy))
    }
}

/// 2(1 − cos θ) of unit vectors.
#[derive(Clone, Copy)]
pub(super) struct Sphere;

impl Metric for Sphere {
    #[inline(always)]
    fn squared<S: Simd>(self, simd: S, from: [S::f64s; 3], to: [S::f64s; 3]) -> S::f64s {
        let less = |rest, axis: usize| simd.sub_f64s(rest, simd.mul_f64s(from[axis], to[axis]));
        simd.mul_f64s(less(less(less(simd.splat_f64s(1.0), 0), 1), 2), simd.splat_f64s(2.0))
    }
}

/// What is known of a node when slots are dealt.
struct Live {
    node: u32,
    point: Point,
    scale: f64,
    near: f64,
    /// The node of the nearest neighbour.
    nearest: Option<u32>,
}

/// The candidates of a clustering.
pub(super) struct Engine<S, M> {
    simd: S,
    metric: M,
    layout: Layout,
    tiles: Tiles,
    /// R².
    limit: f64,
    // By slot, and some more that stay empty, so that a vector may begin at any slot.
    /// Coordinates; NaN where there is nobody.
    at: [Vec<f64>; 3],
    /// Squared distance of the nearest neighbour, R² where there is none nearer.
    near: Vec<f64>,
    /// The slot of the nearest neighbour, or `NONE`.
    nearest: Vec<u64>,
    scale: Vec<f64>,
    node: Vec<u32>,
    home: Vec<Home>,
    /// Where the slots of each tile begin, and the end.
    first: Vec<u32>,
    /// By node.
    slot: Vec<u32>,
    queue: Minimum,
    alive: usize,
    /// So many were alive when slots were dealt.
    dealt: usize,
    /// Slots whose nearest neighbour went.
    stale: Vec<u32>,
}

impl<S: Simd, M: Metric> Engine<S, M> {
    /// With nodes 0, 1, … at these points, and room for as many again.
    #[inline(always)]
    pub fn new(simd: S, metric: M, layout: Layout, limit: f64, points: &[Point], scales: &[f64]) -> Self {
        let n = points.len();
        let mut slot = Vec::with_capacity(2 * n);
        slot.resize(n, 0);
        let mut engine = Self {
            simd,
            metric,
            layout,
            tiles: Tiles::ONE,
            limit,
            at: [const { Vec::new() }; 3],
            near: Vec::new(),
            nearest: Vec::new(),
            scale: Vec::new(),
            node: Vec::new(),
            home: Vec::new(),
            first: Vec::new(),
            slot,
            queue: Minimum::new(2 * n),
            alive: n,
            dealt: n,
            stale: Vec::new(),
        };
        let live = |(node, (&point, &scale))| Live { node: node as u32, point, scale, near: limit, nearest: None };
        let live: Vec<Live> = points.iter().zip(scales).enumerate().map(live).collect();
        engine.deal(&live);
        for node in 0..n {
            engine.search(engine.slot[node] as usize);
        }
        engine
    }

    /// Gives these nodes slots, one more a tile than it holds.
    #[inline(always)]
    fn deal(&mut self, live: &[Live]) {
        self.tiles = Tiles::new(self.layout, live.iter().map(|one| one.point));
        let homes: Vec<Home> = live.iter().map(|one| self.tiles.home(one.point)).collect();
        self.first.clear();
        self.first.resize(self.tiles.len() + 1, 0);
        for &home in &homes {
            self.first[self.tiles.index(home)] += 1;
        }
        let mut total = 0;
        for first in &mut self.first {
            let count = replace(first, total);
            total += count + 1;
        }
        let room = total as usize + WIDEST;
        for axis in &mut self.at {
            axis.clear();
            axis.resize(room, f64::NAN);
        }
        refill(&mut self.near, room, 0.0);
        refill(&mut self.scale, room, 0.0);
        refill(&mut self.nearest, room, EMPTY);
        refill(&mut self.node, room, NOBODY);
        refill(&mut self.home, room, Home::default());
        let mut next = self.first.clone();
        for (one, &home) in live.iter().zip(&homes) {
            let slot = &mut next[self.tiles.index(home)];
            self.slot[one.node as usize] = *slot;
            self.put(*slot as usize, one.node, one.point, home, one.scale);
            *slot += 1;
        }
        for one in live {
            let slot = self.slot[one.node as usize] as usize;
            self.near[slot] = one.near;
            if let Some(nearest) = one.nearest {
                self.nearest[slot] = u64::from(self.slot[nearest as usize]);
            }
        }
        self.dealt = live.len();
    }

    /// Deals the slots again: there is a free one in every tile, and few that are empty.
    #[cold]
    fn deal_again(&mut self) {
        let mut live = Vec::with_capacity(self.alive);
        for (slot, &node) in self.node.iter().enumerate().filter(|&(_, &node)| node != NOBODY) {
            let nearest = self.node.get(self.nearest[slot] as usize).copied();
            let point = self.point(slot);
            live.push(Live { node, point, scale: self.scale[slot], near: self.near[slot], nearest });
        }
        self.deal(&live);
    }

    #[inline(always)]
    fn point(&self, slot: usize) -> Point {
        [self.at[0][slot], self.at[1][slot], self.at[2][slot]]
    }

    /// Puts a node into an empty slot.
    #[inline(always)]
    fn put(&mut self, slot: usize, node: u32, point: Point, home: Home, scale: f64) {
        for (axis, x) in self.at.iter_mut().zip(point) {
            axis[slot] = x;
        }
        self.near[slot] = self.limit;
        self.nearest[slot] = NONE;
        self.scale[slot] = scale;
        self.node[slot] = node;
        self.home[slot] = home;
    }

    /// The smallest distance (without its factor 1/R²), its node, and the node to merge with if it is not the beam.
    #[inline(always)]
    pub fn smallest(&self) -> (f64, usize, Option<usize>) {
        let (node, distance) = self.queue.first();
        let nearest = self.nearest[self.slot[node] as usize];
        (distance, node, self.node.get(nearest as usize).map(|&partner| partner as usize))
    }

    /// A node goes to the beam.
    #[inline(always)]
    pub fn remove(&mut self, node: usize) {
        let (slot, home) = self.take(node);
        self.collect(home, [slot; 2]);
        self.search_stale();
    }

    /// Two nodes become the next one.
    #[inline(always)]
    pub fn merge(&mut self, a: usize, b: usize, point: Point, scale: f64) {
        let mut home = self.tiles.home(point);
        let elsewhere = |engine: &Self, node: usize| engine.home[engine.slot[node] as usize] != home;
        let stuck = elsewhere(self, a) && elsewhere(self, b) && self.free(home).is_none();
        if stuck || self.dealt > 32.max(2 * self.alive) {
            self.deal_again();
            home = self.tiles.home(point);
        }
        let ((slot_a, home_a), (slot_b, home_b)) = (self.take(a), self.take(b));
        self.collect(home_a, [slot_a, slot_b]);
        if home_a != home_b {
            self.collect(home_b, [slot_a, slot_b]);
        }
        let slot = if home == home_a {
            slot_a as u32
        } else if home == home_b {
            slot_b as u32
        } else {
            self.free(home).unwrap_or(slot_a as u32)
        };
        let node = self.slot.len() as u32;
        self.slot.push(slot);
        self.alive += 1;
        self.introduce(node, home, point, scale);
        self.search_stale();
    }

    /// An empty slot of a tile.
    #[inline(always)]
    fn free(&self, home: Home) -> Option<u32> {
        let tile = self.tiles.index(home);
        (self.first[tile]..self.first[tile + 1]).find(|&slot| self.node[slot as usize] == NOBODY)
    }

    /// Empties the slot of a node.
    #[inline(always)]
    fn take(&mut self, node: usize) -> (u64, Home) {
        let slot = self.slot[node] as usize;
        for axis in &mut self.at {
            axis[slot] = f64::NAN;
        }
        self.nearest[slot] = EMPTY;
        self.node[slot] = NOBODY;
        self.queue.set(node, f64::INFINITY);
        self.alive -= 1;
        (slot as u64, self.home[slot])
    }

    /// The slots of one row of a neighbourhood, in whole vectors.
    #[inline(always)]
    fn stretch(&self, home: Home, row: isize) -> Range<usize> {
        let tiles = self.tiles.stretch(home, row);
        let (begin, end) = (self.first[tiles.start] as usize, self.first[tiles.end] as usize);
        begin..begin + (end - begin).next_multiple_of(S::F64_LANES)
    }

    /// Notes who had one of two slots as nearest neighbour. Until they have a new one, nothing is nearer.
    #[inline(always)]
    fn collect(&mut self, home: Home, gone: [u64; 2]) {
        let simd = self.simd;
        let gone = gone.map(|slot| simd.splat_u64s(slot));
        for row in self.tiles.rows_around() {
            let stretch = self.stretch(home, row);
            let begin = stretch.start;
            let (nearest, _) = S::as_simd_u64s(&self.nearest[stretch]);
            let before = self.stale.len();
            for (index, &nearest) in nearest.iter().enumerate() {
                let lost = simd.or_m64s(simd.equal_u64s(nearest, gone[0]), simd.equal_u64s(nearest, gone[1]));
                for lane in lanes(simd, lost) {
                    self.stale.push((begin + index * S::F64_LANES + lane) as u32);
                }
            }
            for &slot in &self.stale[before..] {
                self.nearest[slot as usize] = NONE;
                self.near[slot as usize] = -1.0;
            }
        }
    }

    /// Finds new neighbours for all that lost theirs.
    #[inline(always)]
    fn search_stale(&mut self) {
        let mut stale = std::mem::take(&mut self.stale);
        for &slot in &stale {
            self.search(slot as usize);
        }
        stale.clear();
        self.stale = stale;
    }

    /// Finds the nearest neighbour of a slot.
    #[inline(always)]
    fn search(&mut self, slot: usize) {
        let (simd, home, point) = (self.simd, self.home[slot], self.point(slot));
        let from = point.map(|x| simd.splat_f64s(x));
        // Nobody is the neighbour of itself.
        self.at[0][slot] = f64::NAN;
        let mut best = Best::new(simd, self.limit);
        for row in self.tiles.rows_around() {
            if self.tiles.is_beyond(point, home, row, &|| best.least(simd)) {
                continue;
            }
            let stretch = self.stretch(home, row);
            best.begin(simd, stretch.start);
            for to in self.vectors(stretch) {
                best.look(simd, self.metric.squared(simd, from, to));
            }
        }
        let nearest = self.nearest(&best, from, home);
        self.at[0][slot] = point[0];
        self.settle(slot, nearest);
    }

    /// Puts a new node into its slot: finds its nearest neighbour, and those that it is the nearest neighbour of.
    #[inline(always)]
    fn introduce(&mut self, node: u32, home: Home, point: Point, scale: f64) {
        let (simd, slot) = (self.simd, self.slot[node as usize]);
        let from = point.map(|x| simd.splat_f64s(x));
        let mut best = Best::new(simd, self.limit);
        for row in self.tiles.rows_around() {
            let stretch = self.stretch(home, row);
            let begin = stretch.start;
            best.begin(simd, begin);
            let Self { at, near, .. } = self;
            let [x, y, z] = at.each_ref().map(|axis| S::as_simd_f64s(&axis[stretch.clone()]).0);
            let (near, _) = S::as_mut_simd_f64s(&mut near[stretch]);
            for (index, (((&x, &y), &z), near)) in x.iter().zip(y).zip(z).zip(near).enumerate() {
                let squared = self.metric.squared(simd, from, [x, y, z]);
                best.look(simd, squared);
                let nearer = simd.less_than_f64s(squared, *near);
                let found = lanes(simd, nearer);
                if found.0 == 0 {
                    continue;
                }
                *near = simd.select_f64s(nearer, squared, *near);
                let near = pulp::bytemuck::cast_slice::<S::f64s, f64>(std::slice::from_ref(near));
                for lane in found {
                    let other = begin + index * S::F64_LANES + lane;
                    self.nearest[other] = u64::from(slot);
                    let smaller = if scale < self.scale[other] { scale } else { self.scale[other] };
                    self.queue.set(self.node[other] as usize, smaller * near[lane]);
                }
            }
        }
        let nearest = self.nearest(&best, from, home);
        self.put(slot as usize, node, point, home, scale);
        self.settle(slot as usize, nearest);
    }

    /// Coordinates of slots.
    #[inline(always)]
    fn vectors(&self, slots: Range<usize>) -> impl Iterator<Item = [S::f64s; 3]> {
        let [x, y, z] = self.at.each_ref().map(|axis| S::as_simd_f64s(&axis[slots.clone()]).0);
        x.iter().zip(y).zip(z).map(|((&x, &y), &z)| [x, y, z])
    }

    /// The nearest neighbour that was found, of equal ones that of the lowest node.
    #[inline(always)]
    fn nearest(&self, best: &Best<S>, from: [S::f64s; 3], home: Home) -> Option<(f64, u64)> {
        let simd = self.simd;
        let least = best.least(simd);
        if least >= self.limit {
            return None;
        }
        let mut equal = lanes(simd, simd.equal_f64s(best.squared, simd.splat_f64s(least)));
        let tied = equal.0 & (equal.0 - 1) != 0 || equal.0 & lanes(simd, best.tied).0 != 0;
        let slot = if tied {
            self.lowest(least, from, home)
        } else {
            let lane = equal.next().unwrap_or(0);
            pulp::bytemuck::cast_slice::<S::u64s, u64>(std::slice::from_ref(&best.slot))[lane] + lane as u64
        };
        Some((least, slot))
    }

    /// The slot of the lowest node at a distance.
    #[cold]
    #[inline(never)]
    fn lowest(&self, squared: f64, from: [S::f64s; 3], home: Home) -> u64 {
        let (simd, mut lowest) = (self.simd, (NOBODY, NONE));
        for row in self.tiles.rows_around() {
            let stretch = self.stretch(home, row);
            for (begin, to) in stretch.clone().step_by(S::F64_LANES).zip(self.vectors(stretch)) {
                let there = self.metric.squared(simd, from, to);
                for lane in lanes(simd, simd.equal_f64s(there, simd.splat_f64s(squared))) {
                    lowest = lowest.min((self.node[begin + lane], (begin + lane) as u64));
                }
            }
        }
        lowest.1
    }

    /// Notes the nearest neighbour of a slot.
    #[inline(always)]
    fn settle(&mut self, slot: usize, nearest: Option<(f64, u64)>) {
        let (near, neighbour) = nearest.unwrap_or((self.limit, NONE));
        self.near[slot] = near;
        self.nearest[slot] = neighbour;
        let own = self.scale[slot];
        let smaller = self.scale.get(neighbour as usize).copied().filter(|&other| other < own).unwrap_or(own);
        self.queue.set(self.node[slot] as usize, smaller * near);
    }
}

/// The least of the squared distances that were looked at, lane by lane.
struct Best<S: Simd> {
    squared: S::f64s,
    /// Where the vector begins that it was seen in.
    slot: S::u64s,
    /// Whether it was seen twice.
    tied: S::m64s,
    here: S::u64s,
}

impl<S: Simd> Best<S> {
    #[inline(always)]
    fn new(simd: S, limit: f64) -> Self {
        let zero = simd.splat_f64s(0.0);
        let none = simd.splat_u64s(NONE);
        Self { squared: simd.splat_f64s(limit), slot: none, tied: simd.less_than_f64s(zero, zero), here: none }
    }

    /// What is looked at next begins with this slot.
    #[inline(always)]
    fn begin(&mut self, simd: S, slot: usize) {
        self.here = simd.splat_u64s(slot as u64);
    }

    #[inline(always)]
    fn look(&mut self, simd: S, squared: S::f64s) {
        self.tied = simd.or_m64s(self.tied, simd.equal_f64s(squared, self.squared));
        let less = simd.less_than_f64s(squared, self.squared);
        self.slot = simd.select_u64s(less, self.here, self.slot);
        self.squared = simd.select_f64s(less, squared, self.squared);
        self.here = simd.add_u64s(self.here, simd.splat_u64s(S::F64_LANES as u64));
    }

    #[inline(always)]
    fn least(&self, simd: S) -> f64 {
        simd.reduce_min_f64s(self.squared)
    }
}

/// The lanes of a mask, rising.
struct Lanes(u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let lane = self.0.trailing_zeros() as usize;
        (self.0 != 0).then(|| {
            self.0 &= self.0 - 1;
            lane
        })
    }
}

#[inline(always)]
fn lanes<S: Simd>(simd: S, mask: S::m64s) -> Lanes {
    let bits: [u64; WIDEST] = std::array::from_fn(|lane| 1 << lane);
    let (bits, _) = S::as_simd_u64s(&bits);
    let chosen = simd.select_u64s(mask, bits[0], simd.splat_u64s(0));
    let chosen = pulp::bytemuck::cast_slice::<S::u64s, u64>(std::slice::from_ref(&chosen));
    Lanes(chosen.iter().fold(0, |all, one| all | one))
}

#[inline(always)]
fn refill<T: Clone>(list: &mut Vec<T>, room: usize, with: T) {
    list.clear();
    list.resize(room, with);
}
