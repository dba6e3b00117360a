//! LIFE: running for good.

use std::time::{Duration, Instant};

use zillions_harness::{Signal, StopReport};

use super::LONG_PAUSE;
use super::end::END_SEEN;
use super::scale::{room_for, use_up_descriptors, with_few_descriptors};
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::leisure::Demand;
use crate::room::{ClientIndex, Flood, Room};
use crate::trial::Trial;
use crate::verdict::{Note, Outcome, Stop};

/// LIFE-2's figure, and one second for a loaded machine.
const STOP_SECONDS_MAX: f64 = 5.0 + 1.0;
/// How long a process may outlive the server that started it: a worker needs a
/// moment to see that its parent is gone.
const AFTERLIFE: Duration = Duration::from_secs(1);
/// What is sent past clients that do not read, in bytes: more than the system
/// keeps for them. And the time for it.
const BACKLOG_BYTES: u64 = 6 << 20;
const BACKLOG_TIME: Duration = Duration::from_secs(3);
/// Idle clients that are there when it is told to stop.
const QUIET_CLIENTS: usize = 700;
/// How long a room stays empty.
const EMPTY_FOR: Duration = Duration::from_millis(50);
/// LIFE-4's figure: part of one core.
const IDLE_CPU_MAX: f64 = 0.05;
/// On a busy machine a server that spins gets little of a core, too, but it
/// wants one all the time. One that is idle wants one less than the first part
/// of a watch; one that spins, more than the second of all of them. (The system
/// counts waiting only when it is over, hence all of them.) And one that spins keeps
/// a processor until it is taken away, while one that looks after something every now
/// and then has done so in less than the third figure, however long it waited for it.
const IDLE_WANTED: f64 = 0.25;
const SPINNING_WANTED: f64 = 0.8;
const SPINNING_TURN: Duration = Duration::from_micros(300);
/// How long an idle server is watched at once.
const IDLE_WATCH: Duration = Duration::from_millis(1000);
/// How often, until one watch finds it idle: a runtime may tidy up first.
const IDLE_WATCHES: usize = 4;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "life/survives-everything",
        "LIFE-1",
        "after a mix of all that clients can do wrong the server is there and serves",
        survives_everything,
    )
    .quick(),
    Case::must(
        "life/empty-room",
        "LIFE-1",
        "after the last client has left, time and again, the server is there for the next",
        empty_room,
    ),
    Case::must(
        "life/empty-for-seconds",
        "LIFE-1",
        "after a room has been empty for sixteen seconds, the server is there for the next",
        empty_for_seconds,
    )
    .idling(),
    Case::must(
        "life/stops-on-sigterm",
        "LIFE-2",
        "SIGTERM ends it within 5 seconds while clients talk, stall and hold frames open",
        stops_on_sigterm,
    )
    .launching(),
    Case::must_launching(
        "life/stops-in-quiet",
        "LIFE-2",
        "SIGTERM ends it within 5 seconds before anybody has come, with many idle clients, and with too many",
        stops_in_quiet,
    ),
    Case::must(
        "life/leaves-no-process",
        "LIFE-2",
        "once it has ended, no process of it is left",
        leaves_no_process,
    )
    .launching(),
    Case::must_launching(
        "life/restarts-at-once",
        "LIFE-3",
        "it starts again on the address that it has just left with clients connected",
        restarts_at_once,
    )
    .should(),
    Case::must(
        "life/idle-cpu",
        "LIFE-4",
        "with twenty idle clients it uses next to no processor time",
        idle_cpu,
    )
    .launching()
    .should()
    .alone(),
    Case::must(
        "life/idle-cpu-of-odd-clients",
        "LIFE-4",
        "with clients that stopped reading, ended their stream, hold a frame open or were reset, likewise",
        idle_cpu_of_odd_clients,
    )
    .launching()
    .should()
    .alone(),
    Case::must_launching(
        "life/idle-cpu-without-descriptors",
        "LIFE-4",
        "while descriptors are used up and clients wait to be accepted, likewise",
        idle_cpu_without_descriptors,
    )
    .should()
    .alone(),
];

