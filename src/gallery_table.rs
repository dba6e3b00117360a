//! The gallery as a table in Markdown: of the README, and of `zillions list`.

use zillions_harness::manifest::{Entry, STYLES};

/// `entries` by style; links go to the folders, as seen from the repository's root.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    markdown_with(entries, "", "", &|_| String::new())
}

/// The same with more columns before the idea: their heads, their rules, and their cells for the
/// entry of a name, each with the bar that ends it.
pub(crate) fn markdown_with(
    entries: &[Entry],
    heads: &str,
    rules: &str,
    cells: &dyn Fn(&str) -> String,
) -> String {
    let mut text = format!(
        "| style | name | language | library |{heads} the idea |\n\
         | --- | --- | --- | --- |{rules} --- |\n"
    );
    let by_style =
        STYLES.iter().flat_map(|style| entries.iter().filter(|it| it.manifest.style == **style));
    for entry in by_style {
        let manifest = &entry.manifest;
        text += &format!(
            "| {style} | [{name}](impls/{name}) | {language} | [{library}]({url}) |{cells} {summary} |\n",
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
