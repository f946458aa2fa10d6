//! From particles to events, from positions to channels, from pixels to fewer pixels.

use super::Cell;
use super::rowwise::fold;
use crate::graph::Window;
use crate::kernels::{Real, add, sum_rows, vector};

/// Sum or mean over the particles of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    Sum,
    Mean,
}

impl Pool {
    /// What the sum of `n` rows is multiplied by.
    fn factor<T: Real>(self, n: usize) -> T {
        match self {
            Self::Sum => T::ONE,
            Self::Mean => T::of(1.0 / n.max(1) as f64),
        }
    }
}

pub(super) fn sum_forward<T: Real>(cell: &mut Cell<'_, T>, pool: Pool) {
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let (width, source) = (cell.node().width, cell.source(0));
    let x = &cell.lane.values[source];
    let segments = cell.lane.segments(cell.graph.nodes[source].rows);
    for (y, rows) in y.chunks_exact_mut(width).zip(segments.windows(2)) {
        sum_rows(y, &x[rows[0] * width..rows[1] * width]);
        let factor = pool.factor::<T>(rows[1] - rows[0]);
        for y in y.iter_mut() {
            *y = *y * factor;
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn sum_backward<T: Real>(cell: &mut Cell<'_, T>, pool: Pool) {
    let (width, source) = (cell.node().width, cell.source(0));
    if !cell.needs_gradient[source] {
        return;
    }
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let g = &cell.lane.grads[cell.id];
    let segments = cell.lane.segments(cell.graph.nodes[source].rows);
    for (g, rows) in g.chunks_exact(width).zip(segments.windows(2)) {
        let factor = pool.factor::<T>(rows[1] - rows[0]);
        vector(
            #[inline(always)]
            || {
                for gx in gx[rows[0] * width..rows[1] * width].chunks_exact_mut(width) {
                    gx.iter_mut().zip(g).for_each(|(gx, &g)| *gx += g * factor);
                }
            },
        );
    }
    cell.lane.give_grad(source, gx);
}

/// Where the rows of an event are, as far as they are taken, among those of all.
fn taken(event: &[usize], width: usize, row: usize) -> std::ops::Range<usize> {
    let start = event[0] * width;
    start..start + ((event[1] - event[0]) * width).min(row)
}

pub(super) fn flatten_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let (row, source) = (cell.node().width, cell.source(0));
    let (x, width) = (&cell.lane.values[source], cell.graph.nodes[source].width);
    for (y, event) in y.chunks_exact_mut(row).zip(cell.lane.offsets.windows(2)) {
        let x = &x[taken(event, width, row)];
        y[..x.len()].copy_from_slice(x);
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn flatten_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (row, source) = (cell.node().width, cell.source(0));
    if !cell.needs_gradient[source] {
        return;
    }
    let width = cell.graph.nodes[source].width;
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    for (g, event) in cell.lane.grads[cell.id].chunks_exact(row).zip(cell.lane.offsets.windows(2)) {
        let gx = &mut gx[taken(event, width, row)];
        let n = gx.len();
        add(gx, &g[..n]);
    }
    cell.lane.give_grad(source, gx);
}

/// Cell and row of the first particle of each cell of an event.
fn first_in_cells<T: Real>(place: &[T], event: &[usize], cells: usize, size: f64) -> Vec<(usize, usize)> {
    let (mut taken, mut found) = (vec![false; cells * cells], Vec::new());
    for row in event[0]..event[1] {
        // In the precision of the places, as an export has it.
        let [x, y] = [0, 1].map(|i| (place[2 * row + i] / T::of(size) + T::of(0.5 * cells as f64)).f64().floor());
        let inside = |x: f64| x >= 0.0 && x < cells as f64;
        if inside(x) && inside(y) {
            let cell = y as usize * cells + x as usize;
            if !std::mem::replace(&mut taken[cell], true) {
                found.push((cell, row));
            }
        }
    }
    found
}

pub(super) fn grid_forward<T: Real>(cell: &mut Cell<'_, T>, cells: usize, size: f64) {
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let (image, [place, source]) = (cell.node().width, [0, 1].map(|i| cell.source(i)));
    let width = cell.graph.nodes[source].width;
    let [place, x] = [place, source].map(|node| &cell.lane.values[node]);
    for (y, event) in y.chunks_exact_mut(image).zip(cell.lane.offsets.windows(2)) {
        for (to, row) in first_in_cells(place, event, cells, size) {
            y[to * width..][..width].copy_from_slice(&x[row * width..][..width]);
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn grid_backward<T: Real>(cell: &mut Cell<'_, T>, cells: usize, size: f64) {
    let (image, [place, source]) = (cell.node().width, [0, 1].map(|i| cell.source(i)));
    if !cell.needs_gradient[source] {
        return;
    }
    let width = cell.graph.nodes[source].width;
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let place = &cell.lane.values[place];
    for (g, event) in cell.lane.grads[cell.id].chunks_exact(image).zip(cell.lane.offsets.windows(2)) {
        for (from, row) in first_in_cells(place, event, cells, size) {
            add(&mut gx[row * width..][..width], &g[from * width..][..width]);
        }
    }
    cell.lane.give_grad(source, gx);
}

pub(super) fn weighted_sum_forward<T: Real>(cell: &mut Cell<'_, T>) {
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let (width, [sx, sz]) = (cell.node().width, [cell.source(0), cell.source(1)]);
    let heads = cell.graph.nodes[sz].width;
    let each = width / heads;
    let [x, z] = [sx, sz].map(|source| &cell.lane.values[source]);
    let segments = cell.lane.segments(cell.graph.nodes[sx].rows);
    for (y, rows) in y.chunks_exact_mut(width).zip(segments.windows(2)) {
        vector(
            #[inline(always)]
            || {
                for row in rows[0]..rows[1] {
                    let (x, z) = (&x[row * width..][..width], &z[row * heads..][..heads]);
                    for ((y, x), &z) in y.chunks_exact_mut(each).zip(x.chunks_exact(each)).zip(z) {
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y += z * x);
                    }
                }
            },
        );
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn weighted_sum_backward<T: Real>(cell: &mut Cell<'_, T>) {
    let (width, [sx, sz]) = (cell.node().width, [cell.source(0), cell.source(1)]);
    let heads = cell.graph.nodes[sz].width;
    let each = width / heads;
    let rows = cell.graph.nodes[sx].rows;
    let g = std::mem::take(&mut cell.lane.grads[cell.id]);
    if cell.needs_gradient[sx] {
        let mut gx = cell.lane.take_grad_zeroed(sx, cell.lane.values[sx].len());
        let z = &cell.lane.values[sz];
        for (g, rows) in g.chunks_exact(width).zip(cell.lane.segments(rows).windows(2)) {
            let gx = &mut gx[rows[0] * width..rows[1] * width];
            let z = &z[rows[0] * heads..rows[1] * heads];
            vector(
                #[inline(always)]
                || {
                    let parts = g.chunks_exact(each).cycle();
                    for ((gx, &z), g) in gx.chunks_exact_mut(each).zip(z).zip(parts) {
                        gx.iter_mut().zip(g).for_each(|(gx, &g)| *gx += z * g);
                    }
                },
            );
        }
        cell.lane.give_grad(sx, gx);
    }
    if cell.needs_gradient[sz] {
        let mut gz = cell.lane.take_grad_zeroed(sz, cell.lane.values[sz].len());
        let x = &cell.lane.values[sx];
        for (g, rows) in g.chunks_exact(width).zip(cell.lane.segments(rows).windows(2)) {
            let x = &x[rows[0] * width..rows[1] * width];
            let gz = &mut gz[rows[0] * heads..rows[1] * heads];
            vector(
                #[inline(always)]
                || {
                    for ((gz, x), g) in gz.iter_mut().zip(x.chunks_exact(each)).zip(g.chunks_exact(each).cycle()) {
                        *gz += fold(x, g, |x, g| x * g);
                    }
                },
            );
        }
        cell.lane.give_grad(sz, gz);
    }
    cell.lane.grads[cell.id] = g;
}

pub(super) fn positions_forward<T: Real>(cell: &mut Cell<'_, T>, channels: usize) {
    let mut y = cell.take_value();
    y.fill(T::ZERO);
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    let factor = T::of(channels as f64 / width as f64);
    for (y, x) in y.chunks_exact_mut(channels).zip(cell.lane.values[source].chunks_exact(width)) {
        sum_rows(y, x);
        for y in y.iter_mut() {
            *y = *y * factor;
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn positions_backward<T: Real>(cell: &mut Cell<'_, T>, channels: usize) {
    let source = cell.source(0);
    let width = cell.graph.nodes[source].width;
    let factor = T::of(channels as f64 / width as f64);
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    for (gx, g) in gx.chunks_exact_mut(width).zip(cell.lane.grads[cell.id].chunks_exact(channels)) {
        for gx in gx.chunks_exact_mut(channels) {
            gx.iter_mut().zip(g).for_each(|(gx, &g)| *gx += g * factor);
        }
    }
    cell.lane.give_grad(source, gx);
}

/// The pixels of the window of pixel (row, column) of the output, as offsets into the input.
fn within(
    [height, width, channels]: [usize; 3],
    window: Window,
    [row, column]: [usize; 2],
) -> impl Iterator<Item = usize> {
    let side = |at: usize, n: usize| {
        let first = at * window.stride;
        first.saturating_sub(window.padding)..(first + window.size - window.padding).min(n)
    };
    let (rows, columns) = (side(row, height), side(column, width));
    rows.flat_map(move |y| columns.clone().map(move |x| (y * width + x) * channels))
}

pub(super) fn max_forward<T: Real>(cell: &mut Cell<'_, T>, shape: [usize; 3], window: Window) {
    let mut y = cell.take_value();
    let source = cell.source(0);
    let (pixels, channels) = (shape.iter().product(), shape[2]);
    let across = (shape[1] + 2 * window.padding - window.size) / window.stride + 1;
    for (y, x) in y.chunks_exact_mut(cell.node().width).zip(cell.lane.values[source].chunks_exact(pixels)) {
        for (i, y) in y.chunks_exact_mut(channels).enumerate() {
            let mut all = within(shape, window, [i / across, i % across]);
            if let Some(first) = all.next() {
                y.copy_from_slice(&x[first..first + channels]);
            }
            for at in all {
                vector(
                    #[inline(always)]
                    || y.iter_mut().zip(&x[at..at + channels]).for_each(|(y, &x)| *y = y.max(x)),
                );
            }
        }
    }
    cell.lane.values[cell.id] = y;
}

pub(super) fn max_backward<T: Real>(cell: &mut Cell<'_, T>, shape: [usize; 3], window: Window) {
    let source = cell.source(0);
    let (pixels, channels, width) = (shape.iter().product(), shape[2], cell.node().width);
    let across = (shape[1] + 2 * window.padding - window.size) / window.stride + 1;
    let mut gx = cell.lane.take_grad_zeroed(source, cell.lane.values[source].len());
    let events = gx.chunks_exact_mut(pixels).zip(cell.lane.values[source].chunks_exact(pixels));
    let results = cell.lane.values[cell.id].chunks_exact(width).zip(cell.lane.grads[cell.id].chunks_exact(width));
    for ((gx, x), (y, g)) in events.zip(results) {
        for i in 0..width / channels {
            let all: Vec<usize> = within(shape, window, [i / across, i % across]).collect();
            let from = i * channels;
            for (c, (&y, &g)) in y[from..from + channels].iter().zip(&g[from..from + channels]).enumerate() {
                // The first of equal pixels takes the gradient.
                if let Some(at) = all.iter().find(|&&at| x[at + c] == y) {
                    gx[at + c] += g;
                }
            }
        }
    }
    cell.lane.give_grad(source, gx);
}
