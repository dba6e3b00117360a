//! SLOW, MEM and DROP: a reader that stalls.

use std::time::{Duration, Instant};

use crate::support::{Client, Probe, Seen, ensure, frame};

/// How many messages fill what the kernel buffers for a stalled reader, and the
/// server's own queue, several times over.
const FLOOD: u32 = 100_000;

/// How many of them are under way together: fewer than one server queue holds.
pub(crate) const WINDOW: u32 = 200;

const BODY_BYTES: usize = 200;

/// More than a server with bounded queues takes, and less than the flood.
const RESIDENT_BYTES_MAX: usize = 14 << 20;

/// How long nothing comes after the backlog. If it is cut short, the rest of
/// the backlog comes before what is new.
pub(crate) const BACKLOG_IS_OVER: Duration = Duration::from_millis(100);

/// How many new messages are looked at.
const ENOUGH_NEW: u32 = 10;

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

/// Sends so many messages, and reads its own echoes.
pub(crate) fn fill(sender: &mut Client, messages: u32) -> Seen {
    in_windows(messages, |bytes, bodies| {
        sender.send(bytes)?;
        bodies.iter().try_for_each(|body| sender.expect(body))
    })
}

/// Takes so many messages through `pass`, a window at a time: frames and bodies.
fn in_windows(messages: u32, mut pass: impl FnMut(&[u8], &[Vec<u8>]) -> Seen) -> Seen {
    for first in (0..messages).step_by(WINDOW as usize) {
        let bodies: Vec<_> = (first..first + WINDOW).map(numbered).collect();
        pass(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>(), &bodies)?;
    }
    Ok(())
}

pub(crate) fn a_stalled_reader_delays_nobody_and_resumes_with_whole_frames(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    let resident = server.resident_bytes();
    ensure(resident < RESIDENT_BYTES_MAX, format!("{resident} bytes of memory"))?;
    // Whole messages in order, each once: the backlog, and then what is new.
    let (mut next, mut heard) = (0, 0);
    let mut check = |body: &[u8]| {
        let number = number_of(body)?;
        ensure(number >= next, format!("{number} after {next}"))?;
        next = number + 1;
        heard += 1;
        Ok::<_, String>(number)
    };
    while let Some(body) = stalled.hear_within(BACKLOG_IS_OVER)? {
        check(&body)?;
    }
    let (mut new, begin) = (FLOOD, Instant::now());
    loop {
        sender.round_trip(&numbered(new))?;
        new += 1;
        if check(&stalled.hear()?)? >= FLOOD + ENOUGH_NEW {
            break;
        }
        ensure(begin.elapsed() < probe.patience * 4, "nothing new comes")?;
    }
    ensure(heard < FLOOD, "it missed nothing: the flood was too small")
}

pub(crate) fn a_flood_from_one_who_never_reads_is_survived(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut flooding = server.connect_small()?;
    let mut other = server.connect()?;
    let window: Vec<u8> = (0..WINDOW).flat_map(|number| frame(&numbered(number))).collect();
    for _ in 0..FLOOD / WINDOW {
        flooding.send(&window)?;
    }
    let resident = server.resident_bytes();
    ensure(resident < RESIDENT_BYTES_MAX, format!("{resident} bytes of memory"))?;
    drop(flooding);
    other.say_until_heard(b"fence", probe.patience)?;
    Ok(())
}

pub(crate) fn echoes_that_nobody_reads_cost_little_memory(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut sender = server.connect_small()?;
    let mut other = server.connect()?;
    in_windows(FLOOD, |bytes, bodies| {
        sender.send(bytes)?;
        bodies.iter().try_for_each(|body| other.expect(body))
    })?;
    let resident = server.resident_bytes();
    ensure(resident < RESIDENT_BYTES_MAX, format!("{resident} bytes of memory"))
}

pub(crate) fn the_backlog_of_one_who_left_is_forgotten(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let stalled = server.connect_small()?;
    let mut sender = server.connect()?;
    fill_backlog(&mut sender)?;
    stalled.reset();
    sender.round_trip(b"it is gone")?;
    server.connect()?.round_trip(b"new")
}
