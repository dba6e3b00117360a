//! Printing: to a terminal, a pipe, or one that closes early.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::failure::{Failure, PASS};

/// Good news.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Bad news.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Neither.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// Headings.
pub const HEADING: Style = Style::new().bold();

/// Writes `text` to standard output, colours only where they are wanted.
///
/// # Errors
/// A silent success if the reader has gone (`| head`), else what happened.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::silent(PASS)),
        Err(error) => Err(Failure::harness(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes `value` to standard output as indented JSON.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::harness(format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print(&text)
}

/// `text` in `style`; colours are taken out again where nobody wants them.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A table without lines, as wide as the terminal allows.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
        .set_header(header.iter().copied());
    table
}
