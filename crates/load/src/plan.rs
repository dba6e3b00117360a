//! What one trial asks for.

use std::time::Duration;

use crate::body::{BODY_BYTES_MIN, PROBE_SENDER};
use crate::filler::Filler;
use crate::wire::WireFormat;

/// The most clients one generator drives.
pub const CLIENTS_MAX: usize = 20_000;

/// The highest rate a plan may ask for, in messages per second.
pub const MESSAGES_PER_SECOND_MAX: f64 = 10e6;

/// The highest churn rate a plan may ask for, in connections per second: more would keep the
/// generator from its work.
pub const CHURN_PER_SECOND_MAX: f64 = 2_000.0;

/// The most filler messages before a timed one.
pub const FILLER_PER_MESSAGE_MAX: u32 = 1_000;

/// The most threads that one generator uses.
pub const THREADS_MAX: usize = 256;

/// How the senders send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Open loop: evenly spaced messages, the senders in turn, whatever the server does.
    FixedRate {
        /// Of all senders together.
        messages_per_second: f64,
    },
    /// Open loop: many messages due at the same moment, the senders in turn, and then none until
    /// the next moment.
    Burst {
        /// Of all senders together.
        messages_per_burst: u32,
        /// How many such moments there are.
        bursts_per_second: f64,
    },
    /// Closed loop: every sender sends one message; the next round begins when every client has
    /// received all of them, or after a second. A message's intended time is the start of its round.
    EveryoneAtOnce,
    /// Every sender writes as fast as its socket takes it. A message's intended time is then the
    /// time at which it was made, at most one chunk before it is written.
    Saturate,
}

/// One trial. Every client receives; the first `senders` of them also send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the server speaks.
    pub wire: WireFormat,
    /// Connections, at most [`CLIENTS_MAX`].
    pub clients: usize,
    /// How many of them send.
    pub senders: usize,
    /// Connections besides the clients that never read. What they miss is not counted: the question
    /// is what they cost the others.
    pub stalled: usize,
    /// Connections per second besides the clients that receive for 50 ms and close again.
    pub churn_per_second: f64,
    /// How they send.
    pub load: Load,
    /// Lengths of bodies, taken in turn by every sender; each at least [`BODY_BYTES_MIN`].
    pub body_bytes: Vec<u8>,
    /// Messages that go before each of these.
    pub filler: Filler,
    /// Whether senders write the header and the body of each message with two calls and leave
    /// Nagle's algorithm on, as first programs do.
    pub split_writes: bool,
    /// Load before the window, which counts for nothing.
    pub warm_up: Duration,
    /// The length of the window: messages intended within it count.
    pub measure: Duration,
    /// A delivery that took longer than this is late.
    pub late_after: Duration,
    /// After the window, the trial ends when nothing has arrived for this long (a third of it
    /// when everything has arrived and only surplus messages could follow) …
    pub quiet: Duration,
    /// … or after this time, with messages still pending.
    pub drain_max: Duration,
    /// How long connecting, and being served on every connection, may take.
    pub ready_max: Duration,
    /// Threads that the clients are spread over, at most [`THREADS_MAX`]; see [`threads`](Self::threads).
    pub load_threads: usize,
    /// Marks the messages of this trial, so that those of another one are recognised.
    pub tag: u32,
}

/// A plan that cannot be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// No client, or more connections than the generator can drive.
    #[error("clients must be 1 to {CLIENTS_MAX}, stalled ones included (got {0})")]
    Clients(usize),
    /// Senders are clients.
    #[error("senders must be 1 to {clients}, the number of clients (got {senders})")]
    Senders {
        /// What was asked for.
        senders: usize,
        /// The clients there are.
        clients: usize,
    },
    /// A rate that cannot be scheduled.
    #[error("messages per second must be above 0 and at most {MESSAGES_PER_SECOND_MAX} (got {0})")]
    Rate(f64),
    /// No body length.
    #[error("body_bytes must hold at least one length")]
    NoBody,
    /// A body too short for the fields that every body carries.
    #[error("body_bytes must be {BODY_BYTES_MIN} to 255 each (got {0})")]
    Body(u8),
    /// Too many filler messages.
    #[error("untimed_per_message must be at most {FILLER_PER_MESSAGE_MAX} (got {0})")]
    FillerPerMessage(u32),
    /// Filler messages as long as timed ones.
    #[error("untimed_bytes must be below {BODY_BYTES_MIN} (got {0})")]
    FillerBytes(u8),
    /// A churn rate out of range.
    #[error("churn_per_second must be 0 to {CHURN_PER_SECOND_MAX} (got {0})")]
    Churn(f64),
    /// Churn, filler messages and split writes are implemented for the spec's frames only.
    #[error(
        "churn, untimed messages and split writes need a server that speaks the frames of the spec"
    )]
    OtherWire,
    /// Filler messages are in the same write as the timed one, header and body in two.
    #[error("split_writes does not go with untimed_per_message: those share one write")]
    SplitFiller,
    /// No thread, or too many.
    #[error("load threads must be 1 to {THREADS_MAX} (got {0})")]
    Threads(usize),
    /// Nothing would be measured.
    #[error("measure_seconds must be above 0")]
    NoTime,
}

