//! Programs, highlighted.

use std::path::Path;
use std::sync::LazyLock;

use syntect::html::{ClassStyle, ClassedHTMLGenerator};
use syntect::parsing::SyntaxSet;
use syntect::util::LinesWithEndings;

use super::escape::escaped;

/// Longer texts are not highlighted, which takes time.
const HIGHLIGHTED_BYTES_MAX: usize = 100_000;

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// `text` as HTML, with a class for each kind of token; `path` tells the language by its end.
pub(super) fn highlighted(path: &str, text: &str) -> String {
    let extension = Path::new(path).extension().and_then(|it| it.to_str()).unwrap_or("");
    let syntax = SYNTAXES.find_syntax_by_extension(extension);
    let Some(syntax) = syntax.filter(|_| text.len() <= HIGHLIGHTED_BYTES_MAX) else {
        return escaped(text);
    };
    let style = ClassStyle::SpacedPrefixed { prefix: "s-" };
    let mut generator = ClassedHTMLGenerator::new_with_class_style(syntax, &SYNTAXES, style);
    for line in LinesWithEndings::from(text) {
        if generator.parse_html_for_line_which_includes_newline(line).is_err() {
            return escaped(text);
        }
    }
    generator.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_classes_whatever_the_language() {
        for (path, text) in [
            ("server.rs", "// why\nfn main() {}\n"),
            ("server.c", "/* why */\nint main(void) { return 0; }\n"),
            ("server.py", "# why\ndef main(): pass\n"),
            ("main.go", "// why\nfunc main() {}\n"),
            ("Server.cs", "// why\nclass A { }\n"),
            ("Main.hs", "-- why\nmain = print 1\n"),
        ] {
            let html = highlighted(path, text);
            assert!(html.contains("class=\"s-comment"), "{path}: {html}");
            assert!(html.matches("<span").count() == html.matches("</span>").count(), "{path}");
        }
    }

    #[test]
    fn a_program_cannot_break_out_of_the_page() {
        let text = "</pre><script>alert(1)</script> \"&\n";
        for path in ["server.rs", "server.unknown", "server"] {
            let html = highlighted(path, text);
            assert!(!html.contains("<script") && !html.contains("</pre>"), "{path}: {html}");
        }
        let long = text.repeat(HIGHLIGHTED_BYTES_MAX / text.len() + 1);
        assert!(!highlighted("long.rs", &long).contains('<'));
    }
}
