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
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::kinematics::Point;
use super::minimum::Minimum;
use super::tiles::{Layout, Tiles};

/// The widest vector.
const WIDEST: usize = 8;
/// No slot.
const NONE: u64 = u64::MAX;
/// The nearest neighbour of an empty slot; differs from `NONE`, and matches no slot.
const EMPTY: u64 = u64::MAX - 1;
/// No node.
const NOBODY: u32 = u32::MAX;

/// A squared distance between two points.
pub(super) trait Metric<const D: usize>: Copy {
    /// From one point to several, by their first coordinates.
    fn squared<S: Simd>(self, simd: S, from: [S::f64s; D], to: [S::f64s; D]) -> S::f64s;
}

/// Δy² + Δφ².
#[derive(Clone, Copy)]
pub(super) struct Cylinder;

impl Metric<2> for Cylinder {
    #[inline(always)]
    fn squared<S: Simd>(self, simd: S, from: [S::f64s; 2], to: [S::f64s; 2]) -> S::f64s {
        let dy = simd.sub_f64s(from[0], to[0]);
        let dphi = simd.abs_f64s(simd.sub_f64s(from[1], to[1]));
        let dphi = simd.min_f64s(simd.sub_f64s(simd.splat_f64s(TAU), dphi), dphi);
        simd.add_f64s(simd.mul_f64s(dphi, dphi), simd.mul_f64s(dy, dy))
    }
}

/// 2(1 − cos θ) of unit vectors.
#[derive(Clone, Copy)]
pub(super) struct Sphere;

impl Metric<3> for Sphere {
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

/// As many slots as a vector has lanes.
#[derive(Debug, Clone, Copy)]
struct Block<S: Simd, const D: usize> {
    /// Coordinates; NaN where there is nobody.
    at: [S::f64s; D],
    /// Squared distance of the nearest neighbour, R² where there is none nearer.
    near: S::f64s,
    /// The slot of the nearest neighbour, or `NONE`.
    nearest: S::u64s,
}

/// What else is known of a slot.
#[derive(Debug, Clone, Copy)]
struct Slot {
    node: u32,
    /// Its tile.
    home: u32,
    scale: f64,
}

/// The candidates of a clustering.
pub(super) struct Engine<S: Simd, M, const D: usize> {
    simd: S,
    metric: M,
    layout: Layout,
    tiles: Tiles,
    /// R².
    limit: f64,
    blocks: Vec<Block<S, D>>,
    slots: Vec<Slot>,
    /// Where the slots of each tile begin, and the end.
    first: Vec<u32>,
    /// The blocks of each row of each tile's neighbourhood.
    around: Vec<[u32; 2]>,
    /// By node.
    slot: Vec<u32>,
    queue: Minimum<S>,
    alive: usize,
    /// So many were alive when slots were dealt.
    dealt: usize,
    /// Slots whose nearest neighbour went.
    stale: Vec<u32>,
}

impl<S: Simd, M: Metric<D>, const D: usize> Engine<S, M, D> {
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
            blocks: Vec::new(),
            slots: Vec::new(),
            first: Vec::new(),
            around: Vec::new(),
            slot,
            queue: Minimum::new(simd, 2 * n),
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
        self.tiles = Tiles::new(self.layout, S::F64_LANES, live.iter().map(|one| one.point));
        let homes: Vec<u32> = live.iter().map(|one| self.tiles.home(one.point)).collect();
        self.first.clear();
        self.first.resize(self.tiles.len() + 1, 0);
        for &home in &homes {
            self.first[home as usize] += 1;
        }
        let mut total = 0;
        for first in &mut self.first {
            let count = replace(first, total);
            total += count + 1;
        }
        let blocks = (total as usize).div_ceil(S::F64_LANES);
        let (nowhere, empty) = (self.simd.splat_f64s(f64::NAN), self.simd.splat_u64s(EMPTY));
        let vacant = Block { at: [nowhere; D], near: self.simd.splat_f64s(0.0), nearest: empty };
        self.blocks.clear();
        self.blocks.resize(blocks, vacant);
        self.slots.clear();
        self.slots.resize(blocks * S::F64_LANES, Slot { node: NOBODY, home: 0, scale: 0.0 });
        self.around.clear();
        let (first, lanes) = (&self.first, S::F64_LANES as u32);
        self.tiles.stretches(|tiles| {
            self.around.push([first[tiles.start] / lanes, first[tiles.end].div_ceil(lanes)]);
        });
        let mut next = self.first.clone();
        for (one, &home) in live.iter().zip(&homes) {
            let slot = next[home as usize];
            next[home as usize] += 1;
            self.slot[one.node as usize] = slot;
            self.put(slot as usize, one.point, Slot { node: one.node, home, scale: one.scale });
        }
        for one in live {
            let slot = self.slot[one.node as usize] as usize;
            let (block, lane) = (&mut self.blocks[slot / S::F64_LANES], slot % S::F64_LANES);
            *floats::<S>(&mut block.near, lane) = one.near;
            if let Some(nearest) = one.nearest {
                *integers::<S>(&mut block.nearest, lane) = u64::from(self.slot[nearest as usize]);
            }
        }
        self.dealt = live.len();
    }

