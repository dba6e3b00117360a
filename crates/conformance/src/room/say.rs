//! Talking: tagged and plain messages, fences, and exchanges in which nothing
//! may be lost.
//!
//! A *fence* is a tagged message that a case waits for. Whatever the same
//! sender sent before it and has not arrived by then was lost; no time-out is
//! needed to know.

use std::time::Duration;

use super::{ClientIndex, Room, show_body};
use crate::verdict::Stop;

/// Most messages under way at once where none may be lost (DROP-3).
pub const IN_FLIGHT_MAX: usize = 4;
/// Length of fences, in bytes.
pub const FENCE_BYTES: usize = 16;
/// First wait of those that are doubled while a message that may have been
/// dropped is sent again.
const REPEAT_AFTER: Duration = Duration::from_millis(50);

impl Room {
    /// Queues the next tagged message of `from`; returns its number.
    pub fn say(&mut self, from: ClientIndex, length: usize) -> u32 {
        let mut body = Vec::with_capacity(256);
        let sequence = self.recorder.send(from, length, &mut body);
        self.queue_frame(from, &body);
        sequence
    }

    /// The bytes of the frame of the next tagged message of `from`, for cases
    /// that cut it into pieces.
    pub fn frame_of_next(&mut self, from: ClientIndex, length: usize) -> (u32, Vec<u8>) {
        let mut body = Vec::with_capacity(256);
        let sequence = self.recorder.send(from, length, &mut body);
        (sequence, frame(&body))
    }

    /// Queues a frame with this body.
    pub fn queue_frame(&mut self, from: ClientIndex, body: &[u8]) {
        self.queue_bytes(from, &frame(body));
    }

    /// Waits until each of `to` has message `sequence` of `from`, or a later one.
    ///
    /// # Errors
    /// A failure when it does not come.
    pub fn await_message(
        &mut self,
        from: ClientIndex,
        sequence: u32,
        to: &[ClientIndex],
        expected: &str,
    ) -> Result<(), Stop> {
        self.flush()?;
        self.await_each(to, expected, |room, receiver| {
            room.recorder.tally(receiver, from).latest >= Some(sequence)
        })
    }

    /// Sends a fence with nothing else under way and waits until all have it.
    ///
    /// # Errors
    /// A failure when it does not come.
    pub fn fence(
        &mut self,
        from: ClientIndex,
        to: &[ClientIndex],
        expected: &str,
    ) -> Result<(), Stop> {
        let sequence = self.say(from, FENCE_BYTES);
        self.await_message(from, sequence, to, expected)
    }

    /// Sends fences until one has reached all of `to`, however much is under
    /// way and whoever has joined only now. Afterwards nothing of it is, unless
    /// somebody else who reads is so late that patience does not last.
    ///
    /// # Errors
    /// A failure when patience ends.
    pub fn insist(
        &mut self,
        from: ClientIndex,
        to: &[ClientIndex],
        expected: &str,
    ) -> Result<(), Stop> {
        let patience = self.trial.patience() / 2;
        let mut wait = REPEAT_AFTER;
        let mut waited = Duration::ZERO;
        while waited + wait < patience {
            let sequence = self.say(from, FENCE_BYTES);
            self.flush()?;
            let arrived = self.pump_until(wait, |room| {
                to.iter().all(|&receiver| {
                    room.recorder.tally(receiver, from).latest >= Some(sequence)
                        || room.client(receiver).end().is_some()
                }) || room.client(from).end().is_some()
            })?;
            if arrived || self.server_ended() {
                // Settles at once, one way or the other.
                self.await_message(from, sequence, to, expected)?;
                if !waited.is_zero() {
                    self.await_others(from, sequence, patience - waited)?;
                }
                return Ok(());
            }
            waited += wait;
            wait *= 2;
        }
        self.fence(from, to, expected)
    }

    /// Waits at most `time` for those who read and have heard `from` before:
    /// what was repeated for somebody may still be under way to them.
    fn await_others(
        &mut self,
        from: ClientIndex,
        sequence: u32,
        time: Duration,
    ) -> Result<(), Stop> {
        let mut late = self.everyone();
        self.pump_until(time, |room| {
            late.retain(|&other| {
                let client = room.client(other);
                let latest = room.recorder.tally(other, from).latest;
                client.is_reading()
                    && client.end().is_none()
                    && latest.is_some_and(|l| l < sequence)
            });
            late.is_empty()
        })?;
        Ok(())
    }

    /// Connects `count` clients and makes sure that all are served.
    ///
    /// # Errors
    /// A failure when one of them is not.
    pub fn join(&mut self, count: usize, role: &'static str) -> Result<Vec<ClientIndex>, Stop> {
        let first = self.clients();
        for _ in 0..count {
            self.connect(role)?;
        }
        let joined: Vec<ClientIndex> = (first..first + count).collect();
        if let Some(&from) = joined.first() {
            self.settle(from, &joined)?;
        }
        Ok(joined)
    }

    /// Makes sure that all of `to` are served, by messages from `from`.
    ///
    /// # Errors
    /// A failure when one of them is not.
    pub fn settle(&mut self, from: ClientIndex, to: &[ClientIndex]) -> Result<(), Stop> {
        self.insist(from, to, &format!("a message of client #{from} reaches all who are connected"))
    }

    /// Sends tagged messages, `(sender, length)` each, with at most
    /// [`IN_FLIGHT_MAX`] under way, and sees that each of `to` gets every one.
    ///
    /// # Errors
    /// A failure when one does not come.
    pub fn deliver(
        &mut self,
        talks: &[(ClientIndex, usize)],
        to: &[ClientIndex],
    ) -> Result<(), Stop> {
        for window in talks.chunks(IN_FLIGHT_MAX) {
            let said: Vec<(ClientIndex, u32)> =
                window.iter().map(|&(from, length)| (from, self.say(from, length))).collect();
            self.deliver_window(&said, to)?;
        }
        Ok(())
    }

