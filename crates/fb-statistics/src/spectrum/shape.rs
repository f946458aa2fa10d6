//! Densities of a mass spectrum, their integrals over bins, and the exact gradients of both.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use fb_core::{Error, Result, closest};

use super::dual::Number;

/// The most parameters that a shape has.
pub const MOST: usize = 8;

/// The mass and the width of the Z boson in GeV (PDG 2024).
const Z: (f64, f64) = (91.1880, 2.4955);

/// A density without its normalisation, in the window [low, high]; u = (x − low)/(high − low), t = (x − mean)/sigma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// e^(−t²/2).
    Gaussian,
    /// A Gaussian that goes over into the power tail e^(−α²/2) (1 − (α/n)(α + t))^(−n) at t = −α, smoothly to the first
    /// derivative (Gaiser, SLAC-R-255).
    CrystalBall,
    /// The same with a tail of its own on either side.
    DoubleCrystalBall,
    /// 1/((x − mean)² + width²/4).
    BreitWigner,
    /// Breit and Wigner's curve convolved with a Gaussian.
    Voigt,
    /// e^(−slope (x − low)).
    Exponential,
    /// (x/low)^(−power).
    PowerLaw,
    /// Σ c_k B_k,n(u) with c_0 = 1; its parameters are c_1 … c_n.
    Bernstein(usize),
    /// The Z boson's tail with photon exchange as CMS has it: e^(a u + b u²)/(|x − m_Z|^power + (Γ_Z/2)^power)
    /// (arXiv:2009.04363, section 8.2).
    ModifiedBreitWigner,
}

/// Nodes and weights of Gauss and Legendre's rule of five points on [−1, 1].
const RULE: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    (-0.538_469_310_105_683, 0.478_628_670_499_366_47),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683, 0.478_628_670_499_366_47),
    (0.906_179_845_938_664, 0.236_926_885_056_189_08),
];
/// Panels of the window in which shapes without a closed integral are integrated by that rule.
const PANELS: f64 = 100.0;

impl Shape {
    /// All that have a name; `bernstein:N` besides.
    const NAMES: [(&str, Shape); 8] = [
        ("gaussian", Self::Gaussian),
        ("crystal_ball", Self::CrystalBall),
        ("double_crystal_ball", Self::DoubleCrystalBall),
        ("breit_wigner", Self::BreitWigner),
        ("voigt", Self::Voigt),
        ("exponential", Self::Exponential),
        ("power_law", Self::PowerLaw),
        ("modified_breit_wigner", Self::ModifiedBreitWigner),
    ];

