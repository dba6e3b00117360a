//! Clients that talk, and write down all they send and receive.

use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Scope;
use std::time::Instant;

use zillions_ordering::{ConnectionId, History, MessageId, StreamPosition};
use zillions_testing::Dice;

use crate::support::{PATIENCE, eventually, frame, read_until, receive};

/// How many messages of its own a client waits for at most before it sends another.
const WINDOW: u64 = 8;
const PADDING_BYTES_MAX: usize = 200;
const MESSAGE: u8 = b'm';

/// What is common to the clients of a round.
struct Common {
    history: Mutex<History>,
    /// They send nothing new.
    ends: AtomicBool,
    started: Instant,
    seed: u64,
}

/// One client, as the others see it.
struct Client {
    node: usize,
    connection: ConnectionId,
    /// It was there before anybody said anything.
    is_first: bool,
    stream: Mutex<Option<TcpStream>>,
    sent: AtomicU64,
    echoes: AtomicU64,
    /// It sends nothing more, and all it has sent is back, or its connection has ended.
    is_done: AtomicBool,
    /// Its node is killed, so its connection may end.
    may_end: AtomicBool,
    received: Mutex<Vec<MessageId>>,
}

/// Clients on several nodes, who talk until the end.
pub(crate) struct Round {
    common: Arc<Common>,
    clients: Vec<Arc<Client>>,
}

fn connect(address: SocketAddr) -> TcpStream {
    // What a fault takes, until it shows and until it is repaired, and what comes after it.
    let patience = 3 * PATIENCE;
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    stream.set_write_timeout(Some(patience)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Says something that nobody else says, and reads until it is back.
fn say(stream: &mut TcpStream, what: &str) {
    let own = format!("{what} {}", stream.local_addr().expect("an address"));
    stream.write_all(&frame(own.as_bytes())).expect("it is sent");
    read_until(stream, own.as_bytes());
}

impl Round {
    /// So many clients on each node, of whom each knows that the others are there.
    pub(crate) fn begin(nodes: Vec<SocketAddr>, clients_per_node: usize, seed: u64) -> Self {
        let common = Common {
            history: Mutex::default(),
            ends: AtomicBool::new(false),
            started: Instant::now(),
            seed,
        };
        let mut round = Self { common: Arc::new(common), clients: Vec::new() };
        for (node, address) in nodes.into_iter().enumerate() {
            for _ in 0..clients_per_node {
                round.add(node, address, true);
            }
        }
        // Said when all are there; so what comes later all of them are sent.
        let mut first = round.clients[0].stream();
        let text = format!("begin {} {}", seed, first.local_addr().expect("an address"));
        first.write_all(&frame(text.as_bytes())).expect("it is sent");
        for client in &round.clients {
            read_until(&mut client.stream(), text.as_bytes());
        }
        round
    }

    fn add(&mut self, node: usize, address: SocketAddr, is_first: bool) -> Arc<Client> {
        let mut stream = connect(address);
        say(&mut stream, "hello");
        let client = Arc::new(Client {
            node,
            connection: self.common.history().connect(),
            is_first,
            stream: Mutex::new(Some(stream)),
            sent: AtomicU64::new(0),
            echoes: AtomicU64::new(0),
            is_done: AtomicBool::new(false),
            may_end: AtomicBool::new(false),
            received: Mutex::default(),
        });
        self.clients.push(Arc::clone(&client));
        client
    }

    /// All begin to talk.
    pub(crate) fn talk<'scope>(&self, scope: &'scope Scope<'scope, '_>) {
        for client in &self.clients {
            start(scope, &self.common, client);
        }
    }

    /// More clients, who talk at once.
    pub(crate) fn join<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        node: usize,
        address: SocketAddr,
        clients: usize,
    ) {
        for _ in 0..clients {
            let client = self.add(node, address, false);
            start(scope, &self.common, &client);
        }
    }

    /// A node is about to be killed, and its clients with it.
    pub(crate) fn node_will_end(&self, node: usize) {
        let clients = self.clients.iter().filter(|client| client.node == node);
        clients.for_each(|client| client.may_end.store(true, Ordering::SeqCst));
    }

    fn living(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.clients.iter().filter(|client| !client.may_end.load(Ordering::SeqCst))
    }

    /// Until the first client has so many messages back.
    pub(crate) fn until_echoes(&self, echoes: usize) {
        let client = &self.clients[0];
        eventually("messages come back", || client.echoes() >= echoes as u64);
    }

    /// Until each living client has a message back that it has sent from now on.
    pub(crate) fn until_all_have_new_echoes(&self) {
        Self::until_new_echoes(self.living());
    }

    /// Likewise, but for the clients of one node.
    pub(crate) fn until_others_have_new_echoes(&self, node: usize) {
        Self::until_new_echoes(self.living().filter(|client| client.node != node));
    }

    fn until_new_echoes<'a>(clients: impl Iterator<Item = &'a Arc<Client>>) {
        let sent: Vec<(&Arc<Client>, u64)> =
            clients.map(|client| (client, client.sent.load(Ordering::SeqCst))).collect();
        for (client, sent) in sent {
            eventually("new messages come back", || client.echoes() > sent);
        }
    }

    /// All come to an end: they have back what they have sent, and then each receives what is said
    /// last.
    pub(crate) fn end(&self, address: SocketAddr) {
        self.common.ends.store(true, Ordering::SeqCst);
        for client in &self.clients {
            eventually("all is back", || client.is_done.load(Ordering::SeqCst));
        }
        let mut last = connect(address);
        say(&mut last, &self.end_text());
    }

    fn end_text(&self) -> String {
        self.common.end_text()
    }

    /// What happened, once all have come to an end.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.common.history()
    }

    /// Whether all who were there from the first to the last message received the same messages,
    /// and everybody else's are among them.
    pub(crate) fn all_received_the_same(&self) -> Result<(), String> {
        let whole =
            |client: &&Arc<Client>| client.is_first && !client.may_end.load(Ordering::SeqCst);
        let mut received = self.clients.iter().filter(whole).map(|client| client.received());
        let first = received.next().expect("somebody was there all the time").clone();
        for other in received {
            let count = (first.len(), other.len());
            let at = first.iter().zip(other.iter()).position(|(one, other)| one != other);
            if *other != first {
                return Err(format!("{count:?} messages, which differ at {at:?}"));
            }
        }
        let known: HashSet<MessageId> = first.into_iter().collect();
        for client in &self.clients {
            if let Some(lost) = client.received().iter().find(|it| !known.contains(it)) {
                return Err(format!("{lost} was received by {} only", client.connection));
            }
        }
        Ok(())
    }
}

