//! Many clients at once, and more than there are descriptors for.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use zillions_harness::Signal;
use zillions_harness::limits::ensure_descriptors;

use super::start::nothing_but_the_line;
use crate::case::Case;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Note, Outcome, Stop};

/// Clients of the large fixture: a little more than a thousand, because `select`
/// knows no descriptors beyond 1023.
const MANY: usize = 1_100;
/// Clients that connect in one burst, or as many as the server has asked the system
/// to keep for it.
const BURST: usize = 600;
/// Descriptor limits that are tried, lowest first: some runtimes do not start
/// with few.
const LIMITS: [u64; 3] = [96, 256, 1024];
/// How often one looks whether somebody was let in.
const LET_IN_LOOK: Duration = Duration::from_millis(50);
/// Clients that connect beyond the limit.
const BEYOND: u64 = 24;

/// Empty messages that one who sends without end sends at once.
static FLOOD: [u8; 64 << 10] = [0; 64 << 10];
/// How long one who sends without end waits before it looks whether it is over.
const FLOODER_PATIENCE: Duration = Duration::from_millis(100);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "scale/thousand-clients",
        "START-5",
        "eleven hundred clients are connected at once and all receive",
        thousand_clients,
    ),
    Case::must(
        "scale/burst-of-connections",
        "START-5",
        "six hundred who connect in the same moment, or as many as may wait, are all served",
        burst_of_connections,
    ),
    Case::must(
        "scale/let-in-amid-a-flood",
        "START-5",
        "who connects while somebody else sends without end is let in",
        let_in_amid_a_flood,
    ),
    Case::must_launching(
        "scale/descriptors-run-out",
        "LIFE-5",
        "with too few descriptors for all who connect, those inside are served, and later newcomers too",
        descriptors_run_out,
    ),
];

/// Skips where this process cannot have so many connections.
pub(super) fn ensure_connections(clients: u64) -> Result<(), Stop> {
    ensure_descriptors(clients).map(|_| ()).map_err(|error| Stop::Skip(error.to_string()))
}

fn thousand_clients(fixture: &mut Fixture) -> Outcome {
    ensure_connections(MANY as u64)?;
    for _ in 0..MANY {
        fixture.connect("one of eleven hundred")?;
    }
    let everyone = fixture.everyone();
    fixture.send_until_delivered(0, &everyone, "a message for eleven hundred clients")?;
    fixture.deliver(&[(0, 60), (MANY / 2, 60), (MANY - 1, 60)], &everyone)?;
    nothing_but_the_line(fixture)
}

fn burst_of_connections(fixture: &mut Fixture) -> Outcome {
    ensure_connections(BURST as u64)?;
    // All who fit in are waiting by the time when it looks.
    let held = fixture.server().is_ok();
    if held {
        fixture.server()?.signal(Signal::STOP);
    }
    let places = if held { fixture.accept_backlog_free() } else { BURST };
    let outcome = connect_at_once(fixture, places);
    if held {
        fixture.server()?.signal(Signal::CONT);
    }
    outcome?;
    let everyone = fixture.everyone();
    // Who did not fit into the queue of connections is let in at his system's
    // next try, a second later or more.
    fixture.send_until_delivered(0, &everyone, "a message for all who connected in one burst")?;
    fixture.deliver(&[(0, 60), (everyone.len() - 1, 60)], &everyone)?;
    Ok(format!("{} at once", everyone.len()))
}

/// As many as there may be, and places for.
fn connect_at_once(fixture: &mut Fixture, places: usize) -> Result<(), Stop> {
    for _ in 0..places.clamp(1, BURST) {
        fixture.connect_without_waiting("one of a burst")?;
    }
    Ok(())
}

fn let_in_amid_a_flood(fixture: &mut Fixture) -> Outcome {
    let witness = fixture.join(1, "witness")?[0];
    fixture.recorder.ignore_plain();
    let (address, over) = (fixture.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| flood_until(&over, address));
        let outcome = join_beside(fixture, witness);
        over.store(true, Relaxed);
        outcome
    })
}

