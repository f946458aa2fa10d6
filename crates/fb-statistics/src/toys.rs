//! Pseudo-experiments.

use fb_core::run::gather;
use fb_core::{Error, Philox, Result, Workers};

/// What `one` finds in each of so many pseudo-experiments, and how many of them fail; those are left out.
///
/// # Errors
/// [`Error::Fit`] if more than a tenth of them fail.
pub(crate) fn experiments<T: Send>(
    toys: usize,
    workers: &dyn Workers,
    one: &(dyn Fn(usize) -> Option<T> + Sync),
) -> Result<(Vec<T>, usize)> {
    let found: Vec<T> = gather(workers, toys, &one).into_iter().flatten().collect();
    let failed = toys - found.len();
    if failed * 10 > toys || found.is_empty() {
        return Err(Error::Fit { reason: format!("{failed} of the fits of {toys} pseudo-experiments failed") });
    }
    Ok((found, failed))
}

/// A Poisson number of this mean: by inversion for small means, else by Hörmann's transformed rejection (PTRS,
/// Insurance: Mathematics and Economics 12 (1993) 39).
pub fn poisson(random: &mut Philox, mean: f64) -> f64 {
    if mean.is_nan() || mean <= 0.0 {
        return 0.0;
    }
    if mean < 10.0 {
        let (mut n, mut term) = (0.0, (-mean).exp());
        let mut left = random.uniform() - term;
        while left >= 0.0 && n < 200.0 {
            n += 1.0;
            term *= mean / n;
            left -= term;
        }
        return n;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let likely = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let (u, v) = (random.uniform() - 0.5, 1.0 - random.uniform());
        let us = 0.5 - u.abs();
        let n = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= likely {
            return n;
        }
        if n < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let height = (v * inverse_alpha / (a / (us * us) + b)).ln();
        if height <= n * mean.ln() - mean - libm::lgamma(n + 1.0) {
            return n;
        }
    }
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::poisson;

    #[test]
    fn moments_are_those_of_poisson() {
        for mean in [0.3, 4.0, 9.9, 10.1, 47.0, 1e5] {
            let mut random = Philox::new(7, 1, 0);
            let n = 40_000;
            let numbers: Vec<f64> = (0..n).map(|_| poisson(&mut random, mean)).collect();
            let average = numbers.iter().sum::<f64>() / f64::from(n);
            let variance = numbers.iter().map(|x| (x - average).powi(2)).sum::<f64>() / f64::from(n);
            let skew = numbers.iter().map(|x| (x - average).powi(3)).sum::<f64>() / f64::from(n);
            let size = f64::from(n).sqrt();
            assert!((average - mean).abs() < 4.0 * mean.sqrt() / size, "{mean}: {average}");
            assert!((variance / mean - 1.0).abs() < 4.0 * (2.0 + 1.0 / mean).sqrt() / size, "{mean}: {variance}");
            // The third central moment is the mean; its own spread is √(15 m³) at leading order.
            let spread = (15.0 * mean.powi(3) + 60.0 * mean.powi(2) + 30.0 * mean).sqrt();
            assert!((skew - mean).abs() < 5.0 * spread / size, "{mean}: {skew}");
        }
        assert_eq!(poisson(&mut Philox::new(1, 0, 0), 0.0), 0.0);
    }
}
