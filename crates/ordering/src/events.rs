//! Reading a history back, event by event.

use crate::event::{ConnectionId, Event, MessageId};
use crate::history::History;
use crate::log::{Cursor, Raw, State};

/// All events of a history, as indices.
#[derive(Debug)]
pub(crate) struct RawEvents<'h> {
    blocks: &'h [Vec<u8>],
    state: State,
    cursor: Cursor<'h>,
}

impl<'h> RawEvents<'h> {
    pub(crate) fn new(blocks: &'h [Vec<u8>]) -> Self {
        Self { blocks, state: State::default(), cursor: Cursor::new(&[]) }
    }

    /// Messages that the connection had sent before the next event.
    pub(crate) fn sent(&self, connection: u32) -> u32 {
        self.state.sent(connection)
    }

    /// Connections recorded before the next event.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections()
    }
}

impl<'h> Iterator for RawEvents<'h> {
    type Item = Raw<'h>;

    #[inline]
    fn next(&mut self) -> Option<Raw<'h>> {
        if self.cursor.is_at_end() {
            let (block, rest) = self.blocks.split_first()?;
            self.blocks = rest;
            self.cursor = Cursor::new(block);
        }
        match self.state.decode(&mut self.cursor) {
            Ok(raw) => Some(raw),
            Err(error) => unreachable!("the log of a history is malformed: {error:?}"),
        }
    }
}

/// All events of a history, in order; see [`History::events`].
#[derive(Debug)]
pub struct Events<'h> {
    history: &'h History,
    raw: RawEvents<'h>,
}

impl<'h> Events<'h> {
    pub(crate) fn new(history: &'h History) -> Self {
        Self { history, raw: history.raw_events() }
    }
}

impl<'h> Iterator for Events<'h> {
    type Item = Event<'h>;

    fn next(&mut self) -> Option<Event<'h>> {
        let raw = self.raw.next()?;
        let id = |sender: u32, sequence| MessageId { sender: ConnectionId(sender), sequence };
        let connection = |index: u32| ConnectionId(index);
        Some(match raw {
            Raw::Connect { .. } => {
                let connection = ConnectionId(self.raw.connections() as u32 - 1);
                Event::Connect { connection, name: self.history.name(connection) }
            }
            Raw::Send { connection, short, maybe, position } => Event::Send {
                message: id(connection, self.raw.sent(connection) - 1),
                short: short.map(|body| self.history.body(body.index)),
                maybe,
                position,
            },
            Raw::MaybeFrom { connection, sequence } => {
                Event::MaybeFrom { message: id(connection, sequence) }
            }
            Raw::Receive { connection: receiver, sender, sequence, position } => Event::Receive {
                connection: connection(receiver),
                message: id(sender, sequence),
                position,
            },
            Raw::ReceiveShort { connection: receiver, body, position } => Event::ReceiveAnonymous {
                connection: connection(receiver),
                body: self.history.body(body.index),
                position,
            },
            Raw::ReceiveUnknown { connection: receiver, position, detail } => {
                Event::ReceiveUnknown {
                    connection: connection(receiver),
                    position,
                    // Recorded from a `str`, so the fallback is never taken.
                    detail: std::str::from_utf8(detail).unwrap_or_default(),
                }
            }
        })
    }
}
