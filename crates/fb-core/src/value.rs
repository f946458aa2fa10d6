//! No number without an interval.

use serde::{Deserialize, Serialize};

use crate::Unit;

/// A measured number with its central 68% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The best estimate.
    pub central: f64,
    /// Lower end of the 68% interval.
    pub low: f64,
    /// Upper end of the 68% interval.
    pub high: f64,
    /// The unit; left out of JSON for pure numbers.
    #[serde(default, skip_serializing_if = "is_one")]
    pub unit: Unit,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_one(unit: &Unit) -> bool {
    matches!(unit, Unit::One | Unit::Unknown)
}

impl Value {
    /// A value with its interval.
    pub fn new(central: f64, low: f64, high: f64) -> Self {
        Self { central, low, high, unit: Unit::One }
    }

    /// A value with a symmetric error.
    pub fn symmetric(central: f64, error: f64) -> Self {
        Self::new(central, central - error, central + error)
    }

    /// Half the width of the interval.
    pub fn error(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

impl std::fmt::Display for Value {
    /// Central value and error to two digits of the error: `0.9842 ± 0.0011`, `1262 ± 49`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = self.error();
        let digits =
            if error > 0.0 && error.is_finite() { (1.0 - error.log10().floor()).clamp(0.0, 9.0) as usize } else { 4 };
        let unit = self.unit.symbol();
        let space = if unit.is_empty() { "" } else { " " };
        write!(f, "{:.digits$} ± {:.digits$}{space}{unit}", self.central, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_keeps_two_digits_of_the_error() {
        assert_eq!(Value::symmetric(0.98421, 0.00113).to_string(), "0.9842 ± 0.0011");
        assert_eq!(Value::symmetric(1262.3, 49.0).to_string(), "1262 ± 49");
    }
}
