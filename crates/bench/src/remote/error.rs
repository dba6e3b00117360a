//! Why another machine cannot be used.

/// Why there is no helper, or no longer one, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RemoteError {
    /// What, where, and what to do.
    pub reason: String,
}
