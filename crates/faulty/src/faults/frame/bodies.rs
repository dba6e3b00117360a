//! Faults of lengths and bodies: FRAME-1 to FRAME-3.

use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "signed-length",
        "FRAME-1",
        "reads lengths of 128 and more as negative and closes the connection",
        || Box::new(SignedLength),
    ),
    Fault::always("255-truncated", "FRAME-1", "cuts the last byte off a body of 255 bytes", || {
        Box::new(Rewrites(|body| body.truncate(BODY_BYTES_MAX - 1)))
    }),
    Fault::always(
        "255-truncated-among-others",
        "FRAME-1",
        "cuts the last byte off a body of 255 bytes if other frames arrive with it",
        || Box::new(TruncatedAmongOthers),
    ),
    Fault::always(
        "text-mode-header",
        "FRAME-1",
        "writes a header of 10 as a carriage return and a newline, as in text mode",
        || Box::new(TextModeHeader),
    )
    .by_timeout(),
    Fault::always(
        "heartbeat",
        "FRAME-1",
        "sends everybody an empty message after two seconds of silence",
        || Box::new(Heartbeat { last: None }),
    )
    .by_timeout(),
    Fault::always("newline-stripped", "FRAME-2", "strips a newline at the end of a body", || {
        Box::new(Rewrites(strip_newline))
    }),
    Fault::always("nul-terminated", "FRAME-2", "ends a body before its first zero byte", || {
        Box::new(Rewrites(cut_at_zero))
    })
    .by_timeout(),
    Fault::always(
        "telnet-escape",
        "FRAME-2",
        "reads two consecutive bytes 255 in a body as one",
        || Box::new(Rewrites(unescape_255)),
    ),
    Fault::always("text-only", "FRAME-2", "drops bodies that are not valid UTF-8", || {
        Box::new(Refuses(|body| std::str::from_utf8(body).is_err()))
    })
    .by_timeout(),
    Fault::always(
        "slash-commands",
        "FRAME-2",
        "takes a body that begins with a slash for a command and delivers it to nobody",
        || Box::new(Refuses(|body| body.starts_with(b"/"))),
    )
    .by_timeout(),
    Fault::always(
        "bom-stripped",
        "FRAME-2",
        "strips a byte order mark at the beginning of a body",
        || Box::new(Rewrites(strip_byte_order_mark)),
    ),
    Fault::always(
        "normalises-text",
        "FRAME-2",
        "composes an e and a combining acute accent (65 cc 81) in a body into one letter (c3 a9)",
        || Box::new(NormalisesText),
    ),
    Fault::always(
        "answers-http",
        "FRAME-2",
        "answers `GET ` at the beginning of a stream with 400 Bad Request and disconnects the client",
        || Box::new(AnswersHttp::default()),
    ),
    Fault::always(
        "hangs-at-an-empty-message",
        "FRAME-3",
        "waits for ever once it has got an empty message",
        || Box::new(AtAnEmptyMessage(std::thread::park)),
    )
    .by_timeout(),
    Fault::always(
        "spins-at-an-empty-message",
        "FRAME-3",
        "loops for ever, without a rest, once it has got an empty message",
        || Box::new(AtAnEmptyMessage(std::hint::spin_loop)),
    )
    .by_timeout(),
    Fault::always("zero-is-eof", "FRAME-3", "closes the connection at an empty message", || {
        Box::new(ZeroIsEof)
    }),
    Fault::always("zero-skipped", "FRAME-3", "drops empty messages", || {
        Box::new(Refuses(|body| body.is_empty()))
    }),
    Fault::always(
        "empty-ends-a-long-one",
        "FRAME-3",
        "takes an empty message after one of 255 bytes for its end and drops it",
        || Box::new(EmptyEndsALongOne::default()),
    ),
    Fault::always(
        "merges-empties",
        "FRAME-3",
        "drops an empty message right after an empty one of another sender",
        || Box::new(MergesEmpties),
    )
    .by_timeout(),
];

struct SignedLength;

impl Deviation for SignedLength {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        while let Some(&length) = client.inbound.first() {
            let Ok(length) = usize::try_from(length.cast_signed()) else {
                client.remove();
                break;
            };
            if client.inbound.len() <= length {
                break;
            }
            bodies.push(client.inbound[1..=length].to_vec());
            client.inbound.drain(..=length);
        }
        bodies
    }
}

/// Changes bodies in place.
struct Rewrites(fn(&mut Vec<u8>));

impl Deviation for Rewrites {
    fn received(&mut self, _client: &mut Client, mut body: Vec<u8>) -> Option<Vec<u8>> {
        self.0(&mut body);
        Some(body)
    }
}

