//! Metrics in Prometheus' text format, `/healthz` and `/readyz`, on a thread of their own.
//!
//! Shards only add to counters of their own ([`counters`](crate::counters), where the table of
//! metrics is); this thread reads them on request.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use tiny_http::{Header, Method, Request, Response, Server};
use tracing::warn;

use crate::counters::{METRICS, Metric};
use crate::error::Error;
use crate::shared::{Phase, Shared};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A bound socket that serves nothing yet: a busy address must show before the server starts.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Endpoint {
    pub(crate) fn bind(text: &str) -> Result<Self, Error> {
        let address = crate::listen::parse(text)?;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves until the process ends.
    pub(crate) fn serve(self, shared: Arc<Shared<OwnedFd>>) -> Result<(), Error> {
        let failed = |source| Error::System { doing: "serve metrics", source };
        let server = Server::from_listener(self.listener, None)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let serve = move || {
            for request in server.incoming_requests() {
                answer(request, &shared);
            }
        };
        let thread = thread::Builder::new().name("metrics".into());
        thread.spawn(serve).map(drop).map_err(failed)
    }
}

fn answer(request: Request, shared: &Shared<OwnedFd>) {
    let text = |status, text: &str| Response::from_string(text).with_status_code(status);
    let path = request.url().split('?').next().unwrap_or_default();
    let response = match (request.method(), path) {
        (Method::Get | Method::Head, "/metrics") => {
            let header = Header::from_bytes("Content-Type", CONTENT_TYPE);
            text(200, &exposition(shared)).with_header(header.expect("a valid header"))
        }
        (Method::Get | Method::Head, "/healthz") => text(200, "ok\n"),
        (Method::Get | Method::Head, "/readyz") => match shared.phase() {
            Phase::Serving => text(200, "ready\n"),
            Phase::Closing | Phase::Flushing => text(503, "stopping\n"),
        },
        (_, "/metrics" | "/healthz" | "/readyz") => text(405, "only GET\n"),
        _ => text(404, "not found; try /metrics, /healthz or /readyz\n"),
    };
    if let Err(error) = request.respond(response) {
        warn!(%error, "cannot answer a metrics request");
    }
}

/// All metrics in Prometheus' text format.
fn exposition<S>(shared: &Shared<S>) -> String {
    let mut text = String::new();
    for Metric { name, kind, help, samples } in METRICS {
        let kind = kind.name();
        text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for shard in 0..shared.shards() {
            samples(shared.counters(shard)).visit(&mut |reason, value| {
                let reason =
                    reason.map(|reason| format!(",reason=\"{reason}\"")).unwrap_or_default();
                text += &format!("{name}{{shard=\"{shard}\"{reason}}} {value}\n");
            });
        }
    }
    text
}
