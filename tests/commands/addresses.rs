//! A service of several addresses, for `check` and `stresstest`: one that is one, and what only
//! looks like one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zillions_harness::{Launch, PortLease, Server, StartOptions};
use zillions_report::record::TrialResult;
use zillions_report::results::Results;
use zillions_report::verdict::{Validity, judge};
use zillions_testing::{Relay, RelayedOrder};

use crate::support::{Ended, STRESSTEST, Script, ZILLIONS, run};
use crate::workspace::Workspace;

const SERVER: &str = env!("CARGO_BIN_EXE_zillions-server");

/// The reference server, on so many addresses of its own.
struct Service {
    server: Server,
    addresses: Vec<SocketAddr>,
    _leases: Vec<PortLease>,
}

impl Service {
    fn at(addresses: usize) -> Self {
        let lease = |_| PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        let leases: Vec<PortLease> = (0..addresses).map(lease).collect();
        let addresses: Vec<SocketAddr> = leases.iter().map(PortLease::address).collect();
        let more_addresses = addresses[1..].to_vec();
        let launch = Launch { more_addresses, ..Launch::new(SERVER) };
        let options = StartOptions { ready_seconds_max: 60.0, ..StartOptions::default() };
        let first = addresses[0].to_string();
        let server = Server::start(&launch, &first, &options).expect("it starts");
        Self { server, addresses, _leases: leases }
    }
}

/// `--connect` for each of `addresses`.
fn connected(program: &str, before: &[&str], addresses: &[SocketAddr], after: &[&str]) -> Ended {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let options = texts.iter().flat_map(|address| ["--connect", address]);
    let arguments: Vec<&str> =
        before.iter().copied().chain(options).chain(after.iter().copied()).collect();
    run(program, &arguments)
}

fn check(addresses: &[SocketAddr], options: &[&str]) -> Ended {
    connected(ZILLIONS, &["check"], addresses, options)
}

fn stress(addresses: &[SocketAddr], options: &[&str]) -> Ended {
    connected(STRESSTEST, &[], addresses, options)
}

