//! FRAME: bodies, pieces, partial frames.

use std::time::{Duration, Instant};

use crate::backlog::{BACKLOG_IS_OVER, number_of, with_backlog};
use crate::support::{Client, Probe, Seen, ensure, frame, raise_descriptor_limit};

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
    // A client that was heard is read from: from then on each piece is read by itself. The last
    // one first: when it is served, all have been accepted.
    for speaker in (0..clients.len()).rev() {
        clients[speaker].send(b"hello")?;
        for client in &mut clients {
            client.expect(b"hello")?;
        }
    }
    let pieces: [(usize, &[u8]); 6] =
        [(0, b"\x04"), (0, b"a"), (1, b"\x03xy"), (0, b"bc"), (1, b"z"), (0, b"d")];
    for (at, piece) in pieces {
        clients[at].write(piece)?;
        if piece == b"z" || piece == b"d" {
            let whole: &[u8] = if piece == b"z" { b"xyz" } else { b"abcd" };
            for client in &mut clients {
                client.expect(whole)?;
            }
        }
        clients[2].send(b"meanwhile")?;
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
        sender.write(&burst.map(frame).concat())?;
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
    client.write(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

pub(crate) fn what_fills_a_buffer_does_not_wait(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    // A faulty server's buffer is filled to the last byte by one of these.
    for frames in [2, 4, 8, 16, 32] {
        client.write(&frame(&[7; 255]).repeat(frames))?;
        (0..frames).try_for_each(|_| client.expect(&[7; 255]))?;
    }
    Ok(())
}

/// How many messages bring a connection to where the kernel delays acknowledgements.
const ANSWERED_MESSAGES: usize = 30;
/// How many headers are sent alone. A kernel delays the acknowledgement of each by 40 ms.
const HEADERS_ALONE: usize = 10;
/// The fastest echo takes less, on a busy machine too.
const PROMPT: Duration = Duration::from_millis(25);

pub(crate) fn a_header_is_acknowledged_at_once(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    let nagle = client.stream.set_nodelay(false);
    nagle.map_err(|error| format!("Nagle's algorithm: {error}"))?;
    (0..ANSWERED_MESSAGES).try_for_each(|_| client.round_trip(b"in one segment"))?;
    let mut fastest = Duration::MAX;
    for _ in 0..HEADERS_ALONE {
        let begun = Instant::now();
        client.write(b"\x0b")?;
        client.write(b"in segments")?;
        client.expect(b"in segments")?;
        fastest = fastest.min(begun.elapsed());
    }
    ensure(fastest < PROMPT, format!("the fastest echo took {fastest:?}"))
}

/// More than a faulty server looks at together, in fewer bytes than one read brings.
const SHORT_FRAMES: usize = 700;

pub(crate) fn hundreds_of_frames_may_arrive_together(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.write(&frame(b"x").repeat(SHORT_FRAMES))?;
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
    holders.iter_mut().try_for_each(|holder| holder.write(b"\x05half"))?;
    let mut other = server.connect()?;
    for body in [b"first", b"other"] {
        other.round_trip(body)?;
        holders.iter_mut().try_for_each(|holder| holder.expect(body))?;
    }
    holders[0].write(b"!")?;
    other.expect(b"half!")
}

pub(crate) fn long_writes_are_read_to_the_end(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    let bodies: Vec<Vec<u8>> = (0..=255).map(|number| vec![number; 255]).collect();
    client.write(&bodies.iter().flat_map(|body| frame(body)).collect::<Vec<u8>>())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

pub(crate) fn nothing_comes_unasked(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    client.round_trip(b"before")?;
    ensure(client.receive_within(PAUSE)?.is_none(), "nobody said anything")?;
    client.round_trip(b"after")
}

/// Longer than a faulty server waits for anybody.
const PAUSE: Duration = Duration::from_millis(2500);

pub(crate) fn a_pause_is_not_the_end(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut quiet = server.connect()?;
    let mut pausing = server.connect()?;
    let mut busy = server.connect()?;
    pausing.write(b"\x04wh")?;
    let begin = Instant::now();
    while begin.elapsed() < PAUSE {
        busy.round_trip(b"tick")?;
        quiet.expect(b"tick")?;
        pausing.expect(b"tick")?;
    }
    pausing.write(b"en")?;
    quiet.expect(b"when")?;
    busy.expect(b"when")
}

pub(crate) fn a_partial_frame_at_the_end_is_discarded(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut other = server.connect()?;
    let mut ending = server.connect()?;
    ending.write(b"\x05whole\x05half")?;
    ending.half_close()?;
    ending.expect(b"whole")?;
    ending.expect_end()?;
    other.expect(b"whole")?;
    let mut joiner = server.connect()?;
    joiner.round_trip(b"after it")?;
    other.expect(b"after it")
}

/// What there is of the backlog is whole and in order.
fn is_whole(stalled: &mut Client) -> Seen {
    let mut next = 0;
    while let Ok(Some(body)) = stalled.receive_within(BACKLOG_IS_OVER) {
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
    ensure(sender.receive_within(STALL)?.is_none(), "nobody said anything")?;
    is_whole(&mut stalled)
}

pub(crate) fn a_backlog_is_whole_after_a_half_close(probe: &Probe) -> Seen {
    let (_server, mut stalled, mut sender) = with_backlog(probe)?;
    stalled.half_close()?;
    sender.round_trip(b"it is seen")?;
    is_whole(&mut stalled)
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
            sender.write(&bytes)?;
            window.iter().try_for_each(|body| sender.expect(body))?;
        }
        for _ in 0..SHORT_WINDOWS {
            window.iter().try_for_each(|body| stalled.expect(body))?;
        }
    }
    Ok(())
}

pub(crate) fn long_frames_may_arrive_together(probe: &Probe) -> Seen {
    let server = probe.start()?;
    let mut client = server.connect()?;
    let bodies = [vec![1; 255], vec![2; 3], vec![3; 200], vec![4; 255]];
    client.write(&bodies.each_ref().map(|body| frame(body)).concat())?;
    bodies.iter().try_for_each(|body| client.expect(body))
}

/// Long frames: far more than a socket holds before its system
/// finds that it needs a larger buffer. Several times.
const LONG_FRAMES: usize = 10_000;

const LONG_BURSTS: usize = 3;

pub(crate) fn long_bursts_fill_any_read_buffer(probe: &Probe) -> Seen {
    // So that more than one buffer arrives between two reads.
    let server = probe.start_with(&["--batch-milliseconds=2", "--queue-messages=20000"])?;
    let mut client = server.connect()?;
    // Their frames do not fit evenly into any buffer.
    let body = |number: usize| vec![number as u8; 250];
    let burst: Vec<u8> = (0..LONG_FRAMES).flat_map(|number| frame(&body(number))).collect();
    for _ in 0..LONG_BURSTS {
        client.write(&burst)?;
        (0..LONG_FRAMES).try_for_each(|number| client.expect(&body(number)))?;
    }
    Ok(())
}

pub(crate) fn empty_messages_of_two_clients_are_two(probe: &Probe) -> Seen {
    // So that what arrives within twenty milliseconds arrives together.
    let server = probe.start_with(&["--batch-milliseconds=20"])?;
    let mut clients = [server.connect()?, server.connect()?, server.connect()?];
    clients[2].round_trip(b"all are there")?;
    clients[..2].iter_mut().try_for_each(|client| client.expect(b"all are there"))?;
    for _ in 0..5 {
        // While this is gathered, two say nothing.
        clients[2].send(b"meanwhile")?;
        clients[0].send(b"")?;
        clients[1].send(b"")?;
        for client in &mut clients {
            let mut heard = [client.receive()?, client.receive()?, client.receive()?];
            heard.sort();
            ensure(heard == [&b""[..], b"", b"meanwhile"], format!("heard {heard:?}"))?;
        }
    }
    Ok(())
}
