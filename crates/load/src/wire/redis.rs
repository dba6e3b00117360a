//! Redis pub/sub in RESP3, as <https://redis.io/docs/latest/develop/reference/protocol-spec/> has it.
//!
//! In RESP2 a connection that is subscribed may not publish, so senders would need a second
//! connection each; in RESP3 it may, as in the other protocols. Senders turn the replies to their
//! commands off, which spares Redis an answer to every `PUBLISH`: NATS gives none either.

use super::inbound::Inbound;
use super::reassembly::{Parsed, TextFormat, TextProtocol, excerpt, short_number, split_line};

const HELLO: &[u8] = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nz\r\n";
const HELLO_OF_SENDER: &[u8] =
    b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nz\r\n\
    *3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n";

/// The bytes around a body.
pub(super) const TEXT: TextFormat = TextFormat {
    hello: HELLO,
    hello_of_sender: HELLO_OF_SENDER,
    send_opening: b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nz\r\n$",
    receive_opening: RECEIVE_OPENING,
};
const RECEIVE_OPENING: &[u8] = b">3\r\n$7\r\nmessage\r\n$1\r\nz\r\n$";

#[derive(Clone, Debug, Default)]
pub(crate) struct Redis;

impl TextProtocol for Redis {
    #[inline]
    fn parse(input: &[u8]) -> Parsed<'_> {
        if let Some(rest) = input.strip_prefix(RECEIVE_OPENING)
            && let Some((body_bytes, taken)) = short_number(rest)
        {
            let body = RECEIVE_OPENING.len() + taken;
            let end = body + body_bytes;
            return match input.get(end..end + 2) {
                None => Parsed::Bytes(end + 2),
                Some(b"\r\n") => Parsed::Unit(end + 2, Inbound::Message(&input[body..end])),
                Some(_) => {
                    error(input, "the server sent a message longer than announced".to_owned())
                }
            };
        }
        parse_value(input)
    }
}

/// Passes over one value, with all that it holds; only errors mean something.
#[cold]
fn parse_value(input: &[u8]) -> Parsed<'_> {
    let mut at = 0;
    // Values that are left to parse, this one included.
    let mut values: usize = 1;
    while values > 0 {
        values -= 1;
        let Some((line, taken)) = split_line(&input[at..]) else { return Parsed::Line };
        let Some((&kind, text)) = line.split_first() else {
            return error(input, "the server sent an empty line".to_owned());
        };
        at += taken;
        match kind {
            b'-' => return error(input, format!("the server said: {}", excerpt(text))),
            b'+' | b':' | b'_' | b'#' | b',' | b'(' => {}
            b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' => {
                let Some(count) = count(text) else {
                    return error(input, format!("the server sent '{}'", excerpt(line)));
                };
                match kind {
                    b'%' => values = values.saturating_add(2 * count),
                    b'*' | b'~' | b'>' => values = values.saturating_add(count),
                    // Null: no bytes follow.
                    _ if text == b"-1" => {}
                    _ => at += count + 2,
                }
                if at > input.len() {
                    return Parsed::Bytes(at);
                }
            }
            _ => return error(input, format!("the server sent '{}'", excerpt(line))),
        }
    }
    Parsed::Unit(at, Inbound::Ignored)
}

/// The number in the line that opens a value; 0 for the null of RESP2.
fn count(text: &[u8]) -> Option<usize> {
    const COUNT_MAX: usize = 1 << 20;
    if text == b"-1" {
        return Some(0);
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&count| count <= COUNT_MAX)
}

/// After this the connection is of no use, so everything received counts as one unit.
fn error(input: &[u8], reason: String) -> Parsed<'_> {
    Parsed::Unit(input.len(), Inbound::Error(reason))
}
