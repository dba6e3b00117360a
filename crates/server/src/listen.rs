//! Listening sockets, the options that connections inherit from them, and HOST:PORT.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, acceptfrom_with, shutdown};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::engine::Accepted;
use crate::error::Error;
use crate::keys::ListenerId;

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;
/// Between two keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered keepalive probes after which a connection is closed.
const KEEPALIVE_RETRIES: u32 = 4;

/// What is set on every connection. Linux hands it down from the listening
/// socket, so that accepting costs one system call.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Kernel memory for sent bytes that have not been acknowledged, per connection.
    pub send_buffer_bytes: usize,
    /// How much of it may be unsent before the socket counts as full.
    pub unsent_bytes_max: usize,
    /// Silence after which the kernel probes whether the other side is still there.
    pub keepalive: Option<Duration>,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

/// The sockets that a server listens on.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<OwnedFd>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Listens on all addresses, or on none.
    ///
    /// # Errors
    /// [`Error::Listen`], for the first address that fails.
    pub fn bind(addresses: &[SocketAddr], options: &SocketOptions) -> Result<Self, Error> {
        let mut listeners = Self { sockets: Vec::new(), addresses: Vec::new() };
        for &address in addresses {
            let failed = |source| Error::Listen { address, source };
            let socket = listen(address, options).map_err(failed)?;
            let bound = socket.local_addr().map_err(failed)?;
            listeners.addresses.push(bound.as_socket().unwrap_or(address));
            listeners.sockets.push(socket.into());
        }
        Ok(listeners)
    }

    /// The bound addresses, with the port that the kernel chose for a port of 0.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }

    /// The next pending connection of one of the sockets.
    ///
    /// # Errors
    /// What accept(2) says.
    pub fn accept(&self, listener: ListenerId) -> io::Result<Option<Accepted<OwnedFd>>> {
        let Some(socket) = self.sockets.get(listener as usize) else { return Ok(None) };
        match acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((stream, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                // Without an address the client is already gone; it counts as 0.0.0.0.
                let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip());
                Ok(Some(Accepted { stream, peer: peer.to_canonical() }))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops listening: new connections are refused.
    pub fn close(&self) {
        for socket in &self.sockets {
            // Fails only if the socket does not listen, which is the goal.
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
}

fn listen(address: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // So that a restart can bind at once; on Linux this never lets two programs listen.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The given address only: [::] does not include 0.0.0.0.
        socket.set_only_v6(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(options.send_buffer_bytes)?;
    socket.set_tcp_notsent_lowat(u32::try_from(options.unsent_bytes_max).unwrap_or(u32::MAX))?;
    if let Some(idle) = options.keepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if let Some(time) = options.user_timeout {
        socket.set_tcp_user_timeout(Some(time))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// How many sent bytes are not acknowledged.
pub(crate) fn in_flight_bytes(stream: &OwnedFd) -> usize {
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: SIOCOUTQ takes a pointer to an int and writes one; see tcp(7).
    let unacknowledged = unsafe {
        let getter = rustix::ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new();
        rustix::ioctl::ioctl(stream, getter)
    };
    // A connection that cannot be queried has nothing in flight.
    unacknowledged.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(0))
}

/// Parses `HOST:PORT`. A name may resolve to several addresses; the first is taken.
///
/// # Errors
/// [`Error::Address`].
pub fn parse(text: &str) -> Result<SocketAddr, Error> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let invalid = |reason: String| Error::Address { text: text.to_owned(), reason };
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(invalid("the port is missing".into()));
    };
    if port.parse::<u16>().is_err() {
        return Err(invalid("the port is not a number from 0 to 65535".into()));
    }
    if host.is_empty() {
        return Err(invalid("the host is missing".into()));
    }
    let mut found = text.to_socket_addrs().map_err(|error| invalid(error.to_string()))?;
    found.next().ok_or_else(|| invalid("the host has no address".into()))
}
