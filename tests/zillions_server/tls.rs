//! TLS addresses: encrypted clients and plain ones in one room, who is refused how, and files that
//! change.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;
use tungstenite::Message;

use crate::config::{Configured, outcome};
use crate::one_order::{MESSAGES, assert_one_order};
use crate::support::{frame, receive, send};

/// An authority, and the files of those that it has signed.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `NAME.pem` and `NAME.key`, for that name.
    pub(crate) fn sign(&self, name: &str) {
        self.sign_as(name, name, |_| {});
    }

    /// Makes `FILE.pem` and `FILE.key`, for that name.
    pub(crate) fn sign_as(
        &self,
        file: &str,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{file}.pem")), signed.pem()).expect("a file");
        let path = self.path(&format!("{file}.key"));
        fs::write(&path, key.serialize_pem()).expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
    }

    /// The files of a server that is called localhost.
    pub(crate) fn options(&self) -> String {
        let (certificate, key) = (self.path("localhost.pem"), self.path("localhost.key"));
        format!(
            "certificate_file = \"{}\"\nkey_file = \"{}\"\n",
            certificate.display(),
            key.display()
        )
    }

    /// A client that trusts this authority, perhaps with a certificate of its own.
    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Path>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let chain = CertificateDer::from_pem_file(path.with_extension("pem"));
                let key = PrivateKeyDer::from_pem_file(path.with_extension("key"));
                let chain = vec![chain.expect("a certificate")];
                builder.with_client_auth_cert(chain, key.expect("a key")).expect("they fit")
            }
        })
    }
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// One room at a plain, a `tls://` and a `wss://` address.
struct Secured {
    configured: Configured,
    plain: String,
    tls: String,
    web: String,
}

impl Secured {
    fn start(authority: &Authority, more: &str) -> Self {
        let mut configured = Configured::start(&config(&(authority.options() + more)));
        let plain = configured.next_address();
        let mut next = |scheme: &str| {
            let address = configured.next_address();
            address.strip_prefix(scheme).expect("the address as it was given").to_owned()
        };
        let (tls, web) = (next("tls://"), next("wss://"));
        Self { configured, plain, tls, web }
    }

    /// A handshake at the `tls://` address. The error is what the client says.
    fn try_tls(&self, config: &Arc<ClientConfig>) -> Result<TlsStream, String> {
        shake_hands(config, self.configured.connect(&self.tls))
    }

    fn tls(&self, authority: &Authority) -> TlsStream {
        self.try_tls(&authority.client(rustls::ALL_VERSIONS, None)).expect("a handshake")
    }

    /// A plain client that is served, whatever others do.
    fn witness(&self) -> Witness {
        Witness(self.configured.connect(&self.plain))
    }
}

fn shake_hands(config: &Arc<ClientConfig>, mut socket: TcpStream) -> Result<TlsStream, String> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
    while client.is_handshaking() {
        client.complete_io(&mut socket).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(client, socket))
}

fn config(of_tls: &str) -> String {
    format!(
        "[server]\nmetrics = \"127.0.0.1:0\"\n[[room]]\nname = \"lobby\"\n\
         listen = [\"127.0.0.1:0\", \"tls://127.0.0.1:0\", \"wss://127.0.0.1:0\"]\n\
         ring_bytes = \"1MiB\"\n[tls]\n{of_tls}"
    )
}

struct Witness(TcpStream);

impl Witness {
    fn is_served(&mut self) {
        send(&mut self.0, b"undisturbed");
        assert_eq!(receive(&mut self.0).as_deref(), Some(&b"undisturbed"[..]));
    }
}

fn signed() -> Authority {
    let authority = Authority::new();
    authority.sign("localhost");
    authority
}

/// Sends its messages, and receives everybody's.
fn converse(mut client: impl Read + Write, who: u8, total: usize) -> Vec<Vec<u8>> {
    for number in 0..MESSAGES {
        send(&mut client, &[who, number]);
    }
    (0..total).map(|_| receive(&mut client).expect("a message")).collect()
}

