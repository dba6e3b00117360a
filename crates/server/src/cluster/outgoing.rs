//! What a node publishes, one batch after the other, and which of it has come back.

use std::collections::VecDeque;
use std::time::Duration;

use zillions_protocol::{FRAME_BYTES_MAX, whole_frames};

use super::batches::{BatchId, whole_prefix};
use crate::upstream::Upstream;

/// A batch that is sent until it is stored; the next one waits for it.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) id: BatchId,
    pub(super) frames: Vec<u8>,
    messages: u64,
    /// How often sending it has failed.
    pub(super) failures: u32,
}

/// A batch that was given to NATS at least once, and that this node has not read.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    messages: u64,
    sent_at: Duration,
    /// Its place in the stream, once it is known.
    sequence: Option<u64>,
}

/// What a node publishes.
#[derive(Debug)]
pub(super) struct Outgoing {
    node: String,
    /// Whole frames from the outbox, from `begin` on.
    waiting: Vec<u8>,
    begin: usize,
    /// The number of the last batch.
    number: u64,
    sending: Option<Sending>,
    under_way: VecDeque<UnderWay>,
    /// The place in the stream of the last batch that was stored; 0 without one.
    last_sequence: u64,
    settled: u64,
    unconfirmed: u64,
}

impl Outgoing {
    /// Nothing was published by this node.
    pub(super) fn new(node: String) -> Self {
        Self {
            node,
            waiting: Vec::new(),
            begin: 0,
            number: 0,
            sending: None,
            under_way: VecDeque::new(),
            last_sequence: 0,
            settled: 0,
            unconfirmed: 0,
        }
    }

    /// Who this node is.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// The batch to send, of as much as there is, up to so many bytes; the same one until it is
    /// [stored](Self::stored). The second is whether shards waited for the space in the outbox.
    pub(super) fn next(
        &mut self,
        upstream: &Upstream,
        bytes_max: usize,
        now: Duration,
    ) -> (Option<&Sending>, bool) {
        let mut had_no_space = false;
        if self.sending.is_none() {
            if self.begin == self.waiting.len() {
                self.waiting.clear();
                self.begin = 0;
                had_no_space = upstream.take(&mut self.waiting);
            }
            let rest = &self.waiting[self.begin..];
            let bytes = whole_prefix(rest, bytes_max.max(FRAME_BYTES_MAX));
            if bytes > 0 {
                let frames = rest[..bytes].to_vec();
                self.begin += bytes;
                self.number += 1;
                let messages = whole_frames(&frames).number as u64;
                let id = BatchId { node: self.node.clone(), number: self.number };
                self.under_way.push_back(UnderWay {
                    number: self.number,
                    messages,
                    sent_at: now,
                    sequence: None,
                });
                self.sending = Some(Sending { id, frames, messages, failures: 0 });
            }
        }
        (self.sending.as_ref(), had_no_space)
    }

    /// What the stream must hold last of this node before it takes the next batch.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The stream holds something else last: the batch is not stored yet, and is sent again.
    pub(super) fn expect(&mut self, sequence: u64) {
        self.last_sequence = sequence;
    }

    /// Sending has failed; whether it is stored is not known. Returns how often it has.
    pub(super) fn failed(&mut self) -> u32 {
        let sending = self.sending.as_mut();
        sending.map_or(0, |sending| {
            sending.failures += 1;
            sending.failures
        })
    }

