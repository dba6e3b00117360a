//! Why a server did not become ready, each in one line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::address::AddressError;
use crate::machine_fault::MachineFault;

/// Why a server did not become ready. Whatever was started has been stopped.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system does not execute it, or not to its beginning.
    #[error("cannot execute '{}': {reason}", program.display())]
    Spawn {
        /// The executable.
        program: PathBuf,
        /// What is missing, and what to do.
        reason: String,
    },
    /// It may listen, but this machine cannot connect to it.
    #[error("cannot connect to {address}: {fault}")]
    Unreachable {
        /// The address it was given.
        address: SocketAddr,
        /// Why.
        fault: MachineFault,
    },
    /// The log file cannot be made.
    #[error("cannot write the server's log to '{}': {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it printed its line.
    #[error("{program} ended ({status}) before it printed 'listening on {address}'{log}")]
    Exited {
        /// The executable.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The address it was given.
        address: SocketAddr,
        /// Its last log lines.
        log: LogTail,
    },
    /// A broker ended before it was ready.
    #[error("{program} ended ({status}) before it answered on {address}{log}")]
    ExitedUngreeted {
        /// The executable.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The address it was given.
        address: SocketAddr,
        /// Its last log lines.
        log: LogTail,
    },
    /// A broker lives and says nothing, or another thing than its protocol begins with.
    #[error(
        "{program} did not begin with {greets:?} on {address} within {seconds} s; it said \
         {said:?}{log}"
    )]
    Ungreeted {
        /// The executable.
        program: String,
        /// The address it was given.
        address: SocketAddr,
        /// What it should have said.
        greets: &'static str,
        /// What it said instead.
        said: Box<str>,
        /// How long it was given, in seconds.
        seconds: f64,
        /// Its last log lines.
        log: LogTail,
    },
    /// It lives and says nothing.
    #[error(
        "{program} did not print 'listening on {address}' within {seconds} s \
         (is the line flushed when standard output is a pipe?){printed}{log}"
    )]
    Silent {
        /// The executable.
        program: String,
        /// The address it was given.
        address: SocketAddr,
        /// How long it was given, in seconds.
        seconds: f64,
        /// An unfinished line, if any.
        printed: Printed,
        /// Its last log lines.
        log: LogTail,
    },
    /// It says nothing, and a busy machine gave it hardly a processor.
    #[error(
        "{program} has not printed 'listening on {address}', but this machine is so busy that it \
         had a processor for {granted_seconds:.1} s only: run it when the machine is less busy"
    )]
    Starved {
        /// The executable.
        program: String,
        /// The address it was given.
        address: SocketAddr,
        /// How much time it was granted, in seconds.
        granted_seconds: f64,
    },
    /// Its first line is another one.
    #[error("{program} printed {line:?} where 'listening on {address}' was due{log}")]
    WrongLine {
        /// The executable.
        program: String,
        /// What it printed.
        line: String,
        /// The address it was given.
        address: SocketAddr,
        /// Its last log lines.
        log: LogTail,
    },
    /// It printed the line and nobody answers.
    #[error(
        "{program} printed 'listening on {address}' but a connection was refused: {source}{log}"
    )]
    Refuses {
        /// The executable.
        program: String,
        /// The address it was given.
        address: SocketAddr,
        /// What connect said.
        source: io::Error,
        /// Its last log lines.
        log: LogTail,
    },
}

impl StartError {
    /// Whether the machine is to blame, or what was asked of it, and not the server.
    #[must_use]
    pub fn is_the_machines(&self) -> bool {
        matches!(
            self,
            Self::Address(_) | Self::Spawn { .. } | Self::Log { .. } | Self::Unreachable { .. }
        )
    }
}

/// The last lines of a log, shown behind an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail(pub Vec<String>);

impl std::fmt::Display for LogTail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [] => write!(formatter, "; it wrote nothing to standard error"),
            lines => write!(formatter, "; its last log lines: {}", lines.join(" | ")),
        }
    }
}

/// An unfinished first line, shown inside an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed(pub String);

impl std::fmt::Display for Printed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            write!(formatter, "; it printed nothing")
        } else {
            write!(formatter, "; it printed {:?} without a newline", self.0)
        }
    }
}
