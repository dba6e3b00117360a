//! `--color`: of every program that has colours, usage errors included.

use std::ffi::OsString;

use anstream::ColorChoice;
use clap::{Args, ValueEnum};

const OPTION: &str = "--color";

/// The option, to be flattened into a command line. What it asks for is applied before the command
/// line is parsed ([`Color::asked_for`]); here it is checked, and has its help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct ColorOption {
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

impl Color {
    /// Makes all that this process writes from now on obey it.
    pub fn apply(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }

    /// What `arguments` ask for, whether or not the rest of them is valid: an error in them is shown
    /// before they are parsed.
    #[must_use]
    pub fn asked_for(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut words = arguments
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned())
            .take_while(|word| word != "--");
        let mut color = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.strip_prefix(OPTION) {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('=').map(str::to_owned),
                None => continue,
            };
            let value = value.and_then(|value| Self::from_str(&value, false).ok());
            color = value.unwrap_or(color);
        }
        color
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_found_among_arguments_that_make_no_sense() {
        let asked_for =
            |line: &str| Color::asked_for(line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for (line, expected) in [
            ("chek --color never", Color::Never),
            ("--color=always chek", Color::Always),
            ("--color never --color always", Color::Always),
            ("chek", Color::Auto),
            ("--color", Color::Auto),
            ("--color blue", Color::Auto),
            ("--colorful never", Color::Auto),
            ("-- --color never", Color::Auto),
        ] {
            assert_eq!(asked_for(line), expected, "{line}");
        }
    }
}
