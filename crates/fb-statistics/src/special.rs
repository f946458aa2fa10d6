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

/// P(χ² ≥ x) for `degrees` degrees of freedom, Q(degrees/2, x/2): the series of the incomplete gamma function below
/// its mean, the continued fraction above (Abramowitz and Stegun, 6.5.29 and 6.5.31).
pub fn chi2_tail(x: f64, degrees: f64) -> f64 {
    if x.is_nan() || degrees.is_nan() || degrees <= 0.0 {
        return f64::NAN;
    }
    let (a, x) = (0.5 * degrees, 0.5 * x);
    if x <= 0.0 {
        return 1.0;
    }
    // x^a e^(−x)/Γ(a)
    let front = (a * x.ln() - x - libm::lgamma(a)).exp();
    // Both need about √a terms near to the mean.
    let terms = 200 + (10.0 * a.sqrt()) as u32;
    if x < a + 1.0 {
        let (mut term, mut sum) = (a.recip(), a.recip());
        for n in 1..=terms {
            term *= x / (a + f64::from(n));
            sum += term;
        }
        return (1.0 - front * sum).max(0.0);
    }
    let rest = (1..=terms).rev().fold(x + 2.0 * f64::from(terms) + 3.0 - a, |rest, n| {
        let n = f64::from(n);
        x + 2.0 * n - 1.0 - a + n * (a - n) / rest
    });
    front / rest
}

#[cfg(test)]
mod tests {
    use super::{chi2_tail, ln_normal_cdf, normal_cdf};

    #[test]
    fn tails_of_chi2_are_the_closed_forms() {
        // One degree: 2Φ(−√x); two: e^(−x/2); 2k: e^(−x/2) Σ_{j<k} (x/2)^j/j!.
        for x in [1e-3, 0.5, 1.0, 3.8, 20.0, 100.0, 400.0] {
            let one = 2.0 * normal_cdf(-f64::sqrt(x));
            assert!((chi2_tail(x, 1.0) / one - 1.0).abs() < 1e-11, "{x}");
            for k in [1, 2, 5, 40, 300] {
                let mut term = (-0.5 * x).exp();
                let mut sum = term;
                for j in 1..k {
                    term *= 0.5 * x / f64::from(j);
                    sum += term;
                }
                let found = chi2_tail(x, 2.0 * f64::from(k));
                assert!((found / sum - 1.0).abs() < 1e-10, "{x}, {k}: {found} against {sum}");
            }
        }
        assert_eq!(chi2_tail(0.0, 3.0), 1.0);
    }

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
