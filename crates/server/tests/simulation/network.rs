//! A network in memory, with edge-triggered readiness like epoll's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use zillions_server::client::Disconnect;
use zillions_server::engine::{Accepted, Engine, Outgoing, Ready};
use zillions_server::keys::ListenerId;
use zillions_testing::Dice;

/// What a connection holds on its way to a client, in bytes, at most.
const SEND_BUFFER_BYTES_MAX: usize = 3000;

pub(crate) struct Network {
    pub(crate) dice: Dice,
    pub(crate) now: Duration,
    pub(crate) connections: Vec<Connection>,
    /// Connected and not accepted, by listening socket.
    pending: Vec<VecDeque<usize>>,
    /// Shards to which pending connections have yet to be reported, by listening socket.
    listener_edges: Vec<Vec<bool>>,
    /// The connections that the server has closed.
    pub(crate) disconnects: Vec<(usize, Disconnect)>,
    /// How often the server acknowledged what it had received and would not answer.
    pub(crate) acknowledgements: u64,
    pub(crate) faults: Faults,
}

/// The faults that were injected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) short_writes: u64,
    pub(crate) full: u64,
    pub(crate) short_reads: u64,
    pub(crate) resets: u64,
    pub(crate) accept_errors: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// The shard that has registered it, and its key there.
    owner: Option<(usize, u64)>,
    /// It was registered.
    pub(crate) served: bool,
    to_server: VecDeque<u8>,
    pub(crate) to_client: VecDeque<u8>,
    /// Something happened since the last event.
    edge: bool,
    /// A send found it full.
    wants_space: bool,
    /// The client has closed its sending side.
    pub(crate) eof: bool,
    pub(crate) reset: bool,
    /// The server has closed it, or its sending side.
    pub(crate) closed: bool,
    finished: bool,
}

impl Connection {
    fn space(&self) -> usize {
        SEND_BUFFER_BYTES_MAX.saturating_sub(self.to_client.len())
    }

    /// The client sees the end once it has read what is there.
    pub(crate) fn has_ended(&self) -> bool {
        self.closed || self.finished || self.reset
    }
}

impl Network {
    pub(crate) fn new(seed: u64, shards: usize, listeners: usize) -> Self {
        Self {
            dice: Dice::new(seed),
            now: Duration::from_secs(1),
            connections: Vec::new(),
            pending: vec![VecDeque::new(); listeners],
            listener_edges: vec![vec![false; shards]; listeners],
            disconnects: Vec::new(),
            acknowledgements: 0,
            faults: Faults::default(),
        }
    }

    // The clients' side.

    pub(crate) fn connect(&mut self, listener: usize) -> usize {
        let id = self.connections.len();
        self.connections.push(Connection::default());
        self.pending[listener].push_back(id);
        // As with EPOLLEXCLUSIVE: one shard gets the event, not all.
        let edges = &mut self.listener_edges[listener];
        let shard = self.dice.below(edges.len());
        edges[shard] = true;
        id
    }

    /// The server no longer listens there: what is pending is reset.
    pub(crate) fn close_listener(&mut self, listener: usize) {
        while let Some(id) = self.pending[listener].pop_front() {
            self.client_resets(id);
        }
    }

    pub(crate) fn client_sends(&mut self, id: usize, bytes: &[u8]) {
        let connection = &mut self.connections[id];
        connection.to_server.extend(bytes);
        connection.edge = true;
    }

    pub(crate) fn client_reads(&mut self, id: usize, bytes_max: usize) -> Vec<u8> {
        let connection = &mut self.connections[id];
        let bytes = bytes_max.min(connection.to_client.len());
        let read = connection.to_client.drain(..bytes).collect();
        // The kernel waits until a good part is free before it reports that.
        if connection.wants_space && connection.space() > SEND_BUFFER_BYTES_MAX / 3 {
            connection.wants_space = false;
            connection.edge = true;
        }
        read
    }

    pub(crate) fn client_ends(&mut self, id: usize) {
        (self.connections[id].eof, self.connections[id].edge) = (true, true);
    }

    pub(crate) fn client_resets(&mut self, id: usize) {
        self.faults.resets += 1;
        let connection = &mut self.connections[id];
        (connection.reset, connection.edge) = (true, true);
        connection.to_server.clear();
    }

    /// The connection that a shard knows by this key.
    pub(crate) fn connection_of(&self, shard: usize, key: u64) -> Option<usize> {
        self.connections.iter().position(|connection| connection.owner == Some((shard, key)))
    }

    /// Whether there is an event for the shard now.
    pub(crate) fn has_events(&self, shard: usize) -> bool {
        let is_due = |connection: &Connection| {
            connection.edge && connection.owner.is_some_and(|(owner, _)| owner == shard)
        };
        self.listener_edges.iter().any(|edges| edges[shard]) || self.connections.iter().any(is_due)
    }
}

/// The server's end of a connection.
pub(crate) struct SimStream {
    network: Arc<Mutex<Network>>,
    id: usize,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut network = lock(&self.network);
        let connection = &mut network.connections[self.id];
        connection.closed = true;
        connection.owner = None;
        if !connection.to_server.is_empty() {
            // Closing with unread bytes is a reset, which may cost what is on its way.
            connection.reset = true;
        }
    }
}

/// One shard's engine: its view of the network.
pub(crate) struct SimEngine {
    pub(crate) network: Arc<Mutex<Network>>,
    pub(crate) shard: usize,
    pub(crate) woken: Arc<AtomicBool>,
    /// While it sleeps: until when.
    pub(crate) asleep: Option<Option<Duration>>,
}

