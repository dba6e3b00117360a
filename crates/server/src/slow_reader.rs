//! The slow-reader policy: what `--slow-reader`, `--max-client-lag-bytes` and
//! `--eviction-timeout-seconds` mean, and every decision that depends on them.
//!
//! Shards ask here and act: before a send (`SlowReaderPolicy::exceeds`,
//! `SlowReaderPolicy::on_overrun`), in the lag check (`SlowReaderPolicy::judge`), and before
//! reading (`Backpressure::blocks_publishers`). The options themselves are declared in
//! `options.rs`.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use serde::Deserialize;
use zillions_log::Log;

use crate::client::{DisconnectReason, Lag};
use crate::error::Error;

/// The lowest limit on a client's lag, in bytes: some frames.
const LAG_BYTES_MIN: usize = 8 * 1024;
/// How long one client may block publishers, unless the options say otherwise, in seconds.
const EVICTION_SECONDS: u64 = 10;
/// A client that blocks publishers must take this share of the lag limit within the eviction
/// timeout: one that trickles is no better than one that has stalled.
const PROGRESS_SHARE: u64 = 8;
/// Lags are checked each time the log has grown by this share of the lag limit.
const CHECK_SHARE: u64 = 8;

/// What happens to a client that does not read as fast as messages arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowReader {
    /// It misses messages and continues at a later one.
    #[default]
    Drop,
    /// It is disconnected.
    Disconnect,
    /// Publishers wait for it, until it is evicted.
    Backpressure,
}

/// The policy of a room, with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowReaderPolicy {
    /// What happens to slow clients.
    pub reaction: SlowReader,
    /// How far a client may be behind before that, in bytes.
    pub lag_bytes_max: u64,
    /// How long one client may block publishers.
    pub eviction_timeout: Duration,
}

/// What happens to a client whose next message has left the log, or that is too far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOverrun {
    /// It continues so many bytes behind the head.
    Skip { lag_bytes: u64 },
    /// It is closed.
    Disconnect(DisconnectReason),
}

impl SlowReaderPolicy {
    /// The policy that the options describe, for a ring of `ring_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::Contradiction`], which names the options.
    pub fn new(
        reaction: SlowReader,
        lag_bytes_max: Option<usize>,
        eviction_seconds: Option<NonZeroU64>,
        ring_bytes: usize,
    ) -> Result<Self, Error> {
        // A quarter of the ring is slack for writers, another is the limit of one append.
        let kept_bytes = ring_bytes / 2;
        match lag_bytes_max {
            Some(bytes) if bytes > kept_bytes => Err(Error::Contradiction(format!(
                "--max-client-lag-bytes {bytes} is more than half of --ring-bytes {ring_bytes}: \
                 the ring does not keep that much"
            ))),
            Some(bytes) if bytes < LAG_BYTES_MIN => Err(Error::Contradiction(format!(
                "--max-client-lag-bytes {bytes} is less than {LAG_BYTES_MIN}: \
                 clients that keep up would count as slow"
            ))),
            _ if eviction_seconds.is_some() && reaction != SlowReader::Backpressure => {
                Err(Error::Contradiction(
                    "--eviction-timeout-seconds requires --slow-reader backpressure".into(),
                ))
            }
            _ => Ok(Self {
                reaction,
                lag_bytes_max: lag_bytes_max.unwrap_or(kept_bytes) as u64,
                eviction_timeout: Duration::from_secs(
                    eviction_seconds.map_or(EVICTION_SECONDS, NonZeroU64::get),
                ),
            }),
        }
    }

    /// What the shards share to make publishers wait, if they ever do.
    pub(crate) fn backpressure(&self, shards: usize) -> Option<Backpressure> {
        (self.reaction == SlowReader::Backpressure).then(|| Backpressure {
            lag_bytes_max: self.lag_bytes_max,
            low_watermarks: (0..shards).map(|_| LowWatermark::default()).collect(),
            publishers_wait: AtomicBool::new(false),
        })
    }

    /// Whether a client that is so far behind must be skipped ahead or disconnected.
    pub(crate) fn exceeds(&self, lag_bytes: u64) -> bool {
        lag_bytes > self.lag_bytes_max && self.reaction != SlowReader::Backpressure
    }

    /// What happens to a client that is too far behind. Under back-pressure publishers wait
    /// before that, so it can only be a client that was overrun on its way to its shard.
    pub(crate) fn on_overrun(&self) -> OnOverrun {
        match self.reaction {
            SlowReader::Disconnect => OnOverrun::Disconnect(DisconnectReason::Slow),
            // Not to the limit itself: there it would be overrun again before its first send.
            SlowReader::Drop | SlowReader::Backpressure => {
                OnOverrun::Skip { lag_bytes: self.lag_bytes_max / 2 }
            }
        }
    }

    /// Whether lags must be checked at this head, having last been checked at another.
    pub(crate) fn check_is_due(&self, head: u64, checked_at: u64) -> bool {
        head >= checked_at + self.lag_bytes_max / CHECK_SHARE
    }

