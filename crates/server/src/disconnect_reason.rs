//! Why a connection was closed.

/// Why a connection was closed, as logs and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client closed its sending side and was sent what was queued for it.
    Closed,
    /// A reset, or another error of the connection.
    Error,
    /// It was too far behind (`--slow-reader disconnect`).
    Slow,
    /// It blocked the publishers for too long (`--slow-reader backpressure`).
    Evicted,
    /// It sent nothing for too long (`--idle-timeout-seconds`).
    Idle,
    /// It closed its sending side and did not receive what was queued in time.
    DrainTimeout,
    /// It did not complete its handshake, or not in time.
    Handshake,
    /// It sent a message and may only listen (`--unwanted-sender disconnect`).
    Unwanted,
    /// The server stopped.
    Shutdown,
    /// An administrator closed it (`POST /clients/ID/close`).
    Admin,
}

impl DisconnectReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Closed,
        Self::Error,
        Self::Slow,
        Self::Evicted,
        Self::Idle,
        Self::DrainTimeout,
        Self::Handshake,
        Self::Unwanted,
        Self::Shutdown,
        Self::Admin,
    ];

    /// As logs and metrics name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Evicted => "evicted",
            Self::Idle => "idle",
            Self::DrainTimeout => "drain-timeout",
            Self::Handshake => "handshake",
            Self::Unwanted => "unwanted",
            Self::Shutdown => "shutdown",
            Self::Admin => "admin",
        }
    }
}
