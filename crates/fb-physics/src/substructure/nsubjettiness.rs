//! N-subjettiness.
//!
//! τ_N^(β) = Σᵢ pTᵢ minₖ ΔRᵢₖ^β over N axes k (arXiv:1011.2268, eq. 2.1; arXiv:1108.2701, eq. 1.2), divided by
//! Σᵢ pTᵢ R₀^β where it is normalised.

use super::{ALL, Jet, Result, distance2, power, ratio};
use crate::four_vector::delta_phi;
use crate::jets::{Algorithm, Scheme};

/// Steps of a minimisation stop when the axes move by less than this on average.
const ACCURACY: f64 = 1e-4;
/// The most steps of a minimisation.
const STEPS: usize = 1000;

/// Where the axes begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seeds {
    /// The exclusive jets of the kT algorithm.
    Kt,
    /// Those of Cambridge/Aachen.
    CambridgeAachen,
    /// Those of kT with winner-take-all recombination (arXiv:1401.2158).
    WtaKt,
    /// Those of Cambridge/Aachen with winner-take-all recombination.
    WtaCambridgeAachen,
    /// The hardest jets of anti-kT with this radius.
    AntiKt(f64),
}

/// How axes are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    /// Where they begin.
    pub seeds: Seeds,
    /// Whether they move from there to the nearest minimum of τ ("one pass").
    pub minimised: bool,
}

/// How distances count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The power of distances.
    pub beta: f64,
    /// R₀, where τ is a pure number; in GeV without.
    pub radius: Option<f64>,
}

/// τ_N of a jet; zero where it has at most N particles.
///
/// # Errors
/// Those of [`crate::jets::Clustering::new`].
pub fn tau(jet: &Jet, n: usize, axes: Axes, measure: Measure) -> Result<f64> {
    if jet.len() <= n {
        return Ok(0.0);
    }
    let mut found = seeds(jet, n, axes.seeds)?;
    if axes.minimised {
        minimise(jet, &mut found, measure.beta);
    }
    let mut sum = 0.0;
    for i in 0..jet.len() {
        let (_, nearest) = nearest(jet, i, &found);
        sum += jet.pt[i] * power(nearest, measure.beta);
    }
    let total: f64 = jet.pt.iter().sum();
    Ok(measure.radius.map_or(sum, |radius| ratio(sum, total * radius.powf(measure.beta))))
}

/// Rapidity and azimuth of each axis. Fewer than N where anti-kT finds fewer jets.
fn seeds(jet: &Jet, n: usize, seeds: Seeds) -> Result<Vec<(f64, f64)>> {
    let (algorithm, scheme, radius) = match seeds {
        Seeds::Kt => (Algorithm::Kt, Scheme::E, ALL),
        Seeds::WtaKt => (Algorithm::Kt, Scheme::WtaPt, ALL),
        Seeds::CambridgeAachen => (Algorithm::CambridgeAachen, Scheme::E, ALL),
        Seeds::WtaCambridgeAachen => (Algorithm::CambridgeAachen, Scheme::WtaPt, ALL),
        Seeds::AntiKt(radius) => (Algorithm::AntiKt, Scheme::E, radius),
    };
    let clustering = jet.clustering(algorithm, scheme, radius)?;
    let nodes = if algorithm == Algorithm::AntiKt { clustering.inclusive(0.0) } else { clustering.exclusive(n) };
    let place = |node: usize| {
        let p = clustering.momentum(node);
        (p.rapidity(), p.phi())
    };
    Ok(nodes.into_iter().take(n).map(place).collect())
}

/// The nearest axis of particle i, and ΔR² to it.
fn nearest(jet: &Jet, i: usize, axes: &[(f64, f64)]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (k, &(y, phi)) in axes.iter().enumerate() {
        let distance = distance2(jet.y[i], jet.phi[i], y, phi);
        if distance < best.1 {
            best = (k, distance);
        }
    }
    best
}

/// Moves axes to a minimum of τ (arXiv:1108.2701, section 3.1): each goes to the mean of the particles that are nearest
/// to it, weighted with pT ΔR^{β − 2}, until they stand still. The step never raises τ for β from 1 to 2.
fn minimise(jet: &Jet, axes: &mut [(f64, f64)], beta: f64) {
    for _ in 0..STEPS {
        // Weight, and weighted steps from the axis in rapidity and azimuth.
        let mut sums = vec![[0.0; 3]; axes.len()];
        for i in 0..jet.len() {
            let (k, squared) = nearest(jet, i, axes);
            // A particle on its axis would hold it there for ever.
            let weight = jet.pt[i] * power(squared + ACCURACY * ACCURACY, beta - 2.0);
            let (y, phi) = axes[k];
            let steps = [weight, weight * (jet.y[i] - y), weight * delta_phi(jet.phi[i], phi)];
            sums[k].iter_mut().zip(steps).for_each(|(sum, step)| *sum += step);
        }
        let mut moved = 0.0;
        for ((y, phi), [weight, dy, dphi]) in axes.iter_mut().zip(sums) {
            // An axis without particles stays.
            if weight > 0.0 {
                *y += dy / weight;
                *phi = delta_phi(*phi + dphi / weight, 0.0);
                moved += (dy / weight).hypot(dphi / weight);
            }
        }
        if moved <= ACCURACY * axes.len() as f64 {
            break;
        }
    }
}
