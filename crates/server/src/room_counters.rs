//! What is counted of each room.

use crate::counter::Counter;

/// What one shard counts of one room. Alone in its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RoomCounters {
    /// Messages handed to clients' sockets.
    pub(crate) sent_messages: Counter,
    /// Messages not sent to a client because it was too slow.
    pub(crate) dropped_messages: Counter,
    /// Clients that are behind, now.
    pub(crate) lagging_clients: Counter,
    /// The lag of the slowest client at the last check.
    pub(crate) lag_max_bytes: Counter,
}
