//! A place between two frames of the log.

/// A frame boundary, counted from the beginning of the log in bytes and in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset {
    /// How many bytes were ever appended before it.
    pub bytes: u64,
    /// How many messages were ever appended before it.
    pub messages: u64,
}
