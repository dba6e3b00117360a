//! `zillions bench-agent`: what `zillions bench --ssh` talks to on the machine of the servers.

use std::io::{self, BufReader};

use clap::Args;
use zillions_bench::remote;
use zillions_harness::limits::{self, DESCRIPTORS_MIN};

use crate::failure::{Failure, Outcome};
use crate::preflight;
use crate::tool;

/// Start, sample and stop servers as standard input asks: the far side of 'zillions bench --ssh'.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ssh far zillions bench-agent\n\n\
    It greets with a line of JSON, then answers one request a line, and ends with its servers when\n\
    its input ends, or after a minute without a request.\n\
    Exit codes: 0 its input ended, 70 it cannot measure here.")]
pub struct Arguments {}

/// Serves one conversation.
///
/// # Errors
/// If nothing can be measured on this machine, or standard output is gone.
pub fn run(_: &Arguments) -> Outcome {
    limits::ensure_minimum(DESCRIPTORS_MIN).map_err(Failure::harness)?;
    preflight::can_measure()?;
    let mut output = io::stdout();
    remote::serve(tool::record(), BufReader::new(io::stdin()), &mut output)
        .map_err(|error| Failure::harness(format!("cannot answer: {error}")))
}
