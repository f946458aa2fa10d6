//! Numbers that carry their derivatives, so that one formula gives a function and its exact gradient.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What a shape is computed with: [`f64`], or [`Dual`] for its gradient too.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// A constant.
    fn of(value: f64) -> Self;
    /// Without the derivatives.
    fn value(self) -> f64;
    /// A function of this number, from its value and its derivative here.
    #[must_use]
    fn chain(self, value: f64, slope: f64) -> Self;

    /// eˣ.
    #[must_use]
    fn exp(self) -> Self {
        let value = self.value().exp();
        self.chain(value, value)
    }

    /// ln x.
    #[must_use]
    fn ln(self) -> Self {
        self.chain(self.value().ln(), self.value().recip())
    }

    /// xʸ of a positive x.
    #[must_use]
    fn powf(self, exponent: Self) -> Self {
        (exponent * self.ln()).exp()
    }

    /// arctan x.
    #[must_use]
    fn atan(self) -> Self {
        let x = self.value();
        self.chain(x.atan(), (1.0 + x * x).recip())
    }

    /// erfc x = 1 − erf x.
    #[must_use]
    fn erfc(self) -> Self {
        let x = self.value();
        self.chain(libm::erfc(x), -std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp())
    }

    /// x times a constant.
    #[must_use]
    fn times(self, factor: f64) -> Self {
        self * Self::of(factor)
    }
}

impl Number for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn value(self) -> f64 {
        self
    }

    fn chain(self, value: f64, _: f64) -> Self {
        value
    }
}

/// A number with its derivatives in N variables.
#[derive(Debug, Clone, Copy)]
pub struct Dual<const N: usize> {
    /// The number.
    pub value: f64,
    /// Its derivatives.
    pub slopes: [f64; N],
}

impl<const N: usize> Dual<N> {
    /// The `i`-th variable.
    pub fn variable(value: f64, i: usize) -> Self {
        let mut slopes = [0.0; N];
        slopes[i] = 1.0;
        Self { value, slopes }
    }

    fn with(self, other: Self, value: f64, by_self: f64, by_other: f64) -> Self {
        let slopes = std::array::from_fn(|i| by_self * self.slopes[i] + by_other * other.slopes[i]);
        Self { value, slopes }
    }
}

impl<const N: usize> Number for Dual<N> {
    fn of(value: f64) -> Self {
        Self { value, slopes: [0.0; N] }
    }

    fn value(self) -> f64 {
        self.value
    }

    fn chain(self, value: f64, slope: f64) -> Self {
        Self { value, slopes: self.slopes.map(|s| slope * s) }
    }
}

impl<const N: usize> Add for Dual<N> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.with(other, self.value + other.value, 1.0, 1.0)
    }
}

impl<const N: usize> Sub for Dual<N> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.with(other, self.value - other.value, 1.0, -1.0)
    }
}

impl<const N: usize> Mul for Dual<N> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.with(other, self.value * other.value, other.value, self.value)
    }
}

impl<const N: usize> Div for Dual<N> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let (ratio, inverse) = (self.value / other.value, other.value.recip());
        self.with(other, ratio, inverse, -ratio * inverse)
    }
}

impl<const N: usize> Neg for Dual<N> {
    type Output = Self;
    fn neg(self) -> Self {
        self.chain(-self.value, -1.0)
    }
}
