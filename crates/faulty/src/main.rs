//! A chat server with at most one known fault.

use std::process::ExitCode;

use clap::Parser;
use zillions_faulty::Arguments;

/// A correct little chat server, or one with a known fault
#[derive(Parser)]
#[command(name = "zillions-faulty", version)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    CommandLine::parse().arguments.execute("zillions-faulty")
}
