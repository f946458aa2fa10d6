//! Convolutions in groups of channels: an output sees the inputs of its own group alone (arXiv:1611.05431).
//!
//! Groups are many and narrow, so products of matrices would be tiny. Channel i of group g is moved to place i·groups + g
//! instead, and so are outputs and weights: then every pair of an input and an output of a group, at every tap, is one
//! product entry by entry over all groups at once, which vector units take whole.

use super::Cell;
use super::conv::Sizes;
use super::dense::{activate, deactivate};
use crate::graph::Activation;
use crate::kernels::{Real, add_bias, sum_rows, vector};

/// Buffers that are kept: the padded image and its gradient, and weights with theirs, all in the order of groups.
const IMAGE: usize = 0;
const WEIGHT: usize = 1;
const PIXELS: usize = 2;
const IMAGE_GRAD: usize = 3;
const WEIGHT_GRAD: usize = 4;

/// Rows of channels from group after group to entry after entry (`back`: the other way).
fn turn<T: Real>(to: &mut [T], from: &[T], channels: usize, groups: usize, back: bool) {
    let (outer, inner) = if back { (channels / groups, groups) } else { (groups, channels / groups) };
    for (to, from) in to.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
        for (o, from) in from.chunks_exact(inner).enumerate() {
            from.iter().enumerate().for_each(|(i, &x)| to[i * outer + o] = x);
        }
    }
}

/// The image in its padded place, turned.
fn pad<T: Real>(sizes: &Sizes, padded: &mut [T], x: &[T]) {
    padded.fill(T::ZERO);
    let run = sizes.input[1] * sizes.input[2];
    for (y, x) in x.chunks_exact(run).enumerate() {
        turn(&mut padded[sizes.pad_start(y)..][..run], x, sizes.input[2], sizes.groups, false);
    }
}

/// Where the window of each pixel begins in the padded image, and the pixel.
fn pixels(sizes: &Sizes) -> impl Iterator<Item = (usize, usize)> {
    let [height, width, out] = sizes.output;
    let (step, row, channels) = (sizes.stride, sizes.row, sizes.input[2]);
    // A sequence has one row.
    (0..height)
        .flat_map(move |y| (0..width).map(move |x| ((y * step * row + x * step) * channels, (y * width + x) * out)))
}

/// Where each tap is in a window, and its weights.
fn taps(sizes: &Sizes) -> impl Iterator<Item = (usize, usize)> + Clone {
    let [rows, columns] = sizes.taps;
    let (row, channels, groups) = (sizes.row, sizes.input[2], sizes.groups);
    let weights = channels / groups * sizes.output[2];
    (0..rows * columns).map(move |tap| ((tap / columns * row + tap % columns) * channels, tap * weights))
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, sizes: &Sizes, activation: Activation) {
    let source = cell.source(0);
    let (groups, channels, out) = (sizes.groups, sizes.input[2], sizes.output[2]);
    let mut image = cell.take_keep(IMAGE, sizes.padded_len());
    let mut weight = cell.take_keep(WEIGHT, cell.parameter(0).len());
    turn(&mut weight, cell.parameter(0), out, groups, false);
    let mut turned = cell.take_keep(PIXELS, cell.node().width);
    let mut y = cell.take_value();
    let images = cell.lane.values[source].chunks_exact(cell.graph.nodes[source].width);
    for (y, x) in y.chunks_exact_mut(cell.node().width).zip(images) {
        pad(sizes, &mut image, x);
        turned.fill(T::ZERO);
        vector(
            #[inline(always)]
            || {
                for (from, to) in pixels(sizes) {
                    let y = &mut turned[to..to + out];
                    for (at, weights) in taps(sizes) {
                        let x = image[from + at..][..channels].chunks_exact(groups);
                        let weights = weight[weights..][..channels / groups * out].chunks_exact(out);
                        for (x, weights) in x.zip(weights) {
                            for (y, w) in y.chunks_exact_mut(groups).zip(weights.chunks_exact(groups)) {
                                y.iter_mut().zip(x.iter().zip(w)).for_each(|(y, (&x, &w))| *y += x * w);
                            }
                        }
                    }
                }
            },
        );
        turn(y, &turned, out, groups, true);
        if sizes.bias {
            add_bias(y, cell.parameter(1));
        }
    }
    activate(&mut y, activation);
    cell.lane.values[cell.id] = y;
    for (i, buffer) in [(IMAGE, image), (WEIGHT, weight), (PIXELS, turned)] {
        cell.give_keep(i, buffer);
    }
}

pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, sizes: &Sizes, activation: Activation) {
    let (source, image_out) = (cell.source(0), cell.node().width);
    let (groups, channels, out) = (sizes.groups, sizes.input[2], sizes.output[2]);
    let mut g = std::mem::take(&mut cell.lane.grads[cell.id]);
    deactivate(&mut g, &cell.lane.values[cell.id], activation);
    if sizes.bias {
        sum_rows(cell.parameter_grad(1), &g);
    }
    let mut image = cell.take_keep(IMAGE, sizes.padded_len());
    let mut image_grad = cell.take_keep(IMAGE_GRAD, sizes.padded_len());
    let mut turned = cell.take_keep(PIXELS, image_out);
    let mut weight = cell.take_keep(WEIGHT, cell.parameter(0).len());
    turn(&mut weight, cell.parameter(0), out, groups, false);
    let mut weight_grad = cell.take_keep(WEIGHT_GRAD, weight.len());
    weight_grad.fill(T::ZERO);
    let x = std::mem::take(&mut cell.lane.values[source]);
    let image_in = cell.graph.nodes[source].width;
    let passes_on = cell.needs_gradient[source];
    let mut gx = if passes_on { cell.lane.take_grad_zeroed(source, x.len()) } else { Vec::new() };
    let run = sizes.input[1] * channels;
    let mut row = vec![T::ZERO; if passes_on { run } else { 0 }];
    for (event, (x, g)) in x.chunks_exact(image_in).zip(g.chunks_exact(image_out)).enumerate() {
        pad(sizes, &mut image, x);
        turn(&mut turned, g, out, groups, false);
        image_grad.fill(T::ZERO);
        vector(
            #[inline(always)]
            || {
                for (from, to) in pixels(sizes) {
                    let g = &turned[to..to + out];
                    for (at, weights) in taps(sizes) {
                        let within = from + at..from + at + channels;
                        let x = image[within.clone()].chunks_exact(groups);
                        let gx = image_grad[within].chunks_exact_mut(groups);
                        let weights = weights..weights + channels / groups * out;
                        let gw = weight_grad[weights.clone()].chunks_exact_mut(out);
                        for (((x, gx), gw), w) in x.zip(gx).zip(gw).zip(weight[weights].chunks_exact(out)) {
                            let outputs = g.chunks_exact(groups).zip(gw.chunks_exact_mut(groups));
                            for ((g, gw), w) in outputs.zip(w.chunks_exact(groups)) {
                                gw.iter_mut().zip(x.iter().zip(g)).for_each(|(gw, (&x, &g))| *gw += x * g);
                                if passes_on {
                                    gx.iter_mut().zip(w.iter().zip(g)).for_each(|(gx, (&w, &g))| *gx += w * g);
                                }
                            }
                        }
                    }
                }
            },
        );
        if passes_on {
            for (y, gx) in gx[event * image_in..][..image_in].chunks_exact_mut(run).enumerate() {
                turn(&mut row, &image_grad[sizes.pad_start(y)..][..run], channels, groups, true);
                gx.iter_mut().zip(&row).for_each(|(gx, &g)| *gx += g);
            }
        }
    }
    if passes_on {
        cell.lane.give_grad(source, gx);
    }
    let mut back = vec![T::ZERO; weight_grad.len()];
    turn(&mut back, &weight_grad, out, groups, true);
    cell.parameter_grad(0).iter_mut().zip(&back).for_each(|(sum, &g)| *sum += g);
    cell.lane.values[source] = x;
    cell.lane.grads[cell.id] = g;
    for (i, buffer) in
        [(IMAGE, image), (WEIGHT, weight), (PIXELS, turned), (IMAGE_GRAD, image_grad), (WEIGHT_GRAD, weight_grad)]
    {
        cell.give_keep(i, buffer);
    }
}
