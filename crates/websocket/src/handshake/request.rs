//! The head of a request, within limits.

use super::answer::Answer;
use super::header::Headers;

/// The longest head of a request, in bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most header fields of a request.
pub const HEADERS_MAX: usize = 64;

/// The method of a request, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Without the query.
    pub(super) path: &'a str,
    pub(super) headers: Headers<'a>,
}

/// The head of a request and how many bytes it has; `None` if it has not ended.
///
/// # Errors
/// The answer to what is not a request in HTTP/1.1, or is too long.
pub(super) fn parse(received: &[u8]) -> Result<Option<(Request<'_>, usize)>, Answer> {
    let too_long = || Answer::refusal(431, "the head of the request is too long");
    let head = &received[..received.len().min(HEAD_BYTES_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if received.len() >= HEAD_BYTES_MAX => return Err(too_long()),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_long()),
        Err(httparse::Error::Version) => return Err(version()),
        Err(error) => return Err(Answer::refusal(400, &format!("invalid HTTP: {error}"))),
    };
    if parsed.version != Some(1) {
        return Err(version());
    }
    let method = match parsed.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => Method::Other,
    };
    let target = parsed.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let text = |header: &httparse::Header<'_>| std::str::from_utf8(header.value).is_ok();
    if !parsed.headers.iter().all(text) {
        return Err(Answer::refusal(400, "a header is not text"));
    }
    let headers = parsed.headers.iter().filter_map(|header| {
        Some((header.name, std::str::from_utf8(header.value).ok()?.trim_ascii()))
    });
    let headers = Headers(headers.collect());
    Ok(Some((Request { method, path, headers }, length)))
}

fn version() -> Answer {
    Answer::refusal(505, "only HTTP/1.1 is understood")
}
