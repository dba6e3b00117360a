//! The clients that are closed once they have been sent what is due to them.

use crate::client::{Client, Clients, Draining, Key};

/// The draining clients. One that has been closed may still be in it until the next upkeep.
#[derive(Debug, Default)]
pub(super) struct DrainQueue {
    pub(super) keys: Vec<Key>,
}

impl DrainQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The client drains from now on, or differently than before.
    pub(super) fn set<S>(&mut self, key: Key, client: &mut Client<S>, draining: Draining) {
        if client.draining.replace(draining).is_none() {
            self.keys.push(key);
        }
    }

    /// Panics unless exactly the draining clients are in the queue, once each.
    pub(super) fn check<S>(&self, clients: &Clients<S>) {
        let draining = clients.values().filter(|client| client.draining.is_some()).count();
        let alive = || self.keys.iter().filter(|&&key| clients.contains_key(key));
        assert!(alive().all(|&key| clients[key].draining.is_some()), "queued, but not draining");
        assert_eq!(alive().count(), draining, "draining, but not queued; or queued twice");
    }
}
