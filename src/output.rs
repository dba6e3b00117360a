//! Printing: to a terminal, a pipe, or one that closes early.

use std::io;

use anstyle::{AnsiColor, Style};

use zillions_console as console;
use zillions_escape::{visible_json, visible_lines};

use crate::failure::Failure;

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
/// That its reader has gone (`| head`) is no error: the command goes on, and ends as it would
/// have, so that a check that fails is never a success for want of a reader.
///
/// # Errors
/// When standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    printed(console::out(text))
}

/// Writes `text` to standard output as a file of a format that knows no colours.
///
/// # Errors
/// As [`print()`].
pub fn print_document(text: &str) -> Result<(), Failure> {
    printed(console::out_as_it_is(&visible_lines(text)))
}

fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::harness(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
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
    printed(console::out_as_it_is(&visible_json(&text)))
}

/// `text` in `style`; colours are taken out again where nobody wants them.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
