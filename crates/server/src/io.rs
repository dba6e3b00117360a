//! The seam between the server and the world: everything a [`Shard`](crate::Shard)
//! asks of the system.
//!
//! Engines implement it on sockets ([`epoll`](crate::epoll), [`uring`](crate::uring)),
//! the simulator of the tests on memory, with short writes, resets and delays.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::shard::Farewell;

/// What a shard asks of the system. Nothing in here ever blocks, but
/// [`wait`](Self::wait) and [`rest`](Self::rest).
pub trait Io {
    /// A connection; dropping it closes it.
    type Stream;

    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// Waits until something is ready, the shard is woken or the time is over,
    /// and appends what has become ready. Readiness is told once per change.
    ///
    /// # Errors
    /// When waiting itself is broken; the shard then ends.
    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Does nothing for so long, whatever becomes ready meanwhile.
    fn rest(&mut self, time: Duration);

    /// Takes the next pending connection of any listening socket, if there is one.
    ///
    /// # Errors
    /// What the system says; a connection may have been lost or descriptors have run out.
    fn accept(&mut self) -> io::Result<Option<Accepted<Self::Stream>>>;

    /// Makes [`wait`](Self::wait) tell of this connection, under the name `key`.
    ///
    /// # Errors
    /// What the system says; the connection cannot be served then.
    fn register(&mut self, key: u64, stream: &Self::Stream) -> io::Result<()>;

    /// Receives into `buffer`, which is not empty; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, or what ended the connection.
    fn receive(&mut self, stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Tries each sending once and stores its result in it.
    fn send(&mut self, batch: &mut [Outgoing<'_, Self::Stream>]);

    /// Tells the other side that nothing more comes.
    fn finish(&mut self, stream: &Self::Stream);

    /// How many bytes were handed over and have not reached the other side's system.
    fn in_flight_bytes(&self, stream: &Self::Stream) -> usize;

    /// A client is gone. For those who keep books; sockets need nothing.
    fn gone(&mut self, farewell: Farewell) {
        let _ = farewell;
    }
}

/// Something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A connection is pending.
    Listener,
    /// A client's connection.
    Client {
        /// As given to [`Io::register`].
        key: u64,
        /// Bytes, the end of the stream or an error can be received.
        readable: bool,
        /// Bytes can be sent again.
        writable: bool,
        /// The other side has sent all it will: read on until that shows.
        ended: bool,
    },
}

/// A connection that was pending.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: S,
    /// The other side.
    pub peer: IpAddr,
}

/// Bytes for one connection: `stash` and then `bytes`.
#[derive(Debug)]
pub struct Outgoing<'a, S> {
    /// The connection.
    pub stream: &'a S,
    /// The end of a frame whose beginning was sent before; mostly empty.
    pub stash: &'a [u8],
    /// A slice of the log.
    pub bytes: &'a [u8],
    /// How many bytes of both together were taken.
    pub sent: io::Result<usize>,
}

impl<S> Outgoing<'_, S> {
    /// How many bytes there are to send.
    #[must_use]
    pub fn length(&self) -> usize {
        self.stash.len() + self.bytes.len()
    }
}
