//! Computes what a network sees of events.

use fb_core::expression::Expression;
use fb_core::{Error, Events, Features, Input, Layout, Result, Variable};

use crate::expression::{Source, Values, evaluate, finite, flat, sparse};
use crate::histories;
use crate::lists;
use crate::particles::{Particles, particles};
use crate::substructure::Jet;
use crate::substructure::lund::{self, Splitting};
use crate::substructure::observable::{Observables, Value};

/// What a network sees of these events: see [`Input`].
///
/// # Errors
/// [`Error::MissingColumn`], [`Error::NotFinite`] with the event, [`Error::Expression`], and [`Error::Config`] if a
/// variable's centre or scale has not been fitted.
pub fn prepare(input: &Input, events: &Events) -> Result<Features> {
    match input {
        Input::Table { variables } => {
            let columns = variables.iter().map(|v| {
                let values = flat(&v.expression, events)?;
                scaled(v, values)
            });
            let columns: Vec<Vec<f32>> = columns.collect::<Result<_>>()?;
            Ok(Features { width: columns.len(), values: interleave(&columns), offsets: None, others: Vec::new() })
        }
        Input::Columns { variables, missing } => {
            let column = |text: &String| Ok(sparse(text, events, missing)?.into_iter().map(|x| x as f32).collect());
            let columns: Vec<Vec<f32>> = variables.iter().map(column).collect::<Result<_>>()?;
            Ok(Features { width: columns.len(), values: interleave(&columns), offsets: None, others: Vec::new() })
        }
        Input::Particles { collection, max, layout, frame, variables } => {
            let particles = particles(events, collection, *max, *frame)?;
            let cloud = Cloud { events, collection, particles: &particles };
            let columns: Vec<Vec<f32>> =
                variables.iter().map(|v| scaled(v, cloud.column(v)?)).collect::<Result<_>>()?;
            let (width, rows) = (columns.len(), interleave(&columns));
            if *layout == Layout::Cloud {
                return Ok(Features { width, values: rows, offsets: Some(particles.offsets), others: Vec::new() });
            }
            let mut values = vec![0.0; events.len() * max * width];
            for (event, o) in particles.offsets.windows(2).enumerate() {
                let from = event * max * width;
                values[from..from + (o[1] - o[0]) * width].copy_from_slice(&rows[o[0] * width..o[1] * width]);
            }
            Ok(Features { width: max * width, values, offsets: None, others: Vec::new() })
        }
        Input::Observables { collection, set, center, scale } => {
            let columns = observables(events, collection, set)?;
            if [center.len(), scale.len()] != [columns.len(); 2] {
                let reason = "their centres and scales have not been fitted".to_owned();
                return Err(Error::Config { place: format!("observables `{set}`"), reason });
            }
            let number =
                |x: f64, c: f64, s: f64| if x.is_finite() { ((x - c) * s).clamp(-8.0, 8.0) as f32 } else { 0.0 };
            let fitted = columns.iter().zip(center.iter().zip(scale));
            let columns: Vec<Vec<f32>> =
                fitted.map(|(column, (&c, &s))| column.iter().map(|&x| number(x, c, s)).collect()).collect();
            Ok(Features { width: columns.len(), values: interleave(&columns), offsets: None, others: Vec::new() })
        }
        Input::Lund { collection, variables } => {
            let trees = trees(events, collection)?;
            let mut columns: Vec<Vec<f32>> =
                variables.iter().map(|v| scaled(v, trees.column(v)?)).collect::<Result<_>>()?;
            columns.extend(trees.links());
            Ok(Features {
                width: columns.len(),
                values: interleave(&columns),
                offsets: Some(trees.offsets),
                others: Vec::new(),
            })
        }
        Input::History { collection, variables } => histories::prepare(collection, variables, events),
        Input::Lists { event, lists } => lists::prepare(event, lists, events),
        Input::Image { collection, max, frame, pixels, half_width } => {
            let particles = particles(events, collection, *max, *frame)?;
            let mut values = vec![0.0f32; events.len() * pixels * pixels];
            for (image, o) in values.chunks_exact_mut(pixels * pixels).zip(particles.offsets.windows(2)) {
                draw(image, &particles, o[0]..o[1], *pixels, *half_width);
            }
            Ok(Features { width: pixels * pixels, values, offsets: None, others: Vec::new() })
        }
    }
}

