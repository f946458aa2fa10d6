//! EdgeConv with batch normalisation, fused.
//!
//! The first layer acts on [x_i, x_j − x_i]: x_i·Wₐ + (x_j − x_i)·W_b = a_i + b_j with a = x·(Wₐ − W_b), b = x·W_b, so
//! its product runs over particles instead of edges and its result is never stored. The edges of a few particles at a
//! time go through normalisation, rectifier and product in a tile that fits the first-level cache; only the results of
//! the second and third product are kept for the backward pass, where the gradients take their place.

use super::Cell;
use super::norm::{add_gradient_moments, add_moments, add_norm_gradient, clear_partial, scale_shift, through};
use crate::executor::Mode;
use crate::kernels::{Matrix, Real, product, vector};

const LAYERS: usize = 3;
/// Edges in a tile, about.
const TILE: usize = 128;

/// Buffers kept from the forward pass, by their place in `Lane::keep`.
const A: usize = 0;
const B: usize = 1;
const DIFFERENCE: usize = 2;
const Z2: usize = 3;
const Z3: usize = 4;
const TILE_IN: usize = 5;
const TILE_OUT: usize = 6;
const TILE_Z: usize = 7;
const GRAD_A: usize = 8;
const GRAD_B: usize = 9;

/// A few particles of one event with their edges.
struct Tile {
    /// Particle rows.
    particles: std::ops::Range<usize>,
    /// Edge rows.
    edges: std::ops::Range<usize>,
    /// Neighbours of each particle.
    k: usize,
}

/// Cuts the particles of a lane into tiles of whole particles.
fn tiles(offsets: &[usize], k: usize) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut edge = 0;
    for event in offsets.windows(2) {
        let n = event[1] - event[0];
        let k = k.min(n.saturating_sub(1));
        let step = if k == 0 { n.max(1) } else { TILE.div_ceil(k) };
        for start in (event[0]..event[1]).step_by(step) {
            let end = (start + step).min(event[1]);
            let edges = edge..edge + (end - start) * k;
            edge = edges.end;
            tiles.push(Tile { particles: start..end, edges, k });
        }
    }
    tiles
}

/// For each particle the rows of its k nearest others of the same event by squared distance; equals by row.
pub(super) fn nearest<T: Real>(index: &mut Vec<u32>, x: &[T], d: usize, offsets: &[usize], k: usize) {
    index.clear();
    let mut columns: Vec<T> = Vec::new();
    let mut distance: Vec<T> = Vec::new();
    let mut best: Vec<(T, u32)> = Vec::new();
    for event in offsets.windows(2) {
        let n = event[1] - event[0];
        let k = k.min(n.saturating_sub(1));
        if k == 0 {
            continue;
        }
        let x = &x[event[0] * d..event[1] * d];
        // Coordinate by coordinate, so that the loop over the others is vector code.
        columns.clear();
        columns.resize(n * d, T::ZERO);
        for (j, row) in x.chunks_exact(d).enumerate() {
            row.iter().enumerate().for_each(|(c, &v)| columns[c * n + j] = v);
        }
        distance.resize(n, T::ZERO);
        for i in 0..n {
            vector(
                #[inline(always)]
                || {
                    distance.fill(T::ZERO);
                    for (c, column) in columns.chunks_exact(n).enumerate() {
                        let center = x[i * d + c];
                        for (distance, &v) in distance.iter_mut().zip(column) {
                            let delta = v - center;
                            *distance += delta * delta;
                        }
                    }
                },
            );
            best.clear();
            for (j, &distance) in distance.iter().enumerate() {
                if j == i || (best.len() == k && distance >= best[k - 1].0) {
                    continue;
                }
                if best.len() == k {
                    best.pop();
                }
                let at = best.iter().rposition(|b| b.0 <= distance).map_or(0, |at| at + 1);
                best.insert(at, (distance, j as u32));
            }
            index.extend(best.iter().map(|&(_, j)| event[0] as u32 + j));
        }
    }
}

/// The first layer's results on the edges of a tile: a_i + b_j.
fn gather<T: Real>(z: &mut [T], tile: &Tile, a: &[T], b: &[T], index: &[u32], width: usize) {
    vector(
        #[inline(always)]
        || {
            for (e, z) in z.chunks_exact_mut(width).enumerate() {
                let i = tile.particles.start + e / tile.k;
                let j = index[tile.edges.start + e] as usize;
                let (a, b) = (&a[i * width..][..width], &b[j * width..][..width]);
                z.iter_mut().zip(a.iter().zip(b)).for_each(|(z, (&a, &b))| *z = a + b);
            }
        },
    );
}

