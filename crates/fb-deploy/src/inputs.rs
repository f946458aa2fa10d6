//! What an exported network takes: raw columns as padded tensors.

use std::collections::BTreeSet;

use fb_core::expression::Expression;
use fb_core::{Column, Events, Features, Input, List, Tensor, Variable};

use crate::Error;

/// What an input of the exported network holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// px, py, pz, E of each particle [event, particle, 4] in GeV; rows of zeros are padding.
    Momenta,
    /// One number per particle [event, particle].
    Particle,
    /// One number per event `[event]`.
    Event,
    /// Rows as fb-physics prepares them [event, row, width].
    Rows,
    /// One number per entry of the list of this place [event, entry]; NaN is padding.
    Entry(usize),
}

/// An input of the exported network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The column (or the collection) it holds, and its name in the graph.
    pub name: String,
    /// How the name reads in an expression.
    pub alias: String,
    pub kind: Kind,
}

/// What an expression about particles may name without a column: see [`Input::Particles`].
const QUANTITIES: [&str; 21] = [
    "px", "py", "pz", "E", "pt", "eta", "phi", "u", "v", "deta", "dphi", "dr", "jet_px", "jet_py", "jet_pz", "jet_E",
    "jet_pt", "jet_eta", "jet_phi", "jet_m", "n",
];

/// The inputs of the network that sees `input`, those of particles first.
///
/// Where particles are seen, a name that is no quantity of a particle is a column of the collection, but for those that
/// start with `jet_` or `event_`, which have one number per event.
pub(crate) fn slots(input: &Input) -> Result<Vec<Slot>, Error> {
    let of = |variables: &[Variable]| variables.iter().map(|v| v.expression.clone()).collect::<Vec<_>>();
    let (variables, collection) = match input {
        Input::Table { variables } => (of(variables), None),
        Input::Columns { variables, .. } => (variables.clone(), None),
        Input::Particles { variables, collection, .. } => (of(variables), Some(collection)),
        Input::Lund { collection, .. } => return Ok(prepared_slots(&format!("{collection}_lund"))),
        Input::History { collection, .. } => return Ok(prepared_slots(&format!("{collection}_history"))),
        Input::Observables { set, .. } => {
            let reason = format!("it sees `{set}`, which is no graph; compute it with `fb substructure`");
            return Err(Error::Unsupported { reason });
        }
        Input::Image { collection, .. } => (Vec::new(), Some(collection)),
        Input::Lists { event, lists } => return slots_of_lists(event, lists),
    };
    let mut names = BTreeSet::new();
    for variable in variables {
        let expression = Expression::parse(&variable)?;
        names.extend(expression.names().into_iter().map(str::to_owned));
    }
    let Some(collection) = collection else {
        return Ok(names.into_iter().map(|name| Slot { alias: name.clone(), name, kind: Kind::Event }).collect());
    };
    let mut slots = vec![Slot { name: collection.clone(), alias: String::new(), kind: Kind::Momenta }];
    for alias in names.into_iter().filter(|name| !QUANTITIES.contains(&name.as_str())) {
        if alias.starts_with(&format!("{collection}_")) {
            let reason = format!("`{alias}` names a whole list; try it without `{collection}_`");
            return Err(Error::Unsupported { reason });
        }
        slots.push(if alias.starts_with("jet_") || alias.starts_with("event_") {
            Slot { name: alias.clone(), alias, kind: Kind::Event }
        } else {
            Slot { name: format!("{collection}_{alias}"), alias, kind: Kind::Particle }
        });
    }
    Ok(slots)
}

/// Rows that are given as they are, and how many there are of each event.
fn prepared_slots(name: &str) -> Vec<Slot> {
    let slot = |name: String, kind| Slot { alias: String::new(), name, kind };
    vec![slot(name.to_owned(), Kind::Rows), slot(format!("{name}_n"), Kind::Event)]
}

fn slots_of_lists(event: &[Variable], lists: &[List]) -> Result<Vec<Slot>, Error> {
    let mut names = BTreeSet::new();
    for text in event.iter().map(|v| &v.expression).chain(lists.iter().flat_map(List::expressions)) {
        names.extend(Expression::parse(text)?.names().into_iter().map(str::to_owned));
    }
    let slot = |name: String| {
        let list = lists.iter().position(|list| list.owns(&name));
        Slot { alias: name.clone(), name, kind: list.map_or(Kind::Event, Kind::Entry) }
    };
    Ok(names.into_iter().map(slot).collect())
}

/// What an exported network takes of some events.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    events: usize,
    tensors: Vec<Tensor>,
}

