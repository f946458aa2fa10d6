//! Expected significances of a counting experiment.

/// Median discovery significance of s signal events on b background events whose expectation has the error σ
/// (arXiv:1007.1727, Eq. (97), and its extension by Cowan 2012); zero for b ≤ 0.
pub fn asimov(s: f64, b: f64, sigma: f64) -> f64 {
    if b <= 0.0 || b.is_nan() || s.is_nan() {
        return 0.0;
    }
    let variance = sigma * sigma;
    let square = if variance < 1e-9 * b {
        2.0 * ((s + b) * (s / b).ln_1p() - s)
    } else {
        let first = (s + b) * ((s + b) * (b + variance) / (b * b + (s + b) * variance)).ln();
        2.0 * (first - b * b / variance * (variance * s / (b * (b + variance))).ln_1p())
    };
    square.max(0.0).sqrt()
}

/// Approximate median significance of the Higgs machine-learning challenge, with its regularisation of ten events.
pub fn ams(s: f64, b: f64) -> f64 {
    let b = b + 10.0;
    (2.0 * ((s + b) * (s / b).ln_1p() - s)).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        assert!((asimov(10.0, 100.0, 0.0) - 0.983_99).abs() < 5e-6);
        assert!((asimov(10.0, 100.0, 10.0) - 0.690_20).abs() < 5e-6);
        assert!((asimov(10.0, 100.0, 1e-3) - asimov(10.0, 100.0, 0.0)).abs() < 1e-6);
        assert!((asimov(0.01, 1e4, 0.0) - 1e-4).abs() < 1e-9, "s/√b for little signal");
        assert!((asimov(1.0, 1e4, 100.0) - 1.0 / 2e4f64.sqrt()).abs() < 1e-6, "s/√(b + σ²)");
        assert_eq!(asimov(1.0, 0.0, 0.0), 0.0);
        assert_eq!(ams(10.0, 90.0), asimov(10.0, 100.0, 0.0));
    }
}
