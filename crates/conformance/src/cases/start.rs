//! START: the command line and the first line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use zillions_harness::{Launch, PortLease, Server, Signal};

use super::end::leave_a_backlog;
use crate::attempt::{Attempt, attempt};
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::Fixture;
use crate::verdict::{Note, Outcome, Stop};

/// START-6's figure, and one second for a loaded machine.
const REFUSAL_SECONDS_MAX: f64 = 5.0 + 1.0;
/// Starts in a row that look for a line printed too early.
const STARTS: usize = 5;
/// An address that no machine has: 192.0.2.0/24 is reserved for documentation.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// An address of the loopback device besides the usual one; all of 127.0.0.0/8 is.
const SECOND_LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How long a room stays empty: by then the server has seen it.
const EMPTY_FOR: Duration = Duration::from_millis(50);

pub(super) const CASES: &[Case] = &[
    Case::must_launching(
        "start/runs-on-an-address",
        "START-1",
        "starts with the address as its only argument and serves there",
        runs_on_an_address,
    )
    .quick(),
    Case::must_launching(
        "start/listening-line",
        "START-2",
        "the one line on a piped standard output is 'listening on ADDRESS', and it comes unasked",
        listening_line,
    ),
    Case::must_launching(
        "start/address-in-line",
        "START-3",
        "the line names the address exactly as it was given",
        address_in_line,
    ),
    Case::must_launching(
        "start/accepts-at-once",
        "START-2",
        "a connection made the moment the line appears is accepted, at each of five starts",
        accepts_at_once,
    ),
    Case::must(
        "start/stdout-stays-quiet",
        "START-4",
        "nothing follows the line on standard output: not with clients, nor for slow ones, nor at any end",
        stdout_stays_quiet,
    )
    .launching(),
    Case::must(
        "start/only-the-given-address",
        "START-5",
        "nobody answers on other local addresses with the same port",
        only_the_given_address,
    )
    .launching(),
    Case::must_launching(
        "start/another-address",
        "START-5",
        "given another address of the loopback device, or that of IPv6, it listens on that one alone",
        another_address,
    ),
    Case::must_launching(
        "start/refuses-no-argument",
        "START-6",
        "without an argument it ends with an error and no line",
        refuses_no_argument,
    ),
    Case::must_launching(
        "start/refuses-bad-address",
        "START-6",
        "with arguments that are no addresses it ends with an error and no line",
        refuses_bad_address,
    ),
    Case::must_launching(
        "start/refuses-port-in-use",
        "START-6",
        "on a port where somebody else listens it ends with an error and no line",
        refuses_port_in_use,
    ),
    Case::must_launching(
        "start/refuses-second-instance",
        "START-6",
        "on a port where another instance of it listens it ends with an error, and that instance goes on",
        refuses_second_instance,
    ),
    Case::must_launching(
        "start/refuses-foreign-address",
        "START-6",
        "with an address of another machine it ends with an error and no line",
        refuses_foreign_address,
    ),
    Case::must_launching(
        "start/says-why",
        "START-7",
        "in each of these cases something stands on standard error",
        says_why,
    )
    .should(),
    Case::must_launching("start/ipv6", "START-8", "serves on the IPv6 loopback address", ipv6)
        .should(),
];

fn runs_on_an_address(context: &mut CaseContext) -> Outcome {
    context.with_fixture(|fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.exchange(clients[0], &[b"hello".to_vec()], &clients)?;
        Ok(Note::new())
    })
}

fn listening_line(context: &mut CaseContext) -> Outcome {
    let (server, _lease) = context.start(context.launch()?)?;
    let line = server.ready_line();
    if !line.starts_with("listening on ") || line.contains('\r') {
        let expected = "a line 'listening on ADDRESS', ended by a newline alone";
        return Err(Stop::fail(expected, format!("{line:?}")));
    }
    server.signal(Signal::TERM);
    server.wait(context.patience().as_secs_f64() / 2.0);
    let rest = String::from_utf8_lossy(&server.stdout_after_ready()).into_owned();
    if rest.lines().any(|line| line.starts_with("listening on")) {
        return Err(Stop::fail("exactly one line 'listening on ADDRESS'", "more than one"));
    }
    Ok(format!("after {:.0} ms", server.start_seconds() * 1e3))
}

fn address_in_line(context: &mut CaseContext) -> Outcome {
    let (server, lease) = context.start(context.launch()?)?;
    names(&server, lease.address())?;
    if let Some((server, lease)) = on_ipv6(context)? {
        names(&server, lease.address())?;
    }
    Ok(Note::new())
}

/// Whether the server's line names exactly this address.
fn names(server: &Server, address: SocketAddr) -> Outcome {
    let expected = format!("listening on {address}");
    if server.ready_line() == expected {
        return Ok(Note::new());
    }
    Err(Stop::fail(format!("{expected:?}"), format!("{:?}", server.ready_line())))
}

