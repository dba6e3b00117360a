//! What cases of several groups share.

pub(super) mod addresses;
pub(super) mod descriptors;
pub(super) mod ends;
pub(super) mod growth;
pub(super) mod memory;
pub(super) mod messages;
pub(super) mod output;
pub(super) mod pauses;
pub(super) mod slow_readers;
