//! Answers in HTTP/1.1. After each but 101 the connection is closed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::page::Page;

/// What a key is hashed with (RFC 6455, section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How many bytes a key has.
const KEY_BYTES: usize = 16;

/// An answer: a status, headers and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// An error, with one line that says why.
    pub(super) fn refusal(status: u16, why: &str) -> Self {
        let body = format!("{status} {}: {why}\n", reason_phrase(status)).into_bytes();
        Self { status, headers: Vec::new(), body: Vec::new() }
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("X-Content-Type-Options", "nosniff")
            .closing(body)
    }

    /// The chat page.
    pub(super) fn page(page: &Page) -> Self {
        Self { status: 200, headers: Vec::new(), body: Vec::new() }
            .with("Content-Type", "text/html; charset=utf-8")
            .with("Content-Security-Policy", &page.security_policy)
            .with("Referrer-Policy", "no-referrer")
            .with("X-Content-Type-Options", "nosniff")
            .with("Cache-Control", "no-cache")
            .closing(page.html.clone().into_bytes())
    }

    /// The one that opens a WebSocket.
    pub(super) fn switching(accept: &str) -> Self {
        Self { status: 101, headers: Vec::new(), body: Vec::new() }
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Accept", accept)
    }

    /// With another header.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn closing(self, body: Vec<u8>) -> Self {
        let length = body.len().to_string();
        Self { body, ..self.with("Content-Length", &length).with("Connection", "close") }
    }

    /// The answer to HEAD: all but the body.
    pub(super) fn without_body(self) -> Self {
        Self { body: Vec::new(), ..self }
    }

    /// Appends it as it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self { status, headers, body } = self;
        out.extend_from_slice(
            format!("HTTP/1.1 {status} {}\r\n", reason_phrase(*status)).as_bytes(),
        );
        for (name, value) in headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => unreachable!("no answer has the status {status}"),
    }
}

/// What proves that the server has understood this `Sec-WebSocket-Key`; `None` if it is not 16
/// bytes in Base64.
#[must_use]
pub fn accept_key(key: &str) -> Option<String> {
    STANDARD.decode(key).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
    let hash = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    Some(STANDARD.encode(hash))
}