    fn deliver_window(
        &mut self,
        said: &[(ClientIndex, u32)],
        to: &[ClientIndex],
    ) -> Result<(), Stop> {
        let number = said.len();
        // The last ones first: then what is missing before them was lost.
        for &(from, sequence) in said.iter().rev() {
            let expected = format!(
                "message {sequence} of client #{from}, with {number} of at most \
                 {IN_FLIGHT_MAX} messages under way"
            );
            self.await_message(from, sequence, to, &expected)?;
            for &receiver in to {
                if !self.recorder.tally(receiver, from).has(sequence) {
                    let came = "a later message of the same client, but not this one";
                    return Err(self.failure(receiver, expected, came));
                }
            }
        }
        Ok(())
    }

    /// From now on frames without a tag are something that this case sends; it
    /// compares them itself. Before, every such frame is a violation.
    pub fn expect_plain(&mut self) {
        self.recorder.expect_plain();
    }

    /// Sends plain bodies from `from`, few at a time with a fence behind them,
    /// and sees that each of `to` gets exactly these.
    ///
    /// # Errors
    /// A failure when something else comes.
    pub fn exchange(
        &mut self,
        from: ClientIndex,
        bodies: &[Vec<u8>],
        to: &[ClientIndex],
    ) -> Result<(), Stop> {
        self.expect_plain();
        for window in bodies.chunks(IN_FLIGHT_MAX - 1) {
            for body in window {
                self.queue_frame(from, body);
            }
            self.await_plain(from, window, to)?;
        }
        Ok(())
    }

    /// Sends a fence behind plain bodies that were queued already, and sees
    /// that each of `to` got exactly these before it.
    ///
    /// # Errors
    /// A failure when something else comes.
    pub fn await_plain(
        &mut self,
        from: ClientIndex,
        bodies: &[Vec<u8>],
        to: &[ClientIndex],
    ) -> Result<(), Stop> {
        let sequence = self.say(from, FENCE_BYTES);
        let expected = format!("{}, and the message after", show_bodies(bodies));
        let arrived = self.await_message(from, sequence, to, &expected);
        for &receiver in to {
            let received = self.recorder.take_plain(receiver);
            let complete = self.recorder.tally(receiver, from).latest >= Some(sequence);
            if received != bodies && (complete || !received.is_empty()) {
                return Err(self.failure(
                    receiver,
                    show_bodies(bodies),
                    difference(bodies, &received, complete),
                ));
            }
        }
        arrived
    }
}

/// The bytes of the frame with this body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1 + body.len());
    zillions_protocol::encode(body, &mut frame).expect("cases send bodies of at most 255 bytes");
    frame
}

fn show_bodies(bodies: &[Vec<u8>]) -> String {
    const SHOWN_MAX: usize = 4;
    match bodies {
        [] => "no message".to_owned(),
        _ => {
            let mut shown: Vec<String> =
                bodies.iter().take(SHOWN_MAX).map(|body| show_body(body)).collect();
            if bodies.len() > SHOWN_MAX {
                shown.push(format!("{} more", bodies.len() - SHOWN_MAX));
            }
            shown.join(", ")
        }
    }
}

fn difference(sent: &[Vec<u8>], received: &[Vec<u8>], complete: bool) -> String {
    let place = sent.iter().zip(received).position(|(a, b)| a != b);
    let place = place.unwrap_or_else(|| sent.len().min(received.len()));
    let what = match (sent.get(place), received.get(place)) {
        (Some(sent), Some(received)) => {
            let byte = sent.iter().zip(received).position(|(a, b)| a != b);
            let byte = byte.unwrap_or_else(|| sent.len().min(received.len()));
            format!("{} (they differ from byte {byte} on)", show_body(received))
        }
        (Some(sent), None) => format!("nothing in the place of {}", show_body(sent)),
        (None, Some(received)) => format!("one more: {}", show_body(received)),
        (None, None) => "the same".to_owned(),
    };
    let then = if complete { "" } else { ", and then not the message after" };
    format!("message {} of {}: {what}{then}", place + 1, sent.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn few_bodies_are_shown_and_many_are_counted() {
        assert_eq!(show_bodies(&[]), "no message");
        let one = show_body(b"a");
        assert_eq!(show_bodies(&bodies(&["a"])), one);
        assert_eq!(show_bodies(&bodies(&["a"; 4])), [&*one; 4].join(", "));
        assert!(show_bodies(&bodies(&["a"; 6])).ends_with(", 2 more"));
    }

    #[test]
    fn a_difference_is_told_by_its_first_message_and_byte() {
        let sent = bodies(&["same", "abcd", "last"]);
        let differing = difference(&sent, &bodies(&["same", "abXd", "last"]), true);
        let changed = show_body(b"abXd");
        assert_eq!(differing, format!("message 2 of 3: {changed} (they differ from byte 2 on)"));
        let shorter = difference(&sent, &bodies(&["same", "ab"]), true);
        assert!(shorter.ends_with("(they differ from byte 2 on)"), "{shorter}");
        let missing = difference(&sent, &bodies(&["same", "abcd"]), false);
        let last = show_body(b"last");
        let expected = format!(
            "message 3 of 3: nothing in the place of {last}, and then not the message after"
        );
        assert_eq!(missing, expected);
        let more = difference(&sent[..1], &sent[..2], true);
        assert_eq!(more, format!("message 2 of 1: one more: {}", show_body(b"abcd")));
    }
}
