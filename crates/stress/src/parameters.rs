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

    /// Which of `nodes` addresses `client` of a repetition connects to. Publishers are at the
    /// addresses in turn; so are the subscribers of each, beginning beside it; and with every
    /// repetition all move on by one.
    pub(crate) fn node_of(&self, client: usize, repetition: u32, nodes: usize) -> usize {
        let stride = 1 + usize::from(self.subscribers);
        (client / stride + client % stride + repetition as usize - 1) % nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_and_the_subscribers_of_each_are_at_all_addresses() {
        let parameters = Parameters {
            publishers: 2,
            subscribers: 3,
            messages: 1,
            repetitions: 2,
            timeout: Duration::from_secs(1),
            seed: 0,
        };
        let nodes = |repetition| {
            [0, 1, 2, 3, 4, 5, 6, 7].map(|client| parameters.node_of(client, repetition, 2))
        };
        assert_eq!(nodes(1), [0, 1, 0, 1, 1, 0, 1, 0]);
        assert_eq!(nodes(2), [1, 0, 1, 0, 0, 1, 0, 1]);
    }
}
