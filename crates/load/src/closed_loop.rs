//! The closed loop: every sender sends one message per round; a round ends when all have arrived.

use crate::schedule::Window;

/// A round that is not complete by then is given up, and the next one begins.
pub const ROUND_NS_MAX: u64 = 1_000_000_000;

/// The rounds of a closed loop within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundCounts {
    /// Rounds that began and ended within the window.
    pub rounds: u64,
    /// Those among them that were given up.
    pub incomplete: u64,
    /// Whether a round that began before the window lost a message and was waited for until its end,
    /// so that none began within it.
    pub is_stuck: bool,
}

/// The state of one trial's closed loop. Pure: the caller passes the time and the deliveries so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClosedLoop {
    /// Deliveries in the whole trial with which the round under way is complete.
    complete_at: u64,
    /// When it began; `None` if none is under way.
    began_ns: Option<u64>,
    counts: RoundCounts,
}

impl ClosedLoop {
    /// Whether the next round may begin at `now_ns`, with `delivered` deliveries so far.
    pub(crate) fn is_due(&mut self, now_ns: u64, delivered: u64, window: Window) -> bool {
        let Some(began_ns) = self.began_ns else { return true };
        let is_complete = delivered >= self.complete_at;
        if !is_complete && now_ns < began_ns + ROUND_NS_MAX {
            return false;
        }
        if window.contains(began_ns) && window.contains(now_ns) {
            self.counts.rounds += 1;
            self.counts.incomplete += u64::from(!is_complete);
        }
        true
    }

    /// Notes that a round begins at `now_ns`, of `expected` deliveries more than `delivered`; when
    /// it is given up.
    pub(crate) fn begin(&mut self, now_ns: u64, delivered: u64, expected: u64) -> u64 {
        self.began_ns = Some(now_ns);
        self.complete_at = delivered + expected;
        now_ns + ROUND_NS_MAX
    }

    /// The counts at the end of a trial, with `delivered` deliveries in all of it.
    pub(crate) fn counts(&self, delivered: u64, window: Window) -> RoundCounts {
        let began_before = self.began_ns.is_some_and(|began_ns| began_ns < window.start_ns);
        RoundCounts { is_stuck: began_before && delivered < self.complete_at, ..self.counts }
    }

    /// When the round under way is given up.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.began_ns.map_or(0, |began_ns| began_ns + ROUND_NS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start_ns: 1_000, end_ns: 10 * ROUND_NS_MAX };

    #[test]
    fn a_round_begins_when_everybody_has_everything() {
        let mut closed_loop = ClosedLoop::default();
        assert!(closed_loop.is_due(0, 0, WINDOW));
        closed_loop.begin(0, 0, 9);
        assert!(!closed_loop.is_due(1_500, 8, WINDOW));
        assert!(closed_loop.is_due(2_000, 9, WINDOW));
        assert_eq!(closed_loop.counts.rounds, 0, "it began before the window");
        closed_loop.begin(2_000, 9, 9);
        assert!(closed_loop.is_due(3_000, 18, WINDOW));
        assert_eq!(closed_loop.counts, RoundCounts { rounds: 1, ..RoundCounts::default() });
    }

    #[test]
    fn a_round_from_before_the_window_that_never_ends_is_told() {
        let mut closed_loop = ClosedLoop::default();
        closed_loop.begin(0, 0, 9);
        assert!(closed_loop.counts(8, WINDOW).is_stuck);
        assert!(!closed_loop.counts(9, WINDOW).is_stuck, "it was complete in the end");
        closed_loop.begin(2_000, 9, 9);
        assert!(!closed_loop.counts(10, WINDOW).is_stuck, "it began within the window");
    }

    #[test]
    fn a_round_that_lost_a_message_is_given_up_after_its_time() {
        let mut closed_loop = ClosedLoop::default();
        let deadline_ns = closed_loop.begin(2_000, 0, 9);
        assert!(!closed_loop.is_due(deadline_ns - 1, 8, WINDOW));
        assert!(closed_loop.is_due(deadline_ns, 8, WINDOW));
        assert_eq!(closed_loop.counts, RoundCounts { rounds: 1, incomplete: 1, is_stuck: false });
    }
}
