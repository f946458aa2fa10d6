//! Networks as functions: values and derivatives with respect to the inputs, and the exact gradient of those in weights.
//!
//! A *jet* is the list of the Taylor coefficients of a function at a point for a set of multi-indices α that is closed
//! downwards (with α all smaller ones). Jets go through a layer at once. For y = tanh u, ∂y = (1 − y²) ∂u, so that
//! αᵢ y_α = Σ_β βᵢ u_β v_{α−β} with v = 1 − y²; for sine and cosine likewise. Every order costs a few products, nothing is
//! approximated, and the products are bilinear, so their reverse is written down at once.

use fb_core::Philox;

use crate::kernels::{dot, vector};

/// Most variables of a function.
pub const MOST_VARIABLES: usize = 4;

/// α: how often a function is differentiated by each variable.
pub type Order = [u8; MOST_VARIABLES];

/// A set of multi-indices, with all that are below them, and how jets over it are multiplied.
#[derive(Debug, Clone)]
pub struct Jets {
    orders: Vec<Order>,
    /// α!, by which a coefficient becomes a derivative.
    factorials: Vec<f64>,
    /// Pairs (β, α − β).
    products: Vec<Vec<(usize, usize)>>,
    /// Triples (β, α − β, βᵢ/αᵢ) with the first i of αᵢ > 0.
    chains: Vec<Vec<(usize, usize, f64)>>,
}

impl Jets {
    /// The smallest set that holds the value and these derivatives.
    pub fn new(wanted: &[Order]) -> Self {
        let mut orders = vec![[0; MOST_VARIABLES]];
        let below = |a: &Order, b: &Order| a.iter().zip(b).all(|(a, b)| a <= b);
        for top in wanted {
            let mut at: Order = [0; MOST_VARIABLES];
            loop {
                orders.push(at);
                // Counts through all indices below, the first digit fastest.
                let Some(i) = (0..MOST_VARIABLES).find(|&i| at[i] < top[i]) else { break };
                at[..i].fill(0);
                at[i] += 1;
            }
        }
        orders.sort_by_key(|order| (order.iter().map(|&k| u32::from(k)).sum::<u32>(), std::cmp::Reverse(*order)));
        orders.dedup();
        let less = |a: &Order, b: &Order| -> Order { std::array::from_fn(|i| a[i] - b[i]) };
        let place = |order: &Order| orders.iter().position(|o| o == order).unwrap_or(0);
        let pairs = |a: &Order| -> Vec<(usize, usize)> {
            orders.iter().enumerate().filter(|(_, b)| below(b, a)).map(|(at, b)| (at, place(&less(a, b)))).collect()
        };
        let chains = orders.iter().map(|a| {
            let Some(i) = a.iter().position(|&k| k > 0) else { return Vec::new() };
            let part = |b: usize| f64::from(orders[b][i]) / f64::from(a[i]);
            pairs(a).into_iter().map(|(b, c)| (b, c, part(b))).filter(|(.., part)| *part > 0.0).collect()
        });
        let factorial = |a: &Order| a.iter().map(|&k| (1..=k).map(f64::from).product::<f64>()).product();
        Self {
            factorials: orders.iter().map(factorial).collect(),
            products: orders.iter().map(pairs).collect(),
            chains: chains.collect(),
            orders,
        }
    }

    /// The multi-indices, the value first.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The place of a multi-index.
    pub fn position(&self, order: &Order) -> Option<usize> {
        self.orders.iter().position(|o| o == order)
    }
}

/// What bends between the layers. Both have derivatives of any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bend {
    /// tanh u
    Tanh,
    /// sin u
    Sin,
}

/// A multilayer perceptron on a box: z = (x − centre)/half width, Fourier features if there are any, hidden layers,
/// linear outputs.
#[derive(Debug, Clone)]
pub struct TaylorNetwork {
    jets: Jets,
    centre: Vec<f64>,
    half: Vec<f64>,
    /// Angular frequencies in z, one row a feature: sin(ω·z) and cos(ω·z) stand beside z.
    frequencies: Vec<f64>,
    hidden: Vec<usize>,
    outputs: usize,
    bend: Bend,
}

/// What the forward pass leaves for the backward pass, of one point.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    inputs: Vec<f64>,
    layers: Vec<[Vec<f64>; 3]>,
}

/// Room for the backward pass.
#[derive(Debug, Clone, Default)]
pub struct Room {
    up: Vec<f64>,
    down: Vec<f64>,
    other: Vec<f64>,
}

