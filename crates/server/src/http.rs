//! The HTTP endpoints, of metrics and of administration, each on a thread of its own.
//!
//! Anybody who can reach such an address may try to use it up, so all it takes is bounded
//! ([`connections`]), and it takes no descriptor that a client could have, nor the other way round
//! ([`own_descriptors`]).

mod answer;
mod connections;
pub(crate) mod gzip;
mod own_descriptors;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use hyper::Request;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{self, Runtime};
use tracing::{info, warn};

use crate::error::Error;
use crate::passed::Passed;
pub(crate) use answer::{Answer, text, with_type, wrong_method};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// A bound socket that serves nothing yet: a busy address must show before the server starts.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    /// Listens on this address, or on the passed socket that does already.
    pub(crate) fn bind(text: &str, passed: &mut Passed) -> Result<Self, Error> {
        let address = crate::listen::parse(text)?;
        let failed = |source| Error::Listen { address, source };
        let listener = match passed.take(address) {
            Some(socket) => socket.into(),
            None => listen(address).map_err(failed)?,
        };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves until the process ends, on a thread with this name.
    pub(crate) fn serve<F, R>(self, name: &'static str, answer: F) -> Result<(), Error>
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        info!(address = %self.address, "{name}");
        let run = move || match prepare(self.listener, name) {
            Ok((runtime, listener)) => {
                runtime.block_on(connections::serve(listener, name, answer));
            }
            // The server goes on without.
            Err(error) => warn!(%error, "cannot serve {name}"),
        };
        let failed = |source| Error::System { doing: "start a thread", source };
        thread::Builder::new().name(name.into()).spawn(run).map(drop).map_err(failed)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // As for the addresses of clients; see `listen.rs`.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What the endpoint's thread needs, made on it.
fn prepare(
    listener: TcpListener,
    name: &'static str,
) -> io::Result<(Runtime, tokio::net::TcpListener)> {
    if let Err(error) = own_descriptors::detach(&listener) {
        info!(%error, "{name} shares the descriptors of clients");
    }
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(guard);
    Ok((runtime, listener))
}
