//! `fb substructure` from file to file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{numbers, run, stderr, succeed, text, tiny};
use fb_core::{Column, Data, Events};

/// A file of jets, each of particles (pT, η, φ), without masses.
fn write(path: &Path, jets: &[Vec<[f64; 3]>]) {
    let mut offsets = vec![0];
    for jet in jets {
        offsets.push(offsets[offsets.len() - 1] + jet.len());
    }
    let offsets = Arc::new(offsets);
    let column = |(i, name): (usize, &str)| {
        let data = jets.iter().flatten().map(|particle| particle[i]).collect();
        Column::jagged(name, Data::F64(data), Arc::clone(&offsets))
    };
    let columns = ["part_pt", "part_eta", "part_phi"].into_iter().enumerate().map(column).collect();
    fb_io::write(path, &Events::new(columns).unwrap()).unwrap();
}

#[test]
fn values_stand_in_the_order_of_the_file_for_any_threads() {
    let place = tempfile::tempdir().unwrap();
    let out = |name: &str| text(&place.path().join(name));
    let set =
        "tau1,tau2,tau3,tau32,soft_drop_mass,mass,pt,multiplicity,efp(d<=3),lund,far=emd(row=3,R=0.8,normed=true)";
    let input = text(&tiny());
    let told =
        succeed(&["substructure", &input, "--set", set, "--keep", "label", "--threads", "1", "-o", &out("1.parquet")]);
    assert!(told.starts_with("400 jets, 29 columns"), "{told}");
    succeed(&["substructure", &input, "--set", set, "--keep", "label", "--threads", "3", "-o", &out("3.parquet")]);
    let (one, three) = (std::fs::read(out("1.parquet")).unwrap(), std::fs::read(out("3.parquet")).unwrap());
    assert!(one == three, "the threads are seen in the output");

    let (events, stored) = (fb_io::read(out("1.parquet")).unwrap(), fb_io::read(tiny()).unwrap());
    assert_eq!(numbers(&events, "label"), numbers(&stored, "label"));
    assert_eq!(numbers(&events, "multiplicity"), numbers(&stored, "n_constituents"));
    let (tau2, tau3) = (numbers(&events, "tau2"), numbers(&events, "tau3"));
    assert!(numbers(&events, "tau32").iter().zip(tau3.iter().zip(tau2)).all(|(ratio, (a, b))| *ratio == a / b));
    assert!(numbers(&events, "efp_0").iter().all(|x| (x - 1.0).abs() < 1e-12));
    let far = numbers(&events, "far");
    assert!(far[3].abs() < 1e-12 && far[..3].iter().all(|x| *x > 0.0));
    let (angle, kt) = (events.column("lund_ln_inv_delta").unwrap(), events.column("lund_kt").unwrap());
    assert_eq!(angle.offsets, kt.offsets);
    assert!(angle.data.len() > 400);
}

#[test]
fn values_are_those_that_the_maker_of_a_file_stored() {
    // The maker's particles are massless, which the rounded energies of the file are not: their masses would be noise.
    let stored = fb_io::read(tiny()).unwrap();
    let (p, offsets) = fb_physics::particles::momenta(&stored, "part").unwrap();
    let jets: Vec<Vec<[f64; 3]>> = offsets
        .iter()
        .zip(&offsets[1..])
        .map(|(&start, &end)| p[start..end].iter().map(|p| [p.pt(), p.eta(), p.phi()]).collect())
        .collect();
    let place = tempfile::tempdir().unwrap();
    let (input, out) = (place.path().join("jets.parquet"), place.path().join("out.parquet"));
    write(&input, &jets);
    succeed(&["substructure", &text(&input), "--set", "pt,mass,soft_drop_mass,tau1,tau2,tau3", "-o", &text(&out)]);
    let events = fb_io::read(&out).unwrap();
    // Momenta are rounded to 12 bits, and the maker's axes come from momenta that are added in another way.
    let cases = [
        ("pt", "jet_pt", 1e-3, 400),
        ("mass", "jet_m", 5e-3, 400),
        ("soft_drop_mass", "jet_msd", 0.02, 385),
        ("tau1", "jet_tau1", 0.03, 390),
        ("tau2", "jet_tau2", 0.03, 390),
        ("tau3", "jet_tau3", 0.03, 390),
    ];
    for (ours, theirs, tolerance, least) in cases {
        let pairs: Vec<(f64, f64)> = numbers(&events, ours).into_iter().zip(numbers(&stored, theirs)).collect();
        let near = pairs.iter().filter(|(a, b)| (a - b).abs() <= tolerance * b.abs()).count();
        assert!(near >= least, "{ours}: {near} of 400 jets are near");
    }
}