impl TaylorNetwork {
    /// A network on the box of these `(low, high)`, with hidden layers of these widths.
    pub fn new(jets: Jets, domain: &[(f64, f64)], hidden: &[usize], outputs: usize, bend: Bend) -> Self {
        Self {
            jets,
            centre: domain.iter().map(|(a, b)| 0.5 * (a + b)).collect(),
            half: domain.iter().map(|(a, b)| 0.5 * (b - a)).collect(),
            frequencies: Vec::new(),
            hidden: hidden.to_vec(),
            outputs,
            bend,
        }
    }

    /// The same on `count` Fourier features with normal frequencies of deviation `scale` in z (arXiv:2006.10739).
    #[must_use]
    pub fn with_fourier(mut self, count: usize, scale: f64, seed: u64) -> Self {
        let mut random = Philox::new(seed, 0xf0, 0);
        self.frequencies = (0..count * self.centre.len()).map(|_| scale * random.normal()).collect();
        self
    }

    /// The derivatives that it gives.
    pub fn jets(&self) -> &Jets {
        &self.jets
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn features(&self) -> usize {
        let n = self.centre.len();
        n + 2 * (self.frequencies.len() / n)
    }

    /// Inputs and outputs of each layer.
    fn shapes(&self) -> impl Iterator<Item = (usize, usize)> {
        let from = std::iter::once(self.features()).chain(self.hidden.iter().copied());
        from.zip(self.hidden.iter().copied().chain([self.outputs]))
    }

    /// The number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.shapes().map(|(from, to)| (from + 1) * to).sum()
    }

    /// Where the weights of the outputs begin: in these the network is linear.
    pub fn linear_from(&self) -> usize {
        self.parameters() - (self.hidden.last().copied().unwrap_or(self.features()) + 1) * self.outputs
    }

    /// Weights whose outputs are zero. The first layer has slopes uniform in ±`steepness` along random directions and bends
    /// at places uniform in the box; other layers are those of Glorot and Bengio. If it is `graded`, the places in z crowd
    /// at the ends as Chebyshev's points do, and slopes grow as distances shrink, so that layers at the boundary are seen.
    pub fn initial(&self, steepness: f64, graded: bool, seed: u64) -> Vec<f64> {
        let mut random = Philox::new(seed, 0xf1, 0);
        let mut weights = Vec::with_capacity(self.parameters());
        let last = self.hidden.len();
        for (layer, (from, to)) in self.shapes().enumerate() {
            let start = weights.len();
            weights.resize(start + (from + 1) * to, 0.0);
            if layer == last {
                break;
            }
            let (matrix, bias) = weights[start..].split_at_mut(from * to);
            for neuron in 0..to {
                if layer > 0 || !self.frequencies.is_empty() {
                    let most = (6.0 / (from + to) as f64).sqrt();
                    (0..from).for_each(|i| matrix[i * to + neuron] = most * (2.0 * random.uniform() - 1.0));
                    bias[neuron] = 0.5 * (2.0 * random.uniform() - 1.0);
                    continue;
                }
                let direction: Vec<f64> = (0..from).map(|_| random.normal()).collect();
                let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
                // Spread evenly, so that few neurons leave no part of the box without a bend.
                let part = (neuron as f64 + random.uniform()) / to as f64;
                for (i, x) in direction.iter().enumerate() {
                    let (mut w, mut place) = (steepness * part * x / norm, 2.0 * random.uniform() - 1.0);
                    if graded {
                        let angle = std::f64::consts::PI * part;
                        let tightest = 1.0 / to as f64;
                        place = if i == 0 { angle.cos() } else { (std::f64::consts::FRAC_PI_2 * place).sin() };
                        let spread = (1.0 - place * place).max(0.0).sqrt().max(tightest);
                        w = steepness * (0.3 + 0.7 * random.uniform()) * x / norm / spread;
                    }
                    matrix[i * to + neuron] = w;
                    bias[neuron] -= w * place;
                }
            }
        }
        weights
    }

    /// The derivatives of all outputs at `x`, output by output, in the order of the jets.
    pub fn forward(&self, weights: &[f64], x: &[f64], trace: &mut Trace, out: &mut [f64]) {
        vector(
            #[inline(always)]
            || self.run(weights, x, trace, out),
        );
    }

