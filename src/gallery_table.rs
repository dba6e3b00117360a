//! The gallery as a table in Markdown: of the README, and of `zillions list`.

use zillions_harness::manifest::{Entry, STYLES};

/// `entries` by style; links go to the folders, as seen from the repository's root.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    let mut text = "| style | name | language | library | the idea |\n\
                    | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let by_style =
        STYLES.iter().flat_map(|style| entries.iter().filter(|it| it.manifest.style == **style));
    for entry in by_style {
        let manifest = &entry.manifest;
        text += &format!(
            "| {style} | [{name}](impls/{name}) | {language} | [{library}]({url}) | {summary} |\n",
            style = manifest.style,
            name = entry.name,
            language = manifest.language,
            library = manifest.library,
            url = manifest.url,
            summary = manifest.summary
        );
    }
    text
}
