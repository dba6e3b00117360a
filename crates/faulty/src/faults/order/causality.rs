//! The fault that keeps one order for everybody and still breaks causality:
//! ORDER-4 alone.

use std::time::{Duration, Instant};

use crate::chance::OneIn;
use crate::client::{ClientId, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::held::put;
use crate::server::UNDER_WAY_MAX;
use crate::server_state::ServerState;

pub(crate) const FAULTS: &[Fault] = &[Fault::rarely(
    "reply-overtakes",
    "ORDER-4",
    "lets one client receive ahead of the others under load, who get its reply before the message it replies to",
    || Box::new(ReplyOvertakes { chance: OneIn::new(20), ahead: None }),
)];

/// How long the others are kept waiting at most.
const AHEAD_MAX: Duration = Duration::from_millis(5);

/// A message that arrives sooner than this is not a reply.
const REPLY_MIN: Duration = Duration::from_micros(200);

/// One client is ahead of the others.
struct Ahead {
    client: ClientId,
    since: Instant,
    /// What it has received and they have not.
    messages: Vec<Message>,
}

/// Lets one client receive ahead of the others. If its next message comes while
/// so much is under way that dropping is legal, the others receive that message
/// first, and its sender does not receive it at all: so there is one order that
/// everybody agrees to, but in it the reply comes first.
struct ReplyOvertakes {
    chance: OneIn,
    ahead: Option<Ahead>,
}

impl ReplyOvertakes {
    /// Lets the others catch up, except `joiner`, which joined later.
    fn catch_up(
        &mut self,
        state: &mut ServerState,
        first: Option<&Message>,
        joiner: Option<ClientId>,
    ) {
        let Some(ahead) = self.ahead.take() else {
            return;
        };
        let queue_messages = state.context.knobs.queue_messages;
        for client in state.clients.values_mut() {
            if client.id != ahead.client && Some(client.id) != joiner {
                for message in first.into_iter().chain(&ahead.messages) {
                    put(client, message, queue_messages);
                }
            }
        }
        state.touched = true;
    }

    /// Picks a client other than the sender to be ahead.
    fn begin(&mut self, state: &mut ServerState, message: &Message) -> bool {
        let others = || state.clients.values().filter(|client| client.id != message.sender);
        let count = others().count();
        if count < 2 || !self.chance.happens() {
            return false;
        }
        let Some(client) = others().nth(self.chance.pick(count)) else {
            return false;
        };
        let (client, since) = (client.id, Instant::now());
        self.ahead = Some(Ahead { client, since, messages: Vec::new() });
        true
    }
}

impl Deviation for ReplyOvertakes {
    fn deliver(&mut self, state: &mut ServerState, message: &Message) {
        if let Some(ahead) = &self.ahead
            && ahead.client == message.sender
        {
            let overtakes =
                ahead.since.elapsed() >= REPLY_MIN && ahead.messages.len() >= UNDER_WAY_MAX;
            self.catch_up(state, overtakes.then_some(message), None);
            if !overtakes {
                correct::deliver(self, state, message);
            }
            return;
        }
        if self.ahead.is_none() && !self.begin(state, message) {
            return correct::deliver(self, state, message);
        }
        if let Some(ahead) = &mut self.ahead {
            ahead.messages.push(message.clone());
            if let Some(client) = state.clients.get_mut(&ahead.client)
                && client.state == State::Open
            {
                put(client, message, state.context.knobs.queue_messages);
                state.touched = true;
            }
        }
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        self.catch_up(state, None, Some(id));
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.since.elapsed() >= AHEAD_MAX) {
            self.catch_up(state, None, None);
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        let ahead = self.ahead.as_ref()?;
        Some(AHEAD_MAX.saturating_sub(ahead.since.elapsed()))
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.client != id)
    }
}
