//! Energy correlation functions.

use super::{Jet, power, ratio};

/// Angles ΔRᵢⱼ^β between all pairs, row by row.
fn angles(jet: &Jet, beta: f64) -> Vec<f64> {
    let n = jet.len();
    let mut angles = vec![0.0; n * n];
    for i in 0..n {
        for j in i + 1..n {
            let angle = power(jet.distance2(i, j), beta);
            angles[i * n + j] = angle;
            angles[j * n + i] = angle;
        }
    }
    angles
}

/// ECF(N, β) = Σ_{i₁ < … < i_N} ∏ pT_i ∏_{a < b} ΔR_ab^β in GeV^N, for N up to 4 (arXiv:1305.0007, eq. 1); 1 for N = 0.
///
/// `normalised` divides by (Σ pT)^N, which makes it e_N of arXiv:1409.6298. A jet of fewer than N particles has 0.
pub fn ecf(jet: &Jet, n: usize, beta: f64, normalised: bool) -> f64 {
    let (pt, count) = (&jet.pt[..], jet.len());
    let total: f64 = pt.iter().sum();
    let sum = match n {
        0 => 1.0,
        1 => total,
        _ => {
            let angles = angles(jet, beta);
            let row = |i: usize| &angles[i * count..(i + 1) * count];
            let mut sum = 0.0;
            for i in 0..count {
                let a = row(i);
                let first = products(pt, a);
                for j in i + 1..count {
                    let (b, pair) = (row(j), pt[i] * first[j]);
                    match n {
                        2 => sum += pair,
                        3 => sum += pair * dot(&first[j + 1..], &b[j + 1..]),
                        _ => {
                            let second = products(&first, b);
                            for k in j + 1..count {
                                sum += pair * second[k] * dot(&second[k + 1..], &row(k)[k + 1..]);
                            }
                        }
                    }
                }
            }
            sum
        }
    };
    if normalised { ratio(sum, total.powi(n as i32)) } else { sum }
}

fn products(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x * y).collect()
}

/// Σ xᵢ yᵢ, in lanes that do not wait for each other.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    let mut lanes = [0.0; LANES];
    for (x, y) in xs.zip(ys) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// C_N^(β) = ECF(N + 1) ECF(N − 1) / ECF(N)² (arXiv:1305.0007, eq. 4), for N up to 3; 0 where the denominator is 0.
pub fn c(jet: &Jet, n: usize, beta: f64) -> f64 {
    let [below, same, above] = [n - 1, n, n + 1].map(|n| ecf(jet, n, beta, true));
    ratio(above * below, same * same)
}

/// D₂^(β) = e₃ / e₂³ (arXiv:1409.6298, eq. 2); 0 where the denominator is 0.
pub fn d2(jet: &Jet, beta: f64) -> f64 {
    ratio(ecf(jet, 3, beta, true), ecf(jet, 2, beta, true).powi(3))
}

/// ᵥe_n^(β) = Σ_{i₁ < … < i_n} ∏ z_i ∏ of the v smallest ΔR_ab^β (arXiv:1609.07483, eq. 3.3), z = pT / Σ pT, for n of 2
/// to 4 and v from 1 to n (n − 1) / 2.
pub fn generalised(jet: &Jet, v: usize, n: usize, beta: f64) -> f64 {
    match v {
        1 => with_smallest::<1>(jet, n, beta),
        2 => with_smallest::<2>(jet, n, beta),
        3 => with_smallest::<3>(jet, n, beta),
        4 => with_smallest::<4>(jet, n, beta),
        5 => with_smallest::<5>(jet, n, beta),
        _ => with_smallest::<6>(jet, n, beta),
    }
}

fn with_smallest<const V: usize>(jet: &Jet, n: usize, beta: f64) -> f64 {
    let count = jet.len();
    let total: f64 = jet.pt.iter().sum();
    let z: Vec<f64> = jet.pt.iter().map(|pt| pt / total).collect();
    let angles = angles(jet, beta);
    let row = |i: usize| &angles[i * count..(i + 1) * count];
    let mut sum = 0.0;
    for i in 0..count {
        let a = row(i);
        for j in i + 1..count {
            let (b, pair, smallest) = (row(j), z[i] * z[j], Smallest([f64::INFINITY; V]).with(a[j]));
            match n {
                2 => sum += pair * smallest.product(),
                3 => {
                    let term = |k: usize| z[k] * smallest.with(a[k]).with(b[k]).product();
                    sum += pair * (j + 1..count).map(term).sum::<f64>();
                }
                _ => {
                    for k in j + 1..count {
                        let (c, smallest) = (row(k), smallest.with(a[k]).with(b[k]));
                        let term = |l: usize| z[l] * smallest.with(a[l]).with(b[l]).with(c[l]).product();
                        sum += pair * z[k] * (k + 1..count).map(term).sum::<f64>();
                    }
                }
            }
        }
    }
    sum
}

/// The V smallest angles so far, rising, and infinity where there are fewer.
#[derive(Clone, Copy)]
struct Smallest<const V: usize>([f64; V]);

impl<const V: usize> Smallest<V> {
    #[inline(always)]
    fn with(mut self, mut angle: f64) -> Self {
        for slot in &mut self.0 {
            // What is not smaller than this one is compared with the next.
            let smaller = angle < *slot;
            (*slot, angle) = if smaller { (angle, *slot) } else { (*slot, angle) };
        }
        self
    }

    #[inline(always)]
    fn product(&self) -> f64 {
        self.0.iter().product()
    }
}

/// N_N^(β) = ₂e_{N+1} / (₁e_N)² (arXiv:1609.07483, eq. 3.19), for N of 2 and 3; 0 where the denominator is 0.
pub fn n_series(jet: &Jet, n: usize, beta: f64) -> f64 {
    ratio(generalised(jet, 2, n + 1, beta), generalised(jet, 1, n, beta).powi(2))
}

/// M_N^(β) = ₁e_{N+1} / ₁e_N (arXiv:1609.07483, eq. 3.15), for N of 2 and 3; 0 where the denominator is 0.
pub fn m_series(jet: &Jet, n: usize, beta: f64) -> f64 {
    ratio(generalised(jet, 1, n + 1, beta), generalised(jet, 1, n, beta))
}

/// U_N^(β) = ₁e_{N+1} (arXiv:1609.07483, eq. 3.25), for N up to 3.
pub fn u_series(jet: &Jet, n: usize, beta: f64) -> f64 {
    generalised(jet, 1, n + 1, beta)
}
