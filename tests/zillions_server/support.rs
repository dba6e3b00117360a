//! Running servers, and clients.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::process::Child;
use std::time::Duration;

use zillions_harness::{Launch, PortLease, Server, StartOptions};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_zillions-server");

/// No answer for so long is a failure; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and its address.
pub(crate) struct Running {
    pub(crate) server: Server,
    _lease: PortLease,
}

impl Running {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_with(options, None)
    }

    /// With these variables, each NAME=VALUE.
    pub(crate) fn start_in(variables: &[&str], options: &[&str]) -> Self {
        Self::launch(variables, options, None)
    }

    pub(crate) fn start_with(options: &[&str], descriptor_limit: Option<u64>) -> Self {
        Self::launch(&[], options, descriptor_limit)
    }

    fn launch(variables: &[&str], options: &[&str], descriptor_limit: Option<u64>) -> Self {
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        let launch = Launch {
            // A background job's ignored signals would be inherited.
            arguments: ["--default-signal=INT,QUIT,HUP"]
                .iter()
                .chain(variables)
                .chain(&[PROGRAM])
                .chain(options)
                .map(OsString::from)
                .collect(),
            descriptor_limit,
            ..Launch::new("env")
        };
        // No connection but the tests' own: they count clients and descriptors, and the server may
        // see the end of a probe late.
        let start = StartOptions {
            ready_seconds_max: 60.0,
            probe_connection: false,
            ..StartOptions::default()
        };
        let address = lease.address().to_string();
        let server = Server::start(&launch, &address, &start).expect("it starts");
        Self { server, _lease: lease }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// A client that is certainly registered: its own message has come back.
    pub(crate) fn join(&self) -> TcpStream {
        let mut stream = self.connect();
        self.hello(&mut stream);
        stream
    }

    /// Sends a message of its own and reads until it comes back.
    pub(crate) fn hello(&self, stream: &mut TcpStream) -> Vec<Vec<u8>> {
        let own = stream.local_addr().expect("an address").to_string();
        let hello = format!("hello from {own} {}", unique());
        send(stream, hello.as_bytes());
        read_until(stream, hello.as_bytes())
    }

    pub(crate) fn descriptors(&self) -> u64 {
        self.server.sample().expect("a sample").descriptors
    }
}

/// A process that is ended when the test is over, however it ends.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Of no effect on one that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::try_from(body.len()).expect("a body of at most 255 bytes")];
    frame.extend_from_slice(body);
    frame
}

pub(crate) fn send(stream: &mut (impl Write + ?Sized), body: &[u8]) {
    stream.write_all(&frame(body)).expect("the message is sent");
}

/// The next message; `None` at the end of the stream or a reset.
pub(crate) fn receive(stream: &mut (impl Read + ?Sized)) -> Option<Vec<u8>> {
    let mut length = [0];
    let mut body = Vec::new();
    let mut fill = |buffer: &mut [u8]| match stream.read_exact(buffer) {
        Ok(()) => Some(()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("nothing arrived in time")
        }
        Err(_) => None,
    };
    fill(&mut length)?;
    body.resize(usize::from(length[0]), 0);
    fill(&mut body)?;
    Some(body)
}

/// A client sends much and closes its sending side in mid-frame: it and the witness receive all of
/// it, and then the client's connection ends.
pub(crate) fn talk_to_the_end(mut client: TcpStream, witness: &mut TcpStream) {
    let burst: Vec<u8> = (0..100_u8).flat_map(|number| frame(&[number; 200])).collect();
    client.write_all(&burst).expect("the messages are sent");
    client.write_all(b"\x09rest").expect("and half a frame");
    client.shutdown(Shutdown::Write).expect("half a close");
    for stream in [&mut client, witness] {
        for number in 0..100_u8 {
            assert_eq!(receive(stream).expect("a message"), [number; 200]);
        }
    }
    assert_eq!(receive(&mut client), None);
}

/// Everything up to and with the message `last`.
pub(crate) fn read_until(stream: &mut TcpStream, last: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let message = receive(stream).expect("the stream continues");
        let found = message == last;
        messages.push(message);
        if found {
            return messages;
        }
    }
}

/// Retries until it is so, or patience ends.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}
