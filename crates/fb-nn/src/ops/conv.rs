//! Convolutions over images and sequences, channels last, as products without copies of the windows.
//!
//! With the image padded by zeros, the window of a pixel along a row is one run of `kernel·channels` numbers, and the
//! windows of neighbouring pixels overlap: they are the rows of a matrix whose row distance is `stride·channels`. So a
//! convolution is `kernel` products, one per row of taps, over all pixels at once. The pixels at the end of a row
//! whose window runs into the next row are computed and left out. With a stride between rows, the rows of the output are
//! taken one at a time. Groups of channels are a matter of their own: see `grouped`.

use super::Cell;
use super::dense::{activate, deactivate};
use crate::graph::{Op, conv_shape};
use crate::kernels::{Matrix, Real, add_bias, product, sum_rows};

const PADDED: usize = 0;
const WIDE: usize = 1;
const PADDED_GRAD: usize = 2;

/// Sizes of a convolution.
pub(super) struct Sizes {
    /// Height, width and channels of the input.
    pub input: [usize; 3],
    /// Height, width and channels of the output.
    pub output: [usize; 3],
    /// Rows and columns of taps.
    pub taps: [usize; 2],
    pub stride: usize,
    /// Zeros above and to the left.
    margin: [usize; 2],
    /// Pixels in a row with its padding.
    pub row: usize,
    pub groups: usize,
    pub bias: bool,
}

impl Sizes {
    pub fn new<T: Real>(cell: &Cell<'_, T>) -> (Self, crate::Activation) {
        let Op::Conv { shape, out, kernel, stride, padding, groups, bias, activation } = cell.node().op else {
            unreachable!("called for convolutions alone")
        };
        let flat = shape[0] == 1;
        let sizes = Self {
            input: shape,
            output: conv_shape(shape, out, kernel, stride, padding),
            taps: [if flat { 1 } else { kernel }, kernel],
            stride,
            margin: [if flat { 0 } else { padding }, padding],
            row: shape[1] + 2 * padding,
            groups,
            bias,
        };
        (sizes, activation)
    }

    /// Whether rows of the output are taken one at a time.
    fn by_row(&self) -> bool {
        self.stride > 1 && self.input[0] > 1
    }

    /// Places that a row of the wide output takes.
    fn wide_row(&self) -> usize {
        if self.by_row() { self.output[1] } else { self.row }
    }

    /// Pixels of the wide output: every row but the last takes all of its places.
    fn wide(&self) -> usize {
        (self.output[0] - 1) * self.wide_row() + self.output[1]
    }

    /// What is taken at a time: pixels of the wide output, and where they and their windows begin.
    fn stretches(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (pixels, rows) = if self.by_row() { (self.output[1], self.output[0]) } else { (self.wide(), 1) };
        let step = self.stride * self.row * self.input[2];
        (0..rows).map(move |row| (pixels, row * pixels, row * step))
    }

    pub fn padded_len(&self) -> usize {
        (self.input[0] + 2 * self.margin[0]) * self.row * self.input[2]
    }

    /// Copies an image into its padded place (`back`: the other way, adding).
    fn pad<T: Real>(&self, padded: &mut [T], x: &[T]) {
        padded.fill(T::ZERO);
        let run = self.input[1] * self.input[2];
        for (y, x) in x.chunks_exact(run).enumerate() {
            padded[self.pad_start(y)..][..run].copy_from_slice(x);
        }
    }

    fn unpad<T: Real>(&self, gx: &mut [T], padded: &[T]) {
        let run = self.input[1] * self.input[2];
        for (y, gx) in gx.chunks_exact_mut(run).enumerate() {
            gx.iter_mut().zip(&padded[self.pad_start(y)..]).for_each(|(gx, &g)| *gx += g);
        }
    }

