//! Faults of frames that arrive in pieces, or several at once: FRAME-4.

use std::collections::HashMap;
use std::io;
use std::iter::successors;
use std::time::{Duration, Instant};

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "single-read-per-body",
        "FRAME-4",
        "takes what one read returns for the whole body, and the next byte for a header",
        || Box::new(SingleReadPerBody),
    )
    .by_timeout(),
    Fault::always(
        "one-frame-per-read",
        "FRAME-4",
        "discards what a read returns after its first whole frame",
        || Box::new(OneFramePerRead),
    )
    .by_timeout(),
    Fault::always(
        "rest-waits-for-next-read",
        "FRAME-4",
        "handles one of several frames that arrive together, and the rest when more arrives",
        || Box::new(RestWaitsForNextRead { frames_max: 1 }),
    )
    .by_timeout(),
    Fault::always(
        "frames-per-read-256",
        "FRAME-4",
        "handles 256 of the frames that arrive together, and the rest when more arrives",
        || Box::new(RestWaitsForNextRead { frames_max: 256 }),
    )
    .by_timeout(),
    Fault::always(
        "edge-triggered-reads-once",
        "FRAME-4",
        "reads 4096 bytes when something arrives, and the rest when more arrives",
        || Box::new(EdgeTriggered),
    )
    .by_timeout(),
    Fault::always(
        "full-buffer-waits",
        "FRAME-4",
        "handles a read that fills its buffer of 1024 bytes only when more arrives",
        || Box::new(FullBufferWaits { full: false }),
    )
    .by_timeout(),
    Fault::always(
        "stale-bytes-at-buffer-end",
        "FRAME-4",
        "overwrites a partial body at the end of a full read buffer with the start of the buffer",
        || StaleBytesAtBufferEnd::make(usize::MAX),
    ),
    Fault::always(
        "stale-bytes-at-4096",
        "FRAME-4",
        "overwrites a partial body at the end of a full read buffer of 4096 bytes with the start of the buffer",
        || StaleBytesAtBufferEnd::make(4096),
    ),
    Fault::always(
        "stale-bytes-at-65536",
        "FRAME-4",
        "overwrites a partial body at the end of a full read buffer of 65,536 bytes with the start of the buffer",
        || StaleBytesAtBufferEnd::make(65_536),
    ),
    Fault::always(
        "parse-buffer-shared",
        "FRAME-4",
        "shares one buffer for partial frames among all clients",
        || Box::new(ParseBufferShared::default()),
    )
    .by_timeout(),
    Fault::always(
        "mid-frame-timeout",
        "FRAME-4",
        "disconnects a client that pauses inside a frame for a second",
        || Box::new(MidFrameTimeout::default()),
    )
    .by_timeout(),
];

/// How many bytes it reads at a time.
const EDGE_READ_BYTES: usize = 4096;

struct EdgeTriggered;

impl Deviation for EdgeTriggered {
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        state.edge_triggered = true;
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
        // It also waited for the end.
        let finished = end == End::Finished;
        Ok(if finished { correct::decode(&mut client.inbound) } else { Vec::new() })
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

/// How many bytes may wait for the next read before all are decoded.
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
    /// With a buffer of this many bytes, or the server's own for `usize::MAX`.
    fn make(bytes: usize) -> Box<dyn Deviation> {
        let own = if bytes == usize::MAX { Vec::new() } else { vec![0; bytes] };
        Box::new(Self { own, head: Vec::new() })
    }

    /// Reads into its own buffer; what exceeds the server's goes where the server
    /// would put it next.
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.kept_bytes.remove(&client.id);
    }
}

/// How long a frame may take to arrive, and how often that is checked.
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

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.begun.retain(|id, begun| {
            let client = state.clients.get_mut(id);
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.begun.remove(&client.id);
    }

    fn wait_max(&self) -> Option<Duration> {
        (!self.begun.is_empty()).then_some(LOOK_EVERY)
    }
}
