//! From raw columns to what the network sees: the counterpart of fb-physics, in double precision as there.

use std::collections::BTreeMap;

use fb_core::expression::Expression;
use fb_core::{Frame, Input, Layout, Variable};

use super::builder::{Builder, Element, Setting, Size, Value};
use super::expressions::{Scope, Term, at};
use super::lists;
use crate::Error;
use crate::inputs::{Kind, Slot, slots};

/// What the network sees, in 32-bit floats.
pub(super) struct Prepared {
    /// [event, width], or [event, particle, width].
    pub value: Value,
    /// Which particles there are [event, particle], where there is one row per particle; those that are not come last.
    pub mask: Option<Value>,
}

/// Writes the preparation of `input` into the graph.
///
/// One for each collection that the network sees.
pub(super) fn prepare(b: &mut Builder, input: &Input) -> Result<Vec<Prepared>, Error> {
    let slots = slots(input)?;
    let one = match input {
        Input::Lists { event, lists } => return lists::prepare(b, &slots, event, lists),
        Input::Table { variables } => table(b, &slots, variables, &[]),
        // Refused with the slots.
        Input::Observables { .. } => Err(Error::Unsupported { reason: "it sees observables of jets".to_owned() }),
        Input::Columns { variables, missing } => {
            let variables: Vec<Variable> = variables.iter().map(Variable::plain).collect();
            table(b, &slots, &variables, missing)
        }
        Input::Particles { max, layout, frame, variables, .. } => {
            let particles = Particles::read(b, &slots, *max);
            let scope = particles.scope(b, *frame);
            let columns = columns(b, &scope, variables)?;
            let rows: Vec<Value> = columns
                .iter()
                .map(|x| {
                    let zero = b.f32(0.0);
                    let x = b.choose(&particles.mask, x, &zero);
                    b.unsqueeze(&x, 2)
                })
                .collect();
            let value = b.concat(&rows.iter().map(String::as_str).collect::<Vec<_>>(), 2);
            if *layout == Layout::Cloud {
                return Ok(vec![Prepared { value, mask: Some(particles.mask) }]);
            }
            Ok(Prepared { value: sequence(b, &value, *max, variables.len()), mask: None })
        }
        Input::Lund { variables, .. } => {
            let width = variables.len() + Input::LUND_LINKS;
            let meaning = "declusterings: variables, then places of mother, harder and softer daughter, -1 for none";
            Ok(rows(b, &slots, width, "declusterings", meaning))
        }
        Input::History { variables, .. } => {
            let width = variables.len() + Input::HISTORY_LINKS;
            let meaning = "nodes, mothers first: variables, then places of harder and softer daughter, -1 for none";
            Ok(rows(b, &slots, width, "nodes", meaning))
        }
        Input::Image { max, frame, pixels, half_width, .. } => {
            let particles = Particles::read(b, &slots, *max);
            let (u, v) = particles.coordinates(b, *frame);
            Ok(Prepared { value: image(b, &particles, [&u, &v], *pixels, *half_width), mask: None })
        }
    };
    Ok(vec![one?])
}

/// Rows that are given as they are, and how many of them there are.
fn rows(b: &mut Builder, slots: &[Slot], width: usize, name: &'static str, meaning: &str) -> Prepared {
    let shape = [Size::Free("events"), Size::Free(name), Size::Fixed(width)];
    let value = b.input(&slots[0].name, &shape, meaning);
    let n = b.input(&slots[1].name, &[Size::Free("events")], &format!("how many rows are {name}"));
    let (n, count) = (b.unsqueeze(&n, 1), b.count_up(&value, 1));
    let count = b.cast(&count, Element::F32);
    let count = b.unsqueeze(&count, 0);
    Prepared { value, mask: Some(b.op("Less", &[&count, &n])) }
}

