//! START: the line on standard output, the address, accepting.

use std::collections::HashSet;
use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use zillions_harness::PortLease;

use crate::backlog::with_backlog;
use crate::support::{Client, Probe, Seen, Server, ensure, raise_descriptor_limit, wait};

fn many_are_served(probe: &Probe, count: usize) -> Seen {
    raise_descriptor_limit();
    let server = probe.start()?;
    let clients = (0..count).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    let mut clients = clients?;
    clients.last_mut().unwrap().send(b"all")?;
    clients.iter_mut().try_for_each(|client| client.expect(b"all"))
}

pub(crate) fn seventy_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 70)
}

pub(crate) fn five_hundred_and_ten_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 510)
}

pub(crate) fn a_thousand_and_thirty_clients_are_served(probe: &Probe) -> Seen {
    many_are_served(probe, 1030)
}

pub(crate) fn five_clients_are_accepted_at_once(probe: &Probe) -> Seen {
    many_are_served(probe, 5)
}

pub(crate) fn who_come_together_are_all_accepted(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    for _ in 0..5 {
        let mut clients = (0..10).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>()?;
        clients[9].round_trip(b"the last")?;
        clients[..9].iter_mut().try_for_each(|client| client.expect(b"the last"))?;
    }
    Ok(())
}

/// More than a faulty server accepts at a time.
const CROWD: usize = 300;

pub(crate) fn hundreds_who_come_together_are_all_accepted(probe: &Probe) -> Seen {
    raise_descriptor_limit();
    let server = probe.start()?;
    server.connect()?.round_trip(b"it is running")?;
    // So that they come together they connect while it is halted.
    server.signal(Signal::STOP);
    let clients = (0..CROWD).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    server.signal(Signal::CONT);
    clients?.last_mut().unwrap().round_trip(b"the last")
}

pub(crate) fn who_joins_in_a_flood_is_accepted(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut flooding, mut witness) = (server.connect()?, server.connect()?);
    let stream = flooding.stream.try_clone().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        // Empty messages, and it reads none: hardly any work for it, and much for the server.
        scope.spawn(move || while flooding.write(&[0; 64 * 1024]).is_ok() {});
        let begun = witness.expect(b"");
        let joined = begun.and_then(|()| server.connect());
        let accepted = joined.and_then(|joiner| is_heard(joiner, probe.patience));
        let _ = stream.shutdown(Shutdown::Both);
        accepted
    })
}

/// How long it waits before it says something again, which may be dropped.
const AGAIN: Duration = Duration::from_millis(200);

/// It hears itself among others, who never pause.
fn is_heard(mut client: Client, patience: Duration) -> Seen {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        client.send(b"here")?;
        let said = Instant::now();
        while said.elapsed() < AGAIN {
            if client.receive_within(AGAIN)?.is_some_and(|body| body == b"here") {
                return Ok(());
            }
        }
    }
    Err("it is not heard".into())
}

pub(crate) fn dropping_is_not_reported_on_standard_output(probe: &Probe) -> Seen {
    let (server, _stalled, _sender) = with_backlog(probe)?;
    has_said_nothing_more(server)
}

/// A port that stays free while it is leased: the system gives it to nobody.
pub(crate) fn lease(host: &str) -> Result<PortLease, String> {
    let host = host.parse().map_err(|_| format!("invalid IP address: {host}"))?;
    PortLease::take(host).map_err(|error| error.to_string())
}

pub(crate) fn start_at(probe: &Probe, address: &str) -> Result<Server, String> {
    let mut command = probe.command();
    command.arg(address);
    Server::spawn(command, probe.patience)
}

pub(crate) fn the_line_is_exact_and_the_only_output(probe: &Probe) -> Seen {
    let lease = lease("127.0.0.1")?;
    let address = lease.address();
    let server = start_at(probe, &address.to_string())?;
    ensure(server.line == format!("listening on {address}\n"), format!("{:?}", server.line))?;
    let mut client = Client::connect(address, None, probe.patience)?;
    client.round_trip(b"hello")?;
    has_said_nothing_more(server)
}

/// Stopped now, it has written nothing to standard output after its line.
pub(crate) fn has_said_nothing_more(mut server: Server) -> Seen {
    server.terminate();
    let status = server.wait()?;
    ensure(status.success(), status.to_string())?;
    let mut rest = String::new();
    let mut output = server.output.take().ok_or("no output")?;
    output.read_to_string(&mut rest).map_err(|error| error.to_string())?;
    ensure(rest.is_empty(), rest)
}

