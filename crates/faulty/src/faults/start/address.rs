//! Faults of the address that a server listens on, and of how it refuses to start: START-5 to START-8.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::exit;
use std::time::Duration;

use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::start;
use crate::start::ListenOptions;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "ignores-address",
        "START-5",
        "prints the given address and listens on another port",
        || Box::new(IgnoresAddress),
    ),
    Fault::always(
        "first-loopback-only",
        "START-5",
        "listens on 127.0.0.1 for any IPv4 loopback address",
        || Box::new(FirstLoopbackOnly),
    ),
    Fault::always("all-interfaces", "START-5", "listens on every address of the machine", || {
        Box::new(AllInterfaces { applies_to: |_| true })
    }),
    Fault::always(
        "all-interfaces-on-ipv6",
        "START-5",
        "listens on every IPv6 address of the machine for an IPv6 address",
        || Box::new(AllInterfaces { applies_to: SocketAddr::is_ipv6 }),
    ),
    Fault::always(
        "listens-elsewhere-too",
        "START-5",
        "also listens on a second port of its own choice",
        || Box::new(ListensElsewhereToo { others: Vec::new() }),
    ),
    Fault::always(
        "starts-without-argument",
        "START-6",
        "listens on a port of its own choice without an argument",
        || Box::new(StartsWithoutArgument),
    )
    .by_timeout(),
    Fault::always(
        "default-for-bad-address",
        "START-6",
        "listens on a port of its own choice if the address is invalid",
        || Box::new(DefaultForBadAddress),
    )
    .by_timeout(),
    Fault::always(
        "port-ends-at-letters",
        "START-6",
        "ignores letters after the digits of the port",
        || Box::new(PortEndsAtLetters),
    )
    .by_timeout(),
    Fault::always(
        "line-on-port-in-use",
        "START-6",
        "prints its line even if it cannot bind, and then fails",
        || Box::new(LineOnPortInUse { address: String::new() }),
    ),
    Fault::always(
        "exit-zero-on-failure",
        "START-6",
        "exits with status 0 if it cannot start",
        || Box::new(ExitZeroOnFailure),
    ),
    Fault::always(
        "waits-for-port",
        "START-6",
        "retries for half a minute if it cannot bind",
        || Box::new(WaitsForPort),
    )
    .by_timeout(),
    Fault::always(
        "shares-port",
        "START-6",
        "listens on a port on which another instance of it listens already",
        || Box::new(SharesPort { applies_to: |_| true }),
    )
    .by_timeout(),
    Fault::always(
        "shares-port-on-ipv6",
        "START-6",
        "listens on an IPv6 address on which another instance of it listens already",
        || Box::new(SharesPort { applies_to: SocketAddr::is_ipv6 }),
    )
    .by_timeout(),
    Fault::always("silent-on-failure", "START-7", "does not say why it cannot start", || {
        Box::new(SilentOnFailure)
    }),
    Fault::always("ipv4-only", "START-8", "refuses IPv6 addresses", || Box::new(Ipv4Only)),
];

/// `address` with a port that the system picks.
fn with_any_port(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

struct IgnoresAddress;

impl Deviation for IgnoresAddress {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        // An address that cannot be bound is refused correctly.
        drop(start::listen_on_any(candidates)?);
        let elsewhere: Vec<_> = candidates.iter().copied().map(with_any_port).collect();
        start::listen_on_any(&elsewhere)
    }
}

struct FirstLoopbackOnly;

impl Deviation for FirstLoopbackOnly {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        let first = |mut address: SocketAddr| {
            if address.is_ipv4() && address.ip().is_loopback() {
                address.set_ip(Ipv4Addr::LOCALHOST.into());
            }
            address
        };
        start::listen_on_any(&candidates.iter().copied().map(first).collect::<Vec<_>>())
    }
}

struct SharesPort {
    applies_to: fn(&SocketAddr) -> bool,
}

