//! The constituents of a jet: ordered, cut to the hardest, and in a frame of the jet.

use std::sync::Arc;

use fb_core::{Column, Error, Events, Frame, Result, Unit};

use crate::four_vector::{FourVector, delta_phi};

/// The constituents of all events, the hardest first in each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Particles {
    /// Momenta.
    pub p: Vec<FourVector>,
    /// Transverse momentum, pseudorapidity and azimuth of each.
    pub pt: Vec<f64>,
    /// See `pt`.
    pub eta: Vec<f64>,
    /// See `pt`.
    pub phi: Vec<f64>,
    /// Coordinates in the frame.
    pub u: Vec<f64>,
    /// See `u`.
    pub v: Vec<f64>,
    /// Entry of each in the columns of its collection.
    pub entry: Vec<usize>,
    /// Events + 1 offsets.
    pub offsets: Vec<usize>,
    /// Sum of the kept constituents of each event.
    pub jets: Vec<FourVector>,
}

/// Reads the constituents as [`momenta`] does, the hardest `max` of each event. Entries without transverse momentum or
/// energy are padding and left out.
///
/// # Errors
/// Those of [`momenta`].
pub fn particles(events: &Events, collection: &str, max: usize, frame: Frame) -> Result<Particles> {
    let (momenta, offsets) = momenta(events, collection)?;
    let mut out = Particles { offsets: vec![0], ..Particles::default() };
    let mut order: Vec<(f64, usize, FourVector)> = Vec::new();
    for event in 0..events.len() {
        order.clear();
        let entries = offsets[event]..offsets[event + 1];
        for (entry, &p) in entries.clone().zip(&momenta[entries]) {
            if p.pt() > 0.0 && p.e > 0.0 {
                order.push((p.pt(), entry, p));
            }
        }
        // Equal transverse momenta stay in the order of the file.
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        order.truncate(max);
        let mut jet = FourVector::default();
        for (.., p) in &order {
            jet += *p;
        }
        out.jets.push(jet);
        for &(pt, entry, p) in &order {
            out.pt.push(pt);
            out.eta.push(p.eta());
            out.phi.push(p.phi());
            out.p.push(p);
            out.entry.push(entry);
        }
        let first = out.offsets[event];
        out.offsets.push(out.p.len());
        let (eta, phi) = (&out.eta[first..], &out.phi[first..]);
        let relative: Vec<[f64; 2]> = match (frame, eta.first()) {
            (_, None) => Vec::new(),
            (Frame::Jet, _) => {
                let sign = if jet.eta() < 0.0 { -1.0 } else { 1.0 };
                around(eta, phi, jet.eta(), jet.phi()).map(|[u, v]| [sign * u, v]).collect()
            }
            (Frame::Leading, _) => leading_frame(around(eta, phi, eta[0], phi[0]).collect()),
            (Frame::Principal, _) => {
                principal_frame(around(eta, phi, jet.eta(), jet.phi()).collect(), &out.pt[first..])
            }
        };
        out.u.extend(relative.iter().map(|r| r[0]));
        out.v.extend(relative.iter().map(|r| r[1]));
    }
    Ok(out)
}