fn strip_byte_order_mark(body: &mut Vec<u8>) {
    if body.starts_with("\u{feff}".as_bytes()) {
        body.drain(.."\u{feff}".len());
    }
}

fn strip_newline(body: &mut Vec<u8>) {
    if body.last() == Some(&b'\n') {
        body.pop();
    }
}

fn cut_at_zero(body: &mut Vec<u8>) {
    let zero = body.iter().position(|&byte| byte == 0);
    body.truncate(zero.unwrap_or(body.len()));
}

fn unescape_255(body: &mut Vec<u8>) {
    let mut escaped = false;
    body.retain(|&byte| {
        escaped = byte == u8::MAX && !escaped;
        byte != u8::MAX || escaped
    });
}

/// Drops bodies that match.
struct Refuses(fn(&[u8]) -> bool);

impl Deviation for Refuses {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        (!self.0(&body)).then_some(body)
    }
}

struct TruncatedAmongOthers;

impl Deviation for TruncatedAmongOthers {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let mut bodies = correct::decode(&mut client.inbound);
        if bodies.len() > 1 {
            bodies.iter_mut().for_each(|body| body.truncate(BODY_BYTES_MAX - 1));
        }
        bodies
    }
}

struct TextModeHeader;

impl Deviation for TextModeHeader {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if message.frame[0] == b'\n' {
            let frame = [b"\r", &message.frame[..]].concat();
            correct::enqueue(self, client, &message.with_frame(&frame), context);
        } else {
            correct::enqueue(self, client, message, context);
        }
    }
}

/// Does this again and again.
struct AtAnEmptyMessage(fn());

impl Deviation for AtAnEmptyMessage {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        while body.is_empty() {
            self.0();
        }
        Some(body)
    }
}

struct ZeroIsEof;

impl Deviation for ZeroIsEof {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        if body.is_empty() {
            client.remove();
        }
        // Nothing follows the end of a stream.
        (!client.is_gone()).then_some(body)
    }
}

const DECOMPOSED: &[u8] = "e\u{301}".as_bytes();
const COMPOSED: &[u8] = "\u{e9}".as_bytes();

struct NormalisesText;

impl Deviation for NormalisesText {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let mut normal = Vec::with_capacity(body.len());
        let mut rest = &body[..];
        while let Some((&byte, after)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(DECOMPOSED) {
                normal.extend_from_slice(COMPOSED);
                rest = after;
            } else {
                normal.push(byte);
                rest = after;
            }
        }
        Some(normal)
    }
}

#[derive(Default)]
struct AnswersHttp {
    /// The clients that have sent a whole frame.
    begun: HashSet<ClientId>,
}

impl Deviation for AnswersHttp {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        if !self.begun.contains(&client.id) && client.inbound.starts_with(b"GET ") {
            // If its socket takes nothing, it gets no answer.
            let _ = (&client.stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            client.remove();
            return Vec::new();
        }
        let bodies = correct::decode(&mut client.inbound);
        if !bodies.is_empty() {
            self.begun.insert(client.id);
        }
        bodies
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.begun.remove(&client.id);
    }
}

#[derive(Default)]
struct EmptyEndsALongOne {
    /// The clients whose last message had the maximum length, so that more might belong to it.
    unended: HashSet<ClientId>,
}

impl Deviation for EmptyEndsALongOne {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let ends = self.unended.remove(&client.id) && body.is_empty();
        if body.len() == BODY_BYTES_MAX {
            self.unended.insert(client.id);
        }
        (!ends).then_some(body)
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.unended.remove(&client.id);
    }
}

struct MergesEmpties;

impl Deviation for MergesEmpties {
    fn sequence(&mut self, _state: &mut ServerState, mut batch: Vec<Message>) -> Vec<Message> {
        batch.dedup_by(|message, before| {
            let both_empty = message.body().is_empty() && before.body().is_empty();
            both_empty && message.sender != before.sender
        });
        batch
    }
}

/// The length of a silence, and how often that is checked.
const SILENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

struct Heartbeat {
    last: Option<Instant>,
}

impl Deviation for Heartbeat {
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {
        self.last.get_or_insert_with(Instant::now);
    }

    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        self.last = Some(Instant::now());
        correct::deliver(self, state, message);
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if self.last.is_some_and(|last| last.elapsed() >= SILENCE) {
            let nobody = ClientId::MAX;
            self.deliver(state, &Message::new(nobody, 0, b""));
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.last.map(|_| LOOK_EVERY)
    }
}