    /// From its name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the nearest one; [`Error::Config`] for a degree that is not 1 to 8.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some(degree) = name.strip_prefix("bernstein:") {
            return match degree.parse() {
                Ok(n) if (1..=MOST).contains(&n) => Ok(Self::Bernstein(n)),
                _ => Err(Error::Config {
                    place: format!("shape `{name}`"),
                    reason: format!("found the degree `{degree}`, expected 1 to {MOST} as in `bernstein:3`"),
                }),
            };
        }
        let names = || Self::NAMES.iter().map(|(n, _)| *n).chain(["bernstein:3"]);
        let found = Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, shape)| *shape);
        found.ok_or_else(|| Error::UnknownName {
            what: "shape",
            name: name.to_owned(),
            closest: closest(name, names()),
        })
    }

    /// The names of its parameters.
    pub fn parameters(self) -> &'static [&'static str] {
        const COEFFICIENTS: [&str; MOST] = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
        match self {
            Self::Gaussian => &["mean", "sigma"],
            Self::CrystalBall => &["mean", "sigma", "alpha", "n"],
            Self::DoubleCrystalBall => &["mean", "sigma", "alpha_low", "n_low", "alpha_high", "n_high"],
            Self::BreitWigner => &["mean", "width"],
            Self::Voigt => &["mean", "width", "sigma"],
            Self::Exponential => &["slope"],
            Self::PowerLaw => &["power"],
            Self::Bernstein(n) => &COEFFICIENTS[..n],
            Self::ModifiedBreitWigner => &["a", "b", "power"],
        }
    }

    /// Where a parameter starts and the bounds it is held in, for a window and a peak of width `sigma` at `mean`.
    pub fn start(self, parameter: &str, window: (f64, f64), mean: f64, sigma: f64) -> (f64, (f64, f64)) {
        let width = window.1 - window.0;
        match parameter {
            "mean" => (mean, window),
            "sigma" | "width" => (sigma, (1e-4 * width, width)),
            "alpha" | "alpha_low" | "alpha_high" => (1.5, (0.3, 6.0)),
            "n" | "n_low" | "n_high" => (5.0, (0.1, 100.0)),
            "slope" => (1.0 / width, (-20.0 / width, 50.0 / width)),
            "power" if self == Self::PowerLaw => (2.0, (-50.0, 100.0)),
            "power" => (1.5, (0.2, 8.0)),
            "a" | "b" => (0.0, (-30.0, 30.0)),
            _ => (1.0, (0.0, 1e4)),
        }
    }

    /// The density at `x`.
    pub fn density<T: Number>(self, x: f64, window: (f64, f64), p: &[T]) -> T {
        let pull = |sigma: T| (T::of(x) - p[0]) / sigma;
        match self {
            Self::Gaussian => gaussian(pull(p[1])),
            Self::CrystalBall => crystal_ball(pull(p[1]), p[2], p[3]),
            Self::DoubleCrystalBall => {
                let t = pull(p[1]);
                if t.value() > 0.0 { crystal_ball(-t, p[4], p[5]) } else { crystal_ball(t, p[2], p[3]) }
            }
            Self::BreitWigner => {
                let d = T::of(x) - p[0];
                T::of(1.0) / (d * d + (p[1] * p[1]).times(0.25))
            }
            Self::Voigt => voigt(T::of(x) - p[0], p[1], p[2]),
            Self::Exponential => p[0].times(window.0 - x).exp(),
            Self::PowerLaw => p[0].times(-(x / window.0).ln()).exp(),
            Self::Bernstein(n) => {
                let u = (x - window.0) / (window.1 - window.0);
                let basis = bernstein(n, u);
                p.iter().zip(&basis[1..]).fold(T::of(basis[0]), |sum, (c, b)| sum + c.times(*b))
            }
            Self::ModifiedBreitWigner => {
                let u = (x - window.0) / (window.1 - window.0);
                let to_the = |base: f64| p[2].times(base.max(f64::MIN_POSITIVE).ln()).exp();
                (p[0].times(u) + p[1].times(u * u)).exp() / (to_the((x - Z.0).abs()) + to_the(0.5 * Z.1))
            }
        }
    }

    /// The integrals over the bins between rising edges, whose ends are the window, of the density that is normalised there.
    pub fn shares<T: Number>(self, edges: &[f64], p: &[T]) -> Vec<T> {
        let window = (edges[0], edges[edges.len() - 1]);
        let bins: Vec<T> = edges.windows(2).map(|e| self.integral(e[0], e[1], window, p)).collect();
        let norm = T::of(1.0) / bins.iter().fold(T::of(0.0), |sum, b| sum + *b);
        bins.into_iter().map(|b| b * norm).collect()
    }

    /// The integral of the density from `a` to `b`.
    pub fn integral<T: Number>(self, a: f64, b: f64, window: (f64, f64), p: &[T]) -> T {
        let pulls = |sigma: T| ((T::of(a) - p[0]) / sigma, (T::of(b) - p[0]) / sigma);
        match self {
            Self::Gaussian => {
                let (from, to) = pulls(p[1]);
                p[1] * gaussian_integral(from, to)
            }
            Self::CrystalBall => {
                let (from, to) = pulls(p[1]);
                p[1] * crystal_ball_integral(from, to, p[2], p[3])
            }
            Self::DoubleCrystalBall => {
                let (from, to) = pulls(p[1]);
                let zero = T::of(0.0);
                let (low, high) = (from.value() < 0.0, to.value() > 0.0);
                let mut sum = zero;
                if low {
                    sum = sum + crystal_ball_integral(from, if high { zero } else { to }, p[2], p[3]);
                }
                if high {
                    sum = sum + crystal_ball_integral(-to, if low { zero } else { -from }, p[4], p[5]);
                }
                p[1] * sum
            }
            Self::BreitWigner => {
                let (from, to) = pulls(p[1].times(0.5));
                (to.atan() - from.atan()) / p[1].times(0.5)
            }
            Self::Exponential => self.density(a, window, p) * saturating(p[0].times(b - a)).times(b - a),
            Self::PowerLaw => {
                let (first, length) = ((a / window.0).ln(), (b / a).ln());
                let rate = T::of(1.0) - p[0];
                rate.times(first).exp() * saturating(-rate.times(length)).times(length * window.0)
            }
            Self::Bernstein(n) => {
                let scale = window.1 - window.0;
                let basis = |x: f64| bernstein(n + 1, (x - window.0) / scale);
                let (from, to) = (basis(a), basis(b));
                // ∫ B_k,n du = Σ_(j > k) B_j,n+1 / (n + 1).
                let mut above = 0.0;
                let mut sum = T::of(0.0);
                for k in (0..=n).rev() {
                    above += to[k + 1] - from[k + 1];
                    let coefficient = if k == 0 { T::of(1.0) } else { p[k - 1] };
                    sum = sum + coefficient.times(above * scale / (n + 1) as f64);
                }
                sum
            }
            Self::Voigt | Self::ModifiedBreitWigner => {
                let panels = ((b - a) / (window.1 - window.0) * PANELS).ceil().max(1.0);
                let half = 0.5 * (b - a) / panels;
                let mut sum = T::of(0.0);
                for i in 0..panels as usize {
                    let middle = a + half * (2 * i + 1) as f64;
                    for (node, weight) in RULE {
                        sum = sum + self.density(middle + half * node, window, p).times(weight * half);
                    }
                }
                sum
            }
        }
    }
}

