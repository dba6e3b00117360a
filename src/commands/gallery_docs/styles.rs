//! The table and the family tree of the styles, and the figures of each, in docs/styles.md and
//! beside it.

use std::path::{Path, PathBuf};

use zillions_harness::Gallery;
use zillions_harness::manifest::STYLES;
use zillions_report::style_tree;

use super::figures::Figures;

use super::place::Place;

/// The document, from the root of the repository.
pub(super) const DOCUMENT: &str = "docs/styles.md";

const TABLE: Place = Place::called("styles");
const TREE: Place = Place::called("tree");
/// What is said of the figures of all styles.
const NOTE: Place = Place::called("figures");

/// Who is best under which load.
const LEADERS: Place = Place::called("leaders");

/// The document at `path`, which has this text, and its pictures as they should be; what it has no
/// place for is not written.
pub(super) fn files(
    path: &Path,
    text: &str,
    gallery: &Gallery,
    figures: &Figures,
) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let text = TABLE.filled(text, &style_tree::table());
    let text = NOTE.filled(&text, &figures.styles_note("../"));
    let text = LEADERS.filled(&text, &figures.leaders("../impls/"));
    let text = STYLES.iter().fold(text, |text, style| {
        Place::called(style).filled(&text, &of_style(style, gallery, figures))
    });
    if TREE.is_in(&text) {
        let pictures = style_tree::pictures().into_iter();
        files.extend(pictures.map(|(name, svg)| (path.with_file_name(name), svg)));
    }
    let text = TREE.filled(&text, &style_tree::picture());
    files.push((path.to_owned(), text));
    files
}

/// The figures of the entries of a style; with none there is nothing to show.
fn of_style(style: &str, gallery: &Gallery, figures: &Figures) -> String {
    let entries = gallery.entries.iter().filter(|entry| entry.manifest.style == style);
    let entries: Vec<(&str, &str)> =
        entries.map(|entry| (entry.name.as_str(), entry.manifest.language.as_str())).collect();
    figures.style_table(&entries, "../impls/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &Path, text: &str) -> Vec<(PathBuf, String)> {
        let gallery = Gallery::read(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("impls")])
            .expect("the gallery is in order");
        let figures = Figures::read(Path::new(env!("CARGO_MANIFEST_DIR")), &gallery);
        let figures = figures.unwrap_or_else(|_| panic!("the committed results are in order"));
        super::files(path, text, &gallery, &figures)
    }

    #[test]
    fn a_style_gets_the_figures_of_its_entries() {
        let (begin, end) = ("<!-- CSP:begin -->\n", "<!-- CSP:end -->\n");
        let written = files(Path::new("styles.md"), &format!("## CSP\n{begin}{end}"));
        let text = &written[0].1;
        assert!(text.starts_with(&format!("## CSP\n{begin}| entry | language |")), "{text}");
        assert!(text.contains("| [go-goroutines](../impls/go-goroutines) | Go |"), "{text}");
        assert!(!text.contains("[mio]"), "that is of another style: {text}");
    }

    #[test]
    fn the_best_under_each_load_are_named() {
        let [begin, end] = [LEADERS.begin(), LEADERS.end()];
        let written = files(Path::new("styles.md"), &format!("## Best\n{begin}{end}"));
        let text = &written[0].1;
        assert!(text.contains("| small-room | 99th percentile of latency | ["), "{text}");
        assert!(text.contains("](../impls/"), "{text}");
    }

    #[test]
    fn a_document_gets_what_it_has_a_place_for() {
        let path = Path::new("docs/styles.md");
        let plain = files(path, "# Styles\n");
        assert_eq!(plain, [(path.to_owned(), "# Styles\n".to_owned())]);
        let [tree, table] = [TREE, TABLE].map(|place| place.begin() + &place.end() + "\n");
        let marked = format!("# Styles\n{tree}{table}");
        let written = files(path, &marked);
        let names: Vec<_> = written.iter().map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(
            names,
            ["docs/style-tree-light.svg", "docs/style-tree-dark.svg", "docs/styles.md"]
        );
        let text = &written[2].1;
        assert!(text.contains("| [CSP](#csp) |") && text.contains("<picture>"), "{text}");
        assert_eq!(files(path, text), written, "again nothing changes");
    }
}
