//! Whether this machine can connect to itself: nothing can be checked or measured otherwise.

use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::machine_fault::MachineFault;

/// How long a connection to this very process may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// This machine does not connect to itself.
#[derive(Debug, thiserror::Error)]
#[error("no connection on the loopback address {ip} can be made: {reason}")]
pub struct LoopbackError {
    /// The address.
    pub ip: IpAddr,
    /// Why, and what to do.
    pub reason: String,
}

/// Listens on `ip` and connects to it once. That can succeed to listen and fail to connect: an
/// IPv4 loopback address can be bound while the loopback device is down.
///
/// # Errors
/// Why it cannot be done, and what to do.
pub fn check(ip: IpAddr) -> Result<(), LoopbackError> {
    connect_to_itself(ip)
        .map_err(|error| LoopbackError { ip, reason: MachineFault::explain(&error) })
}

fn connect_to_itself(ip: IpAddr) -> io::Result<()> {
    let listener = TcpListener::bind((ip, 0))?;
    TcpStream::connect_timeout(&listener.local_addr()?, CONNECT_MAX).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_that_no_interface_has_is_told_with_what_to_do() {
        check(Ipv4Addr::LOCALHOST.into()).expect("tests have a loopback device");
        // 192.0.2.0/24 is reserved for documentation: no machine has it.
        let error = check(Ipv4Addr::new(192, 0, 2, 1).into()).unwrap_err().to_string();
        assert!(error.contains("this machine has no local port left, or not such an address"));
    }
}
