//! What a case is, and how cases are chosen.

use std::cmp::Reverse;

use globset::{Glob, GlobSetBuilder};

use crate::cases;
use crate::context::CaseContext;
use crate::fixture::Fixture;
use crate::spec::{self, Clause};
use crate::verdict::{Level, Outcome};

/// One thing that a server has to do, and how that is found out.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Stable name, `group/what-holds`; never reused.
    pub id: &'static str,
    /// The clause of `docs/spec.md` that it tests.
    pub clause: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it needs and how it is scheduled.
    pub traits: Traits,
    /// Its code.
    pub run: Run,
}

/// What a case needs and how it is scheduled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    /// Starts, stops or measures the server, so it cannot be run on a server
    /// that somebody else has started.
    pub launches: bool,
    /// Measures time or memory, so nothing runs beside it but what idles.
    pub alone: bool,
    /// Mostly lets time pass, so it runs beside all others.
    pub idles: bool,
    /// Part of the quick selection.
    pub quick: bool,
}

/// The code of a case.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Runs in one room with a fresh server.
    WithFixture(fn(&mut Fixture) -> Outcome),
    /// Starts servers as it pleases.
    WithContext(fn(&mut CaseContext) -> Outcome),
}

impl Case {
    /// A MUST case that runs beside others in a room of its own.
    pub(crate) const fn must(
        id: &'static str,
        clause: &'static str,
        summary: &'static str,
        run: fn(&mut Fixture) -> Outcome,
    ) -> Self {
        let traits = Traits { launches: false, alone: false, idles: false, quick: false };
        Self { id, clause, level: Level::Must, summary, traits, run: Run::WithFixture(run) }
    }

    /// A MUST case that starts, stops or measures servers itself.
    pub(crate) const fn must_launching(
        id: &'static str,
        clause: &'static str,
        summary: &'static str,
        run: fn(&mut CaseContext) -> Outcome,
    ) -> Self {
        let traits = Traits { launches: true, alone: false, idles: false, quick: false };
        Self { id, clause, level: Level::Must, summary, traits, run: Run::WithContext(run) }
    }

    /// The same, weighing only as a SHOULD.
    pub(crate) const fn should(mut self) -> Self {
        self.level = Level::Should;
        self
    }

    /// The same, in the quick selection too.
    pub(crate) const fn quick(mut self) -> Self {
        self.traits.quick = true;
        self
    }

    /// The same, with nothing beside it but what waits.
    pub(crate) const fn alone(mut self) -> Self {
        self.traits.alone = true;
        self
    }

    /// The same, beside all others: it does nothing for seconds.
    pub(crate) const fn idling(mut self) -> Self {
        self.traits.idles = true;
        self
    }

    /// The same, for servers that the suite starts itself.
    pub(crate) const fn launching(mut self) -> Self {
        self.traits.launches = true;
        self
    }

    /// The part of the id before the slash.
    pub fn group(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }

    /// The clause's level and text, from the document.
    ///
    /// # Panics
    /// Never: a test holds every case to a clause that exists.
    pub fn clause(&self) -> &'static Clause {
        spec::clause(self.clause).expect("every case names a clause of the document")
    }
}

/// Why no cases could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A pattern that is none.
    #[error("'{pattern}' is no pattern for cases: {reason}")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that matches no case: a filter that selects nothing is a
    /// mistake, never a pass.
    #[error("no case matches '{pattern}'{hint}")]
    NoMatch {
        /// As given.
        pattern: String,
        /// A similar id, or where the list is.
        hint: String,
    },
}

