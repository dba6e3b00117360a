//! Whether a server takes its time without doing anything: one that starts
//! slowly, or gathers messages before it passes them on. Many cases at once
//! then take hardly longer than one.

use std::fs;
use std::time::{Duration, Instant};

/// What takes less than this is not slow.
const SLOW: Duration = Duration::from_millis(100);
/// A server is idle if all that worked, or waited for a processor, did so for
/// less than this part of the time.
const BUSY_PART: u32 = 4;

/// A stretch of time, begun when a server was ready.
#[derive(Debug)]
pub(crate) struct Stretch {
    began: Instant,
    /// What this thread had worked and waited until then.
    own: Duration,
}

impl Stretch {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), own: own_time() }
    }

    /// Whether `start`, which is how long the server `pid` took to get ready,
    /// and this stretch together took long, and neither the server nor this
    /// thread had much to do or had to wait for a processor. If the system does
    /// not tell, the server counts as busy.
    pub(crate) fn was_leisurely(&self, start: Duration, pid: u32) -> bool {
        let elapsed = self.began.elapsed() + start;
        let own = own_time().saturating_sub(self.own);
        is_leisurely(elapsed, own + server_time(pid).unwrap_or(elapsed))
    }
}

fn is_leisurely(elapsed: Duration, busy: Duration) -> bool {
    elapsed >= SLOW && busy < elapsed / BUSY_PART
}

fn own_time() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| worked_and_waited(&text))
        .unwrap_or_default()
}

/// What the threads of a process have worked and waited for a processor since
/// they began; nothing where the system does not tell.
pub(crate) fn wanted(pid: u32) -> Duration {
    server_time(pid).unwrap_or_default()
}

/// What the threads of a process have worked and waited for a processor.
fn server_time(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    // A thread that ends meanwhile has done what it had to do.
    let texts =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    texts.map(|text| worked_and_waited(&text)).sum()
}

/// From the scheduler's line: nanoseconds on a processor, and nanoseconds ready
/// to run.
fn worked_and_waited(line: &str) -> Option<Duration> {
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let (worked, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(worked + waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_waiting_for_a_processor_are_added_up() {
        assert_eq!(worked_and_waited("1500 2500 7\n"), Some(Duration::from_nanos(4000)));
        assert_eq!(worked_and_waited("1500\n"), None);
        assert_eq!(worked_and_waited("no numbers here"), None);
    }

    #[test]
    fn the_system_tells_about_this_process() {
        assert!(server_time(std::process::id()).is_some_and(|time| !time.is_zero()));
        assert_eq!(server_time(u32::MAX), None);
        assert!(!wanted(std::process::id()).is_zero());
        assert_eq!(wanted(u32::MAX), Duration::ZERO);
        // The kernel enters a thread's time when it next looks, at a tick at the latest.
        let until = Instant::now() + Duration::from_secs(60);
        while own_time().is_zero() {
            assert!(Instant::now() < until, "a thread that works has a time");
        }
    }

    #[test]
    fn what_took_long_and_did_little_was_leisurely() {
        let leisurely = |elapsed, busy| {
            is_leisurely(Duration::from_millis(elapsed), Duration::from_millis(busy))
        };
        assert!(leisurely(100, 24) && leisurely(1000, 0));
        assert!(!leisurely(100, 25) && !leisurely(99, 0));
    }

    #[test]
    fn starting_belongs_to_the_stretch() {
        let (own, hour) = (std::process::id(), Duration::from_secs(3600));
        let stretch = Stretch::begin();
        assert!(stretch.was_leisurely(hour, own));
        // One of which the system does not tell counts as busy.
        assert!(!stretch.was_leisurely(hour, u32::MAX));
        assert!(!Stretch::begin().was_leisurely(Duration::ZERO, own), "it took no time");
    }
}
