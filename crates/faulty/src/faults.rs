//! The table of faults: one file or folder per group of clauses of the spec.

mod drop;
mod end;
mod fanout;
mod frame;
mod life;
mod mem;
mod order;
mod shared;
mod slow;
mod start;

use std::str::FromStr;

use crate::fault::{Fault, UnknownFault};

/// All faults, with the group of clauses that those of each list break.
const GROUPS: &[(&str, &[Fault])] = &[
    ("START", start::line::FAULTS),
    ("START", start::accepting::FAULTS),
    ("START", start::address::FAULTS),
    ("FRAME", frame::bodies::FAULTS),
    ("FRAME", frame::pieces::FAULTS),
    ("FRAME", frame::whole::FAULTS),
    ("FRAME", frame::partial::FAULTS),
    ("FANOUT", fanout::everyone::FAULTS),
    ("FANOUT", fanout::joining::FAULTS),
    ("FANOUT", fanout::leaving::FAULTS),
    ("ORDER", order::integrity::FAULTS),
    ("ORDER", order::one_sender::FAULTS),
    ("ORDER", order::receivers::FAULTS),
    ("ORDER", order::causality::FAULTS),
    ("DROP", drop::FAULTS),
    ("SLOW", slow::FAULTS),
    ("MEM", mem::FAULTS),
    ("END", end::FAULTS),
    ("LIFE", life::FAULTS),
];

impl Fault {
    /// Every fault, in the order of the spec's groups.
    pub fn all() -> impl Iterator<Item = Self> {
        GROUPS.iter().flat_map(|(_, faults)| faults.iter().copied())
    }

    /// The fault of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|fault| fault.name == name)
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Self::named(name).ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_listed_with_the_group_of_its_clause_in_the_order_of_the_clauses() {
        for (group, faults) in GROUPS {
            let clause = |fault: &Fault| {
                let (of, number) = fault.breaks.split_once('-').unwrap();
                assert_eq!(of, *group, "{fault}");
                number.parse::<u32>().unwrap()
            };
            assert!(faults.iter().map(clause).is_sorted(), "{group}");
        }
    }
}