impl Plan {
    /// Refuses what [`run`](crate::run) could not carry out.
    ///
    /// # Errors
    ///
    /// [`PlanError`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        let connections = self.clients.saturating_add(self.stalled);
        if self.clients == 0 || connections > CLIENTS_MAX {
            return Err(PlanError::Clients(connections));
        }
        if !(1..=self.clients).contains(&self.senders) {
            return Err(PlanError::Senders { senders: self.senders, clients: self.clients });
        }
        if let Some(rate) = self.load.messages_per_second()
            && !(rate > 0.0 && rate <= MESSAGES_PER_SECOND_MAX)
        {
            return Err(PlanError::Rate(rate));
        }
        if self.body_bytes.is_empty() {
            return Err(PlanError::NoBody);
        }
        if let Some(&short) = self.body_bytes.iter().find(|&&b| usize::from(b) < BODY_BYTES_MIN) {
            return Err(PlanError::Body(short));
        }
        if self.filler.per_message > FILLER_PER_MESSAGE_MAX {
            return Err(PlanError::FillerPerMessage(self.filler.per_message));
        }
        if !self.filler.is_distinguishable() {
            return Err(PlanError::FillerBytes(self.filler.bytes));
        }
        if !(0.0..=CHURN_PER_SECOND_MAX).contains(&self.churn_per_second) {
            return Err(PlanError::Churn(self.churn_per_second));
        }
        if self.split_writes && self.filler.per_message > 0 {
            return Err(PlanError::SplitFiller);
        }
        let has_more =
            self.filler.per_message > 0 || self.churn_per_second > 0.0 || self.split_writes;
        if has_more && self.wire != WireFormat::Zillions {
            return Err(PlanError::OtherWire);
        }
        if !(1..=THREADS_MAX).contains(&self.load_threads) {
            return Err(PlanError::Threads(self.load_threads));
        }
        if self.measure.is_zero() {
            return Err(PlanError::NoTime);
        }
        Ok(())
    }

    /// The threads that are used: each has at least one client. A closed loop has one: a round ends when
    /// every client has everything, so threads would wait for each other in every round.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.load {
            Load::EveryoneAtOnce => 1,
            _ => self.load_threads.min(self.clients),
        }
    }
}

impl Load {
    /// How many messages are due per second, of all senders together, if that is fixed.
    #[must_use]
    pub fn messages_per_second(self) -> Option<f64> {
        match self {
            Self::FixedRate { messages_per_second } => Some(messages_per_second),
            Self::Burst { messages_per_burst, bursts_per_second } => {
                Some(f64::from(messages_per_burst) * bursts_per_second)
            }
            Self::EveryoneAtOnce | Self::Saturate => None,
        }
    }
}

// A sender's index must fit the field of a body that carries it.
const _: () = assert!(CLIENTS_MAX < PROBE_SENDER as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            wire: WireFormat::Zillions,
            clients: 2,
            senders: 1,
            stalled: 0,
            churn_per_second: 0.0,
            filler: Filler::default(),
            split_writes: false,
            load: Load::FixedRate { messages_per_second: 10.0 },
            body_bytes: vec![64],
            warm_up: Duration::ZERO,
            measure: Duration::from_secs(1),
            late_after: Duration::from_millis(100),
            quiet: Duration::from_millis(100),
            drain_max: Duration::from_secs(1),
            ready_max: Duration::from_secs(1),
            load_threads: 1,
            tag: 0,
        }
    }

    #[test]
    fn a_plan_that_can_be_carried_out_passes() {
        assert_eq!(plan().check(), Ok(()));
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_what_is_wrong() {
        let mut wrong = plan();
        wrong.senders = 3;
        assert_eq!(wrong.check(), Err(PlanError::Senders { senders: 3, clients: 2 }));
        wrong = plan();
        wrong.body_bytes = vec![64, 8];
        assert_eq!(wrong.check(), Err(PlanError::Body(8)));
        wrong = plan();
        wrong.load = Load::FixedRate { messages_per_second: f64::NAN };
        assert!(matches!(wrong.check(), Err(PlanError::Rate(_))));
        wrong = plan();
        wrong.load = Load::Burst { messages_per_burst: 0, bursts_per_second: 2.0 };
        assert_eq!(wrong.check(), Err(PlanError::Rate(0.0)));
        wrong = plan();
        wrong.filler = Filler { per_message: 1, bytes: 18 };
        assert_eq!(wrong.check(), Err(PlanError::FillerBytes(18)));
        wrong = plan();
        wrong.churn_per_second = -1.0;
        assert_eq!(wrong.check(), Err(PlanError::Churn(-1.0)));
        wrong.churn_per_second = 1.0;
        wrong.wire = WireFormat::Nats;
        assert_eq!(wrong.check(), Err(PlanError::OtherWire));
        wrong = Plan { split_writes: true, ..plan() };
        assert_eq!(wrong.check(), Ok(()));
        wrong.filler = Filler { per_message: 1, bytes: 1 };
        assert_eq!(wrong.check(), Err(PlanError::SplitFiller));
        wrong = Plan { split_writes: true, wire: WireFormat::Nats, ..plan() };
        assert_eq!(wrong.check(), Err(PlanError::OtherWire));
        wrong = plan();
        wrong.clients = 0;
        assert_eq!(wrong.check(), Err(PlanError::Clients(0)));
        wrong = plan();
        wrong.stalled = usize::MAX;
        assert_eq!(wrong.check(), Err(PlanError::Clients(usize::MAX)));
    }
}
