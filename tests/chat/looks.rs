//! The screen at several sizes, scrolled, and without colours.

use crate::servers::Played;
use crate::terminal::{COLUMNS, ROWS, Terminal};

#[test]
fn twenty_columns_are_enough_and_a_resize_loses_nothing() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    peer.say("bob: 世界世界世界世界 and e\u{301}".as_bytes());
    terminal.wait_for("and e\u{301}");
    terminal.resize(20, 6);
    terminal.wait(|screen| screen.rows(0, 20).nth(4).is_some_and(|row| row.ends_with("250 left")));
    assert_eq!(terminal.row(0), "bob:");
    assert_eq!(terminal.row(1), "  世界世界世界世界");
    assert_eq!(terminal.row(2), "  and e\u{301}");
    assert!(terminal.row(4).starts_with("connected"), "{}", terminal.text());
    terminal.resize(COLUMNS, ROWS);
    terminal.wait_for("bob: 世界世界世界世界 and e\u{301}");
    assert!(terminal.row(-2).starts_with(&format!("connected to {}", server.address())));
}

#[test]
fn what_comes_while_older_messages_are_read_is_counted_and_marked() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    for number in 0..30 {
        peer.say(format!("bob: {number}").as_bytes());
    }
    terminal.wait_for("bob: 29");
    terminal.press("\x1b[5~");
    terminal.wait_for("bob: 11");
    peer.say(b"bob: new");
    terminal.wait_for("1 new");
    assert!(!terminal.text().contains("bob: new"));
    // To the newest.
    terminal.press("\x1b[1;5F");
    terminal.wait_for("── 1 unread ──");
    assert_eq!(terminal.row(-3), "bob: new");
    terminal.press("x");
    terminal.wait(|screen| !screen.contents().contains("unread"));
}

#[test]
fn a_lost_focus_marks_what_comes() {
    let server = Played::open();
    let mut terminal = Terminal::start(&[&server.address()]);
    let mut peer = server.accept();
    terminal.wait_for("connected to");
    // In order with what is typed, so that it has been seen when the letter is.
    terminal.press("\x1b[Ox");
    terminal.wait_for("> x");
    peer.say(b"bob: are you there?");
    terminal.wait_for("── 1 unread ──");
}

#[test]
fn colours_are_used_unless_they_are_not_wanted() {
    let foreground = |written: &[u8]| {
        let text = String::from_utf8_lossy(written).into_owned();
        (30..38).any(|colour| {
            text.contains(&format!("[{colour}")) || text.contains(&format!(";{colour}"))
        }) || text.contains("38;5;")
    };
    for (variables, options, wanted) in [
        (&[][..], &[][..], true),
        (&["NO_COLOR=1"], &[], false),
        (&[], &["--color", "never"], false),
        (&["NO_COLOR=1"], &["--color", "always"], true),
    ] {
        let server = Played::open();
        let address = server.address();
        let arguments = [options, &[address.as_str()]].concat();
        let mut terminal = Terminal::start_with(variables, &arguments);
        let mut peer = server.accept();
        peer.say(b"bob: \xff");
        terminal.wait_for("bob: \\xff");
        assert_eq!(foreground(&terminal.written), wanted, "{variables:?} {options:?}");
    }
}
