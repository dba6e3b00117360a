//! LIFE: running for good, and stopping.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::backlog::{fill_backlog, with_backlog};
use crate::start::{lease, start_at};
use crate::support::{Client, Probe, Seen, Server, ensure};

pub(crate) fn an_empty_server_goes_on(probe: &Probe) -> Seen {
    let server = probe.start()?;
    for _ in 0..3 {
        let mut only = server.connect()?;
        only.round_trip(b"alone")?;
        only.half_close()?;
        only.expect_end()?;
    }
    Ok(())
}

pub(crate) fn who_ended_and_does_not_read_is_not_waited_for(probe: &Probe) -> Seen {
    let (mut server, mut stalled, mut sender) = with_backlog(probe)?;
    stalled.half_close()?;
    sender.round_trip(b"it is seen")?;
    sender.round_trip(b"it is seen for certain")?;
    server.terminate();
    server.wait().map(|_| ())
}

pub(crate) fn a_reset_with_a_backlog_costs_nothing(probe: &Probe) -> Seen {
    let (server, stalled, mut sender) = with_backlog(probe)?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    sender.round_trip(b"it is long gone")?;
    costs_nothing(&server)
}

pub(crate) fn talking_does_not_keep_it_from_stopping(probe: &Probe) -> Seen {
    let mut server = probe.start()?;
    let mut talker = server.connect()?;
    talker.round_trip(b"hello")?;
    server.terminate();
    let (sender, stopped) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while stopped.try_recv().is_err() && talker.round_trip(b"and another thing").is_ok() {
                let _ = stopped.recv_timeout(Duration::from_millis(20));
            }
        });
        let status = server.wait();
        let _ = sender.send(());
        drop(server);
        status.map(|_| ())
    })
}

/// Longer than a faulty server goes on without a client.
const EMPTY: Duration = Duration::from_millis(3_200);

pub(crate) fn seconds_without_a_client_are_survived(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut only = server.connect()?;
    only.round_trip(b"alone")?;
    only.half_close()?;
    only.expect_end()?;
    // There is nobody to hear anything meanwhile.
    std::thread::sleep(EMPTY);
    server.connect()?.round_trip(b"after")
}

/// More than a faulty server ends in the time that it is given.
const TO_BE_ENDED: usize = 40;

pub(crate) fn many_clients_do_not_keep_it_from_stopping(probe: &Probe) -> Seen {
    let mut server = probe.start()?;
    let clients = (0..TO_BE_ENDED).map(|_| server.connect()).collect::<Result<Vec<_>, _>>();
    let mut clients = clients?;
    clients.last_mut().unwrap().round_trip(b"all are there")?;
    server.terminate();
    server.wait().map(|_| ())
}

pub(crate) fn nothing_is_left_behind(probe: &Probe) -> Seen {
    leaves_nothing_behind(probe.start()?)
}

pub(crate) fn nothing_is_left_behind_after_a_reset(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut witness = server.connect()?;
    let mut short = server.connect()?;
    short.round_trip(b"here")?;
    witness.expect(b"here")?;
    short.reset();
    // By the second of these it has seen the first.
    witness.round_trip(b"one")?;
    witness.round_trip(b"two")?;
    leaves_nothing_behind(server)
}

fn leaves_nothing_behind(mut server: Server) -> Seen {
    let pid = server.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.map_err(|error| error.to_string())?;
    server.terminate();
    server.wait()?;
    let left: Vec<i32> = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .filter(|child| std::path::Path::new(&format!("/proc/{child}")).exists())
        .collect();
    for child in &left {
        let _ = kill_process(Pid::from_raw(*child).unwrap(), Signal::TERM);
    }
    ensure(left.is_empty(), format!("{left:?} go on"))
}

pub(crate) fn it_starts_again_on_the_same_address(probe: &Probe) -> Seen {
    let lease = lease("127.0.0.1")?;
    let address = lease.address().to_string();
    let mut server = start_at(probe, &address)?;
    let mut client = server.connect()?;
    client.round_trip(b"hello")?;
    // The server closes first: its side is the one that lingers.
    server.terminate();
    server.wait()?;
    client.expect_end()?;
    drop(client);
    start_at(probe, &address)?.connect()?.round_trip(b"again")
}

/// How long CPU time is counted, and how often it may have to be: what went before may take a
/// moment to end, and a server that spins never stops.
const COUNTING: Duration = Duration::from_millis(600);
const COUNTS_MAX: usize = 3;
/// Clock ticks of 10 ms that an idle server may use meanwhile.
const TICKS_MAX: u64 = 1;

pub(crate) fn idle_clients_cost_nothing(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut clients = [server.connect()?, server.connect()?, server.connect()?];
    clients[0].round_trip(b"hello")?;
    costs_nothing(&server)
}

pub(crate) fn odd_clients_that_idle_cost_nothing(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let _stalled = server.connect_small()?;
    let mut ended = server.connect_small()?;
    let mut cut = server.connect()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    ended.half_close()?;
    cut.write(b"\x05ha")?;
    sender.round_trip(b"that is all")?;
    costs_nothing(&server)
}

pub(crate) fn costs_nothing(server: &Server) -> Seen {
    let mut used = 0;
    for _ in 0..COUNTS_MAX {
        let before = cpu_ticks(server)?;
        std::thread::sleep(COUNTING);
        used = cpu_ticks(server)? - before;
        if used <= TICKS_MAX {
            return Ok(());
        }
    }
    Err(format!("{used} ticks in {} ms", COUNTING.as_millis()))
}

/// User and system time of the process, in clock ticks.
fn cpu_ticks(server: &Server) -> Result<u64, String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid()));
    let stat = stat.map_err(|error| error.to_string())?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The 14th and 15th field of the line; the third is the first one here.
    let ticks = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap_or(0));
    Ok(ticks.sum())
}

/// Descriptors that the server may have: a few more than it needs itself.
const DESCRIPTORS: usize = 20;

fn start_with_few_descriptors(probe: &Probe) -> Result<Server, String> {
    let server_command = probe.command();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""));
    command.arg(server_command.get_program()).args(server_command.get_args());
    command.arg("127.0.0.1:0").stdout(std::process::Stdio::piped());
    Server::spawn(command, probe.patience)
}

fn connect_too_many(server: &Server) -> Result<Vec<Client>, String> {
    (0..DESCRIPTORS).map(|_| server.connect()).collect()
}

pub(crate) fn running_out_of_descriptors_costs_nothing(probe: &Probe) -> Seen {
    let server = start_with_few_descriptors(probe)?;
    let mut first = server.connect()?;
    let _crowd = connect_too_many(&server)?;
    first.round_trip(b"exhausted")?;
    costs_nothing(&server)
}

pub(crate) fn running_out_of_descriptors_is_survived(probe: &Probe) -> Seen {
    survives_crowds(probe, 1)
}

pub(crate) fn running_out_of_descriptors_twice_is_survived(probe: &Probe) -> Seen {
    survives_crowds(probe, 2)
}

fn survives_crowds(probe: &Probe, crowds: usize) -> Seen {
    let server = start_with_few_descriptors(probe)?;
    let mut first = server.connect()?;
    (0..crowds).try_for_each(|_| survives_a_crowd(&server, &mut first))
}

fn survives_a_crowd(server: &Server, first: &mut Client) -> Seen {
    first.round_trip(b"before")?;
    let crowd = connect_too_many(server)?;
    for _ in 0..3 {
        first.round_trip(b"exhausted")?;
    }
    drop(crowd);
    first.round_trip(b"still here")?;
    server.connect()?.round_trip(b"after")?;
    first.expect(b"after")
}