    /// Where row `y` of the image begins in its padded place.
    pub fn pad_start(&self, y: usize) -> usize {
        ((y + self.margin[0]) * self.row + self.margin[1]) * self.input[2]
    }
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>) {
    let (sizes, activation) = Sizes::new(cell);
    if sizes.groups > 1 {
        return super::grouped::forward(cell, &sizes, activation);
    }
    let source = cell.source(0);
    let [_, _, channels] = sizes.input;
    let [_, width, out] = sizes.output;
    let mut padded = cell.take_keep(PADDED, sizes.padded_len());
    let mut wide = cell.take_keep(WIDE, sizes.wide() * out);
    let mut y = cell.take_value();
    let (weight, run) = (cell.parameter(0), sizes.taps[1] * channels);
    let images = cell.lane.values[source].chunks_exact(cell.graph.nodes[source].width);
    for (y, x) in y.chunks_exact_mut(cell.node().width).zip(images) {
        sizes.pad(&mut padded, x);
        for (pixels, to, from) in sizes.stretches() {
            let to = Matrix::rows(out).at(to * out);
            for tap in 0..sizes.taps[0] {
                let windows = Matrix::rows(run).stride(sizes.stride * channels).at(from + tap * sizes.row * channels);
                let beta = if tap == 0 { T::ZERO } else { T::ONE };
                let weight = (weight, Matrix::rows(out).at(tap * run * out));
                product([pixels, run, out], (&padded, windows), weight, (&mut wide, to), beta);
            }
        }
        for (row, y) in y.chunks_exact_mut(width * out).enumerate() {
            y.copy_from_slice(&wide[row * sizes.wide_row() * out..][..width * out]);
        }
        if sizes.bias {
            add_bias(y, cell.parameter(1));
        }
    }
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
    cell.give_keep(PADDED, padded);
    cell.give_keep(WIDE, wide);
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (sizes, activation) = Sizes::new(cell);
    if sizes.groups > 1 {
        return super::grouped::backward(cell, &sizes, activation);
    }
    let (source, image_out) = (cell.source(0), cell.node().width);
    let [_, _, channels] = sizes.input;
    let [_, width, out] = sizes.output;
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    if sizes.bias {
        sum_rows(cell.parameter_grad(1), &g);
    }
    let mut padded = cell.take_keep(PADDED, sizes.padded_len());
    let mut wide = cell.take_keep(WIDE, sizes.wide() * out);
    let mut padded_grad = cell.take_keep(PADDED_GRAD, sizes.padded_len());
    let x = std::mem::take(&mut cell.lane.values[source]);
    let image = cell.graph.nodes[source].width;
    let passes_on = cell.needs_gradient[source];
    let mut gx = if passes_on { cell.lane.take_grad_zeroed(source, x.len()) } else { Vec::new() };
    let (weight, run) = (cell.parameter(0), sizes.taps[1] * channels);
    let wide_view = Matrix::rows(out);
    for (event, (x, g)) in x.chunks_exact(image).zip(g.chunks_exact(image_out)).enumerate() {
        sizes.pad(&mut padded, x);
        wide.fill(T::ZERO);
        for (row, g) in g.chunks_exact(width * out).enumerate() {
            wide[row * sizes.wide_row() * out..][..width * out].copy_from_slice(g);
        }
        for (pixels, at, from) in sizes.stretches() {
            let wide_view = wide_view.at(at * out);
            for tap in 0..sizes.taps[0] {
                let start = from + tap * sizes.row * channels;
                let windows = Matrix { start, row: 1, column: sizes.stride * channels };
                let grad = (cell.parameter_grad(0), Matrix::rows(out).at(tap * run * out));
                product([run, pixels, out], (&padded, windows), (&wide, wide_view), grad, T::ONE);
            }
        }
        if passes_on {
            padded_grad.fill(T::ZERO);
            for (pixels, at, from) in sizes.stretches() {
                let wide_view = wide_view.at(at * out);
                for tap in 0..sizes.taps[0] * sizes.taps[1] {
                    let start = from + (tap / sizes.taps[1] * sizes.row + tap % sizes.taps[1]) * channels;
                    let to = Matrix::rows(channels).stride(sizes.stride * channels).at(start);
                    let weight = (weight, Matrix::transposed(out).at(tap * channels * out));
                    let shape = [pixels, out, channels];
                    product(shape, (&wide, wide_view), weight, (&mut padded_grad, to), T::ONE);
                }
            }
            sizes.unpad(&mut gx[event * image..][..image], &padded_grad);
        }
    }
    if passes_on {
        cell.lane.give_grad(source, gx);
    }
    cell.lane.values[source] = x;
    cell.lane.grads[cell.id] = g;
    cell.give_keep(PADDED, padded);
    cell.give_keep(WIDE, wide);
    cell.give_keep(PADDED_GRAD, padded_grad);
}
