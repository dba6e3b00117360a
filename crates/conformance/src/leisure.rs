//! Whether a server takes its time without doing anything: one that starts
//! slowly, or gathers messages before it passes them on. Many cases at once
//! then take hardly longer than one.

use std::fs;
use std::time::{Duration, Instant};

use zillions_harness::Server;

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

    /// Whether start and stretch together took long, and neither the server nor
    /// this thread had much to do or had to wait for a processor. If the system
    /// does not tell, the server counts as busy.
    pub(crate) fn was_leisurely(&self, server: &Server) -> bool {
        let elapsed = self.began.elapsed() + Duration::from_secs_f64(server.start_seconds());
        let own = own_time().saturating_sub(self.own);
        let busy = own + server_time(server.pid()).unwrap_or(elapsed);
        elapsed >= SLOW && busy < elapsed / BUSY_PART
    }
}

fn own_time() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| worked_and_waited(&text))
        .unwrap_or_default()
}

/// What the threads of the server's first process have worked and waited for a
/// processor since they began; nothing where the system does not tell.
pub(crate) fn wanted(server: &Server) -> Duration {
    server_time(server.pid()).unwrap_or_default()
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
    }
}
