//! What the gallery's documents say of measurements, from the committed results.

use std::collections::BTreeMap;
use std::path::Path;

use zillions_bench::program;
use zillions_harness::Gallery;
use zillions_report::gallery_results::{GalleryResults, sources_hash};
use zillions_report::gallery_text;

use crate::failure::Failure;

/// Where the results are, from the root of the repository.
pub(super) const FOLDER: &str = "docs/results";

const BEGIN: &str = "<!-- figures:begin -->\n";
const END: &str = "<!-- figures:end -->\n";
const HEADING: &str = "## Performance\n";
/// How a page says what the reader can do; the figures stand before it.
const INVITATION: &str = "To measure it on your machine";

/// The committed runs, as far as the programs are still those that were measured.
pub(super) struct Figures {
    runs: Vec<(String, GalleryResults)>,
    /// The files of the picture, with their texts; none without any results.
    pub(super) pictures: Vec<(&'static str, String)>,
}

impl Figures {
    /// Reads them.
    pub(super) fn read(root: &Path, gallery: &Gallery) -> Result<Self, Failure> {
        let mut current = BTreeMap::new();
        for entry in &gallery.entries {
            let sources =
                program::sources(&entry.directory, &entry.sources).map_err(Failure::harness)?;
            current.insert(entry.name.clone(), sources_hash(&sources));
        }
        let runs = GalleryResults::read_all(&root.join(FOLDER)).map_err(Failure::usage)?;
        let runs = runs.into_iter().map(|(file, run)| (file, run.of_current(&current)));
        Ok(Self::of(runs.collect()))
    }

    fn of(runs: Vec<(String, GalleryResults)>) -> Self {
        let pictures = gallery_text::main_run(&runs)
            .map_or_else(Vec::new, |(_, run)| gallery_text::pictures(run));
        Self { runs, pictures }
    }

    /// The page of the entry called `name`, with its figures or without any.
    pub(super) fn page(&self, text: &str, name: &str) -> String {
        with_figures(text, gallery_text::performance(&self.runs, name).as_deref())
    }

    /// The heads, the rule and the cells of the columns that the gallery's table has of them.
    pub(super) fn columns(&self) -> Option<[&'static str; 2]> {
        gallery_text::main_run(&self.runs)
            .map(|_| [" lines | CPU per delivery |", " ---: | ---: |"])
    }

    /// The cells of the entry called `name`; empty without any results.
    pub(super) fn cells(&self, name: &str) -> String {
        gallery_text::main_run(&self.runs).map_or_else(String::new, |(_, run)| {
            let [lines, cpu] = gallery_text::cells(run, name);
            format!(" {lines} | {cpu} |")
        })
    }

    /// The figures of entries of one style, which are in `impls`; empty without any results.
    pub(super) fn style_table(&self, entries: &[(&str, &str)], impls: &str) -> String {
        gallery_text::main_run(&self.runs)
            .map_or_else(String::new, |(_, run)| gallery_text::style_table(run, entries, impls))
    }

    /// Who is best under which load; the entries are in `impls`. Empty without any results.
    pub(super) fn leaders(&self, impls: &str) -> String {
        gallery_text::main_run(&self.runs)
            .map_or_else(String::new, |(_, run)| gallery_text::leaders(run, impls))
    }

    /// What is said of these tables, on a page from which the repository's root is at `root`.
    pub(super) fn styles_note(&self, root: &str) -> String {
        gallery_text::main_run(&self.runs)
            .map_or_else(String::new, |(file, run)| gallery_text::styles_note(file, run, root))
    }

    /// What is said below the table, on a page from which the repository's root is at `root`.
    pub(super) fn note(&self, root: &str) -> String {
        gallery_text::main_run(&self.runs).map_or_else(String::new, |(file, run)| {
            format!("\n{}", gallery_text::table_note(file, run, root))
        })
    }
}

/// `text` with these figures, and no others, between the markers: in their old place, or at the end
/// of what it says of performance.
fn with_figures(text: &str, figures: Option<&str>) -> String {
    let (text, place) = without_figures(text);
    let Some((figures, place)) =
        figures.and_then(|it| Some((it, place.or_else(|| new_place(&text))?)))
    else {
        return text;
    };
    let (before, after) = text.split_at(place);
    let gap = if after.is_empty() { "" } else { "\n" };
    let break_ = if before.ends_with("\n\n") || before.is_empty() { "" } else { "\n" };
    format!("{before}{break_}{BEGIN}{figures}{END}{gap}{after}")
}

/// `text` without figures, and where they were.
fn without_figures(text: &str) -> (String, Option<usize>) {
    let parts =
        text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else { return (text.to_owned(), None) };
    let after = after.trim_start_matches('\n');
    let before = if after.is_empty() { before.trim_end_matches('\n') } else { before };
    let end = if after.is_empty() { "\n" } else { "" };
    let text = format!("{before}{end}{after}");
    (text, Some(before.len() + end.len()))
}

/// The end of what `text` says of performance: before how to measure it, if it says that.
fn new_place(text: &str) -> Option<usize> {
    let start = text.find(HEADING)? + HEADING.len();
    let section = &text[start..];
    let end = section.find("\n## ").map_or(section.len(), |at| at + 1);
    Some(start + section[..end].find(INVITATION).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# x\n\n## Performance\n\nA hop costs.\n\nTo measure it on your machine, run\n";

    #[test]
    fn figures_stand_before_the_invitation_and_go_as_they_came() {
        let with = with_figures(PAGE, Some("| a |\n"));
        assert_eq!(
            with,
            "# x\n\n## Performance\n\nA hop costs.\n\n<!-- figures:begin -->\n| a |\n\
             <!-- figures:end -->\n\nTo measure it on your machine, run\n"
        );
        assert_eq!(with_figures(&with, Some("| a |\n")), with, "again nothing changes");
        let newer = with_figures(&with, Some("| b |\n"));
        assert!(newer.contains("| b |") && !newer.contains("| a |"), "{newer}");
        assert_eq!(with_figures(&newer, None), PAGE);
    }

    #[test]
    fn figures_stand_at_the_end_of_their_section_or_of_the_page() {
        let page = "## Performance\n\nA hop costs.\n\n## More\n";
        let with = with_figures(page, Some("| a |\n"));
        assert!(
            with.contains(
                "costs.\n\n<!-- figures:begin -->\n| a |\n<!-- figures:end -->\n\n## More"
            )
        );
        assert_eq!(with_figures(&with, None), page);
        let last = "## Performance\n\nA hop costs.\n";
        let with = with_figures(last, Some("| a |\n"));
        assert!(
            with.ends_with("costs.\n\n<!-- figures:begin -->\n| a |\n<!-- figures:end -->\n"),
            "{with}"
        );
        assert_eq!(with_figures(&with, Some("| a |\n")), with);
        assert_eq!(with_figures(&with, None), last);
    }

    #[test]
    fn a_page_that_says_nothing_of_performance_stays_as_it_is() {
        assert_eq!(with_figures("# x\n", Some("| a |\n")), "# x\n");
        assert_eq!(with_figures(PAGE, None), PAGE);
    }
}
