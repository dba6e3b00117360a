//! Administration over HTTP, on a thread of its own: who is connected, closing somebody, and what
//! the metrics' endpoint serves.
//!
//! Nothing is answered without the token. A shard is asked and answers between two passes
//! ([`questions`](crate::questions)); one that hangs costs the request its time, and nobody else.

mod asker;
mod clients;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use tracing::debug;
use zillions_websocket::Token;

use crate::error::Error;
use crate::http::{Answer, Endpoint, gzip, text, with_type, wrong_method};
use crate::metrics;
use crate::passed::Passed;
use crate::questions::Question;
pub(crate) use asker::Asker;
use clients::{CLIENTS_MAX, ClientId, Page, list};

/// A bound endpoint and its token.
#[derive(Debug)]
pub(crate) struct Admin {
    endpoint: Endpoint,
    token: Token,
}

impl Admin {
    pub(crate) fn bind(address: &str, token: Token, passed: &mut Passed) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::bind(address, passed)?, token })
    }

    /// Serves until the process ends.
    pub(crate) fn serve(self, asker: Asker) -> Result<(), Error> {
        let Self { endpoint, token } = self;
        endpoint.serve("admin", move |request| {
            let (token, asker) = (token.clone(), asker.clone());
            async move { answer(request, &token, &asker).await.unwrap_or_else(|refusal| refusal) }
        })
    }
}

/// The answer to a request, or its refusal.
async fn answer(
    request: Request<Incoming>,
    token: &Token,
    asker: &Asker,
) -> Result<Answer, Answer> {
    if !is_shown(token, request.headers()) {
        debug!("a request for administration without the right token");
        let mut refusal = text(StatusCode::UNAUTHORIZED, "the token is missing or wrong\n");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(refusal);
    }
    let path = request.uri().path();
    let of_client = path.strip_prefix("/clients/").and_then(|rest| rest.strip_suffix("/close"));
    match (path, of_client) {
        ("/clients", _) if *request.method() != Method::GET => Err(wrong_method("GET")),
        ("/clients", _) => {
            let page = Page::parse(request.uri().query().unwrap_or_default()).ok_or_else(|| {
                let reason = format!("write ?after=ID or ?limit=N, N from 1 to {CLIENTS_MAX}\n");
                text(StatusCode::BAD_REQUEST, &reason)
            })?;
            let list = list(asker, page).await?;
            let body = serde_json::to_string(&list).expect("text and numbers") + "\n";
            Ok(gzip::negotiated(request.headers(), "application/json", body))
        }
        (_, Some(_)) if *request.method() != Method::POST => Err(wrong_method("POST")),
        (_, Some(id)) => close(asker, id).await,
        _ => Ok(metrics::answer(&request, asker.shared()).unwrap_or_else(|| {
            let paths =
                "not found; try /clients, /clients/ID/close, /metrics, /healthz or /readyz\n";
            text(StatusCode::NOT_FOUND, paths)
        })),
    }
}

/// Whether a request shows the token, as RFC 6750 has it.
fn is_shown(token: &Token, headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else { return false };
    let Some((scheme, shown)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(shown.trim_ascii())
}

async fn close(asker: &Asker, id: &str) -> Result<Answer, Answer> {
    let missing = || text(StatusCode::NOT_FOUND, "no such client\n");
    let is_here = |id: &ClientId| id.shard < asker.shared().shards();
    let id = ClientId::parse(id).filter(is_here).ok_or_else(missing)?;
    if !asker.ask(id.shard, |reply| Question::Close { key: id.key, reply }).await? {
        return Err(missing());
    }
    let body = format!("{{\"closing\":\"{}\"}}\n", id.text());
    Ok(with_type(StatusCode::ACCEPTED, "application/json", body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Token::parse("0123456789abcdef\n").expect("a token");
        for (shown, expected) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef ", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(shown));
            assert_eq!(is_shown(&token, &headers), expected, "{shown:?}");
        }
        assert!(!is_shown(&token, &HeaderMap::new()));
    }
}
