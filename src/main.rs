//! `zillions`: the gallery, the conformance suite and the benchmark.

use std::process::ExitCode;

fn main() -> ExitCode {
    zillions::failure::run("zillions", || {
        let arguments = zillions::cli::parse::<zillions::cli::Zillions>()?;
        zillions::commands::dispatch(arguments)
    })
}
