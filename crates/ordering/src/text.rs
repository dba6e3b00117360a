//! The text form of a history. Its words are described at
//! [`save_text`](crate::save_text).

use std::io::{self, BufRead, Read, Write};

use crate::event::{ConnectionId, Event, MessageId, StreamPosition};
use crate::file::{HISTORY_VERSION, LoadError};
use crate::history::History;
use crate::log::{BODY_BYTES_MAX, DETAIL_BYTES_MAX};

/// The first line that is neither empty nor a comment.
pub(crate) const HEADER: &str = "zillions-history 1";
const HEADER_WORD: &str = "zillions-history";

/// Bytes of the longest line; four for each byte of a detail, and the rest.
const LINE_BYTES_MAX: usize = 4 * DETAIL_BYTES_MAX + 1024;

pub(crate) fn save(history: &History, comment: &str, mut out: impl Write) -> io::Result<()> {
    writeln!(out, "{HEADER}")?;
    for line in comment.lines() {
        writeln!(out, "# {line}")?;
    }
    let mut connections = 0;
    for event in history.events() {
        connections += u32::from(matches!(event, Event::Connect { .. }));
        save_event(history, connections, event, &mut out)?;
    }
    out.flush()
}

/// Writes one event, at a time when so many connections exist: later ones
/// cannot be named yet.
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
        Event::Send { message, short, maybe, position } => {
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
            position
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

pub(crate) fn load(mut reader: impl BufRead) -> Result<History, LoadError> {
    let mut parser = Parser::default();
    let mut line = Vec::new();
    let mut offset = 0;
    for number in 1.. {
        line.clear();
        let max = LINE_BYTES_MAX as u64 + 1;
        let read = reader.by_ref().take(max).read_until(b'\n', &mut line);
        let bytes = read.map_err(|source| LoadError::Read { offset, source })?;
        if bytes == 0 {
            break;
        }
        let in_file =
            |(at, what)| LoadError::Line { line: number, offset: offset + at as u64, what };
        if bytes > LINE_BYTES_MAX {
            let what = format!("a line of more than {LINE_BYTES_MAX} bytes");
            return Err(parser.refuse(offset).unwrap_or(in_file((0, what))));
        }
        match std::str::from_utf8(&line) {
            Ok(text) => parser.line(text, offset, in_file)?,
            Err(error) => {
                let at = error.valid_up_to();
                let refused = parser.refuse(offset);
                return Err(refused.unwrap_or(in_file((at, "text that is not UTF-8".into()))));
            }
        }
        offset += bytes as u64;
    }
    match parser.refuse(offset) {
        Some(error) => Err(error),
        None => Ok(parser.history),
    }
}

/// What is wrong, and at which byte of the line.
type Wrong = (usize, String);

#[derive(Default)]
struct Parser {
    history: History,
    has_header: bool,
    /// Per connection, the last offset in its received stream and in its sent one.
    offsets: Vec<[u64; 2]>,
    time_ns: u64,
}

const RECEIVED: usize = 0;
const SENT: usize = 1;

impl Parser {
    /// The error for data that is wrong before the header was seen.
    fn refuse(&self, offset: u64) -> Option<LoadError> {
        (!self.has_header).then_some(LoadError::NotAHistory { offset })
    }

    fn line(
        &mut self,
        text: &str,
        offset: u64,
        in_file: impl Fn(Wrong) -> LoadError,
    ) -> Result<(), LoadError> {
        let words = match words(text) {
            Ok(words) => words,
            Err(wrong) => return Err(self.refuse(offset).unwrap_or_else(|| in_file(wrong))),
        };
        let Some(first) = words.first() else { return Ok(()) };
        if self.has_header {
            let mut line = Words { words: &words, next: 1, end: text.trim_end().len() };
            return self.statement(first, &mut line).map_err(in_file);
        }
        if first.text != HEADER_WORD || words.len() != 2 {
            return Err(LoadError::NotAHistory { offset: offset + first.at as u64 });
        }
        if words[1].text != HISTORY_VERSION.to_string() {
            let (found, at) = (words[1].shown().to_string(), words[1].at);
            return Err(LoadError::Version { found, offset: offset + at as u64 });
        }
        self.has_header = true;
        Ok(())
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
                    .map_err(|_| (at, "text that is not UTF-8".to_owned()))?;
                let position = self.received(connection, line)?;
                let event = Event::ReceiveUnknown { connection, position, detail: &detail };
                self.finish(word, line, event)
            }
            _ => Err((
                word.at,
                format!(
                    "`{}` is none of connect, send, maybe, short, maybe-short, maybe-from, recv, \
                     recv-short, recv-unknown",
                    word.shown()
                ),
            )),
        }
    }

    fn finish(&mut self, word: &Word<'_>, line: &Words<'_>, event: Event<'_>) -> Result<(), Wrong> {
        if let Some(more) = line.words.get(line.next) {
            return Err((more.at, format!("`{}` is too much on this line", more.shown())));
        }
        self.history.record(event).map_err(|error| (word.at, error.to_string()))
    }

    fn connect(&mut self, word: &Word<'_>, line: &mut Words<'_>) -> Result<(), Wrong> {
        let given = line.next("the connection's name")?;
        let next = ConnectionId(self.history.connections() as u32);
        let (connection, name) = match number_of_unnamed(given.text) {
            Some(number) => (ConnectionId(number), None),
            None => (next, Some(given.text)),
        };
        self.offsets.push([0; 2]);
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
            .map_err(|_| (sequence.at, format!("`{}` is no sequence", sequence.shown())))?;
        let body = if is_short { Some(line.quoted("the body")?) } else { None };
        if let Some(body) = body.as_ref().filter(|body| body.len() > BODY_BYTES_MAX) {
            return Err((word.at, format!("a body of {} bytes", body.len())));
        }
        let position = self.position(sender, SENT, line)?;
        let message = MessageId { sender, sequence };
        let event = Event::Send { message, short: body.as_deref(), maybe, position };
        self.finish(word, line, event)
    }

    fn connection(&self, line: &mut Words<'_>) -> Result<ConnectionId, Wrong> {
        let word = line.next("a connection")?;
        self.find(word.text).ok_or_else(|| {
            (
                word.at,
                format!("`{}` is no connection: no `connect` line names it before", word.shown()),
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
            let what = format!("`{}` is no message such as `a0` or `#3:0`", word.shown());
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
        // An id that names nobody can be received, in a broken history.
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
        let offset = self.offsets[connection.at()][RECEIVED];
        let last = StreamPosition { offset, time_ns: self.time_ns };
        Ok(self.position(connection, RECEIVED, line)?.unwrap_or(last))
    }

    fn position(
        &mut self,
        connection: ConnectionId,
        stream: usize,
        line: &mut Words<'_>,
    ) -> Result<Option<StreamPosition>, Wrong> {
        let offset = line.number_after("@")?;
        let time_ns = line.number_after("t=")?;
        if offset.is_none() && time_ns.is_none() {
            return Ok(None);
        }
        let last = &mut self.offsets[connection.at()][stream];
        *last = offset.unwrap_or(*last);
        self.time_ns = time_ns.unwrap_or(self.time_ns);
        Ok(Some(StreamPosition { offset: *last, time_ns: self.time_ns }))
    }
}

/// The number in `#3`.
fn number_of_unnamed(word: &str) -> Option<u32> {
    word.strip_prefix('#')?.parse().ok()
}

struct Word<'l> {
    text: &'l str,
    at: usize,
}

impl Word<'_> {
    /// The word as an error shows it: whatever it holds, on one line.
    fn shown(&self) -> impl std::fmt::Display {
        self.text.escape_debug()
    }
}

