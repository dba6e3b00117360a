//! One value of a table: its text, its interval, and as JSON.

use serde_json::{Value as Json, json};

use crate::bounded::Bounded;
use crate::format::interval;
use crate::statistics::Estimate;

/// One value of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// It is not known.
    Unknown,
    /// A number, or a bound of it; infinite for a percentile that never arrived.
    Number(Bounded),
    /// A median with its interval.
    Estimate(Estimate),
    /// A part of a whole.
    Part {
        /// The part.
        part: u32,
        /// The whole.
        of: u32,
    },
}

impl Value {
    pub(super) fn number(value: Option<f64>) -> Self {
        value.map_or(Self::Unknown, |value| Self::Number(value.into()))
    }

    /// Its number without its interval, or the bound that is known of it.
    #[must_use]
    pub fn main(&self) -> Option<Bounded> {
        match self {
            Self::Unknown => None,
            Self::Number(value) => Some(*value),
            Self::Estimate(estimate) => Some(estimate.value()),
            Self::Part { part, of } => Some((f64::from(*part) / f64::from((*of).max(1))).into()),
        }
    }

    /// The value without its interval, each number as `format` writes it; a bound has ≥ before it.
    #[must_use]
    pub fn text(&self, format: fn(f64) -> String) -> String {
        match self {
            Self::Unknown => "–".to_owned(),
            Self::Number(value) => value.text(format),
            Self::Estimate(estimate) => estimate.value().text(format),
            Self::Part { part, of } => format!("{part} of {of}"),
        }
    }

    /// The interval; empty if it has none.
    #[must_use]
    pub fn interval(&self, format: fn(f64) -> String) -> String {
        match self {
            Self::Estimate(estimate) => interval(estimate, format),
            Self::Unknown | Self::Number(_) | Self::Part { .. } => String::new(),
        }
    }

    /// As JSON: a number, or an object with `median`, `low` and `high`; null for what is infinite
    /// or not known. A lower bound is an object with `at_least` alone.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Self::Estimate(estimate) if !estimate.value().is_exact() => estimate.value().json(),
            // What is infinite is null.
            Self::Estimate(Estimate { median, low, high, .. }) => {
                json!({ "median": median, "low": low, "high": high })
            }
            Self::Part { part, of } => json!({ "part": part, "of": of }),
            Self::Number(value) => value.json(),
            Self::Unknown => Json::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{digits, time};

    #[test]
    fn an_unknown_value_is_a_dash_and_null_and_what_never_arrived_is_never_and_null() {
        assert_eq!(Value::Unknown.text(time), "–");
        assert_eq!(Value::Unknown.json(), Json::Null);
        assert_eq!(Value::Number(f64::INFINITY.into()).text(time), "never");
        assert_eq!(Value::Number(f64::INFINITY.into()).json(), Json::Null);
        assert_eq!(Value::Part { part: 51, of: 52 }.text(digits), "51 of 52");
    }
}
