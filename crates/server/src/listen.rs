//! Listening sockets, the options that connections inherit from them, and HOST:PORT.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, acceptfrom_with, shutdown};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::engine::Accepted;
use crate::error::Error;
use crate::keys::ListenerId;
use crate::passed::Passed;

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

/// The sockets that a server listens on. All shards accept from all of them, whichever engine they
/// have; sockets may be added and closed while they do.
#[derive(Debug, Default)]
pub struct Listeners {
    sockets: RwLock<BTreeMap<ListenerId, Listener>>,
    next: AtomicU32,
    /// Where a new socket is registered.
    epolls: Mutex<Vec<Weak<OwnedFd>>>,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
    /// It is a service manager's, too.
    passed: bool,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub fn bind(address: SocketAddr, options: &SocketOptions) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let socket = listen(address, options).map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address: bound.as_socket().unwrap_or(address), passed: false })
    }

    /// Takes over a socket that listens on this address already.
    fn take_over(
        socket: Socket,
        address: SocketAddr,
        options: &SocketOptions,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        configure(&socket, options).map_err(failed)?;
        Ok(Self { socket, address, passed: true })
    }

    /// The bound address, with the port that the kernel chose for a port of 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Refuses new connections even if another process has the descriptor, too; but on a passed
        // socket they wait, for whom the service manager starts next.
        if !self.passed {
            let _ = shutdown(&self.socket, Shutdown::Both);
        }
    }
}

impl Listeners {
    /// Listens on all addresses, or on none: on a passed socket where there is one. Their numbers
    /// count from 0.
    ///
    /// # Errors
    /// [`Error::Listen`], for the first address that fails.
    pub fn bind(
        addresses: &[SocketAddr],
        options: &SocketOptions,
        passed: &mut Passed,
    ) -> Result<Self, Error> {
        let bind = |&address| match passed.take(address) {
            Some(socket) => Listener::take_over(socket, address, options),
            None => Listener::bind(address, options),
        };
        let bound = addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let listeners = Self::default();
        let next = || listeners.next_id();
        let sockets = bound.into_iter().map(|listener| (next(), listener)).collect();
        *listeners.sockets.write().unwrap_or_else(PoisonError::into_inner) = sockets;
        Ok(listeners)
    }

    /// A number that no other socket has had.
    pub(crate) fn next_id(&self) -> ListenerId {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Shards accept from this socket, too, from now on.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub(crate) fn add(&self, id: ListenerId, listener: Listener) -> io::Result<()> {
        let epolls = self.epolls();
        let mut sockets = self.sockets.write().unwrap_or_else(PoisonError::into_inner);
        // No shard can look for it before it is found: the lock is held.
        let listener = sockets.entry(id).or_insert(listener);
        epolls.iter().filter_map(Weak::upgrade).try_for_each(|epoll| register(&epoll, id, listener))
    }

    /// Registers all sockets, and those that are added later, in an epoll instance, each with
    /// [`LISTENERS`] and its number as data.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub(crate) fn watch(&self, epoll: &Arc<OwnedFd>) -> io::Result<()> {
        let mut epolls = self.epolls();
        for (&id, listener) in self.sockets().iter() {
            register(epoll, id, listener)?;
        }
        epolls.push(Arc::downgrade(epoll));
        Ok(())
    }

    fn sockets(&self) -> RwLockReadGuard<'_, BTreeMap<ListenerId, Listener>> {
        self.sockets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn epolls(&self) -> MutexGuard<'_, Vec<Weak<OwnedFd>>> {
        self.epolls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bound addresses, with the port that the kernel chose for a port of 0.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets().values().map(|listener| listener.address).collect()
    }

    /// Whether there is a descriptor left.
    pub(crate) fn probe_descriptor(&self) -> io::Result<()> {
        let sockets = self.sockets();
        drop(sockets.values().next().map(|it| rustix::io::dup(&it.socket)).transpose()?);
        Ok(())
    }

    /// Sets the options that connections inherit on all sockets.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn configure(&self, options: &SocketOptions) -> io::Result<()> {
        self.sockets().values().try_for_each(|listener| configure(&listener.socket, options))
    }

    /// The next pending connection of one of the sockets.
    ///
    /// # Errors
    /// What accept(2) says.
    pub fn accept(&self, listener: ListenerId) -> io::Result<Option<Accepted<OwnedFd>>> {
        let sockets = self.sockets();
        let Some(Listener { socket, .. }) = sockets.get(&listener) else { return Ok(None) };
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

    /// Whether a connection is pending: an answer in an instant.
    pub(crate) fn have_pending(&self) -> bool {
        let sockets = self.sockets();
        let mut events: Vec<PollFd<'_>> =
            sockets.values().map(|it| PollFd::new(&it.socket, PollFlags::IN)).collect();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A listener that was closed has hung up.
        poll(&mut events, Some(&at_once)).is_ok()
            && events.iter().any(|event| event.revents() == PollFlags::IN)
    }

    /// Stops listening: new connections are refused, but on passed sockets.
    pub fn close(&self) {
        self.sockets.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Stops listening on one socket.
    pub fn close_one(&self, listener: ListenerId) {
        self.sockets.write().unwrap_or_else(PoisonError::into_inner).remove(&listener);
    }
}

/// Not the keys of any client, whose higher half is odd: the number of a listening socket is added.
pub(crate) const LISTENERS: u64 = 0xffff_fffe << 32;

fn register(epoll: &OwnedFd, id: ListenerId, listener: &Listener) -> io::Result<()> {
    // Exclusive: a connection wakes one shard, not all.
    let flags = EventFlags::IN | EventFlags::ET | EventFlags::EXCLUSIVE;
    let data = EventData::new_u64(LISTENERS + u64::from(id));
    Ok(epoll::add(epoll, &listener.socket, data, flags)?)
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
    configure(&socket, options)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Sets the options that connections inherit.
fn configure(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(options.send_buffer_bytes)?;
    socket.set_tcp_notsent_lowat(u32::try_from(options.unsent_bytes_max).unwrap_or(u32::MAX))?;
    socket.set_keepalive(options.keepalive.is_some())?;
    if let Some(idle) = options.keepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    // 0 is none.
    socket.set_tcp_user_timeout(Some(options.user_timeout.unwrap_or_default()))
}

/// Whether who listens on these addresses takes a connection to this address of this machine.
pub(crate) fn includes(listening: &[SocketAddr], address: SocketAddr) -> bool {
    listening.iter().any(|own| {
        let takes_any = own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
        own.port() == address.port() && (own.ip() == address.ip() || takes_any)
    })
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
