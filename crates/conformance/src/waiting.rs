//! Whether a case mostly waits for its server: one that starts slowly, or gathers
//! messages before it passes them on. Many cases at once then take hardly longer than
//! one.

use std::time::{Duration, Instant};

use zillions_harness::CpuDemand;

/// What takes less than this is not slow.
const SLOW: Duration = Duration::from_millis(100);
/// A case mostly waits if all that worked, or waited for a processor, did so for
/// less than this fraction of the time, as its denominator.
const BUSY_PART: u32 = 4;

/// Measures a case from the moment that its server is ready.
#[derive(Debug)]
pub(crate) struct WaitMeter {
    began: Instant,
    /// What this thread had wanted of the processors until then.
    own: Duration,
}

impl WaitMeter {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), own: own_wanted() }
    }

    /// Whether `start`, which is how long the server `pid` took to get ready,
    /// and the time since together are long, and neither the server nor this
    /// thread had much to do or had to wait for a processor. If the system does
    /// not tell, the server counts as busy.
    pub(crate) fn mostly_waited(&self, start: Duration, pid: u32) -> bool {
        let elapsed = self.began.elapsed() + start;
        let own = own_wanted().saturating_sub(self.own);
        mostly_waits(elapsed, own + CpuDemand::of(pid).map_or(elapsed, CpuDemand::wanted))
    }
}

fn mostly_waits(elapsed: Duration, busy: Duration) -> bool {
    elapsed >= SLOW && busy < elapsed / BUSY_PART
}

fn own_wanted() -> Duration {
    CpuDemand::of_this_thread().unwrap_or_default().wanted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_and_does_little_mostly_waits() {
        let waits = |elapsed, busy| {
            mostly_waits(Duration::from_millis(elapsed), Duration::from_millis(busy))
        };
        assert!(waits(100, 24) && waits(1000, 0));
        assert!(!waits(100, 25) && !waits(99, 0));
    }

    #[test]
    fn the_start_of_the_server_counts() {
        let (own, hour) = (std::process::id(), Duration::from_secs(3600));
        let meter = WaitMeter::start();
        assert!(meter.mostly_waited(hour, own));
        // One of which the system does not tell counts as busy.
        assert!(!meter.mostly_waited(hour, u32::MAX));
        assert!(!WaitMeter::start().mostly_waited(Duration::ZERO, own), "it took no time");
    }
}
