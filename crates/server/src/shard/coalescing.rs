//! Send coalescing: a busy shard delays its next pass, so that small messages share a send.
//!
//! Where messages arrive one at a time, but the next is there before the first has been sent to
//! all, a shard works without a pause and sends every message to every client by itself. If it
//! delays its next pass by up to twice the last one, several messages have arrived by then, and
//! one send per client carries them all.

use std::time::Duration;

/// A wait shorter than this found something to do at once.
const AT_ONCE: Duration = Duration::from_micros(10);
/// How many such waits in a row make a shard busy. Two clients that answer each other never do.
const BUSY_WAITS: u32 = 3;
/// Shorter passes are not worth a delay.
const PASS_MIN: Duration = Duration::from_micros(30);
/// The longest delay, in lengths of the pass before it.
const DELAY_PER_PASS: u32 = 2;
/// Passes that send each client more than this are batched well enough.
const BATCHED_BYTES: u64 = 4096;

/// How busy a shard is.
#[derive(Debug, Default)]
pub(super) struct Coalescing {
    /// Waits in a row that found something at once.
    busy_waits: u32,
}

impl Coalescing {
    /// Records how long a wait took.
    pub(super) fn waited(&mut self, time: Duration) {
        self.busy_waits = if time < AT_ONCE { self.busy_waits.saturating_add(1) } else { 0 };
    }

    /// Whether a shard that has just sent each client `bytes` bytes should delay its next pass.
    pub(super) fn is_worthwhile(&self, bytes: u64) -> bool {
        self.busy_waits >= BUSY_WAITS && (1..=BATCHED_BYTES).contains(&bytes)
    }
}

/// How long to delay the next pass after one that took `pass`: `delay_max` at most.
pub(super) fn delay_after(pass: Duration, delay_max: Duration) -> Option<Duration> {
    (pass >= PASS_MIN && !delay_max.is_zero()).then(|| (pass * DELAY_PER_PASS).min(delay_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(1);
    const PASS: Duration = Duration::from_micros(100);
    const DELAY_MAX: Duration = Duration::from_micros(250);

    fn after(waits: &[Duration]) -> Coalescing {
        let mut coalescing = Coalescing::default();
        waits.iter().for_each(|&time| coalescing.waited(time));
        coalescing
    }

    #[test]
    fn a_shard_that_never_had_to_wait_pauses_for_twice_the_last_pass() {
        let busy = after(&[LONG, Duration::ZERO, Duration::ZERO, Duration::ZERO]);
        assert!(busy.is_worthwhile(1) && busy.is_worthwhile(BATCHED_BYTES));
        assert_eq!(delay_after(PASS, DELAY_MAX), Some(PASS * 2));
        assert_eq!(delay_after(LONG, DELAY_MAX), Some(DELAY_MAX));
        assert_eq!(delay_after(PASS, Duration::ZERO), None);
    }

    #[test]
    fn a_shard_that_had_to_wait_sends_at_once() {
        assert!(!after(&[]).is_worthwhile(65));
        assert!(!after(&[Duration::ZERO, Duration::ZERO]).is_worthwhile(65));
        let paused = [Duration::ZERO, Duration::ZERO, Duration::ZERO, AT_ONCE];
        assert!(!after(&paused).is_worthwhile(65));
    }

    #[test]
    fn a_short_pass_or_one_that_sent_much_or_nothing_is_not_worth_a_delay() {
        let busy = after(&[Duration::ZERO; 3]);
        assert!(!busy.is_worthwhile(0) && !busy.is_worthwhile(BATCHED_BYTES + 1));
        assert_eq!(delay_after(PASS_MIN, DELAY_MAX), Some(PASS_MIN * 2));
        assert_eq!(delay_after(PASS_MIN - Duration::from_micros(1), DELAY_MAX), None);
    }

    #[test]
    fn a_shard_may_be_busy_for_ever() {
        let mut busy = Coalescing { busy_waits: u32::MAX };
        busy.waited(Duration::ZERO);
        assert!(busy.is_worthwhile(65));
    }
}
