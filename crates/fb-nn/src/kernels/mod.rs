//! The loops that take the time: matrix products and element-wise chains, on the vector units of the machine.

mod elementwise;
mod product;

pub(crate) use elementwise::*;
pub(crate) use product::{Matrix, dot, product};

/// The two precisions: `f32` trains, `f64` checks it and solves equations.
pub trait Real:
    Copy
    + Send
    + Sync
    + Default
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The nearest representable number.
    fn of(x: f64) -> Self;
    /// As `f64`, exactly.
    fn f64(self) -> f64;
    /// e to this power, to the last digit or two of this precision.
    #[must_use]
    fn exp(self) -> Self;
    /// Of the normal distribution: the probability below this number, and the density there.
    #[must_use]
    fn normal(self) -> (Self, Self);
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// The larger of the two.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// The smaller of the two.
    #[must_use]
    fn min(self, other: Self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as Self
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        f64::from(self)
    }

    /// Cody and Waite: 2ⁿ·eʳ with |r| ≤ ln 2 / 2 and a polynomial of degree six; relative error below 2·10⁻⁷.
    /// Free of branches and calls, so that loops over it become vector code.
    #[inline(always)]
    fn exp(self) -> Self {
        let x = Self::min(Self::max(self, -87.0), 88.0);
        // Adding 1.5·2²³ rounds to the nearest integer n and leaves it in the lowest bits: no conversion, which would
        // look for overflow number by number.
        let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
        let n = shifted - 12_582_912.0;
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let p = 1.987_569_1e-4;
        let p = p * r + 1.398_199_9e-3;
        let p = p * r + 8.333_452e-3;
        let p = p * r + 4.166_579_6e-2;
        let p = p * r + 1.666_666_5e-1;
        let p = p * r + 0.5;
        let p = p * r * r + r + 1.0;
        p * Self::from_bits(shifted.to_bits().wrapping_add(127) << 23)
    }

    /// Abramowitz and Stegun, 7.1.26: absolute error below 10⁻⁷.
    #[inline(always)]
    fn normal(self) -> (Self, Self) {
        let bell = Real::exp(-0.5 * self * self);
        let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * self.abs());
        let p = 1.061_405_4 * t - 1.453_152;
        let p = p * t + 1.421_413_7;
        let p = p * t - 0.284_496_74;
        let p = (p * t + 0.254_829_6) * t;
        let tail = 0.5 * p * bell;
        (if self > 0.0 { 1.0 - tail } else { tail }, 0.398_942_3 * bell)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp(self) -> Self {
        Self::exp(self)
    }

    fn normal(self) -> (Self, Self) {
        let bell = Self::exp(-0.5 * self * self) / std::f64::consts::TAU.sqrt();
        (0.5 * libm::erfc(-self / std::f64::consts::SQRT_2), bell)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::sqrt(self)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::Real;

    /// Φ from its definition, the integral of the density.
    #[test]
    fn normal_distribution() {
        let (mut below, h) = (0.5, 1e-3);
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        for i in 0..8000 {
            let x = f64::from(i) * h;
            for (x, below) in [(x, below), (-x, 1.0 - below)] {
                let (found, bell) = x.normal();
                assert!((found - below).abs() < 1e-13 && (bell - density(x)).abs() < 1e-15, "{x}: {found}");
                let (found, bell) = (x as f32).normal();
                assert!((f64::from(found) - below).abs() < 3e-7, "{x}: {found}, expected {below}");
                assert!((f64::from(bell) - density(x)).abs() < 2e-7);
            }
            // Simpson's rule.
            below += h / 6.0 * (density(x) + 4.0 * density(x + h / 2.0) + density(x + h));
        }
    }

    #[test]
    fn fast_exponential_is_accurate() {
        for i in -8700..8800 {
            let x = f64::from(i) / 100.0 + 0.001_234;
            let exact = (x as f32 as f64).exp();
            let found = Real::exp(x as f32) as f64;
            assert!((found / exact - 1.0).abs() < 3e-7, "exp({x}) = {found}, expected {exact}");
        }
    }
}
