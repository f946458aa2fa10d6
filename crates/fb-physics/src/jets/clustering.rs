//! The history of a clustering, and what is read from it.

use super::engine::{Cylinder, Engine, Metric, Sphere};
use super::kinematics::{Point, cylinder, direction, prepared, pt2, scale, sum, weighted};
use super::tiles::Layout;
use super::{Algorithm, Definition, JetError, Scheme, Strategy};
use crate::four_vector::FourVector;

/// One step of a clustering.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The nodes that merge, the lower one first; `None` stands for the beam.
    pub parents: (usize, Option<usize>),
    /// Their distance d_ij or d_iB.
    pub distance: f64,
    /// The node that they become; none with the beam.
    pub node: Option<usize>,
}

/// The whole history of a clustering. Nodes 0..n are the particles, those from n on what they became, in order of merging.
#[derive(Debug, Clone)]
pub struct Clustering {
    particles: usize,
    /// By node.
    momenta: Vec<FourVector>,
    /// By node, from the first that is no particle.
    parents: Vec<(u32, u32)>,
    /// As many as there are particles.
    history: Vec<Step>,
}

impl Clustering {
    /// Clusters particles.
    ///
    /// Squares of masses may be negative, momenta may be equal. A particle along the beam has the rapidity ±(10⁵ + |pz|).
    ///
    /// # Errors
    /// [`JetError`] for momenta that are not finite or above 10¹⁰⁰ GeV, and for a definition without meaning.
    pub fn new(particles: &[FourVector], definition: &Definition) -> Result<Self, JetError> {
        check(particles, definition)?;
        let momenta: Vec<FourVector> = particles.iter().map(|&p| prepared(p, definition.scheme)).collect();
        // The order of products is FastJet's: 1/R² comes last.
        let radius = definition.radius;
        let (limit, factor) = match definition.algorithm {
            Algorithm::EeKt => (16.0, 1.0),
            Algorithm::EeGeneralisedKt(_) if radius > std::f64::consts::PI => {
                let limit = 2.0 * (3.0 + radius.cos());
                (limit, 1.0 / limit)
            }
            Algorithm::EeGeneralisedKt(_) => {
                let limit = 2.0 * (1.0 - radius.cos());
                (limit, 1.0 / limit)
            }
            _ => (radius * radius, 1.0 / (radius * radius)),
        };
        let run = Run { definition, limit, factor, momenta };
        Ok(match definition.algorithm {
            Algorithm::EeKt | Algorithm::EeGeneralisedKt(_) => run.vectorised(Sphere, direction),
            _ => run.vectorised(Cylinder, cylinder),
        })
    }

    /// Jets with pT of at least `pt_min` that met the beam: nodes by falling pT, equal ones by node.
    pub fn inclusive(&self, pt_min: f64) -> Vec<usize> {
        let beam = self.history.iter().filter(|step| step.parents.1.is_none()).map(|step| step.parents.0);
        let least = if pt_min > 0.0 { pt_min * pt_min } else { 0.0 };
        self.falling(beam.filter(|&node| pt2(&self.momenta[node]) >= least).collect())
    }

    /// The jets when `n` are left (all particles if there are fewer): nodes by falling pT, equal ones by node.
    pub fn exclusive(&self, n: usize) -> Vec<usize> {
        self.left_after(self.history.len().saturating_sub(n))
    }

    /// The jets when no distance up to `d` is left, in the units of [`Step::distance`].
    pub fn exclusive_dmin(&self, d: f64) -> Vec<usize> {
        let after = self.history.iter().rposition(|step| step.distance <= d).map_or(0, |last| last + 1);
        self.left_after(after)
    }

    /// The distance at which `n` + 1 jets become `n` (d_{n,n+1}); zero if there are at most `n` particles.
    pub fn exclusive_scale(&self, n: usize) -> f64 {
        self.history.len().checked_sub(n + 1).map_or(0.0, |step| self.history[step].distance)
    }

    /// The momentum of a node.
    pub fn momentum(&self, node: usize) -> FourVector {
        self.momenta[node]
    }

    /// The two that became a node, the lower one first; none for a particle.
    pub fn parents(&self, node: usize) -> Option<(usize, usize)> {
        let (a, b) = self.parents[node.checked_sub(self.particles)?];
        Some((a as usize, b as usize))
    }

    /// The particles in a node, rising.
    pub fn constituents(&self, node: usize) -> Vec<usize> {
        let (mut found, mut open) = (Vec::new(), vec![node]);
        while let Some(node) = open.pop() {
            match self.parents(node) {
                Some((a, b)) => open.extend([a, b]),
                None => found.push(node),
            }
        }
        found.sort_unstable();
        found
    }

    /// All steps, as many as there are particles.
    pub fn history(&self) -> &[Step] {
        &self.history
    }

