//! A fault that no case catches shows a gap, and a case that cannot fail, or cannot pass,
//! proves nothing. `proofs.txt` lists, for each case and each fault, what settles it: a case
//! that all by itself fails on a server with this fault. Every case has a line, and every
//! fault a line with a case of the clause that it breaks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use zillions_conformance::{Case, Options, all_cases};
use zillions_faulty::{Fault, Shows};
use zillions_testing::Part;

use super::{ATTEMPTS, UPDATE, check_for_fault, trial};

/// One line of `proofs.txt`: this case fails on a server with this fault.
#[derive(Clone, Copy)]
pub(super) struct Proof {
    pub(super) case: &'static Case,
    pub(super) fault: Fault,
}

impl Proof {
    /// Whether the case tests the clause that the fault breaks.
    pub(super) fn is_of_the_clause(&self) -> bool {
        self.case.clause == self.fault.breaks
    }
}

/// The lines of `proofs.txt`, or what is wrong with it.
pub(super) fn all() -> Result<&'static [Proof], Failed> {
    static ALL: OnceLock<Result<Vec<Proof>, String>> = OnceLock::new();
    match ALL.get_or_init(read) {
        Ok(proofs) => Ok(proofs),
        Err(error) => Err(error.into()),
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill_matrix/proofs.txt")
}

fn read() -> Result<Vec<Proof>, String> {
    let path = path();
    let text = std::fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
    text.lines()
        .map(|line| {
            let proof = line.split_once(' ').and_then(|(case, fault)| {
                let case = all_cases().iter().find(|it| it.id == case)?;
                Some(Proof { case, fault: Fault::named(fault)? })
            });
            proof.ok_or_else(|| format!("proofs.txt: '{line}' is not a case and a fault"))
        })
        .collect()
}

pub(super) fn trials() -> Result<Vec<(Part, Trial)>, Failed> {
    let proofs = all()?;
    let complete = trial("every case and every fault has a proof", is_complete);
    let passing = all_cases().iter().map(|case| {
        let name = format!("case {} alone passes on the correct server", case.id);
        (Part::Long, trial(name, || passes(case)))
    });
    let short = short_proofs(proofs);
    let failing = proofs.iter().map(|proof| {
        let is_short = short.contains(&(proof.case.id, proof.fault.name));
        let part = if is_short { Part::Short } else { Part::Long };
        let name = format!("case {} alone fails on {}", proof.case.id, proof.fault);
        (part, trial(name, || fails(proof)))
    });
    Ok([(Part::Short, complete)].into_iter().chain(passing).chain(failing).collect())
}

/// The lines of the short part: for each group of clauses the first one with a fault that shows
/// at once, in a case of the clause that it breaks.
fn short_proofs(proofs: &[Proof]) -> BTreeSet<(&'static str, &'static str)> {
    let mut groups = BTreeSet::new();
    proofs
        .iter()
        .filter(|proof| proof.is_of_the_clause())
        .filter(|proof| proof.fault.shows == Shows::Immediate && !proof.fault.rare)
        .filter(|proof| groups.insert(proof.fault.breaks.split('-').next()))
        .map(|proof| (proof.case.id, proof.fault.name))
        .collect()
}

fn is_complete() -> Result<(), Failed> {
    let proofs = all()?;
    let lines: BTreeSet<_> = proofs.iter().map(|it| (it.case.id, it.fault.name)).collect();
    let cases: BTreeSet<&str> = proofs.iter().map(|proof| proof.case.id).collect();
    let caught = proofs.iter().filter(|proof| proof.is_of_the_clause());
    let faults: BTreeSet<&str> = caught.map(|proof| proof.fault.name).collect();
    let mut wrong = Vec::new();
    if lines.len() < proofs.len() {
        wrong.push("a line is there twice".to_owned());
    }
    if !proofs.is_sorted_by_key(|proof| position(proof.case)) {
        wrong.push("the cases are not in the order of the suite".to_owned());
    }
    let bare = all_cases().iter().filter(|case| !cases.contains(case.id));
    wrong.extend(bare.map(|case| format!("no fault for the case {}: add a line", case.id)));
    let open = Fault::all().filter(|fault| !faults.contains(fault.name));
    wrong.extend(open.map(|fault| {
        format!("no case of {} for the fault {fault}: set {UPDATE}=1 to find one", fault.breaks)
    }));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// The place of a case in the suite.
fn position(case: &Case) -> Option<usize> {
    all_cases().iter().position(|it| it.id == case.id)
}

fn passes(case: &Case) -> Result<(), Failed> {
    let options = Options { case_globs: vec![case.id.to_owned()], ..Options::default() };
    super::passes_with(&super::baseline(), &options)
}

fn fails(proof: &Proof) -> Result<(), Failed> {
    let mut said = String::new();
    for attempt in ATTEMPTS {
        let report = check_for_fault(proof.fault, proof.case.id, attempt)?;
        if report.cases.iter().any(super::fails) {
            return Ok(());
        }
        said = super::listing(&report);
    }
    Err(said.into())
}

/// Finds a case for each fault that has none yet, writes `proofs.txt` anew and returns it.
///
/// # Errors
///
/// When no case of its clause catches a fault.
pub(super) fn update() -> Result<Vec<Proof>, Failed> {
    let proofs = all()?;
    let proven =
        |fault: &Fault| proofs.iter().any(|it| it.is_of_the_clause() && it.fault == *fault);
    let mut lines = proofs.to_vec();
    for fault in Fault::all().filter(|fault| !proven(fault)) {
        let proof = find(fault)?;
        eprintln!("{fault} is caught by {}", proof.case.id);
        lines.push(proof);
    }
    lines.sort_by_key(|proof| position(proof.case));
    let text: String =
        lines.iter().map(|proof| format!("{} {}\n", proof.case.id, proof.fault)).collect();
    std::fs::write(path(), text)?;
    Ok(lines)
}

/// The first case of the fault's clause that fails.
fn find(fault: Fault) -> Result<Proof, Failed> {
    for attempt in ATTEMPTS {
        let report = check_for_fault(fault, fault.breaks, attempt)?;
        let failed = report.cases.iter().find(|case| super::fails(case));
        let case = failed.and_then(|failed| all_cases().iter().find(|case| case.id == failed.id));
        if let Some(case) = case {
            return Ok(Proof { case, fault });
        }
    }
    Err(format!("no case of {} catches {fault}", fault.breaks).into())
}
