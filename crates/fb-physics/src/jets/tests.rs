//! Clusterings against their definition, and all strategies against each other.

use std::f64::consts::{PI, TAU};

use fb_core::Philox;

use super::*;
use crate::four_vector::FourVector;

const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::Kt,
    Algorithm::CambridgeAachen,
    Algorithm::AntiKt,
    Algorithm::GeneralisedKt(0.5),
    Algorithm::GeneralisedKt(-0.7),
    Algorithm::EeKt,
    Algorithm::EeGeneralisedKt(-1.0),
    Algorithm::EeGeneralisedKt(1.0),
];
const SCHEMES: [Scheme; 4] = [Scheme::E, Scheme::Pt, Scheme::Pt2, Scheme::WtaPt];

/// Soft particles between rapidities −4 and 4, some of them massive.
fn event(n: usize, seed: u64) -> Vec<FourVector> {
    let mut random = Philox::new(seed, 0, 0);
    let particle = |_| {
        let (pt, eta) = (-(1.0 - random.uniform()).ln(), 8.0 * random.uniform() - 4.0);
        let m = if random.below(3) == 0 { 0.14 } else { 0.0 };
        FourVector::from_pt_eta_phi_m(pt, eta, TAU * random.uniform(), m)
    };
    (0..n).map(particle).collect()
}

/// Particles on a coarse lattice: many equal momenta, many equal distances, some along the beam, some of nothing at all.
fn lattice(n: usize, seed: u64) -> Vec<FourVector> {
    let mut random = Philox::new(seed, 1, 0);
    let mut whole = |range: usize| random.below(range) as f64 - (range / 2) as f64;
    (0..n).map(|_| FourVector { px: whole(5), py: whole(5), pz: whole(7), e: 4.0 + whole(9) }).collect()
}

/// The definition: every neighbour looked for again in every step.
fn by_definition(particles: &[FourVector], definition: &Definition) -> Vec<Step> {
    use super::kinematics::{cylinder, direction, prepared, scale, sum, weighted};
    let radius = definition.radius;
    let limit = match definition.algorithm {
        Algorithm::EeKt => 16.0,
        Algorithm::EeGeneralisedKt(_) => 2.0 * (1.0 - radius.cos()),
        _ => radius * radius,
    };
    let factor = if definition.algorithm == Algorithm::EeKt { 1.0 } else { 1.0 / limit };
    let spherical = definition.algorithm.is_spherical();
    let locate = |p: &FourVector| if spherical { direction(p) } else { cylinder(p) };
    let mut nodes: Vec<_> =
        particles.iter().map(|&p| prepared(p, definition.scheme)).map(|p| (p, locate(&p))).collect();
    let mut alive: Vec<usize> = (0..nodes.len()).collect();
    let distance = |a: &[f64; 3], b: &[f64; 3]| {
        if spherical {
            return (1.0 - a[0] * b[0] - a[1] * b[1] - a[2] * b[2]) * 2.0;
        }
        let turn = (a[1] - b[1]).abs();
        let turn = if turn > PI { TAU - turn } else { turn };
        turn * turn + (a[0] - b[0]) * (a[0] - b[0])
    };
    let mut history = Vec::new();
    while !alive.is_empty() {
        let mut least: Option<(f64, usize, Option<usize>)> = None;
        for &a in &alive {
            let mut near = (limit, None);
            for &b in alive.iter().filter(|&&b| b != a) {
                let d = distance(&nodes[a].1, &nodes[b].1);
                if d < near.0 {
                    near = (d, Some(b));
                }
            }
            let own = scale(&nodes[a].0, definition.algorithm);
            let other = near.1.map_or(own, |b| scale(&nodes[b].0, definition.algorithm));
            let d = own.min(other) * near.0;
            if least.is_none_or(|(smallest, ..)| d < smallest) {
                least = Some((d, a, near.1));
            }
        }
        let (d, a, partner) = least.unwrap();
        let Some(partner) = partner else {
            alive.retain(|&node| node != a);
            history.push(Step { parents: (a, None), distance: d * factor, node: None });
            continue;
        };
        let (a, b) = (a.min(partner), a.max(partner));
        let (p, point) = if definition.scheme == Scheme::E {
            (sum(&nodes[a].0, &nodes[b].0), None)
        } else if spherical {
            let of = |node: usize| (&nodes[node].0, cylinder(&nodes[node].0));
            (weighted(of(a), of(b), definition.scheme).0, None)
        } else {
            weighted((&nodes[a].0, nodes[a].1), (&nodes[b].0, nodes[b].1), definition.scheme)
        };
        history.push(Step { parents: (a, Some(b)), distance: d * factor, node: Some(nodes.len()) });
        alive.retain(|&node| node != a && node != b);
        alive.push(nodes.len());
        nodes.push((p, point.unwrap_or_else(|| locate(&p))));
    }
    history
}

