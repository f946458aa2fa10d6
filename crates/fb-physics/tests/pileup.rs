//! Areas and pile-up against FastJet and its contrib: `references/pileup_reference.py` wrote `references/pileup.json`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use fb_core::Philox;
use fb_physics::four_vector::FourVector;
use fb_physics::jets::pileup::{Kept, Origin, Puppi, soft_killer, subtract_area, subtract_constituents};
use fb_physics::jets::{Algorithm, Areas, Definition, Ghosts, Grid, JetError};
use serde_json::Value;

fn momenta(value: &Value) -> Vec<FourVector> {
    let momentum = |p: &Value| {
        let x = |i: usize| p[i].as_f64().unwrap();
        FourVector { px: x(0), py: x(1), pz: x(2), e: x(3) }
    };
    value.as_array().unwrap().iter().map(momentum).collect()
}

fn assert_close(found: &[FourVector], expected: &[FourVector], what: &str) {
    // Their areas of cells have nine digits, and little may be left.
    let (tolerance, least) = if what == "constituents" { (1e-7, 1.0) } else { (1e-9, 1e-3) };
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        let off =
            [a.px - b.px, a.py - b.py, a.pz - b.pz, a.e - b.e].into_iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        assert!(off <= tolerance * b.e.max(least), "{what}: {a:?} {b:?}");
    }
}

fn left(kept: &Kept) -> Vec<FourVector> {
    kept.iter().map(|(_, p)| *p).collect()
}

#[test]
fn areas_and_subtractions_are_those_of_fastjet() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../references/pileup.json");
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let definition = Definition::new(Algorithm::AntiKt, 0.4);
    let ghosts = Ghosts { grid: Grid::new(4.0, 0.1).unwrap(), scatter: 0.0, seed: 0 };
    for case in reference["cases"].as_array().unwrap() {
        let particles = momenta(&case["particles"]);
        let rho = Grid::new(4.0, 0.55).unwrap().density(&particles);
        let expected = case["rho"].as_f64().unwrap();
        assert!((rho - expected).abs() <= 1e-12 * expected, "{rho} {expected}");
        let areas = Areas::new(&particles, &definition, &ghosts, 0).unwrap();
        let jets = areas.clustering.inclusive(5.0);
        let of = |jet: &usize| areas.clustering.momentum(*jet);
        assert_close(&jets.iter().map(of).collect::<Vec<_>>(), &momenta(&case["jets"]), "jets");
        let found: Vec<f64> = jets.iter().map(|&jet| areas.area(jet).0).collect();
        for (found, expected) in found.iter().zip(case["areas"].as_array().unwrap()) {
            assert!((found - expected.as_f64().unwrap()).abs() < 1e-12, "{found} {expected}");
        }
        let four: Vec<FourVector> = jets.iter().map(|&jet| areas.area(jet).1).collect();
        assert_close(&four, &momenta(&case["four_areas"]), "areas");
        let subtracted: Vec<FourVector> =
            jets.iter().zip(&four).map(|(jet, four)| subtract_area(of(jet), rho, *four)).collect();
        // FastJet leaves a direction where it leaves no momentum.
        let expected = momenta(&case["subtracted"]);
        let expected: Vec<FourVector> =
            expected.into_iter().map(|p| if p.pt() < 1e-50 { FourVector::default() } else { p }).collect();
        assert_close(&subtracted, &expected, "subtracted");
        let killed = soft_killer(&particles, &Grid::new(4.0, 0.5).unwrap());
        assert_close(&left(&killed), &momenta(&case["soft_killer"]), "SoftKiller");
        let grid = Grid::new(3.97, 0.0109_f64.sqrt()).unwrap();
        let within: Vec<FourVector> = particles.iter().filter(|p| p.rapidity().abs() < 3.97).copied().collect();
        let constituents = subtract_constituents(&within, rho, &grid, 0.25);
        // Theirs are in another order.
        let sorted = |mut all: Vec<FourVector>| {
            all.sort_by(|a, b| a.px.total_cmp(&b.px));
            all
        };
        assert_close(&sorted(left(&constituents)), &sorted(momenta(&case["constituents"])), "constituents");
    }
}

/// (arXiv:0802.1188 §3.1): a hard particle alone takes all ghosts within R of it.
#[test]
fn a_lone_hard_jet_has_the_area_of_a_disk() {
    let particles = [FourVector::from_pt_y_phi_m(100.0, 0.3, 1.0, 0.0)];
    for (radius, side) in [(0.4, 0.04), (1.0, 0.1)] {
        let ghosts = Ghosts { grid: Grid::new(3.0, side).unwrap(), scatter: 1.0, seed: 4 };
        let areas = Areas::new(&particles, &Definition::new(Algorithm::AntiKt, radius), &ghosts, 7).unwrap();
        let jet = areas.clustering.inclusive(1.0)[0];
        let (area, four) = areas.area(jet);
        let disk = std::f64::consts::PI * radius * radius;
        assert!((area / disk - 1.0).abs() < 0.03, "{area} {disk}");
        assert!((four.rapidity() - 0.3).abs() < 0.02 && four.pt() < area && four.m() > 0.0);
        assert_eq!(areas.constituents(jet), [0]);
        // Ghosts change no bit of a jet, and depend on the event.
        assert_eq!(areas.clustering.momentum(jet), particles[0]);
        let other = Areas::new(&particles, &Definition::new(Algorithm::AntiKt, radius), &ghosts, 8).unwrap();
        assert_ne!(other.clustering.momentum(10), areas.clustering.momentum(10));
    }
}

