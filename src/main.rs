//! `zillions`: the gallery, the conformance suite and the benchmark.

use std::process::ExitCode;

use zillions::cli::{self, Command, Zillions};
use zillions::{commands, failure};

fn main() -> ExitCode {
    let arguments = match cli::parse::<Zillions>() {
        // A server of its own right: it handles its signals and its end itself.
        Ok(Zillions { command: Command::FaultyServer(server), .. }) => {
            return server.execute("zillions faulty-server");
        }
        arguments => arguments,
    };
    failure::run("zillions", || commands::dispatch(arguments?))
}
