//! The guard: a process beside the tool that ends what the tool has started, should the tool be
//! killed in a way that leaves it no time to do so.
//!
//! It is a shell that waits for the end of a pipe (`guard.sh`), so that it works for every program
//! that uses this crate. Started with the first group; without a shell there is none.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

use crate::marker::{self, MARKER};

/// What the guard does.
const SCRIPT: &str = include_str!("guard.sh");

/// The pipe to the guard; closed by the kernel at the latest when this process ends.
static PIPE: Mutex<Guard> = Mutex::new(Guard::NotStarted);

enum Guard {
    NotStarted,
    Running(ChildStdin),
    /// There is no shell, or it has gone.
    Gone,
}

fn lock() -> MutexGuard<'static, Guard> {
    PIPE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the guard, unless it runs. The caller forbids other forks meanwhile.
pub(crate) fn start() {
    let mut guard = lock();
    if let Guard::NotStarted = *guard {
        *guard = spawn().map_or(Guard::Gone, Guard::Running);
    }
}

/// Tells the guard of a group that was started.
pub(crate) fn add(leader: Pid) {
    tell('+', leader);
}

/// Tells the guard that nothing of a group is left. Its id may be given away from then on.
pub(crate) fn remove(leader: Pid) {
    tell('-', leader);
}

fn tell(sign: char, leader: Pid) {
    let mut guard = lock();
    if let Guard::Running(pipe) = &mut *guard {
        let line = format!("{sign} {}\n", leader.as_raw_nonzero());
        if pipe.write_all(line.as_bytes()).is_err() {
            *guard = Guard::Gone;
        }
    }
}

fn spawn() -> Option<ChildStdin> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT, "zillions-guard", MARKER, marker::prefix()])
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        // Not in a folder that somebody may want to remove, and no signal of the terminal's.
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let pipe = command.spawn().ok()?.stdin.take()?;
    // A guard that was stopped must not stop the tool.
    rustix::io::ioctl_fionbio(&pipe, true).ok()?;
    Some(pipe)
}
