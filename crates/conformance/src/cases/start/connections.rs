//! START-5: where a server listens, and how many it accepts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use zillions_harness::{GrantedTime, Signal};

use crate::case::Case;
use crate::cases::common::addresses::{names, on_ipv6};
use crate::cases::common::descriptors::{ensure_connections, ensure_server_allows};
use crate::cases::common::output::nothing_but_the_line;
use crate::client::ConnectOptions;
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

/// By then the flood is as large as the server is fast, and leaves it no quiet moment.
const FLOOD_RISES: Duration = Duration::from_millis(500);

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
    )
    .at_its_pace(),
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
    ensure_server_allows(fixture, MANY as u64)?;
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
    ensure_server_allows(fixture, BURST as u64)?;
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
    let mut flooder = flooder(fixture)?;
    let received = |fixture: &Fixture, client: ClientIndex| fixture.client(client).bytes_received();
    let (before, rises_until) = (received(fixture, witness), Instant::now() + FLOOD_RISES);
    fixture.await_each_while(
        &[witness],
        "messages of a flood",
        |fixture, client| received(fixture, client) > before && Instant::now() > rises_until,
        |fixture| flood_on(fixture, &mut flooder),
    )?;
    let joiner = fixture.connect_without_waiting("joiner amid a flood")?;
    let expected = "messages of a flood that goes on";
    let mut overdue = Overdue::begin(fixture);
    fixture.await_each_while(
        &[joiner],
        expected,
        |fixture, client| received(fixture, client) > 0,
        |fixture| {
            let count = flood_on(fixture, &mut flooder)?;
            if overdue.look(fixture, witness, flooder) && received(fixture, joiner) == 0 {
                let actual = "nothing, while another client gets what was sent long after";
                return Err(fixture.failure(joiner, expected, actual));
            }
            Ok(count)
        },
    )?;
    Ok(Note::new())
}

/// A client that sends all that a server takes. It reads nothing, so that it has time to
/// outrun the server.
fn flooder(fixture: &mut Fixture) -> Result<ClientIndex, Stop> {
    fixture.connect_with("flooder", ConnectOptions { stalled: true, ..ConnectOptions::default() })
}

/// A turn of the flood; a flooder that was disconnected for it (DROP-5) is replaced.
fn flood_on(fixture: &mut Fixture, flooder_now: &mut ClientIndex) -> Result<usize, Stop> {
    if fixture.client(*flooder_now).end().is_some() {
        *flooder_now = flooder(fixture)?;
    }
    fixture.flood_of_empties(*flooder_now)
}

/// Whether a witness gets what a flooder sent long after this was begun: then a client that
/// connected at the beginning has had its turn.
struct Overdue {
    granted: GrantedTime,
    /// The flooder's last message when that time was over.
    last: Option<(ClientIndex, u32)>,
}

impl Overdue {
    fn begin(fixture: &Fixture) -> Self {
        Self { granted: fixture.granted_time(), last: None }
    }

    fn look(&mut self, fixture: &Fixture, witness: ClientIndex, flooder: ClientIndex) -> bool {
        if self.last.is_none_or(|(sender, _)| sender != flooder)
            && self.granted.look() > fixture.limits.patience()
        {
            self.last = Some((flooder, fixture.recorder.sent(flooder)));
        }
        self.last.is_some_and(|(sender, sequence)| {
            fixture.recorder.tally(witness, sender).latest >= Some(sequence)
        })
    }
}
