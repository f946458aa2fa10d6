//! Losses and the probabilities that belong to them.

use crate::graph::Edges;
use crate::kernels::Real;

/// `scale`·(−ln p_y) of the logits of one event and its gradient into `grad`.
///
/// A single logit x stands for the two classes with p₁ = 1/(1 + e⁻ˣ).
pub(crate) fn cross_entropy<T: Real>(row: &[T], label: u32, scale: f64, grad: &mut [T]) -> f64 {
    if let ([x], [grad]) = (row, &mut *grad) {
        let (x, y) = (x.f64(), f64::from(label));
        *grad = T::of(scale * (1.0 / (1.0 + (-x).exp()) - y));
        return scale * logistic(x, y);
    }
    let top = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.f64()));
    let sum: f64 = row.iter().map(|x| (x.f64() - top).exp()).sum();
    for (c, (g, x)) in grad.iter_mut().zip(row).enumerate() {
        let p = (x.f64() - top).exp() / sum;
        *g = T::of(scale * (p - f64::from(u8::from(c == label as usize))));
    }
    scale * (sum.ln() + top - row[label as usize].f64())
}

/// ln(1 + eˣ) − y·x without overflow.
fn logistic(x: f64, y: f64) -> f64 {
    x.max(0.0) - y * x + (-x.abs()).exp().ln_1p()
}

/// `scale`·(⟨cross entropy⟩ − F₁) of the pairs of one event and its gradient into `grad` (arXiv:2002.08772, section 5;
/// arXiv:2008.02831).
///
/// Logits x are those of [`crate::Edges::Unordered`]; those of a particle with itself do not enter. With p = 1/(1 + e⁻ˣ),
/// and y = 1 for a pair of one group and 0 else, F₁ = 2·Σp·y / (Σp + Σy) over the pairs of the event. Without a pair
/// it is zero.
pub(crate) fn pair_loss<T: Real>(logits: &[T], groups: &[u32], scale: f64, grad: &mut [T]) -> f64 {
    grad.fill(T::ZERO);
    let (mut entropy, mut all, mut together, mut right) = (0.0, 0.0, 0.0, 0.0);
    let pairs = || (1..groups.len()).flat_map(|i| (0..i).map(move |j| (Edges::place(i, j), groups[i] == groups[j])));
    let share = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (at, same) in pairs() {
        let (x, y) = (logits[at].f64(), f64::from(u8::from(same)));
        let p = share(x);
        entropy += logistic(x, y);
        right += p * y;
        together += p + y;
        all += 1.0;
    }
    if all == 0.0 {
        return 0.0;
    }
    let sum: f64 = together + LEAST_SUM;
    for (at, same) in pairs() {
        let (p, y) = (share(logits[at].f64()), f64::from(u8::from(same)));
        let f1 = 2.0 * (y * sum - right) / (sum * sum);
        grad[at] = T::of(scale * ((p - y) / all - f1 * p * (1.0 - p)));
    }
    scale * (entropy / all - 2.0 * right / sum)
}

/// Added to Σp + Σy, which is zero where no pair is together and none is taken for it.
const LEAST_SUM: f64 = 1e-10;

/// The probabilities of the classes of one event; two for a single logit.
pub(crate) fn shares<T: Real>(row: &[T]) -> Vec<f64> {
    if let [x] = row {
        let p = 1.0 / (1.0 + (-x.f64()).exp());
        return vec![1.0 - p, p];
    }
    let top = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.f64()));
    let terms: Vec<f64> = row.iter().map(|x| (x.f64() - top).exp()).collect();
    let sum: f64 = terms.iter().sum();
    terms.into_iter().map(|t| t / sum).collect()
}

/// Probabilities [event, class] of logits; two classes for a single logit.
pub fn probabilities(logits: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(logits.len() * if width == 1 { 2 } else { 1 });
    for row in logits.chunks_exact(width) {
        if width == 1 {
            let p = 1.0 / (1.0 + (-row[0]).exp());
            out.extend([1.0 - p, p]);
            continue;
        }
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let first = out.len();
        out.extend(row.iter().map(|x| (x - top).exp()));
        let sum: f32 = out[first..].iter().sum();
        out[first..].iter_mut().for_each(|p| *p /= sum);
    }
    out
}
