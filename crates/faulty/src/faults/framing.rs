//! Faults of decoding: FRAME-1 to FRAME-4.

use std::collections::HashMap;
use std::io;
use std::iter::successors;
use std::time::{Duration, Instant};

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End, Message};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "signed-length",
        "FRAME-1",
        "lengths of 128 and over are read as negative and end the connection",
        || Box::new(SignedLength),
    ),
    Fault::always("255-truncated", "FRAME-1", "a body of 255 bytes loses its last byte", || {
        Box::new(Rewrites(|body| body.truncate(BODY_BYTES_MAX - 1)))
    }),
    Fault::always(
        "255-truncated-among-others",
        "FRAME-1",
        "a body of 255 bytes loses its last byte if other frames arrive with it",
        || Box::new(TruncatedAmongOthers),
    ),
    Fault::always(
        "text-mode-header",
        "FRAME-1",
        "a header of 10 is written as a carriage return and a newline, as text would be",
        || Box::new(TextModeHeader),
    )
    .by_omission(),
    Fault::always("newline-stripped", "FRAME-2", "a newline at a body's end is taken off", || {
        Box::new(Rewrites(strip_newline))
    }),
    Fault::always("nul-terminated", "FRAME-2", "a body ends before its first zero byte", || {
        Box::new(Rewrites(cut_at_zero))
    })
    .by_omission(),
    Fault::always(
        "telnet-escape",
        "FRAME-2",
        "two bytes 255 in a row in a body are read as one",
        || Box::new(Rewrites(unescape_255)),
    ),
    Fault::always("text-only", "FRAME-2", "a body that is not UTF-8 is dropped", || {
        Box::new(Refuses(|body| std::str::from_utf8(body).is_err()))
    })
    .by_omission(),
    Fault::always(
        "slash-commands",
        "FRAME-2",
        "a body that begins with a slash is taken for a command, and nobody receives it",
        || Box::new(Refuses(|body| body.starts_with(b"/"))),
    )
    .by_omission(),
    Fault::always(
        "bom-stripped",
        "FRAME-2",
        "a byte order mark at a body's beginning is taken off",
        || Box::new(Rewrites(strip_byte_order_mark)),
    ),
    Fault::always("zero-is-eof", "FRAME-3", "an empty message ends the connection", || {
        Box::new(ZeroIsEof)
    }),
    Fault::always("zero-skipped", "FRAME-3", "an empty message is dropped", || {
        Box::new(Refuses(|body| body.is_empty()))
    }),
    Fault::always(
        "single-read-per-body",
        "FRAME-4",
        "a body is what one read returns of it, and the next byte is a header",
        || Box::new(SingleReadPerBody),
    )
    .by_omission(),
    Fault::always(
        "one-frame-per-read",
        "FRAME-4",
        "what a read returns after its first whole frame is thrown away",
        || Box::new(OneFramePerRead),
    )
    .by_omission(),
    Fault::always(
        "rest-waits-for-next-read",
        "FRAME-4",
        "of several frames that arrive together all but the first wait for the next arrival",
        || Box::new(RestWaitsForNextRead { frames_max: 1 }),
    )
    .by_omission(),
    Fault::always(
        "frames-per-read-256",
        "FRAME-4",
        "of what arrives together it looks at 256 frames, and at the rest when more arrives",
        || Box::new(RestWaitsForNextRead { frames_max: 256 }),
    )
    .by_omission(),
    Fault::always(
        "edge-triggered-reads-once",
        "FRAME-4",
        "it reads 4096 bytes when something arrives, and the rest when more arrives",
        || Box::new(EdgeTriggered),
    )
    .by_omission(),
    Fault::always(
        "full-buffer-waits",
        "FRAME-4",
        "what fills its read buffer of 1024 bytes to the last byte is looked at only when more arrives",
        || Box::new(FullBufferWaits { full: false }),
    )
    .by_omission(),
    Fault::always(
        "stale-bytes-at-buffer-end",
        "FRAME-4",
        "the part of a body before the end of a full read buffer is overwritten by the buffer's start",
        || StaleBytesAtBufferEnd::make(usize::MAX),
    ),
    Fault::always(
        "stale-bytes-at-4096",
        "FRAME-4",
        "the same with a read buffer of 4096 bytes",
        || StaleBytesAtBufferEnd::make(4096),
    ),
    Fault::always(
        "stale-bytes-at-65536",
        "FRAME-4",
        "the same with a read buffer of 65,536 bytes",
        || StaleBytesAtBufferEnd::make(65_536),
    ),
    Fault::always(
        "parse-buffer-shared",
        "FRAME-4",
        "all clients share the buffer for incomplete frames",
        || Box::new(ParseBufferShared::default()),
    )
    .by_omission(),
    Fault::always(
        "mid-frame-timeout",
        "FRAME-4",
        "a client that pauses inside a frame for a second is disconnected",
        || Box::new(MidFrameTimeout::default()),
    )
    .by_omission(),
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

/// Drops certain bodies.
struct Refuses(fn(&[u8]) -> bool);

impl Deviation for Refuses {
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        (!self.0(&body)).then_some(body)
    }
}

/// How much it reads each time.
const EDGE_READ_BYTES: usize = 4096;

struct EdgeTriggered;

impl Deviation for EdgeTriggered {
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        room.edge_triggered = true;
        Ok(())
    }

    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        let length = buffer.len().min(EDGE_READ_BYTES);
        client.read(&mut buffer[..length])
    }
}

/// The size of its read buffer.
const SMALL_BUFFER_BYTES: usize = 1024;

struct FullBufferWaits {
    /// The last read filled the buffer, so it expects another one.
    full: bool,
}