#[test]
fn all_in_a_room_see_one_order_encrypted_or_not() {
    let authority = signed();
    let server = Secured::start(&authority, "");
    let versions = [[&rustls::version::TLS12], [&rustls::version::TLS13]];
    let mut clients: Vec<TlsStream> = versions
        .iter()
        .map(|versions| server.try_tls(&authority.client(versions, None)).expect("a handshake"))
        .collect();
    // With TLS 1.3 a client believes that it is connected before the server does, and is right.
    let mut program = server.configured.connect(&server.plain);
    send(&mut program, b"all are there");
    for client in clients.iter_mut().map(|it| it as &mut dyn Read).chain([&mut program as _]) {
        assert_eq!(receive(client).as_deref(), Some(&b"all are there"[..]));
    }
    let total = 3 * usize::from(MESSAGES);
    let sequences: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
        let mut threads = vec![scope.spawn(move || converse(program, 2, total))];
        for (who, client) in (0..).zip(clients) {
            threads.push(scope.spawn(move || converse(client, who, total)));
        }
        threads.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    assert_one_order(&sequences);
}

#[test]
fn a_browser_s_client_and_its_page_come_over_tls() {
    let authority = signed();
    let server = Secured::start(&authority, "");
    let client = authority.client(rustls::ALL_VERSIONS, None);
    let open = || shake_hands(&client, server.configured.connect(&server.web)).expect("TLS");
    let url = format!("wss://{}/", server.web);
    let (mut web, _) = tungstenite::client(url, open()).expect("a WebSocket");
    let mut tls = server.tls(&authority);
    send(&mut tls, b"a program");
    assert_eq!(receive(&mut tls).as_deref(), Some(&b"a program"[..]));
    assert_eq!(web.read().expect("a message"), Message::binary(frame(b"a program")));
    web.send(Message::binary(frame(b"a page"))).expect("it is sent");
    assert_eq!(web.read().expect("a message"), Message::binary(frame(b"a page")));
    assert_eq!(receive(&mut tls).as_deref(), Some(&b"a page"[..]));

    let mut page = open();
    page.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is sent");
    let mut text = String::new();
    page.read_to_string(&mut text).expect("the page, and an end that is said");
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("<!doctype html>"), "{text}");

    // What is not masked breaks WebSocket inside TLS: its code arrives, and then TLS's end.
    let mut wrong = open();
    let opening = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    wrong.write_all(&[opening.as_bytes(), &[0x82, 2, 1, b'x']].concat()).expect("it is sent");
    let mut answer = Vec::new();
    wrong.read_to_end(&mut answer).expect("an end that is said");
    assert!(answer.ends_with(&[0x88, 2, 0x03, 0xea]), "{answer:?}");

    server.configured.terminate();
    let Message::Close(Some(close)) = web.read().expect("a close frame") else {
        panic!("no close")
    };
    assert_eq!(u16::from(close.code), 1001);
}

#[test]
fn the_end_of_a_stream_is_said_by_both_sides() {
    let authority = signed();
    let server = Secured::start(&authority, "");
    // The client's: it is sent what is due to it, and then the server's.
    let mut leaver = server.tls(&authority);
    let burst: Vec<u8> = (0..100_u8).flat_map(|number| frame(&[number; 200])).collect();
    leaver.write_all(&burst).expect("it is sent");
    leaver.write_all(b"\x09rest").expect("and half a frame");
    leaver.conn.send_close_notify();
    leaver.flush().expect("it is sent");
    let mut received = Vec::new();
    leaver.read_to_end(&mut received).expect("an end that is said");
    assert!(received == burst, "{} bytes", received.len());
    // A client that only closes the connection is at its end, too.
    let mut abrupt = server.tls(&authority);
    send(&mut abrupt, b"last");
    abrupt.sock.shutdown(Shutdown::Write).expect("half a close");
    received.clear();
    abrupt.read_to_end(&mut received).expect("an end that is said");
    assert!(received == frame(b"last"), "{received:?}");

    let mut client = server.tls(&authority);
    send(&mut client, b"hello");
    assert_eq!(receive(&mut client).as_deref(), Some(&b"hello"[..]));
    server.configured.terminate();
    received.clear();
    client.read_to_end(&mut received).expect("the stop is said");
    assert!(received.is_empty());
}

#[test]
fn a_slow_reader_misses_whole_messages_and_holds_up_nobody() {
    let authority = signed();
    let server = Secured::start(&authority, "");
    let mut slow = server.tls(&authority);
    send(&mut slow, b"here");
    assert_eq!(receive(&mut slow).as_deref(), Some(&b"here"[..]));
    let mut program = server.configured.connect(&server.plain);
    // More than all buffers between hold.
    let body = [7; 255];
    for _ in 0..40_000 {
        send(&mut program, &body);
        assert_eq!(receive(&mut program).as_deref(), Some(&body[..]));
    }
    send(&mut program, b"the last");
    let mut received = 0;
    loop {
        match receive(&mut slow).expect("the stream continues") {
            message if message == b"the last" => break,
            message => assert!(message == body, "a whole message"),
        }
        received += 1;
    }
    assert!(received < 40_000, "it was slow: {received}");
}

