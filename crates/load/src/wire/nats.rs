//! The client protocol of NATS core, as <https://docs.nats.io/reference/reference-protocols/nats-protocol>
//! has it.

use super::inbound::Inbound;
use super::reassembly::{Parsed, TextFormat, TextProtocol, excerpt, short_number, split_line};

/// Own messages come back with `echo`; without `verbose` there is no `+OK` for each `PUB`.
const HELLO: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\
    \"protocol\":1,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"zillions\"}\r\nSUB z 1\r\n";

/// The bytes around a body.
pub(super) const TEXT: TextFormat = TextFormat {
    hello: HELLO,
    hello_of_sender: HELLO,
    send_opening: b"PUB z ",
    receive_opening: RECEIVE_OPENING,
};
const RECEIVE_OPENING: &[u8] = b"MSG z 1 ";

#[derive(Clone, Debug, Default)]
pub(crate) struct Nats;

impl TextProtocol for Nats {
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
        Some(b"\r\n") => Parsed::Unit(end + 2, Inbound::Message(&input[body..end])),
        Some(_) => Parsed::Unit(
            end + 2,
            Inbound::Error("the server sent a MSG whose body is longer than announced".to_owned()),
        ),
    }
}

#[cold]
fn parse_line(input: &[u8]) -> Parsed<'_> {
    let Some((line, taken)) = split_line(input) else { return Parsed::Line };
    let inbound = match line {
        b"PING" => Inbound::Ping(b"PONG\r\n"),
        b"PONG" | b"+OK" => Inbound::Ignored,
        line if line.starts_with(b"INFO ") => Inbound::Ignored,
        line => Inbound::Error(format!("the server said: {}", excerpt(line))),
    };
    Parsed::Unit(taken, inbound)
}
