//! Median significances of counting experiments, from the Asimov data (arXiv:1007.1727, eq. 97).

/// Z of `signal` events on a known `background`: √(2((s + b) ln(1 + s/b) − s)); zero without background.
pub fn asimov(signal: f64, background: f64) -> f64 {
    if background <= 0.0 || signal <= 0.0 {
        return 0.0;
    }
    let ratio = signal / background;
    // (1 + r) ln(1 + r) − r cancels to r²/2 for small r.
    let bent = if ratio < 1e-4 { ratio * ratio * (0.5 - ratio / 6.0) } else { (1.0 + ratio) * ratio.ln_1p() - ratio };
    (2.0 * background * bent).sqrt()
}

/// The same where the background has the standard deviation `error` (G. Cowan, "Discovery sensitivity for a counting
/// experiment with background uncertainty", 2012, eq. 20):
/// Z² = 2((s + b) ln((s + b)(b + σ²)/(b² + (s + b)σ²)) − (b²/σ²) ln(1 + σ²s/(b(b + σ²)))).
pub fn asimov_with_error(signal: f64, background: f64, error: f64) -> f64 {
    let variance = error * error;
    if variance < 1e-9 * background {
        return asimov(signal, background);
    }
    if background <= 0.0 || signal <= 0.0 {
        return 0.0;
    }
    let all = signal + background;
    let first = all * (all * (background + variance) / (background * background + all * variance)).ln();
    let second =
        background * background / variance * (variance * signal / (background * (background + variance))).ln_1p();
    (2.0 * (first - second)).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{asimov, asimov_with_error};

    #[test]
    fn significances_are_the_known_ones() {
        assert!((asimov(10.0, 100.0) - 0.98399).abs() < 5e-6);
        assert!((asimov_with_error(10.0, 100.0, 10.0) - 0.69020).abs() < 5e-6);
        assert!((asimov_with_error(10.0, 100.0, 1e-3) / asimov(10.0, 100.0) - 1.0).abs() < 1e-7);
        // Few on many: s/√b and s/√(b + σ²); the two forms of small ratios meet.
        assert!((asimov(1.0, 1e8) * 1e4 - 1.0).abs() < 1e-7);
        assert!((asimov_with_error(1.0, 1e6, 500.0) * 1.25e6_f64.sqrt() - 1.0).abs() < 1e-4);
        assert!((asimov(0.99999e-2, 100.0) / asimov(1.00001e-2, 100.0) / 0.99998 - 1.0).abs() < 1e-7);
        assert_eq!((asimov(1.0, 0.0), asimov(0.0, 3.0)), (0.0, 0.0));
    }
}