/// Fills in the centres and scales that are not given, from these events: mean zero and standard deviation one.
///
/// An event counts with the size of its weight: two events of weight one count as one of weight two, an event of weight
/// zero not at all, and signed weights still give a variance that is positive.
pub fn fit(input: &Input, events: &Events, weights: &[f64]) -> Result<Input> {
    let mut input = input.clone();
    match &mut input {
        Input::Table { variables } => {
            for v in variables.iter_mut().filter(|v| v.center.is_none() || v.scale.is_none()) {
                let values = flat(&v.expression, events)?;
                fit_variable(v, &values, weights);
            }
        }
        Input::Particles { collection, max, frame, variables, .. } => {
            if variables.iter().any(|v| v.center.is_none() || v.scale.is_none()) {
                let particles = particles(events, collection, *max, *frame)?;
                let cloud = Cloud { events, collection, particles: &particles };
                let repeat = |(o, &w): (&[usize], &f64)| std::iter::repeat_n(w, o[1] - o[0]);
                let weights: Vec<f64> = particles.offsets.windows(2).zip(weights).flat_map(repeat).collect();
                for v in variables.iter_mut().filter(|v| v.center.is_none() || v.scale.is_none()) {
                    let values = cloud.column(v)?;
                    fit_variable(v, &values, &weights);
                }
            }
        }
        Input::Observables { collection, set, center, scale } if center.is_empty() || scale.is_empty() => {
            for values in observables(events, collection, set)? {
                let known: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
                let pick = |from: &[f64]| known.iter().map(|&i| from[i]).collect::<Vec<f64>>();
                let mut variable = Variable::standard(set.as_str());
                fit_variable(&mut variable, &pick(&values), &pick(weights));
                // What differs by its rounding alone (the first polynomial is one) says nothing.
                let constant = |c: f64, s: f64| s * c.abs() > 1e9;
                center.extend(variable.center);
                scale.extend(variable.center.zip(variable.scale).map(|(c, s)| if constant(c, s) { 1.0 } else { s }));
            }
        }
        Input::Lund { collection, variables } => {
            if variables.iter().any(|v| v.center.is_none() || v.scale.is_none()) {
                let trees = trees(events, collection)?;
                let repeat = |(o, &w): (&[usize], &f64)| std::iter::repeat_n(w, o[1] - o[0]);
                let weights: Vec<f64> = trees.offsets.windows(2).zip(weights).flat_map(repeat).collect();
                for v in variables.iter_mut().filter(|v| v.center.is_none() || v.scale.is_none()) {
                    let values = trees.column(v)?;
                    fit_variable(v, &values, &weights);
                }
            }
        }
        Input::History { collection, variables } => histories::fit(collection, variables, events, weights)?,
        Input::Lists { event, lists } => lists::fit(event, lists, events, weights)?,
        Input::Observables { .. } | Input::Columns { .. } | Input::Image { .. } => {}
    }
    Ok(input)
}

/// How many numbers a set of observables is.
///
/// # Errors
/// Those of [`Observables::parse`], and [`Error::Config`] for observables that are lists.
pub fn numbers_of(set: &str) -> Result<usize> {
    Ok(only_numbers(set)?.columns().len())
}

fn only_numbers(set: &str) -> Result<Observables> {
    let observables = Observables::parse(set)?;
    match observables.columns().iter().find(|(_, is_list)| *is_list) {
        None => Ok(observables),
        Some((name, _)) => {
            let reason = format!("`{name}` is a list, expected numbers");
            Err(Error::Config { place: format!("observables `{set}`"), reason })
        }
    }
}

