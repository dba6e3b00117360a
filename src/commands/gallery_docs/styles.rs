//! The table and the family tree of the styles, in docs/styles.md and beside it.

use std::path::{Path, PathBuf};

use zillions_report::style_tree;

use super::place::Place;

/// The document, from the root of the repository.
pub(super) const DOCUMENT: &str = "docs/styles.md";

const TABLE: Place = Place::called("styles");
const TREE: Place = Place::called("tree");

/// The document at `path`, which has this text, and its pictures as they should be; what it has no
/// place for is not written.
pub(super) fn files(path: &Path, text: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let text = TABLE.filled(text, &style_tree::table());
    if TREE.is_in(&text) {
        let pictures = style_tree::pictures().into_iter();
        files.extend(pictures.map(|(name, svg)| (path.with_file_name(name), svg)));
    }
    let text = TREE.filled(&text, &style_tree::picture());
    files.push((path.to_owned(), text));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

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
