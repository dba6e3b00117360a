//! Tables that fit the terminal: no word and no number is broken.
//!
//! A table that is too wide first wraps its prose between words, then leaves out columns, the
//! least important first, and says which. `--wide` keeps them all.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table as Grid, Width};
use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

use crate::output::{FAINT, HEADING, paint};

/// Between two columns, in cells of the terminal.
const GAP: usize = 2;
/// Prose in a narrower column is worse than none, in cells of the terminal.
const PROSE_WIDTH_MIN: usize = 20;

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    title: String,
    /// 0 is never left out; of the others the highest goes first.
    rank: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Prose,
}

impl Column {
    /// Of short texts, which are not wrapped.
    pub(crate) fn words(title: &str) -> Self {
        Self { title: title.to_owned(), rank: 0, kind: Kind::Word }
    }

    /// Of numbers, which are aligned on the right.
    pub(crate) fn numbers(title: &str) -> Self {
        Self { kind: Kind::Number, ..Self::words(title) }
    }

    /// Of sentences, which are wrapped between words. A table has at most one such column, the last.
    pub(crate) fn prose(title: &str) -> Self {
        Self { kind: Kind::Prose, ..Self::words(title) }
    }

    /// Left out where there is no room: the highest `rank` first.
    pub(crate) fn optional(self, rank: usize) -> Self {
        Self { rank, ..self }
    }

    fn width_min(&self, content: usize) -> usize {
        match self.kind {
            Kind::Prose => content.min(PROSE_WIDTH_MIN),
            Kind::Word | Kind::Number => content,
        }
    }
}