#[test]
fn what_is_not_tls_or_stops_in_the_middle_is_closed_and_disturbs_nobody() {
    let authority = signed();
    let server = Secured::start(&authority, "");
    let mut witness = server.witness();
    // The first bytes of a client's question.
    let mut stalled = server.configured.connect(&server.tls);
    stalled.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1]).expect("it is sent");
    let mut silent = server.configured.connect(&server.web);
    for address in [&server.tls, &server.web] {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x05hello", &[0x16; 100_000]] {
            let mut stream = server.configured.connect(address);
            // It may be reset before all of it has been taken.
            let _ = stream.write_all(bytes);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty() || answer[0] == 0x15, "an alert: {answer:?}");
            witness.is_served();
        }
    }
    // Those that say no more are closed in time, ten seconds.
    for stream in [&mut stalled, &mut silent] {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is closed");
    }
    witness.is_served();
    // Plaintext after a handshake is none, either.
    let mut client = server.tls(&authority);
    send(&mut client, b"hello");
    assert_eq!(receive(&mut client).as_deref(), Some(&b"hello"[..]));
    client.sock.write_all(b"\x05hello").expect("it is sent");
    let error = client.read(&mut [0; 1]).expect_err("an alert");
    assert!(error.to_string().contains("fatal alert"), "{error}");
}

#[test]
fn certificates_change_with_a_reload_and_stay_if_the_new_ones_cannot_be_used() {
    let (authority, later) = (signed(), signed());
    let mut server = Secured::start(&authority, "");
    let mut before = server.tls(&authority);
    for name in ["localhost.pem", "localhost.key"] {
        fs::copy(later.path(name), authority.path(name)).expect("a file");
    }
    server.configured.reload(&config(&authority.options()));
    server.configured.log_line_with("config file reloaded");
    let of_old = authority.client(rustls::ALL_VERSIONS, None);
    server.try_tls(&of_old).expect_err("another authority's");
    let mut after = server.tls(&later);

    // A key that does not fit, a file that is cut, and none.
    let certificate = authority.path("localhost.pem");
    authority.sign("localhost");
    fs::copy(later.path("localhost.pem"), &certificate).expect("a file");
    for (text, reason) in [
        (None, "it is not the key of the first certificate in"),
        (Some("-----BEGIN CERTIFICATE-----\n"), "invalid PEM"),
        (Some(""), "there is no certificate in it"),
    ] {
        if let Some(text) = text {
            fs::write(&certificate, text).expect("a file");
        }
        server.configured.reload(&config(&authority.options()));
        let line = server.configured.log_line_with("config file not reloaded");
        assert!(line.contains("nothing has changed") && line.contains(reason), "{line}");
        assert!(line.contains("_file '") && line.contains("localhost."), "{line}");
        server.tls(&later);
    }
    send(&mut before, b"still here");
    for client in [&mut before, &mut after] {
        assert_eq!(receive(client).as_deref(), Some(&b"still here"[..]));
    }
}

/// Whether a client is let in: with TLS 1.3 it only learns it when it reads.
fn is_let_in(server: &Secured, client: &Arc<ClientConfig>) -> bool {
    let Ok(mut stream) = server.try_tls(client) else { return false };
    let sent = stream.write_all(&frame(b"hello")).and_then(|()| stream.flush());
    sent.is_ok() && receive(&mut stream).as_deref() == Some(&b"hello"[..])
}

#[test]
fn clients_are_let_in_by_certificate_and_name() {
    let (authority, stranger) = (signed(), Authority::new());
    for name in ["bot.example.org", "other.example.org"] {
        authority.sign(name);
        stranger.sign(name);
    }
    let ca = authority.path("ca.pem");
    let asked = |how: &str, more: &str| {
        format!("client_certificates = \"{how}\"\nclient_ca_file = \"{}\"\n{more}", ca.display())
    };
    let required = asked("required", "");
    let named = asked("required", "allow_client_name = [\"bot.example.org\"]");
    let mut server = Secured::start(&authority, &required);
    let client = |versions: &[&'static SupportedProtocolVersion], own: Option<PathBuf>| {
        authority.client(versions, own.as_deref())
    };
    for (options, expected) in [
        (required, [false, true, true, false]),
        (asked("optional", ""), [true, true, true, false]),
        (named, [false, true, false, false]),
        (String::new(), [true, true, true, true]),
    ] {
        server.configured.reload(&config(&(authority.options() + &options)));
        server.configured.log_line_with("config file reloaded");
        for versions in [[&rustls::version::TLS12], [&rustls::version::TLS13]] {
            let clients = [
                client(&versions, None),
                client(&versions, Some(authority.path("bot.example.org.x"))),
                client(&versions, Some(authority.path("other.example.org.x"))),
                client(&versions, Some(stranger.path("bot.example.org.x"))),
            ];
            assert_eq!(clients.map(|client| is_let_in(&server, &client)), expected, "{options}");
        }
    }
}

