//! What this machine can do without a server: a sender that answers to nobody, and a receiver that
//! only calls `recv` and counts bytes.
//!
//! Both sides know the same [`Plan`], so the receiver counts deliveries by their bytes. The sender is
//! a process of its own, as a server would be: [`Feed::serve`] for as fast as the sockets take it, or
//! with one `send` per client and message at the plan's rate.

mod receiver;
mod sender;

use crate::plan::{Load, Plan};

pub use receiver::receive_only;
pub use sender::{Feed, Pace};

/// The frames that every client receives, over and over.
struct Cycle(Vec<Vec<u8>>);

impl Cycle {
    /// One message of each length, each after `untimed` shorter ones of `untimed_bytes`.
    fn of(body_bytes: &[u8], untimed: u32, untimed_bytes: u8) -> Self {
        let frame = |bytes: u8| {
            let mut frame = vec![0; usize::from(bytes) + 1];
            frame[0] = bytes;
            frame
        };
        let message = |&bytes: &u8| {
            let before = (0..untimed).map(|_| frame(untimed_bytes)).collect::<Vec<_>>();
            before.into_iter().chain([frame(bytes)]).collect::<Vec<_>>()
        };
        Self(body_bytes.iter().flat_map(message).collect())
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|frame| frame.len() as u64).sum()
    }

    /// How many frames `bytes` of them are.
    fn frames_in(&self, bytes: u64) -> u64 {
        let frames = u128::from(bytes) * self.0.len() as u128 / u128::from(self.bytes());
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

impl Pace {
    /// The pace of a plan; `None` for a closed loop, which has none without a server.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        match plan.load {
            Load::Saturate => Some(Self::Saturate),
            Load::FixedRate { messages_per_second } => {
                Some(Self::Rate { messages: 1, per_second: messages_per_second })
            }
            Load::Burst { messages_per_burst, bursts_per_second } => {
                Some(Self::Rate { messages: messages_per_burst, per_second: bursts_per_second })
            }
            Load::EveryoneAtOnce => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_as_the_frames_that_they_are() {
        let cycle = Cycle::of(&[32, 64], 2, 1);
        let lengths: Vec<usize> = cycle.0.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 2, 33, 2, 2, 65]);
        assert!(cycle.0.iter().all(|frame| usize::from(frame[0]) + 1 == frame.len()));
        assert_eq!(cycle.frames_in(1_000 * cycle.bytes()), 6_000);
        assert_eq!(Cycle::of(&[64], 0, 0).frames_in(650), 10);
    }
}
