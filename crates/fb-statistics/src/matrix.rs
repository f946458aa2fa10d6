//! Symmetric matrices of the size of a fit.

/// A square matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    size: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Of zeros.
    pub fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    /// The number of rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// One row.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.size..(i + 1) * self.size]
    }

    /// One row, to be changed.
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.size..(i + 1) * self.size]
    }

    /// The rows and columns of these indices.
    #[must_use]
    pub fn part(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&i| indices.iter().map(move |&j| self.row(i)[j])).collect();
        Self { size: indices.len(), values }
    }

    /// The matrix times a vector.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.size).map(|i| dot(self.row(i), vector)).collect()
    }

    /// The factor L of L Lᵀ, or nothing if the matrix is not positive definite. A pivot below 1e-13 of its diagonal
    /// element counts as zero: what is left of it is rounding.
    pub fn cholesky(&self) -> Option<Cholesky> {
        let mut lower = self.clone();
        for i in 0..self.size {
            for j in 0..=i {
                let sum = self.row(i)[j] - dot(&lower.row(i)[..j], &lower.row(j)[..j]);
                let value = if i == j {
                    if sum.is_nan() || sum <= 1e-13 * self.row(i)[i] || sum == f64::INFINITY {
                        return None;
                    }
                    sum.sqrt()
                } else {
                    sum / lower.row(j)[j]
                };
                lower.row_mut(i)[j] = value;
            }
        }
        Some(Cholesky { lower })
    }
}

/// The factor of a positive definite matrix.
#[derive(Debug)]
pub struct Cholesky {
    lower: Matrix,
}

impl Cholesky {
    /// The solution x of A x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        for i in 0..x.len() {
            let row = self.lower.row(i);
            x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
        }
        for i in (0..x.len()).rev() {
            let row = self.lower.row(i);
            x[i] /= row[i];
            let known = x[i];
            for (value, factor) in x[..i].iter_mut().zip(row) {
                *value -= factor * known;
            }
        }
        x
    }

    /// The inverse of A.
    pub fn inverse(&self) -> Matrix {
        let size = self.lower.size();
        let mut inverse = Matrix::zeros(size);
        for i in 0..size {
            let mut unit = vec![0.0; size];
            unit[i] = 1.0;
            inverse.row_mut(i).copy_from_slice(&self.solve(&unit));
        }
        inverse
    }
}

/// Σ aᵢ bᵢ in eight lanes, which compile to vector instructions.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::Matrix;

    #[test]
    fn the_inverse_is_the_inverse_and_only_positive_matrices_have_a_factor() {
        let mut matrix = Matrix::zeros(3);
        for (i, row) in [[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]].iter().enumerate() {
            matrix.row_mut(i).copy_from_slice(row);
        }
        let inverse = matrix.cholesky().unwrap().inverse();
        for i in 0..3 {
            let row = matrix.times(inverse.row(i));
            assert!((0..3).all(|j| (row[j] - f64::from(u8::from(i == j))).abs() < 1e-15));
        }
        matrix.row_mut(2)[2] = -1.0;
        assert!(matrix.cholesky().is_none());
        assert!(matrix.part(&[0, 1]).cholesky().is_some());
    }
}
