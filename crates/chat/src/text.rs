//! A message as rows of a screen: split into name and text, made safe to show, and wrapped.
//!
//! Widths are columns of a terminal, as `unicode-width` counts them for each grapheme cluster. All
//! that reaches the screen has passed through here, so none of it can touch the terminal.

use std::str;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;
use zillions_escape::visible;

use crate::split::{NAME_BYTES_MAX, SEPARATOR};

/// Columns by which the second and later rows of a message are indented, where there is room.
const INDENT_COLUMNS: usize = 2;

/// The narrowest screen that has room for the indentation.
const INDENTED_COLUMNS_MIN: usize = 16;

/// A tab is shown as so many spaces.
const TAB: &str = "    ";

/// What a piece of a row is, which decides how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name before a message.
    Name,
    /// Text as it was written.
    Text,
    /// Something that is shown in place of what was written: `\x1b`, `\xff`.
    Escape,
    /// The client's own words.
    Notice,
}

/// A part of a row that looks the same throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// One row of the screen, from left to right.
pub(crate) type Row = Vec<Piece>;

/// The name and the text of a message, by the convention `name: text`. The name is empty if the
/// message does not begin with one.
pub(crate) fn split_name(body: &[u8]) -> (&str, &[u8]) {
    let separator = SEPARATOR.as_bytes();
    let end = body.windows(separator.len()).position(|window| window == separator);
    let Some(end) = end.filter(|end| (1..=NAME_BYTES_MAX).contains(end)) else { return ("", body) };
    match str::from_utf8(&body[..end]) {
        // What would have to be escaped could make one name look like another.
        Ok(name) if visible(name) == name => (name, &body[end + separator.len()..]),
        _ => ("", body),
    }
}

/// A message as pieces: its name with the separator, then its text.
pub(crate) fn message(body: &[u8]) -> Vec<Piece> {
    let (name, text) = split_name(body);
    let mut pieces = Vec::new();
    if !name.is_empty() {
        pieces.push(Piece { kind: Kind::Name, text: format!("{name}{SEPARATOR}") });
    }
    for chunk in text.utf8_chunks() {
        append(chunk.valid(), Kind::Text, &mut pieces);
        if !chunk.invalid().is_empty() {
            push(Kind::Escape, &visible(chunk.invalid()), &mut pieces);
        }
    }
    pieces
}

/// The client's own words as pieces; they may quote what a server said.
pub(crate) fn notice(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    append(text, Kind::Notice, &mut pieces);
    pieces
}

/// `text` with everything escaped that a screen cannot show in place.
fn append(text: &str, kind: Kind, pieces: &mut Vec<Piece>) {
    for grapheme in text.graphemes(true) {
        let shown = visible(grapheme);
        if grapheme == "\t" {
            push(kind, TAB, pieces);
        } else if shown != grapheme {
            push(Kind::Escape, &shown, pieces);
        } else if grapheme.width() == 0 {
            // Marks without a letter would land on a neighbour's.
            let escaped: String = grapheme.chars().flat_map(char::escape_unicode).collect();
            push(Kind::Escape, &escaped, pieces);
        } else {
            push(kind, grapheme, pieces);
        }
    }
}

fn push(kind: Kind, text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        Some(last) if last.kind == kind => last.text.push_str(text),
        _ => pieces.push(Piece { kind, text: text.to_owned() }),
    }
}

/// A grapheme cluster with its width.
#[derive(Clone, Copy)]
struct Cell<'a> {
    kind: Kind,
    text: &'a str,
    columns: usize,
}

