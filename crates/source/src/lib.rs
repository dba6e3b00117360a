//! Programs as text: which language, how many lines of code, highlighted as HTML, and which texts
//! they are.
//!
//! One set of syntaxes decides the first three, so that what is shown as a comment is counted as one.

mod hash;

use std::path::Path;
use std::sync::LazyLock;

use syntect::easy::ScopeRegionIterator;
use syntect::html::{ClassStyle, ClassedHTMLGenerator};
use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};
use syntect::util::LinesWithEndings;

pub use hash::hash_of_texts;

/// Longer texts are not highlighted, which takes time.
const HIGHLIGHTED_BYTES_MAX: usize = 100_000;
/// What the class of each token begins with.
const CLASS_PREFIX: &str = "s-";

/// Ends of file names whose language has no syntax of its own here, or another end: what is read
/// like it, as far as comments and strings go.
const ALIKE: &[(&str, &str, &str)] = &[
    ("mjs", "js", "JavaScript"),
    ("cjs", "js", "JavaScript"),
    ("rktl", "rkt", "Racket"),
    ("raku", "pl", "Raku"),
    ("res", "ts", "ReScript"),
    ("vala", "cs", "Vala"),
    ("pike", "java", "Pike"),
    ("pro", "erl", "Prolog"),
];

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(two_face::syntax::extra_newlines);
static COMMENT: LazyLock<Option<Scope>> = LazyLock::new(|| Scope::new("comment").ok());

/// Lines of a program, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines with anything but blanks and comments.
    pub code: u32,
    /// Lines with comments alone; documentation is one.
    pub comments: u32,
    /// Lines without anything.
    pub blanks: u32,
}

/// The name of the language that the file at `path` is in, by the end of its name.
#[must_use]
pub fn language(path: &str) -> Option<&'static str> {
    let end = end_of(path);
    let alike = ALIKE.iter().find(|(own, ..)| *own == end).map(|(.., name)| *name);
    alike.or_else(|| syntax(path).map(|syntax| syntax.name.as_str()))
}

/// The lines of the program `text`, which is at `path`; `None` if its language is not known.
#[must_use]
pub fn lines(path: &str, text: &str) -> Option<Lines> {
    let mut state = ParseState::new(syntax(path)?);
    let mut scopes = ScopeStack::new();
    let mut lines = Lines::default();
    for line in LinesWithEndings::from(text) {
        let changes = state.parse_line(line, &SYNTAXES).ok()?;
        let (mut has_code, mut has_comment) = (false, false);
        for (piece, change) in ScopeRegionIterator::new(&changes, line) {
            scopes.apply(change).ok()?;
            if !piece.trim().is_empty() {
                let is_comment = is_comment(&scopes);
                has_comment |= is_comment;
                has_code |= !is_comment;
            }
        }
        match (has_code, has_comment) {
            (true, _) => lines.code += 1,
            (false, true) => lines.comments += 1,
            (false, false) => lines.blanks += 1,
        }
    }
    Some(lines)
}

fn is_comment(scopes: &ScopeStack) -> bool {
    COMMENT.is_some_and(|comment| scopes.as_slice().iter().any(|it| comment.is_prefix_of(*it)))
}

/// `text` as HTML, with a class that begins with `s-` for each kind of token; `None` if the language
/// of `path` is not known or the text is long.
#[must_use]
pub fn highlighted(path: &str, text: &str) -> Option<String> {
    let syntax = syntax(path).filter(|_| text.len() <= HIGHLIGHTED_BYTES_MAX);
    syntax.and_then(|syntax| with_classes(syntax, text))
}

fn with_classes(syntax: &SyntaxReference, text: &str) -> Option<String> {
    let style = ClassStyle::SpacedPrefixed { prefix: CLASS_PREFIX };
    let mut generator = ClassedHTMLGenerator::new_with_class_style(syntax, &SYNTAXES, style);
    for line in LinesWithEndings::from(text) {
        generator.parse_html_for_line_which_includes_newline(line).ok()?;
    }
    Some(generator.finalize())
}

fn syntax(path: &str) -> Option<&'static SyntaxReference> {
    let end = end_of(path);
    let alike = ALIKE.iter().find(|(own, ..)| *own == end).map_or(end, |(_, alike, _)| alike);
    SYNTAXES.find_syntax_by_extension(alike)
}