/// A column for each number of a set of observables of jets; one that is no number of its jet is not finite.
///
/// # Errors
/// As [`numbers_of`], and of columns that are missing or hold no momenta.
pub fn observables(events: &Events, collection: &str, set: &str) -> Result<Vec<Vec<f64>>> {
    let observables = only_numbers(set)?;
    let (momenta, offsets) = crate::particles::momenta(events, collection)?;
    let mut columns = vec![Vec::with_capacity(events.len()); observables.columns().len()];
    for (event, o) in offsets.windows(2).enumerate() {
        let values = Jet::new(&momenta[o[0]..o[1]], None).and_then(|jet| observables.evaluate(&jet));
        let values = values.map_err(|error| {
            let reason = format!("event {event}: {error}");
            Error::Config { place: format!("observables `{set}`"), reason }
        })?;
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(if let Value::Number(x) = value { x } else { f64::NAN });
        }
    }
    Ok(columns)
}

/// The declusterings of jets, one after the other.
struct Trees {
    splittings: Vec<Splitting>,
    offsets: Vec<usize>,
}

fn trees(events: &Events, collection: &str) -> Result<Trees> {
    let (momenta, offsets) = crate::particles::momenta(events, collection)?;
    let mut trees = Trees { splittings: Vec::new(), offsets: vec![0] };
    for (event, o) in offsets.windows(2).enumerate() {
        let splittings = Jet::new(&momenta[o[0]..o[1]], None).and_then(|jet| lund::full(&jet));
        trees.splittings.extend(splittings.map_err(|error| Error::Config {
            place: "Lund tree".to_owned(),
            reason: format!("event {event}: {error}"),
        })?);
        trees.offsets.push(trees.splittings.len());
    }
    Ok(trees)
}

impl Trees {
    fn column(&self, variable: &Variable) -> Result<Vec<f64>> {
        per_row(variable, self, &self.offsets)
    }

    /// Places in the jet of each declustering's mother, harder and softer daughter; −1 for none.
    fn links(&self) -> [Vec<f32>; Input::LUND_LINKS] {
        let mut links = [(); Input::LUND_LINKS].map(|()| vec![-1.0; self.splittings.len()]);
        for o in self.offsets.windows(2) {
            for (place, splitting) in self.splittings[o[0]..o[1]].iter().enumerate() {
                if let Some(mother) = splitting.mother {
                    links[0][o[0] + place] = mother as f32;
                    links[if splitting.harder { 1 } else { 2 }][o[0] + mother] = place as f32;
                }
            }
        }
        links
    }
}

impl Source for Trees {
    fn events(&self) -> usize {
        self.offsets.len() - 1
    }

    fn values(&self, name: &str) -> Result<Values<'_>> {
        let of: fn(&Splitting) -> f64 = match name {
            "z" => |s| s.z,
            "delta" => |s| s.delta,
            "kt" => |s| s.kt,
            "m" => |s| s.mass,
            "psi" => |s| s.psi,
            _ => {
                let known = ["z", "delta", "kt", "m", "psi"];
                let closest = fb_core::closest(name, known);
                return Err(Error::UnknownName { what: "quantity of a declustering", name: name.to_owned(), closest });
            }
        };
        Ok(Values { values: self.splittings.iter().map(of).collect(), offsets: Some(&self.offsets) })
    }
}

pub(crate) fn fit_variable(variable: &mut Variable, values: &[f64], weights: &[f64]) {
    let (mean, deviation) = moments(values, weights);
    variable.center.get_or_insert(mean);
    variable.scale.get_or_insert(if deviation > 0.0 { 1.0 / deviation } else { 1.0 });
}

