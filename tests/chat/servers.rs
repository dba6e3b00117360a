//! The other end: a real `zillions-server`, and one that the test plays.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zillions_harness::{Launch, PortLease, Server, StartOptions};
use zillions_protocol::{Decoder, encode};

use crate::terminal::PATIENCE;

/// A running `zillions-server`.
pub(crate) struct Running {
    server: Server,
    _lease: PortLease,
}

impl Running {
    pub(crate) fn start() -> Self {
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        let program = OsString::from(env!("CARGO_BIN_EXE_zillions-server"));
        let launch = Launch {
            arguments: vec!["--default-signal=INT,QUIT,HUP".into(), program],
            ..Launch::new("env")
        };
        let start = StartOptions { ready_seconds_max: 60.0, ..StartOptions::default() };
        let server = Server::start(&launch, &lease.address().to_string(), &start);
        Self { server: server.expect("it starts"), _lease: lease }
    }

    pub(crate) fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// A plain client, which is certainly registered: its own message has come back.
    pub(crate) fn join(&self) -> Peer {
        let mut peer = Peer::new(TcpStream::connect(self.server.address()).expect("a connection"));
        peer.say(b"bob: here");
        assert_eq!(peer.hear(), Some(b"bob: here".to_vec()));
        peer
    }
}

/// A server that the test plays.
pub(crate) struct Played {
    listener: TcpListener,
}

impl Played {
    pub(crate) fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    pub(crate) fn accept_stream(&self) -> TcpStream {
        let mut files = [PollFd::new(&self.listener, PollFlags::IN)];
        let timeout = Timespec::try_from(PATIENCE).expect("a time");
        let ready = poll(&mut files, Some(&timeout)).expect("waiting for a client");
        assert_eq!(ready, 1, "no client came");
        let stream = self.listener.accept().expect("a client").0;
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        stream
    }

    pub(crate) fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.accept_stream())
    }
}

/// One end of a connection that carries frames.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    decoder: Decoder,
}

impl Peer<TcpStream> {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        Self::on(stream)
    }
}

impl<S: Read + Write> Peer<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self { stream, decoder: Decoder::new() }
    }

    pub(crate) fn say(&mut self, body: &[u8]) {
        self.stream.write_all(&frames(&[body])).expect("the client is there");
        self.stream.flush().expect("the client is there");
    }

    /// The next message, or `None` at the end. Reads not a byte further.
    pub(crate) fn hear(&mut self) -> Option<Vec<u8>> {
        let mut byte = [0];
        loop {
            if self.stream.read(&mut byte).expect("the client is there") == 0 {
                assert!(self.decoder.is_at_boundary(), "the stream ends inside a frame");
                return None;
            }
            if let Some(body) = self.decoder.decode(&mut &byte[..]) {
                return Some(body.to_vec());
            }
        }
    }
}

pub(crate) fn frames(bodies: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for body in bodies {
        encode(body, &mut frames).expect("it fits");
    }
    frames
}
