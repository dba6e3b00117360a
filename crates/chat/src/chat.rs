//! The state of the client, without a socket, a clock and a terminal.

use crate::history::{Entry, History};
use crate::input::{Edit, INPUT_BYTES_MAX, Input};
use crate::split::{bodies, room};
use crate::text::{Row, message, notice, wrap};

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Messages come and go.
    Connected,
    /// The next try is being made.
    Connecting,
    /// The connection was lost, and the next try is made in so many seconds.
    Waiting {
        /// One line.
        reason: String,
        /// Whole seconds, rounded up.
        seconds: u64,
    },
}

/// What a key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Insert text, one character or a paste.
    Insert(String),
    /// Send what was typed.
    Submit,
    /// Change the line that is being typed.
    Edit(Edit),
    /// Scroll by rows; below 0 is back in time.
    Rows(isize),
    /// Scroll by screens; below 0 is back in time.
    Pages(isize),
    /// To the oldest message.
    Top,
    /// To the newest message.
    Bottom,
    /// Draw everything anew.
    Redraw,
    /// The window got or lost the focus.
    Focus(bool),
    /// The window has another size.
    Resize,
    /// End.
    Quit,
}

/// The first row on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Top {
    entry: u64,
    /// Of the rows of that entry, counted from 0.
    row: usize,
}

/// A row of the history, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The mark before the first message that was not seen.
    Unread,
    /// A row of a message or a notice.
    Row(Row),
}

/// All that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    name: String,
    address: String,
    connection: Connection,
    history: History,
    input: Input,
    /// Words for the user, until the next key.
    note: Option<String>,
    /// `None` follows the newest message.
    top: Option<Top>,
    /// The first message that came while nobody looked.
    unread: Option<u64>,
    focused: bool,
    /// Of the history on the screen.
    columns: usize,
    rows: usize,
}

