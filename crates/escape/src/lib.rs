//! Text of others made safe to show: what servers, builds and clients wrote, names, paths.
//!
//! All tools show such text through this crate, so that nothing of it is interpreted: neither by a
//! terminal nor by a parser of JSON or XML, nor by the eye of a reader (bidirectional overrides).
//! It is pure: what is shown depends on the text alone. Escaping twice is escaping once.

use std::fmt::Write as _;
use std::io::Write;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// `text` so that a terminal shows it in one line and interprets none of it, as
/// [`append_visible`] does.
#[must_use]
pub fn visible(text: impl AsRef<[u8]>) -> String {
    let mut out = Vec::new();
    append_visible(text.as_ref(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// As [`visible`], for text of several lines: its newlines stay.
#[must_use]
pub fn visible_lines(text: impl AsRef<[u8]>) -> String {
    let lines = text.as_ref().split(|&byte| byte == b'\n');
    lines.map(visible).collect::<Vec<_>>().join("\n")
}

/// As [`visible_lines`], for text of ours that may have colours and text of others in it: the
/// escape sequences that set colours stay (`ESC [ … m`).
#[must_use]
pub fn visible_but_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\x1b') {
        out += &visible_lines(&rest[..start]);
        let length = colour_length(&rest[start..]);
        match length {
            Some(length) => out += &rest[start..start + length],
            None => out += &visible("\x1b"),
        }
        rest = &rest[start + length.unwrap_or(1)..];
    }
    out + &visible_lines(rest)
}

/// The length of the escape sequence for colours that `text` begins with.
fn colour_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || matches!(c, ';' | ':')))?;
    parameters[end..].starts_with('m').then_some("\x1b[".len() + end + 1)
}

/// A JSON document, with what a terminal would obey as escapes of JSON: it means the same.
#[must_use]
pub fn visible_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        // Outside of strings there is none of them but the newline.
        if is_hidden(character) && character != '\n' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// Appends `message` to `out` so that a terminal shows it and interprets none of it.
///
/// UTF-8 text stays as it is, tabs included. Escaped are
/// - control characters: `\n`, `\r`, `\x1b`, and `\u{9b}` beyond ASCII;
/// - characters that cannot be seen but change how others are (Unicode category *Format*, such as
///   the bidirectional overrides, and the line and paragraph separators): `\u{202e}`. The two
///   joiners stay, because emoji and whole scripts are written with them;
/// - what Unicode reserves and XML forbids: `\u{fffe}`;
/// - bytes that are not UTF-8: `\xff`.
///
/// A backslash is not doubled: text comes out as it went in, at the price that `\xff` may also be
/// four characters that somebody typed.
pub fn append_visible(message: &[u8], out: &mut Vec<u8>) {
    for chunk in message.utf8_chunks() {
        let text = chunk.valid();
        if text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            out.extend_from_slice(text.as_bytes());
        } else {
            text.chars().for_each(|character| append_character(character, out));
        }
        for byte in chunk.invalid() {
            append_formatted(out, format_args!("\\x{byte:02x}"));
        }
    }
}

fn append_character(character: char, out: &mut Vec<u8>) {
    match character {
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        _ if !is_hidden(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ if character.is_ascii() => {
            append_formatted(out, format_args!("\\x{:02x}", u32::from(character)));
        }
        _ => append_formatted(out, format_args!("\\u{{{:x}}}", u32::from(character))),
    }
}

fn is_hidden(character: char) -> bool {
    const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
    const ZERO_WIDTH_JOINER: char = '\u{200d}';
    match character.general_category() {
        GeneralCategory::Control => character != '\t',
        GeneralCategory::Format => !matches!(character, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER),
        GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => true,
        _ => is_noncharacter(character),
    }
}

/// What Unicode reserves for ever: the last two of each plane, and 32 more.
fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

fn append_formatted(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a vector cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The most bytes that one byte of a message grows to, as in `\xff`.
    const GROWTH_MAX: usize = 4;

    #[test]
    fn text_stays_as_it_is() {
        let persian = "می\u{200c}خواهم";
        let family = "👩\u{200d}👩\u{200d}👧";
        for text in ["", "a b~", "a\tb", "C:\\new", "Grüße, 世界", persian, family, "e\u{301}"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (message, shown) in [
            (&b"\x1b[31mred\x07"[..], "\\x1b[31mred\\x07"),
            (b"a\nb\r", "a\\nb\\r"),
            (b"\0\x7f", "\\x00\\x7f"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("abc\u{202e}fed\u{2066}".as_bytes(), "abc\\u{202e}fed\\u{2066}"),
            ("\u{feff}\u{200b}\u{ad}".as_bytes(), "\\u{feff}\\u{200b}\\u{ad}"),
            (
                "\u{fffe}\u{ffff}\u{fdd0}\u{10ffff}".as_bytes(),
                "\\u{fffe}\\u{ffff}\\u{fdd0}\\u{10ffff}",
            ),
            ("\u{2028}\u{e0041}".as_bytes(), "\\u{2028}\\u{e0041}"),
            (b"caf\xe9 \xff\xfe", "caf\\xe9 \\xff\\xfe"),
            (b"\xe2\x82", "\\xe2\\x82"),
            (b"\x9b31m", "\\x9b31m"),
        ] {
            assert_eq!(visible(message), shown);
        }
    }

    #[test]
    fn of_several_lines_the_newlines_stay() {
        assert_eq!(visible_lines("a\r\n\x1b[1mb\n"), "a\\r\n\\x1b[1mb\n");
    }

    #[test]
    fn colours_stay_where_they_may_and_nothing_else_of_a_terminal() {
        let ours = "\x1b[31;1mfail\x1b[0m\n";
        assert_eq!(visible_but_colours(ours), ours);
        for (text, shown) in [
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b[2J\x1b[1m", "\\x1b[2J\x1b[1m"),
            ("\x1b[?1m", "\\x1b[?1m"),
            ("a\x1b", "a\\x1b"),
            ("\x1b[38;5", "\\x1b[38;5"),
            ("\u{9b}31m\u{202e}", "\\u{9b}31m\\u{202e}"),
        ] {
            assert_eq!(visible_but_colours(text), shown);
        }
    }

    #[test]
    fn a_document_of_json_means_the_same() {
        let value = serde_json::json!({ "a": "\u{7f}\u{9b}\u{202e}\u{e0041}\x1b\n ü \\" });
        let text = visible_json(&serde_json::to_string_pretty(&value).expect("JSON"));
        assert_eq!(text, "{\n  \"a\": \"\\u007f\\u009b\\u202e\\udb40\\udc41\\u001b\\n ü \\\\\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }

    proptest! {
        #[test]
        fn escaping_twice_is_escaping_once(message in vec(any::<u8>(), 0..=255)) {
            let once = visible(&message);
            prop_assert_eq!(visible(&once), once);
        }

        #[test]
        fn no_message_can_touch_the_terminal(message in vec(any::<u8>(), 0..=255)) {
            let shown = visible(&message);
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert!(shown.len() <= GROWTH_MAX * message.len());
        }

        #[test]
        fn no_character_can_touch_the_terminal(character in any::<char>()) {
            let text = character.to_string();
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert!(shown.len() <= GROWTH_MAX * text.len());
        }
    }
}
