//! Rust programs as the rules look at them: words, marks and strings, without
//! comments, documentation and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::path::Path;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};
use std::vec::IntoIter;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tree::{File, files, files_in};

/// Arguments of clap's attributes that are help for people: they may give
/// examples that name whatever they like.
const HELP: [&str; 6] =
    ["about", "long_about", "help", "long_help", "after_help", "after_long_help"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword.
    Word,
    /// A literal, as it is written.
    Literal,
    /// One character of punctuation, or a bracket.
    Mark,
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// One source file.
pub(crate) struct Program {
    pub(crate) path: &'static str,
    pub(crate) tokens: &'static [Token],
}

impl Program {
    /// The line of every place where the tokens are `pattern`.
    pub(crate) fn places(&self, pattern: &[&str]) -> Vec<usize> {
        let matches = |window: &[Token]| {
            let same = |(token, wanted): (&Token, &&str)| token.text == **wanted;
            window.iter().zip(pattern).all(same)
        };
        self.tokens
            .windows(pattern.len())
            .filter(|window| matches(window))
            .map(|window| window[0].line)
            .collect()
    }

    /// Modules of the standard library that are named, each with its line.
    pub(crate) fn std_modules(&self) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for start in 0..self.tokens.len() {
            let Some([root, first, second, next, ..]) = self.tokens.get(start..) else { break };
            if root.text != "std" || first.text != ":" || second.text != ":" {
                continue;
            }
            if next.kind == Kind::Word {
                found.push((next.line, next.text.as_str()));
            } else if next.text == "{" {
                found.extend(group_heads(&self.tokens[start + 4..]));
            }
        }
        found
    }
}

/// The first word of each item of a `use` group, whose opening brace stands
/// before `tokens`.
fn group_heads(tokens: &[Token]) -> Vec<(usize, &str)> {
    let (mut depth, mut at_head, mut heads) = (0, true, Vec::new());
    for token in tokens {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => at_head = true,
            word => {
                if at_head {
                    heads.push((token.line, word));
                }
                at_head = false;
            }
        }
    }
    heads
}

/// The programs below `folder`, without modules that are compiled for tests only.
pub(crate) fn programs_in(folder: &str) -> Vec<Program> {
    let mut test_modules = BTreeSet::new();
    let mut programs = Vec::new();
    for file in files_in(folder).filter(|file| file.extension() == "rs") {
        let reader = read(file);
        let folder = module_folder(&file.path);
        test_modules.extend(reader.test_modules.iter().map(|name| format!("{folder}/{name}")));
        programs.push(Program { path: &file.path, tokens: &reader.tokens });
    }
    let is_test = |path: &str| {
        test_modules.iter().any(|module| {
            path.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']))
        })
    };
    programs.retain(|program| !is_test(program.path));
    programs
}

/// What `file` holds. Most rules look at all files, and each is read once.
fn read(file: &'static File) -> &'static Reader {
    static READ: LazyLock<BTreeMap<&str, OnceLock<Reader>>> =
        LazyLock::new(|| files().iter().map(|file| (&*file.path, OnceLock::new())).collect());
    READ[&*file.path].get_or_init(|| {
        let mut reader = Reader::default();
        reader.read(parse(file));
        reader
    })
}

fn parse(file: &File) -> TokenStream {
    TokenStream::from_str(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

/// Where the modules that the file at `path` declares are.
fn module_folder(path: &str) -> String {
    let folder = Path::new(path).parent().and_then(Path::to_str).unwrap_or("");
    match Path::new(path).file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main") | None => folder.to_owned(),
        Some(stem) => format!("{folder}/{stem}"),
    }
}

#[derive(Default)]
struct Reader {
    tokens: Vec<Token>,
    test_modules: Vec<String>,
}

impl Reader {
    fn read(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().collect::<Vec<_>>().into_iter().peekable();
        while let Some(tree) = trees.next() {
            match &tree {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    if let Some(attribute) = take_attribute(&mut trees) {
                        self.read_attribute(attribute, &mut trees);
                    }
                }
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::None => ("", ""),
                    };
                    self.push(Kind::Mark, open, group.span_open().start().line);
                    self.read(group.stream());
                    self.push(Kind::Mark, close, group.span_close().start().line);
                }
                TokenTree::Ident(word) => self.push_tree(Kind::Word, word, &tree),
                TokenTree::Literal(literal) => self.push_tree(Kind::Literal, literal, &tree),
                TokenTree::Punct(mark) => self.push_tree(Kind::Mark, mark, &tree),
            }
        }
    }

    fn read_attribute(&mut self, attribute: TokenStream, rest: &mut Peekable<IntoIter<TokenTree>>) {
        let text = attribute.to_string().replace(' ', "");
        if text.starts_with("doc") {
            return;
        }
        if text == "cfg(test)" {
            self.test_modules.extend(skip_item(rest));
            return;
        }
        self.read(without_help(attribute));
    }

    fn push(&mut self, kind: Kind, text: &str, line: usize) {
        self.tokens.push(Token { kind, text: text.to_owned(), line });
    }

    fn push_tree(&mut self, kind: Kind, text: &impl ToString, tree: &TokenTree) {
        self.push(kind, &text.to_string(), tree.span().start().line);
    }
}

