//! Options that several commands have, and their values.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of implementations; may be repeated [default: the
    /// nearest folder called impls here or above].
    #[arg(long, global = true, value_name = "DIR", env = "ZILLIONS_IMPLS", value_delimiter = ':')]
    pub impls: Vec<PathBuf>,
    /// Colours in the output.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
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