fn end_of(path: &str) -> &str {
    Path::new(path).extension().and_then(|it| it.to_str()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line of code, one of code with a comment, two comments and a blank, in each language.
    const PROGRAMS: &[(&str, &str)] = &[
        ("server.rs", "//! why\nfn main() {\n\n    // how\n} // end\n"),
        ("server.c", "/* why\n how */\n\nint main(void)\n{ return 0; } /* end */\n"),
        ("server.cpp", "// why\n// how\n\nint main()\n{ return 0; } // end\n"),
        ("server.py", "\"\"\"why\nhow\"\"\"\n\nx = '# no comment'\ny = 2  # end\n"),
        ("main.go", "// why\npackage main\n\n// how\nfunc main() {} // end\n"),
        ("Server.cs", "// why\n/* how */\n\nclass A\n{ } // end\n"),
        ("Main.hs", "-- why\n{- how -}\n\nmain = print 1\nx = 2 -- end\n"),
        ("server.erl", "% why\n%% how\n\n-module(server).\nf() -> 1. % end\n"),
        ("server.ex", "# why\n# how\n\ndefmodule A do\nend # end\n"),
        ("Server.java", "// why\n/* how */\n\nclass A\n{ } // end\n"),
        ("Server.kt", "// why\n/* how */\n\nfun main()\n{ } // end\n"),
        ("server.clj", "; why\n;; how\n\n(def a 1)\n(def b 2) ; end\n"),
        ("server.mjs", "// why\n/* how */\n\nconst a = 1;\nlet b = 2; // end\n"),
        ("server.ts", "// why\n/* how */\n\nconst a: number = 1;\nlet b = 2; // end\n"),
        ("server.rb", "# why\n# how\n\nputs 1\nputs 2 # end\n"),
        ("server.rkt", "; why\n;; how\n\n(define a 1)\n(define b 2) ; end\n"),
        ("server.ml", "(* why *)\n(* how *)\n\nlet a = 1\nlet b = 2 (* end *)\n"),
        ("server.adb", "-- why\n-- how\n\nprocedure A is\nbegin null; end A; -- end\n"),
        ("server.nim", "# why\n# how\n\nlet a = 1\nlet b = 2 # end\n"),
        ("server.lua", "-- why\n-- how\n\nlocal a = 1\nlocal b = 2 -- end\n"),
        ("server.scm", "; why\n;; how\n\n(define a 1)\n(define b 2) ; end\n"),
        ("server.zig", "// why\n// how\n\nconst a = 1;\nconst b = 2; // end\n"),
        ("server.d", "// why\n// how\n\nvoid main()\n{ } // end\n"),
        ("server.scala", "// why\n// how\n\nobject A\n{ } // end\n"),
        ("server.sml", "(* why *)\n(* how *)\n\nval a = 1\nval b = 2 (* end *)\n"),
        ("server.php", "<?php\n// why\n# how\n\n$b = 2; // end\n"),
        ("server.pl", "# why\n# how\n\nmy $a = 1;\nmy $b = 2; # end\n"),
        ("server.raku", "# why\n# how\n\nmy $a = 1;\nmy $b = 2; # end\n"),
        ("server.cr", "# why\n# how\n\na = 1\nb = 2 # end\n"),
        ("server.vala", "// why\n/* how */\n\nvoid main ()\n{ } // end\n"),
    ];

    #[test]
    fn lines_are_counted_in_every_language() {
        for (path, text) in PROGRAMS {
            let expected = Lines { code: 2, comments: 2, blanks: 1 };
            assert_eq!(lines(path, text), Some(expected), "{path}");
            assert!(language(path).is_some(), "{path}");
        }
        assert_eq!(lines("server", "x\n"), None);
        assert_eq!(
            (language("server.mjs"), language("server.vala")),
            (Some("JavaScript"), Some("Vala"))
        );
    }

    #[test]
    fn every_comment_has_its_class() {
        for (path, text) in PROGRAMS {
            let html = highlighted(path, text).expect(path);
            assert!(html.contains("class=\"s-comment"), "{path}: {html}");
            assert!(html.matches("<span").count() == html.matches("</span>").count(), "{path}");
        }
    }

    #[test]
    fn a_program_cannot_break_out_of_the_page() {
        let text = "</pre><script>alert(1)</script> \"&\n";
        let html = highlighted("server.rs", text).expect("a known language");
        assert!(!html.contains("<script") && !html.contains("</pre>"), "{html}");
        assert_eq!(highlighted("server.unknown", text), None);
        let long = text.repeat(HIGHLIGHTED_BYTES_MAX / text.len() + 1);
        assert_eq!(highlighted("long.rs", &long), None);
    }
}
