//! Recording what the clients of one server sent and received.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::event::{ConnectionId, Event, MessageId, StreamPosition};

/// The most events one history can hold; events are numbered in 32 bits.
pub const EVENTS_MAX: u64 = u32::MAX as u64 - 1;
/// Bytes of the longest body: a frame's length is one byte.
pub const BODY_BYTES_MAX: usize = 255;
/// Bytes of the longest name of a connection.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a detail that are kept; the rest is cut off.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// No event, no message, no connection: an index that none has.
pub(crate) const NONE: u32 = u32::MAX;

/// An event as a history keeps it and the checker reads it: bodies and details
/// are indices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    Connect { connection: ConnectionId },
    Send { message: MessageId, short: Option<u32>, maybe: bool },
    MaybeFrom { message: MessageId },
    Receive { connection: ConnectionId, message: MessageId, position: StreamPosition },
    ReceiveShort { connection: ConnectionId, body: u32, position: StreamPosition },
    ReceiveUnknown { connection: ConnectionId, detail: u32, position: StreamPosition },
}

// A history of ten million deliveries is to fit in the memory of a small machine.
const _: () = assert!(size_of::<Entry>() == 32);

/// Why an event cannot be part of a history.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The event names a connection that was not recorded before.
    #[error("connection {0} does not exist in this history")]
    UnknownConnection(ConnectionId),
    /// A connection does not have the next free number.
    #[error("connection {given} is recorded out of turn: {expected} is next")]
    ConnectionOutOfTurn {
        /// The number in the event.
        given: ConnectionId,
        /// The number it should have.
        expected: ConnectionId,
    },
    /// A sent message does not have its sender's next sequence.
    #[error("message {given} is recorded out of turn: its sender's next sequence is {expected}")]
    SequenceOutOfTurn {
        /// The id in the event.
        given: MessageId,
        /// The sequence it should have.
        expected: u32,
    },
    /// A message is marked before it was sent.
    #[error("message {0} was not sent yet")]
    NotSent(MessageId),
    /// A body that no frame can hold.
    #[error("a body of {bytes} bytes: no frame holds more than {BODY_BYTES_MAX}")]
    BodyTooLong {
        /// Bytes of the body.
        bytes: usize,
    },
    /// A name that a history file could not tell from a message.
    #[error(
        "invalid name of a connection `{}`: use letters, digits, `-` and `_`, begin and end with a \
         letter, and at most {NAME_BYTES_MAX} bytes",
        .0.escape_debug()
    )]
    BadName(String),
    /// A name that another connection has.
    #[error("two connections are named `{0}`")]
    NameTaken(String),
    /// The history holds [`EVENTS_MAX`] events.
    #[error("a history holds at most {EVENTS_MAX} events")]
    Full,
}

