//! START-1 to START-4 and START-8: how a server starts, and what it writes.

use std::net::Ipv6Addr;
use std::time::Duration;

use zillions_harness::Signal;

use crate::case::Case;
use crate::cases::common::addresses::{names, on_ipv6};
use crate::cases::common::output::{nothing_but_the_line, said_nothing_more};
use crate::cases::common::slow_readers::leave_a_backlog;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::Fixture;
use crate::verdict::{Note, Outcome, Stop};

/// Starts in a row that look for a line printed too early.
const STARTS: usize = 5;
/// How long there is no client: by then the server has seen it.
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
        "the one line on a piped standard output is 'listening on ADDRESS'",
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
        "nothing follows the line on standard output, with any kind of client and after any kind of end",
        stdout_stays_quiet,
    )
    .at_its_pace()
    .launching(),
    Case::must_launching("start/ipv6", "START-8", "serves on the IPv6 loopback address", ipv6)
        .should(),
];

fn runs_on_an_address(context: &mut CaseContext) -> Outcome {
    context.with_fixture(|fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.deliver_plain(clients[0], &[b"hello".to_vec()], &clients)?;
        Ok(Note::new())
    })
}

fn listening_line(context: &mut CaseContext) -> Outcome {
    let (server, _lease) = context.servers.start(context.servers.launch()?)?;
    let line = server.ready_line();
    if !line.starts_with("listening on ") || line.contains('\r') {
        let expected = "a line 'listening on ADDRESS' that ends with a single newline";
        return Err(Stop::fail(expected, format!("{line:?}")));
    }
    server.signal(Signal::TERM);
    server.wait_granted(context.limits.patience().as_secs_f64() / 2.0);
    let rest = String::from_utf8_lossy(&server.stdout_after_ready()).into_owned();
    if rest.lines().any(|line| line.starts_with("listening on")) {
        return Err(Stop::fail("exactly one line 'listening on ADDRESS'", "more than one"));
    }
    Ok(format!("after {:.0} ms", server.start_seconds() * 1e3))
}

fn address_in_line(context: &mut CaseContext) -> Outcome {
    let (server, lease) = context.servers.start(context.servers.launch()?)?;
    names(&server, lease.address())?;
    if let Some((server, lease)) = on_ipv6(context)? {
        names(&server, lease.address())?;
    }
    Ok(Note::new())
}

fn accepts_at_once(context: &mut CaseContext) -> Outcome {
    for _ in 0..STARTS {
        let lease = context.servers.lease()?;
        context.servers.start_on(context.servers.launch()?, &lease, true)?;
    }
    Ok(Note::new())
}

fn stdout_stays_quiet(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    fixture.deliver_plain(clients[0], &[b"hello".to_vec(), Vec::new()], &clients)?;
    fixture.queue_bytes(clients[1], &[200, 1, 2]);
    fixture.flush()?;
    fixture.reset(clients[1]);
    fixture.finish_sending(clients[2]);
    let passer_by = fixture.connect("client that is reset between frames")?;
    fixture.await_served(passer_by, &[clients[0], passer_by])?;
    fixture.reset(passer_by);
    // Nothing is sent meanwhile in which the server could see it first.
    fixture.pump_for(EMPTY_FOR)?;
    let slow = fixture.connect_with("client that does not read", ConnectOptions::SMALL)?;
    leave_a_backlog(fixture, clients[0], slow)?;
    fixture.fence(clients[0], &[clients[0]], "the remaining client is served")?;
    // The last client leaves, and another one connects.
    fixture.close(clients[0]);
    fixture.reset(slow);
    fixture.pump_for(EMPTY_FOR)?;
    fixture.join(1, "new client")?;
    let server = fixture.take_server()?;
    server.signal(Signal::TERM);
    // Whether it ends in time is for another case.
    server.wait_granted(fixture.limits.patience().as_secs_f64() / 2.0);
    said_nothing_more(&server)
}

fn ipv6(context: &mut CaseContext) -> Outcome {
    let Some(lease) = context.servers.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Err(Stop::Skip("this machine has no IPv6 loopback address".to_owned()));
    };
    let server = context
        .servers
        .start_on(context.servers.launch()?, &lease, false)
        .map_err(Stop::breaking_its_own)?;
    context.with_server(server, lease.address(), |fixture| {
        let clients = fixture.join(2, "client")?;
        fixture.deliver_plain(clients[0], &[b"hello".to_vec()], &clients)?;
        nothing_but_the_line(fixture)
    })
}
