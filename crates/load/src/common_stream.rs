//! What receivers get in common: the bytes of units that one of them was sent and that were checked
//! byte by byte, with what the check found. For a receiver of the same bytes a comparison is enough.
//!
//! For an account to be exact only this must hold: beside the bytes of a unit is what their check
//! found. A [`Position`] is a guess of what a receiver is sent next, and only bytes that were found
//! equal are taken from here.

use std::collections::VecDeque;

use crate::account::Batch;
use crate::body::Stamp;

/// The bytes that are kept, at most. When there is no room, the older half is forgotten; a receiver
/// that is farther behind the first one is verified message by message.
pub(crate) const COMMON_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The bytes of one [`Series`], at most, so that the stream can be cut between two.
const SERIES_BYTES_MAX: usize = 64 * 1024;

/// What is compared at a time when two streams differ.
const STEP_BYTES: usize = 256;

/// The latest units, in an order in which they were received.
///
/// Only what is new is appended, so the sequences of each sender ascend.
#[derive(Debug)]
pub(crate) struct CommonStream {
    bytes: Vec<u8>,
    /// Offset of the first of these bytes among all that were ever appended.
    bytes_begin: u64,
    series: VecDeque<Series>,
    /// The number of the first of these series.
    series_begin: u64,
    /// Per sender: the series with its messages that are kept, in ascending order.
    of_senders: Vec<VecDeque<OfSender>>,
    /// Per sender: the sequence above all that were appended.
    next: Vec<u32>,
}

/// Equally long units next to each other that share everything else too.
#[derive(Clone, Copy, Debug)]
struct Series {
    /// Offset of its first byte.
    begin: u64,
    units: u32,
    unit_bytes: u32,
    content: Content,
}

/// What the units of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The messages of a batch.
    Messages(Batch),
    /// Filler messages with bodies of this length.
    Filler(u8),
}

#[derive(Clone, Copy, Debug)]
struct OfSender {
    first_sequence: u32,
    series: u64,
}

/// A boundary between units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    series: u64,
    /// Units of that series before it.
    units: u32,
}

/// Units of one series that a receiver was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) content: Content,
    /// Units of the series before them.
    pub(crate) skipped: u32,
    pub(crate) units: u32,
    /// Of each unit.
    pub(crate) unit_bytes: usize,
    /// The boundary after them.
    pub(crate) end: Position,
}

