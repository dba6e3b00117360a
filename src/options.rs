//! Options that several commands have, and their values.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use terminal_size::{Width, terminal_size_of};
use zillions_console::ColorOption;

/// Of a terminal that does not tell, in columns.
const WIDTH_UNKNOWN: usize = 80;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of implementations; may be repeated [default: the
    /// nearest folder called impls here or above].
    #[arg(long, global = true, value_name = "DIR", env = "ZILLIONS_IMPLS", value_delimiter = ':')]
    pub impls: Vec<PathBuf>,
    /// When to use colours.
    #[command(flatten)]
    pub color: ColorOption,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Plain text.
    #[default]
    Human,
    /// One JSON document with a schema name.
    Json,
}

/// How wide tables may be.
#[derive(Debug, Clone, Copy, Args)]
pub struct TableWidth {
    /// Show all columns of tables, however narrow the terminal is.
    #[arg(long)]
    wide: bool,
}

impl TableWidth {
    /// In columns of the terminal; `None` without a limit, as for a file or a pipe.
    pub(crate) fn columns(self) -> Option<usize> {
        let stdout = std::io::stdout();
        if self.wide || !stdout.is_terminal() {
            return None;
        }
        let width = terminal_size_of(stdout).map(|(Width(columns), _)| usize::from(columns));
        Some(width.filter(|&columns| columns > 0).unwrap_or(WIDTH_UNKNOWN))
    }
}

/// Parses a duration above 0 and of at most a day: longer ones are typing errors.
///
/// # Errors
/// For anything else, with an example.
pub(crate) fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("write a number of seconds above 0 and up to 86400, for example 0.5".to_owned()),
    }
}
