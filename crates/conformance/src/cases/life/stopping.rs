//! LIFE-2 and LIFE-3: how the server stops, and starts again.

use std::time::{Duration, Instant};

use zillions_harness::{Signal, StopReport, Waited};

use crate::case::Case;
use crate::cases::common::descriptors::{
    ensure_connections, use_up_descriptors, with_few_descriptors,
};
use crate::cases::common::ends::END_SEEN;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture, Flood, FloodPace};
use crate::verdict::{Note, Outcome, Stop};

/// LIFE-2's figure, and one second more, of time that the server is granted.
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

pub(super) const CASES: &[Case] = &[
    Case::must(
        "life/stops-on-sigterm",
        "LIFE-2",
        "SIGTERM ends it within 5 seconds while clients talk, stall and hold frames open",
        stops_on_sigterm,
    )
    .at_its_pace()
    .launching(),
    Case::must_launching(
        "life/stops-in-quiet",
        "LIFE-2",
        "SIGTERM ends it within 5 seconds before any client has connected, with many idle clients, and with too many",
        stops_in_quiet,
    ),
    Case::must(
        "life/leaves-no-process",
        "LIFE-2",
        "once it has ended, no process of it is left",
        leaves_no_process,
    )
    .at_its_pace()
    .launching(),
    Case::must_launching(
        "life/restarts-at-once",
        "LIFE-3",
        "it starts again at once on an address that it has just left with clients connected",
        restarts_at_once,
    )
    .should(),
];

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
        pace: FloodPace::Echoes,
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
    stops_while_they_send(fixture, &clients)
}

/// Tells the server to stop and goes on sending, until it has ended.
fn stops_while_they_send(fixture: &mut Fixture, talkers: &[ClientIndex]) -> Outcome {
    let server = fixture.take_server()?;
    server.signal(Signal::TERM);
    let (told, mut granted) = (Instant::now(), server.granted_time());
    while server.exited().is_none() {
        if granted.look().as_secs_f64() > STOP_SECONDS_MAX {
            return Err(Stop::fail(
                "it ends within 5 seconds of SIGTERM",
                format!("still running after {STOP_SECONDS_MAX:.0} s"),
            ));
        }
        fixture.check_time()?;
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
    // Before any client has connected.
    context.with_fixture(|fixture| stops_while_they_send(fixture, &[]))?;
    // With many silent clients, and after one has left.
    context.with_fixture(|fixture| {
        let clients = fixture.join(QUIET_CLIENTS, "idle client")?;
        fixture.close(clients[0]);
        stops_while_they_send(fixture, &[])
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
        stops_while_they_send(fixture, &[])
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
        "a message for clients that are about to reset",
    )?;
    fixture.reset(cut);
    fixture.reset(short);
    // By then a server that is not busy has seen it.
    fixture.pump_for(END_SEEN)?;
    fixture.send_until_delivered(clients[0], &clients, "a message after a reset")?;
    let server = fixture.take_server()?;
    // Only the server itself gets the signal, not the processes that it has started.
    server.signal(Signal::TERM);
    match server.wait_granted(STOP_SECONDS_MAX) {
        Waited::Ended(_) => {}
        Waited::Running => {
            return Err(Stop::fail("it ends within 5 seconds of SIGTERM", "still running"));
        }
        Waited::Starved => return Err(Stop::starved("it has not ended yet")),
    }
    let mut granted = server.granted_time();
    while let Ok(sample) = server.sample() {
        if granted.look() > AFTERLIFE {
            return Err(Stop::fail(
                "no process of the server outlives it",
                format!("{} still running a second later", sample.processes),
            ));
        }
        fixture.check_time()?;
        fixture.pump_for(Duration::from_millis(20))?;
    }
    Ok(Note::new())
}

fn restarts_at_once(context: &mut CaseContext) -> Outcome {
    let lease = context.servers.lease()?;
    let launch = context.servers.launch()?;
    for number in 0..3 {
        let started = context.servers.start_on(launch, &lease, false);
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
        Stop::Error(reason) => Stop::fail("the server can start again on the same address", reason),
        other => other.breaking_its_own(),
    }
}
