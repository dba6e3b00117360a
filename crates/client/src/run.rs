//! The whole program.

use std::{
    io::{IsTerminal, Write},
    os::fd::AsFd,
};

use crate::{
    cli::{Arguments, Exit},
    connect::connect,
    session::Session,
    stderr::{complain, note},
};

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
        // Otherwise a silent server would look like no connection.
        note(&mut stderr, format_args!("connected to {}; ctrl-D ends", arguments.address));
    }
    let session = Session::new(&socket, stdin.as_fd(), stdout.as_fd(), &mut stderr, arguments);
    match session.and_then(Session::run) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failed,
        Err(error) => {
            let exit = if error.is_the_machines() { Exit::Unreachable } else { Exit::Failed };
            complain(&mut stderr, error);
            exit
        }
    }
}