#[test]
fn jets_of_few_particles_have_values() {
    let place = tempfile::tempdir().unwrap();
    let (input, out) = (place.path().join("jets.parquet"), place.path().join("out.parquet"));
    let wide = vec![[30.0, 0.0, 0.1], [10.0, 0.3, 0.1]];
    // A particle without momentum is padding.
    write(&input, &[vec![], vec![[20.0, 0.5, 1.0]], wide, vec![[20.0, 0.5, 1.0], [0.0, 0.0, 0.0]]]);
    let set = "tau1,tau21,ecf_d2,mass,multiplicity,soft_drop_rg(z=0.2),lund(plane=full)";
    succeed(&["substructure", &text(&input), "--set", set, "-o", &text(&out)]);
    let events = fb_io::read(&out).unwrap();
    assert_eq!(numbers(&events, "multiplicity"), [0.0, 1.0, 2.0, 1.0]);
    for name in ["tau1", "tau21", "ecf_d2", "mass", "soft_drop_rg"] {
        let values = numbers(&events, name);
        assert_eq!((values[0], values[1].abs() < 1e-6), (0.0, true), "{name}");
    }
    assert!((numbers(&events, "soft_drop_rg")[2] - 0.3).abs() < 1e-12);
    assert_eq!(events.column("lund_z").unwrap().offsets.as_deref().unwrap()[..], [0, 0, 0, 1, 1]);

    write(&input, &[]);
    succeed(&["substructure", &text(&input), "--set", "tau1,lund", "-o", &text(&out)]);
    let events = fb_io::read(&out).unwrap();
    assert_eq!((events.len(), events.columns().len()), (0, 8));
}

#[test]
fn what_cannot_be_done_is_told_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (input, out) = (place.path().join("jets.parquet"), place.path().join("out.parquet"));
    write(&input, &[vec![[20.0, 0.5, 1.0]], vec![[20.0, f64::NAN, 1.0]]]);
    let tiny = text(&tiny());
    let bad = text(&input);
    let large = place.path().join("large.parquet");
    write(&large, &[vec![[20.0, 0.5, 1.0]], vec![[20.0, 0.5, 1.0], [1e120, 0.5, 1.0]]]);
    let large = text(&large);
    let cases: [(&str, &[&str], i32, &str); 7] = [
        (&tiny, &["--set", "tau_21"], 2, "did you mean `tau21`?"),
        (&tiny, &["--set", "jet_charge"], 3, "no column `part_charge`"),
        (&tiny, &["--set", "mass", "--prefix", "pat"], 3, "no column `pat_px`"),
        (&tiny, &["--set", "mass", "--keep", "mass"], 2, "an observable has this name"),
        (&tiny, &["--set", "emd(row=400)"], 2, "has 400 jets"),
        (&large, &["--set", "mass"], 3, "row 1: particle 1: px is"),
        (&bad, &["--set", "mass"], 3, "`part_eta` is not finite in event 1"),
    ];
    for (input, arguments, code, expected) in cases {
        let output = run(&[&["substructure", input, "-o", &text(&out)], arguments].concat());
        let error = stderr(&output);
        assert!(output.status.code() == Some(code) && error.contains(expected), "{arguments:?}: {error}");
        assert!(!out.exists(), "{arguments:?}");
    }
}
