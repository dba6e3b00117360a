//! Requests, right and wrong, and their answers.

use zillions_websocket::handshake::{HEAD_BYTES_MAX, HEADERS_MAX, Outcome, accept_key, judge};
use zillions_websocket::{Origins, Policy, Token};

/// A request that opens a WebSocket.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nHost: chat.example:8080\r\nUpgrade: websocket\r\n\
     Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Version: 13\r\n\r\n";
const TOKEN: &str = "0123456789abcdef0123";

fn policy() -> Policy {
    Policy { origins: Origins::Own, token: None, page: true, message_bytes_max: 1024 }
}

fn with_token() -> Policy {
    Policy { token: Some(Token::parse(TOKEN).expect("a token")), ..policy() }
}

/// The status and the whole answer.
fn answer_under(policy: &Policy, request: &str) -> (u16, String) {
    let (outcome, length) = judge(request.as_bytes(), policy).expect("an answer");
    let (is_open, answer) = match outcome {
        Outcome::Open(answer) => (true, answer),
        Outcome::Closed(answer) => (false, answer),
    };
    assert_eq!(is_open, answer.status == 101);
    assert_eq!(length, request.len());
    let mut text = Vec::new();
    answer.write(&mut text);
    (answer.status, String::from_utf8(text).expect("text"))
}

fn answer(request: &str) -> (u16, String) {
    answer_under(&policy(), request)
}

/// The good request with a header more.
fn with(header: &str) -> String {
    REQUEST.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"))
}

fn without(name: &str) -> String {
    let lines = REQUEST.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
    let text: String = lines.collect();
    assert_ne!(text, REQUEST, "{name} was in it");
    text
}

