//! The line that is being typed. It may hold newlines, which only a paste brings in.

use unicode_segmentation::UnicodeSegmentation;
use zillions_escape::visible;

/// The most that may wait to be sent by Enter, in bytes.
pub(crate) const INPUT_BYTES_MAX: usize = 16 * 1024;

/// A change of the text or of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The cursor one character to the left.
    Left,
    /// The cursor one character to the right.
    Right,
    /// The cursor to the beginning.
    Home,
    /// The cursor to the end.
    End,
    /// The cursor to the beginning of a word.
    WordLeft,
    /// The cursor to the end of a word.
    WordRight,
    /// Removes the character before the cursor.
    Backspace,
    /// Removes the character after the cursor.
    Delete,
    /// Removes the word before the cursor.
    DeleteWord,
    /// Removes all before the cursor.
    DeleteToStart,
    /// Removes all after the cursor.
    DeleteToEnd,
}

/// The text with a cursor, which is always between two grapheme clusters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    text: String,
    /// In bytes from the beginning.
    cursor: usize,
}

impl Input {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor and after it.
    pub(crate) fn around_cursor(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.cursor = 0;
    }

    /// Inserts `text` at the cursor. Line ends become newlines, other control characters than tabs
    /// are left out, and so are those that change how others look.
    ///
    /// # Errors
    /// How many bytes are too many; nothing is inserted then.
    pub(crate) fn insert(&mut self, text: &str) -> Result<(), usize> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let kept: String = text.chars().filter(|&it| it == '\n' || is_shown(it)).collect();
        let excess = (self.text.len() + kept.len()).saturating_sub(INPUT_BYTES_MAX);
        if excess > 0 {
            return Err(excess);
        }
        self.text.insert_str(self.cursor, &kept);
        self.cursor += kept.len();
        // A mark that was inserted may have joined what is after it.
        self.cursor = self.boundary_from(self.cursor);
        Ok(())
    }

    /// Makes a change.
    pub(crate) fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Left => self.cursor = self.before_cursor(),
            Edit::Right => self.cursor = self.after_cursor(),
            Edit::Home => self.cursor = 0,
            Edit::End => self.cursor = self.text.len(),
            Edit::WordLeft => self.cursor = self.word_before(),
            Edit::WordRight => self.cursor = self.word_after(),
            Edit::Backspace => self.remove(self.before_cursor(), self.cursor),
            Edit::Delete => self.remove(self.cursor, self.after_cursor()),
            Edit::DeleteWord => self.remove(self.word_before(), self.cursor),
            Edit::DeleteToStart => self.remove(0, self.cursor),
            Edit::DeleteToEnd => self.remove(self.cursor, self.text.len()),
        }
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        // What was apart may have joined.
        self.cursor = self.boundary_from(start);
    }

    fn before_cursor(&self) -> usize {
        let before = self.text[..self.cursor].graphemes(true).next_back();
        self.cursor - before.map_or(0, str::len)
    }

    fn after_cursor(&self) -> usize {
        let after = self.text[self.cursor..].graphemes(true).next();
        self.cursor + after.map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let mut words = self.text[..self.cursor].unicode_word_indices();
        words.next_back().map_or(0, |(start, _)| start)
    }

    fn word_after(&self) -> usize {
        let mut words = self.text[self.cursor..].unicode_word_indices();
        words.next().map_or(self.text.len(), |(start, word)| self.cursor + start + word.len())
    }

    /// The first bound of two grapheme clusters at `position` or after it.
    fn boundary_from(&self, position: usize) -> usize {
        let mut starts = self.text.grapheme_indices(true).map(|(start, _)| start);
        starts.find(|&start| start >= position).unwrap_or(self.text.len())
    }
}

/// Whether a character is shown as it is, or as a tab.
fn is_shown(character: char) -> bool {
    let text = character.to_string();
    visible(&text) == text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text).expect("it fits");
        input
    }

    #[test]
    fn characters_are_typed_and_removed_as_readers_see_them() {
        let family = "👩\u{200d}👩\u{200d}👧";
        let mut input = typed(&format!("ae\u{301}{family}"));
        input.edit(Edit::Backspace);
        assert_eq!(input.text(), "ae\u{301}");
        input.edit(Edit::Left);
        assert_eq!(input.around_cursor(), ("a", "e\u{301}"));
        input.insert("x").expect("it fits");
        assert_eq!(input.text(), "axe\u{301}");
        input.edit(Edit::Delete);
        assert_eq!(input.around_cursor(), ("ax", ""));
        input.edit(Edit::Delete);
        input.edit(Edit::Home);
        input.edit(Edit::Backspace);
        assert_eq!(input.text(), "ax");
    }

    #[test]
    fn words_and_halves_are_removed_at_once() {
        let mut input = typed("one two three");
        input.edit(Edit::DeleteWord);
        assert_eq!(input.text(), "one two ");
        input.edit(Edit::WordLeft);
        assert_eq!(input.around_cursor(), ("one ", "two "));
        input.edit(Edit::WordRight);
        assert_eq!(input.around_cursor(), ("one two", " "));
        input.edit(Edit::Left);
        input.edit(Edit::DeleteToStart);
        assert_eq!(input.text(), "o ");
        input.edit(Edit::DeleteToEnd);
        assert_eq!(input.text(), "");
    }

    #[test]
    fn of_a_paste_the_lines_stay_and_control_characters_do_not() {
        assert_eq!(typed("a\r\nb\rc\nd").text(), "a\nb\nc\nd");
        assert_eq!(typed("a\x1b[31m\x07\t\u{202e}b").text(), "a[31m\tb");
    }

    #[test]
    fn what_does_not_fit_is_refused_whole_with_the_excess() {
        let mut input = typed("abc");
        assert_eq!(input.insert(&"x".repeat(INPUT_BYTES_MAX)), Err(3));
        assert_eq!(input.text(), "abc");
    }

    proptest! {
        #[test]
        fn the_cursor_is_always_between_two_characters(
            text in "[a👩\u{200d}\u{301}🇩🇪 \n]{0,20}", more in "[a\u{301}🇩🇪\u{200d}👧]{0,4}", steps in 0..20_usize,
        ) {
            let mut input = typed(&text);
            for _ in 0..steps {
                input.edit(Edit::Left);
            }
            input.insert(&more).expect("it fits");
            let (before, after) = input.around_cursor();
            let bounds: Vec<usize> = input.text().grapheme_indices(true).map(|it| it.0).collect();
            prop_assert!(after.is_empty() || bounds.contains(&before.len()));
        }
    }
}
