//! `cargo xtask bench jets`: clusterings of random events by us and by FastJet's C++, one thread each, in turns.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use fb_core::Philox;
use fb_physics::four_vector::FourVector;
use fb_physics::jets::{Algorithm, Clustering, Definition};
use serde_json::{Value as Json, json};

use crate::bench::{Server, in_release, median, python};

const TURNS: usize = 7;
const RADIUS: f64 = 0.4;
/// Particles of an event, and events.
const SIZES: [(usize, usize); 6] = [(50, 400), (200, 200), (500, 100), (1000, 50), (3000, 20), (10_000, 5)];
const ALGORITHMS: [(&str, Algorithm); 3] =
    [("anti-kt", Algorithm::AntiKt), ("kt", Algorithm::Kt), ("cambridge-aachen", Algorithm::CambridgeAachen)];

/// Times all sizes.
pub fn jets() -> Result<()> {
    if in_release(&["bench", "jets"])? {
        return Ok(());
    }
    let mut peer = Server::start(Command::new(python()).arg("references/bench_jets.py"))?;
    println!("microseconds an event, R = {RADIUS}, medians of {TURNS} turns");
    println!("algorithm | particles | ours | FastJet | ratio | ours, ns a particle");
    println!("--- | ---: | ---: | ---: | ---: | ---:");
    for (particles, count) in SIZES {
        let events: Vec<Vec<FourVector>> = (0..count).map(|event| random(event, particles)).collect();
        let list = |p: &FourVector| json!([p.px, p.py, p.pz, p.e]);
        let lists: Vec<Json> = events.iter().map(|event| event.iter().map(list).collect()).collect();
        let mut request = json!({"R": RADIUS, "events": lists});
        for (name, algorithm) in ALGORITHMS {
            request["algorithm"] = json!(name);
            let definition = Definition::new(algorithm, RADIUS);
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                ours.push(1e6 * time(&events, &definition)?);
                theirs.push(1e6 * peer.ask(&request)?["seconds"].as_f64().unwrap_or(f64::NAN));
                // The peer keeps them.
                if let Some(map) = request.as_object_mut() {
                    map.remove("events");
                }
            }
            let (ours, theirs) = (median(ours), median(theirs));
            let each = 1e3 * ours / particles as f64;
            println!("{name} | {particles} | {ours:.0} | {theirs:.0} | **{:.2}** | {each:.0}", ours / theirs);
        }
    }
    Ok(())
}

/// Particles that fall off exponentially in pT and are even in |y| < 5 and φ.
fn random(event: usize, particles: usize) -> Vec<FourVector> {
    let mut random = Philox::new(11, particles as u64, event as u64);
    let particle = |_| {
        let pt = 0.3 - 2.0 * (1.0 - random.uniform()).ln();
        let (y, phi) = (10.0 * random.uniform() - 5.0, std::f64::consts::TAU * random.uniform());
        FourVector::from_pt_y_phi_m(pt, y, phi, 0.0)
    };
    (0..particles).map(particle).collect()
}

/// Seconds an event.
fn time(events: &[Vec<FourVector>], definition: &Definition) -> Result<f64> {
    let start = Instant::now();
    for event in events {
        std::hint::black_box(Clustering::new(event, definition)?);
    }
    Ok(start.elapsed().as_secs_f64() / events.len() as f64)
}
