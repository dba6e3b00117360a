//! What one sender has still to write.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::body::Stamp;
use crate::wire::WireFormat;

/// The most bytes of messages that wait for one sender's socket; a message without room is unsent.
pub(crate) const OUTGOING_BYTES_MAX: usize = 64 * 1024;

/// The most bytes that may wait beside messages. What finds no room is left out: it is a reply to a
/// ping, and the ping before it was just answered.
const CONTROL_BYTES_MAX: usize = 1024;

/// Messages in the order of their sequence, wholly or partly unwritten, and control bytes between them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    wire: WireFormat,
    /// Whether the header and the body of a message are written separately.
    split_writes: bool,
    bytes: Vec<u8>,
    /// Where the unwritten bytes begin.
    unwritten: usize,
    /// Messages that are not wholly written.
    messages: VecDeque<Message>,
    messages_written: u32,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    /// Where its body begins.
    body: usize,
    /// Where its bytes end.
    end: usize,
    intended_ns: u64,
}

impl Outgoing {
    /// An empty one, which takes memory only when it is used.
    pub(crate) fn new(wire: WireFormat) -> Self {
        Self {
            wire,
            split_writes: false,
            bytes: Vec::new(),
            unwritten: 0,
            messages: VecDeque::new(),
            messages_written: 0,
        }
    }

