//! How a command ends: exit codes that mean something, and one clear line.

use std::fmt::Display;
use std::process::ExitCode;

use zillions_console as console;
use zillions_harness::{interrupt, limits};

/// Passed.
pub const PASS: u8 = 0;
/// Failed.
pub const FAIL: u8 = 1;
/// Nothing failed, but not everything could be decided.
pub const INCONCLUSIVE: u8 = 2;
/// User error: an invalid command line, address or input file, or one that selects nothing.
pub const USAGE: u8 = 64;
/// The tool itself failed.
pub const HARNESS: u8 = 70;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One line; empty if everything has been said already.
    pub message: String,
}

impl Failure {
    /// User error: exit code 64.
    pub fn usage(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// The tool or its environment failed: exit code 70.
    pub fn harness(message: impl Display) -> Self {
        Self { code: HARNESS, message: message.to_string() }
    }

    /// The check failed: exit code 1.
    pub fn fail(message: impl Display) -> Self {
        Self { code: FAIL, message: message.to_string() }
    }

    /// A failure that has been reported already.
    pub fn silent(code: u8) -> Self {
        Self { code, message: String::new() }
    }
}

/// What every command returns; `Ok` is exit code 0.
pub type Outcome = Result<(), Failure>;

/// The frame around every binary: signals, descriptors, and the last line.
pub fn run(program: &str, command: impl FnOnce() -> Outcome) -> ExitCode {
    let outcome = interrupt::install()
        .map_err(|error| Failure::harness(format!("cannot listen for signals: {error}")))
        .and_then(|()| {
            limits::raise_descriptor_limit();
            command()
        });
    // If ctrl-C ended the command, its handler says so and exits.
    interrupt::wait_if_pending();
    match outcome {
        Ok(()) => ExitCode::from(PASS),
        Err(failure) => {
            if !failure.message.is_empty() {
                console::note(&format!("{program}: error: {}", failure.message));
            }
            ExitCode::from(failure.code)
        }
    }
}
