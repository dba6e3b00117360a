//! The points at which a fault may differ from the correct server.
//!
//! Every method's default body **is** the correct server's behaviour at that
//! point; a fault overrides as few of them as it can.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::client::{Client, ClientId, End, Message};
use crate::correct;
use crate::error::Error;
use crate::server_state::{Context, PAUSE_AFTER_EXHAUSTION, ServerState, SocketEvent};
use crate::start;

/// One way to be a chat server.
pub(crate) trait Deviation {
    // Starting.

    /// What the argument means.
    fn resolve(&mut self, argument: Option<&str>) -> Result<Vec<SocketAddr>, Error> {
        start::resolve(argument)
    }

    /// Called with a valid address before it is bound.
    fn before_bind(&mut self, _address: &str) -> io::Result<()> {
        Ok(())
    }

    /// Listens on one of the addresses.
    fn listen(&mut self, candidates: &[SocketAddr]) -> Result<TcpListener, Error> {
        start::listen_on_any(candidates)
    }

    /// Prints the line that says that the server accepts connections.
    fn announce(&mut self, address: &str) -> io::Result<()> {
        start::print(&format!("listening on {address}\n"))
    }

    /// What the server does if it cannot start.
    fn not_started(&mut self, error: Error) -> Result<(), Error> {
        Err(error)
    }

    // Accepting.

    /// Whether connections are accepted in this turn of the loop, which has these events.
    fn may_accept(&mut self, _events: &[SocketEvent]) -> bool {
        true
    }

    /// Accepts one connection, or fails with `WouldBlock` if there is none.
    fn accept(&mut self, state: &mut ServerState) -> io::Result<TcpStream> {
        state.listener.accept().map(|(stream, _)| stream)
    }

    /// The process has no descriptor for a new connection: pending ones stay in
    /// the backlog until there is one.
    fn descriptors_exhausted(&mut self, state: &mut ServerState) -> Result<(), Error> {
        state.pause_accepting(PAUSE_AFTER_EXHAUSTION).map_err(Error::system("pause the listener"))
    }

    /// A client was accepted and registered.
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {}

    // Receiving.

    /// Whether anything is read in this turn.
    fn may_read(&mut self, _state: &ServerState) -> bool {
        true
    }

    /// Reads once from a client that is readable.
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        client.read(buffer)
    }

    /// Takes the bodies of the whole frames off what the client sent.
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        correct::decode(&mut client.inbound)
    }

    /// The body to be delivered for one that was received, if any.
    fn received(&mut self, _client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        Some(body)
    }

    /// A client's stream ended, or was reset. Returns bodies to be delivered:
    /// none, as an incomplete frame is no message.
    fn ended(&mut self, _client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        Ok(Vec::new())
    }

    // Delivering.

    /// The one sequencing point. Called in every turn, also without messages.
    fn sequence(&mut self, _state: &mut ServerState, batch: Vec<Message>) -> Vec<Message> {
        batch
    }

    /// Delivers one batch, which has not been written to anybody yet.
    fn distribute(&mut self, state: &mut ServerState, batch: &[Message]) {
        for message in batch {
            self.deliver(state, message);
        }
    }

    /// Delivers one message to every connected client.
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        correct::deliver(self, state, message);
    }

    /// Queues a message for one client, if there is room for it and the client
    /// has not closed its sending side.
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        correct::enqueue(self, client, message, context);
    }

    /// The queue of a client is full.
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        correct::overflow(self, client, message, context);
    }

    /// Writes as much of a client's queue as its socket takes.
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)
    }

    // Disconnecting.

    /// Whether the deviation still holds something for this client, whose
    /// stream has ended.
    fn holds_back_for(&self, _id: ClientId) -> bool {
        false
    }

    /// A client was removed. Its descriptor and memory go with the value.
    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        drop(client);
    }

    // Running.

    /// Called at the beginning of each turn.
    fn turn(&mut self, _state: &mut ServerState) -> Result<(), Error> {
        Ok(())
    }

    /// The longest that the next wait for events may last.
    fn wait_max(&self) -> Option<Duration> {
        None
    }

    /// Whether the server stops now that a signal has asked for it.
    fn stops(&mut self, _state: &ServerState) -> bool {
        true
    }
}

/// The correct server.
pub(crate) struct Correct;

impl Deviation for Correct {}
