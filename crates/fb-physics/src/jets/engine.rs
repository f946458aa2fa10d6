//! Nearest neighbours of particles that merge and vanish (hep-ph/0512210: a smallest distance is that of a particle to
//! its geometric nearest neighbour, so one candidate a particle is enough).
//!
//! Particles sit in slots, eight in a block, and blocks are searched lane by lane with vectors. Slots are sorted by tile, row by
//! row: the tiles of a row that touch a neighbourhood are one stretch of blocks. What a stretch holds beyond its tiles is looked
//! at too, which does no harm: it is too far away, or it is seen twice.
//!
//! Equal distances are broken by the lower node, for the nearest neighbour as for the smallest distance of all. Thus the history
//! does not depend on tiles.

use std::array::from_fn;
use std::f64::consts::TAU;
use std::ops::Range;

use super::kinematics::Point;
use super::minimum::{Minimum, smallest_of_eight};

const LANES: usize = 8;
/// No slot, no node.
const NONE: u32 = u32::MAX;
/// No slot; differs from `NONE`, so that empty slots match no partner.
const EMPTY: u32 = u32::MAX - 1;

/// A squared distance between two points.
pub(super) trait Metric: Copy {
    /// From one point to eight.
    fn squared(self, from: Point, to: &[[f64; LANES]; 3]) -> [f64; LANES];
}

/// Δy² + Δφ².
#[derive(Clone, Copy)]
pub(super) struct Cylinder;

impl Metric for Cylinder {
    #[inline(always)]
    fn squared(self, from: Point, to: &[[f64; LANES]; 3]) -> [f64; LANES] {
        from_fn(|i| {
            let (dy, dphi) = ((from[0] - to[0][i]).abs(), (from[1] - to[1][i]).abs());
            let around = TAU - dphi;
            let dphi = if around < dphi { around } else { dphi };
            dphi * dphi + dy * dy
        })
    }
}

/// 2(1 − cos θ) of unit vectors.
#[derive(Clone, Copy)]
pub(super) struct Sphere;

impl Metric for Sphere {
    #[inline(always)]
    fn squared(self, from: Point, to: &[[f64; LANES]; 3]) -> [f64; LANES] {
        from_fn(|i| (1.0 - from[0] * to[0][i] - from[1] * to[1][i] - from[2] * to[2][i]) * 2.0)
    }
}

/// Rows of φ and columns of y. The first and the last column reach to infinity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
    /// Rows and columns on either side that a radius reaches.
    reach: usize,
    lowest: f64,
    per_y: f64,
    per_phi: f64,
}

impl Tiles {
    /// One tile for all.
    pub const ONE: Self = Self { rows: 1, columns: 1, reach: 0, lowest: 0.0, per_y: 0.0, per_phi: 0.0 };

    /// Tiles a little wider than `radius / reach` that cover these rapidities, at most about as many as particles.
    pub fn new(radius: f64, reach: usize, points: &[Point]) -> Self {
        // Wider than R by more than coordinates round.
        let width = radius / reach as f64 * (1.0 + 1e-9);
        let rows = ((TAU / width) as usize).min(4096);
        if rows < 2 * reach + 1 {
            return Self::ONE;
        }
        let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
        for p in points.iter().filter(|p| p[0].abs() < 20.0) {
            (lowest, highest) = (lowest.min(p[0]), highest.max(p[0]));
        }
        let most = (4 * points.len() / rows).max(1);
        let columns = if lowest < highest { (((highest - lowest) / width) as usize + 1).min(most) } else { 1 };
        let lowest = if lowest.is_finite() { lowest } else { 0.0 };
        Self { rows, columns, reach, lowest, per_y: 1.0 / width, per_phi: rows as f64 / TAU }
    }

    #[inline(always)]
    fn home(&self, p: Point) -> Home {
        let row = ((p[1] * self.per_phi) as usize).min(self.rows - 1);
        let column = (((p[0] - self.lowest) * self.per_y).max(0.0) as usize).min(self.columns - 1);
        Home { row, column }
    }

    #[inline(always)]
    fn index(&self, home: Home) -> usize {
        home.row * self.columns + home.column
    }
}

/// A tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Home {
    row: usize,
    column: usize,
}

