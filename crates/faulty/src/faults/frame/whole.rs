//! Faults that cut, mix or repeat frames on their way out: FRAME-5.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, End, Message, Outbound};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::faults::shared::overtaking::overtaking;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "short-write-ignored",
        "FRAME-5",
        "forgets what a partial write left over",
        || Box::new(ShortWrite::Ignored),
    )
    .by_timeout(),
    Fault::always(
        "frame-restarted-after-short-write",
        "FRAME-5",
        "starts a partially written frame again from its beginning",
        || Box::new(ShortWrite::Restarted),
    )
    .by_timeout(),
    Fault::always(
        "header-written-twice",
        "FRAME-5",
        "writes the header again before the rest of a partially written frame",
        || Box::new(ShortWrite::HeaderAgain),
    )
    .by_timeout(),
    Fault::always(
        "rest-of-frame-goes-last",
        "FRAME-5",
        "writes the rest of a partially written frame after everything that is queued",
        || Box::new(RestGoesLast),
    )
    .by_timeout(),
    Fault::always(
        "frame-restarted-after-seconds",
        "FRAME-5",
        "starts a partially written frame again from its beginning if the socket takes nothing for five seconds",
        || Box::new(RestartedAfterSeconds::default()),
    )
    .by_timeout(),
    Fault::always(
        "frame-restarted-at-half-close",
        "FRAME-5",
        "starts a partially written frame again from its beginning once the client has closed its sending side",
        || Box::new(RestartedAtHalfClose),
    )
    .by_timeout(),
    Fault::rarely(
        "header-body-interleaved",
        "FRAME-5",
        "writes headers and bodies separately from two threads, so that frames of two senders mix",
        || overtaking(100, interleaved),
    )
    .by_timeout(),
];

/// What the server does after a partial write.
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

/// Queues the header of a partially written frame again.
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
    /// When a socket last took something, for clients with a partially written frame.
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

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
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

fn interleaved(held: Message, next: &Message) -> Vec<Message> {
    if held.sender == next.sender {
        return vec![held, next.clone()];
    }
    let headers = [held.frame[0], next.frame[0]];
    let bytes = [&headers[..], held.body(), next.body()].concat();
    vec![held.with_frame(&bytes)]
}
