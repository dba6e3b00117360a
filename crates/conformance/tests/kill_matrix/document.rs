//! `docs/faults.md`: the faults, the cases that catch them, and the correct servers, written
//! from what the code says.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use zillions_conformance::all_cases;
use zillions_faulty::{Fault, Oddity};
use zillions_testing::Part;

use super::proofs::{self, Proof};
use super::{UPDATE, trial};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md")
}

pub(super) fn trials() -> impl Iterator<Item = (Part, Trial)> {
    std::iter::once((Part::Short, trial("docs/faults.md is up to date", is_up_to_date)))
}

fn is_up_to_date() -> Result<(), Failed> {
    if std::fs::read_to_string(path())? == text(proofs::all()?)? {
        return Ok(());
    }
    let command = "cargo test -p zillions-conformance --test kill_matrix";
    Err(format!("docs/faults.md is stale: {UPDATE}=1 {command} writes it").into())
}

/// Writes the document anew.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn update(proofs: &[Proof]) -> Result<(), Failed> {
    Ok(std::fs::write(path(), text(proofs)?)?)
}

fn text(proofs: &[Proof]) -> Result<String, Failed> {
    let mut text = String::new();
    write!(
        text,
        "# Faults, and the cases that catch them\n\
         \n\
         <!-- Generated: {UPDATE}=1 cargo test -p zillions-conformance --test kill_matrix -->\n\
         \n\
         The conformance suite has {} cases. They must catch {} faults, each built into an\n\
         otherwise correct server (`zillions faulty-server --fault NAME`), and pass {} correct\n\
         servers. [0010](design/0010-ways-to-be-wrong.md) says where the faults come from and\n\
         what is not covered.\n",
        all_cases().len(),
        Fault::all().count(),
        Oddity::all().len(),
    )?;
    let mut group = "";
    for fault in Fault::all() {
        let of = fault.breaks.split('-').next().unwrap_or_default();
        if of != group {
            group = of;
            text += &format!("\n## {group}\n\n");
            text += "| breaks | fault | what the server does | caught by |\n";
            text += "| --- | --- | --- | --- |\n";
        }
        let caught = proofs.iter().filter(|it| it.is_of_the_clause() && it.fault == fault);
        let caught: Vec<String> = caught.map(|it| format!("`{}`", it.case.id)).collect();
        let caught = caught.join(", ");
        writeln!(text, "| {} | `{fault}` | {} | {caught} |", fault.breaks, fault.what)?;
    }
    text += "\n## Correct servers\n\nEach must pass the whole suite.\n\n";
    text += "| server | what it does |\n| --- | --- |\n";
    for oddity in Oddity::all() {
        writeln!(text, "| `{}` | {} |", oddity.name, oddity.what)?;
    }
    text += "\n## Slow servers\n\nCorrect too; however busy the machine is, the suite must never call one\n\
             wrong: [0012](design/0012-slow-is-not-wrong.md).\n\n";
    text += "| server | what it does |\n| --- | --- |\n";
    for oddity in Oddity::slow() {
        writeln!(text, "| `{}` | {} |", oddity.name, oddity.what)?;
    }
    Ok(text)
}
