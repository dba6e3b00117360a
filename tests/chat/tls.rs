//! `tls://`: encrypted, and only with a server that can be trusted.

use std::fs;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::servers::{Peer, Played};
use crate::terminal::Terminal;

/// A certificate for localhost, which is its own authority.
pub(crate) struct Identity {
    folder: TempDir,
    pub(crate) config: Arc<ServerConfig>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), cert.pem()).expect("a file");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a key that fits");
        Self { folder, config: Arc::new(config) }
    }

    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// Takes a connection; the handshake is made by what is read first.
    pub(crate) fn accept(
        &self,
        server: &Played,
    ) -> StreamOwned<ServerConnection, std::net::TcpStream> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).expect("a connection");
        StreamOwned::new(connection, server.accept_stream())
    }
}

#[test]
fn what_is_typed_arrives_and_what_others_say_is_shown() {
    let (server, identity) = (Played::open(), Identity::new());
    let address = format!("tls://localhost:{}", server.port());
    let mut terminal = Terminal::start(&["--tls-ca", &identity.ca(), &address]);
    let mut stream = identity.accept(&server);
    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    let mut peer = Peer::on(stream);
    terminal.wait_for(&format!("connected to {address}"));
    // More than fits one record, and than is read at once.
    for _ in 0..100 {
        peer.say(&[b'x'; 255]);
    }
    peer.say(b"bob: hello");
    terminal.wait_for("bob: hello");
    terminal.press("hello yourself\r");
    assert_eq!(peer.hear().expect("a message"), b"ann: hello yourself");

    peer.stream.conn.send_close_notify();
    std::io::Write::flush(&mut peer.stream).expect("the client is there");
    drop(peer);
    terminal.wait_for("lost the connection: the server closed the connection");
    terminal.press("\x03");
    assert_eq!(terminal.wait_for_end(), 0, "{}", terminal.text());
    terminal.is_as_before();
}

/// What it says to a server that it cannot trust or understand.
fn refusal(terminal: &mut Terminal) -> String {
    assert_eq!(terminal.wait_for_end(), 70, "{}", terminal.text());
    terminal.text().replace('\n', "")
}

#[test]
fn a_server_of_an_unknown_authority_or_another_name_is_refused() {
    let (server, identity, other) = (Played::open(), Identity::new(), Identity::new());
    for (host, ca, reason) in [
        ("localhost", other.ca(), "unknown authority: name it with --tls-ca FILE"),
        ("127.0.0.1", identity.ca(), "not valid for name"),
    ] {
        let address = format!("tls://{host}:{}", server.port());
        let mut terminal = Terminal::start(&["--tls-ca", &ca, &address]);
        let mut stream = identity.accept(&server);
        stream.conn.complete_io(&mut stream.sock).expect_err("the client refuses");
        let text = refusal(&mut terminal);
        assert!(text.contains(&format!("cannot connect to {address}: ")), "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_in_one_line() {
    let (server, identity) = (Played::open(), Identity::new());
    let address = format!("tls://localhost:{}", server.port());
    let mut terminal = Terminal::start(&["--tls-ca", &identity.ca(), &address]);
    let mut peer = server.accept();
    peer.say(b"bob: hello");
    let text = refusal(&mut terminal);
    assert!(text.contains("the server does not speak TLS here"), "{text}");

    let mut terminal = Terminal::start(&["--tls-ca", &identity.ca(), &address]);
    // It hangs up without an answer, having read the question, so that nothing is reset.
    let mut stream = server.accept_stream();
    assert!(std::io::Read::read(&mut stream, &mut [0; 4096]).expect("a question") > 0);
    drop(stream);
    let text = refusal(&mut terminal);
    assert!(text.contains("the server closed the connection during the TLS handshake"), "{text}");
}
