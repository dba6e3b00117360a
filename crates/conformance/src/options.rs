//! The options of a run of the suite.

use std::path::PathBuf;
use std::time::Duration;

/// Cases that run side by side unless asked otherwise. They mostly wait for
/// the server, so more than one per core is fine.
pub const JOBS_DEFAULT: usize = 4;
/// How long to wait, unless asked otherwise, for what a working server does in
/// milliseconds: a loaded machine and an interpreter may need a few seconds.
pub const PATIENCE_DEFAULT: Duration = Duration::from_secs(10);
/// Time for one target, in seconds, after which nothing new is begun once a
/// case has failed: a server that is wrong in many places makes the suite wait
/// in each.
pub const SUITE_SECONDS_MAX: u64 = 110;
/// The same while none has failed: only a very slow server on a very busy
/// machine comes near it.
pub const SUITE_SECONDS_MAX_FLAWLESS: u64 = 600;

/// Time for one target, in seconds, after which cases that wait are aborted
/// once one has failed.
pub const SUITE_SECONDS_MAX_WAITING: u64 = 160;
/// Time for one case, in seconds, after which it is aborted: it is over in a
/// few, and a slow server makes it wait a minute.
pub const CASE_SECONDS_MAX: u64 = 150;

/// The options of a run of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The random seed; the same seed sends the same messages.
    pub seed: u64,
    /// How often the volume cases are repeated; more than 1 finds rarer faults.
    pub rounds: u32,
    /// Only the quick selection, with less volume.
    pub quick: bool,
    /// Patterns for case ids or clauses; all cases if empty.
    pub case_globs: Vec<String>,
    /// Whether a SHOULD that is not met fails the target.
    pub strict: bool,
    /// How long to wait for what must arrive, and for a server to get ready.
    /// Only what fails waits so long.
    pub patience: Duration,
    /// Cases that run side by side.
    pub jobs: usize,
    /// Whether to skip what is left once a case has failed.
    pub fail_fast: bool,
    /// Folder that the histories of the ordering cases are written to, one file
    /// a case, for `zillions verify`.
    pub history_folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            rounds: 1,
            quick: false,
            case_globs: Vec::new(),
            strict: false,
            patience: PATIENCE_DEFAULT,
            jobs: JOBS_DEFAULT,
            fail_fast: false,
            history_folder: None,
        }
    }
}
