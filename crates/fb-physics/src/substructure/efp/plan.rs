//! From graphs to a list of operations that all of them share.
//!
//! A polynomial is a sum over one index a vertex. Vertices are summed over one after the other: one with a single
//! neighbour leaves a vector there, one with two neighbours a matrix between them, and the two of a complete graph of
//! four vertices that are left over are summed over at once. Whatever is equal in two graphs is one operation.

use std::collections::{BTreeMap, HashMap};

/// Number of a matrix in a plan.
pub(super) type Matrix = usize;
/// Number of a vector in a plan; `None` is the vector of ones.
pub(super) type Vector = Option<usize>;

/// A matrix over pairs of particles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum MatrixOp {
    /// θᵢⱼ.
    Angle,
    /// Aᵢⱼ Bᵢⱼ.
    Entrywise(Matrix, Matrix),
    /// Σₖ Aᵢₖ zₖ vₖ Bₖⱼ.
    Series(Matrix, Vector, Matrix),
    /// Aⱼᵢ.
    Transpose(Matrix),
    /// Σₖₗ Aᵢₖ Bⱼₖ Cᵢₗ Dⱼₗ Eₖₗ zₖ vₖ zₗ wₗ for [A, B, C, D, E] and [v, w].
    Bridge([Matrix; 5], [Vector; 2]),
}

/// A vector over particles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum VectorOp {
    /// Σⱼ Aᵢⱼ zⱼ vⱼ.
    Contract(Matrix, Vector),
    /// vᵢ wᵢ.
    Times(usize, usize),
}

/// One step of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Computes this matrix.
    Matrix(Matrix),
    /// Computes this vector.
    Vector(usize),
}

/// Operations in an order in which each comes after what it needs.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub matrices: Vec<MatrixOp>,
    pub vectors: Vec<VectorOp>,
    pub steps: Vec<Step>,
    /// Σᵢ zᵢ vᵢ of these vectors are the sums over connected graphs.
    pub totals: Vec<Vector>,
    symmetric: Vec<bool>,
    matrix_of: HashMap<MatrixOp, Matrix>,
    vector_of: HashMap<VectorOp, usize>,
    total_of: HashMap<Vector, usize>,
}

impl Plan {
    /// The number of the total of a connected graph with these edges (an edge stands there as often as it is multiple);
    /// `None` if the graph cannot be summed by the three rules.
    pub fn connected(&mut self, vertices: &[u8], edges: &[(u8, u8)]) -> Option<usize> {
        let mut open = Open::new(self, vertices, edges);
        while open.weights.len() > 1 {
            open.remove_one(self)?;
        }
        let vector = open.weights.into_values().next()?;
        let next = self.totals.len();
        let total = *self.total_of.entry(vector).or_insert(next);
        if total == next {
            self.totals.push(vector);
        }
        Some(total)
    }

    fn matrix(&mut self, op: MatrixOp) -> Matrix {
        if let Some(&known) = self.matrix_of.get(&op) {
            return known;
        }
        let symmetric = match op {
            MatrixOp::Angle => true,
            MatrixOp::Entrywise(a, b) => self.symmetric[a] && self.symmetric[b],
            MatrixOp::Series(a, _, b) => a == b && self.symmetric[a],
            MatrixOp::Transpose(_) => false,
            MatrixOp::Bridge([a, b, c, d, _], _) => a == b && c == d,
        };
        let number = self.matrices.len();
        self.symmetric.push(symmetric);
        self.matrices.push(op.clone());
        self.matrix_of.insert(op, number);
        self.steps.push(Step::Matrix(number));
        number
    }

    fn transpose(&mut self, a: Matrix) -> Matrix {
        match self.matrices[a] {
            _ if self.symmetric[a] => a,
            MatrixOp::Transpose(b) => b,
            _ => self.matrix(MatrixOp::Transpose(a)),
        }
    }

    fn entrywise(&mut self, a: Matrix, b: Matrix) -> Matrix {
        self.matrix(MatrixOp::Entrywise(a.min(b), a.max(b)))
    }

    fn series(&mut self, a: Matrix, v: Vector, b: Matrix) -> Matrix {
        if a > b && self.symmetric[a] && self.symmetric[b] {
            let other = self.matrix(MatrixOp::Series(b, v, a));
            return self.transpose(other);
        }
        self.matrix(MatrixOp::Series(a, v, b))
    }

    /// Whether this sum is there already, in either direction.
    fn has_series(&self, a: Matrix, v: Vector, b: Matrix) -> bool {
        self.matrix_of.contains_key(&MatrixOp::Series(a, v, b))
            || self.matrix_of.contains_key(&MatrixOp::Series(b, v, a))
    }

    fn vector(&mut self, op: VectorOp) -> usize {
        if let Some(&known) = self.vector_of.get(&op) {
            return known;
        }
        let number = self.vectors.len();
        self.vectors.push(op.clone());
        self.vector_of.insert(op, number);
        self.steps.push(Step::Vector(number));
        number
    }

