//! What this tool is, as results record it.

use zillions_report::record::ToolRecord;

/// What measures: a build without optimisation says so, for its generator is slow.
pub(crate) fn record() -> ToolRecord {
    let profile = if cfg!(debug_assertions) { " (debug build)" } else { "" };
    let commit = env!("ZILLIONS_GIT_COMMIT");
    let git_commit = (!commit.is_empty()).then(|| commit.to_owned());
    ToolRecord { version: format!("{}{profile}", env!("CARGO_PKG_VERSION")), git_commit }
}
