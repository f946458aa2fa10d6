//! Matrix products, on the `gemm` crate.
#![allow(unsafe_code, reason = "the product is called with pointers; every bound is asserted here first")]

use super::Real;

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
