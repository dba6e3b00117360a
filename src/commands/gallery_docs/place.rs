//! Places for texts that are made, in pages that are not.

/// A part of a page between two comments, for a text that is made.
pub(super) struct Place {
    name: &'static str,
}

impl Place {
    pub(super) const fn called(name: &'static str) -> Self {
        Self { name }
    }

    pub(super) fn begin(&self) -> String {
        format!("<!-- {}:begin -->\n", self.name)
    }

    pub(super) fn end(&self) -> String {
        format!("<!-- {}:end -->", self.name)
    }

    /// What is before and after it in `text`.
    fn around<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str)> {
        let (before, rest) = text.split_once(&self.begin())?;
        Some((before, rest.split_once(&self.end())?.1))
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.around(text).is_some()
    }

    /// `text` with `content` in this place; unchanged if it has none.
    pub(super) fn filled(&self, text: &str, content: &str) -> String {
        self.around(text).map_or_else(
            || text.to_owned(),
            |(before, after)| format!("{before}{}{content}{}{after}", self.begin(), self.end()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_into_its_place_and_nothing_else_changes() {
        let (table, other) = (Place::called("table"), Place::called("other"));
        let text = format!("before\n{}old\n{}\nafter\n", table.begin(), table.end());
        let once = table.filled(&text, "new\n");
        assert_eq!(once, format!("before\n{}new\n{}\nafter\n", table.begin(), table.end()));
        assert_eq!(table.filled(&once, "new\n"), once);
        assert!(table.is_in(&text) && !other.is_in(&text) && !table.is_in("no place"));
        assert_eq!(other.filled(&text, "new\n"), text, "that has no place in it");
    }
}
