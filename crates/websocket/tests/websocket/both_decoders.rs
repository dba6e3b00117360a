//! One stream of a client's bytes, decoded by this crate and by tungstenite, and compared.
//!
//! The fuzz target shares this file.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use zillions_websocket::{Decoder, Event, Violation};

/// The longest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 4096;

/// A whole event: messages in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In the middle of something, or between two frames.
    Open,
    /// With a close frame.
    Closed,
    /// This must not have been sent.
    Failed(Violation),
}

/// What this crate's decoder makes of the stream, cut into pieces of these lengths, repeated; 0 is
/// an empty piece.
pub(crate) fn ours(stream: &[u8], piece_bytes: &[u8]) -> (Vec<Whole>, End) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut events = Vec::new();
    let mut message = Vec::new();
    let mut stream = stream.to_vec();
    let mut tail = &mut stream[..];
    let mut lengths = piece_bytes.iter().cycle();
    // Empty pieces must not be all there are.
    let cuts = piece_bytes.iter().any(|&bytes| bytes > 0);
    while !tail.is_empty() {
        let length = if cuts { usize::from(*lengths.next().expect("endless")) } else { tail.len() };
        let (mut piece, rest) = tail.split_at_mut(length.min(tail.len()));
        tail = rest;
        loop {
            match decoder.decode(&mut piece) {
                Err(violation) => return (events, End::Failed(violation)),
                Ok(None) => break,
                Ok(Some(Event::Payload(bytes))) => {
                    assert!(!bytes.is_empty(), "an event that says nothing");
                    message.extend_from_slice(bytes);
                }
                Ok(Some(Event::MessageEnd)) => {
                    events.push(Whole::Message(std::mem::take(&mut message)));
                }
                Ok(Some(Event::Ping(payload))) => events.push(Whole::Ping(payload)),
                Ok(Some(Event::Pong(payload))) => events.push(Whole::Pong(payload)),
                Ok(Some(Event::Close(reason))) => {
                    events.push(Whole::Close(reason.map(|it| (it.code, it.text))));
                    return (events, End::Closed);
                }
            }
        }
        assert!(piece.is_empty(), "the whole piece is taken");
    }
    (events, End::Open)
}

/// A stream to read from; what is written is lost.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of the stream, and its error, if that is not just the end.
pub(crate) fn theirs(stream: &[u8]) -> (Vec<Whole>, Option<Error>) {
    let limit = Some(MESSAGE_BYTES_MAX as usize);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let mut socket = WebSocket::from_raw_socket(Bytes(stream), Role::Server, Some(config));
    let mut events = Vec::new();
    loop {
        let event = match socket.read() {
            Ok(Message::Binary(bytes)) => Whole::Message(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Whole::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Whole::Pong(payload.to_vec()),
            Ok(Message::Close(reason)) => {
                let reason = reason.map(|it| (u16::from(it.code), it.reason.to_string()));
                events.push(Whole::Close(reason));
                return (events, None);
            }
            Ok(other) => panic!("not a message that a test sends: {other:?}"),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (events, None),
            Err(error) => return (events, Some(error)),
        };
        events.push(event);
    }
}

/// Panics unless both make the same of the stream, however it is cut.
pub(crate) fn compare(stream: &[u8], piece_bytes: &[u8]) {
    let (events, end) = ours(stream, &[]);
    assert_eq!(ours(stream, piece_bytes), (events.clone(), end), "cut into {piece_bytes:?}");
    let stricter = matches!(
        end,
        // What tungstenite takes: text, long ways to write a length, and a close code that the
        // registry has had since 2013.
        End::Failed(Violation::Text | Violation::LengthNotMinimal)
    ) || events.iter().any(|it| matches!(it, Whole::Close(Some((1014, _)))));
    if stricter {
        return;
    }
    let (their_events, error) = theirs(stream);
    match end {
        End::Failed(violation) => {
            // Of a frame that is not there in full tungstenite does not say what is wrong.
            let same = their_events.strip_prefix(&events[..]);
            // An invalid close frame it hands on with a code of its own.
            let close = same.is_some_and(|rest| match rest {
                [] => true,
                [Whole::Close(_)] => matches!(violation, Violation::CloseCode(_)),
                _ => false,
            });
            assert!(close, "{violation}: {events:?}, theirs {their_events:?}");
        }
        End::Open | End::Closed => {
            assert_eq!(events, their_events, "theirs ended with {error:?}");
            assert!(error.is_none(), "only theirs fails: {error:?}");
        }
    }
}
