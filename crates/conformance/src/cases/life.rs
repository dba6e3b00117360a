//! LIFE: running for good.

use std::time::{Duration, Instant};

use zillions_harness::{Signal, StopReport};

use super::LONG_PAUSE;
use super::end::END_SEEN;
use super::scale::{ensure_connections, use_up_descriptors, with_few_descriptors};
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture, Flood};
use crate::leisure::Demand;
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

fn survives_everything(fixture: &mut Fixture) -> Outcome {
    let stayers = fixture.join(2, "stayer")?;
    for turn in 0..12 {
        let stalled = fixture.connect_with("stalled client", ConnectOptions::STALLED)?;
        let half = fixture.connect("client that ends its stream")?;
        let cut = fixture.connect("client that resets in mid-frame")?;
        let holder = fixture.connect("client that holds a frame open")?;
        fixture.send(half, 50);
        fixture.queue_bytes(cut, &[255, 1, 2, 3]);
        fixture.queue_bytes(holder, &[10]);
        fixture.send(stalled, 20);
        fixture.flush()?;
        fixture.finish_sending(half);
        fixture.reset(cut);
        let flood = Flood {
            senders: vec![stayers[turn % 2]],
            steady: true,
            bytes: 64 * 1024,
            lengths: [120; 2],
        };
        fixture.flood(&flood, Duration::from_millis(60))?;
        fixture.send_until_delivered(
            stayers[0],
            &stayers,
            "a message amid all kinds of clients",
        )?;
        match turn % 3 {
            0 => fixture.reset(stalled),
            1 => fixture.close(stalled),
            _ => {}
        }
        fixture.close(half);
        if turn % 2 == 0 {
            fixture.close(holder);
        }
    }
    fixture.send_until_delivered(stayers[1], &stayers, "a message after all kinds of clients")?;
    let newcomer = fixture.connect("newcomer")?;
    fixture.await_served(newcomer, &[newcomer])?;
    Ok(Note::new())
}

fn empty_room(fixture: &mut Fixture) -> Outcome {
    for turn in 0..6 {
        let clients = fixture.join(2, "client")?;
        fixture.deliver(&[(clients[0], 20), (clients[1], 20)], &clients)?;
        for client in clients {
            if turn % 2 == 0 {
                fixture.close(client);
            } else {
                fixture.finish_sending(client);
            }
        }
        // The next ones come only when the server had time to see these go.
        fixture.pump_until(EMPTY_FOR, |_| false)?;
    }
    let client = fixture.join(1, "newcomer")?;
    fixture.deliver(&[(client[0], 20)], &client)?;
    Ok(Note::new())
}

fn empty_for_seconds(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    clients.into_iter().for_each(|client| fixture.close(client));
    fixture.pump_until(LONG_PAUSE, |_| false)?;
    let newcomers = fixture.join(2, "newcomer")?;
    fixture.deliver(&[(newcomers[0], 20), (newcomers[1], 20)], &newcomers)?;
    Ok(Note::new())
}

/// Clients of every kind: they read, stall, hold a frame open, have ended.
fn all_kinds(fixture: &mut Fixture) -> Result<Vec<ClientIndex>, Stop> {
    let clients = fixture.join(5, "client")?;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        stalled.push(fixture.connect_with("stalled client", ConnectOptions::STALLED)?);
        let holder = fixture.connect("client that holds a frame open")?;
        fixture.queue_bytes(holder, &[200, 1]);
    }
    let flood = Flood {
        senders: clients[..2].to_vec(),
        steady: true,
        bytes: BACKLOG_BYTES,
        lengths: [200; 2],
    };
    fixture.flood(&flood, BACKLOG_TIME)?;
    fixture.finish_sending(clients[4]);
    // The server sees the end of one that has messages waiting for it.
    fixture.finish_sending(stalled[1]);
    fixture.send_until_delivered(
        clients[0],
        &clients[..2],
        "a message amid all kinds of clients",
    )?;
    Ok(clients[..2].to_vec())
}

fn stop(fixture: &mut Fixture) -> Result<StopReport, Stop> {
    Ok(fixture.take_server()?.stop(STOP_SECONDS_MAX))
}

fn stops_on_sigterm(fixture: &mut Fixture) -> Outcome {
    let clients = all_kinds(fixture)?;
    stops_while_they_talk(fixture, &clients)
}

/// Tells the server to stop and goes on talking, until it has ended.
fn stops_while_they_talk(fixture: &mut Fixture, talkers: &[ClientIndex]) -> Outcome {
    let server = fixture.take_server()?;
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
            if fixture.client(talker).end().is_none() {
                fixture.send(talker, 20);
            }
        }
        fixture.pump_until(Duration::from_millis(20), |_| server.exited().is_some())?;
    }
    Ok(format!("after {:.0} ms", told.elapsed().as_secs_f64() * 1e3))
}

