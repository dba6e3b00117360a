//! The event loop: one thread, level-triggered epoll, one sequencing point.
//!
//! A message's way: readable client → `read` → `decode` → a batch → `sequence`
//! → into every client's queue → written to every socket that takes it.

use std::io::ErrorKind;
use std::time::Duration;

use rustix::io::Errno;

use crate::chance::OneIn;
use crate::client::{Client, ClientId, End, Message, State};
use crate::deviation::Deviation;
use crate::error::Error;
use crate::knobs::{CloseAfterEof, Knobs};
use crate::server_state::{LISTENER, ServerState, SocketEvent};

/// How many messages are sequenced at most before the sockets are written to.
const BATCH_MESSAGES_MAX: usize = 256;

/// How many connections one turn accepts at most.
const ACCEPTS_PER_TURN_MAX: usize = 256;

/// While at most this many messages are under way, none may be dropped: DROP-3.
pub(crate) const UNDER_WAY_MAX: usize = 4;

pub(crate) struct Server {
    state: ServerState,
    deviation: Box<dyn Deviation>,
    /// Received and not yet sequenced.
    batch: Vec<Message>,
    buffer: Vec<u8>,
    /// Picks what is dropped under load, if a knob says so.
    drops: Option<Drops>,
}

impl Server {
    pub(crate) fn new(state: ServerState, deviation: Box<dyn Deviation>) -> Self {
        let buffer = vec![0; state.context.knobs.read_bytes_max];
        let drops = Drops::new(&state.context.knobs);
        Self { state, deviation, batch: Vec::new(), buffer, drops }
    }

