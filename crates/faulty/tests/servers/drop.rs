//! DROP: what may not be lost.

use std::time::Duration;

use crate::backlog::{BACKLOG_IS_OVER, SMALL_FLOOD, fill, numbered, with_backlog};
use crate::support::{Probe, Seen, ensure, two_agree};

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
        while client.receive()? != b"new" {}
    }
    Ok(())
}

pub(crate) fn who_has_caught_up_misses_nothing(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_backlog(probe)?;
    while stalled.receive_within(BACKLOG_IS_OVER)?.is_some() {}
    sender.round_trip(b"new")?;
    // Should it not have been over, the rest of it comes first.
    while stalled.receive()? != b"new" {}
    Ok(())
}

/// More than two megabytes, and no multiple of a power of two at a time.
const ROUND_TRIPS: usize = 10_500;

pub(crate) fn megabytes_pass_one_message_at_a_time(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    (0..ROUND_TRIPS).try_for_each(|_| client.round_trip(&[7; 200]))
}

pub(crate) fn two_who_send_at_once_hear_themselves(probe: &Probe) -> Seen {
    // So that what arrives within twenty milliseconds arrives together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let (mut first, mut second) = (server.connect()?, server.connect()?);
    second.round_trip(b"both are there")?;
    first.expect(b"both are there")?;
    two_agree(&server, &mut first, &mut second)
}

/// Longer than a faulty server stays awake.
const SILENCE: Duration = Duration::from_millis(2200);

pub(crate) fn silence_costs_no_message(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.round_trip(b"before")?;
    ensure(client.receive_within(SILENCE)?.is_none(), "nobody said anything")?;
    client.round_trip(b"after")
}