/// Mean and standard deviation of numbers that count with the sizes of their weights; zero where all weights are.
pub fn moments(values: &[f64], weights: &[f64]) -> (f64, f64) {
    let total = weights.iter().map(|w| w.abs()).sum::<f64>();
    let mean_of = |f: &dyn Fn(f64) -> f64| {
        let sum = values.iter().zip(weights).map(|(&x, w)| w.abs() * f(x)).sum::<f64>();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    let mean = mean_of(&|x| x);
    (mean, mean_of(&|x| (x - mean).powi(2)).sqrt())
}

pub(crate) fn scaled(variable: &Variable, values: Vec<f64>) -> Result<Vec<f32>> {
    let (Some(center), Some(scale)) = (variable.center, variable.scale) else {
        let reason = "its centre and scale have not been fitted".to_owned();
        return Err(Error::Config { place: format!("variable `{}`", variable.expression), reason });
    };
    let [low, high] = variable.clip.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
    Ok(values.into_iter().map(|x| ((x - center) * scale).max(low).min(high) as f32).collect())
}

/// From column after column to row after row.
pub(crate) fn interleave(columns: &[Vec<f32>]) -> Vec<f32> {
    let rows = columns.first().map_or(0, Vec::len);
    let mut values = Vec::with_capacity(rows * columns.len());
    for row in 0..rows {
        values.extend(columns.iter().map(|column| column[row]));
    }
    values
}

/// Adds the constituents' pT to the pixels they fall into, row by row in v, and divides by the sum.
fn draw(image: &mut [f32], particles: &Particles, range: std::ops::Range<usize>, pixels: usize, half_width: f64) {
    let pixel = |x: f64| {
        let at = ((x + half_width) / (2.0 * half_width) * pixels as f64).floor();
        (at >= 0.0 && at < pixels as f64).then_some(at as usize)
    };
    for i in range {
        if let (Some(column), Some(row)) = (pixel(particles.u[i]), pixel(particles.v[i])) {
            image[row * pixels + column] += particles.pt[i] as f32;
        }
    }
    let sum: f32 = image.iter().sum();
    if sum > 0.0 {
        for x in image {
            *x /= sum;
        }
    }
}

/// The names that an expression about particles may use.
struct Cloud<'a> {
    events: &'a Events,
    collection: &'a str,
    particles: &'a Particles,
}

impl Cloud<'_> {
    fn column(&self, variable: &Variable) -> Result<Vec<f64>> {
        per_row(variable, self, &self.particles.offsets)
    }
}

/// The values of a variable, one for each row of an event.
pub(crate) fn per_row(variable: &Variable, source: &impl Source, offsets: &[usize]) -> Result<Vec<f64>> {
    let x = evaluate(&Expression::parse(&variable.expression)?, source)?;
    let values = if x.offsets.is_some() {
        x.values
    } else {
        let repeat = |(o, v): (&[usize], f64)| std::iter::repeat_n(v, o[1] - o[0]);
        offsets.windows(2).zip(x.values).flat_map(repeat).collect()
    };
    finite(&variable.expression, &values, |i| offsets.partition_point(|&o| o <= i) - 1)?;
    Ok(values)
}

