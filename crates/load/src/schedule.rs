//! When messages are due and which of them count.

use crate::share::Share;

/// The time in which messages count: `start_ns..end_ns` on the generator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first nanosecond.
    pub start_ns: u64,
    /// The nanosecond after the last.
    pub end_ns: u64,
}

impl Window {
    /// Whether `time_ns` lies in the window.
    #[inline]
    #[must_use]
    pub fn contains(&self, time_ns: u64) -> bool {
        self.start_ns <= time_ns && time_ns < self.end_ns
    }

    /// How long the window is, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.start_ns) as f64 / 1e9
    }
}

/// The times of an open loop: evenly spaced moments with one or more messages each, senders in
/// turn, whatever the server does.
#[derive(Clone, Debug)]
pub struct Schedule {
    start_ns: u64,
    moments_per_second: f64,
    messages_per_moment: u64,
    senders: u16,
    share: Share,
    scheduled: u64,
}

impl Schedule {
    /// A schedule of single messages, the first of which is due at `start_ns`.
    #[must_use]
    pub fn new(start_ns: u64, messages_per_second: f64, senders: u16) -> Self {
        Self::bursts(start_ns, 1, messages_per_second, senders)
    }

    /// A schedule of bursts, the first of which is due at `start_ns`.
    #[must_use]
    pub fn bursts(
        start_ns: u64,
        messages_per_burst: u32,
        bursts_per_second: f64,
        senders: u16,
    ) -> Self {
        Self {
            start_ns,
            moments_per_second: bursts_per_second,
            messages_per_moment: u64::from(messages_per_burst.max(1)),
            senders,
            share: Share::WHOLE,
            scheduled: 0,
        }
    }

    /// The same times for the senders in `share` only; `None` if there are none.
    pub(crate) fn of(self, share: Share) -> Option<Self> {
        let mut schedule = Self { share, ..self };
        (share.index < usize::from(schedule.senders)).then(|| {
            schedule.skip_others();
            schedule
        })
    }

    /// Goes on to the next message of its own senders.
    fn skip_others(&mut self) {
        while !self.share.has((self.scheduled % u64::from(self.senders)) as usize) {
            self.scheduled += 1;
        }
    }

    /// When the next message is due.
    ///
    /// Computed from the moment's number, so errors do not add up.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        let moment = self.scheduled / self.messages_per_moment;
        self.start_ns + (moment as f64 * 1e9 / self.moments_per_second) as u64
    }

    /// Takes the next message if it is due at `now_ns`: when it was due, and its sender.
    pub fn take(&mut self, now_ns: u64) -> Option<(u64, u16)> {
        let due_ns = self.due_ns();
        if due_ns > now_ns {
            return None;
        }
        let sender = (self.scheduled % u64::from(self.senders)) as u16;
        self.scheduled += 1;
        self.skip_others();
        Some((due_ns, sender))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_equal_distances_and_senders_take_turns() {
        let mut schedule = Schedule::new(1_000, 1e6, 3);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(4_500)).collect();
        assert_eq!(taken, [(1_000, 0), (2_000, 1), (3_000, 2), (4_000, 0)]);
        assert_eq!(schedule.due_ns(), 5_000);
    }

    #[test]
    fn the_messages_of_a_burst_are_due_at_once() {
        let mut schedule = Schedule::bursts(0, 3, 1e3, 2);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(1_500_000)).collect();
        assert_eq!(taken[..3], [(0, 0), (0, 1), (0, 0)]);
        assert_eq!(taken[3..], [(1_000_000, 1), (1_000_000, 0), (1_000_000, 1)]);
        assert_eq!(schedule.due_ns(), 2_000_000);
    }

    #[test]
    fn shares_have_the_messages_of_their_senders_and_together_all() {
        let all = Schedule::bursts(7, 3, 1e3, 5);
        let taken =
            |mut it: Schedule| -> Vec<_> { std::iter::from_fn(|| it.take(9_000_000)).collect() };
        let mut together: Vec<_> = Share::all(7)
            .filter_map(|share| {
                let taken = taken(all.clone().of(share)?);
                assert!(taken.iter().all(|&(_, sender)| share.has(sender.into())));
                Some(taken)
            })
            .flatten()
            .collect();
        together.sort_unstable();
        let mut all = taken(all);
        all.sort_unstable();
        assert_eq!(together, all);
    }

    #[test]
    fn a_delay_moves_no_later_message() {
        let mut schedule = Schedule::new(0, 1_000.0, 1);
        assert_eq!(schedule.take(0), Some((0, 0)));
        // The generator was held up for 2.5 ms: what was due meanwhile keeps its time.
        assert_eq!(schedule.take(2_500_000), Some((1_000_000, 0)));
        assert_eq!(schedule.take(2_500_000), Some((2_000_000, 0)));
        assert_eq!(schedule.take(2_500_000), None);
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let mut schedule = Schedule::new(0, 3.0, 1);
        let taken = std::iter::from_fn(|| schedule.take(1_000_000_000_000)).count();
        assert_eq!(taken, 3_001);
    }
}
