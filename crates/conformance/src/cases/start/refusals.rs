//! START-6 and START-7: what a server refuses to start with.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use zillions_harness::Launch;

use crate::attempt::{Attempt, attempt};
use crate::case::Case;
use crate::client::ConnectOptions;
use crate::context::CaseContext;
use crate::fixture::Fixture;
use crate::verdict::{Note, Outcome, Stop};

/// START-6's figure, and one second more, of time that the program is granted.
const REFUSAL_SECONDS_MAX: f64 = 5.0 + 1.0;
/// An address that no machine has: 192.0.2.0/24 is reserved for documentation.
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub(super) const CASES: &[Case] = &[
    Case::must_launching(
        "start/refuses-no-argument",
        "START-6",
        "without an argument it ends with an error and no line",
        refuses_no_argument,
    ),
    Case::must_launching(
        "start/refuses-bad-address",
        "START-6",
        "with invalid addresses it ends with an error and no line",
        refuses_bad_address,
    ),
    Case::must_launching(
        "start/refuses-port-in-use",
        "START-6",
        "on a port that is in use it ends with an error and no line",
        refuses_port_in_use,
    ),
    Case::must_launching(
        "start/refuses-second-instance",
        "START-6",
        "on the port of another instance it ends with an error, and that instance goes on",
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
        "in each of these cases it writes to standard error",
        says_why,
    )
    .should(),
];

/// Judges an attempt that must have ended with an error and no line.
fn refused(attempt: &Attempt, what: &str) -> Result<(), Stop> {
    let expected = format!("{what}: no line, and a non-zero exit status within 5 seconds");
    let actual = if attempt.stdout.lines().any(|line| line.starts_with("listening on")) {
        format!("it printed {:?}", attempt.stdout.lines().next().unwrap_or_default())
    } else {
        match attempt.status {
            None => "it was still running".to_owned(),
            Some(status) if status.success() => "it exited with status 0".to_owned(),
            Some(_) => return Ok(()),
        }
    };
    Err(Stop::fail(expected, actual))
}

fn refuses_no_argument(context: &mut CaseContext) -> Outcome {
    refused(&attempt(context.servers.launch()?, &[], REFUSAL_SECONDS_MAX)?, "without an argument")?;
    Ok(Note::new())
}

fn refuses_bad_address(context: &mut CaseContext) -> Outcome {
    // The port before the letter is free.
    let lease = context.servers.lease()?;
    let lettered = format!("{}x", lease.address());
    let negative = "127.0.0.1:-20000";
    let too_large = "127.0.0.1:65536";
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:http!", too_large, negative, &lettered] {
        let attempt = attempt(context.servers.launch()?, &[bad], REFUSAL_SECONDS_MAX)?;
        refused(&attempt, &format!("with the argument '{bad}'"))?;
    }
    Ok(Note::new())
}

/// Runs the server on a port where this process listens.
fn attempt_in_use(context: &CaseContext) -> Result<Attempt, Stop> {
    let lease = context.servers.lease()?;
    let address = lease.address();
    let _listener = TcpListener::bind(address)
        .map_err(|error| Stop::Error(format!("cannot listen on {address}: {error}")))?;
    attempt(context.servers.launch()?, &[&address.to_string()], REFUSAL_SECONDS_MAX)
}

fn refuses_port_in_use(context: &mut CaseContext) -> Outcome {
    refused(&attempt_in_use(context)?, "with a port that is in use")?;
    Ok(Note::new())
}

fn refuses_second_instance(context: &mut CaseContext) -> Outcome {
    let launch = context.servers.launch()?.clone();
    context.with_fixture(|fixture| refuses_instance_beside(fixture, &launch))?;
    let Some(lease) = context.servers.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Ok("this machine has no IPv6 loopback address".to_owned());
    };
    match context.servers.start_on(&launch, &lease, false) {
        Ok(server) => context.with_server(server, lease.address(), |fixture| {
            refuses_instance_beside(fixture, &launch)
        }),
        // It need not serve IPv6 (START-8), which is another case.
        Err(Stop::Fail(_)) => Ok(Note::new()),
        Err(stop) => Err(stop),
    }
}

fn refuses_instance_beside(fixture: &mut Fixture, launch: &Launch) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let second = attempt(launch, &[&fixture.address().to_string()], REFUSAL_SECONDS_MAX)?;
    refused(&second, "on the port of another instance")?;
    fixture.fence(clients[0], &clients, "the first instance still serves its clients")?;
    let joiner = fixture.connect_with("new client", ConnectOptions::default())?;
    fixture.await_served(joiner, &[joiner])?;
    Ok(Note::new())
}

/// The address of another machine; `None` where the system would let a server
/// listen there.
fn foreign_address(context: &CaseContext) -> Result<Option<String>, Stop> {
    let ours = context.servers.lease_on(FOREIGN.into())?.is_some();
    Ok((!ours).then(|| format!("{FOREIGN}:28080")))
}

fn refuses_foreign_address(context: &mut CaseContext) -> Outcome {
    let Some(foreign) = foreign_address(context)? else {
        return Err(Stop::Skip(
            "this machine lets programs listen on foreign addresses (net.ipv4.ip_nonlocal_bind)"
                .to_owned(),
        ));
    };
    let attempt = attempt(context.servers.launch()?, &[&foreign], REFUSAL_SECONDS_MAX)?;
    refused(&attempt, &format!("with the address {foreign} of another machine"))?;
    Ok(Note::new())
}

fn says_why(context: &mut CaseContext) -> Outcome {
    let launch = context.servers.launch()?;
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
