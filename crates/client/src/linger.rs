//! When to end if the server keeps the connection open after the end of input.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

/// While others keep sending: quiet times that may pass without a message equal to one of our own.
const BUSY_FACTOR: u32 = 10;

/// Waits for a quiet time without any message; while others keep sending, for a longer time
/// without a message that may be an echo of our own. It has no clock: the caller passes the time.
#[derive(Debug)]
pub(crate) struct Linger {
    quiet: Duration,
    /// When something was last received, or the wait began.
    heard: Instant,
    /// When something was last received that may be our own, or the wait began.
    echoed: Instant,
}

impl Linger {
    pub(crate) fn new(quiet: Duration, now: Instant) -> Self {
        Self { quiet, heard: now, echoed: now }
    }

    /// Something was received, and with `may_be_ours` a message that may be our own.
    pub(crate) fn heard(&mut self, may_be_ours: bool, now: Instant) {
        self.heard = now;
        if may_be_ours {
            self.echoed = now;
        }
    }

    /// The remaining wait; zero when it is over.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        let leave = (self.heard + self.quiet).min(self.echoed + self.quiet * BUSY_FACTOR);
        leave.saturating_duration_since(now)
    }
}

const SENT_BITS: usize = 1 << 19;

/// The bodies sent, as a Bloom filter of 64 KiB: no false negatives.
#[derive(Debug)]
pub(crate) struct Sent {
    words: Vec<u64>,
}

impl Sent {
    pub(crate) fn new() -> Self {
        Self { words: vec![0; SENT_BITS / 64] }
    }

    pub(crate) fn insert(&mut self, body: &[u8]) {
        let (word, bit) = place(body);
        self.words[word] |= bit;
    }

    pub(crate) fn may_contain(&self, body: &[u8]) -> bool {
        let (word, bit) = place(body);
        self.words[word] & bit != 0
    }
}

fn place(body: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let bit = hasher.finish() as usize % SENT_BITS;
    (bit / 64, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(1);

    #[test]
    fn it_leaves_after_the_quiet_time_and_not_before() {
        let start = Instant::now();
        let linger = Linger::new(QUIET, start);
        assert_eq!(linger.left(start), QUIET);
        assert_eq!(linger.left(start + QUIET / 4), QUIET * 3 / 4);
        assert_eq!(linger.left(start + QUIET), Duration::ZERO);
        assert_eq!(linger.left(start + QUIET * 5), Duration::ZERO);
    }

    #[test]
    fn each_echo_within_the_quiet_time_begins_it_anew() {
        let start = Instant::now();
        let mut linger = Linger::new(QUIET, start);
        for tenth in (0..1_000).step_by(9) {
            let now = start + QUIET * tenth / 10;
            assert!(!linger.left(now).is_zero(), "left before an echo at {tenth} tenths");
            linger.heard(true, now);
        }
    }

    #[test]
    fn others_cannot_delay_the_end_for_ever() {
        let start = Instant::now();
        let mut linger = Linger::new(QUIET, start);
        let mut now = start;
        while !linger.left(now).is_zero() {
            linger.heard(false, now);
            now += QUIET / 2;
        }
        assert_eq!(now - start, QUIET * BUSY_FACTOR);
    }

    #[test]
    fn what_was_sent_is_never_forgotten() {
        let mut sent = Sent::new();
        let bodies: Vec<_> = (0..10_000_u32).map(u32::to_le_bytes).collect();
        bodies.iter().for_each(|body| sent.insert(body));
        assert!(bodies.iter().all(|body| sent.may_contain(body)));
        let others = (10_000..20_000_u32).filter(|n| sent.may_contain(&n.to_le_bytes())).count();
        assert!(others < 1_000, "{others} of 10,000 others are taken for sent");
    }
}
