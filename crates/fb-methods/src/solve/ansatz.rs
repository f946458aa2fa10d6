//! Conditions that hold by construction.
//!
//! A condition on φ or one of its derivatives by xᵢ where xᵢ = a is a functional L with data κ. With the operators
//! P_i f = Σ_k β_k(xᵢ) L_k f, where L_j β_k = δ_jk, every function
//! φ = N + [1 − Π_i (1 − P_i)] (κ − N) has all these values, whatever N is: the transfinite blend of Coons and Gordon, with
//! data in place of the function that is sought (Leake and Mortari, arXiv:1812.11571, in one dimension). Other
//! conditions (of Robin, periodic, integrals) stay residuals.

use fb_nn::taylor::{MOST_VARIABLES, Order};
use fb_physics::calculus::Formula;

use super::language::{Argument, Form, Place};

/// D^order by one variable of one unknown where that variable has a value.
#[derive(Debug, Clone)]
struct Hard {
    position: f64,
    order: u8,
    data: Data,
    /// β in powers of (x − centre)/half width.
    blend: Vec<f64>,
}

/// −F(x, 0)/slope of a condition F(x, u) = slope·u + F(x, 0).
#[derive(Debug, Clone)]
struct Data {
    formula: Formula,
    slope: f64,
    coordinates: usize,
}

impl Data {
    /// A derivative up to the second, at a point.
    fn derivative(&self, point: &[f64], order: Order) -> f64 {
        let mut inputs = point[..self.coordinates].to_vec();
        inputs.push(0.0);
        let n = inputs.len();
        let mut at = self.formula.evaluator();
        let which: Vec<usize> =
            order.iter().enumerate().flat_map(|(i, &k)| std::iter::repeat_n(i, usize::from(k))).collect();
        let value = at.second(&inputs);
        let found = match which[..] {
            [] => value,
            [i] => at.gradient()[i],
            [i, j] => at.hessian()[i * n + j],
            _ => f64::NAN,
        };
        -found / self.slope
    }
}

/// A term of an expansion: factor, point, derivative.
pub(super) type Term = (f64, [f64; MOST_VARIABLES], Order);

/// How the unknowns follow from functions that are free.
#[derive(Debug, Clone)]
pub(super) struct Ansatz {
    domain: Vec<(f64, f64)>,
    /// By unknown and variable.
    hard: Vec<Vec<Vec<Hard>>>,
}

/// A condition: its form, and the variables that it leaves free.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub form: usize,
    pub free: Vec<bool>,
    pub text: String,
}

impl Ansatz {
    /// Unknowns that are free themselves.
    pub fn free(unknowns: usize, domain: &[(f64, f64)]) -> Self {
        Self { domain: domain.to_vec(), hard: vec![vec![Vec::new(); domain.len()]; unknowns] }
    }

    /// Builds in those conditions that can be, and says which; `most` is the highest total order of a derivative.
    pub fn new(
        unknowns: usize,
        domain: &[(f64, f64)],
        forms: &[Form],
        conditions: &[Condition],
        most: u8,
    ) -> (Self, Vec<bool>) {
        let mut ansatz = Self::free(unknowns, domain);
        let mut taken = vec![false; conditions.len()];
        for (condition, taken) in conditions.iter().zip(&mut taken) {
            let Some((unknown, variable, hard)) = kind(&forms[condition.form], domain, most) else { continue };
            let mut tried = ansatz.clone();
            let own = &mut tried.hard[unknown][variable];
            if own.iter().any(|other| other.position == hard.position && other.order == hard.order) {
                continue;
            }
            own.push(hard);
            if blend(own, domain[variable]) && tried.agrees(unknown, variable) {
                ansatz = tried;
                *taken = true;
            }
        }
        (ansatz, taken)
    }

    pub fn unknowns(&self) -> usize {
        self.hard.len()
    }

