//! Answers to an administrator's questions.

use slotmap::{Key as _, KeyData};
use tracing::info;

use super::Shard;
use super::room::ShardRoom;
use crate::client::{Client, DisconnectReason, Key};
use crate::engine::Engine;
use crate::questions::{ClientState, Question};

impl<E: Engine> Shard<E> {
    /// Answers. Who asked may have gone.
    pub(super) fn answer(&mut self, question: Question) {
        match question {
            Question::Clients { after, limit, reply } => {
                let _ = reply.try_send(self.states(after, limit));
            }
            Question::Close { key, reply } => {
                let key = Key::from(KeyData::from_ffi(key));
                let client = self.clients.get(key);
                if let Some(client) = client {
                    info!(shard = self.number, peer = %client.origin.peer, "client closed by an administrator");
                }
                let is_here = client.is_some();
                self.send_away(key, DisconnectReason::Admin);
                let _ = reply.try_send(is_here);
            }
        }
    }

    fn states(&self, after: Option<u64>, limit: usize) -> Vec<ClientState> {
        // The lower half of a key is its slot, and slots are visited in order.
        let is_before = |key: Key| after.is_some_and(|it| slot(key.data().as_ffi()) <= slot(it));
        let clients = self.clients.iter().skip_while(|&(key, _)| is_before(key)).take(limit);
        clients.filter_map(|(key, it)| Some(self.state(key, it, self.room(it.room)?))).collect()
    }

    fn state(&self, key: Key, client: &Client<E::Stream>, room: &ShardRoom) -> ClientState {
        let head = room.room.log.head();
        let next = client.lag().map_or(room.send_queue.sent_up_to, |lag| lag.next);
        // One that has joined just now is to be sent what comes, and that is not yet known here.
        let next = next.max(client.joined);
        let passed = next.messages - client.joined.messages;
        ClientState {
            key: key.data().as_ffi(),
            peer: client.origin.peer,
            room: room.room.config.name.clone(),
            protocol: client.coded.as_ref().map_or("plain", |coded| coded.protocol),
            connected: self.now.saturating_sub(client.connected_at),
            sent_messages: passed.saturating_sub(client.dropped),
            dropped_messages: client.dropped,
            lag_messages: head.messages.saturating_sub(next.messages),
            lag_bytes: head.bytes.saturating_sub(next.bytes),
        }
    }
}

fn slot(key: u64) -> u32 {
    key as u32
}
