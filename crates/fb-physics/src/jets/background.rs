//! Cells in rapidity and azimuth, the density of diffuse transverse momentum, ghosts and the areas of jets.

use std::f64::consts::TAU;

use fb_core::Philox;

use super::kinematics::{Point, cylinder, pt2};
use super::{Clustering, Definition, JetError};
use crate::four_vector::FourVector;

/// The transverse momentum of a ghost in GeV: no sum of momenta feels it.
const GHOST_PT: f64 = 1e-100;
/// More cells than this are a mistake in the units.
const MOST_CELLS: f64 = 1e7;

/// Cells that tile |y| < Y and all φ, as near to squares of a given side as whole numbers of them allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    rapidity: f64,
    columns: usize,
    rows: usize,
}

impl Grid {
    /// Cells of about `side` × `side` in |y| < `rapidity`.
    ///
    /// # Errors
    /// [`JetError::Grid`] for a side or a rapidity that is not above zero, or more than 10⁷ cells.
    pub fn new(rapidity: f64, side: f64) -> Result<Self, JetError> {
        let cells = 2.0 * rapidity * TAU / (side * side);
        if !(rapidity > 0.0 && side > 0.0 && cells <= MOST_CELLS) {
            return Err(JetError::Grid { rapidity, side });
        }
        let whole = |length: f64| ((length / side + 0.5) as usize).max(1);
        Ok(Self { rapidity, columns: whole(2.0 * rapidity), rows: whole(TAU) })
    }

    /// The number of cells.
    pub fn cells(&self) -> usize {
        self.columns * self.rows
    }

    /// Δy Δφ of a cell.
    pub fn cell_area(&self) -> f64 {
        2.0 * self.rapidity / self.columns as f64 * (TAU / self.rows as f64)
    }

    /// The cell of a point; none outside.
    pub(super) fn cell(&self, point: Point) -> Option<usize> {
        let column = (point[0] + self.rapidity) * (self.columns as f64 / (2.0 * self.rapidity));
        if !(column >= 0.0 && column < self.columns as f64) {
            return None;
        }
        let row = (point[1] * (self.rows as f64 / TAU)) as usize;
        Some(column as usize * self.rows + if row >= self.rows { 0 } else { row })
    }

    /// A point in a cell, by its place within: (0, 0) is a corner, (½, ½) the centre.
    pub(super) fn point(&self, cell: usize, within: [f64; 2]) -> Point {
        let (column, row) = ((cell / self.rows) as f64, (cell % self.rows) as f64);
        let y = (column + within[0]) * (2.0 * self.rapidity / self.columns as f64) - self.rapidity;
        [y, (row + within[1]) * (TAU / self.rows as f64), 0.0]
    }

    /// The cells whose centres may be within a distance of a point of the grid.
    pub(super) fn around(&self, point: Point, distance: f64) -> impl Iterator<Item = usize> + use<'_> {
        let span = |x: f64, side: f64| ((x - distance) / side).floor()..=((x + distance) / side).floor();
        let column = span(point[0] + self.rapidity, 2.0 * self.rapidity / self.columns as f64);
        let row = span(point[1], TAU / self.rows as f64);
        let columns = column.start().max(0.0) as usize..=column.end().min(self.columns as f64 - 1.0) as usize;
        let rows = (row.end() - row.start() + 1.0).min(self.rows as f64) as usize;
        let first = row.start().rem_euclid(self.rows as f64) as usize;
        columns.flat_map(move |column| (0..rows).map(move |row| column * self.rows + (first + row) % self.rows))
    }

    /// ρ in GeV: the median over cells of the scalar sum of transverse momenta, over the area of a cell
    /// (arXiv:0802.1188 with cells for jets, arXiv:1111.6097 §8.1.2). Zero where more than half of the cells are empty.
    pub fn density(&self, particles: &[FourVector]) -> f64 {
        let mut sums = vec![0.0; self.cells()];
        for p in particles {
            if let Some(cell) = self.cell(cylinder(p)) {
                sums[cell] += pt2(p).sqrt();
            }
        }
        sums.sort_unstable_by(f64::total_cmp);
        let middle = sums.len() / 2;
        let median = if sums.len().is_multiple_of(2) { 0.5 * (sums[middle - 1] + sums[middle]) } else { sums[middle] };
        median / self.cell_area()
    }
}

/// Particles without momentum that measure areas: one at a random place of each cell (arXiv:0802.1188 §3.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ghosts {
    /// One ghost a cell.
    pub grid: Grid,
    /// How far ghosts are from the centres of cells at most, in sides of a cell; 1 fills the cells.
    pub scatter: f64,
    /// Of the places.
    pub seed: u64,
}

/// A clustering of particles and ghosts.
#[derive(Debug, Clone)]
pub struct Areas {
    /// Nodes below `particles` are the particles, then come the ghosts.
    pub clustering: Clustering,
    particles: usize,
    ghost_area: f64,
}

impl Areas {
    /// Clusters the particles of an event with ghosts, whose places depend on the seed and the number of the event alone.
    ///
    /// # Errors
    /// Those of [`Clustering::new`].
    pub fn new(
        particles: &[FourVector],
        definition: &Definition,
        ghosts: &Ghosts,
        event: u64,
    ) -> Result<Self, JetError> {
        let mut all = particles.to_vec();
        let mut random = Philox::new(ghosts.seed, event, 0);
        for cell in 0..ghosts.grid.cells() {
            let within = [(); 2].map(|()| 0.5 + ghosts.scatter * (random.uniform() - 0.5));
            let [y, phi, _] = ghosts.grid.point(cell, within);
            all.push(FourVector::from_pt_y_phi_m(GHOST_PT, y, phi, 0.0));
        }
        let clustering = Clustering::new(&all, definition)?;
        Ok(Self { clustering, particles: particles.len(), ghost_area: ghosts.grid.cell_area() })
    }

    /// The particles in a node, rising; none in a jet of ghosts alone.
    pub fn constituents(&self, node: usize) -> Vec<usize> {
        let mut constituents = self.clustering.constituents(node);
        constituents.truncate(constituents.partition_point(|&i| i < self.particles));
        constituents
    }

    /// The active area of a jet in y and φ, and its four-vector A: the sum of unit-pT ghosts times the area of one, so that
    /// A is massive and A_T is at most the area (arXiv:0802.1188 eq. 9).
    pub fn area(&self, node: usize) -> (f64, FourVector) {
        let ghosts = self.clustering.constituents(node).into_iter().filter(|&i| i >= self.particles);
        let (mut count, mut sum) = (0usize, FourVector::default());
        for ghost in ghosts {
            count += 1;
            sum += self.clustering.momentum(ghost);
        }
        let scale = self.ghost_area / GHOST_PT;
        let of = |x: f64| x * scale;
        let four = FourVector { px: of(sum.px), py: of(sum.py), pz: of(sum.pz), e: of(sum.e) };
        (count as f64 * self.ghost_area, four)
    }
}
