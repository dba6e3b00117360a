//! SLOW: clients that do not read.

use std::time::Instant;

use crate::backlog::{
    BACKLOG_IS_OVER, FLOOD, RESIDENT_BYTES_MAX, SMALL_FLOOD, WINDOW, fill, fill_backlog, number_of,
    numbered,
};
use crate::support::{Probe, Seen, ensure, frame};

/// How many new messages are looked at.
const ENOUGH_NEW: u32 = 10;

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
    while let Some(body) = stalled.receive_within(BACKLOG_IS_OVER)? {
        check(&body)?;
    }
    let (mut new, begin) = (FLOOD, Instant::now());
    loop {
        sender.round_trip(&numbered(new))?;
        new += 1;
        if check(&stalled.receive()?)? >= FLOOD + ENOUGH_NEW {
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
        flooding.write(&window)?;
    }
    let resident = server.resident_bytes();
    ensure(resident < RESIDENT_BYTES_MAX, format!("{resident} bytes of memory"))?;
    drop(flooding);
    other.send_until_received(b"fence", probe.patience)?;
    Ok(())
}

/// As many as a faulty server can write to at the same time.
const STALLED: usize = 50;

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
