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
use crate::room::{ClientIndex, Room};
use crate::trial::Trial;
use crate::verdict::{Note, Outcome, Stop};

/// Clients of the large room: a little more than a thousand, because `select`
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
pub(super) fn room_for(clients: u64) -> Result<(), Stop> {
    ensure_descriptors(clients).map(|_| ()).map_err(|error| Stop::Skip(error.to_string()))
}

fn thousand_clients(room: &mut Room) -> Outcome {
    room_for(MANY as u64)?;
    for _ in 0..MANY {
        room.connect("one of eleven hundred")?;
    }
    let everyone = room.everyone();
    room.insist(0, &everyone, "a message for eleven hundred clients")?;
    room.deliver(&[(0, 60), (MANY / 2, 60), (MANY - 1, 60)], &everyone)?;
    nothing_but_the_line(room)
}

fn burst_of_connections(room: &mut Room) -> Outcome {
    room_for(BURST as u64)?;
    // All who fit in are waiting by the time when it looks.
    let held = room.server().is_ok();
    if held {
        room.server()?.signal(Signal::STOP);
    }
    let places = if held { room.places_at_door() } else { BURST };
    let outcome = connect_at_once(room, places);
    if held {
        room.server()?.signal(Signal::CONT);
    }
    outcome?;
    let everyone = room.everyone();
    // Who did not fit into the queue of connections is let in at his system's
    // next try, a second later or more.
    room.insist(0, &everyone, "a message for all who connected in one burst")?;
    room.deliver(&[(0, 60), (everyone.len() - 1, 60)], &everyone)?;
    Ok(format!("{} at once", everyone.len()))
}

/// As many as there may be, and places for.
fn connect_at_once(room: &mut Room, places: usize) -> Result<(), Stop> {
    for _ in 0..places.clamp(1, BURST) {
        room.connect_without_waiting("one of a burst")?;
    }
    Ok(())
}

fn let_in_amid_a_flood(room: &mut Room) -> Outcome {
    let witness = room.join(1, "witness")?[0];
    room.recorder.ignore_plain();
    let (address, over) = (room.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| flood_until(&over, address));
        let outcome = join_beside(room, witness);
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
fn join_beside(room: &mut Room, witness: ClientIndex) -> Outcome {
    let received = |room: &Room, client: ClientIndex| room.client(client).bytes_received();
    let before = received(room, witness);
    room.await_each(&[witness], "something of a flood", |room, client| {
        received(room, client) > before
    })?;
    let newcomer = room.connect_without_waiting("newcomer amid a flood")?;
    room.await_each(&[newcomer], "something of a flood that goes on", |room, client| {
        received(room, client) > 0
    })?;
    Ok(Note::new())
}

fn descriptors_run_out(trial: &mut Trial) -> Outcome {
    with_few_descriptors(trial, beyond_the_limit)
}

/// Plays `act` with a server that may have so many descriptors and no more, as
/// few as it starts with.
pub(super) fn with_few_descriptors(
    trial: &Trial,
    act: impl FnOnce(&mut Room, u64) -> Outcome,
) -> Outcome {
    let mut launch = trial.launch()?.clone();
    let mut last = None;
    for limit in LIMITS {
        room_for(limit + BEYOND)?;
        launch.descriptor_limit = Some(limit);
        match trial.start(&launch) {
            Ok((server, lease)) => {
                return trial.in_room_at(server, lease.address(), |room| act(room, limit));
            }
            Err(stop) => last = Some(stop),
        }
    }
    Err(last.unwrap_or_else(|| Stop::Error("no descriptor limit to try".to_owned())))
}

/// Connects more clients than a server with this limit can accept.
pub(super) fn use_up_descriptors(room: &mut Room, limit: u64) -> Result<Vec<ClientIndex>, Stop> {
    let role = "client beyond the limit";
    (0..limit + BEYOND).map(|_| room.connect_without_waiting(role)).collect()
}

fn beyond_the_limit(room: &mut Room, limit: u64) -> Outcome {
    let inside = room.join(8, "client from before")?;
    beyond_once(room, limit, &inside)?;
    let note = beyond_once(room, limit, &inside)?;
    nothing_but_the_line(room)?;
    Ok(note)
}

fn beyond_once(room: &mut Room, limit: u64, inside: &[ClientIndex]) -> Outcome {
    let beyond = use_up_descriptors(room, limit)?;
    // Many rounds of messages give the server time to run into its limit.
    for turn in 0..20 {
        let client = inside[turn % inside.len()];
        let expected = "while descriptors are used up, those inside are served";
        room.insist(client, inside, expected)?;
    }
    let served: Vec<ClientIndex> = beyond
        .iter()
        .copied()
        .filter(|&client| room.recorder.tally(client, inside[0]).received > 0)
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
        room.close(client);
    }
    somebody_is_let_in(room, inside[0], &waiting)?;
    // Then all others.
    for client in waiting {
        room.close(client);
    }
    room.pump_until(Duration::from_millis(100), |_| false)?;
    let newcomers = [room.connect("newcomer")?, room.connect("newcomer")?];
    let everyone: Vec<ClientIndex> = inside.iter().copied().chain(newcomers).collect();
    room.insist(inside[0], &everyone, "once descriptors are free, newcomers are served")?;
    room.deliver(&[(newcomers[0], 30), (inside[0], 30)], &everyone)?;
    newcomers.into_iter().for_each(|newcomer| room.close(newcomer));
    Ok(format!("limit {limit}, {} of {} beyond it were let in", served.len(), limit + BEYOND))
}

/// Nobody new connects, so nothing but the free descriptors tells the server. Some
/// runtimes keep nobody waiting: with a descriptor kept for that they accept who is
/// beyond the limit and close at once.
fn somebody_is_let_in(
    room: &mut Room,
    talker: ClientIndex,
    waiting: &[ClientIndex],
) -> Result<(), Stop> {
    let started = Instant::now();
    let let_in = |room: &Room| {
        waiting.iter().any(|&client| room.recorder.tally(client, talker).received > 0)
    };
    let turned_away =
        |room: &Room| waiting.iter().all(|&client| room.client(client).end().is_some());
    while started.elapsed() < room.trial.patience() {
        room.insist(talker, &[talker], "a message once descriptors are free")?;
        if room.pump_until(LET_IN_LOOK, |room| let_in(room) || turned_away(room))? {
            return Ok(());
        }
    }
    let expected = "a client that waited for a descriptor is let in once there are some";
    Err(room.failure(waiting[0], expected, format!("none of {} was", waiting.len())))
}
