//! Output that a document quotes, compared with what a tool prints.

use regex::Regex;

/// What a document shows as left out: within a line, or as a line of its own.
const LEFT_OUT: &str = "…";

/// The first line that a document shows and `output` does not have, in that order and with nothing
/// between them but what is shown as left out. Figures and the width of blanks may differ.
///
/// # Panics
///
/// Never: the patterns are made here.
#[must_use]
pub fn first_missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let output: Vec<&str> = output.lines().map(str::trim_end).collect();
    let mut at = 0;
    let mut is_gap = true;
    for line in shown.iter().map(|line| line.trim_end()) {
        if line.trim() == LEFT_OUT {
            is_gap = true;
            continue;
        }
        let pattern = pattern(line);
        let reach = if is_gap { output.len() } else { output.len().min(at + 1) };
        match (at..reach).find(|&index| pattern.is_match(output[index])) {
            Some(index) => at = index + 1,
            None => return Some(line),
        }
        is_gap = false;
    }
    None
}

/// Matches what differs from `line` in figures and in what it leaves out.
fn pattern(line: &str) -> Regex {
    let figure = Regex::new(r"[0-9]+(?:\\\.[0-9]+)?").expect("a pattern");
    let blank = Regex::new(r" +").expect("a pattern");
    let escaped = regex::escape(line).replace(LEFT_OUT, ".*");
    let figures = figure.replace_all(&escaped, r"[0-9]+(?:\.[0-9]+)?");
    let blanks = blank.replace_all(&figures, " +");
    Regex::new(&format!("^{blanks}$")).expect("a pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_blanks_and_what_is_left_out_may_differ() {
        let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let output = "one 1.5 s\n  two\nthree 30 ms\nfour\n";
        for same in ["one 9 s\n two", "  two\n…\nfour", "three 7…", "four"] {
            assert_eq!(first_missing(&shown(same), output), None, "{same}");
        }
        for other in ["one 1.5 m", "one 1.5 s\nthree 30 ms", "four\n…\n  two", "five", "thre"] {
            assert!(first_missing(&shown(other), output).is_some(), "{other}");
        }
    }
}