    fn times(&mut self, v: Vector, w: Vector) -> Vector {
        match (v, w) {
            (None, other) | (other, None) => other,
            (Some(v), Some(w)) => Some(self.vector(VectorOp::Times(v.min(w), v.max(w)))),
        }
    }
}

/// A connected graph of which some vertices are summed over.
struct Open {
    /// What stands at each vertex that is left.
    weights: BTreeMap<u8, Vector>,
    /// Matrices from the smaller to the larger vertex.
    edges: BTreeMap<(u8, u8), Matrix>,
}

impl Open {
    fn new(plan: &mut Plan, vertices: &[u8], edges: &[(u8, u8)]) -> Self {
        let mut open = Self { weights: vertices.iter().map(|&v| (v, None)).collect(), edges: BTreeMap::new() };
        let angle = plan.matrix(MatrixOp::Angle);
        for &(a, b) in edges {
            open.connect(plan, a, b, angle);
        }
        open
    }

    fn neighbours(&self, vertex: u8) -> Vec<u8> {
        let other = |&(a, b): &(u8, u8)| {
            if a == vertex {
                Some(b)
            } else if b == vertex {
                Some(a)
            } else {
                None
            }
        };
        self.edges.keys().filter_map(other).collect()
    }

    /// The matrix from a to b, whose edge is there.
    fn edge(&self, plan: &mut Plan, a: u8, b: u8) -> Option<Matrix> {
        let matrix = *self.edges.get(&(a.min(b), a.max(b)))?;
        Some(if a < b { matrix } else { plan.transpose(matrix) })
    }

    /// Puts a matrix from a to b beside what is there.
    fn connect(&mut self, plan: &mut Plan, a: u8, b: u8, matrix: Matrix) {
        let matrix = if a < b { matrix } else { plan.transpose(matrix) };
        let key = (a.min(b), a.max(b));
        let together = self.edges.get(&key).map_or(matrix, |&other| plan.entrywise(other, matrix));
        self.edges.insert(key, together);
    }

    fn remove(&mut self, vertex: u8) -> Vector {
        self.edges.retain(|&(a, b), _| a != vertex && b != vertex);
        self.weights.remove(&vertex).flatten()
    }

    /// Sums over the vertex that costs least.
    fn remove_one(&mut self, plan: &mut Plan) -> Option<()> {
        let vertices: Vec<(u8, Vec<u8>)> = self.weights.keys().map(|&v| (v, self.neighbours(v))).collect();
        // Of two that are left over, the one with less at it leaves: its vector is the likelier to be known.
        if let Some((leaf, other)) = vertices
            .iter()
            .filter(|(_, n)| n.len() == 1)
            .map(|(v, n)| (*v, n[0]))
            .min_by_key(|(v, _)| (self.weights.get(v).copied(), *v))
        {
            let matrix = self.edge(plan, other, leaf)?;
            let weight = self.remove(leaf);
            let vector = plan.vector(VectorOp::Contract(matrix, weight));
            let there = self.weights.get(&other).copied().flatten();
            self.weights.insert(other, plan.times(there, Some(vector)));
            return Some(());
        }
        // A sum that another graph needs too is free.
        let cost = |(v, n): &(u8, Vec<u8>), plan: &mut Plan| {
            let (a, b) = (self.edge(plan, n[0], *v)?, self.edge(plan, *v, n[1])?);
            let weight = self.weights.get(v).copied().flatten();
            Some((!plan.has_series(a, weight, b), weight, a.max(b), a.min(b), *v))
        };
        let mut best = None;
        for vertex in vertices.iter().filter(|(_, n)| n.len() == 2) {
            let cost = cost(vertex, plan)?;
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, vertex.clone()));
            }
        }
        if let Some((_, (vertex, n))) = best {
            let (a, b) = (self.edge(plan, n[0], vertex)?, self.edge(plan, vertex, n[1])?);
            let weight = self.remove(vertex);
            let matrix = plan.series(a, weight, b);
            self.connect(plan, n[0], n[1], matrix);
            return Some(());
        }
        self.remove_two(plan, &vertices)
    }

    /// Sums over two vertices of a complete graph of four, those with least at them.
    fn remove_two(&mut self, plan: &mut Plan, vertices: &[(u8, Vec<u8>)]) -> Option<()> {
        let mut order: Vec<u8> = vertices.iter().map(|(v, _)| *v).collect();
        if order.len() != 4 || self.edges.len() != 6 {
            return None;
        }
        let rank = |v: &u8| {
            let matrices = self.edges.iter().filter(|((a, b), _)| a == v || b == v);
            (self.weights.get(v).copied().flatten(), matrices.map(|(_, m)| *m).max())
        };
        order.sort_by_key(rank);
        let [k, l, i, j] = order[..] else { return None };
        let mut matrices = [0; 5];
        for (matrix, (a, b)) in matrices.iter_mut().zip([(i, k), (j, k), (i, l), (j, l), (k, l)]) {
            *matrix = self.edge(plan, a, b)?;
        }
        let weights = [self.remove(k), self.remove(l)];
        let matrix = plan.matrix(MatrixOp::Bridge(matrices, weights));
        self.connect(plan, i, j, matrix);
        Some(())
    }
}
