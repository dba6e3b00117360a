//! Which of the edge's own messages have come down again.
//!
//! The protocol has no place to say whose a message is, so the edge's own are found by their
//! contents: what was sent up comes down in the same order, among the messages of others. Each is
//! matched with the first that is equal and comes after the match of the one before. Up to that
//! match a client has received every message of its own in its order, byte for byte, so nobody
//! can tell a match that was another's equal message from the true echo.

use std::collections::VecDeque;
use std::time::Duration;

/// How long an echo may take while other messages come down; then the message counts as dropped
/// by the upstream. Also how long what went up may stay without any answer before the upstream
/// counts as silent.
pub(crate) const ECHO_TIME_MAX: Duration = Duration::from_secs(10);
/// How many bytes are remembered until they come down; beyond, they are no longer looked for.
const UNDER_WAY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many times of writing are remembered; beyond, writes share one.
const MARKS_MAX: usize = 1024;

/// The edge's own messages that are under way.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    /// The frames under way, from `start` on.
    frames: Vec<u8>,
    start: usize,
    /// Messages ever sent up.
    sent: u64,
    /// Messages of these that are no longer looked for: they came down, or were given up.
    passed: u64,
    /// When what was sent up.
    marks: VecDeque<Mark>,
    /// Some that were given up may still be under way.
    adrift: Option<Adrift>,
    /// When anything last came down.
    heard_at: Duration,
    /// Messages that were given up: dropped, or put in order unseen.
    given_up: u64,
}

/// The messages after the last mark, up to the one with this number.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    at: Duration,
}

/// Until this time no more than so many messages are settled.
#[derive(Clone, Copy, Debug)]
struct Adrift {
    settled: u64,
    until: Duration,
}

