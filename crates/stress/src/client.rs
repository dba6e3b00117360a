//! A non-blocking connection with a buffer for what it has yet to write.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use zillions_protocol::Decoder;

/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) decoder: Decoder,
    unwritten: Vec<u8>,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum ReadResult {
    /// The number of bytes in the buffer.
    Bytes(usize),
    /// Nothing more for now.
    Later,
    /// The connection is over, and why.
    Over(String),
}

impl Client {
    /// Connects, waiting for the connection, and registers it under `number`.
    pub(crate) fn connect(
        address: SocketAddr,
        registry: &Registry,
        number: usize,
    ) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, decoder: Decoder::new(), unwritten: Vec::new() })
    }

    /// Sends one frame, now or when the socket takes it.
    pub(crate) fn send(&mut self, body: &[u8]) -> io::Result<()> {
        // A body of this crate is never too long for a frame.
        zillions_protocol::encode(body, &mut self.unwritten).map_err(io::Error::other)?;
        self.flush()
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadResult {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => ReadResult::Over("end of file".to_owned()),
                Ok(length) => ReadResult::Bytes(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ReadResult::Later,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => ReadResult::Over(error.to_string()),
            };
        }
    }
}
