//! Everything a [`Shard`](crate::Shard) asks of the system.
//!
//! `epoll.rs` and `io_uring.rs` implement it on sockets, the simulator of the tests in memory,
//! with short writes, resets and delays.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::client::Disconnect;
use crate::keys::ListenerId;

/// Makes a parked shard's [`Engine::wait`] return.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// An I/O backend. No method blocks but [`wait`](Self::wait) and [`pause`](Self::pause).
pub trait Engine {
    /// A connection; dropping it closes it.
    type Stream;

    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// Waits until something is ready, the shard is woken or the time is over,
    /// and appends what has become ready. Readiness is reported once per change.
    ///
    /// # Errors
    /// When waiting itself fails; the shard then ends.
    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()>;

    /// Does nothing for so long, whatever becomes ready meanwhile.
    fn pause(&mut self, time: Duration);

    /// Takes the next pending connection of a listening socket, if there is one; none of a socket
    /// that has been closed.
    ///
    /// # Errors
    /// What the system says; a connection may have been lost or descriptors have run out.
    fn accept(&mut self, listener: ListenerId) -> io::Result<Option<Accepted<Self::Stream>>>;

    /// Makes [`wait`](Self::wait) report this connection, under the name `key`.
    ///
    /// # Errors
    /// What the system says; the connection cannot be served then.
    fn register(&mut self, key: u64, stream: &Self::Stream) -> io::Result<()>;

    /// Receives into `buffer`, which is not empty; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, or what ended the connection.
    fn receive(&mut self, stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Acknowledges now what has been received, where the system would wait for something to send
    /// with it.
    fn acknowledge(&mut self, stream: &Self::Stream);

    /// Tries each send once and stores its result in it.
    fn send(&mut self, batch: &mut [Outgoing<'_, Self::Stream>]);

    /// Closes the sending side: the other side sees the end of the stream.
    fn finish(&mut self, stream: &Self::Stream);

    /// How many sent bytes the other side has not acknowledged.
    fn in_flight_bytes(&self, stream: &Self::Stream) -> usize;

    /// A client has been closed. For simulators that record it; sockets need nothing.
    fn closed(&mut self, disconnect: Disconnect) {
        let _ = disconnect;
    }
}

/// Something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A connection is pending at this listening socket.
    Listener(ListenerId),
    /// A client's connection.
    Client {
        /// As given to [`Engine::register`].
        key: u64,
        /// Bytes, the end of the stream or an error can be received.
        readable: bool,
        /// Bytes can be sent again.
        writable: bool,
        /// The other side has sent everything: read on until the end shows.
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

/// Bytes for one connection: `partial_out` and then `bytes`.
#[derive(Debug)]
pub struct Outgoing<'a, S> {
    /// The connection.
    pub stream: &'a S,
    /// The tail of a frame whose head has been sent; mostly empty.
    pub partial_out: &'a [u8],
    /// A slice of the log.
    pub bytes: &'a [u8],
    /// How many bytes of both together were sent.
    pub sent: io::Result<usize>,
}

impl<S> Outgoing<'_, S> {
    /// How many bytes there are to send.
    #[must_use]
    pub fn length(&self) -> usize {
        self.partial_out.len() + self.bytes.len()
    }
}