impl CommonStream {
    /// An empty stream of messages of `senders` senders.
    pub(crate) fn new(senders: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_begin: 0,
            series: VecDeque::new(),
            series_begin: 0,
            of_senders: vec![VecDeque::new(); senders],
            next: vec![0; senders],
        }
    }

    /// The boundary after everything, if there is anything.
    fn end(&self) -> Option<Position> {
        let last = self.series.back()?;
        let series = self.series_begin + self.series.len() as u64 - 1;
        Some(Position { series, units: last.units })
    }

    /// Whether nothing follows `position`.
    pub(crate) fn is_end(&self, position: Position) -> bool {
        self.end() == Some(position)
    }

    /// Whether `stamp` is of a later message than all of its sender that were appended.
    pub(crate) fn is_new(&self, stamp: Stamp) -> bool {
        self.next.get(usize::from(stamp.sender)).is_some_and(|&next| stamp.sequence >= next)
    }

    /// Appends one unit, given in two pieces; the boundary after it.
    ///
    /// A message must be [new](Self::is_new).
    pub(crate) fn append(&mut self, unit: [&[u8]; 2], content: Content) -> Position {
        let unit_bytes = unit[0].len() + unit[1].len();
        if self.bytes.len() + unit_bytes > COMMON_BYTES_MAX {
            self.forget_older_half();
        }
        let begin = self.bytes_begin + self.bytes.len() as u64;
        unit.into_iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        if let Content::Messages(Batch { first, .. }) = content {
            self.next[usize::from(first.sender)] = first.sequence + 1;
        }
        let unit_bytes = unit_bytes as u32;
        match self.series.back_mut() {
            Some(last) if last.goes_on_with(unit_bytes, content) => last.units += 1,
            _ => self.begin_series(Series { begin, units: 1, unit_bytes, content }),
        }
        self.end().expect("a unit was appended")
    }

    fn begin_series(&mut self, series: Series) {
        if let Content::Messages(Batch { first, .. }) = series.content {
            let number = self.series_begin + self.series.len() as u64;
            let of_sender = OfSender { first_sequence: first.sequence, series: number };
            self.of_senders[usize::from(first.sender)].push_back(of_sender);
        }
        self.series.push_back(series);
    }

    fn forget_older_half(&mut self) {
        let half = self.bytes_begin + (COMMON_BYTES_MAX / 2) as u64;
        let forgotten = self.series.partition_point(|series| series.begin < half);
        self.series.drain(..forgotten);
        self.series_begin += forgotten as u64;
        let begin = self.series.front().map_or(self.bytes_end(), |first| first.begin);
        self.bytes.drain(..(begin - self.bytes_begin) as usize);
        self.bytes_begin = begin;
        for of_sender in &mut self.of_senders {
            let forgotten = of_sender.partition_point(|it| it.series < self.series_begin);
            of_sender.drain(..forgotten);
        }
    }

    fn bytes_end(&self) -> u64 {
        self.bytes_begin + self.bytes.len() as u64
    }

    /// The boundary after the message of `stamp`, if it is kept.
    pub(crate) fn after(&self, stamp: Stamp) -> Option<Position> {
        let of_sender = self.of_senders.get(usize::from(stamp.sender))?;
        let above = of_sender.partition_point(|it| it.first_sequence <= stamp.sequence);
        let OfSender { first_sequence, series } = *of_sender.get(above.checked_sub(1)?)?;
        let units = stamp.sequence - first_sequence + 1;
        (units <= self.series_at(series)?.units).then_some(Position { series, units })
    }

    fn series_at(&self, number: u64) -> Option<&Series> {
        self.series.get(number.checked_sub(self.series_begin)? as usize)
    }

    /// How many of the bytes after `position` a receiver was sent who has `rest` from before and
    /// now got `bytes`; 0 if `position` is forgotten or if `rest` is something else.
    pub(crate) fn equal_bytes(&self, position: Position, rest: &[u8], bytes: &[u8]) -> usize {
        let Some(series) = self.series_at(position.series) else { return 0 };
        let begin = series.offset(position.units) - self.bytes_begin;
        let Some(common) = self.bytes[begin as usize..].strip_prefix(rest) else { return 0 };
        rest.len() + equal_prefix(common, bytes)
    }

    /// The whole units of one series that lie within the `bytes` bytes after `position`.
    pub(crate) fn section(&self, mut position: Position, bytes: usize) -> Option<Section> {
        let mut series = self.series_at(position.series)?;
        if position.units == series.units {
            position = Position { series: position.series + 1, units: 0 };
            series = self.series_at(position.series)?;
        }
        let unit_bytes = series.unit_bytes as usize;
        let units = (series.units - position.units).min((bytes / unit_bytes) as u32);
        (units > 0).then_some(Section {
            content: series.content,
            skipped: position.units,
            units,
            unit_bytes,
            end: Position { units: position.units + units, ..position },
        })
    }
}

impl Series {
    /// Offset of the boundary after `units` of its units.
    fn offset(&self, units: u32) -> u64 {
        self.begin + u64::from(units) * u64::from(self.unit_bytes)
    }

    /// Whether a unit with this content may be its next one.
    fn goes_on_with(&self, unit_bytes: u32, content: Content) -> bool {
        let expected = match self.content {
            Content::Filler(_) => self.content,
            Content::Messages(batch) => {
                let sequence = batch.first.sequence + self.units;
                let first = Stamp { sequence, ..batch.first };
                Content::Messages(Batch { first, ..batch })
            }
        };
        unit_bytes == self.unit_bytes
            && content == expected
            && (self.units as usize + 1) * unit_bytes as usize <= SERIES_BYTES_MAX
    }
}

/// The length of what two streams begin with in common.
fn equal_prefix(one: &[u8], other: &[u8]) -> usize {
    let length = one.len().min(other.len());
    let (one, other) = (&one[..length], &other[..length]);
    if one == other {
        return length;
    }
    let steps = one.chunks(STEP_BYTES).zip(other.chunks(STEP_BYTES));
    let begin = steps.take_while(|(one, other)| one == other).count() * STEP_BYTES;
    let differ = one[begin..].iter().zip(&other[begin..]).position(|(one, other)| one != other);
    differ.map_or(length, |at| begin + at)
}
