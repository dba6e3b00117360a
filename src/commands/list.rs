//! `zillions list`: the gallery, and what of it this machine can build.

use clap::{Args, ValueEnum};
use serde::Serialize;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};
use zillions_harness::manifest::{Entry, Manifest, STYLES};
use zillions_harness::toolchain::{self, Toolchain};

use crate::building;
use crate::failure::{Failure, Outcome};
use crate::gallery_table;
use crate::options::{Global, TableWidth};
use crate::output::{self, BAD, FAINT, GOOD, paint};
use crate::selection::Filters;
use crate::table::{Column, Table};
use crate::targets;

/// Show the gallery by style: name, language, library, and whether its tool chain is here.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions list\n  \
    zillions list --style 'green*' --style CSP\n  \
    zillions list --language '!Rust' --tag '!unmaintained'\n  \
    zillions list --format json | jq '.entries[].name'")]
pub struct Arguments {
    /// Implementations to show: names or globs [default: all].
    names: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    width: TableWidth,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,
}

/// Formats of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    Human,
    /// One JSON document, `zillions.list/1`.
    Json,
    /// A table for a document; it says nothing about this machine.
    Markdown,
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
/// For a name or filter that nothing matches, or a wrong manifest.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let entries = targets::entries(&arguments.names, &arguments.filters, &global.impls)?;
    if arguments.format == ListFormat::Markdown {
        return output::print_document(&gallery_table::markdown(&entries));
    }
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    let toolchains = building::probe_all(&entries);
    match arguments.format {
        ListFormat::Json => output::print_json(&json(entries, toolchains)),
        _ => output::print(&human(&entries, &toolchains, arguments.width)),
    }
}

fn human(entries: &[Entry], toolchains: &[Toolchain], width: TableWidth) -> String {
    let mut table = Table::new([
        Column::words("name"),
        Column::words("language").optional(1),
        Column::words("library").optional(3),
        Column::prose("tool chain").optional(2),
    ]);
    for style in STYLES {
        let of_style = entries.iter().zip(toolchains).filter(|(it, _)| it.manifest.style == style);
        for (place, (entry, toolchain)) in of_style.enumerate() {
            if place == 0 {
                table.group(style);
            }
            let Manifest { language, library, .. } = &entry.manifest;
            table.row([&format!("  {}", entry.name), language, library, &state(toolchain)]);
        }
    }
    table.render(width.columns()) + &conclusion(entries, toolchains)
}

fn state(toolchain: &Toolchain) -> String {
    match toolchain {
        Toolchain::Present { .. } => "present".to_owned(),
        Toolchain::Unusable { reason, .. } => format!("unusable: {reason}"),
        Toolchain::Missing { reason, .. } => format!("missing: {reason}"),
    }
}

/// How many can be built here, which cannot, and what to do about it.
fn conclusion(entries: &[Entry], toolchains: &[Toolchain]) -> String {
    let counted = |of: fn(&Manifest) -> &str| {
        let values: std::collections::HashSet<_> =
            entries.iter().map(|entry| of(&entry.manifest)).collect();
        values.len()
    };
    let absent: Vec<&str> = entries
        .iter()
        .zip(toolchains)
        .filter(|(_, toolchain)| !matches!(toolchain, Toolchain::Present { .. }))
        .map(|(entry, _)| entry.name.as_str())
        .collect();
    let present = entries.len() - absent.len();
    let mut text = format!(
        "\n{}, {}, {}; {}",
        count(entries.len(), "implementation"),
        count(counted(|it| &it.language), "language"),
        count(counted(|it| &it.style), "style"),
        paint(GOOD, format!("{present} can be built here")),
    );
    if !absent.is_empty() {
        text +=
            &format!(", {}: {}", paint(BAD, format!("{} cannot", absent.len())), absent.join(", "));
    }
    text += "\n";
    if let Some(install) = install(entries, toolchains) {
        text += &format!("{} {install}\n", paint(FAINT, "To install what is missing, as root:"));
    }
    text
}

/// A number and its noun.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
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
