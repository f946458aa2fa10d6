//! How scores of networks of momenta change under Lorentz transformations, in double precision: for tests.

use fb_core::run::Alone;
use fb_core::{Features, Philox};
use fb_nn::{Executor, Graph};

/// Transformations that keep the momenta of the test exact in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transformation {
    /// By the angle of (3, 4)/5 about z.
    TurnAboutBeam,
    /// By the same about y.
    TurnAcross,
    /// γ = 5/4, βγ = 3/4 along y.
    SlowBoost,
    /// γ = 8.03, βγ = 7.97 along z.
    FastBoost,
}

use Transformation::{FastBoost, SlowBoost, TurnAboutBeam, TurnAcross};

fn transformed([x, y, z, e]: [f64; 4], transformation: Transformation) -> [f64; 4] {
    let turn = |a: f64, b: f64| [(3.0 * a - 4.0 * b) / 5.0, (4.0 * a + 3.0 * b) / 5.0];
    // Light-cone momenta grow by a factor k, and shrink by it.
    let boost = |a: f64, e: f64, k: f64| {
        let (forward, backward) = ((e + a) * k / 2.0, (e - a) / k / 2.0);
        [forward - backward, forward + backward]
    };
    match transformation {
        TurnAboutBeam => {
            let [x, y] = turn(x, y);
            [x, y, z, e]
        }
        TurnAcross => {
            let [x, z] = turn(x, z);
            [x, y, z, e]
        }
        SlowBoost => {
            let [y, e] = boost(y, e, 2.0);
            [x, y, z, e]
        }
        FastBoost => {
            let [z, e] = boost(z, e, 16.0);
            [x, y, z, e]
        }
    }
}

/// Jets of momenta that are multiples of 5 GeV.
fn jets() -> Vec<Vec<[f64; 4]>> {
    let mut random = Philox::new(3, 0, 0);
    let mut particle = || {
        let [x, y, z] = [3.0, 4.0, 4.0].map(|shift| 5.0 * (random.below(9) as f64 - shift));
        [x, y, z, 5.0 * ((x * x + y * y + z * z).sqrt() / 5.0).ceil() + 5.0]
    };
    (0..12).map(|n| (0..=n % 7).map(|_| particle()).collect()).collect()
}

/// Logits of a network with uneven parameters that sees px, py, pz, E and two scalars.
fn scores(graph: &Graph, jets: &[Vec<[f64; 4]>], scalars: impl Fn([f64; 4]) -> [f64; 2]) -> Vec<f64> {
    let mut offsets = vec![0];
    let mut values = Vec::new();
    for jet in jets {
        for &p in jet {
            assert!(p.iter().all(|&x| f64::from(x as f32) == x), "{p:?} is not exact");
            values.extend(p.iter().chain(&scalars(p)).map(|&x| x as f32));
        }
        offsets.push(values.len() / 6);
    }
    let mut executor = Executor::<f64>::fresh(graph.clone(), 4);
    let mut random = Philox::new(5, 0, 0);
    executor.parameters.iter_mut().for_each(|p| *p += 0.02 * random.normal());
    executor.logits(&Features { width: 6, values, offsets: Some(offsets), others: Vec::new() }, &Alone)
}

/// The largest change of a logit under each transformation.
pub(crate) fn differences(graph: &Graph, scalars: impl Fn([f64; 4]) -> [f64; 2]) -> [(Transformation, f64); 4] {
    let jets = jets();
    let before = scores(graph, &jets, &scalars);
    assert!(before.iter().any(|x| (x - before[0]).abs() > 1e-2), "jets differ");
    [TurnAboutBeam, TurnAcross, SlowBoost, FastBoost].map(|which| {
        let moved: Vec<Vec<_>> = jets.iter().map(|jet| jet.iter().map(|&p| transformed(p, which)).collect()).collect();
        let after = scores(graph, &moved, &scalars);
        (which, before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
    })
}
