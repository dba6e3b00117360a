//! The HTTP request that opens a WebSocket, and its answer (RFC 6455, section 4.2).

mod answer;
mod header;
mod request;

pub use answer::{Answer, accept_key};
pub use request::{HEAD_BYTES_MAX, HEADERS_MAX};

use crate::page;
use crate::policy::Policy;
use header::Headers;
use request::{Method, Request};

/// The subprotocol of this server: chat frames in binary messages.
pub const SUBPROTOCOL: &str = "zillions";
/// What a token follows in the list of subprotocols, since scripts cannot set other headers.
pub const TOKEN_SUBPROTOCOL_PREFIX: &str = "zillions.bearer.";

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A WebSocket, once this has been sent.
    Open(Answer),
    /// Something else: this is sent, and the connection closed.
    Closed(Answer),
}

/// Judges what has been received so far. `None`: the head of the request has not ended.
/// Otherwise, also how many bytes it has.
#[must_use]
pub fn judge(received: &[u8], policy: &Policy) -> Option<(Outcome, usize)> {
    match request::parse(received) {
        Ok(None) => None,
        Ok(Some((request, length))) => {
            let outcome = match open(&request, policy) {
                Ok(answer) => Outcome::Open(answer),
                Err(answer) => Outcome::Closed(answer),
            };
            Some((outcome, length))
        }
        Err(answer) => Some((Outcome::Closed(answer), received.len())),
    }
}

/// The answer that opens a WebSocket, or another.
fn open(request: &Request<'_>, policy: &Policy) -> Result<Answer, Answer> {
    let headers = &request.headers;
    if request.method == Method::Other {
        return Err(Answer::refusal(405, "only GET is understood").with("Allow", "GET, HEAD"));
    }
    let host = match headers.only("host") {
        Ok(Some(host)) => host,
        Ok(None) => return Err(Answer::refusal(400, "the Host header is missing")),
        Err(()) => return Err(Answer::refusal(400, "there are two Host headers")),
    };
    if headers.has_body() {
        return Err(Answer::refusal(400, "a request with a body is not understood"));
    }
    if request.path != "/" {
        return Err(Answer::refusal(404, "there is nothing at this path: try /"));
    }
    let wants_upgrade = headers.has_token("upgrade", "websocket");
    if !wants_upgrade {
        return Err(without_upgrade(request, policy));
    }
    if request.method != Method::Get {
        return Err(Answer::refusal(405, "a WebSocket is opened with GET").with("Allow", "GET"));
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(Answer::refusal(400, "the Connection header does not have 'Upgrade'"));
    }
    if headers.only("sec-websocket-version") != Ok(Some("13")) {
        return Err(Answer::refusal(426, "the Sec-WebSocket-Version must be 13")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13"));
    }
    let Ok(Some(key)) = headers.only("sec-websocket-key") else {
        return Err(Answer::refusal(400, "exactly one Sec-WebSocket-Key is needed"));
    };
    let Some(accept) = accept_key(key) else {
        return Err(Answer::refusal(400, "the Sec-WebSocket-Key is not 16 bytes in Base64"));
    };
    authorize(headers, host, policy)?;
    let answer = Answer::switching(&accept);
    // It must be one that the client has offered; a browser that offered some insists on one.
    if headers.has_token_as_is("sec-websocket-protocol", SUBPROTOCOL) {
        return Ok(answer.with("Sec-WebSocket-Protocol", SUBPROTOCOL));
    }
    Ok(answer)
}

/// Checks where the client comes from and what it knows.
fn authorize(headers: &Headers<'_>, host: &str, policy: &Policy) -> Result<(), Answer> {
    match headers.only("origin") {
        Ok(None) => {}
        Ok(Some(origin)) if policy.origins.allow(origin, host) => {}
        Ok(Some(_)) => return Err(Answer::refusal(403, "pages of this origin may not connect")),
        Err(()) => return Err(Answer::refusal(400, "there are two Origin headers")),
    }
    let Some(token) = &policy.token else { return Ok(()) };
    let bearer = headers.only("authorization").ok().flatten().and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(given.trim_ascii())
    });
    let mut offered = headers
        .tokens("sec-websocket-protocol")
        .filter_map(|token| token.strip_prefix(TOKEN_SUBPROTOCOL_PREFIX));
    if bearer.is_some_and(|given| token.is(given.as_bytes()))
        || offered.any(|given| token.is(given.as_bytes()))
    {
        return Ok(());
    }
    Err(Answer::refusal(401, "a valid token is needed").with("WWW-Authenticate", "Bearer"))
}

/// The answer to a request that does not want a WebSocket.
fn without_upgrade(request: &Request<'_>, policy: &Policy) -> Answer {
    if !policy.page {
        return Answer::refusal(426, "this is a WebSocket server").with("Upgrade", "websocket");
    }
    let page = page::page(policy.token.is_some());
    let answer = Answer::page(&page);
    if request.method == Method::Head { answer.without_body() } else { answer }
}
