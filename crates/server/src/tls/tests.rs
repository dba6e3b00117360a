//! The codec beside the library's own client, and files that cannot be used.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use zillions_protocol::FRAME_BYTES_MAX;

use super::*;
use crate::codec::{DECODE_BYTES_MAX, ENCODE_BYTES_MAX};
use crate::disconnect_reason::DisconnectReason;
use crate::options::{ClientCertificates, TlsOptions};

/// A certificate for localhost, its own authority, and its key, in files.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        files.write("certificate.pem", &made.cert.pem());
        files.write("key.pem", &made.signing_key.serialize_pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn options(&self) -> TlsOptions {
        TlsOptions {
            certificate_file: Some(self.path("certificate.pem")),
            key_file: Some(self.path("key.pem")),
            ..TlsOptions::default()
        }
    }
}

/// A client of the library and a codec, in memory.
struct Pair {
    client: ClientConnection,
    codec: Box<dyn Codec>,
    /// What the client has received.
    received: Vec<u8>,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let files = Files::new();
        let mut roots = RootCertStore::empty();
        let authorities = pem::certificates("", &files.path("certificate.pem")).expect("a file");
        roots.add_parsable_certificates(authorities);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        client.set_buffer_limit(None);
        let config = server_config(&files.options()).expect("a config");
        Self { client, codec: Tls::new(config, None).codec(), received: Vec::new() }
    }

    /// Both say what they have to say until neither has more; returns the decoded plaintext.
    fn talk(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut frames = frames;
        loop {
            let mut up = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut up).expect("memory");
            }
            for bytes in up.chunks(DECODE_BYTES_MAX) {
                self.codec.receive(bytes).expect("valid TLS");
                let mut buffer = [0; 1000];
                loop {
                    match self.codec.decoded(&mut buffer) {
                        0 => break,
                        length => decoded.extend_from_slice(&buffer[..length]),
                    }
                }
            }
            let mut down = Vec::new();
            if self.codec.is_open() || frames.is_empty() {
                self.codec.encode(std::mem::take(&mut frames), &mut down);
            } else {
                self.codec.encode(&[], &mut down);
            }
            assert!(!self.codec.has_output(), "all of it");
            if up.is_empty() && down.is_empty() {
                return decoded;
            }
            self.hear(&down);
        }
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).expect("memory");
            let state = self.client.process_new_packets().expect("valid TLS");
            let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
            self.client.reader().read_exact(&mut plaintext).expect("so much is there");
            self.received.append(&mut plaintext);
        }
    }
}

#[test]
fn plaintext_comes_through_both_ways_and_the_end_is_said() {
    for version in [&version::TLS12, &version::TLS13] {
        let mut pair = Pair::new(version);
        assert!(!pair.codec.is_open());
        // Much more than the library holds at once, in records that packets cut anywhere.
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        pair.client.writer().write_all(&sent).expect("it is kept");
        assert!(pair.talk(&[]) == sent, "what was sent is decoded");
        assert!(pair.codec.is_open() && !pair.codec.has_ended());
        // As much as the shard encodes at once.
        let frames: Vec<u8> = (0..(ENCODE_BYTES_MAX as usize + FRAME_BYTES_MAX - 1) as u32)
            .map(|number| number as u8)
            .collect();
        assert!(pair.talk(&frames).is_empty());
        pair.client.send_close_notify();
        pair.talk(&[]);
        assert!(pair.codec.has_ended());
        pair.codec.close(DisconnectReason::Closed);
        assert!(pair.codec.has_output());
        pair.talk(&[]);
        assert!(pair.received == frames, "what was encoded is received");
        assert_eq!(pair.client.reader().read(&mut [0]).expect("an end that was said"), 0);
    }
}

#[test]
fn what_is_encoded_at_once_is_one_record() {
    for version in [&version::TLS12, &version::TLS13] {
        let mut pair = Pair::new(version);
        pair.talk(&[]);
        // The limit, and the rest of the last frame.
        let frames = vec![0; ENCODE_BYTES_MAX as usize + FRAME_BYTES_MAX - 1];
        let mut out = Vec::new();
        pair.codec.encode(&frames, &mut out);
        let length = usize::from(u16::from_be_bytes([out[3], out[4]]));
        assert_eq!((out[0], out.len()), (0x17, 5 + length), "application data, and nothing else");
    }
}