    /// Whether the batch that is next could not be stored so far.
    pub(super) fn is_failing(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.failures > 0)
    }

    /// The batch is in the stream, there. Returns its messages and bytes.
    pub(super) fn stored(&mut self, sequence: u64) -> (u64, u64) {
        self.last_sequence = sequence;
        let Some(stored) = self.sending.take() else { return (0, 0) };
        if let Some(last) = self.under_way.back_mut().filter(|it| it.number == stored.id.number) {
            last.sequence = Some(sequence);
        }
        (stored.messages, stored.frames.len() as u64)
    }

    /// This node has read its own batch. Returns how long that took since it was first sent.
    pub(super) fn seen(&mut self, number: u64, now: Duration) -> Option<Duration> {
        let mut round_trip = None;
        while let Some(first) = self.pop_if(|it| it.number <= number) {
            self.settled += first.messages;
            if first.number == number {
                round_trip = Some(now.saturating_sub(first.sent_at));
            } else {
                self.unconfirmed += first.messages;
            }
        }
        round_trip
    }

    /// Reading has passed this place in the stream: what was stored up to it does not come any more.
    pub(super) fn passed(&mut self, sequence: u64) {
        let is_passed = |it: &UnderWay| it.sequence.is_some_and(|at| at <= sequence);
        while let Some(first) = self.pop_if(is_passed) {
            self.settled += first.messages;
            self.unconfirmed += first.messages;
        }
    }

    fn pop_if(&mut self, is_so: impl Fn(&UnderWay) -> bool) -> Option<UnderWay> {
        if self.under_way.front().is_some_and(is_so) { self.under_way.pop_front() } else { None }
    }

    /// The stream has forgotten what it held.
    pub(super) fn forgotten(&mut self) {
        self.passed(u64::MAX);
    }

    /// Whether nothing is to be sent, and nothing under way.
    pub(super) fn is_idle(&self) -> bool {
        self.begin == self.waiting.len() && self.sending.is_none() && self.under_way.is_empty()
    }

    /// Nothing is sent any more. Returns how many messages never were.
    pub(super) fn end(&mut self) -> u64 {
        let never_sent = whole_frames(&self.waiting[self.begin..]).number as u64;
        (self.waiting, self.begin, self.sending) = (Vec::new(), 0, None);
        for left in self.under_way.drain(..) {
            self.settled += left.messages;
            self.unconfirmed += left.messages;
        }
        never_sent
    }

    /// Says which messages are settled, and what is known of the others.
    pub(super) fn publish(&self, upstream: &Upstream) {
        upstream.set_settled(self.settled);
        upstream.counters.under_way.set(self.under_way.iter().map(|it| it.messages).sum());
        upstream.counters.unconfirmed.set(self.unconfirmed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// So many frames of two bytes wait.
    fn waiting(frames: usize) -> (Outgoing, Upstream) {
        let upstream = Upstream::default();
        upstream.put(&b"\x01a".repeat(frames), frames).expect("space");
        (Outgoing::new("n".into()), upstream)
    }

    #[test]
    fn a_batch_is_the_same_until_it_is_stored() {
        let (mut outgoing, upstream) = waiting(300);
        let first = outgoing.next(&upstream, 1, SECOND).0.expect("a batch").clone();
        assert_eq!((first.id.number, first.frames.len()), (1, FRAME_BYTES_MAX), "at least a frame");
        assert_eq!((outgoing.failed(), outgoing.is_failing()), (1, true));
        let again = outgoing.next(&upstream, 1000, 2 * SECOND).0.expect("a batch");
        assert_eq!((again.id.number, &again.frames), (1, &first.frames));
        assert_eq!(outgoing.stored(8), (128, 256));
        assert_eq!((outgoing.last_sequence(), outgoing.is_failing()), (8, false));
        let second = outgoing.next(&upstream, 1000, 3 * SECOND).0.expect("a batch");
        assert_eq!((second.id.number, second.frames.len()), (2, 600 - 256));
        assert_eq!(outgoing.seen(1, 4 * SECOND), Some(3 * SECOND), "since it was first sent");
        assert_eq!(outgoing.end(), 0);
        outgoing.publish(&upstream);
        assert_eq!((upstream.settled(), upstream.unconfirmed()), (300, 172));
    }

    #[test]
    fn a_batch_may_come_back_before_it_is_known_to_be_stored() {
        let (mut outgoing, upstream) = waiting(3);
        outgoing.next(&upstream, 1000, SECOND);
        assert_eq!(outgoing.seen(1, SECOND), Some(Duration::ZERO));
        assert!(!outgoing.is_idle(), "its answer is to come");
        outgoing.stored(1);
        assert!(outgoing.is_idle());
        outgoing.publish(&upstream);
        assert_eq!((upstream.settled(), upstream.unconfirmed()), (3, 0));
    }

    #[test]
    fn a_batch_that_the_stream_no_longer_has_is_settled_and_unconfirmed() {
        let (mut outgoing, upstream) = waiting(3);
        outgoing.next(&upstream, 1000, SECOND);
        outgoing.passed(100);
        assert!(!outgoing.is_idle(), "it may be stored later");
        outgoing.stored(9);
        outgoing.passed(8);
        assert!(!outgoing.is_idle(), "it may still come");
        outgoing.passed(9);
        assert!(outgoing.is_idle());
        outgoing.publish(&upstream);
        assert_eq!((upstream.settled(), upstream.unconfirmed()), (3, 3));
    }
}
