//! A readiness loop: one thread, which waits in one place only.
//!
//! The idea: `Poll::poll` reports which sockets have become readable or writable, and
//! the program then does what it can without blocking. mio is edge-triggered, so the
//! program keeps a socket's readiness until an operation returns `WouldBlock`.
//!
//! How a message flows. In each round the loop reads once from each readable client.
//! It splits complete frames off the start of the bytes (`first_frame`) and appends
//! each to every client's backlog, including the sender's; the order of these appends
//! is the order of the messages. Then it writes each writable client's backlog, many
//! messages with one system call (`write_backlog`).
//!
//! There is one read per client and round, so a client that floods the server cannot
//! starve the others. A backlog is bounded: a client that reads too slowly misses the
//! messages that do not fit.
//!
//! Shortcut: a round visits every client, even if few are ready. In a chat most rounds
//! write to every client anyway.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, mem};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use rustix::net::sockopt::set_tcp_quickack;

/// Bytes queued for one client. A message that does not fit is dropped for it.
const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from one client before the next one has its turn.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Listen backlog; mio's own 128 is too small for a burst of connections.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const LISTENER: Token = Token(0);

struct Server {
    listener: TcpListener,
    acceptable: bool,
    accept_failing: bool,
    clients: BTreeMap<Token, Client>,
    /// Tokens are never reused, so that a late event cannot reach a new client.
    token_last: Token,
}

struct Client {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The start of an incomplete frame.
    received: Vec<u8>,
    /// Complete frames; the first may be partly written.
    backlog: Vec<u8>,
    /// It sends no more, and only its backlog is still sent to it.
    leaving: bool,
}

fn main() -> ExitCode {
    let Err(error) = serve();
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

fn serve() -> Result<Infallible, String> {
    let mut arguments = env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let mut poll = Poll::new().map_err(|error| format!("cannot start: {error}"))?;
    let (listener, address) = listen(&address, poll.registry())
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;

    let mut server = Server {
        listener,
        acceptable: true,
        accept_failing: false,
        clients: BTreeMap::new(),
        token_last: LISTENER,
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        match poll.poll(&mut events, server.wait_at_most()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.map_err(|error| format!("cannot wait for events: {error}"))?,
        }
        events.iter().for_each(|event| server.note(event));
        server.accept_clients(poll.registry());
        server.read_clients(&mut buffer);
        server.write_clients();
    }
}

fn listen(address: &str, registry: &Registry) -> io::Result<(TcpListener, SocketAddr)> {
    let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, LISTEN_BACKLOG)?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

impl Server {
    /// Zero if a client is still readable, otherwise until the next event.
    fn wait_at_most(&self) -> Option<Duration> {
        if self.clients.values().any(|client| client.readable) {
            return Some(Duration::ZERO);
        }
        self.acceptable.then_some(ACCEPT_PAUSE)
    }

    fn note(&mut self, event: &Event) {
        if event.token() == LISTENER {
            self.acceptable = true;
        } else if let Some(client) = self.clients.get_mut(&event.token()) {
            client.readable |= event.is_readable() || event.is_error();
            client.writable |= event.is_writable() || event.is_error();
        }
    }

    fn accept_clients(&mut self, registry: &Registry) {
        while self.acceptable {
            match self.accept_client(registry) {
                Ok(()) => self.accept_failing = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (self.acceptable, self.accept_failing) = (false, false);
                }
                Err(error) => {
                    // Descriptors have probably run out. Keep serving the connected
                    // clients; the listener stays acceptable and is tried again.
                    if !mem::replace(&mut self.accept_failing, true) {
                        let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                    }
                    return;
                }
            }
        }
    }

    fn accept_client(&mut self, registry: &Registry) -> io::Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        let _ = stream.set_nodelay(true);
        self.token_last.0 += 1;
        registry.register(&mut stream, self.token_last, Interest::READABLE | Interest::WRITABLE)?;
        self.clients.insert(self.token_last, Client::new(stream));
        Ok(())
    }

    fn read_clients(&mut self, buffer: &mut [u8]) {
        let readable = self.clients.iter().filter(|(_, client)| client.readable);
        for token in readable.map(|(&token, _)| token).collect::<Vec<_>>() {
            let client = self.clients.get_mut(&token).expect("nobody is removed in between");
            let received = client.read_once(buffer);
            let mut rest = received.as_slice();
            while let Some(frame) = first_frame(rest) {
                self.clients.values_mut().for_each(|client| client.enqueue(frame));
                rest = &rest[frame.len()..];
            }
            let client = self.clients.get_mut(&token).expect("as above");
            client.received = rest.to_vec();
            if client.readable && !client.received.is_empty() {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                let _ = set_tcp_quickack(&client.stream, true);
            }
        }
    }

    fn write_clients(&mut self) {
        self.clients.retain(|_, client| {
            client.write_backlog();
            !(client.leaving && client.backlog.is_empty())
        });
    }
}

impl Client {
    fn new(stream: TcpStream) -> Client {
        let (received, backlog) = (Vec::new(), Vec::new());
        Client { stream, readable: true, writable: true, received, backlog, leaving: false }
    }

    /// Returns the bytes received since the last complete frame.
    fn read_once(&mut self, buffer: &mut [u8]) -> Vec<u8> {
        let mut received = mem::take(&mut self.received);
        match self.stream.read(buffer) {
            Ok(0) => (self.readable, self.leaving) = (false, true),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(_) => self.forsake(),
        }
        received
    }

    fn enqueue(&mut self, frame: &[u8]) {
        if self.backlog.len() + frame.len() > BACKLOG_BYTES_MAX {
            self.write_backlog();
        }
        if !self.leaving && self.backlog.len() + frame.len() <= BACKLOG_BYTES_MAX {
            self.backlog.extend_from_slice(frame);
        }
    }

    fn write_backlog(&mut self) {
        while self.writable && !self.backlog.is_empty() {
            match self.stream.write(&self.backlog) {
                Ok(length) => drop(self.backlog.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(_) => self.forsake(),
            }
        }
    }

    /// The connection is broken: discards everything queued for it.
    fn forsake(&mut self) {
        (self.readable, self.writable, self.leaving) = (false, false, true);
        self.backlog.clear();
    }
}

/// The first frame of `bytes`, header included, if it is complete.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let body = usize::from(*bytes.first()?);
    bytes.get(..1 + body)
}
