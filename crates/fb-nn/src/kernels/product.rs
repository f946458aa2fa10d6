//! Matrix products, on the `gemm` crate.
#![allow(unsafe_code, reason = "the product is called with pointers; every bound is asserted here first")]

use super::{Real, vector};

/// A view of a matrix inside a slice: entry (i, j) is at `start + i·row + j·column`.
///
/// Rows may overlap (`row < columns`), which turns a convolution into a product without copies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub start: usize,
    pub row: usize,
    pub column: usize,
}

impl Matrix {
    /// Row-major with `columns` entries per row.
    pub fn rows(columns: usize) -> Self {
        Self { start: 0, row: columns, column: 1 }
    }

    /// The transpose of a row-major matrix with `columns` entries per row.
    pub fn transposed(columns: usize) -> Self {
        Self { start: 0, row: 1, column: columns }
    }

    /// The same, beginning at entry `start` of the slice.
    pub fn at(self, start: usize) -> Self {
        Self { start, ..self }
    }

    /// The same with another distance between rows.
    pub fn stride(self, row: usize) -> Self {
        Self { row, ..self }
    }

    fn last(self, m: usize, n: usize) -> usize {
        self.start + (m - 1) * self.row + (n - 1) * self.column
    }
}

/// `c = beta·c + a·b` with a [m, k], b [k, n], c [m, n]; `beta` is zero (c is not read) or one.
pub(crate) fn product<T: Real>(
    [m, k, n]: [usize; 3],
    (a, a_view): (&[T], Matrix),
    (b, b_view): (&[T], Matrix),
    (c, c_view): (&mut [T], Matrix),
    beta: T,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_view.last(m, n) < c.len());
    let keep = beta != T::ZERO;
    if k == 0 {
        if !keep {
            for i in 0..m {
                for j in 0..n {
                    c[c_view.start + i * c_view.row + j * c_view.column] = T::ZERO;
                }
            }
        }
        return;
    }
    assert!(a_view.last(m, k) < a.len() && b_view.last(k, n) < b.len());
    // The library sums in an order that depends on how many rows there are: for one column, for one row that is added
    // to, and for long sums. Where rows stand for events (and not for inputs, as in the gradient of a weight), each
    // must have the same bits whatever the others are.
    if a_view.column == 1 && b_view.column == 1 {
        if n == 1 && b_view.row == 1 {
            for i in 0..m {
                let (row, column) = (&a[a_view.start + i * a_view.row..][..k], &b[b_view.start..][..k]);
                let sum = vector(
                    #[inline(always)]
                    || dot(row, column),
                );
                let c = &mut c[c_view.start + i * c_view.row];
                *c = if keep { *c + sum } else { sum };
            }
            return;
        }
        if k > LONGEST {
            for start in (0..k).step_by(LONGEST) {
                let a_view = a_view.at(a_view.start + start);
                let b_view = b_view.at(b_view.start + start * b_view.row);
                let beta = if start == 0 { beta } else { T::ONE };
                product([m, LONGEST.min(k - start), n], (a, a_view), (b, b_view), (c, c_view), beta);
            }
            return;
        }
        if m == 1 && keep && k > 2 {
            let mut sums = vec![T::ZERO; n];
            product([1, k, n], (a, a_view), (b, b_view), (&mut sums, Matrix::rows(n)), T::ZERO);
            for (j, &sum) in sums.iter().enumerate() {
                c[c_view.start + j * c_view.column] += sum;
            }
            return;
        }
    }
    // SAFETY: the largest index of each operand has just been checked against its slice; strides are not negative; `c`
    // is borrowed mutably, so it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr().add(c_view.start),
            c_view.column as isize,
            c_view.row as isize,
            keep,
            a.as_ptr().add(a_view.start),
            a_view.column as isize,
            a_view.row as isize,
            b.as_ptr().add(b_view.start),
            b_view.column as isize,
            b_view.row as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Sums up to this length the library does in one go.
const LONGEST: usize = 512;

/// Σ a·b in sixteen partial sums.
#[inline(always)]
pub(crate) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::ZERO; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (&a, &b))| *s += a * b);
    }
    sums.iter_mut().zip(a_rest.iter().zip(b_rest)).for_each(|(s, (&a, &b))| *s += a * b);
    sums.into_iter().fold(T::ZERO, |sum, s| sum + s)
}

#[cfg(test)]
mod tests {
    use fb_core::Philox;

    use super::*;

    /// A score must not depend on which other events are asked for, to the bit.
    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let mut random = Philox::new(1, 0, 0);
        let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| random.normal() as f32).collect() };
        let mut wrong = Vec::new();
        for k in [1, 2, 3, 7, 64, 131, 300, 512, 700, 1024, 4096] {
            for n in [1, 2, 5, 6, 16, 17, 64, 65, 100, 256, 512] {
                let most = if k * n > 100_000 { 70 } else { 700 };
                let (a, b, c) = (numbers(most * k), numbers(k * n), numbers(most * n));
                for beta in [0.0, 1.0] {
                    let rows = |m: usize, from: usize| {
                        let mut c = c[from * n..(from + m) * n].to_vec();
                        let view = Matrix::rows(n);
                        product([m, k, n], (&a[from * k..], Matrix::rows(k)), (&b, view), (&mut c, view), beta);
                        c
                    };
                    let all = rows(most, 0);
                    for m in [1, 2, 3, 5, 8, 16, 17, 48, 64, 65] {
                        let from = most - m;
                        if rows(m, from) != all[from * n..] {
                            wrong.push([m, k, n, beta as usize]);
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), 11 * 11 * 2 * 10);
    }
}
