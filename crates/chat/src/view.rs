//! The state on the screen: the history, a status line, and the line that is being typed.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect, Size};
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;
use zillions_escape::visible;

use crate::chat::{self, Chat, Connection};
use crate::split::SEPARATOR;
use crate::text::{Kind, Piece, cut};

/// Before what is typed.
const PROMPT: &str = "> ";

/// In place of a newline in what is typed.
const NEWLINE: &str = "⏎";

/// Colours of names; each has one of them by its letters.
const NAME_COLOURS: [Color; 6] =
    [Color::Cyan, Color::Green, Color::Yellow, Color::Magenta, Color::Blue, Color::Red];

/// Below this many bytes the room that is left is shown as scarce.
const SCARCE_BYTES: usize = 20;

/// The size of the history on a screen of that size: two rows are the status and what is typed.
pub(crate) fn history_size(screen: Size) -> (usize, usize) {
    (usize::from(screen.width), usize::from(screen.height.saturating_sub(2)))
}

/// Draws `chat` on all of `buffer`, with colours or with bold and underlined text only. Returns
/// where the cursor is.
pub(crate) fn draw(chat: &Chat, colours: bool, buffer: &mut Buffer) -> Position {
    let area = buffer.area;
    let style = Styles { colours };
    let (status, typed) = match area.height {
        0 => return area.as_position(),
        1 => (None, area.y),
        height => (Some(area.y + height - 2), area.y + height - 1),
    };
    for (row, line) in (area.y..).zip(chat.visible_lines()) {
        buffer.set_line(area.x, row, &history_line(chat, &line, area, style), area.width);
    }
    if let Some(status) = status {
        let line = status_line(chat, usize::from(area.width), style);
        buffer.set_line(area.x, status, &line, area.width);
    }
    draw_input(chat, Rect { y: typed, height: 1, ..area }, style, buffer)
}

/// What looks how.
#[derive(Clone, Copy)]
struct Styles {
    colours: bool,
}

impl Styles {
    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colours { style.fg(colour) } else { style }
    }

    fn piece(self, piece: &Piece, own: &str) -> Style {
        match piece.kind {
            Kind::Text => Style::new(),
            Kind::Escape => self.coloured(Style::new().add_modifier(Modifier::DIM), Color::Red),
            Kind::Notice => Style::new().add_modifier(Modifier::ITALIC | Modifier::DIM),
            Kind::Name => {
                let name = piece.text.trim_end_matches(SEPARATOR);
                let bold = Style::new().add_modifier(Modifier::BOLD);
                match name == own {
                    true => bold.add_modifier(Modifier::UNDERLINED),
                    false => self.coloured(bold, colour_of(name)),
                }
            }
        }
    }

    fn mark(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
    }
}

fn colour_of(name: &str) -> Color {
    // FNV-1a: the same on every machine.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    NAME_COLOURS[(hash % NAME_COLOURS.len() as u64) as usize]
}

fn history_line(chat: &Chat, line: &chat::Line, area: Rect, style: Styles) -> Line<'static> {
    match line {
        chat::Line::Unread => {
            let text = format!("── {} unread ", chat.unread_count());
            let rest = usize::from(area.width).saturating_sub(text.width());
            Line::styled(text + &"─".repeat(rest), style.mark())
        }
        chat::Line::Row(row) => {
            let span =
                |piece: &Piece| Span::styled(piece.text.clone(), style.piece(piece, chat.name()));
            row.iter().map(span).collect()
        }
    }
}

/// How the connection is on the left, what is unread and what room is left on the right.
fn status_line(chat: &Chat, columns: usize, style: Styles) -> Line<'static> {
    let (messages, left) = chat.outlook();
    let room = match messages {
        0 | 1 => format!("{left} left"),
        _ => format!("{messages} messages, {left} left"),
    };
    let unread = match chat.unread_count() {
        0 => String::new(),
        count => format!("{count} new "),
    };
    let right = cut(&format!(" {unread}{room}"), columns);
    let (text, colour) = connection_text(chat);
    let columns_left = columns - right.width();
    let text = cut(&visible(text), columns_left);
    let gap = " ".repeat(columns_left.saturating_sub(text.width()));
    let base = Style::new().add_modifier(Modifier::REVERSED);
    let room_style = match left < SCARCE_BYTES || messages > 1 {
        true => base.add_modifier(Modifier::BOLD),
        false => base,
    };
    Line::from(vec![
        Span::styled(text, style.coloured(base, colour)),
        Span::styled(gap, style.coloured(base, colour)),
        Span::styled(right, style.coloured(room_style, colour)),
    ])
}