/// The rest of a line.
struct Words<'l> {
    words: &'l [Word<'l>],
    next: usize,
    /// Where the line ends.
    end: usize,
}

impl<'l> Words<'l> {
    fn at(&self) -> usize {
        self.words.get(self.next).map_or(self.end, |word| word.at)
    }

    fn next(&mut self, what: &str) -> Result<&'l Word<'l>, Wrong> {
        let word = self.words.get(self.next);
        self.next += 1;
        word.ok_or_else(|| (self.end, format!("{what} is missing at the end of the line")))
    }

    fn quoted(&mut self, what: &str) -> Result<Vec<u8>, Wrong> {
        let word = self.next(what)?;
        let inner = word.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let inner = inner.filter(|_| word.text.len() >= 2);
        inner
            .and_then(unescape)
            .ok_or_else(|| (word.at, format!("{what} must stand in quotes, such as \"a\\x00\"")))
    }

    fn number_after(&mut self, prefix: &str) -> Result<Option<u64>, Wrong> {
        let Some(word) = self.words.get(self.next) else { return Ok(None) };
        let Some(digits) = word.text.strip_prefix(prefix) else { return Ok(None) };
        self.next += 1;
        match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                Err((word.at, format!("`{}` has no whole number after {prefix}", word.shown())))
            }
        }
    }
}

/// Splits a line at spaces outside of quotes, up to its comment.
fn words(line: &str) -> Result<Vec<Word<'_>>, Wrong> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let at = line.len() - rest.len();
        let mut characters = rest.chars();
        let end = match characters.next() {
            None => return Ok(words),
            Some('#') if !characters.next().is_some_and(|c| c.is_ascii_digit()) => {
                return Ok(words);
            }
            Some('"') => quoted_end(rest).ok_or((at, "a quote is not closed".to_owned()))?,
            Some(_) => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(Word { text: &rest[..end], at });
        rest = &rest[end..];
    }
}

/// The length of the quoted word that `text` begins with.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The bytes that stand between quotes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                quoted @ (b'"' | b'\'' | b'\\') => quoted,
                b'x' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    (high * 16 + low) as u8
                }
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(bytes)
}