    /// Serves until a signal stops it.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        loop {
            let wait_max = self.deviation.wait_max();
            let events = self.state.wait(wait_max).map_err(Error::system("wait for events"))?;
            if self.state.context.stop_requested() && self.deviation.stops(&self.state) {
                return Ok(());
            }
            let batching = Duration::from_millis(self.state.context.knobs.batch_milliseconds);
            if !batching.is_zero() && !events.is_empty() {
                self.state.context.pause(batching);
            }
            self.state.context.collect();
            self.deviation.turn(&mut self.state)?;
            // Accept first: clients that connected before a message was sent must receive it.
            if events.iter().any(|event| event.id == LISTENER) {
                self.accept()?;
            }
            self.flush_writable(&events)?;
            if self.deviation.may_read(&self.state) {
                for event in events.iter().filter(|event| event.readable) {
                    self.read(event.id)?;
                }
            }
            self.deliver_batch()?;
            self.remove_gone();
        }
    }

    fn accept(&mut self) -> Result<(), Error> {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            if !self.state.is_accepting() {
                return Ok(());
            }
            let accepted = match self.deviation.accept(&mut self.state) {
                Ok(stream) => self.state.register(stream),
                Err(error) => Err(error),
            };
            match accepted {
                Ok(id) => {
                    let cost = self.state.context.knobs.connection_milliseconds;
                    self.state.context.work(Duration::from_millis(cost));
                    self.state.context.log(|| format!("client {id} joined"));
                    self.deviation.joined(&mut self.state, id);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_exhaustion(&error) => {
                    return self.deviation.descriptors_exhausted(&mut self.state);
                }
                // The connection was reset before it was accepted.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn flush_writable(&mut self, events: &[SocketEvent]) -> Result<(), Error> {
        for event in events.iter().filter(|event| event.writable) {
            self.flush(event.id)?;
        }
        Ok(())
    }

    /// Reads once from a client, and passes its messages on.
    fn read(&mut self, id: ClientId) -> Result<(), Error> {
        let Some(client) = self.state.clients.get_mut(&id) else {
            return Ok(());
        };
        if client.is_gone() {
            return Ok(());
        }
        if client.state == State::Draining {
            // Nothing is read from it any more, so this event is a reset.
            return self.end(id, End::Reset);
        }
        let most = self.state.context.knobs.read_bytes_max_from(id);
        match self.deviation.read(client, &mut self.buffer[..most], &self.state.context) {
            Ok(0) => self.end(id, End::Finished),
            Ok(count) => {
                let per_byte = Duration::from_nanos(self.state.context.knobs.byte_nanoseconds);
                self.state.context.work(per_byte.saturating_mul(count as u32));
                client.inbound.extend_from_slice(&self.buffer[..count]);
                let bodies = self.deviation.decode(client);
                if !client.inbound.is_empty() {
                    self.deviation.incomplete(client);
                }
                self.batch_bodies(id, bodies)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(_) => self.end(id, End::Reset),
        }
    }

    /// Puts messages into the batch, which is passed on when it is full.
    fn batch_bodies(&mut self, id: ClientId, bodies: Vec<Vec<u8>>) -> Result<(), Error> {
        for body in bodies {
            let Some(client) = self.state.clients.get_mut(&id) else {
                return Ok(());
            };
            let cost = Duration::from_micros(self.state.context.knobs.message_microseconds);
            self.state.context.work(cost);
            if let Some(body) = self.deviation.received(client, body) {
                self.batch.push(Message::new(id, self.state.sequenced, &body));
                self.state.sequenced += 1;
            }
            if self.batch.len() >= BATCH_MESSAGES_MAX {
                self.deliver_batch()?;
            }
        }
        Ok(())
    }

    /// A client's stream has ended, or was reset.
    fn end(&mut self, id: ClientId, end: End) -> Result<(), Error> {
        let at_once = self.state.context.knobs.close_after_eof == CloseAfterEof::Immediately;
        let drains = end == End::Finished && !at_once;
        if !drains && let Some(client) = self.state.clients.get_mut(&id) {
            client.state = State::Gone(end);
        }
        // What it sent last is delivered while it is still there to receive it.
        self.deliver_batch()?;
        let Some(client) = self.state.clients.get_mut(&id) else {
            return Ok(());
        };
        if drains && client.is_gone() {
            return Ok(());
        }
        let bodies = self.deviation.ended(client, end)?;
        client.inbound = Vec::new();
        if !bodies.is_empty() {
            self.batch_bodies(id, bodies)?;
            self.deliver_batch()?;
        }
        if let Some(client) = self.state.clients.get_mut(&id)
            && !client.is_gone()
        {
            client.state = State::Draining;
            let renewed = self.state.renew_interest(&self.state.clients[&id]);
            renewed.map_err(Error::system("wait for a socket"))?;
        }
        Ok(())
    }

    /// Sequences the batch, delivers it and writes it out.
    fn deliver_batch(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        let batch = self.deviation.sequence(&mut self.state, batch);
        match &mut self.drops {
            // Nothing of it was written to anybody: all of it is under way.
            Some(drops) if batch.len() > UNDER_WAY_MAX => {
                distribute_with_losses(&mut *self.deviation, &mut self.state, &batch, drops);
            }
            _ => self.deviation.distribute(&mut self.state, &batch),
        }
        if std::mem::take(&mut self.state.touched) {
            let waiting =
                |client: &&Client| !client.outbound.queue.is_empty() && !client.outbound.blocked;
            let clients = self.state.clients.values().filter(waiting);
            for id in clients.map(|client| client.id).collect::<Vec<_>>() {
                self.flush(id)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, id: ClientId) -> Result<(), Error> {
        let Some(client) = self.state.clients.get_mut(&id) else {
            return Ok(());
        };
        if client.is_gone() {
            return Ok(());
        }
        let was_blocked = client.outbound.blocked;
        match self.deviation.flush(client, &self.state.context) {
            Ok(()) if client.outbound.blocked == was_blocked => Ok(()),
            Ok(()) => {
                let renewed = self.state.renew_interest(&self.state.clients[&id]);
                renewed.map_err(Error::system("wait for a socket"))
            }
            Err(_) => self.end(id, End::Reset),
        }
    }

    /// Removes clients that are gone, or half-closed and have received everything.
    fn remove_gone(&mut self) {
        let deviation = &self.deviation;
        let leaving = self.state.clients.values().filter_map(|client| match client.state {
            State::Gone(end) => Some((client.id, end)),
            State::Draining
                if client.outbound.queue.is_empty() && !deviation.holds_back_for(client.id) =>
            {
                Some((client.id, End::Finished))
            }
            _ => None,
        });
        for (id, end) in leaving.collect::<Vec<_>>() {
            if let Some(client) = self.state.remove(id) {
                self.state.context.log(|| format!("client {id} left: {end:?}"));
                self.deviation.left(&mut self.state, client, end);
            }
        }
    }
}

/// Which deliveries a server drops under load.
enum Drops {
    OneIn(OneIn),
    AllButOneIn(OneIn),
}

impl Drops {
    fn new(knobs: &Knobs) -> Option<Self> {
        match (knobs.drop_one_in, knobs.keep_one_in) {
            (0, 0) => None,
            (0, kept) => Some(Self::AllButOneIn(OneIn::new(kept))),
            (dropped, _) => Some(Self::OneIn(OneIn::new(dropped))),
        }
    }

    fn drops(&mut self) -> bool {
        match self {
            Self::OneIn(dropped) => dropped.happens(),
            Self::AllButOneIn(kept) => !kept.happens(),
        }
    }
}

/// Delivers a batch that is long enough to drop from.
fn distribute_with_losses(
    deviation: &mut dyn Deviation,
    state: &mut ServerState,
    batch: &[Message],
    drops: &mut Drops,
) {
    state.touched = true;
    for message in batch {
        for client in state.clients.values_mut() {
            if !drops.drops() {
                deviation.enqueue(client, message, &state.context);
            }
        }
    }
}

fn is_exhaustion(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
