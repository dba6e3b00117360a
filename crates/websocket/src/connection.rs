//! One client's connection, from its HTTP request to its last frame.

use std::sync::Arc;

use crate::close::CloseCode;
use crate::decode::{Decoder, Event};
use crate::encode::{close_frame, close_frame_with, empty_close_frame, pong_frame};
use crate::handshake::{Outcome, judge};
use crate::policy::Policy;
use crate::violation::Violation;

/// Where a connection stands after something was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The request that opens it has not ended: no message may be sent yet.
    Opening,
    /// Messages go both ways.
    Open,
    /// Nothing more is received. After what is due to the client, [`Connection::finish`] ends it.
    Ended,
}

/// One client's connection. What it keeps is bounded: a request of at most 8 KiB and what arrived
/// with its end, a control frame of at most 125 bytes, the answer to one of either.
#[derive(Debug)]
pub struct Connection {
    policy: Arc<Policy>,
    state: State,
    /// The answer to the request, if it has not been taken.
    answer: Vec<u8>,
    /// What the latest ping is to be answered with. Older ones need no answer then.
    pong: Option<Vec<u8>>,
    /// The close frame, if it has not been taken.
    last: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// The request so far.
    Opening(Vec<u8>),
    Open {
        decoder: Decoder,
        boundary: Boundary,
    },
    Ended(LastFrame),
}

/// What is sent last.
#[derive(Clone, Copy, Debug)]
enum LastFrame {
    /// Nothing: the connection was never open, or the frame has been sent.
    None,
    /// A close frame as an answer: with the client's code, or without one.
    Answer(Option<u16>),
    /// A close frame because of what the client sent.
    Failure(CloseCode),
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let state = State::Opening(Vec::new());
        Self { policy, state, answer: Vec::new(), pong: None, last: Vec::new() }
    }

    /// Takes what was received, and appends bytes of chat frames to `frames`. Masks are removed in
    /// place.
    ///
    /// Returns also why the connection has failed, if it has just done so.
    pub fn receive(&mut self, input: &mut [u8], frames: &mut Vec<u8>) -> (Flow, Option<Violation>) {
        let State::Opening(request) = &mut self.state else {
            return self.receive_frames(input, frames);
        };
        request.extend_from_slice(input);
        let Some((outcome, length)) = judge(request, &self.policy) else {
            return (Flow::Opening, None);
        };
        // A client may send its first frames before it has the answer.
        let mut rest = request.split_off(length);
        match outcome {
            Outcome::Closed(answer) => {
                answer.write(&mut self.answer);
                self.state = State::Ended(LastFrame::None);
                (Flow::Ended, None)
            }
            Outcome::Open(answer) => {
                answer.write(&mut self.answer);
                let decoder = Decoder::new(self.policy.message_bytes_max);
                self.state = State::Open { decoder, boundary: Boundary::default() };
                self.receive_frames(&mut rest, frames)
            }
        }
    }

    fn receive_frames(
        &mut self,
        mut input: &mut [u8],
        frames: &mut Vec<u8>,
    ) -> (Flow, Option<Violation>) {
        let State::Open { decoder, boundary } = &mut self.state else {
            return (Flow::Ended, None);
        };
        loop {
            let violation = match decoder.decode(&mut input) {
                Ok(None) => return (Flow::Open, None),
                Ok(Some(Event::Payload(bytes))) => {
                    boundary.pass(bytes);
                    frames.extend_from_slice(bytes);
                    continue;
                }
                Ok(Some(Event::MessageEnd)) if boundary.is_here() => continue,
                Ok(Some(Event::MessageEnd)) => Violation::IncompleteFrame,
                Ok(Some(Event::Ping(payload))) => {
                    self.pong = Some(payload);
                    continue;
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Close(reason))) => {
                    let code = reason.map(|reason| reason.code);
                    self.state = State::Ended(LastFrame::Answer(code));
                    return (Flow::Ended, None);
                }
                Err(violation) => violation,
            };
            self.state = State::Ended(LastFrame::Failure(violation.close_code()));
            return (Flow::Ended, Some(violation));
        }
    }

    /// Whether messages may be sent: the client has asked for a WebSocket.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.state {
            State::Opening(_) | State::Ended(LastFrame::None) => false,
            State::Open { .. } | State::Ended(_) => true,
        }
    }

    /// Whether there is anything to send beside messages.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.answer.is_empty() || self.pong.is_some() || !self.last.is_empty()
    }

    /// Appends what there is to send beside messages. It goes between two of them.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.answer);
        if let Some(payload) = self.pong.take() {
            pong_frame(&payload, out);
        }
        out.append(&mut self.last);
        // An idle client keeps no buffer.
        (self.answer, self.last) = (Vec::new(), Vec::new());
    }

    /// Ends the connection, after which no messages are sent: what there is to send ends with a
    /// close frame, if one is due. `code` says why, unless the client has closed it or is to
    /// blame.
    pub fn finish(&mut self, code: CloseCode) {
        let out = &mut self.last;
        match std::mem::replace(&mut self.state, State::Ended(LastFrame::None)) {
            State::Opening(_) | State::Ended(LastFrame::None) => {}
            State::Open { .. } => close_frame(code, out),
            State::Ended(LastFrame::Answer(Some(code))) => close_frame_with(code, out),
            State::Ended(LastFrame::Answer(None)) => empty_close_frame(out),
            State::Ended(LastFrame::Failure(code)) => close_frame(code, out),
        }
    }
}

/// How many bytes of the current chat frame have not arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Boundary {
    missing: usize,
}

impl Boundary {
    fn pass(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.missing.min(bytes.len());
            self.missing -= skipped;
            bytes = &bytes[skipped..];
            let Some((&header, rest)) = bytes.split_first() else { return };
            self.missing = usize::from(header);
            bytes = rest;
        }
    }

    fn is_here(self) -> bool {
        self.missing == 0
    }
}
