//! `commandline-client`: lines to messages, messages to lines.

use std::{io, process::ExitCode};

use zillions_console::Patient;

fn main() -> ExitCode {
    // No frame for signals here: ctrl-C may end a client at any moment, there is nothing to undo.
    let exit = match zillions_client::cli::parse() {
        Ok(arguments) => {
            let stderr = Patient(io::stderr());
            zillions_client::run(&arguments, io::stdin(), io::stdout(), stderr)
        }
        Err(exit) => exit,
    };
    exit.into()
}