/// [event, row, variable] as [event, max · variable], filled up with zeros.
pub(super) fn sequence(b: &mut Builder, rows: &str, max: usize, variables: usize) -> Value {
    let (all, kept) = (b.integers(&[max as i64]), b.size(rows, 1));
    let missing = b.sub(&all, &kept);
    let (before, after) = (b.integers(&[0, 0, 0, 0]), b.integers(&[0]));
    let pads = b.concat(&[&before, &missing, &after], 0);
    let rows = b.op("Pad", &[rows, &pads]);
    b.reshape(&rows, &[-1, (max * variables) as i64])
}

/// One number per event of each variable; values of columns that stand for a missing one become NaN.
fn table(b: &mut Builder, slots: &[Slot], variables: &[Variable], missing: &[f64]) -> Result<Prepared, Error> {
    let mut names = BTreeMap::new();
    for slot in slots {
        let x = b.input(&slot.name, &[Size::Free("events")], "one number per event");
        let mut x = b.cast(&x, Element::F64);
        for value in missing {
            // Columns come in single precision.
            let (value, none) = (b.f64(f64::from(*value as f32)), b.f64(f64::NAN));
            let stands = b.op("Equal", &[&x, &value]);
            x = b.choose(&stands, &none, &x);
        }
        names.insert(slot.alias.clone(), Term { value: b.unsqueeze(&x, 1), mask: None });
    }
    let Some(first) = names.values().next().map(|term| term.value.clone()) else {
        return Err(Error::Unsupported { reason: "the model sees no column".to_owned() });
    };
    let columns = columns(b, &Scope { names }, variables)?;
    let shape = b.op("Shape", &[&first]);
    // A variable without a name in it is a plain number.
    let columns: Vec<Value> = columns.iter().map(|x| b.op("Expand", &[x, &shape])).collect();
    Ok(Prepared { value: b.concat(&columns.iter().map(String::as_str).collect::<Vec<_>>(), 1), mask: None })
}

/// `clip((expression − center)·scale)` of each variable, rounded to 32 bits.
pub(super) fn columns(b: &mut Builder, scope: &Scope, variables: &[Variable]) -> Result<Vec<Value>, Error> {
    let column = |variable: &Variable| {
        let (Some(center), Some(scale)) = (variable.center, variable.scale) else {
            let reason = format!("the centre and scale of `{}` have not been fitted", variable.expression);
            return Err(Error::Unsupported { reason });
        };
        let x = scope.evaluate(b, &Expression::parse(&variable.expression)?)?.value;
        let x = b.plus(&x, -center);
        let mut x = b.times(&x, scale);
        if let Some([low, high]) = variable.clip {
            let [low, high] = [low, high].map(|bound| b.f64(bound));
            x = b.op("Max", &[&x, &low]);
            x = b.op("Min", &[&x, &high]);
        }
        Ok(b.cast(&x, Element::F32))
    };
    variables.iter().map(column).collect()
}

/// Momenta: px, py, pz, E and what follows from them.
struct Momenta {
    p: [Value; 4],
    pt: Value,
    eta: Value,
    phi: Value,
}

impl Momenta {
    fn new(b: &mut Builder, p: [Value; 4]) -> Self {
        let [px, py, pz, _] = &p;
        let pt = b.hypot(px, py);
        let slope = b.div(pz, &pt);
        Self { eta: b.asinh(&slope), phi: b.atan2(py, px), pt, p }
    }

    /// √(E² − p²), zero where E² < p².
    fn mass(&self, b: &mut Builder) -> Value {
        let [x, y, z, e] = self.p.each_ref().map(|x| b.mul(x, x));
        let square = b.add(&x, &y);
        let square = b.add(&square, &z);
        let square = b.sub(&e, &square);
        let zero = b.f64(0.0);
        let square = b.op("Max", &[&square, &zero]);
        b.op("Sqrt", &[&square])
    }
}

/// The hardest particles of each event by falling pT, and their sum.
///
/// In the place of a particle that is not there stands (1, 0, 0, 1) GeV, and so does it for the sum of none: all that is
/// computed stays finite and is left out in the end.
struct Particles {
    mask: Value,
    /// Number of particles [event, 1], in double precision.
    n: Value,
    each: Momenta,
    jet: Momenta,
    /// pT, zero where there is no particle.
    weight: Value,
    /// Particles relative to the jet.
    delta: [Value; 2],
    /// Further columns by their names in expressions.
    columns: BTreeMap<String, Term>,
}

