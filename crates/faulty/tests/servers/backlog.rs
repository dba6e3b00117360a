//! Backlogs for clients that do not read.

use std::time::Duration;

use crate::support::{Client, Probe, Seen, Server, ensure, frame};

/// How many messages fill what the kernel buffers for a stalled reader, and the
/// server's own queue, several times over.
pub(crate) const FLOOD: u32 = 100_000;

/// How many of them are under way together: fewer than one server queue holds.
pub(crate) const WINDOW: u32 = 200;

const BODY_BYTES: usize = 200;

/// More than a server with bounded queues takes, and less than the flood.
pub(crate) const RESIDENT_BYTES_MAX: usize = 14 << 20;

/// How long nothing comes after the backlog. If it is cut short, the rest of
/// the backlog comes before what is new.
pub(crate) const BACKLOG_IS_OVER: Duration = Duration::from_millis(100);

/// A body that tells whether it is intact.
pub(crate) fn numbered(number: u32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(BODY_BYTES, number as u8);
    body
}

pub(crate) fn number_of(body: &[u8]) -> Result<u32, String> {
    let number = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let number = number.ok_or_else(|| format!("a cut body: {body:?}"))?;
    ensure(body == numbered(number), format!("a mixed body: {body:?}"))?;
    Ok(number)
}

/// Sends more than all buffers hold, and reads its own echoes.
pub(crate) fn fill_backlog(sender: &mut Client) -> Seen {
    fill(sender, FLOOD)
}

/// Sends this many messages, and reads their echoes.
pub(crate) fn fill(sender: &mut Client, messages: u32) -> Seen {
    in_windows(messages, |bytes, bodies| {
        sender.write(bytes)?;
        bodies.iter().try_for_each(|body| sender.expect(body))
    })
}

/// Takes this many messages through `pass`, one window at a time: frames and bodies.
pub(crate) fn in_windows(messages: u32, mut pass: impl FnMut(&[u8], &[Vec<u8>]) -> Seen) -> Seen {
    for first in (0..messages).step_by(WINDOW as usize) {
        let bodies: Vec<_> = (first..first + WINDOW).map(numbered).collect();
        pass(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>(), &bodies)?;
    }
    Ok(())
}

/// More messages than small buffers hold, and fewer than the queue of a client.
pub(crate) const SMALL_FLOOD: u32 = 800;

/// A server with one client that reads nothing of what another one has sent.
pub(crate) fn with_backlog(probe: &Probe) -> Result<(Server, Client, Client), String> {
    let server = probe.start()?;
    let stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    Ok((server, stalled, sender))
}

/// A server with little room in its sockets, a client that does not read, and one
/// that has said less than the queue for that client holds.
pub(crate) fn with_short_backlog(
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
