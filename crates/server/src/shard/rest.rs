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
        self.hasty_waits = if time < AT_ONCE { self.hasty_waits + 1 } else { 0 };
    }

    /// How long to rest, `rest_max` at most, after a pass that took `pass` and sent each
    /// client `bytes`.
    fn rest(&self, pass: Duration, bytes: u64, rest_max: Duration) -> Option<Duration> {
        let worthwhile = (1..=GATHERED_BYTES).contains(&bytes) && pass >= PASS_MIN;
        let busy = self.hasty_waits >= BUSY_WAITS;
        (busy && worthwhile && !rest_max.is_zero()).then(|| (pass * REST_PER_PASS).min(rest_max))
    }
}

impl<I: Io> Shard<I> {
    /// Rests if the shard is busy with sending little to many.
    pub(super) fn rest(&mut self, sent_before: u64) {
        let bytes = self.sent_up_to.position.saturating_sub(sent_before);
        let pass = self.io.now().saturating_sub(self.now);
        if self.house.phase() == Phase::Serving
            && self.to_send.is_empty()
            && let Some(time) = self.haste.rest(pass, bytes, self.house.config.rest_max)
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
        assert_eq!(busy.rest(PASS, 65, REST_MAX), Some(PASS * 2));
        assert_eq!(busy.rest(PASS, GATHERED_BYTES, REST_MAX), Some(PASS * 2));
        assert_eq!(busy.rest(LONG, 65, REST_MAX), Some(REST_MAX));
        assert_eq!(busy.rest(PASS, 65, Duration::ZERO), None);
    }

    #[test]
    fn who_had_to_wait_sends_at_once() {
        assert_eq!(haste(&[]).rest(PASS, 65, REST_MAX), None);
        assert_eq!(haste(&[Duration::ZERO, Duration::ZERO]).rest(PASS, 65, REST_MAX), None);
        let paused = [Duration::ZERO, Duration::ZERO, Duration::ZERO, AT_ONCE];
        assert_eq!(haste(&paused).rest(PASS, 65, REST_MAX), None);
    }

    #[test]
    fn what_is_short_or_large_or_nothing_is_not_worth_a_rest() {
        let busy = haste(&[Duration::ZERO; 3]);
        assert_eq!(busy.rest(PASS_MIN, 65, REST_MAX), Some(PASS_MIN * 2));
        assert_eq!(busy.rest(PASS_MIN - Duration::from_micros(1), 65, REST_MAX), None);
        assert_eq!(busy.rest(PASS, 0, REST_MAX), None);
        assert_eq!(busy.rest(PASS, GATHERED_BYTES + 1, REST_MAX), None);
    }
}
