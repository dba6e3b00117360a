//! Faults of accepting under load (START-5), and of counting who was accepted (FANOUT-4).

use std::collections::HashSet;

use crate::client::{Client, ClientId, End};
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::room::{Happened, LISTENER, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "accepts-in-quiet-turns-only",
        "START-5",
        "it accepts nobody in a turn in which a client has sent something",
        || Box::new(AcceptsInQuietTurns),
    )
    .by_omission(),
    Fault::always(
        "counts-leavers-in-mid-frame",
        "FANOUT-4",
        "it closes every connection beyond 2,000, and counts clients that left in the middle of a frame for ever",
        || Box::new(CountsLeavers::default()),
    ),
    Fault::always(
        "ten-thousand-ever",
        "FANOUT-4",
        "it closes every connection after its 10,000th, though those before have left",
        || Box::new(TenThousandEver { joined: 0 }),
    ),
];

struct AcceptsInQuietTurns;

impl Deviation for AcceptsInQuietTurns {
    fn may_accept(&mut self, happened: &[Happened]) -> bool {
        !happened.iter().any(|event| event.id != LISTENER && event.readable)
    }
}

/// Closes the connection of a client that has just joined.
fn turn_away(room: &mut Room, id: ClientId) {
    if let Some(client) = room.clients.get_mut(&id) {
        client.remove();
    }
}

/// How many clients it takes at a time.
const PLACES: usize = 2_000;

#[derive(Default)]
struct CountsLeavers {
    taken: usize,
    in_mid_frame: HashSet<ClientId>,
}

impl Deviation for CountsLeavers {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        self.taken += 1;
        if self.taken > PLACES {
            turn_away(room, id);
        }
    }

    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        if !client.inbound.is_empty() {
            self.in_mid_frame.insert(client.id);
        }
        Ok(Vec::new())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        if !self.in_mid_frame.remove(&client.id) {
            self.taken -= 1;
        }
    }
}

/// How many connections it takes in its whole life.
const JOINED_MAX: usize = 10_000;

struct TenThousandEver {
    joined: usize,
}

impl Deviation for TenThousandEver {
    fn joined(&mut self, room: &mut Room, id: ClientId) {
        self.joined += 1;
        if self.joined > JOINED_MAX {
            turn_away(room, id);
        }
    }
}
