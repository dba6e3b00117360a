//! FRAME: messages on the wire.

pub(super) mod bodies;
pub(super) mod partial;
pub(super) mod pieces;
pub(super) mod whole;