pub(crate) fn one_service_at_two_addresses_passes() {
    let service = Service::at(2);
    let ended = check(&service.addresses, &["--quick", "--strict"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let [first, second] = [0, 1].map(|at| service.addresses[at].to_string());
    assert!(ended.stdout.contains(&format!("{first}, {second}: pass (")), "{}", ended.stdout);
    let ended = stress(&service.addresses, &["-r", "2", "-m", "50"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.starts_with("drop rate: 0.0000 % (0 of 1600"), "{}", ended.stdout);
    // Started with both, and told of them when it has both.
    let addresses = ["-a", "127.0.0.1:0", "-a", "127.0.0.1:0", "-r", "1", "-m", "20"];
    let ended = run(STRESSTEST, &[&addresses[..], &[SERVER]].concat());
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

pub(crate) fn two_servers_that_share_nothing_are_no_service() {
    let (one, other) = (Service::at(1), Service::at(1));
    let addresses = [one.addresses[0], other.addresses[0]];
    let ended = check(&addresses, &["--case", "fanout/two"]);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    for needed in ["FANOUT-1: Each message goes to every connected client", "(client, from "] {
        assert!(ended.stdout.contains(needed), "{needed}: {}", ended.stdout);
    }
    let rerun =
        format!("rerun       zillions check --connect {} --connect {}", addresses[0], addresses[1]);
    assert!(ended.stdout.contains(&rerun), "{}", ended.stdout);
    let ended = stress(&addresses, &["-r", "1", "-m", "5", "-t", "0.1"]);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    let expected = "FANOUT-1 is broken in repetition 1 (seed 0)";
    assert!(ended.line().contains(expected), "{}", ended.line());
    assert!(
        ended.stdout.contains("does not reach all clients at all addresses"),
        "{}",
        ended.stdout
    );
}

/// Measures what runs at `addresses`, in a small scenario.
fn bench(workspace: &Workspace, addresses: &[SocketAddr], options: &[&str]) -> Ended {
    let (scenario, out) = (workspace.path("small.toml"), workspace.path("out"));
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let connect = texts.iter().flat_map(|address| ["--connect", address]);
    let mut arguments = vec!["bench", "--scenario", &scenario, "--out", &out];
    arguments.extend(connect.chain(options.iter().copied()));
    workspace.run(&arguments)
}

pub(crate) fn a_running_service_of_two_addresses_is_measured() {
    let service = Service::at(2);
    let pid = service.server.pid().to_string();
    for options in [&[][..], &["--pid", &pid]] {
        let workspace = Workspace::new();
        let ended = bench(&workspace, &service.addresses, options);
        // One trial ranks nothing.
        assert_eq!(ended.code, 2, "{}{}", ended.stdout, ended.stderr);
        let results = Results::read(&workspace.results()).unwrap();
        let texts: Vec<String> = service.addresses.iter().map(SocketAddr::to_string).collect();
        assert_eq!(results.run.targets[0].addresses, texts);
        assert_eq!(results.trials.len(), 2);
        for trial in &results.trials {
            let TrialResult::Measured(figures) = &trial.result else { panic!("{trial:?}") };
            assert_eq!(figures.pairs.delivered, 100 * 4, "{figures:?}");
            assert_ne!(judge(figures).validity, Validity::Incorrect);
            match (&figures.server, options.is_empty()) {
                (None, true) => assert_eq!(figures.others_cpu_share, None),
                (Some(server), false) => {
                    assert!(server.threads >= 1 && server.peak_resident_bytes > 0);
                    assert_eq!(server.start_seconds, None);
                }
                (server, _) => panic!("{options:?}: {server:?}"),
            }
        }
        let resumed = run(ZILLIONS, &["bench", "--resume", &workspace.path("out")]);
        assert_eq!(resumed.code, 64, "{}", resumed.stderr);
        assert!(resumed.line().contains("was running already"), "{}", resumed.line());
    }
    assert!(service.server.exited().is_none(), "it is left running");
}

pub(crate) fn two_servers_that_share_nothing_are_not_measured() {
    let (one, other) = (Service::at(1), Service::at(1));
    let workspace = Workspace::new();
    let ended = bench(&workspace, &[one.addresses[0], other.addresses[0]], &[]);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("1 failed the check"), "{}", ended.stderr);
}

pub(crate) fn a_running_service_that_cannot_be_measured_is_told_in_one_line() {
    let service = Service::at(1);
    let address = service.addresses[0].to_string();
    for (options, expected) in [
        (&["--connect", &address, "--pid", "4194304"][..], "process 4194304 cannot be measured"),
        (&["--connect", &address, "--connect", &address], "is given twice"),
    ] {
        let ended = run(ZILLIONS, &[&["bench"], options].concat());
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        assert!(ended.line().contains(expected), "{}", ended.line());
    }
    for options in [&["--pid", "1"][..], &["--connect", &address, "std-mpsc"]] {
        let ended = run(ZILLIONS, &[&["bench"], options].concat());
        assert_eq!(ended.code, 64, "{}", ended.stderr);
    }
}

pub(crate) fn one_message_that_overtakes_at_one_address_breaks_the_total_order() {
    let service = Service::at(1);
    let server = service.addresses[0];
    let at_two = |order| [server, Relay::start(server, order).expect("a relay").address()];
    let (case, load) =
        (["--case", "order/two-receivers-agree"], ["-r", "20", "-m", "400", "-p", "4"]);
    // The relay itself is no reason.
    let ended = check(&at_two(RelayedOrder::Kept), &case);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let ended = check(&at_two(RelayedOrder::OwnMessageFirst), &case);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("TOTAL (ORDER-3) is broken"), "{}", ended.stdout);
    let ended = stress(&at_two(RelayedOrder::OwnMessageFirst), &load);
    assert_eq!(ended.code, 1, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.line().contains("ORDER-3 is broken"), "{}", ended.stderr);
}

pub(crate) fn addresses_that_cannot_be_used_are_told_in_one_line() {
    let service = Service::at(1);
    let (there, script) = (service.addresses[0].to_string(), Script::server(""));
    let (nowhere, mapped) = (script.address(), there.replace("127.0.0.1", "[::ffff:127.0.0.1]"));
    let twice = format!("address {there} is given twice: name each node once");
    let in_two_spellings = format!("address {mapped} is given twice, as {there}");
    let nobody = format!("no server can be reached at {nowhere}: connection refused");
    for (second, code, expected) in [
        (there.as_str(), 64, twice.as_str()),
        (&mapped, 64, &in_two_spellings),
        ("localhost:8080", 64, "invalid address 'localhost:8080': write HOST:PORT with an IP"),
        (&nowhere, 70, &nobody),
    ] {
        let ended = run(ZILLIONS, &["check", "--connect", &there, "--connect", second]);
        assert_eq!((ended.code, &*ended.stdout), (code, ""), "{second}: {}", ended.stderr);
        assert!(ended.line().contains(expected), "{second}: {}", ended.line());
    }
    for program in [&["check"][..], &[]] {
        let name = script.name();
        let both = [program, &["--connect", &there, &name]].concat();
        let ended = run(if program.is_empty() { STRESSTEST } else { ZILLIONS }, &both);
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        assert!(ended.stderr.contains("cannot be used with"), "{}", ended.stderr);
    }
    let ended = run(STRESSTEST, &["--connect", &there, "--connect", &nowhere, "-r", "1"]);
    assert_eq!(ended.code, 70, "{}", ended.stderr);
    assert!(ended.line().contains(&format!("cannot connect to {nowhere}")), "{}", ended.line());
}
