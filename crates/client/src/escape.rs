//! Messages made safe to show on a terminal.

use std::io::Write;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Appends `message` to `out` so that a terminal shows it and interprets none of it.
///
/// UTF-8 text stays as it is, tabs included. Escaped are
/// - control characters: `\n`, `\r`, `\x1b`, and `\u{9b}` beyond ASCII;
/// - characters that cannot be seen but change how others are (Unicode category *Format*, such as
///   the bidirectional overrides, and the line and paragraph separators): `\u{202e}`. The two
///   joiners stay, because emoji and whole scripts are written with them;
/// - bytes that are not UTF-8: `\xff`.
///
/// A backslash is not doubled: text comes out as it went in, at the price that `\xff` may also be
/// four characters that somebody typed.
pub(crate) fn append_visible(message: &[u8], out: &mut Vec<u8>) {
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
        _ => false,
    }
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

    fn visible(message: &[u8]) -> String {
        let mut out = Vec::new();
        append_visible(message, &mut out);
        String::from_utf8(out).expect("what is shown is UTF-8")
    }

    #[test]
    fn text_stays_as_it_is() {
        let persian = "می\u{200c}خواهم";
        let family = "👩\u{200d}👩\u{200d}👧";
        for text in ["", "a b~", "a\tb", "C:\\new", "Grüße, 世界", persian, family, "e\u{301}"]
        {
            assert_eq!(visible(text.as_bytes()), text);
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
            ("\u{2028}\u{e0041}".as_bytes(), "\\u{2028}\\u{e0041}"),
            (b"caf\xe9 \xff\xfe", "caf\\xe9 \\xff\\xfe"),
            (b"\xe2\x82", "\\xe2\\x82"),
            (b"\x9b31m", "\\x9b31m"),
        ] {
            assert_eq!(visible(message), shown);
        }
    }

    proptest! {
        #[test]
        fn no_message_can_touch_the_terminal(message in vec(any::<u8>(), 0..=255)) {
            let shown = visible(&message);
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert!(shown.len() <= GROWTH_MAX * message.len());
        }

        #[test]
        fn no_character_can_touch_the_terminal(character in any::<char>()) {
            let text = character.to_string();
            let shown = visible(text.as_bytes());
            prop_assert!(!shown.chars().any(is_hidden));
            prop_assert!(shown.len() <= GROWTH_MAX * text.len());
        }
    }
}
