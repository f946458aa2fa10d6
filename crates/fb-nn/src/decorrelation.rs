//! Distance correlation of the score with another variable of an event, as a penalty of a training (DisCo,
//! arXiv:2001.05310, eqs. 2 to 5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a score shall not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decorrelate {
    /// The variable: a column or an expression.
    pub against: String,
    /// λ, what the penalty λ·dCor² is multiplied by beside the cross entropy.
    pub strength: f64,
    /// The class whose events count, background by default.
    #[serde(default)]
    pub class: u32,
}

/// |x_i − x_j| between all events, with the weighted mean of each row.
struct Distances {
    rows: Vec<f64>,
    mean: f64,
}

impl Distances {
    /// `p` are shares of the weights, of sum one.
    fn new(x: &[f64], p: &[f64]) -> Self {
        let row = |a: &f64| x.iter().zip(p).map(|(b, p)| p * (a - b).abs()).sum::<f64>();
        let rows: Vec<f64> = x.iter().map(row).collect();
        let mean = rows.iter().zip(p).map(|(r, p)| r * p).sum();
        Self { rows, mean }
    }

    /// |x_i − x_j| without the means of row and column.
    fn centred(&self, x: &[f64], i: usize, j: usize) -> f64 {
        (x[i] - x[j]).abs() - self.rows[i] - self.rows[j] + self.mean
    }
}

/// dCor²(s, m) = Σ p_i p_j A_ij B_ij / √(Σ p_i p_j A_ij² · Σ p_i p_j B_ij²) of scores s and a variable m, with A and B their
/// centred distances and p the shares of the weights, and its gradient in the scores. Zero, if one of the two does not vary.
pub(crate) fn distance_correlation(scores: &[f64], variable: &[f64], weights: &[f64]) -> (f64, Vec<f64>) {
    let n = scores.len();
    let sum: f64 = weights.iter().sum();
    let p: Vec<f64> = weights.iter().map(|w| w / sum).collect();
    let (a, b) = (Distances::new(variable, &p), Distances::new(scores, &p));
    let (mut covariance, mut variance_a, mut variance_b) = (0.0, 0.0, 0.0);
    // Σ_j p_j A_ij sign(s_i − s_j), and the same of B.
    let mut slopes = vec![[0.0; 2]; n];
    for i in 0..n {
        let mut own = [0.0; 2];
        for j in 0..i {
            let (x, y) = (a.centred(variable, i, j), b.centred(scores, i, j));
            let pair = 2.0 * p[i] * p[j];
            covariance += pair * x * y;
            variance_a += pair * x * x;
            variance_b += pair * y * y;
            let sign = f64::from(i8::from(scores[i] > scores[j]) - i8::from(scores[i] < scores[j]));
            own[0] += p[j] * x * sign;
            own[1] += p[j] * y * sign;
            slopes[j][0] -= p[i] * x * sign;
            slopes[j][1] -= p[i] * y * sign;
        }
        slopes[i][0] += own[0];
        slopes[i][1] += own[1];
        // An event and itself.
        let (x, y) = (a.centred(variable, i, i), b.centred(scores, i, i));
        covariance += p[i] * p[i] * x * y;
        variance_a += p[i] * p[i] * x * x;
        variance_b += p[i] * p[i] * y * y;
    }
    let norm = (variance_a * variance_b).sqrt();
    if !(norm > 0.0 && norm.is_finite()) {
        return (0.0, vec![0.0; n]);
    }
    let value = covariance / norm;
    let gradient = slopes.iter().zip(&p).map(|([of_a, of_b], p)| {
        let (covariance, variance) = (2.0 * p * of_a, 4.0 * p * of_b);
        covariance / norm - 0.5 * value * variance / variance_b
    });
    (value, gradient.collect())
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::distance_correlation;

    fn sample(n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut random = Philox::new(5, 0, 0);
        let m: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let s = m.iter().map(|m| 0.5 * m + random.normal()).collect();
        (s, m, (0..n).map(|_| 0.5 + random.uniform()).collect())
    }

    #[test]
    fn it_is_one_for_a_line_and_small_for_chance() {
        let (s, m, w) = sample(400);
        let line: Vec<f64> = m.iter().map(|m| 3.0 - 2.0 * m).collect();
        assert!((distance_correlation(&line, &m, &w).0 - 1.0).abs() < 1e-12);
        let correlated = distance_correlation(&s, &m, &vec![1.0; 400]).0;
        let mut shuffled = m.clone();
        let order = Philox::new(9, 0, 0).permutation(400);
        shuffled.iter_mut().zip(order).for_each(|(x, i)| *x = m[i]);
        let chance = distance_correlation(&s, &shuffled, &vec![1.0; 400]).0;
        assert!(correlated > 0.1 && chance < 0.03, "{correlated} {chance}");
        assert_eq!(distance_correlation(&[1.0; 10], &m[..10], &w[..10]).0, 0.0);
    }

    #[test]
    fn it_is_that_of_its_definition() {
        // Three events of weight one: A and B written out.
        let (s, m) = ([0.0, 1.0, 3.0], [0.0, 2.0, 1.0]);
        let centred = |x: &[f64; 3]| {
            let d = |i: usize, j: usize| (x[i] - x[j]).abs();
            let row = |i: usize| (0..3).map(|j| d(i, j)).sum::<f64>() / 3.0;
            let all = (0..3).map(row).sum::<f64>() / 3.0;
            std::array::from_fn::<f64, 9, _>(|k| d(k / 3, k % 3) - row(k / 3) - row(k % 3) + all)
        };
        let (a, b) = (centred(&m), centred(&s));
        let dot = |x: &[f64; 9], y: &[f64; 9]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let expected = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!((distance_correlation(&s, &m, &[1.0; 3]).0 - expected).abs() < 1e-14);
    }

    #[test]
    fn its_gradient_is_that_of_differences() {
        let (s, m, w) = sample(40);
        let (_, gradient) = distance_correlation(&s, &m, &w);
        for i in 0..40 {
            let at = |d: f64| {
                let mut moved = s.clone();
                moved[i] += d;
                distance_correlation(&moved, &m, &w).0
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((slope - gradient[i]).abs() < 1e-8, "{i}: {slope} {}", gradient[i]);
        }
    }
}
