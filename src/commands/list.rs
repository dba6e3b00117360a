//! `zillions list`: the gallery, and what of it this machine can build.

use clap::Args;
use serde::Serialize;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::manifest::{Entry, Manifest};
use zillions_harness::toolchain::{self, Toolchain};

use crate::building;
use crate::failure::{Failure, Outcome};
use crate::options::{Format, Global};
use crate::output::{self, BAD, FAINT, GOOD, paint};
use crate::targets;

/// Show the gallery: name, language, style, and whether its tool chain is here.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  zillions list\n  zillions list --format json | jq '.entries[].name'"
)]
pub struct Arguments {
    /// Implementations to show [default: all].
    names: Vec<String>,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `zillions.list/1`.
#[derive(Debug, Serialize)]
struct Listing {
    schema: &'static str,
    /// What installs all that is missing.
    install: Option<String>,
    entries: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    manifest: Manifest,
    toolchain: ToolchainRow,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum ToolchainRow {
    Present { versions: Vec<String> },
    Unusable { reason: String },
    Missing { reason: String, install: Option<String> },
}

/// Prints the gallery.
///
/// # Errors
/// For an unknown name or a wrong manifest.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let entries = targets::entries(&arguments.names, &global.impls)?;
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let toolchains = building::probe_all(&entries);
    match arguments.format {
        Format::Human => output::print(&human(&entries, &toolchains)),
        Format::Json => output::print_json(&json(entries, toolchains)),
    }
}

fn human(entries: &[Entry], toolchains: &[Toolchain]) -> String {
    let mut table = output::table(&["name", "language", "style", "library", "tool chain"]);
    for (entry, toolchain) in entries.iter().zip(toolchains) {
        let manifest = &entry.manifest;
        let state = match toolchain {
            Toolchain::Present { .. } => "present".to_owned(),
            Toolchain::Unusable { reason, .. } => format!("unusable: {reason}"),
            Toolchain::Missing { reason, .. } => format!("missing: {reason}"),
        };
        table.add_row([
            &entry.name,
            &manifest.language,
            &manifest.style,
            &manifest.library,
            &state,
        ]);
    }
    let present = toolchains.iter().filter(|it| matches!(it, Toolchain::Present { .. })).count();
    let missing = entries.len() - present;
    let mut text = format!("{table}\n");
    let can = paint(GOOD, format!("{present} can be built here"));
    text += &match missing {
        0 => format!("{} implementations, {can}\n", entries.len()),
        _ => format!(
            "{} implementations, {can}, {}\n",
            entries.len(),
            paint(BAD, format!("{missing} cannot"))
        ),
    };
    if let Some(install) = install(entries, toolchains) {
        text += &format!("{} {install}\n", paint(FAINT, "To install what is missing, as root:"));
    }
    text
}

/// The one command that installs what is missing.
fn install(entries: &[Entry], toolchains: &[Toolchain]) -> Option<String> {
    let all = entries.iter().zip(toolchains);
    let missing = all.filter(|(_, toolchain)| matches!(toolchain, Toolchain::Missing { .. }));
    toolchain::install_command(missing.map(|(entry, _)| entry))
}

fn json(entries: Vec<Entry>, toolchains: Vec<Toolchain>) -> Listing {
    let install = install(&entries, &toolchains);
    let rows = entries.into_iter().zip(toolchains).map(|(entry, toolchain)| Row {
        name: entry.name,
        manifest: entry.manifest,
        toolchain: match toolchain {
            Toolchain::Present { versions } => ToolchainRow::Present { versions },
            Toolchain::Unusable { reason, .. } => ToolchainRow::Unusable { reason },
            Toolchain::Missing { reason, install } => ToolchainRow::Missing { reason, install },
        },
    });
    Listing { schema: "zillions.list/1", install, entries: rows.collect() }
}