impl Common {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nobody has panicked")
    }

    fn end_text(&self) -> String {
        format!("end {}", self.seed)
    }
}

impl Client {
    fn stream(&self) -> TcpStream {
        let stream = self.stream.lock().expect("nobody has panicked");
        stream.as_ref().and_then(|it| it.try_clone().ok()).expect("a connection")
    }

    fn echoes(&self) -> u64 {
        self.echoes.load(Ordering::SeqCst)
    }

    fn received(&self) -> MutexGuard<'_, Vec<MessageId>> {
        self.received.lock().expect("nobody has panicked")
    }
}

fn start<'scope>(scope: &'scope Scope<'scope, '_>, common: &Arc<Common>, client: &Arc<Client>) {
    let (common, client) = (Arc::clone(common), Arc::clone(client));
    scope.spawn(move || {
        let has_ended_well = talk(&common, &client);
        client.is_done.store(true, Ordering::SeqCst);
        assert!(has_ended_well || client.may_end.load(Ordering::SeqCst), "a connection is lost");
    });
}

/// Sends and receives; returns whether it was to the end.
fn talk(common: &Common, client: &Client) -> bool {
    let mut stream = client.stream();
    let index = client.connection.index();
    let mut dice = Dice::new(common.seed << 32 | u64::from(index));
    let mut offset = 0;
    loop {
        while !common.ends.load(Ordering::SeqCst)
            && client.sent.load(Ordering::SeqCst) < client.echoes() + WINDOW
        {
            if !send(common, client, &mut stream, &mut dice) {
                return false;
            }
        }
        if common.ends.load(Ordering::SeqCst)
            && client.sent.load(Ordering::SeqCst) == client.echoes()
        {
            client.is_done.store(true, Ordering::SeqCst);
        }
        let Some(body) = receive(&mut stream) else { return false };
        if body.starts_with(common.end_text().as_bytes()) {
            return true;
        }
        if body.first() == Some(&MESSAGE) {
            let time_ns = common.started.elapsed().as_nanos() as u64;
            let position = StreamPosition { offset, time_ns };
            record(common, client, &body, position);
        }
        offset += body.len() as u64 + 1;
    }
}

/// Sends one message, whose length is random; returns whether that could be.
fn send(common: &Common, client: &Client, stream: &mut TcpStream, dice: &mut Dice) -> bool {
    let message = common.history().send(client.connection);
    let mut body = vec![MESSAGE];
    body.extend(message.sender.index().to_be_bytes());
    body.extend(message.sequence.to_be_bytes());
    body.resize(body.len() + dice.below(PADDING_BYTES_MAX), b'.');
    client.sent.fetch_add(1, Ordering::SeqCst);
    stream.write_all(&frame(&body)).is_ok()
}

fn record(common: &Common, client: &Client, body: &[u8], position: StreamPosition) {
    let number = |at: usize| {
        let bytes = body.get(at..at + 4).and_then(|it| it.try_into().ok());
        bytes.map(u32::from_be_bytes)
    };
    let (Some(sender), Some(sequence)) = (number(1), number(5)) else {
        common.history().receive_unknown(client.connection, position, "its id is cut off");
        return;
    };
    let message = MessageId { sender: ConnectionId::from_index(sender), sequence };
    common.history().receive(client.connection, message, position);
    client.received().push(message);
    if message.sender == client.connection {
        client.echoes.fetch_add(1, Ordering::SeqCst);
    }
}
