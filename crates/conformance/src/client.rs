//! One connection, as a client of the server under test: never blocks, keeps
//! what it has to send, finds the frames in what it receives.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use zillions_harness::MachineFault;

use crate::verdict::Excerpt;

/// How much of the received stream is kept for a failure's excerpt, in bytes.
const RECENT_BYTES_MAX: usize = 192;
/// How much a client may have waiting to be sent, in bytes. Cases stop sending
/// well before; beyond it the suite itself would be the one that buffers.
pub const UNSENT_BYTES_MAX: usize = 1 << 20;

/// How a connection is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions {
    /// `SO_RCVBUF` in bytes, set before connecting; the system's default if `None`.
    /// A small one makes a server feel at once that its client does not read.
    pub receive_buffer_bytes: Option<usize>,
    /// The largest segment it accepts (`TCP_MAXSEG`), in bytes. A system gives
    /// a connection with small segments a small send buffer.
    pub segment_bytes: Option<u32>,
    /// `SO_SNDBUF` in bytes, likewise: how much of a flood the system takes
    /// before the server must.
    pub send_buffer_bytes: Option<usize>,
    /// Connect without reading anything at first.
    pub stalled: bool,
    /// Leave Nagle's algorithm on, as a socket has it: a short segment waits until what was
    /// sent before it is acknowledged. Off by default, so that every write leaves at once.
    pub nagle: bool,
}

impl ConnectOptions {
    /// Small receive buffer, small segments: what a server can write to this
    /// client before it has to wait is some ten KiB, where on the loopback
    /// device it is otherwise megabytes. Its writes are often taken only in part.
    pub const SMALL: Self = Self {
        receive_buffer_bytes: Some(16 * 1024),
        segment_bytes: Some(536),
        send_buffer_bytes: None,
        stalled: false,
        nagle: false,
    };
    /// The same, without reading.
    pub const STALLED: Self = Self { stalled: true, ..Self::SMALL };
    /// A sender whose floods are not swallowed by its own system.
    pub const FLOODER: Self = Self {
        receive_buffer_bytes: None,
        segment_bytes: None,
        send_buffer_bytes: Some(32 * 1024),
        stalled: false,
        nagle: false,
    };
}

/// How a connection ended, seen from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server closed it in order.
    EndOfFile,
    /// The server reset it, or the system reported another error.
    Broken(String),
    /// We closed it.
    Ours,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Option<TcpStream>,
    /// Bytes that the system has not taken yet.
    unsent: VecDeque<u8>,
    /// Whether what arrives is read.
    reading: bool,
    end: Option<End>,
    /// What this machine lacks, if that ended it.
    machine_fault: Option<MachineFault>,
    bytes_received: u64,
    recent: VecDeque<u8>,
    local: Option<SocketAddr>,
}

impl Client {
    /// Connects to `address`, waiting at most `time`.
    ///
    /// # Errors
    /// What connect says.
    pub fn connect(
        address: SocketAddr,
        options: ConnectOptions,
        time: Duration,
    ) -> io::Result<Self> {
        let socket = new_socket(address, options)?;
        socket.connect_timeout(&address.into(), time)?;
        Self::from_socket(socket, options)
    }

    /// Starts to connect to `address` without waiting for the result.
    ///
    /// # Errors
    /// What connect says at once, refusal included.
    pub fn connect_without_waiting(
        address: SocketAddr,
        options: ConnectOptions,
    ) -> io::Result<Self> {
        let socket = new_socket(address, options)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        Self::from_socket(socket, options)
    }

