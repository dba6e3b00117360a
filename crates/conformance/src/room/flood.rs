//! More than a client that does not read can be sent: how drops are forced.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::storm::BACKLOG_BYTES_MAX;
use super::{ClientIndex, GLANCE, Room};
use crate::tagged::TAG_BYTES;
use crate::verdict::Stop;

/// How long a sender may be unable to send before the flood counts as held
/// up by the server.
const BLOCKED_AFTER: Duration = Duration::from_millis(700);
/// What is offered, in bytes, before a server that has lost nothing counts as
/// one that buffers a lot, and the time for it. Each step is tried only if the
/// one before lost nothing.
const FLOOD_STEPS: [(u64, Duration); 4] = [
    (256 << 10, Duration::from_millis(1000)),
    (1 << 20, Duration::from_millis(1500)),
    (4 << 20, Duration::from_millis(2000)),
    (16 << 20, Duration::from_millis(3000)),
];
/// Long messages and short ones: some servers have two ways for them.
const PRESS_LENGTHS: [usize; 2] = [200, TAG_BYTES];
/// Steps that may end by time: a slow server gets no more in a further one.
const SLOW_STEPS_MAX: u32 = 2;

/// A lot to send.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Who sends, as fast as the server takes it.
    pub senders: Vec<ClientIndex>,
    /// Whether the senders keep to the pace of their own echoes, so that the
    /// backlog of a slow server stays short. Otherwise they fill all buffers.
    pub steady: bool,
    /// How much, all together, in bytes.
    pub bytes: u64,
    /// Each message has one of these lengths, in bytes, by chance.
    pub lengths: [usize; 2],
}

/// How far a flood came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flooded {
    /// Bytes that the system took from the senders.
    pub bytes: u64,
    /// Whether the server stopped taking any.
    pub blocked: bool,
}

/// What a server did with more than its stalled client could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// It dropped so many messages for that client.
    Dropped(u32),
    /// It ended that client's connection.
    Disconnected,
    /// It stopped reading from the senders.
    HeldBack,
    /// It kept all of it, so many bytes.
    Buffered(u64),
}

impl std::fmt::Display for Pressure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dropped(count) => write!(formatter, "{count} messages dropped"),
            Self::Disconnected => write!(formatter, "the slow client was disconnected"),
            Self::HeldBack => write!(formatter, "the server held the senders back, nothing lost"),
            Self::Buffered(bytes) => {
                write!(formatter, "nothing lost of {} KiB", bytes / 1024)
            }
        }
    }
}

impl Room {
    /// Sends as fast as the server reads, until the flood is through, the time
    /// is over, or the server takes no more.
    ///
    /// # Errors
    /// A harness error when the event queue fails.
    pub fn flood(&mut self, flood: &Flood, time: Duration) -> Result<Flooded, Stop> {
        let started = Instant::now();
        let unsent_bytes = |room: &Self| -> u64 {
            flood.senders.iter().map(|&sender| room.client(sender).unsent_bytes() as u64).sum()
        };
        let unsent_at_first = unsent_bytes(self);
        let mut queued = 0;
        let mut moved = Instant::now();
        let mut unsent_before = u64::MAX;
        for &sender in &flood.senders {
            self.recorder.begin_burst(sender);
        }
        loop {
            self.pump(GLANCE)?;
            for &sender in &flood.senders {
                for _ in 0..self.turn_of(sender, flood.steady) {
                    if queued < flood.bytes {
                        let length = flood.lengths[self.rng.random_range(0..2)];
                        self.say(sender, length);
                        queued += 1 + length as u64;
                        unsent_before = u64::MAX;
                    }
                }
            }
            self.flush()?;
            let unsent = unsent_bytes(self);
            if unsent < unsent_before {
                (moved, unsent_before) = (Instant::now(), unsent);
            }
            let blocked = unsent > 0 && moved.elapsed() > BLOCKED_AFTER;
            let over = started.elapsed() > time || self.server_ended();
            if (unsent == 0 && queued >= flood.bytes) || blocked || over {
                return Ok(Flooded {
                    bytes: (unsent_at_first + queued).saturating_sub(unsent),
                    blocked,
                });
            }
        }
    }

    /// How many messages `sender` may send now.
    fn turn_of(&mut self, sender: ClientIndex, steady: bool) -> u32 {
        /// Messages sent at once at most.
        const TURN: u32 = 64;
        if !self.can_send(sender) {
            0
        } else if steady {
            self.pace(sender).min(TURN)
        } else if self.client(sender).unsent_bytes() > BACKLOG_BYTES_MAX {
            0
        } else {
            TURN
        }
    }

    fn can_send(&self, client: ClientIndex) -> bool {
        self.client(client).end().is_none() && self.client(client).stream().is_some()
    }

    /// Keeps `stalled` from reading while `senders` flood, then lets it read
    /// all there is. The load grows until something gives.
    ///
    /// # Errors
    /// A failure when those who read, `drains` (the senders among them), are
    /// not served afterwards.
    pub fn press(
        &mut self,
        senders: &[ClientIndex],
        stalled: ClientIndex,
        drains: &[ClientIndex],
    ) -> Result<Pressure, Stop> {
        let mut offered = 0;
        let mut slow_steps = 0;
        for (bytes, time) in FLOOD_STEPS {
            let missing = self.missing(senders, stalled);
            self.set_reading(stalled, false)?;
            let flood =
                Flood { senders: senders.to_vec(), steady: true, bytes, lengths: PRESS_LENGTHS };
            let flooded = self.flood(&flood, time)?;
            offered += flooded.bytes;
            self.set_reading(stalled, true)?;
            for &sender in senders {
                self.insist(sender, drains, "a message behind a flood reaches those who read")?;
                if self.drain(sender, stalled)? {
                    return Ok(Pressure::Disconnected);
                }
            }
            let lost = self.missing(senders, stalled) - missing;
            if lost > 0 {
                return Ok(Pressure::Dropped(lost));
            }
            if flooded.blocked {
                return Ok(Pressure::HeldBack);
            }
            slow_steps += u32::from(flooded.bytes < bytes);
            if slow_steps == SLOW_STEPS_MAX {
                break;
            }
        }
        Ok(Pressure::Buffered(offered))
    }

    fn missing(&self, senders: &[ClientIndex], receiver: ClientIndex) -> u32 {
        senders.iter().map(|&sender| self.recorder.tally(receiver, sender).missing()).sum()
    }

    /// Lets `stalled`, which reads again, catch up with `sender`. Returns whether its
    /// connection ended on the way, which is legal for one whose backlog was full (DROP-5).
    ///
    /// # Errors
    /// A failure when it is still connected and nothing new reaches it.
    pub fn drain(&mut self, sender: ClientIndex, stalled: ClientIndex) -> Result<bool, Stop> {
        let expected = "a client that reads again receives new messages again";
        match self.insist(sender, &[stalled], expected) {
            Err(_) if self.client(stalled).end().is_some() && !self.server_ended() => Ok(true),
            other => other.map(|()| false),
        }
    }
}