impl Particles {
    fn read(b: &mut Builder, slots: &[Slot], max: usize) -> Self {
        let [events, rows] = ["events", "particles"];
        let mut p = None;
        let mut columns = Vec::new();
        for slot in slots {
            match slot.kind {
                Kind::Momenta => {
                    let meaning = "px, py, pz, E in GeV; rows of zeros are padding";
                    let all = b.input(&slot.name, &[Size::Free(events), Size::Free(rows), Size::Fixed(4)], meaning);
                    let all = b.cast(&all, Element::F64);
                    p = Some([0, 1, 2, 3].map(|i| {
                        let i = b.integer(i);
                        b.op_with("Gather", &[&all, &i], vec![("axis", Setting::Integer(2))])
                    }));
                }
                Kind::Particle => {
                    let x = b.input(&slot.name, &[Size::Free(events), Size::Free(rows)], "one number per particle");
                    columns.push((slot.alias.clone(), b.cast(&x, Element::F64), true));
                }
                // No input has rows beside particles; lists are prepared elsewhere.
                Kind::Rows | Kind::Entry(_) => {}
                Kind::Event => {
                    let x = b.input(&slot.name, &[Size::Free(events)], "one number per event");
                    let x = b.cast(&x, Element::F64);
                    columns.push((slot.alias.clone(), b.unsqueeze(&x, 1), false));
                }
            }
        }
        let p: [Value; 4] = p.unwrap_or_default();
        let pt = b.hypot(&p[0], &p[1]);
        let (moving, positive) = (b.above(&pt, 0.0), b.above(&p[3], 0.0));
        let real = b.op("And", &[&moving, &positive]);
        // Equal transverse momenta stay in the order of the input, and what is no particle comes last.
        let key = b.or(&real, &pt, -1.0);
        let (size, max) = (b.size(&key, 1), b.integers(&[max as i64]));
        let kept = b.op("Min", &[&size, &max]);
        let options =
            vec![("axis", Setting::Integer(1)), ("largest", Setting::Integer(1)), ("sorted", Setting::Integer(1))];
        let top = b.op_many("TopK", &[&key, &kept], options, 2);
        let mask = b.above(&top[0], 0.0);
        let take =
            |b: &mut Builder, x: &str| b.op_with("GatherElements", &[x, &top[1]], vec![("axis", Setting::Integer(1))]);
        let ones = b.cast(&mask, Element::F64);
        let n = b.sum_keep(&ones, 1);
        let some = b.above(&n, 0.0);
        let rest = [1.0, 0.0, 0.0, 1.0];
        let mut each = p;
        let mut jet = <[Value; 4]>::default();
        for ((x, sum), rest) in each.iter_mut().zip(&mut jet).zip(rest) {
            let taken = take(b, x);
            let kept = b.or(&mask, &taken, 0.0);
            let total = b.sum_keep(&kept, 1);
            *sum = b.or(&some, &total, rest);
            *x = b.or(&mask, &taken, rest);
        }
        let (each, jet) = (Momenta::new(b, each), Momenta::new(b, jet));
        let weight = b.or(&mask, &each.pt, 0.0);
        let delta = around(b, &each, [&jet.eta, &jet.phi]);
        // A particle alone is its jet: no rounding may take it from the axis, where pixels meet.
        let several = b.above(&n, 1.0);
        let delta = delta.map(|x| b.or(&several, &x, 0.0));
        let columns = columns.into_iter().map(|(alias, x, per_particle)| {
            let value = if per_particle { take(b, &x) } else { x };
            (alias, Term { value, mask: per_particle.then(|| mask.clone()) })
        });
        let columns = columns.collect();
        Self { mask, n, each, jet, weight, delta, columns }
    }

