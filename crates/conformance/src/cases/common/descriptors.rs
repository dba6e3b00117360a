//! Many connections, and servers that may have few.

use zillions_harness::limits::ensure_descriptors;

use crate::context::CaseContext;
use crate::fixture::{ClientIndex, Fixture};
use crate::verdict::{Outcome, Stop};

/// Descriptor limits that are tried, lowest first: some runtimes do not start
/// with few.
pub(crate) const LIMITS: [u64; 3] = [96, 256, 1024];
/// Clients that connect beyond the limit.
pub(crate) const BEYOND: u64 = 24;

/// Skips the case where this process cannot have so many connections.
pub(crate) fn ensure_connections(clients: u64) -> Result<(), Stop> {
    ensure_descriptors(clients).map(|_| ()).map_err(|error| Stop::Skip(error.to_string()))
}

/// Descriptors that a server may need for other things than its clients.
const DESCRIPTORS_OF_ITS_OWN: u64 = 40;

/// Skips the case where the server has limited itself to fewer descriptors: it accepts what these
/// allow (START-5).
pub(crate) fn ensure_server_allows(fixture: &Fixture, clients: u64) -> Result<(), Stop> {
    let limit = fixture.server().ok().and_then(|server| server.descriptor_limit());
    match limit {
        Some(limit) if limit < clients + DESCRIPTORS_OF_ITS_OWN => Err(Stop::Skip(format!(
            "the server has limited itself to {limit} descriptors, too few for {clients} clients"
        ))),
        _ => Ok(()),
    }
}

/// Runs `act` with a server that may have so many descriptors and no more, as
/// few as it starts with.
pub(crate) fn with_few_descriptors(
    context: &CaseContext,
    act: impl FnOnce(&mut Fixture, u64) -> Outcome,
) -> Outcome {
    let mut launch = context.servers.launch()?.clone();
    let mut last = None;
    for limit in LIMITS {
        ensure_connections(limit + BEYOND)?;
        launch.descriptor_limit = Some(limit);
        match context.servers.start(&launch) {
            Ok((server, lease)) => {
                return context.with_server(server, lease.address(), |fixture| act(fixture, limit));
            }
            Err(stop) => last = Some(stop),
        }
    }
    Err(last.unwrap_or_else(|| Stop::Error("no descriptor limit to try".to_owned())))
}

/// Connects more clients than a server with this limit can accept.
pub(crate) fn use_up_descriptors(
    fixture: &mut Fixture,
    limit: u64,
) -> Result<Vec<ClientIndex>, Stop> {
    let role = "client beyond the limit";
    (0..limit + BEYOND).map(|_| fixture.connect_without_waiting(role)).collect()
}
