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
    pub(crate) fn was_mostly_waiting(&self, start: Duration, pid: u32) -> bool {
        let elapsed = self.began.elapsed() + start;
        let own = own_time().saturating_sub(self.own);
        waits_mostly(elapsed, own + Demand::look(pid).map_or(elapsed, Demand::wanted))
    }
}

fn waits_mostly(elapsed: Duration, busy: Duration) -> bool {
    elapsed >= SLOW && busy < elapsed / BUSY_PART
}

fn own_time() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| Demand::read(&text))
        .unwrap_or_default()
        .wanted()
}

/// What threads have had of processors since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    worked: Duration,
    waited: Duration,
    turns: u64,
}

impl Demand {
    /// That of the threads of a process; nothing where the system does not tell.
    pub(crate) fn of(pid: u32) -> Self {
        Self::look(pid).unwrap_or_default()
    }

    fn look(pid: u32) -> Option<Self> {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        // A thread that ends meanwhile has done what it had to do.
        let texts = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
        let mut sum = Self::default();
        for text in texts {
            let thread = Self::read(&text)?;
            sum.worked += thread.worked;
            sum.waited += thread.waited;
            sum.turns += thread.turns;
        }
        Some(sum)
    }

    /// From the scheduler's line: nanoseconds on a processor, nanoseconds ready to
    /// run, and how often it was given one.
    fn read(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut number = || numbers.next()?.ok();
        let (worked, waited) = (Duration::from_nanos(number()?), Duration::from_nanos(number()?));
        Some(Self { worked, waited, turns: number()? })
    }

    /// What has come since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            worked: self.worked.saturating_sub(earlier.worked),
            waited: self.waited.saturating_sub(earlier.waited),
            turns: self.turns.saturating_sub(earlier.turns),
        }
    }

    /// How long they worked or waited for a processor.
    pub(crate) fn wanted(self) -> Duration {
        self.worked + self.waited
    }

    /// How long they worked each time that they were given a processor.
    pub(crate) fn turn(self) -> Duration {
        Duration::from_nanos((self.worked.as_nanos() as u64).checked_div(self.turns).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_waiting_for_a_processor_are_added_up() {
        let demand = Demand::read("1500 2500 3\n").expect("three numbers");
        assert_eq!(demand.wanted(), Duration::from_nanos(4000));
        assert_eq!(demand.turn(), Duration::from_nanos(500));
        assert_eq!(Demand::read("1500 2500\n"), None);
        assert_eq!(Demand::read("no numbers here"), None);
        assert_eq!(Demand::default().turn(), Duration::ZERO);
    }

    #[test]
    fn a_stretch_has_what_came_in_it() {
        let [before, after] = ["1000 50 1", "4000 70 4"].map(|line| Demand::read(line).unwrap());
        let since = after.since(before);
        assert_eq!(since.wanted(), Duration::from_nanos(3020));
        assert_eq!(since.turn(), Duration::from_nanos(1000));
        // Threads that have ended are gone from the sum.
        assert_eq!(before.since(after), Demand::default());
    }

    #[test]
    fn the_system_tells_about_this_process() {
        assert!(!Demand::of(std::process::id()).wanted().is_zero());
        assert_eq!(Demand::look(u32::MAX), None);
        assert_eq!(Demand::of(u32::MAX), Demand::default());
        // The kernel enters a thread's time when it next looks, at a tick at the latest.
        let until = Instant::now() + Duration::from_secs(60);
        while own_time().is_zero() {
            assert!(Instant::now() < until, "a thread that works has a time");
        }
    }

    #[test]
    fn what_took_long_and_did_little_was_leisurely() {
        let leisurely = |elapsed, busy| {
            waits_mostly(Duration::from_millis(elapsed), Duration::from_millis(busy))
        };
        assert!(leisurely(100, 24) && leisurely(1000, 0));
        assert!(!leisurely(100, 25) && !leisurely(99, 0));
    }

    #[test]
    fn starting_belongs_to_the_stretch() {
        let (own, hour) = (std::process::id(), Duration::from_secs(3600));
        let stretch = Stretch::begin();
        assert!(stretch.was_mostly_waiting(hour, own));
        // One of which the system does not tell counts as busy.
        assert!(!stretch.was_mostly_waiting(hour, u32::MAX));
        assert!(!Stretch::begin().was_mostly_waiting(Duration::ZERO, own), "it took no time");
    }
}
