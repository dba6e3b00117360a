//! How fast a client may send: token buckets, without a clock and without I/O.
//!
//! A bucket holds what may be sent in one second, and is filled at a constant rate. So in any time
//! `t` at most `(1 s + t) * rate` passes; what exceeds it is told how long to wait, to the
//! nanosecond.

use std::num::NonZeroU64;
use std::time::Duration;

use zillions_protocol::FRAME_BYTES_MAX;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// What each client of a listening socket may send in a second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages.
    pub messages: Option<NonZeroU64>,
    /// Bytes of frames, headers included.
    pub bytes: Option<NonZeroU64>,
}

impl Rates {
    /// Whether there is a limit.
    pub(crate) fn is_limit(&self) -> bool {
        self.messages.or(self.bytes).is_some()
    }
}

/// One thing that is limited: it costs so many tokens to send something.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: u128,
    /// What it holds at most, in billionths of a token.
    capacity: u128,
    /// What it holds, in billionths of a token.
    level: u128,
    /// When it held that.
    at: Duration,
}

impl Bucket {
    /// A full one; it holds what one second brings, and at least `capacity_min` tokens.
    fn new(per_second: NonZeroU64, capacity_min: u64, now: Duration) -> Self {
        let capacity = u128::from(per_second.get().max(capacity_min)) * NANOS_PER_SECOND;
        let per_second = u128::from(per_second.get());
        Self { per_second, capacity, level: capacity, at: now }
    }

    fn fill(&mut self, now: Duration) {
        let added = now.saturating_sub(self.at).as_nanos() * self.per_second;
        self.level = (self.level + added).min(self.capacity);
        self.at = self.at.max(now);
    }

    /// How long until it holds so many tokens, if nothing is taken; 0 if it does.
    fn time_until(&self, tokens: u64) -> Duration {
        let missing = (u128::from(tokens) * NANOS_PER_SECOND).saturating_sub(self.level);
        let nanos = missing.div_ceil(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn take(&mut self, tokens: u64) {
        self.level = self.level.saturating_sub(u128::from(tokens) * NANOS_PER_SECOND);
    }
}

/// What one client may send now.
#[derive(Clone, Debug)]
pub struct Pace {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Pace {
    /// That of a client that has sent nothing yet.
    #[must_use]
    pub fn new(rates: Rates, now: Duration) -> Self {
        let messages = rates.messages.map(|rate| Bucket::new(rate, 1, now));
        // The longest frame must fit.
        let bytes = rates.bytes.map(|rate| Bucket::new(rate, FRAME_BYTES_MAX as u64, now));
        Self { messages, bytes }
    }

    /// Takes the tokens for one frame of so many bytes, header included.
    ///
    /// # Errors
    /// How long to wait until they are there; nothing has been taken.
    pub fn take(&mut self, frame_bytes: usize, now: Duration) -> Result<(), Duration> {
        let frame_bytes = frame_bytes as u64;
        let mut wait = Duration::ZERO;
        let mut buckets = [(&mut self.messages, 1), (&mut self.bytes, frame_bytes)];
        for (bucket, tokens) in &mut buckets {
            if let Some(bucket) = bucket {
                bucket.fill(now);
                wait = wait.max(bucket.time_until(*tokens));
            }
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        for (bucket, tokens) in buckets {
            if let Some(bucket) = bucket {
                bucket.take(tokens);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    fn rates() -> impl Strategy<Value = Rates> {
        let rate =
            || proptest::option::of((1..5_000_u64).prop_filter_map("not 0", NonZeroU64::new));
        (rate(), rate()).prop_map(|(messages, bytes)| Rates { messages, bytes })
    }

    /// Frames, each with the time since the one before, in microseconds.
    fn attempts() -> impl Strategy<Value = Vec<(usize, u64)>> {
        proptest::collection::vec((1..=FRAME_BYTES_MAX, 0..400_000_u64), 1..60)
    }

    /// What a bucket of this rate lets pass within `time` at most.
    fn most(rate: NonZeroU64, capacity_min: u64, time: Duration) -> u128 {
        let grown = time.as_nanos() * u128::from(rate.get()) / NANOS_PER_SECOND;
        u128::from(rate.get().max(capacity_min)) + grown
    }

    proptest! {
        #[test]
        fn no_window_of_time_lets_more_pass_than_it_may(rates in rates(), attempts in attempts()) {
            let mut now = Duration::ZERO;
            let mut pace = Pace::new(rates, now);
            let mut passed: Vec<(Duration, usize)> = Vec::new();
            for (bytes, micros) in attempts {
                now += Duration::from_micros(micros);
                if pace.take(bytes, now).is_ok() {
                    passed.push((now, bytes));
                }
            }
            for (first, &(start, _)) in passed.iter().enumerate() {
                let (mut messages, mut all_bytes) = (0, 0);
                for &(at, bytes) in &passed[first..] {
                    messages += 1;
                    all_bytes += bytes as u128;
                    if let Some(rate) = rates.messages {
                        prop_assert!(messages <= most(rate, 1, at - start));
                    }
                    if let Some(rate) = rates.bytes {
                        prop_assert!(all_bytes <= most(rate, FRAME_BYTES_MAX as u64, at - start));
                    }
                }
            }
        }

        #[test]
        fn the_wait_is_exact_and_who_waits_is_never_turned_away_again(
            rates in rates(), attempts in attempts()
        ) {
            let mut now = Duration::ZERO;
            let mut pace = Pace::new(rates, now);
            for (bytes, _) in attempts {
                if let Err(wait) = pace.take(bytes, now) {
                    let mut early = pace.clone();
                    prop_assert!(early.take(bytes, now + wait - NANOSECOND).is_err());
                    now += wait;
                    prop_assert_eq!(pace.take(bytes, now), Ok(()));
                }
            }
        }

        #[test]
        fn who_always_has_something_to_send_sends_at_the_full_rate(
            rate in 1..5_000_u64, bytes in 1..=FRAME_BYTES_MAX
        ) {
            let rate = NonZeroU64::new(rate).expect("not 0");
            let mut now = Duration::ZERO;
            let mut pace = Pace::new(Rates { messages: None, bytes: Some(rate) }, now);
            let mut sent = 0_u128;
            for _ in 0..50 {
                let wait = loop {
                    match pace.take(bytes, now) {
                        Ok(()) => sent += bytes as u128,
                        Err(wait) => break wait,
                    }
                };
                // Not enough is left for one more frame.
                let most = most(rate, FRAME_BYTES_MAX as u64, now);
                prop_assert!(sent <= most, "{} of {}", sent, most);
                prop_assert!(most < sent + bytes as u128, "{} of {}", sent, most);
                now += wait;
            }
        }

        #[test]
        fn a_clock_that_goes_back_gives_nothing(rate in 1..100_u64, back in 1..1_000_u64) {
            let messages = NonZeroU64::new(rate);
            let now = Duration::from_secs(2);
            let mut pace = Pace::new(Rates { messages, bytes: None }, now);
            while pace.take(1, now).is_ok() {}
            prop_assert!(pace.take(1, now - Duration::from_millis(back)).is_err());
            prop_assert!(pace.take(1, now).is_err());
        }
    }

    #[test]
    fn without_limits_everything_passes() {
        let mut pace = Pace::new(Rates::default(), Duration::ZERO);
        assert!((0..10_000).all(|_| pace.take(FRAME_BYTES_MAX, Duration::ZERO).is_ok()));
    }
}
