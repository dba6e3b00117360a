//! Chapters as they are written: their code blocks, and the sessions among these.

use std::fs;
use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// Where the chapters and their programs are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial")
}

/// What a program of the tutorial is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Python,
}

impl Language {
    /// The name of the source file of a step.
    pub(crate) fn source(self, step: usize) -> String {
        match self {
            Self::Rust => format!("step{step}.rs"),
            Self::Python => format!("step{step}.py"),
        }
    }

    /// The name of what is run.
    pub(crate) fn program(self, step: usize) -> String {
        match self {
            Self::Rust => format!("step{step}"),
            Self::Python => self.source(step),
        }
    }

    /// The text of a step, if there is one.
    pub(crate) fn text(self, step: usize) -> Option<String> {
        fs::read_to_string(folder().join(self.source(step))).ok()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Chapter {
    /// From 1; the chapter is about the step of this number and the next one.
    pub(crate) number: usize,
    pub(crate) file: String,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block of code.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// `rust`, `diff` or the like.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Of its first line.
    pub(crate) line: usize,
}

/// A command that a chapter shows, and what it shows of the output.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
    pub(crate) line: usize,
}

impl Session {
    /// Which tool is run: `check`, `bench`.
    pub(crate) fn tool(&self) -> &str {
        self.command.split_whitespace().nth(1).unwrap_or_default()
    }

    /// The programs that the command names.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (Language, usize)> + '_ {
        self.command.split_whitespace().filter_map(|word| {
            let name = word.strip_prefix("./step")?;
            let (language, number) = match name.strip_suffix(".py") {
                Some(number) => (Language::Python, number),
                None => (Language::Rust, name),
            };
            Some((language, number.parse().ok()?))
        })
    }

    /// The patterns behind `--case`.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &str> {
        let words: Vec<&str> = self.command.split_whitespace().collect();
        let pairs: Vec<(&str, &str)> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pairs.into_iter().filter(|(option, _)| *option == "--case").map(|(_, case)| case)
    }
}

impl Chapter {
    /// All of them, in order: `1-*.md` and so on.
    pub(crate) fn read_all() -> Vec<Self> {
        let names = fs::read_dir(folder()).expect("docs/tutorial").map(|entry| {
            entry.expect("an entry").file_name().into_string().expect("a name in UTF-8")
        });
        let mut chapters: Vec<Self> = names
            .filter_map(|file| {
                let number = file.strip_suffix(".md")?.split('-').next()?.parse().ok()?;
                let text = fs::read_to_string(folder().join(&file)).expect("a chapter");
                Some(Self { number, file, blocks: blocks(&text) })
            })
            .collect();
        chapters.sort_by_key(|chapter| chapter.number);
        let numbers: Vec<usize> = chapters.iter().map(|chapter| chapter.number).collect();
        assert_eq!(numbers, (1..=chapters.len()).collect::<Vec<_>>(), "numbered from 1");
        assert!(chapters.len() >= 8, "the tutorial has eight chapters");
        chapters
    }

    /// The commands of `zillions` that it shows, with their output.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let mut sessions: Vec<Session> = Vec::new();
        for block in self.blocks.iter().filter(|block| block.kind == "console") {
            for (index, line) in block.text.lines().enumerate() {
                match (line.strip_prefix("$ "), sessions.last_mut()) {
                    (Some(command), _) => sessions.push(Session {
                        command: command.to_owned(),
                        output: Vec::new(),
                        line: block.line + index,
                    }),
                    (None, Some(session)) => session.output.push(line.to_owned()),
                    (None, None) => panic!("{}:{}: no command", self.file, block.line),
                }
            }
        }
        let is_tool = |session: &Session| match session.command.split(' ').next() {
            Some("zillions") => true,
            // The steps are compiled in this very way.
            Some("rustc") => {
                assert!(
                    (1..=self.number + 1).any(|step| {
                        session.command == format!("rustc --edition 2024 step{step}.rs")
                    }),
                    "{}:{}: {}",
                    self.file,
                    session.line,
                    session.command
                );
                false
            }
            _ => panic!("{}:{}: unknown command", self.file, session.line),
        };
        sessions.retain(is_tool);
        sessions
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (event, range) in Parser::new(text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => {
                is_inside = true;
                let line = text[..range.start].matches('\n').count() + 2;
                blocks.push(Block { kind: kind.into_string(), text: String::new(), line });
            }
            Event::Text(part) if is_inside => {
                blocks.last_mut().expect("the block that began").text.push_str(&part);
            }
            Event::End(TagEnd::CodeBlock) => is_inside = false,
            _ => {}
        }
    }
    blocks
}
