//! How a command ends: exit codes that mean something, and one clear line.

use std::fmt::Display;
use std::process::ExitCode;

use zillions_harness::{interrupt, limits};

/// What was asked for was found to be so.
pub const PASS: u8 = 0;
/// It was found not to be so.
pub const FAIL: u8 = 1;
/// Nothing failed, but not everything could be decided.
pub const INCONCLUSIVE: u8 = 2;
/// The command line, an address or an input file is wrong, or selects nothing.
pub const USAGE: u8 = 64;
/// The tool itself could not do its work.
pub const HARNESS: u8 = 70;

/// Why a command could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// One line; empty if everything has been said already.
    pub message: String,
}

impl Failure {
    /// The user can mend it: exit code 64.
    pub fn usage(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// Something around the tool is broken: exit code 70.
    pub fn harness(message: impl Display) -> Self {
        Self { code: HARNESS, message: message.to_string() }
    }

    /// The answer is no: exit code 1.
    pub fn fail(message: impl Display) -> Self {
        Self { code: FAIL, message: message.to_string() }
    }

    /// An end whose reason has been printed already.
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
                anstream::eprintln!("{program}: error: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
