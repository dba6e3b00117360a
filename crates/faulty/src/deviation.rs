//! The points at which a fault may differ from the correct server.
//!
//! Every method's default body **is** the correct server's behaviour at that
//! point; a fault overrides as few of them as it can.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::client::{Client, ClientId, End, Message};
use crate::error::Error;
use crate::server_state::{Context, PAUSE_AFTER_EXHAUSTION, ServerState};
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

    /// A read has left an incomplete frame. Its sender may wait for an acknowledgement before it
    /// sends the rest.
    fn incomplete(&mut self, client: &Client) {
        client.acknowledge();
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

/// What the correct server does at the points where there is much to do: apart from the trait
/// whose default methods call it, so that a fault that does the same with a difference can call
/// it too.
pub(crate) mod correct {
    use std::io;
    use std::time::Duration;

    use crate::client::{BODY_BYTES_MAX, Client, Message, State};
    use crate::deviation::Deviation;
    use crate::knobs::SlowReader;
    use crate::server_state::{Context, ServerState};

    /// Takes whole frames off the front of `inbound` and returns their bodies.
    pub(crate) fn decode(inbound: &mut Vec<u8>) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        let mut rest = inbound.as_slice();
        while let Some((&length, after)) = rest.split_first()
            && let Some((body, after)) = after.split_at_checked(usize::from(length))
        {
            bodies.push(body.to_vec());
            rest = after;
        }
        let decoded = inbound.len() - rest.len();
        inbound.drain(..decoded);
        // A long read must not stay allocated for as long as the client lives.
        inbound.shrink_to(BODY_BYTES_MAX + 1);
        bodies
    }

    /// Delivers one message to every connected client.
    pub(crate) fn deliver<D>(deviation: &mut D, state: &mut ServerState, message: &Message)
    where
        D: Deviation + ?Sized,
    {
        state.touched = true;
        let ServerState { clients, context, .. } = state;
        context.log(|| format!("message {} of client {}", message.sequence, message.sender));
        if !context.knobs.sender_last {
            for client in clients.values_mut() {
                deviation.enqueue(client, message, context);
            }
            return;
        }
        for own in [false, true] {
            for client in clients.values_mut().filter(|c| (c.id == message.sender) == own) {
                deviation.enqueue(client, message, context);
            }
        }
    }

    /// Queues a message for one client, if there is room for it and the client has
    /// not closed its sending side.
    pub(crate) fn enqueue<D>(
        deviation: &mut D,
        client: &mut Client,
        message: &Message,
        context: &Context,
    ) where
        D: Deviation + ?Sized,
    {
        if client.state != State::Open {
            return;
        }
        if client.outbound.queue.len() < context.knobs.queue_messages {
            client.outbound.queue.push_back(message.clone());
        } else {
            deviation.overflow(client, message, context);
        }
    }

    /// Does what the policy says about a message for a client whose queue is full.
    pub(crate) fn overflow<D>(
        deviation: &mut D,
        client: &mut Client,
        message: &Message,
        context: &Context,
    ) where
        D: Deviation + ?Sized,
    {
        match context.knobs.slow_reader {
            SlowReader::DropNewest => {}
            SlowReader::DropOldest => {
                client.outbound.drop_oldest();
                client.outbound.queue.push_back(message.clone());
            }
            SlowReader::Disconnect => {
                // Only a client that really does not read is cut off, not one that
                // got a burst since the last write.
                let failed = !client.outbound.blocked && deviation.flush(client, context).is_err();
                if failed || client.outbound.queue.len() >= context.knobs.queue_messages {
                    client.remove();
                } else {
                    client.outbound.queue.push_back(message.clone());
                }
            }
        }
    }

    /// Writes as much of a client's queue as its socket takes.
    pub(crate) fn flush(client: &mut Client, context: &Context) -> io::Result<()> {
        while !client.outbound.queue.is_empty() {
            let bytes_max = match (context.knobs.nagle, client.outbound.written) {
                (true, 0) => 1,
                (true, _) => client.outbound.rest_bytes(),
                (false, _) => context.write_bytes_max(),
            };
            let Some(written) = client.write_or_block(bytes_max)? else { return Ok(()) };
            let finished = client.outbound.advance(written.taken);
            context.log_deliveries(client.id, finished);
            work_for(finished, written.taken, context);
        }
        client.outbound.blocked = false;
        Ok(())
    }

    /// What writing so many bytes and finishing so many messages costs a slow server.
    fn work_for(messages: usize, bytes: usize, context: &Context) {
        let per_message = Duration::from_micros(context.knobs.slow_microseconds);
        let per_byte = Duration::from_nanos(context.knobs.byte_nanoseconds);
        context.work(
            per_message.saturating_mul(messages as u32) + per_byte.saturating_mul(bytes as u32),
        );
    }
}
