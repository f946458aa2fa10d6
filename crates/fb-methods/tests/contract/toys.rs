//! Toy jets, threads and a checkpoint in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fb_core::{Column, Data, Events, Philox, Result, Sample, Store, Workers};

/// A jet of the toy sample.
#[derive(Clone)]
pub struct Jet {
    /// px, py, pz, E in GeV.
    pub particles: Vec<[f64; 4]>,
    /// Mass, groomed mass, τ₁, τ₂, τ₃.
    pub table: [f64; 5],
    pub label: u32,
    pub weight: f64,
    pub identity: u64,
}

pub const PARTICLE: [&str; 4] = ["part_px", "part_py", "part_pz", "part_E"];
pub const TABLE: [&str; 5] = ["jet_m", "jet_msd", "jet_tau1", "jet_tau2", "jet_tau3"];

/// A massless particle.
pub fn particle(pt: f64, eta: f64, phi: f64) -> [f64; 4] {
    [pt * phi.cos(), pt * phi.sin(), pt * eta.sinh(), pt * eta.cosh()]
}

/// Jets of three to twelve particles; those of class 1 are wider and heavier.
pub fn jets(n: usize, seed: u64) -> Vec<Jet> {
    let jet = |i: usize| {
        let mut random = Philox::new(seed, 1, i as u64);
        let label = i as u32 % 2;
        let width = 0.1 + 0.15 * f64::from(label);
        let (eta, phi) = (3.0 * random.uniform() - 1.5, 6.2 * random.uniform() - 3.1);
        let particles = (0..3 + random.below(10)).map(|_| {
            let pt = (1.5 + random.normal()).exp() + 0.1;
            particle(pt, eta + width * random.normal(), phi + width * random.normal())
        });
        let particles = particles.collect();
        let table = [80.0, 60.0, 0.4, 0.3, 0.2].map(|x| x * (1.0 + f64::from(label) * 0.1 + 0.3 * random.uniform()));
        Jet { particles, table, label, weight: 0.5 + random.uniform(), identity: seed << 32 | i as u64 }
    };
    (0..n).map(jet).collect()
}

pub fn sample(jets: &[Jet]) -> Sample {
    let mut offsets = vec![0];
    offsets.extend(jets.iter().scan(0, |sum, jet| {
        *sum += jet.particles.len();
        Some(*sum)
    }));
    let offsets = Arc::new(offsets);
    let mut columns = Vec::new();
    for (i, name) in PARTICLE.into_iter().enumerate() {
        let data = jets.iter().flat_map(|jet| &jet.particles).map(|p| p[i]).collect();
        columns.push(Column::jagged(name, Data::F64(data), Arc::clone(&offsets)));
    }
    for (i, name) in TABLE.into_iter().enumerate() {
        columns.push(Column::flat(name, Data::F64(jets.iter().map(|jet| jet.table[i]).collect())));
    }
    Sample {
        events: Events::new(columns).unwrap(),
        labels: jets.iter().map(|jet| jet.label).collect(),
        targets: Vec::new(),
        partition: None,
        weights: jets.iter().map(|jet| jet.weight).collect(),
        identity: jets.iter().map(|jet| jet.identity).collect(),
    }
}

/// A number of threads.
pub struct Threads(pub usize);

impl Workers for Threads {
    fn for_each(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.0 {
                scope.spawn(|| {
                    while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < n) {
                        task(i);
                    }
                });
            }
        });
    }

    fn count(&self) -> usize {
        self.0
    }
}

/// A checkpoint in memory.
#[derive(Default)]
pub struct Memory(Option<Vec<u8>>);

impl Store for Memory {
    fn save(&mut self, checkpoint: &[u8]) -> Result<()> {
        self.0 = Some(checkpoint.to_vec());
        Ok(())
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.clone())
    }

    fn is_due(&self) -> bool {
        false
    }
}
