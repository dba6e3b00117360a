//! What the commands write on terminals of every width, and on one that does not tell its own.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr;
use zillions_report::examples;

use crate::support::{CLIENT, STRESSTEST, Script, ZILLIONS, run};

/// 0 is a terminal that does not tell.
const WIDTHS: [u16; 6] = [0, 1, 20, 40, 80, 200];

/// What `program` writes to a terminal of `columns`, with its exit code. If `whole`, standard error
/// goes to it too and there are colours; else neither.
fn on_terminal(columns: u16, whole: bool, program: &str, arguments: &[&str]) -> (String, i32) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).expect("a terminal");
    grantpt(&terminal).expect("its other end");
    unlockpt(&terminal).expect("its other end");
    let other_end = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("its size");
    let stderr = if whole { other_end.try_clone().expect("a copy").into() } else { Stdio::null() };
    let mut command = Command::new(program);
    if whole {
        command.env_remove("NO_COLOR");
    } else {
        command.env("NO_COLOR", "1");
    }
    let child = command
        .args(arguments)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(other_end)
        .stderr(stderr)
        .spawn();
    // The ends that are this process's, without which the terminal would never be at its end.
    drop(command);
    let mut child = child.expect("the command runs");
    let mut written = Vec::new();
    // It ends with an error once nobody has the other end.
    let _ = File::from(terminal).read_to_end(&mut written);
    let code = child.wait().expect("an end").code().unwrap_or(-1);
    (String::from_utf8(written).expect("UTF-8").replace("\r\n", "\n"), code)
}

fn words(text: &str) -> HashSet<&str> {
    text.split_whitespace().collect()
}

/// On a terminal of every width a command ends as it does for a pipe, and every word that it writes
/// is a whole one: it is in what the pipe gets, or in a sentence on what is not shown.
fn is_whole_at_every_width(arguments: &[&str]) {
    let piped = run(ZILLIONS, arguments);
    let mut known = words(&piped.stdout);
    known.extend("not shown: --wide shows all".split(' '));
    let titles: HashSet<String> = known.iter().map(|word| format!("{word},")).collect();
    let ends: HashSet<String> = known.iter().map(|word| format!("{word};")).collect();
    for width in WIDTHS {
        let (text, code) = on_terminal(width, false, ZILLIONS, arguments);
        assert_eq!(code, piped.code, "{arguments:?} at {width}: {text}");
        for word in words(&text) {
            let is_known = known.contains(word) || titles.contains(word) || ends.contains(word);
            assert!(is_known, "{arguments:?} at {width}: '{word}' in\n{text}");
        }
    }
}

/// Lines of `text` that are wider than the terminal although there are blanks to break them at.
fn too_wide(text: &str, width: usize) -> Vec<&str> {
    let is_table = |line: &&str| line.trim_start().contains("  ");
    text.lines().filter(|line| line.width() > width).filter(is_table).collect()
}

pub(crate) fn no_table_breaks_a_word_at_any_width() {
    // A list of them all would ask each tool chain for its version, a dozen times.
    for arguments in [
        &["list", "--language", "Rust"][..],
        &["list", "--language", "Rust", "--wide"],
        &["bench", "--list"],
        &["check", "--list"],
    ] {
        is_whole_at_every_width(arguments);
    }
}

pub(crate) fn a_comparison_breaks_no_word_and_no_number_at_any_width() {
    let folder = tempfile::tempdir().expect("a folder");
    examples::write(&examples::results(), folder.path()).expect("results");
    let folder = folder.path().display().to_string();
    is_whole_at_every_width(&["compare", &folder, &folder]);
    let (text, _) = on_terminal(80, false, ZILLIONS, &["compare", &folder, &folder]);
    assert!(too_wide(&text, 80).is_empty(), "{text}");
}

pub(crate) fn a_table_fits_80_and_40_columns_and_says_what_it_leaves_out() {
    for command in ["list", "doctor"] {
        for width in [40, 80] {
            let (text, _) = on_terminal(width, false, ZILLIONS, &[command]);
            let wide = too_wide(&text, usize::from(width));
            assert!(wide.is_empty(), "{command} at {width}: {wide:?}\n{text}");
        }
    }
    let (text, _) = on_terminal(40, false, ZILLIONS, &["list"]);
    assert!(text.contains("not shown: library"), "{text}");
    let (wide, _) = on_terminal(40, false, ZILLIONS, &["list", "--wide"]);
    assert!(!wide.contains("not shown") && wide.contains("library"), "{wide}");
}