    /// Whether the newest condition by one variable and all by others have the same data where they meet.
    fn agrees(&self, unknown: usize, variable: usize) -> bool {
        let Some(new) = self.hard[unknown][variable].last() else { return true };
        let others = self.hard[unknown].iter().enumerate().filter(|(other, _)| *other != variable);
        let mut pairs = others.flat_map(|(other, all)| all.iter().map(move |hard| (other, hard)));
        pairs.all(|(other, hard)| {
            (1..8).all(|k| {
                let mut point = [0.0; MOST_VARIABLES];
                for (i, (x, (low, high))) in point.iter_mut().zip(&self.domain).enumerate() {
                    *x = low + (high - low) * ((f64::from(k) * [0.381_966, 0.754_878, 0.569_84, 0.438_58][i]) % 1.0);
                }
                point[variable] = new.position;
                point[other] = hard.position;
                let by = |i: usize, k: u8| {
                    let mut order = [0; MOST_VARIABLES];
                    order[i] = k;
                    order
                };
                let a = new.data.derivative(&point, by(other, hard.order));
                let b = hard.data.derivative(&point, by(variable, new.order));
                (a - b).abs() <= 1e-9 * (1.0 + a.abs() + b.abs())
            })
        })
    }

    /// D^order φ at a point: a number and derivatives of the free function.
    pub fn expand(&self, unknown: usize, order: Order, point: &[f64; MOST_VARIABLES]) -> (f64, Vec<Term>) {
        let (mut constant, mut terms) = (0.0, vec![(1.0, *point, order, None::<(usize, &Data)>)]);
        for (i, all) in self.hard[unknown].iter().enumerate() {
            let (low, high) = self.domain[i];
            for at in 0..terms.len() {
                let (factor, point, order, data) = terms[at];
                for hard in all {
                    let share = factor * polynomial(&hard.blend, order[i], point[i], (low, high));
                    if share == 0.0 {
                        continue;
                    }
                    let (mut point, mut order) = (point, order);
                    point[i] = hard.position;
                    order[i] = hard.order;
                    terms.push((-share, point, order, Some(data.unwrap_or((i, &hard.data)))));
                }
            }
        }
        for (factor, point, order, data) in &terms {
            if let Some((i, data)) = data {
                // The functional of this variable is the data itself.
                let mut left = *order;
                left[*i] = 0;
                constant -= factor * data.derivative(point, left);
            }
        }
        (constant, terms.into_iter().map(|(factor, point, order, _)| (factor, point, order)).collect())
    }

    /// The derivatives of the free functions that [`Self::expand`] may ask for.
    pub fn orders(&self, wanted: &[Order]) -> Vec<Order> {
        let mut all = wanted.to_vec();
        for hard in &self.hard {
            for (i, faces) in hard.iter().enumerate() {
                for at in 0..all.len() {
                    let order = all[at];
                    all.extend(faces.iter().map(|face| {
                        let mut order = order;
                        order[i] = face.order;
                        order
                    }));
                }
                all.sort_unstable();
                all.dedup();
            }
        }
        all
    }
}

/// Unknown, variable and functional of a condition that can be built in.
fn kind(form: &Form, domain: &[(f64, f64)], most: u8) -> Option<(usize, usize, Hard)> {
    let [Argument::Value { unknown, order, place }] = &form.arguments[..] else { return None };
    let fixed: Vec<(usize, f64)> = place
        .iter()
        .enumerate()
        .filter_map(|(i, place)| if let Place::Constant(x) = place { Some((i, *x)) } else { None })
        .collect();
    let [(variable, position)] = fixed[..] else { return None };
    let (low, high) = domain[variable];
    let others = place.iter().enumerate().all(|(i, place)| match place {
        Place::Coordinate(slot) => *slot == i,
        Place::Constant(_) => true,
        Place::Formula(_) => false,
    });
    let across = order.iter().enumerate().any(|(i, k)| i != variable && *k > 0);
    // Beyond second derivatives of the data there is no exact formula: with more than one variable, and high orders.
    if !others || across || !(low..=high).contains(&position) || (domain.len() > 1 && most.max(order[variable]) > 2) {
        return None;
    }
    // Linear in the unknown, with a slope that is the same everywhere?
    let mut at = form.formula.evaluator();
    let mut slope = None;
    for k in 0..12 {
        let share = |i: usize| (f64::from(k) * [0.618_034, 0.754_878, 0.819_17, 0.380_36][i] + 0.05) % 1.0;
        let mut inputs: Vec<f64> = domain.iter().enumerate().map(|(i, (a, b))| a + (b - a) * share(i)).collect();
        inputs[variable] = position;
        inputs.push(f64::from(k) - 4.7);
        at.second(&inputs);
        let n = inputs.len();
        let found = at.gradient()[n - 1];
        let known = *slope.get_or_insert(found);
        let curved = at.hessian().iter().skip((n - 1) * n).any(|h| h.abs() > 1e-12 * (1.0 + found.abs()));
        if curved || found == 0.0 || (found - known).abs() > 1e-12 * found.abs() {
            return None;
        }
        let smooth = at.gradient().iter().chain(at.hessian()).all(|x| x.is_finite());
        if !smooth {
            return None;
        }
    }
    let data = Data { formula: form.formula.clone(), slope: slope?, coordinates: domain.len() };
    Some((*unknown, variable, Hard { position, order: order[variable], data, blend: Vec::new() }))
}

