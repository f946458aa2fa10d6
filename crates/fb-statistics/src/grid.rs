//! Weighted histograms of several axes, in and out as JSON of UHI (unified histogram interface, schema 1,
//! <https://uhi.readthedocs.io>).

use fb_core::{Error, Result};
use serde_json::{Value, json};

/// An axis; what falls outside of it is kept in bins of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Axis {
    /// Equal bins.
    Regular {
        /// How many.
        bins: usize,
        /// The first edge.
        low: f64,
        /// The last edge.
        high: f64,
    },
    /// Between rising edges.
    Variable(Vec<f64>),
    /// Names.
    Category(Vec<String>),
}

impl Axis {
    /// Bins with those for what falls outside: below and above, or any other name.
    fn extent(&self) -> usize {
        match self {
            Self::Regular { bins, .. } => bins + 2,
            Self::Variable(edges) => edges.len() + 1,
            Self::Category(names) => names.len() + 1,
        }
    }

    /// The bin of a number, the first being what lies below; NaN counts as above. In categories none has it.
    pub fn bin(&self, x: f64) -> usize {
        match self {
            _ if x.is_nan() => self.extent() - 1,
            Self::Regular { bins, low, high } => {
                let at = ((x - low) / (high - low) * *bins as f64).floor();
                (at + 1.0).clamp(0.0, *bins as f64 + 1.0) as usize
            }
            Self::Variable(edges) => edges.partition_point(|e| *e <= x),
            Self::Category(names) => names.len(),
        }
    }

    /// The bin of a name.
    pub fn bin_of(&self, name: &str) -> usize {
        match self {
            Self::Category(names) => names.iter().position(|n| n == name).unwrap_or(names.len()),
            _ => self.extent() - 1,
        }
    }

    /// The edges of the bins, if they are numbers.
    pub fn edges(&self) -> Option<Vec<f64>> {
        match self {
            Self::Regular { bins, low, high } => {
                Some((0..=*bins).map(|i| low + (high - low) * i as f64 / *bins as f64).collect())
            }
            Self::Variable(edges) => Some(edges.clone()),
            Self::Category(_) => None,
        }
    }

    fn json(&self, name: &str) -> Value {
        let metadata = json!({"name": name});
        match self {
            Self::Regular { bins, low, high } => json!({"type": "regular", "lower": low, "upper": high, "bins": bins,
                "underflow": true, "overflow": true, "circular": false, "metadata": metadata}),
            Self::Variable(edges) => json!({"type": "variable", "edges": edges, "underflow": true, "overflow": true,
                "circular": false, "metadata": metadata}),
            Self::Category(names) => {
                json!({"type": "category_str", "categories": names, "flow": true, "metadata": metadata})
            }
        }
    }

    /// The axis, its name, and whether it has bins below and above.
    fn parse(json: &Value, place: &str) -> Result<(Self, String, [bool; 2])> {
        let wrong = |reason: &str| Error::Model { place: place.to_owned(), reason: reason.to_owned() };
        let number = |key: &str| json[key].as_f64().ok_or_else(|| wrong(&format!("has no number `{key}`")));
        let said = |key: &str| json[key].as_bool().unwrap_or(false);
        let name = json["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (axis, flows) = match json["type"].as_str() {
            _ if said("circular") => return Err(wrong("is circular, which is not read")),
            Some("regular") => {
                let bins = json["bins"].as_u64().ok_or_else(|| wrong("has no number `bins`"))? as usize;
                (
                    Self::Regular { bins, low: number("lower")?, high: number("upper")? },
                    [said("underflow"), said("overflow")],
                )
            }
            Some("variable") => {
                let edges = json["edges"].as_array().into_iter().flatten().map(Value::as_f64).collect::<Option<_>>();
                let edges = edges.ok_or_else(|| wrong("has edges that are no numbers"))?;
                (Self::Variable(edges), [said("underflow"), said("overflow")])
            }
            Some("category_str") => {
                let names = json["categories"].as_array().into_iter().flatten();
                let names = names.map(|n| n.as_str().map(str::to_owned)).collect::<Option<_>>();
                (Self::Category(names.ok_or_else(|| wrong("has categories that are no texts"))?), [false, said("flow")])
            }
            other => return Err(wrong(&format!("is a `{}`, which is not read", other.unwrap_or("?")))),
        };
        axis.check().map_err(|reason| wrong(&reason))?;
        Ok((axis, name, flows))
    }

