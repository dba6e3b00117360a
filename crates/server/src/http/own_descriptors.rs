//! A table of descriptors that belongs to one thread.
//!
//! A process's limit of descriptors holds for each table, and a thread may have its own. So the
//! endpoint can accept when clients have taken all descriptors, and none of its connections takes
//! one that a client was promised.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// Standard input, output and error.
const STANDARD: RawFd = 3;

/// Gives the calling thread a table of its own, with only the standard descriptors and `kept`.
/// What else the thread can reach must not be closed on it any more: its numbers mean others now.
///
/// # Errors
/// When the system forbids it or is older than Linux 5.9; the table is shared then, as before.
pub(super) fn detach(kept: &impl AsRawFd) -> io::Result<()> {
    let kept = kept.as_raw_fd();
    close_range(kept + 1, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    if kept > STANDARD {
        close_range(STANDARD, kept - 1, 0)?;
    }
    Ok(())
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: it takes three numbers. With the flag, or after a call with it, what it closes is in
    // this thread's own table, in which nothing owns a descriptor but `kept` and the standard ones.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
