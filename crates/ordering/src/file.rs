//! History files: one line per event.
//!
//! ```text
//! zillions-history 1
//! connect a               a connection, by name
//! connect #1              a connection without a name: its number
//! send a 0                the message with this sequence, which is always the next
//! short a 1 "\x00"        a short message and its body
//! maybe a 2               a message that may never leave (or: maybe-short)
//! maybe-from a1           this message and those after it may never have left
//! recv #1 a0 @0 t=900     the frame at this offset, at this time in nanoseconds
//! recv-short #1 "\x00" @9
//! recv-unknown #1 "cut short" @11
//! end events=9            the number of events, which may be omitted
//! ```
//!
//! Words after `#` at the start of a line or after a space are a comment, unless
//! a digit follows. An offset or a time that is omitted is the last one of that
//! stream or of the history. Between quotes, `\"`, `\'`, `\\`, `\n`, `\r`, `\t` and
//! `\xNN` are bytes. Without its last line, a file is truncated.

mod words;

use std::io::{self, BufRead, BufReader, Read, Write};

use thiserror::Error;

use self::words::{Word, Words, Wrong, words};
use crate::event::{ConnectionId, Event, MessageId, StreamPosition};
use crate::history::{DETAIL_BYTES_MAX, History};

/// The version of the form that this crate writes and reads.
pub const HISTORY_VERSION: u32 = 1;

/// The first line that is neither empty nor a comment.
const HEADER: &str = "zillions-history 1";
const HEADER_WORD: &str = "zillions-history";

/// Bytes of the longest line; four for each byte of a detail, and the rest.
const LINE_BYTES_MAX: usize = 4 * DETAIL_BYTES_MAX + 1024;

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
    /// The file is something else.
    #[error("not a history (byte {offset}): the first line must be `{HEADER}`")]
    NotAHistory {
        /// Where the first line was expected.
        offset: u64,
    },
    /// A later form of history.
    #[error(
        "a history of version {found} (byte {offset}): this program reads version {HISTORY_VERSION}"
    )]
    Version {
        /// The version of the file.
        found: String,
        /// Where it is.
        offset: u64,
    },
    /// The file ends too early.
    #[error("truncated history: it ends at byte {offset}, without the line `end`")]
    Truncated {
        /// The number of bytes there are.
        offset: u64,
    },
    /// A line is wrong.
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

/// Writes a history. `comment` follows the first line, each of its lines after a `#`.
///
/// # Errors
/// Those of the writer.
pub fn save(history: &History, comment: &str, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")?;
    for line in comment.lines() {
        writeln!(out, "# {line}")?;
    }
    let mut connections = 0;
    for event in history.events() {
        connections += u32::from(matches!(event, Event::Connect { .. }));
        save_event(history, connections, event, &mut out)?;
    }
    writeln!(out, "end events={}", history.event_count())?;
    out.flush()
}

/// Writes one event. Connections from number `connections` on are not recorded
/// yet, so they have no names.
fn save_event(
    history: &History,
    connections: u32,
    event: Event<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let known = |connection: ConnectionId| {
        history.name(connection).filter(|_| connection.index() < connections)
    };
    let name = |connection: ConnectionId| match known(connection) {
        Some(name) => name.to_owned(),
        None => connection.to_string(),
    };
    let id = |message: MessageId| match known(message.sender) {
        Some(name) => format!("{name}{}", message.sequence),
        None => message.to_string(),
    };
    let position_seen = match event {
        Event::Connect { connection, .. } => {
            write!(out, "connect {}", name(connection))?;
            None
        }
        Event::Send { message, short, maybe } => {
            let word = match (short.is_some(), maybe) {
                (false, false) => "send",
                (false, true) => "maybe",
                (true, false) => "short",
                (true, true) => "maybe-short",
            };
            write!(out, "{word} {} {}", name(message.sender), message.sequence)?;
            if let Some(body) = short {
                write!(out, " \"{}\"", body.escape_ascii())?;
            }
            None
        }
        Event::MaybeFrom { message } => {
            write!(out, "maybe-from {}", id(message))?;
            None
        }
        Event::Receive { connection, message, position } => {
            write!(out, "recv {} {}", name(connection), id(message))?;
            Some(position)
        }
        Event::ReceiveAnonymous { connection, body, position } => {
            write!(out, "recv-short {} \"{}\"", name(connection), body.escape_ascii())?;
            Some(position)
        }
        Event::ReceiveUnknown { connection, position, detail } => {
            let detail = detail.as_bytes().escape_ascii();
            write!(out, "recv-unknown {} \"{detail}\"", name(connection))?;
            Some(position)
        }
    };
    match position_seen {
        Some(position) => writeln!(out, " @{} t={}", position.offset, position.time_ns),
        None => writeln!(out),
    }
}

