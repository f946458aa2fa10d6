//! Observables against FastJet, its contrib, EnergyFlow and SciPy (references/substructure_reference.py), and against
//! closed forms.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::f64::consts::PI;

use fb_core::Philox;
use fb_physics::four_vector::FourVector;
use fb_physics::substructure::efp::{Measure, Polynomials};
use fb_physics::substructure::emd::{self, Ground};
use fb_physics::substructure::grooming::{self, Groomed};
use fb_physics::substructure::observable::{Observables, Value};
use fb_physics::substructure::{Jet, correlators, lund};
use serde_json::Value as Json;

fn reference() -> Json {
    serde_json::from_str(include_str!("../../../references/substructure.json")).unwrap()
}

fn numbers(json: &Json) -> Vec<f64> {
    serde_json::from_value(json.clone()).unwrap()
}

fn jets(reference: &Json) -> Vec<(Jet, &Json)> {
    let jet = |json: &Json| -> Jet {
        let momenta: Vec<[f64; 4]> = serde_json::from_value(json["particles"].clone()).unwrap();
        let momenta: Vec<_> = momenta.iter().map(|&[px, py, pz, e]| FourVector { px, py, pz, e }).collect();
        Jet::new(&momenta, None).unwrap()
    };
    reference["jets"].as_array().unwrap().iter().map(|json| (jet(json), json)).collect()
}

/// A jet of massless particles of these (pT, y, φ).
fn massless(particles: &[[f64; 3]]) -> Jet {
    let p: Vec<_> = particles.iter().map(|&[pt, y, phi]| FourVector::from_pt_eta_phi_m(pt, y, phi, 0.0)).collect();
    Jet::new(&p, None).unwrap()
}

fn random(n: usize, seed: u64) -> Jet {
    let mut random = Philox::new(seed, 0, 0);
    let particle = |_| [1.0 + 50.0 * random.uniform(), 0.3 * random.normal(), 3.0 + 0.3 * random.normal()];
    massless(&(0..n).map(particle).collect::<Vec<_>>())
}

/// The only value of an observable.
fn value(jet: &Jet, text: &str) -> f64 {
    match Observables::parse(text).unwrap().evaluate(jet).unwrap()[..] {
        [Value::Number(x)] => x,
        ref other => panic!("{text}: {other:?}"),
    }
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what}: found {found:e}, expected {expected:e}");
}

#[test]
fn subjettiness_is_that_of_contrib() {
    let reference = reference();
    for (i, (jet, json)) in jets(&reference).into_iter().enumerate() {
        for (key, expected) in json["tau"].as_object().unwrap() {
            let (axes, beta) = key.split_once(' ').unwrap();
            for (n, expected) in (1..).zip(numbers(expected)) {
                let text = format!("tau{n}(axes={axes}, beta={beta}, R0=0.8)");
                close(value(&jet, &text), expected, 1e-9, &format!("jet {i}, {text}"));
            }
        }
        for (n, expected) in (1..).zip(numbers(&json["tau_plain"])) {
            close(value(&jet, &format!("tau{n}(normalised=false)")), expected, 1e-9, "not normalised");
        }
    }
}

#[test]
fn correlators_are_those_of_contrib() {
    let reference = reference();
    let mut checked = 0;
    for (jet, json) in jets(&reference) {
        for (beta, values) in json["correlators"].as_object().unwrap() {
            for (name, expected) in values.as_object().unwrap() {
                let text = match (name.split_once('e'), name.as_str()) {
                    // N₁ and M₁ are other names of what is checked.
                    (_, "n1" | "m1") => continue,
                    (Some((v, n)), _) if v.len() == 1 => format!("ecf_g(v={v}, n={n}, beta={beta})"),
                    (_, name) if name.starts_with("ecf") => format!("{name}(beta={beta})"),
                    (_, name) => format!("ecf_{name}(beta={beta})"),
                };
                close(value(&jet, &text), expected.as_f64().unwrap(), 1e-9, &text);
                checked += 1;
            }
        }
    }
    // Eleven series, four correlators and ten of the generalised ones for five jets and three powers of angles.
    assert_eq!(checked, 5 * 3 * (11 + 4 + 10));
}

