//! The clients that a stop sends away one by one, so that they do not all connect elsewhere at once,
//! and the connections of those that were.

use std::time::Duration;

use crate::client::Key;

/// A connection whose sending side has ended.
#[derive(Debug)]
pub(super) struct Leaving<S> {
    pub(super) stream: S,
    /// When it is closed at the latest.
    pub(super) deadline: Duration,
}

/// The clients of a shard that a stop sends away, each at its time.
#[derive(Debug)]
pub(super) struct LameDuck {
    pub(super) began: Duration,
    /// So many clients there were.
    pub(super) clients: usize,
    /// Those whose time has not come, the next one last.
    pub(super) keys: Vec<Key>,
}

impl LameDuck {
    /// When the next client is sent away. The shards take turns, so that those with equally many
    /// clients do not send theirs away at the same times.
    pub(super) fn next(&self, shard: usize, shards: usize, time: Duration) -> Option<Duration> {
        let turn = self.clients - self.keys.len() + 1;
        let share = (turn as f64 - shard as f64 / shards as f64) / self.clients as f64;
        (!self.keys.is_empty()).then(|| self.began + time.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_all_shards_leave_at_equal_intervals() {
        let time = Duration::from_secs(60);
        let mut times = Vec::new();
        for shard in 0..3 {
            let keys = vec![Key::default(); 4];
            let mut lame_duck = LameDuck { began: Duration::from_secs(100), clients: 4, keys };
            while let Some(next) = lame_duck.next(shard, 3, time) {
                times.push(next.as_secs_f64().round() as u64);
                lame_duck.keys.pop();
            }
        }
        times.sort_unstable();
        assert_eq!(times, (1..=12).map(|turn| 100 + 5 * turn).collect::<Vec<_>>());
    }
}
