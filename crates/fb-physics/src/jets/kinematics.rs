//! Coordinates, scales and recombination of momenta, with FastJet's conventions.

use std::f64::consts::{PI, TAU};

use super::{Algorithm, Scheme};
use crate::four_vector::FourVector;

/// The rapidity of what flies along the beam is this plus |pz|, so that no two of them are close by accident.
const BEAM_RAPIDITY: f64 = 1e5;
/// Scales stay above and below these, so that products with distances neither vanish nor overflow.
const SMALLEST: f64 = 1e-300;
const LARGEST: f64 = 1e300;

/// Where a momentum is: (y, φ, 0) or a unit vector.
pub(super) type Point = [f64; 3];

/// pT², exactly as all comparisons take it.
#[inline(always)]
pub(super) fn pt2(p: &FourVector) -> f64 {
    p.px * p.px + p.py * p.py
}

/// Rapidity and azimuth in [0, 2π). Negative squares of masses count as zero; along the beam the rapidity is
/// ±(10⁵ + |pz|).
#[inline(always)]
pub(super) fn cylinder(p: &FourVector) -> Point {
    let kt2 = pt2(p);
    let mut phi = if kt2 == 0.0 { 0.0 } else { p.py.atan2(p.px) };
    if phi < 0.0 {
        phi += TAU;
    }
    if phi >= TAU {
        phi -= TAU;
    }
    let along = p.e + p.pz.abs();
    let mass2 = ((p.e + p.pz) * (p.e - p.pz) - kt2).max(0.0);
    let y = 0.5 * ((kt2 + mass2) / (along * along)).ln();
    // Not finite: along the beam, or without energy at all.
    let y = if y.is_finite() { y } else { -(BEAM_RAPIDITY + p.pz.abs()) };
    [if p.pz > 0.0 || (p.pz == 0.0 && kt2 == 0.0) { -y } else { y }, phi, 0.0]
}

/// The direction of flight; along z for a particle at rest.
#[inline(always)]
pub(super) fn direction(p: &FourVector) -> Point {
    let norm = (pt2(p) + p.pz * p.pz).sqrt();
    if norm > 0.0 {
        let norm = 1.0 / norm;
        [p.px * norm, p.py * norm, p.pz * norm]
    } else {
        [0.0, 0.0, 1.0]
    }
}

/// The factor of a distance that depends on one particle alone: pT^2p, or E^2p for e⁺e⁻.
#[inline(always)]
pub(super) fn scale(p: &FourVector, algorithm: Algorithm) -> f64 {
    let raised = |square: f64, p: f64| {
        let square = if p <= 0.0 { square.max(SMALLEST) } else { square };
        square.powf(p).min(LARGEST)
    };
    match algorithm {
        Algorithm::Kt => pt2(p),
        Algorithm::CambridgeAachen => 1.0,
        Algorithm::AntiKt => {
            let kt2 = pt2(p);
            if kt2 > SMALLEST { 1.0 / kt2 } else { LARGEST }
        }
        Algorithm::GeneralisedKt(power) => raised(pt2(p), power),
        Algorithm::EeKt => p.e * p.e,
        Algorithm::EeGeneralisedKt(power) => raised(p.e * p.e, power),
    }
}

/// What a scheme makes of a particle before it clusters.
pub(super) fn prepared(p: FourVector, scheme: Scheme) -> FourVector {
    match scheme {
        Scheme::Pt | Scheme::Pt2 => FourVector { e: (pt2(&p) + p.pz * p.pz).sqrt(), ..p },
        Scheme::E | Scheme::WtaPt => p,
    }
}

/// From pT, y, φ and m².
fn from_pt_y_phi_m2(pt: f64, y: f64, phi: f64, m2: f64) -> FourVector {
    let transverse = if m2 == 0.0 { pt } else { (pt * pt + m2).sqrt() };
    let exponential = y.exp();
    let (minus, plus) = (transverse / exponential, transverse * exponential);
    FourVector { px: pt * phi.cos(), py: pt * phi.sin(), pz: 0.5 * (plus - minus), e: 0.5 * (plus + minus) }
}

/// The sum of two momenta.
#[inline(always)]
pub(super) fn sum(a: &FourVector, b: &FourVector) -> FourVector {
    let mut sum = *a;
    sum += *b;
    sum
}

/// Two momenta into one by a scheme with weights, and the rapidity and azimuth that it gives. Two that both fly along the
/// beam have no direction to weight or to win: they are added, as are those whose energy would be beyond all bounds.
pub(super) fn weighted(
    a: (&FourVector, Point),
    b: (&FourVector, Point),
    scheme: Scheme,
) -> (FourVector, Option<Point>) {
    let (p, point) = mean(a, b, scheme);
    if p.e < 1e120 { (p, Some(point)) } else { (sum(a.0, b.0), None) }
}

/// The formulas of [`weighted`]; not finite where there is no direction.
fn mean(a: (&FourVector, Point), b: (&FourVector, Point), scheme: Scheme) -> (FourVector, Point) {
    let (square_a, square_b) = (pt2(a.0), pt2(b.0));
    let (pt_a, pt_b) = (square_a.sqrt(), square_b.sqrt());
    let pt = pt_a + pt_b;
    if scheme == Scheme::WtaPt {
        let (p, point) = if square_a >= square_b { a } else { b };
        let m2 = (p.e + p.pz) * (p.e - p.pz) - pt2(p);
        return (from_pt_y_phi_m2(pt, point[0], point[1], m2.abs()), point);
    }
    let (wa, wb) = if scheme == Scheme::Pt { (pt_a, pt_b) } else { (square_a, square_b) };
    let [(ya, phi_a), (yb, mut phi_b)] = [(a.1[0], a.1[1]), (b.1[0], b.1[1])];
    if phi_a - phi_b > PI {
        phi_b += TAU;
    }
    if phi_a - phi_b < -PI {
        phi_b -= TAU;
    }
    let y = (wa * ya + wb * yb) / (wa + wb);
    let mut phi = (wa * phi_a + wb * phi_b) / (wa + wb);
    let p = from_pt_y_phi_m2(pt, y, phi, 0.0);
    if phi >= TAU {
        phi -= TAU;
    }
    if phi < 0.0 {
        phi += TAU;
    }
    // A negative angle next to zero rounds to a full turn.
    (p, [y, if phi >= TAU { 0.0 } else { phi }, 0.0])
}
