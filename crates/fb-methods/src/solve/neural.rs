//! The network that is a solution.
//!
//! Its outputs are linear in the last layer, so the least squares of that layer alone are solved first, for several steepnesses
//! of the first layer; the best goes on with all weights. Without options the network widens until the residuals at
//! points that were not fitted are small.

use fb_core::{Error, Philox, Result, Workers};
use fb_nn::Optimiser as Moments;
use fb_nn::lbfgs;
use fb_nn::least_squares::{Limits, Residuals, levenberg_marquardt};
use fb_nn::optimiser::Rule;
use fb_nn::taylor::{Jets, TaylorNetwork};

use super::ansatz::Ansatz;
use super::eigen;
use super::options::{Collocation, Conditions, Network, Optimiser};
use super::points::{chebyshev, latin_hypercube, middles, sobol, tensor};
use super::problem::{Misfit, Problem, config};
use super::system::{Rows, System, Trial};
use super::trained::{Neural, Solved, Stage, cost};

/// Width and points of networks that are tried one after the other.
fn levels(problem: &Problem, options: &Network) -> Vec<(usize, usize)> {
    let usual: &[(usize, usize)] = match problem.domain.len() {
        1 => &[(24, 100), (48, 200), (100, 400), (200, 800)],
        2 => &[(60, 400), (120, 676), (240, 1296)],
        3 => &[(100, 729), (200, 1331)],
        _ => &[(120, 1296), (200, 2401)],
    };
    match (options.width, options.points) {
        (None, None) => usual.to_vec(),
        (None, Some(points)) => usual.iter().map(|(width, _)| (*width, points)).collect(),
        (Some(width), points) => {
            let fitting = usual.iter().find(|(w, _)| *w >= width).unwrap_or(&usual[usual.len() - 1]).1;
            vec![(width, points.unwrap_or(fitting))]
        }
    }
}

/// Residuals below this share of what cancels in them are good enough: with one variable, and with more.
const GOOD: [f64; 2] = [1e-9, 1e-7];
/// The weight of the weights among the residuals: without it those of like neurons grow until they cancel in rounding.
const RIDGE: f64 = 1e-12;
/// Steepnesses of the first layer that are tried, until they get worse.
const STEEPNESS: [f64; 4] = [1.5, 4.0, 12.0, 40.0];
/// The same of graded ones.
const GRADED: [f64; 3] = [1.5, 4.0, 12.0];
/// Most entries of a Jacobian.
const MOST_ENTRIES: usize = 12_000_000;

/// Trains networks until one is good, and gives the best. Where the width is free, the outputs alone come first.
pub(super) fn solve(
    problem: &Problem,
    options: &Network,
    seed: u64,
    workers: &dyn Workers,
) -> Result<(Solved, Vec<Stage>)> {
    let levels = levels(problem, options);
    let alone = levels.len() > 1 && options.optimiser == Optimiser::LevenbergMarquardt && options.depth == 1;
    let mut best: Option<(Solved, (usize, usize))> = None;
    let mut stages = Vec::new();
    let mut round = |level: (usize, usize), whole: bool, best: &mut Option<(Solved, (usize, usize))>| -> Result<bool> {
        for round in 0..options.seeds as u64 {
            let (width, points) = level;
            let seed = seed.wrapping_add(round);
            let training = Training { problem, options, width, points, seed, whole, workers };
            let found = training.run(&mut stages)?;
            if best.as_ref().is_none_or(|(b, _)| found.misfit.largest < b.misfit.largest) {
                *best = Some((found, level));
            }
        }
        Ok(best.as_ref().is_some_and(|(b, _)| b.misfit.largest < good(problem)))
    };
    let mut done = false;
    for level in levels.iter().take(if alone || options.width.is_some() { levels.len() } else { 2 }) {
        done = round(*level, !alone, &mut best)?;
        if done {
            break;
        }
    }
    // All weights of a wide network cost much, which is worth it with one variable or where little was reached.
    let rest = best.as_ref().map_or(f64::INFINITY, |(b, _)| b.misfit.rms);
    if let (false, true, Some((_, level))) = (done, alone && (problem.domain.len() == 1 || rest > 1e-2), &best) {
        let level = *level;
        round(level, true, &mut best)?;
    }
    best.map(|(solved, _)| (solved, stages)).ok_or_else(nothing)
}

fn good(problem: &Problem) -> f64 {
    GOOD[usize::from(problem.domain.len() > 1)]
}