    /// The same, writing headers and bodies separately if `split_writes`; for the spec's frames.
    pub(crate) fn splitting(self, split_writes: bool) -> Self {
        Self { split_writes, ..self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unwritten == self.bytes.len()
    }

    pub(crate) fn messages_written(&self) -> u32 {
        self.messages_written
    }

    /// The sequences of the messages that are not wholly written.
    pub(crate) fn unwritten(&self) -> std::ops::Range<u32> {
        self.messages_written..self.messages_written + self.messages.len() as u32
    }

    /// Whether a message with a body of `length` bytes has room, with `beside_bytes` before it.
    pub(crate) fn has_room(&mut self, length: u8, beside_bytes: usize) -> bool {
        let message_bytes = self.wire.sent_bytes(length) + beside_bytes;
        if self.bytes.len() + message_bytes > OUTGOING_BYTES_MAX {
            self.forget_written();
        }
        self.bytes.len() + message_bytes <= OUTGOING_BYTES_MAX
    }

    /// Appends a message, for which there is room.
    pub(crate) fn push(&mut self, stamp: Stamp, length: u8, tag: u32) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(OUTGOING_BYTES_MAX + CONTROL_BYTES_MAX);
        }
        self.wire.append_message(stamp, length, tag, &mut self.bytes);
        let (end, intended_ns) = (self.bytes.len(), stamp.intended_ns);
        let body = end - usize::from(length);
        self.messages.push_back(Message { body, end, intended_ns });
    }

    /// Appends bytes that are not a message: a greeting, a reply, filler messages.
    pub(crate) fn push_control(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > OUTGOING_BYTES_MAX + CONTROL_BYTES_MAX {
            self.forget_written();
        }
        if self.bytes.len() + bytes.len() <= OUTGOING_BYTES_MAX + CONTROL_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Writes once; how many bytes it took. Gives up nothing on an error.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let bytes = socket.write(&self.bytes[self.unwritten..self.write_end()])?;
        self.unwritten += bytes;
        Ok(bytes)
    }

    /// Where the next write ends.
    fn write_end(&self) -> usize {
        match self.messages.front() {
            Some(first) if self.split_writes && self.unwritten < first.body => first.body,
            Some(first) if self.split_writes => first.end,
            _ => self.bytes.len(),
        }
    }

    /// The next message that has been wholly written: its sequence and its intended time.
    ///
    /// Call it until it returns `None` after each write.
    pub(crate) fn take_written(&mut self) -> Option<(u32, u64)> {
        if self.messages.front().is_none_or(|message| message.end > self.unwritten) {
            if self.is_empty() {
                self.bytes.clear();
                self.unwritten = 0;
            }
            return None;
        }
        let message = self.messages.pop_front()?;
        let sequence = self.messages_written;
        self.messages_written += 1;
        Some((sequence, message.intended_ns))
    }

    /// Makes room by moving what is unwritten to the front.
    fn forget_written(&mut self) {
        self.bytes.drain(..self.unwritten);
        for message in &mut self.messages {
            // Of the first one the header may have been written.
            message.body = message.body.saturating_sub(self.unwritten);
            message.end -= self.unwritten;
        }
        self.unwritten = 0;
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
    fn a_message_counts_as_written_with_its_last_byte() {
        let mut outgoing = Outgoing::new(WireFormat::Zillions);
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
        assert_eq!(outgoing.messages_written(), 2);
    }

    #[test]
    fn split_writes_are_one_for_the_header_and_one_for_the_body() {
        let mut outgoing = Outgoing::new(WireFormat::Zillions).splitting(true);
        outgoing.push_control(b"probe");
        let mut socket = Narrow { taken: Vec::new(), bytes_max: 100 };
        assert_eq!(outgoing.write_to(&mut socket).unwrap(), 5);
        outgoing.push(stamp(0), 20, 0);
        outgoing.push(stamp(1), 200, 0);
        let mut writes = Vec::new();
        while !outgoing.is_empty() {
            writes.push(outgoing.write_to(&mut socket).unwrap());
            // As when room is made between the header and the body.
            outgoing.forget_written();
            while outgoing.take_written().is_some() {}
        }
        // The socket takes the second body in two parts.
        assert_eq!(writes, [1, 20, 1, 100, 100]);
        assert_eq!(outgoing.messages_written(), 2);
    }

    #[test]
    fn room_is_bounded_and_comes_back_with_writing() {
        let mut outgoing = Outgoing::new(WireFormat::Zillions);
        let mut queued = 0;
        while outgoing.has_room(255, 0) {
            outgoing.push(stamp(queued), 255, 0);
            queued += 1;
        }
        assert_eq!(queued as usize, OUTGOING_BYTES_MAX / 256);
        let mut socket = Narrow { taken: Vec::new(), bytes_max: 300 };
        outgoing.write_to(&mut socket).unwrap();
        assert_eq!(outgoing.take_written(), Some((0, 100)));
        assert!(outgoing.has_room(255, 0));
        outgoing.push(stamp(queued), 255, 0);
        assert!(!outgoing.has_room(255, 0));
        while !outgoing.is_empty() {
            outgoing.write_to(&mut socket).unwrap();
            while outgoing.take_written().is_some() {}
        }
        assert_eq!(outgoing.messages_written(), queued + 1);
        assert_eq!(socket.taken.len(), (queued as usize + 1) * 256);
    }

    #[test]
    fn control_bytes_go_between_messages_and_are_not_counted() {
        let mut outgoing = Outgoing::new(WireFormat::Nats);
        outgoing.push_control(b"CONNECT\r\n");
        outgoing.push(stamp(0), 20, 0);
        outgoing.push_control(b"PONG\r\n");
        outgoing.push(stamp(1), 20, 0);
        let mut socket = Narrow { taken: Vec::new(), bytes_max: 1 };
        let mut written = Vec::new();
        while !outgoing.is_empty() {
            outgoing.write_to(&mut socket).unwrap();
            written.extend(std::iter::from_fn(|| outgoing.take_written()));
        }
        assert_eq!(written, [(0, 100), (1, 101)]);
        let message_bytes = WireFormat::Nats.sent_bytes(20);
        assert!(socket.taken.starts_with(b"CONNECT\r\nPUB z 20\r\n"));
        assert!(socket.taken[9 + message_bytes..].starts_with(b"PONG\r\nPUB z 20\r\n"));
        assert_eq!(socket.taken.len(), 9 + message_bytes + 6 + message_bytes);
    }

    #[test]
    fn replies_to_a_flood_of_pings_take_bounded_memory() {
        let mut outgoing = Outgoing::new(WireFormat::Nats);
        (0..100_000).for_each(|_| outgoing.push_control(b"PONG\r\n"));
        assert!(outgoing.bytes.len() <= OUTGOING_BYTES_MAX + CONTROL_BYTES_MAX);
    }
}