fn survives_everything(room: &mut Room) -> Outcome {
    let stayers = room.join(2, "stayer")?;
    for turn in 0..12 {
        let stalled = room.connect_with("stalled client", ConnectOptions::STALLED)?;
        let half = room.connect("client that ends its stream")?;
        let cut = room.connect("client that resets in mid-frame")?;
        let holder = room.connect("client that holds a frame open")?;
        room.say(half, 50);
        room.queue_bytes(cut, &[255, 1, 2, 3]);
        room.queue_bytes(holder, &[10]);
        room.say(stalled, 20);
        room.flush()?;
        room.finish_sending(half);
        room.reset(cut);
        let flood = Flood {
            senders: vec![stayers[turn % 2]],
            steady: true,
            bytes: 64 * 1024,
            lengths: [120; 2],
        };
        room.flood(&flood, Duration::from_millis(60))?;
        room.insist(stayers[0], &stayers, "a message amid all kinds of clients")?;
        match turn % 3 {
            0 => room.reset(stalled),
            1 => room.close(stalled),
            _ => {}
        }
        room.close(half);
        if turn % 2 == 0 {
            room.close(holder);
        }
    }
    room.insist(stayers[1], &stayers, "a message after all kinds of clients")?;
    let newcomer = room.connect("newcomer")?;
    room.settle(newcomer, &[newcomer])?;
    Ok(Note::new())
}

fn empty_room(room: &mut Room) -> Outcome {
    for turn in 0..6 {
        let clients = room.join(2, "client")?;
        room.deliver(&[(clients[0], 20), (clients[1], 20)], &clients)?;
        for client in clients {
            if turn % 2 == 0 {
                room.close(client);
            } else {
                room.finish_sending(client);
            }
        }
        // The next ones come only when the server had time to see these go.
        room.pump_until(EMPTY_FOR, |_| false)?;
    }
    let client = room.join(1, "newcomer")?;
    room.deliver(&[(client[0], 20)], &client)?;
    Ok(Note::new())
}

fn empty_for_seconds(room: &mut Room) -> Outcome {
    let clients = room.join(2, "client")?;
    clients.into_iter().for_each(|client| room.close(client));
    room.pump_until(LONG_PAUSE, |_| false)?;
    let newcomers = room.join(2, "newcomer")?;
    room.deliver(&[(newcomers[0], 20), (newcomers[1], 20)], &newcomers)?;
    Ok(Note::new())
}

/// Clients of every kind: they read, stall, hold a frame open, have ended.
fn all_kinds(room: &mut Room) -> Result<Vec<ClientIndex>, Stop> {
    let clients = room.join(5, "client")?;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        stalled.push(room.connect_with("stalled client", ConnectOptions::STALLED)?);
        let holder = room.connect("client that holds a frame open")?;
        room.queue_bytes(holder, &[200, 1]);
    }
    let flood = Flood {
        senders: clients[..2].to_vec(),
        steady: true,
        bytes: BACKLOG_BYTES,
        lengths: [200; 2],
    };
    room.flood(&flood, BACKLOG_TIME)?;
    room.finish_sending(clients[4]);
    // The server sees the end of one that has messages waiting for it.
    room.finish_sending(stalled[1]);
    room.insist(clients[0], &clients[..2], "a message amid all kinds of clients")?;
    Ok(clients[..2].to_vec())
}

fn stop(room: &mut Room) -> Result<StopReport, Stop> {
    Ok(room.take_server()?.stop(STOP_SECONDS_MAX))
}

fn stops_on_sigterm(room: &mut Room) -> Outcome {
    let clients = all_kinds(room)?;
    stops_while_they_talk(room, &clients)
}

