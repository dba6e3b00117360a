//! Where a client comes from.

use std::net::IpAddr;

use crate::keys::ListenerId;

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The listening socket that it came by.
    pub(crate) listener: ListenerId,
    /// The other side.
    pub(crate) peer: IpAddr,
}
