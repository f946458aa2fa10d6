//! Optimisers: how a gradient moves the parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::{Real, vector};

/// The rule of the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Gradient descent with momentum 0.9: v = 0.9·v + g, θ = θ − lr·v.
    Sgd,
    /// Adam (arXiv:1412.6980) with β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸; weight decay goes into the gradient.
    #[default]
    Adam,
    /// Adam with decoupled weight decay (arXiv:1711.05101).
    Adamw,
}

/// An optimiser with its moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser<T> {
    rule: Rule,
    weight_decay: f64,
    /// First moments (or the momentum).
    pub first: Vec<T>,
    /// Second moments; empty without them.
    pub second: Vec<T>,
}

impl<T: Real> Optimiser<T> {
    /// A fresh optimiser for `n` parameters.
    pub fn new(rule: Rule, weight_decay: f64, n: usize) -> Self {
        let second = if rule == Rule::Sgd { Vec::new() } else { vec![T::ZERO; n] };
        Self { rule, weight_decay, first: vec![T::ZERO; n], second }
    }

    /// Step number `step` (from one) with learning rate `lr`.
    pub fn step(&mut self, parameters: &mut [T], gradient: &[T], lr: f64, step: u64) {
        let decay = T::of(self.weight_decay);
        let rate = T::of(lr);
        let entries = parameters.iter_mut().zip(gradient).zip(&mut self.first);
        if self.rule == Rule::Sgd {
            let momentum = T::of(0.9);
            vector(
                #[inline(always)]
                || {
                    for ((p, &g), v) in entries {
                        *v = momentum * *v + (g + decay * *p);
                        *p = *p - rate * *v;
                    }
                },
            );
            return;
        }
        let (b1, b2) = (0.9f64, 0.999f64);
        let power = step.min(1 << 30) as i32;
        let correction = (1.0 - b2.powi(power)).sqrt();
        let size = T::of(lr * correction / (1.0 - b1.powi(power)));
        let epsilon = T::of(1e-8 * correction);
        let (b1, c1, b2, c2) = (T::of(b1), T::of(1.0 - b1), T::of(b2), T::of(1.0 - b2));
        // Decoupled decay shrinks the parameter; coupled decay is a part of the gradient.
        let (coupled, decoupled) =
            if self.rule == Rule::Adam { (decay, T::ONE) } else { (T::ZERO, T::ONE - rate * decay) };
        let second = &mut self.second;
        vector(
            #[inline(always)]
            || {
                for (((p, &g), m), v) in entries.zip(second) {
                    let g = g + coupled * *p;
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * (g * g);
                    *p = decoupled * *p - size * *m / (v.sqrt() + epsilon);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule finds the minimum of Σ (θ − target)².
    #[test]
    fn finds_the_minimum_of_a_parabola() {
        for rule in [Rule::Sgd, Rule::Adam, Rule::Adamw] {
            let target = [1.0, -2.0, 0.5];
            let mut parameters = vec![0.0f64; 3];
            let mut optimiser = Optimiser::new(rule, 0.0, 3);
            for step in 1..=800 {
                let gradient: Vec<f64> = parameters.iter().zip(target).map(|(p, t)| 2.0 * (p - t)).collect();
                optimiser.step(&mut parameters, &gradient, 0.02, step);
            }
            assert!(parameters.iter().zip(target).all(|(p, t)| (p - t).abs() < 1e-3), "{rule:?}: {parameters:?}");
        }
    }

    /// One step of Adam by hand: m = 0.1·g, v = 0.001·g², both corrected, gives θ − lr·g/|g|.
    #[test]
    fn first_step_of_adam_has_the_length_of_the_rate() {
        let mut parameters = vec![1.0f64];
        Optimiser::new(Rule::Adam, 0.0, 1).step(&mut parameters, &[4.0], 0.1, 1);
        assert!((parameters[0] - 0.9).abs() < 1e-8);
        let mut parameters = vec![1.0f64];
        Optimiser::new(Rule::Adamw, 0.5, 1).step(&mut parameters, &[4.0], 0.1, 1);
        assert!((parameters[0] - (1.0 - 0.1 * 0.5 - 0.1)).abs() < 1e-8);
    }
}
