//! What is typed as messages: `name: text`, each of at most 255 bytes.

use unicode_segmentation::UnicodeSegmentation;
use zillions_protocol::BODY_BYTES_MAX;

/// Between the name and the text of a message.
pub(crate) const SEPARATOR: &str = ": ";

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// Bytes of text that a message of `name` has room for.
pub(crate) fn room(name: &str) -> usize {
    BODY_BYTES_MAX - name.len() - SEPARATOR.len()
}

/// The messages that `text` makes: one for each line that has something in it, and several for a
/// line that is longer than a message.
///
/// A line is cut after a space where the second half of the message has one, else between two
/// characters as readers see them (grapheme clusters); within one only if it fills a whole message.
pub(crate) fn bodies(name: &str, text: &str) -> Vec<Vec<u8>> {
    let room = room(name);
    let lines = text.split('\n').filter(|line| !line.trim().is_empty());
    let parts = lines.flat_map(|line| Parts { rest: line, room });
    parts.map(|part| format!("{name}{SEPARATOR}{part}").into_bytes()).collect()
}

/// One line, in parts of at most `room` bytes.
struct Parts<'a> {
    rest: &'a str,
    room: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (part, rest) = self.rest.split_at(cut(self.rest, self.room));
        self.rest = rest;
        Some(part)
    }
}

/// Where to cut `line` so that at most `room` bytes are before.
fn cut(line: &str, room: usize) -> usize {
    if line.len() <= room {
        return line.len();
    }
    let ends = || line.grapheme_indices(true).map(|(start, it)| (start + it.len(), it));
    let fitting = || ends().take_while(|&(end, _)| end <= room);
    let after_space = fitting().filter(|&(end, it)| it == " " && end > room / 2).last();
    let after_grapheme = fitting().last();
    match after_space.or(after_grapheme) {
        Some((end, _)) => end,
        None => (0..=room).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(name: &str, text: &str) -> Vec<String> {
        let bodies = bodies(name, text).into_iter();
        bodies.map(|body| String::from_utf8(body).expect("UTF-8")).collect()
    }

    #[test]
    fn a_line_is_a_message_and_empty_lines_are_none() {
        assert_eq!(texts("ann", "hello"), ["ann: hello"]);
        assert_eq!(texts("ann", "one\n\n  \n two \n"), ["ann: one", "ann:  two "]);
        assert!(texts("ann", "").is_empty());
    }

    #[test]
    fn what_fits_exactly_is_one_message_and_one_byte_more_is_two() {
        let whole = "x".repeat(255 - "ann: ".len());
        assert_eq!(texts("ann", &whole), [format!("ann: {whole}")]);
        assert_eq!(texts("ann", &format!("{whole}y")), [format!("ann: {whole}"), "ann: y".into()]);
    }

    #[test]
    fn a_long_line_is_cut_after_a_space_or_between_two_characters() {
        let room = 255 - "ann: ".len();
        let (first, second) = ("x".repeat(room - 10), "y".repeat(20));
        let expected = [format!("ann: {first} "), format!("ann: {second}")];
        assert_eq!(texts("ann", &format!("{first} {second}")), expected);

        let family = "👩\u{200d}👩\u{200d}👧";
        let each = room / family.len();
        let parts = texts("ann", &family.repeat(each + 1));
        assert_eq!(parts, [format!("ann: {}", family.repeat(each)), format!("ann: {family}")]);

        // One character of more bytes than a message.
        let marks = format!("e{}", "\u{301}".repeat(200));
        assert!(texts("ann", &marks).iter().all(|part| part.len() <= 255));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_everything_fits(
            text in "(?s)[a-z \u{301}世👩\u{200d}]{0,400}", name in "[a-zé]{1,16}",
        ) {
            let prefix = format!("{name}: ");
            let parts = texts(&name, &text);
            prop_assert!(parts.iter().all(|part| part.len() <= BODY_BYTES_MAX));
            let joined: String = parts.iter().map(|part| &part[prefix.len()..]).collect();
            prop_assert_eq!(joined, if text.trim().is_empty() { String::new() } else { text });
        }
    }
}
