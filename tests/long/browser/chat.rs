//! The chat page as zillions-server serves it: two of them and a program, hostile messages, a server
//! that goes away, small screens.

pub(crate) mod room;

use std::io::Write as _;

use crate::Pages;
use crate::chromium::{Look, Tab};
use room::{Room, frame, hear};

const CONNECTED: &str = "document.getElementById('state').dataset.state === 'connected'";
const SMALLEST: Look = Look { width: 320, ..Look::DESKTOP };

fn open<'a>(pages: &'a Pages, room: &Room, look: Look) -> Tab<'a> {
    let tab = pages.chromium.open_address(&room.address(), look);
    tab.until(CONNECTED);
    tab
}

/// Writes into a field as a user does.
fn write(tab: &Tab<'_>, field: &str, text: &str) {
    let _: bool = tab.ask(&format!(
        "(() => {{
           const field = document.getElementById('{field}');
           field.value = {text:?};
           field.dispatchEvent(new Event('input', {{ bubbles: true }}));
           return true;
         }})()"
    ));
}

/// What each line of the log says after its time.
fn lines(tab: &Tab<'_>) -> Vec<String> {
    tab.ask(
        "[...document.querySelectorAll('#log li')]
           .map((line) => [...line.childNodes].slice(1).map((it) => it.textContent).join(''))",
    )
}

fn until_lines(tab: &Tab<'_>, number: usize) -> Vec<String> {
    tab.until(&format!("document.querySelectorAll('#log li').length >= {number}"));
    lines(tab)
}

pub(crate) fn two_pages_and_a_program_hear_each_other(pages: &Pages) {
    let room = Room::start();
    let mut program = room.join();
    let ann = open(pages, &room, Look::DESKTOP);
    let bob = open(pages, &room, Look::PHONE);
    write(&ann, "name", "Ann");
    write(&ann, "text", "Grüße, 🙂");
    let _: bool = ann.ask("document.getElementById('text').focus(), true");
    ann.press("Enter");
    write(&bob, "name", "");
    for tab in [&ann, &bob] {
        assert_eq!(until_lines(tab, 1), ["Ann: Grüße, 🙂"]);
        let name: String = tab.ask("document.querySelector('#log .name').textContent");
        assert_eq!(name, "Ann");
    }
    write(&bob, "text", "hello");
    let _: bool = bob.ask("document.getElementById('send').click(), true");
    assert_eq!(until_lines(&ann, 2)[1], "hello");
    let said = [frame("Ann: Grüße, 🙂".as_bytes()), frame(b"hello")].concat();
    assert_eq!(hear(&mut program, said.len()), said, "what pages send is whole frames");
    program.write_all(&frame("Tcl: grüßt zurück".as_bytes())).expect("it is sent");
    for tab in [&ann, &bob] {
        assert_eq!(until_lines(tab, 3)[2], "Tcl: grüßt zurück");
    }
    for tab in [&ann, &bob] {
        assert_eq!(tab.complaints(), Vec::<String>::new());
        let foreign: Vec<String> = tab.requests();
        assert!(
            foreign.iter().all(|it| it == &room.address() || it.starts_with("data:")),
            "{foreign:?}"
        );
    }
}

pub(crate) fn hostile_messages_do_nothing(pages: &Pages) {
    let room = Room::start();
    let tab = open(pages, &room, Look::DESKTOP);
    let markup = "</script><script>window.ran=1</script><img src=x onerror='window.ran=1'>";
    let override_order = "a\u{202e}b\u{7}";
    let bodies = [markup.as_bytes(), b"\xff\x00", override_order.as_bytes(), b"", b"x: <b>y</b>"];
    // All in one message, as a busy server sends them.
    room.say(&bodies);
    let shown = until_lines(&tab, bodies.len());
    let expected =
        [markup, "not text, 2 bytes: ff 00", "a\\u{202e}b\\u{7}", "(empty message)", "x: <b>y</b>"];
    assert_eq!(shown, expected);
    let elements: usize = tab.ask("document.querySelectorAll('#log :not(li, time, bdi)').length");
    assert_eq!(elements, 0, "messages are text");
    let ran: bool = tab.ask("window.ran !== undefined");
    assert!(!ran);
    assert_eq!(tab.refused_fetch(), "connect-src");
}

pub(crate) fn a_page_connects_again(pages: &Pages) {
    let mut room = Room::start();
    let tab = open(pages, &room, Look::DESKTOP);
    let _: bool = tab.ask(
        "(() => {
           const state = document.getElementById('state');
           window.states = [];
           new MutationObserver(() => window.states.push(state.textContent))
             .observe(state, { childList: true });
           return true;
         })()",
    );
    write(&tab, "text", "kept");
    room.replace();
    tab.until("document.getElementById('log').textContent.includes('Connected again')");
    tab.until(CONNECTED);
    let states: Vec<String> = tab.ask("window.states");
    assert!(states[0].starts_with("Disconnected; next try in 1 s"), "{states:?}");
    assert_eq!(states.last().map(String::as_str), Some("Connected"), "{states:?}");
    let kept: String = tab.ask("document.getElementById('text').value");
    assert_eq!(kept, "kept", "what was being written is not lost");
}

pub(crate) fn it_is_readable(pages: &Pages) {
    let room = Room::start();
    for look in [SMALLEST, Look::PHONE, Look::DESKTOP, Look::DARK] {
        let tab = open(pages, &room, look);
        room.say(&[b"Ann: hello", "w".repeat(255).as_bytes(), b"\xff"]);
        until_lines(&tab, 3);
        for check in ["wide", "nameless", "headings"] {
            let findings: Vec<String> = tab.ask(&format!("checks.{check}()"));
            assert_eq!(findings, Vec::<String>::new(), "{check} at {} pixels", look.width);
        }
        let background: String = tab.ask("getComputedStyle(document.body).backgroundColor");
        assert_eq!(background == "rgb(21, 25, 26)", look.is_dark, "{background}");
        // 255 bytes, name and all.
        write(&tab, "name", "Ann");
        write(&tab, "text", &"é".repeat(125));
        let left = "document.getElementById('room').textContent";
        assert_eq!(tab.ask::<String>(left), "0 bytes left");
        assert!(!tab.ask::<bool>("document.getElementById('send').disabled"));
        write(&tab, "text", &"é".repeat(126));
        assert_eq!(tab.ask::<String>(left), "2 bytes too long");
        assert!(tab.ask::<bool>("document.getElementById('send').disabled"));
    }
}
