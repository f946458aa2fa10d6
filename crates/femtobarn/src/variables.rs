//! Which columns a method on a table sees, where the experiment names none of them or names them by a pattern.

use fb_core::{Data, Events, closest};
use serde_json::{Value as Json, json};

use crate::experiment::{Entry, Read};
use crate::failure::{Failure, Result};

/// Columns that tell events apart, or that hold the answer.
const IDENTIFIERS: [&str; 12] = [
    "event",
    "eventid",
    "eventnumber",
    "run",
    "runnumber",
    "lumi",
    "luminosityblock",
    "entry",
    "index",
    "id",
    "row",
    "process",
];

/// Whether a column is left out where all are asked for.
fn is_left_out(name: &str) -> bool {
    let lower = name.to_lowercase();
    let has_word = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
    IDENTIFIERS.contains(&lower.replace('_', "").as_str()) || has_word(&["true", "truth", "gen", "weight"])
}

/// Names the variables of the methods that ask for all columns (`variables = []`) or for a pattern (`"jet_*"`). Tells
/// what is left out, and which variables are the same for all events.
///
/// # Errors
/// [`Failure::Usage`] for a pattern that no column fits.
pub fn complete(methods: &[Entry], read: &Read, events: &Events) -> Result<(Vec<Entry>, Vec<String>)> {
    let mut warnings = Vec::new();
    let mut all = Vec::new();
    for entry in methods {
        let mut entry = entry.clone();
        if let Some(names) = texts(&entry.config["variables"]) {
            let (names, left_out) = resolve(&names, read, events, &entry.label)?;
            if !left_out.is_empty() {
                let list = left_out.join(", ");
                warnings.push(format!("{}: left out of the variables: {list}; name them to use them", entry.label));
            }
            entry.config["variables"] = json!(names);
            let missing: Vec<f64> =
                entry.config["missing"].as_array().into_iter().flatten().filter_map(Json::as_f64).collect();
            warnings.extend(constant(&names, &missing, events).map(|text| format!("{}: {text}", entry.label)));
        }
        all.push(entry);
    }
    warnings.dedup();
    Ok((all, warnings))
}

/// A list of expressions; networks have tables of their own instead.
fn texts(value: &Json) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect()
}

fn is_pattern(name: &str) -> bool {
    name.starts_with('*') || name.ends_with('*')
}

fn resolve(names: &[String], read: &Read, events: &Events, label: &str) -> Result<(Vec<String>, Vec<String>)> {
    let numbers = || events.columns().iter().filter(|c| c.offsets.is_none() && !matches!(c.data, Data::Text(_)));
    let mut found: Vec<String> = Vec::new();
    let mut left_out = Vec::new();
    for name in names {
        if !is_pattern(name) {
            found.push(name.clone());
            continue;
        }
        let before = found.len();
        for column in numbers() {
            if fb_io::matches(name, &column.name) && !found.contains(&column.name) {
                found.push(column.name.clone());
            }
        }
        if found.len() == before {
            let near = closest(name.trim_matches('*'), numbers().map(|c| c.name.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(Failure::Usage(format!("method `{label}`, `variables`: no column fits `{name}`{hint}")));
        }
    }
    if names.is_empty() {
        let parse = |text: &String| fb_core::expression::Expression::parse(text).ok();
        let weight = read.weight.as_ref().and_then(parse);
        let label = read.label.as_ref().filter(|label| crate::read::is_formula(label)).and_then(parse);
        let weights: Vec<&str> = weight.iter().chain(&label).flat_map(|e| e.names()).collect();
        let targets: Vec<_> = read.target.iter().filter_map(parse).collect();
        // One that is more than a column may be made of what is measured, too: the user says.
        let answers: Vec<&str> = targets.iter().flat_map(|e| e.names()).collect();
        let named = |name: &str| {
            [&read.label, &read.folds.by].into_iter().flatten().any(|n| n == name) || weights.contains(&name)
        };
        for column in numbers().filter(|c| !named(&c.name)) {
            let list = if is_left_out(&column.name) || answers.contains(&column.name.as_str()) {
                &mut left_out
            } else {
                &mut found
            };
            list.push(column.name.clone());
        }
    }
    Ok((found, left_out))
}

/// Columns without information.
fn constant<'a>(names: &'a [String], missing: &'a [f64], events: &'a Events) -> impl Iterator<Item = String> + 'a {
    names.iter().filter_map(move |name| {
        let column = events.column(name).ok().filter(|c| c.offsets.is_none())?;
        let value = |i: usize| Some(column.data.number(i)).filter(|x| !x.is_nan() && !missing.contains(x));
        let first = (0..events.len()).find_map(value);
        match first {
            None => Some(format!("`{name}` is missing in all events")),
            Some(x) if (0..events.len()).all(|i| value(i) == Some(x)) => Some(format!("`{name}` is {x} in all events")),
            Some(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use fb_core::Column;

    use super::*;

    fn read(label: &str, weight: &str) -> Read {
        let text = format!(
            "read = {{ files = [\"x.csv\"], label = \"{label}\", weight = \"{weight}\" }}\n[[method]]\nname = \"bdt\""
        );
        crate::experiment::Experiment::parse(&text, "t", &[]).unwrap().read
    }

    fn events() -> Events {
        let columns = ["x", "jet_pt", "jet_m", "y", "w", "event_id", "m_true", "process"];
        let column = |(i, name): (usize, &str)| Column::flat(name, Data::F32(vec![i as f32, 1.0, -999.0]));
        Events::new(columns.into_iter().enumerate().map(column).collect()).unwrap()
    }

    #[test]
    fn all_columns_but_label_weight_and_identifiers() {
        let (names, left_out) = resolve(&[], &read("y", "abs(w)"), &events(), "bdt").unwrap();
        assert_eq!(names, ["x", "jet_pt", "jet_m"]);
        assert_eq!(left_out, ["event_id", "m_true", "process"]);
    }

    #[test]
    fn patterns_stand_for_columns() {
        let names = ["jet_*".to_owned(), "x / jet_m".to_owned()];
        let (names, left_out) = resolve(&names, &read("y", "w"), &events(), "bdt").unwrap();
        assert_eq!((names.as_slice(), left_out.len()), (&["jet_pt", "jet_m", "x / jet_m"].map(str::to_owned)[..], 0));
        let error = resolve(&["jett_*".to_owned()], &read("y", "w"), &events(), "bdt").unwrap_err().to_string();
        assert!(error.contains("no column fits `jett_*`"), "{error}");
    }

    #[test]
    fn columns_without_information_are_told() {
        let names = ["jet_pt".to_owned(), "x".to_owned()];
        let mut events = events();
        events.push(Column::flat("k", Data::F32(vec![2.0; 3]))).unwrap();
        let names = [&names[..], &["k".to_owned()]].concat();
        // Whether a number is missing is information, too.
        let told: Vec<String> = constant(&names, &[-999.0, 0.0], &events).collect();
        assert_eq!(told, ["`k` is 2 in all events"]);
        let names = &names[..2];
        let told: Vec<String> = constant(names, &[-999.0, 0.0, 1.0], &events).collect();
        assert_eq!(told, ["`jet_pt` is missing in all events", "`x` is missing in all events"]);
    }
}