    #[inline(always)]
    fn run(&self, weights: &[f64], x: &[f64], trace: &mut Trace, out: &mut [f64]) {
        let size = self.jets.orders.len();
        self.lift(x, &mut trace.inputs);
        trace.layers.resize_with(self.hidden.len(), Default::default);
        let (mut start, mut from) = (0, self.features());
        for layer in 0..self.hidden.len() {
            let to = self.hidden[layer];
            let (earlier, later) = trace.layers.split_at_mut(layer);
            let input = earlier.last().map_or(&trace.inputs, |[_, y, _]| y);
            let [u, y, v] = &mut later[0];
            for buffer in [&mut *u, &mut *y, &mut *v] {
                buffer.clear();
                buffer.resize(size * to, 0.0);
            }
            u[..to].copy_from_slice(&weights[start + from * to..][..to]);
            for a in 0..size {
                let u = &mut u[a * to..][..to];
                for (i, &x) in input[a * from..][..from].iter().enumerate() {
                    if x != 0.0 {
                        let row = &weights[start + i * to..][..to];
                        u.iter_mut().zip(row).for_each(|(u, w)| *u += w * x);
                    }
                }
            }
            self.bend(to, u, y, v);
            start += (from + 1) * to;
            from = to;
        }
        let input = trace.layers.last().map_or(&trace.inputs, |[_, y, _]| y);
        for o in 0..self.outputs {
            let row = &weights[start + o * from..][..from];
            for a in 0..size {
                let bias = if a == 0 { weights[start + self.outputs * from + o] } else { 0.0 };
                out[o * size + a] = self.jets.factorials[a] * (bias + dot(row, &input[a * from..][..from]));
            }
        }
    }

    /// The jets of z and of the Fourier features.
    fn lift(&self, x: &[f64], inputs: &mut Vec<f64>) {
        let (n, width, size) = (self.centre.len(), self.features(), self.jets.orders.len());
        inputs.clear();
        inputs.resize(size * width, 0.0);
        for i in 0..n {
            inputs[i] = (x[i] - self.centre[i]) / self.half[i];
        }
        for (a, order) in self.jets.orders.iter().enumerate() {
            let total: u8 = order.iter().sum();
            if total == 1 {
                let i = order.iter().position(|&k| k == 1).unwrap_or(0);
                inputs[a * width + i] = 1.0 / self.half[i];
            }
            for (f, row) in self.frequencies.chunks_exact(n).enumerate() {
                let angle: f64 = (0..n).map(|i| row[i] * inputs[i]).sum();
                let factor: f64 = (0..n).map(|i| (row[i] / self.half[i]).powi(i32::from(order[i]))).product();
                let turned = angle + f64::from(total) * std::f64::consts::FRAC_PI_2;
                inputs[a * width + n + 2 * f] = factor * turned.sin() / self.jets.factorials[a];
                inputs[a * width + n + 2 * f + 1] = factor * turned.cos() / self.jets.factorials[a];
            }
        }
    }

    #[inline(always)]
    fn bend(&self, width: usize, u: &[f64], y: &mut [f64], v: &mut [f64]) {
        for n in 0..width {
            (y[n], v[n]) = match self.bend {
                Bend::Tanh => {
                    let t = u[n].tanh();
                    (t, 1.0 - t * t)
                }
                Bend::Sin => u[n].sin_cos(),
            };
        }
        for a in 1..self.jets.orders.len() {
            let (before, y_a) = y.split_at_mut(a * width);
            let (earlier, v_a) = v.split_at_mut(a * width);
            for &(b, c, part) in &self.jets.chains[a] {
                let (u, v) = (&u[b * width..][..width], &earlier[c * width..][..width]);
                y_a[..width].iter_mut().zip(u.iter().zip(v)).for_each(|(y, (u, v))| *y += part * u * v);
                if self.bend == Bend::Sin {
                    let s = &before[c * width..][..width];
                    v_a[..width].iter_mut().zip(u.iter().zip(s)).for_each(|(v, (u, s))| *v -= part * u * s);
                }
            }
            if self.bend == Bend::Tanh {
                for &(b, c) in &self.jets.products[a] {
                    let (left, right) = (&y[b * width..][..width], &y[c * width..][..width]);
                    v_a[..width].iter_mut().zip(left.iter().zip(right)).for_each(|(v, (l, r))| *v -= l * r);
                }
            }
        }
    }

    /// Adds to `gradient` that of Σ seed·derivative in the weights from `first` on, where `trace` is the one of
    /// [`Self::forward`] with these weights. `first` is 0, or [`Self::linear_from`] for those of the outputs alone.
    pub fn backward(
        &self,
        weights: &[f64],
        trace: &Trace,
        seeds: &[f64],
        first: usize,
        room: &mut Room,
        gradient: &mut [f64],
    ) {
        vector(
            #[inline(always)]
            || self.reverse(weights, trace, seeds, first, room, gradient),
        );
    }

