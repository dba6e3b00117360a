//! Faults of incomplete frames: FRAME-6 to FRAME-8.

use std::collections::HashSet;
use std::io;
use std::io::ErrorKind;
use std::time::Duration;

use rustix::event::PollFlags;

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "partial-frame-delivered-short",
        "FRAME-6",
        "delivers a partial frame at the end of a stream as a message",
        || Box::new(DeliversPartial { at: End::Finished, pads: false }),
    ),
    Fault::always(
        "partial-frame-padded",
        "FRAME-6",
        "pads a partial frame at the end of a stream with zeros and delivers it",
        || Box::new(DeliversPartial { at: End::Finished, pads: true }),
    ),
    Fault::always(
        "partial-frame-delivered-at-reset",
        "FRAME-6",
        "delivers a partial frame as a message when its sender resets",
        || Box::new(DeliversPartial { at: End::Reset, pads: false }),
    ),
    Fault::always(
        "slot-reuse-keeps-partial-frame",
        "FRAME-6",
        "prepends the partial frame of a client that left to what the next client sends",
        || Box::new(SlotKeepsPartial::default()),
    )
    .by_timeout(),
    Fault::always(
        "partial-frame-blocks-others",
        "FRAME-7",
        "blocks until a partial frame is complete",
        || Box::new(PartialBlocks),
    )
    .by_timeout(),
    Fault::always(
        "holders-fill-its-pool",
        "FRAME-7",
        "reads from nobody else while 64 clients hold a partial frame open",
        || HoldersFillPool::make(64),
    )
    .by_timeout(),
    Fault::always(
        "500-holders-fill-its-pool",
        "FRAME-7",
        "reads from nobody else while 500 clients hold a partial frame open",
        || HoldersFillPool::make(500),
    )
    .by_timeout(),
    Fault::always(
        "acknowledges-late",
        "FRAME-8",
        "leaves it to the kernel when a partial frame is acknowledged",
        || Box::new(AcknowledgesLate),
    )
    .by_delay(),
];

struct DeliversPartial {
    at: End,
    pads: bool,
}

impl Deviation for DeliversPartial {
    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        let Some((&length, body)) = client.inbound.split_first() else {
            return Ok(Vec::new());
        };
        let mut body = body.to_vec();
        if self.pads {
            body.resize(usize::from(length), 0);
        }
        Ok(if end == self.at { vec![body] } else { Vec::new() })
    }
}

#[derive(Default)]
struct SlotKeepsPartial {
    /// The partial frame of the client that left last.
    ending: Vec<u8>,
}

impl Deviation for SlotKeepsPartial {
    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        if !client.inbound.is_empty() {
            self.ending = std::mem::take(&mut client.inbound);
        }
        Ok(Vec::new())
    }

    fn joined(&mut self, state: &mut ServerState, id: ClientId) {
        if let Some(client) = state.clients.get_mut(&id) {
            client.inbound = std::mem::take(&mut self.ending);
        }
    }
}

/// How long one blocking wait lasts before signals are checked.
const BLOCKING_WAIT: Duration = Duration::from_secs(1);

struct PartialBlocks;

impl Deviation for PartialBlocks {
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        context: &Context,
    ) -> io::Result<usize> {
        let mut count = client.read(buffer)?;
        if count == 0 {
            return Ok(0);
        }
        while !context.stop_requested()
            && buffer.len() - count > BODY_BYTES_MAX
            && ends_inside_frame(&client.inbound, &buffer[..count])
        {
            match client.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    context.block_until(&client.stream, PollFlags::IN, BLOCKING_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

/// How long it waits before it checks the pool for a free buffer again.
const POOL_WAIT: Duration = Duration::from_millis(2);

struct HoldersFillPool {
    /// How many clients it can read frames of at the same time.
    pool: usize,
    holders: HashSet<ClientId>,
}

impl HoldersFillPool {
    fn make(pool: usize) -> Box<dyn Deviation> {
        Box::new(Self { pool, holders: HashSet::new() })
    }
}

impl Deviation for HoldersFillPool {
    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        if self.holders.len() >= self.pool {
            // A client that is not read from stays readable: without a pause the loop would spin.
            state.context.pause(POOL_WAIT);
        }
        Ok(())
    }

    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        if self.holders.len() >= self.pool && !self.holders.contains(&client.id) {
            return Err(ErrorKind::WouldBlock.into());
        }
        client.read(buffer)
    }

    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        let bodies = correct::decode(&mut client.inbound);
        if client.inbound.is_empty() {
            self.holders.remove(&client.id);
        } else {
            self.holders.insert(client.id);
        }
        bodies
    }

    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        self.holders.remove(&client.id);
        Ok(Vec::new())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.holders.remove(&client.id);
    }
}

struct AcknowledgesLate;

impl Deviation for AcknowledgesLate {
    fn incomplete(&mut self, _client: &Client) {}
}

fn ends_inside_frame(kept: &[u8], new: &[u8]) -> bool {
    let total = kept.len() + new.len();
    let mut at = 0;
    while let Some(&length) = kept.get(at).or_else(|| new.get(at - kept.len().min(at))) {
        at += 1 + usize::from(length);
    }
    at != total
}
