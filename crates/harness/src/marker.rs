//! The mark on every process that a tool starts: an environment variable that names the tool
//! and the group, and that all descendants inherit.
//!
//! A value is `PID-START-NUMBER`: the tool's process id, when it started in clock ticks since
//! boot (so that a later process with the same id is not taken for it), and which of its groups.

use std::ffi::OsStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use procfs::process::Process;

/// The environment variable that marks every descendant of a group's leader.
pub const MARKER: &str = "ZILLIONS_GROUP";

/// A value for a new group.
pub(crate) fn new() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}{}", prefix(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What the values of all groups of this process begin with.
pub(crate) fn prefix() -> &'static str {
    static PREFIX: LazyLock<String> = LazyLock::new(|| {
        let start = start_ticks(std::process::id()).unwrap_or(0);
        format!("{}-{start}-", std::process::id())
    });
    &PREFIX
}

/// The value that `process` is marked with.
pub(crate) fn of(process: &Process) -> Option<String> {
    let environ = process.environ().ok()?;
    environ.get(OsStr::new(MARKER)).map(|value| value.to_string_lossy().into_owned())
}

/// Whether a process belongs to a group of this process.
pub(crate) fn is_ours(process: &Process) -> bool {
    of(process).is_some_and(|marker| marker.starts_with(prefix()))
}

/// The tool that made `marker`: its process id, and whether it still runs.
pub(crate) fn tool_of(marker: &str) -> Option<(u32, bool)> {
    let mut parts = marker.split('-');
    let pid = parts.next()?.parse().ok()?;
    let start: u64 = parts.next()?.parse().ok()?;
    let _number: u64 = parts.next()?.parse().ok()?;
    Some((pid, start_ticks(pid) == Some(start)))
}

/// When a process started, unless it has ended.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = Process::new(i32::try_from(pid).ok()?).and_then(|process| process.stat()).ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_this_process_and_one_of_a_process_that_has_ended_does_not() {
        let (first, second) = (new(), new());
        assert_ne!(first, second);
        assert_eq!(tool_of(&first), Some((std::process::id(), true)));
        // The same id, and another start.
        assert_eq!(
            tool_of(&format!("{}-1-0", std::process::id())),
            Some((std::process::id(), false))
        );
        assert_eq!(tool_of("nonsense"), None);
    }
}
