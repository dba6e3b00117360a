//! `ws://` and `wss://`: frames in binary messages.

use std::fs;
use std::io::{Read, Write};

use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, accept_hdr};

use crate::servers::{Played, frames};
use crate::terminal::Terminal;
use crate::tls::Identity;

/// Takes a client at `/room?a=b` with the token `secret`.
#[expect(clippy::result_large_err, reason = "the library's type")]
fn accept<S: Read + Write>(stream: S) -> WebSocket<S> {
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri(), "/room?a=b");
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        Ok(response)
    };
    accept_hdr(stream, check).unwrap_or_else(|error| panic!("a handshake: {error}"))
}

/// The next binary message; what else comes is answered by the library.
fn hear<S: Read + Write>(socket: &mut WebSocket<S>) -> Vec<u8> {
    loop {
        if let Message::Binary(bytes) = socket.read().expect("the client is there") {
            return bytes.to_vec();
        }
    }
}

fn token() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "secret\n").expect("a file");
    let name = file.display().to_string();
    (folder, name)
}

fn talk<S: Read + Write>(terminal: &mut Terminal, socket: &mut WebSocket<S>) {
    terminal.wait_for("connected to ws");
    let several = frames(&[b"bob: one", b"", b"bob: two"]);
    socket.send(Message::binary(several)).expect("the client is there");
    socket.send(Message::Ping("are you there?".into())).expect("the client is there");
    terminal.wait_for("bob: two");
    terminal.press("\x1b[200~three\nfour\x1b[201~\r");
    let mut heard = Vec::new();
    while heard.len() < frames(&[b"ann: three", b"ann: four"]).len() {
        heard.extend(hear(socket));
    }
    assert_eq!(heard, frames(&[b"ann: three", b"ann: four"]));
}

#[test]
fn frames_travel_in_binary_messages_one_or_many() {
    let (server, (_folder, token)) = (Played::open(), token());
    let address = format!("ws://{}/room?a=b", server.address());
    let mut terminal = Terminal::start(&["--token-file", &token, &address]);
    let mut socket = accept(server.accept_stream());
    talk(&mut terminal, &mut socket);

    terminal.press("\x03");
    // It says goodbye, as the protocol wants it.
    let goodbye = loop {
        match socket.read() {
            Ok(Message::Close(_)) => break true,
            Ok(_) => {}
            Err(_) => break false,
        }
    };
    assert!(goodbye);
    let _ = socket.flush();
    drop(socket);
    assert_eq!(terminal.wait_for_end(), 0, "{}", terminal.text());
    terminal.is_as_before();
}

#[test]
fn the_same_works_encrypted() {
    let (server, identity, (_folder, token)) = (Played::open(), Identity::new(), token());
    let address = format!("wss://localhost:{}/room?a=b", server.port());
    let options = ["--tls-ca", &identity.ca(), "--token-file", &token];
    let mut terminal = Terminal::start(&[&options[..], &[&address]].concat());
    let mut socket = accept(identity.accept(&server));
    talk(&mut terminal, &mut socket);
}

#[test]
fn a_server_that_closes_with_a_reason_is_quoted() {
    let (server, (_folder, token)) = (Played::open(), token());
    let address = format!("ws://{}/room?a=b", server.address());
    let mut terminal = Terminal::start(&["--token-file", &token, &address]);
    let mut socket = accept(server.accept_stream());
    let reason = CloseFrame { code: CloseCode::Policy, reason: "slow \x1b[2J".into() };
    socket.close(Some(reason)).expect("the client is there");
    terminal.wait_for("the server closed the connection: slow \\x1b[2J");
    // Text is for people, and no frame.
    let mut socket = accept(server.accept_stream());
    socket.send(Message::text("hello")).expect("the client is there");
    terminal.wait_for("lost the connection: the server sent text");
}

#[test]
fn a_refusal_is_one_line() {
    for (answer, reason) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "401 Unauthorized: give a token with --token-file"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found: no WebSocket is at this address"),
        ("HTTP/1.1 200 OK\r\n\r\n", "200 OK: no WebSocket is at this address"),
        ("\x05hello", "the server does not speak WebSocket here"),
    ] {
        let server = Played::open();
        let mut terminal = Terminal::start(&[&format!("ws://{}", server.address())]);
        let mut stream = server.accept_stream();
        assert!(stream.read(&mut [0; 4096]).expect("a question") > 0);
        stream.write_all(answer.as_bytes()).expect("the client is there");
        drop(stream);
        assert_eq!(terminal.wait_for_end(), 70, "{}", terminal.text());
        let text = terminal.text().replace('\n', "");
        assert!(text.contains(reason), "{text}");
        assert_eq!(text.matches("zillions: error:").count(), 1, "{text}");
    }
}
