//! Faults of empty messages beside others: FRAME-3.

use std::collections::HashSet;

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End, Message};
use crate::deviation::Deviation;
use crate::fault::Fault;
use crate::room::Room;

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "empty-ends-a-long-one",
        "FRAME-3",
        "an empty message behind one of 255 bytes is taken for its end and dropped",
        || Box::new(EmptyEndsALongOne::default()),
    ),
    Fault::always(
        "merges-empties",
        "FRAME-3",
        "an empty message right behind an empty one of another sender is dropped",
        || Box::new(MergesEmpties),
    )
    .by_omission(),
];

#[derive(Default)]
struct EmptyEndsALongOne {
    /// Whose last message was as long as one can be, so that more might belong to it.
    unended: HashSet<ClientId>,
}

impl Deviation for EmptyEndsALongOne {
    fn received(&mut self, client: &mut Client, body: Vec<u8>) -> Option<Vec<u8>> {
        let ends = self.unended.remove(&client.id) && body.is_empty();
        if body.len() == BODY_BYTES_MAX {
            self.unended.insert(client.id);
        }
        (!ends).then_some(body)
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.unended.remove(&client.id);
    }
}

struct MergesEmpties;

impl Deviation for MergesEmpties {
    fn sequence(&mut self, _room: &mut Room, mut batch: Vec<Message>) -> Vec<Message> {
        batch.dedup_by(|message, before| {
            let both_empty = message.body().is_empty() && before.body().is_empty();
            both_empty && message.sender != before.sender
        });
        batch
    }
}
