//! The descriptor limit of this process: raised where allowed, named where not.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a tool keeps for itself beside its clients' connections:
/// standard streams, pipes of servers, logs, epoll instances.
pub const DESCRIPTORS_RESERVED: u64 = 64;

/// Descriptors without which a tool that starts servers or builds cannot work at all: it would
/// call servers wrong and tool chains missing. What takes more says so itself.
pub const DESCRIPTORS_MIN: u64 = 2 * DESCRIPTORS_RESERVED;

/// The limit is lower than what the tool itself needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "this process may have {limit} descriptors (RLIMIT_NOFILE) and needs at least {needed}: raise \
     the limit with 'ulimit -n 1024', as root if the hard limit is lower"
)]
pub struct DescriptorsBelowMinimum {
    /// What the tool needs.
    pub needed: u64,
    /// What this process may have at most.
    pub limit: u64,
}

/// The limit is lower than what is needed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{clients} clients need {needed} descriptors, and the limit of this process is {limit} \
     (RLIMIT_NOFILE): raise it with 'ulimit -n {needed}' or ask for fewer clients"
)]
pub struct TooFewDescriptors {
    /// Connections asked for.
    pub clients: u64,
    /// Descriptors that they need.
    pub needed: u64,
    /// What this process may have at most.
    pub limit: u64,
}

/// Raises the soft descriptor limit to the hard one and returns it.
///
/// Servers started later inherit the raised limit.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refusal is not an error: the current limit then applies.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    descriptor_limit()
}

/// The soft descriptor limit of this process.
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Makes sure that a tool that needs this many descriptors can work at all, raising the soft
/// limit for it.
///
/// # Errors
/// When even the hard limit is below that.
pub fn ensure_minimum(needed: u64) -> Result<(), DescriptorsBelowMinimum> {
    let limit = raise_descriptor_limit();
    if limit < needed { Err(DescriptorsBelowMinimum { needed, limit }) } else { Ok(()) }
}

/// Makes sure that `clients` connections fit, raising the soft limit for it.
///
/// # Errors
/// When even the hard limit is too low.
pub fn ensure_descriptors(clients: u64) -> Result<(), TooFewDescriptors> {
    let needed = clients.saturating_add(DESCRIPTORS_RESERVED);
    let limit = raise_descriptor_limit();
    if limit < needed { Err(TooFewDescriptors { clients, needed, limit }) } else { Ok(()) }
}