    /// The lag check of one client: why it must be disconnected, if so.
    pub(crate) fn judge(
        &self,
        lag: &mut Lag,
        head: u64,
        now: Duration,
    ) -> Option<DisconnectReason> {
        let behind = head.saturating_sub(lag.next.bytes);
        match self.reaction {
            SlowReader::Drop => None,
            SlowReader::Disconnect => {
                (behind > self.lag_bytes_max).then_some(DisconnectReason::Slow)
            }
            SlowReader::Backpressure => {
                let (bytes, since) = lag.checkpoint;
                let progressed = lag.next.bytes - bytes >= self.lag_bytes_max / PROGRESS_SHARE;
                if progressed || behind < self.lag_bytes_max / 2 {
                    lag.checkpoint = (lag.next.bytes, now);
                }
                let is_over = now.saturating_sub(since) >= self.eviction_timeout
                    && lag.checkpoint == (bytes, since);
                is_over.then_some(DisconnectReason::Evicted)
            }
        }
    }
}

/// Where the slowest clients are, over all shards, and whether publishers wait for them.
///
/// A shard stores its low watermark and then loads whether publishers wait; a publisher's shard
/// stores that and then loads the low watermarks. With the fences in between one of the two sees
/// the other.
#[derive(Debug)]
pub(crate) struct Backpressure {
    lag_bytes_max: u64,
    low_watermarks: Box<[LowWatermark]>,
    publishers_wait: AtomicBool,
}

/// The byte offset of a shard's slowest client. Alone in its cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct LowWatermark(AtomicU64);

impl Default for LowWatermark {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Backpressure {
    /// Publishes a shard's low watermark; `u64::MAX` if it has no client. Returns whether
    /// publishers waited: then all shards must be notified.
    #[must_use]
    pub(crate) fn set_low_watermark(&self, shard: usize, bytes: u64) -> bool {
        self.low_watermarks[shard].0.store(bytes, Ordering::Release);
        fence(Ordering::SeqCst);
        self.publishers_wait.load(Ordering::Relaxed)
            && self.publishers_wait.swap(false, Ordering::AcqRel)
    }

    /// Whether publishers must wait for a slow reader. If so the shard is notified later.
    pub(crate) fn blocks_publishers(&self, log: &Log) -> bool {
        if !self.is_over(log) {
            return false;
        }
        self.publishers_wait.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.is_over(log)
    }

    fn is_over(&self, log: &Log) -> bool {
        let bytes = self.low_watermarks.iter().map(|mark| mark.0.load(Ordering::Acquire));
        let lowest = bytes.min().unwrap_or(u64::MAX);
        log.head().bytes.saturating_sub(lowest) > self.lag_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use zillions_log::Offset;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(reaction: SlowReader) -> SlowReaderPolicy {
        SlowReaderPolicy { reaction, lag_bytes_max: 8000, eviction_timeout: 2 * SECOND }
    }

    fn lag(bytes: u64) -> Lag {
        let next = Offset { bytes, messages: 0 };
        let checkpoint = (bytes, SECOND);
        Lag { partial_out: Vec::new(), next, writable: false, queued: false, checkpoint }
    }

    #[test]
    fn dropping_skips_a_client_to_half_the_limit_and_never_closes_it() {
        let policy = policy(SlowReader::Drop);
        assert!(!policy.exceeds(8000) && policy.exceeds(8001));
        assert_eq!(policy.on_overrun(), OnOverrun::Skip { lag_bytes: 4000 });
        assert_eq!(policy.judge(&mut lag(0), 100_000, 100 * SECOND), None);
        assert!(policy.backpressure(1).is_none());
    }

    #[test]
    fn disconnecting_closes_a_client_beyond_the_limit() {
        let policy = policy(SlowReader::Disconnect);
        let slow = Some(DisconnectReason::Slow);
        assert_eq!(policy.on_overrun(), OnOverrun::Disconnect(DisconnectReason::Slow));
        assert_eq!(policy.judge(&mut lag(0), 8000, SECOND), None);
        assert_eq!(policy.judge(&mut lag(0), 8001, SECOND), slow);
    }

    #[test]
    fn back_pressure_evicts_a_client_that_stalls_or_trickles_and_no_other() {
        let policy = policy(SlowReader::Backpressure);
        assert!(!policy.exceeds(u64::MAX));
        let evicted = Some(DisconnectReason::Evicted);
        assert_eq!(policy.judge(&mut lag(0), 8000, 2 * SECOND), None);
        assert_eq!(policy.judge(&mut lag(0), 8000, 3 * SECOND), evicted);
        assert_eq!(policy.judge(&mut lag(0), 3999, 3 * SECOND), None);
        let mut trickles = lag(0);
        trickles.next.bytes = 999;
        assert_eq!(policy.judge(&mut trickles, 8999, 3 * SECOND), evicted);
        trickles.next.bytes = 1000;
        assert_eq!(policy.judge(&mut trickles, 9000, 3 * SECOND), None);
    }

    #[test]
    fn publishers_wait_while_any_shard_is_too_far_behind() {
        let log = Log::new(16 * 1024, 0).expect("a ring");
        let backpressure =
            SlowReaderPolicy { lag_bytes_max: 10, ..policy(SlowReader::Backpressure) }
                .backpressure(2)
                .expect("it makes publishers wait");
        assert!(!backpressure.set_low_watermark(1, 0), "nobody waits");
        log.append(&[0; 10]).expect("ten empty messages");
        assert!(!backpressure.blocks_publishers(&log));
        log.append(&[0]).expect("another");
        assert!(backpressure.blocks_publishers(&log));
        assert!(backpressure.set_low_watermark(1, 1), "a publisher waits");
        assert!(!backpressure.blocks_publishers(&log));
    }
}