impl Deviation for SharesPort {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        let reuse_port = candidates.iter().all(self.applies_to);
        let options = ListenOptions { reuse_port, ..ListenOptions::default() };
        start::listen_on_any_with(candidates, options)
    }
}

/// Listens on the wildcard address instead of certain others.
struct AllInterfaces {
    applies_to: fn(&SocketAddr) -> bool,
}

impl Deviation for AllInterfaces {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        let port = start::listen_on_any(candidates)?
            .local_addr()
            .map_err(Error::system("name the listener"))?
            .port();
        let everywhere: Vec<_> = candidates
            .iter()
            .map(|address| match address.ip() {
                _ if !(self.applies_to)(address) => SocketAddr::new(address.ip(), port),
                IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
                IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            })
            .collect();
        start::listen_on_any(&everywhere)
    }
}

struct ListensElsewhereToo {
    /// Nobody is accepted here, but the system takes connections in.
    others: Vec<TcpListener>,
}

impl Deviation for ListensElsewhereToo {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        let listener = start::listen_on_any(candidates)?;
        let address = listener.local_addr().map_err(Error::system("name the listener"))?;
        self.others.push(start::listen_on_any(&[with_any_port(address)])?);
        Ok(listener)
    }
}

/// The address that a server falls back to.
const DEFAULT_ADDRESS: &str = "127.0.0.1:0";

struct StartsWithoutArgument;

impl Deviation for StartsWithoutArgument {
    fn resolve(&mut self, argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
        start::resolve(argument.or(Some(DEFAULT_ADDRESS)))
    }
}

struct DefaultForBadAddress;

impl Deviation for DefaultForBadAddress {
    fn resolve(&mut self, argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
        match start::resolve(argument) {
            Err(Error::BadAddress { .. }) => start::resolve(Some(DEFAULT_ADDRESS)),
            resolved => resolved,
        }
    }
}

struct PortEndsAtLetters;

impl Deviation for PortEndsAtLetters {
    fn resolve(&mut self, argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
        let Some((host, port)) = argument.and_then(|argument| argument.rsplit_once(':')) else {
            return start::resolve(argument);
        };
        let port = port.trim_end_matches(|end: char| end.is_ascii_alphabetic());
        start::resolve(Some(&format!("{host}:{port}")))
    }
}

struct LineOnPortInUse {
    address: String,
}

impl Deviation for LineOnPortInUse {
    fn before_bind(&mut self, address: &str) -> io::Result<()> {
        address.clone_into(&mut self.address);
        Ok(())
    }

    fn not_started(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Listen { .. }) {
            let _ = start::print(&format!("listening on {}\n", self.address));
        }
        Err(error)
    }
}

struct ExitZeroOnFailure;

impl Deviation for ExitZeroOnFailure {
    fn not_started(&mut self, error: Error) -> Result<(), Error> {
        eprintln!("zillions-faulty: error: {error}");
        Ok(())
    }
}

/// How often and how long [`WaitsForPort`] tries.
const BIND_ATTEMPTS_MAX: u32 = 300;
const BIND_PAUSE: Duration = Duration::from_millis(100);

struct WaitsForPort;

impl Deviation for WaitsForPort {
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        for _ in 1..BIND_ATTEMPTS_MAX {
            if let Ok(listener) = start::listen_on_any(candidates) {
                return Ok(listener);
            }
            std::thread::sleep(BIND_PAUSE);
        }
        start::listen_on_any(candidates)
    }
}

struct SilentOnFailure;

impl Deviation for SilentOnFailure {
    fn not_started(&mut self, _error: Error) -> Result<(), Error> {
        exit(1)
    }
}

struct Ipv4Only;

impl Deviation for Ipv4Only {
    fn resolve(&mut self, argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
        let mut addresses = start::resolve(argument)?;
        addresses.retain(SocketAddr::is_ipv4);
        if addresses.is_empty() {
            let argument = argument.unwrap_or_default().to_owned();
            let reason = "this server knows no IPv6".to_owned();
            return Err(Error::BadAddress { argument, reason });
        }
        Ok(addresses)
    }
}