/// Reads a history.
///
/// # Errors
/// When the reader fails, or the data is not a whole history.
pub fn load(reader: impl Read) -> Result<History, LoadError> {
    let mut reader = BufReader::new(reader);
    let mut parser = Parser::default();
    let mut bytes = Vec::new();
    let mut offset = 0;
    for line in 1.. {
        bytes.clear();
        let max = LINE_BYTES_MAX as u64 + 1;
        if let Err(source) = reader.by_ref().take(max).read_until(b'\n', &mut bytes) {
            // What was read before the reader failed is in `bytes`.
            return Err(LoadError::Read { offset: offset + bytes.len() as u64, source });
        }
        if bytes.is_empty() {
            break;
        }
        parser.line(&bytes, line, offset)?;
        offset += bytes.len() as u64;
    }
    match parser.stage {
        Stage::Header => Err(LoadError::NotAHistory { offset }),
        Stage::Events => Err(LoadError::Truncated { offset }),
        Stage::End => Ok(parser.history),
    }
}

#[derive(Default)]
struct Parser {
    history: History,
    stage: Stage,
    /// Per connection, the last offset in its received stream.
    offsets: Vec<u64>,
    time_ns: u64,
}

/// What comes next.
#[derive(Default, PartialEq)]
enum Stage {
    #[default]
    Header,
    Events,
    /// Nothing.
    End,
}

impl Parser {
    /// Reads line number `line`, which begins at byte `offset` of the file.
    fn line(&mut self, bytes: &[u8], line: u64, offset: u64) -> Result<(), LoadError> {
        if self.stage == Stage::Header {
            return self.header(bytes, offset);
        }
        let end = offset + bytes.len() as u64;
        // The last line of a file that was cut can be anything.
        let is_cut = !bytes.ends_with(b"\n") && bytes.len() <= LINE_BYTES_MAX;
        let in_file = |(at, what)| match is_cut {
            true => LoadError::Truncated { offset: end },
            false => LoadError::Line { line, offset: offset + at as u64, what },
        };
        let text = text(bytes).map_err(in_file)?;
        let words = words(text).map_err(in_file)?;
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        if self.stage == Stage::End {
            let what = format!("unexpected `{}` after the line `end`", first.shown());
            return Err(in_file((first.at, what)));
        }
        let mut rest = Words::new(rest, text.trim_end().len());
        self.statement(first, &mut rest).map_err(in_file)?;
        match self.stage {
            Stage::End if is_cut => Err(LoadError::Truncated { offset: end }),
            _ => Ok(()),
        }
    }

    fn header(&mut self, bytes: &[u8], offset: u64) -> Result<(), LoadError> {
        let in_file = |at: usize| offset + at as u64;
        let refuse = |at| LoadError::NotAHistory { offset: in_file(at) };
        let text = text(bytes).map_err(|_| refuse(0))?;
        let words = words(text).map_err(|_| refuse(0))?;
        match &words[..] {
            [] => Ok(()),
            [word, version] if word.text == HEADER_WORD => {
                if version.text != HISTORY_VERSION.to_string() {
                    let (found, offset) = (version.shown().to_string(), in_file(version.at));
                    return Err(LoadError::Version { found, offset });
                }
                self.stage = Stage::Events;
                Ok(())
            }
            [word, ..] => Err(refuse(word.at)),
        }
    }

    fn statement(&mut self, word: &Word<'_>, line: &mut Words<'_>) -> Result<(), Wrong> {
        match word.text {
            "connect" => self.connect(word, line),
            "send" => self.send(word, line, false, false),
            "maybe" => self.send(word, line, false, true),
            "short" => self.send(word, line, true, false),
            "maybe-short" => self.send(word, line, true, true),
            "maybe-from" => {
                let message = self.message(line)?;
                self.finish(word, line, Event::MaybeFrom { message })
            }
            "recv" => {
                let connection = self.connection(line)?;
                let message = self.message(line)?;
                let position = self.received(connection, line)?;
                self.finish(word, line, Event::Receive { connection, message, position })
            }
            "recv-short" => {
                let connection = self.connection(line)?;
                let body = line.quoted("the body")?;
                let position = self.received(connection, line)?;
                let event = Event::ReceiveAnonymous { connection, body: &body, position };
                self.finish(word, line, event)
            }
            "recv-unknown" => {
                let connection = self.connection(line)?;
                let at = line.at();
                let detail = String::from_utf8(line.quoted("what is wrong with the frame")?)
                    .map_err(|_| (at, INVALID_UTF8.to_owned()))?;
                let position = self.received(connection, line)?;
                let event = Event::ReceiveUnknown { connection, position, detail: &detail };
                self.finish(word, line, event)
            }
            "end" => self.end(word, line),
            _ => Err((
                word.at,
                format!(
                    "invalid event `{}`: expected connect, send, maybe, short, maybe-short, maybe-from, recv, \
                     recv-short, recv-unknown or end",
                    word.shown()
                ),
            )),
        }
    }