/// All strategies give one history, and it conserves momentum in the scheme that adds.
fn agree(particles: &[FourVector], algorithm: Algorithm, radius: f64, scheme: Scheme) -> Clustering {
    let definition = Definition { scheme, strategy: Strategy::Plain, ..Definition::new(algorithm, radius) };
    let plain = Clustering::new(particles, &definition).unwrap();
    assert_eq!(plain.history().len(), particles.len());
    for strategy in [Strategy::Tiled, Strategy::NLnN, Strategy::Best] {
        let other = Clustering::new(particles, &Definition { strategy, ..definition }).unwrap();
        assert!(plain.history() == other.history(), "{strategy:?} {definition:?}");
        for node in 0..particles.len() + plain.history().iter().filter(|s| s.node.is_some()).count() {
            assert_eq!(plain.momentum(node), other.momentum(node));
        }
    }
    let jets = plain.inclusive(0.0);
    let mut all: Vec<usize> = jets.iter().flat_map(|&jet| plain.constituents(jet)).collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..particles.len()), "{definition:?} {:?}", plain.history());
    if scheme == Scheme::E {
        let total = |momenta: &mut dyn Iterator<Item = FourVector>| {
            momenta.fold(FourVector::default(), |mut sum, p| {
                sum += p;
                sum
            })
        };
        let (before, after) =
            (total(&mut particles.iter().copied()), total(&mut jets.iter().map(|&jet| plain.momentum(jet))));
        let size: f64 = particles.iter().map(|p| p.e.abs()).sum();
        for (a, b) in [(before.px, after.px), (before.py, after.py), (before.pz, after.pz), (before.e, after.e)] {
            assert!((a - b).abs() <= 1e-12 * size);
        }
    }
    plain
}