fn stops_in_quiet(context: &mut CaseContext) -> Outcome {
    ensure_connections(QUIET_CLIENTS as u64)?;
    // Before anybody has come.
    context.with_fixture(|fixture| stops_while_they_talk(fixture, &[]))?;
    // While many are there who say nothing, and after one has left.
    context.with_fixture(|fixture| {
        let clients = fixture.join(QUIET_CLIENTS, "idle client")?;
        fixture.close(clients[0]);
        stops_while_they_talk(fixture, &[])
    })?;
    // While more wait than it can accept.
    with_few_descriptors(context, |fixture, limit| {
        let clients = fixture.join(2, "idle client")?;
        use_up_descriptors(fixture, limit)?;
        fixture.send_until_delivered(
            clients[0],
            &clients,
            "a message while descriptors are used up",
        )?;
        stops_while_they_talk(fixture, &[])
    })
}

fn leaves_no_process(fixture: &mut Fixture) -> Outcome {
    let clients = all_kinds(fixture)?;
    let cut = fixture.connect("client that resets in mid-frame")?;
    fixture.queue_bytes(cut, &[255, 1, 2, 3]);
    let short = fixture.connect("client that resets")?;
    fixture.send_until_delivered(
        clients[0],
        &[clients[0], cut, short],
        "a message for who is about to reset",
    )?;
    fixture.reset(cut);
    fixture.reset(short);
    // By then a server that is not busy has seen it.
    fixture.pump_until(END_SEEN, |_| false)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after a reset")?;
    let server = fixture.take_server()?;
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
        fixture.pump_until(Duration::from_millis(20), |_| false)?;
    }
    Ok(Note::new())
}

fn restarts_at_once(context: &mut CaseContext) -> Outcome {
    let lease = context.lease()?;
    let launch = context.launch()?;
    for number in 0..3 {
        let started = context.start_on(launch, &lease, false);
        let server = if number == 0 { started? } else { started.map_err(not_again)? };
        let address = lease.address();
        context.with_server(server, address, |fixture| {
            let clients = fixture.join(3, "client")?;
            fixture.deliver(&[(clients[0], 20)], &clients)?;
            // The server closes first: its side of the connections lingers.
            stop(fixture)?;
            fixture.pump_until(Duration::from_millis(200), |fixture| {
                clients.iter().all(|&client| fixture.client(client).end().is_some())
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

fn idle_cpu(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(20, "idle client")?;
    fixture.deliver(&[(clients[0], 20)], &clients)?;
    next_to_no_cpu(fixture)
}

fn idle_cpu_of_odd_clients(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "idle client")?;
    let stalled = fixture.connect_with("stalled client", ConnectOptions::SMALL)?;
    let ended = fixture.connect_with("stalled client that has ended", ConnectOptions::SMALL)?;
    let holder = fixture.connect("client that holds a frame open")?;
    let recovered = fixture.connect_with("client that reads on later", ConnectOptions::SMALL)?;
    let gone = [
        fixture.connect_with("stalled client that resets", ConnectOptions::SMALL)?,
        fixture.connect("client that resets in mid-frame")?,
    ];
    fixture.await_served(clients[0], &[clients[0], stalled, ended, holder, recovered, gone[0]])?;
    fixture.queue_bytes(holder, &[200, 1, 2]);
    fixture.queue_bytes(gone[1], &[200, 1, 2]);
    for index in [stalled, ended, recovered, gone[0]] {
        fixture.set_reading(index, false)?;
    }
    let flood =
        Flood { senders: vec![clients[0]], steady: true, bytes: BACKLOG_BYTES, lengths: [200; 2] };
    fixture.flood(&flood, BACKLOG_TIME)?;
    fixture.finish_sending(ended);
    fixture.send_until_delivered(clients[0], &clients, "a message beside odd clients")?;
    for odd in gone {
        fixture.reset(odd);
    }
    fixture.set_reading(recovered, true)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after odd clients have left")?;
    next_to_no_cpu(fixture)
}

fn idle_cpu_without_descriptors(context: &mut CaseContext) -> Outcome {
    with_few_descriptors(context, |fixture, limit| {
        let clients = fixture.join(2, "idle client")?;
        use_up_descriptors(fixture, limit)?;
        for _ in 0..4 {
            fixture.send_until_delivered(
                clients[0],
                &clients,
                "while descriptors are used up, those inside are served",
            )?;
        }
        next_to_no_cpu(fixture)
    })
}

fn next_to_no_cpu(fixture: &mut Fixture) -> Outcome {
    let mut least = f64::INFINITY;
    let pid = fixture.server()?.pid();
    let (started, at_first) = (Instant::now(), Demand::of(pid));
    for _ in 0..IDLE_WATCHES {
        let (used_before, before) = (cpu_seconds(fixture)?, Demand::of(pid));
        let watched = Instant::now();
        fixture.pump_until(IDLE_WATCH, |_| false)?;
        // What a process had that has ended meanwhile is gone from the sum.
        let used = (cpu_seconds(fixture)? - used_before).max(0.0);
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

fn cpu_seconds(fixture: &Fixture) -> Result<f64, Stop> {
    let sample = fixture.sample()?;
    Ok(sample.cpu_seconds)
}
