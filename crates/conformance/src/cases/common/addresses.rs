//! The addresses on which servers are started.

use std::net::{Ipv6Addr, SocketAddr};

use zillions_harness::{PortLease, Server};

use crate::context::CaseContext;
use crate::verdict::{Note, Outcome, Stop};

/// Whether the server's line names exactly this address.
pub(crate) fn names(server: &Server, address: SocketAddr) -> Outcome {
    let expected = format!("listening on {address}");
    if server.ready_line() == expected {
        return Ok(Note::new());
    }
    Err(Stop::fail(format!("{expected:?}"), format!("{:?}", server.ready_line())))
}

/// The server on the IPv6 loopback address; `None` where there is no such address or
/// it does not start there, which is for another case.
pub(crate) fn on_ipv6(context: &CaseContext) -> Result<Option<(Server, PortLease)>, Stop> {
    let Some(lease) = context.servers.lease_on(Ipv6Addr::LOCALHOST.into())? else {
        return Ok(None);
    };
    match context.servers.start_on(context.servers.launch()?, &lease, false) {
        Ok(server) => Ok(Some((server, lease))),
        Err(Stop::Fail(_)) => Ok(None),
        Err(stop) => Err(stop),
    }
}
