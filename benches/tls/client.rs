//! One client: a socket, with or without TLS on it, and what it has received.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ClientConnection, ProtocolVersion};
use zillions_load::WireFormat;

use crate::script::Script;

/// The name in the server's certificate.
pub(crate) const SERVER_NAME: &str = "localhost";
/// How long a server may take for an answer before the load begins.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The kernel's buffer for what a client sends, as the load generator's.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The longest line of NATS beside its messages; `INFO` has about 500 bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// A connection whose handshake is complete, read and written with calls that block.
pub(crate) struct Opening {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    wire: WireFormat,
}

impl Opening {
    /// Connects, with TLS if there is a `config`, and subscribes.
    pub(crate) fn open(
        address: SocketAddr,
        wire: WireFormat,
        config: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
        socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        socket.set_write_timeout(Some(ANSWER_TIME_MAX))?;
        let mut opening = Self { socket, tls: None, wire };
        if wire == WireFormat::Nats {
            // In plain text, whatever follows.
            opening.expect_line(b"INFO ")?;
        }
        if let Some(config) = config {
            opening.shake_hands(config)?;
        }
        if wire == WireFormat::Nats {
            opening.write_all(wire.hello(true))?;
            opening.write_all(b"PING\r\n")?;
            opening.expect_line(b"PONG")?;
        }
        Ok(opening)
    }

    fn shake_hands(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut self.socket)?;
        }
        let suite = tls.negotiated_cipher_suite().map(|it| it.suite());
        let agreed = (tls.protocol_version(), suite);
        let wanted = (ProtocolVersion::TLSv1_3, CipherSuite::TLS13_AES_128_GCM_SHA256);
        if agreed != (Some(wanted.0), Some(wanted.1)) {
            return Err(io::Error::other(format!("{agreed:?} was negotiated, not {wanted:?}")));
        }
        // What is written is bounded by the window.
        tls.set_buffer_limit(None);
        self.tls = Some(tls);
        Ok(())
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.socket);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.read_exact(buffer),
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).read_exact(buffer),
        }
    }

    /// Reads messages until `wanted` arrives, which has the length of all of them.
    pub(crate) fn read_until(&mut self, wanted: &[u8]) -> io::Result<()> {
        let mut unit = vec![0; wanted.len()];
        while unit != wanted {
            self.read_exact(&mut unit[..1])?;
            if unit[0] == wanted[0] {
                self.read_exact(&mut unit[1..])?;
            } else if self.wire == WireFormat::Nats {
                let line = self.read_line(unit[0])?;
                if is_ping(&line)? {
                    self.write_all(b"PONG\r\n")?;
                }
            } else {
                return Err(io::Error::other("a frame of another length arrived"));
            }
        }
        Ok(())
    }

    fn expect_line(&mut self, start: &[u8]) -> io::Result<()> {
        let mut first = [0];
        loop {
            self.read_exact(&mut first)?;
            let line = self.read_line(first[0])?;
            if line.starts_with(start) {
                return Ok(());
            }
            is_ping(&line)?;
        }
    }

    /// The line that begins with `first`.
    fn read_line(&mut self, first: u8) -> io::Result<Vec<u8>> {
        let mut line = vec![first];
        let mut next = [0];
        while !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX {
            self.read_exact(&mut next)?;
            line.push(next[0]);
        }
        Ok(line)
    }

    /// The client, whose calls do not block from now on.
    pub(crate) fn ready(self) -> io::Result<Client> {
        self.socket.set_nonblocking(true)?;
        Ok(Client {
            socket: mio::net::TcpStream::from_std(self.socket),
            tls: self.tls,
            out: Vec::new(),
            is_writable: true,
            inbound: Inbound { wire: self.wire, offset: 0, line: Vec::new(), has_ping: false },
        })
    }
}

/// Whether a line of NATS that is not a message is a `PING`. An error line is an error.
fn is_ping(line: &[u8]) -> io::Result<bool> {
    if line.starts_with(b"-ERR") || line.len() >= LINE_BYTES_MAX {
        let said = String::from_utf8_lossy(&line[..line.len().min(200)]);
        return Err(io::Error::other(format!("the server said: {}", said.trim_end())));
    }
    Ok(line.starts_with(b"PING"))
}