/// `pieces` on rows of at most `columns`, broken at spaces where there are any. There is at least
/// one row. Only a character that is wider than the screen exceeds it.
pub(crate) fn wrap(pieces: &[Piece], columns: usize) -> Vec<Row> {
    let indent = if columns >= INDENTED_COLUMNS_MIN { INDENT_COLUMNS } else { 0 };
    let cells = pieces.iter().flat_map(|piece| {
        let graphemes = piece.text.graphemes(true);
        graphemes.map(|text| Cell { kind: piece.kind, text, columns: text.width() })
    });
    let (mut rows, mut row, mut used) = (Vec::new(), Vec::<Cell<'_>>::new(), 0);
    for cell in cells {
        if used + cell.columns > columns && !row.is_empty() {
            let carried = match row.iter().rposition(|cell| cell.text == " ") {
                // Not a space that the row begins with: the next row would be the same again.
                Some(space) if cell.text != " " && space > 0 => row.split_off(space + 1),
                _ => Vec::new(),
            };
            rows.push(finished(&row, if rows.is_empty() { 0 } else { indent }));
            used = indent + carried.iter().map(|cell| cell.columns).sum::<usize>();
            row = carried;
            if cell.text == " " && row.is_empty() {
                continue;
            }
            if used + cell.columns > columns && !row.is_empty() {
                rows.push(finished(&row, indent));
                (row, used) = (Vec::new(), indent);
            }
        }
        used += cell.columns;
        row.push(cell);
    }
    if !row.is_empty() || rows.is_empty() {
        rows.push(finished(&row, if rows.is_empty() { 0 } else { indent }));
    }
    rows
}

fn finished(cells: &[Cell<'_>], indent: usize) -> Row {
    let mut row = Vec::new();
    if indent > 0 {
        push(Kind::Text, &" ".repeat(indent), &mut row);
    }
    for cell in cells {
        push(cell.kind, cell.text, &mut row);
    }
    row
}

/// As much of `text` as fits `columns`, with an ellipsis if that is not all of it.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 1);
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > columns {
            break;
        }
        kept.push_str(grapheme);
    }
    if columns > 0 { kept + "…" } else { kept }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn plain(row: &Row) -> String {
        row.iter().map(|piece| piece.text.as_str()).collect()
    }

    fn shown(body: &[u8], columns: usize) -> Vec<String> {
        wrap(&message(body), columns).iter().map(plain).collect()
    }

    fn escapes(body: &[u8]) -> Vec<String> {
        let escapes = message(body).into_iter().filter(|piece| piece.kind == Kind::Escape);
        escapes.map(|piece| piece.text).collect()
    }

    #[test]
    fn a_name_is_what_stands_before_the_first_colon_and_space() {
        for (body, expected) in [
            (&b"ann: hello"[..], ("ann", &b"hello"[..])),
            (b"ann: a: b", ("ann", b"a: b")),
            (b"ann: ", ("ann", b"")),
            (b"ann:hello", ("", b"ann:hello")),
            (b": hello", ("", b": hello")),
            (b"hello", ("", b"hello")),
            (b"a\x1bn: x", ("", b"a\x1bn: x")),
            (b"a\xffn: x", ("", b"a\xffn: x")),
            (
                b"a name of more than thirty-two bytes: x",
                ("", b"a name of more than thirty-two bytes: x"),
            ),
        ] {
            assert_eq!(split_name(body), expected);
        }
    }

    #[test]
    fn what_is_not_text_is_shown_as_such_and_marked() {
        assert_eq!(escapes(b"a: caf\xe9 \x1b[31m"), ["\\xe9", "\\x1b"]);
        // Typed, it is text.
        assert!(escapes(b"a: \\xe9").is_empty());
        assert_eq!(shown("a: \u{301}x e\u{301}".as_bytes(), 40), ["a: \\u{301}x e\u{301}"]);
        assert_eq!(shown(b"a\tb", 40), ["a    b"]);
        assert_eq!(shown("\u{202e}".as_bytes(), 40), ["\\u{202e}"]);
    }

    #[test]
    fn rows_break_at_spaces_and_long_words_where_they_must() {
        assert_eq!(shown(b"ann: one two three four", 16), ["ann: one two ", "  three four"]);
        assert_eq!(shown(b"aaaaaaaaaa", 4), ["aaaa", "aaaa", "aa"]);
        assert_eq!(shown(b"aa bbbbbbbb", 4), ["aa ", "bbbb", "bbbb"]);
        assert_eq!(shown(b"aaaa bbbb", 4), ["aaaa", "bbbb"]);
        assert_eq!(shown(b"", 4), [""]);
    }

    #[test]
    fn wide_and_combined_characters_are_never_torn() {
        assert_eq!(shown("世界世界世".as_bytes(), 5), ["世界", "世界", "世"]);
        let family = "👩\u{200d}👩\u{200d}👧";
        assert_eq!(shown(family.repeat(3).as_bytes(), 4), [family.repeat(2), family.to_owned()]);
        assert_eq!(
            shown("e\u{301}e\u{301}e\u{301}".as_bytes(), 2),
            ["e\u{301}e\u{301}", "e\u{301}"]
        );
        // Nothing is lost where nothing fits.
        assert_eq!(shown("世界".as_bytes(), 1), ["世", "界"]);
    }

    #[test]
    fn a_text_that_is_cut_says_so() {
        assert_eq!(cut("connected", 9), "connected");
        assert_eq!(cut("connected", 5), "conn…");
        assert_eq!(cut("世界", 3), "世…");
        assert_eq!(cut("ab", 1), "…");
        assert_eq!(cut("ab", 0), "");
    }

    proptest! {
        #[test]
        fn no_message_exceeds_the_screen_or_touches_the_terminal(
            body in vec(any::<u8>(), 0..=255), columns in 2..120_usize,
        ) {
            for row in wrap(&message(&body), columns) {
                let row = plain(&row);
                let columns_used: usize = row.graphemes(true).map(UnicodeWidthStr::width).sum();
                prop_assert!(columns_used <= columns, "{row:?}");
                prop_assert_eq!(visible(&row), row);
            }
        }

        #[test]
        fn of_a_text_only_spaces_are_lost(text in "[a-z世é ]{0,80}", columns in 2..40_usize) {
            let rows = wrap(&[Piece { kind: Kind::Text, text: text.clone() }], columns);
            let without_spaces = |text: &str| text.replace(' ', "");
            let all: String = rows.iter().map(plain).collect();
            prop_assert_eq!(without_spaces(&all), without_spaces(&text));
        }
    }
}