    #[inline(always)]
    fn reverse(
        &self,
        weights: &[f64],
        trace: &Trace,
        seeds: &[f64],
        first: usize,
        room: &mut Room,
        gradient: &mut [f64],
    ) {
        let size = self.jets.orders.len();
        let mut from = self.hidden.last().copied().unwrap_or(self.features());
        let mut start = self.linear_from();
        let input = trace.layers.last().map_or(&trace.inputs, |[_, y, _]| y);
        room.up.clear();
        room.up.resize(size * from, 0.0);
        for o in 0..self.outputs {
            for a in 0..size {
                let seed = seeds[o * size + a] * self.jets.factorials[a];
                if seed == 0.0 {
                    continue;
                }
                let gradient = &mut gradient[start - first..];
                if a == 0 {
                    gradient[self.outputs * from + o] += seed;
                }
                let x = &input[a * from..][..from];
                gradient[o * from..][..from].iter_mut().zip(x).for_each(|(g, x)| *g += seed * x);
                let row = &weights[start + o * from..][..from];
                room.up[a * from..][..from].iter_mut().zip(row).for_each(|(u, w)| *u += seed * w);
            }
        }
        if first > 0 {
            return;
        }
        for layer in (0..self.hidden.len()).rev() {
            let to = self.hidden[layer];
            self.unbend(to, &trace.layers[layer], room);
            let input = if layer > 0 { &trace.layers[layer - 1][1] } else { &trace.inputs };
            from = if layer > 0 { self.hidden[layer - 1] } else { self.features() };
            start -= (from + 1) * to;
            let Room { up, down, .. } = room;
            gradient[start + from * to..][..to].iter_mut().zip(&down[..to]).for_each(|(g, d)| *g += d);
            up.clear();
            up.resize(size * from, 0.0);
            for a in 0..size {
                let down = &down[a * to..][..to];
                for (i, &x) in input[a * from..][..from].iter().enumerate() {
                    let at = start + i * to;
                    if x != 0.0 {
                        gradient[at..][..to].iter_mut().zip(down).for_each(|(g, d)| *g += d * x);
                    }
                    if layer > 0 {
                        up[a * from + i] = dot(&weights[at..][..to], down);
                    }
                }
            }
        }
    }

