//! Which clients have been sent everything, which are behind, and which of these to try.

use std::time::Duration;

use zillions_log::Offset;

use crate::client::{Client, Clients, Key, Lag, Progress};

/// The progress of a shard's clients in one room: each is in exactly one of the lists but `ready`.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// The clients that have been sent everything up to `sent_up_to`, without a codec.
    pub(super) current: Vec<Key>,
    /// The clients with a codec that have been sent everything up to `sent_up_to`.
    pub(super) current_coded: Vec<Key>,
    /// The clients that are sent no messages, and nothing else now.
    pub(super) publishers: Vec<Key>,
    pub(super) sent_up_to: Offset,
    /// The others.
    pub(super) lagging: Vec<Key>,
    /// Those of `lagging` whose sockets may take something, marked as queued. A client that has
    /// been closed may still be in it.
    pub(super) ready: Vec<Key>,
}

/// In which list a client is that has been sent everything.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Coded,
    Publisher,
}

impl Kind {
    fn of<S>(client: &Client<S>) -> Self {
        match &client.coded {
            _ if !client.listens() => Self::Publisher,
            Some(_) => Self::Coded,
            None => Self::Plain,
        }
    }
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
            self.enqueue(key, lag);
        }
    }

    /// Adds a client to those to try, unless it is among them.
    pub(super) fn enqueue(&mut self, key: Key, lag: &mut Lag) {
        if !std::mem::replace(&mut lag.queued, true) {
            self.ready.push(key);
        }
    }

    /// The client may be sent something that does not come from the log's growth: its codec has
    /// output, or is open now.
    pub(super) fn has_output<S>(&mut self, key: Key, now: Duration, clients: &mut Clients<S>) {
        let Some(client) = clients.get_mut(key) else { return };
        match client.lag_mut() {
            Some(lag) if lag.writable => self.enqueue(key, lag),
            Some(_) => {}
            None => self.rouse(key, now, clients),
        }
    }

    /// The log has grown: the clients with a codec that have been sent everything before are to
    /// be tried.
    pub(super) fn rouse_coded<S>(&mut self, now: Duration, clients: &mut Clients<S>) {
        while let Some(&key) = self.current_coded.last() {
            self.rouse(key, now, clients);
        }
    }

    /// A client that has been sent everything, and whose socket is not full, is to be tried again.
    fn rouse<S>(&mut self, key: Key, now: Duration, clients: &mut Clients<S>) {
        self.become_lagging(key, Vec::new(), self.sent_up_to, now, clients);
        self.writable(key, &mut clients[key]);
    }

    /// Forgets a client that has been removed from `clients`.
    pub(super) fn remove<S>(&mut self, client: &Client<S>, clients: &mut Clients<S>) {
        match client.progress {
            Progress::Current { index } => {
                self.remove_current(index, Kind::of(client), clients);
            }
            Progress::Lagging { index, .. } => self.remove_lagging(index, clients),
        }
    }

    /// The list of those that have been sent everything.
    fn current(&mut self, kind: Kind) -> &mut Vec<Key> {
        match kind {
            Kind::Plain => &mut self.current,
            Kind::Coded => &mut self.current_coded,
            Kind::Publisher => &mut self.publishers,
        }
    }

    fn remove_current<S>(&mut self, index: usize, kind: Kind, clients: &mut Clients<S>) {
        let current = self.current(kind);
        current.swap_remove(index);
        if let Some(&moved) = current.get(index) {
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
        let client = &mut clients[key];
        let current = self.current(Kind::of(client));
        let progress = Progress::Current { index: current.len() };
        let before = std::mem::replace(&mut client.progress, progress);
        if let Progress::Lagging { index, .. } = before {
            current.push(key);
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
        let checkpoint = (next.bytes, now);
        let lag = Lag { partial_out, next, writable: false, queued: false, checkpoint };
        let progress = Progress::Lagging { index: self.lagging.len(), lag };
        let client = &mut clients[key];
        let kind = Kind::of(client);
        let before = std::mem::replace(&mut client.progress, progress);
        if let Progress::Current { index } = before {
            self.lagging.push(key);
            self.remove_current(index, kind, clients);
        }
    }

    /// Panics unless each client is in the one list that its progress names, at its index, and
    /// exactly those are ready that are writable and have something left to be sent.
    pub(super) fn check<'a, S: 'a>(&self, clients: impl Iterator<Item = (Key, &'a Client<S>)>) {
        let mut listed = 0;
        for (key, client) in clients {
            listed += 1;
            match &client.progress {
                Progress::Current { index } => {
                    let list = match Kind::of(client) {
                        Kind::Plain => &self.current,
                        Kind::Coded => &self.current_coded,
                        Kind::Publisher => &self.publishers,
                    };
                    assert_eq!(list[*index], key);
                    let is_due_all = client.has_joined() || !client.listens();
                    assert!(!client.has_output() && is_due_all, "it has nothing to say");
                }
                Progress::Lagging { index, lag } => {
                    assert_eq!(self.lagging[*index], key);
                    let is_coded = client.coded.is_some();
                    assert!(is_coded || lag.partial_out.len() < 256, "less than a frame");
                    let times = self.ready.iter().filter(|&&ready| ready == key).count();
                    let until = client.draining.and_then(|draining| draining.until);
                    let has_all = until.is_some_and(|until| lag.next >= until);
                    let waits = has_all || !client.is_open();
                    assert_eq!(times, usize::from(lag.queued), "ready twice, or not marked");
                    assert!(times == 0 || lag.writable, "ready, but not marked");
                    assert!(times == 1 || !lag.writable || waits, "writable and forgotten");
                    assert!(times == 1 || !lag.writable || !client.has_output(), "not said");
                }
            }
        }
        let current = self.current.len() + self.current_coded.len() + self.publishers.len();
        assert_eq!(current + self.lagging.len(), listed, "in one list each");
    }
}
