//! The clock that idle clients are judged by.
//!
//! Only time in which they could have been noticed counts: not while the process is stopped or gets
//! no processor. A room leaves out, too, the time in which it reads nothing because somebody else
//! is slow.

use std::time::Duration;

/// The time between two passes that counts at most. With an idle time-out a shard with clients
/// never waits longer on its own account.
const STEP_MAX: Duration = Duration::from_millis(500);

/// The time in which clients could have been read.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    now: Duration,
    /// The other clock's time when this one was last set.
    seen: Duration,
    /// More time has passed since the last pass than counts.
    jumped: bool,
}

impl IdleClock {
    /// Goes on to the time `now`.
    pub(super) fn advance(&mut self, now: Duration) {
        let step = now.saturating_sub(self.seen);
        self.seen = now;
        self.now += step.min(STEP_MAX);
        self.jumped = step > STEP_MAX;
    }

    /// Whether more time has passed than counts. Then something may have arrived meanwhile that
    /// is not known yet.
    pub(super) fn jumped(&self) -> bool {
        self.jumped
    }

    /// The time in which clients could have been read so far.
    pub(super) fn now(&self) -> Duration {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_in_which_the_process_was_stopped_does_not_count() {
        let mut clock = IdleClock::default();
        clock.advance(SECOND / 4);
        assert_eq!((clock.now(), clock.jumped()), (SECOND / 4, false));
        clock.advance(10 * SECOND);
        assert_eq!((clock.now(), clock.jumped()), (SECOND / 4 + STEP_MAX, true));
        clock.advance(10 * SECOND + SECOND / 4);
        assert_eq!((clock.now(), clock.jumped()), (SECOND / 2 + STEP_MAX, false));
    }
}
