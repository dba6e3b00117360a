//! Pauses.

use std::time::Duration;

/// How long clients are silent, pause inside a frame, do not read, or are not there:
/// longer than the time-outs of five, ten and fifteen seconds that libraries suggest. It
/// costs no time: the other cases take as long beside it.
pub(crate) const LONG_PAUSE: Duration = Duration::from_secs(16);
