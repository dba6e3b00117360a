//! The clients whose handshakes are not complete, and when they must be.

use std::collections::VecDeque;
use std::time::Duration;

use crate::client::{Clients, Key};

/// The handshakes that are not known to be complete, in the order of their deadlines. A client
/// that has been closed, or is open, may still be in it.
#[derive(Debug, Default)]
pub(super) struct Handshakes(VecDeque<(Key, Duration)>);

impl Handshakes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, key: Key, deadline: Duration) {
        self.0.push_back((key, deadline));
    }

    /// One that is over time now; `None` when there are no more.
    pub(super) fn overdue<S>(&mut self, now: Duration, clients: &Clients<S>) -> Option<Key> {
        while let Some(&(key, deadline)) = self.0.front() {
            let is_pending = clients.get(key).is_some_and(|client| !client.is_open());
            if is_pending && now < deadline {
                return None;
            }
            self.0.pop_front();
            if is_pending {
                return Some(key);
            }
        }
        None
    }
}
