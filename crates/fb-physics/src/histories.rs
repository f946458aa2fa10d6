//! The nodes of the histories of jets, for expressions: see [`Input::History`].
//!
//! [`Input::History`]: fb_core::Input::History

use fb_core::{Error, Events, Features, Input, Result, Variable};

use crate::expression::{Source, Values};
use crate::features::{fit_variable, interleave, per_row, scaled};
use crate::four_vector::FourVector;
use crate::substructure::Jet;
use crate::substructure::history::{self, Node};

/// The nodes of all jets, one jet after the other.
struct Histories {
    nodes: Vec<Node>,
    jets: Vec<FourVector>,
    offsets: Vec<usize>,
}

impl Histories {
    fn new(events: &Events, collection: &str) -> Result<Self> {
        let (momenta, offsets) = crate::particles::momenta(events, collection)?;
        let mut all = Self { nodes: Vec::new(), jets: Vec::new(), offsets: vec![0] };
        for (event, o) in offsets.windows(2).enumerate() {
            let nodes = Jet::new(&momenta[o[0]..o[1]], None).and_then(|jet| history::kt(&jet));
            let nodes = nodes.map_err(|error| Error::Config {
                place: "history of a jet".to_owned(),
                reason: format!("event {event}: {error}"),
            })?;
            all.jets.push(nodes.first().map_or(FourVector::default(), |jet| jet.momentum));
            all.nodes.extend(nodes);
            all.offsets.push(all.nodes.len());
        }
        Ok(all)
    }

    fn column(&self, variable: &Variable) -> Result<Vec<f64>> {
        per_row(variable, self, &self.offsets)
    }

    /// Places of the harder and the softer daughter in the jet; −1 for none.
    fn links(&self) -> [Vec<f32>; Input::HISTORY_LINKS] {
        let place = |of: fn((usize, usize)) -> usize| {
            self.nodes.iter().map(|node| node.daughters.map_or(-1.0, |pair| of(pair) as f32)).collect()
        };
        [place(|(harder, _)| harder), place(|(_, softer)| softer)]
    }
}

impl Source for Histories {
    fn events(&self) -> usize {
        self.offsets.len() - 1
    }

    fn values(&self, name: &str) -> Result<Values<'_>> {
        let length = |p: &FourVector| p.pt().hypot(p.pz);
        let of: fn(&FourVector) -> f64 = match name {
            "p" => length,
            "px" => |p| p.px,
            "py" => |p| p.py,
            "pz" => |p| p.pz,
            "E" | "jet_E" => |p| p.e,
            "pt" | "jet_pt" => FourVector::pt,
            "eta" => FourVector::eta,
            "phi" => FourVector::phi,
            "theta" => |p| p.pt().atan2(p.pz),
            "m" => FourVector::m,
            _ => {
                let known = ["p", "px", "py", "pz", "E", "pt", "eta", "phi", "theta", "m", "jet_E", "jet_pt"];
                let closest = fb_core::closest(name, known);
                return Err(Error::UnknownName { what: "quantity of a node", name: name.to_owned(), closest });
            }
        };
        Ok(if name.starts_with("jet_") {
            Values { values: self.jets.iter().map(of).collect(), offsets: None }
        } else {
            Values { values: self.nodes.iter().map(|n| of(&n.momentum)).collect(), offsets: Some(&self.offsets) }
        })
    }
}

/// Variables and links of all nodes.
pub(crate) fn prepare(collection: &str, variables: &[Variable], events: &Events) -> Result<Features> {
    let all = Histories::new(events, collection)?;
    let mut columns: Vec<Vec<f32>> = variables.iter().map(|v| scaled(v, all.column(v)?)).collect::<Result<_>>()?;
    columns.extend(all.links());
    Ok(Features { width: columns.len(), values: interleave(&columns), offsets: Some(all.offsets), others: Vec::new() })
}

/// Fits the variables that want it, over all nodes.
pub(crate) fn fit(collection: &str, variables: &mut [Variable], events: &Events, weights: &[f64]) -> Result<()> {
    if variables.iter().all(|v| v.center.is_some() && v.scale.is_some()) {
        return Ok(());
    }
    let all = Histories::new(events, collection)?;
    let repeat = |(o, &w): (&[usize], &f64)| std::iter::repeat_n(w, o[1] - o[0]);
    let weights: Vec<f64> = all.offsets.windows(2).zip(weights).flat_map(repeat).collect();
    for v in variables.iter_mut().filter(|v| v.center.is_none() || v.scale.is_none()) {
        let values = all.column(v)?;
        fit_variable(v, &values, &weights);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fb_core::{Column, Data};

    use super::*;
    use crate::features;

    #[test]
    fn rows_of_small_jets() {
        // Two particles of 3 and 4 GeV, none, one with padding beside it.
        let offsets = Arc::new(vec![0, 2, 2, 4]);
        let column =
            |(name, values): (&str, [f64; 4])| Column::jagged(name, Data::F64(values.to_vec()), Arc::clone(&offsets));
        let columns = [
            ("part_px", [3.0, 0.0, 0.0, 5.0]),
            ("part_py", [0.0, 4.0, 0.0, 0.0]),
            ("part_pz", [0.0, 0.0, 0.0, 0.0]),
            ("part_E", [3.0, 4.0, 0.0, 5.0]),
        ];
        let events = Events::new(columns.map(column).to_vec()).unwrap();
        let input = |variables: &[&str]| Input::History {
            collection: "part".to_owned(),
            variables: variables.iter().map(|&v| Variable::plain(v)).collect(),
        };
        let found = features::prepare(&input(&["p", "E / jet_E", "theta"]), &events).unwrap();
        assert_eq!((found.width, found.offsets.as_deref()), (5, Some(&[0, 3, 3, 4][..])));
        let right = std::f32::consts::FRAC_PI_2;
        let expected = [
            [5.0, 1.0, right, 1.0, 2.0],
            [4.0, 4.0 / 7.0, right, -1.0, -1.0],
            [3.0, 3.0 / 7.0, right, -1.0, -1.0],
            [5.0, 1.0, right, -1.0, -1.0],
        ];
        for (found, expected) in found.values.iter().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
        let unknown = features::prepare(&input(&["etta"]), &events).unwrap_err().to_string();
        assert!(unknown.contains("did you mean `eta`"), "{unknown}");
        let wanted = Input::History { collection: "part".to_owned(), variables: vec![Variable::standard("E")] };
        let Input::History { variables, .. } = features::fit(&wanted, &events, &[1.0, 1.0, 0.0]).unwrap() else {
            panic!("a history")
        };
        assert!((variables[0].center.unwrap() - 14.0 / 3.0).abs() < 1e-12, "the mean of 7, 4 and 3");
    }
}