/// The polynomials β; false if there are none.
fn blend(all: &mut [Hard], domain: (f64, f64)) -> bool {
    let n = all.len();
    let lowest = all.iter().map(|hard| usize::from(hard.order)).min().unwrap_or(0);
    let row = |hard: &Hard| -> Vec<f64> {
        (0..n)
            .map(|j| {
                let mut unit = vec![0.0; lowest + j + 1];
                unit[lowest + j] = 1.0;
                polynomial(&unit, hard.order, hard.position, domain)
            })
            .collect()
    };
    let mut matrix: Vec<Vec<f64>> = all.iter().map(row).collect();
    let mut inverse: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for column in 0..n {
        let size = |i: &usize| matrix[*i][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        let largest = matrix[pivot].iter().fold(0.0f64, |a, x| a.max(x.abs()));
        if size(&pivot) <= 1e-10 * largest.max(f64::MIN_POSITIVE) {
            return false;
        }
        matrix.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = 1.0 / matrix[column][column];
        matrix[column].iter_mut().chain(&mut inverse[column]).for_each(|x| *x *= scale);
        for i in (0..n).filter(|i| *i != column) {
            let factor = matrix[i][column];
            let (own, other) = (matrix[column].clone(), inverse[column].clone());
            matrix[i].iter_mut().zip(own).for_each(|(x, y)| *x -= factor * y);
            inverse[i].iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
        }
    }
    for (k, hard) in all.iter_mut().enumerate() {
        hard.blend = vec![0.0; lowest];
        hard.blend.extend(inverse.iter().map(|row| row[k]));
    }
    true
}

/// A derivative of Σ cⱼ zʲ by x, z = (x − centre)/half width.
fn polynomial(coefficients: &[f64], order: u8, x: f64, (low, high): (f64, f64)) -> f64 {
    let half = 0.5 * (high - low);
    let z = (x - 0.5 * (low + high)) / half;
    let order = usize::from(order);
    let mut sum = 0.0;
    for (j, c) in coefficients.iter().enumerate().skip(order).rev() {
        let falling: f64 = (j - order + 1..=j).map(|k| k as f64).product();
        sum = sum * z + c * falling;
    }
    sum / half.powi(order as i32)
}

/// Whether two conditions fix the same derivative at the same place to different numbers.
pub(super) fn contradict(a: &Form, b: &Form) -> bool {
    let ([Argument::Value { unknown, order, place }], [Argument::Value { unknown: u, order: o, place: p }]) =
        (&a.arguments[..], &b.arguments[..])
    else {
        return false;
    };
    let same = place.iter().zip(p).all(|pair| match pair {
        (Place::Constant(x), Place::Constant(y)) => x == y,
        (Place::Coordinate(i), Place::Coordinate(j)) => i == j,
        _ => false,
    });
    if unknown != u || order != o || !same {
        return false;
    }
    // Lines c·u + d at some point: do they vanish at different places?
    (0..3).any(|k| {
        let root = |form: &Form| {
            let mut inputs = vec![0.3 + 0.2 * f64::from(k); form.coordinates];
            inputs.push(0.0);
            let mut at = form.formula.evaluator();
            let value = at.first(&inputs);
            let slope = at.gradient()[form.coordinates];
            inputs[form.coordinates] = 1.0;
            let linear = (at.value(&inputs) - value - slope).abs() <= 1e-12 * slope.abs();
            (linear && slope != 0.0).then(|| -value / slope)
        };
        root(a).zip(root(b)).is_some_and(|(x, y)| (x - y).abs() > 1e-9 * (1.0 + x.abs() + y.abs()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Equations, Problem};
    use super::*;

    /// Conditions on a square, some unknown beneath: which are built in, and what is left of them for a wild free function.
    fn built(conditions: &[&str]) -> (Vec<bool>, f64) {
        let problem = Problem::new(&Equations {
            variables: vec![("x".to_owned(), [0.0, 1.0]), ("y".to_owned(), [-1.0, 2.0])],
            unknowns: vec!["phi".to_owned()],
            equations: vec!["laplacian(phi) = 0".to_owned()],
            conditions: conditions.iter().map(|&c| c.to_owned()).collect(),
            ..Equations::default()
        })
        .unwrap();
        let (ansatz, hard) = Ansatz::new(1, &problem.domain, &problem.forms, &problem.conditions, 2);
        // N = sin(2x + 3y + 1)
        let wild = |point: &[f64; MOST_VARIABLES], order: &Order| {
            let turned =
                2.0 * point[0] + 3.0 * point[1] + 1.0 + f64::from(order[0] + order[1]) * std::f64::consts::FRAC_PI_2;
            2f64.powi(i32::from(order[0])) * 3f64.powi(i32::from(order[1])) * turned.sin()
        };
        let mut worst = 0.0f64;
        for (condition, _) in problem.conditions.iter().zip(&hard).filter(|(_, hard)| **hard) {
            let form = &problem.forms[condition.form];
            let Argument::Value { order, place, .. } = &form.arguments[0] else { panic!("no value") };
            for t in [0.0, 0.2, 0.7, 1.0] {
                let at = [t, 3.0 * t - 1.0];
                let mut point = [0.0; MOST_VARIABLES];
                for i in 0..2 {
                    point[i] = if let Place::Constant(x) = place[i] { x } else { at[i] };
                }
                let (constant, terms) = ansatz.expand(0, *order, &point);
                let value = constant + terms.iter().map(|(f, p, o)| f * wild(p, o)).sum::<f64>();
                worst = worst.max(form.formula.evaluator().value(&[at[0], at[1], value]).abs());
            }
        }
        (hard, worst)
    }

    #[test]
    fn values_and_derivatives_at_sides_are_built_in() {
        let edges = ["phi(0, y) = y^3", "phi(1, y) = y^3 + 1", "phi(x, -1) = x - 1", "phi(x, 2) = 8 + x"];
        let (hard, worst) = built(&edges);
        assert!(hard.iter().all(|h| *h) && worst < 1e-13, "{hard:?} {worst:e}");
        let mixed = ["phi(0, y) = 0", "phi(1, y) = 0", "2*phi(x, -1) = sin(pi*x)", "d(phi, y)(x, 2) = 2*sin(pi*x)"];
        let (hard, worst) = built(&mixed);
        assert!(hard.iter().all(|h| *h) && worst < 1e-12, "{hard:?} {worst:e}");
        let cauchy = ["phi(x, -1) = x^2", "d(phi, y)(x, -1) = x", "d(phi, x)(0, y) = y + 1"];
        let (hard, worst) = built(&cauchy);
        assert!(hard.iter().all(|h| *h) && worst < 1e-12, "{hard:?} {worst:e}");
    }

    #[test]
    fn what_cannot_be_built_in_is_left() {
        // At the corner the last one contradicts the first.
        let (hard, worst) = built(&["phi(0, y) = 1", "phi(x, -1)^2 = x", "phi(1, y) = phi(0, y)", "phi(x, 2) = x"]);
        assert_eq!(hard, [true, false, false, false]);
        assert!(worst < 1e-14);
    }
}
