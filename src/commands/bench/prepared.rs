//! A run that is ready to start, from the beginning or resumed.

use zillions_bench::{Options, Target};
use zillions_harness::Launch;
use zillions_report::record::ToolRecord;

use super::target::Candidate;
use crate::failure::Failure;

/// What is needed to run.
pub(super) struct Prepared {
    /// Empty if nothing is to be checked.
    pub(super) candidates: Vec<Candidate>,
    pub(super) targets: Vec<Target>,
    pub(super) options: Options,
}

/// What measures: a build without optimisation says so, for its generator is slow.
pub(super) fn tool() -> ToolRecord {
    let profile = if cfg!(debug_assertions) { " (debug build)" } else { "" };
    let commit = env!("ZILLIONS_GIT_COMMIT");
    let git_commit = (!commit.is_empty()).then(|| commit.to_owned());
    ToolRecord { version: format!("{}{profile}", env!("CARGO_PKG_VERSION")), git_commit }
}

/// This program, as the sender of the limits.
pub(super) fn yardsticks() -> Result<Launch, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::harness(format!("cannot find this program itself: {error}")))?;
    Ok(Launch { arguments: vec!["yardstick".into()], ..Launch::new(program) })
}
