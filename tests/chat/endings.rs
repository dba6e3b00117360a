//! Every way out leaves the terminal as it was.

use rustix::process::Signal;

use crate::servers::Played;
use crate::terminal::Terminal;

#[test]
fn each_key_that_quits_restores_the_terminal() {
    for key in ["\x03", "\x04", "\x1b"] {
        let server = Played::open();
        let mut terminal = Terminal::start(&[&server.address()]);
        let peer = server.accept();
        terminal.wait_for("connected to");
        terminal.wait(|screen| screen.alternate_screen() && screen.bracketed_paste());
        terminal.press(key);
        drop(peer);
        assert_eq!(terminal.wait_for_end(), 0, "{key:?}: {}", terminal.text());
        terminal.is_as_before();
    }
}

#[test]
fn each_signal_that_ends_it_restores_the_terminal() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let server = Played::open();
        let mut terminal = Terminal::start(&[&server.address()]);
        let _peer = server.accept();
        terminal.wait_for("connected to");
        terminal.signal(signal);
        assert_eq!(terminal.wait_for_end(), code, "{}", terminal.text());
        terminal.is_as_before();
    }
}

#[test]
fn while_nobody_answers_it_can_be_quit() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    drop(server.accept());
    drop(server);
    terminal.wait_for("again in");
    terminal.press("\x1b");
    assert_eq!(terminal.wait_for_end(), 0, "{}", terminal.text());
    terminal.is_as_before();
}
