//! History files, and the one function that loads either form.
//!
//! # The compact form
//!
//! All numbers are little-endian.
//!
//! | part | bytes |
//! | --- | --- |
//! | signature | 8: `89 5a 48 49 53 0d 0a 1a` |
//! | version | 4: the number 1 |
//! | any number of blocks | 4: bytes of the payload, at least 1; 4: CRC-32 (IEEE) of the payload; the payload |
//! | end | 4: the number 0; 4: CRC-32 of the next 8 bytes; 8: number of events |
//!
//! A payload is a sequence of whole events; their form stands in `log.rs`.
//! Nothing may follow the end. A file is written and read in one pass.
//!
//! # The text form
//!
//! For small histories written by hand: see [`save_text`].

use std::io::{self, BufReader, Read, Write};

use thiserror::Error;

use crate::event::{ConnectionId, Event, MessageId};
use crate::history::{BLOCK_BYTES, History, RecordError};
use crate::log::{Cursor, EVENT_BYTES_MAX, Raw, State};
use crate::text;

/// The version of both forms that this crate writes and reads.
pub const HISTORY_VERSION: u32 = 1;

/// The first byte is no text, and a newline translation damages the rest.
const SIGNATURE: [u8; 8] = *b"\x89ZHIS\r\n\x1a";
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + EVENT_BYTES_MAX;

/// Why a history cannot be loaded, and where in the file.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Reading failed.
    #[error("cannot read the history at byte {offset}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// What the reader reported.
        source: io::Error,
    },
    /// The data is neither form of a history.
    #[error(
        "not a history (byte {offset}): it begins neither with the signature of a history file nor \
         with the line `{header}`",
        header = text::HEADER
    )]
    NotAHistory {
        /// Where the signature or the line was expected.
        offset: u64,
    },
    /// A later form of history.
    #[error(
        "a history of version {found} (byte {offset}): this program reads version {HISTORY_VERSION}"
    )]
    Version {
        /// The version of the data.
        found: String,
        /// Where it stands.
        offset: u64,
    },
    /// The data ends too early.
    #[error("truncated history: it ends at byte {offset}, in the middle of {what}")]
    Truncated {
        /// The number of bytes there are.
        offset: u64,
        /// What is cut.
        what: &'static str,
    },
    /// The data is damaged.
    #[error("corrupt history at byte {offset}: {what}")]
    Corrupt {
        /// Where the damage shows.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A line of the text form is wrong.
    #[error("line {line} of the history (byte {offset}): {what}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// Where the wrong word begins.
        offset: u64,
        /// What is wrong, and what is expected.
        what: String,
    },
}

/// Writes a history in the compact form.
pub fn save(history: &History, mut writer: impl Write) -> io::Result<()> {
    writer.write_all(&SIGNATURE)?;
    writer.write_all(&HISTORY_VERSION.to_le_bytes())?;
    for block in history.blocks() {
        // A block ends soon after `BLOCK_BYTES`, so its length fits.
        writer.write_all(&(block.len() as u32).to_le_bytes())?;
        writer.write_all(&crc32fast::hash(block).to_le_bytes())?;
        writer.write_all(block)?;
    }
    let events = history.event_count().to_le_bytes();
    writer.write_all(&0u32.to_le_bytes())?;
    writer.write_all(&crc32fast::hash(&events).to_le_bytes())?;
    writer.write_all(&events)?;
    writer.flush()
}

/// Writes a history in the text form, which [`load`] reads as well. `comment`
/// goes in front, each line after a `#`.
///
/// ```text
/// zillions-history 1
/// connect a               a connection, by name
/// connect #1              a connection without a name: its number
/// send a 0 @0 t=5         the message with this sequence, which is always the next
/// short a 1 "\x00" @9     a short message and its body
/// maybe a 2               a message that may never leave (or: maybe-short)
/// maybe-from a1           this message and those after it may never have left
/// recv #1 a0 @0 t=900     the frame at this offset, at this time in nanoseconds
/// recv-short #1 "\x00" @9
/// recv-unknown #1 "cut in the middle" @11
/// ```
///
/// Words after `#` at the start of a line or after a space are a comment, unless
/// a digit follows. An offset or a time that is left out is the last one of
/// that stream or of the history; a send may have none at all. Between quotes,
/// `\"`, `\'`, `\\`, `\n`, `\r`, `\t` and `\xNN` stand for bytes.
pub fn save_text(history: &History, comment: &str, writer: impl Write) -> io::Result<()> {
    text::save(history, comment, writer)
}

/// Reads a history in either form.
pub fn load(mut reader: impl Read) -> Result<History, LoadError> {
    let mut signature = Vec::with_capacity(SIGNATURE.len());
    reader
        .by_ref()
        .take(SIGNATURE.len() as u64)
        .read_to_end(&mut signature)
        .map_err(|source| LoadError::Read { offset: 0, source })?;
    if signature == SIGNATURE {
        let mut file = Compact { reader, offset: SIGNATURE.len() as u64 };
        return file.load();
    }
    if signature.first() == SIGNATURE.first() {
        let offset = signature.iter().zip(SIGNATURE).take_while(|(a, b)| **a == *b).count() as u64;
        return Err(if signature.len() as u64 == offset {
            LoadError::Truncated { offset, what: "the signature" }
        } else {
            LoadError::Corrupt { offset, what: "the signature is damaged".into() }
        });
    }
    text::load(BufReader::new(signature.chain(reader)))
}

