//! All cases, one file or folder per group of clauses, and how some of them are chosen.

use std::cmp::Reverse;
use std::sync::LazyLock;

use globset::{Glob, GlobSetBuilder};

use crate::case::Case;

mod common;
mod drop;
mod end;
mod fanout;
mod frame;
mod life;
mod mem;
mod order;
mod slow;
mod start;

/// The groups of clauses of `docs/spec.md`, and the cases of each.
const GROUPS: [(&str, &[&[Case]]); 9] = [
    ("START", start::CASES),
    ("FRAME", frame::CASES),
    ("FANOUT", fanout::CASES),
    ("ORDER", order::CASES),
    ("DROP", &[drop::CASES]),
    ("SLOW", &[slow::CASES]),
    ("MEM", &[mem::CASES]),
    ("END", end::CASES),
    ("LIFE", life::CASES),
];

/// The groups that ids of cases name, in the order in which they run and are reported:
/// those that measure memory come last.
const REPORT_GROUPS: [&str; 10] =
    ["start", "frame", "fanout", "order", "drops", "slow", "end", "scale", "life", "memory"];

/// All cases of the suite, in the order in which they run.
pub fn all() -> &'static [Case] {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
        let mut cases: Vec<Case> = GROUPS.map(|(_, parts)| parts.concat()).concat();
        cases.sort_by_key(|case| REPORT_GROUPS.iter().position(|&group| group == case.group()));
        cases
    });
    &ALL
}

/// The ids of all cases.
pub fn ids() -> Vec<&'static str> {
    all().iter().map(|case| case.id).collect()
}

/// Why no cases could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A pattern that cannot be parsed.
    #[error("invalid case pattern '{pattern}': {reason}")]
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
/// When a pattern is invalid, or matches nothing.
pub fn select(globs: &[String], quick: bool) -> Result<Vec<&'static Case>, SelectionError> {
    let all = all();
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
    all()
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
    use crate::spec::{self, Obligation};
    use crate::traits::Bound;
    use crate::verdict::Level;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_of_the_form_group_slash_name() {
        let mut seen = HashSet::new();
        for case in all() {
            assert!(seen.insert(case.id), "two cases have the id {}", case.id);
            let (group, name) = case.id.split_once('/').expect("an id has a slash");
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(group.chars().all(allowed) && name.chars().all(allowed), "{}", case.id);
        }
    }

    #[test]
    fn every_case_is_with_the_group_of_its_clause() {
        for (group, parts) in GROUPS {
            for case in parts.iter().copied().flatten() {
                let (clause_group, _) = case.clause.split_once('-').expect("a group and a number");
                assert_eq!(clause_group, group, "{} is in the file of another group", case.id);
            }
        }
    }

    #[test]
    fn every_id_belongs_to_a_group_of_reports() {
        for case in all() {
            assert!(REPORT_GROUPS.contains(&case.group()), "{}", case.id);
        }
    }

    #[test]
    fn no_case_weighs_more_than_its_clause() {
        for case in all() {
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
            let found = all().iter().any(|case| case.clause == clause.id && case.level == wanted);
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
        let every = select(&[], false).expect("no pattern is invalid");
        let quick = select(&[], true).expect("no pattern is invalid");
        assert_eq!(every.len(), all().len());
        assert!(quick.iter().all(|case| case.traits.quick));
        assert!(!quick.is_empty() && quick.len() < every.len());
        // A case that is named is selected, quick or not.
        let slow = every.iter().find(|case| !case.traits.quick).expect("one is not quick");
        let named = select(&[slow.id.to_owned()], true).expect("it exists");
        assert_eq!(named.len(), 1);
    }

    #[test]
    fn a_pattern_that_selects_nothing_is_an_error_that_helps() {
        let error = select(&["order/*".to_owned(), "idle-cpu".to_owned()], false).unwrap_err();
        assert_eq!(error.to_string(), "no case matches 'idle-cpu': did you mean 'life/idle-cpu'?");
        // A word of two letters is in many ids, and says nothing.
        let error = select(&["is".to_owned()], false).unwrap_err();
        assert!(all().iter().any(|case| case.id.contains("is")));
        assert_eq!(error.to_string(), "no case matches 'is'");
    }

    /// The cases that send at the server's pace: what it works off in about a second.
    const AT_ITS_PACE: [&str; 40] = [
        "drops/end-for-each-of-many",
        "drops/end-with-their-cause",
        "drops/none-after-recovery",
        "drops/whole-messages-only",
        "end/backlog-after-end",
        "end/close-after-backlog",
        "end/descriptors-given-back",
        "end/reset-while-written-to",
        "fanout/joiners-in-a-flood",
        "fanout/joiners-mid-stream",
        "fanout/leavers-in-a-flood",
        "fanout/no-legacy",
        "frame/empties-at-once",
        "frame/pipelined-64k",
        "frame/short-writes",
        "frame/whole-and-uninterrupted",
        "life/idle-cpu-of-odd-clients",
        "life/leaves-no-process",
        "life/stops-on-sigterm",
        "life/survives-everything",
        "order/integrity",
        "order/integrity-with-drops",
        "order/large-room",
        "order/many-receivers-agree",
        "order/many-senders",
        "order/one-sender",
        "order/one-sender-with-drops",
        "order/own-echo",
        "order/replies-under-load",
        "order/two-receivers-agree",
        "order/with-churn",
        "order/with-drops",
        "scale/let-in-amid-a-flood",
        "slow/drip-reader",
        "slow/many-stalled",
        "slow/reads-on-after-seconds",
        "slow/reads-on-later",
        "slow/sender-never-reads",
        "slow/stalled-reader",
        "start/stdout-stays-quiet",
    ];

    /// Those that fill the kernel's buffers, and wait for nothing that comes of it.
    const FILLING_BUFFERS: [&str; 5] = [
        "memory/flood",
        "memory/flood-of-empty-messages",
        "memory/many-stalled",
        "memory/sender-never-reads",
        "memory/stalled-reader",
    ];

    /// Those that send more than a few messages at once, in bytes.
    const SENDING: [(&str, u64); 2] =
        [("frame/filled-buffers", 256 << 10), ("memory/past-clients", 512 << 10)];

    #[test]
    fn every_case_that_may_flood_is_known_with_its_bound() {
        let bounded = |wanted: fn(Bound) -> bool| -> Vec<&str> {
            let cases = all().iter().filter(|case| wanted(case.traits.bound));
            let mut ids: Vec<&str> = cases.map(|case| case.id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(bounded(|bound| bound == Bound::Pace), AT_ITS_PACE);
        assert_eq!(bounded(|bound| bound == Bound::Buffers), FILLING_BUFFERS);
        assert_eq!(bounded(|bound| matches!(bound, Bound::Bytes(_))), SENDING.map(|(id, _)| id));
        for case in all() {
            if let Some(&(_, bytes)) = SENDING.iter().find(|(id, _)| *id == case.id) {
                assert_eq!(case.traits.bound, Bound::Bytes(bytes), "{}", case.id);
            }
        }
    }

    #[test]
    fn only_what_is_ended_afterwards_fills_all_buffers() {
        // Their servers are theirs alone, and nothing else is measured on them.
        for case in all().iter().filter(|case| case.traits.bound == Bound::Buffers) {
            assert!(case.traits.launches && case.group() == "memory", "{}", case.id);
        }
    }
}
