//! The options of a run of the suite.

use std::path::PathBuf;
use std::time::Duration;

/// Cases that run side by side unless asked otherwise. They mostly wait for
/// the server, so more than one per core is fine.
pub const JOBS_DEFAULT: usize = 4;
/// How long to wait, unless asked otherwise, for what a working server does in
/// milliseconds: a loaded machine and an interpreter may need a few seconds.
pub const PATIENCE_DEFAULT: Duration = Duration::from_secs(10);
/// Time for one target unless asked otherwise, less what others took of the processors. A
/// correct server takes a fraction of it; one of some thousand deliveries a second some minutes.
pub const TIME_LIMIT_DEFAULT: Duration = Duration::from_secs(600);

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
    /// How long a server may do nothing at all while something must arrive, and how long
    /// it may take to get ready. Time in which it waits for a processor is not counted, and
    /// only what fails waits so long.
    pub patience: Duration,
    /// Time for one target; what others take of the processors meanwhile is added to it.
    pub time_limit: Duration,
    /// Cases that run side by side.
    pub jobs: usize,
    /// Whether to skip what is left once a case has failed in a way that counts (see
    /// [`CaseReport::counts`](crate::CaseReport::counts)), or could not be run.
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
            time_limit: TIME_LIMIT_DEFAULT,
            jobs: JOBS_DEFAULT,
            fail_fast: false,
            history_folder: None,
        }
    }
}