#[test]
fn what_is_not_tls_is_refused_with_an_alert() {
    let config = server_config(&Files::new().options()).expect("a config");
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x05hello", &[0xff; 16 * 1024]] {
        let mut codec = Tls::new(Arc::clone(&config), None).codec();
        codec.receive(bytes).expect_err("it is not TLS");
        let mut alert = Vec::new();
        codec.encode(&[], &mut alert);
        assert_eq!((alert.first(), codec.is_open()), (Some(&0x15), false), "{alert:?}");
    }
    // Part of a record is not wrong, and never the whole of a handshake.
    let mut codec = Tls::new(config, None).codec();
    codec.receive(&[0x16, 3, 1, 2, 0, 1]).expect("it may become TLS");
    assert!(!codec.is_open() && !codec.has_output());
}

/// What is said of the files' options, changed; without the folder of the files.
fn refusal(files: &Files, change: impl FnOnce(&mut TlsOptions)) -> String {
    let mut options = files.options();
    change(&mut options);
    let error = server_config(&options).expect_err("it is wrong");
    assert_eq!(error.exit_code(), 64);
    error.to_string().replace(&format!("{}/", files.folder.path().display()), "")
}

fn are_all(refusals: &[(String, &str)]) {
    for (line, expected) in refusals {
        assert!(line.starts_with(expected), "{line}\ninstead of\n{expected}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let files = Files::new();
    let other = Files::new();
    files.write("empty.pem", "");
    files.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    files.write("not-key.pem", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    files.write("short.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let key = |name: &str| refusal(&files, |it| it.key_file = Some(files.path(name)));
    let chain = |name: &str| refusal(&files, |it| it.certificate_file = Some(files.path(name)));
    let other_key = other.path("key.pem");
    let not_its_key = format!("--key-file '{}': it is not the key of", other_key.display());
    are_all(&[
        (
            refusal(&files, |it| it.key_file = None),
            "an address that begins with tls:// or wss:// requires",
        ),
        (key("gone"), "--key-file 'gone': cannot read it: No such file"),
        (
            key("certificate.pem"),
            "--key-file 'certificate.pem': there is no private key in it; PEM without a password",
        ),
        (key("not-key.pem"), "--key-file 'not-key.pem': it is invalid, or"),
        (refusal(&files, |it| it.key_file = Some(other_key)), &not_its_key),
        (
            chain("empty.pem"),
            "--certificate-file 'empty.pem': there is no certificate in it; PEM is expected",
        ),
        (chain("cut.pem"), "--certificate-file 'cut.pem': invalid PEM: "),
        (chain("short.pem"), "--certificate-file 'short.pem': the first certificate is invalid: "),
    ]);
}

#[test]
fn options_of_clients_certificates_that_contradict_each_other_are_named() {
    let files = Files::new();
    files.write("short.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let required = |options: &mut TlsOptions, ca: &str| {
        options.client_certificates = ClientCertificates::Required;
        options.client_ca_file = Some(files.path(ca));
    };
    are_all(&[
        (
            refusal(&files, |it| it.client_ca_file = Some(files.path("certificate.pem"))),
            "--client-ca-file and --allow-client-name require --client-certificates optional or",
        ),
        (
            refusal(&files, |it| it.client_certificates = ClientCertificates::Optional),
            "--client-certificates requires --client-ca-file",
        ),
        (
            refusal(&files, |it| required(it, "short.pem")),
            "--client-ca-file 'short.pem': a certificate is invalid: ",
        ),
        (
            refusal(&files, |it| {
                required(it, "certificate.pem");
                it.allow_client_name = vec!["a b".into()];
            }),
            "--allow-client-name: invalid name 'a b': write a DNS name or an IP address",
        ),
    ]);
}

#[test]
fn keys_of_all_kinds_that_are_offered_are_taken() {
    let files = Files::new();
    for kind in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        let key = KeyPair::generate_for(kind).expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        files.write("certificate.pem", &params.self_signed(&key).expect("a certificate").pem());
        files.write("key.pem", &key.serialize_pem());
        server_config(&files.options()).expect("a config");
    }
}
