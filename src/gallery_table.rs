//! The gallery as tables in Markdown: of the READMEs, and of `zillions list`.

use zillions_harness::manifest::{Entry, STYLES};
use zillions_report::style_tree::anchor;

/// Columns before the idea, each with the bar that ends it.
pub(crate) struct MoreColumns<'a> {
    pub(crate) heads: &'a str,
    pub(crate) rules: &'a str,
    /// The cells of the entry with this name.
    pub(crate) cells: &'a dyn Fn(&str) -> String,
}

/// A row for each of `entries`, by style; links go to the folders, as seen from the repository's
/// root.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    let none = MoreColumns { heads: "", rules: "", cells: &|_| String::new() };
    markdown_with(entries, "impls/", &none)
}

/// The same with more columns; `folder` is where the entries' folders are, seen from the page.
pub(crate) fn markdown_with(entries: &[Entry], folder: &str, more: &MoreColumns<'_>) -> String {
    let MoreColumns { heads, rules, cells } = more;
    let mut text = format!(
        "| style | name | language | library |{heads} the idea |\n\
         | --- | --- | --- | --- |{rules} --- |\n"
    );
    for entry in STYLES.iter().flat_map(|style| of_style(entries, style)) {
        let manifest = &entry.manifest;
        text += &format!(
            "| {style} | [{name}]({folder}{name}) | {language} | [{library}]({url}) |{cells} {summary} |\n",
            style = manifest.style,
            name = entry.name,
            language = manifest.language,
            library = manifest.library,
            url = manifest.url,
            cells = cells(&entry.name),
            summary = manifest.summary
        );
    }
    text
}

/// A row for each style, with the entries that show it; links are as seen from the repository's
/// root, and lead to the style's section in docs/styles.md.
pub(crate) fn by_style(entries: &[Entry]) -> String {
    let mut text = String::from("| style | entries |\n| --- | --- |\n");
    for style in STYLES {
        let links: Vec<String> = of_style(entries, style)
            .map(|entry| {
                let (name, language) = (&entry.name, &entry.manifest.language);
                format!("[{name}](impls/{name})&nbsp;({language})")
            })
            .collect();
        if !links.is_empty() {
            let anchor = anchor(style);
            text += &format!("| [{style}](docs/styles.md#{anchor}) | {} |\n", links.join(" · "));
        }
    }
    text
}

fn of_style<'a>(entries: &'a [Entry], style: &'a str) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(move |entry| entry.manifest.style == style)
}
