//! Faults of saying what nobody has said: FRAME-1.

use std::time::{Duration, Instant};

use crate::client::{ClientId, Message};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::room::Room;

pub(super) const FAULTS: &[Fault] = &[Fault::always(
    "heartbeat",
    "FRAME-1",
    "when nobody has said anything for two seconds it sends everybody an empty message",
    || Box::new(Heartbeat { last: None }),
)
.by_omission()];

/// After how long a silence, and how often that is looked at.
const SILENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

struct Heartbeat {
    last: Option<Instant>,
}

impl Deviation for Heartbeat {
    fn joined(&mut self, _room: &mut Room, _id: ClientId) {
        self.last.get_or_insert_with(Instant::now);
    }

    fn deliver(&mut self, room: &mut Room, message: &Message) {
        self.last = Some(Instant::now());
        correct::deliver(self, room, message);
    }

    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if self.last.is_some_and(|last| last.elapsed() >= SILENCE) {
            let nobody = ClientId::MAX;
            self.deliver(room, &Message::new(nobody, 0, b""));
        }
        Ok(())
    }

    fn wait_max(&self) -> Option<Duration> {
        self.last.map(|_| LOOK_EVERY)
    }
}