    fn check(&self) -> std::result::Result<(), String> {
        let fine = match self {
            Self::Regular { bins, low, high } => (1..MOST).contains(bins) && low < high && (high - low).is_finite(),
            Self::Variable(edges) => {
                edges.len() > 1 && edges.is_sorted_by(|a, b| a < b) && edges.iter().all(|e| e.is_finite())
            }
            Self::Category(names) => !names.is_empty(),
        };
        if fine { Ok(()) } else { Err("expected rising edges or names, not too many".to_owned()) }
    }
}

/// Bins of all axes together.
const MOST: usize = 1 << 26;

/// Σw and Σw² of bins, the last axis running fastest, those outside included.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// (name, axis).
    pub axes: Vec<(String, Axis)>,
    /// Σw.
    pub values: Vec<f64>,
    /// Σw².
    pub variances: Vec<f64>,
}

impl Grid {
    /// Empty.
    ///
    /// # Errors
    /// [`Error::Config`] for axes without rising edges or names, and for more than 2^26 bins.
    pub fn new(axes: Vec<(String, Axis)>) -> Result<Self> {
        for (name, axis) in &axes {
            axis.check().map_err(|reason| Error::Config { place: format!("axis `{name}`"), reason })?;
        }
        let size = axes.iter().try_fold(1_usize, |n, (_, a)| n.checked_mul(a.extent()).filter(|n| *n <= MOST));
        let size = size.filter(|_| !axes.is_empty()).ok_or_else(|| Error::Config {
            place: "histogram".to_owned(),
            reason: format!("expected one axis or more, and at most {MOST} bins"),
        })?;
        Ok(Self { axes, values: vec![0.0; size], variances: vec![0.0; size] })
    }

    /// Adds an event with these bins of the axes.
    pub fn fill(&mut self, bins: impl IntoIterator<Item = usize>, weight: f64) {
        let at = self.axes.iter().zip(bins).fold(0, |at, ((_, axis), bin)| at * axis.extent() + bin);
        self.values[at] += weight;
        self.variances[at] += weight * weight;
    }

    /// The document of UHI.
    pub fn to_json(&self) -> Value {
        let extents: Vec<usize> = self.axes.iter().map(|(_, axis)| axis.extent()).collect();
        json!({
            "uhi_schema": 1,
            "axes": self.axes.iter().map(|(name, axis)| axis.json(name)).collect::<Vec<_>>(),
            "storage": {"type": "weighted", "values": nested(&self.values, &extents), "variances": nested(&self.variances, &extents)},
        })
    }

    /// From a document of UHI with sums of counts or of weights.
    ///
    /// # Errors
    /// [`Error::Model`] with the place, for other schemas, axes and storages, and for numbers that are not as many as bins.
    pub fn parse(json: &Value) -> Result<Self> {
        let wrong = |place: &str, reason: String| Error::Model { place: place.to_owned(), reason };
        if json["uhi_schema"] != 1 {
            return Err(wrong("uhi_schema", format!("found {}, expected 1", json["uhi_schema"])));
        }
        let listed = json["axes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = listed.iter().enumerate().map(|(i, axis)| Axis::parse(axis, &format!("axes[{i}]")));
        let found = found.collect::<Result<Vec<_>>>()?;
        let mut grid = Self::new(found.iter().map(|(axis, name, _)| (name.clone(), axis.clone())).collect())?;
        let storage = &json["storage"];
        let kind = storage["type"].as_str().unwrap_or("?");
        let second = match kind {
            "weighted" => "variances",
            "int" | "double" => "values",
            _ => return Err(wrong("storage", format!("is a `{kind}`, which is not read"))),
        };
        for (key, into) in [("values", &mut grid.values), (second, &mut grid.variances)] {
            let place = format!("storage.{key}");
            let mut numbers = Vec::new();
            flatten(&storage[key], found.len(), &mut numbers)
                .ok_or_else(|| wrong(&place, "found no numbers in lists of as many levels as axes".to_owned()))?;
            let stored = |axis: &Axis, flows: [bool; 2]| {
                let below = usize::from(!matches!(axis, Axis::Category(_)) && !flows[0]);
                below..axis.extent() - usize::from(!flows[1])
            };
            let ranges: Vec<_> = found.iter().map(|(axis, _, flows)| stored(axis, *flows)).collect();
            let expected: usize = ranges.iter().map(ExactSizeIterator::len).product();
            if numbers.len() != expected {
                return Err(wrong(&place, format!("found {} numbers, expected {expected}, one a bin", numbers.len())));
            }
            for (i, number) in numbers.into_iter().enumerate() {
                let (mut rest, mut at, mut unit) = (i, 0, 1);
                for ((axis, ..), range) in found.iter().zip(&ranges).rev() {
                    at += unit * (range.start + rest % range.len());
                    rest /= range.len();
                    unit *= axis.extent();
                }
                into[at] = number;
            }
        }
        Ok(grid)
    }
}

/// Numbers as lists in lists.
fn nested(numbers: &[f64], extents: &[usize]) -> Value {
    match extents {
        [] | [_] => json!(numbers),
        [first, rest @ ..] => numbers.chunks(numbers.len() / first).map(|part| nested(part, rest)).collect(),
    }
}

fn flatten(value: &Value, levels: usize, into: &mut Vec<f64>) -> Option<()> {
    if levels == 0 {
        into.push(value.as_f64()?);
        return Some(());
    }
    value.as_array()?.iter().try_for_each(|value| flatten(value, levels - 1, into))
}

#[cfg(test)]
mod tests {
    use super::{Axis, Grid};
    use serde_json::{Value, json};

