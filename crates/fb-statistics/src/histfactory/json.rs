//! JSON values that know where they stand, so that errors can say it.

use fb_core::{Error, Result, closest};
use serde_json::{Map, Value};

/// A value and its path, as `channels[0].samples[1].data`.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value, name: &str) -> Self {
        Self { value, path: name.to_owned() }
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Model { place: self.path.clone(), reason: reason.into() }
    }

    fn wrong(&self, expected: &str) -> Error {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.error(format!("found {found}, expected {expected}"))
    }

    fn object(&self) -> Result<&'a Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Self>> {
        let found = self.object()?.get(key);
        Ok(found.map(|value| Self { value, path: format!("{}.{key}", self.path) }))
    }

    pub(super) fn need(&self, key: &str) -> Result<Self> {
        if let Some(node) = self.get(key)? {
            return Ok(node);
        }
        let hint = closest(key, self.object()?.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |name| format!(" (there is `{name}`)"));
        Err(self.error(format!("has no `{key}`{hint}")))
    }

    pub(super) fn list(&self) -> Result<Vec<Self>> {
        let values = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let node = |(i, value)| Self { value, path: format!("{}[{i}]", self.path) };
        Ok(values.iter().enumerate().map(node).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    pub(super) fn number(&self) -> Result<f64> {
        let number = self.value.as_f64().ok_or_else(|| self.wrong("a number"))?;
        if number.is_finite() { Ok(number) } else { Err(self.error("is too large a number")) }
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    pub(super) fn numbers(&self) -> Result<Vec<f64>> {
        self.list()?.iter().map(Self::number).collect()
    }

    /// As many numbers as there are bins.
    pub(super) fn bins(&self, bins: usize) -> Result<Vec<f64>> {
        let numbers = self.numbers()?;
        if numbers.len() == bins {
            return Ok(numbers);
        }
        Err(self.error(format!("found {} numbers, expected {bins}, one a bin of the channel", numbers.len())))
    }
}