fn connection_text(chat: &Chat) -> (String, Color) {
    let (text, colour) = match chat.connection() {
        Connection::Connected => (format!("connected to {}", chat.address()), Color::Green),
        Connection::Connecting => (format!("connecting to {}", chat.address()), Color::Yellow),
        Connection::Waiting { reason, seconds } => {
            (format!("again in {seconds} s: {reason}"), Color::Red)
        }
    };
    (chat.note().map_or(text, str::to_owned), colour)
}

/// The part of what is typed that has the cursor in it. Returns where that is.
fn draw_input(chat: &Chat, area: Rect, style: Styles, buffer: &mut Buffer) -> Position {
    let prompt = if usize::from(area.width) > 2 * PROMPT.width() { PROMPT } else { "" };
    let columns = usize::from(area.width) - prompt.width();
    let shown = |text: &str| text.replace('\n', NEWLINE).replace('\t', " ");
    let (before, after) = chat.input().around_cursor();
    let (before, after) = (shown(before), shown(after));
    // One column is the cursor's own, behind the text.
    let (mut kept, mut used) = (before.len(), 0);
    for (start, grapheme) in before.grapheme_indices(true).rev() {
        if used + grapheme.width() + 1 > columns {
            break;
        }
        (kept, used) = (start, used + grapheme.width());
    }
    let line = Line::from(vec![
        Span::styled(prompt, style.mark()),
        Span::raw(before[kept..].to_owned()),
        Span::raw(after),
    ]);
    buffer.set_line(area.x, area.y, &line, area.width);
    let column = u16::try_from(prompt.width() + used).unwrap_or(u16::MAX);
    Position { x: area.x + column.min(area.width.saturating_sub(1)), y: area.y }
}

#[cfg(test)]
mod tests {
    use ratatui_core::backend::TestBackend;
    use ratatui_core::terminal::Terminal;

    use super::*;
    use crate::chat::Action;
    use crate::input::Edit;

    /// A screen of that size, as text, with the column of the cursor.
    fn screen(chat: &mut Chat, columns: u16, rows: u16) -> (Vec<String>, u16) {
        let (buffer, cursor) = buffer(chat, columns, rows, false);
        let row = |row| {
            let mut text = String::new();
            let mut column = 0;
            while column < columns {
                let symbol = buffer[(column, row)].symbol();
                text.push_str(symbol);
                column += u16::try_from(symbol.width().max(1)).expect("a width");
            }
            text.trim_end().to_owned()
        };
        ((0..rows).map(row).collect(), cursor.x)
    }

    fn buffer(chat: &mut Chat, columns: u16, rows: u16, colours: bool) -> (Buffer, Position) {
        let (width, height) = history_size(Size::new(columns, rows));
        chat.resize(width, height);
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
        let mut cursor = Position::ORIGIN;
        let drawn = terminal.draw(|frame| {
            cursor = draw(chat, colours, frame.buffer_mut());
            frame.set_cursor_position(cursor);
        });
        drawn.expect("a test's terminal cannot fail");
        (terminal.backend().buffer().clone(), cursor)
    }

    fn chat() -> Chat {
        let mut chat = Chat::new("ann".into(), "127.0.0.1:8080".into());
        chat.hear(b"bob: hello, \x1b[2Jann".as_slice().into());
        chat.hear("ann: 世界 e\u{301} caf\u{e9}".as_bytes().into());
        chat.hear(b"\xff\x00".as_slice().into());
        chat
    }

