//! The table of faults.

use std::collections::BTreeSet;
use std::process::Command;

use libtest_mimic::Trial;
use zillions_faulty::Fault;
use zillions_testing::Part;

use crate::{PROOFS, asserting};

pub(crate) fn tests() -> impl Iterator<Item = (Part, Trial)> {
    let tests: [(&str, fn()); 8] = [
        (
            "every_fault_is_shown_by_a_probe_and_every_shown_fault_exists",
            every_fault_is_shown_by_a_probe_and_every_shown_fault_exists,
        ),
        (
            "names_are_unique_lower_case_words_with_hyphens",
            names_are_unique_lower_case_words_with_hyphens,
        ),
        (
            "every_fault_breaks_a_binding_clause_of_the_spec",
            every_fault_breaks_a_binding_clause_of_the_spec,
        ),
        (
            "every_binding_clause_has_a_fault_that_breaks_it",
            every_binding_clause_has_a_fault_that_breaks_it,
        ),
        ("the_list_for_people_has_a_line_per_fault", the_list_for_people_has_a_line_per_fault),
        (
            "the_list_for_machines_names_its_schema_and_has_an_entry_per_fault",
            the_list_for_machines_names_its_schema_and_has_an_entry_per_fault,
        ),
        ("an_unknown_fault_is_refused_with_a_way_out", an_unknown_fault_is_refused_with_a_way_out),
        ("faults_are_found_by_name", faults_are_found_by_name),
    ];
    tests.into_iter().map(|(name, test)| (Part::Short, asserting(name, test)))
}

fn every_fault_is_shown_by_a_probe_and_every_shown_fault_exists() {
    let names: BTreeSet<&str> = Fault::all().map(|fault| fault.name).collect();
    let shown: BTreeSet<&str> = PROOFS.iter().flat_map(|proof| proof.shows).copied().collect();
    assert_eq!(names, shown);
}

fn names_are_unique_lower_case_words_with_hyphens() {
    let names: Vec<&str> = Fault::all().map(|fault| fault.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for name in names {
        let legal = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        assert!(name.bytes().all(legal), "{name}");
    }
}

/// The ids of the clauses, from the tables of the spec.
fn clauses() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec.md");
    let spec = std::fs::read_to_string(path).unwrap();
    let rows = spec.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let binding = cells.filter(|cells| cells.len() > 2 && matches!(cells[1], "MUST" | "SHOULD"));
    binding.map(|cells| cells[0].to_owned()).collect()
}

fn every_fault_breaks_a_binding_clause_of_the_spec() {
    let clauses = clauses();
    for fault in Fault::all() {
        assert!(clauses.contains(fault.breaks), "{fault}: no clause {}", fault.breaks);
    }
}

fn every_binding_clause_has_a_fault_that_breaks_it() {
    let broken: BTreeSet<String> = Fault::all().map(|fault| fault.breaks.to_owned()).collect();
    // Without this one no server can be started at all.
    let unbreakable = BTreeSet::from(["START-1".to_owned()]);
    let unbroken: BTreeSet<_> = clauses().difference(&broken).cloned().collect();
    assert_eq!(unbroken, unbreakable);
}

fn list(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zillions-faulty"));
    let output = command.arg("--list-faults").args(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn the_list_for_people_has_a_line_per_fault() {
    let text = list(&[]);
    assert_eq!(text.lines().count(), Fault::all().count());
    for fault in Fault::all() {
        assert!(text.lines().any(|line| line.starts_with(fault.name) && line.contains(fault.what)));
    }
}

fn the_list_for_machines_names_its_schema_and_has_an_entry_per_fault() {
    let document: serde_json::Value = serde_json::from_str(&list(&["--format=json"])).unwrap();
    assert_eq!(document["schema"], "zillions-faults");
    assert_eq!(document["version"], 2);
    let listed = document["faults"].as_array().unwrap();
    assert_eq!(listed.len(), Fault::all().count());
    for (entry, fault) in listed.iter().zip(Fault::all()) {
        assert_eq!(entry["name"], fault.name);
        assert_eq!(entry["breaks"], fault.breaks);
        assert_eq!(entry["rare"], fault.rare);
    }
}

fn an_unknown_fault_is_refused_with_a_way_out() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zillions-faulty"));
    let output = command.args(["--fault=nonsense", "127.0.0.1:0"]).output().unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("no fault is called `nonsense`"), "{message}");
    assert!(message.contains("--list-faults"), "{message}");
}

fn faults_are_found_by_name() {
    assert_eq!(Fault::named("no-echo").unwrap().breaks, "FANOUT-1");
    assert_eq!("no-echo".parse(), Ok(Fault::named("no-echo").unwrap()));
    assert!(Fault::named("no-such").is_none());
}