/// y = relu((a_i + b_j)·scale + shift) on the edges of a tile.
fn gather_normalised<T: Real>(
    y: &mut [T],
    tile: &Tile,
    [a, b]: [&[T]; 2],
    index: &[u32],
    (scale, shift): &(Vec<T>, Vec<T>),
) {
    let width = scale.len();
    vector(
        #[inline(always)]
        || {
            for (e, y) in y.chunks_exact_mut(width).enumerate() {
                let i = tile.particles.start + e / tile.k;
                let j = index[tile.edges.start + e] as usize;
                let (a, b) = (&a[i * width..][..width], &b[j * width..][..width]);
                for ((y, (&a, &b)), (&s, &t)) in y.iter_mut().zip(a.iter().zip(b)).zip(scale.iter().zip(shift)) {
                    *y = ((a + b) * s + t).max(T::ZERO);
                }
            }
        },
    );
}

/// y = relu(x·scale + shift), row by row.
fn normalise<T: Real>(y: &mut [T], x: &[T], (scale, shift): &(Vec<T>, Vec<T>)) {
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
                for ((y, &x), (&s, &t)) in y.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                    *y = (x * s + t).max(T::ZERO);
                }
            }
        },
    );
}

/// g = 0 where relu(x·scale + shift) is flat.
fn rectify<T: Real>(g: &mut [T], x: &[T], (scale, shift): &(Vec<T>, Vec<T>)) {
    // Adding a zero that the compiler cannot see through keeps it from a masked store, which is slow.
    let zero = &std::hint::black_box(T::ZERO);
    vector(
        #[inline(always)]
        || {
            // Once, not from memory for each entry.
            let zero = *zero;
            for (g, x) in g.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
                for ((g, &x), (&s, &t)) in g.iter_mut().zip(x).zip(scale.iter().zip(shift)) {
                    *g = if x * s + t > T::ZERO { *g + zero } else { T::ZERO };
                }
            }
        },
    );
}

/// The widths before and after layer `l`.
fn widths<T: Real>(cell: &Cell<'_, T>, channels: [usize; LAYERS], l: usize) -> [usize; 2] {
    let before = if l == 0 { cell.graph.nodes[cell.source(1)].width } else { channels[l - 1] };
    [before, channels[l]]
}

fn weight<'a, T: Real>(cell: &Cell<'a, T>, l: usize) -> &'a [T] {
    cell.parameter(3 * l)
}

fn affine<T: Real>(cell: &Cell<'_, T>, l: usize) -> (Vec<T>, Vec<T>) {
    scale_shift(&cell.norms[l], cell.parameter(3 * l + 1), cell.parameter(3 * l + 2))
}

/// The edges of a lane, and room for a tile of them.
struct Edges<T> {
    tiles: Vec<Tile>,
    index: Vec<u32>,
    /// First layer's results per particle, as centre and as neighbour.
    a: Vec<T>,
    b: Vec<T>,
    /// Results of the second and third product, `widest` numbers of room for each edge.
    z2: Vec<T>,
    z3: Vec<T>,
    tile_in: Vec<T>,
    tile_out: Vec<T>,
    tile_z: Vec<T>,
    widest: usize,
}

fn take_edges<T: Real>(cell: &mut Cell<'_, T>, k: usize, channels: [usize; LAYERS]) -> Edges<T> {
    let particles = cell.rows();
    let widest = channels.into_iter().max().unwrap_or(0);
    let index = std::mem::take(&mut cell.lane.index[cell.id]);
    let stored = if cell.mode == Mode::Inference { 0 } else { index.len() * widest };
    let mut tile = |at| cell.take_keep(at, (TILE + k) * widest);
    let [tile_in, tile_out, tile_z] = [tile(TILE_IN), tile(TILE_OUT), tile(TILE_Z)];
    Edges {
        tiles: tiles(&cell.lane.offsets, k),
        a: cell.take_keep(A, particles * channels[0]),
        b: cell.take_keep(B, particles * channels[0]),
        z2: cell.take_keep(Z2, stored),
        z3: cell.take_keep(Z3, stored),
        index,
        tile_in,
        tile_out,
        tile_z,
        widest,
    }
}

