//! FRAME-1 to FRAME-3: what streams and bodies may hold.

use crate::case::Case;
use crate::cases::common::ends::end_of_stream;
use crate::cases::common::messages::{equal_at_once, random_body};
use crate::cases::common::pauses::LONG_PAUSE;
use crate::fixture::{FENCE_BYTES, Fixture};
use crate::spec;
use crate::verdict::{Note, Outcome};

/// Lengths at the ends of what one byte can say, signed or not.
const EDGES: [usize; 6] = [0, 1, 127, 128, 254, 255];
/// What programs that interpret bodies take for a command, a mark, a format or an
/// escape.
const TAKEN_FOR_MORE: [&[u8]; 20] = [
    b"/quit",
    b"/nick somebody",
    b"/",
    b"quit",
    b"QUIT\r\n",
    b"exit",
    b"bye",
    b"PING",
    b"shutdown",
    b"\xef\xbb\xbfmarked",
    b"\xff\xfemarked",
    b"%s%n%d",
    b"\\n\\0",
    b"&amp;<br>",
    b" spaces around ",
    b"\t",
    b"\x03",
    b"\x04",
    // An e and an accent, which some turn into one letter.
    b"e\xcc\x81",
    b"GET / HTTP/1.1\r\n\r\n",
];
/// How other protocols begin: here each is the header of a frame and its body's
/// first bytes.
const BEGINNINGS: [&[u8]; 4] =
    [b"GET / HTTP/1.1\r\n", b"HELO there\r\n", b"\x16\x03\x01", b"PROXY TCP4 "];
/// How often two clients send an empty message at the same moment: whether
/// these meet is chance.
const EMPTIES_AT_ONCE: usize = 40;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "frame/every-length",
        "FRAME-1",
        "a body of each length from 0 to 255 arrives as it was sent",
        every_length,
    )
    .quick(),
    Case::must(
        "frame/nothing-but-frames",
        "FRAME-1",
        "a new client's stream holds the frames that were sent and no other byte",
        nothing_but_frames,
    )
    .at_one_node(),
    Case::must(
        "frame/nothing-unasked",
        "FRAME-1",
        "clients receive nothing while nothing is sent, for sixteen seconds",
        nothing_unasked,
    )
    .idling(),
    Case::must(
        "frame/spec-vectors",
        "FRAME-1",
        "each stream of the spec's table decodes to the messages beside it",
        spec_vectors,
    ),
    Case::must(
        "frame/every-byte",
        "FRAME-2",
        "each of the 256 byte values arrives unchanged, alone and at every offset of a long body",
        every_byte,
    )
    .at_one_node()
    .quick(),
    Case::must(
        "frame/empty-message",
        "FRAME-3",
        "empty messages arrive like others: alone, among others, in a row",
        empty_message,
    )
    .quick(),
    Case::must(
        "frame/every-pair",
        "FRAME-3",
        "empty messages, the shortest and the longest arrive in every order, one right behind the other",
        every_pair,
    ),
];

fn every_length(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let bodies: Vec<Vec<u8>> = (0..=255).map(|length| random_body(fixture, length)).collect();
    fixture.deliver_plain(clients[0], &bodies, &clients)?;
    Ok(Note::new())
}

fn nothing_but_frames(fixture: &mut Fixture) -> Outcome {
    let talker = fixture.join(1, "talker")?[0];
    for _ in 0..5 {
        let joiner = fixture.connect("new client")?;
        fixture.await_served(talker, &[talker, joiner])?;
        fixture.deliver_plain(joiner, &[b"from the joiner".to_vec()], &[talker, joiner])?;
        fixture.deliver_plain(talker, &[b"to the joiner".to_vec()], &[talker, joiner])?;
    }
    Ok(Note::new())
}

fn nothing_unasked(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    let before: Vec<u64> =
        clients.iter().map(|&client| fixture.client(client).bytes_received()).collect();
    // The pause is the stimulus: what answers it arrives before the fence.
    fixture.pump_for(LONG_PAUSE)?;
    fixture.fence(clients[0], &clients, "the first message after sixteen seconds")?;
    let fence = 1 + FENCE_BYTES as u64;
    for (&client, before) in clients.iter().zip(before) {
        let received = fixture.client(client).bytes_received() - before;
        if received != fence {
            let expected = format!("the {fence} bytes of the one message that was sent");
            return Err(fixture.failure(client, expected, format!("{received} bytes")));
        }
    }
    Ok(Note::new())
}

fn spec_vectors(fixture: &mut Fixture) -> Outcome {
    fixture.recorder.expect_plain();
    let listener = fixture.join(1, "listener")?[0];
    for vector in spec::vectors() {
        let sender = fixture.connect("sender of a vector")?;
        fixture.queue_bytes(sender, &vector.stream);
        fixture.flush()?;
        let expected = format!("the messages of the vector '{}'", vector.name);
        let wanted = vector.messages.len();
        fixture.await_each(&[listener], &expected, |fixture, receiver| {
            fixture.recorder.plain(receiver).len() >= wanted
        })?;
        end_of_stream(fixture, sender)?;
        fixture.await_plain(listener, &vector.messages, &[listener])?;
    }
    Ok(Note::new())
}

fn every_byte(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    let mut bodies: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    // Rotations by 17 and its neighbours put every value at nearly every offset.
    bodies.extend(
        (0..=255u8)
            .step_by(17)
            .map(|turn| (0..255u8).map(|place| place.wrapping_add(turn)).collect::<Vec<u8>>()),
    );
    bodies.extend([0x00, 0x0a, 0x0d, 0x7f, 0x80, 0xff].map(|byte| vec![byte; 255]));
    bodies.extend([&b"\r\n"[..], b"\n\n\n", b"\0\0\0\0", b"end\n", b"\x01\x01\x01"].map(Vec::from));
    bodies.extend(TAKEN_FOR_MORE.map(Vec::from));
    fixture.deliver_plain(clients[0], &bodies, &clients)?;
    for beginning in BEGINNINGS {
        let mut body = beginning[1..].to_vec();
        body.resize(usize::from(beginning[0]), b' ');
        let joiner = fixture.connect("client whose first bytes look like another protocol")?;
        fixture.deliver_plain(joiner, &[body], &[joiner])?;
        fixture.close(joiner);
        clients.iter().for_each(|&client| drop(fixture.recorder.take_plain(client)));
    }
    Ok(Note::new())
}

fn empty_message(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(3, "client")?;
    let rows: [&[&[u8]]; 5] =
        [&[b""], &[b"", b"a"], &[b"a", b"", b"b"], &[b"", b"", b""], &[b"", b"b", b""]];
    for _ in 0..10 {
        for row in rows {
            let bodies: Vec<Vec<u8>> = row.iter().map(|body| body.to_vec()).collect();
            fixture.deliver_plain(clients[1], &bodies, &clients)?;
        }
    }
    for round in 0..EMPTIES_AT_ONCE {
        let pair = [clients[round % clients.len()], clients[(round + 1) % clients.len()]];
        equal_at_once(fixture, &pair, b"", &clients)?;
    }
    Ok(Note::new())
}

fn every_pair(fixture: &mut Fixture) -> Outcome {
    let clients = fixture.join(2, "client")?;
    for first in EDGES {
        for second in EDGES {
            let bodies = [random_body(fixture, first), random_body(fixture, second)];
            fixture.deliver_plain(clients[0], &bodies, &clients)?;
        }
    }
    Ok(Note::new())
}