pub(crate) fn leaving_is_not_reported_on_standard_output(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut staying = server.connect()?;
    let mut resetting = server.connect()?;
    resetting.round_trip(b"both are there")?;
    staying.expect(b"both are there")?;
    resetting.reset();
    // The first may be read together with the reset, and before it.
    staying.round_trip(b"it is gone")?;
    staying.round_trip(b"it is long gone")?;
    has_said_nothing_more(server)
}

pub(crate) fn an_empty_room_is_not_reported_on_standard_output(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut only = server.connect()?;
    only.round_trip(b"alone")?;
    only.half_close()?;
    only.expect_end()?;
    has_said_nothing_more(server)
}

pub(crate) fn no_other_address_is_listened_on(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut other = server.address()?;
    other.set_ip([127, 0, 0, 2].into());
    let connected = Client::connect(other, None, probe.patience);
    ensure(connected.is_err(), "connected to another address")?;
    server.connect()?.round_trip(b"here")
}

/// How the system's tables write the loopback addresses, and a socket that listens.
const LOOPBACK: [&str; 2] = ["0100007F", "00000000000000000000000001000000"];

const LISTENS: &str = "0A";

/// The addresses that a process listens on, without the ports.
fn listens_on(pid: u32) -> Result<Vec<String>, String> {
    let directory = format!("/proc/{pid}/fd");
    let links = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let links = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    let sockets: HashSet<String> = links.map(|link| link.display().to_string()).collect();
    let mut addresses = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}"));
        for line in table.unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let owned = sockets.contains(&format!("socket:[{}]", fields[9]));
            if owned && fields[3] == LISTENS {
                addresses.extend(fields[1].split(':').next().map(str::to_owned));
            }
        }
    }
    Ok(addresses)
}

pub(crate) fn one_socket_listens_and_no_more(probe: &Probe) -> Seen {
    for (host, loopback) in ["127.0.0.1", "::1"].into_iter().zip(LOOPBACK) {
        let lease = lease(host)?;
        let server = start_at(probe, &lease.address().to_string())?;
        let addresses = listens_on(server.pid())?;
        ensure(addresses == [loopback], format!("{host}: it listens on {addresses:?}"))?;
    }
    Ok(())
}

pub(crate) fn another_loopback_address_is_listened_on(probe: &Probe) -> Seen {
    let lease = lease("127.0.0.2")?;
    let address = lease.address();
    let server = start_at(probe, &address.to_string())?;
    ensure(server.line == format!("listening on {address}\n"), &server.line)?;
    server.connect()?.round_trip(b"here")
}

pub(crate) fn a_second_instance_is_refused(probe: &Probe) -> Seen {
    is_refused_beside(probe, &probe.start()?)
}

pub(crate) fn a_second_instance_is_refused_on_ipv6(probe: &Probe) -> Seen {
    is_refused_beside(probe, &start_at(probe, "[::1]:0")?)
}

fn is_refused_beside(probe: &Probe, server: &Server) -> Seen {
    let mut command = probe.command();
    command.arg(server.address()?.to_string());
    is_refused(probe, command)
}

/// The command ends with a failure, an empty output and a reason.
fn is_refused(probe: &Probe, mut command: Command) -> Seen {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let status = wait(&mut child, probe.patience);
    // If it goes on, it shall not do so after the test.
    let _ = child.kill();
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    ensure(!status?.success(), "status 0")?;
    ensure(output.stdout.is_empty(), "something on standard output")?;
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(!reason.is_empty(), "no reason")?;
    ensure(reason.lines().count() == 1, format!("more than a line: {reason}"))
}

pub(crate) fn a_missing_argument_is_refused(probe: &Probe) -> Seen {
    is_refused(probe, probe.command())
}

pub(crate) fn a_bad_address_is_refused(probe: &Probe) -> Seen {
    let free = lease("127.0.0.1")?;
    let letters = format!("{}x", free.address());
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:http", "300.0.0.1:8080", &letters] {
        let mut command = probe.command();
        command.arg(address);
        is_refused(probe, command)?;
    }
    Ok(())
}

pub(crate) fn a_port_in_use_is_refused(probe: &Probe) -> Seen {
    let taken = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let mut command = probe.command();
    command.arg(taken.local_addr().map_err(|error| error.to_string())?.to_string());
    is_refused(probe, command)
}

pub(crate) fn ipv6_is_listened_on(probe: &Probe) -> Seen {
    let lease = lease("::1")?;
    let address = lease.address();
    let server = start_at(probe, &address.to_string())?;
    ensure(server.line == format!("listening on {address}\n"), &server.line)?;
    let mut other = server.connect()?;
    server.connect()?.round_trip(b"six")?;
    other.expect(b"six")
}
