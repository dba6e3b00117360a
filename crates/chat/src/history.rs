//! What was said, as far back as is kept.

use std::collections::VecDeque;

/// Messages and notices that are kept; the oldest leave first. A message has at most 255 bytes.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// One thing on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A message's body.
    Message(Box<[u8]>),
    /// The client's own words.
    Notice(String),
}

/// The entries that are kept. Each has a number that it keeps, counted from 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<Entry>,
    first: u64,
}

impl History {
    /// Appends an entry, and forgets the oldest if there are too many.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(entry);
    }

    /// The number of the oldest entry, or of the next one if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next entry gets.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entry of that number, if it is kept.
    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_and_the_others_keep_their_numbers() {
        let mut history = History::default();
        let notice = |number: u64| Entry::Notice(number.to_string());
        let kept = ENTRIES_MAX as u64;
        for number in 0..kept + 3 {
            history.push(notice(number));
        }
        assert_eq!((history.first(), history.end()), (3, kept + 3));
        assert_eq!(history.get(2), None);
        assert_eq!(history.get(3), Some(&notice(3)));
        assert_eq!(history.get(kept + 2), Some(&notice(kept + 2)));
        assert_eq!(history.get(kept + 3), None);
    }
}
