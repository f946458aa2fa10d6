//! What the JSON formats of statistical models have in common: histograms in channels, a table each, a row for each bin.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use serde::de::DeserializeOwned;

use crate::table::{self, Table};
use crate::{Error, Result, hs3, pyhf};

/// Numbers by the name of their column, all of one length.
#[derive(Default)]
pub(crate) struct Columns(Vec<(String, Vec<f64>)>);

impl Columns {
    /// Adds a column.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a name that stands twice, or another length than that of the first.
    pub(crate) fn add(&mut self, path: &Path, channel: &str, name: String, values: Vec<f64>) -> Result<()> {
        let place = || format!("`{}`, `{}`", channel.escape_default(), name.escape_default());
        if self.0.iter().any(|(other, _)| *other == name) {
            return Err(Error::corrupt(path, place(), "the name stands twice"));
        }
        if let Some((_, first)) = self.0.first().filter(|(_, first)| first.len() != values.len()) {
            let reason = format!("found {} bins, expected {}", values.len(), first.len());
            return Err(Error::corrupt(path, place(), reason));
        }
        self.0.push((name, values));
        Ok(())
    }

    /// The table of these columns.
    pub(crate) fn into_table(self, name: &str, kind: &'static str) -> Box<dyn Table> {
        let fields = self.0.iter().map(|(name, _)| Field::new(name, DataType::Float64, false));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = self.0.into_iter().map(|(_, values)| Arc::new(Float64Array::from(values)) as ArrayRef).collect();
        // The lengths were compared above; a channel without columns has no entries.
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays);
        table::held(name, kind, &batch.unwrap_or_else(|_| RecordBatch::new_empty(schema)))
    }
}

/// Reads JSON into what a format expects.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::corrupt(path, "JSON", e))
}

/// The tables of a file, pyhf's or HS3's by the keys it has.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    #[derive(serde::Deserialize)]
    struct Keys {
        channels: Option<serde::de::IgnoredAny>,
        distributions: Option<serde::de::IgnoredAny>,
        metadata: Option<serde::de::IgnoredAny>,
    }
    let bytes = std::fs::read(path).map_err(crate::file::system("read", path))?;
    let keys: Keys = parse(path, &bytes)?;
    match (keys.channels, keys.distributions.or(keys.metadata)) {
        (Some(_), _) => pyhf::tables(path, &bytes),
        (None, Some(_)) => hs3::tables(path, &bytes),
        (None, None) => {
            let expected = "expected `channels` (a workspace of pyhf) or `distributions` (HS3)";
            Err(Error::unsupported(path, "keys", expected))
        }
    }
}