impl Inputs {
    /// Pads the columns of `events` that a network sees to tensors.
    ///
    /// Momenta are read from `{collection}_px, _py, _pz, _E` or from `{collection}_pt, _eta, _phi` and, if there,
    /// `_mass` or `_m`. Every event has as many rows as the one with the most particles, and at least one.
    ///
    /// A model that sees the Lund tree is to be given it by [`Inputs::prepared`].
    ///
    /// # Errors
    /// Of a column that is missing, has one number per event where a list is expected, or the other way round.
    pub fn new(input: &Input, events: &Events) -> Result<Self, Error> {
        let mut tensors = Vec::new();
        for slot in slots(input)? {
            let name = slot.name;
            tensors.push(match slot.kind {
                Kind::Rows => {
                    let reason = format!("`{name}` is no column; prepare it first");
                    return Err(Error::Unsupported { reason });
                }
                Kind::Momenta => momenta(events, name)?,
                Kind::Particle => {
                    let column = events.column(&name)?;
                    let rows = rows(column)?;
                    let shape = vec![events.len(), rows];
                    Tensor { values: padded(column, rows, 0.0), name, shape }
                }
                Kind::Entry(_) => {
                    let column = events.column(&name)?;
                    let rows = if column.offsets.is_some() { rows(column)? } else { 1 };
                    let shape = vec![events.len(), rows];
                    Tensor { values: padded(column, rows, f32::NAN), name, shape }
                }
                Kind::Event => {
                    let column = events.column(&name)?;
                    if column.offsets.is_some() {
                        return Err(shape_error(column, "found a list, expected one number per event"));
                    }
                    let values = (0..events.len()).map(|i| column.data.number(i) as f32).collect();
                    Tensor { name, shape: vec![events.len()], values }
                }
            });
        }
        Ok(Self { events: events.len(), tensors })
    }

    /// Pads what the network sees of each row of an event, where the export takes just that (the Lund tree).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an input that is prepared within the export.
    pub fn prepared(input: &Input, features: &Features) -> Result<Self, Error> {
        let (slots, events) = (slots(input)?, features.events());
        let [Slot { name, kind: Kind::Rows, .. }, Slot { name: count, .. }] = &slots[..] else {
            return Err(Error::Unsupported { reason: "the export prepares what it sees itself".to_owned() });
        };
        let counts: Vec<usize> = (0..events).map(|i| features.rows(i).len()).collect();
        let (rows, width) = (counts.iter().copied().max().unwrap_or(0).max(1), features.width);
        let mut values = vec![0.0; events * rows * width];
        for (i, event) in values.chunks_exact_mut(rows * width).enumerate() {
            let of = features.rows(i);
            event[..of.len() * width].copy_from_slice(&features.values[of.start * width..of.end * width]);
        }
        let rows = Tensor { name: name.clone(), shape: vec![events, rows, width], values };
        let values = counts.iter().map(|&n| n as f32).collect();
        Ok(Self { events, tensors: vec![rows, Tensor { name: count.clone(), shape: vec![events], values }] })
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// The tensors by their names in the exported graph; the first dimension counts events.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

fn shape_error(column: &Column, reason: &str) -> Error {
    Error::Model(fb_core::Error::Config { place: format!("column `{}`", column.name), reason: reason.to_owned() })
}

/// Entries of the longest list of a column, at least one.
fn rows(column: &Column) -> Result<usize, Error> {
    let offsets = column.offsets.as_deref();
    let offsets = offsets.ok_or_else(|| shape_error(column, "found one number per event, expected a list"))?;
    Ok(offsets.windows(2).map(|o| o[1] - o[0]).max().unwrap_or(0).max(1))
}

fn padded(column: &Column, rows: usize, padding: f32) -> Vec<f32> {
    let mut values = vec![padding; column.events() * rows];
    for (i, row) in values.chunks_exact_mut(rows).enumerate() {
        row.iter_mut().zip(column.range(i)).for_each(|(x, entry)| *x = column.data.number(entry) as f32);
    }
    values
}

/// (px, py, pz, E) of each particle.
fn momenta(events: &Events, collection: String) -> Result<Tensor, Error> {
    let name = |suffix: &str| format!("{collection}_{suffix}");
    let cartesian = events.column(&name("px")).is_ok() || events.column(&name("pt")).is_err();
    let names = if cartesian { ["px", "py", "pz", "E"] } else { ["pt", "eta", "phi", "mass"] };
    let mut columns = Vec::new();
    for suffix in names {
        // The mass is zero where it is not given.
        match events.column(&name(suffix)) {
            Err(_) if suffix == "mass" => columns.extend(events.column(&name("m"))),
            column => columns.push(column?),
        }
    }
    let rows = rows(columns[0])?;
    if let Some(other) = columns.iter().find(|column| column.offsets != columns[0].offsets) {
        return Err(shape_error(other, &format!("its lists differ in length from those of `{}`", columns[0].name)));
    }
    let mut values = vec![0.0; events.len() * rows * 4];
    for (i, event) in values.chunks_exact_mut(rows * 4).enumerate() {
        for (p, entry) in event.chunks_exact_mut(4).zip(columns[0].range(i)) {
            let mut x = [0.0; 4];
            x.iter_mut().zip(&columns).for_each(|(x, column)| *x = column.data.number(entry));
            if !cartesian {
                let [pt, eta, phi, m] = x;
                let pz = pt * eta.sinh();
                x = [pt * phi.cos(), pt * phi.sin(), pz, (pt * pt + pz * pz + m * m).sqrt()];
            }
            p.iter_mut().zip(x).for_each(|(p, x)| *p = x as f32);
        }
    }
    Ok(Tensor { shape: vec![events.len(), rows, 4], name: collection, values })
}
