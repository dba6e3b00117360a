//! The byte form of events: what a [`History`](crate::History) keeps in memory
//! and what a history file holds.
//!
//! One event is a tag byte and a few variable-length numbers (LEB128, seven
//! bits a byte, at most ten bytes). Numbers that grow with a run are stored as
//! differences: a delivery of a steady run takes about eight bytes.
//!
//! | kind (tag, low 3 bits) | fields after the tag |
//! | --- | --- |
//! | 0 connect | bytes of the name, name (0 bytes: no name) |
//! | 1 send | connection, position if flagged |
//! | 2 send short | connection, body, position if flagged |
//! | 3 maybe from | connection, sequence |
//! | 4 receive | connection, sender, lag, position |
//! | 5 receive short | connection, body, position |
//! | 6 receive unknown | connection, position, bytes of the detail, detail |
//!
//! Flags: 8, the send has a position; 16, it is only maybe sent. *Lag* is the
//! number of messages the sender has sent so far, less the sequence. A *body*
//! is the index of a body seen before, or the next free index followed by the
//! number of its bytes and the bytes. A *position* is the difference of the
//! offset from the last one of that stream, then the difference of the time
//! from the last time recorded. Differences are signed (zigzag) and wrap, so
//! every pair of values can be stored.

use crate::event::StreamPosition;

const CONNECT: u8 = 0;
const SEND: u8 = 1;
const SEND_SHORT: u8 = 2;
const MAYBE_FROM: u8 = 3;
const RECEIVE: u8 = 4;
const RECEIVE_SHORT: u8 = 5;
const RECEIVE_UNKNOWN: u8 = 6;

const KIND_MASK: u8 = 0b0000_0111;
const FLAG_POSITION: u8 = 0b0000_1000;
const FLAG_MAYBE: u8 = 0b0001_0000;

/// Bytes of the longest body: a frame's length is one byte.
pub const BODY_BYTES_MAX: usize = 255;
/// Bytes of the longest name of a connection.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a detail that are kept; the rest is cut off.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// No event takes more bytes than this.
pub(crate) const EVENT_BYTES_MAX: usize = DETAIL_BYTES_MAX + 64;

/// A short message's body in an event: the index among all bodies of the
/// history, and the bytes where the index occurs for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyRef<'b> {
    pub(crate) index: u32,
    pub(crate) new: Option<&'b [u8]>,
}

/// An event as indices: what the checker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw<'b> {
    Connect {
        name: &'b [u8],
    },
    Send {
        connection: u32,
        short: Option<BodyRef<'b>>,
        maybe: bool,
        position: Option<StreamPosition>,
    },
    MaybeFrom {
        connection: u32,
        sequence: u32,
    },
    Receive {
        connection: u32,
        sender: u32,
        sequence: u32,
        position: StreamPosition,
    },
    ReceiveShort {
        connection: u32,
        body: BodyRef<'b>,
        position: StreamPosition,
    },
    ReceiveUnknown {
        connection: u32,
        position: StreamPosition,
        detail: &'b [u8],
    },
}

/// Why bytes are no event, and where (relative to the block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    sent: u32,
    sent_offset: u64,
    received_offset: u64,
}

/// What differences are counted from. Writer and reader keep the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    streams: Vec<Stream>,
    /// Bodies listed so far. Only a reader counts them.
    bodies: u32,
    time_ns: u64,
}

impl State {
    pub(crate) fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Messages the connection has sent so far; 0 for one that does not exist.
    pub(crate) fn sent(&self, connection: u32) -> u32 {
        self.streams.get(connection as usize).map_or(0, |stream| stream.sent)
    }

    fn stream(&mut self, connection: u32) -> &mut Stream {
        &mut self.streams[connection as usize]
    }

