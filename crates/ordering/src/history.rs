//! Recording what the clients of one server sent and received.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use crate::event::{ConnectionId, Event, MessageId, StreamPosition};
use crate::events::{Events, RawEvents};
use crate::log::{
    BODY_BYTES_MAX, BodyRef, DETAIL_BYTES_MAX, EVENT_BYTES_MAX, NAME_BYTES_MAX, Raw, State,
};

/// The most events one history can hold; events are numbered in 32 bits.
pub const EVENTS_MAX: u64 = u32::MAX as u64 - 1;

/// Bytes of one block of the log. Blocks are filled up and never moved, so
/// that a growing history is not copied.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;

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
    /// A name that the text form could not tell from a message.
    #[error(
        "`{}` is no name of a connection: it takes letters, digits, `-` and `_`, begins and ends \
         with a letter, and has at most {NAME_BYTES_MAX} bytes",
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
/// server. Nothing is checked here; see [`check`](crate::check()).
///
/// Memory: about eight bytes per delivery of a steady run.
///
/// # Panics
///
/// The recording methods panic when they are given a connection of another
/// history, or after [`EVENTS_MAX`] events. [`record`](Self::record) reports
/// these as errors.
#[derive(Clone, Debug, Default)]
pub struct History {
    blocks: Vec<Vec<u8>>,
    state: State,
    events: u64,
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
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a connection. Record it once the server is known to have accepted
    /// it: messages sent from here on are expected to reach it, in
    /// [`account`](crate::account()).
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
        self.send_event(sender, None, false, None)
    }

    /// Like [`send`](Self::send), with the frame's place in the sender's stream.
    pub fn send_at(&mut self, sender: ConnectionId, position: StreamPosition) -> MessageId {
        self.send_event(sender, None, false, Some(position))
    }

    /// The connection sends its next message, which may never leave, since a
    /// reset follows. It may be received; nobody has to. The same is true of
    /// all messages that the connection sends after it.
    pub fn send_maybe(&mut self, sender: ConnectionId) -> MessageId {
        self.send_event(sender, None, true, None)
    }

    /// The connection sends its next message, one too short to carry an id.
    /// It takes a sequence like any other.
    pub fn send_anonymous(&mut self, sender: ConnectionId, body: &[u8]) -> MessageId {
        self.send_event(sender, Some(body), false, None)
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

    /// The connection received a frame that is no sent message: its id cannot
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
        if self.events >= EVENTS_MAX {
            return Err(RecordError::Full);
        }
        match event {
            Event::Connect { connection, name } => self.record_connect(connection, name),
            Event::Send { message, short, maybe, position } => {
                self.record_send(message, short, maybe, position)
            }
            Event::MaybeFrom { message } => {
                self.known(message.sender)?;
                if message.sequence >= self.sent(message.sender) {
                    return Err(RecordError::NotSent(message));
                }
                let MessageId { sender, sequence } = message;
                self.append(&Raw::MaybeFrom { connection: sender.0, sequence });
                self.doubt(message);
                Ok(())
            }
            Event::Receive { connection, message, position } => {
                self.known(connection)?;
                self.append(&Raw::Receive {
                    connection: connection.0,
                    sender: message.sender.0,
                    sequence: message.sequence,
                    position,
                });
                self.count_delivery(connection);
                Ok(())
            }
            Event::ReceiveAnonymous { connection, body, position } => {
                self.known(connection)?;
                let (index, is_new) = self.intern(body)?;
                let body = BodyRef { index, new: is_new.then_some(body) };
                self.append(&Raw::ReceiveShort { connection: connection.0, body, position });
                self.count_delivery(connection);
                Ok(())
            }
            Event::ReceiveUnknown { connection, position, detail } => {
                self.known(connection)?;
                let detail = cut(detail).as_bytes();
                self.append(&Raw::ReceiveUnknown { connection: connection.0, position, detail });
                self.deliveries += 1;
                Ok(())
            }
        }
    }

    /// How many connections were recorded.
    pub fn connections(&self) -> usize {
        self.state.connections()
    }

    /// How many messages the connection has sent so far.
    pub fn sent(&self, sender: ConnectionId) -> u32 {
        self.state.sent(sender.0)
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
        self.events
    }

    /// Bytes that the events take in memory.
    pub fn event_bytes(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    /// All events, in order.
    pub fn events(&self) -> Events<'_> {
        Events::new(self)
    }

    pub(crate) fn raw_events(&self) -> RawEvents<'_> {
        RawEvents::new(&self.blocks)
    }

    pub(crate) fn blocks(&self) -> &[Vec<u8>] {
        &self.blocks
    }

    pub(crate) fn received(&self, receiver: usize) -> u32 {
        self.received[receiver]
    }

    /// How many messages of the sender have surely left.
    pub(crate) fn surely_sent(&self, sender: usize) -> u32 {
        self.maybe_from[sender].min(self.state.sent(sender as u32))
    }

    pub(crate) fn body(&self, index: u32) -> &[u8] {
        &self.bodies[index as usize]
    }

    pub(crate) fn shared_body(&self, index: u32) -> Arc<[u8]> {
        self.bodies[index as usize].clone()
    }

    pub(crate) fn has_body(&self, body: &[u8]) -> bool {
        self.body_index.contains_key(body)
    }

    pub(crate) fn body_count(&self) -> usize {
        self.bodies.len()
    }

    fn connection_next(&self) -> ConnectionId {
        // At most EVENTS_MAX connections exist, so the number fits.
        ConnectionId(self.connections() as u32)
    }

    fn send_event(
        &mut self,
        sender: ConnectionId,
        short: Option<&[u8]>,
        maybe: bool,
        position: Option<StreamPosition>,
    ) -> MessageId {
        let message = MessageId { sender, sequence: self.sent(sender) };
        self.must(Event::Send { message, short, maybe, position });
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
    ) -> Result<(), RecordError> {
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
        self.append(&Raw::Connect { name: name.unwrap_or_default().as_bytes() });
        self.names.push(shared);
        self.received.push(0);
        self.maybe_from.push(u32::MAX);
        Ok(())
    }

    fn record_send(
        &mut self,
        message: MessageId,
        short: Option<&[u8]>,
        maybe: bool,
        position: Option<StreamPosition>,
    ) -> Result<(), RecordError> {
        self.known(message.sender)?;
        let expected = self.sent(message.sender);
        if message.sequence != expected {
            return Err(RecordError::SequenceOutOfTurn { given: message, expected });
        }
        let short = match short {
            Some(body) => {
                let (index, is_new) = self.intern(body)?;
                Some(BodyRef { index, new: is_new.then_some(body) })
            }
            None => None,
        };
        self.append(&Raw::Send { connection: message.sender.0, short, maybe, position });
        self.messages += 1;
        if maybe {
            self.doubt(message);
        }
        Ok(())
    }

    fn doubt(&mut self, message: MessageId) {
        let first = &mut self.maybe_from[message.sender.at()];
        *first = message.sequence.min(*first);
    }

    fn count_delivery(&mut self, receiver: ConnectionId) {
        self.received[receiver.at()] += 1;
        self.deliveries += 1;
    }

    /// The index of a body, and whether it is new.
    fn intern(&mut self, body: &[u8]) -> Result<(u32, bool), RecordError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(RecordError::BodyTooLong { bytes: body.len() });
        }
        if let Some(&index) = self.body_index.get(body) {
            return Ok((index, false));
        }
        // At most one body per event, so the number fits.
        let index = self.bodies.len() as u32;
        let shared: Arc<[u8]> = Arc::from(body);
        self.bodies.push(shared.clone());
        self.body_index.insert(shared, index);
        Ok((index, true))
    }

    fn append(&mut self, raw: &Raw<'_>) {
        let full = self.blocks.last().is_none_or(|block| block.len() >= BLOCK_BYTES);
        if full {
            self.blocks.push(Vec::new());
        }
        if let Some(block) = self.blocks.last_mut() {
            // A small history stays small; a block of a big one is not copied often.
            if block.capacity() - block.len() < EVENT_BYTES_MAX {
                block.reserve(block.len().max(EVENT_BYTES_MAX));
            }
            self.state.encode(raw, block);
        }
        self.events += 1;
    }
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.events == other.events && self.events().eq(other.events())
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
