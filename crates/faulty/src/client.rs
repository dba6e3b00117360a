//! One client: its socket, the bytes that came in, the messages to go out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use socket2::SockRef;

/// Names a connection. Given in the order of accepting, never used twice.
pub(crate) type ClientId = u64;

/// The longest body that a header byte can announce.
pub(crate) const BODY_BYTES_MAX: usize = 255;

/// How many frames one `writev` takes at most.
const FRAMES_PER_WRITE_MAX: usize = 64;

/// One sequenced message, as the frame that goes out.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) sender: ClientId,
    /// Place in the order of sequencing, counted from 0.
    pub(crate) sequence: u64,
    /// Header and body. Correct code never makes one that disagree.
    pub(crate) frame: Rc<[u8]>,
}

impl Message {
    /// A message with `body`; what exceeds [`BODY_BYTES_MAX`] is left out.
    pub(crate) fn new(sender: ClientId, sequence: u64, body: &[u8]) -> Self {
        let body = &body[..body.len().min(BODY_BYTES_MAX)];
        let frame = std::iter::once(body.len() as u8).chain(body.iter().copied()).collect();
        Self { sender, sequence, frame }
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.frame[1..]
    }

    /// The same message with other bytes on the wire: for faults.
    pub(crate) fn with_frame(&self, bytes: &[u8]) -> Self {
        Self { frame: bytes.into(), ..self.clone() }
    }
}

/// Why a client is about to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It closed its sending side.
    Finished,
    /// Its connection was reset.
    Reset,
    /// The server wants it gone.
    Removed,
}

/// Where a client is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It may send and receive.
    Open,
    /// It closed its sending side; what is queued for it is still written.
    Draining,
    /// Nothing more is read or written; it goes at the end of the turn.
    Gone(End),
}

/// The messages that wait to be written to one client.
#[derive(Default)]
pub(crate) struct Outbound {
    pub(crate) queue: VecDeque<Message>,
    /// How many bytes of the first message have been written already.
    pub(crate) written: usize,
    /// The socket took no more; wait until it is writable.
    pub(crate) blocked: bool,
}

impl Outbound {
    /// Takes `bytes` that were written off the queue. Returns how many
    /// messages that finished.
    pub(crate) fn advance(&mut self, bytes: usize) -> usize {
        let mut finished = 0;
        self.written += bytes;
        while let Some(first) = self.queue.front()
            && self.written >= first.frame.len()
        {
            self.written -= first.frame.len();
            self.queue.pop_front();
            finished += 1;
        }
        finished
    }

    /// How many bytes of the first message have not been written yet.
    pub(crate) fn rest_bytes(&self) -> usize {
        self.queue.front().map_or(0, |first| first.frame.len() - self.written)
    }

    /// Drops the oldest message that no byte was written of.
    pub(crate) fn drop_oldest(&mut self) {
        self.queue.remove(usize::from(self.written > 0));
    }
}

/// How one write went.
pub(crate) struct Written {
    /// Bytes that were offered to the socket.
    pub(crate) offered: usize,
    /// Bytes that it took.
    pub(crate) taken: usize,
}

/// One connection.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) stream: TcpStream,
    /// Received, not decoded: less than one frame between turns.
    pub(crate) inbound: Vec<u8>,
    pub(crate) outbound: Outbound,
    pub(crate) state: State,
}

impl Client {
    pub(crate) fn new(id: ClientId, stream: TcpStream) -> Self {
        let outbound = Outbound::default();
        Self { id, stream, inbound: Vec::new(), outbound, state: State::Open }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone(_))
    }

    /// Ends this client at the end of the turn, without what is queued.
    pub(crate) fn remove(&mut self) {
        if !self.is_gone() {
            self.state = State::Gone(End::Removed);
        }
    }

    /// Reads once. 0 is the end of the stream.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }

    /// Acknowledges at once what has been received. The kernel would wait for something to send
    /// with it; it must be told each time, as it goes back to that by itself.
    pub(crate) fn acknowledge(&self) {
        // A connection that is gone needs no acknowledgement.
        let _ = SockRef::from(&self.stream).set_tcp_quickack(true);
    }

    /// Offers the queue to the socket once, at most `bytes_max` bytes of it,
    /// and takes nothing off it.
    pub(crate) fn write(&self, bytes_max: usize) -> io::Result<Written> {
        let mut slices = Vec::with_capacity(FRAMES_PER_WRITE_MAX);
        let mut offered = 0;
        let mut skip = self.outbound.written;
        for message in self.outbound.queue.iter().take(FRAMES_PER_WRITE_MAX) {
            let rest = &message.frame[skip..];
            let slice = &rest[..rest.len().min(bytes_max - offered)];
            slices.push(IoSlice::new(slice));
            offered += slice.len();
            skip = 0;
            if offered == bytes_max {
                break;
            }
        }
        let taken = (&self.stream).write_vectored(&slices)?;
        Ok(Written { offered, taken })
    }

    /// The same, again after an interruption. `None` if the socket takes nothing now:
    /// then the client is blocked.
    pub(crate) fn write_or_block(&mut self, bytes_max: usize) -> io::Result<Option<Written>> {
        loop {
            match self.write(bytes_max) {
                Ok(written) => return Ok(Some(written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.outbound.blocked = true;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
