//! `zillions bench --ssh`: servers on another machine, the load from here.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use zillions_bench::remote::{self, Link, Remote, RemoteError, RemoteServer, Ssh};
use zillions_bench::{Access, Target, WireFormat};
use zillions_report::record::{CostsRecord, RemoteRecord, TargetRecord};

use super::target::Candidate;
use crate::failure::Failure;

/// How long a server there may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where the servers run, if not here.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct OtherMachine {
    /// Start, sample and stop the servers on another machine, as your ssh knows it; the load comes from
    /// here. Targets are paths of executables there; the same zillions must be installed there, and ssh
    /// must need no password. Nothing is sent over ssh during a trial but samples.
    #[arg(long, value_name = "HOST", requires = "targets", conflicts_with_all = [
        "Filters", "all", "brokers", "connect", "resume",
    ])]
    ssh: Option<String>,
    /// With --ssh: the zillions there, a path or a name on the PATH there.
    #[arg(long, value_name = "PROGRAM", requires = "ssh", default_value = "zillions")]
    ssh_zillions: String,
    /// With --ssh: address of that machine that its servers listen on, without encryption, and that is
    /// reached from here [default: that of the name that ssh connects to].
    #[arg(long, value_name = "IP", requires = "ssh")]
    ssh_address: Option<IpAddr>,
}

impl OtherMachine {
    /// Whether the servers run on another machine.
    pub(super) fn is_asked_for(&self) -> bool {
        self.ssh.is_some()
    }
}

/// What is to be measured there, and the facts of that machine.
pub(super) fn find(
    arguments: &OtherMachine,
    names: &[String],
) -> Result<(Vec<Candidate>, Option<RemoteRecord>), Failure> {
    let Some(host) = &arguments.ssh else { return Ok((Vec::new(), None)) };
    check_names(host, names)?;
    let ip = match arguments.ssh_address {
        Some(ip) => ip,
        None => remote::address_of(host).map_err(Failure::harness)?,
    };
    let ssh = Ssh { host: host.clone(), zillions: arguments.ssh_zillions.clone() };
    let link = Link::open(ssh).map_err(Failure::harness)?;
    let candidates = names.iter().map(|name| candidate(&link, ip, name));
    let candidates = candidates.collect::<Result<_, _>>().map_err(Failure::usage)?;
    let record = RemoteRecord {
        host: host.clone(),
        address: ip.to_string(),
        tool: link.tool().clone(),
        machine: link.machine().clone(),
    };
    Ok((candidates, Some(record)))
}

/// What cannot be right is told before anything is connected to.
fn check_names(host: &str, names: &[String]) -> Result<(), Failure> {
    if host.is_empty() || host.starts_with('-') {
        return Err(Failure::usage(format!("'{host}' is no host for ssh")));
    }
    for (at, name) in names.iter().enumerate() {
        if !name.contains('/') {
            return Err(Failure::usage(format!(
                "'{name}' is not the path of an executable on '{host}': entries are built and looked \
                 up here only; name the built program there, such as zillions/impls/{name}/…"
            )));
        }
        if names[..at].contains(name) {
            return Err(Failure::usage(format!("'{name}' is named twice")));
        }
    }
    Ok(())
}

fn candidate(link: &Arc<Link>, ip: IpAddr, name: &str) -> Result<Candidate, RemoteError> {
    let program = link.look(name)?;
    let record = TargetRecord {
        name: name.to_owned(),
        command: vec![program.path.clone()],
        program_hash: program.hash,
        costs: CostsRecord { binary_bytes: program.binary_bytes, ..CostsRecord::default() },
        ..TargetRecord::default()
    };
    let remote = Remote { link: Arc::clone(link), program: program.path, ip };
    let access = Some(Access::Remote(remote));
    let target = Target { record, access, wire: WireFormat::Zillions };
    // A server is started when it is checked.
    Ok(Candidate { target, check_target: None })
}

/// Starts a server there to be checked from here.
pub(super) fn start_to_check(remote: &Remote) -> Result<(RemoteServer, SocketAddr), String> {
    let server = remote.start().map_err(|error| error.to_string())?;
    let address = server.address();
    match TcpStream::connect_timeout(&address, CONNECT_MAX) {
        Ok(_) => Ok((server, address)),
        Err(error) => Err(format!(
            "it listens on {address} on '{}' and is not reached from here: {error}; does a firewall \
             keep it, or is another --ssh-address needed?",
            remote.link.host()
        )),
    }
}
