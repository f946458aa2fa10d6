//! Toy jets, and untrained networks with numbers as uneven as those of trained ones.

use std::sync::Arc;

use fb_core::{AnyMethod, Artifact, Column, Data, Events, Philox, Promise};
use serde_json::json;

/// Jets with the given numbers of constituents, spread around axes anywhere in η and φ, in no order, padded by rows of
/// zeros here and there.
pub fn jets(multiplicities: &[usize], seed: u64) -> Events {
    let mut offsets = vec![0];
    let mut columns: [Vec<f32>; 5] = Default::default();
    for (event, &n) in multiplicities.iter().enumerate() {
        let mut random = Philox::new(seed, event as u64, 0);
        // Every third jet lies across φ = ±π.
        let phi = if event % 3 == 0 { 3.1 } else { 6.0 * random.uniform() - 3.0 };
        let eta = 4.0 * random.uniform() - 2.0;
        for i in 0..n {
            if i % 5 == 3 {
                for column in &mut columns {
                    column.push(0.0);
                }
            }
            let pt = 1.0 + 100.0 * random.uniform().powi(3);
            let (eta, phi) = (eta + 0.3 * random.normal(), phi + 0.3 * random.normal());
            let (px, py, pz) = (pt * phi.cos(), pt * phi.sin(), pt * eta.sinh());
            let e = (px * px + py * py + pz * pz + 0.02).sqrt();
            let charge = random.below(3) as f64 - 1.0;
            columns.iter_mut().zip([px, py, pz, e, charge]).for_each(|(column, x)| column.push(x as f32));
        }
        offsets.push(columns[0].len());
    }
    let offsets = Arc::new(offsets);
    let names = ["part_px", "part_py", "part_pz", "part_E", "part_charge"];
    let jagged = |(name, column): (&str, Vec<f32>)| Column::jagged(name, Data::F32(column), Arc::clone(&offsets));
    let mut all: Vec<Column> = names.into_iter().zip(columns).map(jagged).collect();
    let mut random = Philox::new(seed, u64::MAX, 0);
    for name in TABLE {
        let values = multiplicities.iter().map(|_| (0.1 + random.uniform()) as f32).collect();
        all.push(Column::flat(name, Data::F32(values)));
    }
    all.extend(lists(multiplicities, seed));
    Events::new(all).unwrap()
}

/// Tracks and neutral particles of the jets, and a vertex in some.
fn lists(multiplicities: &[usize], seed: u64) -> Vec<Column> {
    let mut random = Philox::new(seed, u64::MAX, 1);
    let mut all = Vec::new();
    let tracks = ["trk_pt", "trk_dr", "trk_d0", "trk_z0", "trk_sd0_sig", "trk_z0_sig", "trk_class"];
    let candidates = ["cand_pt", "cand_deta", "cand_dphi", "cand_class"];
    let lists = [(&tracks[..], 2), (&["neu_pt", "neu_dr", "neu_is_photon"][..], 3), (&candidates[..], 1)];
    for (names, share) in lists {
        let counts = multiplicities.iter().scan(0, |sum, n| {
            *sum += n.div_ceil(share);
            Some(*sum)
        });
        let offsets: Arc<Vec<usize>> = Arc::new(std::iter::once(0).chain(counts).collect());
        for name in names {
            let values = (0..offsets[offsets.len() - 1]).map(|_| {
                let x = random.normal();
                // Displacements have a sign, classes are numbers from 0 to 4.
                match *name {
                    "trk_class" | "neu_is_photon" | "cand_class" => (2.0 * x.abs()).floor().min(4.0) as f32,
                    "cand_deta" | "cand_dphi" => 0.2 * x as f32,
                    "trk_d0" | "trk_z0" | "trk_sd0_sig" | "trk_z0_sig" => 1.5 * x as f32,
                    _ => x.exp() as f32,
                }
            });
            all.push(Column::jagged(*name, Data::F32(values.collect()), Arc::clone(&offsets)));
        }
    }
    let vertex = ["sv_ntracks", "sv_mass", "sv_flight", "sv_flight_sig", "sv_pt_fraction", "sv_cos_pointing"];
    for name in vertex.into_iter().chain(["jet_pt", "jet_eta", "tau_pt", "tau_eta", "tau_m"]) {
        let there = |i: usize| f64::from(u8::from(i % 3 != 1 || !name.starts_with("sv")));
        let values = (0..multiplicities.len()).map(|i| (there(i) * (0.2 + random.uniform())) as f32).collect();
        all.push(Column::flat(name, Data::F32(values)));
    }
    all
}

/// Numbers of a jet.
const TABLE: [&str; 5] = ["jet_m", "jet_msd", "jet_tau1", "jet_tau2", "jet_tau3"];

/// The networks that score events and promise an equal graph; forests and networks of pairs have tests of their own.
pub fn networks() -> impl Iterator<Item = &'static dyn AnyMethod> {
    fb_methods::METHODS
        .iter()
        .copied()
        .filter(|m| m.defaults()["train"].is_object() && m.card().promises(Promise::OnnxParity))
        .filter(|m| m.card().tasks.contains(&fb_core::Task::Classify))
}

/// The artifact of a method with its default options but `options`, its parameters and running averages random.
pub fn artifact(method: &dyn AnyMethod, options: &serde_json::Value) -> Artifact {
    let mut sample = fb_core::Sample { events: jets(&[6; 16], 1), ..Default::default() };
    sample.labels = (0..16).map(|i| i % 2).collect();
    sample.weights = vec![1.0; 16];
    sample.identity = (0..16).collect();
    let mut options = options.clone();
    options["train"] = json!({ "epochs": 1, "batch": 16 });
    if options["variables"].is_null() && method.defaults()["variables"].as_array().is_some_and(Vec::is_empty) {
        options["variables"] = json!(TABLE);
    }
    if let Some(map) = options.as_object_mut() {
        map.retain(|_, option| !option.is_null());
    }
    let mut run = fb_core::Run {
        seed: 1,
        workers: &fb_core::run::Alone,
        tick: &mut |_, _| {},
        report: &mut |_| {},
        stop: &|| false,
        store: &mut fb_core::run::Nowhere,
        start: None,
    };
    let mut artifact = method.fit(&options, &sample, &sample, &mut run).unwrap().artifact().unwrap();
    uneven(&mut artifact);
    artifact
}

/// Gives biases, normalisations and running averages random numbers, as trained ones have.
pub fn uneven(artifact: &mut Artifact) {
    for (i, tensor) in artifact.tensors.iter_mut().enumerate() {
        let mut random = Philox::new(2, i as u64, 0);
        let letter = tensor.name.split('.').nth(1).unwrap_or("").trim_end_matches(|c: char| c.is_ascii_digit());
        for x in &mut tensor.values {
            match letter {
                "weight" => {}
                "variance" | "gamma" => *x = (0.7 + 0.6 * random.uniform()) as f32,
                _ => *x = (0.2 * random.normal()) as f32,
            }
        }
    }
}