#[test]
fn histories_are_those_of_the_definition() {
    for seed in 0..3 {
        for particles in [event(40, seed), lattice(40, seed)] {
            for algorithm in ALGORITHMS {
                for scheme in SCHEMES {
                    for radius in [0.2, 0.7, 1.5] {
                        let plain = agree(&particles, algorithm, radius, scheme);
                        let definition = Definition { scheme, ..Definition::new(algorithm, radius) };
                        assert_eq!(plain.history(), by_definition(&particles, &definition), "{definition:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn strategies_agree_on_large_and_degenerate_events() {
    for seed in 10..13 {
        for particles in [event(700, seed), lattice(300, seed)] {
            for (algorithm, radius) in [
                (Algorithm::AntiKt, 0.4),
                (Algorithm::Kt, 0.6),
                (Algorithm::CambridgeAachen, 1.2),
                (Algorithm::Kt, 0.05),
            ] {
                agree(&particles, algorithm, radius, Scheme::E);
                agree(&particles, algorithm, radius, Scheme::WtaPt);
            }
        }
    }
}

#[test]
fn small_and_extreme_events() {
    for algorithm in ALGORITHMS {
        let definition = Definition::new(algorithm, 0.4);
        assert!(Clustering::new(&[], &definition).unwrap().inclusive(0.0).is_empty());
        let one = event(1, 3);
        let clustering = Clustering::new(&one, &definition).unwrap();
        assert_eq!(clustering.inclusive(0.0), [0]);
        assert_eq!(clustering.constituents(0), [0]);
        assert_eq!(clustering.parents(0), None);
        let same = vec![one[0]; 100];
        let jets = agree(&same, algorithm, 0.4, Scheme::E);
        assert_eq!(jets.inclusive(0.0).len(), 1);
        for scheme in SCHEMES {
            let beam = |pz: f64, e: f64| FourVector { px: 0.0, py: 0.0, pz, e };
            let mut odd =
                vec![beam(5.0, 5.0), beam(-5.0, 5.0), beam(5.0, 5.0), beam(0.0, 0.0), beam(3.0, 1.0), beam(0.0, 2.0)];
            odd.extend([
                FourVector { px: 1e-200, py: 0.0, pz: 1e99, e: 1e99 },
                FourVector { px: 9e99, py: 0.0, pz: 0.0, e: -1.0 },
            ]);
            let clustering = agree(&odd, algorithm, 0.4, scheme);
            for step in clustering.history() {
                assert!(step.distance.is_finite(), "{algorithm:?} {scheme:?} {step:?}");
                let p = clustering.momentum(step.node.unwrap_or(step.parents.0));
                assert!(p.px.is_finite() && p.pz.is_finite() && p.e.is_finite(), "{algorithm:?} {scheme:?} {p:?}");
            }
        }
    }
}

#[test]
fn rapidity_along_the_beam() {
    use super::kinematics::cylinder;
    let beam = |pz: f64| cylinder(&FourVector { px: 0.0, py: 0.0, pz, e: pz.abs() })[0];
    assert_eq!((beam(7.0), beam(-7.0), beam(0.0)), (100_007.0, -100_007.0, 100_000.0));
    let p = FourVector { px: 3.0, py: -4.0, pz: 2.0, e: 9.0 };
    let [y, phi, _] = cylinder(&p);
    assert!((y - 0.5 * (11.0f64 / 7.0).ln()).abs() < 1e-15 && (phi - (TAU - (4.0f64 / 3.0).atan())).abs() < 1e-15);
}

#[test]
fn exclusive_jets_follow_the_history() {
    let particles = event(120, 8);
    let clustering = Clustering::new(&particles, &Definition::new(Algorithm::EeKt, 1.0)).unwrap();
    assert_eq!(clustering.inclusive(0.0).len(), 1);
    for n in 1..=120 {
        let jets = clustering.exclusive(n);
        assert_eq!(jets.len(), n);
        let (scale, above) = (clustering.exclusive_scale(n), clustering.exclusive_scale(n - 1));
        // Durham distances rise from step to step here where they do in the history; a cut between two of them separates.
        if clustering.history()[120 - n..].iter().all(|step| step.distance > scale) && scale < above {
            assert_eq!(clustering.exclusive_dmin(scale), jets);
        }
    }
    assert_eq!(clustering.exclusive(500).len(), 120);
    assert_eq!(clustering.exclusive_scale(120), 0.0);
    assert!(clustering.exclusive_dmin(f64::INFINITY).is_empty());
}

#[test]
fn what_cannot_be_clustered_is_named() {
    let mut particles = event(5, 1);
    let definition = Definition::new(Algorithm::AntiKt, 0.4);
    particles[3].pz = f64::NAN;
    let error = Clustering::new(&particles, &definition).unwrap_err();
    assert_eq!(error.to_string(), "particle 3: pz is NaN, expected a finite number");
    particles[3].pz = -1e120;
    let error = Clustering::new(&particles, &definition).unwrap_err();
    assert!(matches!(error, JetError::TooLarge { particle: 3, component: "pz", .. }));
    particles[3].pz = 0.0;
    for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(Clustering::new(&particles, &Definition { radius, ..definition }), Err(JetError::Radius(_))));
    }
    let power = Definition::new(Algorithm::GeneralisedKt(f64::NAN), 0.4);
    assert!(matches!(Clustering::new(&particles, &power), Err(JetError::Power(_))));
}

#[test]
fn many_particles() {
    let particles = event(10_000, 2);
    let clustering = agree(&particles, Algorithm::AntiKt, 0.4, Scheme::E);
    assert!(clustering.inclusive(5.0).len() > 100);
}
