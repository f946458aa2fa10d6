//! Tiles in rapidity and azimuth, at least as wide as a radius or a part of it.

use std::f64::consts::TAU;
use std::ops::Range;

use super::kinematics::Point;

/// How tiles are laid.
#[derive(Debug, Clone, Copy)]
pub(super) enum Layout {
    /// One tile for all.
    One,
    /// Tiles of this width that are searched this far on either side.
    Grid { width: f64, reach: usize },
    /// What costs least for this radius and these many particles.
    Best { radius: f64 },
}

/// Rows of φ and columns of y. The first and the last column reach to infinity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
    /// Rows and columns on either side that a radius reaches.
    reach: [usize; 2],
    lowest: f64,
    per_y: f64,
    per_phi: f64,
}

impl Tiles {
    /// One tile for all.
    pub const ONE: Self = Self { rows: 1, columns: 1, reach: [0; 2], lowest: 0.0, per_y: 0.0, per_phi: 0.0 };

    /// Tiles that cover these points, for vectors of so many lanes.
    #[inline(always)]
    pub fn new(layout: Layout, lanes: usize, points: impl ExactSizeIterator<Item = Point>) -> Self {
        let n = points.len();
        let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
        for p in points.filter(|p| p[0].abs() < 20.0) {
            (lowest, highest) = (lowest.min(p[0]), highest.max(p[0]));
        }
        match layout {
            _ if lowest >= highest => Self::ONE,
            Layout::One => Self::ONE,
            Layout::Grid { width, reach } => Self::grid(n, width, reach, lowest, highest),
            Layout::Best { radius } => {
                // In vectors that are looked at; a stretch costs about as many as it is begun and ended.
                let (particles, span) = (n as f64 / lanes as f64, highest - lowest + radius);
                let grid = |reach: f64| {
                    let side = (2.0 + 1.0 / reach) * radius;
                    (2.0 * reach + 1.0) * STRETCH + particles * side * side / (TAU * span)
                };
                let strips = STRETCH + particles * 3.0 * radius / span;
                let costs = [STRETCH + particles, strips, grid(1.0), grid(2.0)];
                let least = (1..costs.len()).fold(0, |least, i| if costs[i] < costs[least] { i } else { least });
                match least {
                    0 => Self::ONE,
                    1 => Self::strips(radius, lowest, highest),
                    more => Self::grid(n, radius / (more - 1) as f64, more - 1, lowest, highest),
                }
            }
        }
    }

    /// At most about as many tiles as particles.
    fn grid(n: usize, width: f64, reach: usize, lowest: f64, highest: f64) -> Self {
        // Wider by more than coordinates round.
        let width = width * (1.0 + 1e-9);
        let rows = ((TAU / width) as usize).min(4096);
        if rows < 2 * reach + 1 {
            return Self::ONE;
        }
        let most = (4 * n / rows).max(1);
        let columns = (((highest - lowest) / width) as usize + 1).min(most);
        Self { rows, columns, reach: [reach; 2], lowest, per_y: 1.0 / width, per_phi: rows as f64 / TAU }
    }

    /// Tiles all around in φ.
    fn strips(radius: f64, lowest: f64, highest: f64) -> Self {
        let width = radius * (1.0 + 1e-9);
        let columns = ((highest - lowest) / width) as usize + 1;
        Self { rows: 1, columns, reach: [0, 1], lowest, per_y: 1.0 / width, per_phi: 0.0 }
    }

    /// The number of tiles.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// The tile of a point.
    #[inline(always)]
    pub fn home(&self, p: Point) -> u32 {
        let row = ((p[1] * self.per_phi) as u32).min(self.rows as u32 - 1);
        let column = (((p[0] - self.lowest) * self.per_y).max(0.0) as u32).min(self.columns as u32 - 1);
        row * self.columns as u32 + column
    }

    /// The number of rows of a neighbourhood.
    #[inline(always)]
    pub fn rows_around(&self) -> usize {
        2 * self.reach[0] + 1
    }

    /// Rows are counted from home: 0, 1, −1, 2, …
    #[inline(always)]
    fn offset(number: usize) -> isize {
        let half = number.div_ceil(2) as isize;
        if number.is_multiple_of(2) { -half } else { half }
    }

    /// The neighbouring tiles in each row of each tile's neighbourhood.
    #[inline(always)]
    pub fn stretches(&self, mut give: impl FnMut(Range<usize>)) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let (left, right) =
                    (column.saturating_sub(self.reach[1]), (column + self.reach[1] + 1).min(self.columns));
                for number in 0..self.rows_around() {
                    let row = row as isize + Self::offset(number);
                    let begin = row.rem_euclid(self.rows as isize) as usize * self.columns;
                    give(begin + left..begin + right);
                }
            }
        }
    }

    /// Whether all of a row is farther away in φ than what was found.
    #[inline(always)]
    pub fn is_beyond(&self, phi: f64, home: u32, number: usize, least: &impl Fn() -> f64) -> bool {
        if self.reach[0] < 2 || number == 0 {
            return false;
        }
        let (row, offset) = (home as usize / self.columns, Self::offset(number));
        let edge = (row as isize + offset + isize::from(offset < 0)) as f64;
        let gap = ((edge / self.per_phi - phi).abs() - 1e-9).max(0.0);
        least() < gap * gap
    }
}

/// What a stretch costs besides its vectors, in vectors.
const STRETCH: f64 = 3.0;