    fn finish(&mut self, word: &Word<'_>, line: &Words<'_>, event: Event<'_>) -> Result<(), Wrong> {
        line.end()?;
        self.history.record(event).map_err(|error| (word.at, error.to_string()))
    }

    fn end(&mut self, word: &Word<'_>, line: &mut Words<'_>) -> Result<(), Wrong> {
        let expected = line.number_after("events=")?;
        line.end()?;
        let events = self.history.event_count();
        if expected.is_some_and(|expected| expected != events) {
            return Err((word.at, format!("{events} events precede this line")));
        }
        self.stage = Stage::End;
        Ok(())
    }

    fn connect(&mut self, word: &Word<'_>, line: &mut Words<'_>) -> Result<(), Wrong> {
        let given = line.next("the connection's name")?;
        let next = ConnectionId(self.history.connections() as u32);
        let (connection, name) = match number_of_unnamed(given.text) {
            Some(number) => (ConnectionId(number), None),
            None => (next, Some(given.text)),
        };
        self.offsets.push(0);
        self.finish(word, line, Event::Connect { connection, name })
    }

    fn send(
        &mut self,
        word: &Word<'_>,
        line: &mut Words<'_>,
        is_short: bool,
        maybe: bool,
    ) -> Result<(), Wrong> {
        let sender = self.connection(line)?;
        let sequence = line.next("the message's sequence")?;
        let sequence = sequence
            .text
            .parse()
            .map_err(|_| (sequence.at, format!("invalid sequence `{}`", sequence.shown())))?;
        let body = if is_short { Some(line.quoted("the body")?) } else { None };
        let message = MessageId { sender, sequence };
        let event = Event::Send { message, short: body.as_deref(), maybe };
        self.finish(word, line, event)
    }

    fn connection(&self, line: &mut Words<'_>) -> Result<ConnectionId, Wrong> {
        let word = line.next("a connection")?;
        self.find(word.text).ok_or_else(|| {
            (
                word.at,
                format!("unknown connection `{}`: no `connect` line before names it", word.shown()),
            )
        })
    }

    fn find(&self, name: &str) -> Option<ConnectionId> {
        match number_of_unnamed(name) {
            Some(number) => {
                let connection = ConnectionId(number);
                let is_known = connection.at() < self.history.connections();
                (is_known && self.history.name(connection).is_none()).then_some(connection)
            }
            None => self.history.connection(name),
        }
    }

    fn message(&self, line: &mut Words<'_>) -> Result<MessageId, Wrong> {
        let word = line.next("a message")?;
        let wrong = || {
            let what = format!("invalid message `{}`: write it as `a0` or `#3:0`", word.shown());
            (word.at, what)
        };
        let (sender, sequence) = match word.text.split_once(':') {
            Some((sender, sequence)) => (sender, sequence),
            None => {
                let name = word.text.trim_end_matches(|c: char| c.is_ascii_digit());
                word.text.split_at(name.len())
            }
        };
        let sequence = sequence.parse().map_err(|_| wrong())?;
        // In a broken history, an id of an unknown sender can be received.
        let sender = match number_of_unnamed(sender) {
            Some(number) if self.history.name(ConnectionId(number)).is_none() => {
                ConnectionId(number)
            }
            _ => self.find(sender).ok_or_else(wrong)?,
        };
        Ok(MessageId { sender, sequence })
    }

    fn received(
        &mut self,
        connection: ConnectionId,
        line: &mut Words<'_>,
    ) -> Result<StreamPosition, Wrong> {
        let last = &mut self.offsets[connection.at()];
        *last = line.number_after("@")?.unwrap_or(*last);
        self.time_ns = line.number_after("t=")?.unwrap_or(self.time_ns);
        Ok(StreamPosition { offset: *last, time_ns: self.time_ns })
    }
}

const INVALID_UTF8: &str = "invalid UTF-8";

fn text(bytes: &[u8]) -> Result<&str, Wrong> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err((0, format!("a line of more than {LINE_BYTES_MAX} bytes")));
    }
    std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), INVALID_UTF8.to_owned()))
}

/// The number in `#3`.
fn number_of_unnamed(word: &str) -> Option<u32> {
    word.strip_prefix('#')?.parse().ok()
}
