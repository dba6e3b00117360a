//! What another machine did within a window.

use super::message::Reading;

/// What happened on another machine between two readings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elsewhere {
    /// By its own clock.
    pub(crate) seconds: f64,
    busy_seconds: Option<f64>,
    /// How long a quota held the server back.
    pub(crate) throttled_seconds: Option<f64>,
    cpus: usize,
}

impl Elsewhere {
    pub(crate) fn between(start: &Reading, end: &Reading) -> Self {
        let difference = |end: Option<f64>, start: Option<f64>| Some(end? - start?);
        Self {
            seconds: end.at_seconds - start.at_seconds,
            busy_seconds: difference(end.busy_seconds, start.busy_seconds),
            throttled_seconds: difference(end.throttled_seconds, start.throttled_seconds),
            cpus: end.cpus,
        }
    }

    /// The share of its processors that had other work than the server's.
    pub(crate) fn others_cpu_share(&self, server_cpu_seconds: f64) -> Option<f64> {
        let capacity = self.seconds * self.cpus as f64;
        Some(((self.busy_seconds? - server_cpu_seconds) / capacity).clamp(0.0, 1.0))
    }
}
