//! The clients that have sent more than they may, and when they are read again.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::{Client, Clients, Key};

/// The clients that are not read now, by when they are again.
#[derive(Debug, Default)]
pub(super) struct Throttled(BTreeSet<(Duration, Key)>);

impl Throttled {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them is read again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.first().map(|&(at, _)| at)
    }

    /// The client is not read before that time.
    pub(super) fn add<S>(&mut self, at: Duration, key: Key, client: &mut Client<S>) {
        if let Some(limits) = &mut client.limits {
            limits.resumes_at = Some(at);
            self.0.insert((at, key));
        }
    }

    /// The client has been closed.
    pub(super) fn remove<S>(&mut self, key: Key, client: &Client<S>) {
        if let Some(at) = client.limits.as_ref().and_then(|limits| limits.resumes_at) {
            self.0.remove(&(at, key));
        }
    }

    /// Takes out one whose time has come.
    pub(super) fn due<S>(&mut self, now: Duration, clients: &mut Clients<S>) -> Option<Key> {
        let &(at, key) = self.0.first()?;
        if now < at {
            return None;
        }
        self.0.pop_first();
        if let Some(limits) = clients.get_mut(key).and_then(|client| client.limits.as_mut()) {
            limits.resumes_at = None;
        }
        Some(key)
    }

    /// Panics unless exactly the clients that wait are here, each with its time.
    pub(super) fn check<S>(&self, clients: &Clients<S>) {
        let waiting = clients.iter().filter_map(|(key, client)| {
            let at = client.limits.as_ref()?.resumes_at?;
            Some((at, key))
        });
        assert_eq!(self.0, waiting.collect(), "who waits is known");
    }
}
