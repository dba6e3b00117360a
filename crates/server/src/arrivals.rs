//! Clients that arrive while messages of another server do.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::listen::Listeners;
use crate::room::{Phase, Room};
use crate::shared::Shared;

/// How long to wait until the shards have accepted connections that are older than a message.
const ACCEPT_TIME_MAX: Duration = Duration::from_millis(5);

/// A client that connected before a message arrived is registered before it is appended.
pub(crate) fn let_accept(room: &Room, shared: &Shared<OwnedFd>, listeners: &Listeners) {
    let begun = Instant::now();
    while room.phase() == Phase::Serving
        && listeners.have_pending()
        && begun.elapsed() < ACCEPT_TIME_MAX
    {
        thread::yield_now();
    }
    // A shard that is just accepting records where in the log the client joins.
    drop(shared.admission());
}
