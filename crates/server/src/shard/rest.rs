//! Rests of a busy shard, so that more messages share a system call.
//!
//! Where each message comes alone but the next one is there before the first has
//! been sent to all, a shard works without a pause and sends every message to
//! every client by itself. If it looks away for as long as that takes, several
//! have come, and one send per client carries them all.

use std::time::Duration;

use super::Shard;
use crate::house::Phase;
use crate::io::Io;

/// A wait that is shorter than this found something to do at once.
const AT_ONCE: Duration = Duration::from_micros(10);
/// How many such waits in a row make a shard busy. Two clients that answer each other never do.
const BUSY_WAITS: u32 = 3;
/// Passes that take less than this are not worth a rest.
const PASS_MIN: Duration = Duration::from_micros(30);
/// How many times longer than the pass before it a rest is, if it may be that long.
const REST_PER_PASS: u32 = 2;
/// Passes that send more bytes than this to each client have gathered enough.
const GATHERED_BYTES: u64 = 4096;

/// How busy a shard is.
#[derive(Debug, Default)]
pub(super) struct Haste {
    /// Waits in a row that found something at once.
    hasty_waits: u32,
}

impl Haste {
    /// Notes how long a wait took.
    pub(super) fn waited(&mut self, time: Duration) {
        self.hasty_waits = if time < AT_ONCE { self.hasty_waits.saturating_add(1) } else { 0 };
    }

    /// Whether a shard that sent each client `bytes` may have a rest.
    fn deserves_rest(&self, bytes: u64) -> bool {
        self.hasty_waits >= BUSY_WAITS && (1..=GATHERED_BYTES).contains(&bytes)
    }
}

/// How long to rest, `rest_max` at most, after a pass that took `pass`.
fn rest_after(pass: Duration, rest_max: Duration) -> Option<Duration> {
    (pass >= PASS_MIN && !rest_max.is_zero()).then(|| (pass * REST_PER_PASS).min(rest_max))
}

impl<I: Io> Shard<I> {
    /// Rests if the shard is busy with sending little to many.
    pub(super) fn rest(&mut self, sent_before: u64) {
        let bytes = self.sent_up_to.position.saturating_sub(sent_before);
        if self.haste.deserves_rest(bytes)
            && self.to_send.is_empty()
            && self.house.phase() == Phase::Serving
            && let pass = self.io.now().saturating_sub(self.now)
            && let Some(time) = rest_after(pass, self.house.config.rest_max)
        {
            self.counters().rests.add(1);
            self.io.rest(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(1);
    const PASS: Duration = Duration::from_micros(100);
    const REST_MAX: Duration = Duration::from_micros(250);

    fn haste(waits: &[Duration]) -> Haste {
        let mut haste = Haste::default();
        waits.iter().for_each(|&time| haste.waited(time));
        haste
    }

    #[test]
    fn who_never_had_to_wait_rests_twice_as_long_as_it_worked() {
        let busy = haste(&[LONG, Duration::ZERO, Duration::ZERO, Duration::ZERO]);
        assert!(busy.deserves_rest(1) && busy.deserves_rest(GATHERED_BYTES));
        assert_eq!(rest_after(PASS, REST_MAX), Some(PASS * 2));
        assert_eq!(rest_after(LONG, REST_MAX), Some(REST_MAX));
        assert_eq!(rest_after(PASS, Duration::ZERO), None);
    }

    #[test]
    fn who_had_to_wait_sends_at_once() {
        assert!(!haste(&[]).deserves_rest(65));
        assert!(!haste(&[Duration::ZERO, Duration::ZERO]).deserves_rest(65));
        let paused = [Duration::ZERO, Duration::ZERO, Duration::ZERO, AT_ONCE];
        assert!(!haste(&paused).deserves_rest(65));
    }

    #[test]
    fn what_is_short_or_large_or_nothing_is_not_worth_a_rest() {
        let busy = haste(&[Duration::ZERO; 3]);
        assert!(!busy.deserves_rest(0) && !busy.deserves_rest(GATHERED_BYTES + 1));
        assert_eq!(rest_after(PASS_MIN, REST_MAX), Some(PASS_MIN * 2));
        assert_eq!(rest_after(PASS_MIN - Duration::from_micros(1), REST_MAX), None);
    }

    #[test]
    fn a_shard_may_be_busy_for_ever() {
        let mut busy = Haste { hasty_waits: u32::MAX };
        busy.waited(Duration::ZERO);
        assert!(busy.deserves_rest(65));
    }
}
