//! Load: many senders at once, in rounds from a barrier, until enough
//! deliveries were seen to catch what goes wrong once in thousands.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;

use super::{ClientIndex, Room};
use crate::verdict::Stop;

/// A round is over when nothing arrives for so long. This decides only how
/// hard the load is, never a verdict.
pub(crate) const QUIET: Duration = Duration::from_millis(4);
/// Messages of one sender that may be on their way to its own echo: enough to
/// overflow any queue, few enough to be worked off soon by a slow server.
const UNECHOED_MAX: u32 = 256;
/// How long nothing at all has to arrive before the echoes that a sender at
/// that mark waits for count as dropped: so long, or so many times the longest
/// pause that the server has made before, but no longer than the last figure.
/// Decides only how hard the load is.
const UNECHOED_WAIT: Duration = Duration::from_millis(40);
const UNECHOED_WAIT_PAUSES: u32 = 3;
const UNECHOED_WAIT_MAX: Duration = Duration::from_secs(1);
/// A sender with so much waiting leaves out its turn, in bytes.
pub(super) const BACKLOG_BYTES_MAX: usize = 64 * 1024;

/// How much load is enough.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// Deliveries, after which it ends.
    pub deliveries: u64,
    /// Time, after which it ends, too.
    pub time: Duration,
}

/// Who talks how.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Who sends, all in each round.
    pub senders: Vec<ClientIndex>,
    /// Who has to have caught up before the next round.
    pub receivers: Vec<ClientIndex>,
    /// Messages of each sender in a round, at most.
    pub burst_max: usize,
    /// Length of the messages in bytes, least and most.
    pub lengths: (usize, usize),
    /// If it is not zero all go message by message, with so long for the server after
    /// each turn: on a busy machine it finds nothing but whole bursts otherwise.
    pub moment: Duration,
}

impl Room {
    /// Rounds of bursts until `volume` is reached. Returns the number of rounds.
    ///
    /// # Errors
    /// A failure when the server ends or a connection does that must not.
    pub fn storm(&mut self, storm: &Storm, volume: Volume) -> Result<u32, Stop> {
        let target = self.recorder.deliveries() + volume.deliveries;
        let deadline = Instant::now() + volume.time;
        let mut rounds = 0;
        while self.recorder.deliveries() < target && Instant::now() < deadline {
            self.storm_round(storm)?;
            rounds += 1;
            if !self.recorder.violations().is_empty() {
                break;
            }
        }
        Ok(rounds)
    }

    /// One round: every sender's burst is prepared, then all go out at once,
    /// or in turns message by message, so that senders get mixed in any server.
    ///
    /// # Errors
    /// As [`storm`](Self::storm).
    pub fn storm_round(&mut self, storm: &Storm) -> Result<(), Stop> {
        let mut senders = storm.senders.clone();
        senders.shuffle(&mut self.rng);
        senders.retain(|&sender| self.pace(sender) >= storm.burst_max as u32);
        if senders.is_empty() {
            self.pump(QUIET)?;
            return self.check_still_there(&storm.senders);
        }
        for &sender in &senders {
            self.recorder.begin_burst(sender);
        }
        // Small bursts are as frequent as large ones: some faults need a queue
        // that overflows, others one that never does.
        let burst_max = storm.burst_max >> self.rng.random_range(0..=storm.burst_max.ilog2());
        let in_turns = self.rng.random::<bool>() || !storm.moment.is_zero();
        for _ in 0..burst_max {
            for &sender in &senders {
                let length = self.rng.random_range(storm.lengths.0..=storm.lengths.1);
                self.say(sender, length);
            }
            if in_turns {
                self.flush()?;
            }
            if !storm.moment.is_zero() {
                self.pump_until(storm.moment, |_| false)?;
            }
        }
        self.flush()?;
        self.catch_up(&senders, &storm.receivers)?;
        self.check_still_there(&senders)
    }

    /// How many messages `sender` may send now without piling up a backlog:
    /// what is left of [`UNECHOED_MAX`].
    pub(crate) fn pace(&mut self, sender: ClientIndex) -> u32 {
        if self.client(sender).unsent_bytes() > BACKLOG_BYTES_MAX {
            return 0;
        }
        let left = UNECHOED_MAX.saturating_sub(self.recorder.unechoed(sender));
        let pauses = self.recorder.longest_pause() * UNECHOED_WAIT_PAUSES;
        let wait = UNECHOED_WAIT.max(pauses).min(UNECHOED_WAIT_MAX);
        if left == 0 && self.recorder.quiet_for() > wait {
            self.recorder.forgive(sender);
            return UNECHOED_MAX / 4;
        }
        left
    }

    /// Pumps until all receivers have the last message of every sender, or
    /// nothing has come for a while.
    fn catch_up(&mut self, senders: &[ClientIndex], to: &[ClientIndex]) -> Result<(), Stop> {
        let last: Vec<(ClientIndex, u32)> = senders
            .iter()
            .filter_map(|&sender| Some((sender, self.recorder.sent(sender).checked_sub(1)?)))
            .collect();
        let mut pending: Vec<ClientIndex> = to.to_vec();
        loop {
            pending.retain(|&receiver| {
                last.iter().any(|&(sender, sequence)| {
                    self.recorder.tally(receiver, sender).latest < Some(sequence)
                })
            });
            if pending.is_empty() || self.pump(QUIET)? == 0 {
                return Ok(());
            }
        }
    }

    fn check_still_there(&self, clients: &[ClientIndex]) -> Result<(), Stop> {
        match clients.iter().find(|&&index| self.client(index).end().is_some()) {
            Some(&index) => Err(self.failure(
                index,
                "a client that reads all that arrives stays connected",
                self.describe_end(index),
            )),
            None => Ok(()),
        }
    }
}