    /// Deals the slots again: there is a free one in every tile, and few that are empty.
    #[cold]
    fn deal_again(&mut self) {
        let mut live = Vec::with_capacity(self.alive);
        for (slot, &Slot { node, scale, .. }) in self.slots.iter().enumerate().filter(|(_, slot)| slot.node != NOBODY) {
            let mut block = self.blocks[slot / S::F64_LANES];
            let lane = slot % S::F64_LANES;
            let mut point = [0.0; 3];
            for (x, axis) in point.iter_mut().zip(&mut block.at) {
                *x = *floats::<S>(axis, lane);
            }
            let nearest = self.slots.get(*integers::<S>(&mut block.nearest, lane) as usize).map(|other| other.node);
            live.push(Live { node, point, scale, near: *floats::<S>(&mut block.near, lane), nearest });
        }
        self.deal(&live);
    }

    /// Puts a node into an empty slot.
    #[inline(always)]
    fn put(&mut self, slot: usize, point: Point, who: Slot) {
        let (block, lane) = (&mut self.blocks[slot / S::F64_LANES], slot % S::F64_LANES);
        for (axis, x) in block.at.iter_mut().zip(point) {
            *floats::<S>(axis, lane) = x;
        }
        *floats::<S>(&mut block.near, lane) = self.limit;
        *integers::<S>(&mut block.nearest, lane) = NONE;
        self.slots[slot] = who;
    }

    /// The smallest distance (without its factor 1/R²), its node, and the node to merge with if it is not the beam.
    #[inline(always)]
    pub fn smallest(&self) -> (f64, usize, Option<usize>) {
        let (node, distance) = self.queue.first();
        let slot = self.slot[node] as usize;
        let mut nearest = self.blocks[slot / S::F64_LANES].nearest;
        let nearest = *integers::<S>(&mut nearest, slot % S::F64_LANES);
        (distance, node, self.slots.get(nearest as usize).map(|partner| partner.node as usize))
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
        let elsewhere = |engine: &Self, node: usize| engine.slots[engine.slot[node] as usize].home != home;
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
        self.introduce(point, Slot { node, home, scale });
        self.search_stale();
    }

    /// An empty slot of a tile.
    #[inline(always)]
    fn free(&self, home: u32) -> Option<u32> {
        let (begin, end) = (self.first[home as usize], self.first[home as usize + 1]);
        (begin..end).find(|&slot| self.slots[slot as usize].node == NOBODY)
    }

