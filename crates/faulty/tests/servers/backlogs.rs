//! What becomes of a backlog in the end: SLOW-1, FRAME-5, and the end of its client or server.

use std::time::Duration;

use crate::life::costs_nothing;
use crate::slow::{BACKLOG_IS_OVER, fill, fill_backlog, number_of, numbered};
use crate::starts::has_said_nothing_more;
use crate::support::{Client, Probe, Seen, Server, ensure, frame};

/// As many as a faulty server can write to at the same time.
const STALLED: usize = 50;

/// More messages than small buffers hold, and fewer than the queue of a client.
const SMALL_FLOOD: u32 = 800;

pub(crate) fn many_stalled_readers_delay_nobody(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--send-buffer-bytes=4096"])?;
    let stalled = (0..STALLED).map(|_| server.connect_small()).collect::<Result<Vec<_>, _>>()?;
    let mut sender = server.connect()?;
    fill(&mut sender, SMALL_FLOOD)?;
    sender.round_trip(b"that is all")?;
    server.connect()?.round_trip(b"late")?;
    sender.expect(b"late")?;
    drop(stalled);
    sender.round_trip(b"after")
}

/// More than wait for room in their sockets at the same time in a faulty server.
const WAITING: usize = 9;

pub(crate) fn all_who_waited_for_room_are_written_to_again(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--send-buffer-bytes=4096"])?;
    let waiting = (0..WAITING).map(|_| server.connect_small()).collect::<Result<Vec<_>, _>>();
    let mut sender = server.connect()?;
    fill(&mut sender, SMALL_FLOOD)?;
    for mut client in waiting? {
        (0..SMALL_FLOOD).try_for_each(|number| client.expect(&numbered(number)))?;
        sender.round_trip(b"new")?;
        while client.hear()? != b"new" {}
    }
    Ok(())
}

pub(crate) fn a_reset_after_a_half_close_leaves_nothing_behind(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--send-buffer-bytes=4096"])?;
    let mut sender = server.connect()?;
    sender.round_trip(b"before")?;
    let before = server.descriptors();
    let mut stalled = server.connect_small()?;
    fill(&mut sender, SMALL_FLOOD)?;
    stalled.finish()?;
    sender.round_trip(b"it is seen")?;
    sender.round_trip(b"it is seen for certain")?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    sender.round_trip(b"it is long gone")?;
    let after = server.descriptors();
    ensure(after <= before, format!("{before} descriptors before, {after} after"))?;
    server.connect()?.round_trip(b"new")
}

/// A server with one client that reads nothing of what another one has sent.
fn with_backlog(probe: &Probe) -> Result<(Server, Client, Client), String> {
    let server = probe.start()?;
    let stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    Ok((server, stalled, sender))
}

/// What there is of the backlog is whole and in order.
fn is_whole(stalled: &mut Client) -> Seen {
    let mut next = 0;
    while let Ok(Some(body)) = stalled.hear_within(BACKLOG_IS_OVER) {
        let number = number_of(&body)?;
        ensure(number >= next, format!("{number} after {next}"))?;
        next = number + 1;
    }
    ensure(next > 0, "nothing came")
}

/// Longer than a faulty server waits for a write.
const STALL: Duration = Duration::from_millis(5200);

pub(crate) fn a_backlog_is_whole_after_seconds(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_backlog(probe)?;
    ensure(sender.hear_within(STALL)?.is_none(), "nobody said anything")?;
    is_whole(&mut stalled)
}

pub(crate) fn a_backlog_is_whole_after_a_half_close(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_backlog(probe)?;
    stalled.finish()?;
    sender.round_trip(b"it is seen")?;
    is_whole(&mut stalled)
}

/// A server with little room in its sockets, a client that does not read, and one
/// that has said less than the queue for that client holds.
fn with_short_backlog(
    probe: &Probe,
    arguments: &[&str],
) -> Result<(Server, Client, Client), String> {
    let server = probe.start_with(&[&["--send-buffer-bytes=4096"], arguments].concat())?;
    let mut stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    sender.round_trip(b"both are there")?;
    stalled.expect(b"both are there")?;
    fill(&mut sender, SMALL_FLOOD)?;
    Ok((server, stalled, sender))
}

pub(crate) fn short_messages_overtake_no_backlog(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_short_backlog(probe, &[])?;
    sender.round_trip(b"short")?;
    (0..SMALL_FLOOD).try_for_each(|number| stalled.expect(&numbered(number)))?;
    stalled.expect(b"short")
}

pub(crate) fn who_has_caught_up_misses_nothing(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_backlog(probe)?;
    while stalled.hear_within(BACKLOG_IS_OVER)?.is_some() {}
    sender.round_trip(b"new")?;
    // Should it not have been over, the rest of it comes first.
    while stalled.hear()? != b"new" {}
    Ok(())
}

pub(crate) fn a_leave_with_a_backlog_disturbs_nobody(probe: &Probe) -> Seen {
    let (server, stalled, mut sender) = with_short_backlog(probe, &["--batch-milliseconds=20"])?;
    let mut other = server.connect()?;
    other.round_trip(b"it is there")?;
    sender.expect(b"it is there")?;
    // While this is gathered, one speaks and one leaves, both in one turn.
    sender.say(b"meanwhile")?;
    other.say(b"as one leaves")?;
    stalled.reset();
    for _ in ["meanwhile", "as one leaves"] {
        let heard = sender.hear()?;
        other.expect(&heard)?;
    }
    sender.round_trip(b"after")
}

/// How many messages of up to 30 bytes are sent together, how often before they are
/// read, and how often all that: more than small buffers hold, each time.
const SHORT_WINDOW: usize = 200;
const SHORT_WINDOWS: usize = 25;
const SHORT_BACKLOGS: usize = 60;

pub(crate) fn backlogs_of_short_messages_are_whole(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--send-buffer-bytes=4096", "--queue-messages=20000"])?;
    let mut stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    // Of many lengths: a cut at any place comes after a header sooner or later.
    let window: Vec<_> = (0..SHORT_WINDOW).map(|n| vec![n as u8; n * 7 % 31]).collect();
    let bytes: Vec<u8> = window.iter().flat_map(|body| frame(body)).collect();
    for _ in 0..SHORT_BACKLOGS {
        for _ in 0..SHORT_WINDOWS {
            sender.send(&bytes)?;
            window.iter().try_for_each(|body| sender.expect(body))?;
        }
        for _ in 0..SHORT_WINDOWS {
            window.iter().try_for_each(|body| stalled.expect(body))?;
        }
    }
    Ok(())
}

pub(crate) fn dropping_is_not_reported_on_standard_output(probe: &Probe) -> Seen {
    let (server, _stalled, _sender) = with_backlog(probe)?;
    has_said_nothing_more(server)
}

pub(crate) fn who_ended_and_does_not_read_is_not_waited_for(probe: &Probe) -> Seen {
    let (mut server, mut stalled, mut sender) = with_backlog(probe)?;
    stalled.finish()?;
    sender.round_trip(b"it is seen")?;
    sender.round_trip(b"it is seen for certain")?;
    server.terminate();
    server.wait().map(|_| ())
}

pub(crate) fn a_reset_with_a_backlog_costs_nothing(probe: &Probe) -> Seen {
    let (server, stalled, mut sender) = with_backlog(probe)?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    sender.round_trip(b"it is long gone")?;
    costs_nothing(&server)
}
