//! Who has received what: one entry per (receiver, sender) pair, updated at every delivery.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::share::Share;

/// How many gaps are remembered per receiver, to tell a late arrival from a second one.
pub const GAPS_REMEMBERED_MAX: usize = 64;

/// What one received message means for the pair of its sender and its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is the next one, or a later one: those between are missing so far.
    Delivered,
    /// It was missing, and a later one of the same sender had arrived before it (ORDER-2).
    Reordered,
    /// It had arrived before (ORDER-1).
    Duplicated,
    /// Nobody had sent it (ORDER-1).
    Invented,
}

/// The delivery ledger of one trial.
///
/// In the usual case, where the next message arrives, an update is one comparison and one store.
/// Only [`GAPS_REMEMBERED_MAX`] gaps are kept per receiver; a message out of an older gap is
/// called [`Entry::Duplicated`]. Either way it is a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    senders: usize,
    /// `next[receiver * senders + sender]`: the lowest sequence above all received.
    next: Vec<u32>,
    sent: Sent,
    gaps: Vec<Gaps>,
}

/// How many messages each sender has sent. The sender's thread counts; all threads read.
#[derive(Debug)]
struct Sent(Arc<[AtomicU32]>);

impl Sent {
    fn new(senders: usize) -> Self {
        Self((0..senders).map(|_| AtomicU32::new(0)).collect())
    }

    #[inline]
    fn get(&self, sender: u16) -> Option<u32> {
        self.0.get(usize::from(sender)).map(|it| it.load(Ordering::Acquire))
    }

    /// All of them, in order.
    fn all(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|it| it.load(Ordering::Acquire))
    }
}

/// A copy counts by itself.
impl Clone for Sent {
    fn clone(&self) -> Self {
        Self(self.all().map(AtomicU32::new).collect())
    }
}

impl PartialEq for Sent {
    fn eq(&self, other: &Self) -> bool {
        self.all().eq(other.all())
    }
}

impl Eq for Sent {}

impl Ledger {
    /// A ledger for `receivers` clients of which the first `senders` send.
    #[must_use]
    pub fn new(receivers: usize, senders: usize) -> Self {
        Self {
            senders,
            next: vec![0; receivers * senders],
            sent: Sent::new(senders),
            gaps: vec![Gaps::new(); receivers],
        }
    }

    /// Another one of the same senders and receivers, for another thread: what is sent is entered in
    /// one and known in both, what is received is each one's own.
    pub(crate) fn sharing(&self) -> Self {
        let sent = Sent(Arc::clone(&self.sent.0));
        Self { sent, ..Self::new(self.gaps.len(), self.senders) }
    }

    /// Takes over what the receivers of `share` have received according to `other`.
    pub(crate) fn take_over(&mut self, mut other: Self, share: Share) {
        for receiver in share.of(self.gaps.len()) {
            let row = receiver * self.senders..(receiver + 1) * self.senders;
            self.next[row.clone()].copy_from_slice(&other.next[row]);
            std::mem::swap(&mut self.gaps[receiver], &mut other.gaps[receiver]);
        }
    }

    /// Notes that `sender` has sent its next message.
    #[inline]
    pub fn send(&mut self, sender: u16) {
        // Its own thread alone writes it.
        let sent = &self.sent.0[usize::from(sender)];
        sent.store(sent.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// How many messages `sender` has sent.
    #[must_use]
    pub fn sent(&self, sender: u16) -> u32 {
        self.sent.0[usize::from(sender)].load(Ordering::Acquire)
    }

    /// The lowest sequence of `sender` above all that `receiver` has received.
    #[must_use]
    pub fn next(&self, receiver: usize, sender: u16) -> u32 {
        self.next[receiver * self.senders + usize::from(sender)]
    }

    /// Whether `receiver` has received the latest message of every sender.
    #[must_use]
    pub fn has_caught_up(&self, receiver: usize) -> bool {
        self.next[receiver * self.senders..][..self.senders].iter().copied().eq(self.sent.all())
    }

    /// Enters that `receiver` has received message `sequence` of `sender`.
    #[inline]
    pub fn receive(&mut self, receiver: usize, sender: u16, sequence: u32) -> Entry {
        let Some(sent) = self.sent.get(sender) else { return Entry::Invented };
        if sequence >= sent {
            return Entry::Invented;
        }
        let next = &mut self.next[receiver * self.senders + usize::from(sender)];
        if sequence == *next {
            *next = sequence + 1;
            return Entry::Delivered;
        }
        if sequence > *next {
            self.gaps[receiver].open(Gap { sender, first: *next, end: sequence });
            *next = sequence + 1;
            return Entry::Delivered;
        }
        if self.gaps[receiver].fill(sender, sequence) {
            Entry::Reordered
        } else {
            Entry::Duplicated
        }
    }

    /// Enters that `receiver` has received all of `sequences` of `sender` in order, if those are
    /// exactly the next ones: each is [`Entry::Delivered`]. Otherwise false, and nothing is entered.
    #[inline]
    pub fn receive_next(&mut self, receiver: usize, sender: u16, sequences: Range<u32>) -> bool {
        let Some(sent) = self.sent.get(sender) else { return false };
        let next = &mut self.next[receiver * self.senders + usize::from(sender)];
        let are_next = sequences.start == *next && sequences.end <= sent;
        if are_next {
            *next = sequences.end;
        }
        are_next
    }
}

/// Messages `first..end` of `sender` have not arrived though later ones have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gap {
    sender: u16,
    first: u32,
    end: u32,
}

/// The latest gaps of one receiver, in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gaps {
    ring: [Gap; GAPS_REMEMBERED_MAX],
    opened: usize,
}

