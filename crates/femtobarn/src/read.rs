//! From files to labelled, weighted events, split by event into training, validation and test.

use std::path::{Path, PathBuf};

use fb_core::unit::is_energy;
use fb_core::{Data, Error, Events, Input, List, Partition, Sample, Unit, philox};
use fb_physics::expression::{flat, select};
use serde::{Deserialize, Serialize};

use crate::experiment::Read;
use crate::failure::{Failure, Result};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// As named.
    pub path: PathBuf,
    /// training, validation or test.
    pub role: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: String,
    /// Events in the file.
    pub events: usize,
    /// Events that pass the selection.
    pub selected: usize,
}

/// The events of an experiment.
#[derive(Debug, Default)]
pub struct Split {
    /// To train on.
    pub train: Sample,
    /// To watch the training on.
    pub validation: Sample,
    /// To judge on.
    pub test: Sample,
    /// The files.
    pub sources: Vec<Source>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The part of the data that an event belongs to, if it comes from a file of this name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Names of the training files.
    pub files: Vec<String>,
    /// Column of the event's number.
    pub by: Option<String>,
    /// Number of folds.
    pub k: u64,
    /// Whether fold 0 is the test part.
    pub test_fold: bool,
    /// Whether the next fold is the validation part.
    pub validation_fold: bool,
}

impl Rule {
    /// The rule of an experiment.
    pub fn new(read: &Read) -> Result<Self> {
        let mut files = Vec::new();
        for pattern in read.files.iter().chain(&read.signal).chain(&read.background) {
            files.extend(fb_io::expand(pattern)?.iter().map(|p| fb_io::name(p)));
        }
        Ok(Self {
            files,
            by: read.folds.by.clone(),
            k: read.folds.k,
            test_fold: read.test.is_empty(),
            validation_fold: read.validation.is_empty(),
        })
    }

    /// The part of an event of a training file.
    pub fn part(&self, identity: u64) -> &'static str {
        let validation = u64::from(self.test_fold);
        match identity % self.k {
            0 if self.test_fold => "test",
            fold if self.validation_fold && fold == validation => "validation",
            _ => "training",
        }
    }
}

/// Hash of (file name, number of the event in the file): the same for every run, on every machine.
pub fn identities(path: &Path, events: &Events, first_row: usize, by: Option<&str>) -> Result<Vec<u64>> {
    let file = philox::hash_text(&fb_io::name(path));
    let Some(by) = by else {
        return Ok((0..events.len()).map(|i| philox::hash(file, (first_row + i) as u64)).collect());
    };
    let column = events.column(by)?;
    if column.offsets.is_some() {
        return Err(Failure::Usage(format!("`read.folds.by`: column `{by}` is a list, expected one number per event")));
    }
    Ok((0..events.len())
        .map(|i| match &column.data {
            Data::Text(text) => philox::hash(file, philox::hash_text(&text[i])),
            Data::I64(v) => philox::hash(file, v[i] as u64),
            data => philox::hash(file, data.number(i).to_bits()),
        })
        .collect())
}

