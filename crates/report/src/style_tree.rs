//! The family tree of the styles: who suspends, who schedules, and where back-pressure lives.
//!
//! [`PLACES`] is the definition. The table of docs/styles.md is written from it, and the picture
//! beside that is drawn from it.

mod layout;
mod places;

use crate::markup::escaped;
use crate::picture::{DARK, LIGHT};

use layout::{HEIGHT_OF_MARK, Layout, Mark, WIDTH};
pub use places::{FastSender, FullQueue, PLACES, Place, Scheduler, Suspender};

/// The files of the picture: for light and for dark ground.
pub const PICTURES: [&str; 2] = ["style-tree-light.svg", "style-tree-dark.svg"];

/// The table of all styles in Markdown; links lead to their sections on the same page.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| style | a wait suspends | who schedules | a sender that is too fast | one client holds |\n\
         | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for place in &PLACES {
        let [suspends, schedules, fast_sender, holds] = place.words;
        let (style, anchor) = (place.style, anchor(place.style));
        text += &format!(
            "| [{style}](#{anchor}) | {suspends} | {schedules} | {fast_sender} | {holds} |\n"
        );
    }
    text
}

/// The anchor of a heading in Markdown, as GitHub and mdBook make it.
#[must_use]
pub fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The picture as Markdown, for a page in the folder of its files.
#[must_use]
pub fn picture() -> String {
    let [light, dark] = PICTURES;
    format!(
        "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"{dark}\">\n  \
         <img alt=\"Family tree of the styles, by who suspends code that waits and who schedules it; \
         the table below says the same in words\" src=\"{light}\">\n</picture>\n"
    )
}

/// The picture as files: each name with its text.
#[must_use]
pub fn pictures() -> [(&'static str, String); 2] {
    let layout = Layout::of(&PLACES);
    [(PICTURES[0], svg(&layout, LIGHT)), (PICTURES[1], svg(&layout, DARK))]
}

fn svg(layout: &Layout, palette: &str) -> String {
    let height = layout.height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Family tree of {} styles\">\n\
         <style>svg {{ {palette} }}\n{CSS}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
        PLACES.len()
    );
    svg += &format!("<path class=\"branch\" d=\"{}\"/>\n", layout.branches);
    for [left, top, right, bottom] in &layout.boxes {
        svg += &format!(
            "<rect class=\"box\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"5\"/>\n",
            right - left,
            bottom - top
        );
    }
    for (mark, x, y) in &layout.marks {
        svg += &drawn(*mark, *x, *y);
    }
    for text in &layout.texts {
        svg += &format!(
            "<text class=\"{}\" x=\"{}\" y=\"{}\">{}{}</text>\n",
            text.kind.class(),
            text.x,
            text.y,
            escaped(text.words),
            match text.more {
                "" => String::new(),
                more => format!(" <tspan class=\"plain\">{}</tspan>", escaped(more)),
            }
        );
    }
    svg + "</svg>\n"
}

/// A mark with its left upper corner there. Marks differ in shape, not in colour.
fn drawn(mark: Mark, x: f64, y: f64) -> String {
    let (right, bottom) = (x + HEIGHT_OF_MARK, y + HEIGHT_OF_MARK);
    let (middle, centre) = (x + HEIGHT_OF_MARK / 2.0, y + HEIGHT_OF_MARK / 2.0);
    match mark {
        Mark::Full => format!("<path class=\"full\" d=\"M{x} {y}H{right}V{bottom}H{x}Z\"/>\n"),
        Mark::Diamond => format!(
            "<path class=\"hollow\" d=\"M{middle} {y}L{right} {centre}L{middle} {bottom}L{x} {centre}Z\"/>\n"
        ),
        // A vessel, filled to the half.
        Mark::Vessel => format!(
            "<path class=\"full\" d=\"M{x} {centre}H{right}V{bottom}H{x}Z\"/>\
             <path class=\"hollow\" d=\"M{x} {y}V{bottom}H{right}V{y}\"/>\n"
        ),
    }
}

/// A picture stands alone: it brings its own looks.
const CSS: &str = "\
text { font: 14px system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif; fill: var(--ink); }
.paper { fill: var(--paper); }
.title { font: 600 22px Charter, 'Bitstream Charter', 'Sitka Text', Cambria, Georgia, serif; }
.soft { fill: var(--soft); }
.strong { font-size: 15px; font-weight: 600; }
.plain { font-size: 14px; font-weight: 400; }
.style { font-size: 15px; font-weight: 600; fill: var(--first); }
.box { fill: var(--faint); }
.branch { fill: none; stroke: var(--later); stroke-width: 1.5; }
.full { fill: var(--soft); }
.hollow { fill: none; stroke: var(--soft); stroke-width: 1.5; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_those_that_github_makes() {
        assert_eq!(anchor("threads + channels"), "threads--channels");
        assert_eq!(anchor("async/await"), "asyncawait");
        assert_eq!(anchor("`impl.toml`, key by key"), "impltoml-key-by-key");
    }

    #[test]
    fn the_table_has_a_row_for_each_style_that_leads_to_its_section() {
        let table = table();
        assert_eq!(table.lines().count(), PLACES.len() + 2);
        assert!(table.contains("| [threads + locks](#threads--locks) | a thread |"), "{table}");
        assert!(table.contains("| [async/await](#asyncawait) |"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == 6), "{table}");
    }

    #[test]
    fn the_picture_has_a_light_and_a_dark_variant_that_differ_in_colours_only() {
        let [(light_file, light), (dark_file, dark)] = pictures();
        assert_eq!([light_file, dark_file], PICTURES);
        assert!(light != dark && light.replace(LIGHT, DARK) == dark);
        assert!(picture().contains(light_file) && picture().contains(dark_file));
        for place in &PLACES {
            let leaf = format!("<text class=\"style\" x=\"{}\"", layout::STYLE_LEFT);
            let is_leaf = |line: &str| {
                line.starts_with(&leaf) && line.ends_with(&format!(">{}</text>", place.style))
            };
            assert_eq!(light.lines().filter(|line| is_leaf(line)).count(), 1, "{}", place.style);
        }
    }

    #[test]
    fn no_meaning_is_in_colour_alone() {
        let shapes = [Mark::Full, Mark::Diamond, Mark::Vessel].map(|mark| drawn(mark, 0.0, 0.0));
        let without_class = shapes.map(|it| it.replace("full", "").replace("hollow", ""));
        assert!(without_class[0] != without_class[1] && without_class[1] != without_class[2]);
        assert_ne!(without_class[0], without_class[2]);
        let [(_, light), _] = pictures();
        for words in ["blocking call", ">demand<", "kernel buffers", "drops oldest"] {
            assert!(light.contains(words), "each mark is said in words, too: {words}");
        }
    }
}
