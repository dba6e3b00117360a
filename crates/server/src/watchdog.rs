//! Whether the shards make progress, for a service manager that ends a server that hangs.
//!
//! A shard that has nothing to do does not run, so each is notified and has until the next check
//! to begin a pass.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::shared::Shared;

/// How many checks there are within the time after which the manager gives up: a shard has half of
/// it to begin a pass before a ping is late.
const CHECKS: u32 = 4;

/// The state of the checks.
#[derive(Debug)]
pub(crate) struct Watchdog {
    interval: Duration,
    next: Instant,
    /// How many passes each shard had begun at the last check that it passed; `None` once it has
    /// ended as it should.
    passes: Vec<Option<u64>>,
    /// Some shard stood still at the last check.
    standing_still: bool,
}

impl Watchdog {
    /// The first check is due an interval from now.
    pub(crate) fn new<S>(time_max: Duration, shared: &Shared<S>) -> Self {
        let interval = time_max / CHECKS;
        let passes = (0..shared.shards()).map(|shard| Some(shared.counters(shard).passes.get()));
        let passes = passes.collect();
        shared.notify_all();
        Self { interval, next: Instant::now() + interval, passes, standing_still: false }
    }

    /// When the next check is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The shard has ended as it should.
    pub(crate) fn ended(&mut self, shard: usize) {
        self.passes[shard] = None;
    }

    /// Whether every shard has begun a pass since the last check.
    pub(crate) fn check<S>(&mut self, shared: &Shared<S>) -> bool {
        self.next = Instant::now() + self.interval;
        let mut standing_still = None;
        for (shard, before) in self.passes.iter_mut().enumerate() {
            let Some(before) = before else { continue };
            let passes = shared.counters(shard).passes.get();
            if passes == *before {
                standing_still = Some(shard);
            }
            *before = passes;
        }
        shared.notify_all();
        let stood_still = std::mem::replace(&mut self.standing_still, standing_still.is_some());
        match standing_still {
            Some(shard) if !stood_still => warn!(shard, "a shard makes no progress"),
            None if stood_still => info!("all shards make progress again"),
            _ => {}
        }
        standing_still.is_none()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::options::Options;
    use crate::settings::Settings;

    #[test]
    fn one_shard_that_stands_still_is_enough_and_one_that_has_ended_does_not_count() {
        let options = Options::parse_from(["zillions-server", "127.0.0.1:0"]);
        let settings = Settings::of_command_line(&options);
        let config = settings.config().expect("a configuration");
        let shared: Shared<()> = Shared::new(config, vec![Box::new(|| {}), Box::new(|| {})]);
        let run = |shards: &[usize]| {
            shards.iter().for_each(|&shard| shared.counters(shard).passes.add(1));
        };
        let mut watchdog = Watchdog::new(Duration::from_secs(1), &shared);
        run(&[0, 1]);
        assert!(watchdog.check(&shared));
        run(&[0]);
        assert!(!watchdog.check(&shared), "shard 1");
        assert!(!watchdog.check(&shared), "both");
        run(&[0, 1]);
        assert!(watchdog.check(&shared), "it recovers");
        watchdog.ended(1);
        run(&[0]);
        assert!(watchdog.check(&shared));
    }
}