impl Chat {
    /// A chat that is connected to `address`, under a name of at most
    /// [`NAME_BYTES_MAX`](crate::split::NAME_BYTES_MAX) bytes.
    pub(crate) fn new(name: String, address: String) -> Self {
        Self {
            name,
            address,
            connection: Connection::Connected,
            history: History::default(),
            input: Input::default(),
            note: None,
            top: None,
            unread: None,
            focused: true,
            columns: 0,
            rows: 0,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    pub(crate) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Says something in the status line until the next key.
    pub(crate) fn set_note(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// How many messages and notices came while nobody looked.
    pub(crate) fn unread_count(&self) -> u64 {
        self.unread.map_or(0, |first| self.history.end() - first.max(self.history.first()))
    }

    /// Messages that Enter would send, and the bytes that are left in the last of them.
    pub(crate) fn outlook(&self) -> (usize, usize) {
        let bodies = bodies(&self.name, self.input.text());
        let left = bodies.last().map_or(room(&self.name), |last| 255 - last.len());
        (bodies.len(), left)
    }

    /// The size of the history on the screen.
    pub(crate) fn resize(&mut self, columns: usize, rows: usize) {
        (self.columns, self.rows) = (columns, rows);
        if let Some(top) = self.top {
            // What was at the top stays there.
            let last = self.lines(top.entry).len().saturating_sub(1);
            self.scroll_to(Top { row: top.row.min(last), ..top });
        }
    }

    /// A message has come.
    pub(crate) fn hear(&mut self, body: Box<[u8]>) {
        self.append(Entry::Message(body));
    }

    /// The connection has changed; losing it and having it back is told in the history, too.
    pub(crate) fn set_connection(&mut self, connection: Connection) {
        match (&self.connection, &connection) {
            (Connection::Connected, Connection::Waiting { reason, .. }) => {
                self.append(Entry::Notice(format!("lost the connection: {reason}")));
            }
            (Connection::Connecting | Connection::Waiting { .. }, Connection::Connected) => {
                let text = "connected again; what was said meanwhile did not reach this client";
                self.append(Entry::Notice(text.to_owned()));
            }
            _ => {}
        }
        self.connection = connection;
    }

    /// Says something in the history.
    pub(crate) fn tell(&mut self, text: String) {
        self.append(Entry::Notice(text));
    }

    fn append(&mut self, entry: Entry) {
        if self.unread.is_none() && (self.top.is_some() || !self.focused) {
            self.unread = Some(self.history.end());
        }
        self.history.push(entry);
    }

    /// Does what a key says. `Submit`, `Redraw` and `Quit` are the caller's.
    pub(crate) fn act(&mut self, action: Action) {
        if let Action::Focus(focused) = action {
            self.focused = focused;
            return;
        }
        if action == Action::Resize {
            return;
        }
        self.note = None;
        // A key while the newest message is on the screen: it has been seen.
        if self.top.is_none() && !matches!(action, Action::Rows(_) | Action::Pages(_) | Action::Top)
        {
            self.unread = None;
        }
        match action {
            Action::Insert(text) => {
                if let Err(excess) = self.input.insert(&text) {
                    self.set_note(format!(
                        "{excess} bytes too many: the input holds {INPUT_BYTES_MAX}, nothing was inserted"
                    ));
                }
            }
            Action::Edit(edit) => self.input.edit(edit),
            Action::Rows(rows) => self.scroll(rows),
            Action::Pages(pages) => {
                // One row stays, to find the place.
                let page = isize::try_from(self.rows.saturating_sub(1).max(1)).unwrap_or(1);
                self.scroll(pages * page);
            }
            Action::Top => self.scroll_to(Top { entry: self.history.first(), row: 0 }),
            Action::Bottom => self.top = None,
            Action::Submit | Action::Redraw | Action::Quit | Action::Focus(_) | Action::Resize => {}
        }
    }

    /// The messages to send, if they can be sent now; a note says why not.
    pub(crate) fn submit(&mut self) -> Option<Vec<Vec<u8>>> {
        if self.connection != Connection::Connected {
            self.set_note("not connected: not sent");
            return None;
        }
        let bodies = bodies(&self.name, self.input.text());
        (!bodies.is_empty()).then_some(bodies)
    }

    /// What [`submit`](Self::submit) returned is on its way.
    pub(crate) fn sent(&mut self) {
        self.input.clear();
        self.top = None;
    }

    /// The rows on the screen, from the top.
    pub(crate) fn visible_lines(&self) -> Vec<Line> {
        let top = self.current_top();
        let entries = top.entry..self.history.end();
        let lines = entries.flat_map(|entry| self.lines(entry));
        lines.skip(top.row).take(self.rows).collect()
    }

    /// The rows of one entry, and the mark before it.
    fn lines(&self, number: u64) -> Vec<Line> {
        let pieces = match self.history.get(number) {
            Some(Entry::Message(body)) => message(body),
            Some(Entry::Notice(text)) => notice(text),
            None => return Vec::new(),
        };
        let mark = (self.unread == Some(number)).then_some(Line::Unread);
        mark.into_iter().chain(wrap(&pieces, self.columns).into_iter().map(Line::Row)).collect()
    }

    /// The first row of the screen when the last row is the newest.
    fn lowest_top(&self) -> Top {
        self.above(Top { entry: self.history.end(), row: 0 }, self.rows)
    }

    /// The place `rows` rows above another, or the first there is.
    fn above(&self, from: Top, rows: usize) -> Top {
        let Top { mut entry, mut row } = from;
        let mut missing = rows;
        while missing > row && entry > self.history.first() {
            missing -= row;
            entry -= 1;
            row = self.lines(entry).len();
        }
        Top { entry, row: row.saturating_sub(missing) }
    }

    /// The place `rows` rows below another, however far that is.
    fn below(&self, from: Top, rows: usize) -> Top {
        let Top { mut entry, mut row } = from;
        row += rows;
        while entry < self.history.end() {
            let length = self.lines(entry).len();
            if row < length {
                break;
            }
            row -= length;
            entry += 1;
        }
        Top { entry, row }
    }

    /// The first row of the screen.
    fn current_top(&self) -> Top {
        match self.top {
            Some(top) => top.max(Top { entry: self.history.first(), row: 0 }),
            None => self.lowest_top(),
        }
    }

    fn scroll(&mut self, rows: isize) {
        let top = self.current_top();
        let top = match rows {
            ..0 => self.above(top, rows.unsigned_abs()),
            _ => self.below(top, rows.unsigned_abs()),
        };
        self.scroll_to(top);
    }

    fn scroll_to(&mut self, top: Top) {
        self.top = (top < self.lowest_top()).then_some(top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chat on 20 columns and 3 rows that has heard so many messages.
    fn chat(messages: usize) -> Chat {
        let mut chat = Chat::new("ann".into(), "h:1".into());
        chat.resize(20, 3);
        hear(&mut chat, 0..messages);
        chat
    }

    fn hear(chat: &mut Chat, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| chat.hear(number.to_string().into_bytes().into()));
    }

    fn shown(chat: &Chat) -> Vec<String> {
        let text = |line: &Line| match line {
            Line::Unread => "--".to_owned(),
            Line::Row(row) => row.iter().map(|piece| piece.text.as_str()).collect(),
        };
        chat.visible_lines().iter().map(text).collect()
    }

    fn waiting(seconds: u64) -> Connection {
        Connection::Waiting { reason: "gone".into(), seconds }
    }

    #[test]
    fn the_newest_are_shown_until_somebody_scrolls() {
        let mut chat = chat(9);
        assert_eq!(shown(&chat), ["6", "7", "8"]);
        chat.act(Action::Rows(-1));
        assert_eq!(shown(&chat), ["5", "6", "7"]);
        hear(&mut chat, 9..11);
        assert_eq!(shown(&chat), ["5", "6", "7"]);
        chat.act(Action::Pages(-9));
        assert_eq!(shown(&chat), ["0", "1", "2"]);
        chat.act(Action::Pages(1));
        assert_eq!(shown(&chat), ["2", "3", "4"]);
        chat.act(Action::Bottom);
        assert_eq!(shown(&chat), ["--", "9", "10"]);
        chat.act(Action::Top);
        assert_eq!(shown(&chat), ["0", "1", "2"]);
        chat.act(Action::Rows(99));
        hear(&mut chat, 11..12);
        assert_eq!(shown(&chat), ["9", "10", "11"]);
    }

    #[test]
    fn a_short_history_does_not_scroll() {
        let mut chat = chat(2);
        for action in [Action::Rows(-5), Action::Pages(-1), Action::Top, Action::Rows(5)] {
            chat.act(action);
            assert_eq!(shown(&chat), ["0", "1"]);
            assert_eq!(chat.top, None);
        }
    }

    #[test]
    fn what_comes_while_nobody_looks_is_marked_until_it_has_been_seen() {
        let mut chat = chat(4);
        chat.act(Action::Focus(false));
        hear(&mut chat, 4..6);
        assert_eq!(
            (shown(&chat), chat.unread_count()),
            (vec!["--".into(), "4".into(), "5".into()], 2)
        );
        chat.act(Action::Focus(true));
        // Looking is not yet a sign of having looked.
        assert_eq!(chat.unread_count(), 2);
        chat.act(Action::Insert("a".into()));
        assert_eq!(
            (shown(&chat), chat.unread_count()),
            (vec!["3".into(), "4".into(), "5".into()], 0)
        );
    }

    #[test]
    fn a_place_that_is_read_stays_when_the_window_changes_and_when_it_is_forgotten() {
        let mut chat = chat(0);
        for number in 0..9 {
            chat.hear(format!("{number} two three four five six").into_bytes().into());
        }
        chat.act(Action::Rows(-7));
        let before = shown(&chat)[0].clone();
        chat.resize(60, 3);
        assert!(shown(&chat)[0].starts_with(&before[..1]), "{before} {:?}", shown(&chat));
        hear(&mut chat, 0..crate::history::ENTRIES_MAX);
        assert_eq!(shown(&chat), ["--", "0", "1"]);
    }

    #[test]
    fn the_outlook_tells_how_many_messages_and_how_much_room() {
        let mut chat = chat(0);
        assert_eq!(chat.outlook(), (0, 250));
        chat.act(Action::Insert("世".into()));
        assert_eq!(chat.outlook(), (1, 247));
        chat.act(Action::Insert("x".repeat(248)));
        assert_eq!(chat.outlook(), (2, 249));
    }

    #[test]
    fn nothing_is_sent_and_nothing_is_lost_without_a_connection() {
        let mut chat = chat(0);
        chat.act(Action::Insert("hello".into()));
        chat.set_connection(waiting(2));
        assert_eq!(chat.submit(), None);
        assert_eq!((chat.note(), chat.input().text()), (Some("not connected: not sent"), "hello"));
        chat.set_connection(Connection::Connecting);
        chat.set_connection(Connection::Connected);
        assert_eq!(chat.submit(), Some(vec![b"ann: hello".to_vec()]));
        chat.sent();
        assert_eq!((chat.submit(), chat.input().text()), (None, ""));
        chat.resize(200, 9);
        assert_eq!(
            shown(&chat),
            [
                "lost the connection: gone",
                "connected again; what was said meanwhile did not reach this client"
            ]
        );
    }

    #[test]
    fn a_paste_that_does_not_fit_is_refused_with_the_reason() {
        let mut chat = chat(0);
        chat.act(Action::Insert("x".repeat(INPUT_BYTES_MAX + 1)));
        assert!(chat.note().expect("a note").starts_with("1 bytes too many"), "{:?}", chat.note());
        chat.act(Action::Edit(Edit::Home));
        assert_eq!((chat.note(), chat.input().text()), (None, ""));
    }
}