fn give_edges<T: Real>(cell: &mut Cell<'_, T>, edges: Edges<T>) {
    cell.lane.index[cell.id] = edges.index;
    for (at, buffer) in [(A, edges.a), (B, edges.b), (Z2, edges.z2), (Z3, edges.z3)] {
        cell.give_keep(at, buffer);
    }
    for (at, buffer) in [(TILE_IN, edges.tile_in), (TILE_OUT, edges.tile_out), (TILE_Z, edges.tile_z)] {
        cell.give_keep(at, buffer);
    }
}

/// Neighbours, and the first layer's product over the particles.
fn prepare<T: Real>(cell: &mut Cell<'_, T>, k: usize, channels: [usize; LAYERS]) {
    let ([coordinates, source], particles) = ([cell.source(0), cell.source(1)], cell.rows());
    let [width, out] = widths(cell, channels, 0);
    let mut index = std::mem::take(&mut cell.lane.index[cell.id]);
    let d = cell.graph.nodes[coordinates].width;
    nearest(&mut index, &cell.lane.values[coordinates], d, &cell.lane.offsets, k);
    cell.lane.index[cell.id] = index;
    let (upper, lower) = weight(cell, 0).split_at(width * out);
    let mut difference = cell.take_keep(DIFFERENCE, width * out);
    difference.iter_mut().zip(upper.iter().zip(lower)).for_each(|(d, (&u, &l))| *d = u - l);
    for (at, weight) in [(A, &difference[..]), (B, lower)] {
        let mut z = cell.take_keep(at, particles * out);
        let x = (&cell.lane.values[source][..], Matrix::rows(width));
        product([particles, width, out], x, (weight, Matrix::rows(out)), (&mut z, Matrix::rows(out)), T::ZERO);
        cell.give_keep(at, z);
    }
    cell.give_keep(DIFFERENCE, difference);
}

pub(super) fn forward<T: Real>(cell: &mut Cell<'_, T>, phase: usize, k: usize, channels: [usize; LAYERS]) {
    if phase == 0 {
        prepare(cell, k, channels);
    }
    if cell.mode == Mode::Inference {
        return infer(cell, k, channels);
    }
    let mut edges = take_edges(cell, k, channels);
    let Edges { tiles, index, a, b, z2, z3, tile_in, tile_out, widest, .. } = &mut edges;
    if phase < LAYERS {
        clear_partial(&mut cell.lane.partial, channels[phase]);
    }
    match phase {
        0 => {
            for tile in tiles.iter().filter(|t| t.k > 0) {
                let z = &mut tile_out[..tile.edges.len() * channels[0]];
                gather(z, tile, a, b, index, channels[0]);
                add_moments(&mut cell.lane.partial, z, channels[0]);
            }
        }
        1 | 2 => {
            let [width, out] = widths(cell, channels, phase);
            let below = affine(cell, phase - 1);
            for tile in tiles.iter().filter(|t| t.k > 0) {
                let (rows, at) = (tile.edges.len(), tile.edges.start * *widest);
                let x = &mut tile_in[..rows * width];
                let z = if phase == 1 {
                    gather_normalised(x, tile, [a, b], index, &below);
                    &mut z2[at..at + rows * out]
                } else {
                    normalise(x, &z2[at..at + rows * width], &below);
                    &mut z3[at..at + rows * out]
                };
                let weight = (weight(cell, phase), Matrix::rows(out));
                product([rows, width, out], (x, Matrix::rows(width)), weight, (z, Matrix::rows(out)), T::ZERO);
                add_moments(&mut cell.lane.partial, z, out);
            }
        }
        _ => {
            let out = channels[2];
            let last = affine(cell, 2);
            let mut y = cell.take_value();
            for tile in tiles.iter() {
                let (rows, at) = (tile.edges.len(), tile.edges.start * *widest);
                let x = &mut tile_in[..rows * out];
                normalise(x, &z3[at..at + rows * out], &last);
                mean_edges(&mut y[tile.particles.start * out..tile.particles.end * out], x, tile.k, out);
            }
            cell.lane.values[cell.id] = y;
        }
    }
    give_edges(cell, edges);
}

/// y_i = (1/k) Σ_j x_ij; zero for a particle alone.
fn mean_edges<T: Real>(y: &mut [T], x: &[T], k: usize, width: usize) {
    if k == 0 {
        y.fill(T::ZERO);
        return;
    }
    let factor = T::of(1.0 / k as f64);
    vector(
        #[inline(always)]
        || {
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(k * width)) {
                y.fill(T::ZERO);
                for x in x.chunks_exact(width) {
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y += x);
                }
                for y in y.iter_mut() {
                    *y = *y * factor;
                }
            }
        },
    );
}