    /// Empties the slot of a node.
    #[inline(always)]
    fn take(&mut self, node: usize) -> (u64, u32) {
        let slot = self.slot[node] as usize;
        let (block, lane) = (&mut self.blocks[slot / S::F64_LANES], slot % S::F64_LANES);
        for axis in &mut block.at {
            *floats::<S>(axis, lane) = f64::NAN;
        }
        *integers::<S>(&mut block.nearest, lane) = EMPTY;
        self.slots[slot].node = NOBODY;
        self.queue.set(node, f64::INFINITY);
        self.alive -= 1;
        (slot as u64, self.slots[slot].home)
    }

    /// Rows of the neighbourhood of a tile.
    #[inline(always)]
    fn rows(&self, home: u32) -> Range<usize> {
        let rows = self.tiles.rows_around();
        home as usize * rows..(home as usize + 1) * rows
    }

    /// Notes who had one of two slots as nearest neighbour. Until they have a new one, nothing is nearer.
    #[inline(always)]
    fn collect(&mut self, home: u32, gone: [u64; 2]) {
        let simd = self.simd;
        let gone = gone.map(|slot| simd.splat_u64s(slot));
        let rows = self.rows(home);
        for &[begin, end] in &self.around[rows] {
            for (block, index) in self.blocks[begin as usize..end as usize].iter_mut().zip(begin..) {
                let lost =
                    simd.or_m64s(simd.equal_u64s(block.nearest, gone[0]), simd.equal_u64s(block.nearest, gone[1]));
                let lost = lanes(simd, lost);
                if lost.0 == 0 {
                    continue;
                }
                for lane in lost {
                    *integers::<S>(&mut block.nearest, lane) = NONE;
                    *floats::<S>(&mut block.near, lane) = -1.0;
                    self.stale.push(index * S::F64_LANES as u32 + lane as u32);
                }
            }
        }
    }

    /// Finds new neighbours for all that lost theirs.
    #[inline(always)]
    fn search_stale(&mut self) {
        for index in 0..self.stale.len() {
            self.search(self.stale[index] as usize);
        }
        self.stale.clear();
    }

    /// Finds the nearest neighbour of a slot.
    #[inline(always)]
    fn search(&mut self, slot: usize) {
        let simd = self.simd;
        let (block, lane) = (&mut self.blocks[slot / S::F64_LANES], slot % S::F64_LANES);
        let mut at = block.at;
        let point = at.each_mut().map(|axis| *floats::<S>(axis, lane));
        let from = point.map(|x| simd.splat_f64s(x));
        // Nobody is the neighbour of itself.
        *floats::<S>(&mut block.at[0], lane) = f64::NAN;
        let home = self.slots[slot].home;
        let mut best = Best::new(simd, self.limit);
        for (number, &[begin, end]) in self.around[self.rows(home)].iter().enumerate() {
            if self.tiles.is_beyond(point[1], home, number, &|| best.least(simd)) {
                continue;
            }
            best.begin(simd, begin);
            for block in &self.blocks[begin as usize..end as usize] {
                best.look(simd, self.metric.squared(simd, from, block.at));
            }
        }
        let nearest = self.nearest(&best, from, home);
        *floats::<S>(&mut self.blocks[slot / S::F64_LANES].at[0], lane) = point[0];
        self.settle(slot, nearest);
    }

    /// Puts a new node into its slot: finds its nearest neighbour, and those that it is the nearest neighbour of.
    #[inline(always)]
    fn introduce(&mut self, point: Point, who: Slot) {
        let (simd, slot) = (self.simd, self.slot[who.node as usize]);
        let from: [S::f64s; D] = std::array::from_fn(|axis| simd.splat_f64s(point[axis]));
        let mut best = Best::new(simd, self.limit);
        let rows = self.rows(who.home);
        for &[begin, end] in &self.around[rows] {
            best.begin(simd, begin);
            for (block, index) in self.blocks[begin as usize..end as usize].iter_mut().zip(begin..) {
                let squared = self.metric.squared(simd, from, block.at);
                best.look(simd, squared);
                let nearer = simd.less_than_f64s(squared, block.near);
                let found = lanes(simd, nearer);
                if found.0 == 0 {
                    continue;
                }
                block.near = simd.select_f64s(nearer, squared, block.near);
                block.nearest = simd.select_u64s(nearer, simd.splat_u64s(u64::from(slot)), block.nearest);
                for lane in found {
                    let other = self.slots[index as usize * S::F64_LANES + lane];
                    let smaller = if who.scale < other.scale { who.scale } else { other.scale };
                    self.queue.set(other.node as usize, smaller * *floats::<S>(&mut block.near, lane));
                }
            }
        }
        let nearest = self.nearest(&best, from, who.home);
        self.put(slot as usize, point, who);
        self.settle(slot as usize, nearest);
    }