impl Echoes {
    /// A whole frame was sent up.
    pub(crate) fn sent(&mut self, frame: &[u8], now: Duration) {
        self.frames.extend_from_slice(frame);
        self.sent += 1;
        let is_full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            // Not the later time, with which the upstream would seem faster than it is.
            Some(mark) if is_full || mark.at == now => mark.number = self.sent,
            _ => self.marks.push_back(Mark { number: self.sent, at: now }),
        }
        if self.frames.len() - self.start > UNDER_WAY_BYTES_MAX {
            self.give_up(now);
        }
    }

    /// Whole frames have come down. Returns how long the last of the own ones among them took.
    pub(crate) fn received(&mut self, mut frames: &[u8], now: Duration) -> Option<Duration> {
        self.heard_at = now;
        let mut round_trip = None;
        let before = self.passed;
        while let Some(&length) = frames.first()
            && self.start < self.frames.len()
        {
            let (frame, rest) = frames.split_at(1 + usize::from(length));
            if self.frames[self.start..].starts_with(frame) {
                self.start += frame.len();
                self.passed += 1;
            }
            frames = rest;
        }
        if self.passed > before {
            round_trip = self.forget_marks(now);
            self.compact();
        }
        if self.oldest().is_some_and(|at| now.saturating_sub(at) > ECHO_TIME_MAX) {
            self.give_up(now);
        }
        round_trip
    }

    /// Forgets the marks of what has passed; returns how long the last of them took.
    fn forget_marks(&mut self, now: Duration) -> Option<Duration> {
        let mut round_trip = None;
        while let Some(mark) = self.marks.front()
            && mark.number <= self.passed
        {
            round_trip = Some(now.saturating_sub(mark.at));
            self.marks.pop_front();
        }
        round_trip
    }

    /// Gives back the memory of what has passed, once it is most of it.
    fn compact(&mut self) {
        if self.start * 2 >= self.frames.len() {
            self.frames.drain(..self.start);
            self.start = 0;
        }
    }

    /// The upstream has dropped something, and it is not known what: nothing is looked for any
    /// more, and what is under way is settled only when its echo would be overdue, too.
    fn give_up(&mut self, now: Duration) {
        let settled = self.settled(now);
        self.adrift = Some(Adrift { settled, until: now + ECHO_TIME_MAX });
        self.pass_all();
    }

    /// The connection is lost: nothing that is under way will come down. Whether the upstream has
    /// put it in order is not known.
    pub(crate) fn lost(&mut self) {
        self.adrift = None;
        self.pass_all();
    }

    fn pass_all(&mut self) {
        self.given_up += self.under_way();
        (self.frames, self.start) = (Vec::new(), 0);
        self.marks.clear();
        self.passed = self.sent;
    }

    /// How many messages, in the order in which they were sent up, have come down or will not.
    pub(crate) fn settled(&self, now: Duration) -> u64 {
        match self.adrift {
            Some(adrift) if now < adrift.until => adrift.settled,
            _ => self.passed,
        }
    }

    /// When that may change though nothing comes down.
    pub(crate) fn settles_at(&self, now: Duration) -> Option<Duration> {
        self.adrift.map(|adrift| adrift.until).filter(|&until| until > now)
    }

    /// How many messages are under way.
    pub(crate) fn under_way(&self) -> u64 {
        self.sent - self.passed
    }

    /// How many messages were sent up and did not come down, as far as is known.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// When the oldest message that is under way was sent up.
    fn oldest(&self) -> Option<Duration> {
        self.marks.front().map(|mark| mark.at)
    }

    /// When the upstream counts as silent, if nothing comes down until then.
    pub(crate) fn silent_at(&self) -> Option<Duration> {
        self.oldest().map(|at| at.max(self.heard_at) + ECHO_TIME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sent(frames: &[&[u8]]) -> Echoes {
        let mut echoes = Echoes::default();
        frames.iter().for_each(|frame| echoes.sent(frame, SECOND));
        echoes
    }

    #[test]
    fn own_messages_are_found_among_those_of_others_in_their_order() {
        let mut echoes = sent(&[b"\x01a", b"\x00", b"\x01a"]);
        let round_trip = echoes.received(b"\x01b\x00\x01a", 2 * SECOND);
        assert_eq!((echoes.settled(SECOND), round_trip), (1, None), "one write, one mark");
        let round_trip = echoes.received(b"\x01a\x00\x01a\x01a", 4 * SECOND);
        assert_eq!((echoes.settled(SECOND), round_trip), (3, Some(3 * SECOND)));
        assert_eq!((echoes.under_way(), echoes.silent_at()), (0, None));
    }

    #[test]
    fn an_echo_that_is_overdue_while_others_come_down_was_dropped() {
        let mut echoes = sent(&[b"\x01a", b"\x01b"]);
        echoes.received(b"\x01x", 11 * SECOND);
        assert_eq!((echoes.given_up(), echoes.silent_at()), (0, Some(21 * SECOND)));
        echoes.sent(b"\x01c", 11 * SECOND);
        echoes.received(b"\x01b", 12 * SECOND);
        assert_eq!(echoes.given_up(), 3);
        // The latest may still come: its sender waits as long as for any other.
        assert_eq!(
            (echoes.settled(13 * SECOND), echoes.settles_at(SECOND)),
            (0, Some(22 * SECOND))
        );
        assert_eq!(echoes.settled(22 * SECOND), 3);
        // What is sent from now on is found again.
        echoes.sent(b"\x01d", 23 * SECOND);
        echoes.received(b"\x01c\x01d", 23 * SECOND);
        assert_eq!((echoes.settled(23 * SECOND), echoes.given_up()), (4, 3));
    }

    #[test]
    fn a_silent_upstream_is_not_taken_for_one_that_drops() {
        let echoes = sent(&[b"\x01a"]);
        assert_eq!(echoes.silent_at(), Some(11 * SECOND));
        assert_eq!((echoes.settled(100 * SECOND), echoes.under_way()), (0, 1));
    }

    #[test]
    fn what_is_under_way_when_the_connection_is_lost_is_settled_at_once() {
        let mut echoes = sent(&[b"\x01a", b"\x01b"]);
        echoes.received(b"\x01a", 2 * SECOND);
        echoes.lost();
        assert_eq!((echoes.given_up(), echoes.settled(2 * SECOND)), (1, 2));
    }

    #[test]
    fn what_is_remembered_is_bounded_though_nothing_comes_down() {
        let mut echoes = Echoes::default();
        let frames = UNDER_WAY_BYTES_MAX as u64 / 256 + 1;
        for number in 0..frames {
            let mut frame = [255; 256];
            frame[1..9].copy_from_slice(&number.to_le_bytes());
            assert_eq!(echoes.given_up(), 0);
            echoes.sent(&frame, Duration::from_nanos(number));
            assert!(echoes.marks.len() <= MARKS_MAX);
        }
        assert_eq!((echoes.given_up(), echoes.frames.capacity()), (frames, 0));
    }
}
