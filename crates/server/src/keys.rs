//! Names of what may come and go: rooms, and the sockets that listen for them.

slotmap::new_key_type! {
    /// A room's key; never reused for another.
    pub struct RoomKey;
}

/// The number of a listening socket.
pub type ListenerId = u32;