/// Eight slots.
#[derive(Debug, Clone)]
struct Block {
    /// Coordinates; NaN where there is nobody.
    at: [[f64; LANES]; 3],
    /// Squared distance of the nearest neighbour, R² where there is none nearer.
    near: [f64; LANES],
    scale: [f64; LANES],
    /// The slot of the nearest neighbour, or `NONE`.
    nearest: [u32; LANES],
    node: [u32; LANES],
}

impl Block {
    const VACANT: Self = Self {
        at: [[f64::NAN; LANES]; 3],
        near: [0.0; LANES],
        scale: [0.0; LANES],
        nearest: [EMPTY; LANES],
        node: [NONE; LANES],
    };

    #[inline(always)]
    fn point(&self, lane: usize) -> Point {
        [self.at[0][lane], self.at[1][lane], self.at[2][lane]]
    }
}

/// The candidates of a clustering.
pub(super) struct Engine<M> {
    metric: M,
    tiles: Tiles,
    /// R².
    limit: f64,
    blocks: Vec<Block>,
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
    /// What a search has looked at.
    seen: Vec<Seen>,
}

impl<M: Metric> Engine<M> {
    /// With nodes 0, 1, … at these points, and room for as many again.
    #[inline(always)]
    pub fn new(metric: M, tiles: Tiles, limit: f64, points: &[Point], scales: &[f64]) -> Self {
        let n = points.len();
        let mut slot = Vec::with_capacity(2 * n);
        slot.resize(n, NONE);
        let mut engine = Self {
            metric,
            tiles,
            limit,
            blocks: Vec::new(),
            first: Vec::new(),
            slot,
            queue: Minimum::new(2 * n),
            alive: n,
            dealt: n,
            stale: Vec::new(),
            seen: Vec::new(),
        };
        let homes: Vec<u32> = points.iter().map(|&p| engine.tiles.index(engine.tiles.home(p)) as u32).collect();
        engine.deal(&homes);
        for (node, (&point, &scale)) in points.iter().zip(scales).enumerate() {
            engine.put(node as u32, point, scale);
        }
        for node in 0..n {
            engine.search(engine.slot[node] as usize);
        }
        engine
    }

    /// Makes empty blocks with room for these tiles, one slot more than each holds, and gives each node its slot.
    #[inline(always)]
    fn deal(&mut self, homes: &[u32]) {
        let tiles = self.tiles.rows * self.tiles.columns;
        self.first.clear();
        self.first.resize(tiles + 1, 0);
        for &home in homes.iter().filter(|&&home| home != NONE) {
            self.first[home as usize] += 1;
        }
        let mut total = 0;
        for first in &mut self.first {
            let count = std::mem::replace(first, total);
            total += count + 1;
        }
        self.blocks.resize(total.div_ceil(LANES as u32) as usize, Block::VACANT);
        let mut next = self.first.clone();
        for (slot, &home) in self.slot.iter_mut().zip(homes) {
            if home != NONE {
                *slot = next[home as usize];
                next[home as usize] += 1;
            }
        }
        self.dealt = self.alive;
    }

    /// Deals the slots again: there is a free one in every tile, and few that are empty.
    #[cold]
    fn deal_again(&mut self) {
        let old = std::mem::take(&mut self.blocks);
        let mut homes = vec![NONE; self.slot.len()];
        let live = |block: &Block| (0..LANES).filter(|&lane| block.node[lane] != NONE).collect::<Vec<_>>();
        for block in &old {
            for lane in live(block) {
                homes[block.node[lane] as usize] = self.tiles.index(self.tiles.home(block.point(lane))) as u32;
            }
        }
        self.deal(&homes);
        for block in &old {
            for lane in live(block) {
                let slot = self.put(block.node[lane], block.point(lane), block.scale[lane]);
                let nearest = block.nearest[lane] as usize;
                let new = &mut self.blocks[slot / LANES];
                new.near[slot % LANES] = block.near[lane];
                if let Some(other) = old.get(nearest / LANES) {
                    new.nearest[slot % LANES] = self.slot[other.node[nearest % LANES] as usize];
                }
            }
        }
    }

    /// Puts a node into its slot.
    #[inline(always)]
    fn put(&mut self, node: u32, point: Point, scale: f64) -> usize {
        let slot = self.slot[node as usize] as usize;
        let (block, lane) = (&mut self.blocks[slot / LANES], slot % LANES);
        for (axis, x) in block.at.iter_mut().zip(point) {
            axis[lane] = x;
        }
        block.near[lane] = self.limit;
        block.scale[lane] = scale;
        block.nearest[lane] = NONE;
        block.node[lane] = node;
        slot
    }