    /// What names mean in expressions about particles.
    fn scope(&self, b: &mut Builder, frame: Frame) -> Scope {
        let mut names = self.columns.clone();
        let (u, v) = self.coordinates(b, frame);
        let dr = b.hypot(&self.delta[0], &self.delta[1]);
        let m = self.jet.mass(b);
        let mut name = |name: &str, value: &Value, per_particle: bool| {
            names.insert(name.to_owned(), Term { value: value.clone(), mask: per_particle.then(|| self.mask.clone()) });
        };
        for (prefix, momenta, per_particle) in [("", &self.each, true), ("jet_", &self.jet, false)] {
            let [px, py, pz, e] = &momenta.p;
            let all = [("px", px), ("py", py), ("pz", pz), ("E", e)];
            for (quantity, value) in
                all.into_iter().chain([("pt", &momenta.pt), ("eta", &momenta.eta), ("phi", &momenta.phi)])
            {
                name(&format!("{prefix}{quantity}"), value, per_particle);
            }
        }
        let [deta, dphi] = &self.delta;
        for (quantity, value) in [("u", &u), ("v", &v), ("deta", deta), ("dphi", dphi), ("dr", &dr)] {
            name(quantity, value, true);
        }
        name("jet_m", &m, false);
        name("n", &self.n, false);
        Scope { names }
    }

    /// u and v in a frame of the jet.
    fn coordinates(&self, b: &mut Builder, frame: Frame) -> (Value, Value) {
        match frame {
            Frame::Jet => {
                let [deta, dphi] = self.delta.clone();
                let backward = b.below(&self.jet.eta, 0.0);
                let mirrored = b.op("Neg", &[&deta]);
                (b.choose(&backward, &mirrored, &deta), dphi)
            }
            Frame::Leading => self.leading(b),
            Frame::Principal => self.principal(b),
        }
    }

    /// The value of `x` at particle `i`, zero where there is none [event, 1].
    fn pick(&self, b: &mut Builder, x: &str, i: usize) -> Value {
        let here = at(b, &self.mask, i);
        let x = b.or(&here, x, 0.0);
        b.sum_keep(&x, 1)
    }

    /// The hardest at the origin, the second at u = 0 and v < 0, the third at u ≥ 0.
    fn leading(&self, b: &mut Builder) -> (Value, Value) {
        let axis = [&self.each.eta, &self.each.phi].map(|x| self.pick(b, x, 0));
        let [u, v] = around(b, &self.each, axis.each_ref());
        let [x, y] = [&u, &v].map(|x| self.pick(b, x, 1));
        let length = b.hypot(&x, &y);
        let turns = b.above(&length, 0.0);
        let divisor = b.or(&turns, &length, 1.0);
        let cos = b.div(&y, &divisor);
        let cos = b.op("Neg", &[&cos]);
        let cos = b.or(&turns, &cos, 1.0);
        let sin = b.div(&x, &divisor);
        let back = b.op("Neg", &[&sin]);
        let [u, v] = [(&cos, &sin), (&back, &cos)].map(|(along, across)| {
            let (x, y) = (b.mul(&u, along), b.mul(&v, across));
            b.add(&x, &y)
        });
        // Rounding must not move the second from its axis.
        let second = at(b, &self.mask, 1);
        let (zero, down) = (b.f64(0.0), b.op("Neg", &[&length]));
        let (u, v) = (b.choose(&second, &zero, &u), b.choose(&second, &down, &v));
        let third = self.pick(b, &u, 2);
        let flips = b.below(&third, 0.0);
        let mirrored = b.op("Neg", &[&u]);
        (b.choose(&flips, &mirrored, &u), v)
    }

    /// Σ pT·x / Σ pT [event, 1].
    fn mean(&self, b: &mut Builder, x: &str) -> Value {
        let some = b.above(&self.n, 0.0);
        let total = b.sum_keep(&self.weight, 1);
        let total = b.or(&some, &total, 1.0);
        let product = b.mul(&self.weight, x);
        let sum = b.sum_keep(&product, 1);
        b.div(&sum, &total)
    }

