//! START-5: where a server listens, and how many it accepts.

use std::io;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use zillions_harness::Signal;

use crate::case::Case;
use crate::cases::common::addresses::{names, on_ipv6};
use crate::cases::common::descriptors::ensure_connections;
use crate::cases::common::output::nothing_but_the_line;
use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Note, Outcome, Stop};

/// A second address of the loopback device, to which all of 127.0.0.0/8 belongs.
const SECOND_LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Many clients: a little more than a thousand, because `select`
/// knows no descriptors beyond 1023.
const MANY: usize = 1_100;
/// Clients that connect in one burst, or as many as the server has asked the system
/// to keep for it.
const BURST: usize = 600;
/// Empty messages that the flooder sends with one write.
static FLOOD: [u8; 64 << 10] = [0; 64 << 10];
/// How long the flooder waits before it checks whether the case is over.
const FLOODER_PATIENCE: Duration = Duration::from_millis(100);

pub(super) const CASES: &[Case] = &[
    Case::must(
        "start/only-the-given-address",
        "START-5",
        "nothing listens on other local addresses with the same port",
        only_the_given_address,
    )
    .launching(),
    Case::must_launching(
        "start/another-address",
        "START-5",
        "given another address of the loopback device, or that of IPv6, it listens on that one alone",
        another_address,
    ),
    Case::must(
        "scale/thousand-clients",
        "START-5",
        "eleven hundred clients are connected at once and all receive",
        thousand_clients,
    ),
    Case::must(
        "scale/burst-of-connections",
        "START-5",
        "six hundred clients that connect at the same moment, or as many as fit the backlog, are all served",
        burst_of_connections,
    ),
    Case::must(
        "scale/let-in-amid-a-flood",
        "START-5",
        "a client that connects while another one sends without end is served",
        let_in_amid_a_flood,
    ),
];

fn only_the_given_address(fixture: &mut Fixture) -> Outcome {
    let port = fixture.address().port();
    let others = [
        SocketAddr::new(IpAddr::V4(SECOND_LOOPBACK), port),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port),
    ];
    for other in others {
        answers_on(other, fixture.address())?;
    }
    listens_elsewhere(fixture)
}

/// Fails if the server has a socket that listens anywhere but on its address.
/// Where the system does not tell, nothing is known, and the case goes on.
fn listens_elsewhere(fixture: &Fixture) -> Outcome {
    let address = fixture.address();
    match fixture.server()?.listening_on().into_iter().find(|&other| other != address) {
        Some(other) => Err(Stop::fail(
            format!("a server that listens on {address} only"),
            format!("it also listens on {other}"),
        )
        .breaking("START-5")),
        None => Ok(Note::new()),
    }
}

fn another_address(context: &mut CaseContext) -> Outcome {
    let Some(lease) = context.servers.lease_on(SECOND_LOOPBACK.into())? else {
        return Err(Stop::Skip(format!("this machine has no address {SECOND_LOOPBACK}")));
    };
    let address = lease.address();
    let server = context.servers.start_on(context.servers.launch()?, &lease, false)?;
    names(&server, address)?;
    context.with_server(server, address, |fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.deliver_plain(clients[0], &[b"hello".to_vec()], &clients)?;
        let first = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
        answers_on(first, address)?;
        listens_elsewhere(fixture)
    })?;
    match on_ipv6(context)? {
        Some((server, lease)) => context.with_server(server, lease.address(), |fixture| {
            let client = fixture.join(1, "client")?;
            fixture.deliver_plain(client[0], &[b"hello".to_vec()], &client)?;
            listens_elsewhere(fixture)
        }),
        None => Ok(Note::new()),
    }
}

/// Fails if `other` accepts connections, where only `address` was given.
fn answers_on(other: SocketAddr, address: SocketAddr) -> Outcome {
    if TcpStream::connect_timeout(&other, Duration::from_secs(2)).is_ok() {
        return Err(Stop::fail(
            format!("connections to {address} only"),
            format!("a connection to {other} was also accepted"),
        ));
    }
    Ok(Note::new())
}

fn thousand_clients(fixture: &mut Fixture) -> Outcome {
    ensure_connections(MANY as u64)?;
    for _ in 0..MANY {
        fixture.connect("one of eleven hundred")?;
    }
    let everyone = fixture.all_clients();
    fixture.send_until_delivered(0, &everyone, "a message for eleven hundred clients")?;
    fixture.deliver(&[(0, 60), (MANY / 2, 60), (MANY - 1, 60)], &everyone)?;
    nothing_but_the_line(fixture)
}

fn burst_of_connections(fixture: &mut Fixture) -> Outcome {
    ensure_connections(BURST as u64)?;
    // The whole backlog is waiting when it continues.
    let held = fixture.server().is_ok();
    if held {
        fixture.server()?.signal(Signal::STOP);
    }
    let slots = if held { fixture.free_backlog_slots() } else { BURST };
    let outcome = connect_at_once(fixture, slots);
    if held {
        fixture.server()?.signal(Signal::CONT);
    }
    outcome?;
    let everyone = fixture.all_clients();
    // A connection that did not fit the backlog is accepted at its system's
    // next try, a second later or more.
    fixture.send_until_delivered(0, &everyone, "a message for all who connected in one burst")?;
    fixture.deliver(&[(0, 60), (everyone.len() - 1, 60)], &everyone)?;
    Ok(format!("{} at once", everyone.len()))
}

/// As many as the backlog has slots for, up to the size of the burst.
fn connect_at_once(fixture: &mut Fixture, slots: usize) -> Result<(), Stop> {
    for _ in 0..slots.clamp(1, BURST) {
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

/// Joins once `witness` gets something of a flood, and waits until the joiner does.
fn join_beside(fixture: &mut Fixture, witness: ClientIndex) -> Outcome {
    let received = |fixture: &Fixture, client: ClientIndex| fixture.client(client).bytes_received();
    let before = received(fixture, witness);
    fixture.await_each(&[witness], "messages of a flood", |fixture, client| {
        received(fixture, client) > before
    })?;
    let joiner = fixture.connect_without_waiting("joiner amid a flood")?;
    fixture.await_each(&[joiner], "messages of a flood that goes on", |fixture, client| {
        received(fixture, client) > 0
    })?;
    Ok(Note::new())
}