/// The server on the IPv6 loopback address; `None` where there is no such address or
/// it does not start there, which is another case's question.
fn on_ipv6(context: &CaseContext) -> Result<Option<(Server, PortLease)>, Stop> {
    let Some(lease) = context.lease_on(Ipv6Addr::LOCALHOST.into())? else { return Ok(None) };
    match context.start_on(context.launch()?, &lease, false) {
        Ok(server) => Ok(Some((server, lease))),
        Err(Stop::Fail(_)) => Ok(None),
        Err(stop) => Err(stop),
    }
}

fn accepts_at_once(context: &mut CaseContext) -> Outcome {
    for _ in 0..STARTS {
        let lease = context.lease()?;
        context.start_on(context.launch()?, &lease, true)?;
    }
    Ok(Note::new())
}

fn stdout_stays_quiet(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    fixture.exchange(clients[0], &[b"hello".to_vec(), Vec::new()], &clients)?;
    fixture.queue_bytes(clients[1], &[200, 1, 2]);
    fixture.flush()?;
    fixture.reset(clients[1]);
    fixture.finish_sending(clients[2]);
    let passer_by = fixture.connect("client that is reset between frames")?;
    fixture.await_served(passer_by, &[clients[0], passer_by])?;
    fixture.reset(passer_by);
    // Nobody says anything in which the server could see it first.
    fixture.pump_until(EMPTY_FOR, |_| false)?;
    let slow = fixture.connect_with("client that does not read", ConnectOptions::SMALL)?;
    leave_a_backlog(fixture, clients[0], slow)?;
    fixture.fence(clients[0], &[clients[0]], "the remaining client is served")?;
    // The room is empty, and somebody comes again.
    fixture.close(clients[0]);
    fixture.reset(slow);
    fixture.pump_until(EMPTY_FOR, |_| false)?;
    fixture.join(1, "newcomer")?;
    let server = fixture.take_server()?;
    server.signal(Signal::TERM);
    // Whether it ends in time is another case's question.
    server.wait(fixture.context.patience().as_secs_f64() / 2.0);
    said_nothing_more(&server)
}

/// Fails if a server has written more than its line so far.
fn said_nothing_more(server: &Server) -> Outcome {
    let extra = server.stdout_after_ready();
    if extra.is_empty() {
        return Ok(Note::new());
    }
    let shown: String = String::from_utf8_lossy(&extra).chars().take(200).collect();
    Err(Stop::fail(
        "nothing on standard output after the line",
        format!("{} bytes: {shown:?}", server.stdout_after_ready_bytes()),
    ))
}

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

/// Fails if the server has a socket that listens anywhere but at its address.
/// Where the system does not tell, nothing is known, and that is no failure.
fn listens_elsewhere(fixture: &Fixture) -> Outcome {
    let address = fixture.address();
    match fixture.server()?.listening_on().into_iter().find(|&other| other != address) {
        Some(other) => Err(Stop::fail(
            format!("a server that listens at {address} alone"),
            format!("it listens at {other}, too"),
        )
        .breaking("START-5")),
        None => Ok(Note::new()),
    }
}

fn another_address(context: &mut CaseContext) -> Outcome {
    let Some(lease) = context.lease_on(SECOND_LOOPBACK.into())? else {
        return Err(Stop::Skip(format!("this machine has no address {SECOND_LOOPBACK}")));
    };
    let address = lease.address();
    let server = context.start_on(context.launch()?, &lease, false)?;
    names(&server, address)?;
    context.with_server(server, address, |fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.exchange(clients[0], &[b"hello".to_vec()], &clients)?;
        let first = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port());
        answers_on(first, address)?;
        listens_elsewhere(fixture)
    })?;
    match on_ipv6(context)? {
        Some((server, lease)) => context.with_server(server, lease.address(), |fixture| {
            let client = fixture.join(1, "client")?;
            fixture.exchange(client[0], &[b"hello".to_vec()], &client)?;
            listens_elsewhere(fixture)
        }),
        None => Ok(Note::new()),
    }
}

/// Fails if somebody answers at `other`, where only `address` was asked for.
fn answers_on(other: SocketAddr, address: SocketAddr) -> Outcome {
    if TcpStream::connect_timeout(&other, Duration::from_secs(2)).is_ok() {
        return Err(Stop::fail(
            format!("connections to {address} alone"),
            format!("a connection to {other} was accepted, too"),
        ));
    }
    Ok(Note::new())
}

/// Judges an attempt that must have ended with an error and no line.
fn refused(attempt: &Attempt, what: &str) -> Result<(), Stop> {
    let expected = format!("{what}: no line, and an exit status other than 0 within 5 seconds");
    let came = if attempt.stdout.lines().any(|line| line.starts_with("listening on")) {
        format!("it printed {:?}", attempt.stdout.lines().next().unwrap_or_default())
    } else {
        match attempt.status {
            None => "it was still running".to_owned(),
            Some(status) if status.success() => "it ended with status 0".to_owned(),
            Some(_) => return Ok(()),
        }
    };
    Err(Stop::fail(expected, came))
}

