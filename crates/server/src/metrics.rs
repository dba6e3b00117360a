//! Metrics, `/healthz` and `/readyz` over HTTP, on a thread of their own.
//!
//! Shards only add to counters of their own ([`counters`](crate::counters), where the table of
//! metrics is); this thread reads them on request. Anybody who can reach its address may try to use it
//! up, so all it takes is bounded ([`connections`]), and it takes no descriptor that a client could
//! have, nor the other way round ([`own_descriptors`]).

mod connections;
mod exposition;
mod own_descriptors;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{self, Runtime};
use tracing::{info, warn};

use crate::error::Error;
use crate::passed::Passed;
use crate::room::Phase;
use crate::shared::Shared;
use crate::upstream::Condition;
use exposition::Format;

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

    /// Serves until the process ends.
    pub(crate) fn serve(self, shared: Arc<Shared<OwnedFd>>) -> Result<(), Error> {
        let run = move || match prepare(self.listener) {
            Ok((runtime, listener)) => {
                let answer = move |request: &Request<Incoming>| answer(request, &shared);
                runtime.block_on(connections::serve(listener, answer));
            }
            // The server goes on without.
            Err(error) => warn!(%error, "cannot serve metrics"),
        };
        let thread = thread::Builder::new().name("metrics".into());
        let failed = |source| Error::System { doing: "start a thread", source };
        thread.spawn(run).map(drop).map_err(failed)
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
fn prepare(listener: TcpListener) -> io::Result<(Runtime, tokio::net::TcpListener)> {
    if let Err(error) = own_descriptors::detach(&listener) {
        info!(%error, "metrics share the descriptors of clients");
    }
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(guard);
    Ok((runtime, listener))
}

fn answer(request: &Request<Incoming>, shared: &Shared<OwnedFd>) -> Response<String> {
    match request.uri().path() {
        "/metrics" | "/healthz" | "/readyz"
            if request.method() != Method::GET && request.method() != Method::HEAD =>
        {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter();
            let format = Format::negotiate(accept.filter_map(|value| value.to_str().ok()));
            let body = format.expose(shared, crate::logging::lost_lines());
            with_type(StatusCode::OK, format.content_type(), body)
        }
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match shared.phase() {
            Phase::Serving if shared.is_lame_duck() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
            }
            Phase::Serving => match unready(shared) {
                None => text(StatusCode::OK, "ready\n"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            Phase::Closing | Phase::Flushing => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        },
        _ => text(StatusCode::NOT_FOUND, "not found; try /metrics, /healthz or /readyz\n"),
    }
}

/// Why an edge that serves cannot have anything put in order now.
fn unready(shared: &Shared<OwnedFd>) -> Option<&'static str> {
    shared.rooms().iter().find_map(|(_, room)| match room.upstream.as_ref()?.condition() {
        Condition::Connected => None,
        Condition::Away => Some("the upstream is not connected\n"),
        Condition::Silent => Some("the upstream is connected and answers nothing\n"),
        Condition::Loop => Some("the upstream is this edge itself\n"),
    })
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    with_type(status, "text/plain; charset=utf-8", body.to_owned())
}

fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
