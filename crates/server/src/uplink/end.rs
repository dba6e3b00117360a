//! Why there is no connection to an upstream server.

/// Why there is no connection to an upstream server, or none any more.
#[derive(Debug)]
pub(super) enum End {
    /// The room closes.
    Stopped,
    /// The upstream is this server.
    Loop,
    /// Everything else, in words.
    Lost(String),
}