    /// The smallest distance (without its factor 1/R²), its node, and the node to merge with if it is not the beam.
    #[inline(always)]
    pub fn smallest(&self) -> (f64, usize, Option<usize>) {
        let (node, distance) = self.queue.first();
        let slot = self.slot[node] as usize;
        let nearest = self.blocks[slot / LANES].nearest[slot % LANES] as usize;
        let partner = self.blocks.get(nearest / LANES).map(|block| block.node[nearest % LANES] as usize);
        (distance, node, partner)
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
        let home = self.tiles.home(point);
        let mut free = self.free(home);
        if free.is_none() && self.home_of(a) != home && self.home_of(b) != home || self.dealt > 64.max(2 * self.alive) {
            self.deal_again();
            free = self.free(home);
        }
        let ((slot_a, home_a), (slot_b, home_b)) = (self.take(a), self.take(b));
        self.collect(home_a, [slot_a, slot_b]);
        if home_a != home_b {
            self.collect(home_b, [slot_a, slot_b]);
        }
        let slot = if home == home_a {
            slot_a
        } else if home == home_b {
            slot_b
        } else {
            free.unwrap_or(slot_a)
        };
        let node = self.slot.len() as u32;
        self.slot.push(slot);
        self.alive += 1;
        self.introduce(node, home, point, scale);
        self.search_stale();
    }

    fn home_of(&self, node: usize) -> Home {
        let slot = self.slot[node] as usize;
        self.tiles.home(self.blocks[slot / LANES].point(slot % LANES))
    }

    /// An empty slot of a tile.
    #[inline(always)]
    fn free(&self, home: Home) -> Option<u32> {
        let tile = self.tiles.index(home);
        let end = self.first.get(tile + 1).copied().unwrap_or(u32::MAX);
        let all = (self.blocks.len() * LANES) as u32;
        (self.first[tile]..end.min(all)).find(|&s| self.blocks[s as usize / LANES].node[s as usize % LANES] == NONE)
    }

    /// Empties the slot of a node.
    #[inline(always)]
    fn take(&mut self, node: usize) -> (u32, Home) {
        let slot = self.slot[node];
        let (block, lane) = (&mut self.blocks[slot as usize / LANES], slot as usize % LANES);
        let home = self.tiles.home(block.point(lane));
        for axis in &mut block.at {
            axis[lane] = f64::NAN;
        }
        block.nearest[lane] = EMPTY;
        block.node[lane] = NONE;
        self.queue.set(node, f64::INFINITY);
        self.alive -= 1;
        (slot, home)
    }

    /// The blocks of one row of a neighbourhood, the rows being numbered from `0` to `2 reach`.
    #[inline(always)]
    fn stretch(&self, home: Home, number: usize) -> Range<usize> {
        let Tiles { rows, columns, reach, .. } = self.tiles;
        let row = home.row + number + rows - reach;
        let row = if row >= 2 * rows {
            row - 2 * rows
        } else if row >= rows {
            row - rows
        } else {
            row
        };
        let (left, right) = (home.column.saturating_sub(reach), (home.column + reach + 1).min(columns));
        let (begin, end) = (self.first[row * columns + left], self.first[row * columns + right]);
        begin as usize / LANES..(end as usize).div_ceil(LANES)
    }

