//! The invariants of ARCHITECTURE.md. They are absences: nothing but a test
//! shows that they still hold.

use regex::Regex;

use crate::rust::{Kind, programs_in};
use crate::tree::{Exceptions, Offenders, file, folders_in};

/// Crates that judge and show records, and could do so years later, and the one that simulates.
const PURE: [&str; 7] = ["protocol", "ordering", "samples", "report", "escape", "source", "scale"];

/// Of these, the ones that do not even open a file: callers hand in readers
/// and writers.
const WITHOUT_FILES: [&str; 6] = ["protocol", "ordering", "samples", "escape", "source", "scale"];

/// Crates that are programs, and so may print.
const PROGRAMS: &[(&str, &str)] = &[
    ("chat", "the chat client: it draws on the terminal"),
    ("client", "the line client: printing messages is what it does"),
    ("console", "what src/ and the programs print through"),
    ("faulty", "a server: it prints its line, and some faults print more"),
    ("server", "a server: it prints its line, its log goes to standard error"),
];

/// Places that may pause, and why.
const MAY_PAUSE: &[(&str, &str)] = &[
    ("crates/harness/src/group.rs", "the kernel does not tell when the last of a group has ended"),
    ("crates/load/tests/load/server.rs", "a server whose fault is to freeze once"),
    ("crates/load/src/yardstick/sender.rs", "a schedule: it pauses until a message is due"),
    ("crates/server/src/epoll.rs", "send coalescing: a busy shard pauses and waits for nothing"),
    (
        "crates/server/src/admin/asker.rs",
        "the thread has descriptors of its own: a shard cannot wake it, and it looks for the answer",
    ),
    ("crates/server/src/http/connections.rs", "accepting that failed is tried again later"),
    ("crates/faulty", "servers whose fault it is to be late or to idle badly"),
];

#[test]
fn what_judges_and_shows_touches_no_socket_no_clock_and_no_process() {
    let mut offenders = Offenders::of(
        "protocol, ordering, samples, report, escape, source and scale are pure, so what they say \
         depends on the record alone; all but report leave files to their callers, too",
    );
    for name in PURE {
        for program in programs_in(&format!("crates/{name}/src")) {
            offenders.look();
            let without_files = WITHOUT_FILES.contains(&name);
            for (line, module) in program.std_modules() {
                let banned = matches!(module, "net" | "process" | "thread" | "os" | "env");
                if banned || (module == "fs" && without_files) {
                    offenders.add(program.path, line, format!("std::{module}"));
                }
            }
            for clock in ["Instant", "SystemTime", "UNIX_EPOCH"] {
                for line in program.places(&[clock]) {
                    offenders.add(program.path, line, clock);
                }
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn what_judges_and_shows_depends_on_nothing_that_measures() {
    let mut offenders = Offenders::of(
        "protocol, ordering, samples, report, escape, source and scale must not reach sockets, \
         clocks or processes through somebody else's crate either",
    );
    let banned = [
        "libc",
        "mio",
        "nix",
        "procfs",
        "rustix",
        "signal-hook",
        "socket2",
        "tokio",
        "jiff",
        "chrono",
        "time",
    ];
    for name in PURE {
        offenders.look();
        let path = format!("crates/{name}/Cargo.toml");
        let manifest = file(&path).unwrap_or_else(|| panic!("{path} is missing"));
        let table: toml::Table = manifest.text.parse().unwrap_or_else(|it| panic!("{path}: {it}"));
        let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            let ours = dependency.strip_prefix("zillions-");
            if banned.contains(&dependency.as_str()) || ours.is_some_and(|it| !PURE.contains(&it)) {
                offenders.add(&path, manifest.line_of(dependency), dependency);
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn only_the_command_lines_print() {
    let mut offenders = Offenders::of(
        "libraries hand out events and records, only src/ prints: else output gets mixed into a \
         table, a JSON document or somebody's pipe",
    );
    let mut exceptions = Exceptions::new(PROGRAMS);
    let printing: [&[&str]; 7] = [
        &["print", "!"],
        &["println", "!"],
        &["eprint", "!"],
        &["eprintln", "!"],
        &["dbg", "!"],
        &["stdout", "(", ")"],
        &["stderr", "(", ")"],
    ];
    for name in folders_in("crates") {
        if exceptions.cover(name) {
            continue;
        }
        for program in programs_in(&format!("crates/{name}/src")) {
            offenders.look();
            for pattern in printing {
                for line in program.places(pattern) {
                    offenders.add(program.path, line, pattern.concat());
                }
            }
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

#[test]
fn the_tools_know_no_implementation_by_name() {
    let mut offenders = Offenders::of(
        "everything that the tools know of an implementation comes from its impl.toml or the \
         command line; help and documentation may give examples",
    );
    let names = folders_in("impls").join("|");
    let name = Regex::new(&format!(r"(?:^|[^\w-])({names})(?:$|[^\w-])")).expect("a pattern");
    let crates = folders_in("crates").into_iter().map(|name| format!("crates/{name}/src"));
    for folder in std::iter::once("src".to_owned()).chain(crates) {
        for program in programs_in(&folder) {
            offenders.look();
            for token in program.tokens.iter().filter(|token| token.kind == Kind::Literal) {
                if let Some(found) = name.captures(&token.text) {
                    offenders.add(program.path, token.line, format!("'{}'", &found[1]));
                }
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn nothing_sleeps_to_wait() {
    let mut offenders = Offenders::of(
        "readiness is a server's line, and a fence message bounds what may still come: a pause \
         is too short on one machine and too long on the others",
    );
    let mut exceptions = Exceptions::new(MAY_PAUSE);
    let crates = folders_in("crates").into_iter().map(|name| format!("crates/{name}"));
    for folder in ["src".to_owned(), "tests".to_owned()].into_iter().chain(crates) {
        for program in programs_in(&folder) {
            offenders.look();
            for line in program.places(&["sleep", "("]) {
                if !exceptions.cover(program.path) && !exceptions.cover(&folder) {
                    offenders.add(program.path, line, "sleeps");
                }
            }
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}
