//! END: half-close and resets, and what is left of a client.

use crate::backlog::{SMALL_FLOOD, fill, fill_backlog};
use crate::support::{Probe, Seen, Server, ensure, frame, gives_back};

pub(crate) fn frames_before_the_end_are_delivered(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut other = server.connect()?;
    for _ in 0..5 {
        let mut ending = server.connect()?;
        ending.write(b"\x01x\x01y\x01z")?;
        ending.half_close()?;
        for body in [b"x", b"y", b"z"] {
            other.expect(body)?;
            ending.expect(body)?;
        }
        ending.expect_end()?;
    }
    Ok(())
}

/// Several times what a faulty server still reads when the end has arrived.
const LAST_MESSAGES: u8 = 30;

pub(crate) fn much_before_the_end_is_delivered(probe: &Probe) -> Seen {
    // So that what arrives within twenty milliseconds arrives together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut other = server.connect()?;
    let mut ending = server.connect()?;
    ending.round_trip(b"both are there")?;
    other.expect(b"both are there")?;
    let bodies = (0..LAST_MESSAGES).map(|number| vec![number; 100]);
    ending.write(&bodies.clone().flat_map(|body| frame(&body)).collect::<Vec<u8>>())?;
    ending.half_close()?;
    for body in bodies {
        other.expect(&body)?;
        ending.expect(&body)?;
    }
    ending.expect_end()
}

pub(crate) fn a_reset_in_mid_frame_ends_one_client(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut other = server.connect()?;
    let mut resetting = server.connect()?;
    // A client that was heard is read from, so that the reset finds nothing unread.
    resetting.round_trip(b"hello")?;
    other.expect(b"hello")?;
    resetting.write(b"\x05half")?;
    other.round_trip(b"before")?;
    resetting.expect(b"before")?;
    resetting.reset();
    // The first may be read together with the reset, and before it.
    other.round_trip(b"after")?;
    other.round_trip(b"well after")?;
    server.connect()?.round_trip(b"joined after")
}

pub(crate) fn a_reset_while_writing_ends_one_client(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    stalled.reset();
    sender.round_trip(b"after")
}

pub(crate) fn a_reset_right_after_connecting_ends_one_client(probe: &Probe) -> Seen {
    let server = probe.start()?;
    for _ in 0..50 {
        server.connect()?.reset();
    }
    server.connect()?.round_trip(b"after")
}

/// Clients that come and go, half of them by a reset.
fn churn(server: &Server, count: usize) -> Seen {
    let mut staying = server.connect()?;
    for _ in 0..count {
        let mut finishing = server.connect()?;
        let resetting = server.connect()?;
        finishing.half_close()?;
        finishing.expect_end()?;
        resetting.reset();
        staying.round_trip(b"still here")?;
    }
    staying.half_close()?;
    staying.expect_end()
}

pub(crate) fn descriptors_are_given_back(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let before = server.descriptors();
    churn(&server, 30)?;
    let mut asker = server.connect()?;
    // The asker's own is among them.
    gives_back(&server, &mut asker, before + 1)
}

pub(crate) fn descriptors_of_cut_frames_are_given_back(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut staying = server.connect()?;
    staying.round_trip(b"before")?;
    let before = server.descriptors();
    for _ in 0..10 {
        let mut cut = server.connect()?;
        cut.round_trip(b"hello")?;
        staying.expect(b"hello")?;
        cut.write(b"\x05half")?;
        staying.round_trip(b"it is read")?;
        cut.reset();
        staying.round_trip(b"it is gone")?;
    }
    gives_back(&server, &mut staying, before)
}

pub(crate) fn nothing_is_left_of_past_clients(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let before = server.threads_and_children()?;
    churn(&server, 20)?;
    let after = server.threads_and_children()?;
    ensure(after <= before, format!("{before} threads and children before, {after} after"))
}

pub(crate) fn memory_of_past_clients_is_given_back(probe: &Probe) -> Seen {
    let server = probe.start()?;
    churn(&server, 10)?;
    let before = server.resident_bytes();
    churn(&server, 100)?;
    let grown = server.resident_bytes().saturating_sub(before);
    ensure(grown < 4 << 20, format!("grown by {grown} bytes"))
}

pub(crate) fn a_reset_after_a_half_close_leaves_nothing_behind(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--send-buffer-bytes=4096"])?;
    let mut sender = server.connect()?;
    sender.round_trip(b"before")?;
    let before = server.descriptors();
    let mut stalled = server.connect_small()?;
    fill(&mut sender, SMALL_FLOOD)?;
    stalled.half_close()?;
    sender.round_trip(b"it is seen")?;
    sender.round_trip(b"it is seen for certain")?;
    stalled.reset();
    gives_back(&server, &mut sender, before)?;
    server.connect()?.round_trip(b"new")
}

pub(crate) fn a_backlog_is_given_up_with_its_client(probe: &Probe) -> Seen {
    let mut server = probe.start()?;
    let mut sender = server.connect()?;
    sender.round_trip(b"before")?;
    let before = server.descriptors();
    let stalled = server.connect_small()?;
    fill_backlog(&mut sender)?;
    stalled.reset();
    gives_back(&server, &mut sender, before)?;
    let _stalled = server.connect_small()?;
    fill_backlog(&mut sender)?;
    server.terminate();
    server.wait().map(|_| ())
}
