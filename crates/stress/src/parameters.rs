//! What a stress test does.

use std::time::Duration;

/// Most clients of a repetition: a client's number has two bytes in a body.
pub const CLIENTS_MAX: u64 = u16::MAX as u64;

/// What to send, and how often.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// Clients that send.
    pub publishers: u16,
    /// Clients that wait for the messages of a publisher, per publisher.
    pub subscribers: u16,
    /// Messages that each publisher sends in one repetition.
    pub messages: u32,
    /// Repetitions of all of that, each with new connections.
    pub repetitions: u32,
    /// How long a publisher waits for its subscribers.
    pub timeout: Duration,
    /// Determines lengths and contents of the bodies.
    pub seed: u64,
}

impl Parameters {
    /// Clients of one repetition, publishers and subscribers together.
    pub fn clients(&self) -> u64 {
        u64::from(self.publishers) * (1 + u64::from(self.subscribers))
    }
}