/// The cases that match any of `globs` (all if there are none), in the order
/// of the suite. A pattern is matched against a case's id and its clause.
///
/// # Errors
/// When a pattern is none, or matches nothing.
pub fn select(globs: &[String], quick: bool) -> Result<Vec<&'static Case>, SelectionError> {
    let all = cases::all();
    if globs.is_empty() {
        return Ok(all.iter().filter(|case| !quick || case.traits.quick).collect());
    }
    let mut set = GlobSetBuilder::new();
    for pattern in globs {
        let bad = |error: globset::Error| SelectionError::Pattern {
            pattern: pattern.clone(),
            reason: error.kind().to_string(),
        };
        let glob = Glob::new(pattern).map_err(bad)?;
        let matcher = glob.compile_matcher();
        if !all.iter().any(|case| matcher.is_match(case.id) || matcher.is_match(case.clause)) {
            return Err(SelectionError::NoMatch { pattern: pattern.clone(), hint: hint(pattern) });
        }
        set.add(glob);
    }
    let set = set.build().map_err(|error| SelectionError::Pattern {
        pattern: globs.join(" "),
        reason: error.to_string(),
    })?;
    Ok(all.iter().filter(|case| set.is_match(case.id) || set.is_match(case.clause)).collect())
}

/// A case whose id holds a word of `pattern`, if there is one.
fn hint(pattern: &str) -> String {
    let words: Vec<&str> =
        pattern.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2).collect();
    cases::all()
        .iter()
        .max_by_key(|case| {
            let matches = words.iter().filter(|word| case.id.contains(*word)).count();
            (matches, Reverse(case.id.len()))
        })
        .filter(|case| words.iter().any(|word| case.id.contains(word)))
        .map_or_else(String::new, |case| format!(": did you mean '{}'?", case.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Obligation;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_of_the_form_group_slash_name() {
        let mut seen = HashSet::new();
        for case in cases::all() {
            assert!(seen.insert(case.id), "{} stands twice", case.id);
            let (group, name) = case.id.split_once('/').expect("an id has a slash");
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(group.chars().all(allowed) && name.chars().all(allowed), "{}", case.id);
        }
    }

    #[test]
    fn no_case_weighs_more_than_its_clause() {
        for case in cases::all() {
            let allowed = match case.clause().obligation {
                Obligation::Must => true,
                Obligation::Should => case.level != Level::Must,
                Obligation::May => case.level == Level::Info,
            };
            assert!(allowed, "{} weighs more than {}", case.id, case.clause);
        }
    }

    #[test]
    fn every_clause_that_binds_has_a_case_of_its_own_weight() {
        for clause in spec::clauses() {
            let wanted = match clause.obligation {
                Obligation::Must => Level::Must,
                Obligation::Should => Level::Should,
                Obligation::May => continue,
            };
            let found =
                cases::all().iter().any(|case| case.clause == clause.id && case.level == wanted);
            assert!(found, "no case of level {wanted:?} tests {}", clause.id);
        }
    }

    #[test]
    fn a_pattern_selects_by_id_and_by_clause() {
        let by_id = select(&["order/*".to_owned()], false).expect("there are order cases");
        assert!(by_id.iter().all(|case| case.group() == "order"));
        let by_clause = select(&["FRAME-3".to_owned()], false).expect("FRAME-3 has a case");
        assert!(by_clause.iter().all(|case| case.clause == "FRAME-3"));
    }

    #[test]
    fn without_patterns_all_cases_are_selected_or_the_quick_ones() {
        let all = select(&[], false).expect("no pattern is wrong");
        let quick = select(&[], true).expect("no pattern is wrong");
        assert_eq!(all.len(), cases::all().len());
        assert!(quick.iter().all(|case| case.traits.quick));
        assert!(!quick.is_empty() && quick.len() < all.len());
        // Who names a case wants it, quick or not.
        let slow = all.iter().find(|case| !case.traits.quick).expect("one is not quick");
        let named = select(&[slow.id.to_owned()], true).expect("it exists");
        assert_eq!(named.len(), 1);
    }

    #[test]
    fn a_pattern_that_selects_nothing_is_an_error_that_helps() {
        let error = select(&["order/*".to_owned(), "idle-cpu".to_owned()], false).unwrap_err();
        assert_eq!(error.to_string(), "no case matches 'idle-cpu': did you mean 'life/idle-cpu'?");
        // A word of two letters is in many ids, and says nothing.
        let error = select(&["is".to_owned()], false).unwrap_err();
        assert!(cases::all().iter().any(|case| case.id.contains("is")));
        assert_eq!(error.to_string(), "no case matches 'is'");
    }
}