/// A table, in groups of rows that may have a heading each.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Group {
    heading: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), groups: Vec::new() }
    }

    /// Begins a group of rows below `heading`.
    pub(crate) fn group(&mut self, heading: &str) {
        self.groups.push(Group { heading: heading.to_owned(), rows: Vec::new() });
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        if self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        debug_assert_eq!(row.len(), self.columns.len());
        self.groups.last_mut().expect("one was pushed").rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.rows.is_empty())
    }

    /// The lines, each with its end; `width` in cells of the terminal, `None` for as wide as needed.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let content = self.content_widths();
        let shown = self.shown(&content, width);
        let widths = self.widths(&shown, &content, width);
        let mut text = self.grid(&shown, &widths, None);
        for group in &self.groups {
            if !group.heading.is_empty() {
                text += &format!("{}\n", paint(HEADING, &group.heading));
            }
            if !group.rows.is_empty() {
                text += &self.grid(&shown, &widths, Some(&group.rows));
            }
        }
        let left_out: Vec<&str> = (0..self.columns.len())
            .filter(|column| !shown.contains(column))
            .map(|column| self.columns[column].title.as_str())
            .collect();
        if !left_out.is_empty() {
            let note = format!("not shown: {}; --wide shows all", left_out.join(", "));
            for line in textwrap::wrap(&note, unbroken(width.unwrap_or(usize::MAX))) {
                text += &format!("{}\n", paint(FAINT, line));
            }
        }
        text
    }

    /// How wide each column is with nothing wrapped.
    fn content_widths(&self) -> Vec<usize> {
        let rows = || self.groups.iter().flat_map(|group| &group.rows);
        let of = |(index, column): (usize, &Column)| {
            let cells = rows().flat_map(|row| row[index].lines()).map(display_width);
            cells.max().unwrap_or(0).max(display_width(&column.title))
        };
        self.columns.iter().enumerate().map(of).collect()
    }

    /// Indices of the columns that there is room for.
    fn shown(&self, content: &[usize], width: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return shown };
        let needed = |shown: &[usize]| {
            let columns: usize =
                shown.iter().map(|&it| self.columns[it].width_min(content[it])).sum();
            columns + GAP * shown.len().saturating_sub(1)
        };
        while needed(&shown) > width {
            let optional = shown.iter().copied().filter(|&it| self.columns[it].rank > 0);
            let Some(least) = optional.max_by_key(|&it| self.columns[it].rank) else { break };
            shown.retain(|&it| it != least);
        }
        shown
    }

    /// How wide each shown column is; prose gets what the others leave.
    fn widths(&self, shown: &[usize], content: &[usize], width: Option<usize>) -> Vec<usize> {
        let total: usize = shown.iter().map(|&it| content[it]).sum();
        let gaps = GAP * shown.len().saturating_sub(1);
        let excess = width.map_or(0, |width| (total + gaps).saturating_sub(width));
        let of = |&it: &usize| match self.columns[it].kind {
            Kind::Prose => {
                content[it].saturating_sub(excess).max(self.columns[it].width_min(content[it]))
            }
            Kind::Word | Kind::Number => content[it],
        };
        shown.iter().map(of).collect()
    }

    /// The header, or `rows`, as lines.
    fn grid(&self, shown: &[usize], widths: &[usize], rows: Option<&[Vec<String>]>) -> String {
        let mut grid = Grid::new();
        grid.load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        match rows {
            None => {
                grid.set_header(shown.iter().map(|&it| self.columns[it].title.clone()));
            }
            Some(rows) => {
                let cell = |row: &[String], (&it, &width): (&usize, &usize)| {
                    if self.columns[it].kind == Kind::Prose {
                        textwrap::wrap(&row[it], unbroken(width)).join("\n")
                    } else {
                        row[it].clone()
                    }
                };
                grid.add_rows(
                    rows.iter()
                        .map(|row| shown.iter().zip(widths).map(|column| cell(row, column)))
                        .map(Iterator::collect::<Vec<_>>),
                );
            }
        }
        for (place, (&it, &width)) in shown.iter().zip(widths).enumerate() {
            let gap = if place + 1 == shown.len() { 0 } else { GAP };
            let Some(column) = grid.column_mut(place) else { continue };
            column.set_padding((0, u16::try_from(gap).unwrap_or(0)));
            let fixed = u16::try_from(width + gap).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(fixed)));
            if self.columns[it].kind == Kind::Number {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        // No blanks behind what is written.
        grid.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// Wraps between words, never inside one.
fn unbroken<'a>(width: usize) -> Options<'a> {
    Options::new(width).break_words(false).word_splitter(WordSplitter::NoHyphenation)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new([
            Column::words("name"),
            Column::words("style").optional(2),
            Column::numbers("deliveries/s").optional(1),
            Column::prose("the question").optional(3),
        ]);
        table.row(["std-mpsc", "threads + channels", "1.2 M", "How much goes through at most?"]);
        table.row(["mio", "readiness loop", "12 k", "What does waiting cost?"]);
        table
    }

    #[test]
    fn with_room_for_all_everything_is_on_one_line_and_numbers_stand_on_the_right() {
        let expected = "\
name      style               deliveries/s  the question
std-mpsc  threads + channels         1.2 M  How much goes through at most?
mio       readiness loop              12 k  What does waiting cost?
";
        assert_eq!(table().render(None), expected);
        assert_eq!(table().render(Some(74)), expected);
    }

    #[test]
    fn prose_is_wrapped_first_and_then_columns_go_in_the_stated_order() {
        let text = table().render(Some(66));
        assert!(text.contains("1.2 M  How much goes through\n"), "{text}");
        assert!(text.contains(&format!("\n{}at most?\n", " ".repeat(44))), "{text}");
        let text = table().render(Some(60));
        assert!(text.contains("not shown: the question; --wide shows all"), "{text}");
        let text = table().render(Some(40));
        assert!(text.starts_with("name      deliveries/s\nstd-mpsc         1.2 M\n"), "{text}");
        assert!(text.contains("not shown: style, the question;"), "{text}");
    }

    #[test]
    fn the_first_column_stays_whole_however_narrow_it_is() {
        for width in [0, 1, 5] {
            let text = table().render(Some(width));
            assert!(text.starts_with("name\nstd-mpsc\nmio\n"), "{text}");
        }
    }

    #[test]
    fn groups_share_the_columns() {
        let mut table = Table::new([Column::words("name"), Column::words("language")]);
        table.group("CSP");
        table.row(["go-goroutines", "Go"]);
        table.group("promises");
        table.row(["gjio", "Rust"]);
        let text = anstream::adapter::strip_str(&table.render(None)).to_string();
        let expected = "\
name           language
CSP
go-goroutines  Go
promises
gjio           Rust
";
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn no_word_is_broken_and_what_fits_is_not_exceeded(
            width in 0_usize..200,
            rows in prop::collection::vec(
                ("[a-zé漢]{1,30}", "[a-z]{1,9}( [a-z]{1,12}){0,9}"), 1..5),
        ) {
            let mut table = Table::new([Column::words("name"), Column::prose("why").optional(1)]);
            for (name, why) in &rows {
                table.row([name.clone(), why.clone()]);
            }
            let text = anstream::adapter::strip_str(&table.render(Some(width))).to_string();
            let words: Vec<&str> = text.split_whitespace().collect();
            let why_is_shown = text.lines().next().is_some_and(|head| head.contains("why"));
            for (name, why) in &rows {
                prop_assert!(words.contains(&name.as_str()), "{}", text);
                let expected = why.split(' ').filter(|_| why_is_shown);
                prop_assert!(expected.clone().all(|word| words.contains(&word)), "{}", text);
            }
            let longest = rows.iter().map(|(name, _)| display_width(name)).max().unwrap_or(0);
            if why_is_shown {
                prop_assert!(text.lines().all(|line| display_width(line) <= width), "{}", text);
                prop_assert!(longest + GAP < width);
            }
        }
    }
}