/// All layers of a tile in one go, with the running averages.
fn infer<T: Real>(cell: &mut Cell<'_, T>, k: usize, channels: [usize; LAYERS]) {
    let mut edges = take_edges(cell, k, channels);
    let affine = [0, 1, 2].map(|l| affine(cell, l));
    let mut y = cell.take_value();
    for tile in &edges.tiles {
        let rows = tile.edges.len();
        for l in 0..LAYERS {
            let width = channels[l];
            let x = &mut edges.tile_in[..rows * width];
            match l {
                _ if rows == 0 => {}
                0 => gather_normalised(x, tile, [&edges.a, &edges.b], &edges.index, &affine[0]),
                _ => normalise(x, &edges.tile_out[..rows * width], &affine[l]),
            }
            if l + 1 < LAYERS {
                let out = channels[l + 1];
                let x = (&edges.tile_in[..rows * width], Matrix::rows(width));
                let z = (&mut edges.tile_out[..rows * out], Matrix::rows(out));
                product([rows, width, out], x, (weight(cell, l + 1), Matrix::rows(out)), z, T::ZERO);
            }
        }
        let out = channels[2];
        let particles = tile.particles.start * out..tile.particles.end * out;
        mean_edges(&mut y[particles], &edges.tile_in[..rows * out], tile.k, out);
    }
    cell.lane.values[cell.id] = y;
    give_edges(cell, edges);
}

/// Phase p < 3 ends with the gradient moments of layer 2 − p; phases 1 to 3 first take the gradient through the
/// normalisation and the product of the layer above.
pub(super) fn backward<T: Real>(cell: &mut Cell<'_, T>, phase: usize, k: usize, channels: [usize; LAYERS]) {
    let mut edges = take_edges(cell, k, channels);
    match phase {
        0 => last_layer_moments(cell, &mut edges, channels),
        1 | 2 => middle_layer(cell, &mut edges, LAYERS - phase, channels),
        _ => first_layer(cell, &mut edges, channels),
    }
    give_edges(cell, edges);
}

/// The gradient before the rectifier of the last layer: that of the mean, where the rectifier lets it through.
fn spread_mean<T: Real>(g: &mut [T], tile: &Tile, grad: &[T], width: usize) {
    let factor = T::of(1.0 / tile.k as f64);
    let particles = tile.particles.start * width..tile.particles.end * width;
    vector(
        #[inline(always)]
        || {
            for (g, grad) in g.chunks_exact_mut(tile.k * width).zip(grad[particles].chunks_exact(width)) {
                for g in g.chunks_exact_mut(width) {
                    g.iter_mut().zip(grad).for_each(|(g, &grad)| *g = grad * factor);
                }
            }
        },
    );
}

fn last_layer_moments<T: Real>(cell: &mut Cell<'_, T>, edges: &mut Edges<T>, channels: [usize; LAYERS]) {
    let out = channels[2];
    let last = affine(cell, 2);
    clear_partial(&mut cell.lane.partial, out);
    for tile in edges.tiles.iter().filter(|t| t.k > 0) {
        let (rows, at) = (tile.edges.len(), tile.edges.start * edges.widest);
        let (g, z) = (&mut edges.tile_in[..rows * out], &edges.z3[at..at + rows * out]);
        spread_mean(g, tile, &cell.lane.grads[cell.id], out);
        rectify(g, z, &last);
        add_gradient_moments(&mut cell.lane.partial, g, z, &cell.norms[2]);
    }
    add_norm_gradient(cell, 3 * 2 + 1, out);
}

