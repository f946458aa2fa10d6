//! `cargo xtask bench substructure`: observables of the jets of samples/top_tagging by us, by EnergyFlow and by FastJet's
//! contrib, one thread each, in turns.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use fb_core::Events;
use fb_physics::particles::momenta;
use fb_physics::substructure::Jet;
use fb_physics::substructure::observable::Observables;
use serde_json::{Value as Json, json};

use crate::bench::{Server, in_release, median, python};
use crate::root;

const TURNS: usize = 5;

/// Our observables, what the peer is asked for, and how many jets.
fn cases() -> Vec<(&'static str, Json, usize)> {
    let tau = |axes: &str| json!({"what": "tau", "axes": axes});
    vec![
        ("efp(d<=5)", json!({"what": "efp", "degree": 5}), 100),
        ("efp(d<=7)", json!({"what": "efp", "degree": 7}), 5),
        ("tau1,tau2,tau3", tau("kt"), 400),
        ("tau1(axes=onepass_wta_kt),tau2(axes=onepass_wta_kt),tau3(axes=onepass_wta_kt)", tau("onepass_wta_kt"), 400),
        ("ecf_d2", json!({"what": "d2"}), 400),
        ("soft_drop_mass", json!({"what": "soft_drop"}), 400),
        ("lund", json!({"what": "lund"}), 400),
    ]
}

/// Times all cases.
pub fn substructure() -> Result<()> {
    if in_release(&["bench", "substructure"])? {
        return Ok(());
    }
    let events = fb_io::read(root().join("samples/top_tagging/tiny.parquet"))?;
    let mut peer =
        Server::start(Command::new(python()).arg("references/bench_substructure.py").env("OMP_NUM_THREADS", "1"))?;
    println!("microseconds a jet, medians of {TURNS} turns");
    println!("observables | ours | peer | ratio");
    println!("--- | ---: | ---: | ---:");
    for (names, mut request, jets) in cases() {
        request["jets"] = json!(jets);
        let observables = Observables::parse(names)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.push(1e6 * time(&events, &observables, jets)?);
            theirs.push(1e6 * peer.ask(&request)?["seconds"].as_f64().unwrap_or(f64::NAN));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{names} | {ours:.0} | {theirs:.0} | **{:.3}**", ours / theirs);
    }
    Ok(())
}

/// Seconds a jet, from momenta to values.
fn time(events: &Events, observables: &Observables, jets: usize) -> Result<f64> {
    let (p, offsets) = momenta(events, "part")?;
    let start = Instant::now();
    for jet in 0..jets {
        let jet = Jet::new(&p[offsets[jet]..offsets[jet + 1]], None)?;
        std::hint::black_box(observables.evaluate(&jet)?);
    }
    Ok(start.elapsed().as_secs_f64() / jets as f64)
}