    fn from_socket(socket: Socket, options: ConnectOptions) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(!options.nagle)?;
        let stream = TcpStream::from(socket);
        let local = stream.local_addr().ok();
        Ok(Self {
            stream: Some(stream),
            unsent: VecDeque::new(),
            reading: !options.stalled,
            end: None,
            machine_fault: None,
            bytes_received: 0,
            recent: VecDeque::with_capacity(RECENT_BYTES_MAX),
            local,
        })
    }

    /// The socket, while it is open on our side.
    pub fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Its own address, which servers show in their logs.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// How the connection ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What this machine lacks, if that is how the connection ended.
    pub fn machine_fault(&self) -> Option<&MachineFault> {
        self.machine_fault.as_ref()
    }

    /// Whether what arrives is read.
    pub fn is_reading(&self) -> bool {
        self.reading
    }

    /// Whether there is something to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Bytes that the system has not taken yet.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.len()
    }

    /// Bytes received so far.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// The last bytes received.
    pub fn excerpt(&self) -> Excerpt {
        Excerpt {
            offset: self.bytes_received - self.recent.len() as u64,
            bytes: self.recent.iter().copied().collect(),
        }
    }

    pub(crate) fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Puts bytes behind those that wait to be sent.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        debug_assert!(self.unsent.len() + bytes.len() <= 4 * UNSENT_BYTES_MAX);
        self.unsent.extend(bytes);
    }

    /// Sends what the system takes without waiting.
    pub(crate) fn write_some(&mut self) {
        let Some(stream) = self.stream.as_mut() else {
            self.unsent.clear();
            return;
        };
        while !self.unsent.is_empty() {
            // One write for all of it: how the stream is cut is for the cases to say.
            let bytes = self.unsent.make_contiguous();
            match stream.write(bytes) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What was received before can still be read: only the
                    // reading side knows when the stream is over.
                    self.unsent.clear();
                    if !self.reading {
                        self.broken(&error);
                    }
                    return;
                }
            }
        }
    }

    /// Reads once into `buffer`. Returns how many bytes there were; 0 when there is
    /// nothing now, or the stream has ended ([`end`](Self::end) tells).
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        let Some(stream) = self.stream.as_mut() else { return 0 };
        match stream.read(buffer) {
            Ok(0) => {
                self.end.get_or_insert(End::EndOfFile);
                0
            }
            Ok(count) => {
                self.remember(&buffer[..count]);
                count
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                0
            }
            Err(error) => {
                self.broken(&error);
                0
            }
        }
    }

    fn broken(&mut self, error: &io::Error) {
        if self.end.is_none() {
            self.machine_fault = MachineFault::of(error);
            self.end = Some(End::Broken(error.to_string()));
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.bytes_received += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(RECENT_BYTES_MAX)..];
        let surplus = (self.recent.len() + kept.len()).saturating_sub(RECENT_BYTES_MAX);
        self.recent.drain(..surplus);
        self.recent.extend(kept);
    }

    /// Closes the sending side; receiving goes on.
    pub(crate) fn finish_sending(&mut self) {
        if let Some(stream) = &self.stream {
            // The server may have closed first: then there is nothing left to close.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Closes the connection in order.
    pub(crate) fn close(&mut self) {
        self.stream = None;
        self.unsent.clear();
        self.end.get_or_insert(End::Ours);
    }

    /// Closes the connection with a reset instead of an end of file.
    pub(crate) fn reset(&mut self) {
        if let Some(stream) = &self.stream {
            // A connection that is gone already needs no reset.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.close();
    }
}

fn new_socket(address: SocketAddr, options: ConnectOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.segment_bytes {
        socket.set_tcp_mss(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A client and the other side of its connection.
    fn pair(options: ConnectOptions) -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let client = Client::connect(address, options, PATIENCE).expect("a connection");
        let (server, peer) = listener.accept().expect("the other side");
        assert_eq!(client.local(), Some(peer));
        (client, server)
    }

    /// Reads until so many bytes have come in all, or the connection has ended.
    fn read_until(client: &mut Client, bytes: u64) {
        let until = Instant::now() + PATIENCE;
        let mut buffer = [0; 1024];
        while client.bytes_received() < bytes && client.end().is_none() {
            client.read_some(&mut buffer);
            assert!(Instant::now() < until, "{} of {bytes} bytes arrived", client.bytes_received());
        }
    }

    fn resets(stream: TcpStream) {
        let socket = Socket::from(stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket that resets");
    }

    #[test]
    fn bytes_go_both_ways_and_are_counted() {
        let (mut client, mut server) = pair(ConnectOptions::default());
        client.queue(b"question");
        assert_eq!((client.has_unsent(), client.unsent_bytes()), (true, 8));
        client.write_some();
        assert!(!client.has_unsent());
        let mut received = [0; 8];
        server.read_exact(&mut received).expect("what was sent");
        assert_eq!(&received, b"question");
        server.write_all(b"an answer").expect("a client that reads");
        read_until(&mut client, 9);
        assert_eq!(client.excerpt().offset, 0);
        assert_eq!(client.excerpt().bytes, b"an answer");
        assert_eq!(client.end(), None, "nothing to read is not an end");
    }

    #[test]
    fn writes_leave_at_once_unless_nagles_algorithm_is_asked_for() {
        for nagle in [false, true] {
            let (client, _server) = pair(ConnectOptions { nagle, ..ConnectOptions::default() });
            let stream = client.stream().expect("it is open");
            assert_eq!(stream.nodelay().expect("an option"), !nagle);
        }
    }

    #[test]
    fn the_last_bytes_are_kept_with_their_place() {
        let (mut client, _server) = pair(ConnectOptions::default());
        client.remember(&[1; RECENT_BYTES_MAX]);
        client.remember(&[2; 3]);
        let excerpt = client.excerpt();
        assert_eq!((excerpt.offset, excerpt.bytes.len()), (3, RECENT_BYTES_MAX));
        assert_eq!(excerpt.bytes[RECENT_BYTES_MAX - 4..], [1, 2, 2, 2]);
        client.remember(&[3; RECENT_BYTES_MAX + 10]);
        assert_eq!(client.bytes_received(), 2 * RECENT_BYTES_MAX as u64 + 13);
        assert_eq!(client.excerpt().bytes, [3; RECENT_BYTES_MAX]);
    }

    #[test]
    fn what_the_system_does_not_take_waits_and_is_not_lost() {
        let (mut client, mut server) = pair(ConnectOptions::FLOODER);
        let sent: Vec<u8> = (0..UNSENT_BYTES_MAX * 3).map(|place| place as u8).collect();
        client.queue(&sent);
        client.write_some();
        assert!(client.unsent_bytes() > 0, "nobody reads yet");
        server.set_nonblocking(true).expect("a socket");
        let until = Instant::now() + PATIENCE;
        let (mut received, mut buffer) = (Vec::new(), vec![0_u8; 64 * 1024]);
        while received.len() < sent.len() {
            // In turns: neither side waits for what only the other can do.
            let count = server.read(&mut buffer).unwrap_or(0);
            received.extend_from_slice(&buffer[..count]);
            client.write_some();
            assert!(Instant::now() < until, "{} of {} bytes arrived", received.len(), sent.len());
        }
        assert!(received == sent, "the bytes as they were sent");
        assert_eq!((client.unsent_bytes(), client.end()), (0, None));
    }

    #[test]
    fn an_end_a_reset_and_our_own_closing_are_told_apart() {
        let (mut client, server) = pair(ConnectOptions::default());
        drop(server);
        read_until(&mut client, 1);
        assert_eq!(client.end(), Some(&End::EndOfFile));
        let (mut client, server) = pair(ConnectOptions::default());
        resets(server);
        read_until(&mut client, 1);
        assert!(matches!(client.end(), Some(End::Broken(_))), "{:?}", client.end());
        let (mut client, _server) = pair(ConnectOptions::default());
        client.close();
        assert_eq!(client.end(), Some(&End::Ours));
    }

    #[test]
    fn one_that_does_not_read_learns_of_a_reset_when_it_writes() {
        let (mut client, server) = pair(ConnectOptions::STALLED);
        resets(server);
        let until = Instant::now() + PATIENCE;
        while client.end().is_none() {
            client.queue(b"anybody there?");
            client.write_some();
            assert!(Instant::now() < until, "a write to nobody succeeds for ever");
        }
        assert!(matches!(client.end(), Some(End::Broken(_))), "{:?}", client.end());
        assert!(!client.has_unsent());
    }
}