/// What the clients of one server sent and received, in order of observation.
///
/// The order of the calls is the order of the history: record a send *before*
/// its first byte is written, and a delivery after its last byte was read.
/// Then a message that is received before it was sent was invented by the
/// server. Nothing is checked here; see `check`.
///
/// Memory: 32 bytes per event, and what short messages, names and details take.
///
/// # Panics
///
/// The recording methods panic when they are given a connection of another
/// history, or after [`EVENTS_MAX`] events. [`record`](Self::record) reports
/// these as errors.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// Messages sent, per connection.
    sent: Vec<u32>,
    messages: u64,
    deliveries: u64,
    /// Frames received, per connection: the length of each receiver's chain.
    received: Vec<u32>,
    /// Per connection, the first message that may never have left.
    maybe_from: Vec<u32>,
    names: Vec<Option<Arc<str>>>,
    name_index: HashMap<Arc<str>, ConnectionId>,
    bodies: Vec<Arc<[u8]>>,
    body_index: HashMap<Arc<[u8]>, u32>,
    details: Vec<Box<str>>,
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a connection. Record it once the server is known to have accepted
    /// it: messages sent from here on are expected to reach it, in
    /// `account`.
    pub fn connect(&mut self) -> ConnectionId {
        let connection = self.connection_next();
        self.must(Event::Connect { connection, name: None });
        connection
    }

    /// Adds a connection that explanations call by a name.
    pub fn connect_named(&mut self, name: &str) -> Result<ConnectionId, RecordError> {
        let connection = self.connection_next();
        self.record(Event::Connect { connection, name: Some(name) })?;
        Ok(connection)
    }

    /// The connection sends its next message, one that carries its id.
    pub fn send(&mut self, sender: ConnectionId) -> MessageId {
        self.send_event(sender, None, false)
    }

    /// The connection sends its next message, which may never leave, since a
    /// reset follows. It may be received or not. The same is true of
    /// all messages that the connection sends after it.
    pub fn send_maybe(&mut self, sender: ConnectionId) -> MessageId {
        self.send_event(sender, None, true)
    }

    /// The connection sends its next message, one too short to carry an id.
    /// It takes a sequence like any other.
    pub fn send_anonymous(&mut self, sender: ConnectionId, body: &[u8]) -> MessageId {
        self.send_event(sender, Some(body), false)
    }

    /// A reset cut the sender off: whether this message and the sender's later
    /// ones left is not known.
    pub fn mark_maybe_sent_from(&mut self, message: MessageId) {
        self.must(Event::MaybeFrom { message });
    }

    /// The connection received a frame that carries this id. An id that was
    /// never sent is recorded like any other: it breaks integrity.
    pub fn receive(
        &mut self,
        receiver: ConnectionId,
        message: MessageId,
        position: StreamPosition,
    ) {
        self.must(Event::Receive { connection: receiver, message, position });
    }

    /// The connection received a frame too short to carry an id.
    pub fn receive_anonymous(
        &mut self,
        receiver: ConnectionId,
        body: &[u8],
        position: StreamPosition,
    ) {
        self.must(Event::ReceiveAnonymous { connection: receiver, body, position });
    }

    /// The connection received a frame that is not a sent message: its id cannot
    /// be read, or the rest of its body is wrong. `detail` says what is wrong;
    /// [`DETAIL_BYTES_MAX`] bytes of it are kept.
    pub fn receive_unknown(
        &mut self,
        receiver: ConnectionId,
        position: StreamPosition,
        detail: impl AsRef<str>,
    ) {
        let detail = detail.as_ref();
        self.must(Event::ReceiveUnknown { connection: receiver, position, detail });
    }

    /// Adds any event, and checks that it can stand here.
    pub fn record(&mut self, event: Event<'_>) -> Result<(), RecordError> {
        if self.event_count() >= EVENTS_MAX {
            return Err(RecordError::Full);
        }
        let entry = match event {
            Event::Connect { connection, name } => self.record_connect(connection, name)?,
            Event::Send { message, short, maybe } => self.record_send(message, short, maybe)?,
            Event::MaybeFrom { message } => {
                self.known(message.sender)?;
                if message.sequence >= self.sent(message.sender) {
                    return Err(RecordError::NotSent(message));
                }
                self.doubt(message);
                Entry::MaybeFrom { message }
            }
            Event::Receive { connection, message, position } => {
                self.known(connection)?;
                self.count_delivery(connection);
                Entry::Receive { connection, message, position }
            }
            Event::ReceiveAnonymous { connection, body, position } => {
                self.known(connection)?;
                let body = self.intern(body)?;
                self.count_delivery(connection);
                Entry::ReceiveShort { connection, body, position }
            }
            Event::ReceiveUnknown { connection, position, detail } => {
                self.known(connection)?;
                // At most one detail per event, so the number fits.
                let index = self.details.len() as u32;
                self.details.push(cut(detail).into());
                self.deliveries += 1;
                Entry::ReceiveUnknown { connection, detail: index, position }
            }
        };
        self.entries.push(entry);
        Ok(())
    }

    /// How many connections were recorded.
    pub fn connections(&self) -> usize {
        self.sent.len()
    }

    /// How many messages the connection has sent so far; 0 for one that does not exist.
    pub fn sent(&self, sender: ConnectionId) -> u32 {
        self.sent.get(sender.at()).copied().unwrap_or_default()
    }

    /// How many messages were sent, all connections together.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How many frames were received, all connections together.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// What explanations call the connection, if it was given a name.
    pub fn name(&self, connection: ConnectionId) -> Option<&str> {
        self.names.get(connection.at())?.as_deref()
    }

    /// The connection with this name.
    pub fn connection(&self, name: &str) -> Option<ConnectionId> {
        self.name_index.get(name).copied()
    }

    /// The number of events, and with that the index of the next one.
    pub fn event_count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// All events, in order.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.entries.iter().map(|entry| self.event_of(*entry))
    }

    /// The event with this index.
    pub fn event(&self, index: u64) -> Option<Event<'_>> {
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        Some(self.event_of(*entry))
    }

    fn event_of(&self, entry: Entry) -> Event<'_> {
        match entry {
            Entry::Connect { connection } => {
                Event::Connect { connection, name: self.name(connection) }
            }
            Entry::Send { message, short, maybe } => {
                Event::Send { message, short: short.map(|body| self.body(body)), maybe }
            }
            Entry::MaybeFrom { message } => Event::MaybeFrom { message },
            Entry::Receive { connection, message, position } => {
                Event::Receive { connection, message, position }
            }
            Entry::ReceiveShort { connection, body, position } => {
                Event::ReceiveAnonymous { connection, body: self.body(body), position }
            }
            Entry::ReceiveUnknown { connection, detail, position } => {
                let detail = &self.details[detail as usize];
                Event::ReceiveUnknown { connection, position, detail }
            }
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn received(&self, receiver: usize) -> u32 {
        self.received[receiver]
    }

    /// How many messages of the sender have surely left.
    pub(crate) fn surely_sent(&self, sender: usize) -> u32 {
        self.maybe_from[sender].min(self.sent[sender])
    }

    pub(crate) fn body(&self, index: u32) -> &[u8] {
        &self.bodies[index as usize]
    }

    pub(crate) fn body_count(&self) -> usize {
        self.bodies.len()
    }

    fn connection_next(&self) -> ConnectionId {
        // At most EVENTS_MAX connections exist, so the number fits.
        ConnectionId(self.connections() as u32)
    }

    fn send_event(&mut self, sender: ConnectionId, short: Option<&[u8]>, maybe: bool) -> MessageId {
        let message = MessageId { sender, sequence: self.sent(sender) };
        self.must(Event::Send { message, short, maybe });
        message
    }

    fn must(&mut self, event: Event<'_>) {
        if let Err(error) = self.record(event) {
            panic!("a history was misused: {error}");
        }
    }

    fn known(&self, connection: ConnectionId) -> Result<(), RecordError> {
        if connection.at() < self.connections() {
            Ok(())
        } else {
            Err(RecordError::UnknownConnection(connection))
        }
    }

    fn record_connect(
        &mut self,
        given: ConnectionId,
        name: Option<&str>,
    ) -> Result<Entry, RecordError> {
        let expected = self.connection_next();
        if given != expected {
            return Err(RecordError::ConnectionOutOfTurn { given, expected });
        }
        let shared: Option<Arc<str>> = name.map(Arc::from);
        if let Some(name) = &shared {
            if !is_name(name) {
                return Err(RecordError::BadName(name.to_string()));
            }
            if self.name_index.contains_key(name) {
                return Err(RecordError::NameTaken(name.to_string()));
            }
            self.name_index.insert(name.clone(), given);
        }
        self.names.push(shared);
        self.sent.push(0);
        self.received.push(0);
        self.maybe_from.push(u32::MAX);
        Ok(Entry::Connect { connection: given })
    }

    fn record_send(
        &mut self,
        message: MessageId,
        short: Option<&[u8]>,
        maybe: bool,
    ) -> Result<Entry, RecordError> {
        self.known(message.sender)?;
        let expected = self.sent(message.sender);
        if message.sequence != expected {
            return Err(RecordError::SequenceOutOfTurn { given: message, expected });
        }
        let short = short.map(|body| self.intern(body)).transpose()?;
        self.sent[message.sender.at()] += 1;
        self.messages += 1;
        if maybe {
            self.doubt(message);
        }
        Ok(Entry::Send { message, short, maybe })
    }

    fn doubt(&mut self, message: MessageId) {
        let first = &mut self.maybe_from[message.sender.at()];
        *first = message.sequence.min(*first);
    }

    fn count_delivery(&mut self, receiver: ConnectionId) {
        self.received[receiver.at()] += 1;
        self.deliveries += 1;
    }

    /// The index of a body.
    fn intern(&mut self, body: &[u8]) -> Result<u32, RecordError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(RecordError::BodyTooLong { bytes: body.len() });
        }
        if let Some(&index) = self.body_index.get(body) {
            return Ok(index);
        }
        // At most one body per event, so the number fits.
        let index = self.bodies.len() as u32;
        let shared: Arc<[u8]> = Arc::from(body);
        self.bodies.push(shared.clone());
        self.body_index.insert(shared, index);
        Ok(index)
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.event_count() == other.event_count() && self.events().eq(other.events())
    }
}

impl Eq for History {}

/// The longest beginning of a detail that is kept.
fn cut(detail: &str) -> &str {
    let mut end = detail.len().min(DETAIL_BYTES_MAX);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    &detail[..end]
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends_in_letters = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    bytes.len() <= NAME_BYTES_MAX
        && ends_in_letters(bytes.first())
        && ends_in_letters(bytes.last())
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
