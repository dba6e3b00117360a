//! How long a server is waited for, in seconds.

/// How long it may take to print its line.
pub(crate) const READY_SECONDS_MAX: f64 = 15.0;
/// How long it may take to end when asked to.
pub(crate) const STOP_SECONDS_MAX: f64 = 2.0;
/// How long the end of one that has closed its connections may take to be seen.
pub(crate) const END_SECONDS_MAX: f64 = 2.0;
