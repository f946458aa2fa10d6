//! A table of collision events: named columns of equal length, flat or jagged, with a signed weight and an identity
//! per event.

use std::sync::Arc;

use crate::{Error, Partition, Result, Unit, closest};

/// The entries of a column, in one run.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// Integers and booleans.
    I64(Vec<i64>),
    /// Texts.
    Text(Vec<String>),
}

impl Data {
    /// Number of entries (of particles, where the column is jagged).
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entry `i` as a number; NaN for texts.
    pub fn number(&self, i: usize) -> f64 {
        match self {
            Self::F32(v) => f64::from(v[i]),
            Self::F64(v) => v[i],
            Self::I64(v) => v[i] as f64,
            Self::Text(_) => f64::NAN,
        }
    }

    /// The entries at `indices`, in that order.
    #[must_use]
    pub fn take(&self, indices: &[usize]) -> Self {
        match self {
            Self::F32(v) => Self::F32(indices.iter().map(|&i| v[i]).collect()),
            Self::F64(v) => Self::F64(indices.iter().map(|&i| v[i]).collect()),
            Self::I64(v) => Self::I64(indices.iter().map(|&i| v[i]).collect()),
            Self::Text(v) => Self::Text(indices.iter().map(|&i| v[i].clone()).collect()),
        }
    }

    /// Appends the entries of `other`; differing number types meet in `F64`, where a text is NaN.
    pub fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, b) if b.is_empty() => {}
            (a, b) if a.is_empty() => *self = b,
            (Self::F32(a), Self::F32(b)) => a.extend(b),
            (Self::F64(a), Self::F64(b)) => a.extend(b),
            (Self::I64(a), Self::I64(b)) => a.extend(b),
            (Self::Text(a), Self::Text(b)) => a.extend(b),
            (a, b) => {
                let mut numbers: Vec<f64> = (0..a.len()).map(|i| a.number(i)).collect();
                numbers.extend((0..b.len()).map(|i| b.number(i)));
                *self = Self::F64(numbers);
            }
        }
    }
}

/// Where the entries of each event begin; shared between the columns of a collection.
type Offsets = Arc<Vec<usize>>;
/// The place of offsets in memory: columns of one collection have the same.
type Place = *const Vec<usize>;

/// A named column. Flat: one entry per event. Jagged: entries `offsets[i]..offsets[i + 1]` belong to event `i`.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// All entries in one run.
    pub data: Data,
    /// Events + 1 offsets, where jagged; shared between the columns of a collection.
    pub offsets: Option<Arc<Vec<usize>>>,
}

impl Column {
    /// A flat column.
    pub fn flat(name: impl Into<String>, data: Data) -> Self {
        Self { name: name.into(), unit: Unit::Unknown, data, offsets: None }
    }

    /// A jagged column.
    pub fn jagged(name: impl Into<String>, data: Data, offsets: Arc<Vec<usize>>) -> Self {
        Self { name: name.into(), unit: Unit::Unknown, data, offsets: Some(offsets) }
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.offsets.as_ref().map_or_else(|| self.data.len(), |offsets| offsets.len() - 1)
    }

    /// The range of entries of event `i`.
    pub fn range(&self, i: usize) -> std::ops::Range<usize> {
        self.offsets.as_ref().map_or(i..i + 1, |offsets| offsets[i]..offsets[i + 1])
    }
}

/// A table of events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    len: usize,
    columns: Vec<Column>,
}