    /// pT centroid at the origin, the axis of largest spread along v, more pT at u > 0 and at v > 0.
    fn principal(&self, b: &mut Builder) -> (Value, Value) {
        let [u, v] = self.delta.each_ref().map(|x| {
            let mean = self.mean(b, x);
            b.sub(x, &mean)
        });
        let [uu, vv, uv] = [(&u, &u), (&v, &v), (&u, &v)].map(|(x, y)| {
            let product = b.mul(x, y);
            self.mean(b, &product)
        });
        // The eigenvector (uv, λ − uu) of the larger eigenvalue, from whichever of its two forms is longer.
        let half = b.sub(&uu, &vv);
        let half = b.times(&half, 0.5);
        let root = b.hypot(&half, &uv);
        let wide = b.above(&half, 0.0);
        let (sum, difference) = (b.add(&half, &root), b.sub(&root, &half));
        let (x, y) = (b.choose(&wide, &sum, &uv), b.choose(&wide, &uv, &difference));
        let length = b.hypot(&x, &y);
        let turns = b.above(&length, 0.0);
        let divisor = b.or(&turns, &length, 1.0);
        let (cos, sin) = (b.div(&y, &divisor), b.div(&x, &divisor));
        let (cos, sin) = (b.or(&turns, &cos, 1.0), b.or(&turns, &sin, 0.0));
        let back = b.op("Neg", &[&sin]);
        let [u, v] = [(&cos, &back), (&sin, &cos)].map(|(along, across)| {
            let (x, y) = (b.mul(&u, along), b.mul(&v, across));
            let x = b.add(&x, &y);
            // Two particles lie on the axis, where pixels meet: their side must not follow from the last bit.
            let size = b.op("Abs", &[&x]);
            let off = b.above(&size, 1e-9);
            let x = b.or(&off, &x, 0.0);
            let [left, right] = [b.below(&x, 0.0), b.above(&x, 0.0)].map(|side| {
                let there = b.or(&side, &self.weight, 0.0);
                b.sum_keep(&there, 1)
            });
            let flips = b.op("Greater", &[&left, &right]);
            let mirrored = b.op("Neg", &[&x]);
            b.choose(&flips, &mirrored, &x)
        });
        (u, v)
    }
}

/// (η − η₀, φ − φ₀) of each.
fn around(b: &mut Builder, each: &Momenta, [eta, phi]: [&Value; 2]) -> [Value; 2] {
    [b.sub(&each.eta, eta), b.delta_phi(&each.phi, phi)]
}

/// The image [event, pixels · pixels], row by row in v, its sum one.
fn image(b: &mut Builder, particles: &Particles, coordinates: [&Value; 2], pixels: usize, half_width: f64) -> Value {
    let count = pixels * pixels;
    let mut inside = particles.mask.clone();
    let [column, row] = coordinates.map(|x| {
        let x = b.plus(x, half_width);
        let width = b.f64(2.0 * half_width);
        let x = b.div(&x, &width);
        let x = b.times(&x, pixels as f64);
        let x = b.op("Floor", &[&x]);
        let (low, high) = (b.above(&x, -1.0), b.below(&x, pixels as f64));
        inside = b.op("And", &[&inside, &low]);
        inside = b.op("And", &[&inside, &high]);
        x
    });
    let row = b.times(&row, pixels as f64);
    let pixel = b.add(&row, &column);
    // What falls outside is collected in one pixel more.
    let pixel = b.or(&inside, &pixel, count as f64);
    let pixel = b.cast(&pixel, Element::I64);
    let weight = b.cast(&particles.weight, Element::F32);
    let (events, places) = (b.size(&pixel, 0), b.integers(&[count as i64 + 1]));
    let shape = b.concat(&[&events, &places], 0);
    let zero = b.f32(0.0);
    let blank = b.op("Expand", &[&zero, &shape]);
    let options = vec![("axis", Setting::Integer(1)), ("reduction", Setting::Text("add"))];
    let image = b.op_with("ScatterElements", &[&blank, &pixel, &weight], options);
    let image = b.slice(&image, 1, 0, count);
    let sum = b.sum_keep(&image, 1);
    let some = b.op("Greater", &[&sum, &zero]);
    let one = b.f32(1.0);
    let sum = b.choose(&some, &sum, &one);
    b.div(&image, &sum)
}
