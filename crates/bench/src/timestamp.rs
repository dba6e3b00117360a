//! Times of day as the results have them.

use std::time::SystemTime;

/// The time, as RFC 3339, to the second.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