#[test]
fn the_example_of_the_rfc_is_opened() {
    assert_eq!(
        accept_key("dGhlIHNhbXBsZSBub25jZQ==").as_deref(),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let (status, text) = answer(REQUEST);
    assert_eq!(status, 101);
    assert_eq!(
        text,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(answer(&REQUEST.replace("GET / ", "GET /?x=1 ")).0, 101);
    assert_eq!(answer(&REQUEST.replace("websocket", "WebSocket")).0, 101);
}

#[test]
fn no_request_is_judged_before_its_end() {
    for end in 0..REQUEST.len() {
        assert_eq!(judge(&REQUEST.as_bytes()[..end], &policy()), None);
    }
}

#[test]
fn what_is_wrong_with_a_request_decides_the_status() {
    let cases = [
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("a TLS hello", "\u{16}\u{3}\u{1}\0".to_owned(), 400),
        ("another method", REQUEST.replace("GET", "POST"), 405),
        ("HEAD", REQUEST.replace("GET", "HEAD"), 405),
        ("HTTP/1.0", REQUEST.replace("HTTP/1.1", "HTTP/1.0"), 505),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("another path", REQUEST.replace("GET / ", "GET /chat "), 404),
        ("no host", without("Host"), 400),
        ("two hosts", with("Host: other"), 400),
        ("a body", with("Content-Length: 5"), 400),
        ("a chunked body", with("Transfer-Encoding: chunked"), 400),
        ("no upgrade", without("Upgrade"), 200),
        ("another upgrade", REQUEST.replace("websocket", "h2c"), 200),
        ("no connection", without("Connection"), 400),
        ("another connection", REQUEST.replace("keep-alive, Upgrade", "close"), 400),
        ("no version", without("Sec-WebSocket-Version"), 426),
        ("an old version", REQUEST.replace("Version: 13", "Version: 8"), 426),
        ("two versions", with("Sec-WebSocket-Version: 13"), 426),
        ("no key", without("Sec-WebSocket-Key"), 400),
        ("two keys", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        ("a short key", REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        ("no Base64", REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "not base 64 at all!!"), 400),
        ("another page's", with("Origin: http://evil.example"), 403),
        ("no page's", with("Origin: null"), 403),
        ("two origins", with("Origin: http://a.example\r\nOrigin: http://b.example"), 400),
    ];
    for (what, request, expected) in cases {
        let (status, text) = answer(&request);
        assert_eq!(status, expected, "{what}: {text}");
        assert!(status == 101 || text.contains("\r\nConnection: close\r\n"), "{what}: {text}");
        if status == 426 {
            assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{text}");
        }
    }
}

#[test]
fn a_head_that_is_too_long_is_refused_while_it_arrives() {
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(judge(&endless.as_bytes()[..HEAD_BYTES_MAX - 1], &policy()), None);
    assert_eq!(answer(&endless).0, 431);
    let path = format!("GET /{}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(answer(&path).0, 431);
    let many = |number| with(&vec!["X: y"; number].join("\r\n"));
    let given = REQUEST.matches(": ").count();
    assert_eq!(answer(&many(HEADERS_MAX - given)).0, 101);
    assert_eq!(answer(&many(HEADERS_MAX - given + 1)).0, 431);
}

#[test]
fn origins_are_those_of_the_policy() {
    let own = with("Origin: http://Chat.example:8080");
    let other = with("Origin: https://team.example");
    let under = |origins: &[&str], request: &str| {
        let list: Vec<String> = origins.iter().map(|&it| it.to_owned()).collect();
        let origins = Origins::parse(&list).expect("origins");
        answer_under(&Policy { origins, ..policy() }, request).0
    };
    assert_eq!((under(&[], &own), under(&[], &other)), (101, 403));
    let listed = ["https://TEAM.example"];
    assert_eq!((under(&listed, &own), under(&listed, &other)), (403, 101));
    assert_eq!(under(&listed, REQUEST), 101, "a program that is no browser");
    assert_eq!((under(&["*"], &own), under(&["*"], &other)), (101, 101));
    for invalid in [
        "chat.example",
        "https://chat.example/",
        "https:///",
        "://x",
        "https://*.example",
        "https://chat.example:443",
        "http://chat.example:80",
        "https://me@chat.example",
        "null",
        "",
    ] {
        assert!(Origins::parse(&[invalid.to_owned()]).is_err(), "{invalid}");
    }
    assert!(Origins::parse(&["*".to_owned(), "https://a.example".to_owned()]).is_err());
}

#[test]
fn a_token_is_taken_as_a_header_or_as_a_subprotocol() {
    let policy = with_token();
    let status = |header: &str| answer_under(&policy, &with(header)).0;
    let (refused, text) = answer_under(&policy, REQUEST);
    assert_eq!(refused, 401);
    assert!(text.contains("\r\nWWW-Authenticate: Bearer\r\n"), "{text}");
    assert_eq!(status(&format!("Authorization: Bearer {TOKEN}")), 101);
    assert_eq!(status(&format!("Authorization: bearer  {TOKEN}")), 101);
    assert_eq!(status(&format!("Authorization: Basic {TOKEN}")), 401);
    assert_eq!(status(&format!("Authorization: Bearer {TOKEN}4")), 401);
    assert_eq!(status(&format!("Authorization: Bearer {}", &TOKEN[1..])), 401);
    assert_eq!(status("Authorization: Bearer"), 401);
    let offer = format!("Sec-WebSocket-Protocol: zillions, zillions.bearer.{TOKEN}");
    let (status, text) = answer_under(&policy, &with(&offer));
    assert_eq!(status, 101);
    assert!(text.contains("\r\nSec-WebSocket-Protocol: zillions\r\n"), "{text}");
    assert!(!text.contains(TOKEN), "it is not repeated: {text}");
    assert!(!format!("{policy:?}").contains(TOKEN), "nor shown");
}

#[test]
fn a_token_is_long_enough_and_can_be_sent() {
    assert!(Token::parse(&format!("{TOKEN}\n")).is_ok());
    let long = "x".repeat(257);
    for invalid in ["", "short", "with spaces in it, long", "two\nlines-of-a-token", long.as_str()]
    {
        assert!(Token::parse(invalid).is_err(), "{invalid}");
    }
}