impl Events {
    /// A table from its columns.
    ///
    /// # Errors
    /// [`Error::Length`] if the columns differ in their number of events.
    pub fn new(columns: Vec<Column>) -> Result<Self> {
        let mut events = Self { len: columns.first().map_or(0, Column::events), columns: Vec::new() };
        columns.into_iter().try_for_each(|column| events.push(column))?;
        Ok(events)
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns in the order of the file.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Adds a column, or replaces the one of its name.
    pub fn push(&mut self, column: Column) -> Result<()> {
        if self.columns.is_empty() {
            self.len = column.events();
        }
        if column.events() != self.len {
            return Err(Error::Length {
                what: format!("column `{}`", column.name),
                expected: self.len,
                found: column.events(),
            });
        }
        match self.columns.iter_mut().find(|c| c.name == column.name) {
            Some(old) => *old = column,
            None => self.columns.push(column),
        }
        Ok(())
    }

    /// The column of this name.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] with the nearest name.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| Error::MissingColumn {
            name: name.to_owned(),
            closest: closest(name, self.columns.iter().map(|c| c.name.as_str())),
        })
    }

    /// The events at `indices`, in that order; an index may come twice.
    #[must_use]
    pub fn take(&self, indices: &[usize]) -> Self {
        // Columns of one collection share their offsets before and after.
        let mut cut: Vec<(Place, Offsets, Vec<usize>)> = Vec::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let Some(offsets) = &column.offsets else {
                columns.push(Column { data: column.data.take(indices), ..column.clone_head() });
                continue;
            };
            let key = Arc::as_ptr(offsets);
            if !cut.iter().any(|(k, ..)| *k == key) {
                let mut new = Vec::with_capacity(indices.len() + 1);
                new.push(0);
                let mut entries = Vec::new();
                for &i in indices {
                    entries.extend(offsets[i]..offsets[i + 1]);
                    new.push(entries.len());
                }
                cut.push((key, Arc::new(new), entries));
            }
            let Some((_, new, entries)) = cut.iter().find(|(k, ..)| *k == key) else { continue };
            columns.push(Column {
                data: column.data.take(entries),
                offsets: Some(Arc::clone(new)),
                ..column.clone_head()
            });
        }
        Self { len: indices.len(), columns }
    }

    /// Appends the events of `other`. Columns that only one of the two has are dropped.
    ///
    /// # Errors
    /// [`Error::Config`] if a column is flat in one and jagged in the other, or of texts in one and numbers in the other.
    pub fn append(&mut self, mut other: Self) -> Result<()> {
        if self.columns.is_empty() {
            *self = other;
            return Ok(());
        }
        self.columns.retain(|c| other.columns.iter().any(|o| o.name == c.name));
        let mut joined: Vec<((Place, Place), Offsets)> = Vec::new();
        for column in &mut self.columns {
            let Some(at) = other.columns.iter().position(|o| o.name == column.name) else { continue };
            let more = other.columns.swap_remove(at);
            let differ = |reason: &str| {
                Err(Error::Config { place: format!("column `{}`", column.name), reason: reason.to_owned() })
            };
            let is_text = |data: &Data| matches!(data, Data::Text(_));
            if !column.data.is_empty() && !more.data.is_empty() && is_text(&column.data) != is_text(&more.data) {
                return differ("of texts in one file and of numbers in another");
            }
            column.offsets = match (&column.offsets, &more.offsets) {
                (None, None) => None,
                (Some(a), Some(b)) => {
                    let key = (Arc::as_ptr(a), Arc::as_ptr(b));
                    let known = joined.iter().find(|(k, _)| *k == key).map(|(_, o)| Arc::clone(o));
                    Some(known.unwrap_or_else(|| {
                        let base = a.last().copied().unwrap_or(0);
                        let new = Arc::new(a.iter().copied().chain(b.iter().skip(1).map(|o| o + base)).collect());
                        joined.push((key, Arc::clone(&new)));
                        new
                    }))
                }
                _ => return differ("flat in one file and jagged in another"),
            };
            column.data.append(more.data);
        }
        self.len += other.len;
        Ok(())
    }
}

impl Column {
    fn clone_head(&self) -> Self {
        Self { name: self.name.clone(), unit: self.unit, data: Data::F32(Vec::new()), offsets: None }
    }
}

/// Events with what a training needs of them: class, signed weight and identity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The columns.
    pub events: Events,
    /// Class of each event, from zero; in a binary problem 1 is signal. All zero in a regression.
    pub labels: Vec<u32>,
    /// The numbers that a regression is to predict: [event, target], row after row. Empty in a classification.
    pub targets: Vec<f64>,
    /// The groups that the particles of each event are to be put into, where that is asked.
    pub partition: Option<Partition>,
    /// Signed weight of each event.
    pub weights: Vec<f64>,
    /// Hash of (file, event id): folds and random numbers follow from it, never from the row.
    pub identity: Vec<u64>,
}

impl Sample {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Numbers that are to be predicted of each event: zero in a classification.
    pub fn width(&self) -> usize {
        self.targets.len() / self.len().max(1)
    }

    /// Target `k` of each event.
    pub fn target(&self, k: usize) -> Vec<f64> {
        self.targets.iter().skip(k).step_by(self.width().max(1)).copied().collect()
    }

    /// The events at `indices`, in that order.
    #[must_use]
    pub fn take(&self, indices: &[usize]) -> Self {
        let width = self.width();
        Self {
            events: self.events.take(indices),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            targets: indices.iter().flat_map(|&i| &self.targets[i * width..][..width]).copied().collect(),
            partition: self.partition.as_ref().map(|partition| partition.take(indices)),
            weights: indices.iter().map(|&i| self.weights[i]).collect(),
            identity: indices.iter().map(|&i| self.identity[i]).collect(),
        }
    }

    /// Appends the events of `other`.
    pub fn append(&mut self, other: Self) -> Result<()> {
        self.events.append(other.events)?;
        self.labels.extend(other.labels);
        self.targets.extend(other.targets);
        if let Some(more) = &other.partition {
            self.partition.get_or_insert_default().append(more);
        }
        self.weights.extend(other.weights);
        self.identity.extend(other.identity);
        Ok(())
    }
}
