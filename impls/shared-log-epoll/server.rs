//! One log, many cursors: a message is stored once, however many clients there are.
//!
//! The idea: every client receives the same bytes, so the server stores them once.
//! `Log` holds framed bytes; a client is a position in it, its cursor. Delivery sends
//! everything between the cursor and the head, many messages with one system call.
//! There is no queue per client and no copy per client.
//!
//! How a message flows: `read` appends a client's complete frames to the log (that is
//! the order of the messages), and `write` advances the cursors. epoll is used
//! edge-triggered: the fields `readable` and `writable` keep a socket's readiness until
//! a call would block.
//!
//! A slow reader delays nobody: when its cursor is overrun, it continues at a later
//! frame (drop-oldest). A partly sent frame is completed from `stash`.
//!
//! Shortcuts: a full log copies its newer half to the front, where the full server
//! (`../shared-log`) uses a ring; a round visits every client.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_tcp_nodelay, set_tcp_quickack};
use rustix::net::{RecvFlags, SendFlags, listen, recv, send};

/// The log's memory, shared by all clients: it bounds how far any may lag.
const LOG_BYTES_MAX: usize = 4 << 20;
/// Bytes read from one client at a time.
const READ_BYTES_MAX: usize = 16 << 10;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const LISTENER: u64 = 0;

/// The bytes from stream position `start` on; both ends are frame boundaries.
struct Log {
    start: u64,
    bytes: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The start of an incomplete frame.
    partial: Vec<u8>,
    /// The unsent rest of a partly sent frame.
    stash: Vec<u8>,
    /// The position of its next frame in the log.
    cursor: u64,
    /// It has closed its sending side: it is removed once it has been sent everything up to here.
    until: Option<u64>,
}

fn main() -> ExitCode {
    let error = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [address] => {
            serve(address).err().map(|error| format!("cannot serve on {address}: {error}"))
        }
        _ => Some("expected one argument, HOST:PORT".into()),
    };
    let _ = writeln!(io::stderr(), "server: error: {}", error.unwrap_or_default());
    ExitCode::FAILURE
}

fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    listen(&listener, 1024)?; // std's own 128 is too small for a burst.
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), edges)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    io::stdout().flush()?;
    let mut log = Log { start: 0, bytes: Vec::with_capacity(LOG_BYTES_MAX) };
    let mut clients = BTreeMap::new();
    let (mut key_last, mut acceptable) = (LISTENER, true);
    let mut buffer = vec![0; READ_BYTES_MAX];
    let mut events = Vec::with_capacity(1024);
    loop {
        let busy = clients.values().any(|client: &Client| client.readable);
        let wait = if busy { Some(&AT_ONCE) } else { acceptable.then_some(&ACCEPT_PAUSE) };
        retry_on_intr(|| epoll::wait(&epoll, spare_capacity(&mut events), wait))?;
        for event in events.drain(..) {
            let (data, flags) = (event.data, event.flags);
            acceptable |= data.u64() == LISTENER;
            if let Some(client) = clients.get_mut(&data.u64()) {
                // Anything but "writable" is worth a read: bytes, an end, or an error.
                client.readable |= flags != epoll::EventFlags::OUT;
                client.writable |= flags.contains(epoll::EventFlags::OUT);
            }
        }
        while acceptable {
            match listener.accept() {
                Ok((stream, _)) => {
                    key_last += 1;
                    let flags = edges | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP;
                    epoll::add(&epoll, &stream, epoll::EventData::new_u64(key_last), flags)?;
                    clients.insert(key_last, Client::new(stream, log.head())?);
                }
                Err(error) => {
                    acceptable = error.kind() != io::ErrorKind::WouldBlock;
                    break; // If descriptors have run out, retried after a pause.
                }
            }
        }
        let readable = clients.values_mut().filter(|client| client.readable);
        readable.for_each(|client| client.read(&mut log, &mut buffer));
        clients.retain(|_, client| client.write(&log));
        log.trim();
    }
}

impl Log {
    fn head(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `position` on, which the log must still hold.
    fn from(&self, position: u64) -> &[u8] {
        &self.bytes[(position - self.start) as usize..]
    }

    /// Discards the older half when there might be no room for another round of reads.
    fn trim(&mut self) {
        if self.bytes.len() > LOG_BYTES_MAX / 2 {
            let half = whole_frames(&self.bytes[..self.bytes.len() / 2]);
            self.bytes.drain(..half);
            self.start += half as u64;
        }
    }
}

impl Client {
    fn new(stream: TcpStream, cursor: u64) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let _ = set_tcp_nodelay(&stream, true);
        let (partial, stash, until) = (Vec::new(), Vec::new(), None);
        Ok(Self { stream, readable: true, writable: true, partial, stash, cursor, until })
    }

    /// Reads once; complete frames go to the log.
    fn read(&mut self, log: &mut Log, buffer: &mut [u8]) {
        match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
            Ok((_, 0)) => (self.readable, self.until) = (false, Some(log.head())),
            Ok((_, length)) if self.until.is_none() => {
                self.partial.extend_from_slice(&buffer[..length]);
                let whole = whole_frames(&self.partial);
                log.bytes.extend(self.partial.drain(..whole));
                if !self.partial.is_empty() {
                    // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                    let _ = set_tcp_quickack(&self.stream, true);
                }
            }
            Err(Errno::AGAIN) => self.readable = false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => self.break_off(),
        }
    }

    /// Sends what is new, as far as the socket accepts it. Returns whether to keep the client.
    fn write(&mut self, log: &Log) -> bool {
        if self.cursor < log.start {
            self.cursor = log.start; // Overrun: the frames in between are dropped.
        }
        while self.writable && (!self.stash.is_empty() || self.cursor < log.head()) {
            let from_stash = !self.stash.is_empty();
            let bytes = if from_stash { &self.stash } else { log.from(self.cursor) };
            match send(&self.stream, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) if from_stash => drop(self.stash.drain(..sent)),
                Ok(sent) => {
                    // The unsent rest of a split frame goes to the stash.
                    let done = whole_frames(&bytes[..sent]);
                    let next = if done < sent { done + 1 + usize::from(bytes[done]) } else { done };
                    self.stash = bytes[sent..next].to_vec();
                    self.cursor += next as u64;
                }
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(_) => self.break_off(),
            }
        }
        self.until.is_none_or(|until| self.cursor < until || !self.stash.is_empty())
    }

    /// The connection is broken: discards everything queued for it.
    fn break_off(&mut self) {
        (self.readable, self.writable, self.until) = (false, false, Some(0));
        self.stash.clear();
    }
}

/// The length of the complete frames at the start of `bytes`.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while bytes.get(whole).is_some_and(|&length| whole + usize::from(length) < bytes.len()) {
        whole += 1 + usize::from(bytes[whole]);
    }
    whole
}
