//! The limit of descriptors, and what of it is not clients'.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;

/// The least that is left for descriptors that are not clients'.
const DESCRIPTORS_BESIDE_CLIENTS_MIN: u64 = 64;
/// Standard ones, signals, and some spare.
const DESCRIPTORS_OF_PROCESS: u64 = 32;
/// Of the most demanding engine.
const DESCRIPTORS_PER_SHARD: u64 = 3;

/// How many descriptors are not clients'. Those of metrics and of administration are
/// in tables of their own.
pub(crate) fn descriptors_beside_clients(shards: usize, addresses: usize) -> u64 {
    let needed = DESCRIPTORS_OF_PROCESS + DESCRIPTORS_PER_SHARD * shards as u64 + addresses as u64;
    needed.max(DESCRIPTORS_BESIDE_CLIENTS_MIN)
}

/// Raises the soft descriptor limit to the hard one, and checks whether it is enough.
pub(crate) fn check_descriptors(
    clients_max: Option<usize>,
    shards: usize,
    addresses: usize,
) -> Result<(), Error> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let Some(clients) = clients_max else { return Ok(()) };
    let needed = clients as u64 + descriptors_beside_clients(shards, addresses);
    if needed > limit {
        Err(Error::DescriptorsOfClients { clients, needed, limit })
    } else {
        Ok(())
    }
}