    /// From the adjoints of y in `room.up` to those of u in `room.down`.
    #[inline(always)]
    fn unbend(&self, width: usize, [u, y, v]: &[Vec<f64>; 3], room: &mut Room) {
        let Room { up: of_y, down: of_u, other: of_v } = room;
        for buffer in [&mut *of_u, &mut *of_v] {
            buffer.clear();
            buffer.resize(self.jets.orders.len() * width, 0.0);
        }
        for a in (1..self.jets.orders.len()).rev() {
            if self.bend == Bend::Tanh {
                for &(b, c) in &self.jets.products[a] {
                    for n in 0..width {
                        of_y[b * width + n] -= 2.0 * of_v[a * width + n] * y[c * width + n];
                    }
                }
            }
            for &(b, c, part) in &self.jets.chains[a] {
                for n in 0..width {
                    let (at, left, right) = (a * width + n, b * width + n, c * width + n);
                    let up = part * of_y[at];
                    of_u[left] += up * v[right];
                    of_v[right] += up * u[left];
                    if self.bend == Bend::Sin {
                        let up = part * of_v[at];
                        of_u[left] -= up * y[right];
                        of_y[right] -= up * u[left];
                    }
                }
            }
        }
        for n in 0..width {
            of_u[n] += match self.bend {
                Bend::Tanh => (of_y[n] - 2.0 * of_v[n] * y[n]) * v[n],
                Bend::Sin => of_y[n] * v[n] - of_v[n] * y[n],
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Order; 5] = [[3, 0, 0, 0], [2, 1, 0, 0], [1, 2, 0, 0], [0, 3, 0, 0], [1, 1, 0, 0]];

    /// f⁽ᵏ⁾ for k = 0..3 from the closed forms.
    fn closed(bend: Bend, u: f64) -> [f64; 4] {
        match bend {
            Bend::Tanh => {
                let t = u.tanh();
                let s = 1.0 - t * t;
                [t, s, -2.0 * t * s, s * (6.0 * t * t - 2.0)]
            }
            Bend::Sin => [u.sin(), u.cos(), -u.sin(), -u.cos()],
        }
    }

    #[test]
    fn derivatives_up_to_the_third_are_the_closed_forms() {
        for bend in [Bend::Tanh, Bend::Sin] {
            let net = TaylorNetwork::new(Jets::new(&ALL), &[(0.0, 2.0), (-1.0, 0.5)], &[7], 2, bend);
            let mut weights = net.initial(3.0, false, 5);
            let mut random = Philox::new(1, 0, 0);
            for w in &mut weights[net.linear_from()..] {
                *w = random.normal();
            }
            let (x, size) = ([0.7, -0.2], net.jets().orders().len());
            let mut out = vec![0.0; 2 * size];
            net.forward(&weights, &x, &mut Trace::default(), &mut out);
            let (half, centre) = ([1.0, 0.75], [1.0, -0.25]);
            for o in 0..2 {
                for (a, order) in net.jets().orders().iter().enumerate() {
                    let total = usize::from(order[0] + order[1]);
                    let mut expected = if a == 0 { weights[net.linear_from() + 14 + o] } else { 0.0 };
                    for n in 0..7 {
                        let w = [weights[n], weights[7 + n]];
                        let u = weights[14 + n] + (0..2).map(|i| w[i] * (x[i] - centre[i]) / half[i]).sum::<f64>();
                        let factor: f64 = (0..2).map(|i| (w[i] / half[i]).powi(i32::from(order[i]))).product();
                        expected += weights[net.linear_from() + o * 7 + n] * factor * closed(bend, u)[total];
                    }
                    let found = out[o * size + a];
                    assert!((found - expected).abs() < 1e-12 * (1.0 + expected.abs()), "{order:?} {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        for (bend, hidden, fourier) in
            [(Bend::Tanh, vec![5, 4], 0), (Bend::Sin, vec![4, 3, 5], 0), (Bend::Tanh, vec![6], 3)]
        {
            let net = TaylorNetwork::new(Jets::new(&ALL), &[(0.0, 2.0), (-1.0, 0.5)], &hidden, 2, bend)
                .with_fourier(fourier, 1.5, 3);
            let mut random = Philox::new(2, 0, 0);
            let mut weights: Vec<f64> = (0..net.parameters()).map(|_| 0.7 * random.normal()).collect();
            let seeds: Vec<f64> = (0..2 * net.jets().orders().len()).map(|_| random.normal()).collect();
            let value = |weights: &[f64]| {
                let (mut trace, mut out) = (Trace::default(), vec![0.0; seeds.len()]);
                net.forward(weights, &[0.4, 0.1], &mut trace, &mut out);
                (trace, dot(&out, &seeds))
            };
            let (trace, _) = value(&weights);
            let mut gradient = vec![0.0; weights.len()];
            net.backward(&weights, &trace, &seeds, 0, &mut Room::default(), &mut gradient);
            let mut linear = vec![0.0; weights.len() - net.linear_from()];
            net.backward(&weights, &trace, &seeds, net.linear_from(), &mut Room::default(), &mut linear);
            assert_eq!(linear, gradient[net.linear_from()..]);
            for i in 0..weights.len() {
                let (kept, h) = (weights[i], 1e-5);
                weights[i] = kept + h;
                let up = value(&weights).1;
                weights[i] = kept - h;
                let slope = (up - value(&weights).1) / (2.0 * h);
                weights[i] = kept;
                assert!((slope - gradient[i]).abs() < 1e-6 * (1.0 + slope.abs()), "{i}: {slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn fourier_features_have_exact_derivatives() {
        // Without a hidden layer the outputs are the features themselves.
        let net = TaylorNetwork::new(Jets::new(&ALL), &[(-1.0, 1.0), (-2.0, 2.0)], &[], 1, Bend::Tanh)
            .with_fourier(1, 2.0, 9);
        let mut weights = vec![0.0; net.parameters()];
        weights[2] = 1.0;
        let (x, mut out) = ([0.3, 0.8], vec![0.0; net.jets().orders().len()]);
        net.forward(&weights, &x, &mut Trace::default(), &mut out);
        let (p, q) = (net.frequencies[0], net.frequencies[1] / 2.0);
        let angle = p * x[0] + q * x[1];
        for (order, expected) in [
            ([0, 0, 0, 0], angle.sin()),
            ([1, 0, 0, 0], p * angle.cos()),
            ([1, 1, 0, 0], -p * q * angle.sin()),
            ([2, 1, 0, 0], -p * p * q * angle.cos()),
        ] {
            let found = out[net.jets().position(&order).unwrap()];
            assert!((found - expected).abs() < 1e-13, "{order:?}");
        }
    }
}