/// What stands in the brackets after a `#` or a `#!`.
fn take_attribute(rest: &mut Peekable<IntoIter<TokenTree>>) -> Option<TokenStream> {
    rest.next_if(|next| matches!(next, TokenTree::Punct(mark) if mark.as_char() == '!'));
    let is_bracket = |next: &TokenTree| matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket);
    match rest.next_if(is_bracket) {
        Some(TokenTree::Group(group)) => Some(group.stream()),
        _ => None,
    }
}

/// Takes one item off: up to its block, or to the end of its line. If it is a
/// module in a file of its own, that is its name.
fn skip_item(rest: &mut Peekable<IntoIter<TokenTree>>) -> Option<String> {
    let mut last_word = None;
    for tree in rest {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return None,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return last_word,
            TokenTree::Ident(word) => last_word = Some(word.to_string()),
            _ => {}
        }
    }
    None
}

/// An attribute without the arguments that are help for people.
fn without_help(attribute: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut in_help = false;
    for tree in attribute {
        match tree {
            TokenTree::Group(group) if !in_help => {
                let inner = without_help(group.stream());
                let mut kept_group = proc_macro2::Group::new(group.delimiter(), inner);
                kept_group.set_span(group.span());
                kept.push(TokenTree::Group(kept_group));
            }
            TokenTree::Punct(mark) if mark.as_char() == ',' => in_help = false,
            TokenTree::Ident(word) if HELP.iter().any(|help| word == help) => in_help = true,
            tree if !in_help => kept.push(tree),
            _ => {}
        }
    }
    kept.into_iter().collect()
}

/// A program as it would be read from the file at `path`.
#[cfg(test)]
pub(crate) fn program(path: &'static str, text: &str) -> Program {
    let mut reader = Reader::default();
    reader.read(TokenStream::from_str(text).expect("Rust"));
    Program { path, tokens: reader.tokens.leak() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(text: &str) -> (Program, Vec<String>) {
        let mut reader = Reader::default();
        reader.read(TokenStream::from_str(text).expect("Rust"));
        (Program { path: "p", tokens: reader.tokens.leak() }, reader.test_modules)
    }

    #[test]
    fn comments_documentation_tests_and_help_are_left_out() {
        let (program, modules) = program(
            "//! \"one\"\n/// \"two\"\n#[command(name = \"three\", after_help = \"four\", x = 5)]\n\
             struct S; // \"six\"\n#[cfg(test)]\nmod tests;\n\
             #[cfg(test)]\n#[allow(x)]\nmod more { const T: &str = \"seven\"; }\n\
             fn f() { print!(\"eight\") }",
        );
        let literals: Vec<(usize, &str)> = program
            .tokens
            .iter()
            .filter(|token| token.kind == Kind::Literal)
            .map(|token| (token.line, token.text.as_str()))
            .collect();
        assert_eq!(literals, [(3, "\"three\""), (3, "5"), (10, "\"eight\"")]);
        assert_eq!(modules, ["tests"]);
        assert_eq!(program.places(&["print", "!"]), [10]);
    }

    #[test]
    fn modules_of_the_standard_library_are_found_in_paths_and_in_groups() {
        let (program, _) = program(
            "use std::{io::{self, Read}, net::TcpStream};\nfn f() { std::fs::read(p); my::process(); }",
        );
        assert_eq!(program.std_modules(), [(1, "io"), (1, "net"), (2, "fs")]);
    }
}
