//! Which upstream is tried next, and after which pause.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The shortest pause. In it the other side reads what the lost connection still held, so that
/// what is sent on the next one comes after it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// After a loop was found, which somebody must undo.
const PAUSE_AFTER_LOOP: Duration = Duration::from_secs(60);
/// A connection that lasted so long was a good one.
const GOOD_TIME: Duration = Duration::from_secs(10);

/// The turns of the upstreams, and the pauses between them.
#[derive(Debug)]
pub(super) struct Pauses {
    targets: usize,
    target: usize,
    /// Failures since the last good connection.
    failures: usize,
}

impl Pauses {
    pub(super) fn new(targets: usize) -> Self {
        Self { targets, target: 0, failures: 0 }
    }

    /// Which upstream is next.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// There is no connection, or none any more after this time: the next one is due. The pause
    /// doubles each time all have failed, and varies by a quarter, so that the edges of a server
    /// that comes back do not all come at once.
    pub(super) fn failed(&mut self, lasted: Duration) -> Duration {
        if lasted >= GOOD_TIME {
            self.failures = 0;
        }
        let rounds = (self.failures / self.targets).min(16) as u32;
        self.failures += 1;
        self.target = (self.target + 1) % self.targets;
        let pause = PAUSE_MIN.saturating_mul(1 << rounds).min(PAUSE_MAX);
        let random = (RandomState::new().build_hasher().finish() % 1000) as u32;
        pause + pause * random / 4000
    }

    /// It was a loop.
    pub(super) fn refused(&mut self) -> Duration {
        self.failed(Duration::ZERO).max(PAUSE_AFTER_LOOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_take_turns_and_pauses_grow_to_a_limit() {
        let mut pauses = Pauses::new(2);
        let mut seen = Vec::new();
        for failure in 0..20 {
            assert_eq!(pauses.target(), failure % 2);
            seen.push(pauses.failed(Duration::ZERO));
        }
        let quarter_more = |pause: Duration| pause..=pause * 5 / 4;
        for (failures, expected) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (6, 8), (8, 16)] {
            assert!(quarter_more(PAUSE_MIN * expected).contains(&seen[failures]), "{seen:?}");
        }
        assert!(quarter_more(PAUSE_MAX).contains(&seen[19]), "{seen:?}");
        assert!(quarter_more(PAUSE_MIN).contains(&pauses.failed(GOOD_TIME)));
        assert!(pauses.refused() >= PAUSE_AFTER_LOOP);
    }
}
