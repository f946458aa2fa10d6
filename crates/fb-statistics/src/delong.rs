//! Error of the area under the ROC curve and covariance of two of them, without replicas
//! (DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988) 837; fast form: Sun, Xu, IEEE SPL 21 (2014) 1389).
//!
//! For unweighted events; weighted ones use the bootstrap.

use fb_core::{Error, Result};

/// Areas of several classifiers on the same events, and the covariance matrix of the areas.
pub fn areas(scores: &[&[f64]], signal: &[bool]) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let m = signal.iter().filter(|&&s| s).count();
    let n = signal.len() - m;
    if m < 2 || n < 2 {
        let hint = "at least two events of each class are needed".to_owned();
        return Err(Error::Empty { what: "a class".to_owned(), hint });
    }
    // For each signal event the share of background below it, for each background event that of signal above it.
    let mut of_signal = Vec::new();
    let mut of_background = Vec::new();
    let mut areas = Vec::new();
    for scores in scores {
        let pick = |class: bool| -> Vec<f64> {
            scores.iter().zip(signal).filter(|(_, s)| **s == class).map(|(x, _)| *x).collect()
        };
        let (x, y) = (pick(true), pick(false));
        let all: Vec<f64> = x.iter().chain(&y).copied().collect();
        let (ranks, ranks_x, ranks_y) = (midranks(&all), midranks(&x), midranks(&y));
        let v10: Vec<f64> = (0..m).map(|i| (ranks[i] - ranks_x[i]) / n as f64).collect();
        let v01: Vec<f64> = (0..n).map(|j| 1.0 - (ranks[m + j] - ranks_y[j]) / m as f64).collect();
        areas.push(v10.iter().sum::<f64>() / m as f64);
        of_signal.push(v10);
        of_background.push(v01);
    }
    let covariance = |a: &[f64], b: &[f64]| {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>() / (a.len() as f64 - 1.0)
    };
    let matrix = (0..areas.len()).map(|i| {
        (0..areas.len())
            .map(|j| {
                covariance(&of_signal[i], &of_signal[j]) / m as f64
                    + covariance(&of_background[i], &of_background[j]) / n as f64
            })
            .collect()
    });
    let matrix = matrix.collect();
    Ok((areas, matrix))
}

/// Ranks from one; equal numbers share their mean rank.
fn midranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut from = 0;
    while from < order.len() {
        let run = order[from..].iter().take_while(|&&i| x[i] == x[order[from]]).count();
        order[from..from + run].iter().for_each(|&i| ranks[i] = from as f64 + f64::midpoint(run as f64, 1.0));
        from += run;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// Over 500 toys the 68% interval covers the known area, Φ(1/√2), in 68 ± 4% of them.
    #[test]
    fn intervals_cover() {
        let covered = (0..500)
            .filter(|&seed| {
                let mut random = Philox::new(seed, 4, 4);
                let signal: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
                let scores: Vec<f64> = signal.iter().map(|&s| random.normal() + f64::from(u8::from(s))).collect();
                let (areas, covariance) = areas(&[&scores], &signal).unwrap();
                (areas[0] - 0.760_250).abs() < covariance[0][0].sqrt()
            })
            .count();
        assert!((covered as f64 / 500.0 - 0.683).abs() < 0.06, "{covered} of 500");
    }

    #[test]
    fn area_is_that_of_the_curve_and_equal_scores_are_fully_correlated() {
        let mut random = Philox::new(8, 0, 0);
        let signal: Vec<bool> = (0..200).map(|i| i % 3 == 0).collect();
        let scores: Vec<f64> =
            signal.iter().map(|&s| (3.0 * random.normal() + f64::from(u8::from(s))).round()).collect();
        let doubled: Vec<f64> = scores.iter().map(|s| 2.0 * s).collect();
        let (a, c) = areas(&[&scores, &doubled], &signal).unwrap();
        assert!((a[0] - crate::Roc::new(&scores, &signal, &[1.0; 200]).unwrap().auc()).abs() < 1e-12);
        assert!((c[0][0] + c[1][1] - 2.0 * c[0][1]).abs() < 1e-15, "the difference has no error");
    }
}
