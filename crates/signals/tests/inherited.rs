//! A shell ignores signals for what it starts; this executable is started by one.

use std::process::Command;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Where this is set, this executable only says which signals it may handle.
const SAY: &str = "ZILLIONS_TEST_SAY_SIGNALS";

fn said_below(trap: &str) -> String {
    let own = std::env::current_exe().expect("a path");
    let script = format!("{trap}exec '{}' --nocapture --exact ignored_ones_stay", own.display());
    let output = Command::new("sh").args(["-c", &script]).env(SAY, "1").output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("may handle ").map(str::to_owned)).expect("said")
}

#[test]
fn ignored_ones_stay() {
    if std::env::var(SAY).is_ok() {
        println!("\nmay handle {:?}", zillions_signals::not_ignored(&[SIGHUP, SIGINT, SIGTERM]));
        return;
    }
    // Other tests' runners may be started with some of them ignored, too.
    let all = said_below("trap - HUP INT TERM; ");
    let without = said_below("trap '' HUP INT; ");
    assert_eq!(without, format!("[{SIGTERM}]"));
    assert!(all.contains(&SIGTERM.to_string()), "{all}");
}