/// On a toy of a hard jet and an underlying event over pile-up, whose particles are marked.
#[test]
fn puppi_keeps_the_neutral_particles_of_the_hard_jet() {
    let mut random = Philox::new(3, 0, 0);
    let (mut particles, mut origin, mut is_hard) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..1500 {
        let (hard, leading) = (i < 30, i < 100);
        let pt = if hard { 3.0 } else { 0.5 } * -(1.0 - random.uniform()).ln() + 0.2;
        let (y, phi) = if hard {
            (0.15 * random.normal(), 3.0 + 0.15 * random.normal())
        } else {
            (5.0 * random.uniform() - 2.5, std::f64::consts::TAU * random.uniform())
        };
        particles.push(FourVector::from_pt_y_phi_m(pt, y, phi, 0.0));
        is_hard.push(hard);
        origin.push(match (random.below(3), leading) {
            (0, _) => Origin::Unknown,
            (_, true) => Origin::Leading,
            (_, false) => Origin::Pileup,
        });
    }
    let kept = Puppi::new(0.0).apply(&particles, &origin);
    let mut share = [[0.0; 2]; 2];
    for (i, p) in particles.iter().enumerate().filter(|&(i, _)| origin[i] == Origin::Unknown) {
        let weighted = kept.iter().find(|(kept, _)| *kept == i).map_or(0.0, |(_, p)| p.pt());
        let [sum, all] = &mut share[usize::from(is_hard[i])];
        (*sum, *all) = (*sum + weighted, *all + p.pt());
    }
    let [pileup, hard] = share.map(|[sum, all]| sum / all);
    assert!(pileup < 0.15 && hard > 0.8, "{pileup} {hard}");
    for (i, p) in &kept {
        assert!(origin[*i] != Origin::Pileup && (origin[*i] != Origin::Leading || *p == particles[*i]));
    }
}

/// The weight of one neutral particle between two tracks, by hand.
#[test]
fn puppi_weights_are_those_of_the_formula() {
    let at = |pt: f64, y: f64| FourVector::from_pt_y_phi_m(pt, y, 1.0, 0.0);
    // Tracks of pile-up see the track of the leading vertex at 0.1, 0.2 and 0.25; the neutral one at 0.05.
    let particles = [at(10.0, 0.0), at(1.0, 0.1), at(1.0, 0.2), at(1.0, -0.25), at(5.0, -0.05)];
    let origin = [Origin::Leading, Origin::Pileup, Origin::Pileup, Origin::Pileup, Origin::Unknown];
    let kept = Puppi::new(10.0).apply(&particles, &origin);
    let alpha = |distance: f64| (10.0 / distance).ln();
    let (median, sigma) = (alpha(0.2), alpha(0.2) - alpha(0.25));
    // χ² with one degree of freedom below x²: the two-sided normal probability of x.
    let x = (alpha(0.05) - median) / sigma;
    assert!(x > 6.0, "{x}");
    assert_eq!(kept.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 4]);
    assert!((kept[1].1.pt() - 5.0).abs() < 1e-8);
    // A farther one: σ apart by less.
    let particles = [at(10.0, 0.0), at(1.0, 0.1), at(1.0, 0.2), at(1.0, -0.25), at(5.0, -0.17)];
    let kept = Puppi::new(10.0).apply(&particles, &origin);
    let x = (alpha(0.17) - median) / sigma;
    let simpson = |f: &dyn Fn(f64) -> f64, to: f64| {
        let n = 2000;
        let h = to / f64::from(n);
        (0..n).map(|i| f64::from(i) * h).map(|a| (f(a) + 4.0 * f(a + 0.5 * h) + f(a + h)) * h / 6.0).sum::<f64>()
    };
    let weight = (2.0 / std::f64::consts::PI).sqrt() * simpson(&|t| (-0.5 * t * t).exp(), x);
    assert!((kept[1].1.pt() / 5.0 - weight).abs() < 1e-9, "{} {weight}", kept[1].1.pt() / 5.0);
}

#[test]
fn grids_without_cells_are_refused() {
    for (rapidity, side) in [(0.0, 0.1), (4.0, 0.0), (f64::NAN, 0.1), (4.0, 1e-5), (f64::INFINITY, 1.0)] {
        assert!(matches!(Grid::new(rapidity, side), Err(JetError::Grid { .. })), "{rapidity} {side}");
    }
}
