//! What chapters quote of programs stands in them, and their changes are all that differs.

use crate::chapter::{Block, Chapter, Language};

/// A change: the lines before, and those after.
struct Hunk {
    old: Vec<String>,
    new: Vec<String>,
    line: usize,
}

/// One program while the changes of a chapter are made to it.
struct Edited {
    language: Language,
    lines: Vec<String>,
    after: Vec<String>,
}

/// Fails unless every quoted line stands in the chapter's programs, and the changes that it shows
/// turn each of them into the next.
pub(crate) fn check(chapter: &Chapter) {
    let mut programs: Vec<Edited> = [Language::Rust, Language::Python]
        .into_iter()
        .filter_map(|language| {
            let lines = |step| Some(without_title(&language.text(step)?));
            let after = lines(chapter.number + 1)?;
            Some(Edited { language, lines: lines(chapter.number)?, after })
        })
        .collect();
    for block in &chapter.blocks {
        match block.kind.as_str() {
            "rust" => quoted(chapter, block, Language::Rust),
            "python" => quoted(chapter, block, Language::Python),
            "diff" => hunks(block).iter().for_each(|hunk| change(chapter, &mut programs, hunk)),
            "console" => {}
            kind => panic!("{}:{}: no test reads '{kind}'", chapter.file, block.line),
        }
    }
    for program in programs {
        let next = program.language.source(chapter.number + 1);
        let differs = program.lines.iter().zip(&program.after).find(|(made, after)| made != after);
        assert!(
            program.lines == program.after,
            "{}: with all its changes made, the program is not {next}: {differs:?}",
            chapter.file
        );
    }
}

/// The lines but for the comment that says which step it is.
fn without_title(text: &str) -> Vec<String> {
    let is_title = |line: &&str| line.starts_with("//! Step") || line.starts_with("\"\"\"Step");
    text.lines().filter(|line| !is_title(line)).map(str::to_owned).collect()
}

fn quoted(chapter: &Chapter, block: &Block, language: Language) {
    let is_quoted = [chapter.number, chapter.number + 1].into_iter().any(|step| {
        language.text(step).is_some_and(|program| format!("\n{program}").contains(&*quote(block)))
    });
    assert!(is_quoted, "{}:{}: stands in no program of this chapter", chapter.file, block.line);
}

/// A block as whole lines.
fn quote(block: &Block) -> String {
    format!("\n{}", block.text)
}

fn hunks(block: &Block) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let mut hunk = Hunk { old: Vec::new(), new: Vec::new(), line: block.line };
    for (index, line) in block.text.lines().enumerate() {
        let rest = line.get(1..).unwrap_or_default().to_owned();
        match line.chars().next() {
            Some('@') => {
                let next = Hunk { old: Vec::new(), new: Vec::new(), line: block.line + index };
                hunks.push(std::mem::replace(&mut hunk, next));
            }
            Some('+') => hunk.new.push(rest),
            Some('-') => hunk.old.push(rest),
            _ => {
                hunk.old.push(rest.clone());
                hunk.new.push(rest);
            }
        }
    }
    hunks.push(hunk);
    hunks.retain(|hunk| !hunk.old.is_empty() || !hunk.new.is_empty());
    hunks
}

/// Makes a change to the one program that has its old lines, in one place.
fn change(chapter: &Chapter, programs: &mut [Edited], hunk: &Hunk) {
    let place = format!("{}:{}", chapter.file, hunk.line);
    assert!(!hunk.old.is_empty(), "{place}: a change needs a line that tells where it is");
    let mut found = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        let windows = program.lines.windows(hunk.old.len()).enumerate();
        found.extend(windows.filter(|(_, it)| *it == hunk.old).map(|(at, _)| (index, at)));
    }
    let [(program, at)] = found[..] else {
        panic!("{place}: the old lines stand in {} places", found.len());
    };
    programs[program].lines.splice(at..at + hunk.old.len(), hunk.new.iter().cloned());
}