/// The momenta of a collection in the order of the file, and where those of each event begin (events + 1 offsets).
///
/// They stand in `{collection}_px, _py, _pz, _E`, or in `{collection}_pt`, `_eta` or `_y`, `_phi` and, where particles are
/// not massless, `_mass` or `_m`, in GeV or in columns whose unit is MeV.
///
/// # Errors
/// [`Error::MissingColumn`]; [`Error::NotFinite`] with the event; [`Error::Config`] if a column is not a list or the lists
/// differ in length.
pub fn momenta(events: &Events, collection: &str) -> Result<(Vec<FourVector>, Arc<Vec<usize>>)> {
    let name = |suffix: &str| format!("{collection}_{suffix}");
    let has = |suffix: &str| events.column(&name(suffix)).is_ok();
    let cartesian = has("px") || !has("pt");
    let rapidity = has("y") && !has("eta");
    let mut suffixes = match (cartesian, rapidity) {
        (true, _) => vec!["px", "py", "pz", "E"],
        (false, true) => vec!["pt", "y", "phi"],
        (false, false) => vec!["pt", "eta", "phi"],
    };
    if !cartesian {
        suffixes.extend(["mass", "m"].into_iter().find(|suffix| has(suffix)));
    }
    let columns: Vec<&Column> = suffixes.iter().map(|suffix| events.column(&name(suffix))).collect::<Result<_>>()?;
    let Some(offsets) = columns[0].offsets.clone() else {
        let reason = "found one number per event, expected a list of constituents".to_owned();
        return Err(Error::Config { place: format!("column `{}`", columns[0].name), reason });
    };
    for column in &columns {
        if column.offsets.as_ref() != Some(&offsets) {
            let reason = format!("its lists differ in length from those of `{}`", columns[0].name);
            return Err(Error::Config { place: format!("column `{}`", column.name), reason });
        }
    }
    let scales: Vec<f64> = columns.iter().map(|c| if c.unit == Unit::Mev { 1e-3 } else { 1.0 }).collect();
    let mut momenta = Vec::with_capacity(offsets.last().copied().unwrap_or_default());
    for event in 0..events.len() {
        for entry in offsets[event]..offsets[event + 1] {
            let mut x = [0.0; 4];
            for (x, (column, scale)) in x.iter_mut().zip(columns.iter().zip(&scales)) {
                *x = scale * column.data.number(entry);
                if !x.is_finite() {
                    return Err(Error::NotFinite { column: column.name.clone(), event, found: *x });
                }
            }
            momenta.push(match (cartesian, rapidity) {
                (true, _) => FourVector { px: x[0], py: x[1], pz: x[2], e: x[3] },
                (false, true) => FourVector::from_pt_y_phi_m(x[0], x[1], x[2], x[3]),
                (false, false) => FourVector::from_pt_eta_phi_m(x[0], x[1], x[2], x[3]),
            });
        }
    }
    Ok((momenta, offsets))
}

/// (η − η₀, φ − φ₀) of each.
fn around<'a>(eta: &'a [f64], phi: &'a [f64], eta0: f64, phi0: f64) -> impl Iterator<Item = [f64; 2]> + 'a {
    eta.iter().zip(phi).map(move |(eta, phi)| [eta - eta0, delta_phi(*phi, phi0)])
}

/// Turns the second point to u = 0, v < 0 and flips the third to u ≥ 0. A second point at the origin turns nothing.
fn leading_frame(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if let Some(&[a, b]) = points.get(1) {
        let length = a.hypot(b);
        if length > 0.0 {
            let (c, s) = (-b / length, a / length);
            for p in &mut points {
                // (a, b) goes to (0, −length).
                *p = [c * p[0] + s * p[1], -s * p[0] + c * p[1]];
            }
            points[1] = [0.0, -length];
        }
    }
    if points.get(2).is_some_and(|p| p[0] < 0.0) {
        for p in &mut points {
            p[0] = -p[0];
        }
    }
    points
}