#[test]
fn polynomials_are_those_of_energyflow() {
    let reference = reference();
    let (four, seven) = (Polynomials::new(4).unwrap(), Polynomials::new(7).unwrap());
    assert_eq!((four.len(), seven.len()), (36, 1000));
    let mut checked = 0;
    for (jet, json) in jets(&reference) {
        let cases = [
            ("efp7", &seven, Measure::default()),
            ("efp4_half", &four, Measure { beta: 0.5, ..Measure::default() }),
            ("efp4_kappa2", &four, Measure { beta: 1.0, kappa: 2.0, normed: false }),
        ];
        for (key, polynomials, measure) in cases {
            if json[key].is_null() {
                continue;
            }
            let found = polynomials.values(&jet, measure);
            for (i, expected) in numbers(&json[key]).into_iter().enumerate() {
                close(found[i], expected, 1e-11, &format!("{key} {i}"));
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 4 * 1000 + 2 * 6 * 36);
}

#[test]
fn polynomials_are_sums_over_particles() {
    let jet = random(5, 3);
    let z: Vec<f64> = jet.pt.iter().map(|pt| pt / jet.pt.iter().sum::<f64>()).collect();
    let found = Polynomials::new(7).unwrap().values(&jet, Measure::default());
    // Five particles at each of four vertices; `edges` are the pairs of vertices that are joined.
    let sum = |edges: &[(usize, usize)]| -> f64 {
        let term = |q: [usize; 4]| {
            let angles: f64 = edges.iter().map(|&(a, b)| jet.distance2(q[a], q[b])).product();
            q.iter().map(|&i| z[i]).product::<f64>() * angles
        };
        (0..625).map(|i| term([i % 5, i / 5 % 5, i / 25 % 5, i / 125])).sum()
    };
    let has = |expected: f64| found.iter().any(|x| (x - expected).abs() < 1e-12 * expected);
    close(found[1], sum(&[(0, 1)]), 1e-12, "dipole");
    assert!(has(sum(&[(0, 1), (1, 2), (2, 0)])), "triangle");
    assert!(has(sum(&[(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (0, 2)])), "square with a double diagonal");
    assert!(has(sum(&[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])), "complete graph");
    assert!(has(sum(&[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (2, 3)])), "complete graph with a double edge");
    // 2 m² / pT² of a narrow jet.
    let narrow = massless(&[[50.0, 0.0, 1.0], [30.0, 0.01, 1.0]]);
    let dipole = Polynomials::new(1).unwrap().values(&narrow, Measure::default())[1];
    close(dipole, 2.0 * (narrow.sum.m() / narrow.sum.pt()).powi(2), 1e-4, "mass");
}

#[test]
fn grooming_is_that_of_fastjet() {
    let reference = reference();
    let check = |groomed: &Groomed, json: &Json, what: &str| {
        assert_eq!(groomed.particles.len() as u64, json["particles"].as_u64().unwrap(), "{what}");
        close(groomed.momentum.pt(), json["pt"].as_f64().unwrap(), 1e-11, what);
        // FastJet gives −√−m² where m² < 0.
        let (found, expected) = (groomed.momentum.m(), json["mass"].as_f64().unwrap().max(0.0));
        assert!((found - expected).abs() < 1e-9 * groomed.momentum.e, "{what}: {found} {expected}");
    };
    for (i, (jet, json)) in jets(&reference).into_iter().enumerate() {
        for expected in json["soft_drop"].as_array().unwrap() {
            let [z, beta, zg, rg] = ["z", "beta", "zg", "rg"].map(|key| expected[key].as_f64().unwrap());
            let found = grooming::soft_drop(&jet, z, beta, 0.8).unwrap();
            check(&found, expected, &format!("jet {i}, soft drop {z} {beta}"));
            // Contrib says −1 where there is no splitting.
            close(found.z, zg.max(0.0), 1e-9, "z");
            close(found.r, rg.max(0.0), 1e-9, "R");
        }
        check(&grooming::trim(&jet, 0.2, 0.03).unwrap(), &json["groomed"]["trimmed"], "trimmed");
        check(&grooming::prune(&jet, 0.1, 0.5), &json["groomed"]["pruned"], "pruned");
        check(&grooming::filter(&jet, 0.3, 3).unwrap(), &json["groomed"]["filtered"], "filtered");
    }
}

#[test]
fn lund_planes_are_those_of_contrib() {
    let reference = reference();
    for (jet, json) in jets(&reference) {
        let (delta, kt) = (numbers(&json["lund"]["delta"]), numbers(&json["lund"]["kt"]));
        let primary = lund::primary(&jet).unwrap();
        assert_eq!(primary.len(), delta.len());
        for (splitting, (delta, kt)) in primary.iter().zip(delta.into_iter().zip(kt)) {
            close(splitting.delta, delta, 1e-9, "delta");
            close(splitting.kt, kt, 1e-9, "kt");
        }
        // The primary plane is the walk along harder branches of the full one, which has all splittings.
        let full = lund::full(&jet).unwrap();
        assert_eq!(full.len(), jet.len() - 1);
        let mut at = 0;
        for splitting in &primary {
            let found = full.iter().position(|s| s.delta == splitting.delta && s.kt == splitting.kt).unwrap();
            assert!(found >= at && full[found].psi == splitting.psi && full[found].mass == splitting.mass);
            at = found;
        }
        assert!(full.iter().enumerate().all(|(i, s)| s.mother.is_none_or(|mother| mother < i)));
        assert_eq!(full.iter().filter(|s| s.mother.is_none()).count(), 1);
    }
}

#[test]
fn two_particles_have_the_splitting_that_one_writes_down() {
    let jet = massless(&[[30.0, 0.1, 3.1], [10.0, 0.4, -3.0]]);
    let [splitting] = lund::primary(&jet).unwrap()[..] else { panic!("one splitting") };
    let (dy, dphi) = (0.3_f64, 2.0 * PI - 6.1);
    close(splitting.delta, dy.hypot(dphi), 1e-12, "delta");
    close(splitting.kt, 10.0 * splitting.delta, 1e-12, "kt");
    close(splitting.z, 0.25, 1e-12, "z");
    close(splitting.psi, dy.atan2(dphi), 1e-9, "psi");
    close(splitting.mass, (600.0 * (dy.cosh() - dphi.cos())).sqrt(), 1e-9, "mass");
    close(value(&jet, "soft_drop_zg(z=0.2)"), 0.25, 1e-12, "z of soft drop");
    close(value(&jet, "soft_drop_rg"), splitting.delta, 1e-12, "R of soft drop");
    assert_eq!(value(&jet, "soft_drop_dropped(z=0.3)"), 1.0);
    close(value(&jet, "soft_drop_pt(z=0.3)"), 30.0, 1e-12, "the harder one is left");
}

#[test]
fn shapes_of_two_particles() {
    // 30 and 10 GeV at distance 0.4 in azimuth; y = 0, so the axis is where the momenta add up.
    let particles = [[30.0, 0.0, 0.0], [10.0, 0.0, 0.4]];
    let jet = massless(&particles);
    let axis = f64::atan2(10.0 * 0.4_f64.sin(), 30.0 + 10.0 * 0.4_f64.cos());
    let pt = (1000.0 + 600.0 * 0.4_f64.cos()).sqrt();
    let r = [axis, 0.4 - axis];
    close(value(&jet, "width"), (30.0 * r[0] + 10.0 * r[1]) / 40.0, 1e-12, "width");
    close(value(&jet, "girth"), (30.0 * r[0] + 10.0 * r[1]) / pt, 1e-12, "girth");
    close(value(&jet, "ptd"), 1000.0_f64.sqrt() / 40.0, 1e-12, "ptd");
    let angularity = 0.75_f64.powi(2) * r[0].sqrt() + 0.25_f64.powi(2) * r[1].sqrt();
    close(value(&jet, "angularity(kappa=2, beta=0.5, R0=1)"), angularity, 1e-12, "angularity");
    close(value(&jet, "angularity(axis=wta, R0=0.4)"), 0.25, 1e-12, "from the harder particle");
    close(value(&jet, "pull"), (10.0 * r[1].powi(2) - 30.0 * r[0].powi(2)) / pt, 1e-12, "pull");
    close(value(&jet, "pull_angle"), PI / 2.0, 1e-12, "towards the softer particle");
    let momenta = particles.map(|[pt, y, phi]| FourVector::from_pt_eta_phi_m(pt, y, phi, 0.0));
    let charged = Jet::new(&momenta, Some(&[1.0, -1.0])).unwrap();
    close(value(&charged, "jet_charge(kappa=1)"), 20.0 / pt, 1e-12, "charge");
    close(value(&jet, "mass"), (600.0 * (1.0 - 0.4_f64.cos())).sqrt(), 1e-12, "mass");
}

#[test]
fn few_particles_have_defined_values() {
    let all = "tau1, tau2, tau21, tau32, ecf1, ecf2, ecf3, ecf4, ecf_c1, ecf_c2, ecf_c3, ecf_d2, ecf_n2, ecf_n3, ecf_m2, \
        ecf_m3, ecf_u1, ecf_u2, ecf_u3, ecf_g, mass, pt, multiplicity, width, girth, ptd, pull, pull_angle, angularity, \
        w=angularity(axis=wta), soft_drop_mass, soft_drop_zg, soft_drop_rg, mmdt_mass, trimmed_mass, pruned_mass, \
        filtered_mass, efp, lund, full=lund(plane=full), emd, a=tau1(axes=onepass_antikt)";
    let observables = Observables::parse(all).unwrap();
    for n in 0..3 {
        let values = observables.evaluate(&random(n, 1)).unwrap();
        assert_eq!(values.len(), observables.columns().len());
        for (value, (name, is_list)) in values.iter().zip(observables.columns()) {
            match value {
                Value::Number(x) => assert!(x.is_finite() && !is_list, "{name} of {n}: {x}"),
                Value::List(list) => {
                    assert!(list.len() == n.saturating_sub(1) && list.iter().all(|x| x.is_finite()) && is_list);
                }
            }
        }
    }
    assert_eq!(value(&random(1, 1), "tau1"), 0.0);
    assert_eq!(value(&random(0, 1), "ecf_d2"), 0.0);
    // Four at one place: no angle, so no denominator.
    assert_eq!(value(&massless(&[[5.0, 0.2, 0.3]; 4]), "ecf_d2"), 0.0);
    assert!(Jet::new(&[FourVector { px: f64::NAN, ..FourVector::default() }], None).is_err());
}

#[test]
fn distances_are_those_of_a_linear_program() {
    let reference = reference();
    let jets = jets(&reference);
    for case in reference["emd"].as_array().unwrap() {
        let [a, b] = [0, 1].map(|i| case[i].as_u64().unwrap() as usize);
        let ground = Ground {
            radius: case[2].as_f64().unwrap(),
            beta: case[3].as_f64().unwrap(),
            normed: case[4].as_bool().unwrap(),
        };
        close(emd::distance(&jets[a].0, &jets[b].0, ground), case[5].as_f64().unwrap(), 1e-8, &format!("{case}"));
    }
}

#[test]
fn distances_are_a_metric() {
    let ground = Ground { radius: 2.0, ..Ground::default() };
    let distance = |a: &Jet, b: &Jet| emd::distance(a, b, ground);
    for seed in 0..8 {
        let [a, b, c] = [3, 9, 14].map(|n| random(n + seed as usize, 10 * seed + n as u64));
        assert!(distance(&a, &a).abs() < 1e-9 && distance(&a, &b) > 0.0);
        close(distance(&a, &b), distance(&b, &a), 1e-12, "symmetry");
        assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c) + 1e-9, "triangle");
    }
    // One particle moves by 0.3, and 10 GeV are made.
    let (a, b) = (massless(&[[20.0, 0.0, 0.1]]), massless(&[[30.0, 0.3, 0.1]]));
    close(emd::distance(&a, &b, Ground::default()), 20.0 * 0.3 + 10.0, 1e-12, "by hand");
    close(distance(&massless(&[]), &b), 30.0, 1e-12, "made from nothing");
}

#[test]
fn correlators_of_a_triangle() {
    // All angles of three equal particles at the corners of a triangle are its side.
    let side = 0.2_f64;
    let jet = massless(&[[10.0, 0.0, 0.0], [10.0, side, 0.0], [10.0, side / 2.0, side * 0.75_f64.sqrt()]]);
    close(correlators::ecf(&jet, 2, 2.0, false), 300.0 * side.powi(2), 1e-9, "ecf2");
    close(correlators::ecf(&jet, 3, 2.0, false), 1000.0 * side.powi(6), 1e-9, "ecf3");
    close(correlators::d2(&jet, 2.0), 1.0, 1e-9, "d2: (1/27) / (1/3)³");
    close(correlators::n_series(&jet, 2, 1.0), 1.0 / 3.0, 1e-9, "n2: (1/27) / (1/3)²");
}

#[test]
fn names_that_are_none_are_explained() {
    let cases = [
        ("tau_21", "no observable `tau_21`; did you mean `tau21`?"),
        ("tau3(bta=1)", "unknown key `bta` in `tau3`; did you mean `beta`?"),
        ("tau3(axes=ktt)", "did you mean `kt`?"),
        ("tau3(beta=-1)", "`tau3`: `beta` is -1, expected a number above 0"),
        ("soft_drop_mas", "did you mean `soft_drop_mass`?"),
        ("efp(d<=8)", "`efp`: `d` is `8`, expected a whole number, 0 to 7"),
        ("mass, mass", "column `mass`: two of them have this column"),
        ("mass)", "found `)` without `(`"),
        ("tau1(beta=1", "found `(` without `)`"),
        ("", "found none"),
        ("a b = mass", "expected a name of letters"),
        ("ecf_g(n=3, v=4)", "expected a whole number, 1 to 3"),
        ("tau1(beta)", "expected `parameter=value`"),
        ("tau1(beta=1)x", "expected"),
    ];
    for (text, expected) in cases {
        let error = Observables::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let columns = |text: &str| Observables::parse(text).unwrap().columns().into_iter().map(|c| c.0).collect::<Vec<_>>();
    assert_eq!(columns("tau1, wide=tau1(R0=2), e=efp(d<=1)"), ["tau1", "wide", "e_0", "e_1"]);
    assert_eq!(columns("tau1, tau1(beta=2, R0=1)"), ["tau1", "tau1(beta=2,R0=1)"]);
    let jet = random(20, 4);
    close(value(&jet, "tau42"), value(&jet, "tau4") / value(&jet, "tau2"), 1e-12, "ratio");
    assert!(value(&jet, "tau10") > 0.0, "ten axes, not a ratio");
}