    /// Appends one event. The caller has checked that its connection exists.
    pub(crate) fn encode(&mut self, raw: &Raw<'_>, out: &mut Vec<u8>) {
        match *raw {
            Raw::Connect { name } => {
                out.push(CONNECT);
                put_bytes(out, name);
                self.streams.push(Stream::default());
            }
            Raw::Send { connection, short, maybe, position } => {
                let mut tag = if short.is_some() { SEND_SHORT } else { SEND };
                tag |= if position.is_some() { FLAG_POSITION } else { 0 };
                tag |= if maybe { FLAG_MAYBE } else { 0 };
                out.push(tag);
                put(out, connection.into());
                if let Some(body) = short {
                    put_body(out, body);
                }
                if let Some(position) = position {
                    let last = self.stream(connection).sent_offset;
                    self.put_position(out, last, position);
                    self.stream(connection).sent_offset = position.offset;
                }
                self.stream(connection).sent += 1;
            }
            Raw::MaybeFrom { connection, sequence } => {
                out.push(MAYBE_FROM);
                put(out, connection.into());
                put(out, sequence.into());
            }
            Raw::Receive { connection, sender, sequence, position } => {
                out.push(RECEIVE);
                put(out, connection.into());
                put(out, sender.into());
                put(out, zigzag(i64::from(self.sent(sender)) - i64::from(sequence)));
                self.put_received(out, connection, position);
            }
            Raw::ReceiveShort { connection, body, position } => {
                out.push(RECEIVE_SHORT);
                put(out, connection.into());
                put_body(out, body);
                self.put_received(out, connection, position);
            }
            Raw::ReceiveUnknown { connection, position, detail } => {
                out.push(RECEIVE_UNKNOWN);
                put(out, connection.into());
                self.put_received(out, connection, position);
                put_bytes(out, detail);
            }
        }
    }

    fn put_received(&mut self, out: &mut Vec<u8>, connection: u32, position: StreamPosition) {
        let last = self.stream(connection).received_offset;
        self.put_position(out, last, position);
        self.stream(connection).received_offset = position.offset;
    }

    fn put_position(&mut self, out: &mut Vec<u8>, offset_last: u64, position: StreamPosition) {
        put(out, zigzag(position.offset.wrapping_sub(offset_last).cast_signed()));
        put(out, zigzag(position.time_ns.wrapping_sub(self.time_ns).cast_signed()));
        self.time_ns = position.time_ns;
    }

