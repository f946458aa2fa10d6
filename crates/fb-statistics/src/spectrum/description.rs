//! The fit of a spectrum as its user writes it.

use std::collections::BTreeMap;

use fb_core::{Error, Result, closest};
use serde::Deserialize;

use super::model::{Category, Component, Data, Parameter, Slot, Spectra};
use super::shape::Shape;

/// A sum of components, the same in all categories.
#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    /// The components.
    pub component: Vec<Part>,
}

/// A component: its parameters are those of its shape and `yield`; what is left out starts from the data.
#[derive(Debug, Clone, Deserialize)]
pub struct Part {
    /// What it is called; parameters are `name.parameter`.
    pub name: String,
    /// As [`Shape::parse`] reads it.
    pub shape: String,
    /// What is said of its parameters.
    #[serde(flatten)]
    pub parameters: BTreeMap<String, Setting>,
}

/// What is said of a parameter.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Where it starts.
    Start(f64),
    /// It is that of another component, `name.parameter`.
    Same(String),
    /// All of it.
    Full(Full),
}

/// All that can be said of a parameter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Full {
    /// Where it starts.
    pub start: Option<f64>,
    /// It is not below this.
    pub low: Option<f64>,
    /// It is not above this.
    pub high: Option<f64>,
    /// It stays where it starts.
    pub fixed: bool,
    /// Mean and standard deviation of what is known of it.
    pub constraint: Option<(f64, f64)>,
    /// Each category has its own (yields, by default), or all have the same (all others).
    pub separate: Option<bool>,
}

/// The name of the factor that all shapes have.
const YIELD: &str = "yield";

impl Description {
    /// The likelihood of data in categories (name, data), all in one window.
    ///
    /// # Errors
    /// [`Error::UnknownName`] and [`Error::UnknownKey`] with the nearest name; [`Error::Config`] for bounds that do not hold
    /// the start.
    pub fn spectra(&self, window: (f64, f64), data: Vec<(String, Data)>) -> Result<Spectra> {
        let wrong = |place: String, reason: &str| Error::Config { place, reason: reason.to_owned() };
        if self.component.is_empty() {
            return Err(wrong("`component`".to_owned(), "found none, expected at least one"));
        }
        let mut spectra = Spectra { parameters: Vec::new(), categories: Vec::new() };
        let several = data.len() > 1;
        for (name, data) in data {
            let suffix = if several { format!("[{name}]") } else { String::new() };
            let mut category = Category { name, window, components: Vec::new(), data };
            for part in &self.component {
                let shape = Shape::parse(&part.shape)?;
                let known = || shape.parameters().iter().copied().chain([YIELD]);
                for key in part.parameters.keys() {
                    if !known().any(|k| k == key) {
                        let place = format!("component `{}` ({})", part.name, part.shape);
                        return Err(Error::UnknownKey { key: key.clone(), place, closest: closest(key, known()) });
                    }
                }
                if shape == Shape::PowerLaw && window.0 <= 0.0 {
                    return Err(wrong(format!("component `{}`", part.name), "a power law needs a window above zero"));
                }
                let mut slot = |name: &str| self.slot(part, name, shape, &suffix, &category, &mut spectra.parameters);
                let arguments = shape.parameters().iter().map(|name| slot(name)).collect::<Result<_>>()?;
                let size = vec![slot(YIELD)?];
                category.components.push(Component { shape, arguments, size });
            }
            spectra.categories.push(category);
        }
        Ok(spectra)
    }

    /// The parameter of a component in a category, which is added if it is not there yet.
    fn slot(
        &self,
        part: &Part,
        key: &str,
        shape: Shape,
        suffix: &str,
        category: &Category,
        parameters: &mut Vec<Parameter>,
    ) -> Result<Slot> {
        let place = || format!("`{key}` of component `{}`", part.name);
        let said = match part.parameters.get(key) {
            None => Full::default(),
            Some(Setting::Start(start)) => Full { start: Some(*start), ..Full::default() },
            Some(Setting::Full(full)) => full.clone(),
            Some(Setting::Same(other)) => {
                let of = |p: &Part| {
                    let same = other.strip_prefix(&p.name)?.strip_prefix('.')?.to_owned();
                    Some((p.clone(), same))
                };
                let found = self.component.iter().find_map(of);
                let (owner, same) =
                    found.filter(|(owner, _)| owner.name != part.name).ok_or_else(|| Error::Config {
                        place: place(),
                        reason: format!(
                            "found `{other}`, expected a number or `component.parameter` of another component"
                        ),
                    })?;
                let shape = Shape::parse(&owner.shape)?;
                if same != YIELD && !shape.parameters().contains(&same.as_str())
                    || matches!(owner.parameters.get(&same), Some(Setting::Same(_)))
                {
                    let reason = format!("`{other}` is no parameter of its own");
                    return Err(Error::Config { place: place(), reason });
                }
                return self.slot(&owner, &same, shape, suffix, category, parameters);
            }
        };
        let separate = said.separate.unwrap_or(key == YIELD);
        let name = format!("{}.{key}{}", part.name, if separate { suffix } else { "" });
        if let Some(at) = parameters.iter().position(|p| p.name == name) {
            return Ok(Slot::Free(at));
        }
        let (mean, sigma, sum) = category.data.peak(category.window);
        let (start, bounds) = if key == YIELD {
            (sum / self.component.len() as f64, (0.0, 1e3 + 100.0 * sum.abs()))
        } else {
            shape.start(key, category.window, mean, sigma)
        };
        let start = said.start.unwrap_or(start);
        let bounds = if said.fixed {
            (start, start)
        } else {
            (said.low.unwrap_or(bounds.0.min(start)), said.high.unwrap_or(bounds.1.max(start)))
        };
        if !(start.is_finite() && bounds.0 <= start && start <= bounds.1) {
            let reason = format!("starts at {start}, expected a number from {} to {}", bounds.0, bounds.1);
            return Err(Error::Config { place: place(), reason });
        }
        if let Some((_, sigma)) = said.constraint
            && !(sigma > 0.0 && sigma.is_finite())
        {
            let reason = format!("found a constraint of the width {sigma}, expected a positive number");
            return Err(Error::Config { place: place(), reason });
        }
        parameters.push(Parameter { name, start, bounds, constraint: said.constraint });
        Ok(Slot::Free(parameters.len() - 1))
    }
}
