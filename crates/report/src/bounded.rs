//! Numbers of which perhaps only a bound is known.
//!
//! A percentile with few samples above it is no figure: the true one may be anywhere above. Such a
//! number is a [`Bounded`] from its computation to the page, so nothing can show, sort or compare
//! it without deciding what its bound means there.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// What is known of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// The number itself.
    #[default]
    Exact,
    /// What it is at least.
    AtLeast,
    /// What it is at most.
    AtMost,
    /// Nothing.
    Unknown,
}

/// A number, or a bound of it. In JSON it is a number, an object with `at_least` or `at_most`, or
/// null where it is infinite or unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    value: f64,
    bound: Bound,
}

impl From<f64> for Bounded {
    /// The number itself.
    fn from(value: f64) -> Self {
        Self { value, bound: Bound::Exact }
    }
}

impl Bounded {
    /// A number that is `value` or more.
    #[must_use]
    pub fn at_least(value: f64) -> Self {
        Self::new(value, Bound::AtLeast)
    }

    /// A number of which `value` is what `bound` says. Nothing is more than infinite: what is at
    /// least that is exact, and of what is at most that nothing is known.
    #[must_use]
    pub fn new(value: f64, bound: Bound) -> Self {
        let bound = match bound {
            Bound::AtLeast if value == f64::INFINITY => Bound::Exact,
            Bound::AtMost if value == f64::INFINITY => Bound::Unknown,
            bound => bound,
        };
        Self { value, bound }
    }

    /// What is known of it.
    #[must_use]
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Whether it is the number itself.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.bound == Bound::Exact
    }

    /// The number, if it is known.
    #[must_use]
    pub fn exact(&self) -> Option<f64> {
        self.is_exact().then_some(self.value)
    }

    /// The least that it may be.
    #[must_use]
    pub fn least(&self) -> f64 {
        match self.bound {
            Bound::Exact | Bound::AtLeast => self.value,
            Bound::AtMost | Bound::Unknown => f64::NEG_INFINITY,
        }
    }

    /// The most that it may be.
    #[must_use]
    pub fn most(&self) -> f64 {
        match self.bound {
            Bound::Exact | Bound::AtMost => self.value,
            Bound::AtLeast | Bound::Unknown => f64::INFINITY,
        }
    }

    /// For people: ≥ or ≤ before a bound, the number as `each` writes it.
    #[must_use]
    pub fn text(&self, each: impl Fn(f64) -> String) -> String {
        match self.bound {
            Bound::Exact => each(self.value),
            Bound::AtLeast => format!("≥ {}", each(self.value)),
            Bound::AtMost => format!("≤ {}", each(self.value)),
            Bound::Unknown => "–".to_owned(),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        match self.bound {
            // What is infinite is null.
            Bound::Exact => json!(self.value),
            Bound::AtLeast => json!({ "at_least": self.value }),
            Bound::AtMost => json!({ "at_most": self.value }),
            Bound::Unknown => Value::Null,
        }
    }
}

impl Serialize for Bounded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::time;

    #[test]
    fn a_bound_is_never_shown_as_the_number() {
        let all = [Bound::Exact, Bound::AtLeast, Bound::AtMost, Bound::Unknown];
        let texts = all.map(|bound| Bounded::new(5e6, bound).text(time));
        assert_eq!(texts, ["5.00 ms", "≥ 5.00 ms", "≤ 5.00 ms", "–"]);
        let values = all.map(|bound| Bounded::new(5.0, bound).json().to_string());
        assert_eq!(values, ["5.0", "{\"at_least\":5.0}", "{\"at_most\":5.0}", "null"]);
        assert_eq!(
            all.map(|bound| Bounded::new(5.0, bound).exact()),
            [Some(5.0), None, None, None]
        );
    }

    #[test]
    fn a_bound_says_from_where_to_where_the_number_may_lie() {
        let ends = |bound| {
            let number = Bounded::new(5.0, bound);
            (number.least(), number.most())
        };
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!([ends(Bound::Exact), ends(Bound::AtLeast)], [(5.0, 5.0), (5.0, high)]);
        assert_eq!([ends(Bound::AtMost), ends(Bound::Unknown)], [(low, 5.0), (low, high)]);
    }

    #[test]
    fn what_is_at_least_infinite_is_infinite() {
        let never = Bounded::at_least(f64::INFINITY);
        assert_eq!((never.exact(), never.text(time)), (Some(f64::INFINITY), "never".to_owned()));
        assert_eq!(never.json(), Value::Null);
        assert_eq!(Bounded::new(f64::INFINITY, Bound::AtMost).bound(), Bound::Unknown);
    }
}
