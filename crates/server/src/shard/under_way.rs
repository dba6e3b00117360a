//! On an edge: which of a shard's batches are on their way up and down, and for which clients wait.

use std::collections::VecDeque;

/// The batches that are on their way, oldest first.
#[derive(Debug)]
pub(super) struct UnderWay {
    /// Their numbers, and how many messages must be settled for each.
    batches: VecDeque<(u64, u64)>,
    /// The number of the batch that is read now, from 1.
    next: u64,
    /// The last batch that has come down, or will not.
    settled: u64,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self { batches: VecDeque::new(), next: 1, settled: 0 }
    }
}

impl UnderWay {
    /// The number of the batch that is read now.
    pub(super) fn next_batch(&self) -> u64 {
        self.next
    }

    /// The batch is on its way until `ticket` messages are settled; the next one begins.
    /// `settled` are now.
    pub(super) fn put(&mut self, ticket: u64, settled: u64) {
        self.advance(settled);
        self.batches.push_back((self.next, ticket));
        self.next += 1;
    }

    /// Whether a batch has come down, or will not, now that so many messages are settled.
    pub(super) fn has_settled(&mut self, batch: u64, messages: u64) -> bool {
        self.advance(messages);
        batch <= self.settled
    }

    fn advance(&mut self, messages: u64) {
        while let Some(&(number, ticket)) = self.batches.front()
            && ticket <= messages
        {
            self.settled = number;
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_settled_in_their_order() {
        let mut under_way = UnderWay::default();
        assert_eq!((under_way.settled, under_way.next_batch()), (0, 1));
        [10, 10, 15].into_iter().for_each(|ticket| under_way.put(ticket, 0));
        for (messages, settled) in [(9, 0), (10, 2), (14, 2), (20, 3)] {
            under_way.advance(messages);
            assert_eq!(under_way.settled, settled, "{messages}");
        }
        assert!(under_way.batches.is_empty());
        assert!(under_way.has_settled(0, 0), "a client that has sent nothing waits for nothing");
    }
}
