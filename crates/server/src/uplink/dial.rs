//! Connections to an upstream server: for the conversation, and for probes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use socket2::{SockRef, TcpKeepalive};
use tracing::debug;

use super::channel::{Channel, Tls, reason};
use super::end::End;
use crate::listen::{Listeners, includes};
use crate::tls::client_config;
use crate::upstream::address::UpstreamAddress;
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
    pub(super) channel: Channel,
    pub(super) way: Way,
}

/// How a server was reached.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) peer: SocketAddr,
    tls: Option<Tls>,
}

/// Connects to the first address of an upstream that answers. The certificates to trust are read
/// each time: a file that was changed is heeded.
pub(super) fn dial(
    upstream: &str,
    ca: Option<&Path>,
    listeners: &Listeners,
) -> Result<Dialed, End> {
    let lost = |text: String| End::Lost(text);
    let address = UpstreamAddress::parse(upstream).map_err(|error| lost(error.to_string()))?;
    let tls = match address.tls_name {
        None => None,
        Some(name) => {
            let config = client_config("--upstream-ca-file", ca);
            Some(Tls { config: config.map_err(|error| lost(error.to_string()))?, name })
        }
    };
    let mut last = lost("the host has no address".into());
    let peers = address.host_and_port.to_socket_addrs().map_err(|error| lost(error.to_string()))?;
    for peer in peers {
        let stream = match connect(peer) {
            Ok(stream) if is_self(&stream, peer, listeners) => return Err(End::Loop),
            stream => stream,
        };
        match stream.and_then(|stream| Channel::open(stream, tls.as_ref())) {
            Ok(channel) => return Ok(Dialed { channel, way: Way { peer, tls } }),
            Err(error) => last = lost(reason(&error)),
        }
    }
    Err(last)
}

fn connect(peer: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&peer, CONNECT_TIME_MAX)?;
    if stream.local_addr()? == peer {
        // The kernel has chosen the port where nobody listens, and connected it with itself.
        return Err(ErrorKind::ConnectionRefused.into());
    }
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 3)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME_MAX))?;
    Ok(stream)
}

/// Whether the other side is a listening socket of this process.
fn is_self(stream: &TcpStream, peer: SocketAddr, listeners: &Listeners) -> bool {
    let local = stream.local_addr().ok();
    local.is_some_and(|local| local.ip() == peer.ip()) && includes(&listeners.addresses(), peer)
}

/// Sends a probe on a connection of its own, from a thread of its own.
pub(super) fn send_probe(way: &Way, probe: Probe) {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    if RUNNING.fetch_add(1, Ordering::Relaxed) >= PROBES_MAX {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (way, peer) = (way.clone(), way.peer);
    let run = move || {
        if let Err(error) = deliver(way, probe) {
            debug!(%peer, %error, "a probe for loops could not be sent");
        }
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("probe".into()).spawn(run) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        debug!(%peer, %error, "a probe for loops could not be sent");
    }
}

fn deliver(way: Way, probe: Probe) -> io::Result<()> {
    let begun = Instant::now();
    let stream = TcpStream::connect_timeout(&way.peer, PROBE_TIME_MAX)?;
    stream.set_read_timeout(Some(PROBE_TIME_MAX))?;
    match way.tls {
        None => {
            (&stream).write_all(&probe.frame())?;
            stream.shutdown(Shutdown::Write)?;
            discard_rest(begun, stream)
        }
        Some(Tls { config, name }) => {
            let tls = ClientConnection::new(Arc::clone(&config), name);
            let tls = tls.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let mut stream = StreamOwned::new(tls, stream);
            stream.write_all(&probe.frame())?;
            stream.conn.send_close_notify();
            stream.flush()?;
            discard_rest(begun, stream)
        }
    }
}

/// Reads to the end: closed with something unread, a connection would be reset, and the probe
/// perhaps discarded.
fn discard_rest(begun: Instant, mut stream: impl Read) -> io::Result<()> {
    let mut discarded = [0; 16 * 1024];
    while begun.elapsed() < PROBE_TIME_MAX && stream.read(&mut discarded)? > 0 {}
    Ok(())
}