#[test]
fn files_that_are_wrong_end_the_start_and_those_that_are_doubtful_are_named() {
    let authority = signed();
    let path = |name: &str| authority.path(name).display().to_string();
    let start = |certificate: &str, key: &str| {
        let (certificate, key) = (path(certificate), path(key));
        outcome(&["--certificate-file", &certificate, "--key-file", &key, "tls://127.0.0.1:0"])
    };
    authority.sign("other");
    for (outcome, expected) in [
        (start("localhost.pem", "other.key"), "it is not the key of the first certificate in"),
        (start("localhost.pem", "none.key"), "cannot read it: No such file or directory"),
        (outcome(&["tls://127.0.0.1:0"]), "requires --certificate-file and --key-file"),
        (
            outcome(&["--key-file", "key", "127.0.0.1:0"]),
            "--key-file requires an address that begins with tls:// or wss://",
        ),
    ] {
        let (code, stdout, stderr) = outcome;
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(64), "", 1), "{stderr}");
        assert!(
            stderr.starts_with("zillions-server: error: ") && stderr.contains(expected),
            "{stderr}"
        );
    }
    let state = [("has expired", 1999, 2000), ("is not valid yet", 4000, 4001)];
    for (state, from, until) in state {
        authority.sign_as("localhost", "localhost", |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        });
        fs::set_permissions(path("localhost.key"), PermissionsExt::from_mode(0o644)).expect("ours");
        let mut server = Secured::start(&authority, "");
        server.configured.log_line_with("everybody may read the private key in");
        server.configured.log_line_with(state);
        server.witness().is_served();
    }
}

#[test]
fn a_check_warns_of_what_running_warns_of_and_finds_it_valid() {
    let authority = signed();
    let token = authority.path("token");
    fs::write(&token, "a-token-of-sufficient-length\n").expect("a file");
    let config = authority.path("zillions.toml");
    let secrets = [authority.path("localhost.key"), token.clone()];
    let check = |log_level: &str, secrets_mode: u32| {
        for secret in &secrets {
            fs::set_permissions(secret, PermissionsExt::from_mode(secrets_mode)).expect("ours");
        }
        let text = format!(
            "[server]\nlog_level = \"{log_level}\"\nadmin = \"127.0.0.1:0\"\n\
             admin_token_file = \"{token}\"\n[[room]]\nname = \"lobby\"\n\
             listen = [\"tls://127.0.0.1:0\", \"wss://127.0.0.1:0\"]\n\
             [websocket]\ntoken_file = \"{token}\"\n[tls]\n{tls}",
            token = token.display(),
            tls = authority.options()
        );
        fs::write(&config, text).expect("a file");
        outcome(&["--check-config", config.to_str().expect("text")])
    };
    let valid = format!("{}: valid\n", config.display());
    assert_eq!(check("info", 0o600), (Some(0), valid.clone(), String::new()));

    authority.sign_as("localhost", "localhost", |params| {
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(2000, 1, 1);
    });
    // Whatever is logged when it runs.
    for log_level in ["info", "error"] {
        let (code, stdout, stderr) = check(log_level, 0o644);
        assert_eq!((code, &stdout), (Some(0), &valid), "{stderr}");
        let mut warnings: Vec<&str> =
            stderr.lines().map(|it| it.split("WARN ").last().unwrap()).collect();
        warnings.sort_unstable();
        let [token, key] = [&token, &secrets[0]].map(|path| path.display().to_string());
        let certificate = authority.path("localhost.pem");
        let of_token = format!("others may read the token in '{token}': chmod 600 it");
        let expected = [
            format!("everybody may read the private key in '{key}': chmod 640 it"),
            of_token.clone(),
            of_token,
            format!(
                "the certificate in '{}' has expired: clients will refuse it",
                certificate.display()
            ),
        ];
        assert_eq!(warnings, expected);
    }
}