fn refuses_no_argument(context: &mut CaseContext) -> Outcome {
    refused(&attempt(context.launch()?, &[], REFUSAL_SECONDS_MAX)?, "without an argument")?;
    Ok(Note::new())
}

fn refuses_bad_address(context: &mut CaseContext) -> Outcome {
    // The port with letters behind it is one that nobody uses.
    let lease = context.lease()?;
    let lettered = format!("{}x", lease.address());
    let negative = "127.0.0.1:-20000";
    let too_large = "127.0.0.1:65536";
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:http!", too_large, negative, &lettered] {
        let attempt = attempt(context.launch()?, &[bad], REFUSAL_SECONDS_MAX)?;
        refused(&attempt, &format!("with the argument '{bad}'"))?;
    }
    Ok(Note::new())
}

/// Runs the server on a port where this process listens.
fn attempt_in_use(context: &CaseContext) -> Result<Attempt, Stop> {
    let lease = context.lease()?;
    let address = lease.address();
    let _listener = TcpListener::bind(address)
        .map_err(|error| Stop::Error(format!("cannot listen on {address}: {error}")))?;
    attempt(context.launch()?, &[&address.to_string()], REFUSAL_SECONDS_MAX)
}

fn refuses_port_in_use(context: &mut CaseContext) -> Outcome {
    refused(&attempt_in_use(context)?, "with a port that is in use")?;
    Ok(Note::new())
}

fn refuses_second_instance(context: &mut CaseContext) -> Outcome {
    let launch = context.launch()?.clone();
    context.with_fixture(|fixture| refuses_instance_beside(fixture, &launch))?;
    let Some(lease) = context.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Ok("this machine has no IPv6 loopback address".to_owned());
    };
    match context.start_on(&launch, &lease, false) {
        Ok(server) => context.with_server(server, lease.address(), |fixture| {
            refuses_instance_beside(fixture, &launch)
        }),
        // It need not serve IPv6 (START-8), and another case says so.
        Err(Stop::Fail(_)) => Ok(Note::new()),
        Err(stop) => Err(stop),
    }
}

fn refuses_instance_beside(fixture: &mut Fixture, launch: &Launch) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let second = attempt(launch, &[&fixture.address().to_string()], REFUSAL_SECONDS_MAX)?;
    refused(&second, "on the port of another instance")?;
    fixture.fence(clients[0], &clients, "the first instance still serves its clients")?;
    let newcomer = fixture.connect_with("newcomer", ConnectOptions::default())?;
    fixture.await_served(newcomer, &[newcomer])?;
    Ok(Note::new())
}

/// The address of another machine; `None` where the system would let a server
/// listen there.
fn foreign_address(context: &CaseContext) -> Result<Option<String>, Stop> {
    let ours = context.lease_on(FOREIGN.into())?.is_some();
    Ok((!ours).then(|| format!("{FOREIGN}:28080")))
}

fn refuses_foreign_address(context: &mut CaseContext) -> Outcome {
    let Some(foreign) = foreign_address(context)? else {
        return Err(Stop::Skip(
            "this machine lets programs listen on foreign addresses (net.ipv4.ip_nonlocal_bind)"
                .to_owned(),
        ));
    };
    let attempt = attempt(context.launch()?, &[&foreign], REFUSAL_SECONDS_MAX)?;
    refused(&attempt, &format!("with the address {foreign} of another machine"))?;
    Ok(Note::new())
}

fn says_why(context: &mut CaseContext) -> Outcome {
    let launch = context.launch()?;
    let mut attempts = vec![
        ("without an argument", attempt(launch, &[], REFUSAL_SECONDS_MAX)?),
        ("with the argument 'nonsense'", attempt(launch, &["nonsense"], REFUSAL_SECONDS_MAX)?),
        ("with a port that is in use", attempt_in_use(context)?),
    ];
    if let Some(foreign) = foreign_address(context)? {
        attempts.push((
            "with the address of another machine",
            attempt(launch, &[&foreign], REFUSAL_SECONDS_MAX)?,
        ));
    }
    match attempts.iter().find(|(_, attempt)| attempt.stderr.trim().is_empty()) {
        Some((what, _)) => {
            Err(Stop::fail(format!("{what}: a reason on standard error"), "nothing"))
        }
        None => Ok(Note::new()),
    }
}

fn ipv6(context: &mut CaseContext) -> Outcome {
    let Some(lease) = context.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Err(Stop::Skip("this machine has no IPv6 loopback address".to_owned()));
    };
    let server =
        context.start_on(context.launch()?, &lease, false).map_err(Stop::breaking_its_own)?;
    context.with_server(server, lease.address(), |fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.exchange(clients[0], &[b"hello".to_vec()], &clients)?;
        nothing_but_the_line(fixture)
    })
}

/// Fails if the server has written more than its line so far; of one that
/// somebody else runs, nobody knows.
pub(super) fn nothing_but_the_line(fixture: &Fixture) -> Outcome {
    let server = fixture.server();
    server.map_or(Ok(Note::new()), |server| {
        said_nothing_more(server).map_err(|stop| stop.breaking("START-4"))
    })
}
