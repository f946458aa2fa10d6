//! Minimisation by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno, with a line search for the strong
//! conditions of Wolfe (Nocedal and Wright, Numerical Optimization, algorithms 7.4, 7.5, 3.5 and 3.6).

use std::collections::VecDeque;

use crate::kernels::dot;
use crate::least_squares::Least;

/// Pairs of steps and changes of the gradient that are kept.
const HISTORY: usize = 50;
/// The share of the first slope by which the value is to fall.
const DECREASE: f64 = 1e-4;
/// The share of the first slope that may be left.
const CURVATURE: f64 = 0.9;

/// The value and the gradient at a place.
pub type Function<'a> = dyn FnMut(&[f64], &mut Vec<f64>) -> f64 + 'a;

/// A point of a line: how far, the value and the slope there.
#[derive(Debug, Clone, Copy)]
struct On {
    t: f64,
    value: f64,
    slope: f64,
}

/// Goes down from `x` for at most `steps` steps, or until the gradient or what a step gains is lost in rounding.
pub fn minimise(function: &mut Function, mut x: Vec<f64>, steps: usize) -> Least {
    let mut gradient = Vec::new();
    let mut value = function(&x, &mut gradient);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    let mut history = vec![value];
    for _ in 0..steps {
        let mut direction = direction(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        if !value.is_finite() || slope == 0.0 || !slope.is_finite() {
            return Least { x, cost: value, history };
        }
        let first = if pairs.is_empty() { (1.0 / slope.abs().sqrt()).min(1.0) } else { 1.0 };
        let start = On { t: 0.0, value, slope };
        let mut line =
            Line { function: &mut *function, from: &x, direction: &direction, x: Vec::new(), gradient: Vec::new() };
        let Some(end) = line.search(start, first) else {
            if pairs.is_empty() {
                return Least { x, cost: value, history };
            }
            // The curvatures mislead: once more along the gradient.
            pairs.clear();
            continue;
        };
        line.at(end.t);
        let (next, next_gradient) = (line.x, line.gradient);
        let moved: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&moved, &turned) > 1e-16 * dot(&turned, &turned).sqrt() * dot(&moved, &moved).sqrt() {
            pairs.push_back((moved, turned));
            if pairs.len() > HISTORY {
                pairs.pop_front();
            }
        }
        let gained = value - end.value;
        (x, gradient, value) = (next, next_gradient, end.value);
        history.push(value);
        if gained <= f64::EPSILON * value.abs() {
            break;
        }
    }
    Least { x, cost: value, history }
}

/// −H g by the two loops over the pairs.
fn direction(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (s, y) in pairs.iter().rev() {
        let share = dot(s, &q) / dot(s, y);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= share * y);
        shares.push(share);
    }
    if let Some((s, y)) = pairs.back() {
        let scale = dot(s, y) / dot(y, y);
        for q in &mut q {
            *q *= scale;
        }
    }
    for ((s, y), share) in pairs.iter().zip(shares.into_iter().rev()) {
        let other = dot(y, &q) / dot(s, y);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += (share - other) * s);
    }
    q
}

struct Line<'a, 'f> {
    function: &'a mut Function<'f>,
    from: &'a [f64],
    direction: &'a [f64],
    x: Vec<f64>,
    gradient: Vec<f64>,
}

impl Line<'_, '_> {
    fn at(&mut self, t: f64) -> On {
        self.x = self.from.iter().zip(self.direction).map(|(x, d)| x + t * d).collect();
        let value = (self.function)(&self.x, &mut self.gradient);
        On { t, value, slope: dot(&self.gradient, self.direction) }
    }

    /// A step that satisfies the strong conditions of Wolfe, or at least lowers the value.
    fn search(&mut self, start: On, first: f64) -> Option<On> {
        let (mut before, mut t) = (start, first);
        for trial in 0..20 {
            let here = self.at(t);
            if !here.value.is_finite() || !here.slope.is_finite() {
                // Halfway back to where the function is a number.
                t = 0.5 * (before.t + t);
                continue;
            }
            if here.value > start.value + DECREASE * t * start.slope || (trial > 0 && here.value >= before.value) {
                return self.zoom(start, before, here);
            }
            if here.slope.abs() <= -CURVATURE * start.slope {
                return Some(here);
            }
            if here.slope >= 0.0 {
                return self.zoom(start, here, before);
            }
            before = here;
            t *= 2.0;
        }
        (before.t > 0.0).then_some(before)
    }

    /// Narrows the stretch between a low end and another until the conditions hold.
    fn zoom(&mut self, start: On, mut low: On, mut high: On) -> Option<On> {
        for _ in 0..30 {
            let t = between(low, high);
            let here = self.at(t);
            if !here.value.is_finite()
                || here.value > start.value + DECREASE * t * start.slope
                || here.value >= low.value
            {
                high = here;
            } else {
                if here.slope.abs() <= -CURVATURE * start.slope {
                    return Some(here);
                }
                if here.slope * (high.t - low.t) >= 0.0 {
                    high = low;
                }
                low = here;
            }
            if (high.t - low.t).abs() <= 1e-14 * high.t.abs().max(low.t.abs()) {
                break;
            }
        }
        (low.t > 0.0 && low.value < start.value).then_some(low)
    }
}

/// The minimum of the cubic polynomial through two points with their slopes, kept off the ends.
fn between(a: On, b: On) -> f64 {
    let width = b.t - a.t;
    let d1 = a.slope + b.slope - 3.0 * (b.value - a.value) / width;
    let square = d1 * d1 - a.slope * b.slope;
    let d2 = square.max(0.0).sqrt().copysign(width);
    let t = b.t - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    let (low, high) = (a.t + 0.1 * width, a.t + 0.9 * width);
    let inside = (low.min(high)..=low.max(high)).contains(&t) && square >= 0.0;
    if inside { t } else { a.t + 0.5 * width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_followed() {
        let n = 10;
        let mut valley = |x: &[f64], gradient: &mut Vec<f64>| {
            gradient.clear();
            gradient.resize(n, 0.0);
            let mut value = 0.0;
            for i in 0..n - 1 {
                let (bend, rest) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
                value += 100.0 * bend * bend + rest * rest;
                gradient[i] += -400.0 * x[i] * bend - 2.0 * rest;
                gradient[i + 1] += 200.0 * bend;
            }
            value
        };
        let least = minimise(&mut valley, vec![-1.2; n], 500);
        assert!(least.x.iter().all(|x| (x - 1.0).abs() < 1e-7) && least.history.len() < 200, "{least:?}");
    }

    #[test]
    fn steps_back_into_where_the_function_is_a_number() {
        // x − ln x has its minimum at one, and the first step goes beyond zero.
        let mut function = |x: &[f64], gradient: &mut Vec<f64>| {
            *gradient = vec![1.0 - 1.0 / x[0]];
            x[0] - x[0].ln()
        };
        let least = minimise(&mut function, vec![30.0], 100);
        assert!((least.x[0] - 1.0).abs() < 1e-6, "{least:?}");
    }
}
