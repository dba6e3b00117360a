//! A run that is ready to start, from the beginning or resumed.

use zillions_bench::{Options, Target};
use zillions_harness::Launch;

use super::target::Candidate;
use crate::failure::Failure;

/// What is needed to run.
pub(super) struct Prepared {
    /// Empty if nothing is to be checked.
    pub(super) candidates: Vec<Candidate>,
    pub(super) targets: Vec<Target>,
    pub(super) options: Options,
}

/// This program, as the sender of the limits.
pub(super) fn yardsticks() -> Result<Launch, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::harness(format!("cannot find this program itself: {error}")))?;
    Ok(Launch { arguments: vec!["yardstick".into()], ..Launch::new(program) })
}