impl Gaps {
    const fn new() -> Self {
        Self { ring: [Gap { sender: 0, first: 0, end: 0 }; GAPS_REMEMBERED_MAX], opened: 0 }
    }

    #[inline]
    fn open(&mut self, gap: Gap) {
        self.ring[self.opened % GAPS_REMEMBERED_MAX] = gap;
        self.opened += 1;
    }

    /// Takes one message out of the gap that holds it; false if none does.
    #[cold]
    fn fill(&mut self, sender: u16, sequence: u32) -> bool {
        let holds = |gap: &Gap| gap.sender == sender && (gap.first..gap.end).contains(&sequence);
        let Some(at) = self.ring.iter().position(holds) else { return false };
        let Gap { first, end, .. } = self.ring[at];
        self.ring[at].end = sequence;
        if sequence + 1 < end {
            let after = Gap { sender, first: sequence + 1, end };
            // An emptied entry is used again, so that filling gaps forgets no other gap.
            if first == sequence { self.ring[at] = after } else { self.open(after) }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn ledger_with_sent(sent: u32) -> Ledger {
        let mut ledger = Ledger::new(2, 2);
        for _ in 0..sent {
            ledger.send(0);
            ledger.send(1);
        }
        ledger
    }

    #[test]
    fn messages_in_order_are_delivered_with_or_without_gaps() {
        let mut ledger = ledger_with_sent(10);
        for sequence in [0, 1, 4, 9] {
            assert_eq!(ledger.receive(1, 0, sequence), Entry::Delivered);
        }
        assert_eq!(ledger.next(1, 0), 10);
        assert_eq!(ledger.next(0, 0), 0, "another receiver has received nothing");
    }

    #[test]
    fn a_receiver_is_at_the_end_with_the_latest_message_of_every_sender() {
        let mut ledger = ledger_with_sent(3);
        assert!(Ledger::new(2, 2).has_caught_up(1), "nothing was sent");
        ledger.receive(1, 0, 2);
        assert!(!ledger.has_caught_up(1));
        ledger.receive(1, 1, 2);
        assert!(ledger.has_caught_up(1));
        assert!(!ledger.has_caught_up(0));
    }

    #[test]
    fn messages_are_entered_together_only_if_they_are_the_next_ones_and_were_sent() {
        let mut ledger = ledger_with_sent(5);
        let mut one_by_one = ledger.clone();
        let refused = [(0, 1..2), (0, 0..6), (2, 0..1)];
        for (sender, sequences) in refused {
            assert!(!ledger.receive_next(1, sender, sequences));
        }
        assert_eq!(ledger, one_by_one, "nothing was entered");
        assert!(ledger.receive_next(1, 0, 0..3) && ledger.receive_next(1, 0, 3..5));
        (0..5).for_each(|sequence| {
            assert_eq!(one_by_one.receive(1, 0, sequence), Entry::Delivered);
        });
        assert_eq!(ledger, one_by_one);
        assert!(!ledger.receive_next(1, 0, 3..5), "they have arrived before");
    }

    #[test]
    fn a_second_arrival_is_a_duplicate_for_that_receiver_only() {
        let mut ledger = ledger_with_sent(3);
        assert_eq!(ledger.receive(0, 1, 1), Entry::Delivered);
        assert_eq!(ledger.receive(0, 1, 1), Entry::Duplicated);
        assert_eq!(ledger.receive(1, 1, 1), Entry::Delivered);
    }

    #[test]
    fn a_message_that_arrives_after_a_later_one_is_reordered_once_and_then_a_duplicate() {
        let mut ledger = ledger_with_sent(9);
        assert_eq!(ledger.receive(0, 0, 8), Entry::Delivered);
        for sequence in [4, 0, 7, 5] {
            assert_eq!(ledger.receive(0, 0, sequence), Entry::Reordered);
            assert_eq!(ledger.receive(0, 0, sequence), Entry::Duplicated);
        }
    }

    #[test]
    fn what_was_not_sent_is_invented() {
        let mut ledger = ledger_with_sent(3);
        assert_eq!(ledger.receive(0, 0, 3), Entry::Invented);
        assert_eq!(ledger.receive(0, 2, 0), Entry::Invented);
    }

    #[test]
    fn a_message_out_of_a_forgotten_gap_is_still_a_violation() {
        let gaps = GAPS_REMEMBERED_MAX as u32 + 1;
        let mut ledger = ledger_with_sent(gaps * 2);
        for gap in 0..gaps {
            assert_eq!(ledger.receive(0, 0, gap * 2 + 1), Entry::Delivered);
        }
        assert_eq!(ledger.receive(0, 0, 0), Entry::Duplicated);
        assert_eq!(ledger.receive(0, 0, 2), Entry::Reordered);
    }

    proptest! {
        /// Against the definition, with a set of everything received.
        #[test]
        fn entries_agree_with_their_definition(
            arrivals in prop::collection::vec((0_u16..2, 0_u32..20), 0..60),
        ) {
            let mut ledger = ledger_with_sent(16);
            let mut seen = HashSet::new();
            for (sender, sequence) in arrivals {
                let later_seen = seen.iter().any(|&(s, q)| s == sender && q > sequence);
                let expected = if sequence >= 16 {
                    Entry::Invented
                } else if !seen.insert((sender, sequence)) {
                    Entry::Duplicated
                } else if later_seen {
                    Entry::Reordered
                } else {
                    Entry::Delivered
                };
                prop_assert_eq!(ledger.receive(0, sender, sequence), expected);
            }
        }
    }
}
