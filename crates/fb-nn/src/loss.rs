//! Losses and the probabilities that belong to them.

use crate::kernels::Real;

/// Weighted cross entropy of logits [event, class], Σ wᵢ·(−ln p_{i,yᵢ}) / `norm`, and its gradient into `grad`.
///
/// A single logit x stands for the two classes with p₁ = 1/(1 + e⁻ˣ).
pub(crate) fn cross_entropy<T: Real>(
    logits: &[T],
    width: usize,
    labels: &[u32],
    weights: &[f64],
    norm: f64,
    grad: &mut [T],
) -> f64 {
    let mut loss = 0.0;
    for (((row, grad), &label), &weight) in
        logits.chunks_exact(width).zip(grad.chunks_exact_mut(width)).zip(labels).zip(weights)
    {
        let scale = weight / norm;
        if width == 1 {
            let x = row[0].f64();
            let y = f64::from(label);
            // ln(1 + e^x) − y·x without overflow
            loss += scale * (x.max(0.0) - y * x + (-x.abs()).exp().ln_1p());
            grad[0] = T::of(scale * (1.0 / (1.0 + (-x).exp()) - y));
            continue;
        }
        let top = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.f64()));
        let sum: f64 = row.iter().map(|x| (x.f64() - top).exp()).sum();
        loss += scale * (sum.ln() + top - row[label as usize].f64());
        for (c, (g, x)) in grad.iter_mut().zip(row).enumerate() {
            let p = (x.f64() - top).exp() / sum;
            *g = T::of(scale * (p - f64::from(u8::from(c == label as usize))));
        }
    }
    loss
}

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
