//! The operations of a plan on one jet.
//!
//! Rows are padded with zeros to whole groups of `LANES` numbers, and sums run in that many lanes, so that the loops
//! are vector instructions and the bits do not depend on which.

use super::plan::{Matrix, MatrixOp, Plan, Step, Vector, VectorOp};

const LANES: usize = 8;

/// A plan whose matrices share memory as far as they are not needed at the same time.
#[derive(Debug)]
pub(super) struct Program {
    plan: Plan,
    /// The place of each matrix.
    place: Vec<usize>,
    /// Number of places.
    places: usize,
}

impl Program {
    pub fn new(plan: Plan) -> Self {
        let mut last = vec![0; plan.matrices.len()];
        for (time, step) in plan.steps.iter().enumerate() {
            for m in needs(&plan, *step) {
                last[m] = time;
            }
        }
        let (mut place, mut free, mut places) = (vec![0; plan.matrices.len()], Vec::new(), 0);
        for (time, step) in plan.steps.iter().enumerate() {
            if let Step::Matrix(m) = *step {
                place[m] = free.pop().unwrap_or_else(|| {
                    places += 1;
                    places - 1
                });
            }
            // Only after the result has its place: an operation never writes over what it reads.
            let mut done: Vec<Matrix> = needs(&plan, *step).into_iter().filter(|&m| last[m] == time).collect();
            done.sort_unstable();
            done.dedup();
            free.extend(done.into_iter().map(|m| place[m]));
        }
        Self { plan, place, places }
    }

    /// Σᵢ zᵢ vᵢ of all connected graphs, of energies zᵢ and angles `theta(i, j)`, i < j.
    pub fn totals(&self, z: &[f64], theta: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let n = z.len();
        let stride = n.next_multiple_of(LANES);
        let mut padded = z.to_vec();
        padded.resize(stride, 0.0);
        let mut angle = vec![0.0; n * stride];
        for i in 0..n {
            for j in i + 1..n {
                let theta = theta(i, j);
                angle[i * stride + j] = theta;
                angle[j * stride + i] = theta;
            }
        }
        let mut state = State {
            n,
            stride,
            z: &padded,
            matrices: vec![Vec::new(); self.places],
            vectors: vec![Vec::new(); self.plan.vectors.len()],
        };
        for step in &self.plan.steps {
            match *step {
                Step::Vector(v) => state.vectors[v] = self.vector(&state, &self.plan.vectors[v]),
                Step::Matrix(m) if self.plan.matrices[m] == MatrixOp::Angle => {
                    state.matrices[self.place[m]] = std::mem::take(&mut angle);
                }
                Step::Matrix(m) => {
                    let mut out = std::mem::take(&mut state.matrices[self.place[m]]);
                    out.clear();
                    out.resize(n * stride, 0.0);
                    pulp::Arch::new().dispatch(|| self.matrix(&state, &self.plan.matrices[m], &mut out));
                    state.matrices[self.place[m]] = out;
                }
            }
        }
        self.plan.totals.iter().map(|&v| v.map_or_else(|| sum(&padded), |v| dot(&padded, &state.vectors[v]))).collect()
    }

    fn get<'s>(&self, state: &'s State<'_>, m: Matrix) -> &'s [f64] {
        &state.matrices[self.place[m]]
    }

    fn vector(&self, state: &State<'_>, op: &VectorOp) -> Vec<f64> {
        match *op {
            VectorOp::Times(v, w) => state.vectors[v].iter().zip(&state.vectors[w]).map(|(v, w)| v * w).collect(),
            VectorOp::Contract(m, v) => {
                let weights = state.weights(v);
                let mut out: Vec<f64> = Vec::with_capacity(state.stride);
                pulp::Arch::new().dispatch(|| {
                    out.extend(self.get(state, m).chunks_exact(state.stride.max(1)).map(|row| dot(row, &weights)));
                });
                out.resize(state.stride, 0.0);
                out
            }
        }
    }

