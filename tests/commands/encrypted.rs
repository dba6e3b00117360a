//! The suite over TLS: its clients are plain, so a bridge carries each connection.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

use crate::support::{Ended, ZILLIONS, run};

const SERVER: &str = env!("CARGO_BIN_EXE_zillions-server");

/// The reference server at a `tls://` address.
struct Encrypted {
    process: Child,
    _folder: TempDir,
    bridge: SocketAddr,
}

impl Encrypted {
    fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let certificate = write("certificate.pem", cert.pem());
        let key = write("key.pem", signing_key.serialize_pem());
        let mut command = Command::new(SERVER);
        command.arg("--certificate-file").arg(certificate).arg("--key-file").arg(key);
        command.arg("tls://127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it serves");
        let address = line.trim_end().strip_prefix("listening on tls://").expect("its address");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let bridge = bridge(address.parse().expect("an address"), Arc::new(config));
        Self { process, _folder: folder, bridge: bridge.expect("a port") }
    }

    fn check(&self, options: &[&str]) -> Ended {
        let bridge = self.bridge.to_string();
        run(ZILLIONS, &[&["check", "--connect", &bridge][..], options].concat())
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Accepts plain connections for as long as the process lives, and carries each over TLS.
fn bridge(server: SocketAddr, config: Arc<ClientConfig>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for plain in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that cannot be served sees its connection end. Handshakes take their time,
            // and a burst of clients waits for none but its own.
            thread::spawn(move || carry(plain, server, &config));
        }
    });
    Ok(address)
}

/// One connection over TLS, and its state.
struct Carried {
    socket: TcpStream,
    tls: Mutex<ClientConnection>,
}

impl Carried {
    fn tls(&self) -> MutexGuard<'_, ClientConnection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Encrypts what `write` writes, and sends it. Only one thread sends, so it waits for the
    /// socket without the lock, and what it reads meanwhile is decrypted.
    fn send(&self, write: impl FnOnce(&mut ClientConnection)) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut tls = self.tls();
        write(&mut tls);
        while tls.wants_write() {
            tls.write_tls(&mut bytes)?;
        }
        drop(tls);
        (&self.socket).write_all(&bytes)
    }
}

/// Carries one connection, on two threads, once its handshake is complete.
fn carry(plain: TcpStream, server: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<()> {
    let mut socket = TcpStream::connect(server)?;
    plain.set_nodelay(true)?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    tls.set_buffer_limit(None);
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    let carried = Arc::new(Carried { socket, tls: Mutex::new(tls) });
    let (sender, reader) = (Arc::clone(&carried), plain.try_clone()?);
    thread::spawn(move || {
        if up(&reader, &sender).is_err() {
            // What was reset on one side is reset on the other.
            let socket = socket2::SockRef::from(&sender.socket);
            let _ = socket.set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Both);
        }
    });
    thread::spawn(move || {
        let _ = down(&carried, &plain);
        let _ = plain.shutdown(Shutdown::Write);
    });
    Ok(())
}

fn up(mut plain: &TcpStream, carried: &Carried) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = plain.read(&mut buffer)?;
        // The rest of a frame may wait for that, and what comes back after it comes too late.
        socket2::SockRef::from(plain).set_tcp_quickack(true)?;
        carried.send(|tls| match count {
            0 => tls.send_close_notify(),
            _ => tls.writer().write_all(&buffer[..count]).expect("there is no limit"),
        })?;
        if count == 0 {
            return carried.socket.shutdown(Shutdown::Write);
        }
    }
}

fn down(carried: &Carried, mut plain: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4 * 1024];
    loop {
        let count = (&carried.socket).read(&mut buffer)?;
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            let mut tls = carried.tls();
            tls.read_tls(&mut bytes)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut plaintext)?;
            drop(tls);
            plain.write_all(&plaintext)?;
            if state.peer_has_closed() {
                return Ok(());
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// Checks with these options that a TLS listener conforms.
fn conforms(options: &[&str]) {
    let server = Encrypted::start();
    let ended = server.check(options);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(&format!("{}: pass (", server.bridge)), "{}", ended.stdout);
}

pub(crate) fn a_part_of_the_suite_passes_over_tls() {
    let cases = [
        "order/with-churn",
        "frame/two-segments",
        "frame/filled-buffers",
        "end/reset-in-mid-frame",
        "end/echo-after-end",
        "end/close-after-backlog",
    ];
    let options = cases.iter().flat_map(|case| ["--case", case]);
    conforms(&["--quick", "--strict"].into_iter().chain(options).collect::<Vec<_>>());
}

pub(crate) fn the_suite_passes_over_tls() {
    conforms(&["--strict"]);
}
