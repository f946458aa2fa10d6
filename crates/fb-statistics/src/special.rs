//! Functions that the standard library lacks.

use std::f64::consts::{PI, SQRT_2};

/// Φ(x), the cumulative distribution of the normal law, to rounding in the lower tail too.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// ln Φ(x), also where Φ(x) is smaller than the smallest number.
pub fn ln_normal_cdf(x: f64) -> f64 {
    if x > -30.0 {
        return normal_cdf(x).ln();
    }
    -0.5 * x * x - 0.5 * (2.0 * PI).ln() - tail_fraction(-x).ln()
}

/// φ(x)/Φ(−x) for x ≥ 30, as a continued fraction.
fn tail_fraction(x: f64) -> f64 {
    (1..=20).rev().fold(x, |rest, k| x + f64::from(k) / rest)
}

#[cfg(test)]
mod tests {
    use super::{ln_normal_cdf, normal_cdf};

    #[test]
    fn the_normal_law_has_its_tabulated_values() {
        for (x, p) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_542_9),
            (-1.0, 0.158_655_253_931_457_05),
            (-2.0, 0.022_750_131_948_179_212),
            (-5.0, 2.866_515_718_791_939e-7),
            (-10.0, 7.619_853_024_160_527e-24),
        ] {
            assert!((normal_cdf(x) / p - 1.0).abs() < 1e-12, "{x}: {}", normal_cdf(x));
            assert!((ln_normal_cdf(x) - p.ln()).abs() < 1e-12, "{x}: {}", ln_normal_cdf(x));
        }
        // −x²/2 − ln(x √2π) − 1/x² to this order in 1/x.
        let expected = -5000.0 - (100.0 * (2.0 * std::f64::consts::PI).sqrt()).ln() - 1e-4;
        assert!((ln_normal_cdf(-100.0) - expected).abs() < 1e-7);
    }
}
