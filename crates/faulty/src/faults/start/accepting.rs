//! Faults of accepting connections: START-5.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::client::{Client, ClientId, End};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{PAUSE_AFTER_EXHAUSTION, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "accepts-nobody-beside-a-flooder",
        "START-5",
        "accepts nobody while a client is connected that has sent 32 messages or more at once",
        || Box::new(AcceptsNobodyBesideFlooder { flooders: BTreeSet::new() }),
    )
    .by_timeout(),
    Fault::always("client-cap-64", "START-5", "closes every connection beyond 64", || {
        Box::new(ClientCap(64))
    }),
    Fault::always("client-cap-500", "START-5", "closes every connection beyond 500", || {
        Box::new(ClientCap(500))
    }),
    Fault::always(
        "descriptors-up-to-1023",
        "START-5",
        "closes every connection whose descriptor select() cannot handle",
        || Box::new(DescriptorsUpTo1023),
    ),
    Fault::always(
        "slow-accept",
        "START-5",
        "waits for a minute after each accepted connection",
        || Box::new(SlowAccept),
    )
    .by_timeout(),
    Fault::always(
        "accepts-one-per-event",
        "START-5",
        "accepts one of several pending connections, and the next when another one arrives",
        || AcceptsPerEvent::make(1),
    )
    .by_timeout(),
    Fault::always(
        "accepts-256-per-event",
        "START-5",
        "accepts 256 of several pending connections, and the rest when another one arrives",
        || AcceptsPerEvent::make(256),
    )
    .by_timeout(),
];

/// Who sends so many messages at once floods. Not how fast they come: on a busy machine a flood has
/// pauses, in which a server that only needs a quiet moment does accept.
const FLOOD_MESSAGES: usize = 32;

struct AcceptsNobodyBesideFlooder {
    flooders: BTreeSet<ClientId>,
}

impl Deviation for AcceptsNobodyBesideFlooder {
    fn accept(&mut self, state: &mut ServerState) -> io::Result<TcpStream> {
        if !self.flooders.is_empty() {
            state.pause_accepting(PAUSE_AFTER_EXHAUSTION)?;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(state.listener.accept()?.0)
    }

    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let bodies = correct::decode(&mut client.inbound);
        if bodies.len() >= FLOOD_MESSAGES {
            self.flooders.insert(client.id);
        }
        bodies
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.flooders.remove(&client.id);
    }
}

struct ClientCap(usize);

impl Deviation for ClientCap {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        let full = state.clients.len() > self.0;
        if let Some(client) = state.clients.get_mut(&id)
            && full
        {
            client.remove();
        }
    }
}

/// The size of the descriptor sets of select().
const SELECT_DESCRIPTORS: RawFd = 1024;

struct DescriptorsUpTo1023;

impl Deviation for DescriptorsUpTo1023 {
    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        if let Some(client) = state.clients.get_mut(&id)
            && client.stream.as_raw_fd() >= SELECT_DESCRIPTORS
        {
            client.remove();
        }
    }
}

struct AcceptsPerEvent {
    per_event: usize,
    edges: bool,
    /// How many were accepted in this turn.
    accepted: usize,
}

impl AcceptsPerEvent {
    fn make(per_event: usize) -> Box<dyn Deviation> {
        Box::new(Self { per_event, edges: false, accepted: 0 })
    }
}

impl Deviation for AcceptsPerEvent {
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.accepted = 0;
        if !self.edges {
            self.edges = true;
            state.accept_at_edges().map_err(Error::system("wait for connections"))?;
        }
        Ok(())
    }

    fn accept(&mut self, state: &mut ServerState) -> io::Result<TcpStream> {
        if self.accepted == self.per_event {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (stream, _) = state.listener.accept()?;
        self.accepted += 1;
        Ok(stream)
    }
}

/// The pause between two connections.
const ACCEPT_PAUSE: Duration = Duration::from_secs(60);

struct SlowAccept;

impl Deviation for SlowAccept {
    fn joined(&mut self, state: &mut ServerState, _id: ClientId) {
        // If this fails it is fast, which is correct.
        let _ = state.pause_accepting(ACCEPT_PAUSE);
    }
}
