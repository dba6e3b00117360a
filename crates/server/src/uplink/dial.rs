//! Connections to an upstream server: for the conversation, and for probes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tracing::debug;

use super::end::End;
use crate::listen::{Listeners, includes};
use crate::upstream::probe::Probe;

/// How long a connection may take to be made, per address.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the other side may acknowledge nothing, though something was sent to it.
const UNACKNOWLEDGED_TIME_MAX: Duration = Duration::from_secs(20);
/// Silence after which the kernel probes whether the other side is still there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long a probe's connection may take.
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);
/// How many probes are sent at once; more are not sent.
const PROBES_MAX: usize = 4;

/// A connection that says nothing yet.
pub(super) struct Dialed {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
}

/// Connects to the first address of `HOST:PORT` that answers.
pub(super) fn dial(upstream: &str, listeners: &Listeners) -> Result<Dialed, End> {
    let failed = |error: io::Error| End::Lost(error.to_string());
    let mut last = End::Lost("the host has no address".into());
    for address in upstream.to_socket_addrs().map_err(failed)? {
        match connect(address) {
            Ok(dialed) if is_self(&dialed, listeners) => return Err(End::Loop),
            Ok(dialed) => return Ok(dialed),
            Err(error) => last = failed(error),
        }
    }
    Err(last)
}

fn connect(peer: SocketAddr) -> io::Result<Dialed> {
    let stream = TcpStream::connect_timeout(&peer, CONNECT_TIME_MAX)?;
    if stream.local_addr()? == peer {
        // The kernel has chosen the port where nobody listens, and connected it with itself.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 3)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME_MAX))?;
    Ok(Dialed { stream, peer })
}

/// Whether the other side is a listening socket of this process.
fn is_self(dialed: &Dialed, listeners: &Listeners) -> bool {
    let local = dialed.stream.local_addr().ok();
    local.is_some_and(|local| local.ip() == dialed.peer.ip())
        && includes(&listeners.addresses(), dialed.peer)
}

/// Ends a connection so that the other side does not read what it has not read yet: it would put
/// it in order after what is sent on the next connection.
pub(super) fn hang_up(stream: TcpStream) {
    // Fails on a connection that is gone already.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// Sends a probe on a connection of its own, from a thread of its own.
pub(super) fn send_probe(peer: SocketAddr, probe: Probe) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= PROBES_MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let run = move || {
        if let Err(error) = deliver(peer, probe) {
            debug!(%peer, %error, "a probe for loops could not be sent");
        }
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("probe".into()).spawn(run) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        debug!(%peer, %error, "a probe for loops could not be sent");
    }
}

fn deliver(peer: SocketAddr, probe: Probe) -> io::Result<()> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&peer, PROBE_TIME_MAX)?;
    stream.set_read_timeout(Some(PROBE_TIME_MAX))?;
    stream.write_all(&probe.frame())?;
    stream.shutdown(Shutdown::Write)?;
    // Closed with something unread, it would be reset, and the probe perhaps discarded.
    let mut discarded = [0; 16 * 1024];
    while begun.elapsed() < PROBE_TIME_MAX && stream.read(&mut discarded)? > 0 {}
    Ok(())
}
