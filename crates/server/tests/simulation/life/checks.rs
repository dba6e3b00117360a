//! What must be true of a server that has come to rest, and of all that was received.

use zillions_ordering::check;
use zillions_server::client::DisconnectReason;
use zillions_server::listener_rules::Role;
use zillions_server::slow_reader::SlowReader;

use super::{Life, SimRoom};
use crate::network::lock;

impl Life {
    /// A connected client has everything since it joined, but for what was reported as dropped.
    pub(super) fn check_streams(&mut self) {
        let open: Vec<_> = self.rooms.iter().filter(|room| !room.closed).map(|it| it.key).collect();
        let served: Vec<_> = self.shared.rooms().into_iter().map(|(key, _)| key).collect();
        assert_eq!(served, open, "a room that was closed is not removed");
        let mut here = Vec::new();
        for number in 0..self.shards.len() {
            let stays: Vec<_> = self.shards[number].reports().collect();
            here.extend(stays.into_iter().map(|client| (number, client)));
        }
        let network = lock(&self.network);
        for (shard, stays) in here {
            let id = network.connection_of(shard, stays.key).expect("it is registered");
            let client = &self.clients[id];
            assert_eq!(client.decoded, client.received.len(), "client {id}: half a frame");
            let SimRoom { key, room, closed, .. } = &self.rooms[client.room];
            assert!(!closed, "client {id} is in a room that was closed");
            assert_eq!(stays.room, *key, "client {id} is in another room");
            let due = match client.role {
                Role::PublishOnly => 0,
                _ => room.log.head().messages - stays.joined.messages,
            };
            assert_eq!(client.frames + stays.dropped, due, "client {id}: lost or invented");
            if room.config.slow_reader.reaction != SlowReader::Drop {
                assert_eq!(stays.dropped, 0, "client {id} was promised everything");
            }
            assert!(
                !client.ended && !client.broken,
                "client {id} has closed and is still connected"
            );
        }
        // Every whole message of clients that stayed or closed well has been appended; of the
        // others, any number of the first.
        let closed_well = |id: usize| {
            let mut ends = network.disconnects.iter().filter(|(closed, _)| *closed == id);
            ends.all(|(_, end)| end.reason == DisconnectReason::Closed)
        };
        let mut sent = vec![(0, 0); self.rooms.len()];
        for (id, client) in self.clients.iter().enumerate() {
            let connection = &network.connections[id];
            let answered = connection.served || connection.closed || connection.reset;
            assert!(answered, "client {id} is never accepted");
            let counts = connection.served && !connection.reset && closed_well(id);
            let (least, most) = &mut sent[client.room];
            *most += client.sent_messages();
            *least += if counts { client.sent_messages() } else { 0 };
        }
        for ((mut least, mut most), it) in sent.into_iter().zip(&mut self.rooms) {
            if let Some(root) = &mut it.root {
                root.count_arrived();
                most += root.arrived;
                least += root.arrived;
            }
            // What was under way when a connection was lost may be missing.
            least = least.saturating_sub(it.unconfirmed());
            let appended = it.room.log.head().messages;
            assert!((least..=most).contains(&appended), "{least} <= {appended} <= {most}");
        }
    }

    pub(super) fn check_history(&self) {
        for room in &self.rooms {
            let verdicts = check(&room.history);
            for verdict in [&verdicts.integrity, &verdicts.fifo, &verdicts.total, &verdicts.causal]
            {
                if let Err(counterexample) = verdict {
                    panic!("{counterexample}");
                }
            }
        }
    }
}