fn nothing() -> Error {
    Error::NotConverged { what: "the network".to_owned(), reason: "no training was made".to_owned() }
}

/// Parameters, and the sums of squares on the way to them.
type Fit = (Vec<f64>, Vec<f64>);

struct Training<'a> {
    problem: &'a Problem,
    options: &'a Network,
    width: usize,
    points: usize,
    seed: u64,
    /// Whether all weights are trained, or those of the outputs.
    whole: bool,
    workers: &'a dyn Workers,
}

impl Training<'_> {
    fn run(&self, stages: &mut Vec<Stage>) -> Result<Solved> {
        let (problem, options) = (self.problem, self.options);
        let unknowns = problem.names.unknowns.len();
        let most = problem.orders.iter().map(|order| order.iter().sum::<u8>()).max().unwrap_or(0);
        let (ansatz, hard) = if options.conditions == Conditions::Hard {
            Ansatz::new(unknowns, &problem.domain, &problem.forms, &problem.conditions, most)
        } else {
            (Ansatz::free(unknowns, &problem.domain), vec![false; problem.conditions.len()])
        };
        let jets = Jets::new(&ansatz.orders(&problem.orders));
        let layers = vec![self.width; options.depth];
        let network = TaylorNetwork::new(jets, &problem.domain, &layers, unknowns, options.activation).with_fourier(
            options.fourier,
            options.fourier_scale,
            self.seed,
        );
        let trial = Neural(network);
        let points = self.collocation();
        let mut solved = Solved {
            parameters: Vec::new(),
            misfit: Misfit::default(),
            residual_max: f64::INFINITY,
            residual_rms: f64::INFINITY,
            condition_max: f64::INFINITY,
            trial,
            ansatz,
        };
        let uniform: &[f64] = if options.depth > 1 || options.fourier > 0 { &STEEPNESS[..1] } else { &STEEPNESS };
        let graded: &[f64] = if options.depth > 1 || options.fourier > 0 { &[] } else { &GRADED };
        let state = match problem.normalisation() {
            Some(_) => eigen::start(problem, self.workers)?.last().copied(),
            None => None,
        };
        let by_gradients = options.optimiser != Optimiser::LevenbergMarquardt;
        let mut best = f64::INFINITY;
        for (family, graded) in [(uniform, false), (graded, true)] {
            let mut last = f64::INFINITY;
            for &steepness in family {
                if best <= good(problem) || (by_gradients && !solved.parameters.is_empty()) {
                    break;
                }
                let mut base = solved.trial.0.initial(steepness, graded, self.seed);
                if by_gradients {
                    // Small outputs, as gradients need them; no more than this start is tried.
                    let mut random = Philox::new(self.seed, 0xf2, 0);
                    for w in &mut base[solved.trial.0.linear_from()..] {
                        *w = 0.1 * random.normal();
                    }
                    solved.parameters = base;
                    solved.parameters.extend(state);
                    break;
                }
                base.extend(state);
                let (parameters, history) = self.linear(&solved, base, &points, &hard)?;
                let what = if graded { "steepness up to" } else { "steepness" };
                stages.push(self.stage(&format!("outputs, {what} {steepness}"), history));
                let tried = Solved { parameters, trial: solved.trial.clone(), ansatz: solved.ansatz.clone(), ..solved };
                let tried = self.validated(tried)?;
                // Steeper ones only get worse from here.
                let worse = tried.misfit.largest >= last;
                last = tried.misfit.largest;
                if tried.misfit.largest < best || solved.parameters.is_empty() {
                    best = tried.misfit.largest;
                    solved = tried;
                }
                if worse {
                    break;
                }
            }
        }
        if best > good(problem) && self.whole {
            let (parameters, history) = self.train(&solved, &points, &hard)?;
            stages.push(self.stage("all weights", history));
            let tried = Solved { parameters, trial: solved.trial.clone(), ansatz: solved.ansatz.clone(), ..solved };
            let tried = self.validated(tried)?;
            if tried.misfit.largest < solved.misfit.largest {
                solved = tried;
            }
        }
        let again = options.collocation == Collocation::Adaptive && self.whole;
        for round in 0..if again { 3 } else { 0 } {
            let points = self.resampled(&solved, points.len(), round)?;
            let (parameters, history) = self.train(&solved, &points, &hard)?;
            stages.push(self.stage("all weights", history));
            let tried = Solved { parameters, trial: solved.trial.clone(), ansatz: solved.ansatz.clone(), ..solved };
            let tried = self.validated(tried)?;
            if tried.misfit.largest < solved.misfit.largest {
                solved = tried;
            }
        }
        Ok(solved)
    }

    fn stage(&self, what: &str, costs: Vec<f64>) -> Stage {
        Stage { what: format!("width {}, {what}", self.width), costs }
    }

    /// Points a variable.
    fn side(&self) -> usize {
        (self.points as f64).powf(1.0 / self.problem.domain.len() as f64).round().max(2.0) as usize
    }

    fn collocation(&self) -> Vec<Vec<f64>> {
        let domain = &self.problem.domain;
        match self.options.collocation {
            Collocation::Grid => tensor(&self.axes()),
            Collocation::LatinHypercube => latin_hypercube(self.points, domain, self.seed),
            Collocation::Sobol | Collocation::Adaptive => sobol(self.points, domain),
        }
    }

    fn axes(&self) -> Vec<Vec<f64>> {
        self.problem.domain.iter().map(|domain| chebyshev(self.side(), *domain)).collect()
    }

    /// Nearer to where residuals are large: probability ∝ |F|/mean|F| + 1 among ten times as many points.
    fn resampled(&self, solved: &Solved, count: usize, round: u64) -> Result<Vec<Vec<f64>>> {
        let pool = latin_hypercube(10 * count, &self.problem.domain, self.seed ^ (round + 1) << 32);
        let rows =
            self.problem.rows(&solved.ansatz, solved.trial.orders(), &pool, &[], self.problem.nodes, &|group| {
                group < self.problem.equations.len()
            })?;
        let system = self.system(solved, &rows, solved.parameters.clone(), 0);
        let mut sizes = vec![0.0; pool.len()];
        for (i, seen) in system.report(&system.start()).iter().enumerate() {
            sizes[i % pool.len()] += seen.value.abs();
        }
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        let mut sum = 0.0;
        let sums: Vec<f64> = sizes
            .iter()
            .map(|size| {
                sum += if mean > 0.0 && mean.is_finite() { size / mean } else { 0.0 } + 1.0;
                sum
            })
            .collect();
        let mut random = Philox::new(self.seed, 0xf3, round);
        let mut draw = || sums.partition_point(|s| *s < sum * random.uniform()).min(pool.len() - 1);
        let mut drawn: Vec<usize> = (0..count).map(|_| draw()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        Ok(drawn.into_iter().map(|i| pool[i].clone()).collect())
    }

    fn system<'s>(
        &'s self,
        solved: &'s Solved,
        rows: &'s Rows<'s>,
        base: Vec<f64>,
        first: usize,
    ) -> System<'s, Neural> {
        let free_eigenvalue = self.problem.normalisation().is_some();
        System { rows, trial: &solved.trial, workers: self.workers, base, first, free_eigenvalue, ridge: RIDGE }
    }

    /// Equations at the points, with the conditions that are not built in, weighted.
    fn rows<'s>(&'s self, solved: &'s Solved, base: &[f64], points: &[Vec<f64>], hard: &[bool]) -> Result<Rows<'s>> {
        let problem = self.problem;
        let equations = problem.equations.len();
        let keep = |group: usize| group < equations || !hard[group - equations];
        let mut rows =
            problem.rows(&solved.ansatz, solved.trial.orders(), points, &self.axes(), problem.nodes, &keep)?;
        let weights = {
            let system = self.system(solved, &rows, base.to_vec(), 0);
            problem.weights(&system.report(&system.start()), &rows)
        };
        for (row, weight) in rows.rows.iter_mut().zip(weights) {
            row.weight = if row.group < equations { weight } else { self.options.weight * weight };
        }
        Ok(rows)
    }

    /// The least squares of the outputs alone.
    fn linear(&self, solved: &Solved, mut base: Vec<f64>, points: &[Vec<f64>], hard: &[bool]) -> Result<Fit> {
        let problem = self.problem;
        let first = solved.trial.0.linear_from();
        if let Some(group) = problem.normalisation() {
            let equations = problem.equations.len();
            let keep = |g: usize| g < equations || (!hard[g - equations] && g != group);
            let bare =
                problem.rows(&solved.ansatz, solved.trial.orders(), points, &self.axes(), problem.nodes, &keep)?;
            let mut system = self.system(solved, &bare, base.clone(), first);
            system.free_eigenvalue = false;
            system.ridge = 0.0;
            let (outputs, ..) = eigen::near(&system, base.last().copied().unwrap_or(0.0));
            base[first..][..outputs.len()].copy_from_slice(&outputs);
            eigen::normalise(problem, &solved.ansatz, &solved.trial, &mut base, first, self.workers)?;
        }
        let rows = self.rows(solved, &base, points, hard)?;
        let system = self.system(solved, &rows, base, first);
        let least = levenberg_marquardt(
            &system,
            system.start(),
            Limits { steps: 25, target: 1e-26, damping: 1e-8, progress: 0.1 },
        );
        Ok((system.full(&least.x), least.history))
    }

    /// All weights.
    fn train(&self, solved: &Solved, points: &[Vec<f64>], hard: &[bool]) -> Result<Fit> {
        let rows = self.rows(solved, &solved.parameters, points, hard)?;
        let system = self.system(solved, &rows, solved.parameters.clone(), 0);
        if system.rows() * system.columns() > MOST_ENTRIES {
            return config(
                "network",
                format!(
                    "{} residuals of {} weights are too many; take fewer points or a smaller width",
                    system.rows(),
                    system.columns()
                ),
            );
        }
        // So many floating-point operations take some ten seconds on one core.
        let costly = system.rows() as f64 * (system.columns() as f64).powi(2) * 6.0;
        let affordable = ((1e11 / costly) as usize).clamp(8, 300);
        let start = system.start();
        Ok(match self.options.optimiser {
            Optimiser::LevenbergMarquardt => {
                let steps = self.options.steps.unwrap_or(affordable).min(20 * affordable);
                let limits = Limits { steps, target: 1e-26, damping: 1e-4, progress: 0.02 };
                let least = levenberg_marquardt(&system, start, limits);
                (least.x, least.history)
            }
            Optimiser::LBfgs => {
                let steps = self.options.steps.unwrap_or(2000).min(50_000);
                let least = lbfgs::minimise(&mut |x, gradient| cost(&system, x, gradient), start, steps);
                (least.x, least.history)
            }
            Optimiser::Adam => {
                let steps = self.options.steps.unwrap_or(3000).min(200_000);
                let (mut x, mut gradient, mut history) = (start, Vec::new(), Vec::new());
                let mut moments = Moments::new(Rule::Adam, 0.0, x.len());
                for step in 0..steps {
                    let cost = cost(&system, &x, &mut gradient);
                    if !cost.is_finite() {
                        break;
                    }
                    history.push(cost);
                    // Falls to a hundredth, so that the last steps settle.
                    let rate = self.options.learning_rate * 0.01f64.powf(step as f64 / steps as f64);
                    moments.step(&mut x, &gradient, rate, step as u64 + 1);
                }
                (x, history)
            }
        })
    }

    /// With the residuals at points that were not fitted.
    fn validated(&self, mut solved: Solved) -> Result<Solved> {
        let problem = self.problem;
        let n = [301, 31, 9, 5][problem.domain.len() - 1];
        let axes: Vec<Vec<f64>> = problem.domain.iter().map(|domain| middles(n, *domain)).collect();
        let points = tensor(&axes);
        let scale = points
            .iter()
            .step_by(7)
            .flat_map(|p| (0..problem.names.unknowns.len()).map(|u| solved.value(u, p).abs()).collect::<Vec<_>>())
            .fold(1e-12, f64::max);
        let rows = problem.rows(&solved.ansatz, solved.trial.orders(), &points, &axes, problem.nodes, &|_| true)?;
        let seen = {
            let system = self.system(&solved, &rows, solved.parameters.clone(), 0);
            system.report(&system.start())
        };
        let misfit = problem.misfit(&seen, &rows, scale);
        let (mut sum, mut count, mut largest, mut condition) = (0.0, 0usize, 0.0f64, 0.0f64);
        for (seen, row) in seen.iter().zip(&rows.rows) {
            let value = if seen.value.is_nan() { f64::INFINITY } else { seen.value.abs() };
            if row.group < problem.equations.len() {
                largest = largest.max(value);
                (sum, count) = (sum + value * value, count + 1);
            } else {
                condition = condition.max(value);
            }
        }
        drop(rows);
        solved.misfit = misfit;
        solved.residual_max = largest;
        solved.residual_rms = (sum / count.max(1) as f64).sqrt();
        solved.condition_max = condition;
        Ok(solved)
    }
}