    /// Notes who had one of two slots as nearest neighbour. Until they have a new one, nothing is nearer.
    #[inline(always)]
    fn collect(&mut self, home: Home, gone: [u32; 2]) {
        for number in 0..=2 * self.tiles.reach {
            let stretch = self.stretch(home, number);
            let begin = stretch.start;
            for (index, block) in self.blocks[stretch].iter_mut().enumerate() {
                let lost = |nearest: u32| gone.contains(&nearest);
                if !any(from_fn(|lane| lost(block.nearest[lane]))) {
                    continue;
                }
                for lane in 0..LANES {
                    if lost(block.nearest[lane]) {
                        block.nearest[lane] = NONE;
                        block.near[lane] = -1.0;
                        self.stale.push(((begin + index) * LANES + lane) as u32);
                    }
                }
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
        let (block, lane) = (&mut self.blocks[slot / LANES], slot % LANES);
        let point = block.point(lane);
        // Nobody is the neighbour of itself.
        block.at[0][lane] = f64::NAN;
        let home = self.tiles.home(point);
        self.seen.clear();
        let mut least = [self.limit; LANES];
        for number in 0..=2 * self.tiles.reach {
            let stretch = self.stretch(home, number);
            let begin = stretch.start;
            for (index, block) in self.blocks[stretch].iter().enumerate() {
                let squared = self.metric.squared(point, &block.at);
                least = lesser(&squared, &least);
                self.seen.push(Seen { squared, block: begin + index });
            }
        }
        let nearest = self.nearest_seen(&least);
        self.blocks[slot / LANES].at[0][lane] = point[0];
        self.settle(slot, nearest);
    }

    /// Puts a new node into its slot: finds its nearest neighbour, and those that it is the nearest neighbour of.
    #[inline(always)]
    fn introduce(&mut self, node: u32, home: Home, point: Point, scale: f64) {
        let slot = self.slot[node as usize];
        self.seen.clear();
        let mut least = [self.limit; LANES];
        for number in 0..=2 * self.tiles.reach {
            let stretch = self.stretch(home, number);
            let begin = stretch.start;
            for (index, block) in self.blocks[stretch].iter_mut().enumerate() {
                let squared = self.metric.squared(point, &block.at);
                least = lesser(&squared, &least);
                self.seen.push(Seen { squared, block: begin + index });
                if !any(from_fn(|lane| squared[lane] < block.near[lane])) {
                    continue;
                }
                for (lane, &squared) in squared.iter().enumerate() {
                    if squared < block.near[lane] {
                        block.near[lane] = squared;
                        block.nearest[lane] = slot;
                        let smaller = if scale < block.scale[lane] { scale } else { block.scale[lane] };
                        self.queue.set(block.node[lane] as usize, smaller * squared);
                    }
                }
            }
        }
        let nearest = self.nearest_seen(&least);
        let slot = self.put(node, point, scale);
        self.settle(slot, nearest);
    }

    /// The nearest neighbour among what was seen, of equal ones that of the lowest node.
    #[inline(always)]
    fn nearest_seen(&self, least: &[f64; LANES]) -> Option<(f64, u32)> {
        let least = smallest_of_eight(least);
        if least >= self.limit {
            return None;
        }
        let (mut lowest, mut slot) = (NONE, NONE);
        for seen in &self.seen {
            if !any(from_fn(|lane| seen.squared[lane] == least)) {
                continue;
            }
            let nodes = &self.blocks[seen.block].node;
            for (lane, &node) in nodes.iter().enumerate() {
                if seen.squared[lane] == least && node < lowest {
                    (lowest, slot) = (node, (seen.block * LANES + lane) as u32);
                }
            }
        }
        Some((least, slot))
    }

    /// Notes the nearest neighbour of a slot.
    #[inline(always)]
    fn settle(&mut self, slot: usize, nearest: Option<(f64, u32)>) {
        let (near, neighbour) = nearest.unwrap_or((self.limit, NONE));
        let other = self.blocks.get(neighbour as usize / LANES).map(|block| block.scale[neighbour as usize % LANES]);
        let (block, lane) = (&mut self.blocks[slot / LANES], slot % LANES);
        block.near[lane] = near;
        block.nearest[lane] = neighbour;
        let scale = block.scale[lane];
        let smaller = other.filter(|&other| other < scale).unwrap_or(scale);
        self.queue.set(block.node[lane] as usize, smaller * near);
    }
}

/// Squared distances of a point to a block.
struct Seen {
    squared: [f64; LANES],
    block: usize,
}

/// The lesser in each lane; `b` where `a` is not a number.
#[inline(always)]
fn lesser(a: &[f64; LANES], b: &[f64; LANES]) -> [f64; LANES] {
    from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
}

/// Whether something holds in any lane: by halves, which vectors do well.
#[inline(always)]
fn any(lanes: [bool; LANES]) -> bool {
    let wide: [u64; LANES] = from_fn(|lane| if lanes[lane] { u64::MAX } else { 0 });
    let half: [u64; LANES / 2] = from_fn(|lane| wide[lane] | wide[lane + LANES / 2]);
    (half[0] | half[2]) | (half[1] | half[3]) != 0
}