/// Sends all that a server takes. It reads nothing, so that it has time to outrun any
/// server; one that disconnects it for that (DROP-5) is flooded anew.
fn flood_until(over: &AtomicBool, address: SocketAddr) {
    while !over.load(Relaxed) {
        let mut flooder = match TcpStream::connect_timeout(&address, FLOODER_PATIENCE) {
            Ok(flooder) => flooder,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
            Err(_) => return,
        };
        if flooder.set_write_timeout(Some(FLOODER_PATIENCE)).is_err() {
            return;
        }
        while !over.load(Relaxed) {
            match flooder.write(&FLOOD) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
}

/// Joins once `witness` gets something of a flood, and waits until the newcomer does.
fn join_beside(fixture: &mut Fixture, witness: ClientIndex) -> Outcome {
    let received = |fixture: &Fixture, client: ClientIndex| fixture.client(client).bytes_received();
    let before = received(fixture, witness);
    fixture.await_each(&[witness], "something of a flood", |fixture, client| {
        received(fixture, client) > before
    })?;
    let newcomer = fixture.connect_without_waiting("newcomer amid a flood")?;
    fixture.await_each(&[newcomer], "something of a flood that goes on", |fixture, client| {
        received(fixture, client) > 0
    })?;
    Ok(Note::new())
}

fn descriptors_run_out(context: &mut CaseContext) -> Outcome {
    with_few_descriptors(context, beyond_the_limit)
}

/// Plays `act` with a server that may have so many descriptors and no more, as
/// few as it starts with.
pub(super) fn with_few_descriptors(
    context: &CaseContext,
    act: impl FnOnce(&mut Fixture, u64) -> Outcome,
) -> Outcome {
    let mut launch = context.launch()?.clone();
    let mut last = None;
    for limit in LIMITS {
        ensure_connections(limit + BEYOND)?;
        launch.descriptor_limit = Some(limit);
        match context.start(&launch) {
            Ok((server, lease)) => {
                return context.with_server(server, lease.address(), |fixture| act(fixture, limit));
            }
            Err(stop) => last = Some(stop),
        }
    }
    Err(last.unwrap_or_else(|| Stop::Error("no descriptor limit to try".to_owned())))
}

/// Connects more clients than a server with this limit can accept.
pub(super) fn use_up_descriptors(
    fixture: &mut Fixture,
    limit: u64,
) -> Result<Vec<ClientIndex>, Stop> {
    let role = "client beyond the limit";
    (0..limit + BEYOND).map(|_| fixture.connect_without_waiting(role)).collect()
}

fn beyond_the_limit(fixture: &mut Fixture, limit: u64) -> Outcome {
    let inside = fixture.join(8, "client from before")?;
    beyond_once(fixture, limit, &inside)?;
    let note = beyond_once(fixture, limit, &inside)?;
    nothing_but_the_line(fixture)?;
    Ok(note)
}

fn beyond_once(fixture: &mut Fixture, limit: u64, inside: &[ClientIndex]) -> Outcome {
    let beyond = use_up_descriptors(fixture, limit)?;
    // Many rounds of messages give the server time to run into its limit.
    for turn in 0..20 {
        let client = inside[turn % inside.len()];
        let expected = "while descriptors are used up, those inside are served";
        fixture.send_until_delivered(client, inside, expected)?;
    }
    let served: Vec<ClientIndex> = beyond
        .iter()
        .copied()
        .filter(|&client| fixture.recorder.tally(client, inside[0]).received > 0)
        .collect();
    if served.len() == beyond.len() {
        return Err(Stop::Inconclusive(format!(
            "all {} clients were served: the limit of {limit} descriptors was not reached",
            beyond.len() + inside.len()
        )));
    }
    let waiting: Vec<ClientIndex> =
        beyond.iter().copied().filter(|client| !served.contains(client)).collect();
    // First those leave who were let in: of those who wait somebody gets in then.
    for &client in &served {
        fixture.close(client);
    }
    somebody_is_let_in(fixture, inside[0], &waiting)?;
    // Then all others.
    for client in waiting {
        fixture.close(client);
    }
    fixture.pump_until(Duration::from_millis(100), |_| false)?;
    let newcomers = [fixture.connect("newcomer")?, fixture.connect("newcomer")?];
    let everyone: Vec<ClientIndex> = inside.iter().copied().chain(newcomers).collect();
    fixture.send_until_delivered(
        inside[0],
        &everyone,
        "once descriptors are free, newcomers are served",
    )?;
    fixture.deliver(&[(newcomers[0], 30), (inside[0], 30)], &everyone)?;
    newcomers.into_iter().for_each(|newcomer| fixture.close(newcomer));
    Ok(format!("limit {limit}, {} of {} beyond it were let in", served.len(), limit + BEYOND))
}

/// Nobody new connects, so nothing but the free descriptors tells the server. Some
/// runtimes keep nobody waiting: with a descriptor kept for that they accept who is
/// beyond the limit and close at once.
fn somebody_is_let_in(
    fixture: &mut Fixture,
    talker: ClientIndex,
    waiting: &[ClientIndex],
) -> Result<(), Stop> {
    let started = Instant::now();
    let let_in = |fixture: &Fixture| {
        waiting.iter().any(|&client| fixture.recorder.tally(client, talker).received > 0)
    };
    let turned_away =
        |fixture: &Fixture| waiting.iter().all(|&client| fixture.client(client).end().is_some());
    while started.elapsed() < fixture.context.patience() {
        fixture.send_until_delivered(talker, &[talker], "a message once descriptors are free")?;
        if fixture.pump_until(LET_IN_LOOK, |fixture| let_in(fixture) || turned_away(fixture))? {
            return Ok(());
        }
    }
    let expected = "a client that waited for a descriptor is let in once there are some";
    Err(fixture.failure(waiting[0], expected, format!("none of {} was", waiting.len())))
}