/// A client under load.
pub(crate) struct Client {
    pub(crate) socket: mio::net::TcpStream,
    tls: Option<ClientConnection>,
    /// What is to be sent without TLS.
    out: Vec<u8>,
    /// Whether the socket may take something.
    pub(crate) is_writable: bool,
    inbound: Inbound,
}

impl Client {
    /// How many bytes of messages were received, all of them right.
    pub(crate) fn received(&self) -> u64 {
        self.inbound.offset
    }

    /// Reads once into `buffer` and checks what came. Returns whether there may be more.
    pub(crate) fn receive(&mut self, script: &Script, buffer: &mut [u8]) -> io::Result<bool> {
        let length = match self.socket.read(buffer) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        match &mut self.tls {
            None => self.inbound.take(&buffer[..length], script)?,
            Some(tls) => decrypt(tls, &buffer[..length], |it| self.inbound.take(it, script))?,
        }
        if std::mem::take(&mut self.inbound.has_ping) {
            self.send(b"PONG\r\n")?;
        }
        Ok(length == buffer.len())
    }

    /// Sends `bytes` now or, as far as the socket does not take them, with [`flush`](Self::flush).
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match &mut self.tls {
            None => self.out.extend_from_slice(bytes),
            Some(tls) => tls.writer().write_all(bytes)?,
        }
        self.flush()
    }

    /// Whether everything is sent.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        loop {
            let is_done = match &self.tls {
                None => self.out.is_empty(),
                Some(tls) => !tls.wants_write(),
            };
            if is_done || !self.is_writable {
                return Ok(is_done);
            }
            let written = match &mut self.tls {
                None => self.socket.write(&self.out).map(|taken| drop(self.out.drain(..taken))),
                Some(tls) => tls.write_tls(&mut self.socket).map(drop),
            };
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => other?,
            }
        }
    }
}

/// Gives `take` what `bytes` are without TLS.
fn decrypt(
    tls: &mut ClientConnection,
    mut bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        let mut reader = tls.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => return Err(io::Error::other("the server ended the stream")),
                Ok(chunk) => {
                    take(chunk)?;
                    let length = chunk.len();
                    reader.consume(length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The stream of one client, cut anywhere.
struct Inbound {
    wire: WireFormat,
    /// How many bytes of messages have arrived.
    offset: u64,
    /// The beginning of a line of NATS that is not a message.
    line: Vec<u8>,
    has_ping: bool,
}

impl Inbound {
    /// Counts these bytes, if they are those that were sent.
    fn take(&mut self, bytes: &[u8], script: &Script) -> io::Result<()> {
        if self.line.is_empty() && script.continues(self.offset, bytes) {
            self.offset += bytes.len() as u64;
            return Ok(());
        }
        match self.wire {
            WireFormat::Nats => self.take_units(bytes, script),
            _ => Err(self.unexpected(script)),
        }
    }

    /// Takes one message after the other: there may be something else between two.
    fn take_units(&mut self, mut bytes: &[u8], script: &Script) -> io::Result<()> {
        let unit_bytes = script.unit_bytes() as u64;
        while let Some(&first) = bytes.first() {
            let cut = self.offset % unit_bytes;
            if cut == 0 && (first != b'M' || !self.line.is_empty()) {
                let end = bytes.iter().position(|&it| it == b'\n');
                let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                self.line.extend_from_slice(line);
                bytes = rest;
                if end.is_some() || self.line.len() >= LINE_BYTES_MAX {
                    self.has_ping |= is_ping(&self.line)?;
                    self.line.clear();
                }
                continue;
            }
            let (unit, rest) = bytes.split_at(bytes.len().min((unit_bytes - cut) as usize));
            if !script.continues(self.offset, unit) {
                return Err(self.unexpected(script));
            }
            self.offset += unit.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn unexpected(&self, script: &Script) -> io::Error {
        let message = self.offset / script.unit_bytes() as u64;
        io::Error::other(format!("not what was sent arrived instead of message {message}"))
    }
}
