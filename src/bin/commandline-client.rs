//! `commandline-client`: lines to messages, messages to lines.

use std::{io, process::ExitCode};

fn main() -> ExitCode {
    // No frame for signals here: ctrl-C may end a client at any moment, there is nothing to undo.
    let exit = match zillions_client::cli::parse() {
        Ok(arguments) => zillions_client::run(&arguments, io::stdin(), io::stdout(), io::stderr()),
        Err(exit) => exit,
    };
    exit.into()
}
