//! `zillions-server`: the reference server on one shared log.

use std::process::ExitCode;

fn main() -> ExitCode {
    zillions_server::execute()
}
