//! The client on a terminal.

use rexpect::session::spawn_command;

use crate::fake_server::{FakeServer, PATIENT, program};

const STUCK_MS: u64 = 120_000;

#[test]
fn on_a_terminal_it_says_that_it_is_connected_and_keeps_the_terminal_whole() {
    let server = FakeServer::open();
    let address = server.address().to_string();
    let mut command = program();
    command.args([PATIENT, &address]);
    let mut terminal = spawn_command(command, Some(STUCK_MS)).expect("a terminal");
    let mut peer = server.accept();
    terminal
        .exp_string(&format!("commandline-client: connected to {address}; ctrl-D ends"))
        .expect("it says that it is connected");

    terminal.send_line("hello").expect("a terminal");
    assert_eq!(peer.hear(), Some(b"hello".to_vec()));

    // Would clear the screen, ring the bell and set the title.
    peer.say(b"\x1b[2J\x07\x1b]0;owned\x07");
    let before = terminal.exp_string("\\x1b[2J\\x07\\x1b]0;owned\\x07").expect("escapes");
    assert!(!before.contains(['\x1b', '\x07']), "{before:?}");

    terminal.send_control('d').expect("a terminal");
    assert_eq!(peer.hear(), None);
    drop(peer);
    let rest = terminal.exp_eof().expect("it ends");
    assert!(!rest.contains("error"), "{rest:?}");
    let status = terminal.process().wait().expect("a child");
    let status = format!("{status:?}");
    assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
}