impl Deviation for FullBufferWaits {
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        let length = buffer.len().min(SMALL_BUFFER_BYTES);
        let count = client.read(&mut buffer[..length])?;
        self.full = count == SMALL_BUFFER_BYTES;
        Ok(count)
    }

    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let waiting = if self.full { SMALL_BUFFER_BYTES } else { 0 };
        let last = client.inbound.split_off(client.inbound.len() - waiting);
        let bodies = correct::decode(&mut client.inbound);
        client.inbound.extend(last);
        bodies
    }

    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        // The end is what it waited for, too.
        let finished = end == End::Finished;
        Ok(if finished { correct::decode(&mut client.inbound) } else { Vec::new() })
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

struct ZeroIsEof;

impl Deviation for ZeroIsEof {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        if body.is_empty() {
            client.remove();
        }
        // What comes after the end of a stream is not there.
        (!client.is_gone()).then_some(body)
    }
}

struct SingleReadPerBody;

impl Deviation for SingleReadPerBody {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let mut bodies = correct::decode(&mut client.inbound);
        if client.inbound.len() > 1 {
            bodies.push(client.inbound[1..].to_vec());
            client.inbound.clear();
        }
        bodies
    }
}

struct OneFramePerRead;

impl Deviation for OneFramePerRead {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let mut bodies = correct::decode(&mut client.inbound);
        if !bodies.is_empty() {
            bodies.truncate(1);
            client.inbound.clear();
        }
        bodies
    }
}

/// How much may wait for the next read before all of it is decoded.
const WAITING_BYTES_MAX: usize = 64 * 1024;

struct RestWaitsForNextRead {
    /// How many frames do not wait.
    frames_max: usize,
}

impl Deviation for RestWaitsForNextRead {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let mut waiting = Vec::new();
        if client.inbound.len() <= WAITING_BYTES_MAX {
            let ends = |at: &usize| Some(at + 1 + usize::from(*client.inbound.get(*at)?));
            let end = successors(Some(0), ends).nth(self.frames_max).unwrap_or(usize::MAX);
            waiting = client.inbound.split_off(end.min(client.inbound.len()));
        }
        let bodies = correct::decode(&mut client.inbound);
        client.inbound.extend(waiting);
        bodies
    }
}

struct StaleBytesAtBufferEnd {
    /// Its read buffer, instead of the server's.
    own: Vec<u8>,
    /// The start of the last read, if it filled the buffer.
    head: Vec<u8>,
}

impl StaleBytesAtBufferEnd {
    /// With a buffer of so many bytes, unless the server's is smaller by setting.
    fn make(bytes: usize) -> Box<dyn Deviation> {
        let own = if bytes == usize::MAX { Vec::new() } else { vec![0; bytes] };
        Box::new(Self { own, head: Vec::new() })
    }

    /// Reads into the buffer of its own; what exceeds the server's goes where
    /// the server puts it next.
    fn read_own(&mut self, client: &mut Client, buffer: &mut [u8]) -> io::Result<usize> {
        let count = client.read(&mut self.own)?;
        let ahead = count.saturating_sub(buffer.len());
        client.inbound.extend_from_slice(&self.own[..ahead]);
        buffer[..count - ahead].copy_from_slice(&self.own[ahead..count]);
        self.head.clear();
        if count == self.own.len() {
            self.head.extend_from_slice(&self.own[..1 + BODY_BYTES_MAX]);
        }
        Ok(count - ahead)
    }
}

impl Deviation for StaleBytesAtBufferEnd {
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        if !self.own.is_empty() {
            return self.read_own(client, buffer);
        }
        let count = client.read(buffer)?;
        self.head.clear();
        if count == buffer.len() {
            self.head.extend_from_slice(&buffer[..count.min(1 + BODY_BYTES_MAX)]);
        }
        Ok(count)
    }

    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let bodies = correct::decode(&mut client.inbound);
        for (byte, stale) in client.inbound.iter_mut().zip(&self.head).skip(1) {
            *byte = *stale;
        }
        bodies
    }
}

#[derive(Default)]
struct ParseBufferShared {
    buffer: Vec<u8>,
    /// How many bytes of an incomplete frame each client has in it.
    kept_bytes: HashMap<ClientId, usize>,
}

impl Deviation for ParseBufferShared {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let kept_bytes = self.kept_bytes.remove(&client.id).unwrap_or(0);
        client.inbound[..kept_bytes].copy_from_slice(&self.buffer[..kept_bytes]);
        let bodies = correct::decode(&mut client.inbound);
        let rest = &client.inbound;
        if !rest.is_empty() {
            self.kept_bytes.insert(client.id, rest.len());
            self.buffer.resize(self.buffer.len().max(rest.len()), 0);
            self.buffer[..rest.len()].copy_from_slice(rest);
        }
        bodies
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.kept_bytes.remove(&client.id);
    }
}

/// How long a frame may take to arrive, and how often that is looked at.
const FRAME_TIME_MAX: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Default)]
struct MidFrameTimeout {
    begun: HashMap<ClientId, Instant>,
}

impl Deviation for MidFrameTimeout {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let bodies = correct::decode(&mut client.inbound);
        if client.inbound.is_empty() {
            self.begun.remove(&client.id);
        } else {
            self.begun.insert(client.id, Instant::now());
        }
        bodies
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        self.begun.retain(|id, begun| {
            let client = room.clients.get_mut(id);
            let late = begun.elapsed() >= FRAME_TIME_MAX;
            if let Some(client) = client
                && late
            {
                client.remove();
            }
            !late
        });
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.begun.remove(&client.id);
    }

    fn wait_max(&self) -> Option<Duration> {
        (!self.begun.is_empty()).then_some(LOOK_EVERY)
    }
}