/// Columns that must hold finite numbers for these inputs.
fn needed(inputs: &[Input]) -> Vec<String> {
    let mut names = Vec::new();
    for input in inputs {
        match input {
            Input::Table { variables } => {
                for v in variables {
                    if let Ok(e) = fb_core::expression::Expression::parse(&v.expression) {
                        names.extend(e.names().into_iter().map(str::to_owned));
                    }
                }
            }
            // What is not a number there is missing.
            // Some entries of a list are left out, and those that are taken are looked at one by one.
            Input::Columns { .. } | Input::Lists { .. } => {}
            Input::Particles { collection, .. }
            | Input::Observables { collection, .. }
            | Input::Lund { collection, .. }
            | Input::History { collection, .. }
            | Input::Image { collection, .. } => {
                names.extend(["px", "py", "pz", "E", "pt", "eta", "phi"].map(|s| format!("{collection}_{s}")));
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Columns that methods of trees and of lists see, where they are named.
fn seen(inputs: &[Input]) -> Vec<String> {
    let mut names = Vec::new();
    for input in inputs {
        let expressions: Vec<&String> = match input {
            Input::Columns { variables, .. } => variables.iter().collect(),
            Input::Lists { event, lists } => {
                event.iter().map(|v| &v.expression).chain(lists.iter().flat_map(List::expressions)).collect()
            }
            _ => continue,
        };
        for text in expressions {
            match fb_core::expression::Expression::parse(text) {
                Ok(e) => names.extend(e.names().into_iter().map(str::to_owned)),
                // A pattern is one here too.
                Err(_) => names.push(text.clone()),
            }
        }
    }
    names
}

/// Reads and splits the events of an experiment whose methods see `inputs`.
///
/// # Errors
/// Files that cannot be read; columns that are missing, not finite or look like MeV; an empty class.
pub fn read(read: &Read, inputs: &[Input]) -> Result<Split> {
    let mut split = Split::default();
    let rule = Rule::new(read)?;
    let wanted = Wanted { finite: needed(inputs), others: seen(inputs) };
    let mut all = Sample::default();
    let groups: [(&[String], Option<u32>); 3] =
        [(&read.files, None), (&read.signal, Some(1)), (&read.background, Some(0))];
    for (patterns, class) in groups {
        for path in expand(patterns)? {
            let sample = read_file(read, &path, class, &wanted, "training", &mut split)?;
            all.append(sample)?;
        }
    }
    for (patterns, role) in [(&read.validation, "validation"), (&read.test, "test")] {
        for path in expand(patterns)? {
            let sample = read_file(read, &path, None, &wanted, role, &mut split)?;
            if role == "test" { split.test.append(sample)? } else { split.validation.append(sample)? }
        }
    }
    let of = |part: &str| -> Vec<usize> { (0..all.len()).filter(|&i| rule.part(all.identity[i]) == part).collect() };
    let mut train = of("training");
    if let Some(max) = read.max_train {
        // The events with the smallest hashes: a smaller training is a part of a larger one.
        train.sort_by_key(|&i| (philox::hash(all.identity[i], 1), i));
        train.truncate(max);
        train.sort_unstable();
    }
    if rule.validation_fold {
        split.validation = all.take(&of("validation"));
    }
    if rule.test_fold {
        split.test = all.take(&of("test"));
    }
    split.train = all.take(&train);
    let classes = split.train.labels.iter().copied().max().unwrap_or(0) + 1;
    for (sample, part) in [(&split.train, "training"), (&split.validation, "validation"), (&split.test, "test")] {
        let alike = !read.target.is_empty() || (read.partition.is_some() && read.label.is_none());
        if read.partition.is_some() && !alike {
            check_classes(sample, part, classes)?;
        } else if !alike {
            check_classes(sample, part, classes.max(2))?;
        } else {
            check_sum(&sample.weights, format!("the {part} part"), "check `select` and the folds")?;
        }
    }
    let shared = shared_events(&split);
    if shared > 0 {
        split.warnings.push(format!("{shared} test events are also in the training part (same file name and number)"));
    }
    Ok(split)
}

/// Columns that methods see.
struct Wanted {
    /// Those that must hold finite numbers.
    finite: Vec<String>,
    /// Those in which numbers may be missing.
    others: Vec<String>,
}

fn expand(patterns: &[String]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for pattern in patterns {
        paths.extend(fb_io::expand(pattern)?);
    }
    Ok(paths)
}

fn shared_events(split: &Split) -> usize {
    let mut train = split.train.identity.clone();
    train.sort_unstable();
    split.test.identity.iter().filter(|id| train.binary_search(id).is_ok()).count()
}

fn check_classes(sample: &Sample, part: &str, classes: u32) -> Result<()> {
    // A model has no score for a class that it has not seen.
    if let Some(class) = sample.labels.iter().find(|&&l| l >= classes) {
        let text = format!("the {part} part has events of class {class}, the training part has none");
        return Err(Failure::Data(format!("{text}; check `label`, `max_train` and the folds")));
    }
    for class in 0..classes {
        let of_class = || sample.labels.iter().zip(&sample.weights).filter(move |(l, _)| **l == class);
        let weights: Vec<f64> = of_class().map(|(_, &w)| w).collect();
        let what = format!("class {class} of the {part} part");
        check_sum(&weights, what, "no event of it is left; check `label`, `select` and the folds")?;
    }
    Ok(())
}

/// Refuses a part without events, or whose weights sum up to nothing.
fn check_sum(weights: &[f64], what: String, hint: &str) -> Result<()> {
    let (count, sum) = (weights.len(), weights.iter().sum::<f64>());
    if count > 0 && sum > 0.0 {
        return Ok(());
    }
    let hint = if count == 0 { hint.to_owned() } else { format!("the weights of its {count} events sum up to {sum}") };
    Err(Error::Empty { what, hint }.into())
}

fn read_file(
    read: &Read,
    path: &Path,
    class: Option<u32>,
    wanted: &Wanted,
    role: &str,
    split: &mut Split,
) -> Result<Sample> {
    let (size, sha256) = fb_io::fingerprint(path)?;
    let (mut sample, mut rows) = (Sample::default(), 0);
    let in_file = |source: Error| Failure::In { path: path.to_owned(), source };
    let columns = columns(read, wanted);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    fb_io::for_each_block::<Failure>(path, &columns, &mut |mut events| {
        for name in &wanted.finite {
            check_finite(&events, name, rows).map_err(in_file)?;
        }
        to_gev(read, path, &mut events, rows == 0)?;
        let labels = labels(read, path, &events, class, rows)?;
        let first = rows;
        let shift = |e: Error| match e {
            Error::NotFinite { column, event, found } => {
                in_file(Error::NotFinite { column, event: event + first, found })
            }
            other => in_file(other),
        };
        let weights = match &read.weight {
            Some(weight) => flat(weight, &events).map_err(shift)?,
            None => vec![1.0; events.len()],
        };
        let identity = identities(path, &events, rows, read.folds.by.as_deref())?;
        rows += events.len();
        let kept = match &read.select {
            Some(cut) => select(cut, &events).map_err(in_file)?,
            None => (0..events.len()).collect(),
        };
        let groups = read.partition.as_ref().map(|name| Partition::from_column(events.column(name)?, first));
        let partition = groups.transpose().map_err(in_file)?;
        let mut block = Sample { events, labels, targets: Vec::new(), partition, weights, identity };
        if kept.len() < block.len() {
            block = block.take(&kept);
        }
        block.targets = targets(&read.target, &block.events).map_err(|e| match e {
            Error::NotFinite { column, event, found } => shift(Error::NotFinite { column, event: kept[event], found }),
            other => in_file(other),
        })?;
        sample.append(block).map_err(in_file)
    })?;
    let selected = sample.len();
    split.sources.push(Source { path: path.to_owned(), role: role.to_owned(), size, sha256, events: rows, selected });
    Ok(sample)
}

/// The columns to read: those that are asked for, and those that methods, cut, weight, label and folds name.
fn columns(read: &Read, wanted: &Wanted) -> Vec<String> {
    let (formula, label): (Vec<&String>, Vec<&String>) = read.label.iter().partition(|label| is_formula(label));
    let expressions = read.select.iter().chain(&read.weight).chain(&read.target).chain(formula);
    let parsed = expressions.filter_map(|text| fb_core::expression::Expression::parse(text).ok());
    let named = parsed.flat_map(|e| e.names().into_iter().map(str::to_owned).collect::<Vec<_>>());
    let others = label
        .into_iter()
        .chain(&read.partition)
        .chain(&read.folds.by)
        .chain(&wanted.finite)
        .chain(&wanted.others)
        .cloned();
    read.columns.iter().cloned().chain(named).chain(others).collect()
}

fn check_finite(events: &Events, name: &str, first_row: usize) -> std::result::Result<(), Error> {
    // A column that is not there is named where it is used, with a hint.
    let Ok(column) = events.column(name) else { return Ok(()) };
    let bad = match &column.data {
        Data::F32(v) => v.iter().position(|x| !x.is_finite()),
        Data::F64(v) => v.iter().position(|x| !x.is_finite()),
        Data::I64(_) | Data::Text(_) => None,
    };
    let Some(entry) = bad else { return Ok(()) };
    let event = column.offsets.as_ref().map_or(entry, |o| o.partition_point(|&from| from <= entry) - 1);
    Err(Error::NotFinite { column: name.to_owned(), event: first_row + event, found: column.data.number(entry) })
}

fn labels(read: &Read, path: &Path, events: &Events, class: Option<u32>, first_row: usize) -> Result<Vec<u32>> {
    if class.is_some() || !read.target.is_empty() || (read.partition.is_some() && read.label.is_none()) {
        return Ok(vec![class.unwrap_or(0); events.len()]);
    }
    let name = read.label.as_deref().unwrap_or("label");
    let in_file = |source| Failure::In { path: path.to_owned(), source };
    let bad = |row: usize, found: String| {
        let place = format!("{}, `{name}`", path.display());
        let reason = format!("event {row} has the class {found}, expected a whole number from 0");
        Failure::Data(format!("{place}: {reason}"))
    };
    let numbers: Vec<f64> = if is_formula(name) {
        flat(name, events).map_err(in_file)?
    } else {
        let column = events.column(name).map_err(in_file)?;
        if column.offsets.is_some() || matches!(column.data, Data::Text(_)) {
            return Err(bad(first_row, "of another kind".to_owned()));
        }
        (0..events.len()).map(|i| column.data.number(i)).collect()
    };
    (0..events.len())
        .map(|i| {
            let x = numbers[i];
            let whole = (0.0..1000.0).contains(&x) && x.fract() == 0.0;
            if whole { Ok(x as u32) } else { Err(bad(first_row + i, x.to_string())) }
        })
        .collect()
}

/// Whether a label is an expression and not the name of a column, which may hold `-` or a space.
pub fn is_formula(label: &str) -> bool {
    label.contains(['(', '<', '>', '=', '!'])
}

/// The numbers that are to be predicted: [event, target], row after row.
fn targets(expressions: &[String], events: &Events) -> std::result::Result<Vec<f64>, Error> {
    let columns = expressions.iter().map(|text| flat(text, events)).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok((0..events.len()).flat_map(|i| columns.iter().map(move |c| c[i])).collect())
}

/// No particle of a collider that stands has this energy in GeV; in MeV a hard one does.
const TOO_LARGE: f64 = 20_000.0;

/// Converts energies to GeV, as the experiment says; in the first block of a file they must look like it.
///
/// # Errors
/// [`Failure::Data`] if nothing is said and they look like MeV.
pub fn to_gev(read: &Read, path: &Path, events: &mut Events, first: bool) -> Result<()> {
    let factor = unit_factor(read, path, events, first)?;
    if factor == 1.0 {
        return Ok(());
    }
    scale_energies(events, factor).map_err(|source| Failure::In { path: path.to_owned(), source })
}

/// What energies are multiplied by to be in GeV.
fn unit_factor(read: &Read, path: &Path, events: &Events, first: bool) -> Result<f64> {
    match read.unit.as_deref() {
        Some("MeV") => return Ok(1e-3),
        Some(_) => return Ok(1.0),
        None if !first => return Ok(1.0),
        None => {}
    }
    for column in events.columns() {
        let is_momentum =
            column.name.to_lowercase().split('_').any(|word| matches!(word, "pt" | "e" | "px" | "energy"));
        if !is_momentum {
            continue;
        }
        let largest = |i: usize| column.range(i).map(|e| column.data.number(e).abs()).fold(0.0, f64::max);
        let mut each: Vec<f64> = (0..events.len()).map(largest).collect();
        each.sort_by(f64::total_cmp);
        let median = fb_statistics::quantile(&each, 0.5);
        if median > TOO_LARGE {
            return Err(Failure::Data(format!(
                "{}, column `{}` looks like MeV: the median of its largest entries is {median:.0}, expected GeV; set \
                 `read.unit = \"MeV\"` to convert energies, or \"GeV\" if it is right",
                path.display(),
                column.name
            )));
        }
    }
    Ok(1.0)
}

fn scale_energies(events: &mut Events, factor: f64) -> std::result::Result<(), Error> {
    let energies: Vec<_> = events.columns().iter().filter(|c| is_energy(&c.name)).cloned().collect();
    for mut column in energies {
        column.unit = Unit::Gev;
        column.data = match column.data {
            Data::F32(v) => Data::F32(v.into_iter().map(|x| x * factor as f32).collect()),
            Data::F64(v) => Data::F64(v.into_iter().map(|x| x * factor).collect()),
            Data::I64(v) => Data::F64(v.into_iter().map(|x| x as f64 * factor).collect()),
            text @ Data::Text(_) => text,
        };
        events.push(column)?;
    }
    Ok(())
}
