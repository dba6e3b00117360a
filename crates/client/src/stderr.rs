//! Lines on standard error.

use std::{fmt, io::Write};

use crate::cli::PROGRAM;

/// Reports an error as one line.
pub(crate) fn complain(stderr: &mut dyn Write, error: impl fmt::Display) {
    note(stderr, format_args!("error: {error}"));
}

pub(crate) fn note(stderr: &mut dyn Write, text: fmt::Arguments<'_>) {
    // In one write; a failure has nowhere to be reported.
    let _ = stderr.write_all(format!("{PROGRAM}: {text}\n").as_bytes());
}