/// Tells the server to stop and goes on talking, until it has ended.
fn stops_while_they_talk(room: &mut Room, talkers: &[ClientIndex]) -> Outcome {
    let server = room.take_server()?;
    server.signal(Signal::TERM);
    let told = Instant::now();
    while server.exited().is_none() {
        if told.elapsed().as_secs_f64() > STOP_SECONDS_MAX {
            return Err(Stop::fail(
                "an end within 5 seconds of SIGTERM",
                format!("still running after {STOP_SECONDS_MAX:.0} s"),
            ));
        }
        for &talker in talkers {
            if room.client(talker).end().is_none() {
                room.say(talker, 20);
            }
        }
        room.pump_until(Duration::from_millis(20), |_| server.exited().is_some())?;
    }
    Ok(format!("after {:.0} ms", told.elapsed().as_secs_f64() * 1e3))
}

fn stops_in_quiet(trial: &mut Trial) -> Outcome {
    room_for(QUIET_CLIENTS as u64)?;
    // Before anybody has come.
    trial.in_room(|room| stops_while_they_talk(room, &[]))?;
    // While many are there who say nothing, and after one has left.
    trial.in_room(|room| {
        let clients = room.join(QUIET_CLIENTS, "idle client")?;
        room.close(clients[0]);
        stops_while_they_talk(room, &[])
    })?;
    // While more wait than it can accept.
    with_few_descriptors(trial, |room, limit| {
        let clients = room.join(2, "idle client")?;
        use_up_descriptors(room, limit)?;
        room.insist(clients[0], &clients, "a message while descriptors are used up")?;
        stops_while_they_talk(room, &[])
    })
}

fn leaves_no_process(room: &mut Room) -> Outcome {
    let clients = all_kinds(room)?;
    let cut = room.connect("client that resets in mid-frame")?;
    room.queue_bytes(cut, &[255, 1, 2, 3]);
    let short = room.connect("client that resets")?;
    room.insist(clients[0], &[clients[0], cut, short], "a message for who is about to reset")?;
    room.reset(cut);
    room.reset(short);
    // By then a server that is not busy has seen it.
    room.pump_until(END_SEEN, |_| false)?;
    room.insist(clients[0], &clients, "a message after a reset")?;
    let server = room.take_server()?;
    // Only the server itself is told, not the processes that it has started.
    server.signal(Signal::TERM);
    if server.wait(STOP_SECONDS_MAX).is_none() {
        return Err(Stop::fail("an end within 5 seconds of SIGTERM", "still running"));
    }
    let ended = Instant::now();
    while let Ok(sample) = server.sample() {
        if ended.elapsed() > AFTERLIFE {
            return Err(Stop::fail(
                "no process of the server outlives it",
                format!("{} still there a second later", sample.processes),
            ));
        }
        room.pump_until(Duration::from_millis(20), |_| false)?;
    }
    Ok(Note::new())
}

fn restarts_at_once(trial: &mut Trial) -> Outcome {
    let lease = trial.lease()?;
    let launch = trial.launch()?;
    for number in 0..3 {
        let started = trial.start_on(launch, &lease, false);
        let server = if number == 0 { started? } else { started.map_err(not_again)? };
        let address = lease.address();
        trial.in_room_at(server, address, |room| {
            let clients = room.join(3, "client")?;
            room.deliver(&[(clients[0], 20)], &clients)?;
            // The server closes first: its side of the connections lingers.
            stop(room)?;
            room.pump_until(Duration::from_millis(200), |room| {
                clients.iter().all(|&client| room.client(client).end().is_some())
            })?;
            Ok(Note::new())
        })?;
    }
    Ok(Note::new())
}

/// That a server does not start a second time is what is being tested, also
/// where the address itself is still taken.
fn not_again(stop: Stop) -> Stop {
    match stop {
        Stop::Error(reason) => {
            Stop::fail("the server can start again on the address that it has left", reason)
        }
        other => other.breaking_its_own(),
    }
}

