//! Weighted histograms in one dimension.

/// Contents and variances of bins; what falls outside is kept apart.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Histogram {
    /// Bins + 1 edges.
    pub edges: Vec<f64>,
    /// Σw of each bin.
    pub contents: Vec<f64>,
    /// Σw² of each bin.
    pub variances: Vec<f64>,
    /// Σw below the first and from the last edge on; NaN counts as above.
    pub flows: [f64; 2],
}

impl Histogram {
    /// Empty, with `bins` equal bins.
    pub fn uniform(bins: usize, low: f64, high: f64) -> Self {
        let edges = (0..=bins).map(|i| low + (high - low) * i as f64 / bins as f64).collect();
        Self::with_edges(edges)
    }

    /// Empty, with rising edges.
    pub fn with_edges(edges: Vec<f64>) -> Self {
        let bins = edges.len().saturating_sub(1);
        Self { edges, contents: vec![0.0; bins], variances: vec![0.0; bins], flows: [0.0; 2] }
    }

    /// Adds an event.
    pub fn fill(&mut self, x: f64, weight: f64) {
        let bin = self.edges.partition_point(|&e| e <= x);
        if bin == 0 && !x.is_nan() {
            self.flows[0] += weight;
        } else if bin == 0 || bin >= self.edges.len() {
            self.flows[1] += weight;
        } else {
            self.contents[bin - 1] += weight;
            self.variances[bin - 1] += weight * weight;
        }
    }

    /// Σw over all bins and flows.
    pub fn sum(&self) -> f64 {
        self.contents.iter().sum::<f64>() + self.flows[0] + self.flows[1]
    }

    /// The median and half the width that holds the central 68% of what is in the bins, negative contents left out.
    pub fn peak(&self) -> (f64, f64) {
        let sum: f64 = self.contents.iter().map(|c| c.max(0.0)).sum();
        let at = |share: f64| {
            let mut left = share * sum;
            for (edges, content) in self.edges.windows(2).zip(&self.contents) {
                if *content > 0.0 && left <= *content {
                    return edges[0] + (edges[1] - edges[0]) * left / content;
                }
                left -= content.max(0.0);
            }
            self.edges[self.edges.len() - 1]
        };
        (at(0.5), 0.5 * (at(0.841_345) - at(0.158_655)))
    }

    /// Divided by the sum of its weights and its bin widths.
    #[must_use]
    pub fn density(mut self) -> Self {
        let sum = self.sum();
        for (i, edges) in self.edges.windows(2).enumerate() {
            let unit = sum * (edges[1] - edges[0]);
            if unit != 0.0 {
                self.contents[i] /= unit;
                self.variances[i] /= unit * unit;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_with_signed_weights_and_flows() {
        let mut h = Histogram::uniform(2, 0.0, 2.0);
        for (x, w) in [(0.0, 2.0), (0.5, -1.0), (1.0, 3.0), (2.0, 4.0), (-1.0, 5.0), (f64::NAN, 1.0)] {
            h.fill(x, w);
        }
        assert_eq!((h.contents.clone(), h.variances.clone(), h.flows), (vec![1.0, 3.0], vec![5.0, 9.0], [5.0, 5.0]));
        assert_eq!(h.sum(), 14.0);
        assert!((h.density().contents[1] - 3.0 / 14.0).abs() < 1e-15);
    }
}
