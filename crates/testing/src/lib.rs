//! What tests of several packages share: which of them run, the comparison of quoted output, a
//! second address for a server, and random numbers from a seed.
//!
//! A short part runs by default, and all of them with `ZILLIONS_TESTS=all`.
//! Test programs that take minutes mark each test as [`Part::Short`] or [`Part::Long`].
//! Which tests are short is decided by fixed rules in those programs, so that the short part is
//! the same in every run.

mod dice;
mod quoted;
mod relay;

use std::ffi::OsStr;

use libtest_mimic::{Arguments, Trial};

pub use dice::Dice;
pub use quoted::first_missing;
pub use relay::{Relay, RelayedOrder};

/// The environment variable that says which tests run.
pub const SWITCH: &str = "ZILLIONS_TESTS";

/// The only value of [`SWITCH`].
const ALL: &str = "all";

/// When a test runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// In every run.
    Short,
    /// With `ZILLIONS_TESTS=all`, or if a filter selects it.
    Long,
}

/// Whether `ZILLIONS_TESTS=all` asks for every test.
///
/// # Panics
///
/// When the variable has any other value, as that is certainly a mistake.
#[must_use]
pub fn runs_all() -> bool {
    is_all(std::env::var_os(SWITCH).as_deref())
}

fn is_all(value: Option<&OsStr>) -> bool {
    match value {
        None => false,
        Some(value) if value.is_empty() => false,
        Some(value) if value == ALL => true,
        Some(value) => panic!("invalid {SWITCH} {value:?}: set it to '{ALL}', or not at all"),
    }
}

/// The tests that run, and how many are left out.
///
/// A filter on the command line selects from all tests, and a list shows all of them.
#[must_use]
pub fn select(
    arguments: &Arguments,
    tests: impl IntoIterator<Item = (Part, Trial)>,
) -> (Vec<Trial>, usize) {
    select_if(arguments, runs_all(), tests)
}

fn select_if(
    arguments: &Arguments,
    runs_all: bool,
    tests: impl IntoIterator<Item = (Part, Trial)>,
) -> (Vec<Trial>, usize) {
    let everything = runs_all || arguments.filter.is_some() || arguments.list;
    let (run, left_out): (Vec<_>, Vec<_>) =
        tests.into_iter().partition(|(part, _)| everything || *part == Part::Short);
    (run.into_iter().map(|(_, trial)| trial).collect(), left_out.len())
}

/// What to tell about tests that are left out, if there are any.
#[must_use]
pub fn left_out_note(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| format!("{left_out} more tests run with {SWITCH}={ALL}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(arguments: &[&str], runs_all: bool) -> (Vec<String>, usize) {
        let arguments = Arguments::from_iter([&["program"], arguments].concat());
        let test = |name: &str| Trial::test(name, || Ok(()));
        let tests = [(Part::Short, test("short")), (Part::Long, test("long"))];
        let (run, left_out) = select_if(&arguments, runs_all, tests);
        (run.iter().map(|trial| trial.name().to_owned()).collect(), left_out)
    }

    #[test]
    fn only_the_switch_a_filter_or_a_list_selects_long_tests() {
        assert_eq!(selected(&[], false), (vec!["short".to_owned()], 1));
        let both = (vec!["short".to_owned(), "long".to_owned()], 0);
        assert_eq!(selected(&[], true), both);
        assert_eq!(selected(&["lon"], false), both);
        assert_eq!(selected(&["--list"], false), both);
    }

    #[test]
    fn the_switch_is_all_or_nothing() {
        assert!(!is_all(None));
        assert!(!is_all(Some(OsStr::new(""))));
        assert!(is_all(Some(OsStr::new("all"))));
        assert!(std::panic::catch_unwind(|| is_all(Some(OsStr::new("yes")))).is_err());
    }

    #[test]
    fn the_note_counts_what_is_left_out() {
        assert_eq!(left_out_note(0), None);
        assert_eq!(left_out_note(3).as_deref(), Some("3 more tests run with ZILLIONS_TESTS=all"));
    }
}