struct Compact<R> {
    reader: R,
    /// Bytes read so far.
    offset: u64,
}

impl<R: Read> Compact<R> {
    fn load(&mut self) -> Result<History, LoadError> {
        let at = self.offset;
        let version = u32::from_le_bytes(self.take("the version")?);
        if version != HISTORY_VERSION {
            return Err(LoadError::Version { found: version.to_string(), offset: at });
        }
        let mut history = History::new();
        let mut state = State::default();
        let mut block = Vec::new();
        loop {
            let at = self.offset;
            let bytes = u32::from_le_bytes(self.take("a block")?) as usize;
            let checksum = u32::from_le_bytes(self.take("a block")?);
            if bytes == 0 {
                self.end(checksum, &history)?;
                return Ok(history);
            }
            if bytes > BLOCK_BYTES_MAX {
                let what = format!("a block of {bytes} bytes; the most is {BLOCK_BYTES_MAX}");
                return Err(LoadError::Corrupt { offset: at, what });
            }
            block.resize(bytes, 0);
            let start = self.offset;
            self.fill(&mut block, "a block")?;
            if crc32fast::hash(&block) != checksum {
                let what = "the block does not have its checksum".into();
                return Err(LoadError::Corrupt { offset: start, what });
            }
            record_block(&block, start, &mut state, &mut history)?;
        }
    }

    fn end(&mut self, checksum: u32, history: &History) -> Result<(), LoadError> {
        let at = self.offset;
        let events: [u8; 8] = self.take("the end mark")?;
        let corrupt = |offset, what: &str| Err(LoadError::Corrupt { offset, what: what.into() });
        if crc32fast::hash(&events) != checksum {
            return corrupt(at, "the end mark does not have its checksum");
        }
        if u64::from_le_bytes(events) != history.event_count() {
            return corrupt(at, "the number of events is not the one in the end mark");
        }
        let at = self.offset;
        let mut more = Vec::new();
        match self.reader.by_ref().take(1).read_to_end(&mut more) {
            Err(source) => Err(LoadError::Read { offset: at, source }),
            Ok(0) => Ok(()),
            Ok(_) => corrupt(at, "something follows the end mark"),
        }
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], LoadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), LoadError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => return Err(LoadError::Truncated { offset: self.offset, what }),
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LoadError::Read { offset: self.offset, source }),
            }
        }
        Ok(())
    }
}

/// Records the events of one block, which begins at `start` in the file.
fn record_block(
    block: &[u8],
    start: u64,
    state: &mut State,
    history: &mut History,
) -> Result<(), LoadError> {
    let mut cursor = Cursor::new(block);
    while !cursor.is_at_end() {
        let at = start + cursor.at as u64;
        let raw = state.decode(&mut cursor).map_err(|malformed| LoadError::Corrupt {
            offset: start + malformed.at as u64,
            what: malformed.what.into(),
        })?;
        record(raw, state, history).map_err(|what| LoadError::Corrupt { offset: at, what })?;
    }
    Ok(())
}

/// Records one event that was just decoded with `state`.
fn record(raw: Raw<'_>, state: &State, history: &mut History) -> Result<(), String> {
    let in_words = |error: RecordError| error.to_string();
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned());
    let connection = |index: u32| ConnectionId(index);
    let recorded = match raw {
        Raw::Connect { name } => {
            let name = if name.is_empty() { None } else { Some(utf8(name)?) };
            let connection = ConnectionId(history.connections() as u32);
            history.record(Event::Connect { connection, name })
        }
        Raw::Send { connection: sender, short, maybe, position } => {
            let sequence = state.sent(sender) - 1;
            let message = MessageId { sender: connection(sender), sequence };
            match short {
                None => history.record(Event::Send { message, short: None, maybe, position }),
                Some(body) => with_body(body, history, |history, body| {
                    history.record(Event::Send { message, short: Some(body), maybe, position })
                })?,
            }
        }
        Raw::MaybeFrom { connection: sender, sequence } => {
            let message = MessageId { sender: connection(sender), sequence };
            history.record(Event::MaybeFrom { message })
        }
        Raw::Receive { connection: receiver, sender, sequence, position } => {
            let message = MessageId { sender: connection(sender), sequence };
            history.record(Event::Receive { connection: connection(receiver), message, position })
        }
        Raw::ReceiveShort { connection: receiver, body, position } => {
            with_body(body, history, |history, body| {
                let connection = connection(receiver);
                history.record(Event::ReceiveAnonymous { connection, body, position })
            })?
        }
        Raw::ReceiveUnknown { connection: receiver, position, detail } => {
            let (connection, detail) = (connection(receiver), utf8(detail)?);
            history.record(Event::ReceiveUnknown { connection, position, detail })
        }
    };
    recorded.map_err(in_words)
}

/// Looks up a body that the history may hold already.
fn with_body<T>(
    body: crate::log::BodyRef<'_>,
    history: &mut History,
    record: impl FnOnce(&mut History, &[u8]) -> T,
) -> Result<T, String> {
    match body.new {
        Some(bytes) if history.has_body(bytes) => Err("a body is listed twice".to_owned()),
        Some(bytes) => Ok(record(history, bytes)),
        None => {
            let bytes = history.shared_body(body.index);
            Ok(record(history, &bytes))
        }
    }
}
