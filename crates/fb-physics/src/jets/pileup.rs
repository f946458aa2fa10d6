//! Plain algorithms against pile-up: they take what diffuse soft particles add away from jets or from particles.

use super::background::Grid;
use super::kinematics::{Point, cylinder, pt2};
use crate::four_vector::FourVector;

/// What is left of an event: places in the list of its particles, rising, and momenta.
pub type Kept = Vec<(usize, FourVector)>;

/// A jet less ρ times its four-vector area (arXiv:0707.1378 eq. 5): zero if nothing is left of its transverse momentum.
pub fn subtract_area(jet: FourVector, rho: f64, area: FourVector) -> FourVector {
    let taken = area.pt() * rho;
    if taken >= jet.pt() {
        return FourVector::default();
    }
    FourVector {
        px: jet.px - rho * area.px,
        py: jet.py - rho * area.py,
        pz: jet.pz - rho * area.pz,
        e: jet.e - rho * area.e,
    }
}

/// SoftKiller (arXiv:1407.0408): drops the particles whose transverse momentum is at most the median over cells of that of
/// the hardest particle of a cell, so that half of the cells are empty. The cut holds outside of the grid, too.
pub fn soft_killer(particles: &[FourVector], grid: &Grid) -> Kept {
    let mut hardest = vec![0.0_f64; grid.cells()];
    for p in particles {
        if let Some(cell) = grid.cell(cylinder(p)) {
            hardest[cell] = hardest[cell].max(pt2(p));
        }
    }
    hardest.sort_unstable_by(f64::total_cmp);
    let cut = hardest[hardest.len() / 2];
    particles.iter().copied().enumerate().filter(|(_, p)| pt2(p) > cut).collect()
}

/// Constituent subtraction of a whole event (arXiv:1403.3108, arXiv:1905.03470 with α = 0): every cell of the grid holds a
/// proxy with pT = ρ × its area at its centre; pairs of a particle and a proxy nearer than `distance` are taken by rising
/// ΔR, and each loses the smaller of the two transverse momenta. What is left of a particle keeps its rapidity and azimuth
/// and has no mass. Particles outside of the grid are kept as they are.
pub fn subtract_constituents(particles: &[FourVector], rho: f64, grid: &Grid, distance: f64) -> Kept {
    let at: Vec<Point> = particles.iter().map(cylinder).collect();
    let inside: Vec<bool> = at.iter().map(|&point| grid.cell(point).is_some()).collect();
    let mut left: Vec<f64> = particles.iter().map(|p| pt2(p).sqrt()).collect();
    let mut proxies = vec![rho * grid.cell_area(); grid.cells()];
    let mut pairs: Vec<(f64, u32, u32)> = Vec::new();
    for (i, point) in at.iter().enumerate().filter(|&(i, _)| inside[i]) {
        for cell in grid.around(*point, distance) {
            let squared = delta_r2(*point, grid.point(cell, [0.5; 2]));
            if squared < distance * distance {
                pairs.push((squared, i as u32, cell as u32));
            }
        }
    }
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, i, cell) in pairs {
        let (particle, proxy) = (&mut left[i as usize], &mut proxies[cell as usize]);
        let taken = particle.min(*proxy);
        *particle -= taken;
        *proxy -= taken;
    }
    let rest = |i: usize| match (inside[i], left[i] > 0.0) {
        (false, _) => Some((i, particles[i])),
        (true, true) => Some((i, FourVector::from_pt_y_phi_m(left[i], at[i][0], at[i][1], 0.0))),
        (true, false) => None,
    };
    (0..particles.len()).filter_map(rest).collect()
}

/// Where a particle comes from, as tracks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Charged, from the leading vertex.
    Leading,
    /// Charged, from another one.
    Pileup,
    /// Not known: neutral, or outside of the tracker.
    Unknown,
}

/// The settings of PUPPI with the defaults of arXiv:1407.6013 §4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Puppi {
    /// Neighbours are nearer than this.
    pub radius: f64,
    /// Neighbours are farther than this.
    pub inner: f64,
    /// Up to this |η| neighbours are charged particles of the leading vertex, beyond it all particles.
    pub tracker: f64,
    /// Smaller weights are zero.
    pub weight: f64,
    /// Neutral particles whose weighted pT is below this, in GeV, in the tracker and beyond it, are dropped.
    pub cut: [f64; 2],
}

impl Puppi {
    /// For a number of pile-up vertices: cuts of 0.1 + 0.007 n and 0.5 + 0.007 n GeV.
    pub fn new(pileup: f64) -> Self {
        let cut = [0.1, 0.5].map(|cut| cut + 0.007 * pileup);
        Self { radius: 0.3, inner: 0.02, tracker: 2.5, weight: 0.1, cut }
    }

    /// Multiplies momenta with the probability that particles are not pile-up: one for charged ones of the leading vertex,
    /// zero for charged ones of others, and else P(χ² with one degree of freedom < ((α − ᾱ)/σ)²) where α is above ᾱ:
    ///
    /// α = ln Σ (pT_j/ΔR_ij), ᾱ and σ: median of α and root mean square on its lower side of charged pile-up.
    pub fn apply(&self, particles: &[FourVector], origin: &[Origin]) -> Kept {
        let at: Vec<Point> = particles.iter().map(cylinder).collect();
        let central: Vec<bool> = particles.iter().map(|p| p.eta().abs() <= self.tracker).collect();
        let alpha = |i: usize, charged: bool| {
            let mut sum = 0.0;
            for (j, p) in particles.iter().enumerate().filter(|&(j, _)| j != i) {
                let squared = delta_r2(at[i], at[j]);
                let near = squared < self.radius * self.radius && squared > self.inner * self.inner;
                if near && (!charged || origin[j] == Origin::Leading) {
                    sum += (pt2(p) / squared).sqrt();
                }
            }
            sum.ln()
        };
        // Of the tracks of pile-up, by the charged particles and by all.
        let [inner, outer] = [true, false].map(|charged| {
            let tracks = (0..particles.len()).filter(|&i| origin[i] == Origin::Pileup && central[i]);
            spread(tracks.map(|i| alpha(i, charged)).filter(|alpha| alpha.is_finite()).collect())
        });
        let weight = |i: usize| match origin[i] {
            Origin::Leading => 1.0,
            Origin::Pileup => 0.0,
            Origin::Unknown => {
                let Some((median, sigma)) = (if central[i] { inner } else { outer }) else { return 1.0 };
                let above = alpha(i, central[i]) - median;
                let weight = if above > 0.0 { libm::erf(above / sigma / std::f64::consts::SQRT_2) } else { 0.0 };
                let cut = self.cut[usize::from(!central[i])];
                if weight < self.weight || weight * particles[i].pt() < cut { 0.0 } else { weight }
            }
        };
        let scaled = |i: usize| {
            let (w, p) = (weight(i), particles[i]);
            (w > 0.0).then_some((i, FourVector { px: w * p.px, py: w * p.py, pz: w * p.pz, e: w * p.e }))
        };
        (0..particles.len()).filter_map(scaled).collect()
    }
}

/// The median, and the root mean square of what is below it; none without values.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let median = *values.get(values.len() / 2)?;
    let below: Vec<f64> = values.iter().filter(|&&x| x < median).map(|x| (x - median).powi(2)).collect();
    let square = below.iter().sum::<f64>() / below.len().max(1) as f64;
    Some((median, square.sqrt()))
}

fn delta_r2(a: Point, b: Point) -> f64 {
    let dphi = crate::four_vector::delta_phi(a[1], b[1]);
    (a[0] - b[0]).powi(2) + dphi * dphi
}
