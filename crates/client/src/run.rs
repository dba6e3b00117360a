//! The whole program, on any three files.

use std::{
    fmt,
    io::{IsTerminal, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use crate::{PROGRAM, cli::Arguments, connect, session::Session};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was sent, and everything that came was printed; or nobody reads the output any
    /// more.
    Well = 0,
    /// A line was refused, or the connection or a file failed on the way.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 64,
    /// No server could be reached.
    Unreachable = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Connects, sends lines from `stdin` and prints messages to `stdout` until the chat is over.
///
/// Errors go to `stderr`, one line each, and into the value returned. The files may be of any kind
/// (terminals, pipes, regular files); `stdin` and `stdout` are used without buffering and keep
/// their modes.
#[must_use]
pub fn run(
    arguments: &Arguments,
    stdin: impl AsFd,
    stdout: impl AsFd,
    mut stderr: impl Write,
) -> Exit {
    let socket = match connect(&arguments.address) {
        Ok(socket) => socket,
        Err(error) => {
            complain(&mut stderr, error);
            return Exit::Unreachable;
        }
    };
    if stdin.as_fd().is_terminal() {
        // Else somebody at a terminal could not tell a quiet room from no connection.
        note(&mut stderr, format_args!("connected to {}; ctrl-D ends", arguments.address));
    }
    let session = Session::new(&socket, stdin.as_fd(), stdout.as_fd(), &mut stderr, arguments);
    match session.and_then(Session::run) {
        Ok(true) => Exit::Well,
        Ok(false) => Exit::Failed,
        Err(error) => {
            complain(&mut stderr, error);
            Exit::Failed
        }
    }
}

/// Reports an error as one line.
pub(crate) fn complain(stderr: &mut dyn Write, error: impl fmt::Display) {
    note(stderr, format_args!("error: {error}"));
}

fn note(stderr: &mut dyn Write, text: fmt::Arguments<'_>) {
    // In one piece, and without care for failure: there is nowhere left to report it.
    let _ = stderr.write_all(format!("{PROGRAM}: {text}\n").as_bytes());
}
