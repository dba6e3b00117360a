//! Rare events at a known rate.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Happens once in each block of `period` calls, at an index in the block that a
/// seeded generator picks: never longer than two periods without it, the same
/// in every run, and in step with nothing.
pub(crate) struct OneIn {
    period: u64,
    index: u64,
    calls: u64,
    random: SmallRng,
}

impl OneIn {
    pub(crate) fn new(period: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(period);
        let index = random.random_range(0..period);
        Self { period, index, calls: 0, random }
    }

    pub(crate) fn happens(&mut self) -> bool {
        let happens = self.calls == self.index;
        self.calls += 1;
        if self.calls == self.period {
            self.calls = 0;
            self.index = self.random.random_range(0..self.period);
        }
        happens
    }

    /// A number below `end`, for a choice within the event.
    pub(crate) fn pick(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn happens_exactly_once_in_each_block() {
        let mut chance = OneIn::new(500);
        for _ in 0..20 {
            assert_eq!((0..500).filter(|_| chance.happens()).count(), 1);
        }
    }

    #[test]
    fn the_index_differs_between_blocks() {
        let mut chance = OneIn::new(500);
        let indices: Vec<_> = (0..6)
            .map(|_| {
                let block: Vec<bool> = (0..500).map(|_| chance.happens()).collect();
                block.iter().position(|&happens| happens)
            })
            .collect();
        assert!(indices.iter().any(|index| *index != indices[0]));
    }
}