    /// Reads one event at the cursor; every index is checked.
    #[inline]
    pub(crate) fn decode<'b>(&mut self, cursor: &mut Cursor<'b>) -> Result<Raw<'b>, Malformed> {
        let start = cursor.at;
        let tag = cursor.byte()?;
        let kind = tag & KIND_MASK;
        let flags = tag & !KIND_MASK;
        let flags_allowed =
            if kind == SEND || kind == SEND_SHORT { FLAG_POSITION | FLAG_MAYBE } else { 0 };
        if kind > RECEIVE_UNKNOWN || flags & !flags_allowed != 0 {
            return Err(Malformed { at: start, what: "an unknown kind of event" });
        }
        if kind == CONNECT {
            let name = cursor.bytes(NAME_BYTES_MAX, "a name that is too long")?;
            self.streams.push(Stream::default());
            return Ok(Raw::Connect { name });
        }
        let at = cursor.at;
        let connection = cursor.number_u32()?;
        if connection as usize >= self.streams.len() {
            return Err(Malformed { at, what: "a connection that does not exist" });
        }
        match kind {
            RECEIVE => self.decode_receive(cursor, connection),
            SEND | SEND_SHORT => self.decode_send(cursor, connection, tag),
            MAYBE_FROM => {
                let at = cursor.at;
                let sequence = cursor.number_u32()?;
                if sequence >= self.sent(connection) {
                    return Err(Malformed { at, what: "a message that was not sent yet" });
                }
                Ok(Raw::MaybeFrom { connection, sequence })
            }
            RECEIVE_SHORT => {
                let body = self.body(cursor)?;
                let position = self.received(cursor, connection)?;
                Ok(Raw::ReceiveShort { connection, body, position })
            }
            _ => {
                let position = self.received(cursor, connection)?;
                let detail = cursor.bytes(DETAIL_BYTES_MAX, "a detail that is too long")?;
                Ok(Raw::ReceiveUnknown { connection, position, detail })
            }
        }
    }

    #[inline]
    fn decode_receive<'b>(
        &mut self,
        cursor: &mut Cursor<'b>,
        connection: u32,
    ) -> Result<Raw<'b>, Malformed> {
        let sender = cursor.number_u32()?;
        let at = cursor.at;
        let lag = unzigzag(cursor.number()?);
        let sequence = i64::from(self.sent(sender))
            .checked_sub(lag)
            .and_then(|sequence| u32::try_from(sequence).ok())
            .ok_or(Malformed { at, what: "a sequence out of range" })?;
        let position = self.received(cursor, connection)?;
        Ok(Raw::Receive { connection, sender, sequence, position })
    }

    fn decode_send<'b>(
        &mut self,
        cursor: &mut Cursor<'b>,
        connection: u32,
        tag: u8,
    ) -> Result<Raw<'b>, Malformed> {
        let short = if tag & KIND_MASK == SEND_SHORT { Some(self.body(cursor)?) } else { None };
        let position = if tag & FLAG_POSITION != 0 {
            let last = self.stream(connection).sent_offset;
            let position = self.position(cursor, last)?;
            self.stream(connection).sent_offset = position.offset;
            Some(position)
        } else {
            None
        };
        self.stream(connection).sent += 1;
        Ok(Raw::Send { connection, short, maybe: tag & FLAG_MAYBE != 0, position })
    }

    fn body<'b>(&mut self, cursor: &mut Cursor<'b>) -> Result<BodyRef<'b>, Malformed> {
        let at = cursor.at;
        let index = cursor.number_u32()?;
        if index > self.bodies {
            return Err(Malformed { at, what: "a body that was not seen before" });
        }
        let new = if index == self.bodies {
            self.bodies += 1;
            Some(cursor.bytes(BODY_BYTES_MAX, "a body of more than 255 bytes")?)
        } else {
            None
        };
        Ok(BodyRef { index, new })
    }

    #[inline]
    fn received(
        &mut self,
        cursor: &mut Cursor<'_>,
        connection: u32,
    ) -> Result<StreamPosition, Malformed> {
        let last = self.stream(connection).received_offset;
        let position = self.position(cursor, last)?;
        self.stream(connection).received_offset = position.offset;
        Ok(position)
    }

    #[inline]
    fn position(
        &mut self,
        cursor: &mut Cursor<'_>,
        offset_last: u64,
    ) -> Result<StreamPosition, Malformed> {
        let offset = offset_last.wrapping_add_signed(unzigzag(cursor.number()?));
        self.time_ns = self.time_ns.wrapping_add_signed(unzigzag(cursor.number()?));
        Ok(StreamPosition { offset, time_ns: self.time_ns })
    }
}

/// A place in a block of events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'b> {
    bytes: &'b [u8],
    pub(crate) at: usize,
}

const CUT: &str = "the end of its block in the middle of an event";

impl<'b> Cursor<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed { at: self.at, what: CUT })?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(first.into());
        }
        self.number_rest(first)
    }

    fn number_rest(&mut self, first: u8) -> Result<u64, Malformed> {
        let start = self.at - 1;
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed { at: start, what: "a number of more than 64 bits" })
    }

    #[inline]
    fn number_u32(&mut self) -> Result<u32, Malformed> {
        let at = self.at;
        let value = self.number()?;
        u32::try_from(value).map_err(|_| Malformed { at, what: "a number of more than 32 bits" })
    }

    fn bytes(&mut self, max: usize, too_long: &'static str) -> Result<&'b [u8], Malformed> {
        let at = self.at;
        let length = self.number()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > max {
            return Err(Malformed { at, what: too_long });
        }
        let rest = &self.bytes[self.at..];
        let bytes = rest.get(..length).ok_or(Malformed { at: self.bytes.len(), what: CUT })?;
        self.at += length;
        Ok(bytes)
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_body(out: &mut Vec<u8>, body: BodyRef<'_>) {
    put(out, body.index.into());
    if let Some(bytes) = body.new {
        put_bytes(out, bytes);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