fn gaussian<T: Number>(t: T) -> T {
    (t * t).times(-0.5).exp()
}

/// ∫ e^(−t²/2) dt, without the cancellation of two numbers near to one.
fn gaussian_integral<T: Number>(from: T, to: T) -> T {
    let half_area = (0.5 * PI).sqrt();
    let tail = |t: T| t.times(FRAC_1_SQRT_2).erfc();
    let area = if from.value() > 0.0 { tail(from) - tail(to) } else { tail(-to) - tail(-from) };
    area.times(half_area)
}

/// 1 − (α/n)(α + t), the base of the tail.
fn tail_base<T: Number>(t: T, alpha: T, n: T) -> T {
    T::of(1.0) - alpha / n * (alpha + t)
}

fn crystal_ball<T: Number>(t: T, alpha: T, n: T) -> T {
    if t.value() >= -alpha.value() {
        return gaussian(t);
    }
    gaussian(alpha) * tail_base(t, alpha, n).powf(-n)
}

fn crystal_ball_integral<T: Number>(from: T, to: T, alpha: T, n: T) -> T {
    let edge = -alpha;
    let mut sum = T::of(0.0);
    if to.value() > edge.value() {
        sum = gaussian_integral(if from.value() > edge.value() { from } else { edge }, to);
    }
    if from.value() < edge.value() {
        let end = if to.value() < edge.value() { to } else { edge };
        let (far, near) = (tail_base(from, alpha, n).ln(), tail_base(end, alpha, n).ln());
        // ∫ v^(−n) dv from near to far, also at n = 1.
        let rate = n - T::of(1.0);
        let length = far - near;
        sum = sum + gaussian(alpha) * n / alpha * (-(rate * near)).exp() * saturating(rate * length) * length;
    }
    sum
}

