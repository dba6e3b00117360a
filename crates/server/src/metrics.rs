//! Metrics, `/healthz` and `/readyz`, as an endpoint serves them.
//!
//! Shards only add to counters of their own ([`counters`](crate::counters), where the table of
//! metrics is); the endpoint's thread reads them on request.

mod exposition;
mod of_rooms;

use std::future::ready;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{Method, Request, StatusCode};

use crate::error::Error;
use crate::http::{Answer, Endpoint, gzip, text, wrong_method};
use crate::room::Phase;
use crate::shared::Shared;
use crate::upstream::Condition;
use exposition::Format;

/// Serves until the process ends.
pub(crate) fn serve(endpoint: Endpoint, shared: Arc<Shared<OwnedFd>>) -> Result<(), Error> {
    endpoint.serve("metrics", move |request| {
        let not_found =
            || text(StatusCode::NOT_FOUND, "not found; try /metrics, /healthz or /readyz\n");
        ready(answer(&request, &shared).unwrap_or_else(not_found))
    })
}

/// The answer to a request, if it is for one of these.
pub(crate) fn answer(request: &Request<Incoming>, shared: &Shared<OwnedFd>) -> Option<Answer> {
    Some(match request.uri().path() {
        "/metrics" | "/healthz" | "/readyz"
            if request.method() != Method::GET && request.method() != Method::HEAD =>
        {
            wrong_method("GET, HEAD")
        }
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter();
            let format = Format::negotiate(accept.filter_map(|value| value.to_str().ok()));
            let body = format.expose(shared, crate::logging::lost_lines());
            gzip::negotiated(request.headers(), format.content_type(), body)
        }
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match shared.phase() {
            Phase::Serving if !shared.is_lame_duck() => match unready(shared) {
                None => text(StatusCode::OK, "ready\n"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        },
        _ => return None,
    })
}

/// Why an edge that serves cannot have anything put in order now.
fn unready(shared: &Shared<OwnedFd>) -> Option<&'static str> {
    shared.rooms().iter().find_map(|(_, room)| {
        match (room.upstream.as_ref()?.condition(), room.config.cluster.is_some()) {
            (Condition::Connected, _) => None,
            (Condition::Away, false) => Some("the upstream is not connected\n"),
            (Condition::Away, true) => Some("the cluster is not connected\n"),
            (Condition::Silent, false) => Some("the upstream is connected and answers nothing\n"),
            (Condition::Silent, true) => Some("the cluster is connected and stores nothing\n"),
            (Condition::Loop, _) => Some("the upstream is this edge itself\n"),
        }
    })
}
