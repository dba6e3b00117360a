//! Rules that hold for the text of every file.

use regex::Regex;

use crate::tree::{Exceptions, File, Offenders, files, files_in, not_text};

/// What a reader keeps in mind at once.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that may be longer, and why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("src/commands/self_check/measuring.rs: all", "one table: a server a row"),
    ("crates/faulty/src/knobs.rs: all", "one table: a setting a row"),
    ("crates/report/src/examples.rs: new_results", "one record, with each of its fields"),
];

fn is_source(file: &File) -> bool {
    !matches!(file.extension(), "md" | "lock" | "sum")
}

#[test]
fn nothing_is_left_for_later() {
    let mut offenders = Offenders::of(
        "what is committed is whole: no note of work to do, no stub, no test that is not run",
    );
    // Put together here, so that this file does not offend itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let stubs = [["to", "do"], ["unimple", "mented"]].map(|parts| parts.concat());
    let pattern = format!(
        r"\b(?:{})\b|\b(?:{})!|#\[{}",
        marks.join("|"),
        stubs.join("|"),
        ["ign", "ore"].concat()
    );
    let pattern = Regex::new(&pattern).expect("a pattern");
    for file in files().iter().filter(|file| is_source(file)) {
        offenders.look();
        for (number, line) in file.lines() {
            if pattern.is_match(line) {
                offenders.add(&file.path, number, line.trim());
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn functions_are_short() {
    let mut offenders =
        Offenders::of("functions have at most 70 lines: a longer one does two things");
    let mut exceptions = Exceptions::new(LONG_FUNCTIONS);
    let head = Regex::new(r"^(\s*)(?:pub(?:\([^)]*\))? )?(?:const |async |unsafe )*fn (\w+)")
        .expect("a pattern");
    let ours = ["src", "crates", "impls", "templates", "tests", "benches", "fuzz"];
    for file in ours.into_iter().flat_map(files_in).filter(|file| file.extension() == "rs") {
        let lines: Vec<(usize, &str)> = file.lines().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let Some(found) = head.captures(line).filter(|_| !line.ends_with(['}', ';'])) else {
                continue;
            };
            offenders.look();
            // Formatted as it is, a function ends with a brace below its first letter.
            let end = format!("{}}}", &found[1]);
            let length = lines[index..].iter().position(|(_, line)| *line == end).unwrap_or(0) + 1;
            let name = format!("{}: {}", file.path, &found[2]);
            if length > FUNCTION_LINES_MAX && !exceptions.cover(&name) {
                offenders.add(&file.path, *number, format!("{} has {length} lines", &found[2]));
            }
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

#[test]
fn only_text_is_committed() {
    let mut offenders = Offenders::of(
        "nothing that is built or vendored is committed: put it into .gitignore, or make it text",
    );
    offenders.look();
    for path in not_text() {
        offenders.add(path, 1, "is not UTF-8 text");
    }
    offenders.assert_none();
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut offenders =
        Offenders::of("a path of somebody's machine is of no use, or of harm, on any other");
    // Classes instead of the letters keep the pattern from finding itself.
    let pattern =
        Regex::new(r"(?:^|[^\w.}/-])/(?:[w]ork|[r]oot|[h]ome|[U]sers)/").expect("a pattern");
    for file in files() {
        offenders.look();
        for (number, line) in file.lines() {
            if pattern.is_match(line) {
                offenders.add(&file.path, number, line.trim());
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn everything_comes_from_where_everybody_can_get_it() {
    let mut offenders = Offenders::of(
        "addresses and registries are public ones: a mirror of one's own belongs into the user's \
         configuration",
    );
    // The host of an address, unless it is filled in (`{host}`, `$HOST`).
    let address = Regex::new(r"\bhttps?://(?:[^/@\s]*@)?([^/\s:{$<>`)\]]+)").expect("a pattern");
    let configured = Regex::new(
        r"(?i)[-]-(?:extra-)?index-url|[G]OPROXY\s*=|[n]pm_config_registry|replace-[w]ith",
    )
    .expect("a pattern");
    for file in files() {
        offenders.look();
        for (number, line) in file.lines() {
            for found in address.captures_iter(line) {
                if !is_public(&found[1]) {
                    offenders.add(
                        &file.path,
                        number,
                        format!("'{}' is not a public host", &found[1]),
                    );
                }
            }
            if configured.is_match(line) {
                offenders.add(&file.path, number, format!("sets a registry: {}", line.trim()));
            }
            let source = line.strip_prefix("source = \"");
            if file.name() == "Cargo.lock"
                && source.is_some_and(|it| {
                    !it.starts_with("registry+https://github.com/rust-lang/crates.io-index")
                })
            {
                offenders.add(&file.path, number, format!("not from crates.io: {line}"));
            }
        }
    }
    offenders.assert_none();
}

/// Whether a stranger can reach `host`, or it is the machine itself.
fn is_public(host: &str) -> bool {
    if host == "localhost" || host.starts_with("127.") || host.starts_with('[') {
        return true;
    }
    let private = [".internal", ".local", ".lan", ".corp", ".intranet", ".svc"];
    let is_number = host.split('.').all(|part| part.parse::<u8>().is_ok());
    host.contains('.') && !is_number && !private.iter().any(|end| host.ends_with(end))
}

#[test]
fn hosts_of_ones_own_are_told_from_public_ones() {
    for host in ["docs.rs", "github.com", "localhost", "127.0.0.1"] {
        assert!(is_public(host), "{host}");
    }
    for host in ["mirror", "10.0.0.7", "pypi.corp", "crates.svc", "proxy.internal"] {
        assert!(!is_public(host), "{host}");
    }
}
