//! FRAME and FANOUT-1.

use std::time::{Duration, Instant};

use crate::support::{Probe, Seen, ensure, frame, raise_descriptor_limit};

pub(crate) fn bodies_arrive_unchanged_and_once(probe: &Probe) -> Seen {
    let server = probe.start()?;
    // The silent one first: when the other one is served, so is it.
    let mut silent = server.connect()?;
    let mut sender = server.connect()?;
    let every_byte: Vec<u8> = (0..=254).collect();
    let bodies: &[&[u8]] = &[
        b"one",
        b"/quit",
        b"\xef\xbb\xbfmarked",
        "e\u{301}".as_bytes(),
        b"",
        b"same",
        b"same",
        b"two\nlines\n",
        b"like this",
        b"like thus",
        b"zero\0inside",
        &[0xff, 0xfe],
        b"ten bytes!",
        &[b'x'; 127],
        &[b'x'; 128],
        &[0xff; 254],
        &every_byte,
        &[0xff; 255],
        b"",
        &[b'y'; 128],
        &[b'y'; 128],
    ];
    for body in bodies {
        sender.round_trip(body)?;
        silent.expect(body)?;
    }
    // A copy too many would come before this.
    silent.round_trip(b"fence")?;
    sender.expect(b"fence")
}

pub(crate) fn frames_may_arrive_in_pieces(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut clients = [server.connect()?, server.connect()?, server.connect()?];
    // Whoever was heard is read from: from then on each piece is read by itself.
    for speaker in 0..clients.len() {
        clients[speaker].say(b"hello")?;
        for client in &mut clients {
            client.expect(b"hello")?;
        }
    }
    let pieces: [(usize, &[u8]); 6] =
        [(0, b"\x04"), (0, b"a"), (1, b"\x03xy"), (0, b"bc"), (1, b"z"), (0, b"d")];
    for (at, piece) in pieces {
        clients[at].send(piece)?;
        if piece == b"z" || piece == b"d" {
            let whole: &[u8] = if piece == b"z" { b"xyz" } else { b"abcd" };
            for client in &mut clients {
                client.expect(whole)?;
            }
        }
        clients[2].say(b"meanwhile")?;
        for client in &mut clients {
            client.expect(b"meanwhile")?;
        }
    }
    Ok(())
}

/// How often four frames are sent together: often enough for what happens to
/// one in 100 pairs.
const BURSTS: usize = 100;

pub(crate) fn frames_may_arrive_together(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let (mut other, mut sender) = (server.connect()?, server.connect()?);
    let burst: [&[u8]; 4] = [b"one", b"", b"three", b"four"];
    for _ in 0..BURSTS {
        sender.send(&burst.map(frame).concat())?;
        for body in burst {
            sender.expect(body)?;
            other.expect(body)?;
        }
    }
    Ok(())
}

pub(crate) fn frames_may_lie_across_reads(probe: &Probe) -> Seen {
    let server = probe.start_with(&["--read-bytes-max=1000"])?;
    let mut client = server.connect()?;
    let bodies: Vec<Vec<u8>> = (0..=255).map(|number| vec![number; 150]).collect();
    client.send(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

pub(crate) fn what_fills_a_buffer_does_not_wait(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    // A faulty server's buffer is filled to the last byte by one of these.
    for frames in [2, 4, 8, 16, 32] {
        client.send(&frame(&[7; 255]).repeat(frames))?;
        (0..frames).try_for_each(|_| client.expect(&[7; 255]))?;
    }
    Ok(())
}

/// More than a faulty server looks at together, in fewer bytes than one read brings.
const SHORT_FRAMES: usize = 700;

pub(crate) fn hundreds_of_frames_may_arrive_together(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.send(&frame(b"x").repeat(SHORT_FRAMES))?;
    (0..SHORT_FRAMES).try_for_each(|_| client.expect(b"x"))
}

pub(crate) fn a_frame_may_look_like_a_request(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    // The header is the letter G.
    let body = format!("{:71}", "ET / HTTP/1.1");
    client.round_trip(body.as_bytes())?;
    client.round_trip(b"after")
}

pub(crate) fn many_open_frames_delay_nobody(probe: &Probe) -> Seen {
    open_frames_delay_nobody(probe, 64)
}

pub(crate) fn five_hundred_open_frames_delay_nobody(probe: &Probe) -> Seen {
    raise_descriptor_limit();
    open_frames_delay_nobody(probe, 500)
}

fn open_frames_delay_nobody(probe: &Probe, open_frames: usize) -> Seen {
    let server = probe.start()?;
    let holders = (0..open_frames).map(|_| server.connect()).collect::<Result<Vec<_>, _>>();
    let mut holders = holders?;
    holders.iter_mut().try_for_each(|holder| holder.send(b"\x05half"))?;
    let mut other = server.connect()?;
    for body in [b"first", b"other"] {
        other.round_trip(body)?;
        holders.iter_mut().try_for_each(|holder| holder.expect(body))?;
    }
    holders[0].send(b"!")?;
    other.expect(b"half!")
}

pub(crate) fn long_writes_are_read_to_the_end(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    let bodies: Vec<Vec<u8>> = (0..=255).map(|number| vec![number; 255]).collect();
    client.send(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

pub(crate) fn nothing_comes_unasked(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.round_trip(b"before")?;
    ensure(client.hear_within(PAUSE)?.is_none(), "nobody said anything")?;
    client.round_trip(b"after")
}

/// Longer than a faulty server waits for anybody.
const PAUSE: Duration = Duration::from_millis(2500);

pub(crate) fn a_pause_is_not_the_end(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut quiet = server.connect()?;
    let mut pausing = server.connect()?;
    let mut busy = server.connect()?;
    pausing.send(b"\x04wh")?;
    let begin = Instant::now();
    while begin.elapsed() < PAUSE {
        busy.round_trip(b"tick")?;
        quiet.expect(b"tick")?;
        pausing.expect(b"tick")?;
    }
    pausing.send(b"en")?;
    quiet.expect(b"when")?;
    busy.expect(b"when")
}
