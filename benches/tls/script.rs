//! What the publisher says, and how it has to arrive: the same bytes for each receiver, so that
//! checking them is one comparison.

use zillions_load::WireFormat;
use zillions_load::body::{self, PROBE_SENDER, Stamp};

/// Length of the body of each message.
pub(crate) const BODY_BYTES: u8 = 64;
/// How far the publisher is ahead of the slowest receiver at most, in messages: about 1 MiB, which
/// each of the servers keeps for its slowest client without dropping anything.
pub(crate) const WINDOW_MESSAGES: u64 = 16 * 1024;

/// What stands around a body that arrives from NATS on the subject and subscription of
/// [`WireFormat::hello`].
const NATS_OPENING: &[u8] = b"MSG z 1 64\r\n";
const NATS_END: &[u8] = b"\r\n";

/// The messages of one trial that are under way.
#[derive(Debug)]
pub(crate) struct Script {
    wire: WireFormat,
    /// In every body, so that those of another trial are noticed.
    tag: u32,
    /// How many messages were said.
    said: u64,
    /// The last [`WINDOW_MESSAGES`] of them as they arrive.
    arriving: Vec<u8>,
}

impl Script {
    pub(crate) fn new(wire: WireFormat, tag: u32) -> Self {
        let arriving = vec![0; WINDOW_MESSAGES as usize * unit_bytes(wire)];
        Self { wire, tag, said: 0, arriving }
    }

    pub(crate) fn said(&self) -> u64 {
        self.said
    }

    /// Length of a message as it arrives.
    pub(crate) fn unit_bytes(&self) -> usize {
        unit_bytes(self.wire)
    }

    /// How many bytes each client has to receive of what was said.
    pub(crate) fn bytes(&self) -> u64 {
        self.said * self.unit_bytes() as u64
    }

    /// Appends `count` messages to `out`, as a client sends them.
    pub(crate) fn say(&mut self, count: u64, out: &mut Vec<u8>) {
        let mut arriving = Vec::with_capacity(self.unit_bytes());
        for _ in 0..count {
            let stamp = Stamp { intended_ns: self.said, sequence: self.said as u32, sender: 0 };
            self.wire.append_message(stamp, BODY_BYTES, self.tag, out);
            arriving.clear();
            append_arriving(self.wire, stamp, self.tag, &mut arriving);
            let at = (self.said % WINDOW_MESSAGES) as usize * arriving.len();
            self.arriving[at..at + arriving.len()].copy_from_slice(&arriving);
            self.said += 1;
        }
    }

    /// Whether `bytes` are what arrives after the first `offset` bytes.
    pub(crate) fn continues(&self, offset: u64, bytes: &[u8]) -> bool {
        if offset + bytes.len() as u64 > self.bytes() || bytes.len() > self.arriving.len() {
            return false;
        }
        let at = (offset % self.arriving.len() as u64) as usize;
        let (first, second) = bytes.split_at(bytes.len().min(self.arriving.len() - at));
        self.arriving[at..at + first.len()] == *first && self.arriving[..second.len()] == *second
    }

    /// The bytes of a message before those that are measured, as client `number` sends it.
    pub(crate) fn probe(&self, number: u32) -> Vec<u8> {
        let mut out = Vec::new();
        self.wire.append_message(probe_stamp(number), BODY_BYTES, self.tag, &mut out);
        out
    }

    /// The same message as it arrives.
    pub(crate) fn arriving_probe(&self, number: u32) -> Vec<u8> {
        let mut arriving = Vec::new();
        append_arriving(self.wire, probe_stamp(number), self.tag, &mut arriving);
        arriving
    }
}

fn probe_stamp(number: u32) -> Stamp {
    Stamp { intended_ns: 0, sequence: number, sender: PROBE_SENDER }
}

fn unit_bytes(wire: WireFormat) -> usize {
    wire.received_bytes(usize::from(BODY_BYTES))
}

fn append_arriving(wire: WireFormat, stamp: Stamp, tag: u32, out: &mut Vec<u8>) {
    if wire == WireFormat::Nats {
        out.extend_from_slice(NATS_OPENING);
        body::append(stamp, BODY_BYTES, tag, out);
        out.extend_from_slice(NATS_END);
    } else {
        body::append_frame(stamp, BODY_BYTES, tag, out);
    }
}
