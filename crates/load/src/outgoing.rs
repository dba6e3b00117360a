//! What one sender has still to write.

use std::io::{self, Write};

use crate::body::{self, Stamp};

/// The most bytes that wait for one sender's socket; a message that finds no room is refused.
pub(crate) const OUTGOING_BYTES_MAX: usize = 64 * 1024;

/// Frames in the order of their sequence, wholly or partly unwritten.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// Where the unwritten bytes begin.
    unwritten: usize,
    /// Where the first frame begins that is not wholly written.
    frame: usize,
    /// How many frames were wholly written.
    frames_written: u32,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(OUTGOING_BYTES_MAX),
            unwritten: 0,
            frame: 0,
            frames_written: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unwritten == self.bytes.len()
    }

    pub(crate) fn frames_written(&self) -> u32 {
        self.frames_written
    }

    /// Whether a frame with a body of `length` bytes has room.
    pub(crate) fn has_room(&mut self, length: u8) -> bool {
        let frame_bytes = 1 + usize::from(length);
        if self.bytes.len() + frame_bytes > OUTGOING_BYTES_MAX && self.frame > 0 {
            self.bytes.drain(..self.frame);
            self.unwritten -= self.frame;
            self.frame = 0;
        }
        self.bytes.len() + frame_bytes <= OUTGOING_BYTES_MAX
    }

    /// Appends a frame, for which there is room.
    pub(crate) fn push(&mut self, stamp: Stamp, length: u8, tag: u32) {
        body::append_frame(stamp, length, tag, &mut self.bytes);
    }

    /// Writes once; how many bytes it took. Gives up nothing on an error.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let bytes = socket.write(&self.bytes[self.unwritten..])?;
        self.unwritten += bytes;
        Ok(bytes)
    }

    /// The next frame that has been wholly written: its sequence and its intended time.
    ///
    /// Call it until it returns `None` after each write.
    pub(crate) fn take_written(&mut self) -> Option<(u32, u64)> {
        let &length = self.bytes.get(self.frame)?;
        let end = self.frame + 1 + usize::from(length);
        if end > self.unwritten {
            return None;
        }
        let intended = self.bytes[self.frame + 1..].first_chunk()?;
        let written = (self.frames_written, u64::from_le_bytes(*intended));
        self.frame = end;
        self.frames_written += 1;
        if end == self.bytes.len() {
            self.bytes.clear();
            (self.unwritten, self.frame) = (0, 0);
        }
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a few bytes at a time.
    struct Narrow {
        taken: Vec<u8>,
        bytes_max: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let bytes = &bytes[..bytes.len().min(self.bytes_max)];
            self.taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stamp(sequence: u32) -> Stamp {
        Stamp { intended_ns: 100 + u64::from(sequence), sequence, sender: 0 }
    }

    #[test]
    fn a_frame_counts_as_written_with_its_last_byte() {
        let mut outgoing = Outgoing::new();
        outgoing.push(stamp(0), 20, 0);
        outgoing.push(stamp(1), 20, 0);
        let mut socket = Narrow { taken: Vec::new(), bytes_max: 20 };
        outgoing.write_to(&mut socket).unwrap();
        assert_eq!(outgoing.take_written(), None);
        outgoing.write_to(&mut socket).unwrap();
        assert_eq!(outgoing.take_written(), Some((0, 100)));
        assert_eq!(outgoing.take_written(), None);
        outgoing.write_to(&mut socket).unwrap();
        assert_eq!(outgoing.take_written(), Some((1, 101)));
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.frames_written(), 2);
    }

    #[test]
    fn room_is_bounded_and_comes_back_with_writing() {
        let mut outgoing = Outgoing::new();
        let mut queued = 0;
        while outgoing.has_room(255) {
            outgoing.push(stamp(queued), 255, 0);
            queued += 1;
        }
        assert_eq!(queued as usize, OUTGOING_BYTES_MAX / 256);
        let mut socket = Narrow { taken: Vec::new(), bytes_max: 300 };
        outgoing.write_to(&mut socket).unwrap();
        assert_eq!(outgoing.take_written(), Some((0, 100)));
        assert!(outgoing.has_room(255));
        outgoing.push(stamp(queued), 255, 0);
        assert!(!outgoing.has_room(255));
        while !outgoing.is_empty() {
            outgoing.write_to(&mut socket).unwrap();
            while outgoing.take_written().is_some() {}
        }
        assert_eq!(outgoing.frames_written(), queued + 1);
        assert_eq!(socket.taken.len(), (queued as usize + 1) * 256);
    }
}
