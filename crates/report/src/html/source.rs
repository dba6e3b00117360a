//! Programs, highlighted.

use crate::markup::escaped;

/// `text` as HTML, with a class for each kind of token; `path` tells the language by its end. What
/// is in no known language is only escaped.
pub(super) fn highlighted(path: &str, text: &str) -> String {
    zillions_source::highlighted(path, text).unwrap_or_else(|| escaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_no_known_language_cannot_break_out_of_the_page() {
        let text = "</pre><script>alert(1)</script> \"&\n";
        for path in ["server.rs", "server.unknown", "server"] {
            let html = highlighted(path, text);
            assert!(!html.contains("<script") && !html.contains("</pre>"), "{path}: {html}");
        }
    }
}