pub(crate) fn a_terminal_that_does_not_tell_its_width_is_one_of_80_columns() {
    for arguments in [["bench", "--list"], ["check", "--list"]] {
        let of = |width| on_terminal(width, false, ZILLIONS, &arguments);
        assert_eq!(of(0), of(80), "{arguments:?}");
    }
}

pub(crate) fn every_command_ends_the_same_on_every_terminal() {
    let server = Script::server("");
    let histories = tempfile::tempdir().expect("a folder");
    let folder = histories.path().display().to_string();
    let saved = ["check", &server.name(), "--case", "order/own-echo", "--save-history", &folder];
    assert_eq!(run(ZILLIONS, &saved).code, 0);
    let history = histories.path().read_dir().expect("a folder").next();
    let history = history.expect("a file").expect("a file").path().display().to_string();
    let name = server.name();
    let check = ["check", &name, "--case", "fanout/two"];
    let quick = ["bench", &name, "--quick", "--scenario", "small-room", "--seconds", "0.05"];
    for width in WIDTHS {
        let of = |program, arguments: &[&str]| on_terminal(width, true, program, arguments);
        let bench_folder = tempfile::tempdir().expect("a folder");
        let bench_folder = bench_folder.path().join("run").display().to_string();
        let bench = [&quick[..], &["--repeats", "1", "--out", &bench_folder]].concat();
        for (program, arguments, codes) in [
            (ZILLIONS, &check[..], &[0][..]),
            (ZILLIONS, &["verify", &history], &[0]),
            (ZILLIONS, &bench, &[0, 2]),
            (ZILLIONS, &["report", &bench_folder], &[0]),
            (ZILLIONS, &["self-check", "double-echo"], &[0]),
            (ZILLIONS, &["gallery-docs", "--check"], &[0, 1]),
            (ZILLIONS, &["nosuch"], &[64]),
            (ZILLIONS, &["bench", "--help"], &[0]),
            (ZILLIONS, &["man"], &[0, 64]),
            (ZILLIONS, &["completions", "bash"], &[0]),
            (STRESSTEST, &["-a", "127.0.0.1:0", "-p", "2", "-s", "2", "-r", "1", &name], &[0]),
        ] {
            let (text, code) = of(program, arguments);
            assert!(codes.contains(&code), "{arguments:?} at {width}: {code}: {text}");
            assert!(!text.contains("panicked"), "{arguments:?} at {width}: {text}");
        }
    }
}

pub(crate) fn of_several_targets_a_terminal_shows_which_is_checked_and_what_is_left() {
    let scripts = [Script::server(""), Script::server(""), Script::server("")];
    let [first, second, third] = scripts.each_ref().map(Script::name);
    let arguments = ["check", &first, &second, &third, "--case", "FRAME-3"];
    // Wide enough for the paths.
    let (text, code) = on_terminal(1000, true, ZILLIONS, &arguments);
    assert_eq!(code, 0, "{text}");
    let mut rest = text.as_str();
    for shown in [
        format!("[1/3] {first}"),
        format!("2 left: {second}, {third}"),
        format!("[2/3] {second}"),
        format!("1 left: {third}"),
        format!("[3/3] {third}"),
        "none left".to_owned(),
    ] {
        let at = rest.find(&shown).unwrap_or_else(|| panic!("'{shown}' is not next in {rest:?}"));
        rest = &rest[at + shown.len()..];
    }
    // What is taken away at the end leaves the report.
    assert!(rest.contains("3 targets") || rest.contains("pass"), "{rest:?}");
    let (alone, code) = on_terminal(1000, true, ZILLIONS, &["check", &first, "--case", "FRAME-3"]);
    assert_eq!(code, 0, "{alone}");
    assert!(!alone.contains("[1/1]") && !alone.contains("left"), "{alone:?}");
}

pub(crate) fn without_colours_there_are_none_in_usage_errors_either() {
    for (program, wrong) in [(ZILLIONS, "chek"), (STRESSTEST, "--nosuch"), (CLIENT, "--nosuch")] {
        let (coloured, code) = on_terminal(80, true, program, &[wrong]);
        assert!(code == 64 && coloured.contains('\x1b'), "{program}: {coloured:?}");
        for never in [["--color", "never", wrong], [wrong, "--color", "never"]] {
            let (plain, code) = on_terminal(80, true, program, &never);
            assert!(code == 64 && !plain.contains('\x1b'), "{never:?}: {plain:?}");
        }
    }
}