/// (1 − e^(−z))/z, also near zero.
fn saturating<T: Number>(z: T) -> T {
    if z.value().abs() > 0.3 {
        return (T::of(1.0) - (-z).exp()) / z;
    }
    // Σ (−z)^k/(k + 1)!, by Horner's rule.
    (1..=14).rev().fold(T::of(1.0), |sum, k| T::of(1.0) - (z * sum).times(1.0 / f64::from(k + 1)))
}

/// B_0,n(u) … B_n,n(u).
fn bernstein(n: usize, u: f64) -> [f64; MOST + 2] {
    let mut basis = [0.0; MOST + 2];
    basis[0] = 1.0;
    for degree in 1..=n {
        for k in (0..=degree).rev() {
            let below = if k == 0 { 0.0 } else { basis[k - 1] };
            basis[k] = (1.0 - u) * basis[k] + u * below;
        }
    }
    basis
}

/// Terms of Weideman's expansion; its error is then below 1e-11.
const TERMS: usize = 32;

/// Re w((d + i Γ/2)/(σ √2))/(σ √(2π)), the convolution, with Weideman's rational expansion of the Faddeeva function
/// (SIAM J. Numer. Anal. 31 (1994) 1497).
fn voigt<T: Number>(d: T, width: T, sigma: T) -> T {
    let (coefficients, length) = weideman();
    let scale = sigma.times(SQRT_2);
    let (x, y) = (d / scale, width.times(0.5) / scale);
    // With z = x + iy: L − iz = (L + y) − ix, L + iz = (L − y) + ix.
    let l = T::of(*length);
    let (re, im) = (l + y, -x);
    let norm = re * re + im * im;
    let (inverse_re, inverse_im) = (re / norm, -im / norm);
    let times = |(a, b): (T, T), (c, d): (T, T)| (a * c - b * d, a * d + b * c);
    let inverse = (inverse_re, inverse_im);
    let ratio = times((l - y, x), inverse);
    let mut sum = (T::of(0.0), T::of(0.0));
    for c in coefficients {
        sum = times(sum, ratio);
        sum.0 = sum.0 + T::of(*c);
    }
    let first = times(times(sum, inverse), inverse);
    let w = first.0.times(2.0) + inverse.0.times(PI.sqrt().recip());
    w / sigma.times((2.0 * PI).sqrt())
}

/// The coefficients of the expansion, of the highest power first, and its length L.
fn weideman() -> &'static ([f64; TERMS], f64) {
    static TABLE: std::sync::OnceLock<([f64; TERMS], f64)> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        let m = 2 * TERMS as i32;
        let length = (TERMS as f64 / SQRT_2).sqrt();
        let mut coefficients = [0.0; TERMS];
        for (at, coefficient) in coefficients.iter_mut().enumerate() {
            let power = (TERMS - at) as f64;
            // A Fourier coefficient of e^(−t²)(L² + t²) with t = L tan(θ/2).
            let sum: f64 = (1 - m..m)
                .map(|k| {
                    let angle = f64::from(k) * PI / f64::from(m);
                    let t = length * (0.5 * angle).tan();
                    (-t * t).exp() * (length * length + t * t) * (power * angle).cos()
                })
                .sum();
            *coefficient = sum / f64::from(2 * m);
        }
        (coefficients, length)
    })
}

#[cfg(test)]
mod tests {
    use super::super::dual::Dual;
    use super::*;

    const WINDOW: (f64, f64) = (100.0, 160.0);