/// Moves the pT centroid to the origin, turns the axis of largest spread to v, and flips so that more pT is at u > 0
/// and at v > 0.
fn principal_frame(mut points: Vec<[f64; 2]>, pt: &[f64]) -> Vec<[f64; 2]> {
    let total: f64 = pt.iter().sum();
    let mean = |f: &dyn Fn(&[f64; 2]) -> f64| points.iter().zip(pt).map(|(p, w)| w * f(p)).sum::<f64>() / total;
    let centre = [mean(&|p| p[0]), mean(&|p| p[1])];
    let [uu, vv, uv] = [
        mean(&|p| (p[0] - centre[0]).powi(2)),
        mean(&|p| (p[1] - centre[1]).powi(2)),
        mean(&|p| (p[0] - centre[0]) * (p[1] - centre[1])),
    ];
    // The eigenvector (uv, λ − uu) of the larger eigenvalue, from whichever of its two forms is longer.
    let half = (uu - vv) / 2.0;
    let root = half.hypot(uv);
    let (a, b) = if half > 0.0 { (half + root, uv) } else { (uv, root - half) };
    let length = a.hypot(b);
    let (c, s) = if length > 0.0 { (b / length, a / length) } else { (1.0, 0.0) };
    for p in &mut points {
        let [u, v] = [p[0] - centre[0], p[1] - centre[1]];
        // Two particles lie on the axis, where pixels meet: their side must not follow from the last bit.
        *p = [c * u - s * v, s * u + c * v].map(|x| if x.abs() > 1e-9 { x } else { 0.0 });
    }
    for axis in 0..2 {
        let side = |sign: f64| points.iter().zip(pt).filter(|(p, _)| sign * p[axis] > 0.0).map(|(_, w)| w).sum::<f64>();
        if side(-1.0) > side(1.0) {
            for p in &mut points {
                p[axis] = -p[axis];
            }
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use fb_core::{Data, Philox};

    use super::*;

    /// One jet of random constituents around (η, φ) = (eta, phi), seen in `frame`.
    fn jet(n: usize, frame: Frame, change: impl Fn([f64; 3]) -> [f64; 3]) -> Particles {
        let mut random = Philox::new(7, 0, 0);
        let mut columns: [Vec<f64>; 3] = Default::default();
        for _ in 0..n {
            let x = [1.0 + 50.0 * random.uniform(), 0.5 * random.normal(), 0.5 * random.normal()];
            change(x).into_iter().zip(&mut columns).for_each(|(x, column)| column.push(x));
        }
        let offsets = Arc::new(vec![0, n]);
        let column = |(name, data): (&str, Vec<f64>)| Column::jagged(name, Data::F64(data), Arc::clone(&offsets));
        let names = ["part_pt", "part_eta", "part_phi"];
        let events = Events::new(names.into_iter().zip(columns).map(column).collect()).unwrap();
        particles(&events, "part", 100, frame).unwrap()
    }

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn leading_frame_fixes_two_points_and_forgets_the_orientation() {
        let turn = |[pt, eta, phi]: [f64; 3]| [pt, 0.3 - (0.6 * eta - 0.8 * phi), -1.0 + 0.8 * eta + 0.6 * phi];
        let [a, b] = [jet(9, Frame::Leading, |x| x), jet(9, Frame::Leading, turn)];
        assert!(a.u[0] == 0.0 && a.v[0] == 0.0 && a.u[1] == 0.0 && a.v[1] < 0.0 && a.u[2] >= 0.0);
        assert!(close(&a.u, &b.u) && close(&a.v, &b.v));
    }

    #[test]
    fn principal_frame_is_centred_uncorrelated_and_upright() {
        let a = jet(12, Frame::Principal, |x| x);
        let mean = |f: &dyn Fn(usize) -> f64| (0..12).map(|i| a.pt[i] * f(i)).sum::<f64>();
        assert!(mean(&|i| a.u[i]).abs() < 1e-9 && mean(&|i| a.v[i]).abs() < 1e-9);
        assert!(mean(&|i| a.u[i] * a.v[i]).abs() < 1e-9, "the axes are principal");
        assert!(mean(&|i| a.v[i] * a.v[i]) >= mean(&|i| a.u[i] * a.u[i]));
        for x in [&a.u, &a.v] {
            assert!(mean(&|i| x[i].signum()) >= 0.0, "more pT at positive {x:?}");
        }
        let b = jet(12, Frame::Principal, |[pt, eta, phi]| [pt, -eta, phi]);
        assert!(close(&a.u, &b.u) && close(&a.v, &b.v), "a reflection is forgotten");
    }

    #[test]
    fn jet_frame_is_reflected_with_the_jet() {
        let up = jet(5, Frame::Jet, |[pt, eta, phi]| [pt, eta + 1.0, phi]);
        let down = jet(5, Frame::Jet, |[pt, eta, phi]| [pt, -eta - 1.0, phi]);
        assert!(close(&up.u, &down.u) && close(&up.v, &down.v));
    }

    #[test]
    fn one_and_no_particle_are_defined() {
        for frame in [Frame::Jet, Frame::Leading, Frame::Principal] {
            let one = jet(1, frame, |x| x);
            assert!(one.u[0].abs() < 1e-12 && one.v[0].abs() < 1e-12);
            assert_eq!(jet(0, frame, |x| x).offsets, [0, 0]);
        }
    }
}
