//! Symmetries that cards promise.

use super::*;

// Promises
#[test]
fn permutation_invariance() {
    let unseen = jets(30, 5);
    let mut shuffled = unseen.clone();
    for (i, jet) in shuffled.iter_mut().enumerate() {
        let order = Philox::new(4, 0, i as u64).permutation(jet.particles.len());
        jet.particles = order.iter().map(|&i| jet.particles[i]).collect();
    }
    let mut promised = 0;
    for &method in METHODS
        .iter()
        .filter(|m| m.card().tasks.contains(&Task::Classify) && m.card().promises(Promise::PermutationInvariant))
    {
        let fitted = tiny_fit(method);
        let difference = largest_difference(&scores(&*fitted, &unseen), &scores(&*fitted, &shuffled));
        assert!(difference < 1e-5, "{}: {difference}", method.card().name);
        promised += 1;
    }
    assert!(promised >= 4);
}

/// Scores before and after a collinear splitting and a soft emission in every event.
fn emission(method: AMethod) -> f64 {
    let [train, validation] = parts();
    // All particles are kept, so that no emission pushes another out.
    let mut config = with(tiny(method), &[("train.epochs", json!(5)), ("train.lr", json!(0.01))]);
    if method.defaults().get("max").is_some() {
        config["max"] = json!(64);
    }
    let fitted = fit(method, &config, [&train, &validation]).unwrap();
    let unseen = jets(30, 5);
    let mut emitted = unseen.clone();
    for (i, jet) in emitted.iter_mut().enumerate() {
        let mut random = Philox::new(6, 0, i as u64);
        let (at, share) = (random.below(jet.particles.len()), 0.1 + 0.8 * random.uniform());
        let mother = jet.particles[at];
        jet.particles[at] = mother.map(|x| x * share);
        jet.particles.push(mother.map(|x| x * (1.0 - share)));
        // At a wide angle, where a score that counts it would notice.
        let [px, py, pz, e] = mother;
        let (eta, phi) = ((pz / px.hypot(py)).asinh(), py.atan2(px));
        jet.particles.push(particle(1e-9 * e, eta + 0.4, phi - 0.4));
    }
    largest_difference(&scores(&*fitted, &unseen), &scores(&*fitted, &emitted))
}

#[test]
fn infrared_and_collinear_safety() {
    let (mut safe, mut others) = (0, 0);
    for &method in METHODS {
        let name = method.card().name;
        if method.card().promises(Promise::InfraredCollinearSafe) {
            let difference = emission(method);
            assert!(difference < 1e-4, "{name}: {difference}");
            safe += 1;
        } else if name == "pfn" {
            assert!(emission(method) > 1e-4, "{name}: the check notices what is not safe");
            others += 1;
        }
    }
    assert!(safe >= 1 && others == 1);
}

/// Scores before and after a turn of every event in a plane of two of px, py, pz.
fn turn(fitted: &dyn Fitted, [a, b]: [usize; 2]) -> f64 {
    let unseen = jets(30, 5);
    let mut turned = unseen.clone();
    for (i, jet) in turned.iter_mut().enumerate() {
        let (sin, cos) = (std::f64::consts::TAU * Philox::new(7, 0, i as u64).uniform()).sin_cos();
        for p in &mut jet.particles {
            (p[a], p[b]) = (cos * p[a] - sin * p[b], sin * p[a] + cos * p[b]);
        }
    }
    largest_difference(&scores(fitted, &unseen), &scores(fitted, &turned))
}

/// To the precision of 32 bits; in double precision the networks are tested to 1e-10 where they are defined.
#[test]
fn lorentz_invariance() {
    let mut promised = 0;
    for &method in METHODS.iter().filter(|m| m.card().promises(Promise::LorentzInvariant)) {
        let fitted = tiny_fit(method);
        let (about_beam, across) = (turn(&*fitted, [0, 1]), turn(&*fitted, [0, 2]));
        assert!(about_beam < 1e-4 && across > 1e-3, "{}: {about_beam}, {across}", method.card().name);
        promised += 1;
    }
    assert!(promised >= 2);
}
