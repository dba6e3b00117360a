//! A fault of slow readers that is seen by who came after them: SLOW-1.

use std::collections::HashMap;
use std::io;

use crate::client::{Client, ClientId, End, Message};
use crate::correct;
use crate::deviation::Deviation;
use crate::fault::Fault;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[Fault::always(
    "late-witnesses-starve",
    "SLOW-1",
    "while 4 MiB are queued for clients that do not read, nothing is queued for those that joined after the first of them stalled",
    || Box::new(LateStarve::default()),
)
.by_omission()];

/// How many bytes are queued for all who do not read when the others starve.
const QUEUED_BYTES_MAX: usize = 4 << 20;

#[derive(Default)]
struct LateStarve {
    /// How many bytes are queued for each client whose socket takes no more.
    queued_bytes: HashMap<ClientId, usize>,
    newest: ClientId,
    /// Who was the newest client when the first of them stalled.
    newest_in_time: ClientId,
    starves: bool,
}

impl Deviation for LateStarve {
    fn joined(&mut self, _room: &mut Room, id: ClientId) {
        self.newest = id;
    }

    fn deliver(&mut self, room: &mut Room, message: &Message) {
        self.starves = self.queued_bytes.values().sum::<usize>() >= QUEUED_BYTES_MAX;
        correct::deliver(self, room, message);
    }

    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.starves && client.id > self.newest_in_time {
            return;
        }
        let before = client.outbound.queue.len();
        correct::enqueue(self, client, message, context);
        if client.outbound.queue.len() > before
            && let Some(bytes) = self.queued_bytes.get_mut(&client.id)
        {
            *bytes += message.frame.len();
        }
    }

    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)?;
        if client.outbound.blocked {
            if self.queued_bytes.is_empty() {
                self.newest_in_time = self.newest;
            }
            let bytes = client.outbound.queue.iter().map(|message| message.frame.len()).sum();
            self.queued_bytes.insert(client.id, bytes);
        } else {
            self.queued_bytes.remove(&client.id);
        }
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.queued_bytes.remove(&client.id);
    }
}
