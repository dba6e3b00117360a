//! What cannot be is told in one line.

use std::fs;
use std::process::Stdio;

use crate::servers::Played;
use crate::terminal::{Terminal, program};

/// Runs it without a terminal. Returns what it says on standard error, and the exit code.
fn without_terminal(arguments: &[&str]) -> (String, i32) {
    let output = program()
        .args([env!("CARGO_BIN_EXE_zillions"), "chat"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.stdout.is_empty(), "{output:?}");
    (String::from_utf8(output.stderr).expect("UTF-8"), output.status.code().expect("a code"))
}

/// Runs it on a terminal where it ends at once. Returns the last lines that it wrote.
fn at_once(arguments: &[&str], code: i32) -> String {
    let mut terminal = Terminal::start(arguments);
    assert_eq!(terminal.wait_for_end(), code, "{}", terminal.text());
    assert!(!terminal.text().contains("\x1b"));
    let text = terminal.text().replace('\n', "");
    assert_eq!(text.matches("zillions: error:").count(), 1, "{text}");
    text
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let (text, code) = without_terminal(&["localhost:8080"]);
    assert_eq!(code, 64);
    assert_eq!(
        text,
        "zillions: error: chat needs a terminal, and standard input is none: use \
         'commandline-client HOST:PORT' in pipes, scripts and on simple terminals\n"
    );
    let mut terminal = Terminal::start_with(&["TERM=dumb"], &["localhost:8080"]);
    assert_eq!(terminal.wait_for_end(), 64);
    assert!(terminal.text().replace('\n', "").contains("TERM is 'dumb'"), "{}", terminal.text());
}

#[test]
fn an_invalid_command_line_is_a_usage_error() {
    for (arguments, reason) in [
        (&["localhost"][..], "the port is missing"),
        (&["http://localhost:1"], "unknown scheme 'http'"),
        (&["--name", "a:b", "localhost:1"], "a name has no colon"),
        (&["--tls-ca", "x", "localhost:1"], "--tls-ca needs an address with tls:// or wss://"),
        (&["--token-file", "x", "tls://localhost:1"], "--token-file needs an address with ws://"),
        (&["--token-file", "/nowhere", "ws://localhost:1"], "cannot read a token from '/nowhere'"),
        (&[], "required arguments"),
    ] {
        let (text, code) = without_terminal(arguments);
        assert_eq!(code, 64, "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "two words\n").expect("a file");
    let name = file.display().to_string();
    let (text, code) = without_terminal(&["--token-file", &name, "ws://localhost:1"]);
    assert_eq!((text.contains("it must be one word of ASCII"), code), (true, 64), "{text}");
    let text = at_once(&["--tls-ca", &name, "tls://localhost:1"], 64);
    assert!(text.contains("there is no certificate in it"), "{text}");
    let text = at_once(&["--tls-ca", "/nowhere", "tls://localhost:1"], 64);
    assert!(text.contains("cannot read certificates from '/nowhere'"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_one_line() {
    let server = Played::open();
    let address = server.address();
    // A connected socket's own port cannot be listened on by chance, and refuses callers.
    let held = std::net::TcpStream::connect(&address).expect("a connection");
    let refusing = held.local_addr().expect("an address").to_string();
    for prefix in ["", "tls://", "ws://"] {
        let text = at_once(&[&format!("{prefix}{refusing}")], 70);
        assert!(text.contains(&format!("cannot connect to {refusing}: ")), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
    }
}
