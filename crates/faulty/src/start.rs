//! From the argument to a listening socket and its line.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::error::Error;

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// How long the look-up of a host name may take: START-6 allows 5 seconds.
const RESOLVE_MAX: Duration = Duration::from_secs(3);

/// The addresses that the argument names, at least one.
pub(crate) fn resolve(argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
    let argument = argument.ok_or(Error::NoAddress)?;
    if let Ok(address) = argument.parse() {
        return Ok(vec![address]);
    }
    let bad =
        |reason: &str| Error::BadAddress { argument: argument.into(), reason: reason.to_owned() };
    let Some((host, port)) = argument.rsplit_once(':') else {
        return Err(bad("the port is missing"));
    };
    if port.parse::<u16>().is_err() {
        return Err(bad("the port is not a number from 0 to 65535"));
    }
    let letters = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !letters || host.contains([':', '[', ']']) {
        return Err(bad("the host is neither an IP address nor a name"));
    }
    let addresses = look_up(argument.to_owned()).map_err(|reason| bad(&reason))?;
    if addresses.is_empty() { Err(bad("the host has no address")) } else { Ok(addresses) }
}

/// Asks the system's resolver, which itself knows no time limit.
fn look_up(argument: String) -> Result<Vec<SocketAddr>, String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let found = argument.to_socket_addrs().map(Iterator::collect);
        // Nobody may be waiting any more.
        let _ = sender.send(found.map_err(|error: io::Error| error.to_string()));
    });
    let late = format!("the host was not found within {} seconds", RESOLVE_MAX.as_secs());
    receiver.recv_timeout(RESOLVE_MAX).unwrap_or(Err(late))
}

/// How a listener differs from the correct one: for faults.
#[derive(Clone, Copy)]
pub(crate) struct ListenOptions {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { reuse_address: true, reuse_port: false }
    }
}

/// Listens on `address`.
pub(crate) fn listen(address: SocketAddr, options: ListenOptions) -> Result<TcpListener, Error> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(options.reuse_address)?;
        socket.set_reuse_port(options.reuse_port)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    open().map_err(|source| Error::Listen { address, source })
}

/// The first of `candidates` that can be listened on, or why the last cannot.
pub(crate) fn listen_on_any(candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
    listen_on_any_with(candidates, ListenOptions::default())
}

/// The same with other options.
pub(crate) fn listen_on_any_with(
    candidates: &[SocketAddr],
    options: ListenOptions,
) -> Result<TcpListener, Error> {
    let mut last = Err(Error::NoAddress);
    for &address in candidates {
        last = listen(address, options);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// What the line calls the listener: the argument, unless that leaves the
/// address or the port open.
pub(crate) fn name_of(listener: &TcpListener, argument: &str) -> io::Result<String> {
    match argument.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(argument.to_owned()),
        _ => Ok(listener.local_addr()?.to_string()),
    }
}

/// Writes to standard output and flushes it.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (argument, reason) in [
            ("", "port is missing"),
            ("8080", "port is missing"),
            ("127.0.0.1", "port is missing"),
            ("127.0.0.1:", "port is not"),
            ("127.0.0.1:http", "port is not"),
            ("127.0.0.1:65536", "port is not"),
            ("256.0.0.1:8080", "neither"),
            (":8080", "neither"),
            ("::1:8080", "neither"),
            ("[::1:8080", "neither"),
        ] {
            let error = resolve(Some(argument)).unwrap_err().to_string();
            assert!(error.contains(reason), "{argument}: {error}");
        }
        assert!(matches!(resolve(None), Err(Error::NoAddress)));
    }

    #[test]
    fn the_line_repeats_the_argument_unless_its_port_is_open() {
        let listener = listen_on_any(&resolve(Some("127.0.0.1:0")).unwrap()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(name_of(&listener, "127.0.0.1:0").unwrap(), address);
        let long = "[0:0:0:0:0:0:0:1]:8080";
        assert_eq!(name_of(&listener, long).unwrap(), long);
    }
}