    #[inline(always)]
    fn matrix(&self, state: &State<'_>, op: &MatrixOp, out: &mut [f64]) {
        let (n, stride) = (state.n, state.stride);
        match *op {
            MatrixOp::Angle => {}
            MatrixOp::Entrywise(a, b) => {
                let (a, b) = (self.get(state, a), self.get(state, b));
                out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (a, b))| *o = a * b);
            }
            MatrixOp::Transpose(a) => {
                let a = self.get(state, a);
                for i in 0..n {
                    for j in 0..n {
                        out[i * stride + j] = a[j * stride + i];
                    }
                }
            }
            MatrixOp::Series(a, v, b) => {
                product(n, stride, self.get(state, a), &state.weights(v), self.get(state, b), out);
            }
            MatrixOp::Bridge([a, b, c, d, e], [v, w]) => {
                let alike = a == b && c == d;
                let (weights_k, weights_l) = (state.weights(v), state.weights(w));
                let (a, b, c, d, e) = (
                    self.get(state, a),
                    self.get(state, b),
                    self.get(state, c),
                    self.get(state, d),
                    self.get(state, e),
                );
                let row = |m: usize| m * stride..(m + 1) * stride;
                let mut inner = vec![0.0; stride];
                for i in 0..n {
                    // Alike both ways: half of the pairs.
                    for j in if alike { i } else { 0 }..n {
                        for ((x, w), (c, d)) in inner.iter_mut().zip(&*weights_l).zip(c[row(i)].iter().zip(&d[row(j)]))
                        {
                            *x = w * c * d;
                        }
                        let mut sum = 0.0;
                        for k in 0..n {
                            let outer = weights_k[k] * a[i * stride + k] * b[j * stride + k];
                            sum += outer * dot(&e[row(k)], &inner);
                        }
                        out[i * stride + j] = sum;
                        if alike {
                            out[j * stride + i] = sum;
                        }
                    }
                }
            }
        }
    }
}

/// What is known of a jet so far.
struct State<'a> {
    n: usize,
    stride: usize,
    z: &'a [f64],
    matrices: Vec<Vec<f64>>,
    vectors: Vec<Vec<f64>>,
}

impl State<'_> {
    /// zᵢ vᵢ.
    fn weights(&self, v: Vector) -> std::borrow::Cow<'_, [f64]> {
        match v {
            None => self.z.into(),
            Some(v) => self.z.iter().zip(&self.vectors[v]).map(|(z, v)| z * v).collect(),
        }
    }
}

/// The matrices that a step reads.
fn needs(plan: &Plan, step: Step) -> Vec<Matrix> {
    match step {
        Step::Vector(v) => match plan.vectors[v] {
            VectorOp::Contract(m, _) => vec![m],
            VectorOp::Times(..) => Vec::new(),
        },
        Step::Matrix(m) => match plan.matrices[m] {
            MatrixOp::Angle => Vec::new(),
            MatrixOp::Transpose(a) => vec![a],
            MatrixOp::Entrywise(a, b) | MatrixOp::Series(a, _, b) => vec![a, b],
            MatrixOp::Bridge(five, _) => five.to_vec(),
        },
    }
}

/// out = A diag(w) B, four rows of A and B at a time.
#[inline(always)]
fn product(n: usize, stride: usize, a: &[f64], w: &[f64], b: &[f64], out: &mut [f64]) {
    let row = |i: usize| i * stride..(i + 1) * stride;
    for i in 0..n {
        let (a, out) = (&a[row(i)], &mut out[row(i)]);
        let mut k = 0;
        while k + 4 <= n {
            let s = [a[k] * w[k], a[k + 1] * w[k + 1], a[k + 2] * w[k + 2], a[k + 3] * w[k + 3]];
            let (b0, b1, b2, b3) = (&b[row(k)], &b[row(k + 1)], &b[row(k + 2)], &b[row(k + 3)]);
            for ((o, (x0, x1)), (x2, x3)) in out.iter_mut().zip(b0.iter().zip(b1)).zip(b2.iter().zip(b3)) {
                *o += (s[0] * x0 + s[1] * x1) + (s[2] * x2 + s[3] * x3);
            }
            k += 4;
        }
        for k in k..n {
            let s = a[k] * w[k];
            out.iter_mut().zip(&b[row(k)]).for_each(|(o, x)| *o += s * x);
        }
    }
}

/// Σᵢ aᵢ bᵢ of whole groups of lanes.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    sum(&lanes)
}

fn sum(x: &[f64]) -> f64 {
    x.iter().sum()
}
