//! The energy mover's distance between jets (arXiv:1902.02346, eq. 1), exact.
//!
//! EMD = min_f Σᵢⱼ fᵢⱼ (ΔRᵢⱼ / R)^β + |Σ pTᵢ − Σ pTⱼ| over flows fᵢⱼ ≥ 0 that move as much transverse momentum as the
//! softer jet has. In GeV; a pure number where both jets are normalised. It is a metric for β ≤ 1 and R of at least
//! half of the largest distance.

use super::Jet;

/// What is moved, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ground {
    /// The distance over which moving costs as much as making or destroying.
    pub radius: f64,
    /// The power of distances.
    pub beta: f64,
    /// Whether each jet is divided by its scalar sum of transverse momenta.
    pub normed: bool,
}

impl Default for Ground {
    fn default() -> Self {
        Self { radius: 1.0, beta: 1.0, normed: false }
    }
}

/// The distance of two jets. A jet without particles is nothing: all of the other is made, even if that is normalised.
pub fn distance(a: &Jet, b: &Jet, ground: Ground) -> f64 {
    let weights = |jet: &Jet| -> Vec<f64> {
        let total: f64 = if ground.normed { jet.pt.iter().sum() } else { 1.0 };
        jet.pt.iter().map(|pt| pt / total).collect()
    };
    let (mut supply, mut demand) = (weights(a), weights(b));
    let cost = |i: usize, j: usize| {
        // A particle of no place, at the end of the softer jet, takes what is left at unit cost.
        if i == a.pt.len() || j == b.pt.len() {
            return 1.0;
        }
        (super::distance2(a.y[i], a.phi[i], b.y[j], b.phi[j]).sqrt() / ground.radius).powf(ground.beta)
    };
    let difference = supply.iter().sum::<f64>() - demand.iter().sum::<f64>();
    if difference > 0.0 {
        demand.push(difference);
    } else {
        supply.push(-difference);
    }
    let mut costs = Vec::with_capacity(supply.len() * demand.len());
    for i in 0..supply.len() {
        costs.extend((0..demand.len()).map(|j| cost(i, j)));
    }
    transport(&supply, &demand, &costs)
}

/// The least Σ fᵢⱼ cᵢⱼ with Σⱼ fᵢⱼ = supplyᵢ and Σᵢ fᵢⱼ = demandⱼ, by shortest augmenting paths with potentials.
///
/// Costs are not negative and stand row by row. Both sums are the same up to rounding; what rounding leaves unmatched
/// is not moved.
fn transport(supply: &[f64], demand: &[f64], costs: &[f64]) -> f64 {
    let (n, m) = (supply.len(), demand.len());
    let mut demand = demand.to_vec();
    let mut flow = vec![0.0; n * m];
    // Reduced costs c − u + v stay non-negative.
    let (mut u, mut v) = (vec![0.0; n], vec![0.0; m]);
    for (start, &supply) in supply.iter().enumerate() {
        let mut left = supply;
        while left > 0.0 {
            let Some(path) = Path::shortest(start, &demand, costs, &flow, &mut u, &mut v) else { break };
            let mut most = left.min(demand[path.end]);
            path.each(|i, j, forward| {
                if !forward {
                    most = most.min(flow[i * m + j]);
                }
            });
            path.each(|i, j, forward| flow[i * m + j] += if forward { most } else { -most });
            left -= most;
            demand[path.end] -= most;
        }
    }
    flow.iter().zip(costs).map(|(flow, cost)| flow * cost).sum()
}

/// A path from a source through flows that may grow and shrink to a sink that still wants something.
struct Path {
    end: usize,
    /// The source from which each sink is reached.
    source_of: Vec<usize>,
    /// The sink from which each source but the first is reached.
    sink_of: Vec<Option<usize>>,
}

impl Path {
    /// Dijkstra's way over reduced costs; the potentials follow.
    fn shortest(
        start: usize,
        demand: &[f64],
        costs: &[f64],
        flow: &[f64],
        u: &mut [f64],
        v: &mut [f64],
    ) -> Option<Self> {
        let (n, m) = (u.len(), v.len());
        let (mut to_source, mut to_sink) = (vec![f64::INFINITY; n], vec![f64::INFINITY; m]);
        let mut path = Self { end: 0, source_of: vec![start; m], sink_of: vec![None; n] };
        let mut done = vec![false; m];
        let mut open = vec![start];
        to_source[start] = 0.0;
        let length = loop {
            for i in open.drain(..) {
                for j in (0..m).filter(|&j| !done[j]) {
                    // Rounding must not make a cost negative.
                    let next = to_source[i] + (costs[i * m + j] - u[i] + v[j]).max(0.0);
                    if next < to_sink[j] {
                        (to_sink[j], path.source_of[j]) = (next, i);
                    }
                }
            }
            let nearest = (0..m).filter(|&j| !done[j]).min_by(|&a, &b| to_sink[a].total_cmp(&to_sink[b]))?;
            done[nearest] = true;
            if demand[nearest] > 0.0 {
                path.end = nearest;
                break to_sink[nearest];
            }
            // A flow is between ends whose reduced cost is zero, so going back costs nothing.
            for i in 0..n {
                if flow[i * m + nearest] > 0.0 && to_source[i] == f64::INFINITY {
                    (to_source[i], path.sink_of[i]) = (to_sink[nearest], Some(nearest));
                    open.push(i);
                }
            }
        };
        u.iter_mut().zip(&to_source).for_each(|(u, d)| *u += (length - d).max(0.0));
        v.iter_mut().zip(&to_sink).for_each(|(v, d)| *v += (length - d).max(0.0));
        Some(path)
    }

    /// Its edges (source, sink, whether the flow grows), from the end.
    fn each(&self, mut edge: impl FnMut(usize, usize, bool)) {
        let mut sink = self.end;
        loop {
            let source = self.source_of[sink];
            edge(source, sink, true);
            let Some(before) = self.sink_of[source] else { break };
            edge(source, before, false);
            sink = before;
        }
    }
}
