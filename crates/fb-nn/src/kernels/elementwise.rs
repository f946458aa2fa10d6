//! Element-wise chains. Each is a plain loop compiled for the vector units found at run time (AVX-512, AVX2, NEON or
//! none), so the sums run in the same order everywhere.

use pulp::Arch;

use super::Real;

/// Runs a loop on the best vector unit of the machine.
#[inline(always)]
pub(crate) fn vector<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Body<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Body(body))
}

/// y += x.
pub(crate) fn add<T: Real>(y: &mut [T], x: &[T]) {
    vector(
        #[inline(always)]
        || y.iter_mut().zip(x).for_each(|(y, &x)| *y += x),
    );
}

/// Every row of y gets `bias` added.
pub(crate) fn add_bias<T: Real>(y: &mut [T], bias: &[T]) {
    vector(
        #[inline(always)]
        || {
            for row in y.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(y, &b)| *y += b);
            }
        },
    );
}

/// `sum += Σ rows of x`, the gradient of a bias.
pub(crate) fn sum_rows<T: Real>(sum: &mut [T], x: &[T]) {
    vector(
        #[inline(always)]
        || {
            for row in x.chunks_exact(sum.len()) {
                sum.iter_mut().zip(row).for_each(|(s, &x)| *s += x);
            }
        },
    );
}

/// Logistic function.
#[inline(always)]
pub(crate) fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// Hyperbolic tangent; exact near zero to the rounding of one.
#[inline(always)]
pub(crate) fn tanh<T: Real>(x: T) -> T {
    let two = T::ONE + T::ONE;
    two * sigmoid(two * x) - T::ONE
}