    /// What boost-histogram 1.8.1 with uhi 1.2.1 writes for three axes and four events, one of an unknown category and one
    /// above the first axis.
    fn peer() -> Value {
        let zeros = || json!([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]);
        let part = |x: [f64; 4]| {
            json!([
                zeros(),
                [[0.0, 0.0, x[3]], [x[0], 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
                [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, x[1], 0.0], [0.0, 0.0, 0.0]],
                [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [x[2], 0.0, 0.0], [0.0, 0.0, 0.0]],
            ])
        };
        json!({"uhi_schema": 1, "writer_info": {"boost-histogram": {"version": "1.8.1"}}, "axes": [
            {"type": "regular", "lower": 0.0, "upper": 2.0, "bins": 2, "underflow": true, "overflow": true, "circular": false},
            {"type": "variable", "edges": [0.0, 1.0, 3.0], "underflow": true, "overflow": true, "circular": false},
            {"type": "category_str", "categories": ["a", "b"], "flow": true}],
            "storage": {"type": "weighted", "values": part([1.0, 2.0, 3.0, 4.0]), "variances": part([1.0, 4.0, 9.0, 16.0])}})
    }

    #[test]
    fn histograms_are_filled_written_and_read_as_by_boost() {
        let axes = vec![
            (String::new(), Axis::Regular { bins: 2, low: 0.0, high: 2.0 }),
            (String::new(), Axis::Variable(vec![0.0, 1.0, 3.0])),
            (String::new(), Axis::Category(vec!["a".to_owned(), "b".to_owned()])),
        ];
        let mut grid = Grid::new(axes.clone()).unwrap();
        for (x, y, name, w) in [(0.5, 0.5, "a", 1.0), (1.5, 2.0, "b", 2.0), (5.0, 2.0, "a", 3.0), (0.2, -1.0, "c", 4.0)]
        {
            grid.fill([axes[0].1.bin(x), axes[1].1.bin(y), axes[2].1.bin_of(name)], w);
        }
        assert_eq!(Grid::parse(&peer()).unwrap(), grid);
        assert_eq!(Grid::parse(&grid.to_json()).unwrap(), grid);
        assert_eq!(grid.to_json()["storage"], peer()["storage"]);
    }

    #[test]
    fn bins_without_flows_are_read_and_what_does_not_fit_is_named() {
        let plain = json!({"uhi_schema": 1, "axes": [{"type": "regular", "lower": 0, "upper": 2, "bins": 2}],
            "storage": {"type": "int", "values": [3, 4]}});
        let read = Grid::parse(&plain).unwrap();
        assert_eq!((read.values, read.variances), (vec![0.0, 3.0, 4.0, 0.0], vec![0.0, 3.0, 4.0, 0.0]));
        for (path, value, said) in [
            ("/uhi_schema", json!(2), "expected 1"),
            ("/axes/0/bins", json!(0), "axes[0]"),
            ("/axes/0/bins", json!(u64::MAX), "axes[0]"),
            ("/axes/0/upper", json!(-1), "axes[0]"),
            ("/axes/0/type", json!("boolean"), "`boolean`, which is not read"),
            ("/storage/type", json!("mean"), "`mean`, which is not read"),
            ("/storage/values", json!([1]), "found 1 numbers, expected 2"),
            ("/storage/values", json!([[1, 2]]), "as many levels as axes"),
        ] {
            let mut json = plain.clone();
            *json.pointer_mut(path).unwrap() = value;
            let error = Grid::parse(&json).unwrap_err().to_string();
            assert!(error.contains(said), "{path}: {error}");
        }
    }
}
