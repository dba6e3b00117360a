//! The clients that may have sent something, in the order of their turns.

use std::collections::VecDeque;

use crate::client::{Client, Clients, Key};

/// The clients that may have sent something. A client that has been closed may still be in it.
#[derive(Debug, Default)]
pub(super) struct ReadQueue {
    keys: VecDeque<Key>,
    /// Nothing is read any more.
    closed: bool,
}

impl ReadQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a client unless it is in the queue.
    pub(super) fn push<S>(&mut self, key: Key, client: &mut Client<S>) {
        if !client.read.queued && !self.closed {
            client.read.queued = true;
            self.keys.push_back(key);
        }
    }

    /// The next client; the caller marks it as no longer queued if it still exists.
    pub(super) fn pop(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    /// Nothing is read any more.
    pub(super) fn close<S>(&mut self, clients: &mut Clients<S>) {
        self.closed = true;
        for key in self.keys.drain(..) {
            if let Some(client) = clients.get_mut(key) {
                client.read.queued = false;
            }
        }
    }

    /// Panics unless exactly the clients marked as queued, so many, are in the queue, once each.
    pub(super) fn check<S>(&self, clients: &Clients<S>, queued: usize) {
        let alive = || self.keys.iter().filter(|&&key| clients.contains_key(key));
        assert!(alive().all(|&key| clients[key].read.queued), "queued, but not marked");
        assert_eq!(alive().count(), queued, "marked, but not queued; or queued twice");
    }
}
