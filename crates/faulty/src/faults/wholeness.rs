//! Faults that cut, mix or complete frames: FRAME-5 to FRAME-7.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::client::{BODY_BYTES_MAX, Client, ClientId, End, Outbound};
use crate::correct;
use crate::deviation::Deviation;
use crate::error::Error;
use crate::fault::Fault;
use crate::room::{Context, Room};

pub(super) const FAULTS: &[Fault] = &[
    Fault::always(
        "short-write-ignored",
        "FRAME-5",
        "what a socket did not take of a write is forgotten",
        || Box::new(ShortWrite::Ignored),
    )
    .by_omission(),
    Fault::always(
        "frame-restarted-after-short-write",
        "FRAME-5",
        "a frame of which a socket took a part is written again from its beginning",
        || Box::new(ShortWrite::Restarted),
    )
    .by_omission(),
    Fault::always(
        "header-written-twice",
        "FRAME-5",
        "before the rest of a frame of which a socket took a part, its header is written again",
        || Box::new(ShortWrite::HeaderAgain),
    )
    .by_omission(),
    Fault::always(
        "rest-of-frame-goes-last",
        "FRAME-5",
        "the rest of a frame of which a socket took a part is written after all that is queued",
        || Box::new(RestGoesLast),
    )
    .by_omission(),
    Fault::always(
        "frame-restarted-after-seconds",
        "FRAME-5",
        "a frame of which a socket took a part and then nothing for five seconds is written again from its beginning",
        || Box::new(RestartedAfterSeconds::default()),
    )
    .by_omission(),
    Fault::always(
        "frame-restarted-at-half-close",
        "FRAME-5",
        "a frame of which a socket took a part is written again from its beginning once its client has ended its stream",
        || Box::new(RestartedAtHalfClose),
    )
    .by_omission(),
    Fault::always(
        "partial-frame-delivered-short",
        "FRAME-6",
        "what there is of a frame at the end of a stream is delivered as a message",
        || Box::new(DeliversPartial { at: End::Finished, pads: false }),
    ),
    Fault::always(
        "partial-frame-padded",
        "FRAME-6",
        "an incomplete frame at the end of a stream is filled up with zeros and delivered",
        || Box::new(DeliversPartial { at: End::Finished, pads: true }),
    ),
    Fault::always(
        "partial-frame-delivered-at-reset",
        "FRAME-6",
        "what there is of a frame when its sender resets is delivered as a message",
        || Box::new(DeliversPartial { at: End::Reset, pads: false }),
    ),
    Fault::always(
        "slot-reuse-keeps-partial-frame",
        "FRAME-6",
        "the next client goes on with the incomplete frame of one that left",
        || Box::new(SlotKeepsPartial::default()),
    )
    .by_omission(),
    Fault::always(
        "partial-frame-blocks-others",
        "FRAME-7",
        "it waits for the rest of a frame before it does anything else",
        || Box::new(PartialBlocks),
    )
    .by_omission(),
    Fault::always(
        "holders-fill-its-pool",
        "FRAME-7",
        "while 64 clients hold a frame open it reads from nobody else",
        || HoldersFillPool::make(64),
    )
    .by_omission(),
    Fault::always(
        "500-holders-fill-its-pool",
        "FRAME-7",
        "while 500 clients hold a frame open it reads from nobody else",
        || HoldersFillPool::make(500),
    )
    .by_omission(),
];

/// What becomes of a write that the socket took only a part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ShortWrite {
    Ignored,
    Restarted,
    HeaderAgain,
}

impl Deviation for ShortWrite {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        while !client.outbound.queue.is_empty() {
            let Some(written) = client.write_or_block(context.write_bytes_max())? else {
                return Ok(());
            };
            let gone = if *self == Self::Ignored { written.offered } else { written.taken };
            client.outbound.advance(gone);
            match self {
                Self::Ignored => {}
                Self::Restarted => client.outbound.written = 0,
                Self::HeaderAgain => repeat_header(&mut client.outbound),
            }
        }
        client.outbound.blocked = false;
        Ok(())
    }
}

/// Lets the header of a frame of which a part was written come again.
fn repeat_header(outbound: &mut Outbound) {
    let written = outbound.written;
    if let Some(begun) = outbound.queue.front_mut()
        && written > 0
    {
        let (taken, rest) = begun.frame.split_at(written);
        let bytes = [taken, &taken[..1], rest].concat();
        *begun = begun.with_frame(&bytes);
    }
}

struct RestGoesLast;

impl Deviation for RestGoesLast {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        correct::flush(client, context)?;
        let outbound = &mut client.outbound;
        if outbound.written > 0
            && let Some(begun) = outbound.queue.pop_front()
        {
            let rest = begun.with_frame(&begun.frame[outbound.written..]);
            outbound.queue.push_back(rest);
            outbound.written = 0;
        }
        Ok(())
    }
}

/// After how long a write counts as failed.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
struct RestartedAfterSeconds {
    /// Since when a socket has taken nothing, with a frame begun.
    begun: HashMap<ClientId, Instant>,
}

impl Deviation for RestartedAfterSeconds {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let begun = self.begun.remove(&client.id);
        if begun.is_some_and(|begun| begun.elapsed() >= WRITE_TIME_MAX) {
            client.outbound.written = 0;
        }
        correct::flush(client, context)?;
        if client.outbound.written > 0 {
            self.begun.insert(client.id, Instant::now());
        }
        Ok(())
    }

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.begun.remove(&client.id);
    }
}

struct RestartedAtHalfClose;

impl Deviation for RestartedAtHalfClose {
    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        if end == End::Finished {
            client.outbound.written = 0;
        }
        Ok(Vec::new())
    }
}

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
    /// What the incomplete frame of a client is, and then what is left of it.
    ending: Vec<u8>,
}

impl Deviation for SlotKeepsPartial {
    fn ended(&mut self, client: &mut Client, _end: End) -> Result<Vec<Vec<u8>>, Error> {
        if !client.inbound.is_empty() {
            self.ending = std::mem::take(&mut client.inbound);
        }
        Ok(Vec::new())
    }

    fn joined(&mut self, room: &mut Room, id: ClientId) {
        if let Some(client) = room.clients.get_mut(&id) {
            client.inbound = std::mem::take(&mut self.ending);
        }
    }
}

/// How long one blocking wait lasts before the signals are looked at anyway.
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

/// How long it waits before it looks for a free place in the pool again.
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
    fn turn(&mut self, room: &mut Room) -> Result<(), Error> {
        if self.holders.len() >= self.pool {
            // Who is not read from stays readable: without a pause it would spin.
            room.context.pause(POOL_WAIT);
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

    fn left(&mut self, _room: &mut Room, client: Client, _end: End) {
        self.holders.remove(&client.id);
    }
}

fn ends_inside_frame(kept: &[u8], new: &[u8]) -> bool {
    let total = kept.len() + new.len();
    let mut at = 0;
    while let Some(&length) = kept.get(at).or_else(|| new.get(at - kept.len().min(at))) {
        at += 1 + usize::from(length);
    }
    at != total
}