fn idle_cpu(room: &mut Room) -> Outcome {
    let clients = room.join(20, "idle client")?;
    room.deliver(&[(clients[0], 20)], &clients)?;
    next_to_no_cpu(room)
}

fn idle_cpu_of_odd_clients(room: &mut Room) -> Outcome {
    let clients = room.join(3, "idle client")?;
    let stalled = room.connect_with("stalled client", ConnectOptions::SMALL)?;
    let ended = room.connect_with("stalled client that has ended", ConnectOptions::SMALL)?;
    let holder = room.connect("client that holds a frame open")?;
    let recovered = room.connect_with("client that reads on later", ConnectOptions::SMALL)?;
    let gone = [
        room.connect_with("stalled client that resets", ConnectOptions::SMALL)?,
        room.connect("client that resets in mid-frame")?,
    ];
    room.settle(clients[0], &[clients[0], stalled, ended, holder, recovered, gone[0]])?;
    room.queue_bytes(holder, &[200, 1, 2]);
    room.queue_bytes(gone[1], &[200, 1, 2]);
    for index in [stalled, ended, recovered, gone[0]] {
        room.set_reading(index, false)?;
    }
    let flood =
        Flood { senders: vec![clients[0]], steady: true, bytes: BACKLOG_BYTES, lengths: [200; 2] };
    room.flood(&flood, BACKLOG_TIME)?;
    room.finish_sending(ended);
    room.insist(clients[0], &clients, "a message beside odd clients")?;
    for odd in gone {
        room.reset(odd);
    }
    room.set_reading(recovered, true)?;
    room.insist(clients[0], &clients, "a message after odd clients have left")?;
    next_to_no_cpu(room)
}

fn idle_cpu_without_descriptors(trial: &mut Trial) -> Outcome {
    with_few_descriptors(trial, |room, limit| {
        let clients = room.join(2, "idle client")?;
        use_up_descriptors(room, limit)?;
        for _ in 0..4 {
            room.insist(
                clients[0],
                &clients,
                "while descriptors are used up, those inside are served",
            )?;
        }
        next_to_no_cpu(room)
    })
}

fn next_to_no_cpu(room: &mut Room) -> Outcome {
    let mut least = f64::INFINITY;
    let pid = room.server()?.pid();
    let (started, at_first) = (Instant::now(), Demand::of(pid));
    for _ in 0..IDLE_WATCHES {
        let (used_before, before) = (cpu_seconds(room)?, Demand::of(pid));
        let watched = Instant::now();
        room.pump_until(IDLE_WATCH, |_| false)?;
        // What a process had that has ended meanwhile is gone from the sum.
        let used = (cpu_seconds(room)? - used_before).max(0.0);
        least = least.min(used / watched.elapsed().as_secs_f64());
        let wanted = part_wanted(Demand::of(pid).since(before), watched);
        if least < IDLE_CPU_MAX && wanted < IDLE_WANTED {
            return Ok(format!("{:.1} % of one core", least * 100.0));
        }
    }
    let demand = Demand::of(pid).since(at_first);
    let wanted = part_wanted(demand, started);
    if least < IDLE_CPU_MAX && (wanted < SPINNING_WANTED || demand.turn() < SPINNING_TURN) {
        return Ok(format!("{:.1} % of one core of a busy machine", least * 100.0));
    }
    Err(Stop::fail(
        format!("under {:.0} % of one core with idle clients", IDLE_CPU_MAX * 100.0),
        format!(
            "{:.0} % in the quietest of {IDLE_WATCHES} seconds, and wanted one {:.0} % of the time",
            least * 100.0,
            wanted * 100.0
        ),
    ))
}

/// For which part of the time since `began` the server worked or waited for a
/// processor.
fn part_wanted(demand: Demand, began: Instant) -> f64 {
    demand.wanted().as_secs_f64() / began.elapsed().as_secs_f64()
}

fn cpu_seconds(room: &Room) -> Result<f64, Stop> {
    let sample = room.sample()?;
    Ok(sample.cpu_seconds)
}