    /// The nodes that are left after a number of steps and have not met the beam.
    fn left_after(&self, steps: usize) -> Vec<usize> {
        let (done, rest) = self.history.split_at(steps);
        let nodes = self.particles + done.iter().filter(|step| step.node.is_some()).count();
        let parents = rest.iter().flat_map(|step| [Some(step.parents.0), step.parents.1]).flatten();
        self.falling(parents.filter(|&node| node < nodes).collect())
    }

    fn falling(&self, mut nodes: Vec<usize>) -> Vec<usize> {
        nodes.sort_unstable_by(|&a, &b| pt2(&self.momenta[b]).total_cmp(&pt2(&self.momenta[a])).then(a.cmp(&b)));
        nodes
    }
}

fn check(particles: &[FourVector], definition: &Definition) -> Result<(), JetError> {
    let radius = definition.radius;
    if definition.algorithm != Algorithm::EeKt && !(radius > 0.0 && radius <= 1000.0) {
        return Err(JetError::Radius(radius));
    }
    if let Algorithm::GeneralisedKt(p) | Algorithm::EeGeneralisedKt(p) = definition.algorithm
        && !p.is_finite()
    {
        return Err(JetError::Power(p));
    }
    if particles.len() > i32::MAX as usize {
        return Err(JetError::TooMany(particles.len()));
    }
    for (particle, p) in particles.iter().enumerate() {
        JetError::check(particle, [("px", p.px), ("py", p.py), ("pz", p.pz), ("E", p.e)])?;
    }
    Ok(())
}

/// A clustering to be done.
struct Run<'a> {
    definition: &'a Definition,
    /// R², or what stands for it.
    limit: f64,
    /// From the engine's distances to those of the history.
    factor: f64,
    momenta: Vec<FourVector>,
}

impl Run<'_> {
    /// Runs on the best vector unit of the machine: same operations in the same order, so the same bits.
    fn vectorised<const D: usize, M: Metric<D>>(self, metric: M, locate: fn(&FourVector) -> Point) -> Clustering {
        struct Body<'a, M, const D: usize>(Run<'a>, M, fn(&FourVector) -> Point);
        impl<const D: usize, M: Metric<D>> pulp::WithSimd for Body<'_, M, D> {
            type Output = Clustering;

            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, simd: S) -> Clustering {
                self.0.run(simd, self.1, self.2)
            }
        }
        pulp::Arch::new().dispatch(Body::<M, D>(self, metric, locate))
    }

    fn layout(&self) -> Layout {
        let radius = self.definition.radius;
        match self.definition.strategy {
            _ if self.definition.algorithm.is_spherical() => Layout::One,
            Strategy::Best => Layout::Best { radius },
            Strategy::Plain => Layout::One,
            Strategy::Tiled => Layout::Grid { width: radius, reach: 1 },
            Strategy::NLnN => Layout::Grid { width: radius / 2.0, reach: 2 },
        }
    }

    #[inline(always)]
    fn run<S: pulp::Simd, const D: usize, M: Metric<D>>(
        self,
        simd: S,
        metric: M,
        locate: fn(&FourVector) -> Point,
    ) -> Clustering {
        let (algorithm, scheme) = (self.definition.algorithm, self.definition.scheme);
        let mut points: Vec<Point> = self.momenta.iter().map(locate).collect();
        let scales: Vec<f64> = self.momenta.iter().map(|p| scale(p, algorithm)).collect();
        let mut engine = Engine::new(simd, metric, self.layout(), self.limit, &points, &scales);
        let flat = !self.definition.algorithm.is_spherical();
        let n = points.len();
        let mut momenta = self.momenta;
        momenta.reserve(n);
        points.reserve(n);
        let mut parents = Vec::with_capacity(n);
        let mut history = Vec::with_capacity(n);
        for _ in 0..n {
            let (distance, node, partner) = engine.smallest();
            let distance = distance * self.factor;
            let Some(partner) = partner else {
                engine.remove(node);
                history.push(Step { parents: (node, None), distance, node: None });
                continue;
            };
            let (a, b) = (node.min(partner), node.max(partner));
            let (p, fixed) = match scheme {
                Scheme::E => (sum(&momenta[a], &momenta[b]), None),
                _ if flat => weighted((&momenta[a], points[a]), (&momenta[b], points[b]), scheme),
                _ => {
                    let of = |node: usize| (&momenta[node], cylinder(&momenta[node]));
                    (weighted(of(a), of(b), scheme).0, None)
                }
            };
            let point = fixed.unwrap_or_else(|| locate(&p));
            engine.merge(a, b, point, scale(&p, algorithm));
            history.push(Step { parents: (a, Some(b)), distance, node: Some(momenta.len()) });
            parents.push((a as u32, b as u32));
            momenta.push(p);
            points.push(point);
        }
        Clustering { particles: n, momenta, parents, history }
    }
}
