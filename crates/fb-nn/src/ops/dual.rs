//! Numbers with their derivatives by N quantities, for kinematics whose gradient is a small Jacobian.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number and its derivatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dual<const N: usize> {
    pub value: f64,
    pub slope: [f64; N],
}

impl<const N: usize> Dual<N> {
    /// A number that depends on nothing.
    pub fn constant(value: f64) -> Self {
        Self { value, slope: [0.0; N] }
    }

    /// The quantity number `i`.
    pub fn variable(value: f64, i: usize) -> Self {
        let mut slope = [0.0; N];
        slope[i] = 1.0;
        Self { value, slope }
    }

    fn chain(self, value: f64, derivative: f64) -> Self {
        Self { value, slope: self.slope.map(|s| derivative * s) }
    }

    pub fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, 0.5 / root)
    }

    pub fn asinh(self) -> Self {
        self.chain(self.value.asinh(), 1.0 / (1.0 + self.value * self.value).sqrt())
    }

    /// The larger of this and a constant.
    pub fn at_least(self, bound: f64) -> Self {
        if self.value > bound { self } else { Self::constant(bound) }
    }

    /// Angle of (x, y), its derivative bounded near the origin.
    pub fn atan2(y: Self, x: Self, least: f64) -> Self {
        let square = x.value * x.value + y.value * y.value + least;
        let (along_y, along_x) = (x.value / square, -y.value / square);
        let mut slope = [0.0; N];
        for (i, s) in slope.iter_mut().enumerate() {
            *s = along_y * y.slope[i] + along_x * x.slope[i];
        }
        Self { value: y.value.atan2(x.value), slope }
    }

    fn combine(self, other: Self, value: f64, [a, b]: [f64; 2]) -> Self {
        let mut slope = self.slope;
        slope.iter_mut().zip(other.slope).for_each(|(s, t)| *s = a * *s + b * t);
        Self { value, slope }
    }
}

impl<const N: usize> Add for Dual<N> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, self.value + other.value, [1.0, 1.0])
    }
}

impl<const N: usize> Sub for Dual<N> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combine(other, self.value - other.value, [1.0, -1.0])
    }
}

impl<const N: usize> Mul for Dual<N> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.combine(other, self.value * other.value, [other.value, self.value])
    }
}

impl<const N: usize> Div for Dual<N> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let ratio = self.value / other.value;
        self.combine(other, ratio, [1.0 / other.value, -ratio / other.value])
    }
}

impl<const N: usize> Neg for Dual<N> {
    type Output = Self;

    fn neg(self) -> Self {
        self.chain(-self.value, -1.0)
    }
}
