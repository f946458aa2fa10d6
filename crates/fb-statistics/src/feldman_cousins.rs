//! Intervals by the ordering of likelihood ratios, which pass from upper limits to two-sided intervals by themselves.
//!
//! Source: G. J. Feldman and R. D. Cousins, physics/9711021.

/// The interval of the mean μ ≥ 0 of a signal, where `seen` events were counted over a known `background`, at this
/// `level` of confidence: all μ for which the counts n of larger R = P(n | μ + b)/P(n | max(0, n − b) + b) have a
/// probability below the level (section IV B). A gap among them is part of the interval.
///
/// As counts are whole, the upper end can rise with the background; it is the highest of all larger backgrounds, up to three
/// events more, in steps of 0.0005 where it rises (end of section IV B). Else ends are found to 1e-7.
pub fn counting(seen: u32, background: f64, level: f64) -> (f64, f64) {
    let best = (f64::from(seen) - background).max(0.0);
    // Nothing beyond is accepted at any level below 1 − 1e-9.
    let reach = 6.5 * (f64::from(seen) + background + 1.0).sqrt() + 20.0;
    let step = 0.005 * (1.0 + (f64::from(seen) + background).sqrt());
    let edge = |background: f64, mut outside: f64, mut inside: f64| {
        while (outside - inside).abs() > 1e-7 * (1.0 + inside) {
            let middle = f64::midpoint(outside, inside);
            if is_accepted(seen, background, middle, level) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        inside
    };
    // From far below and far above towards the best value, which is accepted at any level.
    let towards = |from: f64| {
        let steps = ((from - best).abs() / step).ceil() as usize;
        let at = |k: usize| from + (best - from) * k as f64 / steps.max(1) as f64;
        match (0..=steps).find(|&k| is_accepted(seen, background, at(k), level)) {
            Some(0) => from,
            Some(k) => edge(background, at(k - 1), at(k)),
            None => best,
        }
    };
    let (low, mut high) = (towards((best - reach).max(0.0)), towards(best + reach));
    // Just below where the upper end rises with the background there is a gap, so it is looked for from above.
    let rise = |background: f64, high: f64, step: f64| {
        let at = |k: u32| high + step * f64::from(k);
        let found = (1..=60).rev().find(|&k| is_accepted(seen, background, at(k), level));
        found.map(|k| edge(background, at(k + 1), at(k)))
    };
    for k in 1..=300 {
        let more = |part: f64| background + 0.01 * (f64::from(k) - 1.0 + part);
        if let Some(found) = rise(more(1.0), high, step) {
            // It is highest at the very place where it rises, on an island that is narrow there.
            high = found;
            for part in (1..=20).map(|i| 0.05 * f64::from(i)) {
                high = rise(more(part), high, 0.02 * step).unwrap_or(high);
            }
        }
    }
    (low, high)
}

/// Whether counts that are likelier in the ordering have less than `level` between them.
fn is_accepted(seen: u32, background: f64, mu: f64, level: f64) -> bool {
    let mean = mu + background;
    let log_p = |n: f64, mean: f64| {
        if mean > 0.0 {
            n * mean.ln() - mean
        } else if n == 0.0 {
            0.0
        } else {
            f64::NEG_INFINITY
        }
    };
    let log_ratio = |n: f64| log_p(n, mean) - log_p(n, n.max(background));
    let mine = log_ratio(f64::from(seen));
    if mine == f64::NEG_INFINITY {
        return false;
    }
    let most = mean + 9.0 * mean.sqrt() + 25.0;
    let least = (mean - 9.0 * mean.sqrt()).max(0.0);
    let mut sum = 0.0;
    for n in least as u64..=most as u64 {
        let n = n as f64;
        // What differs by rounding is the same.
        if log_ratio(n) > mine + 1e-12 {
            sum += (log_p(n, mean) - libm::lgamma(n + 1.0)).exp();
        }
    }
    sum < level
}

#[cfg(test)]
mod tests {
    use super::counting;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Table IV of the paper, 90%.
        let no_background = [
            (0.0, 2.44),
            (0.11, 4.36),
            (0.53, 5.91),
            (1.10, 7.42),
            (1.47, 8.60),
            (1.84, 9.99),
            (2.21, 11.47),
            (3.56, 12.53),
            (3.96, 13.99),
            (4.36, 15.30),
            (5.50, 16.50),
        ];
        let three = [
            (0.0, 1.08),
            (0.0, 1.88),
            (0.0, 3.04),
            (0.0, 4.42),
            (0.0, 5.60),
            (0.0, 6.99),
            (0.15, 8.47),
            (0.89, 9.53),
            (1.51, 10.99),
            (1.88, 12.30),
            (2.63, 13.50),
        ];
        for (background, table) in [(0.0, no_background), (3.0, three)] {
            for (seen, (low, high)) in (0..).zip(table) {
                let found = counting(seen, background, 0.9);
                // The tables have steps of 0.005 and two digits.
                let same = (found.0 - low).abs() < 0.008 && (found.1 - high).abs() < 0.008;
                assert!(same, "{background}, {seen}: {found:?} against {low}, {high}");
            }
        }
    }
}