    #[test]
    fn a_screen_shows_history_status_and_input() {
        let mut chat = chat();
        chat.act(Action::Insert("hi 世".into()));
        let (rows, cursor) = screen(&mut chat, 44, 6);
        assert_eq!(
            rows,
            [
                "bob: hello, \\x1b[2Jann",
                "ann: 世界 e\u{301} café",
                "\\xff\\x00",
                "",
                "connected to 127.0.0.1:8080         244 left",
                "> hi 世",
            ]
        );
        assert_eq!(cursor, 7);
    }

    #[test]
    fn twenty_columns_are_enough() {
        let mut chat = chat();
        chat.act(Action::Focus(false));
        chat.hear(b"bob: are you there?".as_slice().into());
        chat.act(Action::Focus(true));
        let (rows, _) = screen(&mut chat, 20, 9);
        assert_eq!(
            rows,
            [
                "bob: hello, ",
                "  \\x1b[2Jann",
                "ann: 世界 e\u{301} café",
                "\\xff\\x00",
                "── 1 unread ────────",
                "bob: are you there?",
                "",
                "conn… 1 new 250 left",
                ">",
            ]
            .map(str::trim_end)
        );
    }

    #[test]
    fn every_size_is_drawn() {
        let mut chat = chat();
        chat.act(Action::Insert("one\ntwo 世界".into()));
        for columns in [0, 1, 2, 3, 4, 5, 19, 300] {
            for rows in [0, 1, 2, 3, 50] {
                let (_, cursor) = screen(&mut chat, columns, rows);
                assert!(cursor < columns.max(1), "{cursor} of {columns}");
            }
        }
    }

    #[test]
    fn the_cursor_is_always_on_the_screen() {
        let mut chat = chat();
        chat.act(Action::Insert("0123456789 123456789 世世世".into()));
        let (rows, cursor) = screen(&mut chat, 20, 3);
        assert_eq!((rows[2].as_str(), cursor), (">  123456789 世世世", 19));
        for _ in 0..3 {
            chat.act(Action::Edit(Edit::Left));
        }
        let (rows, cursor) = screen(&mut chat, 20, 3);
        assert_eq!((rows[2].as_str(), cursor), ("> 456789 123456789", 19));
    }

    #[test]
    fn several_lines_are_told_before_they_are_sent() {
        let mut chat = chat();
        chat.act(Action::Insert("one\r\ntwo".into()));
        let (rows, _) = screen(&mut chat, 44, 6);
        assert_eq!(rows[4], "connected to 127.0.0.1:8  2 messages, 247 left".replace(":8  ", "… "));
        assert_eq!(rows[5], "> one⏎two");
    }

    #[test]
    fn the_state_of_the_connection_is_always_told() {
        let mut chat = chat();
        let reason = "the server closed the connection\x1b[2J".to_owned();
        chat.set_connection(Connection::Waiting { reason, seconds: 4 });
        let (rows, _) = screen(&mut chat, 60, 9);
        assert_eq!(rows[3], "lost the connection: the server closed the connection\\x1b[2J");
        assert_eq!(rows[7], "again in 4 s: the server closed the connection\\x1b… 250 left");
        chat.set_connection(Connection::Connecting);
        assert!(screen(&mut chat, 60, 8).0[6].starts_with("connecting to 127.0.0.1:8080"));
        chat.set_note("words for the user");
        assert!(screen(&mut chat, 60, 8).0[6].starts_with("words for the user"));
    }

    #[test]
    fn without_colours_there_are_none() {
        let mut chat = chat();
        let coloured = |colours| {
            let (buffer, _) = buffer(&mut chat.clone(), 40, 8, colours);
            let cells = buffer.content.iter();
            cells.filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
        };
        assert!(coloured(true) > 0);
        assert_eq!(coloured(false), 0);
        chat.act(Action::Redraw);
    }

    #[test]
    fn an_escape_looks_different_from_what_was_typed() {
        let mut chat = Chat::new("ann".into(), "h:1".into());
        chat.hear(b"\xff \\xff".as_slice().into());
        let (buffer, _) = buffer(&mut chat, 20, 4, false);
        assert_ne!(buffer[(0, 0)].modifier, buffer[(5, 0)].modifier);
    }
}
