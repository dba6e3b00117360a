//! WebSocket addresses: browsers' clients and plain ones in one room, and who is refused how.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::config::Configured;
use crate::one_order::{MESSAGES, assert_one_order};
use crate::support::{frame, receive, send};

/// One room at a plain and at a WebSocket address.
fn serve(more: &str) -> (Configured, String, String) {
    let mut configured = Configured::start(&config(more));
    let plain = configured.next_address();
    let web = configured.next_address();
    let web = web.strip_prefix("ws://").expect("the address as it was given").to_owned();
    (configured, plain, web)
}

fn config(more: &str) -> String {
    format!(
        "[[room]]\nname = \"lobby\"\nlisten = [\"127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n\
         ring_bytes = \"1MiB\"\n[websocket]\n{more}"
    )
}

/// The client of an independent library.
pub(crate) struct Web {
    socket: WebSocket<TcpStream>,
    /// What has arrived of frames and was not asked for yet.
    received: Vec<u8>,
}

impl Web {
    pub(crate) fn connect(configured: &Configured, address: &str) -> Self {
        Self::connect_with(configured, address, &[]).expect("a WebSocket")
    }

    /// The status of a refusal.
    fn connect_with(
        configured: &Configured,
        address: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/").into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        match tungstenite::client(request, configured.connect(address)) {
            Ok((socket, _)) => Ok(Self { socket, received: Vec::new() }),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn send(&mut self, frames: Vec<u8>) {
        self.socket.send(Message::binary(frames)).expect("it is sent");
    }

    /// The body of the next chat frame, however many a message holds.
    fn receive(&mut self) -> Vec<u8> {
        loop {
            if let Some((&length, rest)) = self.received.split_first()
                && rest.len() >= usize::from(length)
            {
                let body = rest[..usize::from(length)].to_vec();
                self.received.drain(..=usize::from(length));
                return body;
            }
            match self.socket.read().expect("a message") {
                Message::Binary(bytes) => self.received.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code of the close frame that comes next.
    pub(crate) fn close_code(&mut self) -> CloseCode {
        match self.socket.read().expect("a close frame") {
            Message::Close(Some(close)) => close.code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn all_in_a_room_see_one_order_whatever_they_speak() {
    let (configured, plain, web) = serve("");
    let mut webs = [Web::connect(&configured, &web), Web::connect(&configured, &web)];
    let mut program = configured.connect(&plain);
    send(&mut program, b"all are there");
    assert_eq!(receive(&mut program).as_deref(), Some(&b"all are there"[..]));
    let total = 3 * usize::from(MESSAGES);
    let sequences: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
        let mut clients = Vec::new();
        for (who, client) in (0..).zip(&mut webs) {
            clients.push(scope.spawn(move || {
                assert_eq!(client.receive(), b"all are there");
                // Two frames in each message.
                for number in (0..MESSAGES).step_by(2) {
                    client.send([frame(&[who, number]), frame(&[who, number + 1])].concat());
                }
                (0..total).map(|_| client.receive()).collect()
            }));
        }
        let program = &mut program;
        clients.push(scope.spawn(move || {
            (0..MESSAGES).for_each(|number| send(program, &[2, number]));
            (0..total).map(|_| receive(program).expect("a message")).collect()
        }));
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    assert_one_order(&sequences);
}

#[test]
fn a_ping_is_answered_and_a_close_is_after_what_is_due() {
    let (configured, _, web) = serve("");
    let mut client = Web::connect(&configured, &web);
    client.socket.send(Message::Ping(vec![7].into())).expect("it is sent");
    assert_eq!(client.socket.read().expect("an answer"), Message::Pong(vec![7].into()));
    client.send(frame(b"last"));
    client.socket.close(None).expect("it is sent");
    assert_eq!(client.receive(), b"last");
    assert!(matches!(client.socket.read(), Ok(Message::Close(_))));
    assert!(matches!(client.socket.read(), Err(Error::ConnectionClosed)));
}

#[test]
fn a_stop_is_said() {
    let (configured, _, web) = serve("");
    let mut client = Web::connect(&configured, &web);
    client.send(frame(b"hello"));
    assert_eq!(client.receive(), b"hello");
    configured.terminate();
    assert_eq!(client.close_code(), CloseCode::Away);
}

/// Sends these bytes after the handshake, or instead of it, and reads to the end.
fn exchange(configured: &Configured, address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = configured.connect(address);
    stream.write_all(bytes).expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the end");
    answer
}

const OPENING: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

#[test]
fn what_breaks_the_protocol_ends_that_client_with_its_code() {
    let (configured, plain, web) = serve("max_message_bytes = \"1KiB\"");
    let mut witness = configured.connect(&plain);
    let too_long = [&[0x82, 0xfe, 0x04, 0x01, 0, 0, 0, 0][..], &[0; 1025]].concat();
    for (bytes, code) in [
        // Not masked; a reserved bit; text; a message that ends inside a frame; a long ping.
        (&[0x82, 2, 1, b'x'][..], 1002_u16),
        (&[0xc2, 0x82, 0, 0, 0, 0, 1, b'x'], 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'], 1003),
        (&[0x82, 0x82, 0, 0, 0, 0, 5, b'x'], 1007),
        (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], 1002),
        (&too_long, 1009),
    ] {
        let request = format!("{OPENING}\r\n");
        let answer = exchange(&configured, &web, &[request.as_bytes(), bytes].concat());
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
        let close = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        assert!(answer.ends_with(&close), "{code}: {answer:?}");
    }
    send(&mut witness, b"undisturbed");
    assert_eq!(receive(&mut witness).as_deref(), Some(&b"undisturbed"[..]));
}

#[test]
fn http_that_opens_no_websocket_is_answered_and_closed() {
    let (configured, plain, web) = serve("");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "200 "),
        ("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404 "),
        ("PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "405 "),
        (format!("{OPENING}Origin: https://elsewhere.example\r\n\r\n"), "403 "),
        (format!("{}\r\n", OPENING.replace("Version: 13", "Version: 8")), "426 "),
        (format!("{OPENING}X: {}\r\n\r\n", "x".repeat(9000)), "431 "),
        ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400 "),
    ] {
        let answer = exchange(&configured, &web, request.as_bytes());
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert_eq!(answer.contains("<!doctype html>"), status == "200 ", "{answer}");
    }
    // A plain client there, and a WebSocket's at the plain address, disturb nobody.
    let mut witness = configured.connect(&plain);
    assert!(exchange(&configured, &web, b"\x05hello\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
    send(&mut witness, b"undisturbed");
    assert_eq!(receive(&mut witness).as_deref(), Some(&b"undisturbed"[..]));
}

#[test]
fn a_token_is_asked_for_and_a_reload_changes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let write = |token: &str| std::fs::write(&path, token).expect("a file");
    write("sixteen-characters-or-more\n");
    let options = format!("token_file = \"{}\"\npage = false", path.display());
    let (mut configured, _, web) = serve(&options);
    let line = configured.log_line_with("others may read the token");
    assert!(line.contains("chmod 600"), "{line}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
    let connect = |configured: &Configured, token: &str| {
        let bearer = format!("Bearer {token}");
        Web::connect_with(configured, &web, &[("Authorization", &bearer)])
    };
    assert_eq!(Web::connect_with(&configured, &web, &[]).err(), Some(401));
    assert_eq!(connect(&configured, "sixteen-characters-or-less").err(), Some(401));
    let mut before = connect(&configured, "sixteen-characters-or-more").expect("it is known");
    let page = exchange(&configured, &web, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with(b"HTTP/1.1 426 "), "there is no page");

    write("another-token-of-this-room\n");
    configured.reload(&config(&options));
    configured.log_line_with("config file reloaded");
    assert_eq!(connect(&configured, "sixteen-characters-or-more").err(), Some(401));
    let mut after = connect(&configured, "another-token-of-this-room").expect("it is known");
    before.send(frame(b"still here"));
    assert_eq!(before.receive(), b"still here");
    assert_eq!(after.receive(), b"still here");
}

#[test]
fn a_slow_browser_misses_whole_messages_and_holds_up_nobody() {
    let (configured, plain, web) = serve("");
    let mut slow = Web::connect(&configured, &web);
    let mut program = configured.connect(&plain);
    // More than all buffers between hold.
    let body = [7; 255];
    for _ in 0..40_000 {
        send(&mut program, &body);
        assert_eq!(receive(&mut program).as_deref(), Some(&body[..]));
    }
    send(&mut program, b"the last");
    let mut received = 0;
    while slow.receive() != b"the last" {
        received += 1;
    }
    assert!(received < 40_000, "it was slow: {received}");
}
