//! `stresstest`: the stress test of the original zillions.

use std::process::ExitCode;

fn main() -> ExitCode {
    zillions::failure::run("stresstest", || {
        zillions::stresstest::run(&zillions::cli::parse::<zillions::stresstest::Arguments>()?)
    })
}
