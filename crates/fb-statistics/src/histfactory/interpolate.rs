//! How a yield goes from its nominal value to those at plus and minus one standard deviation.

/// A factor: a polynomial of the sixth degree for |α| < 1 whose value and first two derivatives continue the exponentials
/// hi^α for α ≥ 1 and lo^−α for α ≤ −1 ("code 4").
#[derive(Debug, Clone)]
pub(super) struct Factor {
    log_hi: f64,
    log_lo: f64,
    polynomial: [f64; 6],
}

impl Factor {
    /// From the positive factors at ∓1.
    pub(super) fn new(lo: f64, hi: f64) -> Self {
        let (log_lo, log_hi) = (lo.ln(), hi.ln());
        // Even and odd parts of value, slope and second derivative at ±1; each fixes three coefficients.
        let even = |up: f64, down: f64| 0.5 * (up + down);
        let odd = |up: f64, down: f64| 0.5 * (up - down);
        let (v_even, v_odd) = (even(hi, lo) - 1.0, odd(hi, lo));
        let (d_up, d_down) = (log_hi * hi, -log_lo * lo);
        let (d_odd, d_even) = (even(d_up, d_down), odd(d_up, d_down));
        let (c_up, c_down) = (log_hi * log_hi * hi, log_lo * log_lo * lo);
        let (c_even, c_odd) = (even(c_up, c_down), odd(c_up, c_down));
        let polynomial = [
            (15.0 * v_odd - 7.0 * d_odd + c_odd) / 8.0,
            (24.0 * v_even - 9.0 * d_even + c_even) / 8.0,
            (-5.0 * v_odd + 5.0 * d_odd - c_odd) / 4.0,
            (-12.0 * v_even + 7.0 * d_even - c_even) / 4.0,
            (3.0 * v_odd - 3.0 * d_odd + c_odd) / 8.0,
            (8.0 * v_even - 5.0 * d_even + c_even) / 8.0,
        ];
        Self { log_hi, log_lo, polynomial }
    }

    /// Whether up and down go the same way, so that the factor has an extremum.
    pub(super) fn is_bent(&self) -> bool {
        self.log_hi * self.log_lo > 0.0
    }

    /// The factor and its derivative.
    pub(super) fn at(&self, alpha: f64) -> (f64, f64) {
        if alpha >= 1.0 {
            let value = (alpha * self.log_hi).exp();
            return (value, self.log_hi * value);
        }
        if alpha <= -1.0 {
            let value = (-alpha * self.log_lo).exp();
            return (value, -self.log_lo * value);
        }
        let (mut value, mut slope) = (0.0, 0.0);
        for coefficient in self.polynomial.iter().rev() {
            slope = slope * alpha + value;
            value = value * alpha + coefficient;
        }
        (1.0 + alpha * value, value + alpha * slope)
    }
}

/// A shift of one bin: αΔ₊ for α > 1, αΔ₋ for α < −1, and between them α [S + αA (15 + α² (3α² − 10))] with
/// S = ½ (Δ₊ + Δ₋) and A = (Δ₊ − Δ₋)/16 ("code 4p").
#[derive(Debug, Clone)]
pub(super) struct Shift {
    up: f64,
    down: f64,
}

impl Shift {
    pub(super) fn new(lo: f64, nominal: f64, hi: f64) -> Self {
        Self { up: hi - nominal, down: nominal - lo }
    }

    /// As [`Factor::is_bent`].
    pub(super) fn is_bent(&self) -> bool {
        self.up * self.down < 0.0
    }

    /// The shift and its derivative.
    pub(super) fn at(&self, alpha: f64) -> (f64, f64) {
        if alpha > 1.0 {
            return (alpha * self.up, self.up);
        }
        if alpha < -1.0 {
            return (alpha * self.down, self.down);
        }
        let (s, a) = (0.5 * (self.up + self.down), (self.up - self.down) / 16.0);
        let square = alpha * alpha;
        let value = alpha * (s + alpha * a * (15.0 + square * (3.0 * square - 10.0)));
        (value, s + alpha * a * (30.0 + square * (18.0 * square - 40.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Factor, Shift};

    #[test]
    fn a_factor_joins_its_exponentials_and_has_known_values() {
        let factor = Factor::new(0.9, 1.12);
        assert!((factor.at(0.5).0 - 1.057_900_33).abs() < 1e-8);
        assert!((factor.at(-0.5).0 - 0.948_259_31).abs() < 1e-8);
        assert_eq!(factor.at(0.0).0, 1.0);
        for edge in [1.0, -1.0] {
            let (inside, outside) = (factor.at(edge * (1.0 - 1e-9)), factor.at(edge * (1.0 + 1e-9)));
            assert!((inside.0 - outside.0).abs() < 1e-8 && (inside.1 - outside.1).abs() < 1e-8);
        }
    }

    #[test]
    fn derivatives_are_those_of_the_values() {
        let (factor, shift) = (Factor::new(0.7, 1.5), Shift::new(8.0, 10.0, 15.0));
        for alpha in [-2.5, -0.8, -0.1, 0.0, 0.4, 0.9, 3.0] {
            let (h, below, above) = (1e-6, alpha - 1e-6, alpha + 1e-6);
            let numerical = (factor.at(above).0 - factor.at(below).0) / (2.0 * h);
            assert!((numerical - factor.at(alpha).1).abs() < 1e-8, "{alpha}");
            let numerical = (shift.at(above).0 - shift.at(below).0) / (2.0 * h);
            assert!((numerical - shift.at(alpha).1).abs() < 1e-8, "{alpha}");
        }
    }
}
