//! Which clients have been sent everything, which are behind, and which of these to try.

use std::time::Duration;

use zillions_log::Offset;

use crate::client::{Client, Clients, Key, Lag, Progress};

/// The progress of a shard's clients in one room: each is in exactly one of `current` and `lagging`.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// The clients that have been sent everything up to `sent_up_to`.
    pub(super) current: Vec<Key>,
    pub(super) sent_up_to: Offset,
    /// The others.
    pub(super) lagging: Vec<Key>,
    /// Those of `lagging` whose sockets may take something. A client that has been closed may
    /// still be in it.
    pub(super) ready: Vec<Key>,
}

impl SendQueue {
    /// Adds a client that has been sent nothing yet, at the end of `lagging`.
    pub(super) fn add(&mut self, key: Key) {
        self.lagging.push(key);
        self.ready.push(key);
    }

    /// The client's socket has become writable.
    pub(super) fn writable<S>(&mut self, key: Key, client: &mut Client<S>) {
        if let Some(lag) = client.lag_mut()
            && !lag.writable
        {
            lag.writable = true;
            self.ready.push(key);
        }
    }

    /// Forgets a client that has been removed from `clients` and had this progress.
    pub(super) fn remove<S>(&mut self, progress: &Progress, clients: &mut Clients<S>) {
        match *progress {
            Progress::Current { index } => self.remove_current(index, clients),
            Progress::Lagging { index, .. } => self.remove_lagging(index, clients),
        }
    }

    fn remove_current<S>(&mut self, index: usize, clients: &mut Clients<S>) {
        self.current.swap_remove(index);
        if let Some(&moved) = self.current.get(index) {
            clients[moved].progress = Progress::Current { index };
        }
    }

    fn remove_lagging<S>(&mut self, index: usize, clients: &mut Clients<S>) {
        self.lagging.swap_remove(index);
        if let Some(&moved) = self.lagging.get(index)
            && let Progress::Lagging { index: moved_index, .. } = &mut clients[moved].progress
        {
            *moved_index = index;
        }
    }

    /// The client has caught up.
    pub(super) fn become_current<S>(&mut self, key: Key, clients: &mut Clients<S>) {
        let progress = Progress::Current { index: self.current.len() };
        let before = std::mem::replace(&mut clients[key].progress, progress);
        if let Progress::Lagging { index, .. } = before {
            self.current.push(key);
            self.remove_lagging(index, clients);
        }
    }

    /// The client has been sent everything before `next`, but for `partial_out`.
    pub(super) fn become_lagging<S>(
        &mut self,
        key: Key,
        partial_out: Vec<u8>,
        next: Offset,
        now: Duration,
        clients: &mut Clients<S>,
    ) {
        let lag = Lag { partial_out, next, writable: false, checkpoint: (next.bytes, now) };
        let progress = Progress::Lagging { index: self.lagging.len(), lag };
        let before = std::mem::replace(&mut clients[key].progress, progress);
        if let Progress::Current { index } = before {
            self.lagging.push(key);
            self.remove_current(index, clients);
        }
    }

    /// Panics unless each client is in the one list that its progress names, at its index, and
    /// exactly those are ready that are writable and have something left to be sent.
    pub(super) fn check<'a, S: 'a>(&self, clients: impl Iterator<Item = (Key, &'a Client<S>)>) {
        let mut listed = 0;
        for (key, client) in clients {
            listed += 1;
            match &client.progress {
                Progress::Current { index } => assert_eq!(self.current[*index], key),
                Progress::Lagging { index, lag } => {
                    assert_eq!(self.lagging[*index], key);
                    assert!(lag.partial_out.len() < 256, "less than a frame");
                    let times = self.ready.iter().filter(|&&ready| ready == key).count();
                    let until = client.draining.and_then(|draining| draining.until);
                    let has_all = until.is_some_and(|until| lag.next >= until);
                    assert!(times <= 1, "ready twice");
                    assert!(times == 0 || lag.writable, "ready, but not marked");
                    assert!(times == 1 || !lag.writable || has_all, "writable and forgotten");
                }
            }
        }
        assert_eq!(self.current.len() + self.lagging.len(), listed, "in one list each");
    }
}