    fn examples() -> Vec<(Shape, Vec<f64>)> {
        vec![
            (Shape::Gaussian, vec![125.0, 1.7]),
            (Shape::CrystalBall, vec![125.0, 1.7, 1.3, 2.5]),
            (Shape::CrystalBall, vec![125.0, 1.7, 1.3, 1.0]),
            (Shape::DoubleCrystalBall, vec![125.0, 1.7, 1.3, 2.5, 1.8, 6.0]),
            (Shape::BreitWigner, vec![121.0, 2.5]),
            (Shape::Voigt, vec![121.0, 2.5, 1.4]),
            (Shape::Exponential, vec![0.05]),
            (Shape::Exponential, vec![1e-9]),
            (Shape::PowerLaw, vec![1.0]),
            (Shape::PowerLaw, vec![4.7]),
            (Shape::Bernstein(3), vec![0.4, 1.3, 0.2]),
            (Shape::ModifiedBreitWigner, vec![0.3, -0.4, 1.9]),
        ]
    }

    #[test]
    fn integrals_are_those_of_the_densities() {
        for (shape, p) in examples() {
            for (a, b) in [(100.0, 160.0), (110.3, 118.0), (124.0, 131.0), (140.0, 150.0)] {
                let n = 20_000;
                let h = (b - a) / f64::from(n);
                let middle: f64 = (0..n).map(|i| shape.density(a + h * (f64::from(i) + 0.5), WINDOW, &p)).sum();
                let found = shape.integral(a, b, WINDOW, &p);
                assert!((found / (middle * h) - 1.0).abs() < 1e-6, "{shape:?} {p:?} {a} {b}: {found}");
            }
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        for (shape, p) in examples() {
            let duals: Vec<Dual<MOST>> = p.iter().enumerate().map(|(i, &x)| Dual::variable(x, i)).collect();
            for (a, b) in [(110.3, 118.0), (124.0, 131.0)] {
                let (density, area) = (shape.density(b, WINDOW, &duals), shape.integral(a, b, WINDOW, &duals));
                for i in 0..p.len() {
                    let h = 1e-5 * p[i].abs().max(1e-2);
                    let at = |d: f64| {
                        let mut q = p.clone();
                        q[i] += d;
                        [shape.density(b, WINDOW, &q), shape.integral(a, b, WINDOW, &q)]
                    };
                    let (up, down) = (at(h), at(-h));
                    for (k, exact) in [density, area].iter().enumerate() {
                        let slope = (up[k] - down[k]) / (2.0 * h);
                        let tolerance = 2e-6 * (exact.slopes[i].abs() + exact.value.abs());
                        assert!((slope - exact.slopes[i]).abs() < tolerance, "{shape:?} {p:?} {i}: {slope} {exact:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_convolution_is_one() {
        let p = [121.0, 2.5, 1.4];
        for x in [101.0, 119.0, 121.0, 130.0] {
            // Trapezoids of a smooth function that vanishes at both ends converge fast.
            let steps = 4000;
            let convolved: f64 = (0..=steps)
                .map(|i| {
                    let y = -12.0 + 24.0 * f64::from(i) / f64::from(steps);
                    let narrow = 0.5 * p[1] / PI / ((x - y * p[2] - p[0]).powi(2) + 0.25 * p[1] * p[1]);
                    narrow * (-0.5 * y * y).exp() / (2.0 * PI).sqrt() * 24.0 / f64::from(steps)
                })
                .sum();
            let found = Shape::Voigt.density(x, WINDOW, &p);
            assert!((found / convolved - 1.0).abs() < 1e-9, "{x}: {found} {convolved}");
        }
    }

    #[test]
    fn names_are_read_and_wrong_ones_get_a_hint() {
        assert_eq!(Shape::parse("bernstein:3").unwrap().parameters().len(), 3);
        assert!(Shape::NAMES.iter().all(|(name, shape)| Shape::parse(name).unwrap() == *shape));
        assert!(Shape::parse("gausian").unwrap_err().to_string().contains("gaussian"));
        assert!(Shape::parse("bernstein:12").unwrap_err().to_string().contains("1 to 8"));
    }
}
