//! What a style is: the sections of `docs/styles.md`.

use pulldown_cmark::{Event, Parser, Tag, TagEnd, html};

/// Taken in at compile time, so that the report says what the document says.
const DOCUMENT: &str = include_str!("../../../../docs/styles.md");

/// The section on `style` as HTML; `None` if there is none.
///
/// A paragraph that points into programs is kept only if it is about the entry called `name`.
/// Links are taken out: the report travels without the repository.
pub(super) fn description(style: &str, name: &str) -> Option<String> {
    let section = section(style)?;
    let about = format!("**{name}**");
    let kept: Vec<&str> = section
        .split("\n\n")
        .filter(|paragraph| !paragraph.contains("](") || paragraph.contains(&about))
        .collect();
    Some(without_links(&kept.join("\n\n")))
}

/// What `style` is: the first paragraph of its section, as HTML.
pub(super) fn first_paragraph(style: &str) -> Option<String> {
    let first = section(style)?.trim_start().split("\n\n").next()?;
    Some(without_links(first))
}

fn section(style: &str) -> Option<&'static str> {
    let mut sections = DOCUMENT.split("\n## ").skip(1);
    sections.find_map(|section| section.strip_prefix(style)?.strip_prefix('\n'))
}

/// Markdown as HTML, without links.
fn without_links(text: &str) -> String {
    let is_link = |event: &Event<'_>| {
        matches!(event, Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link))
    };
    let mut page = String::new();
    html::push_html(&mut page, Parser::new(text).filter(|event| !is_link(event)));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_is_described_by_its_section_without_links_and_other_entries() {
        let text = description("threads + channels", "std-mpsc").unwrap();
        assert!(text.contains("a plain loop of blocking calls"), "{text}");
        assert!(text.contains("<code>run_hub</code>"), "what it says of the entry is kept");
        assert!(!text.contains("href"), "{text}");
        let of_another = description("threads + channels", "my-server").unwrap();
        assert!(!of_another.contains("run_hub"), "{of_another}");
        assert!(of_another.contains("Back-pressure"), "{of_another}");
        let first = first_paragraph("threads + channels").unwrap();
        assert!(first.starts_with("<p>Each operation that waits") && !first.contains("Cost"));
    }

    #[test]
    fn an_unknown_style_has_no_description() {
        assert_eq!(description("", "x"), None);
        assert_eq!(description("threads", "x"), None);
        assert_eq!(first_paragraph("threads"), None);
    }
}
