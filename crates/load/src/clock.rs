//! The one clock of a trial, and what its thread used.

use std::io::{Read, Seek};
use std::{fs::File, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since a moment at the beginning of the trial; never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin_ns: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin_ns: read_ns(ClockId::Monotonic) }
    }

    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        read_ns(ClockId::Monotonic) - self.origin_ns
    }
}

/// What the calling thread has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadUse {
    /// When this was so.
    pub(crate) at: Duration,
    pub(crate) cpu: Duration,
    /// Ready to run, but not running.
    pub(crate) ready_wait: Duration,
}

/// Reads the use of the thread it was made on.
#[derive(Debug)]
pub(crate) struct ThreadMeter {
    /// Absent where the kernel keeps no such statistics.
    schedstat: Option<File>,
}

impl ThreadMeter {
    pub(crate) fn new() -> Self {
        Self { schedstat: File::open("/proc/thread-self/schedstat").ok() }
    }

    pub(crate) fn read(&mut self) -> ThreadUse {
        ThreadUse {
            at: Duration::from_nanos(read_ns(ClockId::Monotonic)),
            cpu: Duration::from_nanos(read_ns(ClockId::ThreadCPUTime)),
            ready_wait: self.ready_wait().unwrap_or_default(),
        }
    }

    /// The second number of `schedstat`, in nanoseconds.
    fn ready_wait(&mut self) -> Option<Duration> {
        let file = self.schedstat.as_mut()?;
        let mut line = [0; 96];
        file.rewind().ok()?;
        let bytes = file.read(&mut line).ok()?;
        let line = std::str::from_utf8(&line[..bytes]).ok()?;
        line.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    }
}

#[inline]
fn read_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is ever negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
