//! The client protocol of NATS core, as <https://docs.nats.io/reference/reference-protocols/nats-protocol>
//! has it.

use super::Heard;
use super::gather::{Parsed, Protocol, excerpt, short_number, split_line};

/// Own messages come back with `echo`; without `verbose` there is no `+OK` for each `PUB`.
pub(super) const HELLO: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\
    \"protocol\":1,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"zillions\"}\r\nSUB z 1\r\n";

/// The length, `\r\n`, the body and `\r\n` come after it.
pub(super) const SEND_OPENING: &[u8] = b"PUB z ";
const RECEIVE_OPENING: &[u8] = b"MSG z 1 ";
const ENDS_BYTES: usize = 4;

/// What a message takes beside its body and the digits of its length.
pub(super) const SENT_BYTES: usize = SEND_OPENING.len() + ENDS_BYTES;
pub(super) const RECEIVED_BYTES: usize = RECEIVE_OPENING.len() + ENDS_BYTES;

#[derive(Clone, Debug, Default)]
pub(crate) struct Nats;

impl Protocol for Nats {
    #[inline]
    fn parse(input: &[u8]) -> Parsed<'_> {
        if let Some(rest) = input.strip_prefix(RECEIVE_OPENING)
            && let Some((body_bytes, taken)) = short_number(rest)
        {
            let body = RECEIVE_OPENING.len() + taken;
            return message(input, body, body_bytes);
        }
        parse_line(input)
    }
}

/// The unit whose body of `body_bytes` bytes begins at `body`.
#[inline]
fn message(input: &[u8], body: usize, body_bytes: usize) -> Parsed<'_> {
    let end = body + body_bytes;
    match input.get(end..end + 2) {
        None => Parsed::Bytes(end + 2),
        Some(b"\r\n") => Parsed::Unit(end + 2, Heard::Message(&input[body..end])),
        Some(_) => Parsed::Unit(
            end + 2,
            Heard::Refusal("it sent a MSG whose body is longer than it says".to_owned()),
        ),
    }
}

#[cold]
fn parse_line(input: &[u8]) -> Parsed<'_> {
    let Some((line, taken)) = split_line(input) else { return Parsed::Line };
    let heard = match line {
        b"PING" => Heard::Question(b"PONG\r\n"),
        b"PONG" | b"+OK" => Heard::Chatter,
        line if line.starts_with(b"INFO ") => Heard::Chatter,
        line => Heard::Refusal(format!("it said: {}", excerpt(line))),
    };
    Parsed::Unit(taken, heard)
}