    /// The nearest neighbour that was found, of equal ones that of the lowest node.
    #[inline(always)]
    fn nearest(&self, best: &Best<S>, from: [S::f64s; D], home: u32) -> Option<(f64, u64)> {
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
            *integers::<S>(&mut { best.slot }, lane) + lane as u64
        };
        Some((least, slot))
    }

    /// The slot of the lowest node at a distance.
    #[cold]
    #[inline(never)]
    fn lowest(&self, squared: f64, from: [S::f64s; D], home: u32) -> u64 {
        let (simd, mut lowest) = (self.simd, (NOBODY, NONE));
        for &[begin, end] in &self.around[self.rows(home)] {
            for index in begin as usize..end as usize {
                let there = self.metric.squared(simd, from, self.blocks[index].at);
                for lane in lanes(simd, simd.equal_f64s(there, simd.splat_f64s(squared))) {
                    let slot = index * S::F64_LANES + lane;
                    lowest = lowest.min((self.slots[slot].node, slot as u64));
                }
            }
        }
        lowest.1
    }

    /// Notes the nearest neighbour of a slot.
    #[inline(always)]
    fn settle(&mut self, slot: usize, nearest: Option<(f64, u64)>) {
        let (near, neighbour) = nearest.unwrap_or((self.limit, NONE));
        let (block, lane) = (&mut self.blocks[slot / S::F64_LANES], slot % S::F64_LANES);
        *floats::<S>(&mut block.near, lane) = near;
        *integers::<S>(&mut block.nearest, lane) = neighbour;
        let own = self.slots[slot];
        let other = self.slots.get(neighbour as usize).map_or(own.scale, |other| other.scale);
        let smaller = if other < own.scale { other } else { own.scale };
        self.queue.set(own.node as usize, smaller * near);
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

    /// What is looked at next is this block.
    #[inline(always)]
    fn begin(&mut self, simd: S, block: u32) {
        self.here = simd.splat_u64s(u64::from(block) * S::F64_LANES as u64);
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
pub(super) struct Lanes(pub u64);

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

/// Where a mask is set.
#[inline(always)]
pub(super) fn lanes<S: Simd>(simd: S, mask: S::m64s) -> Lanes {
    // Units with masks of their own have the bits at hand.
    if const { size_of::<S::m64s>() == 1 && S::F64_LANES == WIDEST } {
        return Lanes(u64::from(pulp::bytemuck::cast::<S::m64s, u8>(mask)));
    }
    let bits: [u64; WIDEST] = std::array::from_fn(|lane| 1 << lane);
    let (bits, _) = S::as_simd_u64s(&bits);
    let chosen = simd.select_u64s(mask, bits[0], simd.splat_u64s(0));
    let chosen = cast_slice::<S::u64s, u64>(std::slice::from_ref(&chosen));
    Lanes(chosen.iter().fold(0, |all, one| all | one))
}

/// One lane of a vector.
#[inline(always)]
fn floats<S: Simd>(vector: &mut S::f64s, lane: usize) -> &mut f64 {
    &mut cast_slice_mut::<S::f64s, f64>(std::slice::from_mut(vector))[lane]
}

/// One lane of a vector.
#[inline(always)]
fn integers<S: Simd>(vector: &mut S::u64s, lane: usize) -> &mut u64 {
    &mut cast_slice_mut::<S::u64s, u64>(std::slice::from_mut(vector))[lane]
}
