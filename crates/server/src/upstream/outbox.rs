//! Whole frames on their way up: bounded, cut at frame boundaries only.

use zillions_protocol::whole_frames;

/// The frames of all shards that wait for the uplink, in one order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: Vec<u8>,
    /// How many bytes may wait, unless it is one batch.
    bytes_max: usize,
    /// Messages ever put.
    put: u64,
    /// A shard found it full.
    shards_wait: bool,
    /// The uplink has a connection.
    pub(super) connected: bool,
    /// The room closes.
    pub(super) stopping: bool,
    /// All shards have put everything they will ever put.
    pub(super) finishing: bool,
    /// Messages that were dropped because the room closes and there is no connection.
    pub(super) discarded: u64,
}

impl Outbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds whole frames and returns how many messages were ever put; `None` if there is no space.
    pub(super) fn put(&mut self, frames: &[u8], messages: usize) -> Option<u64> {
        if !self.is_empty() && self.len() + frames.len() > self.bytes_max {
            if self.stopping && !self.connected {
                self.discarded += messages as u64;
                return Some(self.put);
            }
            self.shards_wait = true;
            return None;
        }
        self.frames.extend_from_slice(frames);
        self.put += messages as u64;
        Some(self.put)
    }

    /// Nothing of it will be sent up any more.
    pub(super) fn discard(&mut self) {
        self.discarded += whole_frames(&self.frames).number as u64;
        self.frames = Vec::new();
    }

    /// Moves everything to `taken`, which is empty; returns whether a shard waited for the space.
    pub(super) fn take(&mut self, taken: &mut Vec<u8>) -> bool {
        debug_assert!(taken.is_empty());
        std::mem::swap(&mut self.frames, taken);
        std::mem::take(&mut self.shards_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_refuses_and_says_when_there_is_space() {
        let mut outbox = Outbox { connected: true, ..Outbox::new(4) };
        assert_eq!(outbox.put(&[0; 3], 3), Some(3));
        assert_eq!(outbox.put(&[0; 2], 2), None);
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken), "a shard waited");
        assert_eq!(taken, [0; 3]);
        taken.clear();
        // One batch may be larger.
        assert_eq!(outbox.put(&[0; 5], 5), Some(8));
        assert!(!outbox.take(&mut taken), "nobody waits any more");
    }

    #[test]
    fn what_cannot_be_sent_before_the_stop_is_counted() {
        let mut outbox = Outbox { stopping: true, ..Outbox::new(4) };
        assert_eq!(outbox.put(&[0; 4], 4), Some(4));
        assert_eq!((outbox.put(&[0, 0], 2), outbox.discarded), (Some(4), 2));
        outbox.connected = true;
        assert_eq!((outbox.put(&[0, 0], 2), outbox.discarded), (None, 2));
        outbox.discard();
        assert_eq!((outbox.len(), outbox.discarded), (0, 6));
    }
}
