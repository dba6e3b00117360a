//! Signals that the starter of this process does not want it to act on.
//!
//! `nohup` and shells that run a command in the background ignore SIGHUP or SIGINT for it. A
//! handler would undo that, so none is installed for a signal that is ignored already.

use procfs::process::Process;

/// Those of `signals` that are not ignored; all of them where `/proc` does not tell. To be asked
/// before the first handler is installed.
#[must_use]
pub fn not_ignored(signals: &[i32]) -> Vec<i32> {
    let ignored = Process::myself().and_then(|it| it.status()).map_or(0, |status| status.sigign);
    signals.iter().copied().filter(|&signal| !contains(ignored, signal)).collect()
}

/// Whether a mask of `/proc` has `signal`, which is counted from 1.
fn contains(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}