pub(crate) fn lock(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether this is the error of a wait in which a real shard would be asleep now.
pub(crate) fn is_asleep(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

impl SimEngine {
    /// Whether a real shard would be running: it is not asleep, or something wakes it.
    pub(crate) fn is_runnable(&self) -> bool {
        let network = lock(&self.network);
        let is_due = |until: Option<Duration>| until.is_some_and(|until| until <= network.now);
        self.asleep.is_none_or(is_due)
            || self.woken.load(Ordering::Relaxed)
            || network.has_events(self.shard)
    }
}

impl Engine for SimEngine {
    type Stream = SimStream;

    fn now(&self) -> Duration {
        lock(&self.network).now
    }

    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut network = lock(&self.network);
        let network = &mut *network;
        let was_asleep = self.asleep.is_some();
        let is_due = self.asleep.flatten().is_some_and(|until| until <= network.now);
        let runs = self.woken.swap(false, Ordering::Relaxed)
            || network.has_events(self.shard)
            || (was_asleep && is_due)
            || time_max == Some(Duration::ZERO);
        if !runs {
            self.asleep = Some(time_max.map(|time| network.now + time));
            return Err(ErrorKind::WouldBlock.into());
        }
        self.asleep = None;
        for (listener, edges) in network.listener_edges.iter_mut().enumerate() {
            if std::mem::take(&mut edges[self.shard]) {
                ready.push(Ready::Listener(listener as ListenerId));
            }
        }
        for connection in &mut network.connections {
            let Some((shard, key)) = connection.owner else { continue };
            // Now and then an event is spurious.
            if shard == self.shard && (connection.edge || network.dice.one_in(50)) {
                connection.edge = false;
                let ended = connection.eof || connection.reset;
                let readable = !connection.to_server.is_empty() || ended;
                let writable = connection.space() > 0;
                ready.push(Ready::Client { key, readable, writable, ended });
            }
        }
        Ok(())
    }

    fn pause(&mut self, _time: Duration) {
        // What would happen meanwhile may as well happen before the next wait.
    }

    fn accept(&mut self, listener: ListenerId) -> io::Result<Option<Accepted<SimStream>>> {
        let mut network = lock(&self.network);
        let listener = listener as usize;
        if network.pending[listener].is_empty() {
            return Ok(None);
        }
        if network.dice.one_in(12) {
            network.faults.accept_errors += 1;
            if network.dice.one_in(2) {
                return Err(rustix::io::Errno::MFILE.into());
            }
            let id = network.pending[listener].pop_front().expect("it is not empty");
            network.client_resets(id);
            return Err(rustix::io::Errno::CONNABORTED.into());
        }
        let id = network.pending[listener].pop_front().expect("it is not empty");
        let peer = IpAddr::V4(Ipv4Addr::new(127, 0, 0, (id % 5) as u8));
        let stream = SimStream { network: Arc::clone(&self.network), id };
        Ok(Some(Accepted { stream, peer }))
    }

    fn register(&mut self, key: u64, stream: &SimStream) -> io::Result<()> {
        let mut network = lock(&self.network);
        let connection = &mut network.connections[stream.id];
        connection.owner = Some((self.shard, key));
        connection.served = true;
        connection.edge = true;
        Ok(())
    }

    fn receive(&mut self, stream: &SimStream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut network = lock(&self.network);
        let network = &mut *network;
        let connection = &mut network.connections[stream.id];
        if connection.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if connection.to_server.is_empty() {
            let nothing = Err(ErrorKind::WouldBlock.into());
            return if connection.eof { Ok(0) } else { nothing };
        }
        let mut bytes = buffer.len().min(connection.to_server.len());
        if network.dice.one_in(3) {
            // As if the rest arrived a moment later: there will be another event.
            bytes = 1 + network.dice.below(bytes);
            connection.edge = true;
            network.faults.short_reads += 1;
        }
        for (to, from) in buffer.iter_mut().zip(connection.to_server.drain(..bytes)) {
            *to = from;
        }
        Ok(bytes)
    }

    fn acknowledge(&mut self, _stream: &SimStream) {
        lock(&self.network).acknowledgements += 1;
    }

    fn send(&mut self, batch: &mut [Outgoing<'_, SimStream>]) {
        let mut network = lock(&self.network);
        for outgoing in batch {
            assert!(outgoing.length() > 0, "an empty send is a wasted system call");
            outgoing.sent = send_once(&mut network, outgoing);
        }
    }

    fn finish(&mut self, stream: &SimStream) {
        lock(&self.network).connections[stream.id].finished = true;
    }

    fn in_flight_bytes(&self, stream: &SimStream) -> usize {
        lock(&self.network).connections[stream.id].to_client.len()
    }

    fn closed(&mut self, disconnect: Disconnect) {
        let mut network = lock(&self.network);
        let key = disconnect.report.key;
        let id = network.connection_of(self.shard, key).expect("it was registered");
        network.disconnects.push((id, disconnect));
    }
}

fn send_once(network: &mut Network, outgoing: &Outgoing<'_, SimStream>) -> io::Result<usize> {
    let connection = &mut network.connections[outgoing.stream.id];
    if connection.reset {
        return Err(ErrorKind::BrokenPipe.into());
    }
    let length = outgoing.length();
    let mut bytes = length.min(connection.space());
    if bytes > 0 && network.dice.one_in(6) {
        bytes = network.dice.below(bytes);
    }
    connection.to_client.extend(outgoing.partial_out.iter().chain(outgoing.bytes).take(bytes));
    if bytes < length {
        if connection.to_client.is_empty() {
            // It was not really full: there is an event at once.
            connection.edge = true;
        } else {
            connection.wants_space = true;
        }
        network.faults.short_writes += 1;
    }
    if bytes == 0 {
        network.faults.full += 1;
        return Err(ErrorKind::WouldBlock.into());
    }
    Ok(bytes)
}