/// Through the normalisation and product of layer `l` (2 or 1), down to the rectifier of layer `l − 1`.
fn middle_layer<T: Real>(cell: &mut Cell<'_, T>, edges: &mut Edges<T>, l: usize, channels: [usize; LAYERS]) {
    let [width, out] = widths(cell, channels, l);
    let (above, below) = (affine(cell, l), affine(cell, l - 1));
    let (weight, gamma) = (weight(cell, l), cell.parameter(3 * l + 1));
    let Edges { tiles, index, a, b, z2, z3, tile_in, tile_out, tile_z, widest } = edges;
    clear_partial(&mut cell.lane.partial, width);
    for tile in tiles.iter().filter(|t| t.k > 0) {
        let (rows, at) = (tile.edges.len(), tile.edges.start * *widest);
        let g = &mut tile_out[..rows * out];
        if l == 2 {
            let z = &z3[at..at + rows * out];
            spread_mean(g, tile, &cell.lane.grads[cell.id], out);
            rectify(g, z, &above);
            through(g, None, z, &cell.norms[2], gamma);
        } else {
            let (above, z) = (&z3[at..at + rows * out], &z2[at..at + rows * out]);
            through(g, Some(above), z, &cell.norms[1], gamma);
        }
        let z = if l == 2 {
            &z2[at..at + rows * width]
        } else {
            gather(&mut tile_z[..rows * width], tile, a, b, index, width);
            &tile_z[..rows * width]
        };
        let x = &mut tile_in[..rows * width];
        normalise(x, z, &below);
        let weight_grad = (cell.parameter_grad(3 * l), Matrix::rows(out));
        product([width, rows, out], (x, Matrix::transposed(width)), (g, Matrix::rows(out)), weight_grad, T::ONE);
        // What was z₃ or the gradient above it is no longer needed: the gradient below takes its place.
        let gx = &mut z3[at..at + rows * width];
        let weight = (weight, Matrix::transposed(out));
        product([rows, out, width], (g, Matrix::rows(out)), weight, (gx, Matrix::rows(width)), T::ZERO);
        rectify(gx, z, &below);
        add_gradient_moments(&mut cell.lane.partial, gx, z, &cell.norms[l - 1]);
    }
    add_norm_gradient(cell, 3 * (l - 1) + 1, width);
}

/// Through the first layer's normalisation to a_i and b_j, and from there to the particles and the weights.
fn first_layer<T: Real>(cell: &mut Cell<'_, T>, edges: &mut Edges<T>, channels: [usize; LAYERS]) {
    let ([width, out], source, particles) = (widths(cell, channels, 0), cell.source(1), cell.rows());
    let mut grad_a = cell.take_keep(GRAD_A, particles * out);
    let mut grad_b = cell.take_keep(GRAD_B, particles * out);
    grad_a.fill(T::ZERO);
    grad_b.fill(T::ZERO);
    let gamma = cell.parameter(1);
    for tile in edges.tiles.iter().filter(|t| t.k > 0) {
        let (rows, at) = (tile.edges.len(), tile.edges.start * edges.widest);
        let z = &mut edges.tile_z[..rows * out];
        gather(z, tile, &edges.a, &edges.b, &edges.index, out);
        let g = &mut edges.z3[at..at + rows * out];
        through(g, None, z, &cell.norms[0], gamma);
        let neighbours = &edges.index[tile.edges.clone()];
        vector(
            #[inline(always)]
            || {
                for (e, (g, &j)) in g.chunks_exact(out).zip(neighbours).enumerate() {
                    let i = tile.particles.start + e / tile.k;
                    grad_a[i * out..][..out].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                    grad_b[j as usize * out..][..out].iter_mut().zip(g).for_each(|(s, &g)| *s += g);
                }
            },
        );
    }
    if cell.needs_gradient[source] {
        let (mut gx, touched) = cell.lane.take_grad(source, particles * width);
        let difference = std::mem::take(&mut cell.lane.keep[cell.id][DIFFERENCE]);
        let lower = &weight(cell, 0)[width * out..];
        let weights = [(&grad_a, &difference[..], touched), (&grad_b, lower, true)];
        for (grad, weight, add) in weights {
            let beta = if add { T::ONE } else { T::ZERO };
            let weight = (weight, Matrix::transposed(out));
            product([particles, out, width], (grad, Matrix::rows(out)), weight, (&mut gx, Matrix::rows(width)), beta);
        }
        cell.give_keep(DIFFERENCE, difference);
        cell.lane.give_grad(source, gx);
    }
    // a = x·(Wₐ − W_b) and b = x·W_b: W_b sees the difference of the two gradients.
    grad_b.iter_mut().zip(&grad_a).for_each(|(b, &a)| *b = *b - a);
    let x = std::mem::take(&mut cell.lane.values[source]);
    let (upper, lower) = cell.parameter_grad(0).split_at_mut(width * out);
    for (grad, weight_grad) in [(&grad_a, upper), (&grad_b, lower)] {
        let (x, grad) = ((&x[..], Matrix::transposed(width)), (&grad[..], Matrix::rows(out)));
        product([width, particles, out], x, grad, (weight_grad, Matrix::rows(out)), T::ONE);
    }
    cell.lane.values[source] = x;
    cell.give_keep(GRAD_A, grad_a);
    cell.give_keep(GRAD_B, grad_b);
}