impl Source for Cloud<'_> {
    fn events(&self) -> usize {
        self.events.len()
    }

    /// A particle's px, py, pz, E, pt, eta, phi, u, v; its place with respect to the jet, deta, dphi, dr; the jet's
    /// jet_px, …, jet_m, the sum of its kept particles; `n` of them; else `collection_name`; else a column.
    fn values(&self, name: &str) -> Result<Values<'_>> {
        let p = self.particles;
        let each =
            |f: &dyn Fn(usize) -> f64| Values { values: (0..p.p.len()).map(f).collect(), offsets: Some(&p.offsets) };
        let jet = |f: &dyn Fn(&crate::four_vector::FourVector) -> f64| Values {
            values: p.jets.iter().map(f).collect(),
            offsets: None,
        };
        let to_jet = |f: &dyn Fn(f64, f64) -> f64| {
            let mut values = Vec::with_capacity(p.p.len());
            for (o, jet) in p.offsets.windows(2).zip(&p.jets) {
                let (eta, phi) = (jet.eta(), jet.phi());
                values.extend((o[0]..o[1]).map(|i| f(p.eta[i] - eta, crate::four_vector::delta_phi(p.phi[i], phi))));
            }
            Values { values, offsets: Some(&p.offsets) }
        };
        Ok(match name {
            "px" => each(&|i| p.p[i].px),
            "py" => each(&|i| p.p[i].py),
            "pz" => each(&|i| p.p[i].pz),
            "E" => each(&|i| p.p[i].e),
            "pt" => each(&|i| p.pt[i]),
            "eta" => each(&|i| p.eta[i]),
            "phi" => each(&|i| p.phi[i]),
            "u" => each(&|i| p.u[i]),
            "v" => each(&|i| p.v[i]),
            "deta" => to_jet(&|eta, _| eta),
            "dphi" => to_jet(&|_, phi| phi),
            "dr" => to_jet(&f64::hypot),
            "jet_px" => jet(&|j| j.px),
            "jet_py" => jet(&|j| j.py),
            "jet_pz" => jet(&|j| j.pz),
            "jet_E" => jet(&|j| j.e),
            "jet_pt" => jet(&crate::four_vector::FourVector::pt),
            "jet_eta" => jet(&crate::four_vector::FourVector::eta),
            "jet_phi" => jet(&crate::four_vector::FourVector::phi),
            "jet_m" => jet(&crate::four_vector::FourVector::m),
            "n" => Values { values: p.offsets.windows(2).map(|o| (o[1] - o[0]) as f64).collect(), offsets: None },
            _ => {
                if let Ok(column) = self.events.column(&format!("{}_{name}", self.collection))
                    && column.data.len() > p.entry.iter().copied().max().unwrap_or(0)
                {
                    return Ok(each(&|i| column.data.number(p.entry[i])));
                }
                return self.events.values(name);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fb_core::{Column, Data, Frame};

    use super::*;

    fn events(order: &[usize]) -> Events {
        let rows = [
            [3.0, 4.0, 0.0, 5.0, 1.0],
            [0.0, 10.0, 0.0, 10.0, 2.0],
            [0.0, 0.0, 0.0, 0.0, 9.0],
            [6.0, 8.0, 5.0, 20.0, 3.0],
        ];
        let offsets = Arc::new(vec![0, rows.len(), rows.len()]);
        let column = |(i, name): (usize, &str)| {
            Column::jagged(name, Data::F64(order.iter().map(|&r| rows[r][i]).collect()), Arc::clone(&offsets))
        };
        let names = ["part_px", "part_py", "part_pz", "part_E", "part_class"];
        Events::new(names.into_iter().enumerate().map(column).collect()).unwrap()
    }

    fn input(layout: Layout, variables: &[&str]) -> Input {
        Input::Particles {
            collection: "part".into(),
            max: 2,
            layout,
            frame: Frame::Jet,
            variables: variables.iter().map(|v| Variable::plain(*v)).collect(),
        }
    }

    #[test]
    fn particles_are_ordered_cut_and_padded() {
        let events = events(&[0, 1, 2, 3]);
        let cloud = prepare(&input(Layout::Cloud, &["pt", "class", "pt / sum(pt)"]), &events).unwrap();
        assert_eq!(cloud.offsets, Some(vec![0, 2, 2]));
        assert_eq!(cloud.values, [10.0, 2.0, 0.5, 10.0, 3.0, 0.5]);
        let sequence = prepare(&input(Layout::Sequence, &["E"]), &events).unwrap();
        assert_eq!((sequence.width, sequence.values), (2, vec![10.0, 20.0, 0.0, 0.0]));
    }

    #[test]
    fn declusterings_and_their_links() {
        let particle = |pt: f64, y: f64, phi: f64| [pt * phi.cos(), pt * phi.sin(), pt * y.sinh(), pt * y.cosh()];
        // A jet of two; one of four whose wide splitting has a pair on either side; one of a single particle.
        let close = 0.01;
        let jets = [
            vec![particle(10.0, 0.0, 0.0), particle(5.0, 0.3, 0.4)],
            vec![
                particle(20.0, 0.0, 0.0),
                particle(4.0, 0.0, close),
                particle(10.0, 0.5, 0.0),
                particle(1.0, 0.5, 2.0 * close),
            ],
            vec![particle(3.0, 0.0, 0.0)],
        ];
        let offsets = Arc::new(vec![0, 2, 6, 7]);
        let column = |(i, name): (usize, &str)| {
            let values = jets.iter().flatten().map(|p| p[i]).collect();
            Column::jagged(name, Data::F64(values), Arc::clone(&offsets))
        };
        let names = ["part_px", "part_py", "part_pz", "part_E"];
        let events = Events::new(names.into_iter().enumerate().map(column).collect()).unwrap();
        let variables = ["z", "delta", "psi", "m", "kt"].map(Variable::plain).to_vec();
        let input = Input::Lund { collection: "part".into(), variables };
        let found = prepare(&input, &events).unwrap();
        assert_eq!((found.width, found.offsets), (8, Some(vec![0, 1, 4, 4])));
        let mass = (100.0 * (0.3f64.cosh() - 0.4f64.cos())).sqrt();
        let first = [1.0 / 3.0, 0.5, 0.3f64.atan2(0.4), mass, 2.5, -1.0, -1.0, -1.0];
        for (f, e) in found.values.iter().zip(first) {
            assert!((f64::from(*f) - e).abs() < 1e-6, "{f}, expected {e}");
        }
        // Mother, harder and softer part: the pair around 20 GeV is narrower and was clustered first.
        let links: Vec<&[f32]> = found.values.chunks_exact(8).skip(1).map(|row| &row[5..]).collect();
        assert_eq!(links, [[-1.0, 2.0, 1.0], [0.0, -1.0, -1.0], [0.0, -1.0, -1.0]]);
        let unknown = Input::Lund { collection: "part".into(), variables: vec![Variable::plain("deltas")] };
        assert!(prepare(&unknown, &events).unwrap_err().to_string().contains("did you mean `delta`"));
    }

    #[test]
    fn the_order_in_the_file_does_not_matter() {
        let variables = ["log(E / jet_E)", "u", "v", "dr(jet)"];
        // Two constituents have the same pT, so their own order is kept.
        let [a, b] =
            [[0, 1, 2, 3], [1, 2, 3, 0]].map(|o| prepare(&input(Layout::Cloud, &variables), &events(&o)).unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn images_hold_the_whole_jet() {
        let image =
            Input::Image { collection: "part".into(), max: 10, frame: Frame::Principal, pixels: 8, half_width: 1.6 };
        let features = prepare(&image, &events(&[0, 1, 2, 3])).unwrap();
        assert_eq!(features.events(), 2);
        assert!((features.values[..64].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(features.values[64..].iter().all(|&x| x == 0.0), "an empty jet is an empty image");
    }

    #[test]
    fn statistics_come_from_the_events_given() {
        let flat = Column::flat("x", Data::F32(vec![1.0, 3.0, 5.0, 7.0]));
        let events = Events::new(vec![flat]).unwrap();
        let input = Input::Table { variables: vec![Variable::standard("x").clipped(-1.0, 9.0)] };
        assert!(prepare(&input, &events).is_err(), "not fitted yet");
        let fitted = fit(&input, &events.take(&[0, 1]), &[1.0, 1.0]).unwrap();
        assert_eq!(prepare(&fitted, &events).unwrap().values, [-1.0, 1.0, 3.0, 5.0]);
        let weighted = fit(&input, &events.take(&[0, 1, 2]), &[-2.0, 2.0, 0.0]).unwrap();
        assert_eq!(weighted, fitted, "signs do not count, and a weight of zero is an event that is not there");
    }
}
